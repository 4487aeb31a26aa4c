//! What can go wrong with the embedded log, and who acts.

use std::sync::Arc;

use streams::{Offset, Partition};
use thiserror::Error;

/// Why a call of the embedded log failed. Cheap to clone: one failed write answers many callers.
#[derive(Clone, Debug, Error)]
pub enum Error {
    /// Too many appends are waiting for the disk; nothing was written, try again.
    #[error("the log is busy: no room in its queue within {waited_ms} ms")]
    Busy {
        /// How long room was waited for.
        waited_ms: u64,
    },
    /// The record can never be taken.
    #[error("record to '{topic}' refused: {reason}")]
    Refused {
        /// Where it was to go.
        topic: String,
        /// Why.
        reason: String,
    },
    /// No such topic.
    #[error("there is no topic '{0}'; topics are created when the process starts, from its topologies")]
    UnknownTopic(String),
    /// The topic has no such partition.
    #[error("topic '{topic}' has no partition {partition}")]
    UnknownPartition {
        /// The topic.
        topic: String,
        /// The partition asked for.
        partition: Partition,
    },
    /// A topic exists with another number of partitions.
    #[error(
        "topic '{topic}' has {recorded} partitions, {wanted} are asked for: keys would change their partition and leave \
         their state behind. Go back to {recorded} partitions, or start over with another data directory"
    )]
    PartitionsChanged {
        /// The topic.
        topic: String,
        /// As created.
        recorded: u32,
        /// As asked for now.
        wanted: u32,
    },
    /// A topic or group that cannot be made.
    #[error("'{name}' cannot be created: {rule}")]
    Invalid {
        /// The name as given.
        name: String,
        /// The rule it breaks.
        rule: String,
    },
    /// The records asked for were deleted by retention.
    #[error("partition {partition} begins at offset {start}")]
    Expired {
        /// Which partition.
        partition: Partition,
        /// Its first offset.
        start: Offset,
    },
    /// The disk has no room. Nothing was written; it works again once there is room.
    #[error("{0}")]
    DiskFull(String),
    /// The log has been closed.
    #[error("the log is closed")]
    Closed,
    /// A write or sync failed in a way that leaves unknown what is on disk: the process must end and start again from
    /// there. Whether the call's records were written is unknown.
    #[error("the log has failed and the process must be restarted: {0}")]
    Failed(String),
    /// The storage failed while reading.
    #[error(transparent)]
    State(Arc<state::Error>),
}

/// Who acts on an [`Error`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Nothing was written: try again later.
    Retry,
    /// The caller asked for something that cannot be.
    Refuse,
    /// End the process; the next start goes on from what is on disk.
    Crash,
}

impl Error {
    /// Who acts.
    #[must_use]
    pub fn action(&self) -> Action {
        match self {
            Error::Busy { .. } | Error::DiskFull(_) => Action::Retry,
            Error::Closed | Error::Failed(_) => Action::Crash,
            Error::State(e) if e.action() == state::Action::Retry => Action::Retry,
            Error::State(_) => Action::Crash,
            Error::Refused { .. }
            | Error::UnknownTopic(_)
            | Error::UnknownPartition { .. }
            | Error::PartitionsChanged { .. }
            | Error::Invalid { .. }
            | Error::Expired { .. } => Action::Refuse,
        }
    }
}

impl From<state::Error> for Error {
    fn from(e: state::Error) -> Self {
        Error::State(Arc::new(e))
    }
}

impl From<Error> for streams::log::Error {
    fn from(e: Error) -> Self {
        match (e.action(), e) {
            (_, Error::Refused { topic, reason }) => streams::log::Error::Refused { topic, reason },
            (Action::Retry, e) => streams::log::Error::Abort(e.to_string()),
            (Action::Refuse | Action::Crash, e) => streams::log::Error::Fatal(e.to_string()),
        }
    }
}
