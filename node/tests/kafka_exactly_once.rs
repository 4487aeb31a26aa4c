//! Exactly-once on real Kafka: whatever stops a worker, wherever, every word is counted once.

mod kafka_support;

use std::sync::atomic::Ordering;

use kafka_support::{Killable, Scene, disk};
use streams::Error;
use streams::worker::CRASH_POINTS;

const PARTITIONS: u32 = 2;
/// Tasks of the topology: two sub-topologies.
const TASKS: usize = 2 * PARTITIONS as usize;

#[test]
#[ignore = "needs Kafka: ./test kafka"]
fn takeover_process_commit_restart() {
    let mut scene = Scene::new("smoke", PARTITIONS);
    let disk = disk();
    scene.produce(100);
    let mut worker = scene.worker("a", &disk);
    worker.run_until("all tasks run", |k| k.is_running(TASKS)).expect("runs");
    worker.run_to_total(&scene).expect("runs");
    scene.produce(100);
    worker.run_to_total(&scene).expect("runs");
    assert_eq!(scene.counts(&worker.view), scene.expected);
    worker.close();
    scene.verify();

    scene.produce(50);
    let mut worker = scene.worker("a", &disk);
    worker.run_to_total(&scene).expect("runs");
    assert_eq!(worker.passed.restored.load(Ordering::Relaxed), 0, "nothing to restore after a clean stop");
    worker.close();
    scene.verify();
}

/// Stops the worker at the `nth` passage of a point, as a kill would.
fn crash_at(worker: &mut Killable, point: &'static str, mut nth: u32) {
    worker.worker.on_crash_point(Box::new(move |p| {
        if p != point {
            return false;
        }
        nth = nth.saturating_sub(1);
        nth == 0
    }));
}

#[test]
#[ignore = "needs Kafka: ./test kafka"]
fn a_kill_at_every_point_loses_nothing_doubles_nothing_and_restores_little() {
    for point in CRASH_POINTS {
        let mut scene = Scene::new("crash", PARTITIONS);
        let disk = disk();
        for nth in [1, 3] {
            scene.produce(150);
            let mut worker = scene.worker("a", &disk);
            crash_at(&mut worker, point, nth);
            let ended = worker.run_while_producing(&mut scene);
            assert!(matches!(ended, Err(Error::Crashed(p)) if p == point), "{point}: {ended:?}");
            let uncommitted = worker.passed.changelog_max.load(Ordering::Relaxed);
            drop(worker);

            let mut worker = scene.worker("a", &disk);
            worker.run_to_total(&scene).expect("runs");
            let restored = worker.passed.restored.load(Ordering::Relaxed);
            assert!(restored <= uncommitted, "{point}: {restored} restored, at most {uncommitted} were uncommitted");
            assert_eq!(scene.counts(&worker.view), scene.expected, "{point} #{nth}");
            worker.close();
        }
        scene.verify();
    }
}

/// A record that no broker takes, and one that only this topic's limit refuses: the line they came from is a dead letter,
/// every other line counts.
#[test]
#[ignore = "needs Kafka: ./test kafka"]
fn a_refused_record_is_dead_lettered_and_nothing_else() {
    let mut scene = Scene::new("refused", PARTITIONS);
    scene.limit_words(100_000);
    for word in ["big", "large"] {
        scene.produce(30);
        scene.line(&format!("key-{word}"), &format!("before {word} after"));
        scene.produce(30);
    }
    let mut worker = scene.worker("a", &disk());
    worker.run_to_total(&scene).expect("runs");
    worker
        .run_until("the dead letters are committed", |_| scene.committed("word-count-dead-letters").len() >= 2)
        .expect("runs");
    let mut dead: Vec<_> =
        scene.committed("word-count-dead-letters").into_iter().map(|(_, _, _, value)| value).collect();
    dead.sort();
    assert_eq!(dead, [b"before big after".to_vec(), b"before large after".to_vec()]);
    assert!(worker.passed.refused.load(Ordering::Relaxed) >= 2);
    assert_eq!(scene.counts(&worker.view), scene.expected);
    worker.close();
    scene.verify();
}

/// The broker aborts a transaction that is open for too long, and takes its producer for fenced: a new one goes on.
#[test]
#[ignore = "needs Kafka: ./test kafka"]
fn a_transaction_that_times_out_is_done_again() {
    let mut scene = Scene::new("timeout", PARTITIONS);
    scene.transaction_timeout_ms = 1_000;
    scene.produce(50);
    let mut worker = scene.worker("a", &disk());
    worker.run_until("it has sent something", |k| k.passed.changelog_max.load(Ordering::Relaxed) > 0).expect("runs");
    worker.run_to_total(&scene).expect("runs");
    scene.produce(50);
    // One transaction is not committed before the broker has written its abort marker.
    let (brokers, topic) = (scene.brokers.clone(), format!("{}word-count-words-repartition", scene.prefix));
    worker.worker.log_mut().before_commit = Some(Box::new(move || {
        kafka_support::wait_until("a transaction is open", || !kafka_support::is_stable(&brokers, &topic));
        kafka_support::wait_until("the broker aborted it", || kafka_support::is_stable(&brokers, &topic));
    }));
    worker.run_to_total(&scene).expect("runs");
    assert!(worker.passed.resets.load(Ordering::Relaxed) >= 1, "the timed-out producer was replaced");
    worker.close();
    scene.verify();
}

#[test]
#[ignore = "needs Kafka: ./test kafka"]
fn a_lost_disk_is_restored_from_the_changelog() {
    let mut scene = Scene::new("lost-disk", PARTITIONS);
    scene.produce(200);
    let mut worker = scene.worker("a", &disk());
    worker.run_to_total(&scene).expect("runs");
    worker.close();
    let mut worker = scene.worker("a", &disk());
    worker.run_until("all tasks run", |k| k.is_running(TASKS)).expect("runs");
    assert_eq!(scene.counts(&worker.view), scene.expected);
    assert!(worker.passed.restored.load(Ordering::Relaxed) >= scene.expected.len() as u64);
    scene.produce(50);
    worker.run_to_total(&scene).expect("runs");
    worker.close();
    scene.verify();
}

/// Two processes with one instance id: the newer one wins, the older one ends and says why. What it had in flight when it
/// was fenced is nowhere.
#[test]
#[ignore = "needs Kafka: ./test kafka"]
fn a_zombie_is_fenced() {
    let mut scene = Scene::new("zombie", PARTITIONS);
    let (old_disk, new_disk) = (disk(), disk());
    scene.produce(100);
    let mut zombie = scene.worker("a", &old_disk);
    zombie.run_until("it has sent something", |k| k.passed.changelog_max.load(Ordering::Relaxed) > 0).expect("runs");
    // It stops turning (a long pause), its successor starts.
    let mut successor = scene.worker("a", &new_disk);
    successor.run_to_total(&scene).expect("runs");
    scene.produce(100);
    // The zombie wakes up and tries to go on where it was.
    let ended = zombie.run_until("it is told", |_| false);
    let Err(Error::Log(streams::log::Error::Fatal(text))) = ended else { panic!("{ended:?}") };
    assert!(text.contains("node.instance_id"), "{text}");
    drop(zombie);
    successor.run_to_total(&scene).expect("runs");
    assert_eq!(scene.counts(&successor.view), scene.expected);
    successor.close();
    scene.verify();
}
