//! Forgetting an application: its positions, stores and own topics leave a log that no process has open.

use std::path::Path;

use state::{Backend as _, Batch, RocksBackend, rocks};
use streams::{RESET_UNDER_WAY, TopicRole, Topology};

use super::Error;
use super::broker::load_positions;
use super::format::{self, LogId};
use super::topic::{Catalog, Stores};

/// Deletes the positions, the stores and the repartition and changelog topics of an application in a directory of
/// [`super::LocalBroker::open_rocks`]; input and output topics stay. Answers, in words, what it deletes, or under `dry_run` what it
/// would. Interrupted, it is to be repeated: nothing of the application starts before that.
///
/// # Errors
/// [`Error::State`]; a directory in use is refused by it.
pub fn forget(directory: &Path, topology: &Topology, dry_run: bool) -> Result<Vec<String>, Error> {
    let options = rocks::Options { durability: rocks::Durability::Sync, ..rocks::Options::default() };
    let backend = RocksBackend::open(directory, options)?;
    let log = Stores::open(&backend)?;
    let (catalog, group) = (Catalog::load(&backend, log)?, topology.application_id());
    let positions: Vec<(LogId, i64)> = load_positions(&backend, log)?
        .into_iter()
        .filter(|((of, _), _)| **of == *group)
        .map(|((_, id), committed)| (id, committed.offset.0))
        .collect();
    let is_own = |name: &str| {
        let role = topology.topic(name).and_then(|t| topology.topics().get(usize::from(t.0))).map(|t| t.role);
        matches!(role, Some(TopicRole::Repartition | TopicRole::Changelog))
    };
    let topics: Vec<_> = catalog.topics.values().filter(|t| is_own(&t.name)).collect();
    let stores = stores_of(&backend, group)?;
    let mut what: Vec<String> = Vec::new();
    for topic in catalog.topics.values() {
        let partitions = topic.partitions.iter();
        what.extend(partitions.filter_map(|log| {
            let (_, offset) = positions.iter().find(|(id, _)| *id == log.id)?;
            Some(format!("position {offset} of group {group} in {}-{}", topic.name, log.partition))
        }));
    }
    what.extend(topics.iter().map(|topic| format!("topic {}", topic.name)));
    what.extend(stores.iter().map(|store| format!("store {store}")));
    if dry_run {
        return Ok(what);
    }
    let (mut batch, mut value) = (Batch::new(), Vec::new());
    for (id, offset) in &positions {
        format::encode_position(*offset, RESET_UNDER_WAY, &mut value);
        batch.put(log.positions, format::POSITIONS, &format::position_key(group, *id), &value);
    }
    backend.write(&batch)?;
    for store in &stores {
        backend.remove_store(store)?;
    }
    batch.clear();
    for topic in topics {
        for partition in &topic.partitions {
            backend.drop_partition(log.records, partition.id.0)?;
            batch.delete(log.topics, format::STARTS, &partition.id.0.to_be_bytes());
        }
        batch.delete(log.topics, format::TOPICS, topic.name.as_bytes());
    }
    for (id, _) in &positions {
        batch.delete(log.positions, format::POSITIONS, &format::position_key(group, *id));
    }
    backend.write(&batch)?;
    Ok(what)
}

/// Names of an application's stores, whatever topology made them.
pub(crate) fn stores_of(backend: &RocksBackend, application: &str) -> Result<Vec<String>, Error> {
    let mut names = backend.store_names()?;
    names.retain(|name| name.strip_prefix(application).is_some_and(|rest| rest.starts_with('/')));
    Ok(names)
}
