//! Records that one task writes and another of the same worker reads: handed over inside the transaction, in the log's order,
//! and by way of the log wherever that order could not be known.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use state::Memory;
use streams::limits::{HANDOVER_HOLD_MS, HANDOVER_RECORDS_MAX, HANDOVER_RETRY_MS, IDLE_COMMIT_MS};
use streams::partitioner::partition_for_key;
use streams::testing::{Call, Fault, SimCluster, SimLog};
use streams::{Config, ErrorPolicy, Headers, Offset, OnError, TopicPartition, Topology, View, Worker};

const WORDS: &str = "word-count-words-repartition";

struct Scene {
    topology: Arc<Topology>,
    cluster: SimCluster,
    now: i64,
    commits: Arc<AtomicUsize>,
}

impl Scene {
    fn new(partitions: u32) -> Self {
        let topology = Arc::new(common::word_count());
        let cluster = SimCluster::new(&topology, partitions);
        Scene { topology, cluster, now: 1_000, commits: Arc::default() }
    }

    fn at(&self, topic: &str) -> TopicPartition {
        TopicPartition { topic: self.topology.topic(topic).expect("a topic"), partition: 0 }
    }

    fn line(&self, line: &str) {
        self.cluster.produce(self.at("lines"), Some(b"k"), Some(line.as_bytes()), self.now, Headers::default());
    }

    /// A word that is in the repartition topic already, as an earlier worker left it.
    fn word(&self, word: &str) {
        self.cluster.produce(
            self.at(WORDS),
            Some(word.as_bytes()),
            Some(word.as_bytes()),
            self.now,
            Headers::default(),
        );
    }

    fn worker(&self, name: &str) -> Worker<SimLog> {
        self.worker_with(name, Config::default())
    }

    fn worker_with(&self, name: &str, config: Config) -> Worker<SimLog> {
        let view = View::open(self.topology.clone(), Arc::new(Memory::new())).expect("memory opens");
        let mut log = self.cluster.connect(name);
        let commits = self.commits.clone();
        log.on_call(move |call| {
            commits.fetch_add(usize::from(call == Call::Commit), Ordering::Relaxed);
            Fault::None
        });
        Worker::new(log, view, config)
    }

    fn run(&mut self, worker: &mut Worker<SimLog>, turns: u32) {
        for _ in 0..turns {
            self.now += 10;
            worker.turn(self.now, Duration::ZERO).expect("goes on");
        }
    }

    /// Commits since the last call.
    fn commits(&self) -> usize {
        self.commits.swap(0, Ordering::Relaxed)
    }

    /// Words as they were counted, with their counts.
    fn counted(&self) -> Vec<(String, i64)> {
        let records = self.cluster.read(self.at("counted").topic, 0);
        let text = |bytes: Option<&[u8]>| String::from_utf8(bytes.expect("a key").to_vec()).expect("UTF-8");
        let count = |bytes: Option<&[u8]>| i64::from_be_bytes(bytes.expect("a count").try_into().expect("8 bytes"));
        records.iter().map(|r| (text(r.record.key()), count(r.record.value()))).collect()
    }

    fn committed(&self, topic: &str) -> Option<Offset> {
        self.cluster.committed(self.at(topic)).map(|c| c.offset)
    }

    /// Where the topic's committed records lie.
    fn offsets(&self, topic: &str) -> Vec<i64> {
        self.cluster.read(self.at(topic).topic, 0).iter().map(|r| r.record.offset.0).collect()
    }
}

fn handed_over(worker: &Worker<SimLog>) -> u64 {
    worker.tasks().map(|t| t.counters().handed_over).sum()
}

fn counts(words: &[(&str, i64)]) -> Vec<(String, i64)> {
    words.iter().map(|(word, n)| ((*word).to_owned(), *n)).collect()
}

#[test]
fn a_record_passes_all_its_topics_in_one_transaction() {
    let mut scene = Scene::new(1);
    let mut worker = scene.worker("a");
    scene.run(&mut worker, 5);
    for (line, n) in [("a b a", 3), ("b", 4)] {
        scene.commits();
        scene.line(line);
        scene.run(&mut worker, 1);
        assert_eq!(scene.commits(), 1, "split and counted at once");
        assert_eq!(handed_over(&worker), n);
    }
    assert_eq!(scene.counted(), counts(&[("a", 1), ("b", 1), ("a", 2), ("b", 2)]));
    assert_eq!(scene.offsets(WORDS), [0, 1, 2, 4], "written all the same; a marker is between the transactions");
    assert_eq!(scene.committed(WORDS), Some(Offset(5)), "as if they had been read there");
}

/// What an earlier worker left in the topic comes first.
#[test]
fn what_was_there_before_is_read_before_anything_is_handed_over() {
    let mut scene = Scene::new(1);
    scene.word("old");
    scene.word("older");
    scene.line("new");
    let mut worker = scene.worker("a");
    scene.run(&mut worker, 10);
    assert_eq!(scene.counted(), counts(&[("old", 1), ("older", 1), ("new", 1)]));
    assert_eq!(handed_over(&worker), 1, "the new one waited until the topic was read to its end");
}

/// A transaction nobody ends hides the topic's end: those who write to it wait, and then go on by way of the log.
#[test]
fn nobody_waits_for_long() {
    let mut scene = Scene::new(1);
    let mut other = scene.cluster.connect("dead");
    let log: &mut dyn streams::log::Log = &mut other;
    let words = scene.at(WORDS);
    log.begin().expect("a member");
    log.send(streams::log::Outgoing {
        topic: words.topic,
        partition: Some(0),
        key: None,
        value: None,
        timestamp: 0,
        headers: &Headers::default(),
    })
    .expect("sent");
    scene.cluster.expire_member("dead");
    scene.line("a");
    let mut worker = scene.worker("a");
    scene.run(&mut worker, 10);
    assert!(scene.offsets(WORDS).is_empty(), "it waits");
    scene.run(&mut worker, u32::try_from(HANDOVER_HOLD_MS / 10).expect("small"));
    assert_eq!(handed_over(&worker), 0);
    assert_ne!(scene.committed("lines"), None, "it went on");
    scene.cluster.expire_transaction("sim-dead");
    scene.run(&mut worker, 10);
    assert_eq!(scene.counted(), counts(&[("a", 1)]));
    scene.line("b");
    scene.run(&mut worker, 3);
    assert_eq!(handed_over(&worker), 1, "from now on");
}

#[test]
fn a_record_of_somebody_else_in_between_undoes_the_transaction_and_the_log_decides_for_a_while() {
    let mut scene = Scene::new(1);
    let mut worker = scene.worker("a");
    scene.line("a");
    scene.run(&mut worker, 5);
    assert_eq!(handed_over(&worker), 1);
    scene.cluster.write_aborted(scene.at(WORDS));
    scene.line("b a");
    scene.run(&mut worker, 10);
    assert_eq!(scene.counted(), counts(&[("a", 1), ("b", 1), ("a", 2)]), "nothing lost, nothing twice");
    assert_eq!(handed_over(&worker), 0, "the tasks are new ones, and nothing was handed over to them");
    let words = scene.cluster.read(scene.at(WORDS).topic, 0);
    assert_eq!(words.len(), 3, "the first try was aborted");
    scene.now += HANDOVER_RETRY_MS;
    scene.run(&mut worker, 5);
    scene.line("c");
    scene.run(&mut worker, 5);
    assert_eq!(handed_over(&worker), 1, "handed over again");
}

/// A topic of our own has no other writer; whoever writes all the same is heard, also while the worker is busy elsewhere.
#[test]
fn what_somebody_else_writes_to_a_quiet_partition_is_read_soon() {
    let mut scene = Scene::new(2);
    let mut worker = scene.worker("a");
    let words = ["a", "b", "c", "d", "e", "f", "g", "h"];
    let on = |partition: u32| words.into_iter().find(|w| partition_for_key(w.as_bytes(), 2) == partition).expect("one");
    let (busy, quiet) = (on(0), on(1));
    for word in [quiet, busy] {
        scene.line(word);
        scene.run(&mut worker, 5);
    }
    let at = TopicPartition { partition: 1, ..scene.at(WORDS) };
    scene.cluster.produce(at, Some(quiet.as_bytes()), Some(quiet.as_bytes()), scene.now, Headers::default());
    for _ in 0..IDLE_COMMIT_MS / 10 + 5 {
        scene.line(busy);
        scene.run(&mut worker, 1);
    }
    assert!(scene.counted().contains(&(quiet.to_owned(), 2)));
    assert_eq!(worker.tasks().count(), 4);
    assert!(handed_over(&worker) > 100, "and nothing was taken over again for it");
}

#[test]
fn workers_that_share_the_tasks_hand_nothing_over() {
    let mut scene = Scene::new(2);
    let (mut a, mut b) = (scene.worker("a"), scene.worker("b"));
    let both = |scene: &mut Scene, a: &mut Worker<SimLog>, b: &mut Worker<SimLog>| {
        for _ in 0..20 {
            scene.run(a, 1);
            scene.run(b, 1);
        }
    };
    both(&mut scene, &mut a, &mut b);
    scene.line("x y z");
    both(&mut scene, &mut a, &mut b);
    assert_eq!(scene.counted().len(), 3);
    assert_eq!(handed_over(&a) + handed_over(&b), 0);
    // One leaves: the other is alone from then on.
    drop(b);
    scene.cluster.expire_member("b");
    scene.run(&mut a, 10);
    scene.line("x y z");
    scene.run(&mut a, 10);
    assert_eq!(handed_over(&a), 3);
    assert!(scene.counted().contains(&("z".to_owned(), 2)));
}

#[test]
fn what_does_not_fit_in_the_buffer_comes_by_way_of_the_log() {
    let mut scene = Scene::new(1);
    let mut worker = scene.worker("a");
    scene.run(&mut worker, 5);
    let words = HANDOVER_RECORDS_MAX + 5_000;
    scene.line(&"w ".repeat(words));
    scene.line("last");
    scene.run(&mut worker, 200);
    let counted = scene.counted();
    let expected: Vec<(String, i64)> =
        (1..).map(|n| ("w".to_owned(), n)).take(words).chain([("last".to_owned(), 1)]).collect();
    assert!(counted == expected, "{} words counted, each once and in order", counted.len());
    let handed = handed_over(&worker);
    assert!((HANDOVER_RECORDS_MAX as u64..words as u64).contains(&handed), "{handed}");
    scene.line("w");
    scene.run(&mut worker, 5);
    assert!(handed_over(&worker) > handed, "open again");
}

/// A task that stands still takes nothing: it is all in the log when it is started again.
#[test]
fn a_task_that_stands_still_finds_everything_in_the_log() {
    let mut scene = Scene::new(1);
    scene.line("a b");
    let errors = ErrorPolicy { decode: OnError::Fail, ..ErrorPolicy::default() };
    let failing = Config { errors, ..Config::default() };
    let mut worker = scene.worker_with("a", failing.clone());
    scene.run(&mut worker, 5);
    // Not UTF-8: `lines` goes on, the words' task stands still at it.
    scene.cluster.produce(scene.at(WORDS), Some(b"\xff"), Some(b"\xff"), scene.now, Headers::default());
    drop(worker);
    let mut worker = scene.worker_with("a", failing);
    scene.run(&mut worker, 5);
    scene.line("c");
    scene.run(&mut worker, 20);
    assert_eq!(scene.counted(), counts(&[("a", 1), ("b", 1)]));
    assert_eq!(worker.tasks().filter(|t| t.failure().is_some()).count(), 1);
    assert_eq!(handed_over(&worker), 0);
    drop(worker);
    let mut worker = scene.worker("a");
    scene.run(&mut worker, 20);
    assert_eq!(scene.counted(), counts(&[("a", 1), ("b", 1), ("c", 1)]), "the poison is a dead letter");
}
