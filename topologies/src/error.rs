//! Why a business cannot be set up.

use schemas::RegistryError;
use streams::BuildError;
use thiserror::Error;

/// Why a business cannot be set up. All of them are for who starts the process: nothing has run yet.
#[derive(Debug, Error)]
pub enum Error {
    /// A setting is out of its range, or two settings contradict each other.
    #[error("{setting}: {reason}")]
    Config {
        /// The setting as in the configuration file.
        setting: &'static str,
        /// What is wrong, and what would be right.
        reason: String,
    },
    /// The graph is wrong: a mistake in this crate.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// A schema has no id.
    #[error(transparent)]
    Registry(#[from] RegistryError),
}
