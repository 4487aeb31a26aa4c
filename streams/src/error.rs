//! The engine's errors, each with who acts on it.

use thiserror::Error;

use crate::log;
use crate::serde::SerdeError;
use crate::types::{Offset, TaskId};

/// What a processor may fail with.
#[derive(Debug, Error)]
pub enum ProcessError {
    /// This record can never be processed; the process handler decides ([`crate::ErrorPolicy`]).
    #[error("{0}")]
    Rejected(String),
    /// A value does not fit its format; treated like a rejected record.
    #[error(transparent)]
    Serde(#[from] SerdeError),
    /// The store failed; the worker aborts and restores, the record is not to blame.
    #[error(transparent)]
    State(#[from] state::Error),
    /// The topology is wired wrongly; the task fails.
    #[error("{0}")]
    Topology(String),
}

impl ProcessError {
    /// The record is refused for this reason.
    pub fn rejected(reason: impl Into<String>) -> Self {
        ProcessError::Rejected(reason.into())
    }

    /// True if the record is to blame, so that a handler may skip or dead-letter it.
    #[must_use]
    pub fn is_records_fault(&self) -> bool {
        matches!(self, ProcessError::Rejected(_) | ProcessError::Serde(_))
    }
}

/// At which stage a record failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Key, value or timestamp could not be read.
    Decode,
    /// A processor refused it.
    Process,
    /// A result of it was refused by the log.
    Produce,
}

impl Stage {
    /// The word used in dead letters, logs and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Stage::Decode => "decode",
            Stage::Process => "process",
            Stage::Produce => "produce",
        }
    }
}

/// A failure of a worker.
#[derive(Debug, Error)]
pub enum Error {
    /// The log failed.
    #[error(transparent)]
    Log(#[from] log::Error),
    /// The store failed.
    #[error("state: {0}")]
    State(#[from] state::Error),
    /// A record failed and its handler says `Fail`: the task is paused and reported, the worker goes on.
    #[error("task {task} failed at {topic}-{partition}@{offset} ({stage}): {reason}")]
    Record {
        /// The task.
        task: TaskId,
        /// Topic of the record.
        topic: String,
        /// Its partition.
        partition: u32,
        /// Its offset.
        offset: Offset,
        /// Where it failed.
        stage: &'static str,
        /// Why.
        reason: String,
    },
    /// State and log do not belong together; starting would lose or double something. The text names the remedy.
    #[error("{0}")]
    Refused(String),
    /// The topology would take over state or positions that are not its own. The text says what was there, what is there now,
    /// and the remedies.
    #[error("{0}")]
    Incompatible(String),
    /// A named crash point was hit (fault injection).
    #[error("crashed at {0}")]
    Crashed(&'static str),
}

/// What the worker does about an [`enum@Error`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Abort the transaction, rewind all tasks to their committed positions.
    Abort,
    /// As after a crash: new producer, committed positions read again, stores caught up.
    Restore,
    /// Pause and report one task.
    FailTask,
    /// Stop the process with the message.
    Stop,
}

impl Error {
    /// Who acts, and how.
    #[must_use]
    pub fn action(&self) -> Action {
        match self {
            Error::Log(log::Error::Abort(_) | log::Error::Displaced(_) | log::Error::Refused { .. }) => Action::Abort,
            Error::Log(log::Error::Unknown(_) | log::Error::Fenced(_)) | Error::State(_) => Action::Restore,
            Error::Record { .. } => Action::FailTask,
            Error::Log(log::Error::Fatal(_)) | Error::Refused(_) | Error::Incompatible(_) | Error::Crashed(_) => {
                Action::Stop
            }
        }
    }
}
