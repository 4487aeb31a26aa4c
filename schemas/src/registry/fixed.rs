//! Ids without a registry: those of [`crate::catalog`].

use std::sync::Arc;

use super::Registry;
use crate::catalog;
use crate::error::RegistryError;

/// The ids of this release's [`crate::catalog`], whatever the subject.
#[derive(Clone, Copy, Debug, Default)]
pub struct FixedRegistry;

impl Registry for FixedRegistry {
    fn id_for_subject(&self, subject: &str, name: &'static str) -> Result<u32, RegistryError> {
        catalog::entry(name)
            .map(|entry| entry.current().id)
            .ok_or_else(|| RegistryError::UnknownSubject { subject: subject.to_owned(), name })
    }

    fn schema_by_id(&self, id: u32) -> Result<Option<Arc<str>>, RegistryError> {
        Ok(catalog::by_id(id).map(|(_, version)| Arc::from(version.json)))
    }
}
