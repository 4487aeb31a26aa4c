//! A store in an engine of its own on the embedded log, which does not keep it: it comes back from its changelog, whether its
//! engine missed the last commits or lost everything.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use node::{Application, Config, embedded_log};
use state::{Backend as _, FaultBackend, Memory};
use streams::TopicPartition;
use streams::dsl::{Consumed, Materialized, StreamsBuilder};
use streams::serde::{I64, Utf8};
use streams::store::Engine;

const PATIENCE: Duration = Duration::from_secs(30);

fn memory() -> Arc<FaultBackend> {
    Arc::new(FaultBackend::new(Arc::new(Memory::new())))
}

/// Runs a count over one more click, and answers how many there were.
fn run(directory: &Path, own: &Arc<FaultBackend>) -> i64 {
    let builder = StreamsBuilder::new("clicks");
    let own = own.clone();
    let engine = Engine::new("mine", move || Ok(own.clone()));
    let counts = Materialized::<String, i64>::new("counts", Utf8, I64).with_engine(&engine);
    builder.stream("clicks", Consumed::<String, String>::with(Utf8, Utf8)).group_by_key().count(counts);
    let mut config = Config::default();
    config.node.data_dir = directory.into();
    let log = embedded_log(&config).expect("opens");
    let app = Application::on_embedded_log(builder.build().expect("builds"), &log, &config).expect("starts");
    log.send("clicks", Some(b"ada"), Some(b"/"), 0).expect("appended");
    assert!(log.wait_until_read("clicks", PATIENCE).expect("no failure"));
    // The log is first: the store has it once the position is published.
    let clicks = app.view().topology().topic("clicks").expect("a topic");
    let partition = streams::partitioner::partition_for_key(b"ada", config.topics.partitions);
    let committed = log.committed("clicks", "clicks", partition).expect("known").map(|c| c.offset);
    let until = Instant::now() + PATIENCE;
    while app.view().position(TopicPartition { topic: clicks, partition }) != committed && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(1));
    }
    count(&app)
}

fn count(app: &Application) -> i64 {
    let store = app.view().key_value_store("counts", Utf8, I64).expect("a store");
    store.find(&"ada".to_owned()).expect("readable").map_or(0, |(count, _)| count)
}

#[test]
fn it_comes_back_from_its_changelog() {
    let directory = tempfile::tempdir().expect("a directory");
    let own = memory();
    assert_eq!(run(directory.path(), &own), 1);
    assert_eq!(run(directory.path(), &own), 2, "goes on");
    own.sync().expect("syncs");
    assert_eq!(run(directory.path(), &own), 3);
    own.lose_unsynced().expect("loses");
    assert!(own.counts().lost > 0);
    assert_eq!(run(directory.path(), &own), 4, "has caught up");
    own.fail_next_write();
    assert_eq!(run(directory.path(), &own), 5, "has been taken over again");
    assert_eq!(own.counts().disk_full, 1);
    assert_eq!(run(directory.path(), &memory()), 6, "has been rebuilt");
}
