//! Dependencies point one way (ARCHITECTURE.md, code map). Reads `cargo tree`; asserts on its output, because a check by
//! exit status would pass when cargo itself fails.

use std::collections::BTreeSet;
use std::process::Command;

/// Names of everything a crate links, itself included, with the features the workspace builds it with.
fn linked(package: &str) -> BTreeSet<String> {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--offline", "-p", package, "-e", "normal", "--prefix", "none", "--format", "{p}"])
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .output()
        .expect("cargo runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "cargo tree -p {package}: {}", String::from_utf8_lossy(&output.stderr));
    let names: BTreeSet<String> = text.lines().filter_map(|l| l.split(' ').next()).map(str::to_owned).collect();
    assert!(names.contains(package), "cargo tree -p {package} does not name it: {text}");
    names
}

fn refuse(package: &str, forbidden: &[&str]) {
    let names = linked(package);
    for name in forbidden {
        assert!(!names.contains(*name), "{package} must not depend on {name}; ARCHITECTURE.md says why");
    }
}

#[test]
fn the_engine_is_pure() {
    refuse(
        "streams",
        &["rdkafka", "rdkafka-sys", "tokio", "rocksdb", "schemas", "apache-avro", "axum", "reqwest", "rand"],
    );
}

#[test]
fn businesses_do_no_io() {
    refuse("topologies", &["rdkafka", "rocksdb", "axum", "query-api", "node"]);
}

#[test]
fn the_service_knows_no_log_and_no_store_engine() {
    refuse("query-api", &["rdkafka", "rocksdb", "topologies", "node"]);
}

#[test]
fn the_load_generator_shares_nothing_with_what_it_audits() {
    refuse("loadgen", &["streams", "state", "topologies", "query-api", "node", "rocksdb"]);
}

#[test]
fn state_and_schemas_know_nothing_of_ours() {
    refuse("state", &["streams", "schemas", "topologies", "query-api", "rdkafka", "tokio"]);
    refuse("schemas", &["streams", "state", "topologies", "query-api", "rdkafka", "rocksdb"]);
}
