//! Interactive queries on key-value and versioned stores: committed rows, of one partition at a time. (Windows and sessions
//! have theirs beside their stores.)

use std::ops::ControlFlow;
use std::sync::Arc;

use state::layout::{KeyRange, VersionedKey};
use state::{Direction, Range};

use super::entries::{bad_key, key_time, stored_time};
use super::versioned::{PRESENT, VersionedRecord};
use crate::serde::{Serde, SerdeError};
use crate::topology::StoreIndex;
use crate::types::{NO_TIMESTAMP, Partition, Timestamp};
use crate::view::{QueryError, View};

/// A key-value store (or a global one) as queries read it.
pub struct ReadOnlyKeyValueStore<'a, K, V> {
    view: &'a View,
    index: StoreIndex,
    key: Arc<dyn Serde<K>>,
    value: Arc<dyn Serde<V>>,
}

/// A versioned store as queries read it.
pub struct ReadOnlyVersionedStore<'a, K, V> {
    view: &'a View,
    index: StoreIndex,
    retention_ms: i64,
    key: Arc<dyn Serde<K>>,
    value: Arc<dyn Serde<V>>,
}

impl View {
    /// The key-value store of this name, read with these formats.
    ///
    /// # Errors
    /// [`QueryError::Store`] when there is no such store, or it is of another kind.
    pub fn key_value_store<K: 'static, V: 'static>(
        &self,
        name: &str,
        key: impl Serde<K>,
        value: impl Serde<V>,
    ) -> Result<ReadOnlyKeyValueStore<'_, K, V>, QueryError> {
        match self.store(name) {
            Some((index, def)) if matches!(def.shape, "key-value" | "global") => {
                Ok(ReadOnlyKeyValueStore { view: self, index, key: Arc::new(key), value: Arc::new(value) })
            }
            other => Err(not_of_kind(name, "key-value", other.map(|(_, def)| def.shape))),
        }
    }

    /// The versioned store of this name, read with these formats.
    ///
    /// # Errors
    /// As [`View::key_value_store`].
    pub fn versioned_store<K: 'static, V: 'static>(
        &self,
        name: &str,
        key: impl Serde<K>,
        value: impl Serde<V>,
    ) -> Result<ReadOnlyVersionedStore<'_, K, V>, QueryError> {
        match self.store(name).map(|(index, def)| (index, def, def.retention_ms)) {
            Some((index, def, Some(retention_ms))) if def.shape == "versioned" => Ok(ReadOnlyVersionedStore {
                view: self,
                index,
                retention_ms,
                key: Arc::new(key),
                value: Arc::new(value),
            }),
            other => Err(not_of_kind(name, "versioned", other.map(|(_, def, _)| def.shape))),
        }
    }
}

fn not_of_kind(name: &str, wanted: &str, shape: Option<&str>) -> QueryError {
    QueryError::Store(match shape {
        None => format!("there is no store '{name}'"),
        Some(shape) => format!("store '{name}' is a {shape} store, not a {wanted} store"),
    })
}

impl<K: 'static, V: 'static> ReadOnlyKeyValueStore<'_, K, V> {
    /// The row of a key and its timestamp.
    ///
    /// # Errors
    /// [`QueryError`] when the store fails or its bytes cannot be read.
    pub fn get(&self, partition: Partition, key: &K) -> Result<Option<(V, Timestamp)>, QueryError> {
        let mut bytes = Vec::new();
        self.key.serialize(key, &mut bytes)?;
        let row = self.view.get(self.index, partition, &bytes)?;
        Ok(row.map(|(payload, at)| self.value.deserialize(&payload).map(|value| (value, at))).transpose()?)
    }

    /// The row of a key in whichever partition running on this instance has it, as Kafka Streams' composite stores look it
    /// up. `None` where it is on another instance, too.
    ///
    /// # Errors
    /// As [`ReadOnlyKeyValueStore::get`]; [`QueryError::Store`] while no task of the store runs here (Kafka Streams:
    /// `InvalidStateStoreException`), and for a global store, which no task writes.
    pub fn find(&self, key: &K) -> Result<Option<(V, Timestamp)>, QueryError> {
        let partitions = self.view.running_partitions(self.index);
        if partitions.is_empty() {
            return Err(QueryError::Store("no task of this store runs here now: it may be starting".to_owned()));
        }
        for partition in partitions {
            if let Some(row) = self.get(partition, key)? {
                return Ok(Some(row));
            }
        }
        Ok(None)
    }

    /// Rows whose key bytes lie in a range, in byte order or the reverse, at most `max`: key, value, timestamp.
    ///
    /// # Errors
    /// As [`ReadOnlyKeyValueStore::get`].
    pub fn range(
        &self,
        partition: Partition,
        range: Range<'_>,
        direction: Direction,
        max: usize,
    ) -> Result<Vec<(K, V, Timestamp)>, QueryError> {
        let mut rows = Vec::new();
        let mut failed = None;
        if max == 0 {
            return Ok(rows);
        }
        self.view.scan(self.index, partition, range, direction, &mut |key, payload, at| {
            match self.key.deserialize(key).and_then(|key| Ok((key, self.value.deserialize(payload)?, at))) {
                Ok(row) => rows.push(row),
                Err(e) => failed = Some(e),
            }
            if failed.is_none() && rows.len() < max { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        failed.map_or(Ok(rows), |e| Err(e.into()))
    }

    /// Rows whose key bytes begin with a prefix, in byte order or the reverse, at most `max`.
    ///
    /// # Errors
    /// As [`ReadOnlyKeyValueStore::get`].
    pub fn prefix(
        &self,
        partition: Partition,
        prefix: &[u8],
        direction: Direction,
        max: usize,
    ) -> Result<Vec<(K, V, Timestamp)>, QueryError> {
        self.range(partition, Range::prefix(prefix).as_range(), direction, max)
    }
}

impl<K: 'static, V: 'static> ReadOnlyVersionedStore<'_, K, V> {
    /// The newest version of a key.
    ///
    /// # Errors
    /// [`QueryError`] when the store fails or its bytes cannot be read.
    pub fn get(&self, partition: Partition, key: &K) -> Result<Option<VersionedRecord<V>>, QueryError> {
        let mut newest = self.versions(partition, key, (0, Timestamp::MAX), 1)?;
        Ok(newest.pop().flatten())
    }

    /// The version of a key that held at a time; before the history, counted back from the task's committed stream time,
    /// there is none but the newest.
    ///
    /// # Errors
    /// As [`ReadOnlyVersionedStore::get`].
    pub fn get_as_of(
        &self,
        partition: Partition,
        key: &K,
        as_of: Timestamp,
    ) -> Result<Option<VersionedRecord<V>>, QueryError> {
        let all = self.versions(partition, key, (0, Timestamp::MAX), usize::MAX)?;
        let now = self.view.stream_time(self.index, partition).unwrap_or(NO_TIMESTAMP);
        let expired = as_of < now.saturating_sub(self.retention_ms);
        let found = all.into_iter().flatten().find(|v| v.timestamp <= as_of && v.valid_to.is_none_or(|to| as_of < to));
        Ok(found.filter(|version| !expired || version.valid_to.is_none()))
    }

    /// The versions of a key that begin in `[from, to]`, newest first (KIP-968); deletions are left out.
    ///
    /// # Errors
    /// As [`ReadOnlyVersionedStore::get`].
    pub fn history(
        &self,
        partition: Partition,
        key: &K,
        (from, to): (Timestamp, Timestamp),
    ) -> Result<Vec<VersionedRecord<V>>, QueryError> {
        let all = self.versions(partition, key, (from, Timestamp::MAX), usize::MAX)?;
        Ok(all.into_iter().flatten().filter(|version| version.timestamp <= to).collect())
    }

    /// Versions newest first, deletions as `None`, at most `max`.
    fn versions(
        &self,
        partition: Partition,
        key: &K,
        (from, to): (Timestamp, Timestamp),
        max: usize,
    ) -> Result<Vec<Option<VersionedRecord<V>>>, QueryError> {
        let mut bytes = Vec::new();
        self.key.serialize(key, &mut bytes)?;
        let mut range = KeyRange::default();
        VersionedKey::range(&bytes, stored_time(from), stored_time(to), &mut range);
        let mut found = Vec::new();
        let mut valid_to = None;
        let mut failed: Option<SerdeError> = None;
        self.view.scan(self.index, partition, range.as_range(), Direction::Forward, &mut |bytes, payload, _| {
            let version = VersionedKey::decode(bytes).ok_or_else(|| bad_key("versioned", bytes)).and_then(|k| {
                let timestamp = key_time(k.valid_from);
                let version = match payload.split_first() {
                    Some((&PRESENT, value)) => {
                        let value = self.value.deserialize(value)?;
                        Some(VersionedRecord { value, timestamp, valid_to })
                    }
                    _ => None,
                };
                valid_to = Some(timestamp);
                Ok(version)
            });
            match version {
                Ok(version) => found.push(version),
                Err(e) => failed = Some(e),
            }
            if failed.is_none() && found.len() < max { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        failed.map_or(Ok(found), |e| Err(e.into()))
    }
}
