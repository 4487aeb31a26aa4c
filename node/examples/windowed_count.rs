//! Clicks per user and minute, sent on once a minute is over: late clicks within the grace still count, later ones do not,
//! after a restart as before it. On the embedded log.
//!
//!     cargo run --release -p node --example windowed_count

use std::error::Error;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use node::local::{Event, From, LocalBroker};
use node::{Application, Config};
use streams::dsl::{Consumed, EmitStrategy, Materialized, Produced, StreamsBuilder, TimeWindows};
use streams::serde::{I64, Utf8};
use streams::{BuildError, Topology};

const MINUTE_MS: i64 = 60_000;

fn topology() -> Result<Topology, BuildError> {
    let builder = StreamsBuilder::new("clicks");
    builder
        .stream("clicks", Consumed::<String, String>::with(Utf8, Utf8))
        .group_by_key()
        .windowed_by(TimeWindows::of_size_and_grace(MINUTE_MS, 10_000))
        .emit_strategy(EmitStrategy::OnWindowClose { interval_ms: 0 }) // looked for with each record
        .count(Materialized::new("clicks-per-minute", Utf8, I64))
        .to_stream()
        .map(|window, count| {
            let (user, minute) = window.map_or((String::new(), 0), |w| (w.key.clone(), w.start / MINUTE_MS));
            (user, format!("{count} clicks in minute {minute}"))
        })
        .to("counts", Produced::with(Utf8, Utf8));
    builder.build()
}

fn main() -> Result<(), Box<dyn Error>> {
    run(tempfile::tempdir()?.path(), &mut std::io::stdout())
}

fn click(log: &LocalBroker, user: &str, time_ms: i64) -> Result<(), node::local::Error> {
    log.send("clicks", Some(user.as_bytes()), Some(b"/"), time_ms)?;
    log.wait_until_read("clicks", Duration::from_secs(10)).map(drop)
}

pub(crate) fn run(directory: &Path, out: &mut dyn Write) -> Result<(), Box<dyn Error>> {
    let mut config = Config::default();
    config.node.data_dir = directory.into();
    let log = node::embedded_log(&config)?;
    let app = Application::on_embedded_log(topology()?, &log, &config)?;
    click(&log, "ada", 1_000)?;
    click(&log, "ada", 61_000)?;
    click(&log, "ada", 59_000)?; // late, within the grace: minute 0 is open until 70,000
    click(&log, "ada", 71_000)?; // closes minute 0
    app.close()?;

    // Stream time is committed with the input: what was late before the restart is late after it.
    let app = Application::on_embedded_log(topology()?, &log, &config)?;
    click(&log, "ada", 58_000)?; // too late
    click(&log, "ada", 140_000)?; // closes minute 1

    for event in log.subscribe("counts", &From::Beginning)?.next_until(Instant::now(), 100)? {
        if let Event::Record(_, record) = event {
            let text = |bytes: Option<&[u8]>| String::from_utf8_lossy(bytes.unwrap_or_default()).into_owned();
            writeln!(out, "{}: {}", text(record.key()), text(record.value()))?;
        }
    }
    app.close()?;
    Ok(())
}
