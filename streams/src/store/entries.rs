//! What typed stores have in common: their formats, and one way to read bytes for a task (its own changes over what is
//! committed) and for a query (what is committed).

use std::ops::ControlFlow;
use std::sync::Arc;

use state::{Direction, Range};

use super::{StateAccess, slot};
use crate::error::ProcessError;
use crate::limits::RECORD_BYTES_MAX;
use crate::record::Headers;
use crate::serde::{Serde, SerdeError};
use crate::task::TaskState;
use crate::topology::{Clock, StoreIndex};
use crate::types::{NO_TIMESTAMP, Partition, Timestamp};
use crate::view::{QueryError, View};

/// Called with key bytes, payload and timestamp of each entry of a scan.
pub(crate) type VisitEntry<'a> = dyn FnMut(&[u8], &[u8], Timestamp) -> Result<ControlFlow<()>, SerdeError> + 'a;

/// The entries of one store in one partition.
pub(crate) trait Entries {
    /// Calls `found` with payload and timestamp of a key, if it is there.
    fn get(
        &mut self,
        key: &[u8],
        found: &mut dyn FnMut(&[u8], Timestamp) -> Result<(), SerdeError>,
    ) -> Result<(), QueryError>;

    /// Visits a range in key order.
    fn scan(&mut self, range: Range<'_>, direction: Direction, visit: &mut VisitEntry<'_>) -> Result<(), QueryError>;

    /// The stream time that retention counts back from; [`NO_TIMESTAMP`] if unknown.
    fn time(&self) -> Timestamp;
}

/// As a task sees them.
pub(crate) struct OfTask<'a> {
    pub(crate) task: &'a mut TaskState,
    pub(crate) slot: usize,
    pub(crate) store: StoreIndex,
}

impl Entries for OfTask<'_> {
    fn get(
        &mut self,
        key: &[u8],
        found: &mut dyn FnMut(&[u8], Timestamp) -> Result<(), SerdeError>,
    ) -> Result<(), QueryError> {
        if let Some(bytes) = self.task.overlay.get(self.slot, key)? {
            let stored = crate::value::read(bytes)?;
            found(stored.payload, stored.timestamp)?;
        }
        Ok(())
    }

    fn scan(&mut self, range: Range<'_>, direction: Direction, visit: &mut VisitEntry<'_>) -> Result<(), QueryError> {
        let mut failed = None;
        self.task.overlay.scan(self.slot, range, direction, &mut |key, bytes| {
            let flow = crate::value::read(bytes).and_then(|stored| visit(key, stored.payload, stored.timestamp));
            flow.unwrap_or_else(|e| {
                failed = Some(e);
                ControlFlow::Break(())
            })
        })?;
        failed.map_or(Ok(()), |e| Err(e.into()))
    }

    fn time(&self) -> Timestamp {
        self.task.observed(Clock::Store(self.store))
    }
}

/// As a query sees them: committed.
pub(crate) struct OfView<'a> {
    pub(crate) view: &'a View,
    pub(crate) store: StoreIndex,
    pub(crate) partition: Partition,
}

impl Entries for OfView<'_> {
    fn get(
        &mut self,
        key: &[u8],
        found: &mut dyn FnMut(&[u8], Timestamp) -> Result<(), SerdeError>,
    ) -> Result<(), QueryError> {
        if let Some((payload, timestamp)) = self.view.get(self.store, self.partition, key)? {
            found(&payload, timestamp)?;
        }
        Ok(())
    }

    fn scan(&mut self, range: Range<'_>, direction: Direction, visit: &mut VisitEntry<'_>) -> Result<(), QueryError> {
        let mut failed = None;
        self.view.scan(self.store, self.partition, range, direction, &mut |key, payload, timestamp| {
            visit(key, payload, timestamp).unwrap_or_else(|e| {
                failed = Some(e);
                ControlFlow::Break(())
            })
        })?;
        failed.map_or(Ok(()), |e| Err(e.into()))
    }

    /// The task's committed stream time: at or past the store's own.
    fn time(&self) -> Timestamp {
        self.view.stream_time(self.store, self.partition).unwrap_or(NO_TIMESTAMP)
    }
}

/// Place, name and formats of a store.
pub(crate) struct Typed<K, V> {
    pub(crate) index: StoreIndex,
    pub(crate) name: Arc<str>,
    pub(crate) key: Arc<dyn Serde<K>>,
    pub(crate) value: Arc<dyn Serde<V>>,
}

impl<K, V> Clone for Typed<K, V> {
    fn clone(&self) -> Self {
        Typed { index: self.index, name: self.name.clone(), key: self.key.clone(), value: self.value.clone() }
    }
}

impl<K: 'static, V: 'static> Typed<K, V> {
    /// The task and the store's slot in its overlay.
    pub(crate) fn open<'a, A: StateAccess>(&self, cx: &'a mut A) -> Result<(&'a mut TaskState, usize), ProcessError> {
        let task = cx.task();
        let slot = slot(task, self.index, &self.name)?;
        Ok((task, slot))
    }

    /// The task's view of the entries.
    pub(crate) fn entries<'a, A: StateAccess>(&self, cx: &'a mut A) -> Result<OfTask<'a>, ProcessError> {
        let (task, slot) = self.open(cx)?;
        Ok(OfTask { task, slot, store: self.index })
    }

    /// The bytes of a record key.
    pub(crate) fn key_bytes(&self, key: &K) -> Result<Vec<u8>, SerdeError> {
        let mut bytes = Vec::new();
        self.key.serialize(key, &mut bytes)?;
        Ok(bytes)
    }

    /// Fills the task's key buffer: `encode` turns the record key's bytes into the store's.
    pub(crate) fn encode_key(
        &self,
        task: &mut TaskState,
        key: &K,
        encode: impl FnOnce(&[u8], &mut Vec<u8>),
    ) -> Result<(), SerdeError> {
        let TaskState { key_bytes, value_bytes, .. } = task;
        // The value's buffer is free until the value is written.
        value_bytes.clear();
        self.key.serialize(key, value_bytes)?;
        key_bytes.clear();
        encode(value_bytes, key_bytes);
        Ok(())
    }

    /// Puts a value under the key in the task's key buffer.
    pub(crate) fn put_value(
        &self,
        task: &mut TaskState,
        slot: usize,
        headers: &Headers,
        timestamp: Timestamp,
        write: impl FnOnce(&mut Vec<u8>) -> Result<(), SerdeError>,
    ) -> Result<(), ProcessError> {
        if timestamp < 0 {
            let name = &self.name;
            return Err(ProcessError::rejected(format!("timestamp {timestamp} put into store '{name}' is negative")));
        }
        let TaskState { overlay, key_bytes, value_bytes, .. } = task;
        value_bytes.clear();
        crate::value::write_head(timestamp, headers, value_bytes);
        write(value_bytes)?;
        let bytes = key_bytes.len() + value_bytes.len();
        if bytes > RECORD_BYTES_MAX {
            let name = &self.name;
            return Err(ProcessError::rejected(format!(
                "an entry of store '{name}' would have {bytes} bytes, the limit is {RECORD_BYTES_MAX}"
            )));
        }
        overlay.put(slot, key_bytes, value_bytes);
        Ok(())
    }

    /// A failed read of a task, as the processor's error.
    pub(crate) fn failed(&self, e: QueryError) -> ProcessError {
        match e {
            QueryError::State(e) => e.into(),
            QueryError::Format(e) => {
                ProcessError::Topology(format!("store '{}' holds an entry its format cannot read: {e}", self.name))
            }
            QueryError::Store(e) => ProcessError::Topology(e),
        }
    }
}

/// What a store's key should have been.
pub(crate) fn bad_key(what: &str, bytes: &[u8]) -> SerdeError {
    SerdeError::new(format!("a {what} key of {} bytes is damaged", bytes.len()))
}

/// A time as the layout takes it; negative ones cannot be stored.
pub(crate) fn stored_time(time: Timestamp) -> u64 {
    u64::try_from(time).unwrap_or(0)
}

/// A time out of a key.
pub(crate) fn key_time(time: u64) -> Timestamp {
    Timestamp::try_from(time).unwrap_or(Timestamp::MAX)
}
