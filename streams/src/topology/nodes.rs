//! Sources and sinks without their types: bytes on one side, typed values on the other.

use std::sync::Arc;

use crate::error::ProcessError;
use crate::limits::RECORD_BYTES_MAX;
use crate::partitioner::partition_for_key;
use crate::processor::{Cx, Message};
use crate::record::{Headers, Incoming, Record};
use crate::serde::{Serde, SerdeError};
use crate::topology::Misplaced;
use crate::types::{Partition, Timestamp, TopicIndex};

/// A source: decodes and forwards.
pub(crate) trait SourceNode: Send + Sync {
    fn read(&self, cx: &mut Cx<'_>, record: &Incoming) -> Result<(), SourceError>;
    fn misplaced(&self) -> Misplaced;
    /// Whether [`SourceNode::timestamp`] has anything to say.
    fn extracts_timestamps(&self) -> bool;
    /// The record's time by what it says, if the source looks there and finds one; one that cannot be read has none.
    fn timestamp(&self, record: &Incoming) -> Option<Timestamp>;
}

/// Why a source did not get a record through.
pub(crate) enum SourceError {
    Decode(SerdeError),
    Process(ProcessError),
}

/// Finds a record's time in what it says; `None` keeps the log's.
pub(crate) type TimestampExtractor<K, V> = dyn Fn(Record<'_, K, V>) -> Option<Timestamp> + Send + Sync;

pub(crate) struct TypedSource<K, V> {
    pub(crate) key: Arc<dyn Serde<K>>,
    pub(crate) value: Arc<dyn Serde<V>>,
    pub(crate) misplaced: Misplaced,
    pub(crate) timestamp: Option<Arc<TimestampExtractor<K, V>>>,
}

impl<K: 'static, V: 'static> TypedSource<K, V> {
    fn decode<T>(&self, record: &Incoming, take: impl FnOnce(Record<'_, K, V>) -> T) -> Result<T, SerdeError> {
        let part = |name: &str, e: SerdeError| SerdeError::new(format!("{name}: {e}"));
        let key = record.key().map(|b| self.key.deserialize(b)).transpose().map_err(|e| part("key", e))?;
        let value = record.value().map(|b| self.value.deserialize(b)).transpose().map_err(|e| part("value", e))?;
        let (key, value) = (key.as_ref(), value.as_ref());
        Ok(take(Record { key, value, timestamp: record.timestamp, headers: record.headers() }))
    }
}

impl<K: 'static, V: 'static> SourceNode for TypedSource<K, V> {
    fn read(&self, cx: &mut Cx<'_>, record: &Incoming) -> Result<(), SourceError> {
        match self.decode(record, |record| cx.forward(record.into())) {
            Ok(forwarded) => forwarded.map_err(SourceError::Process),
            Err(e) => Err(SourceError::Decode(e)),
        }
    }

    fn extracts_timestamps(&self) -> bool {
        self.timestamp.is_some()
    }

    fn timestamp(&self, record: &Incoming) -> Option<Timestamp> {
        let extract = self.timestamp.as_ref()?;
        self.decode(record, |record| extract(record)).ok().flatten()
    }

    fn misplaced(&self) -> Misplaced {
        self.misplaced
    }
}

/// A sink: encodes into the effects.
pub(crate) trait SinkNode: Send + Sync {
    fn write(&self, cx: &mut Cx<'_>, message: Message<'_>) -> Result<(), ProcessError>;
}

/// Chooses the partition of a record; the default is Kafka's by key bytes.
pub(crate) type Partitioner<K, V> = dyn Fn(Option<&K>, Option<&V>, u32) -> Partition + Send + Sync;

pub(crate) struct TypedSink<K, V> {
    pub(crate) topic: TopicIndex,
    pub(crate) key: Arc<dyn Serde<K>>,
    pub(crate) value: Arc<dyn Serde<V>>,
    pub(crate) partitioner: Option<Arc<Partitioner<K, V>>>,
}

impl<K: 'static, V: 'static> SinkNode for TypedSink<K, V> {
    fn write(&self, cx: &mut Cx<'_>, message: Message<'_>) -> Result<(), ProcessError> {
        let record: Record<'_, K, V> = message.typed()?;
        if record.timestamp < 0 {
            return Err(ProcessError::rejected(format!("timestamp {} of an output is negative", record.timestamp)));
        }
        let partitions = cx.task.partitions(self.topic);
        let partition = self.partitioner.as_ref().map(|p| p(record.key, record.value, partitions));
        let mark = cx.effects.mark();
        let bytes = cx.effects.push_with::<SerdeError>(
            self.topic,
            partition,
            record.key.map(|k| |out: &mut Vec<u8>| self.key.serialize(k, out)),
            record.value.map(|v| |out: &mut Vec<u8>| self.value.serialize(v, out)),
            record.timestamp,
            record.headers,
        )?;
        if bytes > RECORD_BYTES_MAX {
            cx.effects.truncate(mark);
            let topic = cx.topology.topic_name(self.topic);
            return Err(ProcessError::rejected(format!(
                "output to {topic} has {bytes} bytes, the limit is {RECORD_BYTES_MAX}"
            )));
        }
        Ok(())
    }
}

/// The partition a key belongs to when it sits on another one; `None` when it is in place or has no key.
pub(crate) fn right_partition(record: &Incoming, partition: Partition, partitions: u32) -> Option<Partition> {
    let right = partition_for_key(record.key()?, partitions.max(1));
    (right != partition).then_some(right)
}

/// Headers of a dead letter: those of the record, then where it came from and why.
pub(crate) fn dead_letter_headers(
    original: &Headers,
    topic: &str,
    partition: Partition,
    record: &Incoming,
    stage: &str,
    reason: &str,
) -> Headers {
    let mut headers = original.clone();
    let reason: String = reason.chars().take(crate::limits::REASON_CHARS_MAX).collect();
    for (name, value) in [
        ("orderflow.error.stage", stage),
        ("orderflow.error.reason", reason.as_str()),
        ("orderflow.error.topic", topic),
        ("orderflow.error.partition", &partition.to_string()),
        ("orderflow.error.offset", &record.offset.to_string()),
        ("orderflow.error.timestamp", &record.timestamp.to_string()),
    ] {
        headers.add(name, Some(value.as_bytes()));
    }
    headers
}
