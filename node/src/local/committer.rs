//! The one thread that writes: takes what has gathered, writes it in one batch, syncs, and only then lets it be seen.
//!
//! 1. take the next group: everything that was enqueued while the last one was written;
//! 2. write it: records, positions and state in one atomic batch;
//! 3. sync, unless the mode is by interval or the backend syncs in its write;
//! 4. publish: ends and positions, then signals, then the answers.
//!
//! A write that fails for want of space has written nothing: its group, and what was enqueued behind it with offsets that
//! follow, are refused, and the next group starts from the published ends. After any other failure what is on disk is
//! unknown, and the log refuses everything until the process has started again.

use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustc_hash::FxHashMap;
use state::Batch;
use streams::worker::CrashHook;

use super::format::LogId;
use super::shared::{Group, Shared, Taken, write};
use super::topic::PartitionLog;
use super::{Error, Sync, limits};

/// Places where a fault injector may stop the committer dead, as [`streams::worker::CRASH_POINTS`] are of the worker. Under
/// [`Sync::Interval`] the last one is reached once per sync, not per group.
pub const CRASH_POINTS: [&str; 3] = ["local.before-write", "local.after-write", "local.after-sync"];

/// Starts the committer's thread.
pub(crate) fn spawn(shared: Arc<Shared>, crash: Option<CrashHook>) -> std::io::Result<JoinHandle<()>> {
    let committer = Committer { shared, crash, unsynced: FxHashMap::default(), sync_due: None, spare: Batch::new() };
    std::thread::Builder::new().name("local-committer".to_owned()).spawn(move || committer.run())
}

struct Committer {
    shared: Arc<Shared>,
    crash: Option<CrashHook>,
    /// Logs with records that are written and not known to be on disk.
    unsynced: FxHashMap<LogId, Arc<PartitionLog>>,
    /// When the next sync by interval is due; `None` when everything is synced.
    sync_due: Option<Instant>,
    spare: Batch,
}

/// What there is to do.
enum Work {
    Commit(Taken),
    Sync,
    Close,
}

impl Committer {
    fn run(mut self) {
        let outcome = loop {
            let done = match self.next() {
                Work::Commit(taken) => self.commit(taken),
                Work::Sync => self.sync(),
                Work::Close => break self.sync(),
            };
            if done.is_err() {
                break done;
            }
        };
        self.shared.fail(outcome.err().unwrap_or(Error::Closed));
    }

    /// Step 1; waits until there is something.
    fn next(&mut self) -> Work {
        let mut pending = self.shared.queue.lock();
        loop {
            let now = Instant::now();
            if self.sync_due.is_some_and(|due| due <= now) {
                return Work::Sync;
            }
            if !pending.is_empty() {
                return Work::Commit(pending.take_with(std::mem::take(&mut self.spare)));
            }
            if pending.closing {
                return Work::Close;
            }
            let filled = &self.shared.queue.filled;
            pending = match self.sync_due {
                Some(due) => {
                    filled.wait_timeout(pending, due.duration_since(now)).unwrap_or_else(PoisonError::into_inner).0
                }
                None => filled.wait(pending).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }

    /// Steps 2 to 4. An error ends the committer.
    fn commit(&mut self, taken: Taken) -> Result<(), Error> {
        match self.write(&taken) {
            Ok(()) => {
                let Taken { group, waiters } = taken;
                self.publish(group);
                for waiter in waiters {
                    waiter.finish(Ok(()));
                }
                Ok(())
            }
            Err(e @ Error::DiskFull(_)) => {
                tracing::warn!(error = %e, "commit not written; it is refused and nothing of it is kept");
                let behind = self.shared.queue.lock().take();
                taken.finish(&Err(e.clone()));
                behind.finish(&Err(e));
                Ok(())
            }
            Err(e) => {
                self.shared.fail(e.clone());
                taken.finish(&Err(e.clone()));
                Err(e)
            }
        }
    }

    /// Steps 2 and 3.
    fn write(&mut self, taken: &Taken) -> Result<(), Error> {
        self.crash_point("local.before-write")?;
        let started = Instant::now();
        let written = self.shared.backend.write(&taken.group.batch);
        let counters = &self.shared.counters;
        if let Err(e) = written {
            counters.write_failures.fetch_add(1, Relaxed);
            return Err(match e.action() {
                state::Action::Retry => Error::DiskFull(e.to_string()),
                _ => Error::Failed(e.to_string()),
            });
        }
        counters.groups.fetch_add(1, Relaxed);
        counters.write_ns.fetch_add(nanos(started.elapsed()), Relaxed);
        counters.requests.fetch_add(taken.waiters.len() as u64, Relaxed);
        self.crash_point("local.after-write")?;
        match self.shared.config.sync {
            Sync::Always => self.sync_backend(),
            Sync::InWrite => self.crash_point("local.after-sync"),
            Sync::Interval(_) => Ok(()),
        }
    }

    /// Step 4 without the answers.
    fn publish(&mut self, group: Group) {
        let Group { mut batch, chunks, positions, starts } = group;
        let (mut records, mut bytes) = (0, 0);
        for (log, chunk) in chunks {
            records += chunk.len() as u64;
            bytes += chunk.bytes() as u64;
            log.publish(chunk, self.shared.config.tail_bytes_per_partition);
            self.unsynced.insert(log.id, log);
        }
        for (log, start) in starts {
            let mut extent = log.extent();
            extent.start = extent.start.max(start);
        }
        if !positions.is_empty() {
            let mut known = write(&self.shared.positions);
            for (key, committed) in positions {
                match committed {
                    Some(committed) => known.insert(key, committed),
                    None => known.remove(&key),
                };
            }
        }
        self.shared.counters.records.fetch_add(records, Relaxed);
        self.shared.counters.record_bytes.fetch_add(bytes, Relaxed);
        match self.shared.config.sync {
            Sync::Always | Sync::InWrite => self.publish_synced(),
            Sync::Interval(interval) => {
                self.sync_due.get_or_insert_with(|| Instant::now() + interval);
            }
        }
        self.shared.committed.turn();
        if batch.bytes() <= limits::SPARE_BATCH_BYTES_MAX {
            batch.clear();
            self.spare = batch;
        }
    }

    fn publish_synced(&mut self) {
        for log in self.unsynced.drain().map(|(_, log)| log) {
            log.publish_synced();
        }
        self.shared.synced.turn();
    }

    /// Makes everything written durable and visible to those who act outside.
    fn sync(&mut self) -> Result<(), Error> {
        if self.sync_due.take().is_some() {
            self.sync_backend()?;
            self.publish_synced();
        }
        Ok(())
    }

    fn sync_backend(&mut self) -> Result<(), Error> {
        let started = Instant::now();
        // A failed sync may have dropped what it was to make durable: asking again would lie.
        self.shared.backend.sync().map_err(|e| Error::Failed(e.to_string()))?;
        self.shared.counters.syncs.fetch_add(1, Relaxed);
        self.shared.counters.sync_ns.fetch_add(nanos(started.elapsed()), Relaxed);
        self.crash_point("local.after-sync")
    }

    fn crash_point(&mut self, point: &'static str) -> Result<(), Error> {
        match self.crash.as_mut().is_some_and(|hook| hook(point)) {
            true => Err(Error::Failed(format!("crashed at {point}"))),
            false => Ok(()),
        }
    }
}

impl Drop for Committer {
    /// Also when it panicked: nobody may wait for ever.
    fn drop(&mut self) {
        self.shared.fail(Error::Failed("the committer ended".to_owned()));
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
