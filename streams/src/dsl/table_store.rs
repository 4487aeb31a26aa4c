//! The store behind a table: plain or versioned, by one face (Kafka Streams: `KeyValueStoreWrapper`).

use crate::dsl::options::Materialized;
use crate::dsl::table::SendOld;
use crate::error::ProcessError;
use crate::store::{KeyValueStore, PutResult, StateAccess, StoreHandle, VersionedStore};
use crate::topology::{StoreIndex, TopologyBuilder};
use crate::types::Timestamp;

/// What became of a put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Put {
    /// It is the current row now.
    Latest,
    /// It became history: the row has a newer version.
    History,
    /// It is older than the history kept; nothing changed.
    Not,
}

/// The store of a table.
pub(crate) enum TableStore<K, V> {
    /// Last write wins.
    Plain(KeyValueStore<K, V>),
    /// Newest timestamp wins, history is kept.
    Versioned(VersionedStore<K, V>),
}

impl<K, V> Clone for TableStore<K, V> {
    fn clone(&self) -> Self {
        match self {
            TableStore::Plain(s) => TableStore::Plain(s.clone()),
            TableStore::Versioned(s) => TableStore::Versioned(s.clone()),
        }
    }
}

impl<K: 'static, V: 'static> TableStore<K, V> {
    /// Adds the store a table's options describe.
    pub(crate) fn new(builder: &mut TopologyBuilder, materialized: &Materialized<K, V>) -> Self {
        match materialized.history_ms {
            None => TableStore::Plain(builder.store(&materialized.name, materialized.key_value())),
            Some(history_ms) => {
                TableStore::Versioned(builder.store(&materialized.name, materialized.versioned_store(history_ms)))
            }
        }
    }

    pub(crate) fn index(&self) -> StoreIndex {
        match self {
            TableStore::Plain(s) => s.index(),
            TableStore::Versioned(s) => s.index(),
        }
    }

    pub(crate) fn is_versioned(&self) -> bool {
        matches!(self, TableStore::Versioned(_))
    }

    /// The current row and its timestamp.
    pub(crate) fn get(&self, cx: &mut impl StateAccess, key: &K) -> Result<Option<(V, Timestamp)>, ProcessError> {
        match self {
            TableStore::Plain(s) => s.get_with_timestamp(cx, key),
            TableStore::Versioned(s) => Ok(s.get(cx, key)?.map(|version| (version.value, version.timestamp))),
        }
    }

    /// The row as of a time; a plain store knows the current one only.
    pub(crate) fn get_as_of(
        &self,
        cx: &mut impl StateAccess,
        key: &K,
        as_of: Timestamp,
    ) -> Result<Option<(V, Timestamp)>, ProcessError> {
        match self {
            TableStore::Plain(s) => s.get_with_timestamp(cx, key),
            TableStore::Versioned(s) => s.value_as_of(cx, key, as_of),
        }
    }

    /// The current row, read only if old values are sent.
    pub(crate) fn old(
        &self,
        cx: &mut impl StateAccess,
        key: &K,
        send_old: &SendOld,
    ) -> Result<Option<V>, ProcessError> {
        if send_old.is_enabled() { Ok(self.get(cx, key)?.map(|(value, _)| value)) } else { Ok(None) }
    }

    /// Sets or removes the row.
    pub(crate) fn put(
        &self,
        cx: &mut impl StateAccess,
        key: &K,
        value: Option<&V>,
        timestamp: Timestamp,
    ) -> Result<Put, ProcessError> {
        match (self, value) {
            (TableStore::Plain(s), Some(value)) => s.put_at(cx, key, value, timestamp)?,
            (TableStore::Plain(s), None) => s.delete(cx, key)?,
            (TableStore::Versioned(s), value) => {
                return Ok(match s.put(cx, key, value, timestamp)? {
                    PutResult::Latest => Put::Latest,
                    PutResult::ValidTo(_) => Put::History,
                    PutResult::NotPut => Put::Not,
                });
            }
        }
        Ok(Put::Latest)
    }
}
