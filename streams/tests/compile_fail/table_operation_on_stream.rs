//! A stream has no rows: keeping them in a store is an operation of a table.
use streams::dsl::{Consumed, Materialized, StreamsBuilder};
use streams::serde::Utf8;

fn main() {
    let builder = StreamsBuilder::new("app");
    let stream = builder.stream("orders", Consumed::<String, String>::with(Utf8, Utf8));
    stream.materialize(Materialized::new("orders", Utf8, Utf8));
}
