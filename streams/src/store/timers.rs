//! Durable timers: a store ordered by due time. Unlike a punctuation, a timer survives restarts and moves with its task.

use std::marker::PhantomData;
use std::ops::{Bound, ControlFlow};
use std::sync::Arc;

use state::{Direction, Range};

use super::{StateAccess, StoreHandle, StoreOptions, StoreSpec, slot};
use crate::error::ProcessError;
use crate::record::Headers;
use crate::serde::Serde;
use crate::task::TaskState;
use crate::topology::StoreIndex;
use crate::types::Timestamp;

/// A timer store to be.
pub struct Timers<K> {
    key: Arc<dyn Serde<K>>,
    options: StoreOptions,
}

impl<K: 'static> Timers<K> {
    /// Persistent, logged.
    pub fn new(key: impl Serde<K>) -> Self {
        Timers { key: Arc::new(key), options: StoreOptions::default() }
    }
}

impl<K: 'static> StoreSpec for Timers<K> {
    type Handle = TimerStore<K>;
    fn shape(&self) -> &'static str {
        "timers"
    }
    fn options(&self) -> &StoreOptions {
        &self.options
    }
    fn handle(self, index: StoreIndex, name: Arc<str>) -> TimerStore<K> {
        TimerStore { index, name, key: self.key, types: PhantomData }
    }
}

/// Handle of a timer store: a set of (due time, key), read in order of due time.
pub struct TimerStore<K> {
    index: StoreIndex,
    name: Arc<str>,
    key: Arc<dyn Serde<K>>,
    types: PhantomData<fn(&K)>,
}

impl<K> Clone for TimerStore<K> {
    fn clone(&self) -> Self {
        TimerStore { index: self.index, name: self.name.clone(), key: self.key.clone(), types: PhantomData }
    }
}

impl<K> StoreHandle for TimerStore<K> {
    fn index(&self) -> StoreIndex {
        self.index
    }
    fn name(&self) -> &str {
        &self.name
    }
}

impl<K: 'static> TimerStore<K> {
    /// Sets a timer; setting the same one again changes nothing.
    ///
    /// # Errors
    /// When the key does not fit its format, or `due` is negative.
    pub fn set(&self, cx: &mut impl StateAccess, due: Timestamp, key: &K) -> Result<(), ProcessError> {
        let timestamp = cx.timestamp().max(0);
        let (task, slot) = self.encode(cx, due, key)?;
        let TaskState { overlay, key_bytes, value_bytes, .. } = task;
        value_bytes.clear();
        crate::value::write_head(timestamp, Headers::empty(), value_bytes);
        overlay.put(slot, key_bytes, value_bytes);
        Ok(())
    }

    /// Takes a timer back; one that is not set is no error.
    ///
    /// # Errors
    /// As [`TimerStore::set`].
    pub fn cancel(&self, cx: &mut impl StateAccess, due: Timestamp, key: &K) -> Result<(), ProcessError> {
        let (task, slot) = self.encode(cx, due, key)?;
        task.overlay.delete(slot, &task.key_bytes);
        Ok(())
    }

    /// Removes and returns the timers due at or before `now`, earliest first, at most `max`.
    ///
    /// # Errors
    /// When the store fails or holds a key its format cannot read.
    pub fn take_due(
        &self,
        cx: &mut impl StateAccess,
        now: Timestamp,
        max: usize,
    ) -> Result<Vec<(Timestamp, K)>, ProcessError> {
        let task = cx.task();
        let slot = slot(task, self.index, &self.name)?;
        let end = now.max(0).saturating_add(1).to_be_bytes();
        let range = Range { from: Bound::Unbounded, to: Bound::Excluded(&end) };
        let mut found: Vec<Vec<u8>> = Vec::new();
        task.overlay.scan(slot, range, Direction::Forward, &mut |key, _| {
            found.push(key.to_vec());
            if found.len() < max { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        let mut due = Vec::with_capacity(found.len());
        for bytes in found {
            task.overlay.delete(slot, &bytes);
            let (time, key) = bytes.split_first_chunk::<8>().ok_or_else(|| {
                ProcessError::Topology(format!("timer store '{}' holds a key of {} bytes", self.name, bytes.len()))
            })?;
            due.push((Timestamp::from_be_bytes(*time), self.key.deserialize(key)?));
        }
        Ok(due)
    }

    fn encode<'a, A: StateAccess>(
        &self,
        cx: &'a mut A,
        due: Timestamp,
        key: &K,
    ) -> Result<(&'a mut TaskState, usize), ProcessError> {
        if due < 0 {
            return Err(ProcessError::rejected(format!("timer of '{}' is due at {due}, before 1970", self.name)));
        }
        let task = cx.task();
        let slot = slot(task, self.index, &self.name)?;
        task.key_bytes.clear();
        // Non-negative, so big-endian bytes sort as the numbers do.
        task.key_bytes.extend_from_slice(&due.to_be_bytes());
        self.key.serialize(key, &mut task.key_bytes)?;
        Ok((task, slot))
    }
}
