//! The embedded broker: what the gateway, the payment worker, the command line and the workers' logs talk to.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use state::{Backend, Direction, Range, RocksBackend, rocks};
use streams::log::Committed;
use streams::partitioner::partition_for_key;
use streams::worker::CrashHook;
use streams::{Headers, Incoming, Offset, Partition, Timestamp};
use tokio::sync::oneshot;

use super::format::{self, LogId, StoredTopic};
use super::shared::{PositionKey, Shared, Waiter, read, write};
use super::subscription::{From, Subscription};
use super::topic::{Catalog, NewTopic, PartitionLog, Quantity, Retention, Stores, Topic, Visible};
use super::{Config, Error, Sync, committer, limits, retention};

/// The log of one process. Shared by everyone in it; dropping the last handle closes it.
pub struct LocalBroker {
    shared: Arc<Shared>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    retention: retention::Schedule,
}

/// A record to be appended.
#[derive(Clone, Copy, Debug)]
pub struct Produce<'a> {
    /// Where to.
    pub topic: &'a str,
    /// The partition; `None` takes the one Kafka's default partitioner gives the key.
    pub partition: Option<Partition>,
    /// Key bytes; a record without partition and key goes to partition 0.
    pub key: Option<&'a [u8]>,
    /// Value bytes; `None` is a tombstone.
    pub value: Option<&'a [u8]>,
    /// Event time.
    pub timestamp: Timestamp,
    /// Headers.
    pub headers: &'a Headers,
}

/// A position of a named group.
#[derive(Clone, Copy, Debug)]
pub struct GroupPosition<'a> {
    /// The group, 1 to 249 bytes without NUL.
    pub group: &'a str,
    /// The topic.
    pub topic: &'a str,
    /// The partition.
    pub partition: Partition,
    /// The next offset to read.
    pub offset: Offset,
    /// Anything the group wants to find with it.
    pub metadata: &'a str,
}

/// A topic as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicInfo {
    /// Its name.
    pub name: String,
    /// Random at creation.
    pub id: [u8; 16],
    /// How long its records stay.
    pub retention: Retention,
    /// Extents by partition.
    pub partitions: Vec<PartitionInfo>,
}

/// The extent of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartitionInfo {
    /// First offset still there.
    pub start: Offset,
    /// Offset after the last committed record.
    pub end: Offset,
    /// Offset after the last record on disk: where subscriptions end.
    pub synced_end: Offset,
    /// Bytes of its newest records held in memory.
    pub tail_bytes: usize,
}

/// Counters since the log was opened, and what is queued now; for metrics.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Records committed.
    pub records: u64,
    /// Their stored bytes.
    pub record_bytes: u64,
    /// Appends and commits of workers that were committed.
    pub requests: u64,
    /// Writes they were grouped into.
    pub groups: u64,
    /// Time in writes, nanoseconds.
    pub write_ns: u64,
    /// Syncs, and the time in them, nanoseconds. Zero where the backend syncs in its write.
    pub syncs: u64,
    /// See `syncs`.
    pub sync_ns: u64,
    /// Appends refused for want of room in the queue.
    pub busy: u64,
    /// Writes that failed.
    pub write_failures: u64,
    /// Records deleted by retention and compaction.
    pub records_deleted: u64,
    /// Bytes of appends waiting now.
    pub appends_in_flight_bytes: usize,
}

impl LocalBroker {
    /// Opens the log over RocksDB in `directory`, with the backend that the state of this process is to be kept in too:
    /// only then is a commit one write.
    ///
    /// # Errors
    /// [`Error::State`] as the backend says; [`Error::Failed`] when there is no thread to be had.
    pub fn open_rocks(
        directory: &Path,
        memory_budget_bytes: usize,
        config: Config,
    ) -> Result<(Arc<Self>, Arc<dyn Backend>), Error> {
        LocalBroker::open_rocks_with_hook(directory, memory_budget_bytes, config, None)
    }

    /// As [`LocalBroker::open_rocks`], with a fault injector asked at [`super::CRASH_POINTS`].
    ///
    /// # Errors
    /// As [`LocalBroker::open_rocks`].
    pub fn open_rocks_with_hook(
        directory: &Path,
        memory_budget_bytes: usize,
        mut config: Config,
        crash: Option<CrashHook>,
    ) -> Result<(Arc<Self>, Arc<dyn Backend>), Error> {
        let durability = match config.sync {
            // Synced as part of the write, so that not even a query sees what a power loss could take back.
            Sync::Always | Sync::InWrite => {
                config.sync = Sync::InWrite;
                rocks::Durability::Sync
            }
            Sync::Interval(_) => rocks::Durability::Process,
        };
        let options = rocks::Options { memory_budget_bytes, durability, ..rocks::Options::default() };
        let backend: Arc<dyn Backend> = Arc::new(RocksBackend::open(directory, options)?);
        Ok((LocalBroker::open(backend.clone(), config, crash)?, backend))
    }

    /// Opens the log over a backend: reads topics and positions, finds the ends (one reverse seek per partition), starts
    /// the committer. `crash` is a fault injector asked at [`super::CRASH_POINTS`].
    ///
    /// # Errors
    /// [`Error::State`] as the backend says; [`Error::Failed`] when there is no thread to be had.
    pub fn open(backend: Arc<dyn Backend>, config: Config, crash: Option<CrashHook>) -> Result<Arc<Self>, Error> {
        let stores = Stores::open(&*backend)?;
        let catalog = Catalog::load(&*backend, stores)?;
        let positions = load_positions(&*backend, stores)?;
        let interval = config.retention_interval;
        let shared = Arc::new(Shared::new(backend, stores, config, catalog, positions));
        let no_thread = |e: std::io::Error| Error::Failed(format!("no thread for the log: {e}"));
        let committer = committer::spawn(shared.clone(), crash).map_err(no_thread)?;
        let schedule = retention::Schedule::default();
        let mut threads = vec![committer];
        match schedule.spawn(shared.clone(), interval) {
            Ok(thread) => threads.push(thread),
            Err(e) => {
                shared.queue.lock().closing = true;
                shared.queue.filled.notify_all();
                return Err(no_thread(e));
            }
        }
        Ok(Arc::new(LocalBroker { shared, threads: Mutex::new(threads), retention: schedule }))
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Where log and state are kept.
    #[must_use]
    pub fn backend(&self) -> &Arc<dyn Backend> {
        &self.shared.backend
    }

    pub(crate) fn topic(&self, name: &str) -> Result<Arc<Topic>, Error> {
        read(&self.shared.catalog).topics.get(name).cloned().ok_or_else(|| Error::UnknownTopic(name.to_owned()))
    }

    /// Creates the topics that are not there, all or none. One that is there must have as many partitions; its retention is
    /// set anew.
    ///
    /// # Errors
    /// [`Error::PartitionsChanged`], [`Error::Invalid`], or the backend's.
    pub fn create_topics(&self, topics: &[NewTopic]) -> Result<(), Error> {
        let shared = &self.shared;
        let mut catalog = write(&shared.catalog);
        let mut batch = state::Batch::new();
        let mut changed: BTreeMap<&str, StoredTopic> = BTreeMap::new();
        let mut number = catalog.next_number();
        for new in topics {
            new.check()?;
            let known = changed.get(&*new.name).or_else(|| catalog.topics.get(&new.name).map(|t| &t.stored)).cloned();
            if let Some(known) = known.as_ref().filter(|k| k.partitions != new.partitions) {
                let (topic, recorded, wanted) = (new.name.clone(), known.partitions, new.partitions);
                return Err(Error::PartitionsChanged { topic, recorded, wanted });
            }
            let (retention, cleanup, keep_unread) = (new.retention, new.cleanup, new.keep_unread);
            let stored = match known.clone() {
                Some(known) => StoredTopic { retention, cleanup, keep_unread, ..known },
                None => {
                    let rule =
                        || Error::Invalid { name: new.name.clone(), rule: "65536 topics are there already".into() };
                    let mine = number.ok_or_else(rule)?;
                    number = mine.checked_add(1);
                    let id = uuid::Uuid::new_v4().into_bytes();
                    StoredTopic { number: mine, id, partitions: new.partitions, retention, cleanup, keep_unread }
                }
            };
            if known.as_ref() != Some(&stored) {
                batch.put(shared.stores.topics, format::TOPICS, new.name.as_bytes(), &stored.encode());
                changed.insert(&new.name, stored);
            }
        }
        if changed.is_empty() {
            return Ok(());
        }
        shared.backend.write(&batch)?;
        shared.backend.sync()?;
        for (name, stored) in changed {
            let topic = match catalog.topics.get(name) {
                Some(old) => Topic {
                    name: old.name.clone(),
                    stored,
                    partitions: old.partitions.clone(),
                    synced: old.synced.clone(),
                },
                None => Topic::load(name, stored, &*shared.backend, shared.stores)?,
            };
            catalog.topics.insert(name.to_owned(), Arc::new(topic));
        }
        Ok(())
    }

    /// All topics with their extents, by name.
    #[must_use]
    pub fn topics(&self) -> Vec<TopicInfo> {
        read(&self.shared.catalog).topics.values().map(|t| info(t)).collect()
    }

    /// A topic and its extents.
    ///
    /// # Errors
    /// [`Error::UnknownTopic`].
    pub fn describe_topic(&self, topic: &str) -> Result<TopicInfo, Error> {
        self.topic(topic).map(|t| info(&t))
    }

    /// Appends a record to the partition that Kafka's default partitioner gives its key. Answers partition and offset once
    /// it is committed: on disk, or under [`Sync::Interval`] with the operating system.
    ///
    /// Appends made at the same time are written together. Dropping the future does not take the record back.
    ///
    /// # Errors
    /// See [`LocalBroker::write`].
    pub async fn append(
        &self,
        topic: &str,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        timestamp: Timestamp,
        headers: &Headers,
    ) -> Result<(Partition, Offset), Error> {
        let topic = self.topic(topic)?;
        let record = Produce { topic: "", partition: None, key, value, timestamp, headers };
        let (log, bytes) = check(&topic, &record)?;
        let answer = self.submit(bytes, |pending, stores| pending.append(stores, log, key, value, timestamp, headers));
        Ok((log.partition, Offset(answer.await?)))
    }

    /// Commits records and positions together, all or nothing: what a worker outside the engine needs to take in records
    /// and write results exactly once. Answers partition and offset of each record once all is committed.
    ///
    /// # Errors
    /// [`Error::Busy`] and [`Error::DiskFull`]: nothing was written, try again. [`Error::Refused`],
    /// [`Error::UnknownTopic`], [`Error::UnknownPartition`]: nothing was written, ever. [`Error::Closed`].
    /// [`Error::Failed`]: whether it was written is unknown.
    pub async fn write(
        &self,
        records: &[Produce<'_>],
        positions: &[GroupPosition<'_>],
    ) -> Result<Vec<(Partition, Offset)>, Error> {
        let mut places = Vec::with_capacity(records.len());
        let mut bytes_total = 0;
        for record in records {
            let topic = self.topic(record.topic)?;
            let (log, bytes) = check(&topic, record)?;
            places.push(log.clone());
            bytes_total += bytes;
        }
        let mut commits = Vec::with_capacity(positions.len());
        for position in positions {
            let log = self.topic(position.topic)?.partition(position.partition)?.id;
            let committed = Committed { offset: position.offset, metadata: position.metadata.to_owned() };
            commits.push((check_group(position.group)?, log, committed));
            bytes_total += limits::APPEND_OVERHEAD_BYTES;
        }
        let answer = self.submit(bytes_total, |pending, stores| {
            for (group, log, committed) in commits {
                pending.set_position(stores, &group, log, committed);
            }
            let placed = records.iter().zip(&places);
            placed
                .map(|(r, log)| {
                    let offset = pending.append(stores, log, r.key, r.value, r.timestamp, r.headers);
                    (log.partition, Offset(offset))
                })
                .collect::<Vec<_>>()
        });
        answer.await
    }

    /// Waits for room, enqueues, waits for the commit.
    async fn submit<T>(
        &self,
        bytes: usize,
        fill: impl FnOnce(&mut super::shared::Pending, Stores) -> T,
    ) -> Result<T, Error> {
        let shared = &self.shared;
        let capacity = shared.config.appends_in_flight_bytes;
        // One request may be larger than all the room there is; then it waits until it is alone.
        let room = u32::try_from(bytes.min(capacity)).unwrap_or(u32::MAX);
        let ended = || shared.failure().cloned().unwrap_or(Error::Closed);
        let permit = match shared.room.clone().try_acquire_many_owned(room) {
            Ok(permit) => permit,
            Err(tokio::sync::TryAcquireError::Closed) => return Err(ended()),
            Err(tokio::sync::TryAcquireError::NoPermits) => {
                let wait = shared.config.append_wait;
                match tokio::time::timeout(wait, shared.room.clone().acquire_many_owned(room)).await {
                    Ok(permit) => permit.map_err(|_| ended())?,
                    Err(_) => {
                        shared.counters.busy.fetch_add(1, Relaxed);
                        let waited_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
                        return Err(Error::Busy { waited_ms });
                    }
                }
            }
        };
        let (reply, done) = oneshot::channel();
        let answer = shared.enqueue(Waiter::task(reply, permit), |pending| fill(pending, shared.stores))?;
        done.await.unwrap_or_else(|_| Err(ended()))?;
        Ok(answer)
    }

    /// Commits positions of named groups; answers once they are on disk (see [`LocalBroker::append`]).
    ///
    /// # Errors
    /// As [`LocalBroker::write`].
    pub async fn commit_positions(&self, positions: &[GroupPosition<'_>]) -> Result<(), Error> {
        self.write(&[], positions).await.map(drop)
    }

    /// The committed position of a group.
    ///
    /// # Errors
    /// [`Error::UnknownTopic`], [`Error::UnknownPartition`].
    pub fn committed(&self, group: &str, topic: &str, partition: Partition) -> Result<Option<Committed>, Error> {
        let log = self.topic(topic)?.partition(partition)?.id;
        Ok(read(&self.shared.positions).get(&(group.into(), log)).cloned())
    }

    /// Holds back retention on topics that keep what is unread ([`NewTopic::keep_unread`]) for a group that may not have
    /// committed anything yet. For the life of this process; call it before the group reads for the first time.
    ///
    /// # Errors
    /// [`Error::UnknownTopic`], [`Error::Invalid`].
    pub fn register_group(&self, group: &str, topics: &[&str]) -> Result<(), Error> {
        let group = check_group(group)?;
        for topic in topics {
            let topic = self.topic(topic)?;
            let mut registered = self.shared.registered.lock().unwrap_or_else(PoisonError::into_inner);
            registered.extend(topic.partitions.iter().map(|log| (group.clone(), log.id)));
        }
        Ok(())
    }

    /// Forgets a group for good, its positions too, so that it holds nothing back any more. Blocks for one commit.
    ///
    /// # Errors
    /// As [`LocalBroker::write`].
    pub fn remove_group(&self, group: &str) -> Result<(), Error> {
        let group = check_group(group)?;
        self.shared.registered.lock().unwrap_or_else(PoisonError::into_inner).retain(|(g, _)| *g != group);
        let logs: Vec<LogId> =
            read(&self.shared.positions).keys().filter(|(g, _)| *g == group).map(|(_, log)| *log).collect();
        let stores = self.shared.stores;
        self.shared.commit_and_wait(|pending| {
            for log in logs {
                pending.remove_position(stores, &group, log);
            }
        })
    }

    /// Reads up to `records_max` synced records of a partition, and answers the offset to go on from. Reads storage if the
    /// records are not among the newest: bounded by `records_max` and [`limits::READ_RECORDS_MAX`].
    ///
    /// # Errors
    /// [`Error::UnknownTopic`], [`Error::UnknownPartition`], [`Error::Expired`], [`Error::State`].
    pub fn read(
        &self,
        topic: &str,
        partition: Partition,
        from: Offset,
        records_max: usize,
    ) -> Result<(Vec<Incoming>, Offset), Error> {
        let topic = self.topic(topic)?;
        let quantity = Quantity { records_max: records_max.min(limits::READ_RECORDS_MAX), bytes_max: usize::MAX };
        let mut records = Vec::new();
        let shared = &self.shared;
        let log = topic.partition(partition)?;
        let next =
            log.read(&*shared.backend, shared.stores, from.0, quantity, Visible::Synced, &mut |r| records.push(r))?;
        Ok((records, Offset(next)))
    }

    /// Follows all partitions of a topic: synced records only.
    ///
    /// # Errors
    /// [`Error::UnknownTopic`], [`Error::UnknownPartition`], [`Error::Expired`].
    pub fn subscribe(&self, topic: &str, from: &From) -> Result<Subscription, Error> {
        Subscription::new(self.shared.clone(), self.topic(topic)?, from)
    }

    /// Deletes what retention lets go, and compacts changelogs; bounded work, call it again for more. Runs by itself every
    /// [`Config::retention_interval`]. Answers how many records went. Blocks for one commit.
    ///
    /// # Errors
    /// As [`LocalBroker::write`].
    pub fn enforce_retention(&self, now: Timestamp) -> Result<u64, Error> {
        retention::pass(&self.shared, now)
    }

    /// Why nothing can be committed any more; `None` while all is well. A full disk is not a failure: see
    /// [`Stats::write_failures`].
    #[must_use]
    pub fn failure(&self) -> Option<Error> {
        self.shared.failure().cloned()
    }

    /// Counters.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let c = &self.shared.counters;
        let free = self.shared.room.available_permits();
        Stats {
            records: c.records.load(Relaxed),
            record_bytes: c.record_bytes.load(Relaxed),
            requests: c.requests.load(Relaxed),
            groups: c.groups.load(Relaxed),
            write_ns: c.write_ns.load(Relaxed),
            syncs: c.syncs.load(Relaxed),
            sync_ns: c.sync_ns.load(Relaxed),
            busy: c.busy.load(Relaxed),
            write_failures: c.write_failures.load(Relaxed),
            records_deleted: c.records_deleted.load(Relaxed),
            appends_in_flight_bytes: self.shared.config.appends_in_flight_bytes.saturating_sub(free),
        }
    }

    /// Commits and syncs what is enqueued, then refuses everything. Blocks until that is done; more than once is the same
    /// as once.
    pub fn close(&self) {
        self.retention.stop();
        self.shared.queue.lock().closing = true;
        self.shared.queue.filled.notify_all();
        let threads = std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        for thread in threads {
            if thread.join().is_err() {
                tracing::error!("a thread of the embedded log panicked");
            }
        }
    }
}

impl Drop for LocalBroker {
    fn drop(&mut self) {
        self.close();
    }
}

fn info(topic: &Topic) -> TopicInfo {
    let partitions = topic.partitions.iter().map(|log| {
        let extent = log.extent();
        PartitionInfo {
            start: Offset(extent.start),
            end: Offset(extent.end),
            synced_end: Offset(extent.synced_end),
            tail_bytes: extent.tail_bytes(),
        }
    });
    TopicInfo {
        name: topic.name.to_string(),
        id: topic.stored.id,
        retention: topic.stored.retention,
        partitions: partitions.collect(),
    }
}

/// Checks a record and answers its log and what it takes up in the queue.
pub(super) fn check<'a>(topic: &'a Topic, record: &Produce<'_>) -> Result<(&'a Arc<PartitionLog>, usize), Error> {
    let partition = match (record.partition, record.key) {
        (Some(partition), _) => partition,
        (None, Some(key)) => partition_for_key(key, topic.stored.partitions),
        (None, None) => 0,
    };
    let log = topic.partition(partition)?;
    let bytes = check_record(&topic.name, record.key, record.value, record.timestamp, record.headers)?;
    Ok((log, bytes + limits::APPEND_OVERHEAD_BYTES))
}

/// Checks what the log can take, and answers its stored size.
pub(crate) fn check_record(
    topic: &str,
    key: Option<&[u8]>,
    value: Option<&[u8]>,
    timestamp: Timestamp,
    headers: &Headers,
) -> Result<usize, Error> {
    let refused = |reason| Err(Error::Refused { topic: topic.to_owned(), reason });
    let bytes = format::encoded_bytes(key, value, headers);
    if bytes > streams::limits::RECORD_BYTES_MAX {
        return refused(format!("it has {bytes} bytes, the limit is {}", streams::limits::RECORD_BYTES_MAX));
    }
    if !(0..=streams::limits::TIMESTAMP_MS_MAX).contains(&timestamp) {
        return refused(format!("timestamp {timestamp} is not between 0 and {}", streams::limits::TIMESTAMP_MS_MAX));
    }
    Ok(bytes)
}

fn check_group(group: &str) -> Result<Arc<str>, Error> {
    if group.is_empty() || group.len() > limits::GROUP_NAME_BYTES_MAX || group.contains('\0') {
        let rule = format!("a group's name is 1 to {} bytes without NUL", limits::GROUP_NAME_BYTES_MAX);
        return Err(Error::Invalid { name: group.to_owned(), rule });
    }
    Ok(group.into())
}

pub(super) fn load_positions(
    backend: &dyn Backend,
    stores: Stores,
) -> Result<BTreeMap<PositionKey, Committed>, state::Error> {
    let mut positions = BTreeMap::new();
    let mut corrupt = false;
    backend.scan(stores.positions, format::POSITIONS, Range::all(), Direction::Forward, &mut |key, value| {
        match format::read_position_key(key).zip(format::decode_position(value)) {
            Some(((group, log), (offset, metadata))) => {
                positions.insert((group.into(), log), Committed { offset: Offset(offset), metadata });
                ControlFlow::Continue(())
            }
            None => {
                corrupt = true;
                ControlFlow::Break(())
            }
        }
    })?;
    if corrupt { Err(format::corrupt()) } else { Ok(positions) }
}
