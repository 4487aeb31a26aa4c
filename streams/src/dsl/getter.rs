//! Reading a table's rows from another operator (Kafka Streams: `KTableValueGetter`): out of the nearest store above,
//! through the functions in between.

use std::sync::Arc;

use crate::dsl::table_store::TableStore;
use crate::error::ProcessError;
use crate::task::TaskState;
use crate::topology::StoreIndex;
use crate::types::Timestamp;

/// A row and its timestamp.
pub(crate) type Row<V> = Option<(V, Timestamp)>;

/// Reads rows of a table. A processor that uses one is connected to all of [`ValueGetter::stores`].
pub(crate) trait ValueGetter<K, V>: Send + Sync {
    /// The current row.
    fn get(&self, task: &mut TaskState, key: &K) -> Result<Row<V>, ProcessError>;

    /// The row as of a time. Only a versioned table ([`crate::dsl::KTable`]'s `versioned`) knows others than the current.
    fn get_as_of(&self, task: &mut TaskState, key: &K, as_of: Timestamp) -> Result<Row<V>, ProcessError>;

    /// Every store it reads.
    fn stores(&self, add: &mut dyn FnMut(StoreIndex));
}

/// Out of the table's own store.
pub(crate) struct StoreGetter<K, V> {
    pub(crate) store: TableStore<K, V>,
}

impl<K: 'static, V: 'static> ValueGetter<K, V> for StoreGetter<K, V> {
    fn get(&self, task: &mut TaskState, key: &K) -> Result<Row<V>, ProcessError> {
        self.store.get(task, key)
    }
    fn get_as_of(&self, task: &mut TaskState, key: &K, as_of: Timestamp) -> Result<Row<V>, ProcessError> {
        self.store.get_as_of(task, key, as_of)
    }
    fn stores(&self, add: &mut dyn FnMut(StoreIndex)) {
        add(self.store.index());
    }
}

/// The row above, if it passes.
pub(crate) struct FilterGetter<K, V, F> {
    pub(crate) parent: Arc<dyn ValueGetter<K, V>>,
    pub(crate) predicate: Arc<F>,
}

impl<K, V, F: Fn(&K, &V) -> bool + Send + Sync> ValueGetter<K, V> for FilterGetter<K, V, F> {
    fn get(&self, task: &mut TaskState, key: &K) -> Result<Row<V>, ProcessError> {
        Ok(self.parent.get(task, key)?.filter(|(value, _)| (self.predicate)(key, value)))
    }
    fn get_as_of(&self, task: &mut TaskState, key: &K, as_of: Timestamp) -> Result<Row<V>, ProcessError> {
        Ok(self.parent.get_as_of(task, key, as_of)?.filter(|(value, _)| (self.predicate)(key, value)))
    }
    fn stores(&self, add: &mut dyn FnMut(StoreIndex)) {
        self.parent.stores(add);
    }
}

/// The row above, mapped.
pub(crate) struct MapValuesGetter<K, V, F> {
    pub(crate) parent: Arc<dyn ValueGetter<K, V>>,
    pub(crate) mapper: Arc<F>,
}

impl<K, V, V2, F: Fn(&K, &V) -> V2 + Send + Sync> ValueGetter<K, V2> for MapValuesGetter<K, V, F> {
    fn get(&self, task: &mut TaskState, key: &K) -> Result<Row<V2>, ProcessError> {
        Ok(self.parent.get(task, key)?.map(|(value, at)| ((self.mapper)(key, &value), at)))
    }
    fn get_as_of(&self, task: &mut TaskState, key: &K, as_of: Timestamp) -> Result<Row<V2>, ProcessError> {
        Ok(self.parent.get_as_of(task, key, as_of)?.map(|(value, at)| ((self.mapper)(key, &value), at)))
    }
    fn stores(&self, add: &mut dyn FnMut(StoreIndex)) {
        self.parent.stores(add);
    }
}
