//! Where a topology begins: topics become streams and tables.

use crate::dsl::graph::Graph;
use crate::dsl::options::{Consumed, Materialized};
use crate::dsl::stream::KStream;
use crate::dsl::table::{self, KTable};
use crate::store::StoreSpec;
use crate::topology::{BuildError, Topology, TopologyBuilder};

/// Names of topics: one, or several that are read as one stream.
pub trait Topics {
    /// The names.
    fn names(&self) -> Vec<&str>;
}

impl Topics for &str {
    fn names(&self) -> Vec<&str> {
        vec![self]
    }
}

impl<const N: usize> Topics for [&str; N] {
    fn names(&self) -> Vec<&str> {
        self.to_vec()
    }
}

impl Topics for &[&str] {
    fn names(&self) -> Vec<&str> {
        self.to_vec()
    }
}

impl Topics for Vec<String> {
    fn names(&self) -> Vec<&str> {
        self.iter().map(String::as_str).collect()
    }
}

/// Builds a topology out of streams and tables.
///
/// ```
/// use streams::dsl::{Consumed, Grouped, Materialized, Produced, StreamsBuilder};
/// use streams::serde::{I64, Utf8};
///
/// let builder = StreamsBuilder::new("word-count");
/// builder
///     .stream("lines", Consumed::<String, String>::with(Utf8, Utf8))
///     .flat_map_values(|line| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
///     .group_by(|_, word| word.clone(), Grouped::new("words", Utf8, Utf8))
///     .count(Materialized::new("counts", Utf8, I64))
///     .to_stream()
///     .to("counts", Produced::with(Utf8, I64));
/// let topology = builder.build().unwrap();
/// assert_eq!(topology.subtopologies().len(), 2);
/// ```
pub struct StreamsBuilder {
    pub(crate) graph: Graph,
}

impl StreamsBuilder {
    /// An empty topology of this `application.id`, which names its group, changelogs and repartition topics.
    #[must_use]
    pub fn new(application_id: &str) -> Self {
        StreamsBuilder { graph: Graph::new(application_id) }
    }

    /// Reads topics as a stream of records. A topic is read once: keep the handle and use it again.
    ///
    /// ```
    /// # use streams::{dsl::{Consumed, StreamsBuilder}, serde::Utf8};
    /// # let builder = StreamsBuilder::new("app");
    /// let orders = builder.stream("orders", Consumed::<String, String>::with(Utf8, Utf8));
    /// let both = builder.stream(["clicks", "views"], Consumed::<String, String>::with(Utf8, Utf8));
    /// ```
    pub fn stream<K: 'static, V: 'static>(&self, topics: impl Topics, consumed: Consumed<K, V>) -> KStream<K, V> {
        let name = consumed.name.map_or_else(|| self.graph.generate("KSTREAM-SOURCE"), |n| n.to_string());
        let topics = topics.names();
        let Consumed { key, value, options, timestamp, .. } = consumed;
        let out = self.graph.edit(|b| b.source_timed(&name, &topics, key, value, options, timestamp));
        KStream::new(self.graph.clone(), out, None)
    }

    /// Reads a topic as a table: each record is the newest row of its key, a null value removes the row.
    ///
    /// *Null keys* are dropped and counted. *Order*: a plain table applies updates by offset, also when timestamps go
    /// back; a versioned one ([`Materialized::versioned`]) keeps the newest by timestamp as its current row, and passes an
    /// older update on marked as not the latest ([`crate::dsl::Change::is_latest`]), so that what is below can leave it
    /// out. *Timestamps*: the record's. The store is named by `materialized` and takes part in queries and joins.
    ///
    /// ```
    /// # use streams::{dsl::{Materialized, StreamsBuilder}, serde::Utf8};
    /// # let builder = StreamsBuilder::new("app");
    /// let customers = builder.table("customers", Materialized::<String, String>::new("customers", Utf8, Utf8));
    /// ```
    pub fn table<K: 'static, V: Clone + 'static>(&self, topic: &str, materialized: Materialized<K, V>) -> KTable<K, V> {
        let consumed = Consumed::with(materialized.key.clone(), materialized.value.clone());
        self.table_with(topic, consumed, materialized)
    }

    /// As [`StreamsBuilder::table`], reading the topic in other formats than the store has, or with options.
    ///
    /// ```
    /// # use streams::{dsl::*, serde::{I64, Utf8}};
    /// # let builder = StreamsBuilder::new("app");
    /// use streams::serde::I32;
    /// # /// Reads an integer as a long.
    /// # struct Widened;
    /// # impl streams::serde::Serde<i64> for Widened {
    /// #     fn serialize(&self, value: &i64, out: &mut Vec<u8>) -> Result<(), streams::serde::SerdeError> {
    /// #         I32.serialize(&(*value as i32), out)
    /// #     }
    /// #     fn deserialize(&self, bytes: &[u8]) -> Result<i64, streams::serde::SerdeError> {
    /// #         I32.deserialize(bytes).map(i64::from)
    /// #     }
    /// # }
    /// # use streams::serde::Serde;
    /// // The topic has integers of four bytes, the store keeps longs.
    /// let stock = builder.table_with("stock", Consumed::with(Utf8, Widened), Materialized::new("stock", Utf8, I64));
    /// ```
    pub fn table_with<K: 'static, V: Clone + 'static>(
        &self,
        topic: &str,
        consumed: Consumed<K, V>,
        materialized: Materialized<K, V>,
    ) -> KTable<K, V> {
        let name = consumed.name.map_or_else(|| self.graph.generate("KSTREAM-SOURCE"), |n| n.to_string());
        let Consumed { key, value, options, timestamp, .. } = consumed;
        let out = self.graph.edit(|b| b.source_timed(&name, &[topic], key, value, options, timestamp));
        table::source(self.graph.clone(), out, materialized)
    }

    /// Adds a store for processors ([`KStream::process`]) and gives the handle they use it with.
    ///
    /// ```
    /// # use streams::{dsl::*, serde::{I64, Utf8}};
    /// # let builder = StreamsBuilder::new("app");
    /// use streams::store::{KeyValue, Versioned, Window};
    /// let reserved = builder.add_store("reserved", KeyValue::<String, i64>::new(Utf8, I64));
    /// let prices = builder.add_store("prices", Versioned::<String, i64>::new(Utf8, I64, 86_400_000));
    /// let seen = builder.add_store("seen", Window::<String, i64>::new(Utf8, I64, 600_000));
    /// ```
    pub fn add_store<S: StoreSpec>(&self, name: &str, spec: S) -> S::Handle {
        self.graph.edit(|b| b.store(name, spec))
    }

    /// The builder below, for what the DSL has no word for.
    pub fn topology<R>(&self, edit: impl FnOnce(&mut TopologyBuilder) -> R) -> R {
        self.graph.edit(edit)
    }

    /// Checks the topology and fixes it. Handles that are still around have nothing to add to any more.
    ///
    /// # Errors
    /// The first mistake found, with what to change.
    ///
    /// ```
    /// # use streams::{dsl::*, serde::{I64, Utf8}};
    /// # let builder = StreamsBuilder::new("app");
    /// let lines = builder.stream("lines", Consumed::<String, String>::with(Utf8, Utf8));
    /// let again = builder.stream("lines", Consumed::<String, String>::with(Utf8, Utf8));
    /// let error = builder.build().unwrap_err();
    /// assert!(error.to_string().starts_with("topic 'lines' is read by two sources: read it once"));
    /// ```
    pub fn build(self) -> Result<Topology, BuildError> {
        self.graph.build()
    }
}
