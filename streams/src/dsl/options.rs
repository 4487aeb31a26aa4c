//! Options of operators: formats, and the names under which state and topics live.
//!
//! Formats are always given, never guessed from a default: a value is read with what it was written with. Whatever has
//! state or a topic of its own takes its name here too, so nothing that lasts is named by its position in the code.

use std::sync::Arc;

use crate::record::Record;
use crate::serde::Serde;
use crate::store::{Engine, KeyValue, StoreOptions, Versioned};
use crate::topology::{Misplaced, ShowJson, SourceOptions, TimestampExtractor};
use crate::types::Timestamp;

/// How topics are read.
pub struct Consumed<K, V> {
    pub(crate) key: Arc<dyn Serde<K>>,
    pub(crate) value: Arc<dyn Serde<V>>,
    pub(crate) options: SourceOptions,
    pub(crate) timestamp: Option<Arc<TimestampExtractor<K, V>>>,
    pub(crate) name: Option<Arc<str>>,
}

impl<K: 'static, V: 'static> Consumed<K, V> {
    /// Key and value format.
    pub fn with(key: impl Serde<K>, value: impl Serde<V>) -> Self {
        let (key, value) = (Arc::new(key), Arc::new(value));
        Consumed { key, value, options: SourceOptions::default(), timestamp: None, name: None }
    }

    /// Takes a record's time out of what it says; `None` keeps the timestamp the log has, which is in the record given. One
    /// that is out of range is for the decode handler, as one of the log would be. Costs a second decoding of each record,
    /// because its time decides when it is its turn.
    ///
    /// ```
    /// # use streams::{dsl::{Consumed, StreamsBuilder}, serde::{I64, Utf8}};
    /// # let builder = StreamsBuilder::new("app");
    /// // The value is the time it happened.
    /// let happened = Consumed::<String, i64>::with(Utf8, I64).with_timestamp_extractor(|record| record.value.copied());
    /// let events = builder.stream("events", happened);
    /// ```
    #[must_use]
    pub fn with_timestamp_extractor(
        mut self,
        extractor: impl Fn(Record<'_, K, V>) -> Option<Timestamp> + Send + Sync + 'static,
    ) -> Self {
        self.timestamp = Some(Arc::new(extractor));
        self
    }

    /// Name of the source node.
    #[must_use]
    pub fn with_name(mut self, name: &str) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Only this topology writes to the topic: see [`SourceOptions::exclusive`].
    #[must_use]
    pub fn exclusive(mut self) -> Self {
        self.options.exclusive = true;
        self
    }

    /// What becomes of records that sit on another partition than Kafka's partitioner would have chosen.
    #[must_use]
    pub fn with_misplaced(mut self, misplaced: Misplaced) -> Self {
        self.options.misplaced = misplaced;
        self
    }
}

/// Chooses a partition from key, value and partition count; the answer is below the count.
pub(crate) type PartitionChooser<K, V> = Arc<dyn Fn(Option<&K>, Option<&V>, u32) -> u32 + Send + Sync>;

/// How a topic is written.
pub struct Produced<K, V> {
    pub(crate) key: Arc<dyn Serde<K>>,
    pub(crate) value: Arc<dyn Serde<V>>,
    pub(crate) partitioner: Option<PartitionChooser<K, V>>,
    pub(crate) name: Option<Arc<str>>,
}

impl<K: 'static, V: 'static> Produced<K, V> {
    /// Key and value format; partitioned by key as Kafka's default.
    pub fn with(key: impl Serde<K>, value: impl Serde<V>) -> Self {
        Produced { key: Arc::new(key), value: Arc::new(value), partitioner: None, name: None }
    }

    /// Name of the sink node.
    #[must_use]
    pub fn with_name(mut self, name: &str) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Partitions by a function of key, value and partition count, which answers with a partition below the count.
    ///
    /// ```
    /// # use streams::{dsl::*, serde::{I64, Utf8}};
    /// # let builder = StreamsBuilder::new("app");
    /// # let orders = builder.stream("orders", Consumed::<String, String>::with(Utf8, Utf8));
    /// let urgent_first = |_: Option<&String>, order: Option<&String>, partitions: u32| {
    ///     if order.is_some_and(|order| order.starts_with("urgent")) { 0 } else { 1 % partitions }
    /// };
    /// orders.to("sorted", Produced::with(Utf8, Utf8).with_partitioner(urgent_first));
    /// ```
    #[must_use]
    pub fn with_partitioner(
        mut self,
        partitioner: impl Fn(Option<&K>, Option<&V>, u32) -> u32 + Send + Sync + 'static,
    ) -> Self {
        self.partitioner = Some(Arc::new(partitioner));
        self
    }
}

/// A topic of the topology's own, `<application.id>-<name>-repartition`: name, formats, partitions.
pub struct Repartitioned<K, V> {
    pub(crate) name: Arc<str>,
    pub(crate) key: Arc<dyn Serde<K>>,
    pub(crate) value: Arc<dyn Serde<V>>,
    pub(crate) partitions: Option<u32>,
    pub(crate) partitioner: Option<PartitionChooser<K, V>>,
}

impl<K: 'static, V: 'static> Repartitioned<K, V> {
    /// Name and formats; as many partitions as the rest of the sub-topology that reads it.
    pub fn new(name: &str, key: impl Serde<K>, value: impl Serde<V>) -> Self {
        Repartitioned {
            name: name.into(),
            key: Arc::new(key),
            value: Arc::new(value),
            partitions: None,
            partitioner: None,
        }
    }

    /// A fixed number of partitions, at least 1.
    #[must_use]
    pub fn with_partitions(mut self, partitions: u32) -> Self {
        self.partitions = Some(partitions);
        self
    }

    /// Partitions by a function of key, value and partition count.
    #[must_use]
    pub fn with_partitioner(
        mut self,
        partitioner: impl Fn(Option<&K>, Option<&V>, u32) -> u32 + Send + Sync + 'static,
    ) -> Self {
        self.partitioner = Some(Arc::new(partitioner));
        self
    }
}

/// The repartition topic of a grouping: its name and the formats of group key and value. Used only when the grouping
/// needs one.
pub struct Grouped<K, V> {
    pub(crate) topic: Repartitioned<K, V>,
    pub(crate) one_record_per_update: bool,
}

impl<K: 'static, V: 'static> Grouped<K, V> {
    /// `name` becomes part of the topic's: `<application.id>-<name>-repartition`.
    pub fn new(name: &str, key: impl Serde<K>, value: impl Serde<V>) -> Self {
        Grouped { topic: Repartitioned::new(name, key, value), one_record_per_update: true }
    }

    /// A fixed number of partitions, at least 1.
    #[must_use]
    pub fn with_partitions(self, partitions: u32) -> Self {
        Grouped { topic: self.topic.with_partitions(partitions), ..self }
    }

    /// Of a grouped *table*: an update that stays in its group is sent as two records, one that subtracts and one that adds,
    /// and the result in between is seen. So did Kafka Streams before 3.5, and does with `upgrade.from` set (KIP-904).
    #[must_use]
    pub fn with_two_records_per_update(self) -> Self {
        Grouped { one_record_per_update: false, ..self }
    }
}

/// Options of a stream-table join: the stream side's repartition topic, used when its key was changed before, and a grace
/// period.
pub struct Joined<K, V> {
    pub(crate) topic: Repartitioned<K, V>,
    pub(crate) grace_ms: Option<i64>,
}

impl<K: 'static, V: 'static> Joined<K, V> {
    /// `name` becomes part of the topic's: `<application.id>-<name>-repartition`.
    pub fn new(name: &str, key: impl Serde<K>, value: impl Serde<V>) -> Self {
        Joined { topic: Repartitioned::new(name, key, value), grace_ms: None }
    }

    /// Holds stream records back until the stream is this far ahead of them, milliseconds, so that the table's updates of
    /// their time are there (KIP-923). The records wait in a store, `<name>-buffer`. The table must be versioned.
    #[must_use]
    pub fn with_grace_period(mut self, grace_ms: i64) -> Self {
        self.grace_ms = Some(grace_ms.max(0));
        self
    }
}

/// A table's store: its name, formats and kind. The name is the store's in queries, the changelog's
/// (`<application.id>-<name>-changelog`) and that of the node which writes it.
pub struct Materialized<K, V> {
    pub(crate) name: Arc<str>,
    pub(crate) key: Arc<dyn Serde<K>>,
    pub(crate) value: Arc<dyn Serde<V>>,
    pub(crate) options: StoreOptions,
    /// History retention of a versioned store, milliseconds.
    pub(crate) history_ms: Option<i64>,
    /// How long a windowed store keeps a window after its start, milliseconds; by default as long as records may still
    /// change it.
    pub(crate) retention_ms: Option<i64>,
    /// Only the last update of a row between two commits is sent on.
    pub(crate) cached: bool,
}

impl<K: 'static, V: 'static> Materialized<K, V> {
    /// A persistent, logged store of this name and these formats.
    pub fn new(name: &str, key: impl Serde<K>, value: impl Serde<V>) -> Self {
        Materialized {
            name: name.into(),
            key: Arc::new(key),
            value: Arc::new(value),
            options: StoreOptions::default(),
            history_ms: None,
            retention_ms: None,
            cached: false,
        }
    }

    /// In memory instead of RocksDB; comes back from its changelog.
    #[must_use]
    pub fn in_memory(mut self) -> Self {
        self.options.in_memory = true;
        self
    }

    /// In an engine of its own instead of where the application keeps its stores; see [`Engine`].
    #[must_use]
    pub fn with_engine(mut self, engine: &Engine) -> Self {
        self.options.engine = Some(engine.clone());
        self
    }

    /// Sends only the last update of a row on, when the task commits: fewer updates downstream, each as late as the commit
    /// (KIP-63). Off by default, unlike in Kafka Streams: an update is seen at once, and once for each record, unless the
    /// author says otherwise. For every table with a store of its own, except versioned ones, whose history would have gaps,
    /// and windows emitted on close, which are sent once anyway. A row that came and went between two commits is not sent at
    /// all. Updates of one commit go on in the order of keys in the store; they have no headers, and a removal has the removed
    /// row's timestamp.
    ///
    /// ```
    /// # use streams::{dsl::*, serde::{I64, Utf8}};
    /// # let builder = StreamsBuilder::new("app");
    /// # let clicks = builder.stream("clicks", Consumed::<String, String>::with(Utf8, Utf8));
    /// // However many clicks come between two commits, one update a user goes on.
    /// let counts = clicks.group_by_key().count(Materialized::new("counts", Utf8, I64).with_caching_enabled());
    /// ```
    #[must_use]
    pub fn with_caching_enabled(mut self) -> Self {
        self.cached = true;
        self
    }

    /// Without a changelog: lost with the disk, and left behind when the task moves.
    #[must_use]
    pub fn not_logged(mut self) -> Self {
        self.options.logged = false;
        self
    }

    /// A versioned store (KIP-889): keeps every version of the last `history_retention_ms`, joins look up the version of
    /// their own time, and an update older than the newest changes history but no result downstream (KIP-914). Key-value
    /// tables only.
    #[must_use]
    pub fn versioned(mut self, history_retention_ms: i64) -> Self {
        self.history_ms = Some(history_retention_ms);
        self
    }

    /// How long a windowed store keeps a window after its start, milliseconds; raised to what the operator itself needs.
    #[must_use]
    pub fn with_retention(mut self, retention_ms: i64) -> Self {
        self.retention_ms = Some(retention_ms);
        self
    }

    /// How interactive queries show an entry: from key bytes and value bytes to JSON text.
    ///
    /// ```
    /// # use streams::{dsl::*, serde::{I64, Utf8}};
    /// # let builder = StreamsBuilder::new("app");
    /// // `GET /stores/stock/coat` answers {"pieces": 5}.
    /// let show = |_key: &[u8], value: &[u8]| {
    ///     let pieces = value.try_into().map_or(0, i64::from_be_bytes);
    ///     format!("{{\"pieces\": {pieces}}}")
    /// };
    /// let stock = builder.table("stock", Materialized::<String, i64>::new("stock", Utf8, I64).shown_as(show));
    /// ```
    #[must_use]
    pub fn shown_as(mut self, show: impl Fn(&[u8], &[u8]) -> String + Send + Sync + 'static) -> Self {
        let show: ShowJson = Arc::new(show);
        self.options.show = Some(show);
        self
    }

    pub(crate) fn versioned_store(&self, history_ms: i64) -> Versioned<K, V> {
        Versioned::with_options(self.key.clone(), self.value.clone(), history_ms, self.options.clone())
    }

    pub(crate) fn key_value(&self) -> KeyValue<K, V> {
        KeyValue::with_options(self.key.clone(), self.value.clone(), self.options.clone())
    }
}
