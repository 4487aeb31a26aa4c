//! The port: what the service needs of the process it runs in, and nothing of how that process works.
//!
//! `node` implements it over Kafka and over the embedded log; tests and the `demo` example over the memory backend.
//! Topic names here are those of the topologies, without a deployment's prefix: the platform adds it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use schemas::Registry;
use streams::{Offset, Partition, TaskId, Timestamp, View};
use thiserror::Error;
use tokio::sync::mpsc;

use crate::breaker::Breaker;

/// Name of the breaker around a driver's call of the call list.
pub const ACCEPT_BREAKER: &str = "taxi-accept";

/// What the service needs of the process it runs in.
///
/// Called from many tokio threads at once. Methods that are not futures are on the path of every request: they must
/// neither block nor do IO, and answer from memory.
pub trait Platform: Send + Sync + 'static {
    /// The applications of this process; fixed for its life. The first is the default one, whose resources are also
    /// found at the root.
    fn apps(&self) -> &[App];

    /// The prefix of this deployment's topics, and thereby of registry subjects; may be empty.
    fn topic_prefix(&self) -> &str;

    /// Where schema ids come from.
    fn registry(&self) -> &Arc<dyn Registry>;

    /// Appends a record to the partition that Kafka's default partitioner gives its key, with the wall clock as its
    /// timestamp. Answers once the log has it for good (all in-sync replicas; synced to disk).
    fn append<'a>(
        &'a self,
        topic: &'a str,
        key: &'a [u8],
        value: Vec<u8>,
    ) -> BoxFuture<'a, Result<Appended, AppendError>>;

    /// Follows all partitions of a topic: committed records only, in offset order within a partition.
    fn tail<'a>(&'a self, topic: &'a str, from: TailFrom) -> BoxFuture<'a, Result<Tail, TailError>>;

    /// Which instance serves a task's stores.
    fn owner(&self, app: &str, task: TaskId) -> Owner;

    /// All known instances of an application, this one included.
    fn instances(&self, app: &str) -> Vec<Instance>;

    /// How the process is.
    fn health(&self) -> Health;

    /// The circuit breakers of this process. One named [`ACCEPT_BREAKER`] guards taxi's accept step.
    fn breakers(&self) -> &[Arc<Breaker>];

    /// Appends the process's own metrics in the OpenMetrics text form, without the closing `# EOF`
    /// (`prometheus_client::encoding::text::encode_registry`).
    ///
    /// # Errors
    /// When an encoder fails.
    fn encode_metrics(&self, out: &mut String) -> fmt::Result;
}

/// An application of this process.
#[derive(Clone)]
pub struct App {
    /// As in URLs: `fashion-store`. Not the `application.id`, which a deployment may change.
    pub name: Arc<str>,
    /// Its committed state.
    pub view: Arc<View>,
    /// Partition count of each sub-topology's source topics, by sub-topology; fixed for life.
    pub partitions: Arc<[u32]>,
}

/// Where an append landed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// The partition chosen by the key.
    pub partition: Partition,
    /// The record's own offset.
    pub offset: Offset,
}

/// Why an append did not answer with an offset.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum AppendError {
    /// No answer in time: the record may be in the log or not. A retry under the same ids is safe.
    #[error("the log did not answer within {0:?}")]
    Timeout(Duration),
    /// Too many appends are under way; nothing was written.
    #[error("too many commands are under way")]
    Busy,
    /// The log refuses this record for good (its size, its topic); nothing was written.
    #[error("the log refused the record: {0}")]
    Refused(String),
    /// The log cannot be written at the moment (no broker, no disk space, stopping); nothing was written.
    #[error("the log cannot be written: {0}")]
    Unavailable(String),
}

/// Where a tail begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TailFrom {
    /// At the end: what comes after this call.
    End,
    /// At these offsets, each of the next record to read; partitions not named begin at their end.
    Offsets(Vec<(Partition, Offset)>),
}

/// A topic being followed.
#[derive(Debug)]
pub struct Tail {
    /// Where it begins: the next offset of *every* partition of the topic.
    pub start: Vec<(Partition, Offset)>,
    /// What comes. Bounded by the platform, which waits for a slow reader, and stops when this is dropped. Closes when
    /// the platform stops or the topic cannot be read any more.
    pub items: mpsc::Receiver<TailItem>,
}

/// What a tail brings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TailItem {
    /// A committed record.
    Record(TailRecord),
    /// Everything of this partition below `next` has been sent. Comes whenever the end is reached after a record, and once
    /// when a tail begins at or past the end: offsets have gaps (transaction markers), so that a reader who waits for a
    /// certain offset could wait for ever.
    CaughtUp {
        /// Which partition.
        partition: Partition,
        /// The next offset to be read.
        next: Offset,
    },
}

/// A record of a tail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TailRecord {
    /// Its partition.
    pub partition: Partition,
    /// Its offset.
    pub offset: Offset,
    /// Its timestamp.
    pub timestamp: Timestamp,
    /// Key bytes; empty when it has none.
    pub key: Vec<u8>,
    /// Value bytes; `None` is a tombstone.
    pub value: Option<Vec<u8>>,
}

/// Why a topic cannot be followed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum TailError {
    /// The log does not begin early enough any more.
    #[error("partition {partition} begins at offset {start}")]
    Expired {
        /// Which partition.
        partition: Partition,
        /// Its first offset.
        start: Offset,
    },
    /// There is no such topic here.
    #[error("there is no topic '{0}'")]
    UnknownTopic(String),
    /// The log cannot be read at the moment.
    #[error("the log cannot be read: {0}")]
    Unavailable(String),
}

/// Which instance serves a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Owner {
    /// This one: the task is running here.
    Here,
    /// Another one, at this base URL without a trailing slash (`http://10.0.0.7:8088`).
    At(Arc<str>),
    /// No one for now: a rebalance, a restore, or nobody runs this sub-topology.
    Unknown,
}

/// An instance of an application.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instance {
    /// Its name in the group.
    pub id: String,
    /// Its base URL without a trailing slash.
    pub url: Arc<str>,
    /// Whether it is this process.
    pub here: bool,
    /// Whether it has been silent for longer than its session: what is said of it may be out of date.
    pub stale: bool,
    /// The tasks it says it has.
    pub tasks: Vec<InstanceTask>,
}

/// A task as its instance announces it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstanceTask {
    /// Which one.
    pub task: TaskId,
    /// As what.
    pub role: Role,
}

/// As what an instance holds a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Processing it.
    Active,
    /// About to process it, catching its stores up.
    Restoring,
    /// Following its changelogs.
    Standby,
    /// Standing still after a failure.
    Failed,
}

/// How the process is.
#[derive(Clone, Debug, Default)]
pub struct Health {
    /// One entry per worker thread.
    pub workers: Vec<WorkerHealth>,
    /// Why commands cannot be appended now; `None` while they can.
    pub cannot_append: Option<Trouble>,
    /// Anything else an operator must act on: a full disk, a paused task.
    pub troubles: Vec<Trouble>,
    /// A stop was asked for: no new connections should come here.
    pub stopping: bool,
}

/// A worker thread as seen from outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkerHealth {
    /// `<app>-<worker>`.
    pub name: String,
    /// Since its loop last turned. Idle workers turn too, at every poll timeout.
    pub last_turn: Duration,
}

/// Something wrong, in words for an operator: what it is and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble(pub String);
