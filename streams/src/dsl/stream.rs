//! `KStream`: a stream of independent records.

use std::sync::Arc;

use crate::dsl::branch::Split;
use crate::dsl::graph::{Graph, operator};
use crate::dsl::group::KGroupedStream;
use crate::dsl::options::{Grouped, Materialized, Produced, Repartitioned};
use crate::dsl::table::{self, KTable};
use crate::error::ProcessError;
use crate::processor::{Context, Processor};
use crate::record::Record;
use crate::store::StoreHandle;
use crate::topology::{BuildError, In, Out, StoreIndex};

/// A stream of records, each a fact of its own. A handle: cloning it and building on it twice sends every record both ways.
///
/// # Null keys and values
/// A topic may carry both. The key reaches a function as `Option<&K>`. A null *value* (a tombstone, as
/// [`KTable::to_stream`] makes them) is never handed to a function that expects a value: operators that keep or map values
/// ([`filter`](KStream::filter), [`map_values`](KStream::map_values)) pass it on as null, so that deletions reach the end of
/// a chain; those that derive a key from the value ([`map`](KStream::map), [`select_key`](KStream::select_key),
/// [`flat_map`](KStream::flat_map)) drop and count it. Where Java's code would look for null itself, use
/// [`filter_nullable`](KStream::filter_nullable) and [`map_nullable`](KStream::map_nullable).
///
/// # Timestamps and headers
/// Every stateless operator keeps the record's own.
pub struct KStream<K, V> {
    pub(crate) graph: Graph,
    pub(crate) out: Out<K, V>,
    /// The operator that changed the key since records were last partitioned by it.
    pub(crate) rekeyed: Option<Arc<str>>,
}

impl<K, V> Clone for KStream<K, V> {
    fn clone(&self) -> Self {
        KStream { graph: self.graph.clone(), out: self.out, rekeyed: self.rekeyed.clone() }
    }
}

impl<K: 'static, V: 'static> KStream<K, V> {
    pub(crate) fn new(graph: Graph, out: Out<K, V>, rekeyed: Option<Arc<str>>) -> Self {
        KStream { graph, out, rekeyed }
    }

    /// A stateless operator below this stream.
    pub(crate) fn derive<K2: 'static, V2: 'static>(
        &self,
        name: &str,
        rekeys: bool,
        function: impl Fn(&mut Context<'_, K2, V2>, Record<'_, K, V>) -> Result<(), ProcessError> + Send + Sync + 'static,
    ) -> KStream<K2, V2> {
        let name = self.graph.generate(name);
        let out = self.graph.below(self.out, &name, operator(function), &[]);
        let rekeyed = if rekeys { Some(name.as_str().into()) } else { self.rekeyed.clone() };
        KStream::new(self.graph.clone(), out, rekeyed)
    }

    /// Names the operator this stream comes out of, in place of its generated name.
    ///
    /// ```
    /// # use streams::{dsl::{Consumed, StreamsBuilder}, serde::Utf8};
    /// # let builder = StreamsBuilder::new("app");
    /// # let lines = builder.stream("lines", Consumed::<String, String>::with(Utf8, Utf8));
    /// lines.filter(|_, line| !line.is_empty()).named("not-empty").map_values(|line| line.len());
    /// assert!(builder.build().unwrap().describe().contains("Processor: not-empty"));
    /// ```
    #[must_use]
    pub fn named(self, name: &str) -> Self {
        self.graph.edit(|b| b.rename(self.out.node, name));
        self
    }

    /// Keeps records the predicate holds for. Null values pass.
    ///
    /// ```
    /// # use streams::{dsl::{Consumed, StreamsBuilder}, serde::{I64, Utf8}};
    /// # let builder = StreamsBuilder::new("app");
    /// # let amounts = builder.stream("amounts", Consumed::<String, i64>::with(Utf8, I64));
    /// let large = amounts.filter(|_, amount| *amount > 1_000);
    /// let keyed = amounts.filter(|key, _| key.is_some());
    /// ```
    #[must_use]
    pub fn filter(&self, predicate: impl Fn(Option<&K>, &V) -> bool + Send + Sync + 'static) -> KStream<K, V> {
        self.derive("KSTREAM-FILTER", false, move |cx, record| match record.value {
            Some(value) if !predicate(record.key, value) => Ok(()),
            _ => cx.forward(record),
        })
    }

    /// Keeps records the predicate does not hold for. Null values pass.
    ///
    /// ```
    /// # use streams::{dsl::*, serde::{I64, Utf8}};
    /// # let builder = StreamsBuilder::new("app");
    /// # let lines = builder.stream("lines", Consumed::<String, String>::with(Utf8, Utf8));
    /// let code = lines.filter_not(|_, line| line.starts_with("//"));
    /// ```
    #[must_use]
    pub fn filter_not(&self, predicate: impl Fn(Option<&K>, &V) -> bool + Send + Sync + 'static) -> KStream<K, V> {
        self.filter(move |key, value| !predicate(key, value))
    }

    /// As [`KStream::filter`], where the predicate also judges null values.
    ///
    /// ```
    /// # use streams::{dsl::*, serde::{I64, Utf8}, testing::TestDriver};
    /// # let builder = StreamsBuilder::new("app");
    /// # let rows = builder.stream("rows", Consumed::<String, String>::with(Utf8, Utf8));
    /// let removals = rows.filter_nullable(|_, row| row.is_none());
    /// # removals.to("out", Produced::with(Utf8, Utf8));
    /// # let mut driver = TestDriver::new(builder.build().unwrap(), 1);
    /// driver.pipe("rows", Some(b"a"), Some(b"1"), 1);
    /// driver.pipe("rows", Some(b"a"), None, 2);
    /// assert_eq!(driver.read_text("out"), ["a=null@2"]);
    /// ```
    #[must_use]
    pub fn filter_nullable(
        &self,
        predicate: impl Fn(Option<&K>, Option<&V>) -> bool + Send + Sync + 'static,
    ) -> KStream<K, V> {
        self.derive("KSTREAM-FILTER", false, move |cx, record| {
            if predicate(record.key, record.value) { cx.forward(record) } else { Ok(()) }
        })
    }

    /// A new value for each record; the key, and with it the partition, stays. A null value stays null.
    ///
    /// ```
    /// # use streams::{dsl::{Consumed, StreamsBuilder}, serde::Utf8};
    /// # let builder = StreamsBuilder::new("app");
    /// # let lines = builder.stream("lines", Consumed::<String, String>::with(Utf8, Utf8));
    /// let lengths = lines.map_values(|line| line.len());
    /// ```
    #[must_use]
    pub fn map_values<V2: 'static>(&self, mapper: impl Fn(&V) -> V2 + Send + Sync + 'static) -> KStream<K, V2> {
        self.map_values_with_key(move |_, value| mapper(value))
    }

    /// As [`KStream::map_values`], with the key to read.
    ///
    /// ```
    /// # use streams::{dsl::*, serde::{I64, Utf8}};
    /// # let builder = StreamsBuilder::new("app");
    /// # let amounts = builder.stream("amounts", Consumed::<String, i64>::with(Utf8, I64));
    /// let named = amounts.map_values_with_key(|key, amount| format!("{key:?} owes {amount}"));
    /// ```
    #[must_use]
    pub fn map_values_with_key<V2: 'static>(
        &self,
        mapper: impl Fn(Option<&K>, &V) -> V2 + Send + Sync + 'static,
    ) -> KStream<K, V2> {
        self.derive("KSTREAM-MAPVALUES", false, move |cx, record| {
            let value = record.value.map(|value| mapper(record.key, value));
            cx.forward(record.with_value(value.as_ref()))
        })
    }

    /// A new key and value for each record. Changes the key: a grouping or join below repartitions. A null value is dropped
    /// and counted.
    ///
    /// ```
    /// # use streams::{dsl::*, serde::{I64, Utf8}, testing::TestDriver};
    /// # let builder = StreamsBuilder::new("app");
    /// # let lines = builder.stream("lines", Consumed::<String, String>::with(Utf8, Utf8));
    /// let by_customer = lines.map(|_, line| {
    ///     let (customer, item) = line.split_once(' ').unwrap_or((line, ""));
    ///     (customer.to_owned(), item.to_owned())
    /// });
    /// # by_customer.to("out", Produced::with(Utf8, Utf8));
    /// # let mut driver = TestDriver::new(builder.build().unwrap(), 1);
    /// driver.pipe("lines", Some(b"order 1"), Some(b"ada lamp"), 7);
    /// driver.pipe("lines", Some(b"order 2"), None, 8);
    /// assert_eq!(driver.read_text("out"), ["ada=lamp@7"]);
    /// assert_eq!(driver.total(|counters| counters.dropped), 1);
    /// ```
    #[must_use]
    pub fn map<K2: 'static, V2: 'static>(
        &self,
        mapper: impl Fn(Option<&K>, &V) -> (K2, V2) + Send + Sync + 'static,
    ) -> KStream<K2, V2> {
        self.derive("KSTREAM-MAP", true, move |cx, record| {
            let Some(value) = record.value else { return dropped(cx) };
            let (key, value) = mapper(record.key, value);
            cx.forward(record.with_key(Some(&key)).with_value(Some(&value)))
        })
    }

    /// As [`KStream::map`], from and to null keys and values.
    ///
    /// ```
    /// # use streams::{dsl::*, serde::{I64, Utf8}, testing::TestDriver};
    /// # let builder = StreamsBuilder::new("app");
    /// # let rows = builder.stream("rows", Consumed::<String, String>::with(Utf8, Utf8));
    /// let swapped = rows.map_nullable(|key, value| (value.cloned(), key.cloned()));
    /// # swapped.to("out", Produced::with(Utf8, Utf8));
    /// # let mut driver = TestDriver::new(builder.build().unwrap(), 1);
    /// driver.pipe("rows", Some(b"a"), None, 1);
    /// assert_eq!(driver.read_text("out"), ["null=a@1"]);
    /// ```
    #[must_use]
    pub fn map_nullable<K2: 'static, V2: 'static>(
        &self,
        mapper: impl Fn(Option<&K>, Option<&V>) -> (Option<K2>, Option<V2>) + Send + Sync + 'static,
    ) -> KStream<K2, V2> {
        self.derive("KSTREAM-MAP", true, move |cx, record| {
            let (key, value) = mapper(record.key, record.value);
            cx.forward(record.with_key(key.as_ref()).with_value(value.as_ref()))
        })
    }

    /// Any number of new values for each record, under its key. A null value is dropped and counted.
    ///
    /// ```
    /// # use streams::{dsl::*, serde::{I64, Utf8}, testing::TestDriver};
    /// # let builder = StreamsBuilder::new("app");
    /// # let lines = builder.stream("lines", Consumed::<String, String>::with(Utf8, Utf8));
    /// let words = lines.flat_map_values(|line| line.split(' ').map(str::to_owned).collect::<Vec<_>>());
    /// # words.to("out", Produced::with(Utf8, Utf8));
    /// # let mut driver = TestDriver::new(builder.build().unwrap(), 1);
    /// driver.pipe("lines", Some(b"k"), Some(b"to be"), 3);
    /// assert_eq!(driver.read_text("out"), ["k=to@3", "k=be@3"]);
    /// ```
    #[must_use]
    pub fn flat_map_values<V2: 'static, I: IntoIterator<Item = V2>>(
        &self,
        mapper: impl Fn(&V) -> I + Send + Sync + 'static,
    ) -> KStream<K, V2> {
        self.derive("KSTREAM-FLATMAPVALUES", false, move |cx, record| {
            let Some(value) = record.value else { return dropped(cx) };
            for value in mapper(value) {
                cx.forward(record.with_value(Some(&value)))?;
            }
            Ok(())
        })
    }

    /// Any number of new records for each record. Changes the key. A null value is dropped and counted.
    ///
    /// ```
    /// # use streams::{dsl::*, serde::{I64, Utf8}, testing::TestDriver};
    /// # let builder = StreamsBuilder::new("app");
    /// # let rows = builder.stream("rows", Consumed::<String, String>::with(Utf8, Utf8));
    /// let both_ways = rows.flat_map(|key, value| {
    ///     let key = key.cloned().unwrap_or_default();
    ///     [(key.clone(), value.clone()), (value.clone(), key)]
    /// });
    /// # both_ways.to("out", Produced::with(Utf8, Utf8));
    /// # let mut driver = TestDriver::new(builder.build().unwrap(), 1);
    /// driver.pipe("rows", Some(b"a"), Some(b"b"), 1);
    /// assert_eq!(driver.read_text("out"), ["a=b@1", "b=a@1"]);
    /// ```
    #[must_use]
    pub fn flat_map<K2: 'static, V2: 'static, I: IntoIterator<Item = (K2, V2)>>(
        &self,
        mapper: impl Fn(Option<&K>, &V) -> I + Send + Sync + 'static,
    ) -> KStream<K2, V2> {
        self.derive("KSTREAM-FLATMAP", true, move |cx, record| {
            let Some(value) = record.value else { return dropped(cx) };
            for (key, value) in mapper(record.key, value) {
                cx.forward(record.with_key(Some(&key)).with_value(Some(&value)))?;
            }
            Ok(())
        })
    }

    /// A new key for each record. A null value is dropped and counted.
    ///
    /// ```
    /// # use streams::{dsl::{Consumed, StreamsBuilder}, serde::Utf8};
    /// # let builder = StreamsBuilder::new("app");
    /// # let words = builder.stream("words", Consumed::<String, String>::with(Utf8, Utf8));
    /// let by_word = words.select_key(|_, word| word.clone());
    /// ```
    #[must_use]
    pub fn select_key<K2: 'static>(
        &self,
        mapper: impl Fn(Option<&K>, &V) -> K2 + Send + Sync + 'static,
    ) -> KStream<K2, V> {
        self.derive("KSTREAM-KEY-SELECT", true, move |cx, record| {
            let Some(value) = record.value else { return dropped(cx) };
            let key = mapper(record.key, value);
            cx.forward(record.with_key(Some(&key)))
        })
    }

    /// Looks at every record, nulls included, and passes it on.
    ///
    /// ```
    /// # use streams::{dsl::*, serde::{I64, Utf8}};
    /// # let builder = StreamsBuilder::new("app");
    /// # let lines = builder.stream("lines", Consumed::<String, String>::with(Utf8, Utf8));
    /// let seen = lines.peek(|record| eprintln!("{:?} at {}", record.value, record.timestamp));
    /// ```
    #[must_use]
    pub fn peek(&self, look: impl Fn(Record<'_, K, V>) + Send + Sync + 'static) -> KStream<K, V> {
        self.derive("KSTREAM-PEEK", false, move |cx, record| {
            look(record);
            cx.forward(record)
        })
    }

    /// Looks at every record, nulls included, and ends the stream. What the function does outside is not part of the
    /// commit: it may happen again after a crash.
    ///
    /// ```
    /// # use streams::{dsl::*, serde::{I64, Utf8}};
    /// # let builder = StreamsBuilder::new("app");
    /// # let lines = builder.stream("lines", Consumed::<String, String>::with(Utf8, Utf8));
    /// use std::sync::Arc;
    /// use std::sync::atomic::{AtomicU64, Ordering};
    /// let count = Arc::new(AtomicU64::new(0)); // for a gauge; what must be exact goes into a store
    /// let counter = count.clone();
    /// lines.for_each(move |_| {
    ///     counter.fetch_add(1, Ordering::Relaxed);
    /// });
    /// ```
    pub fn for_each(&self, look: impl Fn(Record<'_, K, V>) + Send + Sync + 'static) {
        self.derive::<(), ()>("KSTREAM-FOREACH", false, move |_, record| {
            look(record);
            Ok(())
        });
    }

    /// Records of both streams, in the order they are processed; there is no order between the two beyond that.
    ///
    /// ```
    /// # use streams::{dsl::*, serde::{I64, Utf8}, testing::TestDriver};
    /// # let builder = StreamsBuilder::new("app");
    /// # let clicks = builder.stream("clicks", Consumed::<String, String>::with(Utf8, Utf8));
    /// # let views = builder.stream("views", Consumed::<String, String>::with(Utf8, Utf8));
    /// let all = clicks.merge(&views);
    /// # all.to("out", Produced::with(Utf8, Utf8));
    /// # let mut driver = TestDriver::new(builder.build().unwrap(), 1);
    /// driver.pipe("clicks", Some(b"ada"), Some(b"click"), 2);
    /// driver.pipe("views", Some(b"ada"), Some(b"view"), 1);
    /// assert_eq!(driver.read_text("out"), ["ada=click@2", "ada=view@1"]);
    /// ```
    #[must_use]
    pub fn merge(&self, other: &KStream<K, V>) -> KStream<K, V> {
        let merged = self.derive("KSTREAM-MERGE", false, |cx, record| cx.forward(record));
        self.graph.edit(|b| b.connect(other.out, In::of(merged.out.node)));
        KStream { rekeyed: self.rekeyed.clone().or_else(|| other.rekeyed.clone()), ..merged }
    }

    /// Sends each record to the first branch whose predicate holds; see [`Split`].
    pub fn split(&self) -> Split<K, V> {
        Split::new(self, None)
    }

    /// As [`KStream::split`]; branches are named `<prefix><name>`.
    pub fn split_named(&self, prefix: &str) -> Split<K, V> {
        Split::new(self, Some(prefix))
    }

    /// Writes every record, nulls included, to a topic, with its timestamp and headers. By default a key goes to the partition
    /// that Kafka's own partitioner gives it; [`Produced::with_partitioner`] chooses another.
    ///
    /// ```
    /// # use streams::{dsl::*, serde::{I64, Utf8}, testing::TestDriver};
    /// # let builder = StreamsBuilder::new("app");
    /// # let lines = builder.stream("lines", Consumed::<String, String>::with(Utf8, Utf8));
    /// lines.filter(|_, line| line.len() < 80).to("short-lines", Produced::with(Utf8, Utf8));
    /// # let mut driver = TestDriver::new(builder.build().unwrap(), 1);
    /// driver.pipe("lines", Some(b"k"), None, 4);
    /// assert_eq!(driver.read_text("short-lines"), ["k=null@4"]);
    /// ```
    pub fn to(&self, topic: &str, produced: Produced<K, V>) {
        let name = produced.name.map_or_else(|| self.graph.generate("KSTREAM-SINK"), |n| n.to_string());
        self.graph.edit(|b| {
            let sink = b.sink_by(&name, topic, produced.key, produced.value, produced.partitioner);
            b.connect(self.out, sink);
        });
    }

    /// Writes to a topic of the outside and reads it again: Kafka Streams' `through`. Records come back partitioned as the
    /// topic is, after whatever else is written to it.
    ///
    /// ```
    /// # use streams::{dsl::*, serde::{I64, Utf8}, testing::TestDriver};
    /// # let builder = StreamsBuilder::new("app");
    /// # let orders = builder.stream("orders", Consumed::<String, String>::with(Utf8, Utf8));
    /// let validated = orders.filter(|_, order| !order.is_empty()).through("validated", Produced::with(Utf8, Utf8));
    /// let per_customer = validated.group_by_key().count(Materialized::new("orders-per-customer", Utf8, I64));
    /// # let mut driver = TestDriver::new(builder.build().unwrap(), 1);
    /// driver.pipe("orders", Some(b"ada"), Some(b"lamp"), 1);
    /// assert_eq!(driver.get("orders-per-customer", b"ada").unwrap().0, 1_i64.to_be_bytes());
    /// ```
    #[must_use]
    pub fn through(&self, topic: &str, produced: Produced<K, V>) -> KStream<K, V> {
        let (key, value) = (produced.key.clone(), produced.value.clone());
        self.to(topic, produced);
        let name = self.graph.generate("KSTREAM-SOURCE");
        let out = self.graph.edit(|b| b.source(&name, &[topic], key, value, crate::topology::SourceOptions::default()));
        KStream::new(self.graph.clone(), out, None)
    }

    /// Sends records through a topic of the topology's own, so that they are partitioned by the key they now have; what
    /// follows is a sub-topology of its own. Key, value, timestamp and headers come out as they went in.
    ///
    /// ```
    /// # use streams::{dsl::{Consumed, Repartitioned, StreamsBuilder}, serde::Utf8};
    /// # let builder = StreamsBuilder::new("app");
    /// # let words = builder.stream("words", Consumed::<String, String>::with(Utf8, Utf8));
    /// let by_word = words.select_key(|_, w| w.clone()).repartition(Repartitioned::new("by-word", Utf8, Utf8));
    /// ```
    #[must_use]
    pub fn repartition(&self, repartitioned: Repartitioned<K, V>) -> KStream<K, V> {
        let Repartitioned { name, key, value, partitions, partitioner } = repartitioned;
        let out = self.graph.edit(|b| {
            let (input, out) = b.repartition_by(&name, key, value, partitions, partitioner);
            b.connect(self.out, input);
            out
        });
        KStream::new(self.graph.clone(), out, None)
    }

    /// The stream partitioned by its key: itself, or sent through a repartition topic when the key was changed. `None` when
    /// a topic is needed and was not named; the mistake is noted with its remedy.
    pub(crate) fn co_partitioned(
        &self,
        repartitioned: Option<Repartitioned<K, V>>,
        operator: &'static str,
        remedy: &'static str,
    ) -> KStream<K, V> {
        match (&self.rekeyed, repartitioned) {
            (None, _) => self.clone(),
            (Some(_), Some(repartitioned)) => self.repartition(repartitioned),
            (Some(by), None) => {
                let changed_by = by.to_string();
                self.graph.problem(BuildError::RepartitionUnnamed { operator, changed_by, remedy });
                self.clone()
            }
        }
    }

    /// Groups records by the key they have. When the key was changed before, use [`KStream::group_by_key_with`], which
    /// names the repartition topic.
    ///
    /// ```
    /// # use streams::{dsl::*, serde::{I64, Utf8}};
    /// # let builder = StreamsBuilder::new("app");
    /// # let orders = builder.stream("orders", Consumed::<String, String>::with(Utf8, Utf8));
    /// let per_customer = orders.group_by_key().count(Materialized::new("orders-per-customer", Utf8, I64));
    /// // After a change of the key the topic in between needs a name; `build` says so.
    /// let mistake = orders.select_key(|_, order| order.clone()).group_by_key();
    /// let error = builder.build().unwrap_err().to_string();
    /// assert!(error.contains("use group_by_key_with(Grouped::new(name, key, value))"));
    /// ```
    #[must_use]
    pub fn group_by_key(&self) -> KGroupedStream<K, V> {
        let stream = self.co_partitioned(None, "group_by_key", "use group_by_key_with(Grouped::new(name, key, value))");
        KGroupedStream::new(stream)
    }

    /// Groups records by the key they have, repartitioned by it when it was changed before. Null keys are dropped.
    ///
    /// ```
    /// # use streams::{dsl::*, serde::{I64, Utf8}};
    /// # let builder = StreamsBuilder::new("app");
    /// # let words = builder.stream("words", Consumed::<String, String>::with(Utf8, Utf8));
    /// let per_word = words
    ///     .select_key(|_, word| word.clone())
    ///     .group_by_key_with(Grouped::new("by-word", Utf8, Utf8)) // through the topic app-by-word-repartition
    ///     .count(Materialized::new("counts", Utf8, I64));
    /// ```
    #[must_use]
    pub fn group_by_key_with(&self, grouped: Grouped<K, V>) -> KGroupedStream<K, V> {
        let keyed = if self.rekeyed.is_some() { self.without_null_keys() } else { self.clone() };
        KGroupedStream::new(keyed.co_partitioned(Some(grouped.topic), "group_by_key", ""))
    }

    /// Groups records by a new key, always through a repartition topic. Null values are dropped and counted.
    ///
    /// ```
    /// # use streams::{dsl::*, serde::{I64, Utf8}, testing::TestDriver};
    /// # let builder = StreamsBuilder::new("app");
    /// # let words = builder.stream("words", Consumed::<String, String>::with(Utf8, Utf8));
    /// let counts = words
    ///     .group_by(|_, word| word.to_lowercase(), Grouped::new("by-word", Utf8, Utf8))
    ///     .count(Materialized::new("counts", Utf8, I64));
    /// # let mut driver = TestDriver::new(builder.build().unwrap(), 1);
    /// driver.pipe("words", None, Some(b"To"), 1);
    /// driver.pipe("words", None, Some(b"to"), 2);
    /// assert_eq!(driver.get("counts", b"to"), Some((2_i64.to_be_bytes().to_vec(), 2)));
    /// ```
    #[must_use]
    pub fn group_by<K2: 'static>(
        &self,
        selector: impl Fn(Option<&K>, &V) -> K2 + Send + Sync + 'static,
        grouped: Grouped<K2, V>,
    ) -> KGroupedStream<K2, V> {
        self.select_key(selector).group_by_key_with(grouped)
    }

    /// Kafka Streams filters null keys in front of a grouping's repartition topic (`OptimizableRepartitionNode`).
    fn without_null_keys(&self) -> KStream<K, V> {
        self.derive("KSTREAM-FILTER", false, |cx, record| match record.key {
            Some(_) => cx.forward(record),
            None => Ok(()),
        })
    }

    /// Makes a table of the stream: each record is the newest row of its key, a null value removes the row. Repartitions
    /// under the table's name when the key was changed before. Null keys are dropped and counted.
    ///
    /// ```
    /// # use streams::{dsl::*, serde::{I64, Utf8}, testing::TestDriver};
    /// # let builder = StreamsBuilder::new("app");
    /// # let rows = builder.stream("rows", Consumed::<String, String>::with(Utf8, Utf8));
    /// let newest = rows.to_table(Materialized::new("newest", Utf8, Utf8));
    /// # let mut driver = TestDriver::new(builder.build().unwrap(), 1);
    /// driver.pipe("rows", Some(b"a"), Some(b"1"), 10);
    /// driver.pipe("rows", Some(b"a"), Some(b"2"), 5);
    /// assert_eq!(driver.get("newest", b"a"), Some((b"2".to_vec(), 5))); // the last by offset, not by time
    /// driver.pipe("rows", Some(b"a"), None, 6);
    /// assert_eq!(driver.get("newest", b"a"), None);
    /// ```
    pub fn to_table(&self, materialized: Materialized<K, V>) -> KTable<K, V>
    where
        V: Clone,
    {
        let topic = Repartitioned::new(&materialized.name, materialized.key.clone(), materialized.value.clone());
        let stream = self.co_partitioned(Some(topic), "to_table", "");
        table::source(stream.graph, stream.out, materialized)
    }

    /// Runs a processor of your own under a name, with the stores it uses; its output may have any types. The key counts as
    /// changed.
    ///
    /// ```
    /// # use streams::{dsl::*, serde::{I64, Utf8}, testing::TestDriver};
    /// # let builder = StreamsBuilder::new("app");
    /// # let amounts = builder.stream("amounts", Consumed::<String, i64>::with(Utf8, I64));
    /// use streams::store::{KeyValue, KeyValueStore};
    /// use streams::{Context, ProcessError, Processor, Record};
    ///
    /// /// Sends on what exceeds everything before it, by key.
    /// struct Records {
    ///     highest: KeyValueStore<String, i64>,
    /// }
    ///
    /// impl Processor for Records {
    ///     type KeyIn = String;
    ///     type ValueIn = i64;
    ///     type KeyOut = String;
    ///     type ValueOut = i64;
    ///
    ///     fn process(&self, cx: &mut Context<'_, String, i64>, record: Record<'_, String, i64>) -> Result<(), ProcessError> {
    ///         let (Some(key), Some(amount)) = (record.key, record.value) else { return Ok(()) };
    ///         if self.highest.get(cx, key)?.is_some_and(|highest| highest >= *amount) {
    ///             return Ok(());
    ///         }
    ///         self.highest.put(cx, key, amount)?;
    ///         cx.forward(record)
    ///     }
    /// }
    ///
    /// let highest = builder.add_store("highest", KeyValue::new(Utf8, I64));
    /// let records = amounts.process("records", Records { highest: highest.clone() }, &[&highest]);
    /// # records.map_values(i64::to_string).to("out", Produced::with(Utf8, Utf8));
    /// # let mut driver = TestDriver::new(builder.build().unwrap(), 1);
    /// for (amount, time) in [(5_i64, 1), (3, 2), (8, 3)] {
    ///     driver.pipe("amounts", Some(b"a"), Some(&amount.to_be_bytes()), time);
    /// }
    /// assert_eq!(driver.read_text("out"), ["a=5@1", "a=8@3"]);
    /// ```
    #[must_use]
    pub fn process<P>(&self, name: &str, processor: P, stores: &[&dyn StoreHandle]) -> KStream<P::KeyOut, P::ValueOut>
    where
        P: Processor<KeyIn = K, ValueIn = V>,
    {
        let stores: Vec<StoreIndex> = stores.iter().map(|s| s.index()).collect();
        let out = self.graph.below(self.out, name, processor, &stores);
        KStream::new(self.graph.clone(), out, Some(name.into()))
    }

    /// As [`KStream::process`], for a processor that keeps the key: nothing below needs to repartition. That it does keep
    /// it is the processor's promise (Kafka Streams: `FixedKeyProcessor`).
    ///
    /// ```
    /// # use streams::{dsl::*, serde::{I64, Utf8}};
    /// # let builder = StreamsBuilder::new("app");
    /// # let lines = builder.stream("lines", Consumed::<String, String>::with(Utf8, Utf8));
    /// use streams::{Context, ProcessError, Processor, Record};
    ///
    /// /// Says which partition a record came from.
    /// struct Origin;
    ///
    /// impl Processor for Origin {
    ///     type KeyIn = String;
    ///     type ValueIn = String;
    ///     type KeyOut = String;
    ///     type ValueOut = String;
    ///
    ///     fn process(
    ///         &self,
    ///         cx: &mut Context<'_, String, String>,
    ///         record: Record<'_, String, String>,
    ///     ) -> Result<(), ProcessError> {
    ///         let partition = cx.record_metadata().map(|at| at.partition);
    ///         cx.forward(record.with_value(Some(&format!("partition {partition:?}"))))
    ///     }
    /// }
    ///
    /// // The key is the same, so what groups by it needs no repartition topic.
    /// let counts = lines.process_values("origin", Origin, &[]).group_by_key().count(Materialized::new("n", Utf8, I64));
    /// assert_eq!(builder.build().unwrap().subtopologies().len(), 1);
    /// ```
    #[must_use]
    pub fn process_values<P>(&self, name: &str, processor: P, stores: &[&dyn StoreHandle]) -> KStream<K, P::ValueOut>
    where
        P: Processor<KeyIn = K, ValueIn = V, KeyOut = K>,
    {
        KStream { rekeyed: self.rekeyed.clone(), ..self.process(name, processor, stores) }
    }

    /// The sending end of the operator this stream comes out of, for [`crate::dsl::StreamsBuilder::topology`].
    #[must_use]
    pub fn out(&self) -> Out<K, V> {
        self.out
    }
}

/// Drops the record, counted.
pub(crate) fn dropped<K: 'static, V: 'static>(cx: &mut Context<'_, K, V>) -> Result<(), ProcessError> {
    cx.record_dropped();
    Ok(())
}
