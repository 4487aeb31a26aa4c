//! Retention and compaction: what goes, found by a thread of its own; only the deletion itself passes through the
//! committer.

use std::ops::ControlFlow;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustc_hash::FxHashSet;
use state::{Direction, Range};
use streams::Timestamp;

use super::shared::{Shared, read};
use super::topic::{Cleanup, PartitionLog, Topic};
use super::{Error, format, limits};

/// How long a compacted topic keeps tombstones, milliseconds (Kafka's default of `delete.retention.ms`). A store catches up
/// by them as long as the process lives; a new process reads its changelog from the start.
const TOMBSTONES_KEPT_MS: i64 = 86_400_000;

/// A thread that runs a pass at every interval.
#[derive(Default)]
pub(crate) struct Schedule {
    stop: Arc<(Mutex<bool>, Condvar)>,
}

impl Schedule {
    pub(crate) fn spawn(&self, shared: Arc<Shared>, interval: Duration) -> std::io::Result<JoinHandle<()>> {
        let stop = self.stop.clone();
        std::thread::Builder::new().name("local-retention".to_owned()).spawn(move || {
            while !stopped_within(&stop, interval) {
                match pass(&shared, crate::engine::now_ms()) {
                    Ok(_) => (),
                    Err(Error::Closed | Error::Failed(_)) => return,
                    Err(e) => tracing::warn!(error = %e, "retention is tried again later"),
                }
            }
        })
    }

    pub(crate) fn stop(&self) {
        *self.stop.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.stop.1.notify_all();
    }
}

fn stopped_within((stop, told): &(Mutex<bool>, Condvar), wait: Duration) -> bool {
    let until = Instant::now() + wait;
    let mut stopped = stop.lock().unwrap_or_else(PoisonError::into_inner);
    while !*stopped {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return false;
        }
        stopped = told.wait_timeout(stopped, left).unwrap_or_else(PoisonError::into_inner).0;
    }
    true
}

/// What a pass found to delete.
#[derive(Default)]
struct Found {
    /// New first offsets.
    starts: Vec<(Arc<PartitionLog>, i64)>,
    /// Single records that later ones replace.
    superseded: Vec<(Arc<PartitionLog>, Vec<i64>)>,
    records: u64,
}

/// Looks at every partition once, a bounded number of records each, and deletes what may go. Answers how many went.
pub(crate) fn pass(shared: &Shared, now: Timestamp) -> Result<u64, Error> {
    let topics: Vec<Arc<Topic>> = read(&shared.catalog).topics.values().cloned().collect();
    let mut found = Found::default();
    for topic in &topics {
        for log in &topic.partitions {
            match topic.stored.cleanup {
                Cleanup::Delete => expired(shared, topic, log, now, &mut found)?,
                Cleanup::Compact => superseded(shared, log, now, &mut found)?,
            }
        }
    }
    if found.starts.is_empty() && found.superseded.is_empty() {
        return Ok(0);
    }
    let stores = shared.stores;
    let records = found.records;
    shared.commit_and_wait(|pending| {
        for (log, start) in found.starts {
            pending.delete_before(stores, &log, start);
        }
        for (log, offsets) in found.superseded {
            for offset in offsets {
                pending.group.batch.delete(stores.records, log.id.0, &format::record_key(offset));
            }
        }
    })?;
    shared.counters.records_deleted.fetch_add(records, Relaxed);
    Ok(records)
}

/// Finds how far the front of a partition may go: every record up to there is too old, or above the partition's size, and
/// read by all who must.
fn expired(
    shared: &Shared,
    topic: &Topic,
    log: &Arc<PartitionLog>,
    now: Timestamp,
    found: &mut Found,
) -> Result<(), Error> {
    let retention = topic.stored.retention;
    if retention.time_ms.is_none() && retention.bytes.is_none() {
        return Ok(());
    }
    let (start, mut end, end_position) = {
        let extent = log.extent();
        (extent.start, extent.synced_end, extent.end_position)
    };
    if topic.stored.keep_unread
        && let Some(read_to) = slowest_reader(shared, log)
    {
        end = end.min(read_to);
    }
    if end <= start {
        return Ok(());
    }
    let oldest = retention.time_ms.map_or(i64::MIN, |kept| now.saturating_sub(kept));
    let bytes_max = retention.bytes.unwrap_or(u64::MAX);
    let (mut cut, mut records) = (start, 0);
    let mut failed = None;
    let (from, to) = (format::record_key(start), format::record_key(end));
    let range = Range::half_open(&from, &to);
    shared.backend.scan(shared.stores.records, log.id.0, range, Direction::Forward, &mut |key, record| {
        let may_go = || -> Result<Option<i64>, state::Error> {
            let offset = format::record_offset(key).ok_or_else(format::corrupt)?;
            let bytes = end_position.saturating_sub(format::position(record)?);
            Ok((format::timestamp(record)? < oldest || bytes > bytes_max).then_some(offset))
        };
        match may_go() {
            Ok(Some(offset)) if records < limits::RETENTION_RECORDS_PER_PASS => {
                cut = offset + 1;
                records += 1;
                ControlFlow::Continue(())
            }
            Ok(_) => ControlFlow::Break(()),
            Err(e) => {
                failed = Some(e);
                ControlFlow::Break(())
            }
        }
    })?;
    if let Some(e) = failed {
        return Err(e.into());
    }
    if cut > start {
        found.starts.push((log.clone(), cut));
        found.records += records as u64;
    }
    Ok(())
}

/// The lowest position of all groups that read a partition, registered ones without a position counting as at its start.
fn slowest_reader(shared: &Shared, log: &PartitionLog) -> Option<i64> {
    let positions = read(&shared.positions);
    let registered = shared.registered.lock().unwrap_or_else(PoisonError::into_inner);
    let unread = registered.iter().filter(|key| key.1 == log.id && !positions.contains_key(*key)).map(|_| 0);
    positions.iter().filter(|(key, _)| key.1 == log.id).map(|(_, c)| c.offset.0).chain(unread).min()
}

/// Finds the records of a changelog whose key has a later record, from the newest back. The keys seen are those of a store
/// that is held in memory itself. The last record always stays: it says where the log ends.
fn superseded(shared: &Shared, log: &Arc<PartitionLog>, now: Timestamp, found: &mut Found) -> Result<(), Error> {
    let (start, end, compacted_to) = {
        let extent = log.extent();
        (extent.start, extent.synced_end, extent.compacted_to)
    };
    // Half of it dirty, as Kafka's min.cleanable.dirty.ratio has it; else each pass would read everything for little.
    if end - compacted_to < (compacted_to - start).max(1) {
        return Ok(());
    }
    let mut seen: FxHashSet<Box<[u8]>> = FxHashSet::default();
    let mut gone = Vec::new();
    let mut failed = None;
    let (from, to) = (format::record_key(start), format::record_key(end));
    let range = Range::half_open(&from, &to);
    shared.backend.scan(shared.stores.records, log.id.0, range, Direction::Reverse, &mut |key, record| {
        let mut look = || -> Result<Option<i64>, state::Error> {
            let offset = format::record_offset(key).ok_or_else(format::corrupt)?;
            let (key, tombstone) = format::key_and_tombstone(record)?;
            let newest = key.is_some_and(|key| seen.insert(key.into()));
            let stale = tombstone && format::timestamp(record)? < now.saturating_sub(TOMBSTONES_KEPT_MS);
            Ok((offset + 1 < end && (!newest || stale)).then_some(offset))
        };
        match look() {
            Ok(offset) => gone.extend(offset),
            Err(e) => failed = Some(e),
        }
        match failed.is_some() || gone.len() >= limits::RETENTION_RECORDS_PER_PASS {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    })?;
    if let Some(e) = failed {
        return Err(e.into());
    }
    if gone.len() < limits::RETENTION_RECORDS_PER_PASS {
        log.extent().compacted_to = end;
    }
    if !gone.is_empty() {
        found.records += gone.len() as u64;
        found.superseded.push((log.clone(), gone));
    }
    Ok(())
}
