//! Exactly-once on real Kafka: whatever stops a worker, wherever, every word is counted once.

mod kafka_support;

use kafka_support::{Scene, disk};

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
    assert_eq!(
        worker.passed.restored.load(std::sync::atomic::Ordering::Relaxed),
        0,
        "nothing to restore after a clean stop"
    );
    worker.close();
    scene.verify();
}
