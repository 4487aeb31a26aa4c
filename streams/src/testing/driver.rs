//! Runs a topology step by step on the production worker: records in, records out, stores readable, clock in hand.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use state::{Backend, Direction, Memory, Range};

use super::sim_log::{SimCluster, SimLog};
use crate::error::Error;
use crate::partitioner::partition_for_key;
use crate::record::Headers;
use crate::serde::Serde;
use crate::task::Counters;
use crate::topology::Topology;
use crate::types::{Offset, Partition, TaskId, Timestamp, TopicIndex, TopicPartition};
use crate::view::View;
use crate::worker::{Config, Worker};

/// Turns after which a driver that is still busy is taken for one that never ends.
const TURNS_MAX: usize = 1_000_000;

/// A record read from a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutRecord {
    /// Its partition.
    pub partition: Partition,
    /// Key bytes.
    pub key: Option<Vec<u8>>,
    /// Value bytes.
    pub value: Option<Vec<u8>>,
    /// Event time.
    pub timestamp: Timestamp,
    /// Headers.
    pub headers: Vec<(String, Option<Vec<u8>>)>,
}

/// A topology under test.
///
/// Each [`TestDriver::pipe`] is processed to its end, through repartition topics and the topology's own topics too, and
/// committed, before it returns. The wall clock stands still unless advanced.
pub struct TestDriver {
    topology: Arc<Topology>,
    cluster: SimCluster,
    backend: Arc<dyn Backend>,
    view: Arc<View>,
    workers: BTreeMap<String, Worker<SimLog>>,
    config: Config,
    now: Timestamp,
    read_up_to: BTreeMap<TopicIndex, u64>,
}

impl TestDriver {
    /// A driver with one worker and the given partition count for every topic.
    ///
    /// # Panics
    /// When the topology cannot start: a test has nothing better to do.
    #[must_use]
    pub fn new(topology: Topology, partitions: u32) -> Self {
        Self::with_config(topology, partitions, Config { commit_min_interval_ms: 0, ..Config::default() })
    }

    /// As [`TestDriver::new`] with settings of the worker.
    ///
    /// # Panics
    /// As [`TestDriver::new`].
    #[must_use]
    #[expect(clippy::expect_used, reason = "a test driver reports by panicking")]
    pub fn with_config(topology: Topology, partitions: u32, config: Config) -> Self {
        // The clock stands still, so global stores are looked after at every turn.
        let config = Config { global_interval_ms: 0, ..config };
        let topology = Arc::new(topology);
        let cluster = SimCluster::new(&topology, partitions);
        let backend: Arc<dyn Backend> = Arc::new(Memory::new());
        let view = View::open(topology.clone(), backend.clone()).expect("the stores open");
        let mut driver = TestDriver {
            topology,
            cluster,
            backend,
            view,
            workers: BTreeMap::new(),
            config,
            now: 0,
            read_up_to: BTreeMap::new(),
        };
        driver.start_worker("worker-0");
        driver.run();
        driver
    }

    fn start_worker(&mut self, instance: &str) {
        let worker = Worker::new(self.cluster.connect(instance), self.view.clone(), self.config.clone());
        self.workers.insert(instance.to_owned(), worker);
    }

    /// Adds a worker over the same stores; tasks are spread over all workers.
    pub fn add_worker(&mut self) {
        let name = format!("worker-{}", self.workers.len());
        self.start_worker(&name);
        self.run();
    }

    /// The simulated cluster, for tests that look or reach deeper.
    #[must_use]
    pub fn cluster(&self) -> &SimCluster {
        &self.cluster
    }

    /// A worker by its number, for fault hooks.
    pub fn worker_mut(&mut self, number: usize) -> Option<&mut Worker<SimLog>> {
        self.workers.values_mut().nth(number)
    }

    fn index(&self, topic: &str) -> TopicIndex {
        self.topology.topic(topic).unwrap_or_else(|| {
            let known: Vec<&str> = self.topology.topics().iter().map(|t| &*t.name).collect();
            panic!("topic '{topic}' is not in the topology, which has {known:?}")
        })
    }

    /// Writes a record and processes everything that follows from it.
    pub fn pipe(&mut self, topic: &str, key: Option<&[u8]>, value: Option<&[u8]>, timestamp: Timestamp) {
        self.produce(topic, key, value, timestamp);
        self.run();
    }

    /// As [`TestDriver::pipe`] with typed key and value.
    ///
    /// # Panics
    /// When a value does not fit its format.
    #[expect(clippy::expect_used, reason = "a test driver reports by panicking")]
    pub fn pipe_typed<K: 'static, V: 'static>(
        &mut self,
        topic: &str,
        (key_serde, key): (&dyn Serde<K>, Option<&K>),
        (value_serde, value): (&dyn Serde<V>, Option<&V>),
        timestamp: Timestamp,
    ) {
        let mut key_bytes = Vec::new();
        let mut value_bytes = Vec::new();
        key.map_or(Ok(()), |k| key_serde.serialize(k, &mut key_bytes)).expect("the key fits its format");
        value.map_or(Ok(()), |v| value_serde.serialize(v, &mut value_bytes)).expect("the value fits its format");
        self.pipe(topic, key.map(|_| &*key_bytes), value.map(|_| &*value_bytes), timestamp);
    }

    /// Writes a record without processing it.
    pub fn produce(&mut self, topic: &str, key: Option<&[u8]>, value: Option<&[u8]>, timestamp: Timestamp) -> Offset {
        let topic = self.index(topic);
        let count = self.cluster.partitions(topic);
        let partition = key.map_or(0, |k| partition_for_key(k, count));
        self.produce_to(TopicPartition { topic, partition }, key, value, timestamp)
    }

    /// Writes a record to a partition of the test's choice without processing it.
    pub fn produce_to(
        &mut self,
        at: TopicPartition,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        timestamp: Timestamp,
    ) -> Offset {
        if self.topology.topics().get(usize::from(at.topic.0)).is_some_and(|t| t.exclusive) {
            self.workers.values_mut().for_each(Worker::look_at_own_topics);
        }
        self.cluster.produce(at, key, value, timestamp, Headers::default())
    }

    /// Runs all workers until nothing is left to do.
    ///
    /// # Panics
    /// When a worker ends with an error, or never comes to rest.
    #[expect(clippy::expect_used, reason = "a test driver reports by panicking")]
    pub fn run(&mut self) {
        self.try_run().expect("the worker runs");
    }

    /// As [`TestDriver::run`].
    ///
    /// # Errors
    /// What ended a worker.
    ///
    /// # Panics
    /// When the workers never come to rest.
    pub fn try_run(&mut self) -> Result<(), Error> {
        let mut quiet = 0;
        for _ in 0..TURNS_MAX {
            let before = self.cluster.sequence();
            let mut busy = false;
            for worker in self.workers.values_mut() {
                let turn = worker.turn(self.now, Duration::ZERO)?;
                busy |= turn.busy || turn.processed > 0 || turn.committed;
            }
            let rests = !busy && self.cluster.sequence() == before && self.cluster.is_settled();
            quiet = if rests { quiet + 1 } else { 0 };
            // A turn that resumed a task has not polled it yet.
            if quiet > 1 {
                return Ok(());
            }
        }
        panic!("the topology never comes to rest: it feeds itself");
    }

    /// Moves the wall clock and runs what is due.
    pub fn advance_wall_clock(&mut self, by_ms: i64) {
        self.now += by_ms;
        self.run();
    }

    /// Wall-clock time.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// Committed records of a topic since the last read of it, in the order they were written.
    pub fn read(&mut self, topic: &str) -> Vec<OutRecord> {
        let topic = self.index(topic);
        let from = self.read_up_to.insert(topic, self.cluster.sequence()).unwrap_or(0);
        self.cluster
            .read(topic, from)
            .into_iter()
            .map(|r| OutRecord {
                partition: r.partition,
                key: r.record.key().map(<[u8]>::to_vec),
                value: r.record.value().map(<[u8]>::to_vec),
                timestamp: r.record.timestamp,
                headers: r
                    .record
                    .headers()
                    .iter()
                    .filter(|(n, _)| !n.starts_with("sim."))
                    .map(|(n, v)| (n.to_owned(), v.map(<[u8]>::to_vec)))
                    .collect(),
            })
            .collect()
    }

    /// As [`TestDriver::read`] of a topic of texts, each record as `key=value@timestamp` and a null as `null`: for tests that
    /// are read as much as run.
    pub fn read_text(&mut self, topic: &str) -> Vec<String> {
        let text =
            |bytes: Option<Vec<u8>>| bytes.map_or("null".to_owned(), |b| String::from_utf8_lossy(&b).into_owned());
        let line = |r: OutRecord| format!("{}={}@{}", text(r.key), text(r.value), r.timestamp);
        self.read(topic).into_iter().map(line).collect()
    }

    /// The view queries use.
    #[must_use]
    pub fn view(&self) -> &Arc<View> {
        &self.view
    }

    /// Every committed entry of a store over all partitions: key bytes, payload, timestamp, in key order per partition.
    ///
    /// # Panics
    /// When there is no such store or it cannot be read.
    #[must_use]
    #[expect(clippy::expect_used, reason = "a test driver reports by panicking")]
    pub fn entries(&self, store: &str) -> Vec<(Vec<u8>, Vec<u8>, Timestamp)> {
        let (index, _) = self.topology.store(store).expect("the topology has this store");
        let partitions = self.topology.topics().len().max(1);
        let counts =
            (0..partitions).filter_map(|t| u16::try_from(t).ok()).map(|t| self.cluster.partitions(TopicIndex(t)));
        let mut found = Vec::new();
        for partition in 0..counts.max().unwrap_or(1) {
            self.view
                .scan(index, partition, Range::all(), Direction::Forward, &mut |key, payload, at| {
                    found.push((key.to_vec(), payload.to_vec(), at));
                    ControlFlow::Continue(())
                })
                .expect("the store can be read");
        }
        found
    }

    /// The payload under a key, in the partition its murmur2 hash names or wherever it is.
    #[must_use]
    pub fn get(&self, store: &str, key: &[u8]) -> Option<(Vec<u8>, Timestamp)> {
        self.entries(store).into_iter().find(|(k, _, _)| k == key).map(|(_, payload, at)| (payload, at))
    }

    /// Counters of every task.
    #[must_use]
    pub fn counters(&self) -> BTreeMap<TaskId, Counters> {
        self.workers.values().flat_map(|w| w.tasks().map(|t| (t.id(), t.counters())).collect::<Vec<_>>()).collect()
    }

    /// Sum of a counter over all tasks.
    #[must_use]
    pub fn total(&self, counter: impl Fn(&Counters) -> u64) -> u64 {
        self.counters().values().map(counter).sum()
    }

    /// Kills every worker without a clean stop and starts it again on the same stores.
    pub fn crash_and_restore(&mut self) {
        self.crash();
        self.run();
    }

    /// As [`TestDriver::crash_and_restore`], without running what is started.
    pub fn crash(&mut self) {
        let names: Vec<String> = self.workers.keys().cloned().collect();
        self.workers.clear();
        for name in names {
            self.start_worker(&name);
        }
    }

    /// As [`TestDriver::crash_and_restore`], with the stores lost: everything comes back from changelogs.
    ///
    /// # Panics
    /// When the stores cannot be opened.
    #[expect(clippy::expect_used, reason = "a test driver reports by panicking")]
    pub fn crash_and_lose_disk(&mut self) {
        self.backend = Arc::new(Memory::new());
        self.view = View::open(self.topology.clone(), self.backend.clone()).expect("the stores open");
        self.crash_and_restore();
    }
}
