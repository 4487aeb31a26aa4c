//! Only windows close: a table of plain keys cannot be held back until they do.
use streams::dsl::{BufferConfig, Consumed, Materialized, StreamsBuilder, Suppressed};
use streams::serde::{I64, Utf8};

fn main() {
    let builder = StreamsBuilder::new("app");
    let lines = builder.stream("lines", Consumed::<String, String>::with(Utf8, Utf8));
    let counts = lines.group_by_key().count(Materialized::new("counts", Utf8, I64));
    let _ = counts.suppress(Suppressed::until_window_closes(Materialized::new("held", Utf8, I64), BufferConfig::unbounded()));
}
