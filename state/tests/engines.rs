//! Stores of one application in several engines: each is where it was opened, and never ahead of its position.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use state::{Backend, Batch, Engines, Error, FaultBackend, Memory, Position, StoreId, StoreKind};

struct Scene {
    main: Arc<FaultBackend>,
    own: Arc<FaultBackend>,
    both: Arc<Engines>,
    /// In the main backend.
    a: StoreId,
    /// In the engine of its own.
    b: StoreId,
}

fn scene() -> Scene {
    let backend = || Arc::new(FaultBackend::new(Arc::new(Memory::new())));
    let (main, own) = (backend(), backend());
    let both = Arc::new(Engines::new(main.clone(), vec![own.clone()]));
    let a = both.open_store("a", StoreKind::Persistent).unwrap();
    let b = both.open_store_in(0, "b").unwrap();
    Scene { main, own, both, a, b }
}

impl Scene {
    /// One commit: the same number in both stores, and as both positions.
    fn commit(&self, n: u8) -> Result<(), Error> {
        let mut batch = Batch::new();
        for store in [self.a, self.b] {
            batch.put(store, 0, b"k", &[n]);
            batch.position(store, 0, &Position { changelog_next: n.into(), ..Position::default() });
        }
        self.both.write(&batch)
    }

    /// What a store holds, and where it stands.
    fn at(&self, store: StoreId) -> (Option<u8>, Option<i64>) {
        let position = self.both.position(store, 0).unwrap();
        (value(&*self.both, store), position.map(|p| p.changelog_next))
    }
}

fn value(backend: &dyn Backend, store: StoreId) -> Option<u8> {
    let mut out = Vec::new();
    backend.get(store, 0, b"k", &mut out).unwrap().then(|| out[0])
}

#[test]
fn a_store_is_in_its_engine_under_its_name_and_all_others_are_in_the_main_backend() {
    let scene = scene();
    scene.commit(7).unwrap();
    assert_eq!((scene.at(scene.a), scene.at(scene.b)), ((Some(7), Some(7)), (Some(7), Some(7))));
    let there = scene.own.open_store("b", StoreKind::Persistent).unwrap();
    assert_eq!((there, value(&*scene.own, there)), (StoreId(0), Some(7)));
    assert_eq!(
        scene.main.open_store("a", StoreKind::Persistent).unwrap(),
        scene.a,
        "the main backend's ids are its own"
    );
    assert_eq!(value(&*scene.main, scene.a), Some(7));
    assert_eq!(scene.both.open_store_in(0, "b").unwrap(), scene.b, "opened again");
    assert!(matches!(scene.both.open_store_in(1, "c"), Err(Error::UnknownEngine(1))));
    let unknown = StoreId(scene.b.0 + 1);
    assert!(matches!(scene.both.position(unknown, 0), Err(Error::UnknownStore(_))));
    scene.both.drop_partition(scene.b, 0).unwrap();
    assert_eq!((scene.at(scene.a), scene.at(scene.b)), ((Some(7), Some(7)), (None, None)));
}

#[test]
fn an_engine_that_fails_stands_with_its_position_where_it_stood() {
    let scene = scene();
    scene.commit(1).unwrap();
    scene.own.fail_next_write();
    assert!(matches!(scene.commit(2), Err(Error::DiskFull { .. })));
    assert_eq!((scene.at(scene.a), scene.at(scene.b)), ((Some(2), Some(2)), (Some(1), Some(1))), "it lags");
    scene.main.fail_next_write();
    assert!(matches!(scene.commit(3), Err(Error::DiskFull { .. })));
    assert_eq!(
        (scene.at(scene.a), scene.at(scene.b)),
        ((Some(2), Some(2)), (Some(1), Some(1))),
        "the main one is first"
    );
    scene.commit(4).unwrap();
    assert_eq!((scene.at(scene.a), scene.at(scene.b)), ((Some(4), Some(4)), (Some(4), Some(4))));
}

#[test]
fn a_snapshot_has_a_batch_whole_or_not_at_all() {
    let scene = scene();
    scene.commit(0).unwrap();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for n in 0..20_000_u32 {
                scene.commit((n % 251) as u8).unwrap();
            }
            done.store(true, Ordering::SeqCst);
        });
        let mut looks = 0;
        while !done.load(Ordering::SeqCst) || looks == 0 {
            let snapshot = scene.both.snapshot();
            let at = |store| {
                let mut out = Vec::new();
                assert!(snapshot.get(store, 0, b"k", &mut out).unwrap());
                (out[0], snapshot.position(store, 0).unwrap().unwrap().changelog_next)
            };
            assert_eq!(at(scene.a), at(scene.b));
            looks += 1;
        }
    });
}

#[test]
fn what_they_take_up_is_added_and_all_are_synced() {
    let scene = scene();
    scene.commit(1).unwrap();
    scene.both.sync().unwrap();
    assert_eq!((scene.main.counts().syncs, scene.own.counts().syncs), (1, 1));
    let each = [&scene.main, &scene.own].map(|engine| engine.usage().memory_store_bytes);
    assert!(each.iter().all(|bytes| *bytes > 0));
    assert_eq!(scene.both.usage().memory_store_bytes, each.iter().sum::<u64>());
}
