//! The embedded log against what a shop with one machine would take instead: SQLite in WAL mode, one transaction per order
//! that writes the command, the order, the stock, the payment and the outcome.
//!
//! Both decide by the rules of W2, for orders that are never cancelled by their customers. On our side an order runs through
//! W2's three sub-topologies and is done when a query would see its outcome; SQLite's is done when its transaction is committed.
//! `always`: what is answered is on disk. `interval`: the operating system has it, and a power loss may take the last of it
//! (SQLite: `synchronous = NORMAL`).

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use node::engine::{Stop, WorkerThread, now_ms};
use node::local::{Config, LocalBroker, LocalLog, Produce, Share, Sync, topics_of};
use rusqlite::{Connection, params};
use streams::partitioner::partition_for_key;
use streams::serde::Serde;
use streams::{Headers, Listener, View};
use tokio::sync::{Notify, oneshot};

use crate::cpu;
use crate::format::Ids;
use crate::model::{OrderStatus, PlaceOrder, RegisterProduct};
use crate::w2::{self, Formats, ORDERS_STORE, STOCK_STORE};

/// Partitions of every topic.
const PARTITIONS: u32 = 4;
/// Products; orders are for one after the other.
const PRODUCTS: u64 = 1_000;
/// Stock of each at first, which never runs out.
const STOCK: i32 = 50_000_000;
/// Of all products.
const ALL_STOCK: i64 = PRODUCTS as i64 * STOCK as i64;
const PRICE: i64 = 1999;
/// Longest wait for the last orders' stock.
const SETTLED_WITHIN: Duration = Duration::from_secs(10);
/// Time between syncs under `interval`: the default of `orderflow up`.
const SYNC_INTERVAL: Duration = Duration::from_millis(50);
/// Memory for RocksDB, bytes: the default of `orderflow up`; SQLite gets as much for its page cache.
const MEMORY_BYTES: usize = 32 << 20;

/// How long a run.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// An empty directory on the disk that is meant.
    #[arg(long)]
    pub data_dir: PathBuf,
    /// Seconds of load per case.
    #[arg(long, default_value_t = 5.0)]
    pub seconds: f64,
    /// How many clients there are, each waiting for its order to be done before it places the next; a case for each number.
    #[arg(long, value_delimiter = ',', default_value = "1,16,64")]
    pub clients: Vec<usize>,
    /// Shortest time between two commits of a worker that has nothing else to do, milliseconds; as an installation has it if
    /// not said.
    #[arg(long)]
    pub commit_min_interval_ms: Option<i64>,
    /// JSON of schema names and ids.
    #[arg(long, default_value = "bench/peer/schemas/schema-ids.json")]
    pub schema_ids: PathBuf,
}

/// What was measured in one case.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Report {
    /// `orderflow` or `sqlite`.
    pub store: &'static str,
    /// `always` or `interval`.
    pub sync: &'static str,
    /// Clients.
    pub clients: usize,
    /// Orders done.
    pub orders: usize,
    /// Orders per second.
    pub orders_per_s: f64,
    /// Milliseconds until the order itself was answered for.
    pub accepted_ms: Quantiles,
    /// Milliseconds until its outcome was.
    pub done_ms: Quantiles,
    /// CPU of the whole process, clients included, microseconds per order.
    pub cpu_us_per_order: f64,
}

/// Of a latency, milliseconds.
#[derive(Clone, Copy, Debug, serde::Serialize)]
#[expect(missing_docs, reason = "they say what they are")]
pub struct Quantiles {
    pub p50: f64,
    pub p99: f64,
    pub max: f64,
}

impl Quantiles {
    /// # Errors
    /// Without any latency.
    fn of(mut latencies: Vec<Duration>) -> anyhow::Result<Quantiles> {
        latencies.sort_unstable();
        let max = latencies.len().checked_sub(1).context("no order was done")?;
        let ms = |q: usize| latencies[max * q / 100].as_secs_f64() * 1000.0;
        Ok(Quantiles { p50: ms(50), p99: ms(99), max: ms(100) })
    }
}

/// Runs both stores with both kinds of sync and every number of clients, and checks each one's stock at the end.
///
/// # Errors
/// When a store fails, or its stock is not what the orders left.
pub async fn run(options: &Options) -> anyhow::Result<Vec<Report>> {
    let mut reports = Vec::new();
    for sync in ["always", "interval"] {
        for &clients in &options.clients {
            let directory = options.data_dir.join(format!("{sync}-{clients}"));
            let case = Case { options, directory, sync, clients };
            reports.push(case.orderflow().await?);
            reports.push(case.sqlite()?);
        }
    }
    Ok(reports)
}

/// What clients do and find, whichever the store.
#[derive(Default)]
struct Load {
    next: AtomicU64,
    /// Pieces delivered, by the payment rule.
    sold: AtomicI64,
    /// Until accepted, until done.
    latencies: Mutex<Vec<(Duration, Duration)>>,
}

impl Load {
    fn order(&self) -> PlaceOrder {
        let i = self.next.fetch_add(1, Relaxed);
        let order = PlaceOrder {
            order_id: format!("ord-{i:09}"),
            customer_id: format!("cust-{:05}", i % 20_000),
            product_id: product_id(i % PRODUCTS),
            size: "M".to_owned(),
            qty: 1 + i32::try_from(i % 5).unwrap_or(0),
            price: PRICE,
            placed_at: now_ms(),
        };
        if !w2::declined(&order.order_id) {
            self.sold.fetch_add(order.qty.into(), Relaxed);
        }
        order
    }

    /// Pieces that are left of all products, by the rules.
    fn left(&self) -> i64 {
        ALL_STOCK - self.sold.load(Relaxed)
    }

    fn done(&self, accepted: Duration, done: Duration) {
        self.latencies.lock().unwrap_or_else(PoisonError::into_inner).push((accepted, done));
    }
}

fn product_id(i: u64) -> String {
    format!("prod-{i:04}")
}

struct Case<'a> {
    options: &'a Options,
    directory: PathBuf,
    sync: &'static str,
    clients: usize,
}

impl Case<'_> {
    fn seconds(&self) -> Duration {
        Duration::from_secs_f64(self.options.seconds)
    }

    fn report(
        &self,
        store: &'static str,
        load: Load,
        stock: i64,
        elapsed: Duration,
        cpu_ns: u64,
    ) -> anyhow::Result<Report> {
        ensure!(stock == load.left(), "{store}: {stock} pieces are left, the orders leave {}", load.left());
        let latencies = load.latencies.into_inner().unwrap_or_else(PoisonError::into_inner);
        Ok(Report {
            store,
            sync: self.sync,
            clients: self.clients,
            orders: latencies.len(),
            orders_per_s: latencies.len() as f64 / elapsed.as_secs_f64(),
            cpu_us_per_order: cpu_ns as f64 / 1000.0 / latencies.len() as f64,
            accepted_ms: Quantiles::of(latencies.iter().map(|l| l.0).collect())?,
            done_ms: Quantiles::of(latencies.iter().map(|l| l.1).collect())?,
        })
    }

    async fn orderflow(&self) -> anyhow::Result<Report> {
        let shop = Shop::open(&self.directory.join("orderflow"), self.sync, self.options).await?;
        let load = Arc::new(Load::default());
        let (started, cpu) = (Instant::now(), cpu::process_ns()?);
        let end = started + self.seconds();
        let mut clients = tokio::task::JoinSet::new();
        for _ in 0..self.clients {
            let (shop, load) = (shop.clone(), load.clone());
            clients.spawn(async move {
                while Instant::now() < end {
                    let order = load.order();
                    let since = Instant::now();
                    let (accepted, done) = shop.place(order, since).await?;
                    load.done(accepted, done);
                }
                anyhow::Ok(())
            });
        }
        while let Some(client) = clients.join_next().await {
            client??;
        }
        let (elapsed, cpu_ns) = (started.elapsed(), cpu::process_ns()? - cpu);
        let load = Arc::into_inner(load).context("a client is still there")?;
        // What declined orders give back comes after their outcome.
        let stock = shop.stock_once_settled(load.left()).await?;
        shop.close()?;
        self.report("orderflow", load, stock, elapsed, cpu_ns)
    }

    fn sqlite(&self) -> anyhow::Result<Report> {
        let database = Mutex::new(open_sqlite(&self.directory.join("sqlite"), self.sync)?);
        let load = Load::default();
        let (started, cpu) = (Instant::now(), cpu::process_ns()?);
        let end = started + self.seconds();
        std::thread::scope(|scope| {
            let client = || {
                while Instant::now() < end {
                    let order = load.order();
                    let since = Instant::now();
                    // SQLite has one writer at a time: waiting here is cheaper than for its own lock.
                    let mut database = database.lock().unwrap_or_else(PoisonError::into_inner);
                    place_in_sqlite(&mut database, &order)?;
                    drop(database);
                    load.done(since.elapsed(), since.elapsed());
                }
                anyhow::Ok(())
            };
            let clients: Vec<_> = (0..self.clients).map(|_| scope.spawn(client)).collect();
            clients.into_iter().try_for_each(|c| c.join().map_err(|_| anyhow::anyhow!("a client panicked"))?)
        })?;
        let (elapsed, cpu_ns) = (started.elapsed(), cpu::process_ns()? - cpu);
        let database = database.into_inner().unwrap_or_else(PoisonError::into_inner);
        let stock = database.query_row("SELECT sum(stock) FROM products", [], |row| row.get(0))?;
        self.report("sqlite", load, stock, elapsed, cpu_ns)
    }
}

/// Rings when something was committed, and does no more on the worker's thread.
#[derive(Default)]
struct Bell(Notify);

impl Listener for Bell {
    fn published(&self) {
        self.0.notify_one();
    }
}

/// W2 on the embedded log, as `orderflow up` runs a business, without HTTP.
struct Shop {
    broker: Arc<LocalBroker>,
    view: Arc<View>,
    formats: Formats,
    stop: Arc<Stop>,
    worker: WorkerThread,
    /// Who waits for the outcome of which order.
    waiting: Mutex<HashMap<Vec<u8>, oneshot::Sender<()>>>,
}

impl Shop {
    async fn open(directory: &Path, sync: &str, options: &Options) -> anyhow::Result<Arc<Shop>> {
        std::fs::create_dir_all(directory)?;
        let sync = if sync == "always" { Sync::Always } else { Sync::Interval(SYNC_INTERVAL) };
        let (broker, backend) = LocalBroker::open_rocks(directory, MEMORY_BYTES, Config { sync, ..Config::default() })?;
        let formats = Formats::new(&Ids::read(&options.schema_ids)?)?;
        let topology = Arc::new(w2::topology("local", &formats)?);
        broker.create_topics(&topics_of(&topology, PARTITIONS))?;
        let view = View::open(topology.clone(), backend)?;
        let stop = Arc::new(Stop::default());
        let log = broker.clone();
        let make =
            move || LocalLog::new(log, topology, &Share::whole()).map_err(|e| streams::Error::Refused(e.to_string()));
        let mut config = streams::Config::default();
        if let Some(ms) = options.commit_min_interval_ms {
            config.commit_min_interval_ms = ms;
        }
        let worker = WorkerThread::spawn("worker".to_owned(), make, view.clone(), config, stop.clone())?;
        let bell = Arc::new(Bell::default());
        view.listen(bell.clone());
        let shop = Arc::new(Shop { broker, view, formats, stop, worker, waiting: Mutex::default() });
        tokio::spawn(answer(shop.clone(), bell));
        shop.register_products().await?;
        Ok(shop)
    }

    async fn register_products(&self) -> anyhow::Result<()> {
        let mut values = Vec::new();
        for i in 0..PRODUCTS {
            let product =
                RegisterProduct { product_id: product_id(i), name: format!("Product {i}"), stock: STOCK, price: PRICE };
            let mut value = Vec::new();
            self.formats.product_command.serialize(&product, &mut value)?;
            values.push((product.product_id, value));
        }
        let records: Vec<Produce<'_>> = values
            .iter()
            .map(|(key, value)| Produce {
                topic: "products",
                partition: None,
                key: Some(key.as_bytes()),
                value: Some(value),
                timestamp: now_ms(),
                headers: Headers::empty(),
            })
            .collect();
        self.broker.write(&records, &[]).await?;
        ensure!(self.stock_once_settled(ALL_STOCK).await? == ALL_STOCK, "not all products were registered");
        Ok(())
    }

    /// Places an order and waits for its outcome. Answers when each was there, counted from `since`.
    async fn place(&self, order: PlaceOrder, since: Instant) -> anyhow::Result<(Duration, Duration)> {
        let key = order.order_id.clone().into_bytes();
        let (sender, outcome) = oneshot::channel();
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).insert(key.clone(), sender);
        let mut value = Vec::new();
        self.formats.order_command.serialize(&order.into(), &mut value)?;
        self.broker.append("orders", Some(&key), Some(&value), now_ms(), Headers::empty()).await?;
        let accepted = since.elapsed();
        outcome.await?;
        Ok((accepted, since.elapsed()))
    }

    /// Waits until so many pieces are left, but not for ever; answers with how many there are.
    async fn stock_once_settled(&self, expected: i64) -> anyhow::Result<i64> {
        let end = Instant::now() + SETTLED_WITHIN;
        loop {
            let stock = self.stock()?;
            if stock == expected || Instant::now() > end {
                return Ok(stock);
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Pieces left of all products, as far as they are registered.
    fn stock(&self) -> anyhow::Result<i64> {
        let (store, _) = self.view.store(STOCK_STORE).context("W2 has a store of stock")?;
        let mut left = 0;
        for i in 0..PRODUCTS {
            let key = product_id(i).into_bytes();
            if let Some((value, _)) = self.view.get(store, partition_for_key(&key, PARTITIONS), &key)? {
                left += i64::from(self.formats.stock_view.deserialize(&value)?.stock);
            }
        }
        Ok(left)
    }

    /// Whether an order has its outcome.
    fn is_settled(&self, id: &[u8]) -> anyhow::Result<bool> {
        let (store, _) = self.view.store(ORDERS_STORE).context("W2 has a store of orders")?;
        let Some((value, _)) = self.view.get(store, partition_for_key(id, PARTITIONS), id)? else { return Ok(false) };
        let status = self.formats.order_view.deserialize(&value)?.status;
        Ok(matches!(status, OrderStatus::DeliveryStarted | OrderStatus::Cancelled))
    }

    fn close(&self) -> anyhow::Result<()> {
        self.stop.request();
        self.worker.join()?;
        self.broker.close();
        Ok(())
    }
}

/// Tells clients of outcomes, as a request that waits for its order would see them: in committed state.
async fn answer(shop: Arc<Shop>, bell: Arc<Bell>) {
    while !shop.stop.is_requested() {
        tokio::select! {
            () = bell.0.notified() => (),
            () = shop.stop.requested() => (),
        }
        let mut waiting = shop.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        // A store that cannot be read holds nobody up: the run fails when it counts the stock.
        let settled: Vec<_> = waiting.keys().filter(|id| shop.is_settled(id).unwrap_or(true)).cloned().collect();
        for client in settled.iter().filter_map(|id| waiting.remove(id)) {
            // A client that has gone waits for nothing.
            let _ = client.send(());
        }
    }
}

fn open_sqlite(directory: &Path, sync: &str) -> anyhow::Result<Connection> {
    std::fs::create_dir_all(directory)?;
    let database = Connection::open(directory.join("shop.db"))?;
    database.pragma_update(None, "journal_mode", "wal")?;
    database.pragma_update(None, "synchronous", if sync == "always" { "full" } else { "normal" })?;
    // Negative: KiB.
    database.pragma_update(None, "cache_size", -i64::try_from(MEMORY_BYTES / 1024)?)?;
    database.execute_batch(
        "CREATE TABLE commands(order_id TEXT PRIMARY KEY, body BLOB) WITHOUT ROWID;
         CREATE TABLE products(product_id TEXT PRIMARY KEY, name TEXT, stock INTEGER, price INTEGER) WITHOUT ROWID;
         CREATE TABLE orders(order_id TEXT PRIMARY KEY, customer_id TEXT, product_id TEXT, size TEXT, qty INTEGER,
           price INTEGER, status TEXT, placed_at INTEGER, updated_at INTEGER) WITHOUT ROWID;
         CREATE TABLE payments(order_id TEXT PRIMARY KEY, amount INTEGER, outcome TEXT) WITHOUT ROWID;
         CREATE TABLE deliveries(order_id TEXT PRIMARY KEY, product_id TEXT, qty INTEGER, decided_at INTEGER)
           WITHOUT ROWID;
         CREATE TABLE cancellations(order_id TEXT PRIMARY KEY, reason TEXT, placed_at INTEGER) WITHOUT ROWID;
         BEGIN",
    )?;
    for i in 0..PRODUCTS {
        let row = params![product_id(i), format!("Product {i}"), STOCK, PRICE];
        database.execute("INSERT INTO products VALUES (?, ?, ?, ?)", row)?;
    }
    database.execute_batch("COMMIT")?;
    Ok(database)
}

/// The saga as a shop on one database would write it: everything in one transaction. The body of the command is kept, as
/// our log keeps it.
fn place_in_sqlite(database: &mut Connection, order: &PlaceOrder) -> anyhow::Result<()> {
    let tx = database.transaction()?;
    let id = &order.order_id;
    let mut body = Vec::new();
    schemas::AvroValue::encode(order, &mut body);
    tx.prepare_cached("INSERT INTO commands VALUES (?, ?)")?.execute(params![id, body])?;
    let has_stock = tx
        .prepare_cached("UPDATE products SET stock = stock - ?1 WHERE product_id = ?2 AND stock >= ?1")?
        .execute(params![order.qty, order.product_id])?
        == 1;
    let is_paid = has_stock && !w2::declined(id);
    if has_stock {
        let outcome = if is_paid { "APPROVED" } else { "DECLINED" };
        let amount = order.price * i64::from(order.qty);
        tx.prepare_cached("INSERT INTO payments VALUES (?, ?, ?)")?.execute(params![id, amount, outcome])?;
    }
    let now = now_ms();
    if is_paid {
        tx.prepare_cached("INSERT INTO deliveries VALUES (?, ?, ?, ?)")?.execute(params![
            id,
            order.product_id,
            order.qty,
            now
        ])?;
    } else {
        let reason = if has_stock { "PAYMENT_DECLINED" } else { "OUT_OF_STOCK" };
        tx.prepare_cached("INSERT INTO cancellations VALUES (?, ?, ?)")?.execute(params![
            id,
            reason,
            order.placed_at
        ])?;
        if has_stock {
            tx.prepare_cached("UPDATE products SET stock = stock + ? WHERE product_id = ?")?
                .execute(params![order.qty, order.product_id])?;
        }
    }
    let status = if is_paid { "DELIVERY_STARTED" } else { "CANCELLED" };
    tx.prepare_cached("INSERT INTO orders VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)")?.execute(params![
        id,
        order.customer_id,
        order.product_id,
        order.size,
        order.qty,
        order.price,
        status,
        order.placed_at,
        now
    ])?;
    tx.commit()?;
    Ok(())
}
