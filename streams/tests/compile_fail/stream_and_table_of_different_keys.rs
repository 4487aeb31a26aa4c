//! A stream looks rows up by its own key.
use streams::dsl::{Consumed, Materialized, StreamsBuilder};
use streams::serde::{I64, Utf8};

fn main() {
    let builder = StreamsBuilder::new("app");
    let orders = builder.stream("orders", Consumed::<String, String>::with(Utf8, Utf8));
    let customers = builder.table("customers", Materialized::<i64, String>::new("customers", I64, Utf8));
    let _ = orders.join_table(&customers, |order, customer| format!("{order} {customer}"));
}
