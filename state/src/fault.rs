//! A backend that fails on purpose, for tests of everything above it.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::backend::{Backend, Snapshot, StoreKind, Usage, Visit};
use crate::{Batch, Direction, Error, Partition, Position, Range, StoreId};

/// Wraps a [`Backend`] and injects faults: a freeze, a full disk, the loss of what was not synced.
///
/// It is deterministic: faults happen when counts are reached, and [`FaultBackend::counts`] tells what happened.
pub struct FaultBackend {
    inner: Arc<dyn Backend>,
    state: Mutex<State>,
}

/// What a [`FaultBackend`] did.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counts {
    /// Batches written and partitions dropped.
    pub writes: u64,
    /// Syncs done.
    pub syncs: u64,
    /// Operations refused because of a freeze.
    pub refused: u64,
    /// Writes failed with a full disk.
    pub disk_full: u64,
    /// Writes taken back by [`FaultBackend::lose_unsynced`].
    pub lost: u64,
}

#[derive(Default)]
struct State {
    counts: Counts,
    freeze_at_writes: Option<u64>,
    freeze_at_syncs: Option<u64>,
    disk_full_next: bool,
    unsynced_writes: u64,
    /// The store partitions written since the last sync, as they were at that sync.
    synced: BTreeMap<(StoreId, Partition), Image>,
}

/// A whole store partition.
struct Image {
    entries: Vec<(Vec<u8>, Vec<u8>)>,
    position: Option<Position>,
}

impl FaultBackend {
    /// A wrapper that fails nothing until it is told to.
    pub fn new(inner: Arc<dyn Backend>) -> Self {
        FaultBackend { inner, state: Mutex::default() }
    }

    /// Lets `writes` more writes through. Every operation after the last of them fails with [`Error::Frozen`], as if
    /// the process had ended there.
    pub fn freeze_after_writes(&self, writes: u64) {
        let mut state = self.state();
        state.freeze_at_writes = Some(state.counts.writes + writes);
    }

    /// As [`FaultBackend::freeze_after_writes`], counting syncs.
    pub fn freeze_after_syncs(&self, syncs: u64) {
        let mut state = self.state();
        state.freeze_at_syncs = Some(state.counts.syncs + syncs);
    }

    /// Ends a freeze: the process has started again.
    pub fn thaw(&self) {
        let mut state = self.state();
        state.freeze_at_writes = None;
        state.freeze_at_syncs = None;
    }

    /// Fails the next write with [`Error::DiskFull`], once.
    pub fn fail_next_write(&self) {
        self.state().disk_full_next = true;
    }

    /// Takes back everything written since the last sync, as a power loss does. Works in a freeze.
    ///
    /// # Errors
    /// The wrapped backend's.
    pub fn lose_unsynced(&self) -> Result<(), Error> {
        let mut state = self.state();
        let mut batch = Batch::new();
        for ((store, partition), image) in std::mem::take(&mut state.synced) {
            self.inner.drop_partition(store, partition)?;
            for (key, value) in &image.entries {
                batch.put(store, partition, key, value);
            }
            if let Some(position) = &image.position {
                batch.position(store, partition, position);
            }
        }
        self.inner.write(&batch)?;
        state.counts.lost += std::mem::take(&mut state.unsynced_writes);
        Ok(())
    }

    /// What was done so far.
    pub fn counts(&self) -> Counts {
        self.state().counts
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn not_frozen(&self) -> Result<(), Error> {
        self.state().not_frozen()
    }

    /// Counts a write of some store partitions, and does it.
    fn change(
        &self,
        places: impl Iterator<Item = (StoreId, Partition)>,
        write: impl FnOnce() -> Result<(), Error>,
    ) -> Result<(), Error> {
        let mut state = self.state();
        state.not_frozen()?;
        if std::mem::take(&mut state.disk_full_next) {
            state.counts.disk_full += 1;
            return Err(Error::DiskFull { message: "injected".to_owned() });
        }
        for (store, partition) in places {
            if let Entry::Vacant(place) = state.synced.entry((store, partition)) {
                place.insert(Image::of(&*self.inner, store, partition)?);
            }
        }
        write()?;
        state.counts.writes += 1;
        state.unsynced_writes += 1;
        Ok(())
    }
}

impl State {
    fn not_frozen(&mut self) -> Result<(), Error> {
        let Counts { writes, syncs, .. } = self.counts;
        let after = match (self.freeze_at_writes, self.freeze_at_syncs) {
            (Some(at), _) if writes >= at => format!("{writes} writes"),
            (_, Some(at)) if syncs >= at => format!("{syncs} syncs"),
            _ => return Ok(()),
        };
        self.counts.refused += 1;
        Err(Error::Frozen { after })
    }
}

impl Image {
    fn of(backend: &dyn Backend, store: StoreId, partition: Partition) -> Result<Self, Error> {
        let mut entries = Vec::new();
        backend.scan(store, partition, Range::all(), Direction::Forward, &mut |key, value| {
            entries.push((key.to_vec(), value.to_vec()));
            ControlFlow::Continue(())
        })?;
        Ok(Image { entries, position: backend.position(store, partition)? })
    }
}

impl Backend for FaultBackend {
    fn open_store(&self, name: &str, kind: StoreKind) -> Result<StoreId, Error> {
        self.not_frozen()?;
        self.inner.open_store(name, kind)
    }

    fn get(&self, store: StoreId, partition: Partition, key: &[u8], out: &mut Vec<u8>) -> Result<bool, Error> {
        self.not_frozen()?;
        self.inner.get(store, partition, key, out)
    }

    fn scan(
        &self,
        store: StoreId,
        partition: Partition,
        range: Range<'_>,
        direction: Direction,
        visit: &mut Visit<'_>,
    ) -> Result<(), Error> {
        self.not_frozen()?;
        self.inner.scan(store, partition, range, direction, visit)
    }

    fn snapshot(&self) -> Box<dyn Snapshot + '_> {
        Box::new(FaultSnapshot { backend: self, inner: self.inner.snapshot() })
    }

    fn write(&self, batch: &Batch) -> Result<(), Error> {
        self.change(batch.iter().map(|op| (op.store(), op.partition())), || self.inner.write(batch))
    }

    fn sync(&self) -> Result<(), Error> {
        let mut state = self.state();
        state.not_frozen()?;
        self.inner.sync()?;
        state.counts.syncs += 1;
        state.unsynced_writes = 0;
        state.synced.clear();
        Ok(())
    }

    fn position(&self, store: StoreId, partition: Partition) -> Result<Option<Position>, Error> {
        self.not_frozen()?;
        self.inner.position(store, partition)
    }

    fn drop_partition(&self, store: StoreId, partition: Partition) -> Result<(), Error> {
        self.change([(store, partition)].into_iter(), || self.inner.drop_partition(store, partition))
    }

    fn usage(&self) -> Usage {
        self.inner.usage()
    }
}

struct FaultSnapshot<'a> {
    backend: &'a FaultBackend,
    inner: Box<dyn Snapshot + 'a>,
}

impl Snapshot for FaultSnapshot<'_> {
    fn get(&self, store: StoreId, partition: Partition, key: &[u8], out: &mut Vec<u8>) -> Result<bool, Error> {
        self.backend.not_frozen()?;
        self.inner.get(store, partition, key, out)
    }

    fn scan(
        &self,
        store: StoreId,
        partition: Partition,
        range: Range<'_>,
        direction: Direction,
        visit: &mut Visit<'_>,
    ) -> Result<(), Error> {
        self.backend.not_frozen()?;
        self.inner.scan(store, partition, range, direction, visit)
    }

    fn position(&self, store: StoreId, partition: Partition) -> Result<Option<Position>, Error> {
        self.backend.not_frozen()?;
        self.inner.position(store, partition)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Memory;

    fn batch(store: StoreId, key: &[u8], next: i64) -> Batch {
        let mut batch = Batch::new();
        batch.put(store, 0, key, b"v");
        batch.position(store, 0, &Position { changelog_next: next, ..Position::default() });
        batch
    }

    #[test]
    fn freezes_after_so_many_writes_and_thaws() {
        let fault = FaultBackend::new(Arc::new(Memory::new()));
        let store = fault.open_store("s", StoreKind::Persistent).unwrap();
        let snapshot = fault.snapshot();
        fault.freeze_after_writes(2);
        fault.write(&batch(store, b"a", 1)).unwrap();
        fault.write(&batch(store, b"b", 2)).unwrap();
        assert!(matches!(fault.write(&batch(store, b"c", 3)), Err(Error::Frozen { .. })));
        assert!(matches!(fault.get(store, 0, b"a", &mut Vec::new()), Err(Error::Frozen { .. })));
        assert!(matches!(snapshot.position(store, 0), Err(Error::Frozen { .. })));
        assert!(matches!(fault.sync(), Err(Error::Frozen { .. })));
        fault.thaw();
        assert_eq!(fault.position(store, 0).unwrap().unwrap().changelog_next, 2);
        assert_eq!(fault.counts(), Counts { writes: 2, refused: 4, ..Counts::default() });
    }

    #[test]
    fn freezes_after_so_many_syncs_and_loses_what_was_not_synced() {
        let fault = FaultBackend::new(Arc::new(Memory::new()));
        let store = fault.open_store("s", StoreKind::Persistent).unwrap();
        fault.freeze_after_syncs(1);
        fault.write(&batch(store, b"a", 1)).unwrap();
        fault.sync().unwrap();
        assert!(fault.write(&batch(store, b"b", 2)).is_err());
        fault.thaw();
        fault.write(&batch(store, b"b", 2)).unwrap();
        fault.drop_partition(store, 0).unwrap();
        fault.write(&batch(store, b"c", 3)).unwrap();
        fault.lose_unsynced().unwrap();
        assert_eq!(Image::of(&fault, store, 0).unwrap().entries, [(b"a".to_vec(), b"v".to_vec())]);
        assert_eq!(fault.position(store, 0).unwrap().unwrap().changelog_next, 1);
        assert_eq!(fault.counts().lost, 3);
        // Before the first sync there was nothing.
        let fresh = FaultBackend::new(Arc::new(Memory::new()));
        let store = fresh.open_store("s", StoreKind::Persistent).unwrap();
        fresh.write(&batch(store, b"a", 1)).unwrap();
        fresh.lose_unsynced().unwrap();
        assert_eq!(fresh.position(store, 0).unwrap(), None);
        assert!(!fresh.get(store, 0, b"a", &mut Vec::new()).unwrap());
    }

    #[test]
    fn fails_one_write_with_a_full_disk() {
        let fault = FaultBackend::new(Arc::new(Memory::new()));
        let store = fault.open_store("s", StoreKind::Persistent).unwrap();
        fault.fail_next_write();
        assert!(matches!(fault.write(&batch(store, b"a", 1)), Err(Error::DiskFull { .. })));
        assert_eq!(fault.position(store, 0).unwrap(), None);
        fault.write(&batch(store, b"a", 1)).unwrap();
        assert_eq!(fault.counts(), Counts { writes: 1, disk_full: 1, ..Counts::default() });
    }
}
