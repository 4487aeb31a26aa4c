//! A store in an engine of its own, beside one that the application keeps: both count the same, whichever of the two engines
//! gets a commit and whichever does not.

use std::sync::Arc;
use std::time::Duration;

use state::{Backend, FaultBackend, Memory, StoreKind};
use streams::dsl::{Consumed, Materialized, StreamsBuilder};
use streams::serde::{I64, Utf8};
use streams::store::Engine;
use streams::testing::SimCluster;
use streams::{Config, Headers, TopicPartition, Topology, View, Worker};

const STORES: [&str; 2] = ["kept", "own"];

fn fault() -> Arc<FaultBackend> {
    Arc::new(FaultBackend::new(Arc::new(Memory::new())))
}

/// Counts clicks twice: in the store `kept`, and in `own`, which has an engine of its own if there is one.
fn topology(own: Option<Arc<FaultBackend>>) -> Topology {
    let builder = StreamsBuilder::new("clicks");
    let clicks = builder.stream("clicks", Consumed::<String, String>::with(Utf8, Utf8)).group_by_key();
    let [kept, in_engine] = STORES.map(|name| Materialized::<String, i64>::new(name, Utf8, I64));
    let in_engine = match own {
        Some(own) => in_engine.with_engine(&Engine::new("mine", move || Ok(own.clone()))),
        None => in_engine,
    };
    clicks.count(kept);
    clicks.count(in_engine);
    builder.build().expect("builds")
}

struct Scene {
    topology: Arc<Topology>,
    cluster: SimCluster,
    disk: Arc<FaultBackend>,
    now: i64,
}

impl Scene {
    fn new(own: Option<Arc<FaultBackend>>) -> Self {
        let topology = Arc::new(topology(own));
        let cluster = SimCluster::new(&topology, 1);
        Scene { topology, cluster, disk: fault(), now: 1_000 }
    }

    fn click(&self) {
        let at = TopicPartition { topic: self.topology.topic("clicks").expect("a topic"), partition: 0 };
        self.cluster.produce(at, Some(b"ada"), Some(b"/"), self.now, Headers::default());
    }

    fn view(&self) -> Arc<View> {
        View::open(self.topology.clone(), self.disk.clone()).expect("opens")
    }

    /// A process from its start to its death: a worker that has some time, and dies earlier when `dead` says so.
    fn process(&mut self, dead: impl Fn() -> bool) {
        let mut worker = Worker::new(self.cluster.connect("a"), self.view(), Config::default());
        for _ in 0..20 {
            self.now += 1_000;
            worker.turn(self.now, Duration::ZERO).expect("what fails is tried again");
            if dead() {
                return;
            }
        }
    }

    /// Committed counts: kept, own.
    fn counts(&self) -> [i64; 2] {
        let view = self.view();
        STORES.map(|name| {
            let (store, _) = view.store(name).expect("a store");
            let found = view.get(store, 0, b"ada").expect("readable");
            found.map_or(0, |(count, _)| i64::from_be_bytes(count.try_into().expect("eight bytes")))
        })
    }
}

#[test]
fn the_engine_has_its_store_and_no_other_has_it() {
    let own = fault();
    let mut scene = Scene::new(Some(own.clone()));
    scene.click();
    scene.process(|| false);
    assert_eq!(scene.counts(), [1, 1]);
    let holds = |backend: &FaultBackend, name: &str| {
        let store = backend.open_store(&format!("clicks/{name}"), StoreKind::Persistent).expect("opens");
        backend.get(store, 0, b"ada", &mut Vec::new()).expect("readable")
    };
    assert!(holds(&own, "own") && holds(&scene.disk, "kept"));
    assert!(!holds(&own, "kept") && !holds(&scene.disk, "own"));
}

/// The first write to either engine fails in each process, which dies of it or goes on.
#[test]
fn whichever_engine_misses_a_commit_catches_up() {
    let mut lagged = [false, false];
    for (failing, dies) in [(0, true), (0, false), (1, true), (1, false)] {
        let own = fault();
        let mut scene = Scene::new(Some(own.clone()));
        let engine = [scene.disk.clone(), own][failing].clone();
        for clicks in 1..=4 {
            scene.click();
            engine.fail_next_write();
            scene.process(|| dies && engine.counts().disk_full == clicks);
            assert_eq!(engine.counts().disk_full, clicks);
            if dies {
                let [kept, own] = scene.counts();
                lagged[0] |= kept < own;
                lagged[1] |= own < kept;
                scene.process(|| false);
            }
            let clicks = i64::try_from(clicks).expect("few");
            assert_eq!(scene.counts(), [clicks, clicks], "engine {failing} fails, the process dies: {dies}");
        }
    }
    assert_eq!(lagged, [false, true], "the main backend is written first, and only the others lag");
}

#[test]
fn a_store_moves_into_an_engine_and_back() {
    let mut scene = Scene::new(None);
    scene.click();
    scene.process(|| false);
    let own = fault();
    for (round, engine) in (2_i64..).zip([Some(own.clone()), None, Some(own), None]) {
        let moved = Arc::new(topology(engine));
        (scene.cluster, scene.topology) = (scene.cluster.upgraded(&scene.topology, &moved, 1), moved);
        scene.click();
        scene.process(|| false);
        assert_eq!(scene.counts(), [round, round]);
    }
}
