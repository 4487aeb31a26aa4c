//! What the tests against real Kafka share: a two-sub-topology word count over topics of its own, workers that can be
//! killed, and a verdict by an independent read-committed consumer.
#![allow(dead_code, reason = "each test binary uses a part")]

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use node::config::{GroupProtocol, Kafka};
use node::engine::now_ms;
use node::kafka::{KafkaLog, Settings, ensure_topics, topic_specs};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer as _, ThreadedProducer};
use rdkafka::{ClientConfig, Message as _, Offset as NativeOffset, TopicPartitionList};
use state::{Backend, Direction, Memory, Range};
use streams::log::{Commit, CommitAck, Committed, Error, Log, LogRange, Outgoing, Polled, Replayed, StateWrites};
use streams::serde::{I64, Utf8};
use streams::store::{KeyValue, KeyValueStore};
use streams::{
    Context, Incoming, Offset, Phase, ProcessError, Processor, Record, SourceOptions, TopicIndex, TopicPartition,
    Topology, TopologyBuilder, View, Worker,
};

/// Longest wait for anything a test waits for.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
/// A member that is not heard for so long is dead: the least that a broker allows.
pub(crate) const SESSION: Duration = Duration::from_secs(6);
/// One turn of a worker.
pub(crate) const TURN: Duration = Duration::from_millis(20);
/// Words of the generated lines.
const WORDS: u64 = 40;

/// Held by tests that measure time or restart brokers: they run one after the other.
pub(crate) fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The cluster to test against.
///
/// # Panics
/// Without one: these tests are ignored unless asked for.
pub(crate) fn brokers() -> String {
    std::env::var("ORDERFLOW_TEST_BROKERS").expect("set ORDERFLOW_TEST_BROKERS=host:port, or run `./test kafka`")
}

struct Split;

impl Processor for Split {
    type KeyIn = String;
    type ValueIn = String;
    type KeyOut = String;
    type ValueOut = String;

    fn process(
        &self,
        cx: &mut Context<'_, String, String>,
        record: Record<'_, String, String>,
    ) -> Result<(), ProcessError> {
        for word in record.value.map(String::as_str).unwrap_or_default().split_whitespace() {
            // "big" grows into a record no broker takes, "large" into one that only this topic's limit refuses.
            let value = match word {
                "big" => "x".repeat(2_000_000),
                "large" => "x".repeat(600_000),
                word => word.to_owned(),
            };
            let word = word.to_owned();
            cx.forward(record.with_key(Some(&word)).with_value(Some(&value)))?;
        }
        Ok(())
    }
}

struct Count {
    counts: KeyValueStore<String, i64>,
}

impl Processor for Count {
    type KeyIn = String;
    type ValueIn = String;
    type KeyOut = String;
    type ValueOut = i64;

    fn process(
        &self,
        cx: &mut Context<'_, String, i64>,
        record: Record<'_, String, String>,
    ) -> Result<(), ProcessError> {
        let Some(word) = record.key else { return Ok(()) };
        let count = self.counts.get(cx, word)?.unwrap_or(0) + 1;
        self.counts.put(cx, word, &count)?;
        cx.observe(record.timestamp);
        cx.forward(record.with_value(Some(&count)))
    }
}

/// Lines are split into words, words are counted: two sub-topologies with a repartition topic between them.
pub(crate) fn word_count() -> Topology {
    let mut b = TopologyBuilder::new("word-count");
    let counts = b.store("counts", KeyValue::<String, i64>::new(Utf8, I64));
    let lines = b.source("lines", &["lines"], Utf8, Utf8, SourceOptions::default());
    let (split_in, split_out) = b.processor("split", Split);
    let (words_in, words_out) = b.repartition("words", Utf8, Utf8, None);
    let (count_in, count_out) = b.processor("count", Count { counts: counts.clone() });
    let out = b.sink("counted", "counted", Utf8, I64);
    b.connect(lines, split_in);
    b.connect(split_out, words_in);
    b.connect(words_out, count_in);
    b.connect_store(count_in, &counts);
    b.connect(count_out, out);
    b.build().expect("a valid topology")
}

/// Topics of one test, and what their content must be.
pub(crate) struct Scene {
    pub(crate) topology: Arc<Topology>,
    pub(crate) partitions: u32,
    pub(crate) prefix: String,
    pub(crate) brokers: String,
    pub(crate) expected: BTreeMap<String, i64>,
    pub(crate) protocol: GroupProtocol,
    pub(crate) transaction_timeout_ms: u32,
    lines: u64,
    producer: ThreadedProducer<DefaultProducerContext>,
}

impl Scene {
    /// New topics of this many partitions.
    pub(crate) fn new(name: &str, partitions: u32) -> Scene {
        Scene::on(&brokers(), name, partitions)
    }

    pub(crate) fn on(brokers: &str, name: &str, partitions: u32) -> Scene {
        let _ = tracing_subscriber::fmt()
            .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
            .with_test_writer()
            .try_init();
        let producer = ClientConfig::new()
            .set("bootstrap.servers", brokers)
            .set("partitioner", "murmur2_random")
            .create()
            .expect("a producer");
        let scene = Scene {
            topology: Arc::new(word_count()),
            partitions,
            prefix: format!("{name}-{}.", uuid::Uuid::new_v4().simple()),
            brokers: brokers.to_owned(),
            expected: BTreeMap::new(),
            protocol: GroupProtocol::Classic,
            transaction_timeout_ms: 10_000,
            lines: 0,
            producer,
        };
        let settings = scene.settings("setup");
        let specs = topic_specs(&settings, &scene.topology, partitions, 86_400_000);
        ensure_topics(&settings, &specs, false).expect("topics");
        scene
    }

    pub(crate) fn kafka(&self) -> Kafka {
        Kafka {
            brokers: self.brokers.clone(),
            group_protocol: self.protocol,
            session_timeout_ms: u32::try_from(SESSION.as_millis()).expect("short"),
            transaction_timeout_ms: self.transaction_timeout_ms,
            replication_factor: -1,
            consumer: BTreeMap::new(),
            producer: BTreeMap::new(),
        }
    }

    pub(crate) fn settings(&self, instance: &str) -> Settings {
        Settings::new(&self.kafka(), &self.prefix, instance).expect("settings")
    }

    /// Produces lines of three words each; what they count up to is expected from now on.
    pub(crate) fn produce(&mut self, lines: u64) {
        for _ in 0..lines {
            let n = self.lines;
            self.lines += 1;
            let words: Vec<String> =
                [n, n.wrapping_mul(7) + 1, n.wrapping_mul(n) + 3].iter().map(|w| format!("w{}", w % WORDS)).collect();
            for word in &words {
                *self.expected.entry(word.clone()).or_default() += 1;
            }
            self.line(&format!("k{n}"), &words.join(" "));
        }
        self.flush();
    }

    pub(crate) fn line(&self, key: &str, line: &str) {
        let topic = format!("{}lines", self.prefix);
        let timestamp = now_ms();
        loop {
            let record = BaseRecord::to(&topic).key(key).payload(line).timestamp(timestamp);
            match self.producer.send(record) {
                Ok(()) => return,
                Err((KafkaError::MessageProduction(rdkafka::types::RDKafkaErrorCode::QueueFull), _)) => {
                    self.producer.flush(PATIENCE).expect("room");
                }
                Err((e, _)) => panic!("{e}"),
            }
        }
    }

    pub(crate) fn flush(&self) {
        self.producer.flush(PATIENCE).expect("produced");
    }

    pub(crate) fn expected_total(&self) -> i64 {
        self.expected.values().sum()
    }

    /// A worker over this state.
    pub(crate) fn worker(&self, instance: &str, backend: &Arc<dyn Backend>) -> Killable {
        Killable::new(self, instance, backend)
    }

    /// Sum of all counts in this state.
    pub(crate) fn total(&self, view: &View) -> i64 {
        self.counts(view).values().sum()
    }

    pub(crate) fn counts(&self, view: &View) -> BTreeMap<String, i64> {
        let (store, _) = view.store("counts").expect("a store");
        let mut counts = BTreeMap::new();
        for partition in 0..self.partitions {
            view.scan(store, partition, Range::all(), Direction::Forward, &mut |key, value, _| {
                let value = i64::from_be_bytes(value.try_into().expect("eight bytes"));
                counts.insert(String::from_utf8_lossy(key).into_owned(), value);
                ControlFlow::Continue(())
            })
            .expect("scan");
        }
        counts
    }

    /// Lowers what the topic of words takes per batch, bytes.
    pub(crate) fn limit_words(&self, bytes: u32) {
        use rdkafka::admin::{AdminClient, AdminOptions, AlterConfig, ResourceSpecifier};
        let admin: AdminClient<rdkafka::client::DefaultClientContext> =
            ClientConfig::new().set("bootstrap.servers", &self.brokers).create().expect("a client");
        let topic = format!("{}word-count-words-repartition", self.prefix);
        let bytes = bytes.to_string();
        let change = AlterConfig::new(ResourceSpecifier::Topic(&topic))
            .set("max.message.bytes", &bytes)
            .set("retention.ms", "-1");
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let changed = runtime.block_on(admin.alter_configs([&change], &AdminOptions::new())).expect("an answer");
        assert!(changed.iter().all(Result::is_ok), "{changed:?}");
    }

    /// All committed records of a topic, in offset order within a partition.
    pub(crate) fn committed(&self, topic: &str) -> Vec<(i32, i64, Vec<u8>, Vec<u8>)> {
        committed(&self.brokers, &format!("{}{topic}", self.prefix))
    }

    /// Where a group goes on in a partition of a topic; `None` before its first commit.
    pub(crate) fn group_position(&self, group: &str, topic: &str, partition: i32) -> Option<i64> {
        let client: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", &self.brokers)
            .set("group.id", format!("{}{group}", self.prefix))
            .create()
            .expect("a client");
        let topic = format!("{}{topic}", self.prefix);
        let mut list = TopicPartitionList::new();
        list.add_partition(&topic, partition);
        let found = client.committed_offsets(list, PATIENCE).expect("positions");
        found.find_partition(&topic, partition)?.offset().to_raw().filter(|offset| *offset >= 0)
    }

    /// The verdict: the output holds, per word, every count from 1 to the expected one, each once and in order.
    ///
    /// EndTxn answers before its markers are on every partition; until then a read-committed consumer sees a partition end
    /// before what is committed. So what is judged is the output once no transaction is pending on it.
    pub(crate) fn verify(&self) {
        let topic = format!("{}counted", self.prefix);
        wait_until("no transaction is pending", || is_stable(&self.brokers, &topic));
        let mut last: BTreeMap<String, i64> = BTreeMap::new();
        for (partition, offset, key, value) in self.committed("counted") {
            let word = String::from_utf8(key).expect("a word");
            let count = i64::from_be_bytes(value.as_slice().try_into().expect("eight bytes"));
            let before = last.insert(word.clone(), count).unwrap_or(0);
            assert_eq!(count, before + 1, "'{word}' at {partition}@{offset}: something was lost or counted twice");
        }
        assert_eq!(last, self.expected, "final counts");
    }

    /// Number of committed output records.
    pub(crate) fn outputs(&self) -> i64 {
        i64::try_from(self.committed("counted").len()).expect("few")
    }

    /// Waits until the output is complete, then judges it.
    pub(crate) fn await_and_verify(&self) {
        let deadline = Instant::now() + PATIENCE;
        while self.outputs() < self.expected_total() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(100));
        }
        self.verify();
    }
}

/// True when no open transaction hides anything of the topic.
pub(crate) fn is_stable(brokers: &str, topic: &str) -> bool {
    let ends = |isolation: &str| -> Vec<i64> {
        let client: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", brokers)
            .set("isolation.level", isolation)
            .create()
            .expect("a client");
        let metadata = client.fetch_metadata(Some(topic), PATIENCE).expect("metadata");
        let partitions = metadata.topics()[0].partitions().iter().map(|p| p.id());
        partitions.map(|p| client.fetch_watermarks(topic, p, PATIENCE).expect("ends").1).collect()
    };
    ends("read_committed") == ends("read_uncommitted")
}

pub(crate) fn committed(brokers: &str, topic: &str) -> Vec<(i32, i64, Vec<u8>, Vec<u8>)> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("group.id", "judge")
        .set("isolation.level", "read_committed")
        .set("enable.partition.eof", "true")
        .set("enable.auto.commit", "false")
        .set("fetch.wait.max.ms", "10")
        .create()
        .expect("a consumer");
    let metadata = consumer.fetch_metadata(Some(topic), PATIENCE).expect("metadata");
    let count = metadata.topics()[0].partitions().len();
    let mut list = TopicPartitionList::new();
    for p in 0..count {
        list.add_partition_offset(topic, i32::try_from(p).expect("few"), NativeOffset::Beginning).expect("offset");
    }
    consumer.assign(&list).expect("assign");
    let (mut records, mut ends) = (Vec::new(), 0);
    let deadline = Instant::now() + PATIENCE;
    while ends < count {
        assert!(Instant::now() < deadline, "{topic}: no end in sight");
        match consumer.poll(Duration::from_millis(100)) {
            None => (),
            Some(Err(KafkaError::PartitionEOF(_))) => ends += 1,
            Some(Err(e)) => eprintln!("judge: {e}"),
            Some(Ok(m)) => records.push((
                m.partition(),
                m.offset(),
                m.key().unwrap_or_default().to_vec(),
                m.payload().unwrap_or_default().to_vec(),
            )),
        }
    }
    records
}

/// State as it survives the worker: what a kill −9 leaves, when the backend's writes are in the operating system.
pub(crate) fn disk() -> Arc<dyn Backend> {
    Arc::new(Memory::new())
}

/// Counts what passes through the port.
#[derive(Default)]
pub(crate) struct Passed {
    pub(crate) restored: AtomicU64,
    pub(crate) commits: AtomicU64,
    pub(crate) resets: AtomicU64,
    /// Changelog records of the open transaction, and of the largest so far: what a kill may leave to be restored.
    pub(crate) changelog: AtomicU64,
    pub(crate) changelog_max: AtomicU64,
    pub(crate) polled: AtomicU64,
    pub(crate) refused: AtomicU64,
    pub(crate) commit_nanos: AtomicU64,
}

/// A [`KafkaLog`] that counts.
pub(crate) struct Counting {
    pub(crate) inner: KafkaLog,
    pub(crate) passed: Arc<Passed>,
    pub(crate) changelog: TopicIndex,
    /// Called once, before the next commit.
    pub(crate) before_commit: Option<Box<dyn FnOnce() + Send>>,
}

impl Log for Counting {
    fn state_writes(&self) -> StateWrites {
        self.inner.state_writes()
    }
    fn partitions(&self) -> &[u32] {
        self.inner.partitions()
    }
    fn poll(&mut self, timeout: Duration, polled: &mut Polled) -> Result<(), Error> {
        self.inner.poll(timeout, polled)?;
        self.passed.polled.fetch_add(polled.records.len() as u64, Ordering::Relaxed);
        Ok(())
    }
    fn begin(&mut self) -> Result<(), Error> {
        self.passed.changelog.store(0, Ordering::Relaxed);
        self.inner.begin()
    }
    fn send(&mut self, record: Outgoing<'_>) -> Result<(), Error> {
        if record.topic == self.changelog {
            let sent = self.passed.changelog.fetch_add(1, Ordering::Relaxed) + 1;
            self.passed.changelog_max.fetch_max(sent, Ordering::Relaxed);
        }
        let sent = self.inner.send(record);
        self.passed.refused.fetch_add(u64::from(matches!(sent, Err(Error::Refused { .. }))), Ordering::Relaxed);
        sent
    }
    fn commit(&mut self, commit: Commit<'_>) -> Result<CommitAck, Error> {
        if let Some(wait) = self.before_commit.take() {
            wait();
        }
        let began = Instant::now();
        let committed = self.inner.commit(commit);
        if committed.is_ok() {
            self.passed.commits.fetch_add(1, Ordering::Relaxed);
            let nanos = u64::try_from(began.elapsed().as_nanos()).unwrap_or(u64::MAX);
            self.passed.commit_nanos.fetch_add(nanos, Ordering::Relaxed);
        }
        self.passed.refused.fetch_add(u64::from(matches!(committed, Err(Error::Refused { .. }))), Ordering::Relaxed);
        committed
    }
    fn abort(&mut self) -> Result<(), Error> {
        self.inner.abort()
    }
    fn reset(&mut self) -> Result<(), Error> {
        self.passed.resets.fetch_add(1, Ordering::Relaxed);
        self.inner.reset()
    }
    fn committed(&mut self, inputs: &[TopicPartition]) -> Result<Vec<Option<Committed>>, Error> {
        self.inner.committed(inputs)
    }
    fn ranges(&mut self, partitions: &[TopicPartition]) -> Result<Vec<LogRange>, Error> {
        self.inner.ranges(partitions)
    }
    fn writes_markers(&self) -> bool {
        self.inner.writes_markers()
    }
    fn replay(
        &mut self,
        changelog: TopicPartition,
        from: Offset,
        to: Offset,
        records_max: usize,
        records: &mut Vec<Incoming>,
    ) -> Result<Replayed, Error> {
        let before = records.len();
        let replayed = self.inner.replay(changelog, from, to, records_max, records)?;
        self.passed.restored.fetch_add((records.len() - before) as u64, Ordering::Relaxed);
        Ok(replayed)
    }
    fn seek_and_resume(&mut self, input: TopicPartition, offset: Offset) -> Result<(), Error> {
        self.inner.seek_and_resume(input, offset)
    }
    fn pause(&mut self, input: TopicPartition) -> Result<(), Error> {
        self.inner.pause(input)
    }
    fn resume(&mut self, input: TopicPartition) -> Result<(), Error> {
        self.inner.resume(input)
    }
    fn park(&mut self, input: TopicPartition) -> Result<(), Error> {
        self.inner.park(input)
    }
    fn unassign(&mut self) -> Result<(), Error> {
        self.inner.unassign()
    }
    fn close(&mut self) {
        self.inner.close();
    }
}

/// A worker driven turn by turn; dropping it without [`Killable::close`] is a kill.
pub(crate) struct Killable {
    pub(crate) worker: Worker<Counting>,
    pub(crate) view: Arc<View>,
    pub(crate) passed: Arc<Passed>,
}

impl Killable {
    pub(crate) fn new(scene: &Scene, instance: &str, backend: &Arc<dyn Backend>) -> Killable {
        let inner = KafkaLog::connect(&scene.settings(instance), &scene.topology, 0, None).expect("connected");
        let passed = Arc::new(Passed::default());
        let view = View::open(scene.topology.clone(), backend.clone()).expect("a view");
        let changelog = scene.topology.topic("word-count-counts-changelog").expect("a changelog");
        let log = Counting { inner, passed: passed.clone(), changelog, before_commit: None };
        Killable { worker: Worker::new(log, view.clone(), streams::Config::default()), view, passed }
    }

    /// Turns until `done`, or until the worker stops.
    pub(crate) fn run_until(&mut self, what: &str, mut done: impl FnMut(&Self) -> bool) -> Result<(), streams::Error> {
        let deadline = Instant::now() + PATIENCE;
        while !done(self) {
            assert!(Instant::now() < deadline, "waited in vain until {what}; tasks: {:?}", self.view.tasks());
            self.worker.turn(now_ms(), TURN)?;
        }
        Ok(())
    }

    /// Turns, with new lines all the time, until the worker stops.
    pub(crate) fn run_while_producing(&mut self, scene: &mut Scene) -> Result<(), streams::Error> {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            scene.produce(5);
            for _ in 0..5 {
                self.worker.turn(now_ms(), TURN)?;
            }
        }
        Ok(())
    }

    pub(crate) fn run_to_total(&mut self, scene: &Scene) -> Result<(), streams::Error> {
        let want = scene.expected_total();
        self.run_until("all is counted", |k| scene.total(&k.view) >= want)
    }

    pub(crate) fn is_running(&self, tasks: usize) -> bool {
        let all = self.view.tasks();
        all.len() == tasks && all.iter().all(|(_, t)| t.phase == Phase::Running)
    }

    pub(crate) fn close(self) {
        self.worker.close(now_ms()).expect("a clean stop");
    }
}

/// A worker on a thread of its own.
pub(crate) struct Instance {
    stop: Arc<AtomicBool>,
    kill: Arc<AtomicBool>,
    die: Arc<AtomicBool>,
    pub(crate) passed: Arc<Passed>,
    pub(crate) view: Arc<View>,
    thread: JoinHandle<Result<(), streams::Error>>,
}

impl Instance {
    pub(crate) fn start(scene: &Scene, name: &str, backend: &Arc<dyn Backend>) -> Instance {
        let (stop, kill) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let (stopping, killing) = (stop.clone(), kill.clone());
        let mut killable = Killable::new(scene, name, backend);
        let die = Arc::new(AtomicBool::new(false));
        let dying = die.clone();
        let sent = killable.passed.clone();
        killable.worker.on_crash_point(Box::new(move |point| {
            let open = point == "commit.before-log" && sent.changelog.load(Ordering::Relaxed) > 0;
            open && dying.load(Ordering::SeqCst)
        }));
        let (passed, view) = (killable.passed.clone(), killable.view.clone());
        let thread = std::thread::spawn(move || {
            while !stopping.load(Ordering::SeqCst) {
                if killing.load(Ordering::SeqCst) {
                    return Ok(());
                }
                killable.worker.turn(now_ms(), TURN)?;
            }
            killable.worker.close(now_ms())
        });
        Instance { stop, kill, die, passed, view, thread }
    }

    pub(crate) fn running(&self) -> usize {
        self.view.tasks().iter().filter(|(_, t)| t.phase == Phase::Running).count()
    }

    /// Stops in order.
    pub(crate) fn stop(self) {
        self.stop.store(true, Ordering::SeqCst);
        self.thread.join().expect("no panic").expect("a clean stop");
    }

    /// Has new lines until the worker has sent changelog records it has not committed, and kills it right there. When.
    pub(crate) fn die_in_a_transaction(self, scene: &mut Scene) -> Instant {
        self.die.store(true, Ordering::SeqCst);
        while !self.thread.is_finished() {
            scene.produce(20);
        }
        let ended = self.thread.join().expect("no panic");
        assert!(matches!(ended, Err(streams::Error::Crashed("commit.before-log"))), "{ended:?}");
        Instant::now()
    }

    /// Ends without commit, abort or leaving; with what the worker ended on its own, if it did.
    pub(crate) fn kill(self) -> Result<(), streams::Error> {
        self.kill.store(true, Ordering::SeqCst);
        self.thread.join().expect("no panic")
    }
}

pub(crate) fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !done() {
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
