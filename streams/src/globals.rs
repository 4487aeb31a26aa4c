//! Global stores: a whole topic on every instance, so that any record can look anything up without being partitioned like
//! it (Kafka Streams: `GlobalStreamThread`).
//!
//! A global store is a store whose changelog is the topic itself. Whichever worker of the process comes by first when the
//! interval is over catches it up from its stored position to the topic's end; tasks start once that has been done for the
//! first time. What is looked up is therefore committed, may lag by the interval, and is not part of any transaction.

use rustc_hash::FxHashMap;
use state::{Batch, Position};

use crate::error::Error;
use crate::limits::RESTORE_RECORDS_PER_STEP;
use crate::log::{Log, LogRange};
use crate::partitioner::partition_for_key;
use crate::takeover::{apply, trust};
use crate::topology::{GlobalDef, Topology};
use crate::types::{Offset, Timestamp, TopicPartition};
use crate::view::View;
use crate::worker::Config;

/// How far the process' global stores are; shared by its workers.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    /// When the ends were last asked for.
    checked_at: Option<Timestamp>,
    /// The ends that are being caught up to, until that is done: asking is a round trip, and a turn may be short.
    ranges: FxHashMap<TopicPartition, LogRange>,
}

/// Catches all global stores up if it is time and no other worker is at it; true when something was applied.
///
/// # Errors
/// Of the log or the store; the next worker to come by tries again.
pub(crate) fn update<L: Log>(log: &mut L, view: &View, config: &Config, now: Timestamp) -> Result<bool, Error> {
    let topology = view.topology();
    if topology.globals().is_empty() {
        return Ok(false);
    }
    let Some(mut progress) = view.globals() else { return Ok(false) };
    let due = |at: Timestamp| now.saturating_sub(at) >= config.global_interval_ms || now < at;
    if !progress.checked_at.is_none_or(due) {
        return Ok(false);
    }
    let (mut applied, mut complete) = (false, true);
    for global in topology.globals() {
        let caught_up = match catch_up(log, view, topology, global, &mut progress.ranges, config, now) {
            Ok(caught_up) => caught_up,
            Err(e) => {
                // Whatever it was, the ends may not be what they were.
                progress.ranges.clear();
                return Err(e);
            }
        };
        applied |= caught_up.applied;
        complete &= caught_up.complete;
    }
    // A log that brought nothing in its time has not said that there is nothing: the next worker to come by asks on.
    if complete {
        progress.checked_at = Some(now);
        progress.ranges.clear();
    }
    view.set_globals(complete);
    Ok(applied)
}

/// What became of one global store.
struct CaughtUp {
    /// Records were applied.
    applied: bool,
    /// Every partition was read to its end, or to where an open transaction hides the rest.
    complete: bool,
}

fn catch_up<L: Log>(
    log: &mut L,
    view: &View,
    topology: &Topology,
    global: &GlobalDef,
    ranges: &mut FxHashMap<TopicPartition, LogRange>,
    config: &Config,
    now: Timestamp,
) -> Result<CaughtUp, Error> {
    let mut outcome = CaughtUp { applied: false, complete: true };
    let Some(&store) = view.store_ids().get(global.store.0 as usize) else { return Ok(outcome) };
    let partitions = log.partitions().get(global.topic.0 as usize).copied().unwrap_or(1).max(1);
    let backend = view.backend();
    let mut batch = Batch::default();
    let mut records = Vec::new();
    let all: Vec<TopicPartition> =
        (0..partitions).map(|partition| TopicPartition { topic: global.topic, partition }).collect();
    if !all.iter().all(|p| ranges.contains_key(p)) {
        ranges.extend(all.iter().copied().zip(log.ranges(&all)?));
    }
    let mut partition = 0;
    while partition < partitions {
        let from = TopicPartition { topic: global.topic, partition };
        let Some(range) = ranges.get(&from).copied() else { break };
        let position = backend.position(store, partition)?;
        let (trusted, why) = trust(position.as_ref(), &range, now, config.delete_retention_ms);
        if let Some(why) = why {
            let topic = topology.topic_name(global.topic);
            tracing::warn!(topic, partition, why, "global store is read again from the beginning");
            // Keys lie where their hash says, not where they were written, so one partition cannot be dropped alone.
            (0..partitions).try_for_each(|p| backend.drop_partition(store, p))?;
            partition = 0;
            continue;
        }
        let mut next = trusted.unwrap_or(range.start);
        while next < range.end {
            records.clear();
            let replayed = log.replay(from, next, range.end, RESTORE_RECORDS_PER_STEP, &mut records)?;
            if replayed.next == next {
                outcome.complete &= replayed.blocked;
                break;
            }
            batch.clear();
            for record in &records {
                let home = record.key().map_or(partition, |key| partition_for_key(key, partitions));
                apply(&mut batch, store, home, record);
            }
            next = replayed.next;
            let Offset(changelog_next) = next;
            let position =
                Position { changelog_next, topic_id: range.topic_id, committed_at_ms: now, inputs: Vec::new() };
            batch.position(store, partition, &position);
            backend.write(&batch)?;
            outcome.applied |= !records.is_empty();
        }
        partition += 1;
    }
    Ok(outcome)
}
