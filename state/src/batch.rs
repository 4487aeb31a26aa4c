//! A batch of changes, independent of the backend that will apply it.

use std::ops;

use crate::{Partition, Position, StoreId};

/// Changes that a [`Backend`](crate::Backend) applies in order and atomically.
///
/// Keys and values are copied into one arena; a batch that is cleared and filled again allocates nothing once it has
/// grown to its usual size.
#[derive(Default, Debug, Clone)]
pub struct Batch {
    arena: Vec<u8>,
    ops: Vec<Record>,
}

/// One change of a [`Batch`], in the order it was added.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Op<'a> {
    /// Sets a key.
    Put {
        /// The store.
        store: StoreId,
        /// The partition.
        partition: Partition,
        /// The key.
        key: &'a [u8],
        /// Its new value.
        value: &'a [u8],
    },
    /// Removes a key; nothing happens if it is not there.
    Delete {
        /// The store.
        store: StoreId,
        /// The partition.
        partition: Partition,
        /// The key.
        key: &'a [u8],
    },
    /// Removes all keys in `[from, to)`.
    DeleteRange {
        /// The store.
        store: StoreId,
        /// The partition.
        partition: Partition,
        /// First key removed.
        from: &'a [u8],
        /// First key kept.
        to: &'a [u8],
    },
    /// Sets the position of a store partition.
    Position {
        /// The store.
        store: StoreId,
        /// The partition.
        partition: Partition,
        /// The stored form, see [`Position::encode`].
        encoded: &'a [u8],
    },
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Put,
    Delete,
    DeleteRange,
    Position,
}

/// An op whose two byte strings lie one after the other in the arena: `[start, middle)` and `[middle, end)`.
#[derive(Clone, Copy, Debug)]
struct Record {
    kind: Kind,
    store: StoreId,
    partition: Partition,
    start: usize,
    middle: usize,
    end: usize,
}

impl Batch {
    /// An empty batch.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets a key.
    pub fn put(&mut self, store: StoreId, partition: Partition, key: &[u8], value: &[u8]) {
        self.push(Kind::Put, store, partition, key, value);
    }

    /// Removes a key.
    pub fn delete(&mut self, store: StoreId, partition: Partition, key: &[u8]) {
        self.push(Kind::Delete, store, partition, key, &[]);
    }

    /// Removes all keys in `[from, to)`; an empty range adds nothing.
    pub fn delete_range(&mut self, store: StoreId, partition: Partition, from: &[u8], to: &[u8]) {
        if from < to {
            self.push(Kind::DeleteRange, store, partition, from, to);
        }
    }

    /// Sets where a store partition stands after this batch.
    pub fn position(&mut self, store: StoreId, partition: Partition, position: &Position) {
        let start = self.arena.len();
        position.encode(&mut self.arena);
        let end = self.arena.len();
        self.ops.push(Record { kind: Kind::Position, store, partition, start, middle: end, end });
    }

    /// Adds a change of another batch, to a store's id elsewhere.
    pub(crate) fn push_as(&mut self, store: StoreId, op: Op<'_>) {
        match op {
            Op::Put { partition, key, value, .. } => self.push(Kind::Put, store, partition, key, value),
            Op::Delete { partition, key, .. } => self.push(Kind::Delete, store, partition, key, &[]),
            Op::DeleteRange { partition, from, to, .. } => self.push(Kind::DeleteRange, store, partition, from, to),
            Op::Position { partition, encoded, .. } => self.push(Kind::Position, store, partition, encoded, &[]),
        }
    }

    fn push(&mut self, kind: Kind, store: StoreId, partition: Partition, first: &[u8], second: &[u8]) {
        let start = self.arena.len();
        self.arena.extend_from_slice(first);
        let middle = self.arena.len();
        self.arena.extend_from_slice(second);
        self.ops.push(Record { kind, store, partition, start, middle, end: self.arena.len() });
    }

    /// Empties the batch and keeps its memory.
    pub fn clear(&mut self) {
        self.arena.clear();
        self.ops.clear();
    }

    /// Bytes of all keys, values and positions added.
    pub fn bytes(&self) -> usize {
        self.arena.len()
    }

    /// Number of changes.
    pub fn len(&self) -> usize {
        self.ops.len()
    }

    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.ops.is_empty()
    }

    /// The changes in the order they were added.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Op<'_>> {
        self.ops.iter().map(|record| {
            let Record { kind, store, partition, start, middle, end } = *record;
            let (first, second) = (self.slice(start..middle), self.slice(middle..end));
            match kind {
                Kind::Put => Op::Put { store, partition, key: first, value: second },
                Kind::Delete => Op::Delete { store, partition, key: first },
                Kind::DeleteRange => Op::DeleteRange { store, partition, from: first, to: second },
                Kind::Position => Op::Position { store, partition, encoded: first },
            }
        })
    }

    /// Records are only made by `push` and `position`, together with the bytes they name.
    #[allow(clippy::indexing_slicing)]
    fn slice(&self, range: ops::Range<usize>) -> &[u8] {
        &self.arena[range]
    }
}

impl Op<'_> {
    /// The store it changes.
    pub fn store(&self) -> StoreId {
        match *self {
            Op::Put { store, .. }
            | Op::Delete { store, .. }
            | Op::DeleteRange { store, .. }
            | Op::Position { store, .. } => store,
        }
    }

    /// The partition it changes.
    pub fn partition(&self) -> Partition {
        match *self {
            Op::Put { partition, .. }
            | Op::Delete { partition, .. }
            | Op::DeleteRange { partition, .. }
            | Op::Position { partition, .. } => partition,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_order_and_bytes() {
        let (s, p) = (StoreId(1), 2);
        let position = Position { changelog_next: 9, ..Position::default() };
        let mut encoded = Vec::new();
        position.encode(&mut encoded);
        let mut batch = Batch::new();
        for _ in 0..2 {
            batch.clear();
            batch.put(s, p, b"k", b"v");
            batch.delete_range(s, p, b"a", b"b");
            batch.delete_range(s, p, b"b", b"a");
            batch.delete(s, p, b"d");
            batch.position(s, p, &position);
            batch.put(s, p, b"", b"");
            assert_eq!(
                batch.iter().collect::<Vec<_>>(),
                vec![
                    Op::Put { store: s, partition: p, key: b"k", value: b"v" },
                    Op::DeleteRange { store: s, partition: p, from: b"a", to: b"b" },
                    Op::Delete { store: s, partition: p, key: b"d" },
                    Op::Position { store: s, partition: p, encoded: &encoded },
                    Op::Put { store: s, partition: p, key: b"", value: b"" },
                ]
            );
            assert_eq!(batch.bytes(), 5 + encoded.len());
        }
    }
}
