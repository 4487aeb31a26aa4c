//! Counts words. `cargo run --release -p streams --example word_count`
#![allow(clippy::print_stdout)] // an example shows something

use streams::dsl::{Consumed, Grouped, Materialized, Produced, StreamsBuilder};
use streams::serde::{I64, Serde, Utf8};
use streams::testing::TestDriver;
use streams::{BuildError, Topology};

fn topology() -> Result<Topology, BuildError> {
    let builder = StreamsBuilder::new("word-count");
    builder
        .stream("lines", Consumed::<String, String>::with(Utf8, Utf8))
        .flat_map_values(|line| line.split_whitespace().map(str::to_lowercase).collect::<Vec<_>>())
        .group_by(|_, word| word.clone(), Grouped::new("words", Utf8, Utf8))
        .count(Materialized::new("counts", Utf8, I64))
        .to_stream()
        .to("counts", Produced::with(Utf8, I64));
    builder.build()
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let topology = topology()?;
    println!("{}", topology.describe());
    let mut driver = TestDriver::new(topology, 2);
    for (line, time) in ["to be or not to be", "that is the question"].into_iter().zip(0..) {
        driver.pipe("lines", None, Some(line.as_bytes()), time);
    }
    // A crash costs nothing: counts go on where they were.
    driver.crash_and_restore();
    driver.pipe("lines", None, Some(b"to be"), 2);
    for record in driver.read("counts") {
        let word = Utf8.deserialize(&record.key.unwrap_or_default())?;
        println!("{word}: {}", I64.deserialize(&record.value.unwrap_or_default())?);
    }
    Ok(())
}
