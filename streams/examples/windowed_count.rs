//! Clicks per user and minute, once a minute is over: late clicks within the grace still count, later ones are dropped and
//! counted as such, after a restart as before it. `cargo run --release -p streams --example windowed_count`
#![allow(clippy::print_stdout)] // an example shows something

use streams::dsl::{Consumed, EmitStrategy, Materialized, Produced, StreamsBuilder, TimeWindows};
use streams::serde::{I64, Serde, Utf8};
use streams::testing::TestDriver;
use streams::{BuildError, Topology};

const MINUTE_MS: i64 = 60_000;

fn topology() -> Result<Topology, BuildError> {
    let builder = StreamsBuilder::new("clicks");
    builder
        .stream("clicks", Consumed::<String, String>::with(Utf8, Utf8))
        .group_by_key()
        .windowed_by(TimeWindows::of_size_and_grace(MINUTE_MS, 10_000))
        .emit_strategy(EmitStrategy::on_window_close())
        .count(Materialized::new("clicks-per-minute", Utf8, I64))
        .to_stream()
        .map(|window, count| {
            let (user, minute) = window.map_or((String::new(), 0), |w| (w.key.clone(), w.start / MINUTE_MS));
            (format!("{user} in minute {minute}"), *count)
        })
        .to("counts", Produced::with(Utf8, I64));
    builder.build()
}

fn click(driver: &mut TestDriver, time_ms: i64) {
    driver.pipe("clicks", Some(b"ada"), Some(b"/"), time_ms);
    // Final results are looked for once a second of wall-clock time.
    driver.advance_wall_clock(1_000);
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut driver = TestDriver::new(topology()?, 1);
    click(&mut driver, 1_000);
    click(&mut driver, 61_000);
    click(&mut driver, 59_000); // late, within the grace
    click(&mut driver, 71_000); // minute 0 is closed
    driver.crash_and_restore();
    click(&mut driver, 58_000); // too late, also for a task that has just started
    click(&mut driver, 140_000); // minute 1 is closed
    for record in driver.read("counts") {
        let window = Utf8.deserialize(&record.key.unwrap_or_default())?;
        println!("{window}: {}", I64.deserialize(&record.value.unwrap_or_default())?);
    }
    println!("dropped as too late: {}", driver.total(|counters| counters.dropped));
    Ok(())
}
