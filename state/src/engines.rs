//! Stores of one process in several storage engines.

use std::sync::{Arc, PoisonError, RwLock};

use crate::backend::{Backend, Snapshot, StoreKind, Usage, Visit};
use crate::{Batch, Direction, Error, Partition, Position, Range, StoreId};

/// First id of a store in an engine of its own. Below are the main backend's stores, under the ids it gave them.
const FIRST: u16 = 1 << 15;

/// A [`Backend`] that keeps chosen stores in engines of their own, and all others in its main backend.
///
/// A store's data and position are always in the same engine. A batch is split by engine and written engine by engine, the
/// main one first, each part atomically. After a crash in between, an engine that has not got its part stands, data and
/// positions, where it stood before, and its stores are caught up from their changelogs: a position may lag data, it never
/// leads it.
///
/// Ids of the main backend's stores are its own, so that a batch that changes only those can be written to either.
pub struct Engines {
    main: Arc<dyn Backend>,
    engines: Vec<Arc<dyn Backend>>,
    /// By id from [`FIRST`] on: which engine, and the store's id there.
    routes: RwLock<Vec<(usize, StoreId)>>,
    /// Read to take a snapshot, written to change more than one engine: each snapshot has a batch whole or not.
    all: RwLock<()>,
}

impl Engines {
    /// A main backend, and engines that [`Engines::open_store_in`] knows by their index.
    pub fn new(main: Arc<dyn Backend>, engines: Vec<Arc<dyn Backend>>) -> Self {
        Engines { main, engines, routes: RwLock::default(), all: RwLock::default() }
    }

    /// Opens a store in an engine; opening it again gives the same id.
    ///
    /// # Errors
    /// [`Error::TooManyStores`]; the engine's.
    pub fn open_store_in(&self, engine: usize, name: &str) -> Result<StoreId, Error> {
        let there = self.engine(engine)?.open_store(name, StoreKind::Persistent)?;
        let mut routes = self.routes.write().unwrap_or_else(PoisonError::into_inner);
        let at = routes.iter().position(|route| *route == (engine, there)).unwrap_or_else(|| {
            routes.push((engine, there));
            routes.len() - 1
        });
        let id = u16::try_from(at).ok().and_then(|at| FIRST.checked_add(at));
        id.map(StoreId).ok_or(Error::TooManyStores)
    }

    fn engine(&self, engine: usize) -> Result<&dyn Backend, Error> {
        self.engines.get(engine).map(|e| &**e).ok_or(Error::UnknownEngine(engine))
    }

    /// The engine of a store (none: the main backend), and its id there.
    fn route(&self, store: StoreId) -> Result<(Option<usize>, StoreId), Error> {
        let Some(at) = store.0.checked_sub(FIRST) else { return Ok((None, store)) };
        let routes = self.routes.read().unwrap_or_else(PoisonError::into_inner);
        let (engine, there) = *routes.get(usize::from(at)).ok_or(Error::UnknownStore(store))?;
        Ok((Some(engine), there))
    }

    fn of(&self, store: StoreId) -> Result<(&dyn Backend, StoreId), Error> {
        match self.route(store)? {
            (None, there) => Ok((&*self.main, there)),
            (Some(engine), there) => Ok((self.engine(engine)?, there)),
        }
    }

    fn each(&self) -> impl Iterator<Item = &dyn Backend> {
        std::iter::once(&*self.main).chain(self.engines.iter().map(|e| &**e))
    }
}

impl Backend for Engines {
    fn open_store(&self, name: &str, kind: StoreKind) -> Result<StoreId, Error> {
        let id = self.main.open_store(name, kind)?;
        if id.0 < FIRST { Ok(id) } else { Err(Error::TooManyStores) }
    }

    fn get(&self, store: StoreId, partition: Partition, key: &[u8], out: &mut Vec<u8>) -> Result<bool, Error> {
        let (engine, there) = self.of(store)?;
        engine.get(there, partition, key, out)
    }

    fn scan(
        &self,
        store: StoreId,
        partition: Partition,
        range: Range<'_>,
        direction: Direction,
        visit: &mut Visit<'_>,
    ) -> Result<(), Error> {
        let (engine, there) = self.of(store)?;
        engine.scan(there, partition, range, direction, visit)
    }

    fn snapshot(&self) -> Box<dyn Snapshot + '_> {
        let _whole = self.all.read().unwrap_or_else(PoisonError::into_inner);
        let engines = self.engines.iter().map(|e| e.snapshot()).collect();
        Box::new(EnginesSnapshot { of: self, main: self.main.snapshot(), engines })
    }

    /// Atomic in each engine. On an error the engines before the one that failed have their part, the others have not.
    fn write(&self, batch: &Batch) -> Result<(), Error> {
        if batch.iter().all(|op| op.store().0 < FIRST) {
            return self.main.write(batch);
        }
        let mut main = Batch::new();
        let mut parts: Vec<Batch> = self.engines.iter().map(|_| Batch::new()).collect();
        for op in batch.iter() {
            let (engine, there) = self.route(op.store())?;
            engine.and_then(|engine| parts.get_mut(engine)).unwrap_or(&mut main).push_as(there, op);
        }
        let _whole = self.all.write().unwrap_or_else(PoisonError::into_inner);
        for (engine, part) in self.each().zip(std::iter::once(&main).chain(&parts)) {
            if !part.is_empty() {
                engine.write(part)?;
            }
        }
        Ok(())
    }

    fn sync(&self) -> Result<(), Error> {
        self.each().try_for_each(|engine| engine.sync())
    }

    fn position(&self, store: StoreId, partition: Partition) -> Result<Option<Position>, Error> {
        let (engine, there) = self.of(store)?;
        engine.position(there, partition)
    }

    fn drop_partition(&self, store: StoreId, partition: Partition) -> Result<(), Error> {
        let (engine, there) = self.of(store)?;
        engine.drop_partition(there, partition)
    }

    fn usage(&self) -> Usage {
        self.each().map(|engine| engine.usage()).fold(Usage::default(), |a, b| Usage {
            memory_store_bytes: a.memory_store_bytes + b.memory_store_bytes,
            memtable_bytes: a.memtable_bytes + b.memtable_bytes,
            block_cache_bytes: a.block_cache_bytes + b.block_cache_bytes,
            block_cache_pinned_bytes: a.block_cache_pinned_bytes + b.block_cache_pinned_bytes,
            memory_budget_bytes: a.memory_budget_bytes + b.memory_budget_bytes,
            disk_bytes: a.disk_bytes + b.disk_bytes,
            pending_compaction_bytes: a.pending_compaction_bytes + b.pending_compaction_bytes,
        })
    }
}

/// Snapshots of all engines, taken while no batch was half written.
struct EnginesSnapshot<'a> {
    of: &'a Engines,
    main: Box<dyn Snapshot + 'a>,
    engines: Vec<Box<dyn Snapshot + 'a>>,
}

impl EnginesSnapshot<'_> {
    fn at(&self, store: StoreId) -> Result<(&dyn Snapshot, StoreId), Error> {
        match self.of.route(store)? {
            (None, there) => Ok((&*self.main, there)),
            (Some(engine), there) => {
                let snapshot = self.engines.get(engine).ok_or(Error::UnknownEngine(engine))?;
                Ok((&**snapshot, there))
            }
        }
    }
}

impl Snapshot for EnginesSnapshot<'_> {
    fn get(&self, store: StoreId, partition: Partition, key: &[u8], out: &mut Vec<u8>) -> Result<bool, Error> {
        let (snapshot, there) = self.at(store)?;
        snapshot.get(there, partition, key, out)
    }

    fn scan(
        &self,
        store: StoreId,
        partition: Partition,
        range: Range<'_>,
        direction: Direction,
        visit: &mut Visit<'_>,
    ) -> Result<(), Error> {
        let (snapshot, there) = self.at(store)?;
        snapshot.scan(there, partition, range, direction, visit)
    }

    fn position(&self, store: StoreId, partition: Partition) -> Result<Option<Position>, Error> {
        let (snapshot, there) = self.at(store)?;
        snapshot.position(there, partition)
    }
}
