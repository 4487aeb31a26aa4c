//! `GlobalKTable`: a whole topic on every instance, and its joins with streams (KIP-99).

use crate::dsl::builder::StreamsBuilder;
use crate::dsl::options::Materialized;
use crate::dsl::stream::KStream;
use crate::error::ProcessError;
use crate::processor::{Context, Processor};
use crate::record::Record;
use crate::store::GlobalStore;

/// A table that every instance holds whole, so that a stream can be joined with it by any key, without repartitioning. Its
/// topic is its changelog; it is for reference data that fits everywhere and changes seldom.
///
/// Updates are applied as they are committed to the topic, not in step with the stream: a lookup sees what this instance has
/// read so far, at most [`crate::Config::global_interval_ms`] old. Tasks start when it has been read once to its end.
pub struct GlobalKTable<K, V> {
    store: GlobalStore<K, V>,
}

impl<K, V> Clone for GlobalKTable<K, V> {
    fn clone(&self) -> Self {
        GlobalKTable { store: self.store.clone() }
    }
}

impl<K: 'static, V: 'static> GlobalKTable<K, V> {
    /// The store, for processors that look up by themselves.
    #[must_use]
    pub fn store(&self) -> &GlobalStore<K, V> {
        &self.store
    }
}

impl StreamsBuilder {
    /// Reads a topic as a table that every instance holds whole. Null keys are skipped, a null value removes the row. The
    /// key's format must write the bytes the topic has.
    ///
    /// ```
    /// # use streams::{dsl::{Consumed, Materialized, StreamsBuilder}, serde::{F64, Utf8}};
    /// # let builder = StreamsBuilder::new("app");
    /// let rates = builder.global_table("rates", Materialized::<String, f64>::new("rates", Utf8, F64));
    /// let orders = builder.stream("orders", Consumed::<String, String>::with(Utf8, Utf8));
    /// let priced = orders.join_global(
    ///     &rates,
    ///     |_, order| order.split(' ').next().map(str::to_owned),
    ///     |order, rate| format!("{order} at {rate}"),
    /// );
    /// ```
    pub fn global_table<K: 'static, V: 'static>(
        &self,
        topic: &str,
        materialized: Materialized<K, V>,
    ) -> GlobalKTable<K, V> {
        let store = self.graph.edit(|b| b.global_store(&materialized.name, topic, materialized.key_value()));
        GlobalKTable { store }
    }
}

impl<K: 'static, V: 'static> KStream<K, V> {
    /// Each record with the row of a global table that `key_of` points at, if there is one.
    ///
    /// *Triggers*: stream records only. *Timestamp*: the stream record's. A null value, and a lookup key of `None`, are
    /// dropped and counted. The record keeps its key.
    ///
    /// ```
    /// # use streams::{dsl::*, serde::{I64, Utf8}, testing::TestDriver};
    /// # let builder = StreamsBuilder::new("app");
    /// # let rates = builder.global_table("rates", Materialized::<String, String>::new("rates", Utf8, Utf8));
    /// # let orders = builder.stream("orders", Consumed::<String, String>::with(Utf8, Utf8));
    /// let priced = orders.join_global(&rates, |_, order| order.split(' ').nth(1).map(str::to_owned), |order, rate| {
    ///     format!("{order} at {rate}")
    /// });
    /// # priced.to("out", Produced::with(Utf8, Utf8));
    /// # let mut driver = TestDriver::new(builder.build().unwrap(), 1);
    /// driver.pipe("rates", Some(b"EUR"), Some(b"1.1"), 1);
    /// driver.pipe("orders", Some(b"o1"), Some(b"9 EUR"), 2);
    /// driver.pipe("orders", Some(b"o2"), Some(b"9 XXX"), 3); // no such rate: no result
    /// assert_eq!(driver.read_text("out"), ["o1=9 EUR at 1.1@2"]);
    /// ```
    #[must_use]
    pub fn join_global<K2: 'static, V2: 'static, R: 'static>(
        &self,
        table: &GlobalKTable<K2, V2>,
        key_of: impl Fn(Option<&K>, &V) -> Option<K2> + Send + Sync + 'static,
        joiner: impl Fn(&V, &V2) -> R + Send + Sync + 'static,
    ) -> KStream<K, R> {
        let join = move |value: &V, row: Option<&V2>| row.map(|row| joiner(value, row));
        self.join_global_rows("KSTREAM-JOIN", table, key_of, join, false)
    }

    /// As [`KStream::join_global`]; records that find no row, or look for none (KIP-962), are joined with none.
    ///
    /// ```
    /// # use streams::{dsl::*, serde::{I64, Utf8}, testing::TestDriver};
    /// # let builder = StreamsBuilder::new("app");
    /// # let rates = builder.global_table("rates", Materialized::<String, String>::new("rates", Utf8, Utf8));
    /// # let orders = builder.stream("orders", Consumed::<String, String>::with(Utf8, Utf8));
    /// let priced = orders.left_join_global(&rates, |_, order| order.split(' ').nth(1).map(str::to_owned), |order, rate| {
    ///     format!("{order} at {}", rate.map_or("?", String::as_str))
    /// });
    /// # priced.to("out", Produced::with(Utf8, Utf8));
    /// # let mut driver = TestDriver::new(builder.build().unwrap(), 1);
    /// driver.pipe("orders", Some(b"o1"), Some(b"9 XXX"), 2);
    /// driver.pipe("orders", Some(b"o2"), Some(b"nine"), 3);
    /// assert_eq!(driver.read_text("out"), ["o1=9 XXX at ?@2", "o2=nine at ?@3"]);
    /// ```
    #[must_use]
    pub fn left_join_global<K2: 'static, V2: 'static, R: 'static>(
        &self,
        table: &GlobalKTable<K2, V2>,
        key_of: impl Fn(Option<&K>, &V) -> Option<K2> + Send + Sync + 'static,
        joiner: impl Fn(&V, Option<&V2>) -> R + Send + Sync + 'static,
    ) -> KStream<K, R> {
        let join = move |value: &V, row: Option<&V2>| Some(joiner(value, row));
        self.join_global_rows("KSTREAM-LEFTJOIN", table, key_of, join, true)
    }

    fn join_global_rows<K2: 'static, V2: 'static, R: 'static>(
        &self,
        name: &str,
        table: &GlobalKTable<K2, V2>,
        key_of: impl Fn(Option<&K>, &V) -> Option<K2> + Send + Sync + 'static,
        join: impl Fn(&V, Option<&V2>) -> Option<R> + Send + Sync + 'static,
        left_join: bool,
    ) -> KStream<K, R> {
        let rows = table.store.clone();
        let join = GlobalJoin { rows, key_of, join, left_join, types: std::marker::PhantomData };
        let name = self.graph.generate(name);
        let out = self.graph.below(self.out, &name, join, &[]);
        KStream::new(self.graph.clone(), out, self.rekeyed.clone())
    }
}

struct GlobalJoin<K, V, K2, V2, R, G, F> {
    rows: GlobalStore<K2, V2>,
    key_of: G,
    join: F,
    left_join: bool,
    types: std::marker::PhantomData<fn(&K, &V) -> R>,
}

impl<K, V, K2, V2, R, G, F> Processor for GlobalJoin<K, V, K2, V2, R, G, F>
where
    K: 'static,
    V: 'static,
    K2: 'static,
    V2: 'static,
    R: 'static,
    G: Fn(Option<&K>, &V) -> Option<K2> + Send + Sync + 'static,
    F: Fn(&V, Option<&V2>) -> Option<R> + Send + Sync + 'static,
{
    type KeyIn = K;
    type ValueIn = V;
    type KeyOut = K;
    type ValueOut = R;

    fn process(&self, cx: &mut Context<'_, K, R>, record: Record<'_, K, V>) -> Result<(), ProcessError> {
        let key = record.value.and_then(|value| (self.key_of)(record.key, value));
        let Some(value) = record.value.filter(|_| self.left_join || key.is_some()) else {
            cx.record_dropped();
            return Ok(());
        };
        let row = key.map_or(Ok(None), |key| self.rows.get(cx, &key))?;
        match (self.join)(value, row.as_ref().map(|(row, _)| row)) {
            Some(joined) => cx.forward(record.with_value(Some(&joined))),
            None => Ok(()),
        }
    }
}
