//! `Application` on real Kafka: a topology of one's own, its topics created, its rows found, a clean stop and a start that
//! goes on from there.

mod kafka_support;

use std::path::Path;
use std::time::{Duration, Instant};

use kafka_support::{PATIENCE, Scene};
use node::kafka::forget_application;
use node::{Application, Config};
use streams::dsl::{Consumed, Materialized, StreamsBuilder};
use streams::serde::{I64, Utf8};
use streams::{Error, Phase};

fn config(scene: &Scene, directory: &Path) -> Config {
    let mut config = Config::default();
    config.kafka.brokers = scene.brokers.clone();
    config.node.instance_id = "a".into();
    config.node.data_dir = directory.into();
    config.topics.prefix = scene.prefix.clone();
    config.topics.partitions = scene.partitions;
    config
}

/// Starts the word count, and waits until it has counted all there is.
fn count(scene: &Scene, config: &Config) -> Application {
    let app = Application::on_kafka(kafka_support::word_count(), config).expect("starts");
    let counts = app.view().key_value_store("counts", Utf8, I64).expect("a store");
    let until = Instant::now() + PATIENCE;
    for (word, count) in &scene.expected {
        // While the task starts the store says so; afterwards the count grows to what it must be.
        while counts.find(word).ok().flatten().map(|(count, _)| count) != Some(*count) {
            assert!(Instant::now() < until, "{word} is to be counted {count} times");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
    drop(counts);
    app
}

#[test]
#[ignore = "needs Kafka: ./test kafka"]
fn a_topology_of_ones_own_runs_and_goes_on() {
    let mut scene = Scene::new("application", 2);
    let directory = tempfile::tempdir().expect("a directory");
    let config = config(&scene, directory.path());
    for _ in 0..2 {
        scene.produce(50);
        count(&scene, &config).close().expect("a clean stop");
    }
    scene.verify();
}

/// What another topology has committed is not taken over; after a reset, which waits for the members to be gone, all is counted
/// from the beginning.
#[test]
#[ignore = "needs Kafka: ./test kafka"]
fn another_topology_is_refused_until_a_reset() {
    let mut scene = Scene::new("reset", 2);
    let directory = tempfile::tempdir().expect("a directory");
    let mut config = config(&scene, directory.path());
    scene.produce(50);
    let app = count(&scene, &config);
    let (settings, topology) = (scene.settings("a"), kafka_support::word_count());
    let refused = forget_application(&settings, &topology, false).expect_err("it has a member").to_string();
    assert!(refused.contains("active members"), "{refused}");
    app.close().expect("a clean stop");

    let builder = StreamsBuilder::new(topology.application_id());
    let lines = builder.stream("lines", Consumed::<String, String>::with(Utf8, Utf8));
    lines.group_by_key().count(Materialized::new("lines-per-key", Utf8, I64));
    let other = Application::on_kafka(builder.build().expect("builds"), &config).expect("starts");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async { tokio::time::timeout(PATIENCE, other.ended()).await }).expect("ends");
    let why = match other.close() {
        Err(Error::Incompatible(why)) => why,
        other => panic!("{other:?}"),
    };
    assert!(why.contains("It was: sub-topology 0 reads lines; no stores."), "{why}");

    let until = Instant::now() + PATIENCE;
    while let Err(e) = forget_application(&settings, &topology, false) {
        assert!(Instant::now() < until && e.to_string().contains("active members"), "{e}");
        std::thread::sleep(Duration::from_millis(100));
    }
    let left = forget_application(&settings, &topology, true).expect("says what there is");
    assert_eq!(left.len(), 1, "no topic: {left:?}");
    let emptied = tempfile::tempdir().expect("a directory");
    config.node.data_dir = emptied.path().into();
    count(&scene, &config).close().expect("a clean stop");
}

/// A version with a sub-topology more takes over from the one before, the place in the group too, and runs what is new.
#[test]
#[ignore = "needs Kafka: ./test kafka"]
fn a_sub_topology_more_is_run_at_once() {
    let scene = Scene::new("grown", 2);
    let directory = tempfile::tempdir().expect("a directory");
    let config = config(&scene, directory.path());
    for topics in [&["lines"][..], &["lines", "counted"]] {
        let builder = StreamsBuilder::new("grown");
        for topic in topics {
            builder.stream(*topic, Consumed::<String, String>::with(Utf8, Utf8)).for_each(|_| ());
        }
        let app = Application::on_kafka(builder.build().expect("builds"), &config).expect("starts");
        let tasks = topics.len() * scene.partitions as usize;
        kafka_support::wait_until("all tasks run", || {
            app.view().tasks().iter().filter(|(_, task)| task.phase == Phase::Running).count() == tasks
        });
        app.close().expect("a clean stop");
    }
}
