//! What queries read: committed state, committed positions, and which tasks are here in what condition.
//!
//! The backend only ever holds committed data, so a reader needs no coordination with the worker: it reads the backend and
//! then, if it cares, the positions. Positions are published after the data they cover, never before.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, TryLockError};

use state::{Backend, Direction, Engines, Range, StoreId, StoreKind};

use crate::error::Error;
use crate::globals::Progress;
use crate::log;
use crate::serde::SerdeError;
use crate::store::Engine;
use crate::task::Counters;
use crate::topology::{StoreDef, StoreIndex, Topology};
use crate::types::{Offset, Partition, TaskId, Timestamp, TopicPartition};

/// In what condition a task is on this instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Catching its stores up; `done` of `total` changelog offsets.
    Restoring {
        /// Offsets read.
        done: i64,
        /// Offsets to read.
        total: i64,
    },
    /// Processing.
    Running,
    /// Standing still after a failure, with its reason.
    Failed(String),
}

/// A task as seen from outside.
#[derive(Clone, Debug)]
pub struct TaskView {
    /// Its condition.
    pub phase: Phase,
    /// Committed input positions: next offset by input.
    pub positions: Vec<(TopicPartition, Offset)>,
    /// Its counters as of the last commit.
    pub counters: Counters,
    /// Its stream time.
    pub stream_time: Timestamp,
    /// Wall-clock time of its last commit.
    pub committed_at: Timestamp,
}

/// Told after every commit and every change of the assignment, from the worker's thread: must not block.
pub trait Listener: Send + Sync {
    /// Something published changed; positions and phases can be read now.
    fn published(&self);
}

/// Shared between the workers of an application and everyone who reads.
pub struct View {
    topology: Arc<Topology>,
    backend: Arc<dyn Backend>,
    store_ids: Vec<StoreId>,
    elsewhere: Vec<StoreId>,
    /// Texts of the fingerprints that were at work on these stores, by hash.
    fingerprints: StoreId,
    globals: Mutex<Progress>,
    /// Global stores have been read to their end once.
    globals_ready: AtomicBool,
    globals_under_way: AtomicBool,
    tasks: RwLock<BTreeMap<TaskId, TaskView>>,
    claims: RwLock<Claims>,
    listeners: RwLock<Vec<Arc<dyn Listener>>>,
}

/// Which takeover of each task was the last in this process.
#[derive(Debug, Default)]
struct Claims {
    given: u64,
    last: BTreeMap<TaskId, u64>,
}

/// One worker's right to write a task's stores; void once another worker of the process has taken the task over.
///
/// Workers of a process share its stores. The group gives a task to one of them at a time, but a worker that stood still
/// while that changed does not know it yet: without this it could write what it restored or committed over newer state.
#[derive(Debug)]
pub(crate) struct Claim {
    task: TaskId,
    number: u64,
}

impl View {
    /// Opens the topology's stores, named `<application.id>/<store>`: in the backend, or in engines of their own.
    ///
    /// # Errors
    /// When the backend cannot open a store.
    pub fn open(topology: Arc<Topology>, backend: Arc<dyn Backend>) -> Result<Arc<View>, state::Error> {
        let app = topology.application_id();
        let (backend, store_ids) = open_stores(&topology, backend)?;
        let stores = topology.stores().iter().zip(&store_ids);
        let elsewhere = stores.filter(|(store, _)| store.engine.is_some()).map(|(_, id)| *id).collect();
        // No store of a topology has such a name.
        let fingerprints = backend.open_store(&format!("{app}/#fingerprints"), StoreKind::Persistent)?;
        let topology_has_none = topology.globals().is_empty();
        Ok(Arc::new(View {
            topology,
            backend,
            store_ids,
            elsewhere,
            fingerprints,
            tasks: RwLock::default(),
            claims: RwLock::default(),
            listeners: RwLock::default(),
            globals: Mutex::default(),
            globals_under_way: AtomicBool::new(!topology_has_none),
            globals_ready: AtomicBool::new(topology_has_none),
        }))
    }

    /// The topology.
    #[must_use]
    pub fn topology(&self) -> &Arc<Topology> {
        &self.topology
    }

    /// The backend.
    #[must_use]
    pub fn backend(&self) -> &Arc<dyn Backend> {
        &self.backend
    }

    /// The backend's ids of the topology's stores, by [`StoreIndex`].
    #[must_use]
    pub fn store_ids(&self) -> &[StoreId] {
        &self.store_ids
    }

    /// Stores in engines of their own, which no log keeps.
    pub(crate) fn elsewhere(&self) -> &[StoreId] {
        &self.elsewhere
    }

    pub(crate) fn fingerprints(&self) -> StoreId {
        self.fingerprints
    }

    /// A store and its definition by name.
    #[must_use]
    pub fn store(&self, name: &str) -> Option<(StoreIndex, &StoreDef)> {
        self.topology.store(name)
    }

    /// The committed entry of a key: payload and timestamp.
    ///
    /// # Errors
    /// [`QueryError`] when the store fails or its bytes cannot be read.
    pub fn get(
        &self,
        store: StoreIndex,
        partition: Partition,
        key: &[u8],
    ) -> Result<Option<(Vec<u8>, Timestamp)>, QueryError> {
        let Some(id) = self.store_ids.get(store.0 as usize) else {
            return Ok(None);
        };
        let mut bytes = Vec::new();
        if !self.backend.get(*id, partition, key, &mut bytes)? {
            return Ok(None);
        }
        let (timestamp, head_bytes) = crate::value::read_head(&bytes)?;
        // In place: the payload is small, another allocation would cost more than moving it.
        bytes.drain(..head_bytes);
        Ok(Some((bytes, timestamp)))
    }

    /// Committed entries in key byte order, until `visit` breaks; it gets key, payload and timestamp.
    ///
    /// # Errors
    /// As [`View::get`].
    pub fn scan(
        &self,
        store: StoreIndex,
        partition: Partition,
        range: Range<'_>,
        direction: Direction,
        visit: &mut dyn FnMut(&[u8], &[u8], Timestamp) -> ControlFlow<()>,
    ) -> Result<(), QueryError> {
        let Some(id) = self.store_ids.get(store.0 as usize) else {
            return Ok(());
        };
        let mut failed = None;
        self.backend.scan(*id, partition, range, direction, &mut |key, bytes| match crate::value::read(bytes) {
            Ok(stored) => visit(key, stored.payload, stored.timestamp),
            Err(e) => {
                failed = Some(e);
                ControlFlow::Break(())
            }
        })?;
        failed.map_or(Ok(()), |e| Err(e.into()))
    }

    /// The committed position of an input of a task running here: every record below it has had its effect on the stores.
    #[must_use]
    pub fn position(&self, input: TopicPartition) -> Option<Offset> {
        let tasks = read(&self.tasks);
        tasks.values().find_map(|t| t.positions.iter().find(|(tp, _)| *tp == input).map(|(_, o)| *o))
    }

    /// All tasks here.
    #[must_use]
    pub fn tasks(&self) -> Vec<(TaskId, TaskView)> {
        read(&self.tasks).iter().map(|(id, t)| (*id, t.clone())).collect()
    }

    /// The condition of one task, if it is here.
    #[must_use]
    pub fn phase(&self, task: TaskId) -> Option<Phase> {
        read(&self.tasks).get(&task).map(|t| t.phase.clone())
    }

    /// The partitions of a store whose tasks run here. None of a global store, which no task writes.
    #[must_use]
    pub fn running_partitions(&self, store: StoreIndex) -> Vec<Partition> {
        let Some(subtopology) = self.topology.subtopology_of_store(store) else { return Vec::new() };
        let tasks = read(&self.tasks);
        let running = tasks.iter().filter(|(id, t)| id.subtopology == subtopology && t.phase == Phase::Running);
        running.map(|(id, _)| id.partition).collect()
    }

    /// Committed stream time of the task that writes a store's partition, if it is here.
    #[must_use]
    pub fn stream_time(&self, store: StoreIndex, partition: Partition) -> Option<Timestamp> {
        let subtopology = self.topology.subtopology_of_store(store)?;
        read(&self.tasks).get(&TaskId { subtopology, partition }).map(|t| t.stream_time)
    }

    /// The right to catch global stores up, unless another worker has it now.
    pub(crate) fn globals(&self) -> Option<MutexGuard<'_, Progress>> {
        match self.globals.try_lock() {
            Ok(progress) => Some(progress),
            // What a worker that panicked has written stands: positions go with the data.
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    /// Global stores have been read to their end once; tasks may start.
    pub(crate) fn globals_ready(&self) -> bool {
        self.globals_ready.load(Ordering::Acquire)
    }

    /// Global stores are being caught up: they are not ready yet, or lag behind an end that was asked for.
    pub(crate) fn globals_under_way(&self) -> bool {
        self.globals_under_way.load(Ordering::Relaxed)
    }

    /// What a round of catching global stores up has come to.
    pub(crate) fn set_globals(&self, complete: bool) {
        self.globals_under_way.store(!complete, Ordering::Relaxed);
        if complete {
            self.globals_ready.store(true, Ordering::Release);
        }
    }

    /// Takes a task's stores over from whichever worker of this process had them.
    pub(crate) fn claim(&self, task: TaskId) -> Claim {
        let mut claims = self.claims.write().unwrap_or_else(PoisonError::into_inner);
        claims.given += 1;
        let number = claims.given;
        claims.last.insert(task, number);
        Claim { task, number }
    }

    /// Changes stores, with the right to do so held for the time of the change.
    ///
    /// # Errors
    /// [`log::Error::Fenced`] when a claim is void; nothing was changed then. Otherwise of the change.
    pub(crate) fn with_claims<'a>(
        &self,
        mut claims: impl Iterator<Item = &'a Claim>,
        change: impl FnOnce(&dyn Backend) -> Result<(), state::Error>,
    ) -> Result<(), Error> {
        // Shared: workers write their own tasks' stores at the same time, and a takeover waits for all of them.
        let held = read(&self.claims);
        if let Some(void) = claims.find(|c| held.last.get(&c.task) != Some(&c.number)) {
            let reason = format!("another worker of this process has taken task {} over", void.task);
            return Err(log::Error::Fenced(reason).into());
        }
        Ok(change(&*self.backend)?)
    }

    /// Adds a listener for the life of the view.
    pub fn listen(&self, listener: Arc<dyn Listener>) {
        self.listeners.write().unwrap_or_else(PoisonError::into_inner).push(listener);
    }

    pub(crate) fn publish(&self, change: impl FnOnce(&mut BTreeMap<TaskId, TaskView>)) {
        change(&mut self.tasks.write().unwrap_or_else(PoisonError::into_inner));
        for listener in read(&self.listeners).iter() {
            listener.published();
        }
    }
}

/// Opens the stores; behind a backend that knows which is where, if any has an engine of its own.
fn open_stores(
    topology: &Topology,
    backend: Arc<dyn Backend>,
) -> Result<(Arc<dyn Backend>, Vec<StoreId>), state::Error> {
    let name = |store: &StoreDef| format!("{}/{}", topology.application_id(), store.name);
    let mut engines: Vec<&Engine> = Vec::new();
    for engine in topology.stores().iter().filter_map(|s| s.engine.as_ref()) {
        if !engines.iter().any(|known| known.is(engine)) {
            engines.push(engine);
        }
    }
    if engines.is_empty() {
        let ids = topology.stores().iter().map(|s| backend.open_store(&name(s), s.kind)).collect::<Result<_, _>>()?;
        return Ok((backend, ids));
    }
    let opened = engines.iter().map(|e| e.open()).collect::<Result<_, _>>()?;
    let backend = Engines::new(backend, opened);
    let open = |store: &StoreDef| {
        let own = store.engine.as_ref().and_then(|engine| engines.iter().position(|known| known.is(engine)));
        match own {
            Some(engine) => backend.open_store_in(engine, &name(store)),
            None => backend.open_store(&name(store), store.kind),
        }
    };
    let ids = topology.stores().iter().map(open).collect::<Result<_, _>>()?;
    Ok((Arc::new(backend), ids))
}

/// A reader that panicked has not changed anything, so a poisoned lock is still good.
fn read<T>(lock: &RwLock<T>) -> std::sync::RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

/// Why a query failed.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    /// The store failed.
    #[error(transparent)]
    State(#[from] state::Error),
    /// An entry cannot be read.
    #[error(transparent)]
    Format(#[from] SerdeError),
    /// There is no such store, or it is of another kind.
    #[error("{0}")]
    Store(String),
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serde::Utf8;
    use crate::topology::{SourceOptions, TopologyBuilder};

    #[test]
    fn who_lost_a_task_to_another_worker_writes_nothing() {
        let mut b = TopologyBuilder::new("app");
        let source = b.source("in", &["in"], Utf8, Utf8, SourceOptions::default());
        let sink = b.sink("out", "out", Utf8, Utf8);
        b.connect(source, sink);
        let topology = Arc::new(b.build().unwrap_or_else(|e| panic!("{e}")));
        let view = View::open(topology, Arc::new(state::Memory::new())).unwrap_or_else(|e| panic!("{e}"));
        let task = TaskId { subtopology: 0, partition: 0 };
        let stalled = view.claim(task);
        assert!(view.with_claims([&stalled].into_iter(), |_| Ok(())).is_ok());
        let successor = view.claim(task);
        let refused = view.with_claims([&stalled].into_iter(), |_| panic!("must not be called"));
        assert!(matches!(refused, Err(Error::Log(log::Error::Fenced(_)))), "{refused:?}");
        assert!(view.with_claims([&successor].into_iter(), |_| Ok(())).is_ok());
    }
}
