//! Tables are joined by one type of key.
use streams::dsl::{Materialized, StreamsBuilder};
use streams::serde::{I64, Utf8};

fn main() {
    let builder = StreamsBuilder::new("app");
    let customers = builder.table("customers", Materialized::<String, String>::new("customers", Utf8, Utf8));
    let orders = builder.table("orders", Materialized::<i64, String>::new("orders", I64, Utf8));
    customers.join(&orders, |customer, order| format!("{customer} {order}"));
}
