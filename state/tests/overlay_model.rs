//! The overlay against a naive model: random operations over two stores in two partitions of one backend, with every
//! answer compared, and the backend itself compared after each commit.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::{Bound, ControlFlow};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use proptest::prelude::*;
use state::{Backend, Batch, Direction, Memory, Overlay, Partition, Range, StoreId, StoreKind};

const STORES: usize = 2;
const TASKS: usize = 2;

type Key = Vec<u8>;
type Entries = BTreeMap<Key, Vec<u8>>;
type Pairs = Vec<(Key, Vec<u8>)>;

#[derive(Clone, Debug)]
enum Step {
    Put(usize, Key, Vec<u8>),
    Delete(usize, Key),
    Expire(usize, Key, Key),
    Get(usize, Key),
    Scan {
        store: usize,
        from: Bound<Key>,
        to: Bound<Key>,
        direction: Direction,
        limit: usize,
    },
    /// Many puts, a stride apart.
    Fill {
        store: usize,
        first: u16,
        stride: u16,
        count: u16,
    },
    /// The first so many are removed, one by one, as from a queue.
    Take {
        store: usize,
        count: usize,
    },
    Savepoint,
    Rollback,
    /// As a commit begins.
    Sort,
    Commit,
    Abort,
    /// The limit of the cache changes.
    Resize(usize),
}

/// Few and short keys, so that steps meet; bytes at both ends of the order.
fn key() -> impl Strategy<Value = Key> {
    prop::collection::vec(prop::sample::select(vec![0u8, 1, b'a', 0xff]), 0..3)
}

/// Keys of two bytes that are filled in, among the short ones.
const LONG_KEYS: u16 = 1_000;

fn bound() -> impl Strategy<Value = Bound<Key>> {
    prop_oneof![
        2 => key().prop_map(Bound::Included),
        2 => key().prop_map(Bound::Excluded),
        1 => Just(Bound::Unbounded),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let store = 0..STORES;
    let value = prop::collection::vec(any::<u8>(), 0..80);
    let direction = prop_oneof![Just(Direction::Forward), Just(Direction::Reverse)];
    prop_oneof![
        24 => (store.clone(), key(), value).prop_map(|(store, key, value)| Step::Put(store, key, value)),
        9 => (store.clone(), key()).prop_map(|(store, key)| Step::Delete(store, key)),
        6 => (store.clone(), key(), key()).prop_map(|(store, from, to)| Step::Expire(store, from, to)),
        18 => (store.clone(), key()).prop_map(|(store, key)| Step::Get(store, key)),
        1 => (store.clone(), 0..LONG_KEYS, 1..7_u16, 1..400_u16)
            .prop_map(|(store, first, stride, count)| Step::Fill { store, first, stride, count }),
        2 => (store.clone(), 1..40_usize).prop_map(|(store, count)| Step::Take { store, count }),
        12 => (store, bound(), bound(), direction, prop_oneof![Just(usize::MAX), 0..4usize])
            .prop_map(|(store, from, to, direction, limit)| Step::Scan { store, from, to, direction, limit }),
        9 => Just(Step::Savepoint),
        6 => Just(Step::Rollback),
        3 => Just(Step::Sort),
        6 => Just(Step::Commit),
        3 => Just(Step::Abort),
        2 => cache_bytes().prop_map(Step::Resize),
    ]
}

/// What an overlay should be: whole copies.
#[derive(Clone, Default)]
struct View {
    entries: [Entries; STORES],
    /// Changed keys in the order of their first change, behind those that were sorted.
    changed: [Vec<Key>; STORES],
    is_changed: [BTreeSet<Key>; STORES],
    expired: bool,
}

#[derive(Default)]
struct Model {
    now: View,
    savepoint: View,
    committed: View,
}

impl Model {
    fn touch(&mut self, store: usize, key: &Key) {
        if self.now.is_changed[store].insert(key.clone()) {
            self.now.changed[store].push(key.clone());
        }
    }

    fn scan(&self, store: usize, range: Range<'_>, direction: Direction, limit: usize) -> Pairs {
        let inside = self.now.entries[store].iter().filter(|(key, _)| range.contains(key));
        let mut pairs: Pairs = inside.map(|(key, value)| (key.clone(), value.clone())).collect();
        if direction == Direction::Reverse {
            pairs.reverse();
        }
        // A visitor sees an entry before it can break.
        pairs.truncate(limit.max(1));
        pairs
    }

    fn dirty(&self) -> Vec<(usize, Key, Option<Vec<u8>>)> {
        let stores = self.now.changed.iter().zip(&self.now.entries).enumerate();
        stores
            .flat_map(|(store, (changed, entries))| {
                changed.iter().map(move |key| (store, key.clone(), entries.get(key).cloned()))
            })
            .collect()
    }

    fn settle(&mut self, view: View) {
        let view = View { entries: view.entries, ..View::default() };
        self.now = view.clone();
        self.savepoint = view.clone();
        self.committed = view;
    }
}

fn as_slice(bound: &Bound<Key>) -> Bound<&[u8]> {
    match bound {
        Bound::Included(key) => Bound::Included(key),
        Bound::Excluded(key) => Bound::Excluded(key),
        Bound::Unbounded => Bound::Unbounded,
    }
}

fn collect(limit: usize, scan: impl FnOnce(&mut dyn FnMut(&[u8], &[u8]) -> ControlFlow<()>)) -> Pairs {
    let mut pairs = Pairs::new();
    scan(&mut |key, value| {
        pairs.push((key.to_vec(), value.to_vec()));
        if pairs.len() >= limit { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    pairs
}

struct Task {
    overlay: Overlay,
    model: Model,
    partition: Partition,
    cache_bytes: usize,
}

impl Task {
    fn run(&mut self, backend: &dyn Backend, stores: &[StoreId], step: Step) {
        let Task { overlay, model, partition, cache_bytes } = self;
        match step {
            Step::Resize(limit) => {
                *cache_bytes = limit;
                overlay.set_cache_bytes(limit);
            }
            Step::Put(store, key, value) => {
                overlay.put(store, &key, &value);
                model.touch(store, &key);
                model.now.entries[store].insert(key, value);
            }
            Step::Delete(store, key) => {
                overlay.delete(store, &key);
                model.touch(store, &key);
                model.now.entries[store].remove(&key);
            }
            Step::Expire(store, from, to) => {
                overlay.expire(store, &from, &to);
                model.now.entries[store].retain(|key, _| !(from <= *key && *key < to));
                model.now.expired |= from < to;
            }
            Step::Get(store, key) => {
                let found = overlay.get(store, &key).unwrap();
                assert_eq!(found, model.now.entries[store].get(&key).map(Vec::as_slice), "get {key:?}");
            }
            Step::Scan { store, from, to, direction, limit } => {
                let range = Range { from: as_slice(&from), to: as_slice(&to) };
                let found = collect(limit, |visit| overlay.scan(store, range, direction, visit).unwrap());
                assert_eq!(found, model.scan(store, range, direction, limit));
            }
            Step::Fill { store, first, stride, count } => {
                for i in 0..count {
                    let key = ((first + i * stride) % LONG_KEYS).to_be_bytes().to_vec();
                    self.run(backend, stores, Step::Put(store, key, i.to_be_bytes().to_vec()));
                }
            }
            Step::Take { store, count } => {
                for _ in 0..count {
                    let first =
                        collect(1, |visit| overlay.scan(store, Range::all(), Direction::Forward, visit).unwrap());
                    assert_eq!(first, model.scan(store, Range::all(), Direction::Forward, 1), "the first");
                    let Some((key, _)) = first.into_iter().next() else { break };
                    overlay.delete(store, &key);
                    model.touch(store, &key);
                    model.now.entries[store].remove(&key);
                }
            }
            Step::Savepoint => {
                overlay.savepoint();
                model.savepoint = model.now.clone();
            }
            Step::Rollback => {
                overlay.rollback_to_savepoint();
                model.now = model.savepoint.clone();
            }
            Step::Sort => {
                overlay.sort();
                model.now.changed.iter_mut().for_each(|changed| changed.sort());
                model.savepoint = model.now.clone();
            }
            Step::Commit => {
                let mut batch = Batch::new();
                overlay.append_to(&mut batch);
                backend.write(&batch).unwrap();
                overlay.committed();
                let view = model.now.clone();
                model.settle(view);
                for (store, entries) in stores.iter().zip(&model.committed.entries) {
                    let stored = collect(usize::MAX, |visit| {
                        backend.scan(*store, *partition, Range::all(), Direction::Forward, visit).unwrap();
                    });
                    assert_eq!(stored, entries.clone().into_iter().collect::<Pairs>(), "backend after commit");
                }
            }
            Step::Abort => {
                overlay.abort();
                let view = model.committed.clone();
                model.settle(view);
            }
        }
    }

    fn check(&self) {
        let Task { overlay, model, cache_bytes, .. } = self;
        let mut dirty = Vec::new();
        overlay.for_each_dirty(&mut |store, key, value| dirty.push((store, key.to_vec(), value.map(Vec::from))));
        assert_eq!(dirty, model.dirty());
        assert_eq!(overlay.is_dirty(), !dirty.is_empty() || model.now.expired);
        assert_eq!(overlay.dirty_bytes() > 0, overlay.is_dirty());
        assert!(overlay.cached_bytes() <= *cache_bytes, "{} cached", overlay.cached_bytes());
    }
}

fn run(backend: Arc<dyn Backend>, partitions: [Partition; TASKS], cache_bytes: usize, steps: Vec<(usize, Step)>) {
    let stores = vec![
        backend.open_store("one", StoreKind::Persistent).unwrap(),
        backend.open_store("two", StoreKind::Memory).unwrap(),
    ];
    let mut tasks = partitions.map(|partition| Task {
        overlay: Overlay::new(Arc::clone(&backend), partition, stores.clone(), cache_bytes),
        model: Model::default(),
        partition,
        cache_bytes,
    });
    for (task, step) in steps {
        tasks[task].run(&*backend, &stores, step);
        tasks[task].check();
    }
    for task in &mut tasks {
        task.run(&*backend, &stores, Step::Commit);
        task.check();
        assert!(!task.overlay.is_dirty());
    }
}

fn steps() -> impl Strategy<Value = Vec<(usize, Step)>> {
    prop::collection::vec((0..TASKS, step()), 1..120)
}

/// No cache, one that evicts all the time, one that keeps all.
fn cache_bytes() -> impl Strategy<Value = usize> {
    prop_oneof![Just(0), 150..1_000usize, Just(1 << 20)]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_500, ..ProptestConfig::default() })]
    #[test]
    fn over_memory(cache_bytes in cache_bytes(), steps in steps()) {
        run(Arc::new(Memory::new()), [0, 1], cache_bytes, steps);
    }
}

#[cfg(feature = "rocksdb")]
#[test]
fn over_rocks() {
    let directory = tempfile::tempdir().unwrap();
    let backend: Arc<dyn Backend> =
        Arc::new(state::RocksBackend::open(directory.path(), state::rocks::Options::default()).unwrap());
    // One database for all cases; each has partitions of its own, next to the other cases'.
    let next = AtomicU32::new(0);
    proptest!(ProptestConfig { cases: 300, ..ProptestConfig::default() },
        |(cache_bytes in cache_bytes(), steps in steps())| {
            let first = next.fetch_add(2, Ordering::Relaxed);
            run(Arc::clone(&backend), [first, first + 1], cache_bytes, steps);
        }
    );
}
