//! Enriches orders with the customer's row as it was when the order was placed, however late the order arrives.
//! `cargo run --release -p streams --example enrichment`
#![allow(clippy::print_stdout)] // an example shows something

use streams::dsl::{Consumed, Joined, Materialized, Produced, StreamsBuilder};
use streams::serde::Utf8;
use streams::testing::TestDriver;
use streams::{BuildError, Topology};

const DAY_MS: i64 = 24 * 60 * 60 * 1000;

/// Orders are `customer item`; customers are keyed by their id.
fn topology() -> Result<Topology, BuildError> {
    let builder = StreamsBuilder::new("enrichment");
    // Versioned: an order finds the row of its own time (KIP-914).
    let customers = builder.table("customers", Materialized::new("customers", Utf8, Utf8).versioned(DAY_MS));
    builder
        .stream("orders", Consumed::<String, String>::with(Utf8, Utf8))
        .select_key(|_, order| order.split(' ').next().unwrap_or_default().to_owned())
        // The key was changed, so the join says under which name orders are repartitioned by it.
        .left_join_table_with(
            &customers,
            |order, customer| format!("{order} for {}", customer.map_or("someone unknown", String::as_str)),
            Joined::new("orders-by-customer", Utf8, Utf8),
        )
        .to("enriched", Produced::with(Utf8, Utf8));
    builder.build()
}

fn main() -> Result<(), BuildError> {
    let mut driver = TestDriver::new(topology()?, 2);
    driver.pipe("customers", Some(b"c1"), Some(b"Ada, London"), 1_000);
    driver.pipe("customers", Some(b"c1"), Some(b"Ada, Paris"), 5_000);
    driver.pipe("orders", Some(b"o1"), Some(b"c1 book"), 6_000);
    driver.pipe("orders", Some(b"o2"), Some(b"c1 lamp"), 2_000); // late: she lived in London then
    driver.pipe("orders", Some(b"o3"), Some(b"c2 vase"), 6_000);
    for record in driver.read("enriched") {
        println!("{:>5}  {}", record.timestamp, String::from_utf8_lossy(&record.value.unwrap_or_default()));
    }
    Ok(())
}
