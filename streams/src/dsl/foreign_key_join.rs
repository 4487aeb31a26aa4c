//! Foreign-key joins of tables (KIP-213, KIP-775, KIP-962): the left row subscribes to the right row it points at.
//!
//! Left rows lie by their own key, right rows by theirs, so the join travels: a left update sends a *subscription*, keyed by
//! the foreign key, through `<name>-subscription-registration-repartition` to the right row's task, which keeps it in
//! `<name>-subscription-store`. It answers, now and at every change of the right row, with a *response*, keyed by the left
//! key, through `<name>-subscription-response-repartition`. A response carries the hash of the left value it was asked for;
//! when the left row has changed since, the response is stale and dropped: the one to the newer subscription follows.

use std::ops::{Bound, ControlFlow};
use std::sync::Arc;

use state::layout::push_delimited;
use state::{Direction, Range};

use crate::dsl::foreign_key_wire::{Instruction, Response, ResponseSerde, Subscription, SubscriptionSerde, hash};
use crate::dsl::getter::ValueGetter;
use crate::dsl::options::Materialized;
use crate::dsl::table::{self, Change, KTable};
use crate::dsl::table_store::TableStore;
use crate::error::ProcessError;
use crate::processor::{Context, Processor};
use crate::record::Record;
use crate::serde::{Bytes, Serde, SerdeError};
use crate::store::{KeyValue, KeyValueStore, StoreHandle};

/// Subscriptions read at a time when a right row changes.
const SUBSCRIBERS_PER_PAGE: usize = 256;

/// Name and formats of a foreign-key join. The name is that of its two topics and its store.
pub struct TableJoined<K, V, K2, V2> {
    name: Arc<str>,
    key: Arc<dyn Serde<K>>,
    value: Arc<dyn Serde<V>>,
    other_key: Arc<dyn Serde<K2>>,
    other_value: Arc<dyn Serde<V2>>,
}

impl<K: 'static, V: 'static, K2: 'static, V2: 'static> TableJoined<K, V, K2, V2> {
    /// Formats of the left table's key and value and of the right table's.
    pub fn new(
        name: &str,
        key: impl Serde<K>,
        value: impl Serde<V>,
        other_key: impl Serde<K2>,
        other_value: impl Serde<V2>,
    ) -> Self {
        TableJoined {
            name: name.into(),
            key: Arc::new(key),
            value: Arc::new(value),
            other_key: Arc::new(other_key),
            other_value: Arc::new(other_value),
        }
    }
}

impl<K: 'static, V: Clone + 'static> KTable<K, V> {
    /// The rows of this table with the row of the other table each points at, by the key that `foreign_key` finds in it
    /// (`None`: it points at none). Many rows may point at one.
    ///
    /// *Triggers*: updates of both sides. *Timestamp*: the larger of the two rows'. *Null foreign keys* are dropped and
    /// counted; a row that had a result loses it. *Removals*: when a left row goes, or starts to point at a row that is not
    /// there, a removal is sent even if there was no result, because nobody knows. *Versioned*: an update that is not the
    /// latest of a versioned side is dropped and counted.
    ///
    /// ```
    /// # use streams::{dsl::{Materialized, StreamsBuilder, TableJoined}, serde::Utf8};
    /// # let builder = StreamsBuilder::new("app");
    /// let albums = builder.table("albums", Materialized::<String, String>::new("albums", Utf8, Utf8));
    /// let artists = builder.table("artists", Materialized::<String, String>::new("artists", Utf8, Utf8));
    /// let credited = albums.join_on_foreign_key(
    ///     &artists,
    ///     |_album, title_and_artist| title_and_artist.split_once('|').map(|(_, artist)| artist.to_owned()),
    ///     |album, artist| format!("{album} by {artist}"),
    ///     TableJoined::new("credits", Utf8, Utf8, Utf8, Utf8),
    ///     Materialized::new("credited-albums", Utf8, Utf8),
    /// );
    /// ```
    pub fn join_on_foreign_key<K2: 'static, V2: Clone + 'static, R: Clone + 'static>(
        &self,
        other: &KTable<K2, V2>,
        foreign_key: impl Fn(&K, &V) -> Option<K2> + Send + Sync + 'static,
        joiner: impl Fn(&V, &V2) -> R + Send + Sync + 'static,
        joined: TableJoined<K, V, K2, V2>,
        materialized: Materialized<K, R>,
    ) -> KTable<K, R> {
        let join = move |value: &V, other: Option<&V2>| other.map(|other| joiner(value, other));
        self.join_foreign(other, foreign_key, join, false, joined, materialized)
    }

    /// As [`KTable::join_on_foreign_key`]; a row that points at nothing is joined with none.
    ///
    /// ```
    /// # use streams::{dsl::*, serde::{I64, Utf8}, testing::TestDriver};
    /// # let builder = StreamsBuilder::new("app");
    /// # let albums = builder.table("albums", Materialized::<String, String>::new("albums", Utf8, Utf8));
    /// # let artists = builder.table("artists", Materialized::<String, String>::new("artists", Utf8, Utf8));
    /// // An album is `title|artist`.
    /// let credited = albums.left_join_on_foreign_key(
    ///     &artists,
    ///     |_album, album| album.split_once('|').map(|(_, artist)| artist.to_owned()),
    ///     |album, artist| format!("{album}: {}", artist.map_or("unknown", String::as_str)),
    ///     TableJoined::new("credits", Utf8, Utf8, Utf8, Utf8),
    ///     Materialized::new("credited", Utf8, Utf8),
    /// );
    /// # credited.to_stream().to("out", Produced::with(Utf8, Utf8));
    /// # let mut driver = TestDriver::new(builder.build().unwrap(), 1);
    /// driver.pipe("albums", Some(b"1"), Some(b"Blue|jm"), 1);
    /// driver.pipe("artists", Some(b"jm"), Some(b"Joni Mitchell"), 2); // every album that points at it has a new result
    /// assert_eq!(driver.read_text("out"), ["1=Blue|jm: unknown@1", "1=Blue|jm: Joni Mitchell@2"]);
    /// ```
    pub fn left_join_on_foreign_key<K2: 'static, V2: Clone + 'static, R: Clone + 'static>(
        &self,
        other: &KTable<K2, V2>,
        foreign_key: impl Fn(&K, &V) -> Option<K2> + Send + Sync + 'static,
        joiner: impl Fn(&V, Option<&V2>) -> R + Send + Sync + 'static,
        joined: TableJoined<K, V, K2, V2>,
        materialized: Materialized<K, R>,
    ) -> KTable<K, R> {
        let join = move |value: &V, other: Option<&V2>| Some(joiner(value, other));
        self.join_foreign(other, foreign_key, join, true, joined, materialized)
    }

    fn join_foreign<K2: 'static, V2: Clone + 'static, R: Clone + 'static>(
        &self,
        other: &KTable<K2, V2>,
        foreign_key: impl Fn(&K, &V) -> Option<K2> + Send + Sync + 'static,
        join: impl Fn(&V, Option<&V2>) -> Option<R> + Send + Sync + 'static,
        left_join: bool,
        joined: TableJoined<K, V, K2, V2>,
        materialized: Materialized<K, R>,
    ) -> KTable<K, R> {
        // Old left rows tell which subscription to end.
        self.send_old.enable();
        let graph = self.graph.clone();
        let node = |part: &str| format!("{}-subscription-{part}", joined.name);

        let results = graph.edit(|b| TableStore::new(b, &materialized));
        let subscribe = Subscribe {
            results: results.clone(),
            foreign_key,
            left_join,
            versioned: self.versioned,
            key: joined.key.clone(),
            value: joined.value.clone(),
            other_key: joined.other_key.clone(),
        };
        let sent = graph.below(self.out, &node("registration-processor"), subscribe, &[results.index()]);
        let received = graph.edit(|b| {
            let (input, out) =
                b.repartition_by(&node("registration"), joined.other_key.clone(), SubscriptionSerde, None, None);
            b.connect(sent, input);
            out
        });

        let store = graph.edit(|b| b.store(&node("store"), KeyValue::new(Bytes, SubscriptionSerde)));
        let index = store.index();
        let subscriptions = Subscriptions { store, other_key: joined.other_key.clone() };
        let mut stores = other.stores();
        stores.push(index);
        let receive =
            Receive { subscriptions: subscriptions.clone(), key: joined.key.clone(), rows: other.getter.clone() };
        let answered = graph.below(received, &node("receive"), receive, &stores);
        let notify = Notify {
            subscriptions,
            key: joined.key.clone(),
            versioned: other.versioned,
            types: std::marker::PhantomData,
        };
        let notified = graph.below(other.out, &node("notify"), notify, &[index]);

        let wire: Arc<dyn Serde<Response<V2>>> = Arc::new(ResponseSerde { value: joined.other_value });
        // A response goes back to the partition the subscription came from, however that was chosen.
        let home = Arc::new(|_: Option<&K>, response: Option<&Response<V2>>, partitions: u32| {
            response.map_or(0, |r| r.primary_partition).min(partitions.saturating_sub(1))
        });
        let responses = graph.edit(|b| {
            let (input, out) = b.repartition_by(&node("response"), joined.key.clone(), wire, None, Some(home));
            b.connect(answered, input);
            b.connect(notified, input);
            out
        });
        let resolve = Resolve { rows: self.getter.clone(), value: joined.value, join, types: std::marker::PhantomData };
        let resolved = graph.below(responses, &node("response-resolver"), resolve, &self.stores());
        table::source_into(graph, resolved, materialized, results)
    }
}

/// The subscriptions of a partition of the right table. Keys are `foreign key, delimited · left key`, so that all of one
/// right row lie together.
struct Subscriptions<K2> {
    store: KeyValueStore<Vec<u8>, Subscription>,
    other_key: Arc<dyn Serde<K2>>,
}

impl<K2> Clone for Subscriptions<K2> {
    fn clone(&self) -> Self {
        Subscriptions { store: self.store.clone(), other_key: self.other_key.clone() }
    }
}

impl<K2: 'static> Subscriptions<K2> {
    fn prefix(&self, foreign_key: &K2) -> Result<Vec<u8>, SerdeError> {
        let mut part = Vec::new();
        self.other_key.serialize(foreign_key, &mut part)?;
        let mut bytes = Vec::with_capacity(part.len() + 2);
        push_delimited(&part, &mut bytes);
        Ok(bytes)
    }
}

/// `SubscriptionSendProcessorSupplier`: what a change of a left row means for its subscription.
struct Subscribe<K, V, K2, R, F> {
    /// The joined rows as they are: whether there is one to take back.
    results: TableStore<K, R>,
    foreign_key: F,
    left_join: bool,
    versioned: bool,
    key: Arc<dyn Serde<K>>,
    value: Arc<dyn Serde<V>>,
    other_key: Arc<dyn Serde<K2>>,
}

impl<K: 'static, V: 'static, K2: 'static, R: 'static, F> Subscribe<K, V, K2, R, F> {
    fn are_equal(&self, a: &K2, b: &K2) -> Result<bool, SerdeError> {
        let (mut left, mut right) = (Vec::new(), Vec::new());
        self.other_key.serialize(a, &mut left)?;
        self.other_key.serialize(b, &mut right)?;
        Ok(left == right)
    }
}

impl<K, V, K2, R, F> Processor for Subscribe<K, V, K2, R, F>
where
    K: 'static,
    V: 'static,
    K2: 'static,
    R: 'static,
    F: Fn(&K, &V) -> Option<K2> + Send + Sync + 'static,
{
    type KeyIn = K;
    type ValueIn = Change<V>;
    type KeyOut = K2;
    type ValueOut = Subscription;

    fn process(
        &self,
        cx: &mut Context<'_, K2, Subscription>,
        record: Record<'_, K, Change<V>>,
    ) -> Result<(), ProcessError> {
        use Instruction::{DeleteKeyAndPropagate, DeleteKeyNoPropagate, PropagateNullIfNone, PropagateOnlyIfPresent};
        let (Some(key), Some(change)) = (record.key, record.value) else { return Ok(()) };
        if self.versioned && !change.is_latest {
            cx.record_dropped();
            return Ok(());
        }
        if change.new.is_none() && change.old.is_none() {
            return Ok(());
        }
        let extract = |value: &Option<V>| value.as_ref().and_then(|value| (self.foreign_key)(key, value));
        let (old, new) = (extract(&change.old), extract(&change.new));
        let moved = match (&old, &new) {
            (Some(old), Some(new)) => !self.are_equal(old, new)?,
            _ => true,
        };
        let hash = change.new.as_ref().map(|value| hash(&*self.value, value)).transpose()?;
        let mut primary_key = Vec::new();
        self.key.serialize(key, &mut primary_key)?;
        let primary_partition = cx.task_id().partition;
        let has_result = self.results.get(cx, key)?.is_some();
        let mut send = |foreign_key: Option<&K2>, instruction| {
            let primary_key = primary_key.clone();
            let subscription = Subscription { hash, instruction, primary_partition, primary_key };
            let (timestamp, headers) = (record.timestamp, record.headers);
            cx.forward(Record { key: foreign_key, value: Some(&subscription), timestamp, headers })
        };
        if self.left_join {
            // The old subscription ends without a word. The new one is always answered, under a null key too, because a
            // left join always has a result to set or to remove.
            if let Some(old) = old.as_ref().filter(|_| moved) {
                send(Some(old), DeleteKeyNoPropagate)?;
            }
            return send(new.as_ref(), PropagateNullIfNone);
        }
        match (&old, &new) {
            // Elsewhere: the new subscription is answered in any case, to replace the result there may have been.
            (Some(old), Some(new)) if moved => {
                send(Some(old), DeleteKeyNoPropagate)?;
                send(Some(new), PropagateNullIfNone)
            }
            // New, or where it was. A result that is there and has no right row any more is one whose removal is still on
            // its way and will be stale when it comes: this answer takes its place. (Kafka Streams 4.3 sends
            // PROPAGATE_ONLY_IF_FK_VAL_AVAILABLE in any case, and may keep such a result for ever.)
            (_, Some(new)) => send(Some(new), if has_result { PropagateNullIfNone } else { PropagateOnlyIfPresent }),
            // Gone, or pointing nowhere now: the result there may have been goes too.
            (Some(old), None) => {
                send(Some(old), DeleteKeyAndPropagate)?;
                if change.new.is_some() {
                    cx.record_dropped();
                }
                Ok(())
            }
            (None, None) => {
                if has_result {
                    send(None, PropagateNullIfNone)?;
                }
                if change.new.is_some() {
                    cx.record_dropped();
                }
                Ok(())
            }
        }
    }
}

/// `SubscriptionReceiveProcessorSupplier` and `SubscriptionJoinProcessorSupplier`: keeps or ends a subscription, and
/// answers it with the right row as it is.
struct Receive<K, K2, V2> {
    subscriptions: Subscriptions<K2>,
    key: Arc<dyn Serde<K>>,
    rows: Arc<dyn ValueGetter<K2, V2>>,
}

impl<K: 'static, K2: 'static, V2: 'static> Processor for Receive<K, K2, V2> {
    type KeyIn = K2;
    type ValueIn = Subscription;
    type KeyOut = K;
    type ValueOut = Response<V2>;

    fn process(
        &self,
        cx: &mut Context<'_, K, Response<V2>>,
        record: Record<'_, K2, Subscription>,
    ) -> Result<(), ProcessError> {
        use Instruction::{DeleteKeyAndPropagate, DeleteKeyNoPropagate, PropagateNullIfNone, PropagateOnlyIfPresent};
        let Some(subscription) = record.value else { return Ok(()) };
        let instruction = subscription.instruction;
        let row = match record.key {
            None if instruction == PropagateNullIfNone => None,
            None => {
                cx.record_dropped();
                return Ok(());
            }
            Some(foreign_key) => {
                let mut combined = self.subscriptions.prefix(foreign_key)?;
                combined.extend_from_slice(&subscription.primary_key);
                match instruction {
                    DeleteKeyAndPropagate | DeleteKeyNoPropagate => self.subscriptions.store.delete(cx, &combined)?,
                    PropagateNullIfNone | PropagateOnlyIfPresent => {
                        self.subscriptions.store.put_at(cx, &combined, subscription, record.timestamp)?;
                    }
                }
                self.rows.get(cx.cx.task, foreign_key)?
            }
        };
        let timestamp = row.as_ref().map_or(record.timestamp, |(_, at)| record.timestamp.max(*at));
        let row = row.map(|(row, _)| row);
        let value = match (instruction, row) {
            (DeleteKeyNoPropagate, _) | (PropagateOnlyIfPresent, None) => return Ok(()),
            (DeleteKeyAndPropagate, _) => None,
            (PropagateNullIfNone | PropagateOnlyIfPresent, row) => row,
        };
        let key = self.key.deserialize(&subscription.primary_key)?;
        let response = Response { hash: subscription.hash, primary_partition: subscription.primary_partition, value };
        cx.forward(Record { key: Some(&key), value: Some(&response), timestamp, headers: record.headers })
    }
}

/// `ForeignTableJoinProcessorSupplier`: answers every subscription to a right row that changed.
struct Notify<K, K2, V2> {
    subscriptions: Subscriptions<K2>,
    key: Arc<dyn Serde<K>>,
    versioned: bool,
    types: std::marker::PhantomData<fn(&V2)>,
}

impl<K: 'static, K2: 'static, V2: Clone + 'static> Processor for Notify<K, K2, V2> {
    type KeyIn = K2;
    type ValueIn = Change<V2>;
    type KeyOut = K;
    type ValueOut = Response<V2>;

    fn process(
        &self,
        cx: &mut Context<'_, K, Response<V2>>,
        record: Record<'_, K2, Change<V2>>,
    ) -> Result<(), ProcessError> {
        let (Some(foreign_key), Some(change)) = (record.key, record.value) else { return Ok(()) };
        if self.versioned && !change.is_latest {
            cx.record_dropped();
            return Ok(());
        }
        // In pages: a popular right row has many subscribers.
        let prefix = self.subscriptions.prefix(foreign_key)?;
        let range = Range::prefix(&prefix);
        let mut after: Option<Vec<u8>> = None;
        loop {
            let mut page: Vec<(Vec<u8>, Subscription)> = Vec::new();
            let from = after.as_deref().map_or(range.as_range().from, Bound::Excluded);
            let rest = Range { from, to: range.as_range().to };
            self.subscriptions.store.scan(cx, rest, Direction::Forward, &mut |combined, subscription, _| {
                page.push((combined, subscription));
                if page.len() < SUBSCRIBERS_PER_PAGE { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
            })?;
            for (_, subscription) in &page {
                let key = self.key.deserialize(&subscription.primary_key)?;
                let (hash, primary_partition) = (subscription.hash, subscription.primary_partition);
                let response = Response { hash, primary_partition, value: change.new.clone() };
                let (timestamp, headers) = (record.timestamp, record.headers);
                cx.forward(Record { key: Some(&key), value: Some(&response), timestamp, headers })?;
            }
            if page.len() < SUBSCRIBERS_PER_PAGE {
                return Ok(());
            }
            after = page.pop().map(|(combined, _)| combined);
        }
    }
}

/// `ResponseJoinProcessorSupplier`: joins a response with the left row, if it is still the one the response is for.
struct Resolve<K, V, V2, R, F> {
    rows: Arc<dyn ValueGetter<K, V>>,
    value: Arc<dyn Serde<V>>,
    join: F,
    types: std::marker::PhantomData<fn(&V2) -> R>,
}

impl<K, V, V2, R, F> Processor for Resolve<K, V, V2, R, F>
where
    K: 'static,
    V: 'static,
    V2: 'static,
    R: 'static,
    F: Fn(&V, Option<&V2>) -> Option<R> + Send + Sync + 'static,
{
    type KeyIn = K;
    type ValueIn = Response<V2>;
    type KeyOut = K;
    type ValueOut = R;

    fn process(&self, cx: &mut Context<'_, K, R>, record: Record<'_, K, Response<V2>>) -> Result<(), ProcessError> {
        let (Some(key), Some(response)) = (record.key, record.value) else { return Ok(()) };
        let row = self.rows.get(cx.cx.task, key)?.map(|(row, _)| row);
        let current = row.as_ref().map(|row| hash(&*self.value, row)).transpose()?;
        if current != response.hash {
            cx.record_dropped();
            return Ok(());
        }
        let result = row.as_ref().and_then(|row| (self.join)(row, response.value.as_ref()));
        cx.forward(record.with_value(result.as_ref()))
    }
}
