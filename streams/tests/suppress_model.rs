//! Suppression and caching against models on lists: straight, with a crash and a restart after every record, and with the
//! disk lost in each of those crashes.

use std::collections::BTreeMap;

use proptest::prelude::*;
use streams::dsl::{
    BufferConfig, Consumed, Grouped, KTable, Materialized, Produced, SessionWindowedSerde, SessionWindows,
    StreamsBuilder, Suppressed, TimeWindowedSerde, TimeWindows,
};
use streams::serde::{I64, Utf8};
use streams::testing::TestDriver;
use streams::{Timestamp, Topology};

/// An update of a table: key, new value (none: removed), time.
type Input = (u8, Option<i64>, Timestamp);

/// A result: key, value, timestamp.
type Result = (Vec<u8>, Option<i64>, Timestamp);

#[derive(Clone, Copy, Debug)]
enum Crash {
    Never,
    EveryRecord,
    EveryRecordLosingTheDisk,
}

fn crashes() -> impl Strategy<Value = Crash> {
    prop_oneof![Just(Crash::Never), Just(Crash::EveryRecord), Just(Crash::EveryRecordLosingTheDisk)]
}

fn inputs() -> impl Strategy<Value = Vec<Input>> {
    prop::collection::vec((0..5_u8, prop::option::weighted(0.8, 0..100_i64), 0..80_i64), 1..50)
}

fn key(number: u8) -> Vec<u8> {
    format!("k{number}").into_bytes()
}

fn table(builder: &StreamsBuilder) -> KTable<String, i64> {
    builder.table("in", Materialized::new("rows", Utf8, I64))
}

fn held() -> Materialized<String, i64> {
    Materialized::new("held", Utf8, I64)
}

fn read(driver: &mut TestDriver, topic: &str) -> Vec<Result> {
    let number = |v: Vec<u8>| i64::from_be_bytes(v.try_into().expect("8 bytes"));
    let results = driver.read(topic).into_iter();
    results.map(|r| (r.key.expect("a key"), r.value.map(number), r.timestamp)).collect()
}

fn run(topology: Topology, inputs: &[Input], crash: Crash) -> Vec<Vec<Result>> {
    let mut driver = TestDriver::new(topology, 1);
    let mut results = Vec::new();
    for (number, value, time) in inputs {
        let value = value.map(i64::to_be_bytes);
        driver.pipe("in", Some(&key(*number)), value.as_ref().map(<[u8; 8]>::as_slice), *time);
        results.push(read(&mut driver, "out"));
        match crash {
            Crash::Never => {}
            Crash::EveryRecord => driver.crash_and_restore(),
            Crash::EveryRecordLosingTheDisk => driver.crash_and_lose_disk(),
        }
    }
    results
}

/// What is held back is a list, searched for its earliest.
fn model(inputs: &[Input], wait: i64, records_max: usize) -> Vec<Vec<Result>> {
    let mut held: BTreeMap<Vec<u8>, (Timestamp, Option<i64>, Timestamp)> = BTreeMap::new();
    let mut stream_time = -1;
    let mut results = Vec::new();
    for (number, value, time) in inputs {
        stream_time = stream_time.max(*time);
        let entry = held.entry(key(*number)).or_insert((*time, None, 0));
        *entry = (entry.0, *value, *time);
        let mut of_record = Vec::new();
        while let Some((time, key)) = held.iter().map(|(key, h)| (h.0, key.clone())).min() {
            if time > stream_time - wait && held.len() <= records_max {
                break;
            }
            let (_, value, timestamp) = held.remove(&key).expect("held");
            of_record.push((key, value, timestamp));
        }
        results.push(of_record);
    }
    results
}

/// The sum of all rows of a table.
fn sum(table: &KTable<String, i64>, topic: &str) {
    table
        .group_by(|_, value| Some(("all".to_owned(), *value)), Grouped::new("sum", Utf8, I64))
        .aggregate(|| 0, |_, v, sum| sum + v, |_, v, sum| sum - v, Materialized::new("sums", Utf8, I64))
        .to_stream()
        .to(topic, Produced::with(Utf8, I64));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(128) })]

    #[test]
    fn updates_are_held_back_as_in_a_list(
        inputs in inputs(), wait in 0..40_i64, records_max in prop_oneof![Just(u64::MAX), 0..4_u64], crash in crashes(),
    ) {
        let builder = StreamsBuilder::new("model");
        let buffer = BufferConfig::max_records(records_max).emit_early_when_full();
        let suppressed = table(&builder).suppress(Suppressed::until_time_limit(wait, held(), buffer));
        suppressed.to_stream().to("out", Produced::with(Utf8, I64));
        let got = run(builder.build().expect("valid"), &inputs, crash);
        prop_assert_eq!(got, model(&inputs, wait, usize::try_from(records_max).unwrap_or(usize::MAX)));
    }

    /// A grouping below takes back exactly what it was given: its sum is that of the rows last sent on. (Kafka Streams sends
    /// the old row of the last update held back, `InMemoryTimeOrderedKeyValueChangeBuffer.evictWhile`, which a grouping
    /// below may never have been given.)
    #[test]
    fn a_grouping_below_takes_back_what_it_was_given(inputs in inputs(), wait in 0..40_i64, crash in crashes()) {
        let builder = StreamsBuilder::new("model");
        let limit = Suppressed::until_time_limit(wait, held(), BufferConfig::unbounded());
        sum(&table(&builder).suppress(limit), "out");
        let got = run(builder.build().expect("valid"), &inputs, crash);
        let mut rows: BTreeMap<Vec<u8>, i64> = BTreeMap::new();
        for (sent_on, got) in model(&inputs, wait, usize::MAX).into_iter().zip(got) {
            for (key, value, _) in sent_on {
                match value {
                    Some(value) => drop(rows.insert(key, value)),
                    None => drop(rows.remove(&key)),
                }
            }
            if let Some((_, sum, _)) = got.last() {
                prop_assert_eq!(sum.unwrap_or(0), rows.values().sum::<i64>());
            }
        }
    }

    /// However records fall into commits, a cached table says in the end what one without a cache does, in fewer updates.
    #[test]
    fn a_cached_table_says_the_same_in_the_end(
        inputs in prop::collection::vec((0..3_u8, 0..300_i64), 1..60), batch in 1..10_usize, sessions: bool,
    ) {
        let mut outputs = Vec::new();
        for cached in [false, true] {
            let builder = StreamsBuilder::new("model");
            let grouped = builder.stream("in", Consumed::<String, i64>::with(Utf8, I64)).group_by_key();
            let store = Materialized::new("counts", Utf8, I64);
            let store = if cached { store.with_caching_enabled() } else { store };
            if sessions {
                let windows = SessionWindows::of_inactivity_gap_and_grace(10, 20);
                let table = grouped.windowed_by(windows).count(store);
                table.to_stream().to("out", Produced::with(SessionWindowedSerde::new(Utf8), I64));
            } else {
                let windows = TimeWindows::of_size_and_grace(20, 20).advance_by(10);
                let table = grouped.windowed_by(windows).count(store);
                table.to_stream().to("out", Produced::with(TimeWindowedSerde::new(Utf8, 20), I64));
            }
            let mut driver = TestDriver::new(builder.build().expect("valid"), 1);
            for batch in inputs.chunks(batch) {
                for (number, time) in batch {
                    driver.produce("in", Some(&key(*number)), Some(&1_i64.to_be_bytes()), *time);
                }
                driver.run();
            }
            outputs.push(read(&mut driver, "out"));
        }
        let rows = |updates: &[Result]| {
            let mut rows = BTreeMap::new();
            for (key, value, timestamp) in updates {
                match value {
                    Some(value) => drop(rows.insert(key.clone(), (*value, *timestamp))),
                    None => drop(rows.remove(key)),
                }
            }
            rows
        };
        prop_assert_eq!(rows(&outputs[0]), rows(&outputs[1]));
        prop_assert!(outputs[1].len() <= outputs[0].len());
    }
}

/// With old rows asked for, a cached aggregation subtracts below what it sent before.
#[test]
fn a_cached_aggregation_sends_the_old_row_it_sent_before() {
    let builder = StreamsBuilder::new("model");
    let counts = builder
        .stream("in", Consumed::<String, i64>::with(Utf8, I64))
        .group_by_key()
        .count(Materialized::new("counts", Utf8, I64).with_caching_enabled());
    sum(&counts, "out");
    let mut driver = TestDriver::new(builder.build().expect("valid"), 1);
    for round in 1..=3 {
        for i in 0..6_u8 {
            driver.produce("in", Some(&key(i % 2)), Some(&0_i64.to_be_bytes()), 0);
        }
        driver.run();
        let sums = read(&mut driver, "out");
        assert_eq!(sums.last().map(|s| s.1), Some(Some(round * 6)), "{sums:?}");
        assert_eq!(sums.len(), 2, "one update for each key and commit: {sums:?}");
    }
}

#[test]
fn a_full_buffer_that_must_not_emit_early_fails_the_task() {
    let builder = StreamsBuilder::new("model");
    let buffer = BufferConfig::max_records(1).shut_down_when_full();
    let suppressed = table(&builder).suppress(Suppressed::until_time_limit(1_000, held(), buffer));
    suppressed.to_stream().to("out", Produced::with(Utf8, I64));
    let mut driver = TestDriver::new(builder.build().expect("valid"), 1);
    driver.pipe("in", Some(b"a"), Some(&1_i64.to_be_bytes()), 0);
    driver.produce("in", Some(b"b"), Some(&1_i64.to_be_bytes()), 0);
    let outcome = driver.try_run().map_err(|e| e.to_string());
    let failed = driver.worker_mut(0).and_then(|w| w.tasks().find_map(|t| t.failure().map(str::to_owned)));
    let said = failed.or(outcome.err()).expect("the task fails");
    assert!(said.contains("suppression 'held' holds 2 of at most 1 records"), "{said}");
    assert!(driver.read("out").is_empty());
}

/// Rows of a source table, of what is computed from it and of a grouping of that, each held back until the commit: what is
/// seen in the end is what is seen without, in fewer updates. Removals come through, and rows that came and went do not.
#[test]
fn every_kind_of_table_may_be_cached() {
    let mut outputs = Vec::new();
    for cached in [false, true] {
        let store = |name: &str| {
            let store = Materialized::<String, i64>::new(name, Utf8, I64);
            if cached { store.with_caching_enabled() } else { store }
        };
        let builder = StreamsBuilder::new("model");
        let rows = builder.table("in", store("rows"));
        let doubled = rows.map_values(|value| value * 2).materialize(store("doubled"));
        let both =
            rows.outer_join(&doubled, |one, two| one.unwrap_or(&0) + two.unwrap_or(&0)).materialize(store("both"));
        both.to_stream().to("both", Produced::with(Utf8, I64));
        let by_parity =
            both.group_by(|_, value| Some(((value % 2).to_string(), *value)), Grouped::new("by-parity", Utf8, I64));
        let sums = by_parity.aggregate(|| 0, |_, value, sum| sum + value, |_, value, sum| sum - value, store("sums"));
        sums.to_stream().to("sums", Produced::with(Utf8, I64));
        let mut driver = TestDriver::new(builder.build().expect("valid"), 1);
        for round in 0..12_i64 {
            for i in 0..7_u8 {
                let value = (i64::from(i) * 5 + round * 3) % 11;
                let bytes = value.to_be_bytes();
                let removed = value % 4 == 0;
                driver.produce("in", Some(&key(i % 3)), (!removed).then_some(bytes.as_slice()), round);
            }
            driver.produce("in", Some(&key(7)), Some(&1_i64.to_be_bytes()), round);
            driver.produce("in", Some(&key(7)), None, round);
            driver.run();
            driver.crash_and_restore();
        }
        outputs.push(["both", "sums"].map(|topic| read(&mut driver, topic)));
    }
    for (every, last) in outputs[0].iter().zip(&outputs[1]) {
        let rows = |updates: &[Result]| {
            let mut rows = BTreeMap::new();
            for (key, value, _) in updates {
                match value {
                    Some(value) => drop(rows.insert(key.clone(), *value)),
                    None => drop(rows.remove(key)),
                }
            }
            rows
        };
        assert_eq!(rows(every), rows(last));
        assert!(!rows(last).is_empty() && last.len() * 2 < every.len(), "{} of {} updates", last.len(), every.len());
    }
    assert!(outputs[1][0].iter().all(|(of, ..)| *of != key(7)), "what came and went is not seen");
}
