//! What belongs to whom: an index of sagas by their owner, for "my rentals".

use schemas::state::KEY_SEPARATOR;
use streams::serde::{I64, Utf8};
use streams::store::{KeyValue, KeyValueStore, StateAccess};
use streams::{ProcessError, Timestamp, TopologyBuilder};

/// An index of sagas by owner: `owner ␟ id` → when it was asked for. One without a known owner is in no index.
#[derive(Clone)]
pub struct Owners {
    store: KeyValueStore<String, i64>,
}

impl Owners {
    /// A new index in a store of its own.
    pub fn new(b: &mut TopologyBuilder, name: &str) -> Self {
        Owners { store: b.store(name, KeyValue::new(Utf8, I64).shown_as(show)) }
    }

    /// The store, to be connected.
    #[must_use]
    pub fn store(&self) -> &KeyValueStore<String, i64> {
        &self.store
    }

    /// Enters a saga.
    ///
    /// # Errors
    /// When the store fails.
    pub fn enter(&self, cx: &mut impl StateAccess, owner: &str, id: &str, at: Timestamp) -> Result<(), ProcessError> {
        if owner.is_empty() { Ok(()) } else { self.store.put(cx, &key(owner, id), &at) }
    }

    /// Takes a saga out.
    ///
    /// # Errors
    /// When the store fails.
    pub fn leave(&self, cx: &mut impl StateAccess, owner: &str, id: &str) -> Result<(), ProcessError> {
        if owner.is_empty() { Ok(()) } else { self.store.delete(cx, &key(owner, id)) }
    }
}

fn key(owner: &str, id: &str) -> String {
    format!("{owner}{KEY_SEPARATOR}{id}")
}

fn show(key: &[u8], at: &[u8]) -> String {
    let key = String::from_utf8_lossy(key);
    let (owner_id, id) = key.split_once(KEY_SEPARATOR).unwrap_or(("", &key));
    let requested_at = at.try_into().map(i64::from_be_bytes).ok();
    serde_json::json!({ "owner_id": owner_id, "id": id, "requested_at": requested_at }).to_string()
}
