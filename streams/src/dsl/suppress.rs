//! `suppress`: fewer updates of a table (KIP-328; Kafka Streams: `KTableSuppressProcessorSupplier`).

use std::sync::Arc;

use crate::dsl::change_serde::ChangeSerde;
use crate::dsl::getter::{Row, ValueGetter};
use crate::dsl::graph::operator;
use crate::dsl::options::Materialized;
use crate::dsl::table::{Change, KTable};
use crate::dsl::windows::Windowed;
use crate::error::ProcessError;
use crate::processor::Context;
use crate::record::Record;
use crate::serde::{Serde, SerdeError};
use crate::store::{Held, StateAccess, StoreHandle, StoreOptions, Summary, Suppress, SuppressStore};
use crate::task::TaskState;
use crate::topology::{BuildError, Clock, StoreIndex};
use crate::types::{NO_TIMESTAMP, Timestamp};

/// How much a suppression may hold back, and what it does beyond that. The buffer is in a logged store, on disk as any
/// other: a limit bounds what is held back, not memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BufferConfig {
    records_max: u64,
    bytes_max: u64,
    emits_early: bool,
}

impl BufferConfig {
    /// No limit.
    #[must_use]
    pub fn unbounded() -> StrictBufferConfig {
        Self::max_bytes(u64::MAX).shut_down_when_full()
    }

    /// At most so many records.
    #[must_use]
    pub fn max_records(records_max: u64) -> Self {
        BufferConfig { records_max, bytes_max: u64::MAX, emits_early: true }
    }

    /// At most so many bytes: those of keys and changes, and 96 for each record.
    #[must_use]
    pub fn max_bytes(bytes_max: u64) -> Self {
        BufferConfig { records_max: u64::MAX, bytes_max, emits_early: true }
    }

    /// And at most so many bytes, see [`BufferConfig::max_bytes`].
    #[must_use]
    pub fn with_max_bytes(self, bytes_max: u64) -> Self {
        BufferConfig { bytes_max, ..self }
    }

    /// And at most so many records.
    #[must_use]
    pub fn with_max_records(self, records_max: u64) -> Self {
        BufferConfig { records_max, ..self }
    }

    /// Beyond the limit the earliest change goes at once. The default.
    #[must_use]
    pub fn emit_early_when_full(self) -> Self {
        BufferConfig { emits_early: true, ..self }
    }

    /// Beyond the limit the task fails, and says so, rather than send on what is not final.
    #[must_use]
    pub fn shut_down_when_full(self) -> StrictBufferConfig {
        StrictBufferConfig(BufferConfig { emits_early: false, ..self })
    }

    fn is_full(&self, held: &Summary) -> bool {
        held.records > self.records_max || held.bytes > self.bytes_max
    }
}

/// A [`BufferConfig`] that never sends on early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StrictBufferConfig(BufferConfig);

impl From<StrictBufferConfig> for BufferConfig {
    fn from(strict: StrictBufferConfig) -> Self {
        strict.0
    }
}

/// What [`KTable::suppress`] holds back, and how long.
pub struct Suppressed<K, V> {
    name: Arc<str>,
    key: Arc<dyn Serde<K>>,
    value: Arc<dyn Serde<V>>,
    options: StoreOptions,
    buffer: BufferConfig,
    until: Until<K>,
}

enum Until<K> {
    /// So long after the record's time.
    TimeLimit(i64),
    /// The end of the key's window, and what its windows say comes after it.
    WindowClose(fn(&K) -> Timestamp),
}

impl<K: 'static, V: 'static> Suppressed<K, V> {
    /// Holds an update back until stream time is `wait_ms` past its timestamp; only the last update of a key in that time
    /// is sent on. `materialized` names the buffer's store and gives its formats.
    ///
    /// ```
    /// # use streams::{dsl::*, serde::{I64, Utf8}, testing::TestDriver};
    /// # let builder = StreamsBuilder::new("app");
    /// # let rows = builder.stream("rows", Consumed::<String, String>::with(Utf8, Utf8));
    /// let calm = rows.to_table(Materialized::new("newest", Utf8, Utf8)).suppress(Suppressed::until_time_limit(
    ///     10,
    ///     Materialized::new("held", Utf8, Utf8),
    ///     BufferConfig::max_records(1_000), // beyond it the earliest goes at once
    /// ));
    /// # calm.to_stream().to("out", Produced::with(Utf8, Utf8));
    /// # let mut driver = TestDriver::new(builder.build().unwrap(), 1);
    /// driver.pipe("rows", Some(b"a"), Some(b"1"), 0);
    /// driver.pipe("rows", Some(b"a"), Some(b"2"), 5);
    /// driver.pipe("rows", Some(b"b"), Some(b"x"), 10); // stream time is 10: what waits since 0 is due
    /// assert_eq!(driver.read_text("out"), ["a=2@5"]);
    /// ```
    pub fn until_time_limit(wait_ms: i64, materialized: Materialized<K, V>, buffer: impl Into<BufferConfig>) -> Self {
        let Materialized { name, key, value, options, .. } = materialized;
        Suppressed { name, key, value, options, buffer: buffer.into(), until: Until::TimeLimit(wait_ms) }
    }
}

impl<K: 'static, V: 'static> Suppressed<Windowed<K>, V> {
    /// Holds a window's updates back until it is closed, and then sends its final result on: once stream time has reached
    /// the window's end plus grace (of a session: plus gap and grace). Windows that are removed again, as sessions that
    /// merge, leave no trace. `materialized` has the format of keys without their window.
    ///
    /// ```
    /// # use streams::{dsl::*, serde::{I64, Utf8}, testing::TestDriver};
    /// # let builder = StreamsBuilder::new("app");
    /// # let clicks = builder.stream("clicks", Consumed::<String, String>::with(Utf8, Utf8));
    /// let finals = clicks
    ///     .group_by_key()
    ///     .windowed_by(TimeWindows::of_size_with_no_grace(10))
    ///     .count(Materialized::new("counts", Utf8, I64))
    ///     .suppress(Suppressed::until_window_closes(Materialized::new("held", Utf8, I64), BufferConfig::unbounded()));
    /// # finals.to_stream().map(|window, count| (window.unwrap().key.clone(), count.to_string())).to("out", Produced::with(Utf8, Utf8));
    /// # let mut driver = TestDriver::new(builder.build().unwrap(), 1);
    /// for time in [1, 2, 10] {
    ///     driver.pipe("clicks", Some(b"ada"), Some(b"/"), time);
    /// }
    /// assert_eq!(driver.read_text("out"), ["ada=2@2"]);
    /// ```
    pub fn until_window_closes(materialized: Materialized<K, V>, buffer: StrictBufferConfig) -> Self {
        let Materialized { name, key, value, options, .. } = materialized;
        let until = Until::WindowClose(|windowed: &Windowed<K>| windowed.end);
        Suppressed { name, key: Arc::new(FullWindowedSerde(key)), value, options, buffer: buffer.into(), until }
    }
}

impl<K: 'static, V: Clone + 'static> KTable<K, V> {
    /// Holds updates back, so that fewer go on: [`Suppressed::until_window_closes`] for the final result of each window,
    /// [`Suppressed::until_time_limit`] for at most one update per key and time.
    ///
    /// *Order*: by the time they were due, then by key bytes; a key keeps the place of its first update held back.
    /// *Timestamps*: the last update's. *What triggers*: any update of the table moves stream time, which is this
    /// operator's own and outlives a restart, as the buffer does. *Joins and groupings below* see the table as it was
    /// before what is held back.
    ///
    /// Differs from Kafka Streams: the old row sent on is the one sent on before, not one that was held back and replaced,
    /// so that a grouping below subtracts what it added.
    ///
    /// ```
    /// # use streams::{dsl::*, serde::{I64, Utf8}};
    /// # let builder = StreamsBuilder::new("app");
    /// # let clicks = builder.stream("clicks", Consumed::<String, String>::with(Utf8, Utf8));
    /// let final_counts = clicks
    ///     .group_by_key()
    ///     .windowed_by(TimeWindows::of_size_and_grace(60_000, 10_000))
    ///     .count(Materialized::new("clicks-per-minute", Utf8, I64))
    ///     .suppress(Suppressed::until_window_closes(
    ///         Materialized::new("final-clicks", Utf8, I64),
    ///         BufferConfig::unbounded(),
    ///     ));
    /// ```
    #[must_use]
    pub fn suppress(&self, suppressed: Suppressed<K, V>) -> KTable<K, V>
    where
        K: Clone,
    {
        let graph = self.graph.clone();
        let Suppressed { name, key, value, options, buffer, until } = suppressed;
        if self.versioned {
            let problem = format!("'{name}': a versioned table cannot be suppressed (KIP-914): suppress another one");
            graph.problem(BuildError::Unsupported(problem));
        }
        let wait_ms = match until {
            Until::TimeLimit(wait_ms) => wait_ms,
            Until::WindowClose(_) => graph.window_close(self.out.node).unwrap_or_else(|| {
                let problem = format!(
                    "'{name}': windows close only where there are windows above, and not unlimited ones: aggregate by \
                             windows that end"
                );
                graph.problem(BuildError::Unsupported(problem));
                0
            }),
        };
        self.send_old.enable();
        let spec = Suppress { key, value: Arc::new(ChangeSerde::new(value)), options };
        let (store, time) = graph.edit(|b| (b.store(&name, spec), b.clock(&name)));
        let getter = Arc::new(SuppressedGetter { store: store.clone(), above: self.getter.clone() });
        let index = store.index();
        let suppress = Suppression { name: name.clone(), store, time, buffer, until, wait_ms };
        let step = operator(move |cx: &mut Context<'_, K, Change<V>>, record: Record<'_, K, Change<V>>| {
            match (record.key, record.value) {
                (Some(key), Some(change)) => suppress.process(cx, key, change, record),
                _ => Ok(()),
            }
        });
        let out = graph.below(self.out, &name, step, &[index]);
        KTable { graph, out, getter, send_old: self.send_old.clone(), versioned: self.versioned }
    }
}

struct Suppression<K, V> {
    name: Arc<str>,
    store: SuppressStore<K, Change<V>>,
    time: Clock,
    buffer: BufferConfig,
    until: Until<K>,
    wait_ms: i64,
}

impl<K: Clone + 'static, V: Clone + 'static> Suppression<K, V> {
    fn process(
        &self,
        cx: &mut Context<'_, K, Change<V>>,
        key: &K,
        change: &Change<V>,
        record: Record<'_, K, Change<V>>,
    ) -> Result<(), ProcessError> {
        let stream_time = cx.task().observe(self.time, record.timestamp);
        let held_by = match self.until {
            Until::TimeLimit(_) => record.timestamp,
            Until::WindowClose(end) => end(key),
        };
        let held = Held { key, change: change.clone(), timestamp: record.timestamp, headers: record.headers.clone() };
        // The old row stays the one that is known below.
        let summary = self.store.put(cx, held_by, held, |before, now| Change { old: before.old, ..now })?;
        let due = stream_time.saturating_sub(self.wait_ms);
        let mut left = summary;
        if summary.earliest <= due {
            for held in self.store.take_while(cx, |held| held.earliest <= due)? {
                self.send_on(cx, held)?;
            }
            left = self.store.summary(cx)?;
        }
        if !self.buffer.is_full(&left) {
            return Ok(());
        }
        if !self.buffer.emits_early {
            let BufferConfig { records_max, bytes_max, .. } = self.buffer;
            return Err(ProcessError::Topology(format!(
                "suppression '{}' holds {} of at most {records_max} records and {} of at most {bytes_max} bytes back: \
                 give it more room, or let it emit early",
                self.name, left.records, left.bytes
            )));
        }
        for held in self.store.take_while(cx, |held| self.buffer.is_full(held))? {
            self.send_on(cx, held)?;
        }
        Ok(())
    }

    fn send_on(&self, cx: &mut Context<'_, K, Change<V>>, held: Held<K, Change<V>>) -> Result<(), ProcessError> {
        // A window whose final result is that there is none was never seen below.
        if held.change.new.is_none() && matches!(self.until, Until::WindowClose(_)) {
            return Ok(());
        }
        let Held { key, change, timestamp, headers } = &held;
        cx.forward(Record { key: Some(key), value: Some(change), timestamp: *timestamp, headers })
    }
}

/// The table as it is known below: without what is held back.
struct SuppressedGetter<K, V> {
    store: SuppressStore<K, Change<V>>,
    above: Arc<dyn ValueGetter<K, V>>,
}

impl<K: 'static, V: 'static> ValueGetter<K, V> for SuppressedGetter<K, V> {
    fn get(&self, task: &mut TaskState, key: &K) -> Result<Row<V>, ProcessError> {
        match self.store.get(task, key)? {
            // When the old row was written is not known any more.
            Some(held) => Ok(held.old.map(|old| (old, NO_TIMESTAMP))),
            None => self.above.get(task, key),
        }
    }
    fn get_as_of(&self, task: &mut TaskState, key: &K, _: Timestamp) -> Result<Row<V>, ProcessError> {
        self.get(task, key)
    }
    fn stores(&self, add: &mut dyn FnMut(StoreIndex)) {
        add(self.store.index());
        self.above.stores(add);
    }
}

/// Windowed keys as `key · start 8 · end 8`, in stores of our own.
struct FullWindowedSerde<K>(Arc<dyn Serde<K>>);

impl<K: 'static> Serde<Windowed<K>> for FullWindowedSerde<K> {
    fn serialize(&self, windowed: &Windowed<K>, out: &mut Vec<u8>) -> Result<(), SerdeError> {
        self.0.serialize(&windowed.key, out)?;
        out.extend_from_slice(&windowed.start.to_be_bytes());
        out.extend_from_slice(&windowed.end.to_be_bytes());
        Ok(())
    }

    fn deserialize(&self, bytes: &[u8]) -> Result<Windowed<K>, SerdeError> {
        let short = || SerdeError::new("a windowed key is cut short");
        let (rest, end) = bytes.split_last_chunk::<8>().ok_or_else(short)?;
        let (key, start) = rest.split_last_chunk::<8>().ok_or_else(short)?;
        let (start, end) = (Timestamp::from_be_bytes(*start), Timestamp::from_be_bytes(*end));
        Ok(Windowed { key: self.0.deserialize(key)?, start, end })
    }
}
