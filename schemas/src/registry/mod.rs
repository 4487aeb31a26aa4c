//! Where schema ids come from, and what an id found in data stands for.

mod confluent;
mod fixed;
pub mod rest;

pub use confluent::{ConfluentConfig, ConfluentRegistry};
pub use fixed::FixedRegistry;

use std::fmt::Debug;
use std::sync::Arc;

use crate::error::RegistryError;

/// Schema ids: asked from engine threads, so synchronous, and bounded in time
/// ([`REGISTRY_WAIT_MAX`](crate::limits::REGISTRY_WAIT_MAX)).
pub trait Registry: Debug + Send + Sync + 'static {
    /// The id under which values of `subject` are written with the record `name` (its current version), registering it
    /// if the implementation does that.
    ///
    /// # Errors
    /// When the registry is out of reach, refuses the schema or does not know it.
    fn id_for_subject(&self, subject: &str, name: &'static str) -> Result<u32, RegistryError>;

    /// The schema text behind an id; `None` when the registry says there is none.
    ///
    /// # Errors
    /// When the registry is out of reach.
    fn schema_by_id(&self, id: u32) -> Result<Option<Arc<str>>, RegistryError>;
}
