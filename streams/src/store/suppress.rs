//! What a suppression holds back: the last change of each key, in the order of the times it is held by (Kafka Streams:
//! `InMemoryTimeOrderedKeyValueChangeBuffer`, which is in memory only).
//!
//! | key | value |
//! |---|---|
//! | 0 | how many changes, their bytes, the earliest time |
//! | 1 · time 8 · record key | nothing: the order |
//! | 2 · record key | time 8 · change, under the record's timestamp and headers |

use std::ops::ControlFlow;
use std::sync::Arc;

use state::{Direction, Range};

use super::entries::{Typed, bad_key, key_time, stored_time};
use super::{StateAccess, StoreHandle, StoreOptions, StoreSpec};
use crate::error::ProcessError;
use crate::record::Headers;
use crate::serde::{Serde, SerdeError};
use crate::task::TaskState;
use crate::topology::StoreIndex;
use crate::types::Timestamp;

/// Bytes a change counts for beside its key and values. About what Kafka Streams' estimate comes to with a topic name of
/// usual length (`ProcessorRecordContext.residentMemorySizeEstimate`), so that a limit means about the same here.
const CHANGE_BYTES: u64 = 96;

/// Changes taken by one scan at most.
const BATCH_MAX: usize = 64;

const SUMMARY: [u8; 1] = [0];
const BY_TIME: u8 = 1;
const BY_KEY: u8 = 2;

/// The store to be; `V` is the whole change.
pub(crate) struct Suppress<K, V> {
    pub(crate) key: Arc<dyn Serde<K>>,
    pub(crate) value: Arc<dyn Serde<V>>,
    pub(crate) options: StoreOptions,
}

impl<K: 'static, V: 'static> StoreSpec for Suppress<K, V> {
    type Handle = SuppressStore<K, V>;
    fn shape(&self) -> &'static str {
        "suppress"
    }
    fn options(&self) -> &StoreOptions {
        &self.options
    }
    fn handle(self, index: StoreIndex, name: Arc<str>) -> SuppressStore<K, V> {
        SuppressStore { typed: Typed { index, name, key: self.key, value: self.value } }
    }
}

/// Handle of the store.
pub(crate) struct SuppressStore<K, V> {
    typed: Typed<K, V>,
}

impl<K, V> Clone for SuppressStore<K, V> {
    fn clone(&self) -> Self {
        SuppressStore { typed: self.typed.clone() }
    }
}

impl<K, V> StoreHandle for SuppressStore<K, V> {
    fn index(&self) -> StoreIndex {
        self.typed.index
    }
    fn name(&self) -> &str {
        &self.typed.name
    }
}

/// What is held back in all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Summary {
    pub(crate) records: u64,
    pub(crate) bytes: u64,
    /// No change is held by an earlier time; [`Timestamp::MAX`] when there is none.
    pub(crate) earliest: Timestamp,
}

/// A change held back, or let go.
pub(crate) struct Held<K, V> {
    pub(crate) key: K,
    pub(crate) change: V,
    pub(crate) timestamp: Timestamp,
    pub(crate) headers: Headers,
}

/// A held change as it is stored.
struct Raw {
    time: Timestamp,
    /// Key and value bytes.
    bytes: u64,
}

impl<K: 'static, V: 'static> SuppressStore<K, V> {
    /// How much is held back.
    pub(crate) fn summary(&self, cx: &mut impl StateAccess) -> Result<Summary, ProcessError> {
        let (task, slot) = self.typed.open(cx)?;
        let none = Summary { records: 0, bytes: 0, earliest: Timestamp::MAX };
        let Some(bytes) = task.overlay.get(slot, &SUMMARY)? else { return Ok(none) };
        let payload = crate::value::read(bytes).map_err(|e| self.corrupt(&e))?.payload;
        let mut numbers = payload.as_chunks::<8>().0.iter().map(|n| u64::from_be_bytes(*n));
        match (numbers.next(), numbers.next(), numbers.next()) {
            (Some(records), Some(bytes), Some(earliest)) => {
                Ok(Summary { records, bytes, earliest: key_time(earliest) })
            }
            _ => Err(self.corrupt(&SerdeError::new("the summary is cut short"))),
        }
    }

    fn set_summary(&self, task: &mut TaskState, slot: usize, summary: Summary) -> Result<(), ProcessError> {
        task.key_bytes.clear();
        task.key_bytes.extend_from_slice(&SUMMARY);
        let timestamp = task.current_timestamp.max(0);
        self.typed.put_value(task, slot, Headers::empty(), timestamp, |out| {
            for number in [summary.records, summary.bytes, stored_time(summary.earliest)] {
                out.extend_from_slice(&number.to_be_bytes());
            }
            Ok(())
        })
    }

    /// The change held back for a key.
    pub(crate) fn get(&self, cx: &mut impl StateAccess, key: &K) -> Result<Option<V>, ProcessError> {
        let (task, slot) = self.typed.open(cx)?;
        self.encode_by_key(task, key)?;
        let Some(bytes) = task.overlay.get(slot, &task.key_bytes)? else { return Ok(None) };
        self.read(bytes).map(|(_, change, ..)| Some(change)).map_err(|e| self.corrupt(&e))
    }

    /// Holds a change back until `time` is due. A key that is held already keeps its place and takes the change that
    /// `merge` makes of the one held and this one.
    pub(crate) fn put(
        &self,
        cx: &mut impl StateAccess,
        time: Timestamp,
        held: Held<&K, V>,
        merge: impl FnOnce(V, V) -> V,
    ) -> Result<Summary, ProcessError> {
        let mut summary = self.summary(cx)?;
        let (task, slot) = self.typed.open(cx)?;
        self.encode_by_key(task, held.key)?;
        let before = match task.overlay.get(slot, &task.key_bytes)? {
            Some(bytes) => {
                let (time, change, length) = self.read(bytes).map_err(|e| self.corrupt(&e))?;
                Some((change, Raw { time, bytes: (length + task.key_bytes.len()) as u64 }))
            }
            None => None,
        };
        let (change, time) = match before {
            Some((change, raw)) => {
                summary.bytes = summary.bytes.saturating_sub(raw.bytes + CHANGE_BYTES);
                (merge(change, held.change), raw.time)
            }
            None => {
                summary.records += 1;
                self.typed.encode_key(task, held.key, |key, out| {
                    out.push(BY_TIME);
                    out.extend_from_slice(&stored_time(time).to_be_bytes());
                    out.extend_from_slice(key);
                })?;
                self.typed.put_value(task, slot, Headers::empty(), held.timestamp, |_| Ok(()))?;
                (held.change, time)
            }
        };
        self.encode_by_key(task, held.key)?;
        let mut length = 0;
        self.typed.put_value(task, slot, &held.headers, held.timestamp, |out| {
            let start = out.len();
            out.extend_from_slice(&stored_time(time).to_be_bytes());
            self.typed.value.serialize(&change, out)?;
            length = out.len() - start;
            Ok(())
        })?;
        summary.bytes += (length + task.key_bytes.len()) as u64 + CHANGE_BYTES;
        summary.earliest = summary.earliest.min(time);
        self.set_summary(task, slot, summary)?;
        Ok(summary)
    }

    /// Lets changes go, earliest first and by key bytes at one time, as long as `goes` says so of what is left and of the
    /// earliest time.
    pub(crate) fn take_while(
        &self,
        cx: &mut impl StateAccess,
        goes: impl Fn(&Summary) -> bool,
    ) -> Result<Vec<Held<K, V>>, ProcessError> {
        let mut summary = self.summary(cx)?;
        let mut taken = Vec::new();
        // Few go at a time as a rule, so few are looked for at first: a batch bounds what a scan collects in vain.
        let mut batch = 1;
        while summary.records > 0 && goes(&summary) {
            let (task, slot) = self.typed.open(cx)?;
            batch = BATCH_MAX.min(batch * 2);
            for order in self.earliest(task, slot, batch)? {
                summary.earliest = order_time(&order).ok_or_else(|| self.corrupt(&bad_key("suppression's", &order)))?;
                if !goes(&summary) {
                    break;
                }
                let (held, bytes) = self.take(task, slot, &order)?;
                summary.records -= 1;
                summary.bytes = summary.bytes.saturating_sub(bytes + CHANGE_BYTES);
                taken.push(held);
            }
            if summary.records == 0 {
                summary = Summary { records: 0, bytes: 0, earliest: Timestamp::MAX };
            }
        }
        if !taken.is_empty() {
            let (task, slot) = self.typed.open(cx)?;
            self.set_summary(task, slot, summary)?;
        }
        Ok(taken)
    }

    /// The earliest keys of the order, a batch of them.
    fn earliest(&self, task: &mut TaskState, slot: usize, batch: usize) -> Result<Vec<Vec<u8>>, ProcessError> {
        let mut orders: Vec<Vec<u8>> = Vec::new();
        let range = Range::half_open(&[BY_TIME], &[BY_KEY]);
        task.overlay.scan(slot, range, Direction::Forward, &mut |key, _| {
            orders.push(key.to_vec());
            if orders.len() < batch { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        if orders.is_empty() {
            return Err(self.corrupt(&SerdeError::new("the summary counts changes that are not there")));
        }
        Ok(orders)
    }

    /// Removes one change, found by its key in the order.
    fn take(&self, task: &mut TaskState, slot: usize, order: &[u8]) -> Result<(Held<K, V>, u64), ProcessError> {
        let key = order.get(9..).unwrap_or_default();
        let by_key = [&[BY_KEY], key].concat();
        let held = match task.overlay.get(slot, &by_key)? {
            None => Err(SerdeError::new("an entry of the order has no change")),
            Some(bytes) => self.read(bytes).and_then(|(_, change, length)| {
                let stored = crate::value::read(bytes)?;
                let (timestamp, headers) = (stored.timestamp, stored.headers);
                let key = self.typed.key.deserialize(key)?;
                Ok((Held { key, change, timestamp, headers }, (length + by_key.len()) as u64))
            }),
        };
        let held = held.map_err(|e| self.corrupt(&e))?;
        task.overlay.delete(slot, &by_key);
        task.overlay.delete(slot, order);
        Ok(held)
    }

    /// Time, change and payload length of a held change.
    fn read(&self, bytes: &[u8]) -> Result<(Timestamp, V, usize), SerdeError> {
        let payload = crate::value::read(bytes)?.payload;
        let (time, change) =
            payload.split_first_chunk::<8>().ok_or_else(|| SerdeError::new("a change is cut short"))?;
        Ok((key_time(u64::from_be_bytes(*time)), self.typed.value.deserialize(change)?, payload.len()))
    }

    fn encode_by_key(&self, task: &mut TaskState, key: &K) -> Result<(), SerdeError> {
        self.typed.encode_key(task, key, |key, out| {
            out.push(BY_KEY);
            out.extend_from_slice(key);
        })
    }

    fn corrupt(&self, e: &SerdeError) -> ProcessError {
        ProcessError::Topology(format!("the suppression '{}' holds an entry it cannot read: {e}", self.typed.name))
    }
}

fn order_time(order: &[u8]) -> Option<Timestamp> {
    let time = order.get(1..)?.first_chunk::<8>()?;
    Some(key_time(u64::from_be_bytes(*time)))
}
