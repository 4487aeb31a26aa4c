//! A row that leaves its group is taken back: the aggregation of a table needs a subtractor too.
use streams::dsl::{Grouped, Materialized, StreamsBuilder};
use streams::serde::{I64, Utf8};

fn main() {
    let builder = StreamsBuilder::new("app");
    let stock = builder.table("stock", Materialized::<String, i64>::new("stock", Utf8, I64));
    let by_city = stock.group_by(|id, pieces| Some((id.clone(), *pieces)), Grouped::new("by-city", Utf8, I64));
    by_city.reduce(|sum, pieces| sum + pieces, Materialized::new("pieces", Utf8, I64));
}
