//! Tables against naive models: aggregations, joins, foreign keys, versions. Over 1, 2 and 4 partitions, straight, with a
//! crash and a restart after every record, and with the disk lost in each of those crashes.

use std::collections::BTreeMap;

use proptest::prelude::*;
use streams::dsl::{Consumed, Grouped, Joined, KTable, Materialized, Produced, StreamsBuilder, TableJoined};
use streams::serde::{I64, Serde, Utf8};
use streams::testing::TestDriver;
use streams::{Topology, dsl::Repartitioned};

/// An update: of the left table?, key, new row (none: removed), time. A row is text `value|reference`.
#[derive(Clone, Debug)]
struct Update {
    left: bool,
    key: u8,
    row: Option<(u8, u8)>,
    time: i64,
}

fn update() -> impl Strategy<Value = Update> {
    let row = prop::option::weighted(0.75, (0..6_u8, 0..4_u8));
    (any::<bool>(), 0..4_u8, row, 0..100_i64).prop_map(|(left, key, row, time)| Update { left, key, row, time })
}

fn updates() -> impl Strategy<Value = Vec<Update>> {
    prop::collection::vec(update(), 1..40)
}

impl Update {
    fn text(&self) -> Option<String> {
        self.row.map(|(value, reference)| format!("{value}|k{reference}"))
    }

    fn topic(&self) -> &'static str {
        if self.left { "left" } else { "right" }
    }
}

#[derive(Clone, Copy, Debug)]
enum Crash {
    Never,
    EveryRecord,
    EveryRecordLosingTheDisk,
}

fn crashes() -> impl Strategy<Value = Crash> {
    prop_oneof![Just(Crash::Never), Just(Crash::EveryRecord), Just(Crash::EveryRecordLosingTheDisk)]
}

fn partitions() -> impl Strategy<Value = u32> {
    prop_oneof![Just(1), Just(2), Just(4)]
}

/// Updates written before the first of them is processed: more than one, and answers meet rows that have changed since.
fn batches() -> impl Strategy<Value = usize> {
    prop_oneof![Just(1), 2..9_usize]
}

fn run(topology: Topology, updates: &[Update], partitions: u32, crash: Crash, batch: usize) -> TestDriver {
    let mut driver = TestDriver::new(topology, partitions);
    for some in updates.chunks(batch) {
        for u in some {
            let key = format!("k{}", u.key);
            driver.produce(u.topic(), Some(key.as_bytes()), u.text().as_deref().map(str::as_bytes), u.time);
        }
        driver.run();
        match crash {
            Crash::Never => (),
            Crash::EveryRecord => driver.crash_and_restore(),
            Crash::EveryRecordLosingTheDisk => driver.crash_and_lose_disk(),
        }
    }
    driver
}

/// A store's content over all partitions, read by its value's format.
fn content<V: 'static>(driver: &TestDriver, store: &str, serde: impl Serde<V>) -> BTreeMap<String, V> {
    let read = |(key, value, _): (Vec<u8>, Vec<u8>, i64)| {
        (String::from_utf8(key).expect("text"), serde.deserialize(&value).expect("readable"))
    };
    driver.entries(store).into_iter().map(read).collect()
}

type Rows = BTreeMap<String, String>;

/// The rows of both tables in the end.
fn rows(updates: &[Update]) -> (Rows, Rows) {
    let (mut left, mut right) = (Rows::new(), Rows::new());
    for u in updates {
        let table = if u.left { &mut left } else { &mut right };
        match u.text() {
            Some(row) => table.insert(format!("k{}", u.key), row),
            None => table.remove(&format!("k{}", u.key)),
        };
    }
    (left, right)
}

fn table(builder: &StreamsBuilder, topic: &str) -> KTable<String, String> {
    builder.table(topic, text_store(topic))
}

fn text_store(name: &str) -> Materialized<String, String> {
    Materialized::new(name, Utf8, Utf8)
}

fn value_of(row: &str) -> i64 {
    row.split_once('|').and_then(|(value, _)| value.parse().ok()).unwrap_or(0)
}

fn reference_of(row: &str) -> String {
    row.split_once('|').map_or_else(String::new, |(_, reference)| reference.to_owned())
}

fn both(left: Option<&String>, right: Option<&String>) -> String {
    format!("{}+{}", left.map_or("-", String::as_str), right.map_or("-", String::as_str))
}

/// Sums and counts per reference, of the left table's rows with even values, and of its row stream.
fn aggregations() -> Topology {
    let builder = StreamsBuilder::new("model");
    let left = table(&builder, "left");
    table(&builder, "right");
    let even = left.filter(|_, row| value_of(row) % 2 == 0).map_values(|row| format!("{row}!"));
    let grouped = even.group_by(
        |_, row| Some((reference_of(row.trim_end_matches('!')), row.clone())),
        Grouped::new("by-reference", Utf8, Utf8),
    );
    grouped.count(Materialized::new("counts", Utf8, I64));
    grouped.aggregate(
        || 0,
        |_, row, sum| sum + value_of(row),
        |_, row, sum| sum - value_of(row),
        Materialized::new("sums", Utf8, I64),
    );
    left.to_stream()
        .group_by(|_, row| reference_of(row), Grouped::new("stream-by-reference", Utf8, Utf8))
        .reduce(|a, b| if value_of(&a) >= value_of(b) { a } else { b.clone() }, text_store("largest"));
    builder.build().expect("valid")
}

/// All three joins of the tables, and a join of the inner one's result once more.
fn joins() -> Topology {
    let builder = StreamsBuilder::new("model");
    let (left, right) = (table(&builder, "left"), table(&builder, "right"));
    let inner = left.join(&right, |l, r| both(Some(l), Some(r)));
    inner.materialize(text_store("inner"));
    left.left_join(&right, |l, r| both(Some(l), r)).materialize(text_store("left-join"));
    left.outer_join(&right, both).materialize(text_store("outer"));
    inner.left_join(&right, |l, r| both(Some(l), r)).materialize(text_store("twice"));
    builder.build().expect("valid")
}

fn foreign_keys() -> Topology {
    let builder = StreamsBuilder::new("model");
    let (left, right) = (table(&builder, "left"), table(&builder, "right"));
    let joined = |name| TableJoined::new(name, Utf8, Utf8, Utf8, Utf8);
    // Rows of value 0 point nowhere.
    let key = |_: &String, row: &String| (value_of(row) != 0).then(|| reference_of(row));
    left.join_on_foreign_key(&right, key, |l, r| both(Some(l), Some(r)), joined("inner-fk"), text_store("inner"));
    left.left_join_on_foreign_key(&right, key, |l, r| both(Some(l), r), joined("left-fk"), text_store("left-join"));
    builder.build().expect("valid")
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(96) })]

    #[test]
    fn aggregations_are_those_of_the_rows(updates in updates(), partitions in partitions(), crash in crashes(), batch in batches()) {
        let driver = run(aggregations(), &updates, partitions, crash, batch);
        let (left, _) = rows(&updates);
        let (mut counts, mut sums) = (BTreeMap::new(), BTreeMap::new());
        for row in left.values().filter(|row| value_of(row) % 2 == 0) {
            *counts.entry(reference_of(row)).or_insert(0) += 1;
            *sums.entry(reference_of(row)).or_insert(0) += value_of(row);
        }
        // A group that was once there and is empty now stays with 0.
        let without_zeros = |map: BTreeMap<String, i64>| map.into_iter().filter(|(_, n)| *n != 0).collect();
        let sums: BTreeMap<String, i64> = without_zeros(sums);
        prop_assert_eq!(without_zeros(content(&driver, "counts", I64)), counts);
        prop_assert_eq!(without_zeros(content(&driver, "sums", I64)), sums);
        let mut largest: BTreeMap<String, i64> = BTreeMap::new();
        for row in updates.iter().filter(|u| u.left).filter_map(Update::text) {
            let value = largest.entry(reference_of(&row)).or_insert(-1);
            *value = value_of(&row).max(*value);
        }
        let got: BTreeMap<String, i64> =
            content(&driver, "largest", Utf8).into_iter().map(|(k, row)| (k, value_of(&row))).collect();
        prop_assert_eq!(got, largest);
    }

    #[test]
    fn joins_are_those_of_the_rows(updates in updates(), partitions in partitions(), crash in crashes(), batch in batches()) {
        let driver = run(joins(), &updates, partitions, crash, batch);
        let (left, right) = rows(&updates);
        let (mut inner, mut left_join, mut outer, mut twice) = (Rows::new(), Rows::new(), Rows::new(), Rows::new());
        for key in left.keys().chain(right.keys()) {
            let (l, r) = (left.get(key), right.get(key));
            outer.insert(key.clone(), both(l, r));
            if l.is_some() {
                left_join.insert(key.clone(), both(l, r));
            }
            if l.is_some() && r.is_some() {
                inner.insert(key.clone(), both(l, r));
                twice.insert(key.clone(), both(Some(&both(l, r)), r));
            }
        }
        prop_assert_eq!(content(&driver, "inner", Utf8), inner);
        prop_assert_eq!(content(&driver, "left-join", Utf8), left_join);
        prop_assert_eq!(content(&driver, "outer", Utf8), outer);
        prop_assert_eq!(content(&driver, "twice", Utf8), twice);
    }

    #[test]
    fn foreign_key_joins_are_those_of_the_rows(updates in updates(), partitions in partitions(), crash in crashes(), batch in batches()) {
        let driver = run(foreign_keys(), &updates, partitions, crash, batch);
        let (left, right) = rows(&updates);
        let referred = |row: &String| right.get(&reference_of(row)).filter(|_| value_of(row) != 0);
        let inner: Rows = left
            .iter()
            .filter_map(|(key, row)| referred(row).map(|r| (key.clone(), both(Some(row), Some(r)))))
            .collect();
        let left_join: Rows =
            left.iter().map(|(key, row)| (key.clone(), both(Some(row), referred(row)))).collect();
        prop_assert_eq!(content(&driver, "inner", Utf8), inner);
        prop_assert_eq!(content(&driver, "left-join", Utf8), left_join);
    }

    /// A stream joined with a versioned table finds the row of its own time, with and without grace.
    #[test]
    fn versions_are_found_as_of_the_records_time(updates in updates(), grace in 0..30_i64, crash in crashes()) {
        const HISTORY_MS: i64 = 40;
        let builder = StreamsBuilder::new("model");
        let rows = builder.table("right", text_store("right").versioned(HISTORY_MS));
        let records = builder.stream("left", Consumed::<String, String>::with(Utf8, Utf8));
        let at_once = records.left_join_table(&rows, |record, row| both(Some(record), row));
        let joined = Joined::new("graced", Utf8, Utf8).with_grace_period(grace);
        let held = records.left_join_table_with(&rows, |record, row| both(Some(record), row), joined);
        at_once.to("at-once", Produced::with(Utf8, Utf8));
        held.to("held", Produced::with(Utf8, Utf8));
        let mut driver = run(builder.build().expect("valid"), &updates, 1, crash, 1);
        let read = |driver: &mut TestDriver, topic: &str| -> Vec<(String, i64)> {
            let text = |bytes: Option<Vec<u8>>| String::from_utf8(bytes.unwrap_or_default()).expect("text");
            driver.read(topic).into_iter().map(|r| (text(r.value), r.timestamp)).collect()
        };

        let mut versions: BTreeMap<(u8, i64), Option<String>> = BTreeMap::new();
        let (mut table_time, mut stream_time) = (-1, -1);
        let as_of = |versions: &BTreeMap<(u8, i64), Option<String>>, u: &Update, table_time: i64| {
            let newest = versions.range((u.key, 0)..=(u.key, i64::MAX)).next_back();
            let found = versions.range((u.key, 0)..=(u.key, u.time)).next_back();
            let kept = u.time >= table_time - HISTORY_MS || found.map(|(k, _)| k) == newest.map(|(k, _)| k);
            let row = found.filter(|_| kept).and_then(|(_, row)| row.clone());
            (both(u.text().as_ref(), row.as_ref()), u.time)
        };
        let (mut expected_at_once, mut expected_held) = (Vec::new(), Vec::new());
        let mut waiting: BTreeMap<(i64, u8, usize), &Update> = BTreeMap::new();
        for (i, u) in updates.iter().enumerate() {
            if !u.left {
                if u.time >= table_time - HISTORY_MS {
                    table_time = table_time.max(u.time);
                    versions.insert((u.key, u.time), u.text());
                }
                continue;
            }
            if u.row.is_none() {
                continue;
            }
            stream_time = stream_time.max(u.time);
            expected_at_once.push(as_of(&versions, u, table_time));
            if u.time < stream_time - grace {
                expected_held.push(as_of(&versions, u, table_time));
                continue;
            }
            waiting.insert((u.time, u.key, i), u);
            while let Some(entry) = waiting.first_entry().filter(|e| e.key().0 <= stream_time - grace) {
                expected_held.push(as_of(&versions, entry.remove(), table_time));
            }
        }
        prop_assert_eq!(read(&mut driver, "at-once"), expected_at_once);
        prop_assert_eq!(read(&mut driver, "held"), expected_held);
    }
}

/// Records grouped by a changed key are together wherever they came from.
#[test]
fn results_do_not_depend_on_the_number_of_partitions() {
    let mut contents = Vec::new();
    for partitions in [1, 2, 4] {
        let builder = StreamsBuilder::new("model");
        builder
            .stream("left", Consumed::<String, String>::with(Utf8, Utf8))
            .select_key(|_, row| reference_of(row))
            .repartition(Repartitioned::new("by-reference", Utf8, Utf8).with_partitions(partitions))
            .group_by_key()
            .count(Materialized::new("counts", Utf8, I64));
        table(&builder, "right");
        let updates: Vec<Update> =
            (0..60).map(|i| Update { left: true, key: i % 7, row: Some((i, i % 4)), time: i.into() }).collect();
        let driver = run(builder.build().expect("valid"), &updates, partitions, Crash::Never, 1);
        contents.push(content(&driver, "counts", I64));
    }
    assert_eq!(contents[0].values().sum::<i64>(), 60);
    assert!(contents.iter().all(|c| *c == contents[0]));
}

/// `KTableFilterTest.shouldSendOldValuesWhenEnabledOnUpStreamMaterializedTable` and its siblings: a row that never passed is
/// not removed where old rows are known, and is where they are not.
#[test]
fn a_stored_filter_removes_what_passed() {
    let outputs = |with_old: bool| -> Vec<Option<i64>> {
        let builder = StreamsBuilder::new("model");
        let even = builder.table("left", Materialized::new("rows", Utf8, I64)).filter(|_, value: &i64| value % 2 == 0);
        let stored = even.materialize(Materialized::new("even", Utf8, I64));
        let stored = if with_old { stored.with_old_values() } else { stored };
        stored.to_stream().to("out", Produced::with(Utf8, I64));
        let mut driver = TestDriver::new(builder.build().expect("valid"), 1);
        for (time, value) in (0..).zip([Some(1), Some(2), Some(3), None]) {
            driver.pipe_typed("left", (&Utf8, Some(&"k".to_owned())), (&I64, value.as_ref()), time);
        }
        let read = |r: streams::testing::OutRecord| r.value.map(|v| I64.deserialize(&v).expect("a number"));
        driver.read("out").into_iter().map(read).collect()
    };
    assert_eq!(outputs(false), [None, Some(2), None, None]);
    assert_eq!(outputs(true), [Some(2), None]);
}
