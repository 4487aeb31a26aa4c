//! The store of an aggregation holds what the aggregator makes.
use streams::dsl::{Consumed, Materialized, StreamsBuilder};
use streams::serde::Utf8;

fn main() {
    let builder = StreamsBuilder::new("app");
    let lines = builder.stream("lines", Consumed::<String, String>::with(Utf8, Utf8));
    lines.group_by_key().count(Materialized::new("counts", Utf8, Utf8));
}
