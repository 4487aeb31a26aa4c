//! Aggregations over sessions (Kafka Streams: `KStreamSessionWindowAggregate`).

use std::sync::Arc;

use state::layout::SessionKey;

use crate::dsl::cache::cached;
use crate::dsl::emit::OnClose;
use crate::dsl::getter::{Row, ValueGetter};
use crate::dsl::graph::{Graph, operator};
use crate::dsl::group::KGroupedStream;
use crate::dsl::options::Materialized;
use crate::dsl::stream::KStream;
use crate::dsl::table::{Change, KTable, SendOld};
use crate::dsl::windowed_stream::{Caching, WindowedBy};
use crate::dsl::windows::{EmitStrategy, SessionWindows, Windowed};
use crate::error::ProcessError;
use crate::processor::Context;
use crate::record::{Headers, Record};
use crate::serde::SerdeError;
use crate::store::{Retention, Session, SessionStore, StateAccess, StoreHandle};
use crate::task::TaskState;
use crate::topology::{BuildError, Clock, Out, StoreIndex};
use crate::types::{NO_TIMESTAMP, Timestamp};

/// Segments a look-up of one key in a store that emits on close has to visit at most, about.
const SEGMENTS_PER_LOOKUP: i64 = 16;

impl<K: 'static, V: 'static> WindowedBy<KGroupedStream<K, V>> for SessionWindows {
    type Windowed = SessionWindowedKStream<K, V>;
    fn windowed(self, grouped: KGroupedStream<K, V>) -> Self::Windowed {
        SessionWindowedKStream { stream: grouped.stream, windows: self, emit: EmitStrategy::default() }
    }
}

/// A grouped stream cut into sessions: what is aggregated into a table of sessions.
///
/// For all its aggregations:
/// * *Merging*: a record joins the sessions it touches into one. Each session that is no more is sent on as a removal,
///   under its end, before the session that took it in.
/// * *Null keys and values* are dropped and counted.
/// * *Late records* are dropped and counted; see [`SessionWindows`] for the bound. Stream time is this operator's own and
///   outlives a restart. A session that is closed is not kept and takes no more records, unless a longer
///   [`Materialized::with_retention`] keeps it.
/// * *Timestamps*: the session's end.
pub struct SessionWindowedKStream<K, V> {
    stream: KStream<K, V>,
    windows: SessionWindows,
    emit: EmitStrategy,
}

impl<K, V> Clone for SessionWindowedKStream<K, V> {
    fn clone(&self) -> Self {
        SessionWindowedKStream { stream: self.stream.clone(), windows: self.windows, emit: self.emit }
    }
}

impl<K: Clone + 'static, V: 'static> SessionWindowedKStream<K, V> {
    /// When results are sent on; by default with each update.
    ///
    /// ```
    /// # use streams::{dsl::*, serde::{I64, Utf8}};
    /// # let builder = StreamsBuilder::new("app");
    /// # let clicks = builder.stream("clicks", Consumed::<String, String>::with(Utf8, Utf8));
    /// let visits = clicks
    ///     .group_by_key()
    ///     .windowed_by(SessionWindows::of_inactivity_gap_and_grace(60_000, 5_000))
    ///     .emit_strategy(EmitStrategy::on_window_close()) // each session once, when it is over
    ///     .count(Materialized::new("visits", Utf8, I64));
    /// ```
    #[must_use]
    pub fn emit_strategy(self, emit: EmitStrategy) -> Self {
        SessionWindowedKStream { emit, ..self }
    }

    /// Counts the records of each session.
    ///
    /// ```
    /// # use streams::{dsl::{Consumed, Materialized, SessionWindows, StreamsBuilder}, serde::{I64, Utf8}};
    /// # let builder = StreamsBuilder::new("app");
    /// # let clicks = builder.stream("clicks", Consumed::<String, String>::with(Utf8, Utf8));
    /// let visits = clicks
    ///     .group_by_key()
    ///     .windowed_by(SessionWindows::of_inactivity_gap_with_no_grace(30 * 60_000))
    ///     .count(Materialized::new("visits", Utf8, I64));
    /// ```
    pub fn count(&self, materialized: Materialized<K, i64>) -> KTable<Windowed<K>, i64> {
        self.aggregate(|| 0, |_, _, count| count + 1, |_, a, b| a + b, materialized)
    }

    /// Combines the values of each session, those of merged sessions in order of time and the new one last.
    ///
    /// ```
    /// # use streams::{dsl::{Consumed, Materialized, SessionWindows, StreamsBuilder}, serde::{I64, Utf8}};
    /// # let builder = StreamsBuilder::new("app");
    /// # let amounts = builder.stream("amounts", Consumed::<String, i64>::with(Utf8, I64));
    /// let largest_of_visit = amounts
    ///     .group_by_key()
    ///     .windowed_by(SessionWindows::of_inactivity_gap_and_grace(60_000, 5_000))
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
        let reducer = Arc::new(reducer);
        let merger = reducer.clone();
        self.fold(
            move |_, value, sum: Option<V>| match sum {
                Some(sum) => reducer(sum, value),
                None => value.clone(),
            },
            || None,
            move |_, sum, session| match sum {
                Some(sum) => Some(merger(sum, &session)),
                None => Some(session),
            },
            materialized,
        )
    }

    /// Adds the values of each session up, from what `initializer` gives; `merger` makes one sum of the sums of two
    /// sessions, the earlier one first.
    ///
    /// ```
    /// # use streams::{dsl::{Consumed, EmitStrategy, Materialized, SessionWindows, StreamsBuilder}, serde::{I64, Utf8}};
    /// # let builder = StreamsBuilder::new("app");
    /// # let amounts = builder.stream("amounts", Consumed::<String, i64>::with(Utf8, I64));
    /// let spent_per_visit = amounts
    ///     .group_by_key()
    ///     .windowed_by(SessionWindows::of_inactivity_gap_and_grace(60_000, 5_000))
    ///     .emit_strategy(EmitStrategy::on_window_close())
    ///     .aggregate(
    ///         || 0,
    ///         |_customer, amount, total| total + amount,
    ///         |_customer, earlier, later| earlier + later,
    ///         Materialized::new("spent-per-visit", Utf8, I64),
    ///     );
    /// ```
    pub fn aggregate<A: Clone + 'static>(
        &self,
        initializer: impl Fn() -> A + Send + Sync + 'static,
        aggregator: impl Fn(&K, &V, A) -> A + Send + Sync + 'static,
        merger: impl Fn(&K, A, A) -> A + Send + Sync + 'static,
        materialized: Materialized<K, A>,
    ) -> KTable<Windowed<K>, A> {
        let initializer = Arc::new(initializer);
        let (initial, none) = (initializer.clone(), initializer.clone());
        self.fold(
            move |key, value, sum: Option<A>| aggregator(key, value, sum.unwrap_or_else(|| initial())),
            move || Some(none()),
            move |key, sum, session| Some(merger(key, sum.unwrap_or_else(|| initializer()), session)),
            materialized,
        )
    }

    fn fold<A: Clone + 'static>(
        &self,
        aggregator: impl Fn(&K, &V, Option<A>) -> A + Send + Sync + 'static,
        initial: impl Fn() -> Option<A> + Send + Sync + 'static,
        merger: impl Fn(&K, Option<A>, A) -> Option<A> + Send + Sync + 'static,
        materialized: Materialized<K, A>,
    ) -> KTable<Windowed<K>, A> {
        let graph = &self.stream.graph;
        let (initial, merger) = (Arc::new(initial), Arc::new(merger));
        let shared = SessionAggregation::new(graph, self.windows, self.emit, initial, merger, materialized);
        let out = shared.below(&self.stream, &shared.name.clone(), aggregator);
        shared.table(graph.clone(), out)
    }
}

type Merger<K, A> = Arc<dyn Fn(&K, Option<A>, A) -> Option<A> + Send + Sync>;

/// A session aggregation, without the type of the values it adds up.
pub(crate) struct SessionAggregation<K, A> {
    pub(crate) name: Arc<str>,
    store: SessionStore<K, A>,
    windows: SessionWindows,
    time: Clock,
    on_close: Option<OnClose>,
    initial: Arc<dyn Fn() -> Option<A> + Send + Sync>,
    merger: Merger<K, A>,
    send_old: SendOld,
    cache: Option<Caching<K, A>>,
}

impl<K, A> Clone for SessionAggregation<K, A> {
    fn clone(&self) -> Self {
        SessionAggregation {
            name: self.name.clone(),
            store: self.store.clone(),
            windows: self.windows,
            time: self.time,
            on_close: self.on_close,
            initial: self.initial.clone(),
            merger: self.merger.clone(),
            send_old: self.send_old.clone(),
            cache: self.cache.clone(),
        }
    }
}

impl<K: Clone + 'static, A: Clone + 'static> SessionAggregation<K, A> {
    pub(crate) fn new(
        graph: &Graph,
        windows: SessionWindows,
        emit: EmitStrategy,
        initial: Arc<dyn Fn() -> Option<A> + Send + Sync>,
        merger: Merger<K, A>,
        materialized: Materialized<K, A>,
    ) -> Self {
        let name = materialized.name.clone();
        if let Some(problem) = windows.problem() {
            graph.problem(BuildError::Unsupported(format!("'{name}': {problem}")));
        }
        let on_close = OnClose::new(graph, &name, emit);
        // A session that ends just at the close time is open still, and is read. (Kafka Streams' stores keep it a millisecond
        // too short: a late record that should have joined it is dropped.)
        let needed_ms = windows.gap_ms.saturating_add(windows.grace_ms).saturating_add(1);
        let mut retention = Retention::new(materialized.retention_ms.unwrap_or(0).max(needed_ms));
        if let Some(on_close) = &on_close {
            let segment_ms = windows.gap_ms.max(needed_ms / SEGMENTS_PER_LOOKUP);
            retention = retention.with_segment(segment_ms).keep_unemitted(on_close.emitted());
        }
        let Materialized { key, value, options, cached, .. } = materialized;
        let cache = (cached && on_close.is_none()).then(|| {
            let flushed = graph.edit(|b| b.clock(&format!("{name}-flushed")));
            // What was not sent on yet does not expire.
            retention = retention.keep_unemitted(flushed);
            Caching { key: key.clone(), value: value.clone(), flushed }
        });
        let (store, time) =
            graph.edit(|b| (b.store(&name, Session::with_options(key, value, retention, options)), b.clock(&name)));
        SessionAggregation {
            name,
            store,
            windows,
            time,
            on_close,
            initial,
            merger,
            send_old: SendOld::default(),
            cache,
        }
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
            shared.process(cx, key, record.timestamp, record.headers, |sum| aggregator(key, value, sum))
        });
        let out = stream.graph.below(stream.out, name, step, &[self.store.index()]);
        stream.graph.set_window_close(out.node, self.windows.gap_ms.saturating_add(self.windows.grace_ms));
        out
    }

    pub(crate) fn table(self, graph: Graph, out: Out<Windowed<K>, Change<A>>) -> KTable<Windowed<K>, A> {
        let out = match self.cache {
            None => out,
            Some(Caching { key, value, flushed }) => {
                let read_key = move |bytes: &[u8], _: bool| match SessionKey::decode(bytes) {
                    Some(SessionKey { key: bytes, start, end, .. }) => {
                        let time = |time| Timestamp::try_from(time).unwrap_or(Timestamp::MAX);
                        Ok(Some(Windowed::new(key.deserialize(&bytes)?, time(start), time(end))))
                    }
                    None => Err(SerdeError::new("a session key is damaged")),
                };
                cached(&graph, out, (&self.name, self.store.index()), read_key, value, &self.send_old, Some(flushed))
            }
        };
        let getter = Arc::new(SessionGetter { store: self.store });
        KTable { graph, out, getter, send_old: self.send_old, versioned: false }
    }

    fn process(
        &self,
        cx: &mut Context<'_, Windowed<K>, Change<A>>,
        key: &K,
        time: Timestamp,
        headers: &Headers,
        add: impl FnOnce(Option<A>) -> A,
    ) -> Result<(), ProcessError> {
        let stream_time = cx.task().observe(self.time, time);
        let SessionWindows { gap_ms, grace_ms } = self.windows;
        let close_time = stream_time.saturating_sub(grace_ms).saturating_sub(gap_ms);
        let touched = self.store.find_sessions(cx, key, time.saturating_sub(gap_ms), time.saturating_add(gap_ms))?;
        let merged = touched.iter().fold((time, time), |(start, end), s| (start.min(s.0), end.max(s.1)));
        if merged.1 < close_time {
            cx.record_dropped();
        } else {
            let mut sum = (self.initial)();
            for (start, end, row) in touched {
                sum = (self.merger)(key, sum, row.clone());
                // A session of this record's time alone is overwritten.
                if merged != (time, time) {
                    self.store.remove(cx, key, (start, end))?;
                    self.forward(cx, key, (start, end), Change::new(None, Some(row)), headers)?;
                }
            }
            let sum = add(sum);
            self.store.put(cx, key, merged, &sum)?;
            self.forward(cx, key, merged, Change::new(Some(sum), None), headers)?;
        }
        match &self.on_close {
            Some(on_close) => self.emit_closed(cx, on_close, close_time, headers),
            None => Ok(()),
        }
    }

    /// Sends an update on, if updates are sent.
    fn forward(
        &self,
        cx: &mut Context<'_, Windowed<K>, Change<A>>,
        key: &K,
        (start, end): (Timestamp, Timestamp),
        mut change: Change<A>,
        headers: &Headers,
    ) -> Result<(), ProcessError> {
        if self.on_close.is_some() {
            return Ok(());
        }
        if !self.send_old.is_enabled() {
            change.old = None;
        }
        let windowed = Windowed::new(key.clone(), start, end);
        cx.forward(Record { key: Some(&windowed), value: Some(&change), timestamp: end, headers })
    }

    /// Sends on the sessions that have closed since the last time, in order of end, then of start, then of key bytes.
    fn emit_closed(
        &self,
        cx: &mut Context<'_, Windowed<K>, Change<A>>,
        on_close: &OnClose,
        close_time: Timestamp,
        headers: &Headers,
    ) -> Result<(), ProcessError> {
        let now = cx.now();
        let Some(emitted) = on_close.due(cx.task(), now, close_time) else { return Ok(()) };
        // `[start, end]` closes when stream time less gap and grace is past its end.
        let (first, last) = (if emitted == NO_TIMESTAMP { 0 } else { emitted.max(0) }, close_time - 1);
        if last < first {
            return Ok(());
        }
        for (key, start, end, value) in self.store.find_ended(cx, (first, last))? {
            let windowed = Windowed::new(key, start, end);
            let change = Change::new(Some(value), None);
            cx.forward(Record { key: Some(&windowed), value: Some(&change), timestamp: end, headers })?;
        }
        on_close.done(cx.task(), close_time);
        Ok(())
    }
}

/// Reads the rows of a table of sessions.
struct SessionGetter<K, V> {
    store: SessionStore<K, V>,
}

impl<K: 'static, V: 'static> ValueGetter<Windowed<K>, V> for SessionGetter<K, V> {
    fn get(&self, task: &mut TaskState, windowed: &Windowed<K>) -> Result<Row<V>, ProcessError> {
        let row = self.store.fetch_session(task, &windowed.key, (windowed.start, windowed.end))?;
        Ok(row.map(|row| (row, windowed.end)))
    }
    fn get_as_of(&self, task: &mut TaskState, key: &Windowed<K>, _: Timestamp) -> Result<Row<V>, ProcessError> {
        self.get(task, key)
    }
    fn stores(&self, add: &mut dyn FnMut(StoreIndex)) {
        add(self.store.index());
    }
}
