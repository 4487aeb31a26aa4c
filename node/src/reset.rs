//! `orderflow reset`: an application forgets its positions and its state, so that any topology may start under its name.

use std::path::Path;

use state::{RocksBackend, rocks};
use streams::Topology;

use crate::config::{Config, ConfigError};
use crate::kafka::{Settings, forget_application};
use crate::{apps, local};

/// Resets each application named, on Kafka or in the embedded log, and prints what was deleted, or would be.
///
/// # Errors
/// When none is named, when one is running, or when what is to be deleted cannot be.
pub fn run(config: &Config, named: &[String], on_kafka: bool, dry_run: bool) -> anyhow::Result<()> {
    use std::io::Write as _;
    if named.is_empty() {
        return Err(ConfigError::Invalid("say with --app which application forgets everything".into()).into());
    }
    let registry = apps::registry(config)?;
    let mut out = std::io::stdout().lock();
    for name in named {
        let topology = apps::app(name, config, &registry)?.topology;
        let deleted = if on_kafka { kafka(config, &topology, dry_run)? } else { embedded(config, &topology, dry_run)? };
        let verb = if dry_run { "would delete" } else { "deleted" };
        for what in deleted {
            // A closed pipe is no error.
            let _ = writeln!(out, "{verb} {what}");
        }
    }
    Ok(())
}

fn embedded(config: &Config, topology: &Topology, dry_run: bool) -> anyhow::Result<Vec<String>> {
    let directory = config.node.data_dir.join("log");
    if !directory.exists() {
        let problem = format!("there is no embedded log in {}: --brokers is for Kafka", config.node.data_dir.display());
        return Err(ConfigError::Invalid(problem).into());
    }
    Ok(local::forget(&directory, topology, dry_run)?)
}

/// The group first, which is refused while a member is active; then its topics; then the stores in this data directory.
fn kafka(config: &Config, topology: &Topology, dry_run: bool) -> anyhow::Result<Vec<String>> {
    let settings = Settings::new(&config.kafka, &config.topics.prefix, &config.instance_id())
        .map_err(|e| ConfigError::Invalid(e.to_string()))?;
    let directory = config.node.data_dir.join("state");
    // Held open meanwhile: no instance starts with it.
    let backend = directory.exists().then(|| open(&directory)).transpose()?;
    let mut what = forget_application(&settings, topology, dry_run)?;
    let Some(backend) = backend else { return Ok(what) };
    for store in local::stores_of(&backend, topology.application_id())? {
        if !dry_run {
            backend.remove_store(&store)?;
        }
        what.push(format!("store {store} in {}", directory.display()));
    }
    Ok(what)
}

fn open(directory: &Path) -> Result<RocksBackend, state::Error> {
    RocksBackend::open(directory, rocks::Options { durability: rocks::Durability::Sync, ..rocks::Options::default() })
}
