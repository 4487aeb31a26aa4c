//! The port: what the engine needs of a log, and nothing of how one works.
//!
//! Three adapters exist: Kafka and the embedded log (both in `node`), and the seeded simulation in [`crate::testing`].
//! One `Log` belongs to one worker thread; it is that worker's consumer, producer and changelog reader in one.

use std::time::Duration;

use state::Batch;
use thiserror::Error;

use crate::record::{Headers, Incoming};
use crate::types::{Offset, Partition, Timestamp, TopicIndex, TopicPartition};

/// What one [`Log::poll`] brought. The worker hands the same buffer in again and again.
#[derive(Debug, Default)]
pub struct Polled {
    /// Records of assigned, unpaused partitions; in offset order within a partition.
    pub records: Vec<(TopicPartition, Incoming)>,
    /// Partitions read to the end the log had when they were last fetched, and the offset that comes next there: past
    /// whatever lies between the last record and the end (transaction markers). A partition counts as *behind* from takeover
    /// (when its committed position is below the end asked then) until it shows up here (KIP-695).
    pub caught_up: Vec<(TopicPartition, Offset)>,
    /// Some partition has more records at hand than were taken of it. A worker that has processed all it was given is not at
    /// the end of its input then, and a commit is not due for want of work: many small ones would cost more than they hasten.
    pub more: bool,
    /// Changes of the assignment, in order. At most one revocation or loss per poll, and it is the last.
    pub rebalance: Vec<Rebalance>,
}

impl Polled {
    /// Empties the buffer and keeps its memory.
    pub fn clear(&mut self) {
        self.records.clear();
        self.caught_up.clear();
        self.more = false;
        self.rebalance.clear();
    }
}

/// A change of which partitions are ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rebalance {
    /// The whole assignment from now on. Its partitions start paused and are to be sought and resumed by the worker.
    Assigned(Vec<TopicPartition>),
    /// The whole assignment is taken back while we still own it: the worker commits what it has, then calls
    /// [`Log::unassign`].
    Revoked,
    /// The assignment is gone already: nothing may be committed any more. The worker aborts, then calls
    /// [`Log::unassign`].
    Lost,
}

/// A record to append.
#[derive(Clone, Copy, Debug)]
pub struct Outgoing<'a> {
    /// Where to.
    pub topic: TopicIndex,
    /// Which partition; `None` for a keyless record, which the adapter spreads.
    pub partition: Option<Partition>,
    /// Key bytes.
    pub key: Option<&'a [u8]>,
    /// Value bytes; `None` is a tombstone.
    pub value: Option<&'a [u8]>,
    /// Event time.
    pub timestamp: Timestamp,
    /// Headers.
    pub headers: &'a Headers,
}

/// The position of one input partition, to be committed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommitPosition {
    /// Which input.
    pub input: TopicPartition,
    /// The next offset to read.
    pub offset: Offset,
    /// The task's fingerprint and operator stream times, encoded; at most [`crate::limits::OFFSET_METADATA_BYTES_MAX`] bytes.
    pub metadata: String,
}

/// A committed position as read back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    /// The next offset to read.
    pub offset: Offset,
    /// What was committed with it.
    pub metadata: String,
}

/// The state of a changelog (or input) partition, asked fresh from the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogRange {
    /// Identity of the topic; changes when a topic is deleted and created again.
    pub topic_id: [u8; 16],
    /// First offset still there.
    pub start: Offset,
    /// End of the log as a read-uncommitted client sees it (a read-committed one would be told the last stable offset and
    /// miss what a still open transaction is about to commit, KAFKA-10167).
    pub end: Offset,
}

/// What one [`Log::replay`] step brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Replayed {
    /// Where the next step goes on: past control records too.
    pub next: Offset,
    /// True while an open transaction of an earlier owner hides the rest. The worker asks again later.
    pub blocked: bool,
}

/// Who makes a commit's state changes durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StateWrites {
    /// The worker writes them to the backend after the log has committed; changelogs close the gap after a crash.
    AfterCommit,
    /// The log writes them in its own atomic commit ([`Commit::state`]); persistent stores need no changelog.
    WithCommit,
}

/// Everything that becomes true at once.
#[derive(Debug)]
pub struct Commit<'a> {
    /// Positions of every task that took part.
    pub positions: &'a [CommitPosition],
    /// State changes, filled under [`StateWrites::WithCommit`] and empty otherwise.
    pub state: &'a Batch,
    /// What the transaction stands on: nothing may be committed unless its records lie here.
    pub placements: &'a [Placement],
}

/// Where the records that a transaction sent to a partition must lie: at `first` and on, up to before `next`, all of them
/// and no others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placement {
    /// Where they were sent.
    pub partition: TopicPartition,
    /// Offset of the first.
    pub first: Offset,
    /// Offset after the last.
    pub next: Offset,
}

/// What a commit answers.
#[derive(Debug, Default)]
pub struct CommitAck {
    /// For every partition written in this transaction: the offset after the last record.
    pub written: Vec<(TopicPartition, Offset)>,
}

/// Why a log call failed, sorted by what the worker must do.
#[derive(Debug, Error)]
pub enum Error {
    /// Nothing was committed for certain. The worker aborts, drops its uncommitted state and rewinds.
    #[error("transaction must be aborted: {0}")]
    Abort(String),
    /// As [`Error::Abort`]: a [`Placement`] does not hold.
    #[error("transaction must be aborted, its records are not where they were expected: {0}")]
    Displaced(String),
    /// It is not known whether the commit happened, or the client is unusable. The worker calls [`Log::reset`], reads
    /// committed positions again, catches its stores up and goes on from there: never from remembered positions.
    #[error("outcome unknown: {0}")]
    Unknown(String),
    /// Another producer took over our `transactional.id`, or the group dropped us: as [`Error::Unknown`], and tasks are
    /// given up until the next assignment.
    #[error("fenced: {0}")]
    Fenced(String),
    /// One record was refused for good (too large, invalid timestamp, no such topic). The worker aborts and re-runs record
    /// by record to find the culprit.
    #[error("record to {topic} refused: {reason}")]
    Refused {
        /// Where it was to go.
        topic: String,
        /// The log's words.
        reason: String,
    },
    /// Going on is pointless (authorization, unsupported broker). The process stops with this message.
    #[error("{0}")]
    Fatal(String),
}

/// A log that can be read, written in transactions, and replayed.
///
/// All calls are made from one thread and block at most for the adapter's own named timeouts.
pub trait Log {
    /// Who makes state durable.
    fn state_writes(&self) -> StateWrites;

    /// Partition counts by [`TopicIndex`], fixed for the life of the worker.
    fn partitions(&self) -> &[u32];

    /// Waits up to `timeout` for anything, then appends what there is to `polled` (which it does not clear).
    ///
    /// # Errors
    /// [`Error::Fenced`] or [`Error::Fatal`]; passing faults are retried inside.
    fn poll(&mut self, timeout: Duration, polled: &mut Polled) -> Result<(), Error>;

    /// Starts a transaction and remembers the group's metadata as of now.
    ///
    /// # Errors
    /// See [`enum@Error`].
    fn begin(&mut self) -> Result<(), Error>;

    /// Appends a record to the open transaction; returns before it is acknowledged.
    ///
    /// # Errors
    /// [`Error::Refused`] when the record itself cannot be taken; otherwise a fault of the transaction.
    fn send(&mut self, record: Outgoing<'_>) -> Result<(), Error>;

    /// Commits the open transaction: all records sent, all positions, and under [`StateWrites::WithCommit`] all state, or
    /// nothing.
    ///
    /// # Errors
    /// [`Error::Abort`] and [`Error::Displaced`] only if it is certain that nothing was committed; [`Error::Unknown`] when
    /// it is not.
    fn commit(&mut self, commit: Commit<'_>) -> Result<CommitAck, Error>;

    /// Aborts the open transaction.
    ///
    /// # Errors
    /// [`Error::Unknown`] when even that failed.
    fn abort(&mut self) -> Result<(), Error>;

    /// Starts over as after a crash: a new producer with the same `transactional.id`, initialised, so that whatever was in
    /// flight is decided. The assignment stays.
    ///
    /// # Errors
    /// [`Error::Fatal`] when it cannot be done within the adapter's limits.
    fn reset(&mut self) -> Result<(), Error>;

    /// Committed positions of these inputs, once no pending transaction can still change them (`require_stable`).
    ///
    /// # Errors
    /// [`Error::Unknown`] when the coordinator does not answer in time.
    fn committed(&mut self, inputs: &[TopicPartition]) -> Result<Vec<Option<Committed>>, Error>;

    /// Identity and extent of these partitions, in their order.
    ///
    /// # Errors
    /// [`Error::Unknown`] when the log does not answer in time.
    fn ranges(&mut self, partitions: &[TopicPartition]) -> Result<Vec<LogRange>, Error>;

    /// Ends of these partitions as in [`Log::ranges`], asked in passing: an answer that does not come at once is done without.
    ///
    /// # Errors
    /// As [`Log::ranges`].
    fn ends(&mut self, partitions: &[TopicPartition]) -> Result<Vec<Offset>, Error> {
        Ok(self.ranges(partitions)?.into_iter().map(|range| range.end).collect())
    }

    /// True when a transaction ends, in every partition it wrote to, with a marker that takes one offset (Kafka).
    fn writes_markers(&self) -> bool;

    /// Reads committed records of a changelog from `from` on, at most `records_max`, appended to `records`, on the way to
    /// `to`. Never waits for more than is here: the worker asks again.
    ///
    /// # Errors
    /// [`Error::Unknown`] when the log does not answer in time.
    fn replay(
        &mut self,
        changelog: TopicPartition,
        from: Offset,
        to: Offset,
        records_max: usize,
        records: &mut Vec<Incoming>,
    ) -> Result<Replayed, Error>;

    /// Positions an assigned, paused partition and lets it flow. The next record delivered of it is the first at or past
    /// `offset`: whatever was fetched before is dropped by the adapter. (The engine cannot tell: offsets have gaps.)
    ///
    /// # Errors
    /// [`Error::Unknown`] when the client refuses.
    fn seek_and_resume(&mut self, input: TopicPartition, offset: Offset) -> Result<(), Error>;

    /// Stops fetching from a partition; what was fetched already may still be delivered once.
    ///
    /// # Errors
    /// [`Error::Unknown`] when the client refuses.
    fn pause(&mut self, input: TopicPartition) -> Result<(), Error>;

    /// Goes on fetching from where [`Log::pause`] stopped.
    ///
    /// # Errors
    /// [`Error::Unknown`] when the client refuses.
    fn resume(&mut self, input: TopicPartition) -> Result<(), Error>;

    /// Stops reading an assigned partition until it is sought again ([`Log::seek_and_resume`]): unlike after
    /// [`Log::pause`], nothing is fetched ahead, and nothing of it is delivered any more.
    ///
    /// # Errors
    /// [`Error::Unknown`] when the client refuses.
    fn park(&mut self, input: TopicPartition) -> Result<(), Error>;

    /// Acknowledges a revocation or loss.
    ///
    /// # Errors
    /// [`Error::Unknown`] when the client refuses.
    fn unassign(&mut self) -> Result<(), Error>;

    /// Leaves: closes the consumer (without leaving a static group membership) and the producer.
    fn close(&mut self);
}
