//! Stream-table joins (Kafka Streams: `KStreamKTableJoinProcessor`), with grace on a versioned table (KIP-923).

use std::sync::Arc;

use crate::dsl::getter::ValueGetter;
use crate::dsl::options::{Joined, Repartitioned};
use crate::dsl::stream::KStream;
use crate::dsl::table::KTable;
use crate::error::ProcessError;
use crate::processor::{Context, Processor};
use crate::record::Record;
use crate::store::{RecordBuffer, RecordBufferStore, StoreHandle};
use crate::topology::BuildError;

impl<K: 'static, V: 'static> KStream<K, V> {
    /// Each record with the row of its key, if there is one.
    ///
    /// *Triggers*: stream records only; an update of the table changes what later records find. *Timestamp*: the stream
    /// record's. *Plain tables* answer with the current row, *versioned* ones with the row that held at the record's time.
    /// *Null keys and values* of the stream are dropped and counted. The stream's key must not have been changed since it
    /// was partitioned: else use [`KStream::join_table_with`], which repartitions.
    ///
    /// ```
    /// # use streams::{dsl::{Consumed, Materialized, StreamsBuilder}, serde::{I64, Utf8}};
    /// # let builder = StreamsBuilder::new("app");
    /// let orders = builder.stream("orders", Consumed::<String, i64>::with(Utf8, I64));
    /// let customers = builder.table("customers", Materialized::<String, String>::new("customers", Utf8, Utf8));
    /// let enriched = orders.join_table(&customers, |amount, name| format!("{name}: {amount}"));
    /// ```
    #[must_use]
    pub fn join_table<R: Clone + 'static, V2: 'static>(
        &self,
        table: &KTable<K, R>,
        joiner: impl Fn(&V, &R) -> V2 + Send + Sync + 'static,
    ) -> KStream<K, V2> {
        let stream = self.co_partitioned(None, "join_table", "use join_table_with(.., Joined::new(name, key, value))");
        stream.join_rows(table, move |value, row| row.map(|row| joiner(value, row)), false, None)
    }

    /// As [`KStream::join_table`]; records without a row are joined with none. A null key has no row (KIP-962).
    ///
    /// ```
    /// # use streams::{dsl::*, serde::{I64, Utf8}, testing::TestDriver};
    /// # let builder = StreamsBuilder::new("app");
    /// # let cities = builder.table("cities", Materialized::<String, String>::new("cities", Utf8, Utf8));
    /// # let orders = builder.stream("orders", Consumed::<String, String>::with(Utf8, Utf8));
    /// let addressed = orders.left_join_table(&cities, |order, city| {
    ///     format!("{order} to {}", city.map_or("?", String::as_str))
    /// });
    /// # addressed.to("out", Produced::with(Utf8, Utf8));
    /// # let mut driver = TestDriver::new(builder.build().unwrap(), 1);
    /// driver.pipe("orders", Some(b"ada"), Some(b"lamp"), 1);
    /// driver.pipe("cities", Some(b"ada"), Some(b"Paris"), 2); // makes no result
    /// driver.pipe("orders", Some(b"ada"), Some(b"book"), 3);
    /// assert_eq!(driver.read_text("out"), ["ada=lamp to ?@1", "ada=book to Paris@3"]);
    /// ```
    #[must_use]
    pub fn left_join_table<R: Clone + 'static, V2: 'static>(
        &self,
        table: &KTable<K, R>,
        joiner: impl Fn(&V, Option<&R>) -> V2 + Send + Sync + 'static,
    ) -> KStream<K, V2> {
        let stream =
            self.co_partitioned(None, "left_join_table", "use left_join_table_with(.., Joined::new(name, key, value))");
        stream.join_rows(table, move |value, row| Some(joiner(value, row)), true, None)
    }

    /// As [`KStream::join_table`], repartitioned by key when it was changed before, and with a grace period if `joined` has
    /// one: records are then held back in a store until the stream is that far ahead, and joined in order of time with the
    /// row of their time. A record that is later than the grace is joined at once. The table must be versioned.
    ///
    /// ```
    /// # use streams::{dsl::*, serde::{I64, Utf8}, testing::TestDriver};
    /// # let builder = StreamsBuilder::new("app");
    /// # let orders = builder.stream("orders", Consumed::<String, String>::with(Utf8, Utf8));
    /// let cities = builder.table("cities", Materialized::new("cities", Utf8, Utf8).versioned(86_400_000));
    /// let addressed = orders.join_table_with(
    ///     &cities,
    ///     |order, city| format!("{order} to {city}"),
    ///     Joined::new("addressed", Utf8, Utf8).with_grace_period(10),
    /// );
    /// # addressed.to("out", Produced::with(Utf8, Utf8));
    /// # let mut driver = TestDriver::new(builder.build().unwrap(), 1);
    /// driver.pipe("orders", Some(b"ada"), Some(b"lamp"), 5); // waits until the orders are past 15
    /// driver.pipe("cities", Some(b"ada"), Some(b"Paris"), 4); // comes later, but held at 5
    /// driver.pipe("orders", Some(b"bob"), Some(b"vase"), 20);
    /// assert_eq!(driver.read_text("out"), ["ada=lamp to Paris@5"]);
    /// ```
    #[must_use]
    pub fn join_table_with<R: Clone + 'static, V2: 'static>(
        &self,
        table: &KTable<K, R>,
        joiner: impl Fn(&V, &R) -> V2 + Send + Sync + 'static,
        joined: Joined<K, V>,
    ) -> KStream<K, V2> {
        self.join_rows_with(table, move |value, row| row.map(|row| joiner(value, row)), false, joined)
    }

    /// As [`KStream::left_join_table`], with the options of [`KStream::join_table_with`].
    ///
    /// ```
    /// # use streams::{dsl::*, serde::{I64, Utf8}};
    /// # let builder = StreamsBuilder::new("app");
    /// # let cities = builder.table("cities", Materialized::<String, String>::new("cities", Utf8, Utf8));
    /// # let orders = builder.stream("orders", Consumed::<String, String>::with(Utf8, Utf8));
    /// // Orders are keyed by their id; the customer is the first word.
    /// let addressed = orders
    ///     .select_key(|_, order| order.split(' ').next().unwrap_or_default().to_owned())
    ///     .left_join_table_with(
    ///         &cities,
    ///         |order, city| format!("{order} to {}", city.map_or("?", String::as_str)),
    ///         Joined::new("orders-by-customer", Utf8, Utf8), // through the topic app-orders-by-customer-repartition
    ///     );
    /// ```
    #[must_use]
    pub fn left_join_table_with<R: Clone + 'static, V2: 'static>(
        &self,
        table: &KTable<K, R>,
        joiner: impl Fn(&V, Option<&R>) -> V2 + Send + Sync + 'static,
        joined: Joined<K, V>,
    ) -> KStream<K, V2> {
        self.join_rows_with(table, move |value, row| Some(joiner(value, row)), true, joined)
    }

    fn join_rows_with<R: Clone + 'static, V2: 'static>(
        &self,
        table: &KTable<K, R>,
        join: impl Fn(&V, Option<&R>) -> Option<V2> + Send + Sync + 'static,
        left_join: bool,
        joined: Joined<K, V>,
    ) -> KStream<K, V2> {
        let Joined { topic, grace_ms } = joined;
        let grace = grace_ms.map(|grace_ms| {
            let (name, key, value) = (format!("{}-buffer", topic.name), topic.key.clone(), topic.value.clone());
            if !table.versioned {
                self.graph.problem(BuildError::Unsupported(format!(
                    "the join '{}' has a grace period, so it looks up rows of the past: make its table versioned with \
                     Materialized::versioned",
                    topic.name
                )));
            }
            let spec = RecordBuffer { key, value, options: crate::store::StoreOptions::default() };
            Grace { grace_ms, buffer: self.graph.edit(|b| b.store(&name, spec)), name: topic.name.clone() }
        });
        let topic: Repartitioned<K, V> = topic;
        let stream = self.co_partitioned(Some(topic), "join_table_with", "");
        stream.join_rows(table, join, left_join, grace)
    }

    fn join_rows<R: Clone + 'static, V2: 'static>(
        &self,
        table: &KTable<K, R>,
        join: impl Fn(&V, Option<&R>) -> Option<V2> + Send + Sync + 'static,
        left_join: bool,
        grace: Option<Grace<K, V>>,
    ) -> KStream<K, V2> {
        // With grace the operator has a stream time of its own, which is committed under its name: the author's.
        let name = grace.as_ref().map_or_else(
            || self.graph.generate(if left_join { "KSTREAM-LEFTJOIN" } else { "KSTREAM-JOIN" }),
            |grace| grace.name.to_string(),
        );
        let mut stores = table.stores();
        stores.extend(grace.as_ref().map(|grace| grace.buffer.index()));
        let processor = StreamTableJoin {
            rows: table.getter.clone(),
            versioned: table.versioned,
            join,
            left_join,
            grace,
            types: std::marker::PhantomData,
        };
        let out = self.graph.below(self.out, &name, processor, &stores);
        KStream::new(self.graph.clone(), out, self.rekeyed.clone())
    }
}

/// Records held back.
struct Grace<K, V> {
    grace_ms: i64,
    buffer: RecordBufferStore<K, V>,
    name: Arc<str>,
}

struct StreamTableJoin<K, V, R, V2, F> {
    rows: Arc<dyn ValueGetter<K, R>>,
    versioned: bool,
    join: F,
    left_join: bool,
    grace: Option<Grace<K, V>>,
    types: std::marker::PhantomData<fn() -> V2>,
}

impl<K, V, R, V2, F> StreamTableJoin<K, V, R, V2, F>
where
    K: 'static,
    V: 'static,
    V2: 'static,
    F: Fn(&V, Option<&R>) -> Option<V2>,
{
    fn join(&self, cx: &mut Context<'_, K, V2>, record: Record<'_, K, V>) -> Result<(), ProcessError> {
        let Some(value) = record.value else { return Ok(()) };
        let row = match record.key {
            None => None,
            Some(key) if self.versioned => self.rows.get_as_of(cx.cx.task, key, record.timestamp)?,
            Some(key) => self.rows.get(cx.cx.task, key)?,
        };
        match (self.join)(value, row.as_ref().map(|(row, _)| row)) {
            Some(joined) => cx.forward(record.with_value(Some(&joined))),
            None => Ok(()),
        }
    }
}

impl<K, V, R, V2, F> Processor for StreamTableJoin<K, V, R, V2, F>
where
    K: 'static,
    V: 'static,
    R: 'static,
    V2: 'static,
    F: Fn(&V, Option<&R>) -> Option<V2> + Send + Sync + 'static,
{
    type KeyIn = K;
    type ValueIn = V;
    type KeyOut = K;
    type ValueOut = V2;

    fn process(&self, cx: &mut Context<'_, K, V2>, record: Record<'_, K, V>) -> Result<(), ProcessError> {
        if record.value.is_none() || (record.key.is_none() && !self.left_join) {
            cx.record_dropped();
            return Ok(());
        }
        let (Some(grace), Some(key), Some(value)) = (&self.grace, record.key, record.value) else {
            return self.join(cx, record);
        };
        // Time is that of the records held back: those without a key or value do not move it (Kafka Streams: the buffer's
        // own `observedStreamTime`).
        let until = cx.observe(record.timestamp).saturating_sub(grace.grace_ms);
        if record.timestamp < until {
            return self.join(cx, record);
        }
        grace.buffer.put(cx, key, value, record.timestamp, record.headers)?;
        loop {
            let due = grace.buffer.take(cx, until)?;
            if due.is_empty() {
                return Ok(());
            }
            for held in &due {
                let (key, value) = (Some(&held.key), Some(&held.value));
                self.join(cx, Record { key, value, timestamp: held.timestamp, headers: &held.headers })?;
            }
        }
    }
}
