//! The entries of one store in an overlay: a slab of slots, found by hash, with an undo log.

use std::hash::BuildHasher;
use std::ops;

use hashbrown::{DefaultHashBuilder, HashTable};
use smallvec::SmallVec;

use super::hidden::Hidden;
use super::order::{self, Order};
use crate::{Batch, Partition, Range, StoreId};

/// Bytes an entry or an expiration costs beside what it has outside its slot: the slot, and 8 each for its places in index
/// and clock.
const OVERHEAD_BYTES: usize = size_of::<Slot>() + 16;

/// A key and value of so many bytes lie in their slot itself, which makes one cache line with them: reaching them is most of
/// what a lookup costs among many entries.
const INLINE_BYTES: usize = 40;

/// Slots of a store that has fewer are in the processor's caches as it is.
const PREFETCHED_SLOTS_MIN: usize = 4096;

/// A buffer above this capacity is not kept by a free slot for its next entry.
const SPARE_BUFFER_BYTES_MAX: usize = 8192;

/// What an entry counts for in `dirty_bytes` and `clean_bytes`; `len` is that of key and value together.
pub(super) fn cost(len: usize) -> usize {
    OVERHEAD_BYTES + if len > INLINE_BYTES { len } else { 0 }
}

/// What the overlay knows of a key.
pub(super) enum Lookup {
    /// It is in this slot, with or without a value.
    Found(u32),
    /// It was expired in this transaction.
    Expired,
    /// Nothing; the backend knows.
    Unknown { hash: u32 },
}

pub(super) struct Store {
    id: StoreId,
    hasher: DefaultHashBuilder,
    index: HashTable<u32>,
    slots: Vec<Slot>,
    free: Vec<u32>,
    /// Dirty slots in the order of their first change; those sorted for a commit come before.
    dirty: Vec<u32>,
    /// The first `order.len()` slots of `dirty`.
    order: Order,
    /// Where scans find nothing.
    pub(super) hidden: Hidden,
    expirations: Vec<Expiration>,
    /// Counts savepoints and expirations since nothing was dirty: which of two changes came later.
    sequence: u32,
    undo: UndoLog,
    dirty_bytes: usize,
    clean_bytes: usize,
}

#[derive(Default)]
#[repr(align(64))]
struct Slot {
    hash: u32,
    /// When it last changed; 0 in a clean slot. Hidden by every expiration of its key with a larger number.
    sequence: u32,
    /// The key and then the value: one place in memory for both.
    entry: SmallVec<[u8; INLINE_BYTES]>,
    key_len: u32,
    present: bool,
    state: State,
    /// Read since the clock last passed.
    referenced: bool,
    /// Has a place in the clock. Belongs to the slot, not to the entry: a freed slot keeps its place.
    in_clock: bool,
}

const _: () = assert!(size_of::<Slot>() == 64, "one cache line");

#[derive(Default, Clone, Copy, PartialEq, Eq)]
enum State {
    #[default]
    Free,
    Clean,
    Dirty,
}

/// Keys in `[from, to)` that last changed before `sequence` are gone.
#[derive(Clone)]
struct Expiration {
    sequence: u32,
    from: Vec<u8>,
    to: Vec<u8>,
}

/// How things were at the savepoint, where they have changed since.
#[derive(Default)]
struct UndoLog {
    /// A slot that has changed since has it, or a larger one.
    sequence: u32,
    dirty_len: usize,
    entries: Vec<Undo>,
    /// The values of `entries`.
    bytes: Vec<u8>,
    expirations: Option<Vec<Expiration>>,
}

struct Undo {
    slot: u32,
    before: Before,
}

enum Before {
    /// The overlay did not know the key.
    Unknown,
    Entry {
        state: State,
        present: bool,
        sequence: u32,
        value: ops::Range<usize>,
    },
}

impl Store {
    pub(super) fn new(id: StoreId) -> Self {
        Store {
            id,
            hasher: DefaultHashBuilder::default(),
            index: HashTable::new(),
            slots: Vec::new(),
            free: Vec::new(),
            dirty: Vec::new(),
            order: Order::default(),
            hidden: Hidden::default(),
            expirations: Vec::new(),
            sequence: 0,
            undo: UndoLog::default(),
            dirty_bytes: 0,
            clean_bytes: 0,
        }
    }

    pub(super) fn id(&self) -> StoreId {
        self.id
    }

    pub(super) fn dirty_bytes(&self) -> usize {
        self.dirty_bytes
    }

    pub(super) fn clean_bytes(&self) -> usize {
        self.clean_bytes
    }

    pub(super) fn is_dirty(&self) -> bool {
        !self.dirty.is_empty() || !self.expirations.is_empty()
    }

    pub(super) fn has_expirations(&self) -> bool {
        !self.expirations.is_empty()
    }

    pub(super) fn lookup(&mut self, key: &[u8]) -> Lookup {
        let hash = self.hash(key);
        let found = self.find(hash, key);
        if !self.expirations.is_empty() {
            let gone = found.map_or_else(|| self.is_expired(key), |slot| self.is_hidden(slot));
            if gone {
                return Lookup::Expired;
            }
        }
        match found {
            Some(slot) => {
                self.slot_mut(slot).referenced = true;
                Lookup::Found(slot)
            }
            None => Lookup::Unknown { hash },
        }
    }

    /// Has the slot of a key brought near.
    pub(super) fn prefetch(&self, key: &[u8]) {
        if self.slots.len() >= PREFETCHED_SLOTS_MIN
            // The first whose hash looks like this one's: it is compared when it is here.
            && let Some(&slot) = self.index.find(spread(self.hash(key)), |_| true)
        {
            prefetch(self.slot(slot));
        }
    }

    /// The key of a used slot.
    #[inline]
    pub(super) fn key(&self, slot: u32) -> &[u8] {
        self.slot(slot).key()
    }

    /// The value of a slot as reads see it.
    #[inline]
    pub(super) fn value(&self, slot: u32) -> Option<&[u8]> {
        let found = self.slot(slot);
        (found.present && !self.is_hidden(slot)).then(|| found.value())
    }

    /// Whether a key that is not dirty was expired in this transaction.
    pub(super) fn is_expired(&self, key: &[u8]) -> bool {
        self.expirations.iter().any(|expiration| expiration.covers(key))
    }

    #[inline]
    fn is_hidden(&self, slot: u32) -> bool {
        let slot = self.slot(slot);
        self.expirations.iter().any(|expiration| slot.sequence < expiration.sequence && expiration.covers(slot.key()))
    }

    /// Keeps what the backend answered for a key that was looked up before and not known. `clean` is told the slot to
    /// put into the clock.
    pub(super) fn insert_clean(&mut self, hash: u32, key: &[u8], value: Option<&[u8]>, clean: &mut dyn FnMut(u32)) {
        let slot = self.occupy(hash, key, State::Clean);
        self.set_value(slot, value);
        self.clean_bytes += self.slot(slot).cost();
        self.enter_clock(slot, clean);
    }

    /// Sets or removes a key.
    pub(super) fn change(&mut self, key: &[u8], value: Option<&[u8]>) {
        if value.is_some() {
            self.hidden.put(key);
        }
        let hash = self.hash(key);
        let slot = match self.find(hash, key) {
            Some(slot) => {
                self.remember(slot);
                let cost = self.slot(slot).cost();
                if self.slot(slot).state == State::Clean {
                    self.clean_bytes -= cost;
                    self.dirty.push(slot);
                } else {
                    self.dirty_bytes -= cost;
                }
                slot
            }
            None => {
                let slot = self.occupy(hash, key, State::Dirty);
                self.undo.entries.push(Undo { slot, before: Before::Unknown });
                self.dirty.push(slot);
                slot
            }
        };
        self.set_value(slot, value);
        let sequence = self.sequence;
        let changed = self.slot_mut(slot);
        changed.sequence = sequence;
        changed.state = State::Dirty;
        self.dirty_bytes += self.slot(slot).cost();
    }

    /// Removes all keys in `[from, to)`.
    pub(super) fn expire(&mut self, from: &[u8], to: &[u8]) {
        if from >= to {
            return;
        }
        self.count();
        self.undo.expirations.get_or_insert_with(|| self.expirations.clone());
        // An earlier range inside the new one says nothing more. A bound that only grows leaves one range.
        self.expirations.retain(|earlier| {
            let inside = from <= &earlier.from[..] && &earlier.to[..] <= to;
            self.dirty_bytes -= if inside { earlier.cost() } else { 0 };
            !inside
        });
        let expiration = Expiration { sequence: self.sequence, from: from.to_vec(), to: to.to_vec() };
        self.dirty_bytes += expiration.cost();
        self.expirations.push(expiration);
    }

    /// Brings `order` up to date.
    pub(super) fn sort_dirty(&mut self) {
        let new = self.dirty.get(self.order.len()..).unwrap_or_default();
        self.order.extend(new, key_in(&self.slots));
    }

    /// The dirty slots of a range in key order; [`Store::sort_dirty`] comes first.
    pub(super) fn dirty_in<'a>(&'a self, range: Range<'a>) -> impl DoubleEndedIterator<Item = u32> + 'a {
        self.order.range(move |slot| range.is_below(self.key(slot)), move |slot| range.is_above(self.key(slot)))
    }

    pub(super) fn for_each_dirty(&self, mut f: impl FnMut(&[u8], Option<&[u8]>)) {
        for &slot in &self.dirty {
            f(self.key(slot), self.value(slot));
        }
    }

    pub(super) fn append_to(&self, partition: Partition, batch: &mut Batch) {
        for expiration in &self.expirations {
            batch.delete_range(self.id, partition, &expiration.from, &expiration.to);
        }
        self.for_each_dirty(|key, value| match value {
            Some(value) => batch.put(self.id, partition, key, value),
            None => batch.delete(self.id, partition, key),
        });
    }

    /// Puts `dirty` in the order of keys; a savepoint.
    pub(super) fn sort(&mut self) {
        order::sort(&mut self.dirty, key_in(&self.slots));
        self.order.clear();
        self.savepoint();
    }

    /// Starts the undo log anew.
    pub(super) fn savepoint(&mut self) {
        if !self.is_dirty() {
            // Nothing has a number: what wakes up for long to change nothing must not run out of them.
            self.sequence = 0;
        }
        self.count();
        self.undo.sequence = self.sequence;
        self.undo.dirty_len = self.dirty.len();
        self.undo.entries.clear();
        self.undo.bytes.clear();
        self.undo.expirations = None;
    }

    /// Goes back to the savepoint. `clean` is told the slots to put into the clock.
    pub(super) fn rollback(&mut self, clean: &mut dyn FnMut(u32)) {
        if let Some(before) = self.undo.expirations.take() {
            self.dirty_bytes -= self.expirations.iter().map(Expiration::cost).sum::<usize>();
            self.dirty_bytes += before.iter().map(Expiration::cost).sum::<usize>();
            self.expirations = before;
        }
        self.hidden.clear();
        // Before their slots are given back, and their keys with them.
        for &slot in self.dirty.get(self.undo.dirty_len..self.order.len()).unwrap_or_default() {
            self.order.remove(slot, key_in(&self.slots));
        }
        let bytes = std::mem::take(&mut self.undo.bytes);
        for Undo { slot, before } in std::mem::take(&mut self.undo.entries) {
            self.dirty_bytes -= self.slot(slot).cost();
            let Before::Entry { state, present, sequence, value } = before else {
                self.release(slot);
                continue;
            };
            let value = bytes.get(value).unwrap_or_default();
            self.set_value(slot, present.then_some(value));
            let changed = self.slot_mut(slot);
            changed.state = state;
            changed.sequence = sequence;
            let cost = self.slot(slot).cost();
            if state == State::Dirty {
                self.dirty_bytes += cost;
            } else {
                self.clean_bytes += cost;
                self.enter_clock(slot, clean);
            }
        }
        self.dirty.truncate(self.undo.dirty_len);
        self.undo.bytes = bytes;
        self.savepoint();
    }

    /// Dirty entries become clean. `clean` is told the slots to put into the clock.
    pub(super) fn committed(&mut self, clean: &mut dyn FnMut(u32)) {
        if self.has_expirations() {
            for slot in 0..self.slots.len() as u32 {
                if self.slot(slot).state != State::Free && self.is_hidden(slot) {
                    self.clean_bytes -= if self.slot(slot).state == State::Clean { self.slot(slot).cost() } else { 0 };
                    self.release(slot);
                }
            }
            self.expirations.clear();
        }
        let mut dirty = std::mem::take(&mut self.dirty);
        for slot in dirty.drain(..) {
            let changed = self.slot_mut(slot);
            if changed.state == State::Dirty {
                changed.state = State::Clean;
                changed.sequence = 0;
                self.clean_bytes += self.slot(slot).cost();
                self.enter_clock(slot, clean);
            }
        }
        self.dirty = dirty;
        self.order.clear();
        self.dirty_bytes = 0;
        self.savepoint();
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        self.index.clear();
        self.slots.clear();
        self.free.clear();
        self.dirty.clear();
        self.order.clear();
        self.hidden.clear();
        self.expirations.clear();
        self.dirty_bytes = 0;
        self.clean_bytes = 0;
        self.savepoint();
    }

    /// The clock has come to this slot: answers whether it stays there. A clean entry that was not read since the last
    /// time is evicted; a dirty one comes back to the clock when it is committed.
    pub(super) fn evict_or_keep(&mut self, slot: u32) -> bool {
        let found = self.slot_mut(slot);
        if found.state == State::Clean {
            if std::mem::take(&mut found.referenced) {
                return true;
            }
            self.clean_bytes -= self.slot(slot).cost();
            self.release(slot);
        }
        self.slot_mut(slot).in_clock = false;
        false
    }

    fn enter_clock(&mut self, slot: u32, clean: &mut dyn FnMut(u32)) {
        if !std::mem::replace(&mut self.slot_mut(slot).in_clock, true) {
            clean(slot);
        }
    }

    /// Writes a slot's state into the undo log, if this is its first change since the savepoint.
    fn remember(&mut self, slot: u32) {
        let Some(found) = self.slots.get(slot as usize) else { return };
        if found.state == State::Dirty && found.sequence >= self.undo.sequence {
            return;
        }
        let start = self.undo.bytes.len();
        self.undo.bytes.extend_from_slice(found.value());
        let before = Before::Entry {
            state: found.state,
            present: found.present,
            sequence: found.sequence,
            value: start..self.undo.bytes.len(),
        };
        self.undo.entries.push(Undo { slot, before });
    }

    fn set_value(&mut self, slot: u32, value: Option<&[u8]>) {
        let slot = self.slot_mut(slot);
        slot.entry.truncate(slot.key_len as usize);
        slot.append(value.unwrap_or_default());
        slot.present = value.is_some();
    }

    /// A slot holds half of a hash; keys that share it differ all the same.
    fn hash(&self, key: &[u8]) -> u32 {
        self.hasher.hash_one(key) as u32
    }

    /// The changes before this come before those after it.
    fn count(&mut self) {
        assert!(self.sequence < u32::MAX, "a commit of 2^32 records");
        self.sequence += 1;
    }

    fn find(&self, hash: u32, key: &[u8]) -> Option<u32> {
        self.index.find(spread(hash), |&slot| self.key(slot) == key).copied()
    }

    /// Gives a key a slot, without value or cost yet.
    fn occupy(&mut self, hash: u32, key: &[u8], state: State) -> u32 {
        let slot = self.free.pop().unwrap_or_else(|| {
            assert!(self.slots.len() < u32::MAX as usize, "an overlay of 2^32 entries");
            self.slots.push(Slot::default());
            (self.slots.len() - 1) as u32
        });
        let taken = self.slot_mut(slot);
        taken.hash = hash;
        taken.append(key);
        taken.key_len = key.len() as u32;
        taken.state = state;
        taken.sequence = 0;
        taken.referenced = false;
        let slots = &self.slots;
        self.index
            .insert_unique(spread(hash), slot, |&other| spread(slots.get(other as usize).map_or(0, |slot| slot.hash)));
        slot
    }

    /// Gives a slot back. Its cost has been taken off, and `dirty` is the caller's to correct.
    fn release(&mut self, slot: u32) {
        let hash = self.slot(slot).hash;
        if let Ok(entry) = self.index.find_entry(spread(hash), |&other| other == slot) {
            entry.remove();
        }
        let freed = self.slot_mut(slot);
        freed.state = State::Free;
        freed.present = false;
        freed.entry.clear();
        if freed.entry.capacity() > SPARE_BUFFER_BYTES_MAX {
            freed.entry = SmallVec::new();
        }
        freed.key_len = 0;
        self.free.push(slot);
    }

    #[allow(clippy::indexing_slicing)] // slot numbers come from `index`, `dirty`, `undo` and the clock only
    #[inline]
    fn slot(&self, slot: u32) -> &Slot {
        &self.slots[slot as usize]
    }

    #[allow(clippy::indexing_slicing)] // as above
    #[inline]
    fn slot_mut(&mut self, slot: u32) -> &mut Slot {
        &mut self.slots[slot as usize]
    }
}

/// Tells the processor that a value will soon be read, and goes on.
#[inline]
#[allow(unsafe_code, reason = "the instruction has no safe form yet")]
fn prefetch<T>(value: &T) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: it is a hint; nothing is read, and no address is wrong.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(value).cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = value;
}

/// A hash as the table takes it, which looks at the uppermost bits too (Fibonacci hashing, Knuth, TAOCP 6.4).
fn spread(hash: u32) -> u64 {
    u64::from(hash).wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

/// The key of a used slot, where the other fields of its store are borrowed.
fn key_in<'a>(slots: &'a [Slot]) -> impl Fn(u32) -> &'a [u8] {
    |slot| slots.get(slot as usize).map_or(&[], Slot::key)
}

impl Slot {
    #[inline]
    fn key(&self) -> &[u8] {
        self.entry.get(..self.key_len as usize).unwrap_or_default()
    }

    #[inline]
    fn value(&self) -> &[u8] {
        self.entry.get(self.key_len as usize..).unwrap_or_default()
    }

    /// A first allocation is not rounded up: most entries do not grow.
    fn append(&mut self, bytes: &[u8]) {
        if !self.entry.spilled() {
            self.entry.reserve_exact(bytes.len());
        }
        self.entry.extend_from_slice(bytes);
    }

    fn cost(&self) -> usize {
        cost(self.entry.len())
    }
}

impl Expiration {
    fn covers(&self, key: &[u8]) -> bool {
        Range::half_open(&self.from, &self.to).contains(key)
    }

    fn cost(&self) -> usize {
        OVERHEAD_BYTES + self.from.len() + self.to.len()
    }
}
