//! The commit: everything processed since the last one becomes true at once, or not at all.

use state::{Batch, Position, StoreId};

use crate::error::Error;
use crate::limits;
use crate::log::{self, Log, StateWrites};
use crate::types::{Timestamp, TopicPartition};
use crate::worker::{Slot, Worker, task_view};

/// How often within `delete.retention.ms` a store that is here is marked as up to date.
const REFRESHES_PER_RETENTION: i64 = 8;

impl<L: Log> Worker<L> {
    pub(crate) fn commit_if_due(&mut self, now: Timestamp) -> Result<bool, Error> {
        self.prove_channels(now)?;
        // A clock that was set back says nothing of how long it has been: commit, and count from there.
        let waited = if now < self.last_commit { i64::MAX } else { now.saturating_sub(self.last_commit) };
        let idle = !self.in_transaction && !self.slots.iter().any(|s| s.task.commit_needed);
        if idle && (waited < limits::IDLE_COMMIT_MS || !self.slots.iter().any(Slot::has_passed_markers)) {
            return Ok(false);
        }
        let drained = !self.polled.more && !self.slots.iter().any(|s| self.can_process(s));
        let due = waited >= self.config.commit_interval_ms
            || (drained && waited >= self.config.commit_min_interval_ms)
            || self.overlay_full()
            || self.probing > 0;
        if due && let Some(ack) = self.commit_all(now)? {
            self.advance_channels(&ack, now)?;
        }
        Ok(due)
    }

    /// When what is uncommitted will be committed if no input comes; the past for at once, `None` without such.
    pub(crate) fn commit_due(&self, now: Timestamp) -> Option<Timestamp> {
        let needed = self.slots.iter().any(|s| s.restoring.is_none() && s.task.commit_needed);
        let after = self.config.commit_min_interval_ms.min(self.config.commit_interval_ms);
        needed.then(|| if now < self.last_commit { now } else { self.last_commit.saturating_add(after) })
    }

    /// Commits everything processed, of all tasks; nothing is processed after it.
    ///
    /// # Errors
    /// Of the log or the store; nothing is published then.
    pub fn commit(&mut self, now: Timestamp) -> Result<(), Error> {
        self.commit_all(now).map(drop)
    }

    /// Commits everything processed, of all tasks, in one transaction; `None` when there is nothing to commit:
    ///
    /// 1. what operators hold back is flushed through the topology (effects are sent as they arise);
    /// 2. one changelog record per changed entry is sent, the last value only, in the order of keys;
    /// 3. the positions of every task that processed anything are collected, changed state or not, and those that moved over
    ///    transaction markers only: a drained partition shows no lag, and one that retention empties is not taken for lost;
    /// 4. the log commits records and positions (and, where it keeps the state, the state) at once, provided that records
    ///    handed over from task to task lie where they were said to (`handover.rs`);
    /// 5. otherwise, and for stores in engines of their own, state and changelog positions go to the backend in one batch:
    ///    positions may lag data, never lead it;
    /// 6. positions are published to readers and the overlays are clean.
    fn commit_all(&mut self, now: Timestamp) -> Result<Option<log::CommitAck>, Error> {
        for slot in self.slots.iter_mut().filter(|s| s.has_passed_markers()) {
            slot.task.commit_needed = true;
        }
        if !self.in_transaction && !self.slots.iter().any(|s| s.task.commit_needed) {
            return Ok(None);
        }
        self.crash_point("commit.begin")?;
        for slot in self.slots.iter_mut().filter(|s| s.task.commit_needed && s.restoring.is_none()) {
            slot.task.flush(now, &mut self.effects)?; // (1)
        }
        self.send_effects()?;
        if !self.in_transaction {
            self.log.begin()?;
            self.in_transaction = true;
        }
        let with_commit = self.log.state_writes() == StateWrites::WithCommit;
        let mut positions = Vec::new();
        self.batch.clear();
        for slot in self.slots.iter_mut().filter(|s| s.task.commit_needed && s.restoring.is_none()) {
            slot.task.state.overlay.sort();
            slot.task.changelog(!with_commit, now, &mut |record| self.log.send(record))?; // (2)
            let inputs = slot.task.positions()?; // (3)
            // Now, while what the changelog was made of is still near, whenever it is to be written.
            let elsewhere = self.view.elsewhere();
            let is_written_first = |store: StoreId| !with_commit || !elsewhere.contains(&store);
            slot.task.state.overlay.append_of(&is_written_first, &mut self.batch);
            positions.extend(inputs);
        }
        self.crash_point("commit.changelog-sent")?;
        self.crash_point("commit.before-log")?;
        let nothing = Batch::new();
        let state = if with_commit { &self.batch } else { &nothing };
        let commit = log::Commit { positions: &positions, state, placements: &self.placements() };
        let ack = self.log.commit(commit)?; // (4)
        self.in_transaction = false;
        self.crash_point("commit.after-log")?;
        if !with_commit || !self.view.elsewhere().is_empty() {
            self.write_state(&ack, now)?; // (5)
        }
        self.crash_point("commit.after-state")?;
        self.publish_commit(now); // (6)
        self.last_commit = now;
        Ok(Some(ack))
    }

    /// Step 5 of the commit. What a log without state did not take is in the batch.
    fn write_state(&mut self, ack: &log::CommitAck, now: Timestamp) -> Result<(), Error> {
        let with_commit = self.log.state_writes() == StateWrites::WithCommit;
        let elsewhere = self.view.elsewhere();
        let is_written_here = |store: StoreId| !with_commit || elsewhere.contains(&store);
        let committed = || self.slots.iter().filter(|s| s.task.commit_needed && s.restoring.is_none());
        if with_commit {
            self.batch.clear();
            committed().for_each(|slot| slot.task.state.overlay.append_of(&is_written_here, &mut self.batch));
        }
        for slot in committed() {
            let id = slot.task.id();
            let stores = self.topology.subtopologies().get(id.subtopology as usize).map(|s| s.stores());
            for store in stores.unwrap_or_default() {
                let def = self.topology.stores().get(store.0 as usize);
                let Some(topic) = def.and_then(|d| d.changelog) else {
                    continue;
                };
                let changelog = TopicPartition { topic, partition: id.partition };
                let Some((_, next)) = ack.written.iter().find(|(tp, _)| *tp == changelog) else {
                    continue;
                };
                let Some(store_id) = self.view.store_ids().get(store.0 as usize).filter(|id| is_written_here(**id))
                else {
                    continue;
                };
                let previous = self.view.backend().position(*store_id, id.partition)?;
                let topic_id = match previous {
                    Some(p) => p.topic_id,
                    None => self.log.ranges(&[changelog])?.first().map(|r| r.topic_id).unwrap_or_default(),
                };
                let position = Position {
                    changelog_next: next.0,
                    topic_id,
                    committed_at_ms: now,
                    inputs: slot
                        .task
                        .buffer
                        .inputs
                        .iter()
                        .map(|i| (self.topology.topic_name(i.partition.topic).to_owned(), id.partition, i.position.0))
                        .collect(),
                };
                self.batch.position(*store_id, id.partition, &position);
            }
        }
        self.write_batch()
    }

    /// Writes to the stores, provided that all tasks here are still this worker's.
    fn write_batch(&self) -> Result<(), Error> {
        let claims = self.slots.iter().filter(|s| s.restoring.is_none()).map(|s| &s.claim);
        self.view.with_claims(claims, |backend| backend.write(&self.batch))
    }

    /// Every so often, says of every store here that it is up to date: a store that was not written for long must not look
    /// as if it had been away (tombstones it missed could be gone from the changelog).
    pub(crate) fn refresh_positions(&mut self, now: Timestamp) -> Result<(), Error> {
        let due = now.saturating_sub(self.refreshed_at) >= self.config.delete_retention_ms / REFRESHES_PER_RETENTION;
        if !due || self.in_transaction || self.log.state_writes() == StateWrites::WithCommit {
            return Ok(());
        }
        self.refreshed_at = now;
        self.batch.clear();
        for slot in self.slots.iter().filter(|s| s.restoring.is_none()) {
            let id = slot.task.id();
            let stores = self.topology.subtopologies().get(id.subtopology as usize).map(|s| s.stores());
            for store in stores.unwrap_or_default() {
                let Some(store_id) = self.view.store_ids().get(store.0 as usize) else { continue };
                if let Some(mut position) = self.view.backend().position(*store_id, id.partition)? {
                    position.committed_at_ms = now;
                    self.batch.position(*store_id, id.partition, &position);
                }
            }
        }
        self.write_batch()
    }

    fn publish_commit(&mut self, now: Timestamp) {
        let slots = &mut self.slots;
        self.view.publish(|tasks| {
            for slot in slots.iter_mut().filter(|s| s.task.commit_needed && s.restoring.is_none()) {
                slot.task.committed();
                tasks.insert(slot.task.id(), task_view(slot, now));
            }
        });
    }
}
