//! Uncommitted changes of one task, in front of a backend.

mod hidden;
mod order;
mod store;

use std::cmp::Ordering;
use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::sync::Arc;

use crate::backend::Visit;
use crate::{Backend, Batch, Direction, Error, Partition, Range, StoreId};
use hidden::Walk;
use store::{Lookup, Store};

/// Called with the store's index, the key and the last value of each changed entry; no value is a tombstone.
pub type Changed<'a> = dyn FnMut(usize, &[u8], Option<&[u8]>) + 'a;

/// Uncommitted changes of one task over all its stores, in front of a [`Backend`]; also a bounded cache of clean
/// (committed) entries, including the knowledge that a key is not there.
///
/// Entries changed since the last [`committed`](Overlay::committed) are *dirty*; reads see them over the backend. A
/// commit is: [`sort`](Overlay::sort), [`for_each_dirty`](Overlay::for_each_dirty) (to the changelog),
/// [`append_to`](Overlay::append_to) and [`Backend::write`], then [`committed`](Overlay::committed).
/// [`abort`](Overlay::abort) at any point before.
///
/// The cache is exact as long as this overlay's batches are the only writes to its stores in its partition. After any
/// other (a restore, [`Backend::drop_partition`]) call [`abort`](Overlay::abort): it forgets everything.
///
/// # Panics
/// An index that is not one of the `stores` given to [`Overlay::new`] is a bug of the caller, and panics.
///
/// # Ordered access
/// Point access goes through a hash table. For scans each store also has its dirty entries in key order, brought up to date
/// by the first scan that needs it: most stores are never scanned by their task, and pay nothing. A scan costs the search
/// for its beginning and what it visits, however much is uncommitted (`examples/overlay_bench.rs`): the order is kept in
/// short runs, and the keys at the front of a store that this task has removed are known, not walked over again.
pub struct Overlay {
    backend: Arc<dyn Backend>,
    partition: Partition,
    stores: Vec<Store>,
    cache_bytes: usize,
    /// Clean entries as (store, slot; a topology has at most 2^16 stores) in the order eviction looks at them: a clock with one second chance.
    clock: VecDeque<(u16, u32)>,
    /// Last value read from the backend.
    read: Vec<u8>,
}

impl Overlay {
    /// An overlay without changes over `stores` of one partition; methods name a store by its index in `stores`.
    /// Clean entries are kept up to `cache_bytes` (keys, values and overhead); 0 keeps none.
    pub fn new(backend: Arc<dyn Backend>, partition: Partition, stores: Vec<StoreId>, cache_bytes: usize) -> Self {
        let stores = stores.into_iter().map(Store::new).collect();
        Overlay { backend, partition, stores, cache_bytes, clock: VecDeque::new(), read: Vec::new() }
    }

    /// Changes the limit of the clean entries, and evicts what does not fit any more.
    pub fn set_cache_bytes(&mut self, cache_bytes: usize) {
        self.cache_bytes = cache_bytes;
        self.evict();
    }

    /// The value of a key as this task sees it: its own changes first, then what is committed. A key that is dirty or
    /// cached costs one hash lookup and no allocation.
    ///
    /// # Errors
    /// The backend's.
    pub fn get(&mut self, store: usize, key: &[u8]) -> Result<Option<&[u8]>, Error> {
        let hash = match self.store_mut(store).lookup(key) {
            Lookup::Found(slot) => return Ok(self.store(store).value(slot)),
            Lookup::Expired => return Ok(None),
            Lookup::Unknown { hash } => hash,
        };
        let id = self.store(store).id();
        let present = self.backend.get(id, self.partition, key, &mut self.read)?;
        if store::cost(key.len() + self.read.len()) <= self.cache_bytes {
            let Some(entries) = self.stores.get_mut(store) else { return Ok(None) };
            let value = present.then_some(&self.read[..]);
            entries.insert_clean(hash, key, value, &mut |slot| self.clock.push_back((store as u16, slot)));
            self.evict();
        }
        Ok(present.then_some(&self.read[..]))
    }

    /// A hint that a key may soon be asked for, of any store: what is known of it among many entries is on its way from memory
    /// while the caller does something else. Costs one hash per store that has many.
    pub fn prefetch(&self, key: &[u8]) {
        self.stores.iter().for_each(|store| store.prefetch(key));
    }

    /// Reads what is committed under a key into `out`, whatever has changed since. Answers whether it is there.
    ///
    /// # Errors
    /// The backend's.
    pub fn get_committed(&self, store: usize, key: &[u8], out: &mut Vec<u8>) -> Result<bool, Error> {
        self.backend.get(self.store(store).id(), self.partition, key, out)
    }

    /// Sets a key. Allocates nothing if the key is dirty or cached and the value fits its buffer.
    pub fn put(&mut self, store: usize, key: &[u8], value: &[u8]) {
        self.store_mut(store).change(key, Some(value));
    }

    /// Removes a key. It is dirty also if it was not there: its tombstone goes to the changelog.
    pub fn delete(&mut self, store: usize, key: &[u8]) {
        self.store_mut(store).change(key, None);
    }

    /// Removes all keys in `[from, to)` without logging each to the changelog: expiry of whole window segments, which
    /// a restored store repeats by itself. Visible to reads at once, and one range delete in the batch. A key of the
    /// range that is dirty stays dirty, without a value: its tombstone is logged in place of the change.
    ///
    /// Meant for few ranges per commit (one per segment): every later read looks at each pending range once.
    pub fn expire(&mut self, store: usize, from: &[u8], to: &[u8]) {
        self.store_mut(store).expire(from, to);
    }

    /// Visits the keys of a range in order, changes merged over what is committed. Breaking ends the scan.
    ///
    /// # Errors
    /// The backend's; then an unknown part of the range was visited.
    pub fn scan(
        &mut self,
        store: usize,
        range: Range<'_>,
        direction: Direction,
        visit: &mut Visit<'_>,
    ) -> Result<(), Error> {
        if range.is_empty() {
            return Ok(());
        }
        self.store_mut(store).sort_dirty();
        let changes = self.store(store);
        let visible = changes.hidden.skip(range);
        if visible.is_empty() {
            return Ok(());
        }
        let changed = changes.dirty_in(visible);
        let walk = match direction {
            Direction::Forward => self.merge(changes, visible, direction, changed, visit),
            Direction::Reverse => self.merge(changes, visible, direction, changed.rev(), visit),
        }?;
        self.store_mut(store).hidden.learn(range, walk);
        Ok(())
    }

    /// Visits the entries `changed` (slots in scan order) merged over the backend's, less what is expired.
    fn merge(
        &self,
        store: &Store,
        range: Range<'_>,
        direction: Direction,
        changed: impl Iterator<Item = u32>,
        visit: &mut Visit<'_>,
    ) -> Result<Walk, Error> {
        let mut changed = changed.peekable();
        let mut walk = Walk::new(direction);
        if changed.peek().is_none() && !store.has_expirations() {
            self.backend.scan(store.id(), self.partition, range, direction, visit)?;
            return Ok(walk);
        }
        let mut show = |walk: &mut Walk, key: &[u8], value: Option<&[u8]>| match value {
            Some(value) => {
                walk.visible(key);
                visit(key, value)
            }
            None => {
                walk.hidden(key);
                ControlFlow::Continue(())
            }
        };
        let mut stopped = false;
        self.backend.scan(store.id(), self.partition, range, direction, &mut |key, value| {
            let mut overwritten = false;
            while let Some(&slot) = changed.peek()
                && !overwritten
            {
                let order = match direction {
                    Direction::Forward => store.key(slot).cmp(key),
                    Direction::Reverse => key.cmp(store.key(slot)),
                };
                if order == Ordering::Greater {
                    break;
                }
                changed.next();
                overwritten = order == Ordering::Equal;
                if show(&mut walk, store.key(slot), store.value(slot)).is_break() {
                    stopped = true;
                    return ControlFlow::Break(());
                }
            }
            if overwritten {
                return ControlFlow::Continue(());
            }
            let flow = show(&mut walk, key, (!store.is_expired(key)).then_some(value));
            stopped = flow.is_break();
            flow
        })?;
        for slot in changed {
            if stopped {
                break;
            }
            stopped = show(&mut walk, store.key(slot), store.value(slot)).is_break();
        }
        Ok(walk)
    }

    /// Marks the start of one input record: what [`rollback_to_savepoint`](Overlay::rollback_to_savepoint) goes back
    /// to. There is one savepoint, the latest; commit and abort set it too.
    pub fn savepoint(&mut self) {
        self.stores.iter_mut().for_each(Store::savepoint);
    }

    /// Undoes every change since the savepoint exactly, and leaves those before it.
    pub fn rollback_to_savepoint(&mut self) {
        for (index, store) in self.stores.iter_mut().enumerate() {
            store.rollback(&mut |slot| self.clock.push_back((index as u16, slot)));
        }
        self.evict();
    }

    /// Bytes of all dirty entries and expirations, with their overhead: what counts against a commit limit.
    pub fn dirty_bytes(&self) -> usize {
        self.stores.iter().map(Store::dirty_bytes).sum()
    }

    /// Bytes of the clean entries held, with their overhead; never more than the limit given.
    pub fn cached_bytes(&self) -> usize {
        self.stores.iter().map(Store::clean_bytes).sum()
    }

    /// Whether anything changed since the last commit or abort.
    pub fn is_dirty(&self) -> bool {
        self.stores.iter().any(Store::is_dirty)
    }

    /// Puts the changed entries of each store in the order of their keys, for [`for_each_dirty`](Overlay::for_each_dirty) and
    /// [`append_to`](Overlay::append_to): a memtable takes them in faster so, now and when a changelog is restored.
    /// It is a savepoint too.
    pub fn sort(&mut self) {
        self.stores.iter_mut().for_each(Store::sort);
    }

    /// Calls `f` once per changed entry: in the order of the stores, and within a store in the order in which entries
    /// were first changed, behind those that [`sort`](Overlay::sort) has put in order. Either depends on the input only, so
    /// the same input gives the same changelog. Expirations are not entries and are not among them.
    pub fn for_each_dirty(&self, f: &mut Changed<'_>) {
        for (index, store) in self.stores.iter().enumerate() {
            store.for_each_dirty(|key, value| f(index, key, value));
        }
    }

    /// Appends the changes to a batch: per store its expirations, then the last value of each changed entry. A value
    /// put before an expiration that covers it is gone by then, and one put after it follows it, so this order is
    /// right for both.
    pub fn append_to(&self, batch: &mut Batch) {
        self.append_of(&|_| true, batch);
    }

    /// As [`append_to`](Overlay::append_to), of some stores only.
    pub fn append_of(&self, stores: &dyn Fn(StoreId) -> bool, batch: &mut Batch) {
        for store in self.stores.iter().filter(|store| stores(store.id())) {
            store.append_to(self.partition, batch);
        }
    }

    /// Tells that the changes were written: dirty entries become clean cache entries, evicted beyond the limit.
    pub fn committed(&mut self) {
        for (index, store) in self.stores.iter_mut().enumerate() {
            store.committed(&mut |slot| self.clock.push_back((index as u16, slot)));
        }
        self.evict();
    }

    /// Drops all changes, and the cache with them: the stores may be restored before the task goes on.
    pub fn abort(&mut self) {
        self.stores.iter_mut().for_each(Store::clear);
        self.clock.clear();
    }

    /// Evicts clean entries until they fit. Amortised constant per entry: each step takes one from the clock, and puts
    /// it back only if it was read meanwhile.
    fn evict(&mut self) {
        let mut clean_bytes = self.cached_bytes();
        while clean_bytes > self.cache_bytes
            && let Some((index, slot)) = self.clock.pop_front()
        {
            let store = self.store_mut(usize::from(index));
            let before = store.clean_bytes();
            if store.evict_or_keep(slot) {
                self.clock.push_back((index, slot));
            } else {
                clean_bytes -= before - store.clean_bytes();
            }
        }
    }

    #[allow(clippy::indexing_slicing)] // the documented panic
    fn store(&self, store: usize) -> &Store {
        &self.stores[store]
    }

    #[allow(clippy::indexing_slicing)] // the documented panic
    fn store_mut(&mut self, store: usize) -> &mut Store {
        &mut self.stores[store]
    }
}
