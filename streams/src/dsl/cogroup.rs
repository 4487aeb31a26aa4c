//! Cogroup: one table aggregated from several grouped streams of different value types (KIP-150).

use std::sync::Arc;

use crate::dsl::cache;
use crate::dsl::graph::operator;
use crate::dsl::group::KGroupedStream;
use crate::dsl::options::Materialized;
use crate::dsl::session::SessionAggregation;
use crate::dsl::table::{Change, KTable, SendOld};
use crate::dsl::table_store::{Put, TableStore};
use crate::dsl::windowed_stream::Aggregation;
use crate::dsl::windows::Windowed;
use crate::error::ProcessError;
use crate::processor::{Context, Processor};
use crate::record::Record;
use crate::topology::{In, Out, StoreIndex};

/// Makes a sum of nothing.
pub(crate) type Initializer<A> = Arc<dyn Fn() -> A + Send + Sync>;

/// A grouped stream and its aggregator, whose value type is known to nobody else: what it becomes in each kind of table.
pub(crate) trait GroupInput<K, A> {
    /// Adds to the rows of keys.
    fn to_table(self: Box<Self>, shared: &Shared<K, A>, number: usize) -> Out<K, Change<A>>;
    /// Adds to time or sliding windows.
    fn to_windows(
        self: Box<Self>,
        shared: &Aggregation<K, A>,
        initializer: Initializer<A>,
        number: usize,
    ) -> Out<Windowed<K>, Change<A>>
    where
        K: Clone;
    /// Adds to sessions.
    fn to_sessions(
        self: Box<Self>,
        shared: &SessionAggregation<K, A>,
        initializer: Initializer<A>,
        number: usize,
    ) -> Out<Windowed<K>, Change<A>>
    where
        K: Clone;
}

struct Grouping<K, V, F> {
    grouped: KGroupedStream<K, V>,
    aggregator: F,
}

/// The name of an input's operator.
fn input_name(name: &str, number: usize) -> String {
    format!("{name}-cogroup-agg-{number}")
}

impl<K, V, A, F> GroupInput<K, A> for Grouping<K, V, F>
where
    K: 'static,
    V: 'static,
    A: Clone + 'static,
    F: Fn(&K, &V, A) -> A + Send + Sync + 'static,
{
    fn to_table(self: Box<Self>, shared: &Shared<K, A>, number: usize) -> Out<K, Change<A>> {
        let input = Input {
            store: shared.store.clone(),
            initializer: shared.initializer.clone(),
            send_old: shared.send_old.clone(),
            aggregator: self.aggregator,
            types: std::marker::PhantomData,
        };
        let stream = self.grouped.stream;
        stream.graph.below(stream.out, &input_name(&shared.name, number), input, &[shared.index])
    }

    fn to_windows(
        self: Box<Self>,
        shared: &Aggregation<K, A>,
        initializer: Initializer<A>,
        number: usize,
    ) -> Out<Windowed<K>, Change<A>>
    where
        K: Clone,
    {
        let Grouping { grouped, aggregator } = *self;
        let add =
            move |key: &K, value: &V, sum: Option<A>| aggregator(key, value, sum.unwrap_or_else(|| initializer()));
        shared.below(&grouped.stream, &input_name(&shared.name, number), add)
    }

    fn to_sessions(
        self: Box<Self>,
        shared: &SessionAggregation<K, A>,
        initializer: Initializer<A>,
        number: usize,
    ) -> Out<Windowed<K>, Change<A>>
    where
        K: Clone,
    {
        let Grouping { grouped, aggregator } = *self;
        let add =
            move |key: &K, value: &V, sum: Option<A>| aggregator(key, value, sum.unwrap_or_else(|| initializer()));
        shared.below(&grouped.stream, &input_name(&shared.name, number), add)
    }
}

/// What all inputs of a cogroup work on.
pub(crate) struct Shared<K, A> {
    store: TableStore<K, A>,
    index: StoreIndex,
    initializer: Initializer<A>,
    send_old: SendOld,
    name: Arc<str>,
}

/// Grouped streams to be aggregated into one table. Each input has its own aggregator; all share one store and one row per
/// key. Null keys, null values and timestamps: as for [`KGroupedStream`].
///
/// ```
/// # use streams::{dsl::{Consumed, Materialized, StreamsBuilder}, serde::{I64, Utf8}};
/// # let builder = StreamsBuilder::new("app");
/// # let deposits = builder.stream("deposits", Consumed::<String, i64>::with(Utf8, I64));
/// # let fees = builder.stream("fees", Consumed::<String, String>::with(Utf8, Utf8));
/// let balance = deposits
///     .group_by_key()
///     .cogroup(|_, amount, balance| balance + amount)
///     .cogroup(&fees.group_by_key(), |_, _fee, balance| balance - 1)
///     .aggregate(|| 0, Materialized::new("balance", Utf8, I64));
/// ```
pub struct CogroupedKStream<K, A> {
    pub(crate) graph: crate::dsl::graph::Graph,
    pub(crate) inputs: Vec<Box<dyn GroupInput<K, A>>>,
}

impl<K: 'static, V: 'static> KGroupedStream<K, V> {
    /// Begins a cogroup with this stream and its aggregator.
    #[must_use]
    pub fn cogroup<A: Clone + 'static>(
        &self,
        aggregator: impl Fn(&K, &V, A) -> A + Send + Sync + 'static,
    ) -> CogroupedKStream<K, A> {
        CogroupedKStream { graph: self.stream.graph.clone(), inputs: Vec::new() }.cogroup(self, aggregator)
    }
}

impl<K: 'static, A: Clone + 'static> CogroupedKStream<K, A> {
    /// Adds a stream and its aggregator.
    #[must_use]
    pub fn cogroup<V: 'static>(
        mut self,
        grouped: &KGroupedStream<K, V>,
        aggregator: impl Fn(&K, &V, A) -> A + Send + Sync + 'static,
    ) -> Self {
        self.inputs.push(Box::new(Grouping { grouped: grouped.clone(), aggregator }));
        self
    }

    /// The table of all inputs, from what `initializer` gives.
    ///
    /// ```
    /// # use streams::{dsl::*, serde::{I64, Utf8}, testing::TestDriver};
    /// # let builder = StreamsBuilder::new("app");
    /// # let clicks = builder.stream("clicks", Consumed::<String, String>::with(Utf8, Utf8));
    /// # let views = builder.stream("views", Consumed::<String, String>::with(Utf8, Utf8));
    /// let activity = clicks
    ///     .group_by_key()
    ///     .cogroup(|_, _click, count| count + 10)
    ///     .cogroup(&views.group_by_key(), |_, _view, count| count + 1)
    ///     .aggregate(|| 0, Materialized::new("activity", Utf8, I64));
    /// # activity.to_stream().map_values(i64::to_string).to("out", Produced::with(Utf8, Utf8));
    /// # let mut driver = TestDriver::new(builder.build().unwrap(), 1);
    /// driver.pipe("clicks", Some(b"ada"), Some(b"/"), 5);
    /// driver.pipe("views", Some(b"ada"), Some(b"/"), 3);
    /// assert_eq!(driver.read_text("out"), ["ada=10@5", "ada=11@5"]);
    /// ```
    pub fn aggregate(
        self,
        initializer: impl Fn() -> A + Send + Sync + 'static,
        materialized: Materialized<K, A>,
    ) -> KTable<K, A> {
        let graph = self.graph;
        let store = graph.edit(|b| TableStore::new(b, &materialized));
        let send_old = SendOld::default();
        let shared = Shared {
            index: store.index(),
            store,
            initializer: Arc::new(initializer),
            send_old: send_old.clone(),
            name: materialized.name.clone(),
        };
        let pass = operator(|cx: &mut Context<'_, K, Change<A>>, record: Record<'_, K, Change<A>>| cx.forward(record));
        let outs: Vec<_> = self.inputs.into_iter().enumerate().map(|(i, input)| input.to_table(&shared, i)).collect();
        let (_, out) = graph.edit(|b| b.processor(&materialized.name, pass));
        graph.edit(|b| outs.into_iter().for_each(|input| b.connect(input, In::of(out.node))));
        cache::table(graph, out, materialized, shared.store, send_old)
    }
}

/// `KStreamAggregate` with a shared store.
struct Input<K, V, A, F> {
    store: TableStore<K, A>,
    initializer: Initializer<A>,
    send_old: SendOld,
    aggregator: F,
    types: std::marker::PhantomData<fn(&V)>,
}

impl<K, V, A, F> Processor for Input<K, V, A, F>
where
    K: 'static,
    V: 'static,
    A: Clone + 'static,
    F: Fn(&K, &V, A) -> A + Send + Sync + 'static,
{
    type KeyIn = K;
    type ValueIn = V;
    type KeyOut = K;
    type ValueOut = Change<A>;

    fn process(&self, cx: &mut Context<'_, K, Change<A>>, record: Record<'_, K, V>) -> Result<(), ProcessError> {
        let (Some(key), Some(value)) = (record.key, record.value) else {
            cx.record_dropped();
            return Ok(());
        };
        let row = self.store.get(cx, key)?;
        let timestamp = row.as_ref().map_or(record.timestamp, |(_, at)| record.timestamp.max(*at));
        let sum = row.map_or_else(|| (self.initializer)(), |(sum, _)| sum);
        let old = self.send_old.is_enabled().then(|| sum.clone());
        let new = (self.aggregator)(key, value, sum);
        match self.store.put(cx, key, Some(&new), timestamp)? {
            Put::Not => Ok(()),
            put => {
                let change = Change { new: Some(new), old, is_latest: put == Put::Latest };
                cx.forward(Record { key: record.key, value: Some(&change), timestamp, headers: record.headers })
            }
        }
    }
}
