//! A table has one row per key: it is grouped with an adder and a subtractor, never by its key alone.
use streams::dsl::{Materialized, StreamsBuilder};
use streams::serde::Utf8;

fn main() {
    let builder = StreamsBuilder::new("app");
    let table = builder.table("customers", Materialized::<String, String>::new("customers", Utf8, Utf8));
    table.group_by_key();
}
