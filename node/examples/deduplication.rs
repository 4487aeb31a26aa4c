//! Lets each event through once in ten minutes of event time, by its id: a processor of one's own with a window store. On
//! the embedded log.
//!
//!     cargo run --release -p node --example deduplication

use std::error::Error;
use std::io::Write;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::{Duration, Instant};

use node::local::{Event, From};
use node::{Application, Config};
use streams::dsl::{Consumed, Produced, StreamsBuilder};
use streams::serde::{Bytes, Utf8};
use streams::store::{Direction, Window, WindowStore};
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

fn main() -> Result<(), Box<dyn Error>> {
    run(tempfile::tempdir()?.path(), &mut std::io::stdout())
}

pub(crate) fn run(directory: &Path, out: &mut dyn Write) -> Result<(), Box<dyn Error>> {
    let mut config = Config::default();
    config.node.data_dir = directory.into();
    let log = node::embedded_log(&config)?;
    let app = Application::on_embedded_log(topology()?, &log, &config)?;

    for (id, time_ms) in [("a", 0), ("b", 1_000), ("a", 2_000), ("a", WITHIN_MS + 1), ("b", 500)] {
        log.send("events", Some(id.as_bytes()), Some(b"happened"), time_ms)?;
    }
    log.wait_until_read("deduplication", Duration::from_secs(10))?;

    let mut lines = Vec::new();
    for event in log.subscribe("unique-events", &From::Beginning)?.next_until(Instant::now(), 100)? {
        if let Event::Record(_, record) = event {
            let id = String::from_utf8_lossy(record.key().unwrap_or_default()).into_owned();
            lines.push((record.timestamp, id));
        }
    }
    // The two ids are on partitions of their own, between which there is no order.
    lines.sort();
    for (time_ms, id) in lines {
        writeln!(out, "{time_ms} ms: {id}")?;
    }
    app.close()?;
    Ok(())
}
