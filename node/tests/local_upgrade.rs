//! A changed topology on the embedded log: what would take over state that is not its own does not start, as an application
//! of one's own and as a process.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use node::local::GroupPosition;
use node::{Application, Config, embedded_log};
use streams::dsl::{Consumed, Materialized, StreamsBuilder};
use streams::serde::{I64, Utf8};
use streams::{Error, Offset, Topology};

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

fn orderflow(arguments: &[&str], directory: &Path) -> std::process::Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_orderflow"));
    command.args(arguments).args(["--app", "fashion-store", "--data-dir"]).arg(directory).output().expect("starts")
}

#[test]
fn after_a_reset_any_topology_starts_from_the_beginning() {
    let directory = tempfile::tempdir().expect("a directory");
    run(directory.path(), counts()).expect("runs");
    assert_eq!(run(directory.path(), counts()).expect("runs"), 2);

    let said = |output: std::process::Output| {
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let would = said(orderflow(&["reset", "--dry-run"], directory.path()));
    let lines: Vec<&str> = would.lines().collect();
    assert!(lines.contains(&"would delete store fashion-store/counts"), "{would}");
    assert!(
        lines.iter().any(|l| l.starts_with("would delete position 2 of group fashion-store in fashion.orders-")),
        "{would}"
    );
    assert_eq!(run(directory.path(), counts()).expect("nothing was deleted"), 3);

    let did = said(orderflow(&["reset"], directory.path()));
    assert!(did.contains("deleted store fashion-store/counts\n"), "{did}");
    assert_eq!(run(directory.path(), counts().in_memory()).expect("starts anew"), 4, "all records are still there");
    let did = said(orderflow(&["reset"], directory.path()));
    assert!(did.contains("position 4 of group"), "{did}");
    assert_eq!(said(orderflow(&["reset", "--dry-run"], directory.path())), "", "nothing is left");

    let unnamed = Command::new(env!("CARGO_BIN_EXE_orderflow")).arg("reset").output().expect("starts");
    assert_eq!(unnamed.status.code(), Some(REFUSED));
}

#[test]
fn nothing_starts_over_a_reset_that_was_interrupted() {
    let directory = tempfile::tempdir().expect("a directory");
    run(directory.path(), counts()).expect("runs");
    let mut config = Config::default();
    config.node.data_dir = directory.path().into();
    let log = embedded_log(&config).expect("opens");
    let positions: Vec<(u32, Offset)> = (0..config.topics.partitions)
        .filter_map(|p| Some((p, log.committed("fashion-store", ORDERS, p).expect("known")?.offset)))
        .collect();
    let (group, topic, metadata) = ("fashion-store", ORDERS, streams::RESET_UNDER_WAY);
    let marked: Vec<GroupPosition<'_>> = positions
        .iter()
        .map(|(partition, offset)| GroupPosition { group, topic, partition: *partition, offset: *offset, metadata })
        .collect();
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(log.commit_positions(&marked)).expect("committed");
    drop(log);
    let why = run(directory.path(), counts()).expect_err("refused").to_string();
    assert!(why.contains("repeat `orderflow reset`"), "{why}");
    assert!(orderflow(&["reset"], directory.path()).status.success());
    assert_eq!(run(directory.path(), counts()).expect("starts anew"), 3);
}

#[test]
fn the_process_stops_with_the_reason() {
    let directory = tempfile::tempdir().expect("a directory");
    run(directory.path(), counts()).expect("runs");
    let process = orderflow(&["up", "--listen", "127.0.0.1:0"], directory.path());
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
