//! Records held back until their time has come: ordered by timestamp, then key bytes, then arrival (Kafka Streams:
//! `RocksDBTimeOrderedKeyValueBuffer`).

use std::ops::ControlFlow;
use std::sync::Arc;

use state::layout::{push_delimited, split_delimited};
use state::{Direction, Range};

use super::{StateAccess, StoreHandle, StoreOptions, StoreSpec, slot};
use crate::error::ProcessError;
use crate::limits::RECORD_BYTES_MAX;
use crate::record::Headers;
use crate::serde::{Serde, SerdeError};
use crate::task::TaskState;
use crate::topology::StoreIndex;
use crate::types::Timestamp;

/// Records taken out of a buffer at a time, so that a long wait does not come back as one long list.
pub(crate) const EVICTED_RECORDS_MAX: usize = 256;

/// A record buffer to be.
pub(crate) struct RecordBuffer<K, V> {
    pub(crate) key: Arc<dyn Serde<K>>,
    pub(crate) value: Arc<dyn Serde<V>>,
    pub(crate) options: StoreOptions,
}

impl<K: 'static, V: 'static> StoreSpec for RecordBuffer<K, V> {
    type Handle = RecordBufferStore<K, V>;
    fn shape(&self) -> &'static str {
        "record-buffer"
    }
    fn options(&self) -> &StoreOptions {
        &self.options
    }
    fn handle(self, index: StoreIndex, name: Arc<str>) -> RecordBufferStore<K, V> {
        RecordBufferStore { index, name, key: self.key, value: self.value }
    }
}

/// A record that was held back.
pub(crate) struct Buffered<K, V> {
    pub(crate) key: K,
    pub(crate) value: V,
    pub(crate) timestamp: Timestamp,
    pub(crate) headers: Headers,
}

/// Handle of a record buffer. Keys are `timestamp 8 · key, delimited · sequence 4`.
pub(crate) struct RecordBufferStore<K, V> {
    index: StoreIndex,
    name: Arc<str>,
    key: Arc<dyn Serde<K>>,
    value: Arc<dyn Serde<V>>,
}

impl<K, V> Clone for RecordBufferStore<K, V> {
    fn clone(&self) -> Self {
        RecordBufferStore {
            index: self.index,
            name: self.name.clone(),
            key: self.key.clone(),
            value: self.value.clone(),
        }
    }
}

impl<K, V> StoreHandle for RecordBufferStore<K, V> {
    fn index(&self) -> StoreIndex {
        self.index
    }
    fn name(&self) -> &str {
        &self.name
    }
}

impl<K: 'static, V: 'static> RecordBufferStore<K, V> {
    /// Holds a record back, behind those of its timestamp and key.
    pub(crate) fn put(
        &self,
        cx: &mut impl StateAccess,
        key: &K,
        value: &V,
        timestamp: Timestamp,
        headers: &Headers,
    ) -> Result<(), ProcessError> {
        let task = cx.task();
        let slot = slot(task, self.index, &self.name)?;
        let mut key_bytes = Vec::new();
        self.key.serialize(key, &mut key_bytes)?;
        let mut prefix = timestamp.max(0).to_be_bytes().to_vec();
        push_delimited(&key_bytes, &mut prefix);
        let sequence = self.next_sequence(task, slot, &prefix)?;
        prefix.extend_from_slice(&sequence.to_be_bytes());
        let TaskState { overlay, value_bytes, .. } = task;
        value_bytes.clear();
        crate::value::write_head(timestamp.max(0), headers, value_bytes);
        self.value.serialize(value, value_bytes)?;
        let bytes = prefix.len() + value_bytes.len();
        if bytes > RECORD_BYTES_MAX {
            return Err(ProcessError::rejected(format!(
                "a record held back in '{}' would have {bytes} bytes, the limit is {RECORD_BYTES_MAX}",
                self.name
            )));
        }
        overlay.put(slot, &prefix, value_bytes);
        Ok(())
    }

    fn next_sequence(&self, task: &mut TaskState, slot: usize, prefix: &[u8]) -> Result<u32, ProcessError> {
        let mut last = None;
        task.overlay.scan(slot, Range::prefix(prefix).as_range(), Direction::Reverse, &mut |key, _| {
            last = key.last_chunk::<4>().map(|bytes| u32::from_be_bytes(*bytes));
            ControlFlow::Break(())
        })?;
        match last.map(|sequence| sequence.checked_add(1)) {
            None => Ok(0),
            Some(Some(next)) => Ok(next),
            Some(None) => {
                Err(ProcessError::rejected(format!("'{}' holds 2^32 records of one key and time", self.name)))
            }
        }
    }

    /// Takes out the earliest records with timestamps at or before `until`, at most [`EVICTED_RECORDS_MAX`].
    pub(crate) fn take(
        &self,
        cx: &mut impl StateAccess,
        until: Timestamp,
    ) -> Result<Vec<Buffered<K, V>>, ProcessError> {
        let Ok(until) = u64::try_from(until) else { return Ok(Vec::new()) };
        let task = cx.task();
        let slot = slot(task, self.index, &self.name)?;
        let end = until.saturating_add(1).to_be_bytes();
        let mut keys: Vec<Vec<u8>> = Vec::new();
        let mut taken = Vec::new();
        let mut failed = None;
        task.overlay.scan(slot, Range::before(&end), Direction::Forward, &mut |key, bytes| {
            match self.read(key, bytes) {
                Ok(record) => {
                    keys.push(key.to_vec());
                    taken.push(record);
                }
                Err(e) => failed = Some(e),
            }
            let go_on = failed.is_none() && taken.len() < EVICTED_RECORDS_MAX;
            if go_on { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        if let Some(e) = failed {
            let name = &self.name;
            return Err(ProcessError::Topology(format!("store '{name}' holds a record its format cannot read: {e}")));
        }
        for key in keys {
            task.overlay.delete(slot, &key);
        }
        Ok(taken)
    }

    fn read(&self, key: &[u8], bytes: &[u8]) -> Result<Buffered<K, V>, SerdeError> {
        let damaged = || SerdeError::new("damaged buffer key");
        let (_, rest) = key.split_first_chunk::<8>().ok_or_else(damaged)?;
        let (key, _) = split_delimited(rest).ok_or_else(damaged)?;
        let stored = crate::value::read(bytes)?;
        Ok(Buffered {
            key: self.key.deserialize(&key)?,
            value: self.value.deserialize(stored.payload)?,
            timestamp: stored.timestamp,
            headers: stored.headers,
        })
    }
}
