//! What every backend promises, checked on each.

use std::ops::{Bound, ControlFlow};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use state::{
    Backend, Batch, Direction, Error, FaultBackend, Memory, Partition, Position, Range, Snapshot, StoreId, StoreKind,
};

/// Runs a check on every backend.
fn check(check: impl Fn(Arc<dyn Backend>)) {
    check(Arc::new(Memory::new()));
    check(Arc::new(FaultBackend::new(Arc::new(Memory::new()))));
    #[cfg(feature = "rocksdb")]
    for durability in [state::rocks::Durability::Buffered, state::rocks::Durability::Process] {
        let directory = tempfile::tempdir().unwrap();
        let options = state::rocks::Options { durability, ..Default::default() };
        check(Arc::new(state::RocksBackend::open(directory.path(), options).unwrap()));
    }
}

fn get(backend: &dyn Backend, store: StoreId, partition: Partition, key: &[u8]) -> Option<Vec<u8>> {
    let mut out = b"left over".to_vec();
    backend.get(store, partition, key, &mut out).unwrap().then_some(out)
}

fn keys(backend: &dyn Backend, store: StoreId, partition: Partition, range: Range<'_>, way: Direction) -> Vec<Vec<u8>> {
    let mut keys = Vec::new();
    backend
        .scan(store, partition, range, way, &mut |key, _| {
            keys.push(key.to_vec());
            ControlFlow::Continue(())
        })
        .unwrap();
    keys
}

fn position(next: i64) -> Position {
    let inputs = vec![("orders".to_owned(), 3, next * 2)];
    Position { changelog_next: next, topic_id: [9; 16], committed_at_ms: 1_700_000_000_000, inputs }
}

fn put(backend: &dyn Backend, store: StoreId, partition: Partition, key: &[u8], value: &[u8]) {
    let mut batch = Batch::new();
    batch.put(store, partition, key, value);
    backend.write(&batch).unwrap();
}

#[test]
fn changes_apply_in_order_and_empty_keys_and_values_are_kept() {
    check(|backend| {
        let store = backend.open_store("s", StoreKind::Persistent).unwrap();
        let mut batch = Batch::new();
        batch.put(store, 1, b"", b"");
        batch.put(store, 1, b"a", b"first");
        batch.delete_range(store, 1, b"a", b"b");
        batch.put(store, 1, b"a", b"second");
        batch.put(store, 1, b"b", b"kept");
        batch.delete(store, 1, b"never there");
        backend.write(&batch).unwrap();
        assert_eq!(get(&*backend, store, 1, b""), Some(vec![]));
        assert_eq!(get(&*backend, store, 1, b"a"), Some(b"second".to_vec()));
        assert_eq!(keys(&*backend, store, 1, Range::all(), Direction::Reverse), [b"b".to_vec(), b"a".to_vec(), vec![]]);
        batch.clear();
        batch.delete(store, 1, b"");
        batch.put(store, 1, b"z", b"");
        batch.delete_range(store, 1, b"b", b"zz");
        backend.write(&batch).unwrap();
        assert_eq!(keys(&*backend, store, 1, Range::all(), Direction::Forward), [b"a".to_vec()]);
    });
}

#[test]
fn scans_keep_to_their_bounds_both_ways() {
    check(|backend| {
        let store = backend.open_store("s", StoreKind::Persistent).unwrap();
        let all: Vec<Vec<u8>> = [&b""[..], b"a", b"a\0", b"ab", b"b", b"\xff", b"\xff\xff"].map(Vec::from).to_vec();
        for partition in [0, 1, 2] {
            for key in &all {
                put(&*backend, store, partition, key, b"v");
            }
        }
        let bounds = all.iter().flat_map(|key| [Bound::Included(&key[..]), Bound::Excluded(&key[..])]);
        let bounds: Vec<Bound<&[u8]>> = bounds.chain([Bound::Unbounded]).collect();
        for &from in &bounds {
            for &to in &bounds {
                let range = Range { from, to };
                let mut expected: Vec<Vec<u8>> = all.iter().filter(|key| range.contains(key)).cloned().collect();
                assert_eq!(keys(&*backend, store, 1, range, Direction::Forward), expected, "{range:?}");
                expected.reverse();
                assert_eq!(keys(&*backend, store, 1, range, Direction::Reverse), expected, "{range:?}");
            }
        }
    });
}

#[test]
fn stores_and_partitions_never_meet() {
    check(|backend| {
        let one = backend.open_store("one", StoreKind::Persistent).unwrap();
        let two = backend.open_store("two", StoreKind::Memory).unwrap();
        assert_eq!(backend.open_store("one", StoreKind::Persistent).unwrap(), one);
        let places = [(one, 0), (one, 1), (one, 0xffff_fffe), (two, 0), (two, 1)];
        let mut batch = Batch::new();
        for (number, (store, partition)) in places.into_iter().enumerate() {
            batch.put(store, partition, b"k", &[number as u8]);
            batch.position(store, partition, &position(number as i64));
        }
        backend.write(&batch).unwrap();
        let check_all = |gone: &[(StoreId, Partition)]| {
            for (number, (store, partition)) in places.into_iter().enumerate() {
                let there = !gone.contains(&(store, partition));
                let expected = there.then(|| vec![number as u8]);
                assert_eq!(get(&*backend, store, partition, b"k"), expected, "{store:?} {partition}");
                let expected = there.then(|| position(number as i64));
                assert_eq!(backend.position(store, partition).unwrap(), expected);
                assert_eq!(keys(&*backend, store, partition, Range::all(), Direction::Forward).len(), there.into());
            }
        };
        check_all(&[]);
        let mut gone = Vec::new();
        for (store, partition) in [(one, 0), (two, 1), (one, 0xffff_fffe)] {
            backend.drop_partition(store, partition).unwrap();
            gone.push((store, partition));
            check_all(&gone);
        }
        // What is dropped can be written again.
        put(&*backend, one, 0, b"k", &[0]);
        assert_eq!(get(&*backend, one, 0, b"k"), Some(vec![0]));
        assert_eq!(backend.position(one, 0).unwrap(), None);
    });
}

#[test]
fn wrong_names_kinds_and_ids_are_refused() {
    check(|backend| {
        let store = backend.open_store("s", StoreKind::Persistent).unwrap();
        assert!(matches!(backend.open_store("s", StoreKind::Memory), Err(Error::KindChanged { .. })));
        for name in ["", &"x".repeat(256), "default"] {
            assert!(
                matches!(backend.open_store(name, StoreKind::Persistent), Err(Error::InvalidName { .. })),
                "{name}"
            );
        }
        let unknown = StoreId(7);
        let mut batch = Batch::new();
        batch.put(store, 0, b"a", b"b");
        batch.put(unknown, 0, b"a", b"b");
        assert!(matches!(backend.write(&batch), Err(Error::UnknownStore(id)) if id == unknown));
        assert_eq!(get(&*backend, store, 0, b"a"), None, "nothing of a refused batch is there");
        assert!(matches!(backend.get(unknown, 0, b"a", &mut Vec::new()), Err(Error::UnknownStore(_))));
        assert!(matches!(backend.position(unknown, 0), Err(Error::UnknownStore(_))));
        assert!(matches!(backend.drop_partition(unknown, 0), Err(Error::UnknownStore(_))));
        assert!(matches!(backend.snapshot().position(unknown, 0), Err(Error::UnknownStore(_))));
    });
}

#[test]
fn a_snapshot_stays_at_its_instant() {
    check(|backend| {
        let disk = backend.open_store("disk", StoreKind::Persistent).unwrap();
        let memory = backend.open_store("memory", StoreKind::Memory).unwrap();
        for store in [disk, memory] {
            let read = |snapshot: &dyn Snapshot| {
                let mut pairs = Vec::new();
                let mut visit = |key: &[u8], value: &[u8]| {
                    pairs.push((key.to_vec(), value.to_vec()));
                    ControlFlow::Continue(())
                };
                snapshot.scan(store, 0, Range::all(), Direction::Forward, &mut visit).unwrap();
                for (key, value) in &pairs {
                    let mut out = Vec::new();
                    assert!(snapshot.get(store, 0, key, &mut out).unwrap());
                    assert_eq!(out, *value);
                }
                (pairs, snapshot.position(store, 0).unwrap().map(|position| position.changelog_next))
            };
            let write = |number: u8| {
                let mut batch = Batch::new();
                batch.put(store, 0, b"same", &[number]);
                batch.put(store, 0, &[number], &[number]);
                batch.delete(store, 0, &[number.wrapping_sub(2)]);
                batch.position(store, 0, &position(number.into()));
                backend.write(&batch).unwrap();
            };
            let expected = |number: u8| {
                let mut pairs = vec![(vec![number], vec![number]), (b"same".to_vec(), vec![number])];
                if number > 1 {
                    pairs.insert(0, (vec![number - 1], vec![number - 1]));
                }
                (pairs, Some(i64::from(number)))
            };
            let empty = backend.snapshot();
            write(1);
            let first = backend.snapshot();
            let again = backend.snapshot();
            write(2);
            let second = backend.snapshot();
            write(3);
            backend.drop_partition(store, 0).unwrap();
            write(4);
            assert_eq!(read(&*empty), (vec![], None));
            assert_eq!(read(&*first), expected(1));
            drop(first);
            assert_eq!(read(&*again), expected(1), "the other snapshot of this instant lives");
            drop(empty);
            write(5);
            assert_eq!(read(&*again), expected(1));
            assert_eq!(read(&*second), expected(2));
            drop(again);
            assert_eq!(read(&*second), expected(2));
            drop(second);
            assert_eq!(read(&*backend.snapshot()), expected(5));
        }
    });
}

#[test]
fn readers_see_whole_batches_only() {
    const BATCHES: u64 = 2_000;
    const PARTITIONS: Partition = 4;
    check(|backend| {
        let disk = backend.open_store("disk", StoreKind::Persistent).unwrap();
        let memory = backend.open_store("memory", StoreKind::Memory).unwrap();
        let done = AtomicBool::new(false);
        let read_everything = || {
            let snapshot = backend.snapshot();
            let mut seen = Vec::new();
            let mut out = Vec::new();
            for store in [disk, memory] {
                for partition in 0..PARTITIONS {
                    let there = snapshot.get(store, partition, b"number", &mut out).unwrap();
                    seen.push(there.then(|| out.clone()));
                }
                let number = snapshot.position(store, 0).unwrap().map(|at| at.changelog_next.to_be_bytes().to_vec());
                seen.push(number);
            }
            assert!(seen.iter().all(|value| *value == seen[0]), "a part of a batch was seen: {seen:?}");
            seen[0].is_some()
        };
        std::thread::scope(|scope| {
            let readers = [(); 2].map(|()| {
                scope.spawn(|| {
                    let mut reads = 0;
                    while !done.load(Ordering::Acquire) || reads == 0 {
                        reads += u64::from(read_everything());
                    }
                    reads
                })
            });
            let mut batch = Batch::new();
            for number in 0..BATCHES {
                batch.clear();
                for store in [disk, memory] {
                    for partition in 0..PARTITIONS {
                        batch.put(store, partition, b"number", &number.to_be_bytes());
                    }
                    batch.position(store, 0, &position(number as i64));
                }
                backend.write(&batch).unwrap();
            }
            done.store(true, Ordering::Release);
            for reader in readers {
                assert!(reader.join().unwrap() > 0);
            }
        });
    });
}

#[test]
fn usage_tells_of_data() {
    check(|backend| {
        let memory = backend.open_store("memory", StoreKind::Memory).unwrap();
        put(&*backend, memory, 0, b"key", &[0; 1_000]);
        assert_eq!(backend.usage().memory_store_bytes, 1_003);
        put(&*backend, memory, 0, b"key", &[0; 500]);
        assert_eq!(backend.usage().memory_store_bytes, 503);
        backend.drop_partition(memory, 0).unwrap();
        assert_eq!(backend.usage().memory_store_bytes, 0);
    });
}
