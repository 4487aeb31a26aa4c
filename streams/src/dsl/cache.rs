//! Caching a table's updates between two commits (Kafka Streams' record cache, KIP-63): of each row only the last goes on.
//!
//! There is no cache beside the store. What was changed since the last commit is in the task's overlay, what was committed
//! below it; the difference of the two is what has to be sent on.

use std::sync::Arc;

use crate::dsl::graph::Graph;
use crate::dsl::options::Materialized;
use crate::dsl::table::{Change, KTable, SendOld};
use crate::dsl::table_store::TableStore;
use crate::error::ProcessError;
use crate::processor::{Context, Processor};
use crate::record::{Headers, Record};
use crate::serde::{Serde, SerdeError};
use crate::store::slot;
use crate::topology::{Clock, Out, StoreIndex};
use crate::types::Timestamp;

/// Reads a store's key bytes; with true for a row that was removed. `None` for one that is not to be told of.
type ReadKey<K> = Box<dyn Fn(&[u8], bool) -> Result<Option<K>, SerdeError> + Send + Sync>;

/// Holds a table's updates back until the commit.
pub(crate) struct Cache<K, V> {
    name: Arc<str>,
    store: StoreIndex,
    read_key: ReadKey<K>,
    value: Arc<dyn Serde<V>>,
    send_old: SendOld,
    /// Where windows expire: up to which stream time of the store everything was sent on.
    flushed: Option<Clock>,
}

/// Puts a cache below the operator that writes a store.
pub(crate) fn cached<K: 'static, V: 'static>(
    graph: &Graph,
    out: Out<K, Change<V>>,
    (name, store): (&Arc<str>, StoreIndex),
    read_key: impl Fn(&[u8], bool) -> Result<Option<K>, SerdeError> + Send + Sync + 'static,
    value: Arc<dyn Serde<V>>,
    send_old: &SendOld,
    flushed: Option<Clock>,
) -> Out<K, Change<V>> {
    let (name_of, read_key, send_old) = (name.clone(), Box::new(read_key), send_old.clone());
    let cache = Cache { name: name_of, store, read_key, value, send_old, flushed };
    graph.below(out, &format!("{name}-cache"), cache, &[store])
}

/// The table of an operator that writes a store of rows, held back if its options say so. A versioned store is not: each of
/// its versions counts.
pub(crate) fn table<K: 'static, V: Clone + 'static>(
    graph: Graph,
    out: Out<K, Change<V>>,
    materialized: Materialized<K, V>,
    store: TableStore<K, V>,
    send_old: SendOld,
) -> KTable<K, V> {
    let Materialized { name, key, value, cached: is_cached, .. } = materialized;
    let out = if is_cached && !store.is_versioned() {
        let read_key = move |bytes: &[u8], _: bool| key.deserialize(bytes).map(Some);
        cached(&graph, out, (&name, store.index()), read_key, value, &send_old, None)
    } else {
        out
    };
    KTable::stored(graph, out, store, send_old)
}

impl<K: 'static, V: 'static> Processor for Cache<K, V> {
    type KeyIn = K;
    type ValueIn = Change<V>;
    type KeyOut = K;
    type ValueOut = Change<V>;

    fn process(&self, _: &mut Context<'_, K, Change<V>>, _: Record<'_, K, Change<V>>) -> Result<(), ProcessError> {
        Ok(())
    }

    /// Sends on each row that differs from what is committed, in the order of keys in the store: of windows by segments of
    /// time.
    fn flush(&self, cx: &mut Context<'_, K, Change<V>>) -> Result<(), ProcessError> {
        let slot = slot(cx.cx.task, self.store, &self.name)?;
        let mut changed: Vec<(Vec<u8>, Option<Vec<u8>>)> = Vec::new();
        cx.cx.task.overlay.for_each_dirty(&mut |store, key, value| {
            if store == slot {
                changed.push((key.to_vec(), value.map(<[u8]>::to_vec)));
            }
        });
        changed.sort();
        let mut committed = Vec::new();
        for (bytes, now) in changed {
            let was_there = cx.cx.task.overlay.get_committed(slot, &bytes, &mut committed)?;
            let row = |bytes: &[u8]| -> Result<(V, Timestamp), SerdeError> {
                let stored = crate::value::read(bytes)?;
                Ok((self.value.deserialize(stored.payload)?, stored.timestamp))
            };
            let old = if was_there { Some(row(&committed)?) } else { None };
            let new = now.as_deref().map(row).transpose()?;
            // A row that came and went in between was never seen below.
            let Some(timestamp) = new.as_ref().or(old.as_ref()).map(|(_, at)| *at) else { continue };
            let Some(key) = (self.read_key)(&bytes, new.is_none())? else { continue };
            let old = old.filter(|_| self.send_old.is_enabled()).map(|(old, _)| old);
            let change = Change::new(new.map(|(new, _)| new), old);
            cx.cx.task.current_timestamp = timestamp;
            cx.forward(Record { key: Some(&key), value: Some(&change), timestamp, headers: Headers::empty() })?;
        }
        if let Some(flushed) = self.flushed {
            let time = cx.cx.task.observed(Clock::Store(self.store));
            cx.cx.task.observe(flushed, time);
        }
        Ok(())
    }
}
