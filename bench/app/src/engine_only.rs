//! W2 without a broker: the production worker over the simulated log, timed.
//!
//! The simulated log is part of what is measured. It copies every record once and keeps it, as any log would; between
//! rounds of orders, what was read is deleted, so that any number of orders can be run.

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
use streams::{Config, Headers, Offset, TopicIndex, TopicPartition, Topology, View, Worker};

use crate::format::Ids;
use crate::model::{CancelOrder, DeliveryStatus, PlaceOrder, RegisterProduct};
use crate::stages::{self, TimedBackend, TimedLog};
use crate::w2::{self, Formats};
use crate::{counting, cpu};

/// A customer's cancellation comes after this many orders at most.
const CANCELLED_AFTER_MAX: u32 = 5_000;
/// Stock that never runs out.
const PLENTY: i32 = 50_000_000;
/// Turns without work after which everything is taken to be done.
const IDLE_TURNS: u32 = 3;
/// Products registered at once.
const PRODUCTS_ROUND: u32 = 500_000;
/// Event time of the products, older than any order.
const START_MS: i64 = 1_700_000_000_000;

/// How large a run.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// Orders.
    #[arg(long, default_value_t = 100_000)]
    pub orders: u32,
    /// Orders written to the log at once, then worked off.
    #[arg(long, default_value_t = 100_000)]
    pub round: u32,
    /// Products; each order is for a random one.
    #[arg(long, default_value_t = 1000)]
    pub products: u32,
    /// Partitions of every topic.
    #[arg(long, default_value_t = 4)]
    pub partitions: u32,
    /// Bytes that each order has more than it needs, on the log and in its store.
    #[arg(long, default_value_t = 0)]
    pub padding_bytes: usize,
    /// JSON of schema names and ids.
    #[arg(long, default_value = "bench/peer/schemas/schema-ids.json")]
    pub schema_ids: PathBuf,
    /// Keeps the stores in RocksDB in this directory, which must be empty; without it in memory.
    #[arg(long)]
    pub state_dir: Option<PathBuf>,
    /// Times the stages in one more round, which counts for nothing else.
    #[arg(long)]
    pub stages: bool,
    /// Seed of the orders.
    #[arg(long, default_value_t = 20_251_120)]
    pub seed: u64,
}

/// What was measured.
#[derive(Clone, Debug, Default, serde::Serialize)]
pub struct Report {
    /// Orders placed.
    pub orders: u32,
    /// Where the stores were: `memory` or `rocksdb`.
    pub stores: &'static str,
    /// Nanoseconds of CPU per order, of the one worker thread: what a busy machine does not change much.
    pub cpu_ns_per_order: f64,
    /// The same of the whole process: RocksDB's flushes and compactions too.
    pub process_cpu_ns_per_order: f64,
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
    /// Nanoseconds of the worker thread's CPU per order by stage; empty unless asked for.
    pub stages: BTreeMap<&'static str, f64>,
    /// Round by round: orders before it, and CPU nanoseconds per order of the process in it.
    pub rounds: Vec<(u32, f64)>,
}

/// Loads all orders, runs one worker over them to the end, and checks that every order has exactly one outcome.
///
/// # Errors
/// When the engine fails, or an order has no outcome or two.
pub fn run(options: &Options) -> anyhow::Result<Report> {
    ensure!(options.orders > 0 && options.round > 0, "there is nothing to do without orders");
    let mut bench = Bench::new(options)?;
    bench.register_products()?;
    let mut total = Spent::default();
    let mut report = Report {
        orders: options.orders,
        stores: if options.state_dir.is_some() { "rocksdb" } else { "memory" },
        ..Report::default()
    };
    while bench.placed < options.orders {
        let (before, count) = (bench.placed, options.round.min(options.orders - bench.placed));
        bench.place(count)?;
        let spent = bench.work_off()?;
        report.rounds.push((before, spent.process_ns as f64 / f64::from(count)));
        total.add(&spent);
        let [started, cancelled] = bench.check(count)?;
        report.started += started;
        report.cancelled += cancelled;
    }
    ensure!(report.cancelled > 0 || options.orders < 100, "the load has no cancellations");
    let orders = f64::from(options.orders);
    report.cpu_ns_per_order = total.thread_ns as f64 / orders;
    report.process_cpu_ns_per_order = total.process_ns as f64 / orders;
    report.cpu_ns_per_record = total.thread_ns as f64 / total.records as f64;
    report.wall_ns_per_order = total.wall.as_nanos() as f64 / orders;
    report.allocations_per_order = total.allocations as f64 / orders;
    report.records = total.records;
    if options.stages {
        bench.place(options.round)?;
        let (shares, spent) = stages::shares(|| bench.work_off());
        spent?;
        bench.check(options.round)?;
        report.stages = shares.into_iter().map(|(name, share)| (name, share * report.cpu_ns_per_order)).collect();
    }
    Ok(report)
}

/// What working off some records took.
#[derive(Default)]
struct Spent {
    wall: Duration,
    thread_ns: u64,
    process_ns: u64,
    allocations: u64,
    records: u64,
}

impl Spent {
    fn add(&mut self, other: &Spent) {
        self.wall += other.wall;
        self.thread_ns += other.thread_ns;
        self.process_ns += other.process_ns;
        self.allocations += other.allocations;
        self.records += other.records;
    }
}

/// A log, a worker on it, and what was written so far.
struct Bench<'a> {
    options: &'a Options,
    formats: Formats,
    topology: Arc<Topology>,
    cluster: SimCluster,
    worker: Worker<TimedLog<SimLog>>,
    random: ChaCha8Rng,
    placed: u32,
}

impl<'a> Bench<'a> {
    fn new(options: &'a Options) -> anyhow::Result<Self> {
        let formats = Formats::new(&Ids::read(&options.schema_ids)?)?;
        let topology = Arc::new(w2::topology("engine-only", &formats)?);
        let cluster = SimCluster::new(&topology, options.partitions);
        let backend: Arc<dyn Backend> = match &options.state_dir {
            Some(directory) => Arc::new(RocksBackend::open(directory, rocks::Options::default())?),
            None => Arc::new(Memory::new()),
        };
        let view = View::open(topology.clone(), Arc::new(TimedBackend(backend)))?;
        let worker = Worker::new(TimedLog(cluster.connect("bench")), view, Config::default());
        let random = ChaCha8Rng::seed_from_u64(options.seed);
        Ok(Bench { options, formats, topology, cluster, worker, random, placed: 0 })
    }

    fn topic(&self, name: &str) -> anyhow::Result<TopicIndex> {
        self.topology.topic(name).with_context(|| format!("W2 has a topic {name}"))
    }

    fn send(&self, topic: TopicIndex, key: &str, value: &[u8], at: i64) {
        let partition = partition_for_key(key.as_bytes(), self.options.partitions);
        let to = TopicPartition { topic, partition };
        self.cluster.produce(to, Some(key.as_bytes()), Some(value), at, Headers::default());
    }

    fn register_products(&mut self) -> anyhow::Result<()> {
        let (topic, mut bytes) = (self.topic("products")?, Vec::new());
        for i in 0..self.options.products {
            let product_id = format!("prod-{i:04}");
            let product =
                RegisterProduct { product_id, name: format!("Product number {i}"), stock: PLENTY, price: 1999 };
            bytes.clear();
            self.formats.product_command.serialize(&product, &mut bytes)?;
            self.send(topic, &product.product_id, &bytes, START_MS);
            if (i + 1) % PRODUCTS_ROUND == 0 || i + 1 == self.options.products {
                self.work_off()?;
                self.forget();
            }
        }
        Ok(())
    }

    /// Writes so many new orders, 5 % of them cancelled later, as the harness does.
    fn place(&mut self, count: u32) -> anyhow::Result<()> {
        let (topic, mut bytes) = (self.topic("orders")?, Vec::new());
        let size = "M".repeat(1 + self.options.padding_bytes);
        let end = self.placed + count;
        let mut cancellations: BTreeMap<u32, Vec<String>> = BTreeMap::new();
        for i in self.placed..end {
            let at = START_MS + 1000 + i64::from(i / 10);
            let place = PlaceOrder {
                order_id: format!("ord-{i:09}"),
                customer_id: format!("cust-{:05}", self.random.random_range(0..20_000)),
                product_id: format!("prod-{:04}", self.random.random_range(0..self.options.products)),
                size: size.clone(),
                qty: self.random.random_range(1..=5),
                price: 1999,
                placed_at: at,
            };
            let key = place.order_id.clone();
            bytes.clear();
            self.formats.order_command.serialize(&place.into(), &mut bytes)?;
            self.send(topic, &key, &bytes, at);
            if self.random.random_bool(0.05) {
                cancellations.entry(i + self.random.random_range(1..CANCELLED_AFTER_MAX)).or_default().push(key);
            }
            let due = if i + 1 == end { u32::MAX } else { i };
            let later = cancellations.split_off(&due.saturating_add(1));
            for order_id in std::mem::replace(&mut cancellations, later).into_values().flatten() {
                let cancel =
                    CancelOrder { order_id: order_id.clone(), reason: "changed my mind".into(), requested_at: at };
                bytes.clear();
                self.formats.order_command.serialize(&cancel.into(), &mut bytes)?;
                self.send(topic, &order_id, &bytes, at);
            }
        }
        self.placed = end;
        Ok(())
    }

    /// Turns the worker until nothing is left to do.
    fn work_off(&mut self) -> anyhow::Result<Spent> {
        let (started, thread, process) = (Instant::now(), cpu::thread_ns()?, cpu::process_ns()?);
        let (allocations, records) = counting::allocations(|| drain(&mut self.worker));
        Ok(Spent {
            wall: started.elapsed(),
            thread_ns: cpu::thread_ns()? - thread,
            process_ns: cpu::process_ns()? - process,
            allocations,
            records: records?,
        })
    }

    /// Checks that each of the last `count` orders has exactly one outcome, and forgets them. Answers with deliveries and
    /// cancellations.
    fn check(&self, count: u32) -> anyhow::Result<[u64; 2]> {
        let mut outcomes: BTreeMap<Vec<u8>, u32> = BTreeMap::new();
        let mut counts = [0_u64; 2];
        for (topic, counted) in ["deliveries", "cancellations"].into_iter().zip(&mut counts) {
            for written in self.cluster.read(self.topic(topic)?, 0) {
                let value = written.record.value().context("an outcome has a value")?;
                // The cancellation of a delivery follows its start: it is no outcome of its own.
                if topic == "deliveries"
                    && self.formats.delivery_event.deserialize(value)?.status == DeliveryStatus::Cancelled
                {
                    continue;
                }
                *counted += 1;
                *outcomes.entry(written.record.key().unwrap_or_default().to_vec()).or_default() += 1;
            }
        }
        ensure!(outcomes.values().all(|n| *n == 1), "an order has two outcomes");
        ensure!(outcomes.len() == count as usize, "{} of {count} orders have an outcome", outcomes.len());
        self.forget();
        Ok(counts)
    }

    /// Deletes everything on the log: all of it was read.
    fn forget(&self) {
        for topic in (0_u16..).map(TopicIndex).take(self.topology.topics().len()) {
            for partition in 0..self.cluster.partitions(topic) {
                self.cluster.delete_records(TopicPartition { topic, partition }, Offset(i64::MAX));
            }
        }
    }
}

/// Turns a worker until nothing is left to do; answers with how many records it processed.
fn drain(worker: &mut Worker<TimedLog<SimLog>>) -> anyhow::Result<u64> {
    let (mut records, mut idle) = (0, 0);
    while idle < IDLE_TURNS {
        let turn = worker.turn(now_ms(), Duration::ZERO)?;
        records += turn.processed as u64;
        idle = if turn.processed == 0 && !turn.committed && !turn.busy { idle + 1 } else { 0 };
    }
    Ok(records)
}
