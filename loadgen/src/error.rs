//! What can go wrong, and which exit status it ends in.

use std::path::PathBuf;
use std::time::Duration;

use thiserror::Error;

/// Everything that ends a run early. Causes from below are in `source`: print the whole chain.
#[derive(Debug, Error)]
pub enum Error {
    /// The command line makes no sense.
    #[error("{0}")]
    Usage(String),
    /// A file cannot be read or written.
    #[error("{}", path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// The operating system's words.
        source: std::io::Error,
    },
    /// A file is not a traffic file.
    #[error("{}: not a traffic file of loadgen: {reason}", path.display())]
    Traffic {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The target does not answer, or answers nonsense.
    #[error("{target}: {reason}")]
    Unreachable {
        /// Address asked.
        target: String,
        /// What happened.
        reason: String,
    },
    /// The target answered, but not within the time given.
    #[error("{what} took longer than {limit:?}")]
    Timeout {
        /// What was waited for.
        what: String,
        /// The bound.
        limit: Duration,
    },
    /// Kafka's client library refused.
    #[error("kafka")]
    Kafka(#[from] rdkafka::error::KafkaError),
}

impl Error {
    /// The process's exit status: 2 usage, 3 target unreachable or too slow. (1 is kept for an audit's difference.)
    pub fn exit_status(&self) -> u8 {
        match self {
            Error::Usage(_) | Error::File { .. } | Error::Traffic { .. } => 2,
            Error::Unreachable { .. } | Error::Timeout { .. } | Error::Kafka(_) => 3,
        }
    }

    /// A target that failed.
    pub fn unreachable(target: impl Into<String>, reason: impl ToString) -> Self {
        Error::Unreachable { target: target.into(), reason: reason.to_string() }
    }

    /// A file that failed.
    pub fn file(path: impl Into<PathBuf>, source: std::io::Error) -> Self {
        Error::File { path: path.into(), source }
    }
}
