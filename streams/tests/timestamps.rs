//! Times taken out of records: they decide whose turn it is, which window a record is in, and what is late.

use streams::dsl::{Consumed, Materialized, Produced, StreamsBuilder, TimeWindowedSerde, TimeWindows};
use streams::serde::{I64, Utf8};
use streams::testing::TestDriver;
use streams::{Record, Timestamp};

/// The time before the `@`, if there is one.
fn said(record: Record<'_, String, String>) -> Option<Timestamp> {
    record.value?.split_once('@')?.0.parse().ok()
}

fn timed() -> Consumed<String, String> {
    Consumed::with(Utf8, Utf8).with_timestamp_extractor(said)
}

fn texts(driver: &mut TestDriver, topic: &str) -> Vec<(String, Timestamp)> {
    let text = |bytes: Option<Vec<u8>>| String::from_utf8(bytes.unwrap_or_default()).expect("text");
    driver.read(topic).into_iter().map(|r| (text(r.value), r.timestamp)).collect()
}

#[test]
fn records_are_taken_in_the_order_of_the_times_they_say() {
    let builder = StreamsBuilder::new("timed");
    let one = builder.stream("one", timed());
    let two = builder.stream("two", Consumed::<String, String>::with(Utf8, Utf8));
    one.merge(&two).to("out", Produced::with(Utf8, Utf8));
    let mut driver = TestDriver::new(builder.build().expect("valid"), 1);
    for (topic, value, at) in [("one", "30@a", 0), ("one", "no time", 40), ("two", "b", 20), ("two", "c", 50)] {
        driver.produce(topic, Some(b"k"), Some(value.as_bytes()), at);
    }
    driver.run();
    let expected = [("b", 20), ("30@a", 30), ("no time", 40), ("c", 50)];
    assert_eq!(texts(&mut driver, "out"), expected.map(|(value, at)| (value.to_owned(), at)));
}

#[test]
fn windows_and_lateness_go_by_the_times_they_say() {
    let builder = StreamsBuilder::new("timed");
    let counts = builder
        .stream("in", timed())
        .group_by_key()
        .windowed_by(TimeWindows::of_size_with_no_grace(10))
        .count(Materialized::new("counts", Utf8, I64));
    counts.to_stream().to("out", Produced::with(TimeWindowedSerde::new(Utf8, 10), I64));
    let mut driver = TestDriver::new(builder.build().expect("valid"), 1);
    for value in ["5@a", "25@b", "6@late"] {
        driver.pipe("in", Some(b"k"), Some(value.as_bytes()), 1_000);
        driver.crash_and_restore();
    }
    let at: Vec<Timestamp> = driver.read("out").iter().map(|r| r.timestamp).collect();
    assert_eq!(at, [5, 25]);
}

#[test]
fn a_time_that_cannot_be_is_for_the_decode_handler() {
    let builder = StreamsBuilder::new("timed");
    builder.stream("in", timed()).to("out", Produced::with(Utf8, Utf8));
    let mut driver = TestDriver::new(builder.build().expect("valid"), 1);
    driver.pipe("in", Some(b"k"), Some(b"-1@before the epoch"), 7);
    driver.pipe("in", Some(b"k"), Some(b"8@fine"), 7);
    assert_eq!(texts(&mut driver, "out"), [("8@fine".to_owned(), 8)]);
    assert_eq!(driver.total(|c| c.dead_letters), 1);
}
