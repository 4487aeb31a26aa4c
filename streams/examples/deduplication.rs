//! Lets each event through once in ten minutes of event time, by its id. `cargo run --release -p streams --example
//! deduplication`
#![allow(clippy::print_stdout)] // an example shows something

use std::ops::ControlFlow;

use streams::dsl::{Consumed, Produced, StreamsBuilder};
use streams::serde::{Bytes, Utf8};
use streams::store::{Direction, Window, WindowStore};
use streams::testing::TestDriver;
use streams::{BuildError, Context, ProcessError, Processor, Record, Topology};

const WITHIN_MS: i64 = 10 * 60 * 1000;

/// Forwards a record whose key it has not seen near the record's time. What it has seen is in a store, so it is committed
/// with the input and moves with the task.
struct Deduplicate {
    seen: WindowStore<String, Vec<u8>>,
}

impl Processor for Deduplicate {
    type KeyIn = String;
    type ValueIn = String;
    type KeyOut = String;
    type ValueOut = String;

    fn process(
        &self,
        cx: &mut Context<'_, String, String>,
        record: Record<'_, String, String>,
    ) -> Result<(), ProcessError> {
        let Some(id) = record.key else { return cx.forward(record) };
        let near = (record.timestamp - WITHIN_MS, record.timestamp + WITHIN_MS);
        let mut seen = false;
        self.seen.fetch_range(cx, id, near, Direction::Forward, &mut |_, _, _| {
            seen = true;
            ControlFlow::Break(())
        })?;
        if seen {
            cx.record_dropped();
            return Ok(());
        }
        self.seen.put(cx, id, &Vec::new(), record.timestamp, record.timestamp)?;
        cx.forward(record)
    }
}

fn topology() -> Result<Topology, BuildError> {
    let builder = StreamsBuilder::new("deduplication");
    let seen = builder.add_store("seen", Window::new(Utf8, Bytes, 2 * WITHIN_MS));
    builder
        .stream("events", Consumed::<String, String>::with(Utf8, Utf8))
        .process_values("deduplicate", Deduplicate { seen: seen.clone() }, &[&seen])
        .to("unique-events", Produced::with(Utf8, Utf8));
    builder.build()
}

fn main() -> Result<(), BuildError> {
    let mut driver = TestDriver::new(topology()?, 1);
    for (id, time_ms) in [("a", 0), ("b", 1_000), ("a", 2_000), ("a", WITHIN_MS + 1), ("b", 500)] {
        driver.pipe("events", Some(id.as_bytes()), Some(b"happened"), time_ms);
    }
    for record in driver.read("unique-events") {
        println!("{} at {}", String::from_utf8_lossy(&record.key.unwrap_or_default()), record.timestamp);
    }
    println!("duplicates: {}", driver.total(|counters| counters.dropped));
    Ok(())
}
