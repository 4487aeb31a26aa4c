//! A changed topology on the embedded log: what would take over state that is not its own does not start, as an application
//! of one's own and as a process.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use node::{Application, Config, embedded_log};
use streams::dsl::{Consumed, Materialized, StreamsBuilder};
use streams::serde::{I64, Utf8};
use streams::{Error, Topology};

const PATIENCE: Duration = Duration::from_secs(30);
/// Exit status of a refused configuration.
const REFUSED: i32 = 2;
/// An input of the fashion store.
const ORDERS: &str = "fashion.orders";

/// A stand-in for an older fashion store: it counts what comes in.
fn counting(counts: Materialized<String, i64>) -> Topology {
    let builder = StreamsBuilder::new("fashion-store");
    builder.stream(ORDERS, Consumed::<String, String>::with(Utf8, Utf8)).group_by_key().count(counts);
    builder.build().expect("builds")
}

fn counts() -> Materialized<String, i64> {
    Materialized::new("counts", Utf8, I64)
}

/// Runs it over one more record, and answers how many there were.
fn run(directory: &Path, counts: Materialized<String, i64>) -> Result<i64, Error> {
    let mut config = Config::default();
    config.node.data_dir = directory.into();
    let log = embedded_log(&config).expect("opens");
    let app = Application::on_embedded_log(counting(counts), &log, &config).expect("starts");
    log.send(ORDERS, Some(b"k"), Some(b"v"), 0).expect("appended");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let ended = tokio::time::timeout(PATIENCE, app.ended());
        let read = async {
            while !log.wait_until_read("fashion-store", Duration::ZERO).unwrap_or(true) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::select! { ended = ended => ended.expect("ends or reads in time"), () = read => () }
    });
    let store = app.view().key_value_store("counts", Utf8, I64).expect("a store");
    let found = store.find(&"k".to_owned());
    drop(store);
    app.close()?;
    Ok(found.expect("readable").map_or(0, |(count, _)| count))
}

/// A persistent store has no changelog on a log that keeps the state itself, so it cannot come back in memory.
#[test]
fn a_store_does_not_leave_the_disk() {
    let directory = tempfile::tempdir().expect("a directory");
    assert_eq!(run(directory.path(), counts()).expect("runs"), 1);
    assert_eq!(run(directory.path(), counts().with_caching_enabled()).expect("runs"), 2);
    let why = match run(directory.path(), counts().in_memory()) {
        Err(Error::Incompatible(why)) => why,
        other => panic!("{other:?}"),
    };
    assert!(
        why.contains("It was: sub-topology 0 reads fashion.orders; stores counts (key-value, kept by the log)."),
        "{why}"
    );
    assert!(
        why.contains("It is: sub-topology 0 reads fashion.orders; stores counts (key-value, with a changelog)."),
        "{why}"
    );
    assert_eq!(run(directory.path(), counts()).expect("back"), 4, "with the record that the refused version was sent");
}

#[test]
fn the_process_stops_with_the_reason() {
    let directory = tempfile::tempdir().expect("a directory");
    run(directory.path(), counts()).expect("runs");
    let process = Command::new(env!("CARGO_BIN_EXE_orderflow"))
        .args(["up", "--app", "fashion-store", "--listen", "127.0.0.1:0", "--data-dir"])
        .arg(directory.path())
        .output()
        .expect("starts");
    let said = String::from_utf8_lossy(&process.stderr);
    assert_eq!(process.status.code(), Some(REFUSED), "{said}");
    let last = said.lines().last().expect("a reason");
    assert!(last.starts_with("orderflow: worker fashion-store-0: application 'fashion-store' cannot go on"), "{said}");
    assert!(
        last.contains("It was: sub-topology 0 reads fashion.orders; stores counts (key-value, kept by the log)."),
        "{said}"
    );
    assert!(last.contains("It is: sub-topology 0 reads fashion.deliveries, fashion.orders, "), "{said}");
    assert!(last.contains("go back to the version from before"), "{said}");
}
