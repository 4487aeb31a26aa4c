//! The window store: a value per key and window start (Kafka Streams: `TimestampedWindowStore`).

use std::ops::ControlFlow;
use std::sync::Arc;

use state::layout::{KeyRange, WindowKey};
use state::{Direction, Range};

use super::entries::{Entries, OfView, Typed, bad_key, key_time, stored_time};
use super::retention::Retention;
use super::{Engine, StateAccess, StoreHandle, StoreOptions, StoreSpec};
use crate::error::ProcessError;
use crate::record::Headers;
use crate::serde::{Serde, SerdeError};
use crate::topology::{ShowJson, StoreIndex};
use crate::types::{Partition, Timestamp};
use crate::view::{QueryError, View};

/// A window store to be: formats, retention, options.
///
/// ```
/// use streams::{TopologyBuilder, store::Window, serde::{I64, Utf8}};
/// let mut builder = TopologyBuilder::new("clicks");
/// let day_ms = 24 * 60 * 60 * 1000;
/// let per_minute = builder.store("per-minute", Window::<String, i64>::new(Utf8, I64, day_ms));
/// ```
pub struct Window<K, V> {
    key: Arc<dyn Serde<K>>,
    value: Arc<dyn Serde<V>>,
    retention: Retention,
    duplicates: bool,
    options: StoreOptions,
}

impl<K: 'static, V: 'static> Window<K, V> {
    /// Persistent, logged; a window is kept until the store's stream time, the largest start put, is `retention_ms` or more
    /// past its start.
    pub fn new(key: impl Serde<K>, value: impl Serde<V>, retention_ms: i64) -> Self {
        let retention = Retention::new(retention_ms);
        Self::with_options(Arc::new(key), Arc::new(value), retention, StoreOptions::default())
    }

    pub(crate) fn with_options(
        key: Arc<dyn Serde<K>>,
        value: Arc<dyn Serde<V>>,
        retention: Retention,
        options: StoreOptions,
    ) -> Self {
        Window { key, value, retention, duplicates: false, options }
    }

    /// Keeps every value put under one key and start, in the order they were put, instead of the last.
    #[must_use]
    pub fn retain_duplicates(mut self) -> Self {
        self.duplicates = true;
        self
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

    /// How interactive queries show an entry: from key bytes ([`WindowKey`]) and value bytes to JSON text.
    #[must_use]
    pub fn shown_as(mut self, show: impl Fn(&[u8], &[u8]) -> String + Send + Sync + 'static) -> Self {
        let show: ShowJson = Arc::new(show);
        self.options.show = Some(show);
        self
    }
}

impl<K: 'static, V: 'static> StoreSpec for Window<K, V> {
    type Handle = WindowStore<K, V>;
    fn shape(&self) -> &'static str {
        "window"
    }
    fn options(&self) -> &StoreOptions {
        &self.options
    }
    fn retention_ms(&self) -> Option<i64> {
        Some(self.retention.retention_ms)
    }
    fn segment_ms(&self) -> Option<u64> {
        Some(self.retention.segment_ms)
    }
    fn handle(self, index: StoreIndex, name: Arc<str>) -> WindowStore<K, V> {
        let typed = Typed { index, name, key: self.key, value: self.value };
        WindowStore { typed, retention: self.retention, duplicates: self.duplicates }
    }
}

/// Handle of a window store.
pub struct WindowStore<K, V> {
    typed: Typed<K, V>,
    retention: Retention,
    duplicates: bool,
}

impl<K, V> Clone for WindowStore<K, V> {
    fn clone(&self) -> Self {
        WindowStore { typed: self.typed.clone(), retention: self.retention, duplicates: self.duplicates }
    }
}

impl<K, V> StoreHandle for WindowStore<K, V> {
    fn index(&self) -> StoreIndex {
        self.typed.index
    }
    fn name(&self) -> &str {
        &self.typed.name
    }
}

/// A window of a key: start, value, timestamp of the value.
pub(crate) type Found<V> = (Timestamp, V, Timestamp);

impl<K: 'static, V: 'static> WindowStore<K, V> {
    /// Stores the value of a window, under a timestamp of its own. A window that is expired already is dropped and counted.
    ///
    /// # Errors
    /// When key or value do not fit their format, or `start` or `timestamp` is negative.
    pub fn put(
        &self,
        cx: &mut impl StateAccess,
        key: &K,
        value: &V,
        start: Timestamp,
        timestamp: Timestamp,
    ) -> Result<(), ProcessError> {
        if start < 0 {
            let name = &self.typed.name;
            return Err(ProcessError::rejected(format!("a window put into store '{name}' starts at {start}")));
        }
        let (task, slot) = self.typed.open(cx)?;
        if !self.retention.advance(task, slot, self.typed.index, start) {
            task.counters.dropped += 1;
            return Ok(());
        }
        let segments = self.retention.segments();
        let sequence = if self.duplicates { self.next_sequence(task, key, start)? } else { 0 };
        self.typed.encode_key(task, key, |key, out| {
            WindowKey::encode(segments, key, stored_time(start), sequence, out);
        })?;
        self.typed.put_value(task, slot, Headers::empty(), timestamp, |out| self.typed.value.serialize(value, out))
    }

    /// Where a further value of one key and start goes. The first costs one look-up and no scan.
    fn next_sequence(&self, cx: &mut impl StateAccess, key: &K, start: Timestamp) -> Result<u32, ProcessError> {
        let segments = self.retention.segments();
        let mut entries = self.typed.entries(cx)?;
        let time = stored_time(start);
        self.typed.encode_key(entries.task, key, |key, out| WindowKey::encode(segments, key, time, 0, out))?;
        let first = std::mem::take(&mut entries.task.key_bytes);
        let taken = entries.task.overlay.get(entries.slot, &first)?.is_some();
        entries.task.key_bytes = first;
        if !taken {
            return Ok(0);
        }
        let mut range = KeyRange::default();
        WindowKey::range(segments.segment(time), &self.typed.key_bytes(key)?, time, time, &mut range);
        let mut last = 0;
        let found = entries.scan(range.as_range(), Direction::Reverse, &mut |key, _, _| {
            last = WindowKey::decode(key).ok_or_else(|| bad_key("window", key))?.sequence;
            Ok(ControlFlow::Break(()))
        });
        found.map_err(|e| self.typed.failed(e))?;
        Ok(last.saturating_add(1))
    }

    /// Removes a window; a tombstone goes to the changelog. Moves the store's stream time as [`WindowStore::put`] does. Where
    /// several values of one key and start are kept it removes none: there is no telling which (as in Kafka Streams).
    ///
    /// # Errors
    /// When the key does not fit its format.
    pub fn delete(&self, cx: &mut impl StateAccess, key: &K, start: Timestamp) -> Result<(), ProcessError> {
        let (task, slot) = self.typed.open(cx)?;
        if self.duplicates || !self.retention.advance(task, slot, self.typed.index, start) {
            return Ok(());
        }
        let segments = self.retention.segments();
        self.typed.encode_key(task, key, |key, out| {
            WindowKey::encode(segments, key, stored_time(start), 0, out);
        })?;
        task.overlay.delete(slot, &task.key_bytes);
        Ok(())
    }

    /// The value of a window and its timestamp. Of several values kept under one key and start it is the first.
    ///
    /// # Errors
    /// When the store fails or holds bytes that its format cannot read.
    pub fn fetch(
        &self,
        cx: &mut impl StateAccess,
        key: &K,
        start: Timestamp,
    ) -> Result<Option<(V, Timestamp)>, ProcessError> {
        let mut entries = self.typed.entries(cx)?;
        if start < self.retention.first_readable(entries.time()) {
            return Ok(None);
        }
        let segments = self.retention.segments();
        self.typed.encode_key(entries.task, key, |key, out| {
            WindowKey::encode(segments, key, stored_time(start), 0, out);
        })?;
        let key = std::mem::take(&mut entries.task.key_bytes);
        let mut row = None;
        let read = entries.get(&key, &mut |payload, at| {
            row = Some((self.typed.value.deserialize(payload)?, at));
            Ok(())
        });
        entries.task.key_bytes = key;
        read.map_err(|e| self.typed.failed(e))?;
        Ok(row)
    }

    /// Windows of a key that start in `[from, to]`, in order of start, until `visit` breaks: start, value, timestamp.
    ///
    /// # Errors
    /// As [`WindowStore::fetch`].
    pub fn fetch_range(
        &self,
        cx: &mut impl StateAccess,
        key: &K,
        (from, to): (Timestamp, Timestamp),
        direction: Direction,
        visit: &mut dyn FnMut(Timestamp, V, Timestamp) -> ControlFlow<()>,
    ) -> Result<(), ProcessError> {
        let mut entries = self.typed.entries(cx)?;
        let last = entries.time();
        self.windows_of_key(&mut entries, key, (from, to.min(last)), direction, visit).map_err(|e| self.typed.failed(e))
    }

    /// All windows of a key that start in `[from, to]`, as a list.
    pub(crate) fn collect(
        &self,
        cx: &mut impl StateAccess,
        key: &K,
        range: (Timestamp, Timestamp),
        direction: Direction,
    ) -> Result<Vec<Found<V>>, ProcessError> {
        let mut found = Vec::new();
        self.fetch_range(cx, key, range, direction, &mut |start, value, at| {
            found.push((start, value, at));
            ControlFlow::Continue(())
        })?;
        Ok(found)
    }

    /// Windows of all keys that start in `[from, to]`, in order of start, then of key bytes: key, start, value, timestamp.
    ///
    /// # Errors
    /// As [`WindowStore::fetch`].
    pub fn fetch_all(
        &self,
        cx: &mut impl StateAccess,
        (from, to): (Timestamp, Timestamp),
    ) -> Result<Vec<(K, Timestamp, V, Timestamp)>, ProcessError> {
        let mut entries = self.typed.entries(cx)?;
        self.windows_of_all(&mut entries, (from, to), b"").map_err(|e| self.typed.failed(e))
    }

    fn windows_of_key(
        &self,
        entries: &mut impl Entries,
        key: &K,
        (from, to): (Timestamp, Timestamp),
        direction: Direction,
        visit: &mut dyn FnMut(Timestamp, V, Timestamp) -> ControlFlow<()>,
    ) -> Result<(), QueryError> {
        let from = from.max(self.retention.first_readable(entries.time()));
        if to < from {
            return Ok(());
        }
        let (from, to) = (stored_time(from), stored_time(to));
        let key = self.typed.key_bytes(key)?;
        let mut range = KeyRange::default();
        let mut stopped = false;
        let mut read = |segment: u64, stopped: &mut bool| {
            WindowKey::range(segment, &key, from, to, &mut range);
            entries.scan(range.as_range(), direction, &mut |key, payload, at| {
                let time = WindowKey::decode(key).ok_or_else(|| bad_key("window", key))?.time;
                let flow = visit(key_time(time), self.typed.value.deserialize(payload)?, at);
                *stopped = flow.is_break();
                Ok(flow)
            })
        };
        let segments = self.retention.segments().between(from, to);
        match direction {
            Direction::Forward => {
                for segment in segments {
                    read(segment, &mut stopped)?;
                    if stopped {
                        break;
                    }
                }
            }
            Direction::Reverse => {
                for segment in segments.rev() {
                    read(segment, &mut stopped)?;
                    if stopped {
                        break;
                    }
                }
            }
        }
        Ok(())
    }

    /// One scan over the segments the times lie in, put in order.
    fn windows_of_all(
        &self,
        entries: &mut impl Entries,
        (from, to): (Timestamp, Timestamp),
        prefix: &[u8],
    ) -> Result<Vec<(K, Timestamp, V, Timestamp)>, QueryError> {
        // What was not emitted yet is found whatever its age.
        let readable = self.retention.first_readable(entries.time());
        let from = if self.retention.unemitted_after.is_some() { from } else { from.max(readable) };
        if to < from {
            return Ok(Vec::new());
        }
        let (from, to) = (stored_time(from), stored_time(to));
        let segments = self.retention.segments();
        let first = segments.segment(from).to_be_bytes();
        let end = segments.segment(to).saturating_add(1).to_be_bytes();
        let mut found: Vec<(u64, Vec<u8>, V, Timestamp)> = Vec::new();
        entries.scan(Range::half_open(&first, &end), Direction::Forward, &mut |bytes, payload, at| {
            let key = WindowKey::decode(bytes).ok_or_else(|| bad_key("window", bytes))?;
            if (from..=to).contains(&key.time) && key.key.starts_with(prefix) {
                found.push((key.time, key.key.into_owned(), self.typed.value.deserialize(payload)?, at));
            }
            Ok(ControlFlow::Continue(()))
        })?;
        // Stable: several values of one key and start stay in the order they were put.
        found.sort_by(|a, b| (a.0, &a.1).cmp(&(b.0, &b.1)));
        let typed = |(time, key, value, at): (u64, Vec<u8>, V, Timestamp)| {
            Ok((self.typed.key.deserialize(&key)?, key_time(time), value, at))
        };
        found.into_iter().map(typed).collect::<Result<_, SerdeError>>().map_err(QueryError::from)
    }
}

/// A window store as queries read it: committed windows, of one partition at a time.
///
/// Windows past the retention, counted back from the task's committed stream time, are not shown.
pub struct ReadOnlyWindowStore<'a, K, V> {
    view: &'a View,
    store: WindowStore<K, V>,
}

impl View {
    /// The window store of this name, read with these formats.
    ///
    /// # Errors
    /// [`QueryError::Store`] when there is no such store, or it is of another kind.
    pub fn window_store<K: 'static, V: 'static>(
        &self,
        name: &str,
        key: impl Serde<K>,
        value: impl Serde<V>,
    ) -> Result<ReadOnlyWindowStore<'_, K, V>, QueryError> {
        let (index, name, retention) = self.windowed(name, "window")?;
        let typed = Typed { index, name, key: Arc::new(key) as _, value: Arc::new(value) as _ };
        Ok(ReadOnlyWindowStore { view: self, store: WindowStore { typed, retention, duplicates: false } })
    }

    /// Place, name and retention of a store with windows.
    pub(crate) fn windowed(&self, name: &str, shape: &str) -> Result<(StoreIndex, Arc<str>, Retention), QueryError> {
        let Some((index, def)) = self.store(name) else {
            return Err(QueryError::Store(format!("there is no store '{name}'")));
        };
        match (def.shape == shape, def.retention_ms, def.segment_ms) {
            (true, Some(retention_ms), Some(segment_ms)) => {
                Ok((index, def.name.clone(), Retention { retention_ms, segment_ms, unemitted_after: None }))
            }
            _ => Err(QueryError::Store(format!("store '{name}' is a {} store, not a {shape} store", def.shape))),
        }
    }
}

impl<K: 'static, V: 'static> ReadOnlyWindowStore<'_, K, V> {
    fn entries(&self, partition: Partition) -> OfView<'_> {
        OfView { view: self.view, store: self.store.typed.index, partition }
    }

    /// Windows of a key that start in `[from, to]`, in order of start (or the reverse): start, value, timestamp.
    ///
    /// # Errors
    /// [`QueryError`] when the store fails or its bytes cannot be read.
    pub fn fetch(
        &self,
        partition: Partition,
        key: &K,
        (from, to): (Timestamp, Timestamp),
        direction: Direction,
    ) -> Result<Vec<(Timestamp, V, Timestamp)>, QueryError> {
        let mut entries = self.entries(partition);
        let last = last_segment(&mut entries, self.store.retention)?;
        let mut found = Vec::new();
        self.store.windows_of_key(&mut entries, key, (from, to.min(last)), direction, &mut |start, value, at| {
            found.push((start, value, at));
            ControlFlow::Continue(())
        })?;
        Ok(found)
    }

    /// Windows of all keys that start in `[from, to]`, in order of start, then of key bytes: key, start, value, timestamp.
    ///
    /// # Errors
    /// As [`ReadOnlyWindowStore::fetch`].
    pub fn fetch_all(
        &self,
        partition: Partition,
        range: (Timestamp, Timestamp),
    ) -> Result<Vec<(K, Timestamp, V, Timestamp)>, QueryError> {
        self.store.windows_of_all(&mut self.entries(partition), range, b"")
    }

    /// As [`ReadOnlyWindowStore::fetch_all`], of the keys whose bytes begin with `prefix`.
    ///
    /// # Errors
    /// As [`ReadOnlyWindowStore::fetch`].
    pub fn fetch_prefix(
        &self,
        partition: Partition,
        prefix: &[u8],
        range: (Timestamp, Timestamp),
    ) -> Result<Vec<(K, Timestamp, V, Timestamp)>, QueryError> {
        self.store.windows_of_all(&mut self.entries(partition), range, prefix)
    }
}

/// The last time that the last segment of a store can hold; what bounds a query without an end.
pub(crate) fn last_segment(entries: &mut impl Entries, retention: Retention) -> Result<Timestamp, QueryError> {
    let mut last = -1;
    entries.scan(Range::all(), Direction::Reverse, &mut |key, _, _| {
        let segment = key.first_chunk::<8>().ok_or_else(|| bad_key("windowed", key))?;
        let end = u64::from_be_bytes(*segment).saturating_add(1).saturating_mul(retention.segment_ms);
        last = key_time(end).saturating_sub(1);
        Ok(ControlFlow::Break(()))
    })?;
    Ok(last)
}
