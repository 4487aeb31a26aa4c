//! `Application` on real Kafka: a topology of one's own, its topics created, its rows found, a clean stop and a start that
//! goes on from there.

mod kafka_support;

use std::time::{Duration, Instant};

use kafka_support::{PATIENCE, Scene};
use node::{Application, Config};
use streams::serde::{I64, Utf8};

#[test]
#[ignore = "needs Kafka: ./test kafka"]
fn a_topology_of_ones_own_runs_and_goes_on() {
    let mut scene = Scene::new("application", 2);
    let directory = tempfile::tempdir().expect("a directory");
    let mut config = Config::default();
    config.kafka.brokers = scene.brokers.clone();
    config.node.instance_id = "a".into();
    config.node.data_dir = directory.path().into();
    config.topics.prefix = scene.prefix.clone();
    config.topics.partitions = scene.partitions;
    for _ in 0..2 {
        scene.produce(50);
        let app = Application::on_kafka(kafka_support::word_count(), &config).expect("starts");
        let counts = app.view().key_value_store("counts", Utf8, I64).expect("a store");
        let until = Instant::now() + PATIENCE;
        for (word, count) in &scene.expected {
            // While the task starts the store says so; afterwards the count grows to what it must be.
            while counts.find(word).ok().flatten().map(|(count, _)| count) != Some(*count) {
                assert!(Instant::now() < until, "{word} is to be counted {count} times");
                std::thread::sleep(Duration::from_millis(20));
            }
        }
        app.close().expect("a clean stop");
    }
    scene.verify();
}
