//! What can go wrong with state, and who has to act.

use std::path::PathBuf;

use crate::StoreId;

/// Why a state operation failed. [`Error::action`] says who acts on it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The disk has no room. Nothing of the failed write is visible; later writes work once there is room.
    #[error("no space left for state: {message}; free some disk space, the last commit is kept")]
    DiskFull {
        /// The storage engine's own words.
        message: String,
    },
    /// Another process (or another open backend of this one) holds the directory.
    #[error("state directory {path} is in use by another process; stop it, or give this one its own directory")]
    Locked {
        /// The directory.
        path: PathBuf,
    },
    /// The directory was not written by this system, or by a release with another on-disk format.
    #[error("state directory {path} {found}; this release reads format {supported}")]
    UnknownFormat {
        /// The directory.
        path: PathBuf,
        /// What was found there, as the second half of a sentence.
        found: String,
        /// The format version this release reads and writes.
        supported: u32,
    },
    /// Stored bytes are not what was written: the store partition must be rebuilt from its changelog.
    #[error("stored data is corrupt: {message}")]
    Corrupt {
        /// What was found, and where.
        message: String,
    },
    /// An earlier write or sync failed with the log in this process only: what was written since the last sync may or
    /// may not be there. Nothing is written any more until the directory is opened again.
    #[error("state was closed to writes by an earlier failure, open it again: {cause}")]
    Poisoned {
        /// The failure.
        cause: String,
    },
    /// The storage engine failed in another way, e.g. an I/O error.
    #[error("state storage failed while {doing}: {message}")]
    Storage {
        /// What was being done.
        doing: &'static str,
        /// The storage engine's own words.
        message: String,
    },
    /// A store id that this backend did not give: a bug of the caller.
    #[error("store {0:?} was not opened on this backend")]
    UnknownStore(StoreId),
    /// An engine that [`Engines`](crate::Engines) was not given: a bug of the caller.
    #[error("there is no engine number {0}")]
    UnknownEngine(usize),
    /// The largest partition number has no end to delete up to; Kafka's partitions are half of that at most.
    #[error("partition {0} is too large")]
    InvalidPartition(u32),
    /// A store was opened before with the other kind.
    #[error("store {name} is already open with another kind")]
    KindChanged {
        /// The store's name.
        name: String,
    },
    /// A store name that cannot be kept (empty, too long, or reserved).
    #[error("store name {name:?} is not allowed: {rule}")]
    InvalidName {
        /// The name as given.
        name: String,
        /// The rule it breaks.
        rule: &'static str,
    },
    /// More stores than a [`StoreId`] can number.
    #[error("more than {max} stores in one backend", max = u16::MAX)]
    TooManyStores,
    /// A fault-injecting backend has reached its limit.
    #[error("state is frozen by an injected fault after {after}")]
    Frozen {
        /// What was counted, e.g. `3 writes`.
        after: String,
    },
}

/// Who acts on an [`Error`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Action {
    /// Keep the last commit, abort what is open, try again later; an operator may have to make room meanwhile.
    Retry,
    /// Drop the store partition and rebuild it from its changelog.
    Restore,
    /// Do not start; the message tells the operator the remedy.
    Refuse,
    /// State in memory can no longer be trusted, or it is a bug: end the process and recover from what is durable.
    Crash,
}

impl Error {
    /// Who acts on this error.
    pub fn action(&self) -> Action {
        match self {
            Error::DiskFull { .. } => Action::Retry,
            Error::Corrupt { .. } => Action::Restore,
            Error::Locked { .. }
            | Error::UnknownFormat { .. }
            | Error::InvalidName { .. }
            | Error::KindChanged { .. }
            | Error::TooManyStores => Action::Refuse,
            Error::Storage { .. }
            | Error::Poisoned { .. }
            | Error::UnknownStore(_)
            | Error::UnknownEngine(_)
            | Error::InvalidPartition(_)
            | Error::Frozen { .. } => Action::Crash,
        }
    }
}
