//! Window stores in processors: duplicates, retention, expiry; over restarts, which a store's stream time outlives.

use std::ops::ControlFlow;

use streams::serde::Utf8;
use streams::store::{Direction, Window, WindowStore};
use streams::testing::TestDriver;
use streams::{Context, ProcessError, Processor, Record, SourceOptions, Timestamp, Topology, TopologyBuilder};

const RETENTION_MS: i64 = 200_000;

/// Puts each record under its time, and answers with all values of its key, newest first and oldest first.
struct Keeper {
    store: WindowStore<String, String>,
}

impl Processor for Keeper {
    type KeyIn = String;
    type ValueIn = String;
    type KeyOut = String;
    type ValueOut = String;

    fn process(
        &self,
        cx: &mut Context<'_, String, String>,
        record: Record<'_, String, String>,
    ) -> Result<(), ProcessError> {
        let (Some(key), Some(value)) = (record.key, record.value) else { return Ok(()) };
        self.store.put(cx, key, value, record.timestamp, record.timestamp)?;
        let mut both = [String::new(), String::new()];
        for (text, direction) in both.iter_mut().zip([Direction::Forward, Direction::Reverse]) {
            self.store.fetch_range(cx, key, (0, Timestamp::MAX), direction, &mut |start, value, at| {
                assert_eq!(start, at);
                text.push_str(&value);
                ControlFlow::Continue(())
            })?;
        }
        let first = self.store.fetch(cx, key, record.timestamp)?.map_or_else(String::new, |(value, _)| value);
        let [forward, reverse] = both;
        let reversed: String = reverse.chars().rev().collect();
        assert_eq!(forward, reversed);
        cx.forward(record.with_value(Some(&format!("{forward} {first}"))))
    }
}

fn topology(duplicates: bool) -> Topology {
    let mut builder = TopologyBuilder::new("windows");
    let spec = Window::new(Utf8, Utf8, RETENTION_MS);
    let store = builder.store("kept", if duplicates { spec.retain_duplicates() } else { spec });
    let source = builder.source("source", &["in"], Utf8, Utf8, SourceOptions::default());
    let (input, output) = builder.processor("keeper", Keeper { store: store.clone() });
    builder.connect_store(input, &store);
    builder.connect(source, input);
    let sink = builder.sink("sink", "out", Utf8, Utf8);
    builder.connect(output, sink);
    builder.build().expect("valid")
}

fn pipe(driver: &mut TestDriver, key: &str, value: &str, time: Timestamp) -> String {
    driver.pipe("in", Some(key.as_bytes()), Some(value.as_bytes()), time);
    let out = driver.read("out").pop().expect("an answer");
    String::from_utf8(out.value.expect("a value")).expect("text")
}

#[test]
fn duplicates_are_kept_in_the_order_they_came() {
    let mut driver = TestDriver::new(topology(true), 1);
    assert_eq!(pipe(&mut driver, "k", "a", 5), "a a");
    assert_eq!(pipe(&mut driver, "k", "b", 5), "ab a");
    driver.crash_and_restore();
    assert_eq!(pipe(&mut driver, "k", "c", 5), "abc a");
    driver.crash_and_lose_disk();
    assert_eq!(pipe(&mut driver, "k", "d", 4), "dabc d");
    assert_eq!(pipe(&mut driver, "k", "e", 5), "dabce a");
    // Another key, of which the first is the beginning, is apart.
    assert_eq!(pipe(&mut driver, "kk", "f", 5), "f f");
}

#[test]
fn without_duplicates_the_last_value_stands() {
    let mut driver = TestDriver::new(topology(false), 1);
    assert_eq!(pipe(&mut driver, "k", "a", 5), "a a");
    assert_eq!(pipe(&mut driver, "k", "b", 5), "b b");
    assert_eq!(pipe(&mut driver, "k", "c", 6), "bc c");
}

#[test]
fn retention_is_to_the_millisecond_and_expiry_follows() {
    for crash in [false, true] {
        let mut driver = TestDriver::new(topology(false), 1);
        let mut piped = |key: &str, value: &str, time| {
            let answer = pipe(&mut driver, key, value, time);
            if crash {
                driver.crash_and_lose_disk();
            }
            (answer, driver.entries("kept").len(), driver.total(|c| c.dropped))
        };
        assert_eq!(piped("k", "a", 10).0, "a a");
        assert_eq!(piped("other", "x", 10 + RETENTION_MS - 1).0, "x x");
        assert_eq!(piped("k", "b", 11).0, "ab b", "the retention is not over");
        assert_eq!(piped("other", "y", 10 + RETENTION_MS).0, "xy y");
        assert_eq!(piped("k", "c", 12).0, "bc c", "the first is a millisecond too old");
        assert_eq!(piped("other", "z", 2 * RETENTION_MS).0, "xyz z");
        let (answer, kept, dropped) = piped("k", "d", 13);
        assert_eq!(answer, " ", "the window is expired: nothing is put");
        if !crash {
            // The half retention that those of k lie in is over: they are gone, by one range delete.
            assert_eq!((kept, dropped), (3, 1));
        }
    }
}

/// Queries hide what is past the retention, whether it is still there or not.
#[test]
fn queries_end_where_the_retention_ends() {
    let mut driver = TestDriver::new(topology(true), 1);
    for (value, time) in [("a", 0), ("b", 1), ("c", 1), ("d", RETENTION_MS)] {
        pipe(&mut driver, "k", value, time);
    }
    assert_eq!(driver.entries("kept").len(), 4);
    let store = driver.view().window_store::<String, String>("kept", Utf8, Utf8).expect("a window store");
    let all = (0, Timestamp::MAX);
    let found = store.fetch(0, &"k".to_owned(), all, Direction::Forward).expect("readable");
    let values: Vec<&str> = found.iter().map(|(_, value, _)| value.as_str()).collect();
    assert_eq!(values, ["b", "c", "d"]);
    assert_eq!(store.fetch_all(0, all).expect("readable").len(), 3);
    assert!(store.fetch(0, &"none".to_owned(), all, Direction::Reverse).expect("readable").is_empty());
    assert!(store.fetch(7, &"k".to_owned(), all, Direction::Forward).expect("readable").is_empty());
}
