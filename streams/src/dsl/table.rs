//! `KTable`: the newest row of each key, and the changes of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::dsl::cache;
use crate::dsl::getter::{FilterGetter, MapValuesGetter, StoreGetter, ValueGetter};
use crate::dsl::graph::{Graph, operator};
use crate::dsl::group::KGroupedTable;
use crate::dsl::options::{Grouped, Materialized};
use crate::dsl::stream::KStream;
use crate::dsl::table_store::{Put, TableStore};
use crate::error::ProcessError;
use crate::processor::{Context, Processor};
use crate::record::Record;
use crate::topology::{Out, StoreIndex};

/// What travels between table operators: the new row and, where something below needs it, the old one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change<V> {
    /// The row from now on; `None` when it is removed.
    pub new: Option<V>,
    /// The row until now. Always `None` unless an operator below asked for old values.
    pub old: Option<V>,
    /// False for an update of a versioned table that is older than its newest version: it changed history, not the row.
    pub is_latest: bool,
}

impl<V> Change<V> {
    /// A change of the current row.
    #[must_use]
    pub fn new(new: Option<V>, old: Option<V>) -> Self {
        Change { new, old, is_latest: true }
    }
}

/// Whether an operator sends old values. Asked for from below, at build time, up to the next store (Kafka Streams:
/// `enableSendingOldValues`).
#[derive(Clone, Default)]
pub(crate) struct SendOld {
    flag: Arc<AtomicBool>,
    /// Who must send them for this one to be able to.
    up: Vec<SendOld>,
    /// Where old rows are known, an update from no row to no row is not sent: a filter's rule, which a store right behind it
    /// keeps.
    skips_absent: bool,
}

impl SendOld {
    /// Of an operator that computes old rows from those it is sent.
    pub(crate) fn from(up: &[&SendOld]) -> Self {
        SendOld { flag: Arc::default(), up: up.iter().map(|s| (*s).clone()).collect(), skips_absent: false }
    }

    pub(crate) fn enable(&self) {
        self.flag.store(true, Ordering::Relaxed);
        self.up.iter().for_each(SendOld::enable);
    }

    /// Relaxed: written while building, read while running.
    pub(crate) fn is_enabled(&self) -> bool {
        self.flag.load(Ordering::Relaxed)
    }
}

/// A table: for each key its newest row. A handle, as [`KStream`].
///
/// Keys are never null. A function gets `&K` and `&V` of a present row; an absent row stays absent through
/// [`KTable::map_values`] and [`KTable::filter`].
pub struct KTable<K, V> {
    pub(crate) graph: Graph,
    pub(crate) out: Out<K, Change<V>>,
    pub(crate) getter: Arc<dyn ValueGetter<K, V>>,
    pub(crate) send_old: SendOld,
    /// The rows come out of a versioned store: operators below leave out updates that are not the latest (KIP-914).
    pub(crate) versioned: bool,
}

impl<K, V> Clone for KTable<K, V> {
    fn clone(&self) -> Self {
        KTable {
            graph: self.graph.clone(),
            out: self.out,
            getter: self.getter.clone(),
            send_old: self.send_old.clone(),
            versioned: self.versioned,
        }
    }
}

impl<K: 'static, V: Clone + 'static> KTable<K, V> {
    /// Keeps rows the predicate holds for; a row that does not pass is absent below. An update that fails is sent on as a
    /// removal, because the row may have passed before; where old rows are known (a store or a grouping below needs them),
    /// only a row that did pass is removed. *Timestamps*: the update's.
    ///
    /// ```
    /// # use streams::{dsl::{Materialized, StreamsBuilder}, serde::{I64, Utf8}};
    /// # let builder = StreamsBuilder::new("app");
    /// # let stock = builder.table("stock", Materialized::<String, i64>::new("stock", Utf8, I64));
    /// let available = stock.filter(|_, quantity| *quantity > 0);
    /// ```
    #[must_use]
    pub fn filter(&self, predicate: impl Fn(&K, &V) -> bool + Send + Sync + 'static) -> KTable<K, V> {
        let predicate = Arc::new(predicate);
        let getter = FilterGetter { parent: self.getter.clone(), predicate: predicate.clone() };
        let send_old = SendOld { skips_absent: !self.versioned, ..SendOld::from(&[&self.send_old]) };
        let (send, versioned) = (send_old.clone(), self.versioned);
        self.derive("KTABLE-FILTER", Arc::new(getter), send_old, move |key, change: &Change<V>| {
            let passing = |value: &Option<V>| value.as_ref().filter(|v| predicate(key, v)).cloned();
            let old = if send.is_enabled() { passing(&change.old) } else { None };
            let new = passing(&change.new);
            // Nothing was there and nothing is; versioned tables must hear of it (KIP-914).
            let unneeded = !versioned && send.is_enabled() && new.is_none() && old.is_none();
            (!unneeded).then_some(Change { new, old, is_latest: change.is_latest })
        })
    }

    /// Keeps rows the predicate does not hold for; see [`KTable::filter`].
    ///
    /// ```
    /// # use streams::{dsl::*, serde::{I64, Utf8}, testing::TestDriver};
    /// # let builder = StreamsBuilder::new("app");
    /// # let cities = builder.table("cities", Materialized::<String, String>::new("cities", Utf8, Utf8));
    /// let elsewhere = cities.filter_not(|_, city| city == "London");
    /// # elsewhere.to_stream().to("out", Produced::with(Utf8, Utf8));
    /// # let mut driver = TestDriver::new(builder.build().unwrap(), 1);
    /// driver.pipe("cities", Some(b"ada"), Some(b"Paris"), 1);
    /// driver.pipe("cities", Some(b"ada"), Some(b"London"), 2); // the row does not pass any more: it is removed
    /// assert_eq!(driver.read_text("out"), ["ada=Paris@1", "ada=null@2"]);
    /// ```
    #[must_use]
    pub fn filter_not(&self, predicate: impl Fn(&K, &V) -> bool + Send + Sync + 'static) -> KTable<K, V> {
        self.filter(move |key, value| !predicate(key, value))
    }

    /// A new value for each row. Not stored: a join below computes it again from the row above. *Timestamps*: the update's.
    ///
    /// ```
    /// # use streams::{dsl::{Materialized, StreamsBuilder}, serde::Utf8};
    /// # let builder = StreamsBuilder::new("app");
    /// # let names = builder.table("names", Materialized::<String, String>::new("names", Utf8, Utf8));
    /// let lengths = names.map_values(|name| name.len() as i64);
    /// ```
    #[must_use]
    pub fn map_values<V2: Clone + 'static>(&self, mapper: impl Fn(&V) -> V2 + Send + Sync + 'static) -> KTable<K, V2> {
        self.map_values_with_key(move |_, value| mapper(value))
    }

    /// As [`KTable::map_values`], with the key to read.
    ///
    /// ```
    /// # use streams::{dsl::*, serde::{I64, Utf8}};
    /// # let builder = StreamsBuilder::new("app");
    /// # let cities = builder.table("cities", Materialized::<String, String>::new("cities", Utf8, Utf8));
    /// let shown = cities.map_values_with_key(|person, city| format!("{person} lives in {city}"));
    /// ```
    #[must_use]
    pub fn map_values_with_key<V2: Clone + 'static>(
        &self,
        mapper: impl Fn(&K, &V) -> V2 + Send + Sync + 'static,
    ) -> KTable<K, V2> {
        let mapper = Arc::new(mapper);
        let getter = MapValuesGetter { parent: self.getter.clone(), mapper: mapper.clone() };
        let send_old = SendOld::from(&[&self.send_old]);
        let send = send_old.clone();
        self.derive("KTABLE-MAPVALUES", Arc::new(getter), send_old, move |key, change: &Change<V>| {
            let mapped = |value: &Option<V>| value.as_ref().map(|v| mapper(key, v));
            let old = if send.is_enabled() { mapped(&change.old) } else { None };
            Some(Change { new: mapped(&change.new), old, is_latest: change.is_latest })
        })
    }

    /// An operator without state: a change in, at most one out.
    fn derive<V2: Clone + 'static>(
        &self,
        name: &str,
        getter: Arc<dyn ValueGetter<K, V2>>,
        send_old: SendOld,
        change: impl Fn(&K, &Change<V>) -> Option<Change<V2>> + Send + Sync + 'static,
    ) -> KTable<K, V2> {
        let name = self.graph.generate(name);
        let step = operator(move |cx: &mut Context<'_, K, Change<V2>>, record: Record<'_, K, Change<V>>| {
            let (Some(key), Some(value)) = (record.key, record.value) else { return Ok(()) };
            change(key, value).map_or(Ok(()), |change| cx.forward(record.with_value(Some(&change))))
        });
        let out = self.graph.below(self.out, &name, step, &[]);
        KTable { graph: self.graph.clone(), out, getter, send_old, versioned: self.versioned }
    }

    /// Keeps the rows in a store of their own: for queries, or so that joins below read instead of computing again.
    ///
    /// ```
    /// # use streams::{dsl::{Materialized, StreamsBuilder}, serde::{I64, Utf8}};
    /// # let builder = StreamsBuilder::new("app");
    /// # let stock = builder.table("stock", Materialized::<String, i64>::new("stock", Utf8, I64));
    /// stock.filter(|_, quantity| *quantity == 0).materialize(Materialized::new("sold-out", Utf8, I64));
    /// ```
    pub fn materialize(&self, materialized: Materialized<K, V>) -> KTable<K, V> {
        let store = self.graph.edit(|b| TableStore::new(b, &materialized));
        let send_old = SendOld { skips_absent: self.send_old.skips_absent, ..SendOld::default() };
        let index = store.index();
        let processor = Materialize { store: store.clone(), send_old: send_old.clone() };
        let out = self.graph.below(self.out, &materialized.name, processor, &[index]);
        cache::table(self.graph.clone(), out, materialized, store, send_old)
    }

    /// A table whose rows are in a store that its operator writes.
    pub(crate) fn stored(graph: Graph, out: Out<K, Change<V>>, store: TableStore<K, V>, send_old: SendOld) -> Self {
        let versioned = store.is_versioned();
        KTable { graph, out, getter: Arc::new(StoreGetter { store }), send_old, versioned }
    }

    /// Names the operator this table comes out of, in place of its generated name.
    ///
    /// ```
    /// # use streams::{dsl::*, serde::{I64, Utf8}};
    /// # let builder = StreamsBuilder::new("app");
    /// # let cities = builder.table("cities", Materialized::<String, String>::new("cities", Utf8, Utf8));
    /// cities.filter(|_, city| city == "Paris").named("parisians").to_stream();
    /// assert!(builder.build().unwrap().describe().contains("Processor: parisians"));
    /// ```
    #[must_use]
    pub fn named(self, name: &str) -> Self {
        self.graph.edit(|b| b.rename(self.out.node, name));
        self
    }

    /// The table's updates as a stream: each new row, and a null value for each removal. *Timestamps* are the updates'. The key
    /// counts as unchanged, so a grouping below needs no repartition topic.
    ///
    /// ```
    /// # use streams::{dsl::*, serde::{I64, Utf8}, testing::TestDriver};
    /// # let builder = StreamsBuilder::new("app");
    /// # let cities = builder.table("cities", Materialized::<String, String>::new("cities", Utf8, Utf8));
    /// cities.to_stream().to("moves", Produced::with(Utf8, Utf8));
    /// # let mut driver = TestDriver::new(builder.build().unwrap(), 1);
    /// driver.pipe("cities", Some(b"ada"), Some(b"Paris"), 1);
    /// driver.pipe("cities", Some(b"ada"), None, 2);
    /// assert_eq!(driver.read_text("moves"), ["ada=Paris@1", "ada=null@2"]);
    /// ```
    #[must_use]
    pub fn to_stream(&self) -> KStream<K, V> {
        let name = self.graph.generate("KTABLE-TOSTREAM");
        let step = operator(|cx: &mut Context<'_, K, V>, record: Record<'_, K, Change<V>>| {
            cx.forward(record.with_value(record.value.and_then(|change| change.new.as_ref())))
        });
        let out = self.graph.below(self.out, &name, step, &[]);
        KStream::new(self.graph.clone(), out, None)
    }

    /// The table's updates as a stream of changes. Old rows are in them if something asked for them:
    /// [`KTable::with_old_values`], or an operator below this table.
    ///
    /// ```
    /// # use streams::{dsl::*, serde::{I64, Utf8}, testing::TestDriver};
    /// # let builder = StreamsBuilder::new("app");
    /// # let cities = builder.table("cities", Materialized::<String, String>::new("cities", Utf8, Utf8));
    /// let moves = cities.with_old_values().to_changes().map_values(|change| format!("{:?} to {:?}", change.old, change.new));
    /// # moves.to("out", Produced::with(Utf8, Utf8));
    /// # let mut driver = TestDriver::new(builder.build().unwrap(), 1);
    /// driver.pipe("cities", Some(b"ada"), Some(b"London"), 1);
    /// driver.pipe("cities", Some(b"ada"), Some(b"Paris"), 2);
    /// assert_eq!(driver.read_text("out"), [
    ///     "ada=None to Some(\"London\")@1",
    ///     "ada=Some(\"London\") to Some(\"Paris\")@2",
    /// ]);
    /// ```
    #[must_use]
    pub fn to_changes(&self) -> KStream<K, Change<V>> {
        KStream::new(self.graph.clone(), self.out, None)
    }

    /// Makes the operators up to the next store send old rows along.
    #[must_use]
    pub fn with_old_values(self) -> Self {
        self.send_old.enable();
        self
    }

    /// Groups rows by a new key and value, to be aggregated with an adder and a subtractor: a row that changes its group
    /// leaves the old one and enters the new one. Goes through a repartition topic, in which a row that stays in its group
    /// is one record with new and old value (KIP-904), so that no result in between is seen. `None` leaves the row out of
    /// every group.
    ///
    /// ```
    /// # use streams::{dsl::{Grouped, Materialized, StreamsBuilder}, serde::{I64, Utf8}};
    /// # let builder = StreamsBuilder::new("app");
    /// # let city = builder.table("customers", Materialized::<String, String>::new("customers", Utf8, Utf8));
    /// let by_city = city.group_by(|id, city| Some((city.clone(), id.clone())), Grouped::new("by-city", Utf8, Utf8));
    /// let population = by_city.count(Materialized::new("population", Utf8, I64));
    /// ```
    #[must_use]
    pub fn group_by<K2: PartialEq + 'static, V2: Clone + 'static>(
        &self,
        selector: impl Fn(&K, &V) -> Option<(K2, V2)> + Send + Sync + 'static,
        grouped: Grouped<K2, V2>,
    ) -> KGroupedTable<K2, V2> {
        KGroupedTable::new(self, selector, grouped)
    }

    /// The stores a processor must be connected to in order to read this table's rows.
    pub(crate) fn stores(&self) -> Vec<StoreIndex> {
        let mut stores = Vec::new();
        self.getter.stores(&mut |store| {
            if !stores.contains(&store) {
                stores.push(store);
            }
        });
        stores
    }
}

/// A table fed by a stream of rows.
pub(crate) fn source<K: 'static, V: Clone + 'static>(
    graph: Graph,
    parent: Out<K, V>,
    materialized: Materialized<K, V>,
) -> KTable<K, V> {
    let store = graph.edit(|b| TableStore::new(b, &materialized));
    source_into(graph, parent, materialized, store)
}

/// As [`source`], into a store that is there already.
pub(crate) fn source_into<K: 'static, V: Clone + 'static>(
    graph: Graph,
    parent: Out<K, V>,
    materialized: Materialized<K, V>,
    store: TableStore<K, V>,
) -> KTable<K, V> {
    let send_old = SendOld::default();
    let processor = Source { store: store.clone(), send_old: send_old.clone() };
    let out = graph.below(parent, &materialized.name, processor, &[store.index()]);
    cache::table(graph, out, materialized, store, send_old)
}

/// `KTableSource`.
struct Source<K, V> {
    store: TableStore<K, V>,
    send_old: SendOld,
}

impl<K: 'static, V: Clone + 'static> Processor for Source<K, V> {
    type KeyIn = K;
    type ValueIn = V;
    type KeyOut = K;
    type ValueOut = Change<V>;

    fn process(&self, cx: &mut Context<'_, K, Change<V>>, record: Record<'_, K, V>) -> Result<(), ProcessError> {
        let Some(key) = record.key else {
            cx.record_dropped();
            return Ok(());
        };
        let old = self.store.old(cx, key, &self.send_old)?;
        match self.store.put(cx, key, record.value, record.timestamp)? {
            Put::Not => Ok(()),
            put => {
                let change = Change { new: record.value.cloned(), old, is_latest: put == Put::Latest };
                cx.forward(record.with_value(Some(&change)))
            }
        }
    }
}

/// Writes what an operator above computed.
struct Materialize<K, V> {
    store: TableStore<K, V>,
    send_old: SendOld,
}

impl<K: 'static, V: Clone + 'static> Processor for Materialize<K, V> {
    type KeyIn = K;
    type ValueIn = Change<V>;
    type KeyOut = K;
    type ValueOut = Change<V>;

    fn process(
        &self,
        cx: &mut Context<'_, K, Change<V>>,
        record: Record<'_, K, Change<V>>,
    ) -> Result<(), ProcessError> {
        let (Some(key), Some(change)) = (record.key, record.value) else { return Ok(()) };
        let old = self.store.old(cx, key, &self.send_old)?;
        let unneeded =
            self.send_old.skips_absent && self.send_old.is_enabled() && old.is_none() && change.new.is_none();
        if unneeded {
            return Ok(());
        }
        match self.store.put(cx, key, change.new.as_ref(), record.timestamp)? {
            Put::Not => Ok(()),
            put => {
                let change = Change { new: change.new.clone(), old, is_latest: put == Put::Latest };
                cx.forward(record.with_value(Some(&change)))
            }
        }
    }
}
