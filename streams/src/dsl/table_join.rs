//! Table-table joins by primary key (Kafka Streams: `KTableKTable{Inner,Left,Right,Outer}Join`, `KTableKTableJoinMerger`).

use std::sync::Arc;

use crate::dsl::getter::{Row, ValueGetter};
use crate::dsl::graph::operator;
use crate::dsl::table::{Change, KTable, SendOld};
use crate::error::ProcessError;
use crate::processor::{Context, Processor};
use crate::record::Record;
use crate::task::TaskState;
use crate::topology::{In, StoreIndex};
use crate::types::Timestamp;

/// Joins what is there of both sides; `None` when that is not enough for the kind of join.
type Join<L, R, V> = dyn Fn(Option<&L>, Option<&R>) -> Option<V> + Send + Sync;

/// Which sides must be there for a row.
#[derive(Clone, Copy)]
struct Needs {
    left: bool,
    right: bool,
}

impl<K: 'static, L: Clone + 'static> KTable<K, L> {
    /// The rows of both tables with one key, where both have one.
    ///
    /// *Triggers*: updates of both sides, each joined with the current row of the other. *Timestamp*: the larger of the
    /// update's and the other row's. *Versioned*: an update that is not the latest of a versioned side is dropped and
    /// counted; the result is not versioned. A table that feeds both sides gives two results per update.
    ///
    /// ```
    /// # use streams::{dsl::{Materialized, StreamsBuilder}, serde::{I64, Utf8}};
    /// # let builder = StreamsBuilder::new("app");
    /// let names = builder.table("names", Materialized::<String, String>::new("names", Utf8, Utf8));
    /// let ages = builder.table("ages", Materialized::<String, i64>::new("ages", Utf8, I64));
    /// let people = names.join(&ages, |name, age| format!("{name}, {age}"));
    /// ```
    #[must_use]
    pub fn join<R: Clone + 'static, V: Clone + 'static>(
        &self,
        other: &KTable<K, R>,
        joiner: impl Fn(&L, &R) -> V + Send + Sync + 'static,
    ) -> KTable<K, V> {
        let join = move |left: Option<&L>, right: Option<&R>| Some(joiner(left?, right?));
        self.join_tables(other, Arc::new(join), Needs { left: true, right: true })
    }

    /// As [`KTable::join`], also with the rows of this table that have none in the other.
    ///
    /// ```
    /// # use streams::{dsl::*, serde::{I64, Utf8}, testing::TestDriver};
    /// # let builder = StreamsBuilder::new("app");
    /// # let names = builder.table("names", Materialized::<String, String>::new("names", Utf8, Utf8));
    /// # let cities = builder.table("cities", Materialized::<String, String>::new("cities", Utf8, Utf8));
    /// let people = names.left_join(&cities, |name, city| format!("{name} in {}", city.map_or("?", String::as_str)));
    /// # people.to_stream().to("out", Produced::with(Utf8, Utf8));
    /// # let mut driver = TestDriver::new(builder.build().unwrap(), 1);
    /// driver.pipe("names", Some(b"1"), Some(b"Ada"), 5);
    /// driver.pipe("cities", Some(b"1"), Some(b"Paris"), 3);
    /// driver.pipe("names", Some(b"1"), None, 6);
    /// assert_eq!(driver.read_text("out"), ["1=Ada in ?@5", "1=Ada in Paris@5", "1=null@6"]);
    /// ```
    #[must_use]
    pub fn left_join<R: Clone + 'static, V: Clone + 'static>(
        &self,
        other: &KTable<K, R>,
        joiner: impl Fn(&L, Option<&R>) -> V + Send + Sync + 'static,
    ) -> KTable<K, V> {
        self.send_old.enable();
        let join = move |left: Option<&L>, right: Option<&R>| Some(joiner(left?, right));
        self.join_tables(other, Arc::new(join), Needs { left: true, right: false })
    }

    /// As [`KTable::join`], also with the rows that only one table has. The joiner gets at least one.
    ///
    /// ```
    /// # use streams::{dsl::*, serde::{I64, Utf8}, testing::TestDriver};
    /// # let builder = StreamsBuilder::new("app");
    /// # let names = builder.table("names", Materialized::<String, String>::new("names", Utf8, Utf8));
    /// # let cities = builder.table("cities", Materialized::<String, String>::new("cities", Utf8, Utf8));
    /// let known = names.outer_join(&cities, |name, city| format!("{name:?} {city:?}"));
    /// # known.to_stream().to("out", Produced::with(Utf8, Utf8));
    /// # let mut driver = TestDriver::new(builder.build().unwrap(), 1);
    /// driver.pipe("cities", Some(b"1"), Some(b"Paris"), 3);
    /// driver.pipe("names", Some(b"1"), Some(b"Ada"), 5);
    /// driver.pipe("cities", Some(b"1"), None, 7);
    /// assert_eq!(driver.read_text("out"), [
    ///     "1=None Some(\"Paris\")@3",
    ///     "1=Some(\"Ada\") Some(\"Paris\")@5",
    ///     "1=Some(\"Ada\") None@7",
    /// ]);
    /// ```
    #[must_use]
    pub fn outer_join<R: Clone + 'static, V: Clone + 'static>(
        &self,
        other: &KTable<K, R>,
        joiner: impl Fn(Option<&L>, Option<&R>) -> V + Send + Sync + 'static,
    ) -> KTable<K, V> {
        self.send_old.enable();
        other.send_old.enable();
        let join =
            move |left: Option<&L>, right: Option<&R>| (left.is_some() || right.is_some()).then(|| joiner(left, right));
        self.join_tables(other, Arc::new(join), Needs { left: false, right: false })
    }

    fn join_tables<R: Clone + 'static, V: Clone + 'static>(
        &self,
        other: &KTable<K, R>,
        join: Arc<Join<L, R, V>>,
        needs: Needs,
    ) -> KTable<K, V> {
        let graph = self.graph.clone();
        let send_old = SendOld::from(&[&self.send_old, &other.send_old]);
        let (this_name, other_name) = (graph.generate("KTABLE-JOINTHIS"), graph.generate("KTABLE-JOINOTHER"));
        let forward = join.clone();
        let this_side = Side {
            other: other.getter.clone(),
            join: move |this: Option<&L>, other: Option<&R>| forward(this, other),
            needs_other: needs.right,
            versioned: self.versioned,
            send_old: send_old.clone(),
            types: std::marker::PhantomData,
        };
        let reverse = join.clone();
        let other_side = Side {
            other: self.getter.clone(),
            join: move |this: Option<&R>, other: Option<&L>| reverse(other, this),
            needs_other: needs.left,
            versioned: other.versioned,
            send_old: send_old.clone(),
            types: std::marker::PhantomData,
        };
        let from_this = graph.below(self.out, &this_name, this_side, &other.stores());
        let from_other = graph.below(other.out, &other_name, other_side, &self.stores());
        let merge = graph.generate("KTABLE-MERGE");
        let pass = operator(|cx: &mut Context<'_, K, Change<V>>, record: Record<'_, K, Change<V>>| cx.forward(record));
        let out = graph.below(from_this, &merge, pass, &[]);
        graph.edit(|b| b.connect(from_other, In::of(out.node)));
        let getter = JoinGetter { left: self.getter.clone(), right: other.getter.clone(), join };
        // The result of a join is not versioned, whatever its inputs are (KIP-914).
        KTable { graph, out, getter: Arc::new(getter), send_old, versioned: false }
    }
}

/// Updates of one side, joined with the current row of the other.
struct Side<K, A, B, V, F> {
    other: Arc<dyn ValueGetter<K, B>>,
    join: F,
    /// Without a row on the other side there is no result, and there was none.
    needs_other: bool,
    versioned: bool,
    send_old: SendOld,
    types: std::marker::PhantomData<fn(&K, &A, &B) -> V>,
}

impl<K, A, B, V, F> Processor for Side<K, A, B, V, F>
where
    K: 'static,
    A: 'static,
    B: 'static,
    V: 'static,
    F: Fn(Option<&A>, Option<&B>) -> Option<V> + Send + Sync + 'static,
{
    type KeyIn = K;
    type ValueIn = Change<A>;
    type KeyOut = K;
    type ValueOut = Change<V>;

    fn process(
        &self,
        cx: &mut Context<'_, K, Change<V>>,
        record: Record<'_, K, Change<A>>,
    ) -> Result<(), ProcessError> {
        let (Some(key), Some(change)) = (record.key, record.value) else {
            cx.record_dropped();
            return Ok(());
        };
        if self.versioned && !change.is_latest {
            cx.record_dropped();
            return Ok(());
        }
        let row = self.other.get(cx.cx.task, key)?;
        if row.is_none() && (self.needs_other || (change.new.is_none() && change.old.is_none())) {
            return Ok(());
        }
        let timestamp = row.as_ref().map_or(record.timestamp, |(_, at)| record.timestamp.max(*at));
        let other = row.as_ref().map(|(row, _)| row);
        let new = (self.join)(change.new.as_ref(), other);
        let old = if self.send_old.is_enabled() { (self.join)(change.old.as_ref(), other) } else { None };
        let change = Change { new, old, is_latest: change.is_latest };
        cx.forward(Record { key: record.key, value: Some(&change), timestamp, headers: record.headers })
    }
}

/// The joined row, computed from both sides' rows.
struct JoinGetter<K, L, R, V> {
    left: Arc<dyn ValueGetter<K, L>>,
    right: Arc<dyn ValueGetter<K, R>>,
    join: Arc<Join<L, R, V>>,
}

impl<K, L, R, V> JoinGetter<K, L, R, V> {
    fn joined(&self, left: Row<L>, right: Row<R>) -> Row<V> {
        let at = left.as_ref().map(|(_, at)| *at).max(right.as_ref().map(|(_, at)| *at))?;
        (self.join)(left.as_ref().map(|(l, _)| l), right.as_ref().map(|(r, _)| r)).map(|value| (value, at))
    }
}

impl<K, L, R, V> ValueGetter<K, V> for JoinGetter<K, L, R, V> {
    fn get(&self, task: &mut TaskState, key: &K) -> Result<Row<V>, ProcessError> {
        let left = self.left.get(task, key)?;
        Ok(self.joined(left, self.right.get(task, key)?))
    }
    fn get_as_of(&self, task: &mut TaskState, key: &K, as_of: Timestamp) -> Result<Row<V>, ProcessError> {
        let left = self.left.get_as_of(task, key, as_of)?;
        Ok(self.joined(left, self.right.get_as_of(task, key, as_of)?))
    }
    fn stores(&self, add: &mut dyn FnMut(StoreIndex)) {
        self.left.stores(add);
        self.right.stores(add);
    }
}
