//! W2 without a broker: the production worker over the simulated log, timed.
//!
//! The simulated log is part of what is measured. It copies every record once and keeps it, as any log would.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use node::engine::now_ms;
use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use state::{Backend, Memory, RocksBackend, rocks};
use streams::partitioner::partition_for_key;
use streams::serde::Serde;
use streams::testing::{SimCluster, SimLog};
use streams::{Config, Headers, TopicPartition, Topology, View, Worker};

use crate::counting;
use crate::format::Ids;
use crate::model::{CancelOrder, DeliveryStatus, PlaceOrder, RegisterProduct};
use crate::w2::{self, Formats};

/// Partitions of every topic, as the harness has.
const PARTITIONS: u32 = 4;
/// A customer's cancellation comes after this many orders at most.
const CANCELLED_AFTER_MAX: u32 = 5_000;
/// Stock that never runs out.
const PLENTY: i32 = 50_000_000;
/// Turns without work after which everything is taken to be done.
const IDLE_TURNS: u32 = 3;
/// Event time of the products, older than any order.
const START_MS: i64 = 1_700_000_000_000;

/// How large a run.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// Orders.
    #[arg(long, default_value_t = 100_000)]
    pub orders: u32,
    /// Products.
    #[arg(long, default_value_t = 1000)]
    pub products: u32,
    /// JSON of schema names and ids.
    #[arg(long, default_value = "bench/peer/schemas/schema-ids.json")]
    pub schema_ids: PathBuf,
    /// Keeps the stores in RocksDB in this directory, which must be empty; without it in memory.
    #[arg(long)]
    pub state_dir: Option<PathBuf>,
    /// Seed of the orders.
    #[arg(long, default_value_t = 20_251_120)]
    pub seed: u64,
}

/// What was measured.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Report {
    /// Orders placed.
    pub orders: u32,
    /// Where the stores were: `memory` or `rocksdb`.
    pub stores: &'static str,
    /// Nanoseconds of CPU per order, of the one worker thread: what a busy machine does not change much.
    pub cpu_ns_per_order: f64,
    /// Nanoseconds of CPU per record that a task processed.
    pub cpu_ns_per_record: f64,
    /// Nanoseconds per order by the wall clock.
    pub wall_ns_per_order: f64,
    /// Allocations per order, the simulated log's included.
    pub allocations_per_order: f64,
    /// Records processed by all tasks.
    pub records: u64,
    /// Deliveries started.
    pub started: u64,
    /// Orders cancelled before a delivery.
    pub cancelled: u64,
}

/// Loads all orders, runs one worker over them to the end, and checks that every order has exactly one outcome.
///
/// # Errors
/// When the engine fails, or an order has no outcome or two.
pub fn run(options: &Options) -> anyhow::Result<Report> {
    let formats = Formats::new(&Ids::read(&options.schema_ids)?)?;
    let topology = Arc::new(w2::topology("engine-only", &formats)?);
    let cluster = SimCluster::new(&topology, PARTITIONS);
    let cancelled = load(&cluster, &topology, &formats, options)?;
    let backend: Arc<dyn Backend> = match &options.state_dir {
        Some(directory) => Arc::new(RocksBackend::open(directory, rocks::Options::default())?),
        None => Arc::new(Memory::new()),
    };
    let view = View::open(topology.clone(), backend)?;
    let mut worker = Worker::new(cluster.connect("bench"), view, Config::default());
    let (started, cpu) = (Instant::now(), thread_cpu_ns()?);
    let (allocations, records) = counting::allocations(|| drain(&mut worker));
    let (elapsed, cpu_ns, records) = (started.elapsed(), thread_cpu_ns()? - cpu, records?);
    let (delivered, refused) = check(&cluster, &topology, &formats, options.orders)?;
    ensure!(cancelled > 0 || options.orders < 100, "the load has no cancellations");
    let orders = f64::from(options.orders);
    Ok(Report {
        orders: options.orders,
        stores: if options.state_dir.is_some() { "rocksdb" } else { "memory" },
        cpu_ns_per_order: cpu_ns as f64 / orders,
        cpu_ns_per_record: cpu_ns as f64 / records as f64,
        wall_ns_per_order: elapsed.as_nanos() as f64 / orders,
        allocations_per_order: allocations as f64 / orders,
        records,
        started: delivered,
        cancelled: refused,
    })
}

/// CPU time of this thread so far, nanoseconds: the first number of Linux's `schedstat`.
fn thread_cpu_ns() -> anyhow::Result<u64> {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").context("no schedstat: is this Linux?")?;
    Ok(stat.split(' ').next().context("schedstat is empty")?.parse()?)
}

/// Turns the worker until nothing is left to do; answers with how many records it processed.
fn drain(worker: &mut Worker<SimLog>) -> anyhow::Result<u64> {
    let (mut records, mut idle) = (0, 0);
    while idle < IDLE_TURNS {
        let turn = worker.turn(now_ms(), Duration::ZERO)?;
        records += turn.processed as u64;
        idle = if turn.processed == 0 && !turn.committed && !turn.busy { idle + 1 } else { 0 };
    }
    Ok(records)
}

/// Writes products and orders, 5 % of them cancelled later, as the harness does; answers with the number cancelled.
fn load(cluster: &SimCluster, topology: &Topology, formats: &Formats, options: &Options) -> anyhow::Result<u32> {
    let mut random = ChaCha8Rng::seed_from_u64(options.seed);
    let mut bytes = Vec::new();
    let send = |topic: &str, key: &str, value: &[u8], at: i64| -> anyhow::Result<()> {
        let topic = topology.topic(topic).context("a topic of W2")?;
        let partition = partition_for_key(key.as_bytes(), PARTITIONS);
        let to = TopicPartition { topic, partition };
        cluster.produce(to, Some(key.as_bytes()), Some(value), at, Headers::default());
        Ok(())
    };
    for i in 0..options.products {
        let product_id = format!("prod-{i:04}");
        let product = RegisterProduct { product_id, name: format!("Product number {i}"), stock: PLENTY, price: 1999 };
        bytes.clear();
        formats.product_command.serialize(&product, &mut bytes)?;
        send("products", &product.product_id, &bytes, START_MS)?;
    }
    let mut cancellations: BTreeMap<u32, Vec<String>> = BTreeMap::new();
    let mut cancelled = 0;
    for i in 0..options.orders {
        let at = START_MS + 1000 + i64::from(i / 10);
        let place = PlaceOrder {
            order_id: format!("ord-{i:09}"),
            customer_id: format!("cust-{:05}", random.random_range(0..20_000)),
            product_id: format!("prod-{:04}", random.random_range(0..options.products)),
            size: "M".to_owned(),
            qty: random.random_range(1..=5),
            price: 1999,
            placed_at: at,
        };
        let key = place.order_id.clone();
        bytes.clear();
        formats.order_command.serialize(&place.into(), &mut bytes)?;
        send("orders", &key, &bytes, at)?;
        if random.random_bool(0.05) {
            cancelled += 1;
            cancellations.entry(i + random.random_range(1..CANCELLED_AFTER_MAX)).or_default().push(key);
        }
        let due = if i + 1 == options.orders { u32::MAX } else { i };
        let later = cancellations.split_off(&due.saturating_add(1));
        for order_id in std::mem::replace(&mut cancellations, later).into_values().flatten() {
            let cancel = CancelOrder { order_id: order_id.clone(), reason: "changed my mind".into(), requested_at: at };
            bytes.clear();
            formats.order_command.serialize(&cancel.into(), &mut bytes)?;
            send("orders", &order_id, &bytes, at)?;
        }
    }
    Ok(cancelled)
}

/// Counts outcomes: every order has exactly one.
fn check(cluster: &SimCluster, topology: &Topology, formats: &Formats, orders: u32) -> anyhow::Result<(u64, u64)> {
    let mut outcomes: BTreeMap<Vec<u8>, u32> = BTreeMap::new();
    let mut counts = [0_u64; 2];
    for (topic, counted) in ["deliveries", "cancellations"].into_iter().zip(&mut counts) {
        for written in cluster.read(topology.topic(topic).context("a topic of W2")?, 0) {
            let value = written.record.value().context("an outcome has a value")?;
            // The cancellation of a delivery follows its start: it is no outcome of its own.
            if topic == "deliveries" && formats.delivery_event.deserialize(value)?.status == DeliveryStatus::Cancelled {
                continue;
            }
            *counted += 1;
            *outcomes.entry(written.record.key().unwrap_or_default().to_vec()).or_default() += 1;
        }
    }
    ensure!(outcomes.values().all(|n| *n == 1), "an order has two outcomes");
    ensure!(outcomes.len() == orders as usize, "{} of {orders} orders have an outcome", outcomes.len());
    Ok((counts[0], counts[1]))
}
