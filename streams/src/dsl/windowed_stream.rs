//! Aggregations over time and sliding windows.

use std::sync::Arc;

use state::layout::WindowKey;

use crate::dsl::cache::cached;
use crate::dsl::emit::OnClose;
use crate::dsl::getter::{Row, ValueGetter};
use crate::dsl::graph::{Graph, operator};
use crate::dsl::group::KGroupedStream;
use crate::dsl::options::Materialized;
use crate::dsl::sliding;
use crate::dsl::stream::KStream;
use crate::dsl::table::{Change, KTable, SendOld};
use crate::dsl::windows::{EmitStrategy, SlidingWindows, TimeWindows, UnlimitedWindows, Windowed};
use crate::error::ProcessError;
use crate::processor::Context;
use crate::record::Record;
use crate::serde::{Serde, SerdeError};
use crate::store::{Retention, StateAccess, StoreHandle, Window, WindowStore};
use crate::task::TaskState;
use crate::topology::{BuildError, Clock, Out, StoreIndex};
use crate::types::{NO_TIMESTAMP, Timestamp};

/// Segments a look-up of one key in a store that emits on close has to visit at most, about.
const SEGMENTS_PER_LOOKUP: i64 = 4;

/// Windows a stream can be grouped into: [`TimeWindows`], [`SlidingWindows`], [`UnlimitedWindows`],
/// [`crate::dsl::SessionWindows`].
pub trait WindowedBy<G> {
    /// What the grouping `G` becomes.
    type Windowed;
    /// Cuts it into these windows.
    fn windowed(self, grouped: G) -> Self::Windowed;
}

impl<K: 'static, V: 'static> KGroupedStream<K, V> {
    /// Groups the records of each key by windows.
    ///
    /// ```
    /// # use streams::{dsl::{Consumed, Materialized, StreamsBuilder, TimeWindows}, serde::{I64, Utf8}};
    /// # let builder = StreamsBuilder::new("app");
    /// # let clicks = builder.stream("clicks", Consumed::<String, String>::with(Utf8, Utf8));
    /// let per_minute = clicks
    ///     .group_by_key()
    ///     .windowed_by(TimeWindows::of_size_and_grace(60_000, 10_000))
    ///     .count(Materialized::new("clicks-per-minute", Utf8, I64));
    /// ```
    #[must_use]
    pub fn windowed_by<W: WindowedBy<Self>>(&self, windows: W) -> W::Windowed {
        windows.windowed(self.clone())
    }
}

impl<K: 'static, V: 'static> WindowedBy<KGroupedStream<K, V>> for TimeWindows {
    type Windowed = TimeWindowedKStream<K, V>;
    fn windowed(self, grouped: KGroupedStream<K, V>) -> Self::Windowed {
        TimeWindowedKStream { stream: grouped.stream, windows: Kind::Time(self), emit: EmitStrategy::default() }
    }
}

impl<K: 'static, V: 'static> WindowedBy<KGroupedStream<K, V>> for SlidingWindows {
    type Windowed = TimeWindowedKStream<K, V>;
    fn windowed(self, grouped: KGroupedStream<K, V>) -> Self::Windowed {
        let windows = Kind::Sliding(self);
        TimeWindowedKStream { stream: grouped.stream, windows, emit: EmitStrategy::default() }
    }
}

impl<K: 'static, V: 'static> WindowedBy<KGroupedStream<K, V>> for UnlimitedWindows {
    type Windowed = TimeWindowedKStream<K, V>;
    fn windowed(self, grouped: KGroupedStream<K, V>) -> Self::Windowed {
        let windows = Kind::Unlimited(self);
        TimeWindowedKStream { stream: grouped.stream, windows, emit: EmitStrategy::default() }
    }
}

/// Windows that are found by their start.
#[derive(Clone, Copy)]
pub(crate) enum Kind {
    Time(TimeWindows),
    Sliding(SlidingWindows),
    Unlimited(UnlimitedWindows),
}

impl Kind {
    fn problem(&self) -> Option<String> {
        match self {
            Kind::Time(w) => w.problem(),
            Kind::Sliding(w) => w.problem(),
            Kind::Unlimited(w) => w.problem(),
        }
    }

    fn size_ms(&self) -> i64 {
        match self {
            Kind::Time(w) => w.size_ms,
            Kind::Sliding(w) => w.difference_ms,
            Kind::Unlimited(_) => i64::MAX,
        }
    }

    fn grace_ms(&self) -> i64 {
        match self {
            Kind::Time(w) => w.grace_ms,
            Kind::Sliding(w) => w.grace_ms,
            Kind::Unlimited(_) => 0,
        }
    }

    /// What the store needs: as long as a record may change a window, or be needed to make one.
    fn retention_ms(&self) -> i64 {
        match self {
            Kind::Time(w) => w.size_ms.saturating_add(w.grace_ms),
            Kind::Sliding(w) => w.difference_ms.saturating_mul(2).saturating_add(w.grace_ms),
            Kind::Unlimited(_) => i64::MAX,
        }
    }

    /// Whether a window may start at `first`, at `last` or between them.
    fn may_start_within(&self, first: Timestamp, last: Timestamp) -> bool {
        match self {
            Kind::Time(w) => last - last % w.advance_ms.max(1) >= first,
            Kind::Sliding(_) | Kind::Unlimited(_) => true,
        }
    }

    /// Segments short enough to find closed windows without reading the open ones. `None`: no window ever closes.
    fn emit_segment_ms(&self) -> Option<i64> {
        match self {
            Kind::Time(w) => Some(w.advance_ms),
            Kind::Sliding(w) => Some((w.difference_ms * 2 / SEGMENTS_PER_LOOKUP).max(1)),
            Kind::Unlimited(_) => None,
        }
    }
}

/// A grouped stream cut into time or sliding windows: what is aggregated into a windowed table.
///
/// For all its aggregations:
/// * *Null keys and values* are dropped and counted. (Kafka Streams' time windows hand a null value to the aggregator.)
/// * *Late records*: a record is added to those of its windows that are still open, and counted as dropped once for each
///   that is closed; see [`TimeWindows`] and [`SlidingWindows`] for the bound. Stream time is this operator's own, the
///   largest timestamp it has seen, and outlives a restart: what was late before it is late after it. (Kafka Streams
///   forgets, and takes such a record again.)
/// * *Timestamps*: the largest of the window's records.
/// * *Store*: a window store keeps a window as long as records may change it, or longer with
///   [`Materialized::with_retention`].
pub struct TimeWindowedKStream<K, V> {
    stream: KStream<K, V>,
    windows: Kind,
    emit: EmitStrategy,
}

impl<K, V> Clone for TimeWindowedKStream<K, V> {
    fn clone(&self) -> Self {
        TimeWindowedKStream { stream: self.stream.clone(), windows: self.windows, emit: self.emit }
    }
}

impl<K: Clone + 'static, V: 'static> TimeWindowedKStream<K, V> {
    /// When results are sent on; by default with each update.
    ///
    /// ```
    /// # use streams::{dsl::{Consumed, EmitStrategy, Materialized, StreamsBuilder, TimeWindows}, serde::{I64, Utf8}};
    /// # let builder = StreamsBuilder::new("app");
    /// # let clicks = builder.stream("clicks", Consumed::<String, String>::with(Utf8, Utf8));
    /// let final_counts = clicks
    ///     .group_by_key()
    ///     .windowed_by(TimeWindows::of_size_and_grace(60_000, 10_000))
    ///     .emit_strategy(EmitStrategy::on_window_close())
    ///     .count(Materialized::new("clicks-per-minute", Utf8, I64));
    /// ```
    #[must_use]
    pub fn emit_strategy(self, emit: EmitStrategy) -> Self {
        TimeWindowedKStream { emit, ..self }
    }

    /// Counts the records of each key and window.
    ///
    /// ```
    /// # use streams::{dsl::*, serde::{I64, Utf8}, testing::TestDriver};
    /// # let builder = StreamsBuilder::new("app");
    /// # let clicks = builder.stream("clicks", Consumed::<String, String>::with(Utf8, Utf8));
    /// let per_ten_ms = clicks
    ///     .group_by_key()
    ///     .windowed_by(TimeWindows::of_size_and_grace(10, 5))
    ///     .count(Materialized::new("clicks-per-ten-ms", Utf8, I64));
    /// # per_ten_ms.to_stream().map(|window, count| (format!("{}", window.unwrap().start), count.to_string())).to("out", Produced::with(Utf8, Utf8));
    /// # let mut driver = TestDriver::new(builder.build().unwrap(), 1);
    /// for time in [3, 14, 9, 15, 9] {
    ///     driver.pipe("clicks", Some(b"ada"), Some(b"/"), time); // the first 9 is late but in time, the second is not
    /// }
    /// assert_eq!(driver.read_text("out"), ["0=1@3", "10=1@14", "0=2@9", "10=2@15"]);
    /// assert_eq!(driver.total(|counters| counters.dropped), 1);
    /// ```
    pub fn count(&self, materialized: Materialized<K, i64>) -> KTable<Windowed<K>, i64> {
        self.aggregate(|| 0, |_, _, count| count + 1, materialized)
    }

    /// Combines the values of each key and window; the first value is the first result.
    ///
    /// ```
    /// # use streams::{dsl::{Consumed, Materialized, SlidingWindows, StreamsBuilder}, serde::{I64, Utf8}};
    /// # let builder = StreamsBuilder::new("app");
    /// # let amounts = builder.stream("amounts", Consumed::<String, i64>::with(Utf8, I64));
    /// let largest_within_ten_seconds = amounts
    ///     .group_by_key()
    ///     .windowed_by(SlidingWindows::of_time_difference_with_no_grace(10_000))
    ///     .reduce(|a, b| a.max(*b), Materialized::new("largest", Utf8, I64));
    /// ```
    pub fn reduce(
        &self,
        reducer: impl Fn(V, &V) -> V + Send + Sync + 'static,
        materialized: Materialized<K, V>,
    ) -> KTable<Windowed<K>, V>
    where
        V: Clone,
    {
        let first_or_reduced = move |_: &K, value: &V, sum: Option<V>| match sum {
            Some(sum) => reducer(sum, value),
            None => value.clone(),
        };
        self.fold(first_or_reduced, || None, materialized)
    }

    /// Adds the values of each key and window up, from what `initializer` gives.
    ///
    /// ```
    /// # use streams::{dsl::{Consumed, Materialized, StreamsBuilder, TimeWindows}, serde::{I64, Utf8}};
    /// # let builder = StreamsBuilder::new("app");
    /// # let orders = builder.stream("orders", Consumed::<String, i64>::with(Utf8, I64));
    /// let hourly_every_minute = orders
    ///     .group_by_key()
    ///     .windowed_by(TimeWindows::of_size_with_no_grace(3_600_000).advance_by(60_000))
    ///     .aggregate(|| 0, |_customer, amount, total| total + amount, Materialized::new("hourly", Utf8, I64));
    /// ```
    pub fn aggregate<A: Clone + 'static>(
        &self,
        initializer: impl Fn() -> A + Send + Sync + 'static,
        aggregator: impl Fn(&K, &V, A) -> A + Send + Sync + 'static,
        materialized: Materialized<K, A>,
    ) -> KTable<Windowed<K>, A> {
        let initializer = Arc::new(initializer);
        let initial = initializer.clone();
        self.fold(
            move |key, value, sum: Option<A>| aggregator(key, value, sum.unwrap_or_else(|| initializer())),
            move || Some(initial()),
            materialized,
        )
    }

    fn fold<A: Clone + 'static>(
        &self,
        aggregator: impl Fn(&K, &V, Option<A>) -> A + Send + Sync + 'static,
        initial: impl Fn() -> Option<A> + Send + Sync + 'static,
        materialized: Materialized<K, A>,
    ) -> KTable<Windowed<K>, A> {
        let graph = &self.stream.graph;
        let shared = Aggregation::new(graph, self.windows, self.emit, Arc::new(initial), materialized);
        let out = shared.below(&self.stream, &shared.name.clone(), aggregator);
        shared.table(graph.clone(), out)
    }
}

/// A windowed aggregation, without the type of the values it adds up: one for each table, whatever number of streams feed it.
pub(crate) struct Aggregation<K, A> {
    pub(crate) name: Arc<str>,
    pub(crate) store: WindowStore<K, A>,
    windows: Kind,
    time: Clock,
    on_close: Option<OnClose>,
    initial: Arc<dyn Fn() -> Option<A> + Send + Sync>,
    send_old: SendOld,
    cache: Option<Caching<K, A>>,
}

/// What a cache below an aggregation needs.
pub(crate) struct Caching<K, A> {
    pub(crate) key: Arc<dyn Serde<K>>,
    pub(crate) value: Arc<dyn Serde<A>>,
    /// Up to which time windows were sent on.
    pub(crate) flushed: Clock,
}

impl<K, A> Clone for Caching<K, A> {
    fn clone(&self) -> Self {
        Caching { key: self.key.clone(), value: self.value.clone(), flushed: self.flushed }
    }
}

impl<K, A> Clone for Aggregation<K, A> {
    fn clone(&self) -> Self {
        Aggregation {
            name: self.name.clone(),
            store: self.store.clone(),
            windows: self.windows,
            time: self.time,
            on_close: self.on_close,
            initial: self.initial.clone(),
            send_old: self.send_old.clone(),
            cache: self.cache.clone(),
        }
    }
}

/// A window being changed: start and end.
pub(crate) type Bounds = (Timestamp, Timestamp);

impl<K: Clone + 'static, A: Clone + 'static> Aggregation<K, A> {
    pub(crate) fn new(
        graph: &Graph,
        windows: Kind,
        emit: EmitStrategy,
        initial: Arc<dyn Fn() -> Option<A> + Send + Sync>,
        materialized: Materialized<K, A>,
    ) -> Self {
        let name = materialized.name.clone();
        if let Some(problem) = windows.problem() {
            graph.problem(BuildError::Unsupported(format!("'{name}': {problem}")));
        }
        let on_close = OnClose::new(graph, &name, emit);
        let retention_ms = materialized.retention_ms.unwrap_or(0).max(windows.retention_ms());
        let mut retention = Retention::new(retention_ms);
        if let Some(on_close) = &on_close {
            match windows.emit_segment_ms() {
                Some(segment_ms) => retention = retention.with_segment(segment_ms).keep_unemitted(on_close.emitted()),
                None => graph.problem(BuildError::Unsupported(format!(
                    "'{name}': unlimited windows never close, so nothing would ever be emitted on close: emit on update"
                ))),
            }
        }
        let Materialized { key, value, options, cached, .. } = materialized;
        let cache = (cached && on_close.is_none()).then(|| {
            let flushed = graph.edit(|b| b.clock(&format!("{name}-flushed")));
            // What was not sent on yet does not expire.
            retention = retention.keep_unemitted(flushed);
            Caching { key: key.clone(), value: value.clone(), flushed }
        });
        let (store, time) =
            graph.edit(|b| (b.store(&name, Window::with_options(key, value, retention, options)), b.clock(&name)));
        Aggregation { name, store, windows, time, on_close, initial, send_old: SendOld::default(), cache }
    }

    /// The operator that adds a stream's values.
    pub(crate) fn below<V: 'static>(
        &self,
        stream: &KStream<K, V>,
        name: &str,
        aggregator: impl Fn(&K, &V, Option<A>) -> A + Send + Sync + 'static,
    ) -> Out<Windowed<K>, Change<A>> {
        let shared = self.clone();
        let step = operator(move |cx: &mut Context<'_, Windowed<K>, Change<A>>, record: Record<'_, K, V>| {
            let (Some(key), Some(value)) = (record.key, record.value) else {
                cx.record_dropped();
                return Ok(());
            };
            shared.process(cx, key, record.timestamp, record.headers, &|sum| aggregator(key, value, sum))
        });
        let out = stream.graph.below(stream.out, name, step, &[self.store.index()]);
        // Unlimited windows are never final, so nothing below can wait for that.
        if !matches!(self.windows, Kind::Unlimited(_)) {
            stream.graph.set_window_close(out.node, self.windows.grace_ms());
        }
        out
    }

    pub(crate) fn table(self, graph: Graph, out: Out<Windowed<K>, Change<A>>) -> KTable<Windowed<K>, A> {
        let out = match self.cache {
            None => out,
            Some(Caching { key, value, flushed }) => {
                let size = self.windows.size_ms();
                let read_key = move |bytes: &[u8], removed: bool| match WindowKey::decode(bytes) {
                    // Windows are not removed, only expired.
                    _ if removed => Ok(None),
                    Some(window) => {
                        let start = Timestamp::try_from(window.time).unwrap_or(Timestamp::MAX);
                        Ok(Some(Windowed::new(key.deserialize(&window.key)?, start, start.saturating_add(size))))
                    }
                    None => Err(SerdeError::new("a window key is damaged")),
                };
                cached(&graph, out, (&self.name, self.store.index()), read_key, value, &self.send_old, Some(flushed))
            }
        };
        let getter = Arc::new(WindowGetter { store: self.store });
        KTable { graph, out, getter, send_old: self.send_old, versioned: false }
    }

    fn process(
        &self,
        cx: &mut Context<'_, Windowed<K>, Change<A>>,
        key: &K,
        timestamp: Timestamp,
        headers: &crate::record::Headers,
        add: &dyn Fn(Option<A>) -> A,
    ) -> Result<(), ProcessError> {
        let stream_time = cx.task().observe(self.time, timestamp);
        let close_time = stream_time - self.windows.grace_ms();
        let mut step = Step { shared: self, cx, key, timestamp, headers, add, close_time };
        let searches = match self.windows {
            Kind::Time(windows) => step.time(windows).map(|()| true)?,
            Kind::Sliding(windows) => sliding::process(&mut step, windows)?,
            Kind::Unlimited(windows) => step.unlimited(windows).map(|()| false)?,
        };
        match &self.on_close {
            Some(on_close) if searches => self.emit_closed(cx, on_close, close_time, headers),
            _ => Ok(()),
        }
    }

    /// Sends on what has closed since the last time, in order of window end, then of key bytes.
    fn emit_closed(
        &self,
        cx: &mut Context<'_, Windowed<K>, Change<A>>,
        on_close: &OnClose,
        close_time: Timestamp,
        headers: &crate::record::Headers,
    ) -> Result<(), ProcessError> {
        let now = cx.now();
        let Some(emitted) = on_close.due(cx.task(), now, close_time) else { return Ok(()) };
        // First and last start of windows that closed after `emitted`, up to `close_time`.
        let (size, first, last) = match self.windows {
            // `[start, end)` closes when stream time less grace reaches its end.
            Kind::Time(w) => (w.size_ms, (emitted - w.size_ms).max(0) + 1, close_time - w.size_ms),
            // `[start, end]` closes when it is past its end.
            Kind::Sliding(w) => (w.difference_ms, (emitted - w.difference_ms).max(0), close_time - w.difference_ms - 1),
            Kind::Unlimited(_) => return Ok(()),
        };
        let first = if emitted == NO_TIMESTAMP { 0 } else { first };
        if last < 0 {
            return Ok(());
        }
        // Most records close nothing (Kafka Streams: `shouldRangeFetch`).
        if self.windows.may_start_within(first, last) {
            for (key, start, value, timestamp) in self.store.fetch_all(cx, (first, last))? {
                let windowed = Windowed::new(key, start, start + size);
                let change = Change::new(Some(value), None);
                cx.forward(Record { key: Some(&windowed), value: Some(&change), timestamp, headers })?;
            }
        }
        on_close.done(cx.task(), close_time);
        Ok(())
    }
}

/// One record on its way into its windows.
pub(crate) struct Step<'s, 'c, 'a, K, A> {
    pub(crate) shared: &'s Aggregation<K, A>,
    pub(crate) cx: &'c mut Context<'a, Windowed<K>, Change<A>>,
    pub(crate) key: &'s K,
    pub(crate) timestamp: Timestamp,
    headers: &'s crate::record::Headers,
    add: &'s dyn Fn(Option<A>) -> A,
    pub(crate) close_time: Timestamp,
}

impl<K: Clone + 'static, A: Clone + 'static> Step<'_, '_, '_, K, A> {
    /// Tumbling and hopping windows: those the record's time lies in.
    fn time(&mut self, windows: TimeWindows) -> Result<(), ProcessError> {
        for start in windows.starts(self.timestamp) {
            let bounds = (start, start + windows.size_ms);
            if bounds.1 <= self.close_time {
                self.cx.record_dropped();
                continue;
            }
            let row = self.shared.store.fetch(self.cx, self.key, start)?;
            self.add(bounds, row)?;
        }
        Ok(())
    }

    /// The one window, if the record is not before it.
    fn unlimited(&mut self, UnlimitedWindows { start_ms }: UnlimitedWindows) -> Result<(), ProcessError> {
        if self.timestamp < start_ms {
            return Ok(());
        }
        let row = self.shared.store.fetch(self.cx, self.key, start_ms)?;
        self.add((start_ms, Timestamp::MAX), row)
    }

    /// Adds the record to a window whose row is given, and sends the update on.
    pub(crate) fn add(&mut self, bounds: Bounds, row: Row<A>) -> Result<(), ProcessError> {
        let timestamp = row.as_ref().map_or(self.timestamp, |(_, at)| self.timestamp.max(*at));
        let row = row.map(|(row, _)| row);
        let old = if self.sends_old() { row.clone().or_else(|| (self.shared.initial)()) } else { None };
        let new = (self.add)(row);
        self.put(bounds, new, old, timestamp)
    }

    fn sends_old(&self) -> bool {
        self.shared.on_close.is_none() && self.shared.send_old.is_enabled()
    }

    /// Sets a window's row and sends the update on.
    pub(crate) fn put(
        &mut self,
        (start, end): Bounds,
        new: A,
        old: Option<A>,
        timestamp: Timestamp,
    ) -> Result<(), ProcessError> {
        self.shared.store.put(self.cx, self.key, &new, start, timestamp)?;
        if self.shared.on_close.is_some() {
            return Ok(());
        }
        let windowed = Windowed::new(self.key.clone(), start, end);
        let change = Change::new(Some(new), old);
        self.cx.forward(Record { key: Some(&windowed), value: Some(&change), timestamp, headers: self.headers })
    }
}

/// Reads a windowed table's rows.
struct WindowGetter<K, V> {
    store: WindowStore<K, V>,
}

impl<K: 'static, V: 'static> ValueGetter<Windowed<K>, V> for WindowGetter<K, V> {
    fn get(&self, task: &mut TaskState, windowed: &Windowed<K>) -> Result<Row<V>, ProcessError> {
        self.store.fetch(task, &windowed.key, windowed.start)
    }
    fn get_as_of(&self, task: &mut TaskState, key: &Windowed<K>, _: Timestamp) -> Result<Row<V>, ProcessError> {
        self.get(task, key)
    }
    fn stores(&self, add: &mut dyn FnMut(StoreIndex)) {
        add(self.store.index());
    }
}
