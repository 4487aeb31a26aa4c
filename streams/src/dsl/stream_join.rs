//! Stream-stream joins (Kafka Streams: `KStreamKStreamJoin`, `KStreamKStreamSelfJoin`).
//!
//! Each side keeps its records in a window store and joins what arrives with the other side's. A left or outer join also
//! keeps records that have met no partner, and sends them on without one when no partner can come any more.

use std::any::{Any, TypeId};
use std::sync::Arc;

use state::Direction;

use crate::dsl::emit::Throttle;
use crate::dsl::graph::operator;
use crate::dsl::options::Repartitioned;
use crate::dsl::stream::KStream;
use crate::dsl::windows::{EmitStrategy, bad_grace, too_long};
use crate::error::ProcessError;
use crate::processor::{Context, Processor};
use crate::record::Record;
use crate::serde::Serde;
use crate::store::{
    Either, Engine, OuterJoin, OuterJoinStore, Retention, Side, StateAccess, StoreHandle, StoreOptions, Window,
    WindowStore,
};
use crate::topology::{BuildError, Clock, In};
use crate::types::Timestamp;

/// How far apart in time, in milliseconds, two records may be to be joined: the right one between `before` the left one's
/// time and `after` it, both bounds inclusive. Either may be negative, as long as the window is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JoinWindows {
    before_ms: i64,
    after_ms: i64,
    grace_ms: i64,
}

impl JoinWindows {
    /// At most so far apart, without grace.
    #[must_use]
    pub fn of_time_difference_with_no_grace(time_difference_ms: i64) -> Self {
        Self::of_time_difference_and_grace(time_difference_ms, 0)
    }

    /// At most so far apart. `grace_ms` is how long a left or outer join waits, after its window has passed, for a partner
    /// that comes late.
    #[must_use]
    pub fn of_time_difference_and_grace(time_difference_ms: i64, grace_ms: i64) -> Self {
        JoinWindows { before_ms: time_difference_ms, after_ms: time_difference_ms, grace_ms }
    }

    /// The right record at most so long before the left one.
    #[must_use]
    pub fn before(self, before_ms: i64) -> Self {
        JoinWindows { before_ms, ..self }
    }

    /// The right record at most so long after the left one.
    #[must_use]
    pub fn after(self, after_ms: i64) -> Self {
        JoinWindows { after_ms, ..self }
    }

    /// How long records are needed; at least 1 ms, so that records of one time can meet.
    fn retention_ms(&self) -> i64 {
        self.before_ms.saturating_add(self.after_ms).saturating_add(self.grace_ms).max(1)
    }

    fn problem(&self) -> Option<String> {
        let JoinWindows { before_ms, after_ms, grace_ms } = *self;
        if before_ms.saturating_add(after_ms) < 0 {
            Some(format!(
                "a join window from {before_ms} ms before to {after_ms} ms after is empty: before and after together are 0 ms or more"
            ))
        } else {
            [before_ms, after_ms].into_iter().find_map(too_long).or_else(|| bad_grace(grace_ms))
        }
    }
}

/// What a stream-stream join needs: a name, for its stores and for its repartition topics (used when a key was changed
/// before), and the formats of key, left and right values.
pub struct StreamJoined<K, L, R> {
    name: Arc<str>,
    key: Arc<dyn Serde<K>>,
    left: Arc<dyn Serde<L>>,
    right: Arc<dyn Serde<R>>,
    options: StoreOptions,
    emit_interval_ms: i64,
}

impl<K: 'static, L: 'static, R: 'static> StreamJoined<K, L, R> {
    /// Name and formats.
    pub fn new(name: &str, key: impl Serde<K>, left: impl Serde<L>, right: impl Serde<R>) -> Self {
        StreamJoined {
            name: name.into(),
            key: Arc::new(key),
            left: Arc::new(left),
            right: Arc::new(right),
            options: StoreOptions::default(),
            emit_interval_ms: EmitStrategy::INTERVAL_MS,
        }
    }

    /// Stores in memory instead of RocksDB.
    #[must_use]
    pub fn in_memory(mut self) -> Self {
        self.options.in_memory = true;
        self
    }

    /// Stores in an engine of their own; see [`Engine`].
    #[must_use]
    pub fn with_engine(mut self, engine: &Engine) -> Self {
        self.options.engine = Some(engine.clone());
        self
    }

    /// Stores without changelogs.
    #[must_use]
    pub fn not_logged(mut self) -> Self {
        self.options.logged = false;
        self
    }

    /// Least wall-clock time between two searches of a left or outer join for records that no partner can come for any
    /// more, milliseconds; 1,000 by default, as in Kafka Streams (`EMIT_INTERVAL_MS_KSTREAMS_OUTER_JOIN_SPURIOUS_RESULTS_FIX`).
    #[must_use]
    pub fn with_emit_interval(mut self, emit_interval_ms: i64) -> Self {
        self.emit_interval_ms = emit_interval_ms;
        self
    }
}

/// Joins values of which one may be missing.
type Joiner<L, R, V> = Arc<dyn Fn(Option<&L>, Option<&R>) -> V + Send + Sync>;

/// Which sides' records go on without a partner.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Outer {
    Neither,
    Left,
    Both,
}

impl<K: Clone + 'static, L: Clone + 'static> KStream<K, L> {
    /// Each pair of records of one key whose times are within the windows.
    ///
    /// *Triggers*: a record of either side, joined with those of the other that are there, in order of time, then of
    /// arrival. *Timestamp*: the larger of the two. *Null keys and values* are dropped and counted. *Late records* are
    /// joined as long as their partners are kept: until the other side is `before + after + grace` ahead. A stream joined
    /// with itself keeps its records once (KIP-862).
    ///
    /// ```
    /// # use streams::{dsl::{Consumed, JoinWindows, StreamJoined, StreamsBuilder}, serde::{I64, Utf8}};
    /// # let builder = StreamsBuilder::new("app");
    /// let orders = builder.stream("orders", Consumed::<String, i64>::with(Utf8, I64));
    /// let payments = builder.stream("payments", Consumed::<String, String>::with(Utf8, Utf8));
    /// let paid = orders.join(
    ///     &payments,
    ///     |amount, payment| format!("{amount} paid by {payment}"),
    ///     JoinWindows::of_time_difference_with_no_grace(60_000).before(0),
    ///     StreamJoined::new("paid", Utf8, I64, Utf8),
    /// );
    /// ```
    #[must_use]
    pub fn join<R: Clone + 'static, V: 'static>(
        &self,
        other: &KStream<K, R>,
        joiner: impl Fn(&L, &R) -> V + Send + Sync + 'static,
        windows: JoinWindows,
        joined: StreamJoined<K, L, R>,
    ) -> KStream<K, V> {
        if self.out.node == other.out.node && TypeId::of::<L>() == TypeId::of::<R>() {
            return self.self_join(joiner, windows, joined);
        }
        let join_both = move |left: Option<&L>, right: Option<&R>| match (left, right) {
            (Some(left), Some(right)) => Some(joiner(left, right)),
            _ => None,
        };
        self.join_stream(other, Arc::new(join_both), windows, joined, Outer::Neither)
    }

    /// As [`KStream::join`]; a left record that meets no partner goes on with none, once.
    ///
    /// *When*: as soon as no partner can come any more, its time + after + grace being before stream time, while a record
    /// of either side that moves stream time is processed, before that record's own results; at once if it comes that late
    /// itself (without regard to grace). Stream time is the largest timestamp of both sides, and outlives a restart.
    /// *Timestamp*: its own. *Null keys* (KIP-962): a left record without a key has no partner and goes on at once; a right
    /// one is dropped and counted, as null values are.
    ///
    /// ```
    /// # use streams::{dsl::{Consumed, JoinWindows, StreamJoined, StreamsBuilder}, serde::{I64, Utf8}};
    /// # let builder = StreamsBuilder::new("app");
    /// # let orders = builder.stream("orders", Consumed::<String, i64>::with(Utf8, I64));
    /// # let payments = builder.stream("payments", Consumed::<String, String>::with(Utf8, Utf8));
    /// let paid_or_not = orders.left_join(
    ///     &payments,
    ///     |amount, payment| (*amount, payment.is_some()),
    ///     JoinWindows::of_time_difference_and_grace(60_000, 5_000),
    ///     StreamJoined::new("paid", Utf8, I64, Utf8),
    /// );
    /// ```
    #[must_use]
    pub fn left_join<R: Clone + 'static, V: 'static>(
        &self,
        other: &KStream<K, R>,
        joiner: impl Fn(&L, Option<&R>) -> V + Send + Sync + 'static,
        windows: JoinWindows,
        joined: StreamJoined<K, L, R>,
    ) -> KStream<K, V> {
        let join_left = move |left: Option<&L>, right: Option<&R>| left.map(|left| joiner(left, right));
        self.join_stream(other, Arc::new(join_left), windows, joined, Outer::Left)
    }

    /// As [`KStream::left_join`], for both sides. A right record's window is the mirror of a left one's: no left partner can
    /// come any more once its time + before + grace is before stream time. Records of one time go on right side first, then
    /// by key bytes.
    ///
    /// ```
    /// # use streams::{dsl::{Consumed, JoinWindows, StreamJoined, StreamsBuilder}, serde::{I64, Utf8}};
    /// # let builder = StreamsBuilder::new("app");
    /// # let ours = builder.stream("our-ledger", Consumed::<String, i64>::with(Utf8, I64));
    /// # let theirs = builder.stream("their-ledger", Consumed::<String, i64>::with(Utf8, I64));
    /// let differences = ours
    ///     .outer_join(
    ///         &theirs,
    ///         |ours, theirs| (ours != theirs).then(|| format!("{ours:?} against {theirs:?}")),
    ///         JoinWindows::of_time_difference_and_grace(60_000, 5_000),
    ///         StreamJoined::new("reconciliation", Utf8, I64, I64),
    ///     )
    ///     .filter(|_, difference| difference.is_some());
    /// ```
    #[must_use]
    pub fn outer_join<R: Clone + 'static, V: 'static>(
        &self,
        other: &KStream<K, R>,
        joiner: impl Fn(Option<&L>, Option<&R>) -> V + Send + Sync + 'static,
        windows: JoinWindows,
        joined: StreamJoined<K, L, R>,
    ) -> KStream<K, V> {
        let join_any = move |left: Option<&L>, right: Option<&R>| Some(joiner(left, right));
        self.join_stream(other, Arc::new(join_any), windows, joined, Outer::Both)
    }

    fn join_stream<R: Clone + 'static, V: 'static>(
        &self,
        other: &KStream<K, R>,
        joiner: Joiner<L, R, Option<V>>,
        windows: JoinWindows,
        joined: StreamJoined<K, L, R>,
        outer: Outer,
    ) -> KStream<K, V> {
        let StreamJoined { name, key, left, right, options, emit_interval_ms } = joined;
        if let Some(problem) = windows.problem() {
            self.graph.problem(BuildError::Unsupported(format!("'{name}': {problem}")));
        }
        let topic = Repartitioned::new(&format!("{name}-left"), key.clone(), left.clone());
        let this = self.co_partitioned(Some(topic), "join", "");
        let topic = Repartitioned::new(&format!("{name}-right"), key.clone(), right.clone());
        let that = other.co_partitioned(Some(topic), "join", "");
        let retention = Retention::new(windows.retention_ms());
        let throttle = (outer != Outer::Neither).then(|| Throttle::new(&self.graph, &name, emit_interval_ms));
        let (lefts, rights, unjoined, time) = self.graph.edit(|b| {
            let lefts = Window::with_options(key.clone(), left.clone(), retention, options.clone());
            let lefts = b.store(&format!("{name}-this-join-store"), lefts.retain_duplicates());
            let rights = Window::with_options(key.clone(), right.clone(), retention, options.clone());
            let rights = b.store(&format!("{name}-other-join-store"), rights.retain_duplicates());
            let unjoined = throttle.map(|throttle| {
                let spec = OuterJoin { key, left, right, options };
                let store = b.store(&format!("{name}-outer-shared-join-store"), spec);
                Unjoined { store, throttle, windows, outer, joiner: joiner.clone() }
            });
            (lefts, rights, unjoined, b.clock(&name))
        });
        let mut stores = vec![lefts.index(), rights.index()];
        stores.extend(unjoined.as_ref().map(|u| u.store.index()));
        let left_side = JoinSide {
            own: lefts.clone(),
            other: rights.clone(),
            before_ms: windows.before_ms,
            after_ms: windows.after_ms,
            outer: outer != Outer::Neither,
            join: {
                let joiner = joiner.clone();
                Arc::new(move |own, other| joiner(own, other))
            },
            wrap: Either::Left,
            other_side: Side::Right,
            unjoined: unjoined.clone(),
            time,
        };
        let right_side = JoinSide {
            own: rights,
            other: lefts,
            before_ms: windows.after_ms,
            after_ms: windows.before_ms,
            outer: outer == Outer::Both,
            join: Arc::new(move |own, other| joiner(other, own)),
            wrap: Either::Right,
            other_side: Side::Left,
            unjoined,
            time,
        };
        let left_out = self.graph.below(this.out, &format!("{name}-this-join"), left_side, &stores);
        let right_out = self.graph.below(that.out, &format!("{name}-other-join"), right_side, &stores);
        let merge = operator(|cx: &mut Context<'_, K, V>, record: Record<'_, K, V>| cx.forward(record));
        let merged = self.graph.below(left_out, &format!("{name}-merge"), merge, &[]);
        self.graph.edit(|b| b.connect(right_out, In::of(merged.node)));
        KStream::new(self.graph.clone(), merged, None)
    }

    /// The stream joined with itself: every record is kept once. Results are those of two sides, in the same order.
    fn self_join<R: Clone + 'static, V: 'static>(
        &self,
        joiner: impl Fn(&L, &R) -> V + Send + Sync + 'static,
        windows: JoinWindows,
        joined: StreamJoined<K, L, R>,
    ) -> KStream<K, V> {
        let StreamJoined { name, key, left, options, .. } = joined;
        if let Some(problem) = windows.problem() {
            self.graph.problem(BuildError::Unsupported(format!("'{name}': {problem}")));
        }
        let topic = Repartitioned::new(&format!("{name}-left"), key.clone(), left.clone());
        let this = self.co_partitioned(Some(topic), "join", "");
        let spec = Window::with_options(key, left, Retention::new(windows.retention_ms()), options);
        let store = self.graph.edit(|b| b.store(&format!("{name}-this-join-store"), spec.retain_duplicates()));
        let index = store.index();
        let JoinWindows { before_ms, after_ms, .. } = windows;
        let step = operator(move |cx: &mut Context<'_, K, V>, record: Record<'_, K, L>| {
            let (Some(key), Some(value)) = (record.key, record.value) else {
                cx.record_dropped();
                return Ok(());
            };
            let time = record.timestamp;
            // L and R are one type: that is how this join was chosen.
            let joined = |left: &L, right: &L| (right as &dyn Any).downcast_ref::<R>().map(|right| joiner(left, right));
            let as_left = (time.saturating_sub(before_ms), time.saturating_add(after_ms));
            let as_right = (time.saturating_sub(after_ms), time.saturating_add(before_ms));
            // Both are looked for before the record itself moves the store's time: two stores would not have expired them yet.
            let rights = store.collect(cx, key, as_left, Direction::Forward)?;
            let lefts = store.collect(cx, key, as_right, Direction::Forward)?;
            for (at, other, _) in rights {
                let value = joined(value, &other);
                cx.forward(record.with_value(value.as_ref()).at(time.max(at)))?;
            }
            store.put(cx, key, value, time, time)?;
            // Its pair with itself comes after those of its time, unless it is expired by now.
            let in_own_window = before_ms >= 0 && after_ms >= 0;
            let mut itself = (in_own_window && store.fetch(cx, key, time)?.is_some()).then(|| joined(value, value));
            for (at, other, _) in lefts {
                if at > time
                    && let Some(pair) = itself.take()
                {
                    cx.forward(record.with_value(pair.as_ref()))?;
                }
                let value = joined(&other, value);
                cx.forward(record.with_value(value.as_ref()).at(time.max(at)))?;
            }
            itself.map_or(Ok(()), |pair| cx.forward(record.with_value(pair.as_ref())))
        });
        let out = self.graph.below(this.out, &format!("{name}-merge"), step, &[index]);
        KStream::new(self.graph.clone(), out, None)
    }
}

/// One side of a join: `T` its values, `O` the other side's.
struct JoinSide<K, T, O, L, R, V> {
    own: WindowStore<K, T>,
    other: WindowStore<K, O>,
    /// Partners are between so long before and so long after.
    before_ms: i64,
    after_ms: i64,
    /// Its records go on without a partner.
    outer: bool,
    join: Joiner<T, O, Option<V>>,
    wrap: fn(T) -> Either<L, R>,
    other_side: Side,
    unjoined: Option<Unjoined<K, L, R, V>>,
    /// Stream time of both sides.
    time: Clock,
}

impl<K, T, O, L, R, V> Processor for JoinSide<K, T, O, L, R, V>
where
    K: 'static,
    T: Clone + 'static,
    O: 'static,
    L: 'static,
    R: 'static,
    V: 'static,
{
    type KeyIn = K;
    type ValueIn = T;
    type KeyOut = K;
    type ValueOut = V;

    fn process(&self, cx: &mut Context<'_, K, V>, record: Record<'_, K, T>) -> Result<(), ProcessError> {
        let time = record.timestamp;
        let stream_time = cx.task().observe(self.time, time);
        let (key, value) = match (record.key, record.value) {
            (Some(key), Some(value)) => (key, value),
            (None, Some(value)) if self.outer => return self.alone(cx, value, record),
            _ => {
                cx.record_dropped();
                return Ok(());
            }
        };
        if let Some(unjoined) = &self.unjoined
            && time == stream_time
        {
            unjoined.send_closed(cx, stream_time, record)?;
        }
        let last = time.saturating_add(self.after_ms);
        let partners = (time.saturating_sub(self.before_ms), last);
        let partners = self.other.collect(cx, key, partners, Direction::Forward)?;
        let meets_none = partners.is_empty();
        for (at, other, _) in partners {
            if let Some(unjoined) = &self.unjoined {
                unjoined.store.remove(cx, key, at, self.other_side)?;
            }
            if let Some(joined) = (self.join)(Some(value), Some(&other)) {
                cx.forward(record.with_value(Some(&joined)).at(time.max(at)))?;
            }
        }
        if self.outer && meets_none {
            match &self.unjoined {
                Some(unjoined) if last >= stream_time => {
                    unjoined.store.put(cx, key, time, &(self.wrap)(value.clone()))?;
                }
                _ => self.alone(cx, value, record)?,
            }
        }
        self.own.put(cx, key, value, time, time)
    }
}

impl<K: 'static, T, O, L, R, V: 'static> JoinSide<K, T, O, L, R, V> {
    /// Sends a record on without a partner.
    fn alone(&self, cx: &mut Context<'_, K, V>, value: &T, record: Record<'_, K, T>) -> Result<(), ProcessError> {
        match (self.join)(Some(value), None) {
            Some(joined) => {
                let Record { key, timestamp, headers, .. } = record;
                cx.forward(Record { key, value: Some(&joined), timestamp, headers })
            }
            None => Ok(()),
        }
    }
}

/// Records that have met no partner, until none can come any more.
struct Unjoined<K, L, R, V> {
    store: OuterJoinStore<K, L, R>,
    throttle: Throttle,
    windows: JoinWindows,
    outer: Outer,
    joiner: Joiner<L, R, Option<V>>,
}

impl<K, L, R, V> Clone for Unjoined<K, L, R, V> {
    fn clone(&self) -> Self {
        Unjoined { store: self.store.clone(), joiner: self.joiner.clone(), ..*self }
    }
}

impl<K: 'static, L: 'static, R: 'static, V: 'static> Unjoined<K, L, R, V> {
    /// Sends on what no partner can come for any more.
    fn send_closed<T>(
        &self,
        cx: &mut Context<'_, K, V>,
        stream_time: Timestamp,
        record: Record<'_, K, T>,
    ) -> Result<(), ProcessError> {
        let now = cx.now();
        if !self.throttle.is_due(cx.task(), now) {
            return Ok(());
        }
        let JoinWindows { before_ms, after_ms, grace_ms } = self.windows;
        let is_open = |side: Side, time: Timestamp| match side {
            Side::Left => time.saturating_add(after_ms).saturating_add(grace_ms) >= stream_time,
            Side::Right if self.outer == Outer::Left => true,
            Side::Right => time.saturating_add(before_ms).saturating_add(grace_ms) >= stream_time,
        };
        for unjoined in self.store.take_closed(cx, is_open)? {
            let joined = match &unjoined.value {
                Either::Left(left) => (self.joiner)(Some(left), None),
                Either::Right(right) => (self.joiner)(None, Some(right)),
            };
            if let Some(joined) = joined {
                let (key, value) = (Some(&unjoined.key), Some(&joined));
                cx.forward(Record { key, value, timestamp: unjoined.time, headers: record.headers })?;
            }
        }
        Ok(())
    }
}
