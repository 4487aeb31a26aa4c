//! The versioned key-value store (KIP-889): every version of a key over a history, and which one held when.

use std::marker::PhantomData;
use std::ops::ControlFlow;
use std::sync::Arc;

use state::Direction;
use state::layout::{KeyRange, VersionedKey};

use super::{Engine, StateAccess, StoreHandle, StoreOptions, StoreSpec, slot};
use crate::error::ProcessError;
use crate::limits::RECORD_BYTES_MAX;
use crate::record::Headers;
use crate::serde::{Serde, SerdeError};
use crate::task::TaskState;
use crate::topology::{Clock, ShowJson, StoreIndex};
use crate::types::Timestamp;

/// A versioned store to be: formats, history, options.
///
/// ```
/// use streams::{TopologyBuilder, store::Versioned, serde::{F64, Utf8}};
/// let mut builder = TopologyBuilder::new("prices");
/// let day_ms = 24 * 60 * 60 * 1000;
/// let prices = builder.store("prices", Versioned::<String, f64>::new(Utf8, F64, day_ms));
/// ```
pub struct Versioned<K, V> {
    key: Arc<dyn Serde<K>>,
    value: Arc<dyn Serde<V>>,
    history_retention_ms: i64,
    options: StoreOptions,
}

impl<K: 'static, V: 'static> Versioned<K, V> {
    /// Persistent, logged. Versions are found as of times down to `history_retention_ms` (at least 0) before the store's
    /// stream time, the largest timestamp put; an update older than that is refused.
    pub fn new(key: impl Serde<K>, value: impl Serde<V>, history_retention_ms: i64) -> Self {
        Self::with_options(Arc::new(key), Arc::new(value), history_retention_ms, StoreOptions::default())
    }

    pub(crate) fn with_options(
        key: Arc<dyn Serde<K>>,
        value: Arc<dyn Serde<V>>,
        history_retention_ms: i64,
        options: StoreOptions,
    ) -> Self {
        Versioned { key, value, history_retention_ms: history_retention_ms.max(0), options }
    }

    /// In memory instead of RocksDB.
    #[must_use]
    pub fn in_memory(mut self) -> Self {
        self.options.in_memory = true;
        self
    }

    /// In an engine of its own instead of where the application keeps its stores.
    #[must_use]
    pub fn with_engine(mut self, engine: &Engine) -> Self {
        self.options.engine = Some(engine.clone());
        self
    }

    /// Without a changelog.
    #[must_use]
    pub fn not_logged(mut self) -> Self {
        self.options.logged = false;
        self
    }

    /// How interactive queries show an entry: from key bytes ([`VersionedKey`]) and payload (a byte 1 and the value, or a
    /// byte 0 for a deleted version) to JSON text.
    #[must_use]
    pub fn shown_as(mut self, show: impl Fn(&[u8], &[u8]) -> String + Send + Sync + 'static) -> Self {
        let show: ShowJson = Arc::new(show);
        self.options.show = Some(show);
        self
    }
}

impl<K: 'static, V: 'static> StoreSpec for Versioned<K, V> {
    type Handle = VersionedStore<K, V>;
    fn shape(&self) -> &'static str {
        "versioned"
    }
    fn options(&self) -> &StoreOptions {
        &self.options
    }
    fn retention_ms(&self) -> Option<i64> {
        Some(self.history_retention_ms)
    }
    fn handle(self, index: StoreIndex, name: Arc<str>) -> VersionedStore<K, V> {
        VersionedStore {
            index,
            name,
            key: self.key,
            value: self.value,
            retention_ms: self.history_retention_ms,
            types: PhantomData,
        }
    }
}

/// One version of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VersionedRecord<V> {
    /// The value.
    pub value: V,
    /// From when on it holds: the timestamp it was put under.
    pub timestamp: Timestamp,
    /// Until when it held, exclusive; `None` for the newest version.
    pub valid_to: Option<Timestamp>,
}

/// What became of a put into a versioned store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PutResult {
    /// It is the newest version of its key.
    Latest,
    /// It became history: a newer version holds from this time on.
    ValidTo(Timestamp),
    /// It is older than the history; nothing changed.
    NotPut,
}

/// Handle of a versioned store.
pub struct VersionedStore<K, V> {
    index: StoreIndex,
    name: Arc<str>,
    key: Arc<dyn Serde<K>>,
    value: Arc<dyn Serde<V>>,
    retention_ms: i64,
    types: PhantomData<fn(&K, &V)>,
}

impl<K, V> Clone for VersionedStore<K, V> {
    fn clone(&self) -> Self {
        VersionedStore {
            index: self.index,
            name: self.name.clone(),
            key: self.key.clone(),
            value: self.value.clone(),
            retention_ms: self.retention_ms,
            types: PhantomData,
        }
    }
}

impl<K, V> StoreHandle for VersionedStore<K, V> {
    fn index(&self) -> StoreIndex {
        self.index
    }
    fn name(&self) -> &str {
        &self.name
    }
}

/// Payloads begin with one of these; a deletion is a version too.
const DELETED: u8 = 0;
pub(super) const PRESENT: u8 = 1;

impl<K: 'static, V: 'static> VersionedStore<K, V> {
    /// History retention, milliseconds.
    #[must_use]
    pub fn history_retention_ms(&self) -> i64 {
        self.retention_ms
    }

    /// Puts a version that holds from `timestamp` on; no value is a deletion from then on. A version of the same time is
    /// replaced.
    ///
    /// # Errors
    /// When key or value do not fit their format, or `timestamp` is negative.
    pub fn put(
        &self,
        cx: &mut impl StateAccess,
        key: &K,
        value: Option<&V>,
        timestamp: Timestamp,
    ) -> Result<PutResult, ProcessError> {
        let name = &self.name;
        let at = u64::try_from(timestamp).map_err(|_| {
            ProcessError::rejected(format!("timestamp {timestamp} put into store '{name}' is negative"))
        })?;
        let task = cx.task();
        let slot = slot(task, self.index, name)?;
        if timestamp < self.horizon(task) {
            return Ok(PutResult::NotPut);
        }
        task.observe(Clock::Store(self.index), timestamp);
        let key = self.key_bytes(key)?;
        let TaskState { overlay, key_bytes, value_bytes, .. } = &mut *task;
        key_bytes.clear();
        VersionedKey::encode(&key, at, key_bytes);
        value_bytes.clear();
        crate::value::write_head(timestamp, Headers::empty(), value_bytes);
        match value {
            None => value_bytes.push(DELETED),
            Some(value) => {
                value_bytes.push(PRESENT);
                self.value.serialize(value, value_bytes)?;
            }
        }
        let bytes = key_bytes.len() + value_bytes.len();
        if bytes > RECORD_BYTES_MAX {
            return Err(ProcessError::rejected(format!(
                "an entry of store '{name}' would have {bytes} bytes, the limit is {RECORD_BYTES_MAX}"
            )));
        }
        overlay.put(slot, key_bytes, value_bytes);
        self.forget(task, slot, &key)?;
        Ok(self.next_newer(task, slot, &key, at)?.map_or(PutResult::Latest, PutResult::ValidTo))
    }

    /// Deletes a key from `timestamp` on and returns the version that held then.
    ///
    /// # Errors
    /// As [`VersionedStore::put`].
    pub fn delete(
        &self,
        cx: &mut impl StateAccess,
        key: &K,
        timestamp: Timestamp,
    ) -> Result<Option<VersionedRecord<V>>, ProcessError> {
        let before = self.get_as_of(cx, key, timestamp)?;
        let put = self.put(cx, key, None, timestamp)?;
        Ok(before.filter(|_| put != PutResult::NotPut))
    }

    /// The newest version of a key. It never expires.
    ///
    /// # Errors
    /// When the store fails or holds bytes that its format cannot read.
    pub fn get(&self, cx: &mut impl StateAccess, key: &K) -> Result<Option<VersionedRecord<V>>, ProcessError> {
        let task = cx.task();
        let slot = slot(task, self.index, &self.name)?;
        let key = self.key_bytes(key)?;
        let newest = self.first(task, slot, &key, u64::MAX)?;
        newest.map_or(Ok(None), |(at, payload)| self.record(at, &payload, None))
    }

    /// The version of a key that held at a time. Before the history there is none but the newest.
    ///
    /// # Errors
    /// As [`VersionedStore::get`].
    pub fn get_as_of(
        &self,
        cx: &mut impl StateAccess,
        key: &K,
        as_of: Timestamp,
    ) -> Result<Option<VersionedRecord<V>>, ProcessError> {
        let Ok(time) = u64::try_from(as_of) else { return Ok(None) };
        let task = cx.task();
        let slot = slot(task, self.index, &self.name)?;
        let expired = as_of < self.horizon(task);
        let key = self.key_bytes(key)?;
        let Some((at, payload)) = self.first(task, slot, &key, time)? else { return Ok(None) };
        if payload.first() == Some(&DELETED) {
            return Ok(None);
        }
        let valid_to = self.next_newer(task, slot, &key, at)?;
        if expired && valid_to.is_some() {
            return Ok(None);
        }
        self.record(at, &payload, valid_to)
    }

    /// As [`VersionedStore::get_as_of`], without the end of the version, which costs a search of its own: what joins need.
    pub(crate) fn value_as_of(
        &self,
        cx: &mut impl StateAccess,
        key: &K,
        as_of: Timestamp,
    ) -> Result<Option<(V, Timestamp)>, ProcessError> {
        let Ok(time) = u64::try_from(as_of) else { return Ok(None) };
        let task = cx.task();
        if as_of < self.horizon(task) {
            return Ok(self.get_as_of(cx, key, as_of)?.map(|version| (version.value, version.timestamp)));
        }
        let slot = slot(task, self.index, &self.name)?;
        let key = self.key_bytes(key)?;
        let Some((at, payload)) = self.first(task, slot, &key, time)? else { return Ok(None) };
        Ok(self.record(at, &payload, None)?.map(|version| (version.value, version.timestamp)))
    }

    /// The oldest time that can be asked for and written to.
    fn horizon(&self, task: &TaskState) -> Timestamp {
        task.observed(Clock::Store(self.index)).saturating_sub(self.retention_ms)
    }

    fn key_bytes(&self, key: &K) -> Result<Vec<u8>, SerdeError> {
        let mut bytes = Vec::new();
        self.key.serialize(key, &mut bytes)?;
        Ok(bytes)
    }

    /// The newest version at or before a time: its time and payload.
    fn first(
        &self,
        task: &mut TaskState,
        slot: usize,
        key: &[u8],
        latest: u64,
    ) -> Result<Option<(u64, Vec<u8>)>, ProcessError> {
        let mut range = KeyRange::default();
        VersionedKey::range(key, 0, latest, &mut range);
        let mut found = Ok(None);
        task.overlay.scan(slot, range.as_range(), Direction::Forward, &mut |key, bytes| {
            found = read(key, bytes).map(Some);
            ControlFlow::Break(())
        })?;
        found.map_err(|e| self.corrupt(&e))
    }

    /// When the version after the one of `at` begins.
    fn next_newer(
        &self,
        task: &mut TaskState,
        slot: usize,
        key: &[u8],
        at: u64,
    ) -> Result<Option<Timestamp>, ProcessError> {
        let mut range = KeyRange::default();
        VersionedKey::range(key, at.saturating_add(1), u64::MAX, &mut range);
        let mut found = None;
        task.overlay.scan(slot, range.as_range(), Direction::Reverse, &mut |key, _| {
            found = VersionedKey::decode(key).and_then(|k| Timestamp::try_from(k.valid_from).ok());
            ControlFlow::Break(())
        })?;
        Ok(found)
    }

    /// Removes the versions of a key that ended before the history begins, and the deletion that holds there: absence says
    /// the same. A key that is not written again keeps its last versions.
    fn forget(&self, task: &mut TaskState, slot: usize, key: &[u8]) -> Result<(), ProcessError> {
        let Ok(horizon) = u64::try_from(self.horizon(task)) else { return Ok(()) };
        let mut range = KeyRange::default();
        VersionedKey::range(key, 0, horizon, &mut range);
        let mut ended: Vec<Vec<u8>> = Vec::new();
        let mut holds = true;
        let mut failed = None;
        task.overlay.scan(slot, range.as_range(), Direction::Forward, &mut |key, bytes| {
            match read(key, bytes) {
                Ok((_, payload)) if holds && payload.first() == Some(&PRESENT) => (),
                Ok(_) => ended.push(key.to_vec()),
                Err(e) => failed = Some(e),
            }
            holds = false;
            ControlFlow::Continue(())
        })?;
        if let Some(e) = failed {
            return Err(self.corrupt(&e));
        }
        for key in ended {
            task.overlay.delete(slot, &key);
        }
        Ok(())
    }

    fn record(
        &self,
        at: u64,
        payload: &[u8],
        valid_to: Option<Timestamp>,
    ) -> Result<Option<VersionedRecord<V>>, ProcessError> {
        match payload.split_first() {
            Some((&PRESENT, bytes)) => {
                let value = self.value.deserialize(bytes).map_err(|e| self.corrupt(&e))?;
                Ok(Some(VersionedRecord {
                    value,
                    timestamp: Timestamp::try_from(at).unwrap_or(Timestamp::MAX),
                    valid_to,
                }))
            }
            Some((&DELETED, [])) => Ok(None),
            _ => Err(self.corrupt(&SerdeError::new("a version is neither a value nor a deletion"))),
        }
    }

    fn corrupt(&self, e: &SerdeError) -> ProcessError {
        ProcessError::Topology(format!("store '{}' holds an entry its format cannot read: {e}", self.name))
    }
}

fn read(key: &[u8], bytes: &[u8]) -> Result<(u64, Vec<u8>), SerdeError> {
    let key = VersionedKey::decode(key).ok_or_else(|| SerdeError::new("damaged versioned key"))?;
    Ok((key.valid_from, crate::value::read(bytes)?.payload.to_vec()))
}
