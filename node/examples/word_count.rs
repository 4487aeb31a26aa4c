//! Counts words, on the embedded log, and asks for the counts while the topology runs.
//!
//!     cargo run --release -p node --example word_count [DIRECTORY]
//!
//! With a directory log and state stay there: run it twice, and the counts go on.

use std::error::Error;
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use node::{Application, Config};
use streams::dsl::{Consumed, Grouped, Materialized, Produced, StreamsBuilder};
use streams::serde::{I64, Utf8};
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

fn main() -> Result<(), Box<dyn Error>> {
    let temporary = tempfile::tempdir()?;
    let directory = std::env::args_os().nth(1).unwrap_or_else(|| temporary.path().into());
    run(Path::new(&directory), &mut std::io::stdout())
}

pub(crate) fn run(directory: &Path, out: &mut dyn Write) -> Result<(), Box<dyn Error>> {
    let mut config = Config::default();
    config.node.data_dir = directory.into();
    let log = node::embedded_log(&config)?;
    let app = Application::on_embedded_log(topology()?, &log, &config)?;

    for line in ["to be or not to be", "that is the question", "To be"] {
        log.send("lines", None, Some(line.as_bytes()), 0)?;
    }
    log.wait_until_read("word-count", Duration::from_secs(10))?;

    let counts = app.view().key_value_store("counts", Utf8, I64)?;
    for word in ["to", "be", "question", "answer"] {
        let count = counts.find(&word.to_owned())?.map_or(0, |(count, _)| count);
        writeln!(out, "{word}: {count}")?;
    }
    app.close()?;
    Ok(())
}
