//! Several instances on real Kafka: tasks move under load, a dead instance's tasks are taken over in time, and a broker
//! that restarts in the middle changes nothing.

mod kafka_support;

use std::collections::BTreeSet;
use std::process::Command;
use std::time::{Duration, Instant};

use kafka_support::{Instance, PATIENCE, SESSION, Scene, alone, disk, wait_until};
use node::kafka::{GroupReader, Received};

const PARTITIONS: u32 = 4;
const TASKS: usize = 2 * PARTITIONS as usize;

#[test]
#[ignore = "needs Kafka: ./test kafka"]
fn tasks_move_between_instances_under_load() {
    let _alone = alone();
    let mut scene = Scene::new("rebalance", PARTITIONS);
    let (disk_a, disk_b) = (disk(), disk());
    let a = Instance::start(&scene, "a", &disk_a);
    wait_until("a has all tasks", || a.running() == TASKS);
    scene.produce(500);
    let mut b = Instance::start(&scene, "b", &disk_b);
    for round in 0..3 {
        let mut rounds = 0;
        wait_until("both have half", || {
            scene.produce(50);
            rounds += 1;
            a.running() == TASKS / 2 && b.running() == TASKS / 2
        });
        scene.produce(500);
        // A stop in order and a kill by turns; the member is static and takes its place again.
        if round % 2 == 0 {
            b.stop()
        } else {
            b.kill().expect("it ran")
        }
        scene.produce(200);
        b = Instance::start(&scene, "b", &disk_b);
    }
    scene.await_and_verify();
    a.stop();
    b.stop();
    scene.verify();
}

/// The dead instance leaves a transaction open; the other one does not wait for the broker to time it out.
#[test]
#[ignore = "needs Kafka: ./test kafka"]
fn a_dead_instances_tasks_go_on_within_the_session_timeout_and_two_seconds() {
    let _alone = alone();
    let mut scene = Scene::new("takeover", PARTITIONS);
    let (disk_a, disk_b) = (disk(), disk());
    let a = Instance::start(&scene, "a", &disk_a);
    let b = Instance::start(&scene, "b", &disk_b);
    wait_until("both have half", || a.running() == TASKS / 2 && b.running() == TASKS / 2);
    scene.produce(300);
    scene.await_and_verify();
    // Dies with records sent and not committed, in every task it has.
    let died = a.die_in_a_transaction(&mut scene);
    scene.produce(300);
    wait_until("b has all tasks", || b.running() == TASKS);
    wait_until("all is counted", || scene.outputs() >= scene.expected_total());
    let took = died.elapsed();
    eprintln!("tasks of a killed instance went on after {took:?}");
    assert!(took < SESSION + Duration::from_secs(2), "session timeout + 2 s, but took {took:?}");
    b.stop();
    scene.verify();
}

/// A broker of its own, stopped in order and killed while there is work.
#[test]
#[ignore = "needs Kafka: ./test kafka"]
fn a_broker_restart_in_the_middle_changes_nothing() {
    let _alone = alone();
    let broker = Broker::start();
    let mut scene = Scene::on(&broker.address(), "broker", PARTITIONS);
    let disk = disk();
    let worker = Instance::start(&scene, "a", &disk);
    wait_until("all tasks run", || worker.running() == TASKS);
    for how in ["stop", "kill"] {
        scene.produce(500);
        broker.run(how);
        broker.run("start");
        scene.produce(300);
        wait_until("all is counted", || scene.outputs() >= scene.expected_total());
    }
    worker.stop();
    scene.verify();
}

/// The coordinator is away for longer than the session, and its members hold still meanwhile, as in a long pause:
/// librdkafka forgets its member id and sends a heartbeat without one before its partitions are given up, which the
/// coordinator takes for a rival's (librdkafka #3437). There is none: both members join again and go on.
#[test]
#[ignore = "needs Kafka: ./test kafka"]
fn an_outage_longer_than_the_session_does_not_end_its_members() {
    let _alone = alone();
    let broker = Broker::start();
    let mut scene = Scene::on(&broker.address(), "outage", PARTITIONS);
    let mut worker = scene.worker("a", &disk());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    let mut reader = GroupReader::join(&scene.settings("a"), "payment", "payment-a", "lines").expect("a member");
    // More than the reader holds before it waits for its user.
    scene.produce(3_000);
    worker.run_to_total(&scene).expect("runs");
    let position = |received: Received| (received.partition, received.offset);
    let mut next = || {
        let received = runtime.block_on(async { tokio::time::timeout(PATIENCE, reader.next()).await });
        received.expect("in time").expect("a member that goes on")
    };
    let mut read = BTreeSet::from([position(next())]);
    broker.run("kill");
    std::thread::sleep(SESSION + Duration::from_secs(1));
    broker.run("start");
    // Heartbeats, of which there are three in a session, begin again.
    std::thread::sleep(SESSION / 2);
    scene.produce(100);
    worker.run_to_total(&scene).expect("goes on");
    worker.close();
    while read.len() < 3_100 {
        read.insert(position(next()));
    }
    scene.verify();
}

struct Broker {
    port: u16,
    data: tempfile::TempDir,
}

impl Broker {
    fn start() -> Broker {
        let base: u16 = std::env::var("PORT_BASE").ok().and_then(|p| p.parse().ok()).unwrap_or(19_200);
        let broker = Broker { port: base + 6, data: tempfile::tempdir().expect("a directory") };
        broker.run("start");
        broker
    }

    fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    fn run(&self, command: &str) {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/kafka/kafka.sh");
        let mut call = Command::new(script);
        call.arg(command).arg("--data").arg(self.data.path());
        if command == "start" {
            call.args(["--heap", "256m", "--port"]).arg(self.port.to_string());
        }
        let output = call.output().expect("kafka.sh runs");
        assert!(output.status.success(), "kafka.sh {command}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.run("kill");
    }
}

/// KIP-848, whose assignments come as changes.
#[test]
#[ignore = "needs Kafka: ./test kafka"]
fn tasks_move_under_the_consumer_protocol_too() {
    let _alone = alone();
    let mut scene = Scene::new("kip848", PARTITIONS);
    scene.protocol = node::config::GroupProtocol::Consumer;
    let (disk_a, disk_b) = (disk(), disk());
    let a = Instance::start(&scene, "a", &disk_a);
    wait_until("a has all tasks", || a.running() == TASKS);
    scene.produce(300);
    for _ in 0..2 {
        let b = Instance::start(&scene, "b", &disk_b);
        wait_until("both have half", || {
            scene.produce(50);
            a.running() == TASKS / 2 && b.running() == TASKS / 2
        });
        scene.produce(300);
        scene.await_and_verify();
        b.stop();
        scene.produce(100);
    }
    let b = Instance::start(&scene, "b", &disk_b);
    scene.await_and_verify();
    a.stop();
    b.stop();
    scene.verify();
}

#[test]
#[ignore = "needs Kafka: ./test kafka"]
fn more_instances_than_partitions_leave_one_idle() {
    let _alone = alone();
    let mut scene = Scene::new("idle", 1);
    let (a, b) = (Instance::start(&scene, "a", &disk()), Instance::start(&scene, "b", &disk()));
    scene.produce(50);
    wait_until("one has it all", || a.running() + b.running() == 2);
    scene.await_and_verify();
    let began = Instant::now();
    a.stop();
    b.stop();
    assert!(began.elapsed() < Duration::from_secs(10), "an idle worker stops at once");
}
