//! Suppression is an operation of a table: the records of a stream do not replace each other.
use streams::dsl::{BufferConfig, Consumed, Materialized, StreamsBuilder, Suppressed};
use streams::serde::Utf8;

fn main() {
    let builder = StreamsBuilder::new("app");
    let lines = builder.stream("lines", Consumed::<String, String>::with(Utf8, Utf8));
    lines.suppress(Suppressed::until_time_limit(5, Materialized::new("held", Utf8, Utf8), BufferConfig::unbounded()));
}
