//! The embedded log: topics, positions and stores of one process in one backend, durable with no broker at all.
//!
//! *One commit is one write.* A worker's commit (records, positions, state) and the appends of the gateway gather in a
//! queue; one committer thread takes all that gathered, writes it as one batch, syncs, publishes the new ends and answers.
//! A crash at any moment leaves whole commits, a prefix of those made: there is nothing to undo and nothing to restore.
//!
//! *Who sees what.* Workers read what is committed; subscriptions, which act on the world outside (payment, server-sent
//! events), only what is on disk. With [`Sync::Always`] that is the same. With [`Sync::Interval`] commits and appends are
//! answered once the operating system has them: `kill -9` loses nothing, a power loss at most the interval, whole commits
//! from the end.
//!
//! *Deliberately absent*: replication, networking, a group protocol. The process's workers share their tasks by a fixed
//! rule ([`Share`]); past one machine the answer is Kafka ([`LocalBroker::export`]).
//!
//! | file | what |
//! |---|---|
//! | `broker.rs` | what everyone but the engine calls |
//! | `log.rs` | the engine's port, one per worker |
//! | `shared.rs`, `committer.rs` | the queue, and the one thread that writes |
//! | `topic.rs`, `tail.rs`, `format.rs` | partitions in memory, their newest records, their stored form |
//! | `blocking.rs` | `broker.rs` for threads that wait: programs with no async runtime |
//! | `subscription.rs`, `retention.rs`, `export.rs`, `reset.rs` | following, deleting what is old, moving away, forgetting an application |

mod blocking;
mod broker;
mod committer;
mod error;
mod export;
mod format;
pub mod limits;
mod log;
mod reset;
mod retention;
mod shared;
mod subscription;
mod tail;
mod topic;

use std::time::Duration;

pub use broker::{GroupPosition, LocalBroker, PartitionInfo, Produce, Stats, TopicInfo};
pub use committer::CRASH_POINTS;
pub use error::{Action, Error};
pub use export::{Export, ExportedPosition};
pub use log::{LocalLog, Share, topics_of};
pub use reset::forget;
pub(crate) use reset::stores_of;
pub use subscription::{Event, From, Subscription};
pub use topic::{Cleanup, NewTopic, Retention};

/// When a commit is on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sync {
    /// Before it is published or answered, by a sync after each write.
    Always,
    /// The same, for a backend that syncs in its write ([`state::rocks::Durability::Sync`]): saves the second call, and no
    /// query sees what is not on disk.
    InWrite,
    /// At most this long after it is answered; subscriptions see it then.
    Interval(Duration),
}

/// How the log behaves.
#[derive(Clone, Debug)]
pub struct Config {
    /// When a commit is on disk.
    pub sync: Sync,
    /// Longest wait of an append for room in the queue, then it is refused as busy.
    pub append_wait: Duration,
    /// Bytes of appends that may wait for their commit at once.
    pub appends_in_flight_bytes: usize,
    /// Bytes of newest records kept in memory per partition, so that following a log reads no storage.
    pub tail_bytes_per_partition: usize,
    /// Time between two passes of retention.
    pub retention_interval: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            sync: Sync::Always,
            append_wait: Duration::from_secs(1),
            appends_in_flight_bytes: limits::APPENDS_IN_FLIGHT_BYTES_MAX,
            tail_bytes_per_partition: 1 << 20,
            retention_interval: Duration::from_secs(60),
        }
    }
}
