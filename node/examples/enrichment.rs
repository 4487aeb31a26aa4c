//! Enriches orders with the customer's row as it was when the order was placed, however late the order arrives; on the
//! embedded log.
//!
//!     cargo run --release -p node --example enrichment

use std::error::Error;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use node::local::{Event, From};
use node::{Application, Config};
use streams::dsl::{Consumed, Joined, Materialized, Produced, StreamsBuilder};
use streams::serde::Utf8;
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

fn main() -> Result<(), Box<dyn Error>> {
    run(tempfile::tempdir()?.path(), &mut std::io::stdout())
}

pub(crate) fn run(directory: &Path, out: &mut dyn Write) -> Result<(), Box<dyn Error>> {
    let mut config = Config::default();
    config.node.data_dir = directory.into();
    let log = node::embedded_log(&config)?;
    let app = Application::on_embedded_log(topology()?, &log, &config)?;

    // A table update that comes after an order does not change what the order found: the table goes first.
    log.send("customers", Some(b"c1"), Some(b"Ada, London"), 1_000)?;
    log.send("customers", Some(b"c1"), Some(b"Ada, Paris"), 5_000)?;
    log.wait_until_read("enrichment", Duration::from_secs(10))?;
    log.send("orders", Some(b"o1"), Some(b"c1 book"), 6_000)?;
    log.send("orders", Some(b"o2"), Some(b"c1 lamp"), 2_000)?; // late: she lived in London then
    log.send("orders", Some(b"o3"), Some(b"c2 vase"), 6_000)?;
    log.wait_until_read("enrichment", Duration::from_secs(10))?;

    for event in log.subscribe("enriched", &From::Beginning)?.next_until(Instant::now(), 100)? {
        if let Event::Record(_, record) = event {
            let text = String::from_utf8_lossy(record.value().unwrap_or_default()).into_owned();
            writeln!(out, "{} ms: {text}", record.timestamp)?;
        }
    }
    app.close()?;
    Ok(())
}
