//! What scans of an overlay cost, counted in entries of the backend, not in time.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use state::{
    Backend, Batch, Direction, Error, Memory, Overlay, Partition, Position, Range, Snapshot, StoreId, StoreKind, Usage,
    Visit,
};

/// Counts the entries that scans are shown.
#[derive(Default)]
struct Counting {
    memory: Memory,
    visited: AtomicUsize,
}

impl Backend for Counting {
    fn open_store(&self, name: &str, kind: StoreKind) -> Result<StoreId, Error> {
        self.memory.open_store(name, kind)
    }
    fn get(&self, store: StoreId, partition: Partition, key: &[u8], out: &mut Vec<u8>) -> Result<bool, Error> {
        self.memory.get(store, partition, key, out)
    }
    fn scan(
        &self,
        store: StoreId,
        partition: Partition,
        range: Range<'_>,
        direction: Direction,
        visit: &mut Visit<'_>,
    ) -> Result<(), Error> {
        self.memory.scan(store, partition, range, direction, &mut |key, value| {
            self.visited.fetch_add(1, Ordering::Relaxed);
            visit(key, value)
        })
    }
    fn snapshot(&self) -> Box<dyn Snapshot + '_> {
        self.memory.snapshot()
    }
    fn write(&self, batch: &Batch) -> Result<(), Error> {
        self.memory.write(batch)
    }
    fn sync(&self) -> Result<(), Error> {
        self.memory.sync()
    }
    fn position(&self, store: StoreId, partition: Partition) -> Result<Option<Position>, Error> {
        self.memory.position(store, partition)
    }
    fn drop_partition(&self, store: StoreId, partition: Partition) -> Result<(), Error> {
        self.memory.drop_partition(store, partition)
    }
    fn usage(&self) -> Usage {
        self.memory.usage()
    }
}

const ENTRIES: u64 = 2_000;

/// A queue of committed entries, its backend, and the store's place in the overlay: 0.
fn queue() -> (Arc<Counting>, Overlay) {
    let backend = Arc::new(Counting::default());
    let store = backend.open_store("queue", StoreKind::Persistent).unwrap();
    let mut overlay = Overlay::new(backend.clone(), 0, vec![store], 0);
    (0..ENTRIES).for_each(|number| overlay.put(0, &number.to_be_bytes(), b"waits"));
    let mut batch = Batch::new();
    overlay.append_to(&mut batch);
    backend.write(&batch).unwrap();
    overlay.committed();
    (backend, overlay)
}

fn first(overlay: &mut Overlay) -> Option<u64> {
    let mut found = None;
    let visit = &mut |key: &[u8], _: &[u8]| {
        found = Some(u64::from_be_bytes(key.try_into().unwrap()));
        ControlFlow::Break(())
    };
    overlay.scan(0, Range::all(), Direction::Forward, visit).unwrap();
    found
}

/// What was taken before is not walked over for each that is taken after: of n entries, not n² / 2 are visited.
#[test]
fn the_front_of_a_queue_is_found_past_all_that_was_taken() {
    let (backend, mut overlay) = queue();
    for number in 0..ENTRIES {
        overlay.savepoint();
        assert_eq!(first(&mut overlay), Some(number));
        overlay.delete(0, &number.to_be_bytes());
    }
    assert_eq!(first(&mut overlay), None);
    let visited = backend.visited.load(Ordering::Relaxed);
    assert!(visited <= 10 * ENTRIES as usize, "{visited} visits");
}

/// The same for entries that expired at once.
#[test]
fn the_front_is_found_past_all_that_has_expired() {
    let (backend, mut overlay) = queue();
    overlay.expire(0, &0_u64.to_be_bytes(), &1_900_u64.to_be_bytes());
    for _ in 0..100 {
        overlay.savepoint();
        assert_eq!(first(&mut overlay), Some(1_900));
    }
    let visited = backend.visited.load(Ordering::Relaxed);
    assert!(visited <= 2 * ENTRIES as usize, "{visited} visits");
}

/// What is put back, or comes back with a savepoint, is seen.
#[test]
fn what_comes_back_to_the_front_is_seen() {
    let (_, mut overlay) = queue();
    (0..100_u64).for_each(|number| overlay.delete(0, &number.to_be_bytes()));
    assert_eq!(first(&mut overlay), Some(100));
    overlay.put(0, &50_u64.to_be_bytes(), b"late");
    assert_eq!(first(&mut overlay), Some(50));
    overlay.delete(0, &50_u64.to_be_bytes());
    overlay.savepoint();
    (100..200_u64).for_each(|number| overlay.delete(0, &number.to_be_bytes()));
    assert_eq!(first(&mut overlay), Some(200));
    overlay.rollback_to_savepoint();
    assert_eq!(first(&mut overlay), Some(100));
    overlay.abort();
    assert_eq!(first(&mut overlay), Some(0));
}
