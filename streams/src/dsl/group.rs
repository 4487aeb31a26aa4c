//! Groupings, and the tables that aggregate them.

use std::sync::Arc;

use crate::dsl::cache;
use crate::dsl::change_serde::ChangeSerde;
use crate::dsl::graph::{Graph, operator};
use crate::dsl::options::{Grouped, Materialized};
use crate::dsl::stream::KStream;
use crate::dsl::table::{Change, KTable, SendOld};
use crate::dsl::table_store::{Put, TableStore};
use crate::error::ProcessError;
use crate::processor::{Context, Processor};
use crate::record::Record;
use crate::topology::Out;

/// A stream grouped by its key: what is aggregated into a table.
///
/// For all its aggregations: a record with a null key or a null value is dropped and counted; the result's timestamp is the
/// larger of the record's and the row's so far.
pub struct KGroupedStream<K, V> {
    pub(crate) stream: KStream<K, V>,
}

impl<K, V> Clone for KGroupedStream<K, V> {
    fn clone(&self) -> Self {
        KGroupedStream { stream: self.stream.clone() }
    }
}

impl<K: 'static, V: 'static> KGroupedStream<K, V> {
    pub(crate) fn new(stream: KStream<K, V>) -> Self {
        KGroupedStream { stream }
    }

    /// Counts the records of each key.
    ///
    /// ```
    /// # use streams::{dsl::{Consumed, Materialized, StreamsBuilder}, serde::{I64, Utf8}};
    /// # let builder = StreamsBuilder::new("app");
    /// # let clicks = builder.stream("clicks", Consumed::<String, String>::with(Utf8, Utf8));
    /// let per_user = clicks.group_by_key().count(Materialized::new("clicks-per-user", Utf8, I64));
    /// ```
    pub fn count(&self, materialized: Materialized<K, i64>) -> KTable<K, i64> {
        self.aggregate(|| 0, |_, _, count| count + 1, materialized)
    }

    /// Combines the values of each key; the first value is the first result.
    ///
    /// ```
    /// # use streams::{dsl::{Consumed, Materialized, StreamsBuilder}, serde::{I64, Utf8}};
    /// # let builder = StreamsBuilder::new("app");
    /// # let amounts = builder.stream("amounts", Consumed::<String, i64>::with(Utf8, I64));
    /// let largest = amounts.group_by_key().reduce(|a, b| a.max(*b), Materialized::new("largest", Utf8, I64));
    /// ```
    pub fn reduce(
        &self,
        reducer: impl Fn(V, &V) -> V + Send + Sync + 'static,
        materialized: Materialized<K, V>,
    ) -> KTable<K, V>
    where
        V: Clone,
    {
        self.fold(
            move |_, value, sum: Option<V>| match sum {
                Some(sum) => reducer(sum, value),
                None => value.clone(),
            },
            || None,
            materialized,
        )
    }

    /// Adds the values of each key up, from what `initializer` gives.
    ///
    /// ```
    /// # use streams::{dsl::{Consumed, Materialized, StreamsBuilder}, serde::{I64, Utf8}};
    /// # let builder = StreamsBuilder::new("app");
    /// # let orders = builder.stream("orders", Consumed::<String, i64>::with(Utf8, I64));
    /// let total = orders.group_by_key().aggregate(
    ///     || 0,
    ///     |_customer, amount, total| total + amount,
    ///     Materialized::new("totals", Utf8, I64),
    /// );
    /// ```
    pub fn aggregate<A: Clone + 'static>(
        &self,
        initializer: impl Fn() -> A + Send + Sync + 'static,
        aggregator: impl Fn(&K, &V, A) -> A + Send + Sync + 'static,
        materialized: Materialized<K, A>,
    ) -> KTable<K, A> {
        let initializer = Arc::new(initializer);
        let initial = initializer.clone();
        self.fold(
            move |key, value, sum: Option<A>| aggregator(key, value, sum.unwrap_or_else(|| initializer())),
            move || Some(initial()),
            materialized,
        )
    }

    /// `aggregator` makes a row of the row so far. `initial` is what stands for the old row of a key's first record.
    fn fold<A: Clone + 'static>(
        &self,
        aggregator: impl Fn(&K, &V, Option<A>) -> A + Send + Sync + 'static,
        initial: impl Fn() -> Option<A> + Send + Sync + 'static,
        materialized: Materialized<K, A>,
    ) -> KTable<K, A> {
        let graph = self.stream.graph.clone();
        let store = graph.edit(|b| TableStore::new(b, &materialized));
        let send_old = SendOld::default();
        let index = store.index();
        let (rows, send) = (store.clone(), send_old.clone());
        let step = operator(move |cx: &mut Context<'_, K, Change<A>>, record: Record<'_, K, V>| {
            let (Some(key), Some(value)) = (record.key, record.value) else {
                cx.record_dropped();
                return Ok(());
            };
            let row = rows.get(cx, key)?;
            let timestamp = row.as_ref().map_or(record.timestamp, |(_, at)| record.timestamp.max(*at));
            let row = row.map(|(row, _)| row);
            let old = if send.is_enabled() { row.clone().or_else(&initial) } else { None };
            let new = aggregator(key, value, row);
            match rows.put(cx, key, Some(&new), timestamp)? {
                Put::Not => Ok(()),
                put => {
                    let change = Change { new: Some(new), old, is_latest: put == Put::Latest };
                    cx.forward(Record { key: record.key, value: Some(&change), timestamp, headers: record.headers })
                }
            }
        });
        let out = graph.below(self.stream.out, &materialized.name, step, &[index]);
        cache::table(graph, out, materialized, store, send_old)
    }
}

/// A table grouped by another key; see [`KTable::group_by`].
///
/// For all its aggregations: what a row was worth is subtracted before what it is worth now is added; a row that leaves its
/// group is one result there and one in the group it enters. The result's timestamp is the larger of the update's and the
/// row's so far.
pub struct KGroupedTable<K, V> {
    graph: Graph,
    out: Out<K, Change<V>>,
}

impl<K, V> Clone for KGroupedTable<K, V> {
    fn clone(&self) -> Self {
        KGroupedTable { graph: self.graph.clone(), out: self.out }
    }
}

impl<K: PartialEq + 'static, V: Clone + 'static> KGroupedTable<K, V> {
    pub(crate) fn new<K0: 'static, V0: Clone + 'static>(
        table: &KTable<K0, V0>,
        selector: impl Fn(&K0, &V0) -> Option<(K, V)> + Send + Sync + 'static,
        grouped: Grouped<K, V>,
    ) -> Self {
        table.send_old.enable();
        let graph = table.graph.clone();
        let name = graph.generate("KTABLE-SELECT");
        let Grouped { topic, one_record_per_update } = grouped;
        let select =
            Select { selector, versioned: table.versioned, one_record_per_update, types: std::marker::PhantomData };
        let selected = graph.below(table.out, &name, select, &[]);
        let value = Arc::new(ChangeSerde::new(topic.value));
        let out = graph.edit(|b| {
            let (input, out) = b.repartition_by(&topic.name, topic.key, value, topic.partitions, None);
            b.connect(selected, input);
            out
        });
        KGroupedTable { graph, out }
    }
}

impl<K: 'static, V: Clone + 'static> KGroupedTable<K, V> {
    /// Counts the rows of each group. A group that becomes empty keeps the row 0.
    ///
    /// ```
    /// # use streams::{dsl::*, serde::{I64, Utf8}, testing::TestDriver};
    /// # let builder = StreamsBuilder::new("app");
    /// # let cities = builder.table("cities", Materialized::<String, String>::new("cities", Utf8, Utf8));
    /// let population = cities
    ///     .group_by(|person, city| Some((city.clone(), person.clone())), Grouped::new("by-city", Utf8, Utf8))
    ///     .count(Materialized::new("population", Utf8, I64));
    /// # population.to_stream().map_values(i64::to_string).to("out", Produced::with(Utf8, Utf8));
    /// # let mut driver = TestDriver::new(builder.build().unwrap(), 1);
    /// driver.pipe("cities", Some(b"ada"), Some(b"London"), 1);
    /// driver.pipe("cities", Some(b"ada"), Some(b"Paris"), 2);
    /// assert_eq!(driver.read_text("out"), ["London=1@1", "London=0@2", "Paris=1@2"]);
    /// ```
    pub fn count(&self, materialized: Materialized<K, i64>) -> KTable<K, i64> {
        self.aggregate(|| 0, |_, _, count| count + 1, |_, _, count| count - 1, materialized)
    }

    /// Combines the values of each group, the first value being the first result; `subtractor` takes back what a row
    /// contributed.
    ///
    /// ```
    /// # use streams::{dsl::*, serde::{I64, Utf8}, testing::TestDriver};
    /// # let builder = StreamsBuilder::new("app");
    /// # let accounts = builder.table("accounts", Materialized::<String, i64>::new("accounts", Utf8, I64));
    /// // Accounts are `owner/name`.
    /// let owner = |account: &String| account.split('/').next().unwrap_or_default().to_owned();
    /// let wealth = accounts
    ///     .group_by(move |account, amount| Some((owner(account), *amount)), Grouped::new("by-owner", Utf8, I64))
    ///     .reduce(|sum, amount| sum + amount, |sum, amount| sum - amount, Materialized::new("wealth", Utf8, I64));
    /// # wealth.to_stream().map_values(i64::to_string).to("out", Produced::with(Utf8, Utf8));
    /// # let mut driver = TestDriver::new(builder.build().unwrap(), 1);
    /// driver.pipe("accounts", Some(b"ada/daily"), Some(&5_i64.to_be_bytes()), 1);
    /// driver.pipe("accounts", Some(b"ada/savings"), Some(&100_i64.to_be_bytes()), 2);
    /// driver.pipe("accounts", Some(b"ada/daily"), Some(&7_i64.to_be_bytes()), 3);
    /// assert_eq!(driver.read_text("out"), ["ada=5@1", "ada=105@2", "ada=107@3"]);
    /// ```
    pub fn reduce(
        &self,
        adder: impl Fn(V, &V) -> V + Send + Sync + 'static,
        subtractor: impl Fn(V, &V) -> V + Send + Sync + 'static,
        materialized: Materialized<K, V>,
    ) -> KTable<K, V> {
        self.fold(
            move |_, value, sum: Option<V>| match sum {
                Some(sum) => adder(sum, value),
                None => value.clone(),
            },
            move |_, value, sum| subtractor(sum, value),
            materialized,
        )
    }

    /// Adds the values of each group up, from what `initializer` gives; `subtractor` takes back what a row contributed.
    ///
    /// ```
    /// # use streams::{dsl::*, serde::{I64, Utf8}, testing::TestDriver};
    /// # let builder = StreamsBuilder::new("app");
    /// # let names = builder.table("names", Materialized::<String, String>::new("names", Utf8, Utf8));
    /// let letters = names
    ///     .group_by(|_, name| name.chars().next().map(|c| (c.to_string(), name.clone())), Grouped::new("by-letter", Utf8, Utf8))
    ///     .aggregate(
    ///         || 0,
    ///         |_letter, name, total| total + name.len() as i64,
    ///         |_letter, name, total| total - name.len() as i64,
    ///         Materialized::new("letters", Utf8, I64),
    ///     );
    /// # letters.to_stream().map_values(i64::to_string).to("out", Produced::with(Utf8, Utf8));
    /// # let mut driver = TestDriver::new(builder.build().unwrap(), 1);
    /// driver.pipe("names", Some(b"1"), Some(b"ada"), 1);
    /// driver.pipe("names", Some(b"1"), None, 2); // the row goes, and with it what it was worth
    /// assert_eq!(driver.read_text("out"), ["a=3@1", "a=0@2"]);
    /// ```
    pub fn aggregate<A: Clone + 'static>(
        &self,
        initializer: impl Fn() -> A + Send + Sync + 'static,
        adder: impl Fn(&K, &V, A) -> A + Send + Sync + 'static,
        subtractor: impl Fn(&K, &V, A) -> A + Send + Sync + 'static,
        materialized: Materialized<K, A>,
    ) -> KTable<K, A> {
        self.fold(
            move |key, value, sum: Option<A>| adder(key, value, sum.unwrap_or_else(&initializer)),
            subtractor,
            materialized,
        )
    }

    fn fold<A: Clone + 'static>(
        &self,
        adder: impl Fn(&K, &V, Option<A>) -> A + Send + Sync + 'static,
        subtractor: impl Fn(&K, &V, A) -> A + Send + Sync + 'static,
        materialized: Materialized<K, A>,
    ) -> KTable<K, A> {
        let graph = self.graph.clone();
        let store = graph.edit(|b| TableStore::new(b, &materialized));
        let send_old = SendOld::default();
        let index = store.index();
        let (rows, send) = (store.clone(), send_old.clone());
        let step = operator(move |cx: &mut Context<'_, K, Change<A>>, record: Record<'_, K, Change<V>>| {
            let (Some(key), Some(change)) = (record.key, record.value) else { return Ok(()) };
            let row = rows.get(cx, key)?;
            let timestamp = row.as_ref().map_or(record.timestamp, |(_, at)| record.timestamp.max(*at));
            let row = row.map(|(row, _)| row);
            let old = if send.is_enabled() { row.clone() } else { None };
            let less = match (&change.old, row) {
                (Some(value), Some(row)) => Some(subtractor(key, value, row)),
                (_, row) => row,
            };
            let new = match &change.new {
                Some(value) => Some(adder(key, value, less)),
                None => less,
            };
            match rows.put(cx, key, new.as_ref(), timestamp)? {
                Put::Not => Ok(()),
                put => {
                    let change = Change { new, old, is_latest: put == Put::Latest };
                    cx.forward(Record { key: record.key, value: Some(&change), timestamp, headers: record.headers })
                }
            }
        });
        let out = graph.below(self.out, &materialized.name, step, &[index]);
        cache::table(graph, out, materialized, store, send_old)
    }
}

/// `KTableRepartitionMap`: rows to their groups.
struct Select<K0, V0, K, V, F> {
    selector: F,
    versioned: bool,
    one_record_per_update: bool,
    types: std::marker::PhantomData<fn(&K0, &V0) -> (K, V)>,
}

impl<K0, V0, K, V, F> Processor for Select<K0, V0, K, V, F>
where
    K0: 'static,
    V0: 'static,
    K: PartialEq + 'static,
    V: 'static,
    F: Fn(&K0, &V0) -> Option<(K, V)> + Send + Sync + 'static,
{
    type KeyIn = K0;
    type ValueIn = Change<V0>;
    type KeyOut = K;
    type ValueOut = Change<V>;

    fn process(
        &self,
        cx: &mut Context<'_, K, Change<V>>,
        record: Record<'_, K0, Change<V0>>,
    ) -> Result<(), ProcessError> {
        let (Some(key), Some(change)) = (record.key, record.value) else { return Ok(()) };
        if self.versioned && !change.is_latest {
            return Ok(());
        }
        let select = |value: &Option<V0>| value.as_ref().and_then(|value| (self.selector)(key, value));
        let mut forward = |key: &K, change: Change<V>| {
            cx.forward(Record {
                key: Some(key),
                value: Some(&change),
                timestamp: record.timestamp,
                headers: record.headers,
            })
        };
        // The old group first, as the aggregation subtracts before it adds.
        match (select(&change.new), select(&change.old)) {
            (Some((group, new)), Some((old_group, old))) if self.one_record_per_update && group == old_group => {
                forward(&group, Change::new(Some(new), Some(old)))
            }
            (new, old) => {
                if let Some((group, old)) = old {
                    forward(&group, Change::new(None, Some(old)))?;
                }
                if let Some((group, new)) = new {
                    forward(&group, Change::new(Some(new), None))?;
                }
                Ok(())
            }
        }
    }
}
