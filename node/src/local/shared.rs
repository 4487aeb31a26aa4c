//! What the callers and the committer share: the queue of what is to be committed next, positions, signals.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError, RwLock};
use std::time::Instant;

use rustc_hash::FxHashMap;
use state::{Backend, Batch};
use streams::log::Committed;
use streams::{Headers, Timestamp};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use super::format::{self, LogId};
use super::tail::Chunk;
use super::topic::{Catalog, PartitionLog, Stores};
use super::{Config, Error};

/// Everything behind a broker.
pub(crate) struct Shared {
    pub(crate) backend: Arc<dyn Backend>,
    pub(crate) stores: Stores,
    pub(crate) config: Config,
    pub(crate) catalog: RwLock<Catalog>,
    /// Committed positions by group and log.
    pub(crate) positions: RwLock<BTreeMap<PositionKey, Committed>>,
    /// Groups that hold back retention even before their first commit.
    pub(crate) registered: Mutex<BTreeSet<PositionKey>>,
    pub(crate) queue: Queue,
    /// Turns whenever something was committed; for threads. Async readers watch their topic.
    pub(crate) committed: Signal,
    /// Turns whenever something was synced; for threads that follow a topic from outside.
    pub(crate) synced: Signal,
    /// Room for appends, in bytes.
    pub(crate) room: Arc<Semaphore>,
    failure: OnceLock<Error>,
    pub(crate) counters: Counters,
}

/// Since the log was opened.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) records: AtomicU64,
    pub(crate) record_bytes: AtomicU64,
    pub(crate) requests: AtomicU64,
    pub(crate) groups: AtomicU64,
    pub(crate) write_ns: AtomicU64,
    pub(crate) syncs: AtomicU64,
    pub(crate) sync_ns: AtomicU64,
    pub(crate) busy: AtomicU64,
    pub(crate) write_failures: AtomicU64,
    pub(crate) records_deleted: AtomicU64,
}

impl Shared {
    pub(crate) fn new(
        backend: Arc<dyn Backend>,
        stores: Stores,
        config: Config,
        catalog: Catalog,
        positions: BTreeMap<PositionKey, Committed>,
    ) -> Self {
        Shared {
            backend,
            stores,
            catalog: RwLock::new(catalog),
            positions: RwLock::new(positions),
            registered: Mutex::default(),
            queue: Queue::default(),
            committed: Signal::default(),
            synced: Signal::default(),
            room: Arc::new(Semaphore::new(config.appends_in_flight_bytes)),
            config,
            failure: OnceLock::new(),
            counters: Counters::default(),
        }
    }

    /// Why nothing can be committed any more, if so.
    pub(crate) fn failure(&self) -> Option<&Error> {
        self.failure.get()
    }

    /// Puts something into the next group. `fill` runs under the queue's lock: it must only copy.
    pub(crate) fn enqueue<T>(&self, waiter: Waiter, fill: impl FnOnce(&mut Pending) -> T) -> Result<T, Error> {
        let mut pending = self.queue.lock();
        if let Some(e) = self.failure() {
            waiter.finish(Err(e.clone()));
            return Err(e.clone());
        }
        if pending.closing {
            waiter.finish(Err(Error::Closed));
            return Err(Error::Closed);
        }
        let answer = fill(&mut pending);
        pending.waiters.push(waiter);
        drop(pending);
        self.queue.filled.notify_one();
        Ok(answer)
    }

    /// As [`Shared::enqueue`], from a thread that waits until it is committed.
    pub(crate) fn commit_and_wait<T>(&self, fill: impl FnOnce(&mut Pending) -> T) -> Result<T, Error> {
        let done = Arc::new(Done::default());
        let answer = self.enqueue(Waiter::thread(done.clone()), fill)?;
        done.wait()?;
        Ok(answer)
    }

    /// From now on nothing is committed; everyone who waits, or will ask, is told.
    pub(crate) fn fail(&self, error: Error) {
        let mut pending = self.queue.lock();
        // The first failure is the one that counts.
        let _ = self.failure.set(error);
        let failed = pending.take();
        drop(pending);
        if let Some(e) = self.failure() {
            failed.finish(&Err(e.clone()));
        }
        self.room.close();
        self.committed.turn();
        self.synced.turn();
        for topic in read(&self.catalog).topics.values() {
            topic.synced.send_modify(|version| *version = version.wrapping_add(1));
        }
    }
}

/// What is to be committed next. Offsets are given out here, under its lock, so that whoever fills it copies its records
/// straight into the batch that will be written.
#[derive(Default)]
pub(crate) struct Queue {
    pending: Mutex<Pending>,
    pub(crate) filled: Condvar,
}

impl Queue {
    pub(crate) fn lock(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The next group: one batch, what becomes visible with it, and who waits for it.
#[derive(Default)]
pub(crate) struct Pending {
    pub(crate) group: Group,
    pub(crate) waiters: Vec<Waiter>,
    /// Chunk of each log in `group` that may still grow.
    open: FxHashMap<LogId, usize>,
    /// Offset and byte position of the next record, where they differ from what is published.
    next: FxHashMap<LogId, (i64, u64)>,
    position_bytes: Vec<u8>,
    pub(crate) closing: bool,
}

/// A group and what it reads.
pub(crate) type PositionKey = (Arc<str>, LogId);

/// What one write commits.
#[derive(Default)]
pub(crate) struct Group {
    pub(crate) batch: Batch,
    pub(crate) chunks: Vec<(Arc<PartitionLog>, Chunk)>,
    pub(crate) positions: Vec<(PositionKey, Option<Committed>)>,
    /// New first offsets.
    pub(crate) starts: Vec<(Arc<PartitionLog>, i64)>,
}

/// A group together with those who wait for it.
pub(crate) struct Taken {
    pub(crate) group: Group,
    pub(crate) waiters: Vec<Waiter>,
}

impl Taken {
    pub(crate) fn finish(self, outcome: &Result<(), Error>) {
        for waiter in self.waiters {
            waiter.finish(outcome.clone());
        }
    }
}

impl Pending {
    pub(crate) fn is_empty(&self) -> bool {
        self.waiters.is_empty()
    }

    /// Takes the group out and leaves an empty one with `spare`'s memory.
    pub(crate) fn take_with(&mut self, spare: Batch) -> Taken {
        self.open.clear();
        let group = std::mem::replace(&mut self.group, Group { batch: spare, ..Group::default() });
        Taken { group, waiters: std::mem::take(&mut self.waiters) }
    }

    /// Takes everything out after a failed write: offsets given out but never written are given out again.
    pub(crate) fn take(&mut self) -> Taken {
        self.next.clear();
        self.take_with(Batch::new())
    }

    /// Adds one record; answers its offset.
    pub(crate) fn append(
        &mut self,
        stores: Stores,
        log: &Arc<PartitionLog>,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        timestamp: Timestamp,
        headers: &Headers,
    ) -> i64 {
        let (offset, position) = self.next_of(log);
        let chunks = &mut self.group.chunks;
        let open = *self.open.entry(log.id).or_insert_with(|| {
            chunks.push((log.clone(), Chunk::starting_at(offset)));
            chunks.len() - 1
        });
        let Some((_, chunk)) = chunks.get_mut(open) else { return offset };
        let record = chunk.push(key, value, timestamp, headers);
        format::set_position(record, position);
        self.group.batch.put(stores.records, log.id.0, &format::record_key(offset), record);
        self.next.insert(log.id, (offset + 1, position + record.len() as u64));
        offset
    }

    /// Adds a chunk of records; answers the offset of the first.
    pub(crate) fn append_chunk(&mut self, stores: Stores, log: &Arc<PartitionLog>, mut chunk: Chunk) -> i64 {
        let (base, position) = self.next_of(log);
        chunk.place(base, position);
        for (offset, record) in chunk.records_from(base) {
            self.group.batch.put(stores.records, log.id.0, &format::record_key(offset), record);
        }
        self.next.insert(log.id, (chunk.end(), position + chunk.bytes() as u64));
        // What is appended after this chunk belongs behind it.
        self.open.remove(&log.id);
        self.group.chunks.push((log.clone(), chunk));
        base
    }

    /// Sets a group's position.
    pub(crate) fn set_position(&mut self, stores: Stores, group: &Arc<str>, log: LogId, committed: Committed) {
        format::encode_position(committed.offset.0, &committed.metadata, &mut self.position_bytes);
        let key = format::position_key(group, log);
        self.group.batch.put(stores.positions, format::POSITIONS, &key, &self.position_bytes);
        self.group.positions.push(((group.clone(), log), Some(committed)));
    }

    /// Forgets a group's position.
    pub(crate) fn remove_position(&mut self, stores: Stores, group: &Arc<str>, log: LogId) {
        self.group.batch.delete(stores.positions, format::POSITIONS, &format::position_key(group, log));
        self.group.positions.push(((group.clone(), log), None));
    }

    /// Deletes everything before an offset.
    pub(crate) fn delete_before(&mut self, stores: Stores, log: &Arc<PartitionLog>, start: i64) {
        let (from, to) = (format::record_key(0), format::record_key(start));
        self.group.batch.delete_range(stores.records, log.id.0, &from, &to);
        self.group.batch.put(stores.topics, format::STARTS, &log.id.0.to_be_bytes(), &start.to_le_bytes());
        self.group.starts.push((log.clone(), start));
    }

    /// Adds state changes of a worker's commit.
    pub(crate) fn add_state(&mut self, state: &Batch) {
        let batch = &mut self.group.batch;
        for op in state.iter() {
            match op {
                state::Op::Put { store, partition, key, value } => batch.put(store, partition, key, value),
                state::Op::Delete { store, partition, key } => batch.delete(store, partition, key),
                state::Op::DeleteRange { store, partition, from, to } => batch.delete_range(store, partition, from, to),
                state::Op::Position { store, partition, encoded } => {
                    if let Ok(position) = state::Position::decode(encoded) {
                        batch.position(store, partition, &position);
                    }
                }
            }
        }
    }

    /// The offset that a record appended now gets.
    pub(crate) fn next_offset(&self, log: &PartitionLog) -> i64 {
        self.next_of(log).0
    }

    fn next_of(&self, log: &PartitionLog) -> (i64, u64) {
        self.next.get(&log.id).copied().unwrap_or_else(|| {
            let extent = log.extent();
            (extent.end, extent.end_position)
        })
    }
}

/// Someone who waits for a group. Dropped unanswered (the committer died), it tells them so.
pub(crate) struct Waiter {
    reply: Option<Reply>,
    room: Option<OwnedSemaphorePermit>,
}

enum Reply {
    Task(oneshot::Sender<Result<(), Error>>),
    Thread(Arc<Done>),
}

impl Waiter {
    pub(crate) fn task(reply: oneshot::Sender<Result<(), Error>>, room: OwnedSemaphorePermit) -> Self {
        Waiter { reply: Some(Reply::Task(reply)), room: Some(room) }
    }

    pub(crate) fn thread(done: Arc<Done>) -> Self {
        Waiter { reply: Some(Reply::Thread(done)), room: None }
    }

    pub(crate) fn finish(mut self, outcome: Result<(), Error>) {
        self.answer(outcome);
    }

    fn answer(&mut self, outcome: Result<(), Error>) {
        // Given back first: whoever is answered finds the room free.
        self.room = None;
        match self.reply.take() {
            // The task may have given up waiting; its record is in the log all the same.
            Some(Reply::Task(reply)) => drop(reply.send(outcome)),
            Some(Reply::Thread(done)) => done.set(outcome),
            None => (),
        }
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        self.answer(Err(Error::Failed("the committer ended".to_owned())));
    }
}

/// An answer a thread waits for.
#[derive(Default)]
pub(crate) struct Done {
    outcome: Mutex<Option<Result<(), Error>>>,
    set: Condvar,
}

impl Done {
    fn set(&self, outcome: Result<(), Error>) {
        *self.outcome.lock().unwrap_or_else(PoisonError::into_inner) = Some(outcome);
        self.set.notify_all();
    }

    fn wait(&self) -> Result<(), Error> {
        let mut outcome = self.outcome.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            match outcome.take() {
                Some(outcome) => return outcome,
                None => outcome = self.set.wait(outcome).unwrap_or_else(PoisonError::into_inner),
            }
        }
    }
}

/// A counter that threads wait on.
#[derive(Default)]
pub(crate) struct Signal {
    turns: Mutex<u64>,
    turned: Condvar,
}

impl Signal {
    /// To be read before looking for what the signal announces, so that nothing is missed between looking and waiting.
    pub(crate) fn turns(&self) -> u64 {
        *self.turns.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn turn(&self) {
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        *turns = turns.wrapping_add(1);
        drop(turns);
        self.turned.notify_all();
    }

    /// Waits until it has turned since `seen`, or `until` has come. Answers whether it has turned.
    pub(crate) fn wait(&self, seen: u64, until: Instant) -> bool {
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        while *turns == seen {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            turns = self.turned.wait_timeout(turns, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }
}

pub(crate) fn read<T>(lock: &RwLock<T>) -> std::sync::RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

pub(crate) fn write<T>(lock: &RwLock<T>) -> std::sync::RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}
