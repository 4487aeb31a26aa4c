//! Topics and their partitions in memory: extents, tails, and who is told when they grow.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use state::{Backend, Direction, Range, StoreId};
use streams::{Incoming, Partition};
use tokio::sync::watch;

use super::Error;
use super::format::{self, LogId, StoredTopic};
use super::limits;
use super::tail::{Chunk, Tail};

/// How long a topic's records stay. Records go from the front only, whole ones, at the next pass of retention.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retention {
    /// Records whose timestamp is older than this may go, milliseconds; `None` keeps them.
    pub time_ms: Option<i64>,
    /// A partition above this size loses its oldest records, bytes of stored records; `None` sets no limit.
    pub bytes: Option<u64>,
}

/// What retention does to a topic (Kafka: `cleanup.policy`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Cleanup {
    /// Deletes from the front, by [`Retention`].
    #[default]
    Delete,
    /// Keeps the last record of each key; for changelogs of memory stores. A tombstone goes after a day.
    Compact,
}

/// A topic to be created.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewTopic {
    /// Its name, 1 to 249 bytes of `a-z A-Z 0-9 . _ -` as in Kafka.
    pub name: String,
    /// Partitions, from 1 to [`limits::PARTITIONS_PER_TOPIC_MAX`]; fixed for life.
    pub partitions: u32,
    /// How long its records stay; may change at the next start.
    pub retention: Retention,
    /// What retention does.
    pub cleanup: Cleanup,
    /// Nothing is deleted that a group with a position here, or a registered one, has not read; for internal topics. A
    /// topic nobody reads is not held back.
    pub keep_unread: bool,
}

impl NewTopic {
    /// A topic that keeps everything.
    #[must_use]
    pub fn new(name: impl Into<String>, partitions: u32) -> Self {
        NewTopic {
            name: name.into(),
            partitions,
            retention: Retention::default(),
            cleanup: Cleanup::Delete,
            keep_unread: false,
        }
    }

    pub(crate) fn check(&self) -> Result<(), Error> {
        let invalid = |rule: String| Err(Error::Invalid { name: self.name.clone(), rule });
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
        if self.name.is_empty() || self.name.len() > limits::TOPIC_NAME_BYTES_MAX || !self.name.bytes().all(allowed) {
            return invalid(format!("a topic's name is 1 to {} of a-z A-Z 0-9 . _ -", limits::TOPIC_NAME_BYTES_MAX));
        }
        if self.partitions == 0 || self.partitions > limits::PARTITIONS_PER_TOPIC_MAX {
            return invalid(format!("a topic has 1 to {} partitions", limits::PARTITIONS_PER_TOPIC_MAX));
        }
        Ok(())
    }
}

/// The stores of the embedded log in its backend.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stores {
    pub(crate) records: StoreId,
    pub(crate) positions: StoreId,
    pub(crate) topics: StoreId,
}

impl Stores {
    pub(crate) fn open(backend: &dyn Backend) -> Result<Self, state::Error> {
        let open = |name| backend.open_store(name, state::StoreKind::Persistent);
        Ok(Stores {
            records: open(format::RECORDS_STORE)?,
            positions: open(format::POSITIONS_STORE)?,
            topics: open(format::TOPICS_STORE)?,
        })
    }
}

/// A topic.
#[derive(Debug)]
pub(crate) struct Topic {
    pub(crate) name: Arc<str>,
    pub(crate) stored: StoredTopic,
    pub(crate) partitions: Vec<Arc<PartitionLog>>,
    /// Changes whenever more of the topic is synced.
    pub(crate) synced: Arc<watch::Sender<u64>>,
}

impl Topic {
    /// Finds first and last offset of every partition: one read and one reverse seek each.
    pub(crate) fn load(
        name: &str,
        stored: StoredTopic,
        backend: &dyn Backend,
        stores: Stores,
    ) -> Result<Self, state::Error> {
        let synced = Arc::new(watch::Sender::new(0));
        let partitions = (0..stored.partitions)
            .map(|p| PartitionLog::load(LogId::new(stored.number, p), p, synced.clone(), backend, stores).map(Arc::new))
            .collect::<Result<_, _>>()?;
        Ok(Topic { name: name.into(), stored, partitions, synced })
    }

    pub(crate) fn partition(&self, partition: Partition) -> Result<&Arc<PartitionLog>, Error> {
        let unknown = || Error::UnknownPartition { topic: self.name.to_string(), partition };
        self.partitions.get(partition as usize).ok_or_else(unknown)
    }
}

/// Topics by name.
#[derive(Debug, Default)]
pub(crate) struct Catalog {
    pub(crate) topics: BTreeMap<String, Arc<Topic>>,
}

impl Catalog {
    pub(crate) fn load(backend: &dyn Backend, stores: Stores) -> Result<Self, state::Error> {
        let mut found = Vec::new();
        backend.scan(stores.topics, format::TOPICS, Range::all(), Direction::Forward, &mut |name, value| {
            found.push((String::from_utf8_lossy(name).into_owned(), StoredTopic::decode(value)));
            ControlFlow::Continue(())
        })?;
        let mut catalog = Catalog::default();
        for (name, stored) in found {
            let topic = Topic::load(&name, stored?, backend, stores)?;
            catalog.topics.insert(name, Arc::new(topic));
        }
        Ok(catalog)
    }

    /// The number the next new topic gets; `None` when all are taken.
    pub(crate) fn next_number(&self) -> Option<u16> {
        match self.topics.values().map(|t| t.stored.number).max() {
            Some(last) => last.checked_add(1),
            None => Some(0),
        }
    }
}

/// How far a reader may see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Visible {
    /// Everything committed: for workers, whose own commits are lost with what they read if the power goes.
    Committed,
    /// Only what is on disk: for whoever acts on the world outside.
    Synced,
}

/// A partition of a topic.
#[derive(Debug)]
pub(crate) struct PartitionLog {
    pub(crate) id: LogId,
    pub(crate) partition: Partition,
    extent: Mutex<Extent>,
    synced: Arc<watch::Sender<u64>>,
}

/// From where to where a partition goes.
#[derive(Debug, Default)]
pub(crate) struct Extent {
    /// First offset.
    pub(crate) start: i64,
    /// Offset after the last committed record.
    pub(crate) end: i64,
    /// Offset after the last record known to be on disk.
    pub(crate) synced_end: i64,
    /// Where the next record begins, in bytes of stored records.
    pub(crate) end_position: u64,
    /// How far compaction has come in this run.
    pub(crate) compacted_to: i64,
    tail: Tail,
}

impl Extent {
    pub(crate) fn visible_end(&self, visible: Visible) -> i64 {
        match visible {
            Visible::Committed => self.end,
            Visible::Synced => self.synced_end,
        }
    }

    pub(crate) fn tail_bytes(&self) -> usize {
        self.tail.bytes()
    }
}

/// How much one read takes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Quantity {
    pub(crate) records_max: usize,
    pub(crate) bytes_max: usize,
}

impl PartitionLog {
    fn load(
        id: LogId,
        partition: Partition,
        synced: Arc<watch::Sender<u64>>,
        backend: &dyn Backend,
        stores: Stores,
    ) -> Result<Self, state::Error> {
        let mut bytes = Vec::new();
        let start = match backend.get(stores.topics, format::STARTS, &id.0.to_be_bytes(), &mut bytes)? {
            true => i64::from_le_bytes(bytes.as_slice().try_into().map_err(|_| format::corrupt())?),
            false => 0,
        };
        let mut extent = Extent { start, end: start, compacted_to: start, ..Extent::default() };
        let mut found = Ok(());
        let from = format::record_key(start);
        backend.scan(stores.records, id.0, Range::starting_at(&from), Direction::Reverse, &mut |key, value| {
            found = (|| {
                extent.end = format::record_offset(key).ok_or_else(format::corrupt)? + 1;
                extent.end_position = format::position(value)? + value.len() as u64;
                Ok(())
            })();
            ControlFlow::Break(())
        })?;
        found?;
        extent.synced_end = extent.end;
        Ok(PartitionLog { id, partition, extent: Mutex::new(extent), synced })
    }

    /// Held for a few pointer moves only, by readers and by the committer.
    pub(crate) fn extent(&self) -> MutexGuard<'_, Extent> {
        self.extent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes a written chunk visible.
    pub(crate) fn publish(&self, chunk: Chunk, tail_bytes_max: usize) {
        let chunk = Arc::new(chunk);
        let mut extent = self.extent();
        extent.end = chunk.end();
        extent.end_position += chunk.bytes() as u64;
        extent.tail.push(chunk, tail_bytes_max);
    }

    /// Everything published so far is on disk.
    pub(crate) fn publish_synced(&self) {
        let mut extent = self.extent();
        extent.synced_end = extent.end;
        drop(extent);
        self.synced.send_modify(|version| *version = version.wrapping_add(1));
    }

    /// Reads records from an offset on, and answers the offset to go on from. From memory if the tail reaches back far
    /// enough, else from the store.
    pub(crate) fn read(
        &self,
        backend: &dyn Backend,
        stores: Stores,
        from: i64,
        quantity: Quantity,
        visible: Visible,
        take: &mut dyn FnMut(Incoming),
    ) -> Result<i64, Error> {
        let (end, chunks) = {
            let extent = self.extent();
            if from < extent.start {
                return Err(Error::Expired { partition: self.partition, start: streams::Offset(extent.start) });
            }
            let end = extent.visible_end(visible);
            if from >= end {
                return Ok(from);
            }
            (end, extent.tail.chunks_from(from).map(|chunks| chunks.cloned().collect::<Vec<_>>()))
        };
        let mut reading = Reading { next: from, end, left: quantity, take };
        match chunks {
            Some(chunks) => {
                let records = chunks.iter().flat_map(|chunk| chunk.records_from(from));
                for (offset, record) in records {
                    if reading.record(offset, record)?.is_break() {
                        break;
                    }
                }
            }
            None => {
                let (from, to) = (format::record_key(from), format::record_key(end));
                let range = Range::half_open(&from, &to);
                let mut outcome = Ok(ControlFlow::Continue(()));
                backend.scan(stores.records, self.id.0, range, Direction::Forward, &mut |key, record| {
                    outcome = match format::record_offset(key) {
                        Some(offset) => reading.record(offset, record),
                        None => Err(format::corrupt()),
                    };
                    if matches!(outcome, Ok(ControlFlow::Continue(()))) {
                        ControlFlow::Continue(())
                    } else {
                        ControlFlow::Break(())
                    }
                })?;
                if outcome?.is_continue() {
                    // Read to the end: past what compaction left out too.
                    reading.next = end;
                }
            }
        }
        Ok(reading.next)
    }
}

/// A read on its way.
struct Reading<'a> {
    next: i64,
    end: i64,
    left: Quantity,
    take: &'a mut dyn FnMut(Incoming),
}

impl Reading<'_> {
    fn record(&mut self, offset: i64, record: &[u8]) -> Result<ControlFlow<()>, state::Error> {
        if offset >= self.end || self.left.records_max == 0 || self.left.bytes_max == 0 {
            return Ok(ControlFlow::Break(()));
        }
        self.left.records_max -= 1;
        self.left.bytes_max = self.left.bytes_max.saturating_sub(record.len());
        (self.take)(format::decode(offset, record)?);
        self.next = offset + 1;
        Ok(ControlFlow::Continue(()))
    }
}
