//! A platform for tests and the demo: the real topologies on the engine's test driver and simulated log, in this process,
//! with a payment provider that does what it is told.
#![allow(dead_code, unreachable_pub, missing_docs)]

pub mod client;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use query_api::breaker::{self, Breaker};
use query_api::platform::{
    ACCEPT_BREAKER, App, AppendError, Appended, Health, Instance, InstanceTask, Owner, Platform, Role, Tail, TailError,
    TailFrom, TailItem, TailRecord, Trouble, WorkerHealth,
};
use schemas::payment::{PaymentOutcome, PaymentRequest, PaymentRequestKind, PaymentResult};
use schemas::{Codec, FixedRegistry, Registry, Topic};
use streams::partitioner::partition_for_key;
use streams::testing::{SimCluster, TestDriver};
use streams::{Offset, Partition, TaskId, TopicIndex, Topology};
use tokio::sync::{oneshot, watch};

pub const PARTITIONS: u32 = 4;

/// Small numbers, so that a test opens and closes it in a moment.
pub const BREAKER: breaker::Settings = breaker::Settings {
    timeout: Duration::from_millis(100),
    failure_rate: 0.5,
    window: 4,
    probes: 1,
    open: Duration::from_millis(200),
};

/// What the payment provider does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Provider {
    Approves,
    Declines,
    /// Cannot be reached: the worker defers.
    Down,
    /// Says nothing until told otherwise.
    Hangs,
    /// Approves after a while, and declines one in eight: for the demo.
    Lifelike,
}

enum Job {
    Append {
        topic: String,
        key: Vec<u8>,
        value: Vec<u8>,
        reply: oneshot::Sender<Appended>,
    },
    /// Processes nothing while held; what is appended stays in the log.
    Hold(bool),
    Provider(Provider),
    Advance(Duration),
    /// Answers once everything before has been done.
    Sync(Sender<()>),
    Stop,
}

/// What a test can turn while the platform runs.
#[derive(Default)]
struct Knobs {
    append: Mutex<Option<AppendError>>,
    owners: Mutex<BTreeMap<TaskId, Owner>>,
    health: Mutex<Health>,
}

pub struct Fake {
    apps: Vec<App>,
    registry: Arc<dyn Registry>,
    jobs: Sender<Job>,
    breakers: Vec<Arc<Breaker>>,
    /// The log of each app.
    clusters: Vec<SimCluster>,
    news: watch::Receiver<u64>,
    knobs: Knobs,
    /// Only of the one that started it.
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// The topology of a business, and its payment topics if it takes money.
fn business(name: &str) -> (Topology, Option<(Topic<PaymentRequest>, Topic<PaymentResult>)>) {
    let built = "the topology builds";
    match name {
        "fashion-store" => {
            use schemas::fashion::topics::{PAYMENT_REQUESTS, PAYMENT_RESULTS};
            let topology = topologies::fashion_store::topology(&topologies::fashion_store::Config::default());
            (topology.expect(built), Some((PAYMENT_REQUESTS, PAYMENT_RESULTS)))
        }
        "gdmarket" => {
            use schemas::gdmarket::topics::{PAYMENT_REQUESTS, PAYMENT_RESULTS};
            let topology = topologies::gdmarket::topology(&topologies::gdmarket::Config::default());
            (topology.expect(built), Some((PAYMENT_REQUESTS, PAYMENT_RESULTS)))
        }
        "ebook-rental" => {
            use schemas::ebook::topics::{PAYMENT_REQUESTS, PAYMENT_RESULTS};
            let topology = topologies::ebook_rental::topology(&topologies::ebook_rental::Config::default());
            (topology.expect(built), Some((PAYMENT_REQUESTS, PAYMENT_RESULTS)))
        }
        "taxi" => (topologies::taxi::topology(&topologies::taxi::Config::default()).expect(built), None),
        other => panic!("no business {other}"),
    }
}

impl Fake {
    /// Starts the engine of fashion-store on a thread of its own.
    pub fn start(provider: Provider) -> Arc<Self> {
        Self::with(&["fashion-store"], provider)
    }

    /// Starts the engine of these businesses on a thread of its own.
    pub fn with(names: &[&str], provider: Provider) -> Arc<Self> {
        let (mut apps, mut clusters, mut shops) = (Vec::new(), Vec::new(), Vec::new());
        for name in names {
            let (topology, payment) = business(name);
            let mut driver = TestDriver::new(topology, PARTITIONS);
            driver.advance_wall_clock(now_ms() - driver.now());
            let view = Arc::clone(driver.view());
            let count = view.topology().subtopologies().len();
            apps.push(App { name: (*name).into(), view, partitions: vec![PARTITIONS; count].into() });
            clusters.push(driver.cluster().clone());
            shops.push(Shop { driver, payment, open: Vec::new() });
        }
        let (jobs, inbox) = channel();
        let (sender, news) = watch::channel(0);
        let engine =
            Engine { shops, provider, held: false, news: sender, codec: Codec::fixed(), results: Codec::fixed() };
        let thread = std::thread::spawn(move || engine.run(&inbox));
        Arc::new(Fake {
            apps,
            registry: Arc::new(FixedRegistry),
            jobs,
            breakers: vec![Arc::new(Breaker::new(ACCEPT_BREAKER, BREAKER))],
            clusters,
            news,
            knobs: Knobs::default(),
            thread: Mutex::new(Some(thread)),
        })
    }

    /// Another instance over the same engine; ends before the one that started it.
    pub fn beside(first: &Fake) -> Arc<Self> {
        Arc::new(Fake {
            apps: first.apps.clone(),
            registry: Arc::clone(&first.registry),
            jobs: first.jobs.clone(),
            breakers: first.breakers.clone(),
            clusters: first.clusters.clone(),
            news: first.news.clone(),
            knobs: Knobs::default(),
            thread: Mutex::new(None),
        })
    }

    pub fn owner_of(&self, task: TaskId) -> Owner {
        self.owner("fashion-store", task)
    }

    pub fn hold(&self, held: bool) {
        self.tell(Job::Hold(held));
    }

    pub fn provider(&self, provider: Provider) {
        self.tell(Job::Provider(provider));
    }

    pub fn advance(&self, by: Duration) {
        self.tell(Job::Advance(by));
    }

    /// Returns when everything told and appended so far has been done.
    pub fn sync(&self) {
        let (sender, done) = channel();
        self.tell(Job::Sync(sender));
        done.recv().expect("the engine runs");
    }

    fn tell(&self, job: Job) {
        self.jobs.send(job).expect("the engine runs");
    }

    /// Appends fail from now on.
    pub fn fail_appends(&self, error: Option<AppendError>) {
        *self.knobs.append.lock().unwrap() = error;
    }

    /// Says who owns a task; without a word it is here.
    pub fn set_owner(&self, task: TaskId, owner: Owner) {
        self.knobs.owners.lock().unwrap().insert(task, owner);
    }

    pub fn set_health(&self, health: Health) {
        *self.knobs.health.lock().unwrap() = health;
    }

    pub fn app(&self) -> &App {
        &self.apps[0]
    }

    /// The log that has a topic, and which of its topics that is.
    fn topic(&self, name: &str) -> Result<(&SimCluster, TopicIndex), TailError> {
        let topics = self.apps.iter().zip(&self.clusters);
        let mut found = topics.filter_map(|(app, cluster)| Some((cluster, app.view.topology().topic(name)?)));
        found.next().ok_or_else(|| TailError::UnknownTopic(name.to_owned()))
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        if let Some(thread) = self.thread.lock().unwrap().take() {
            let _ = self.jobs.send(Job::Stop);
            let _ = thread.join();
        }
    }
}

impl Platform for Fake {
    fn apps(&self) -> &[App] {
        &self.apps
    }

    fn topic_prefix(&self) -> &str {
        ""
    }

    fn registry(&self) -> &Arc<dyn Registry> {
        &self.registry
    }

    fn append<'a>(
        &'a self,
        topic: &'a str,
        key: &'a [u8],
        value: Vec<u8>,
    ) -> BoxFuture<'a, Result<Appended, AppendError>> {
        async move {
            if let Some(error) = self.knobs.append.lock().unwrap().clone() {
                return Err(error);
            }
            let (reply, answer) = oneshot::channel();
            self.tell(Job::Append { topic: topic.to_owned(), key: key.to_owned(), value, reply });
            answer.await.map_err(|_| AppendError::Unavailable("the engine stopped".into()))
        }
        .boxed()
    }

    fn tail<'a>(&'a self, topic: &'a str, from: TailFrom) -> BoxFuture<'a, Result<Tail, TailError>> {
        async move {
            let (cluster, index) = self.topic(topic)?;
            let ends = ends(cluster, index);
            let start: BTreeMap<Partition, Offset> = match from {
                TailFrom::End => ends.clone(),
                TailFrom::Offsets(offsets) => ends.clone().into_iter().chain(offsets).collect(),
            };
            let (sender, items) = tokio::sync::mpsc::channel(64);
            let (cluster, mut news, mut next) = (cluster.clone(), self.news.clone(), start.clone());
            tokio::spawn(async move {
                let mut first = true;
                loop {
                    news.mark_unchanged();
                    let mut touched: Vec<Partition> = if first { next.keys().copied().collect() } else { Vec::new() };
                    first = false;
                    for found in cluster.read(index, 0) {
                        let (partition, record) = (found.partition, found.record);
                        if record.offset < next[&partition] {
                            continue;
                        }
                        next.insert(partition, record.offset.next());
                        touched.push(partition);
                        let record = TailRecord {
                            partition,
                            offset: record.offset,
                            timestamp: record.timestamp,
                            key: record.key().unwrap_or_default().to_vec(),
                            value: record.value().map(<[u8]>::to_vec),
                        };
                        if sender.send(TailItem::Record(record)).await.is_err() {
                            return;
                        }
                    }
                    touched.sort_unstable();
                    touched.dedup();
                    for partition in touched {
                        let item = TailItem::CaughtUp { partition, next: next[&partition] };
                        if sender.send(item).await.is_err() {
                            return;
                        }
                    }
                    tokio::select! {
                        changed = news.changed() => if changed.is_err() { return },
                        () = sender.closed() => return,
                    }
                }
            });
            Ok(Tail { start: start.into_iter().collect(), items })
        }
        .boxed()
    }

    fn owner(&self, _app: &str, task: TaskId) -> Owner {
        self.knobs.owners.lock().unwrap().get(&task).cloned().unwrap_or(Owner::Here)
    }

    fn instances(&self, app: &str) -> Vec<Instance> {
        let app = self.apps.iter().find(|a| *a.name == *app).unwrap_or(self.app());
        let tasks = app.view.tasks().into_iter().map(|(task, _)| InstanceTask { task, role: Role::Active });
        let url = "http://127.0.0.1".into();
        vec![Instance { id: "fake".into(), url, here: true, stale: false, tasks: tasks.collect() }]
    }

    fn health(&self) -> Health {
        let mut health = self.knobs.health.lock().unwrap().clone();
        if health.workers.is_empty() {
            health.workers.push(WorkerHealth { name: "fashion-store-0".into(), last_turn: Duration::ZERO });
        }
        health
    }

    fn breakers(&self) -> &[Arc<Breaker>] {
        &self.breakers
    }

    fn encode_metrics(&self, out: &mut String) -> fmt::Result {
        out.push_str("# HELP fake_up Whether the fake is up.\n# TYPE fake_up gauge\nfake_up 1\n");
        Ok(())
    }
}

/// A health with one thing wrong.
pub fn cannot_append(reason: &str) -> Health {
    Health { cannot_append: Some(Trouble(reason.into())), ..Health::default() }
}

fn ends(cluster: &SimCluster, topic: TopicIndex) -> BTreeMap<Partition, Offset> {
    let mut ends: BTreeMap<Partition, Offset> = (0..PARTITIONS).map(|p| (p, Offset::ZERO)).collect();
    for found in cluster.read(topic, 0) {
        ends.insert(found.partition, found.record.offset.next());
    }
    ends
}

fn now_ms() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

/// One business and the payment requests of its that have no answer, and since when.
struct Shop {
    driver: TestDriver,
    payment: Option<(Topic<PaymentRequest>, Topic<PaymentResult>)>,
    open: Vec<(PaymentRequest, Instant)>,
}

impl Shop {
    fn has(&self, topic: &str) -> bool {
        self.driver.view().topology().topic(topic).is_some()
    }
}

/// The thread that processes.
struct Engine {
    shops: Vec<Shop>,
    provider: Provider,
    held: bool,
    news: watch::Sender<u64>,
    codec: Codec<PaymentRequest>,
    results: Codec<PaymentResult>,
}

impl Engine {
    fn run(mut self, inbox: &Receiver<Job>) {
        loop {
            // The demo's clock goes on by itself; a test's only when told.
            let job = if self.provider == Provider::Lifelike {
                match inbox.recv_timeout(Duration::from_millis(50)) {
                    Ok(job) => job,
                    Err(RecvTimeoutError::Timeout) => Job::Advance(Duration::ZERO),
                    Err(RecvTimeoutError::Disconnected) => return,
                }
            } else {
                let Ok(job) = inbox.recv() else { return };
                job
            };
            match job {
                Job::Append { topic, key, value, reply } => {
                    let shop = self.shops.iter_mut().find(|shop| shop.has(&topic)).expect("a topic of ours");
                    let now = shop.driver.now();
                    let offset = shop.driver.produce(&topic, Some(&key), Some(&value), now);
                    let _ = reply.send(Appended { partition: partition_for_key(&key, PARTITIONS), offset });
                }
                Job::Hold(held) => self.held = held,
                Job::Provider(provider) => self.provider = provider,
                Job::Advance(by) => {
                    for Shop { driver, .. } in &mut self.shops {
                        let behind = (now_ms() - driver.now()).max(0);
                        driver.advance_wall_clock(if by.is_zero() { behind } else { by.as_millis() as i64 });
                    }
                }
                Job::Sync(done) => {
                    let _ = done.send(());
                    continue;
                }
                Job::Stop => return,
            }
            if !self.held {
                self.settle();
            }
            self.news.send_modify(|n| *n += 1);
        }
    }

    /// Processes, pays, and again, until nothing is left to do.
    fn settle(&mut self) {
        for mut shop in std::mem::take(&mut self.shops) {
            while self.step(&mut shop) {}
            self.shops.push(shop);
        }
    }

    /// Processes and pays once; whether something was paid, so that there is more to process.
    fn step(&self, shop: &mut Shop) -> bool {
        shop.driver.run();
        let Some((requests, results)) = shop.payment else { return false };
        let asked = shop.driver.read(requests.base());
        let now = Instant::now();
        shop.open.extend(asked.iter().filter_map(|r| Some((self.codec.decode(r.value.as_deref()?).ok()?, now))));
        let mut answered = false;
        for (request, since) in std::mem::take(&mut shop.open) {
            match self.answer(&request, since) {
                None => shop.open.push((request, since)),
                Some(result) => {
                    answered = true;
                    let value = self.results.to_vec(&result);
                    let now = shop.driver.now();
                    shop.driver.produce(results.base(), Some(result.correlation_id.as_bytes()), Some(&value), now);
                }
            }
        }
        answered
    }

    fn answer(&self, request: &PaymentRequest, since: Instant) -> Option<PaymentResult> {
        let is_charge = request.kind == PaymentRequestKind::Charge;
        let outcome = match (request.kind, self.provider) {
            (_, Provider::Hangs) => return None,
            (_, Provider::Down) => PaymentOutcome::Deferred,
            (_, Provider::Lifelike) if since.elapsed() < Duration::from_millis(700) => return None,
            (PaymentRequestKind::Charge, Provider::Declines) => PaymentOutcome::Declined,
            (PaymentRequestKind::Charge, Provider::Lifelike) if request.amount % 8 == 7 => PaymentOutcome::Declined,
            (PaymentRequestKind::Charge, _) => PaymentOutcome::Approved,
            (PaymentRequestKind::Void, _) => PaymentOutcome::Voided,
            _ => PaymentOutcome::Refunded,
        };
        let reason = match outcome {
            PaymentOutcome::Declined => Some("the card is not covered".to_owned()),
            PaymentOutcome::Deferred => Some("the provider did not answer".to_owned()),
            _ => None,
        };
        Some(PaymentResult {
            outcome,
            correlation_id: request.correlation_id.clone(),
            request_kind: request.kind,
            idempotency_key: request.idempotency_key.clone(),
            amount: request.amount,
            attempt: request.attempt,
            reason,
            provider_reference: is_charge.then(|| format!("ref-{}", request.idempotency_key)),
            at: request.requested_at,
        })
    }
}
