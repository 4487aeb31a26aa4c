//! What a takeover reads, and what it need not: whole stores go on as they are, inputs show no lag over markers.

mod common;

use std::sync::Arc;
use std::time::Duration;

use state::{Backend as _, Memory};
use streams::testing::{Call, Fault, SimCluster, SimLog};
use streams::{Config, Headers, Offset, Phase, TopicPartition, Topology, View, Worker};

const HOUR_MS: i64 = 3_600_000;
/// `delete.retention.ms` of the default configuration is a day.
const FAR_TOO_LONG_MS: i64 = 100 * 24 * HOUR_MS;

struct Scene {
    topology: Arc<Topology>,
    cluster: SimCluster,
    disk: Arc<Memory>,
    now: i64,
}

impl Scene {
    fn new() -> Self {
        let topology = Arc::new(common::word_count());
        let cluster = SimCluster::new(&topology, 1);
        Scene { topology, cluster, disk: Arc::new(Memory::new()), now: 1_000 }
    }

    fn at(&self, topic: &str) -> TopicPartition {
        TopicPartition { topic: self.topology.topic(topic).expect("a topic"), partition: 0 }
    }

    fn line(&self, line: &str) {
        self.cluster.produce(self.at("lines"), Some(b"k"), Some(line.as_bytes()), self.now, Headers::default());
    }

    fn worker(&self) -> Worker<SimLog> {
        self.replaying_worker(|_| Fault::None)
    }

    fn replaying_worker(&self, on_call: impl FnMut(Call) -> Fault + Send + 'static) -> Worker<SimLog> {
        let view = View::open(self.topology.clone(), self.disk.clone()).expect("memory opens");
        let mut log = self.cluster.connect("a");
        log.on_call(on_call);
        Worker::new(log, view, Config::default())
    }

    /// A worker that must not read any changelog.
    fn worker_of_whole_stores(&self) -> Worker<SimLog> {
        self.replaying_worker(|call| {
            assert_ne!(call, Call::Replay, "a changelog was read");
            Fault::None
        })
    }

    fn run(&mut self, worker: &mut Worker<SimLog>, turns: u32) {
        for _ in 0..turns {
            self.now += 10;
            worker.turn(self.now, Duration::ZERO).expect("goes on");
        }
    }

    fn count(&self, word: &str) -> Option<i64> {
        let view = View::open(self.topology.clone(), self.disk.clone()).expect("memory opens");
        let (store, _) = view.store("counts").expect("a store");
        let found = view.get(store, 0, word.as_bytes()).expect("readable");
        found.map(|(value, _)| i64::from_be_bytes(value.try_into().expect("eight bytes")))
    }

    fn store_position(&self) -> state::Position {
        let view = View::open(self.topology.clone(), self.disk.clone()).expect("memory opens");
        self.disk.position(view.store_ids()[0], 0).expect("readable").expect("a position")
    }
}

fn all_run(worker: &Worker<SimLog>, view: &View) -> bool {
    worker.tasks().count() == 2 && view.tasks().iter().all(|(_, t)| t.phase == Phase::Running)
}

#[test]
fn a_whole_store_goes_on_without_reading_its_changelog_however_long_it_was_away() {
    for away in [0, FAR_TOO_LONG_MS] {
        let mut scene = Scene::new();
        scene.line("a b a");
        let mut worker = scene.worker();
        scene.run(&mut worker, 20);
        assert_eq!(scene.count("a"), Some(2));
        drop(worker);

        scene.now += away;
        let mut worker = scene.worker_of_whole_stores();
        scene.line("a");
        scene.run(&mut worker, 20);
        assert_eq!(scene.count("a"), Some(3));
    }
}

#[test]
fn a_store_that_missed_something_reads_it() {
    let mut scene = Scene::new();
    scene.line("a b a");
    let mut worker = scene.worker();
    scene.run(&mut worker, 20);
    scene.line("a");
    // Committed by the log, not written to the store.
    worker.on_crash_point(Box::new(|point| point == "commit.after-log"));
    let crashed = (0..20).any(|_| {
        scene.now += 10;
        worker.turn(scene.now, Duration::ZERO).is_err()
    });
    assert!(crashed);
    drop(worker);
    assert_eq!(scene.count("a"), Some(2), "the store has not got it");
    let mut worker = scene.worker();
    scene.run(&mut worker, 20);
    assert_eq!(scene.count("a"), Some(3));
}

/// The marker of the last commit is still on its way: the store starts all the same, and its position allows for no marker
/// any more, since the next record may come before that marker.
#[test]
fn a_store_whose_marker_is_late_starts_and_counts_its_position_exactly() {
    let mut scene = Scene::new();
    let mut worker = scene.worker();
    scene.run(&mut worker, 20);
    scene.line("a");
    scene.cluster.hold_markers(true);
    scene.run(&mut worker, 1);
    assert_eq!(scene.count("a"), Some(1), "split and counted in one transaction");
    assert!(!scene.store_position().inputs.is_empty(), "of a commit");
    worker.log_mut().on_call(|call| {
        assert_ne!(call, Call::Replay, "a changelog was read");
        // Everything is taken over again.
        if call == Call::Begin { Fault::Before(streams::log::Error::Abort("injected".into())) } else { Fault::None }
    });
    scene.line("b");
    scene.run(&mut worker, 3);
    assert!(scene.store_position().inputs.is_empty(), "exact");
    worker.log_mut().on_call(|_| Fault::None);
    scene.cluster.hold_markers(false);
    scene.run(&mut worker, 20);
    assert_eq!((scene.count("a"), scene.count("b")), (Some(1), Some(1)));
}

/// A drained partition's committed position is its end, markers included: it shows no lag, and is not taken for lost once
/// retention has emptied it.
#[test]
fn a_drained_input_shows_no_lag() {
    let mut scene = Scene::new();
    let view = View::open(scene.topology.clone(), scene.disk.clone()).expect("memory opens");
    let mut worker = Worker::new(scene.cluster.connect("a"), view.clone(), Config::default());
    scene.run(&mut worker, 5);
    assert!(all_run(&worker, &view));
    for line in ["a b a", "c", "b a"] {
        scene.line(line);
        scene.run(&mut worker, 3);
    }
    scene.now += 10_000;
    scene.run(&mut worker, 5);
    let words = scene.at("word-count-words-repartition");
    let committed = scene.cluster.committed(words).expect("committed").offset;
    let records = scene.cluster.read(words.topic, 0);
    let last = records.last().expect("words").record.offset;
    assert_eq!(committed, Offset(last.0 + 2), "behind the marker of the last transaction");
    let before = scene.cluster.sequence();
    scene.now += 10_000;
    scene.run(&mut worker, 5);
    assert_eq!(scene.cluster.sequence(), before, "nothing moves any more");
}
