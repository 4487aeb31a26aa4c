//! What an operator makes is what the next one takes.
use streams::dsl::{Consumed, StreamsBuilder};
use streams::serde::Utf8;

fn main() {
    let builder = StreamsBuilder::new("app");
    let lines = builder.stream("lines", Consumed::<String, String>::with(Utf8, Utf8));
    lines.map_values(|line| line.len()).filter(|_, length| length.starts_with("a"));
}
