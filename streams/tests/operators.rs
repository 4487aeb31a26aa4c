//! Every stateful operator of the DSL, one row each (`operator_rows`): the same records straight, with a crash and a restart
//! after every record, and with the disk lost in each of those crashes; each over 1, 2 and 4 partitions; and against a naive
//! model. `--nocapture` prints the table; `OPERATORS_SEED=n` takes other records.
//!
//! What must not depend on the number of partitions: for every input, the results of each key, in their order, with their
//! times. (The order of results of different keys is not defined: they may come from different tasks.) Where an operator
//! measures lateness, or closes or releases something, it does so by its task's stream time, which depends on the other keys
//! of the partition. Those rows are *timed*: before every record each partition gets one of the same time, under a key that is
//! looked at no further, so that all tasks are at one time whatever their number.

#![allow(clippy::print_stdout)] // the table is what this test is for

mod operator_rows;

use std::collections::{BTreeMap, BTreeSet};

use operator_rows::{Against, Input, Row, WITHOUT_STATE, rows};
use streams::dsl::StreamsBuilder;
use streams::partitioner::partition_for_key;
use streams::testing::{OutRecord, TestDriver};

const INPUTS: usize = 30;
const PARTITIONS: [u32; 3] = [1, 2, 4];
/// Keys of the records that only move time begin with this.
const CLOCK: &str = "clock";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Straight,
    Crash,
    LoseDisk,
}

/// A result: key, value, timestamp.
type Line = (String, String, i64);

/// Numbers that look random and are the same every time (xorshift64).
struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 33) % n
    }
}

/// Random records of few keys, out of order by up to 40 ms; rows of tables are removed at times.
fn inputs(row: &Row) -> Vec<Vec<Input>> {
    let seed = std::env::var("OPERATORS_SEED").map_or(2, |seed| seed.parse::<u64>().expect("a number"));
    let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).max(1));
    let clocks = clocks();
    let mut step = |number: usize| {
        let topic = row.topics[random.below(row.topics.len() as u64) as usize];
        let removed = matches!(topic, "left" | "right") && random.below(4) == 0;
        let value = (!removed).then(|| format!("{}|k{}", random.below(6), random.below(4)));
        let input = Input {
            topic,
            key: format!("k{}", random.below(4)),
            value,
            time: number as i64 * 6 + random.below(40) as i64,
        };
        let moves_time = |key: &String| Input { key: key.clone(), value: Some("0|clock".to_owned()), ..input.clone() };
        let mut records: Vec<Input> = if row.timed { clocks.iter().map(moves_time).collect() } else { Vec::new() };
        records.push(input);
        records
    };
    (0..INPUTS).map(&mut step).collect()
}

/// A key for each of four partitions: of two, each has two of them.
fn clocks() -> Vec<String> {
    let key_of = |partition| {
        let keys = (0..).map(|n: u32| format!("{CLOCK}{n}"));
        keys.into_iter().find(|key| partition_for_key(key.as_bytes(), 4) == partition).expect("some key is there")
    };
    (0..4).map(key_of).collect()
}

fn line(record: OutRecord) -> Line {
    let text = |bytes: Option<Vec<u8>>| bytes.map_or("null".into(), |b| String::from_utf8(b).expect("text"));
    (text(record.key), text(record.value), record.timestamp)
}

/// The key of the input: a windowed one ends with its window.
fn base(key: &str) -> &str {
    key.split(' ').next().unwrap_or_default()
}

struct Outcome {
    /// What each input brought, by key.
    results: Vec<Vec<Line>>,
    dropped: u64,
    stores: Vec<&'static str>,
}

fn run(row: &Row, inputs: &[Vec<Input>], partitions: u32, mode: Mode) -> Outcome {
    let builder = StreamsBuilder::new("operators");
    (row.build)(&builder);
    let topology = builder.build().expect("valid");
    let stores = topology.stores().iter().map(|s| s.shape).collect();
    let mut driver = TestDriver::new(topology, partitions);
    let mut results = Vec::new();
    for step in inputs {
        for r in step {
            driver.pipe(r.topic, Some(r.key.as_bytes()), r.value.as_deref().map(str::as_bytes), r.time);
            match mode {
                Mode::Straight => (),
                Mode::Crash => driver.crash_and_restore(),
                Mode::LoseDisk => driver.crash_and_lose_disk(),
            }
        }
        let mut lines: Vec<Line> = driver.read("out").into_iter().map(line).collect();
        lines.retain(|(key, ..)| !key.starts_with(CLOCK));
        // Stable: the order within a key stays.
        lines.sort_by(|a, b| base(&a.0).cmp(base(&b.0)));
        results.push(lines);
    }
    Outcome { results, dropped: driver.total(|c| c.dropped), stores }
}

/// Compares with the row's model, given all records up to each.
fn check_model(row: &Row, inputs: &[Vec<Input>], results: &[Vec<Line>]) {
    let mut so_far: Vec<Input> = Vec::new();
    let mut table: BTreeMap<String, String> = BTreeMap::new();
    for (number, (step, lines)) in inputs.iter().zip(results).enumerate() {
        so_far.extend(step.iter().cloned());
        match row.against {
            Against::Table(model) => {
                for (key, value, _) in lines {
                    if value == "null" {
                        table.remove(key)
                    } else {
                        table.insert(key.clone(), value.clone())
                    };
                }
                let mut expected = model(&so_far);
                expected.retain(|key, _| !key.starts_with(CLOCK));
                assert_eq!(table, expected, "{}: the table after input {number}, {:?}", row.operator, step.last());
            }
            Against::Stream(model) => {
                let got: Vec<(String, String)> = lines.iter().map(|(k, v, _)| (k.clone(), v.clone())).collect();
                assert_eq!(got, model(&so_far), "{}: results of input {number}, {:?}", row.operator, step.last());
            }
            Against::Elsewhere(..) => (),
        }
    }
}

#[test]
fn every_stateful_operator_survives_crashes_and_does_not_depend_on_partitions() {
    println!("{:<44} {:>7} {:>4}  {:<34} against", "operator, 9 ways each", "results", "drop", "stores");
    for row in rows() {
        let inputs = inputs(&row);
        let expected = run(&row, &inputs, 1, Mode::Straight);
        let results: usize = expected.results.iter().map(Vec::len).sum();
        assert!(results >= 5, "{}: {results} results say little", row.operator);
        assert!(!expected.stores.is_empty() || row.operator.starts_with("repartition"), "{}: no store", row.operator);
        assert!(!row.late || expected.dropped > 0, "{}: nothing was late", row.operator);
        check_model(&row, &inputs, &expected.results);
        for partitions in PARTITIONS {
            for mode in [Mode::Straight, Mode::Crash, Mode::LoseDisk] {
                let got = run(&row, &inputs, partitions, mode);
                for (number, (got, expected)) in got.results.iter().zip(&expected.results).enumerate() {
                    let input = inputs[number].last();
                    assert_eq!(got, expected, "{}: {partitions} partitions, {mode:?}, {input:?}", row.operator);
                }
            }
        }
        let against = match row.against {
            Against::Table(_) => "model: the whole table".to_owned(),
            Against::Stream(_) => "model: each result".to_owned(),
            Against::Elsewhere(file, test) => format!("{file}: {test}"),
        };
        let stores: BTreeSet<&str> = expected.stores.iter().copied().collect();
        let stores: Vec<&str> = stores.into_iter().collect();
        println!("{:<44} {results:>7} {:>4}  {:<34} {against}", row.operator, expected.dropped, stores.join(" "));
    }
}

/// Why rows are timed: when each task has only the time of its own keys, windows close at other records.
#[test]
fn without_a_common_time_windows_close_by_the_partition() {
    let close = rows().into_iter().find(|row| row.operator == "tumbling count on close").expect("a row");
    let row = Row { timed: false, ..close };
    let inputs = inputs(&row);
    let results = |partitions| run(&row, &inputs, partitions, Mode::Straight).results;
    assert_ne!(results(1), results(4));
}

/// A test that a row names is there.
#[test]
fn models_elsewhere_are_there() {
    for row in rows() {
        if let Against::Elsewhere(file, test) = row.against {
            let path = format!("{}/tests/{file}", env!("CARGO_MANIFEST_DIR"));
            let text = std::fs::read_to_string(path).expect("a test file");
            assert!(text.contains(&format!("fn {test}(")), "{}: {file} has no test {test}", row.operator);
        }
    }
}

/// Handles whose methods are the DSL's operators.
const HANDLES: [&str; 12] = [
    "StreamsBuilder",
    "KStream",
    "KTable",
    "GlobalKTable",
    "Split",
    "KGroupedStream",
    "KGroupedTable",
    "TimeWindowedKStream",
    "SessionWindowedKStream",
    "CogroupedKStream",
    "TimeWindowedCogroupedKStream",
    "SessionWindowedCogroupedKStream",
];

/// `Type::method` of every public method of the handles, read from the source.
fn operators_of_the_dsl() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let folder = format!("{}/src/dsl", env!("CARGO_MANIFEST_DIR"));
    for file in std::fs::read_dir(folder).expect("the source").map(|file| file.expect("a file").path()) {
        let text = std::fs::read_to_string(file).expect("readable");
        let mut of = None;
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("impl") {
                of = if rest.contains(" for ") { None } else { HANDLES.into_iter().find(|h| is_type(rest, h)) };
            }
            if let (Some(of), Some(method)) = (of, line.strip_prefix("    pub fn ")) {
                let name = method.split(['<', '(']).next().unwrap_or_default();
                found.insert(format!("{of}::{name}"));
            }
        }
    }
    found
}

/// Whether what follows `impl` is about this type.
fn is_type(header: &str, name: &str) -> bool {
    let mut depth = 0;
    let after_generics = header.find(|c| {
        depth += i32::from(c == '<') - i32::from(c == '>');
        c == ' ' && depth == 0
    });
    let rest = after_generics.and_then(|at| header.get(at..)).unwrap_or(header).trim_start();
    rest.strip_prefix(name).is_some_and(|rest| rest.starts_with(['<', ' ']))
}

/// A method that is neither in a row nor known to keep nothing is one that nobody has thought about.
#[test]
fn every_operator_of_the_dsl_is_in_the_table_or_known_to_keep_nothing() {
    let there = operators_of_the_dsl();
    let rows: BTreeSet<&str> = rows().iter().flat_map(|row| row.covers.iter().copied()).collect();
    let known: BTreeSet<&str> = rows.iter().copied().chain(WITHOUT_STATE).collect();
    let missing: Vec<&String> = there.iter().filter(|method| !known.contains(method.as_str())).collect();
    assert!(missing.is_empty(), "give each a row in operator_rows, or a place in WITHOUT_STATE: {missing:#?}");
    let gone: Vec<&&str> = known.iter().filter(|method| !there.contains(**method)).collect();
    assert!(gone.is_empty(), "not in the DSL any more: {gone:#?}");
    let both: Vec<&&str> = rows.iter().filter(|method| WITHOUT_STATE.contains(method)).collect();
    assert!(both.is_empty(), "with and without state: {both:#?}");
}
