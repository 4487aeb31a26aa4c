//! The timestamped key-value store (KIP-258).

use std::marker::PhantomData;
use std::ops::ControlFlow;
use std::sync::Arc;

use state::{Direction, Range};

use super::{Engine, StateAccess, StoreHandle, StoreOptions, StoreSpec, slot};
use crate::error::ProcessError;
use crate::record::Headers;
use crate::serde::{Serde, SerdeError};
use crate::task::TaskState;
use crate::topology::{ShowJson, StoreIndex};
use crate::types::Timestamp;

/// A key-value store to be: formats and options.
///
/// ```
/// use streams::{TopologyBuilder, store::KeyValue, serde::{I64, Utf8}};
/// let mut builder = TopologyBuilder::new("word-count");
/// let counts = builder.store("counts", KeyValue::<String, i64>::new(Utf8, I64));
/// ```
pub struct KeyValue<K, V> {
    key: Arc<dyn Serde<K>>,
    value: Arc<dyn Serde<V>>,
    options: StoreOptions,
}

impl<K: 'static, V: 'static> KeyValue<K, V> {
    /// Persistent, logged.
    pub fn new(key: impl Serde<K>, value: impl Serde<V>) -> Self {
        KeyValue { key: Arc::new(key), value: Arc::new(value), options: StoreOptions::default() }
    }

    pub(crate) fn formats(&self) -> (Arc<dyn Serde<K>>, Arc<dyn Serde<V>>) {
        (self.key.clone(), self.value.clone())
    }

    pub(crate) fn with_options(key: Arc<dyn Serde<K>>, value: Arc<dyn Serde<V>>, options: StoreOptions) -> Self {
        KeyValue { key, value, options }
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

    /// How interactive queries show an entry: from key bytes and value bytes to JSON text.
    #[must_use]
    pub fn shown_as(mut self, show: impl Fn(&[u8], &[u8]) -> String + Send + Sync + 'static) -> Self {
        let show: ShowJson = Arc::new(show);
        self.options.show = Some(show);
        self
    }
}

impl<K: 'static, V: 'static> StoreSpec for KeyValue<K, V> {
    type Handle = KeyValueStore<K, V>;
    fn shape(&self) -> &'static str {
        "key-value"
    }
    fn options(&self) -> &StoreOptions {
        &self.options
    }
    fn handle(self, index: StoreIndex, name: Arc<str>) -> KeyValueStore<K, V> {
        KeyValueStore { index, name, key: self.key, value: self.value, types: PhantomData }
    }
}

/// Handle of a key-value store.
pub struct KeyValueStore<K, V> {
    index: StoreIndex,
    name: Arc<str>,
    key: Arc<dyn Serde<K>>,
    value: Arc<dyn Serde<V>>,
    types: PhantomData<fn(&K, &V)>,
}

impl<K, V> Clone for KeyValueStore<K, V> {
    fn clone(&self) -> Self {
        KeyValueStore {
            index: self.index,
            name: self.name.clone(),
            key: self.key.clone(),
            value: self.value.clone(),
            types: PhantomData,
        }
    }
}

impl<K, V> StoreHandle for KeyValueStore<K, V> {
    fn index(&self) -> StoreIndex {
        self.index
    }
    fn name(&self) -> &str {
        &self.name
    }
}

impl<K: 'static, V: 'static> KeyValueStore<K, V> {
    /// The value of a key.
    ///
    /// # Errors
    /// When the store fails or holds bytes that its format cannot read.
    pub fn get(&self, cx: &mut impl StateAccess, key: &K) -> Result<Option<V>, ProcessError> {
        Ok(self.get_with_timestamp(cx, key)?.map(|(value, _)| value))
    }

    /// The value of a key and the timestamp it was stored under.
    ///
    /// # Errors
    /// As [`KeyValueStore::get`].
    pub fn get_with_timestamp(
        &self,
        cx: &mut impl StateAccess,
        key: &K,
    ) -> Result<Option<(V, Timestamp)>, ProcessError> {
        let task = cx.task();
        let slot = slot(task, self.index, &self.name)?;
        let TaskState { overlay, key_bytes, .. } = task;
        key_bytes.clear();
        self.key.serialize(key, key_bytes)?;
        let Some(bytes) = overlay.get(slot, key_bytes)? else {
            return Ok(None);
        };
        decode(&*self.value, bytes).map(Some).map_err(|e| self.corrupt(e))
    }

    /// Stores a value under the current record's timestamp.
    ///
    /// # Errors
    /// When key or value do not fit their format.
    pub fn put(&self, cx: &mut impl StateAccess, key: &K, value: &V) -> Result<(), ProcessError> {
        let timestamp = cx.timestamp();
        self.put_at(cx, key, value, timestamp)
    }

    /// Stores a value under a timestamp of its own.
    ///
    /// # Errors
    /// As [`KeyValueStore::put`]; also for a negative timestamp, which a changelog record cannot have.
    pub fn put_at(
        &self,
        cx: &mut impl StateAccess,
        key: &K,
        value: &V,
        timestamp: Timestamp,
    ) -> Result<(), ProcessError> {
        if timestamp < 0 {
            let name = &self.name;
            return Err(ProcessError::rejected(format!("timestamp {timestamp} put into store '{name}' is negative")));
        }
        let task = cx.task();
        let slot = slot(task, self.index, &self.name)?;
        let TaskState { overlay, key_bytes, value_bytes, .. } = task;
        key_bytes.clear();
        self.key.serialize(key, key_bytes)?;
        value_bytes.clear();
        crate::value::write_head(timestamp, Headers::empty(), value_bytes);
        self.value.serialize(value, value_bytes)?;
        if key_bytes.len() + value_bytes.len() > crate::limits::RECORD_BYTES_MAX {
            return Err(ProcessError::rejected(format!(
                "an entry of store '{}' would have {} bytes, the limit is {}",
                self.name,
                key_bytes.len() + value_bytes.len(),
                crate::limits::RECORD_BYTES_MAX
            )));
        }
        overlay.put(slot, key_bytes, value_bytes);
        Ok(())
    }

    /// Removes a key; a tombstone goes to the changelog.
    ///
    /// # Errors
    /// When the key does not fit its format.
    pub fn delete(&self, cx: &mut impl StateAccess, key: &K) -> Result<(), ProcessError> {
        let task = cx.task();
        let slot = slot(task, self.index, &self.name)?;
        let TaskState { overlay, key_bytes, .. } = task;
        key_bytes.clear();
        self.key.serialize(key, key_bytes)?;
        overlay.delete(slot, key_bytes);
        Ok(())
    }

    /// Entries whose key *bytes* lie in the range, in byte order, until `visit` breaks.
    ///
    /// # Errors
    /// As [`KeyValueStore::get`].
    pub fn scan(
        &self,
        cx: &mut impl StateAccess,
        range: Range<'_>,
        direction: Direction,
        visit: &mut dyn FnMut(K, V, Timestamp) -> ControlFlow<()>,
    ) -> Result<(), ProcessError> {
        let task = cx.task();
        let slot = slot(task, self.index, &self.name)?;
        let mut failed = None;
        task.overlay.scan(slot, range, direction, &mut |key, bytes| {
            let entry = self
                .key
                .deserialize(key)
                .and_then(|key| decode(&*self.value, bytes).map(|(value, at)| (key, value, at)));
            match entry {
                Ok((key, value, at)) => visit(key, value, at),
                Err(e) => {
                    failed = Some(e);
                    ControlFlow::Break(())
                }
            }
        })?;
        failed.map_or(Ok(()), |e| Err(self.corrupt(e)))
    }

    fn corrupt(&self, e: SerdeError) -> ProcessError {
        ProcessError::Topology(format!("store '{}' holds an entry its format cannot read: {e}", self.name))
    }
}

fn decode<V: 'static>(serde: &dyn Serde<V>, bytes: &[u8]) -> Result<(V, Timestamp), SerdeError> {
    let stored = crate::value::read(bytes)?;
    Ok((serde.deserialize(stored.payload)?, stored.timestamp))
}
