//! The global store: a whole topic on every instance, read only.

use std::marker::PhantomData;
use std::sync::Arc;

use super::StateAccess;
use crate::error::ProcessError;
use crate::partitioner::partition_for_key;
use crate::serde::Serde;
use crate::topology::StoreIndex;
use crate::types::{Timestamp, TopicIndex};

/// Handle of a global store ([`crate::TopologyBuilder::global_store`]). Any processor of any sub-topology may read it, without
/// being connected to it.
pub struct GlobalStore<K, V> {
    pub(crate) index: StoreIndex,
    pub(crate) topic: TopicIndex,
    pub(crate) name: Arc<str>,
    pub(crate) key: Arc<dyn Serde<K>>,
    pub(crate) value: Arc<dyn Serde<V>>,
    pub(crate) types: PhantomData<fn(&K, &V)>,
}

impl<K, V> Clone for GlobalStore<K, V> {
    fn clone(&self) -> Self {
        GlobalStore {
            index: self.index,
            topic: self.topic,
            name: self.name.clone(),
            key: self.key.clone(),
            value: self.value.clone(),
            types: PhantomData,
        }
    }
}

impl<K: 'static, V: 'static> GlobalStore<K, V> {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The value of a key and its record's timestamp, as the topic last had it.
    ///
    /// # Errors
    /// When the store fails or holds bytes that its format cannot read.
    pub fn get(&self, cx: &mut impl StateAccess, key: &K) -> Result<Option<(V, Timestamp)>, ProcessError> {
        let task = cx.task();
        task.key_bytes.clear();
        self.key.serialize(key, &mut task.key_bytes)?;
        let partition = partition_for_key(&task.key_bytes, task.partitions(self.topic).max(1));
        let Some(&id) = task.store_ids.get(self.index.0 as usize) else { return Ok(None) };
        if !task.backend.get(id, partition, &task.key_bytes, &mut task.value_bytes)? {
            return Ok(None);
        }
        let read = crate::value::read(&task.value_bytes)
            .and_then(|stored| Ok((self.value.deserialize(stored.payload)?, stored.timestamp)));
        read.map(Some).map_err(|e| {
            ProcessError::Topology(format!("global store '{}' holds an entry its format cannot read: {e}", self.name))
        })
    }
}
