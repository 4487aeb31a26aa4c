//! Stores in memory: for tests, simulations, and stores that a persistent backend holds in memory.

use std::collections::{BTreeMap, VecDeque, btree_map};
use std::ops::{Bound, ControlFlow};
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use rustc_hash::FxHashMap;

use crate::backend::{Backend, Snapshot, StoreKind, Usage, Visit, check_name};
use crate::{Batch, Direction, Error, Op, Partition, Position, Range, StoreId};

/// All stores in ordered maps under one lock. Loses everything with the process; [`Backend::sync`] does nothing.
///
/// Snapshots are multi-version: a batch written while snapshots are alive keeps the versions they see, and only
/// those; taking one costs one lock, not a copy.
#[derive(Default)]
pub struct Memory {
    data: RwLock<Data>,
    /// How many snapshots are alive at each sequence number. Always locked inside `data`, never the other way round.
    live: Mutex<BTreeMap<u64, usize>>,
}

#[derive(Default)]
struct Data {
    stores: Vec<Store>,
    /// Encoded positions, under `position_key`.
    positions: Entries,
    /// Number of the last batch applied.
    sequence: u64,
    /// Keys with versions that snapshots may still need, in order of `Superseded::at`.
    superseded: VecDeque<Superseded>,
}

struct Store {
    name: String,
    kind: StoreKind,
    partitions: FxHashMap<Partition, Entries>,
}

/// A version of `key` that no snapshot taken at or after `at` can see.
struct Superseded {
    at: u64,
    place: Place,
    key: Box<[u8]>,
}

#[derive(Clone, Copy)]
enum Place {
    Positions,
    Data(StoreId, Partition),
}

#[derive(Default)]
struct Entries {
    map: BTreeMap<Box<[u8]>, Versions>,
    /// Keys and newest values.
    bytes: u64,
}

/// The newest version of a key, and those before it that living snapshots may need (oldest first).
struct Versions {
    sequence: u64,
    value: Option<Box<[u8]>>,
    older: Vec<(u64, Option<Box<[u8]>>)>,
}

/// What a writer must know of the snapshots that are alive: the oldest and the newest.
#[derive(Clone, Copy)]
struct Living {
    oldest: Option<u64>,
    newest: Option<u64>,
}

impl Memory {
    /// A backend without stores.
    pub fn new() -> Self {
        Self::default()
    }

    /// A panic of another thread cannot have left `Data` half changed: batches are checked before they are applied.
    fn read(&self) -> RwLockReadGuard<'_, Data> {
        self.data.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self) -> RwLockWriteGuard<'_, Data> {
        self.data.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn live(&self) -> MutexGuard<'_, BTreeMap<u64, usize>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn living(&self) -> Living {
        let live = self.live();
        Living { oldest: live.keys().next().copied(), newest: live.keys().next_back().copied() }
    }
}

impl Backend for Memory {
    fn open_store(&self, name: &str, kind: StoreKind) -> Result<StoreId, Error> {
        check_name(name)?;
        let mut data = self.change();
        if let Some(at) = data.stores.iter().position(|store| store.name == name) {
            return match data.stores.get(at) {
                Some(store) if store.kind == kind => Ok(StoreId(at as u16)),
                _ => Err(Error::KindChanged { name: name.to_owned() }),
            };
        }
        let id = u16::try_from(data.stores.len()).map_err(|_| Error::TooManyStores)?;
        data.stores.push(Store { name: name.to_owned(), kind, partitions: FxHashMap::default() });
        Ok(StoreId(id))
    }

    fn get(&self, store: StoreId, partition: Partition, key: &[u8], out: &mut Vec<u8>) -> Result<bool, Error> {
        self.read().get(store, partition, key, u64::MAX, out)
    }

    fn scan(
        &self,
        store: StoreId,
        partition: Partition,
        range: Range<'_>,
        direction: Direction,
        visit: &mut Visit<'_>,
    ) -> Result<(), Error> {
        self.read().scan(store, partition, range, direction, u64::MAX, visit)
    }

    fn snapshot(&self) -> Box<dyn Snapshot + '_> {
        Box::new(self.view())
    }

    fn write(&self, batch: &Batch) -> Result<(), Error> {
        self.write_where(batch, |_| true)
    }

    fn sync(&self) -> Result<(), Error> {
        Ok(())
    }

    fn position(&self, store: StoreId, partition: Partition) -> Result<Option<Position>, Error> {
        self.read().position(store, partition, u64::MAX)
    }

    fn drop_partition(&self, store: StoreId, partition: Partition) -> Result<(), Error> {
        let mut data = self.change();
        data.store(store)?;
        let living = self.living();
        data.sequence += 1;
        data.remove_all(Place::Data(store, partition), Range::all(), living)?;
        data.set(Place::Positions, &position_key(store, partition), None, living)?;
        data.forget_superseded(living);
        Ok(())
    }

    fn usage(&self) -> Usage {
        let data = self.read();
        let entries = data.stores.iter().flat_map(|store| store.partitions.values());
        Usage { memory_store_bytes: entries.map(|entries| entries.bytes).sum(), ..Usage::default() }
    }
}

impl Memory {
    /// [`Backend::write`] of the changes to the stores that `take` names.
    pub(crate) fn write_where(&self, batch: &Batch, take: impl Fn(StoreId) -> bool) -> Result<(), Error> {
        let mut data = self.change();
        for op in batch.iter() {
            data.store(op.store())?;
        }
        let living = self.living();
        data.sequence += 1;
        for op in batch.iter().filter(|op| take(op.store())) {
            data.apply(op, living)?;
        }
        data.forget_superseded(living);
        Ok(())
    }

    /// [`Backend::snapshot`] with its type.
    pub(crate) fn view(&self) -> View<'_> {
        let data = self.read();
        let sequence = data.sequence;
        *self.live().entry(sequence).or_default() += 1;
        View { memory: self, sequence }
    }
}

impl Data {
    fn store(&self, store: StoreId) -> Result<&Store, Error> {
        self.stores.get(usize::from(store.0)).ok_or(Error::UnknownStore(store))
    }

    /// The entries of a place, made if it is a partition's first; `Err` for a store that is not open.
    fn entries(&mut self, place: Place) -> Result<&mut Entries, Error> {
        match place {
            Place::Positions => Ok(&mut self.positions),
            Place::Data(store, partition) => {
                let found = self.stores.get_mut(usize::from(store.0)).ok_or(Error::UnknownStore(store))?;
                Ok(found.partitions.entry(partition).or_default())
            }
        }
    }

    fn get(&self, store: StoreId, partition: Partition, key: &[u8], at: u64, out: &mut Vec<u8>) -> Result<bool, Error> {
        out.clear();
        let entries = self.store(store)?.partitions.get(&partition);
        let Some(value) = entries.and_then(|entries| entries.map.get(key)?.at(at)) else { return Ok(false) };
        out.extend_from_slice(value);
        Ok(true)
    }

    fn scan(
        &self,
        store: StoreId,
        partition: Partition,
        range: Range<'_>,
        direction: Direction,
        at: u64,
        visit: &mut Visit<'_>,
    ) -> Result<(), Error> {
        let Some(entries) = self.store(store)?.partitions.get(&partition) else { return Ok(()) };
        // An empty range is an answer here; to BTreeMap it is a panic.
        if range.is_empty() {
            return Ok(());
        }
        let found = entries.map.range::<[u8], (Bound<&[u8]>, Bound<&[u8]>)>((range.from, range.to));
        let mut found = found.map(|(key, versions)| (&**key, versions));
        let mut visit = |(key, versions): (&[u8], &Versions)| match versions.at(at) {
            Some(value) => visit(key, value),
            None => ControlFlow::Continue(()),
        };
        // A visitor that breaks has what it wanted.
        let _ = match direction {
            Direction::Forward => found.try_for_each(&mut visit),
            Direction::Reverse => found.rev().try_for_each(&mut visit),
        };
        Ok(())
    }

    fn position(&self, store: StoreId, partition: Partition, at: u64) -> Result<Option<Position>, Error> {
        self.store(store)?;
        let versions = self.positions.map.get(&position_key(store, partition)[..]);
        versions.and_then(|versions| versions.at(at)).map(Position::decode).transpose()
    }

    fn apply(&mut self, op: Op<'_>, living: Living) -> Result<(), Error> {
        match op {
            Op::Put { store, partition, key, value } => {
                self.set(Place::Data(store, partition), key, Some(value), living)
            }
            Op::Delete { store, partition, key } => self.set(Place::Data(store, partition), key, None, living),
            Op::DeleteRange { store, partition, from, to } => {
                self.remove_all(Place::Data(store, partition), Range::half_open(from, to), living)
            }
            Op::Position { store, partition, encoded } => {
                self.set(Place::Positions, &position_key(store, partition), Some(encoded), living)
            }
        }
    }

    /// Sets or removes one key at the current sequence number.
    fn set(&mut self, place: Place, key: &[u8], value: Option<&[u8]>, living: Living) -> Result<(), Error> {
        let sequence = self.sequence;
        if self.entries(place)?.set(key, value, sequence, living) {
            self.superseded.push_back(Superseded { at: sequence, place, key: key.into() });
        }
        Ok(())
    }

    fn remove_all(&mut self, place: Place, range: Range<'_>, living: Living) -> Result<(), Error> {
        if range.is_empty() {
            return Ok(());
        }
        let bounds = (range.from, range.to);
        let keys: Vec<_> = self.entries(place)?.map.range::<[u8], _>(bounds).map(|(key, _)| key.clone()).collect();
        keys.iter().try_for_each(|key| self.set(place, key, None, living))
    }

    /// Drops the versions that no living snapshot can see. Amortised constant: each is looked at once.
    fn forget_superseded(&mut self, living: Living) {
        while let Some(next) = self.superseded.front()
            && living.oldest.is_none_or(|oldest| next.at <= oldest)
            && let Some(Superseded { place, key, .. }) = self.superseded.pop_front()
        {
            if let Ok(entries) = self.entries(place) {
                entries.forget(&key, living);
            }
        }
    }
}

impl Entries {
    /// Sets or removes a key. Answers whether a version was kept for a snapshot, to be forgotten later.
    fn set(&mut self, key: &[u8], value: Option<&[u8]>, sequence: u64, living: Living) -> bool {
        let Some(versions) = self.map.get_mut(key) else {
            if let Some(value) = value {
                self.bytes += (key.len() + value.len()) as u64;
                self.map.insert(key.into(), Versions { sequence, value: Some(value.into()), older: Vec::new() });
            }
            return false;
        };
        self.bytes -= versions.bytes(key);
        let needed = living.newest.is_some_and(|newest| newest >= versions.sequence);
        let before = (versions.sequence, versions.value.take());
        *versions = Versions { sequence, value: value.map(Into::into), older: std::mem::take(&mut versions.older) };
        if needed {
            versions.older.push(before);
        }
        self.bytes += versions.bytes(key);
        if versions.value.is_none() && versions.older.is_empty() {
            self.map.remove(key);
        }
        needed
    }

    fn forget(&mut self, key: &[u8], living: Living) {
        let btree_map::Entry::Occupied(mut entry) = self.map.entry(key.into()) else { return };
        let versions = entry.get_mut();
        // A version is needed by the snapshots from its own number up to, not including, its successor's.
        let unneeded = match living.oldest {
            None => versions.older.len(),
            Some(oldest) => {
                let successors = versions.older.iter().skip(1).map(|(sequence, _)| *sequence);
                successors.chain([versions.sequence]).take_while(|successor| *successor <= oldest).count()
            }
        };
        versions.older.drain(..unneeded.min(versions.older.len()));
        if versions.value.is_none() && versions.older.is_empty() {
            entry.remove();
        }
    }
}

impl Versions {
    /// The value as a snapshot taken at `sequence` sees it.
    fn at(&self, sequence: u64) -> Option<&[u8]> {
        if self.sequence <= sequence {
            return self.value.as_deref();
        }
        let (_, value) = self.older.iter().rev().find(|(from, _)| *from <= sequence)?;
        value.as_deref()
    }

    fn bytes(&self, key: &[u8]) -> u64 {
        self.value.as_ref().map_or(0, |value| (key.len() + value.len()) as u64)
    }
}

fn position_key(store: StoreId, partition: Partition) -> [u8; 6] {
    let ([a, b], [c, d, e, f]) = (store.0.to_be_bytes(), partition.to_be_bytes());
    [a, b, c, d, e, f]
}

/// A snapshot of a [`Memory`].
pub(crate) struct View<'a> {
    memory: &'a Memory,
    sequence: u64,
}

impl Snapshot for View<'_> {
    fn get(&self, store: StoreId, partition: Partition, key: &[u8], out: &mut Vec<u8>) -> Result<bool, Error> {
        self.memory.read().get(store, partition, key, self.sequence, out)
    }

    fn scan(
        &self,
        store: StoreId,
        partition: Partition,
        range: Range<'_>,
        direction: Direction,
        visit: &mut Visit<'_>,
    ) -> Result<(), Error> {
        self.memory.read().scan(store, partition, range, direction, self.sequence, visit)
    }

    fn position(&self, store: StoreId, partition: Partition) -> Result<Option<Position>, Error> {
        self.memory.read().position(store, partition, self.sequence)
    }
}

impl Drop for View<'_> {
    fn drop(&mut self) {
        let mut live = self.memory.live();
        if let btree_map::Entry::Occupied(mut count) = live.entry(self.sequence) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
        drop(live);
        // If the lock is taken, the next write or the next dropped snapshot does it.
        if let Ok(mut data) = self.memory.data.try_write() {
            let living = self.memory.living();
            data.forget_superseded(living);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[derive(Clone, Debug)]
    enum Step {
        /// One batch: sets keys, or removes them.
        Write(Vec<(u8, Option<u8>)>),
        DropPartition,
        Take,
        /// Drops one of the snapshots.
        Release(prop::sample::Index),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            5 => prop::collection::vec((0..4u8, prop::option::of(any::<u8>())), 1..4).prop_map(Step::Write),
            1 => Just(Step::DropPartition),
            3 => Just(Step::Take),
            3 => any::<prop::sample::Index>().prop_map(Step::Release),
        ]
    }

    type Pairs = BTreeMap<Vec<u8>, Vec<u8>>;

    fn pairs(view: &View<'_>, store: StoreId) -> Pairs {
        let mut pairs = Pairs::new();
        let mut visit = |key: &[u8], value: &[u8]| {
            pairs.insert(key.to_vec(), value.to_vec());
            ControlFlow::Continue(())
        };
        view.scan(store, 0, Range::all(), Direction::Forward, &mut visit).unwrap();
        pairs
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

        /// Any number of snapshots over any writes, each against a copy; and no version outlives them.
        #[test]
        fn snapshots_are_copies_and_leave_nothing(steps in prop::collection::vec(step(), 1..60)) {
            let memory = Memory::new();
            let store = memory.open_store("s", StoreKind::Memory).unwrap();
            let mut now = Pairs::new();
            let mut taken: Vec<(View<'_>, Pairs)> = Vec::new();
            for step in steps {
                match step {
                    Step::Write(changes) => {
                        let mut batch = Batch::new();
                        for (key, value) in changes {
                            match value {
                                Some(value) => {
                                    batch.put(store, 0, &[key], &[value]);
                                    now.insert(vec![key], vec![value]);
                                }
                                None => {
                                    batch.delete(store, 0, &[key]);
                                    now.remove(&vec![key]);
                                }
                            }
                        }
                        memory.write(&batch).unwrap();
                    }
                    Step::DropPartition => {
                        memory.drop_partition(store, 0).unwrap();
                        now.clear();
                    }
                    Step::Take => taken.push((memory.view(), now.clone())),
                    Step::Release(at) if !taken.is_empty() => drop(taken.swap_remove(at.index(taken.len()))),
                    Step::Release(_) => {}
                }
                for (view, copy) in &taken {
                    prop_assert_eq!(&pairs(view, store), copy);
                }
                prop_assert_eq!(pairs(&memory.view(), store), now.clone());
            }
            drop(taken);
            let data = memory.read();
            prop_assert!(data.superseded.is_empty());
            let kept: usize = data.stores[0].partitions.values().map(|entries| entries.map.len()).sum();
            prop_assert_eq!(kept, now.len());
            let older: usize = data.stores[0].partitions.values().flat_map(|p| p.map.values()).map(|v| v.older.len()).sum();
            prop_assert_eq!(older, 0);
        }
    }
}
