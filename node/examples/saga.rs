//! A saga: an order reserves stock, then is paid for; when the payment is declined, the reservation is taken back. On the
//! embedded log.
//!
//!     cargo run --release -p node --example saga
//!
//! ```text
//! orders ──────────┐            ┌─▶ order-status
//! stock-results ───┼─▶ saga ────┼─▶ stock-commands ───▶ stock ────▶ stock-results
//! payment-results ─┘            └─▶ payment-requests ─▶ payment ──▶ payment-results
//! ```

use std::error::Error;
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use node::{Application, Config};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use streams::dsl::{Consumed, Produced, StreamsBuilder};
use streams::serde::{I64, Serde, SerdeError, Utf8};
use streams::store::{KeyValue, KeyValueStore};
use streams::{BuildError, Context, ProcessError, Processor, Record, Topology};

/// What happens to an order, under its id: the customer places it, stock and payment answer.
#[derive(Serialize, Deserialize)]
enum Event {
    Placed { product: String, qty: i64, amount: i64 },
    Reserved,
    OutOfStock,
    Paid,
    Declined,
}

/// How far an order has come.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
enum Status {
    Reserving,
    Paying,
    Confirmed,
    OutOfStock,
    PaymentDeclined,
}

#[derive(Clone, Serialize, Deserialize)]
struct Order {
    product: String,
    qty: i64,
    amount: i64,
    status: Status,
}

/// What the stock of a product is told, under the product's name.
#[derive(Clone, Serialize, Deserialize)]
enum StockCommand {
    Restock { qty: i64 },
    Reserve { order: String, qty: i64 },
    Release { qty: i64 },
}

/// What the saga asks of others.
enum Request {
    Reserve,
    Charge,
    Release,
}

/// One step: the order so far and what happened, to the order from now on and what is asked for. Pure, so that it can be
/// tested by tables. Whatever does not belong to the order's step, a repeat for one, changes nothing.
fn step(order: Option<Order>, event: &Event) -> Option<(Order, Option<Request>)> {
    use Status::{Confirmed, OutOfStock, Paying, PaymentDeclined, Reserving};
    let Some(order) = order else {
        let Event::Placed { product, qty, amount } = event else { return None };
        let order = Order { product: product.clone(), qty: *qty, amount: *amount, status: Reserving };
        return Some((order, Some(Request::Reserve)));
    };
    let (status, request) = match (order.status, event) {
        (Reserving, Event::Reserved) => (Paying, Some(Request::Charge)),
        (Reserving, Event::OutOfStock) => (OutOfStock, None),
        (Paying, Event::Paid) => (Confirmed, None),
        (Paying, Event::Declined) => (PaymentDeclined, Some(Request::Release)), // undoes the reservation
        _ => return None,
    };
    Some((Order { status, ..order }, request))
}

/// Keeps the orders, and takes their steps.
struct Saga {
    orders: KeyValueStore<String, Order>,
}

impl Processor for Saga {
    type KeyIn = String;
    type ValueIn = Event;
    type KeyOut = String;
    type ValueOut = (Order, Option<Request>);

    fn process(
        &self,
        cx: &mut Context<'_, String, Self::ValueOut>,
        record: Record<'_, String, Event>,
    ) -> Result<(), ProcessError> {
        let (Some(id), Some(event)) = (record.key, record.value) else { return Ok(()) };
        let Some(decided) = step(self.orders.get(cx, id)?, event) else { return Ok(()) };
        self.orders.put(cx, id, &decided.0)?;
        cx.forward(record.with_value(Some(&decided)))
    }
}

/// Keeps how many pieces of each product are free; answers under the order's id.
struct Stock {
    free: KeyValueStore<String, i64>,
}

impl Processor for Stock {
    type KeyIn = String;
    type ValueIn = StockCommand;
    type KeyOut = String;
    type ValueOut = Event;

    fn process(
        &self,
        cx: &mut Context<'_, String, Event>,
        record: Record<'_, String, StockCommand>,
    ) -> Result<(), ProcessError> {
        let (Some(product), Some(command)) = (record.key, record.value) else { return Ok(()) };
        let free = self.free.get(cx, product)?.unwrap_or(0);
        match command {
            StockCommand::Restock { qty } | StockCommand::Release { qty } => self.free.put(cx, product, &(free + qty)),
            StockCommand::Reserve { order, qty } if *qty <= free => {
                self.free.put(cx, product, &(free - qty))?;
                cx.forward(record.with_key(Some(order)).with_value(Some(&Event::Reserved)))
            }
            StockCommand::Reserve { order, .. } => {
                cx.forward(record.with_key(Some(order)).with_value(Some(&Event::OutOfStock)))
            }
        }
    }
}

fn topology() -> Result<Topology, BuildError> {
    let builder = StreamsBuilder::new("saga");
    let orders = builder.add_store("orders", KeyValue::new(Utf8, Json));
    let decided = builder
        .stream(["orders", "stock-results", "payment-results"], Consumed::<String, Event>::with(Utf8, Json))
        .process_values("saga", Saga { orders: orders.clone() }, &[&orders]);
    decided.map_values(|(order, _)| order.clone()).to("order-status", Produced::with(Utf8, Json));
    decided
        .flat_map(|id, (order, request)| {
            let (product, qty) = (order.product.clone(), order.qty);
            match (id, request) {
                (Some(id), Some(Request::Reserve)) => Some((product, StockCommand::Reserve { order: id.clone(), qty })),
                (_, Some(Request::Release)) => Some((product, StockCommand::Release { qty })),
                _ => None,
            }
        })
        .to("stock-commands", Produced::with(Utf8, Json));
    decided
        .filter(|_, (_, request)| matches!(request, Some(Request::Charge)))
        .map_values(|(order, _)| order.amount)
        .to("payment-requests", Produced::with(Utf8, I64));

    let free = builder.add_store("stock", KeyValue::new(Utf8, I64));
    builder
        .stream("stock-commands", Consumed::<String, StockCommand>::with(Utf8, Json))
        .process("stock", Stock { free: free.clone() }, &[&free])
        .to("stock-results", Produced::with(Utf8, Json));
    // Stands for the payment service, which would read and write these topics.
    builder
        .stream("payment-requests", Consumed::<String, i64>::with(Utf8, I64))
        .map_values(|amount| if *amount > 100 { Event::Declined } else { Event::Paid })
        .to("payment-results", Produced::with(Utf8, Json));
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
    let send = |topic: &str, key: &str, value: Vec<u8>| log.send(topic, Some(key.as_bytes()), Some(&value), 0);
    let finished = || log.wait_until_read("saga", Duration::from_secs(10));

    send("stock-commands", "coat", serde_json::to_vec(&StockCommand::Restock { qty: 3 })?)?;
    finished()?;
    for (id, qty, amount) in [("o1", 1, 50), ("o2", 2, 500), ("o3", 3, 75)] {
        let placed = Event::Placed { product: "coat".into(), qty, amount };
        send("orders", id, serde_json::to_vec(&placed)?)?;
        finished()?;
    }

    let orders = app.view().key_value_store::<String, Order>("orders", Utf8, Json)?;
    for id in ["o1", "o2", "o3"] {
        let status = orders.find(&id.to_owned())?.map(|(order, _)| order.status);
        writeln!(out, "{id}: {}", status.map_or("unknown".into(), |status| format!("{status:?}")))?;
    }
    let free = app.view().key_value_store("stock", Utf8, I64)?.find(&"coat".to_owned())?;
    writeln!(out, "coats left: {}", free.map_or(0, |(free, _)| free))?;
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
