//! The session store: a value per key and session (Kafka Streams: `SessionStore`).

use std::ops::ControlFlow;
use std::sync::Arc;

use state::layout::{KeyRange, SessionKey};
use state::{Direction, Range};

use super::entries::{Entries, OfView, Typed, bad_key, key_time, stored_time};
use super::retention::Retention;
use super::window::last_segment;
use super::{Engine, StateAccess, StoreHandle, StoreOptions, StoreSpec};
use crate::error::ProcessError;
use crate::record::Headers;
use crate::serde::{Serde, SerdeError};
use crate::topology::{ShowJson, StoreIndex};
use crate::types::{Partition, Timestamp};
use crate::view::{QueryError, View};

/// A session store to be: formats, retention, options.
///
/// ```
/// use streams::{TopologyBuilder, store::Session, serde::{I64, Utf8}};
/// let mut builder = TopologyBuilder::new("visits");
/// let day_ms = 24 * 60 * 60 * 1000;
/// let visits = builder.store("visits", Session::<String, i64>::new(Utf8, I64, day_ms));
/// ```
pub struct Session<K, V> {
    key: Arc<dyn Serde<K>>,
    value: Arc<dyn Serde<V>>,
    retention: Retention,
    options: StoreOptions,
}

impl<K: 'static, V: 'static> Session<K, V> {
    /// Persistent, logged; a session is kept until the store's stream time, the largest end put, is `retention_ms` or more
    /// past its end.
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
        Session { key, value, retention, options }
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

    /// How interactive queries show an entry: from key bytes ([`SessionKey`]) and value bytes to JSON text.
    #[must_use]
    pub fn shown_as(mut self, show: impl Fn(&[u8], &[u8]) -> String + Send + Sync + 'static) -> Self {
        let show: ShowJson = Arc::new(show);
        self.options.show = Some(show);
        self
    }
}

impl<K: 'static, V: 'static> StoreSpec for Session<K, V> {
    type Handle = SessionStore<K, V>;
    fn shape(&self) -> &'static str {
        "session"
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
    fn handle(self, index: StoreIndex, name: Arc<str>) -> SessionStore<K, V> {
        let typed = Typed { index, name, key: self.key, value: self.value };
        SessionStore { typed, retention: self.retention }
    }
}

/// Handle of a session store. A session `[start, end]` holds both its times.
pub struct SessionStore<K, V> {
    typed: Typed<K, V>,
    retention: Retention,
}

impl<K, V> Clone for SessionStore<K, V> {
    fn clone(&self) -> Self {
        SessionStore { typed: self.typed.clone(), retention: self.retention }
    }
}

impl<K, V> StoreHandle for SessionStore<K, V> {
    fn index(&self) -> StoreIndex {
        self.typed.index
    }
    fn name(&self) -> &str {
        &self.typed.name
    }
}

/// A session of any key: key, start, end, value.
pub(crate) type AnySession<K, V> = (K, Timestamp, Timestamp, V);

impl<K: 'static, V: 'static> SessionStore<K, V> {
    /// Stores the value of a session, under its end as timestamp. One that is expired already is dropped and counted.
    ///
    /// # Errors
    /// When key or value do not fit their format, or `start` is negative or after `end`.
    pub fn put(
        &self,
        cx: &mut impl StateAccess,
        key: &K,
        (start, end): (Timestamp, Timestamp),
        value: &V,
    ) -> Result<(), ProcessError> {
        if start < 0 || end < start {
            let name = &self.typed.name;
            return Err(ProcessError::rejected(format!("a session put into store '{name}' is [{start}, {end}]")));
        }
        let (task, slot) = self.typed.open(cx)?;
        if !self.retention.advance(task, slot, self.typed.index, end) {
            task.counters.dropped += 1;
            return Ok(());
        }
        self.encode(task, key, (start, end))?;
        self.typed.put_value(task, slot, Headers::empty(), end, |out| self.typed.value.serialize(value, out))
    }

    fn encode(
        &self,
        task: &mut crate::task::TaskState,
        key: &K,
        (start, end): (Timestamp, Timestamp),
    ) -> Result<(), SerdeError> {
        let segments = self.retention.segments();
        self.typed.encode_key(task, key, |key, out| {
            SessionKey::encode(segments, key, stored_time(start), stored_time(end), out);
        })
    }

    /// Removes a session; a tombstone goes to the changelog. Moves the store's stream time as [`SessionStore::put`] does.
    ///
    /// # Errors
    /// When the key does not fit its format.
    pub fn remove(
        &self,
        cx: &mut impl StateAccess,
        key: &K,
        session: (Timestamp, Timestamp),
    ) -> Result<(), ProcessError> {
        let (task, slot) = self.typed.open(cx)?;
        if !self.retention.advance(task, slot, self.typed.index, session.1) {
            return Ok(());
        }
        self.encode(task, key, session)?;
        task.overlay.delete(slot, &task.key_bytes);
        Ok(())
    }

    /// The value of exactly this session.
    ///
    /// # Errors
    /// When the store fails or holds bytes that its format cannot read.
    pub fn fetch_session(
        &self,
        cx: &mut impl StateAccess,
        key: &K,
        (start, end): (Timestamp, Timestamp),
    ) -> Result<Option<V>, ProcessError> {
        let mut entries = self.typed.entries(cx)?;
        if end < self.retention.first_readable(entries.time()) {
            return Ok(None);
        }
        self.encode(entries.task, key, (start, end))?;
        let key = std::mem::take(&mut entries.task.key_bytes);
        let mut value = None;
        let read = entries.get(&key, &mut |payload, _| {
            value = Some(self.typed.value.deserialize(payload)?);
            Ok(())
        });
        entries.task.key_bytes = key;
        read.map_err(|e| self.typed.failed(e))?;
        Ok(value)
    }

    /// Sessions of a key that end at `earliest_end` or later and start at `latest_start` or earlier, in order of end:
    /// start, end, value.
    ///
    /// # Errors
    /// As [`SessionStore::fetch_session`].
    pub fn find_sessions(
        &self,
        cx: &mut impl StateAccess,
        key: &K,
        earliest_end: Timestamp,
        latest_start: Timestamp,
    ) -> Result<Vec<(Timestamp, Timestamp, V)>, ProcessError> {
        let mut entries = self.typed.entries(cx)?;
        let last = entries.time();
        let found = self.sessions_of_key(&mut entries, key, (earliest_end, last), latest_start);
        found.map_err(|e| self.typed.failed(e))
    }

    /// Sessions of all keys that end in `[from, to]`, in order of end, then of start, then of key bytes.
    ///
    /// # Errors
    /// As [`SessionStore::fetch_session`].
    pub fn find_ended(
        &self,
        cx: &mut impl StateAccess,
        range: (Timestamp, Timestamp),
    ) -> Result<Vec<(K, Timestamp, Timestamp, V)>, ProcessError> {
        let mut entries = self.typed.entries(cx)?;
        self.sessions_of_all(&mut entries, range, b"").map_err(|e| self.typed.failed(e))
    }

    fn sessions_of_key(
        &self,
        entries: &mut impl Entries,
        key: &K,
        (from, to): (Timestamp, Timestamp),
        latest_start: Timestamp,
    ) -> Result<Vec<(Timestamp, Timestamp, V)>, QueryError> {
        let from = from.max(self.retention.first_readable(entries.time()));
        let mut found = Vec::new();
        if to < from {
            return Ok(found);
        }
        let (from, to) = (stored_time(from), stored_time(to));
        let key = self.typed.key_bytes(key)?;
        let mut range = KeyRange::default();
        for segment in self.retention.segments().between(from, to) {
            SessionKey::range(segment, &key, from, to, &mut range);
            entries.scan(range.as_range(), Direction::Forward, &mut |bytes, payload, _| {
                let key = SessionKey::decode(bytes).ok_or_else(|| bad_key("session", bytes))?;
                if key_time(key.start) <= latest_start {
                    found.push((key_time(key.start), key_time(key.end), self.typed.value.deserialize(payload)?));
                }
                Ok(ControlFlow::Continue(()))
            })?;
        }
        Ok(found)
    }

    fn sessions_of_all(
        &self,
        entries: &mut impl Entries,
        (from, to): (Timestamp, Timestamp),
        prefix: &[u8],
    ) -> Result<Vec<AnySession<K, V>>, QueryError> {
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
        let mut found: Vec<(u64, u64, Vec<u8>, V)> = Vec::new();
        entries.scan(Range::half_open(&first, &end), Direction::Forward, &mut |bytes, payload, _| {
            let key = SessionKey::decode(bytes).ok_or_else(|| bad_key("session", bytes))?;
            if (from..=to).contains(&key.end) && key.key.starts_with(prefix) {
                found.push((key.end, key.start, key.key.into_owned(), self.typed.value.deserialize(payload)?));
            }
            Ok(ControlFlow::Continue(()))
        })?;
        found.sort_by(|a, b| (a.0, a.1, &a.2).cmp(&(b.0, b.1, &b.2)));
        let typed = |(end, start, key, value): (u64, u64, Vec<u8>, V)| {
            Ok((self.typed.key.deserialize(&key)?, key_time(start), key_time(end), value))
        };
        found.into_iter().map(typed).collect::<Result<_, SerdeError>>().map_err(QueryError::from)
    }
}

/// A session store as queries read it: committed sessions, of one partition at a time.
///
/// Sessions past the retention, counted back from the task's committed stream time, are not shown.
pub struct ReadOnlySessionStore<'a, K, V> {
    view: &'a View,
    store: SessionStore<K, V>,
}

impl View {
    /// The session store of this name, read with these formats.
    ///
    /// # Errors
    /// [`QueryError::Store`] when there is no such store, or it is of another kind.
    pub fn session_store<K: 'static, V: 'static>(
        &self,
        name: &str,
        key: impl Serde<K>,
        value: impl Serde<V>,
    ) -> Result<ReadOnlySessionStore<'_, K, V>, QueryError> {
        let (index, name, retention) = self.windowed(name, "session")?;
        let typed = Typed { index, name, key: Arc::new(key) as _, value: Arc::new(value) as _ };
        Ok(ReadOnlySessionStore { view: self, store: SessionStore { typed, retention } })
    }
}

impl<K: 'static, V: 'static> ReadOnlySessionStore<'_, K, V> {
    fn entries(&self, partition: Partition) -> OfView<'_> {
        OfView { view: self.view, store: self.store.typed.index, partition }
    }

    /// Sessions of a key that overlap `[from, to]`, in order of end (or the reverse): start, end, value.
    ///
    /// # Errors
    /// [`QueryError`] when the store fails or its bytes cannot be read.
    pub fn fetch(
        &self,
        partition: Partition,
        key: &K,
        (from, to): (Timestamp, Timestamp),
        direction: Direction,
    ) -> Result<Vec<(Timestamp, Timestamp, V)>, QueryError> {
        let mut entries = self.entries(partition);
        let last = last_segment(&mut entries, self.store.retention)?;
        let mut found = self.store.sessions_of_key(&mut entries, key, (from, last), to)?;
        if direction == Direction::Reverse {
            found.reverse();
        }
        Ok(found)
    }

    /// Sessions of all keys that end in `[from, to]`, in order of end, then of start, then of key bytes: key, start, end,
    /// value.
    ///
    /// # Errors
    /// As [`ReadOnlySessionStore::fetch`].
    pub fn fetch_all(
        &self,
        partition: Partition,
        range: (Timestamp, Timestamp),
    ) -> Result<Vec<(K, Timestamp, Timestamp, V)>, QueryError> {
        self.store.sessions_of_all(&mut self.entries(partition), range, b"")
    }

    /// As [`ReadOnlySessionStore::fetch_all`], of the keys whose bytes begin with `prefix`.
    ///
    /// # Errors
    /// As [`ReadOnlySessionStore::fetch`].
    pub fn fetch_prefix(
        &self,
        partition: Partition,
        prefix: &[u8],
        range: (Timestamp, Timestamp),
    ) -> Result<Vec<(K, Timestamp, Timestamp, V)>, QueryError> {
        self.store.sessions_of_all(&mut self.entries(partition), range, prefix)
    }
}
