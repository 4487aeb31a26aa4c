//! The inventory check of Confluent's orders example, as `docs/from-kafka-streams.md` shows it beside Java: orders find the
//! stock of their product, and pass while what is reserved leaves enough. On the embedded log.
//!
//!     cargo run --release -p node --example inventory

use std::error::Error;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use node::local::{Event, From};
use node::{Application, Config};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use streams::dsl::{Consumed, Joined, Materialized, Produced, StreamsBuilder};
use streams::serde::{I64, Serde, SerdeError, Utf8};
use streams::store::{KeyValue, KeyValueStore};
use streams::{BuildError, Context, ProcessError, Processor, Record, Topology};

#[derive(Clone, Debug, Serialize, Deserialize)]
enum Product {
    Jumpers,
    Underpants,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
enum State {
    Created,
    Validated,
}

#[derive(Clone, Serialize, Deserialize)]
struct Order {
    id: String,
    product: Product,
    quantity: i64,
    state: State,
}

#[derive(Serialize, Deserialize)]
enum Outcome {
    Pass,
    Fail,
}

// As narrow as a column of the page that shows it.
#[rustfmt::skip]
fn topology() -> Result<Topology, BuildError> {
    let builder = StreamsBuilder::new("inventory");
    let orders = builder.stream("orders",
        Consumed::<String, Order>::with(Utf8, Json));
    let warehouse = builder.table("warehouse-inventory",
        Materialized::<Product, i64>::new("warehouse", Json, I64));
    let reserved = builder.add_store("reserved-stock",
        KeyValue::<Product, i64>::new(Json, I64));

    orders
        .filter(|_, order| order.state == State::Created)
        .select_key(|_, order| order.product.clone())
        .join_table_with(&warehouse,
            |order, stock| (order.clone(), *stock),
            Joined::new("orders-by-product", Json, Json))
        .process("inventory-check",
            InventoryCheck { reserved: reserved.clone() },
            &[&reserved])
        .to("order-validations", Produced::with(Utf8, Json));
    builder.build()
}

struct InventoryCheck {
    reserved: KeyValueStore<Product, i64>,
}

#[rustfmt::skip]
impl Processor for InventoryCheck {
    type KeyIn = Product;
    type ValueIn = (Order, i64);
    type KeyOut = String;
    type ValueOut = Outcome;

    fn process(
        &self,
        cx: &mut Context<'_, String, Outcome>,
        record: Record<'_, Product, (Order, i64)>,
    ) -> Result<(), ProcessError> {
        let (Some(product), Some((order, stock))) = (record.key, record.value)
            else { return Ok(()) };
        let taken = self.reserved.get(cx, product)?.unwrap_or(0);
        let outcome = if taken + order.quantity <= *stock {
            self.reserved.put(cx, product, &(taken + order.quantity))?;
            Outcome::Pass
        } else {
            Outcome::Fail
        };
        cx.forward(record.with_key(Some(&order.id)).with_value(Some(&outcome)))
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    run(tempfile::tempdir()?.path(), &mut std::io::stdout())
}

pub(crate) fn run(directory: &Path, out: &mut dyn Write) -> Result<(), Box<dyn Error>> {
    let mut config = Config::default();
    config.node.data_dir = directory.into();
    config.topics.partitions = 1; // what is printed below is in the order it happened
    let log = node::embedded_log(&config)?;
    let app = Application::on_embedded_log(topology()?, &log, &config)?;

    let (jumpers, underpants) = (serde_json::to_vec(&Product::Jumpers)?, serde_json::to_vec(&Product::Underpants)?);
    log.send("warehouse-inventory", Some(&jumpers), Some(&3_i64.to_be_bytes()), 0)?;
    log.send("warehouse-inventory", Some(&underpants), Some(&1_i64.to_be_bytes()), 0)?;
    log.wait_until_read("inventory", Duration::from_secs(10))?;
    for (id, product, quantity, state) in [
        ("o1", Product::Jumpers, 2, State::Created),
        ("o2", Product::Jumpers, 2, State::Created),   // only one is left
        ("o1", Product::Jumpers, 2, State::Validated), // not for this check
        ("o3", Product::Underpants, 1, State::Created),
        ("o4", Product::Jumpers, 1, State::Created),
    ] {
        let order = Order { id: id.into(), product, quantity, state };
        log.send("orders", Some(id.as_bytes()), Some(&serde_json::to_vec(&order)?), 1)?;
    }
    log.wait_until_read("inventory", Duration::from_secs(10))?;

    for event in log.subscribe("order-validations", &From::Beginning)?.next_until(Instant::now(), 100)? {
        if let Event::Record(_, record) = event {
            let text = |bytes: Option<&[u8]>| String::from_utf8_lossy(bytes.unwrap_or_default()).into_owned();
            writeln!(out, "{}: {}", text(record.key()), text(record.value()))?;
        }
    }
    app.close()?;
    Ok(())
}

/// Any type as JSON.
struct Json;

impl<T: Serialize + DeserializeOwned> Serde<T> for Json {
    fn serialize(&self, value: &T, out: &mut Vec<u8>) -> Result<(), SerdeError> {
        serde_json::to_writer(out, value).map_err(|e| SerdeError::new(e.to_string()))
    }

    fn deserialize(&self, bytes: &[u8]) -> Result<T, SerdeError> {
        serde_json::from_slice(bytes).map_err(|e| SerdeError::new(e.to_string()))
    }
}
