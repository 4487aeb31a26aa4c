//! The worker: one thread's loop over its tasks. Poll, restore, process, punctuate, commit.
//!
//! Everything external (records, assignment changes) only fills buffers; the worker acts on them at its own pace, so there
//! is one place where state changes and one place where it commits.

use std::sync::Arc;
use std::time::Duration;

use rustc_hash::FxHashMap;
use state::Batch;

use crate::effects::Effects;
use crate::error::{Action, Error};
use crate::globals;
use crate::handover::{self, Channel, Handover};
use crate::limits;
use crate::log::{self, Log, Outgoing, Polled, Rebalance};
use crate::partitioner::partition_for_key;
use crate::takeover::{Restoring, Takeover};
use crate::task::{ErrorPolicy, Step, Task};
use crate::topology::Topology;
use crate::types::{TaskId, Timestamp, TopicPartition};
use crate::view::{Claim, Phase, TaskView, View};

/// How a worker behaves.
#[derive(Clone, Debug)]
pub struct Config {
    /// Longest time between commits while there is work, milliseconds (Kafka Streams: `commit.interval.ms`).
    pub commit_interval_ms: i64,
    /// Shortest time between two commits when the input is drained, milliseconds. Low load commits at once; under more, what
    /// comes while a commit is under way goes into the next one, so that commits grow by what they cost. More than 0 is
    /// for those who would rather wait than commit so often.
    pub commit_min_interval_ms: i64,
    /// Records buffered per input before it is paused, at least 1.
    pub buffered_records_per_partition: usize,
    /// Uncommitted bytes that force a commit.
    pub overlay_bytes_max: usize,
    /// Committed entries that the tasks of a worker keep in memory in front of their stores, bytes, shared out evenly
    /// (Kafka Streams: `statestore.cache.max.bytes`, though nothing is held back by this one).
    pub cache_bytes: usize,
    /// Handlers of failing records.
    pub errors: ErrorPolicy,
    /// How long the log keeps tombstones, milliseconds (`delete.retention.ms`); a store away for half of it is rebuilt.
    pub delete_retention_ms: i64,
    /// How old what is read from global stores may get, milliseconds.
    pub global_interval_ms: i64,
    /// Records in a task's buffer from which on nothing more is handed over to it inside a transaction: the rest waits in
    /// the log.
    pub handover_records: usize,
    /// Longest time, milliseconds, that tasks writing to a repartition topic wait until it is read to its end.
    pub handover_hold_ms: i64,
    /// Milliseconds between two such waits, and without handing over after somebody else wrote to a topic of ours.
    pub handover_retry_ms: i64,
    /// First wait after a failure before tasks are taken over again, milliseconds; doubles up to 64 times itself.
    pub retry_backoff_ms: i64,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            commit_interval_ms: 100,
            commit_min_interval_ms: 0,
            buffered_records_per_partition: limits::BUFFERED_RECORDS_PER_PARTITION,
            overlay_bytes_max: limits::OVERLAY_BYTES_MAX,
            cache_bytes: limits::CACHE_BYTES,
            errors: ErrorPolicy::default(),
            delete_retention_ms: 86_400_000,
            global_interval_ms: 100,
            handover_records: limits::HANDOVER_RECORDS_MAX,
            handover_hold_ms: limits::HANDOVER_HOLD_MS,
            handover_retry_ms: limits::HANDOVER_RETRY_MS,
            retry_backoff_ms: 50,
        }
    }
}

/// Places where a fault injector may stop the worker dead. Named for reports; each lies between two steps of commit or
/// takeover.
pub const CRASH_POINTS: [&str; 9] = [
    "process.sent",
    "commit.begin",
    "commit.changelog-sent",
    "commit.before-log",
    "commit.after-log",
    "commit.after-state",
    "takeover.positions-read",
    "takeover.restore-step",
    "takeover.before-resume",
];

/// Told at every crash point; answering `true` stops the worker there as if it had been killed.
pub type CrashHook = Box<dyn FnMut(&'static str) -> bool + Send>;

pub(crate) struct Slot {
    pub(crate) task: Task,
    pub(crate) claim: Claim,
    /// Present while the task's stores are being caught up.
    pub(crate) restoring: Option<Restoring>,
}

impl Slot {
    /// Its task runs, and has positions to commit although it may have processed nothing.
    pub(crate) fn has_passed_markers(&self) -> bool {
        self.restoring.is_none() && self.task.failed.is_none() && self.task.passed_markers
    }
}

/// What one turn did; lets a driver know when all is quiet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Turn {
    /// Records processed.
    pub processed: usize,
    /// A commit took place.
    pub committed: bool,
    /// Work is left that needs no new input: buffered records, a restore, an uncommitted change.
    pub busy: bool,
}

/// A worker and its tasks.
pub struct Worker<L: Log> {
    pub(crate) log: L,
    pub(crate) topology: Arc<Topology>,
    pub(crate) view: Arc<View>,
    pub(crate) config: Config,
    pub(crate) slots: Vec<Slot>,
    assignment: Vec<TopicPartition>,
    /// Tasks this worker has in the view.
    published: Vec<TaskId>,
    pub(crate) routes: FxHashMap<TopicPartition, (usize, usize)>,
    pub(crate) partitions: Arc<[u32]>,
    pub(crate) polled: Polled,
    pub(crate) effects: Effects,
    pub(crate) batch: Batch,
    pub(crate) in_transaction: bool,
    pub(crate) last_commit: Timestamp,
    /// When [`Worker::refresh_positions`] last did.
    pub(crate) refreshed_at: Timestamp,
    failures: u32,
    retry_at: Option<(Timestamp, Action)>,
    pub(crate) handover: Handover,
    /// Records left to run one per transaction, to find the one the log refuses.
    pub(crate) probing: usize,
    crash: Option<CrashHook>,
}

impl<L: Log> Worker<L> {
    /// A worker without tasks; they come with the log's first assignment.
    #[must_use]
    pub fn new(log: L, view: Arc<View>, config: Config) -> Self {
        let partitions: Arc<[u32]> = log.partitions().into();
        Worker {
            log,
            topology: view.topology().clone(),
            view,
            config,
            slots: Vec::new(),
            assignment: Vec::new(),
            published: Vec::new(),
            routes: FxHashMap::default(),
            partitions,
            polled: Polled::default(),
            effects: Effects::default(),
            batch: Batch::default(),
            in_transaction: false,
            last_commit: 0,
            refreshed_at: 0,
            failures: 0,
            retry_at: None,
            handover: Handover::default(),
            probing: 0,
            crash: None,
        }
    }

    /// Installs a fault injector.
    pub fn on_crash_point(&mut self, hook: CrashHook) {
        self.crash = Some(hook);
    }

    /// The tasks here.
    pub fn tasks(&self) -> impl Iterator<Item = &Task> {
        self.slots.iter().map(|s| &s.task)
    }

    /// The log, for adapters that are steered from outside (tests).
    pub fn log_mut(&mut self) -> &mut L {
        &mut self.log
    }

    pub(crate) fn crash_point(&mut self, point: &'static str) -> Result<(), Error> {
        if self.crash.as_mut().is_some_and(|hook| hook(point)) { Err(Error::Crashed(point)) } else { Ok(()) }
    }

    /// One turn of the loop. `wait` bounds how long it may wait for input when there is nothing else to do.
    ///
    /// # Errors
    /// Only what ends the worker ([`Action::Stop`]); everything else is handled inside.
    pub fn turn(&mut self, now: Timestamp, wait: Duration) -> Result<Turn, Error> {
        let mut turn = Turn::default();
        match self.try_turn(now, wait, &mut turn) {
            Ok(()) => self.failures = 0,
            Err(e) => self.recover(e, now)?,
        }
        turn.busy |= self.is_busy();
        Ok(turn)
    }

    /// Waits up to `wait` for input unless there is something to do, and takes in what came. A driver with a real clock
    /// calls this before it reads the time for [`Worker::turn`]: the time spent waiting is not part of the turn, and what
    /// is processed then is not stamped with a time from before it arrived.
    ///
    /// # Errors
    /// As [`Worker::turn`].
    pub fn wait(&mut self, now: Timestamp, wait: Duration) -> Result<(), Error> {
        let wait = match self.retry_at {
            Some((at, _)) => wait.min(Duration::from_millis(u64::try_from(at - now).unwrap_or(0))),
            None => self.cap_wait(now, wait),
        };
        if wait.is_zero() {
            return Ok(());
        }
        self.poll(wait).or_else(|e| self.recover(e, now))
    }

    fn try_turn(&mut self, now: Timestamp, wait: Duration, turn: &mut Turn) -> Result<(), Error> {
        if let Some((at, action)) = self.retry_at {
            if now < at {
                self.poll(wait.min(Duration::from_millis(at.abs_diff(now))))?;
                return self.rebalance(now);
            }
            // What the group has said meanwhile comes first: a task that was taken away must not be taken over again.
            self.poll(Duration::ZERO)?;
            if self.polled.rebalance.iter().any(|change| !matches!(change, Rebalance::Assigned(_))) {
                self.rebalance(now)?;
            }
            self.start_over(action, now)?;
            self.retry_at = None;
        }
        let wait = self.cap_wait(now, wait);
        self.poll(wait)?;
        self.rebalance(now)?;
        let globals_moved = globals::update(&mut self.log, &self.view, &self.config, now)?;
        self.restore(now)?;
        self.settle_channels(now)?;
        turn.processed = self.process(now)?;
        // Before input is waited for again: a partition that stays paused brings none, however much the log has.
        self.apply_back_pressure()?;
        for i in 0..self.slots.len() {
            let Some(slot) = self.slots.get_mut(i).filter(|s| s.restoring.is_none()) else {
                continue;
            };
            match slot.task.punctuate(now, &mut self.effects) {
                Ok(_) => self.send_effects()?,
                Err(e) => self.fail_task(i, e)?,
            }
        }
        turn.committed = self.commit_if_due(now)?;
        self.refresh_positions(now)?;
        turn.busy = globals_moved;
        Ok(())
    }

    fn is_busy(&self) -> bool {
        self.slots.iter().any(|s| s.restoring.is_some() || s.task.is_ready() || s.task.commit_needed)
            || self.retry_at.is_some()
    }

    /// How long input may be waited for: not at all with work at hand, and no longer than until the next commit or
    /// wall-clock punctuation.
    fn cap_wait(&self, now: Timestamp, wait: Duration) -> Duration {
        let at_hand = |s: &Slot| match &s.restoring {
            Some(restoring) => restoring.moved,
            None => self.can_process(s),
        };
        if self.slots.iter().any(at_hand) {
            return Duration::ZERO;
        }
        let restoring = self.slots.iter().any(|s| s.restoring.is_some());
        let wait = if restoring || self.view.globals_under_way() { wait.min(limits::RESTORE_WAIT) } else { wait };
        // One that stands still runs none of its punctuations.
        let runs = |s: &&Slot| s.restoring.is_none() && s.task.failed.is_none();
        let punctuations = self.slots.iter().filter(runs).filter_map(|s| s.task.next_wall_clock());
        let due = punctuations.chain(self.commit_due(now)).min();
        due.map_or(wait, |due| wait.min(Duration::from_millis(u64::try_from(due - now).unwrap_or(0))))
    }

    /// Its task would process something now.
    pub(crate) fn can_process(&self, slot: &Slot) -> bool {
        slot.restoring.is_none() && slot.task.is_ready() && !self.handover.holds(slot)
    }

    /// Takes in what the log has. Not while a change of the assignment waits to be taken up: the log may have the next one
    /// already, and letting go of the old one would let go of that.
    fn poll(&mut self, wait: Duration) -> Result<(), Error> {
        if !self.polled.rebalance.is_empty() {
            return Ok(());
        }
        self.polled.more = false;
        let polled = self.log.poll(wait, &mut self.polled);
        for (tp, record) in self.polled.records.drain(..) {
            let Some(&(slot, input)) = self.routes.get(&tp) else {
                continue;
            };
            let Some(slot) = self.slots.get_mut(slot) else {
                continue;
            };
            slot.task.take_in(input, record);
        }
        for (tp, next) in self.polled.caught_up.drain(..) {
            let Some(&(slot, input)) = self.routes.get(&tp) else { continue };
            if let Some(slot) = self.slots.get_mut(slot) {
                slot.task.caught_up(input, next);
            }
        }
        polled?;
        // Inputs that were taken away are not the log's any more.
        if self.polled.rebalance.is_empty() { self.apply_back_pressure() } else { Ok(()) }
    }

    /// Pauses inputs that have enough buffered, resumes those that have room again.
    fn apply_back_pressure(&mut self) -> Result<(), Error> {
        let max = self.config.buffered_records_per_partition;
        for slot in self.slots.iter_mut().filter(|s| s.restoring.is_none()) {
            for i in 0..slot.task.buffer.inputs.len() {
                let buffered = slot.task.buffer.buffered(i);
                let Some(input) = slot.task.buffer.inputs.get_mut(i) else {
                    continue;
                };
                if input.channel.as_ref().is_some_and(Channel::is_parked) {
                    continue;
                }
                if !input.paused && buffered >= max {
                    self.log.pause(input.partition)?;
                    input.paused = true;
                } else if input.paused && buffered <= max / 2 && slot.task.failed.is_none() {
                    self.log.resume(input.partition)?;
                    input.paused = false;
                }
            }
        }
        Ok(())
    }

    fn rebalance(&mut self, now: Timestamp) -> Result<(), Error> {
        // One by one: what an error leaves behind is handled by the next turn.
        while !self.polled.rebalance.is_empty() {
            match self.polled.rebalance.remove(0) {
                Rebalance::Assigned(partitions) => {
                    self.assignment = partitions;
                    self.take_over_assignment(now)?;
                }
                Rebalance::Revoked => {
                    // Still ours: what is processed is committed, so that the next owner starts behind it.
                    if self.retry_at.is_none()
                        && let Err(e) = self.commit(now)
                    {
                        self.give_up_commit(e, now)?;
                    }
                    self.release()?;
                }
                Rebalance::Lost => {
                    self.give_up_transaction();
                    self.release()?;
                }
            }
        }
        Ok(())
    }

    fn release(&mut self) -> Result<(), Error> {
        self.assignment.clear();
        self.slots.clear();
        self.routes.clear();
        self.publish_phases();
        self.log.unassign()?;
        Ok(())
    }

    /// Ends whatever transaction is open without committing it; a failure to do even that is decided by a new producer.
    fn give_up_transaction(&mut self) {
        self.effects.clear();
        if std::mem::take(&mut self.in_transaction)
            && let Err(e) = self.log.abort()
        {
            tracing::warn!(error = %e, "abort failed; the producer is replaced");
            self.retry_at = Some((0, Action::Restore));
        }
    }

    /// The last commit before a revocation failed. Certain that nothing was committed: abort. Not certain: the new producer
    /// decides it; the next owner reads committed positions either way.
    fn give_up_commit(&mut self, e: Error, now: Timestamp) -> Result<(), Error> {
        tracing::warn!(error = %e, "commit before a revocation failed");
        match e.action() {
            Action::Stop => return Err(e),
            Action::Restore => {
                self.effects.clear();
                self.in_transaction = false;
                self.retry_at = Some((now, Action::Restore));
            }
            Action::Abort | Action::FailTask => self.give_up_transaction(),
        }
        Ok(())
    }

    /// Creates the tasks whose inputs are all assigned, each in takeover.
    fn take_over_assignment(&mut self, now: Timestamp) -> Result<(), Error> {
        self.slots.clear();
        // Hidden before a store may be dropped: a reader must not take an emptied store for the truth.
        self.publish_phases();
        // No record may find a task by a route of the previous assignment, should this fail half-way.
        self.routes.clear();
        let mut ids: Vec<TaskId> = Vec::new();
        for tp in &self.assignment {
            let Some(subtopology) = self.topology.subtopology_of_source(tp.topic) else {
                continue;
            };
            let id = TaskId { subtopology, partition: tp.partition };
            if !ids.contains(&id) {
                ids.push(id);
            }
        }
        ids.sort_unstable();
        let mut tasks = Vec::with_capacity(ids.len());
        for id in ids {
            let inputs = self.topology.inputs(id.subtopology, id.partition);
            let missing: Vec<_> = inputs.iter().filter(|tp| !self.assignment.contains(tp)).collect();
            if let Some(tp) = missing.first() {
                tracing::warn!(task = %id, missing = self.topology.topic_name(tp.topic),
                    "task waits: not all of its input partitions are assigned here (use the range assignor)");
                continue;
            }
            tasks.push(self.new_task(id));
        }
        // Before a position is read: what the previous worker writes is either seen here or refused there.
        let claims: Vec<Claim> = tasks.iter().map(|t| self.view.claim(t.id())).collect();
        let takeover = Takeover { log: &mut self.log, view: &self.view, config: &self.config };
        let restoring = takeover.begin(&tasks, &claims, now)?;
        for ((task, claim), restoring) in tasks.into_iter().zip(claims).zip(restoring) {
            self.slots.push(Slot { task, claim, restoring: Some(restoring) });
            self.crash_point("takeover.positions-read")?;
        }
        // Nothing is owed for what was before.
        self.last_commit = now;
        self.open_channels(now);
        self.rebuild_routes();
        self.share_cache();
        self.publish_phases();
        Ok(())
    }

    fn new_task(&self, id: TaskId) -> Task {
        let task = Task::new(
            self.topology.clone(),
            id,
            self.view.backend().clone(),
            self.view.store_ids(),
            self.partitions.clone(),
            self.config.errors,
        );
        task.committing_as(self.topology.fingerprint(id.subtopology, self.log.state_writes()))
    }

    fn share_cache(&mut self) {
        let with_stores = self.slots.iter().filter(|slot| slot.task.has_stores()).count();
        let share = self.config.cache_bytes.checked_div(with_stores).unwrap_or_default();
        self.slots.iter_mut().for_each(|slot| slot.task.set_cache_bytes(share));
    }

    fn rebuild_routes(&mut self) {
        self.routes.clear();
        for (s, slot) in self.slots.iter().enumerate() {
            for (i, input) in slot.task.buffer.inputs.iter().enumerate() {
                self.routes.insert(input.partition, (s, i));
            }
        }
    }

    /// One restore step of every task that is not caught up; resumes those that are.
    fn restore(&mut self, now: Timestamp) -> Result<(), Error> {
        let mut changed = false;
        for i in 0..self.slots.len() {
            let Some(slot) = self.slots.get_mut(i) else {
                continue;
            };
            let Some(restoring) = &mut slot.restoring else {
                continue;
            };
            let mut takeover = Takeover { log: &mut self.log, view: &self.view, config: &self.config };
            let done = takeover.step(&slot.task, &slot.claim, restoring, now)?;
            self.crash_point("takeover.restore-step")?;
            if done && self.view.globals_ready() {
                self.crash_point("takeover.before-resume")?;
                self.resume_task(i, now)?;
                changed = true;
            }
        }
        if changed {
            self.publish_phases();
        }
        Ok(())
    }

    fn resume_task(&mut self, i: usize, now: Timestamp) -> Result<(), Error> {
        let Some(slot) = self.slots.get_mut(i) else {
            return Ok(());
        };
        let Some(restoring) = slot.restoring.take() else {
            return Ok(());
        };
        if let Err(e) = slot.task.start(&restoring.positions, now, &mut self.effects) {
            return self.fail_task(i, e);
        }
        for input in &mut slot.task.buffer.inputs {
            let end = restoring.ends.iter().find(|(tp, _)| *tp == input.partition).map(|(_, end)| *end);
            input.behind = end.is_some_and(|end| input.position < end);
            self.log.seek_and_resume(input.partition, input.position)?;
        }
        tracing::info!(task = %slot.task.id(), restored = restoring.restored, "task running");
        self.hold_writers(now);
        self.send_effects()
    }

    /// Runs ready tasks in rounds, those last in the topology first, so that none starves and what is handed over does not
    /// pile up, until nothing is ready or the turn is used up.
    fn process(&mut self, now: Timestamp) -> Result<usize, Error> {
        let (per_turn, per_round) =
            if self.probing > 0 { (1, 1) } else { (limits::RECORDS_PER_TURN, limits::RECORDS_PER_ROUND) };
        let mut processed = 0;
        loop {
            let before = processed;
            // Every task has its turn before the turn is used up; where it is one record long, another is first each time.
            let (count, first) = (self.slots.len(), self.probing);
            for i in (0..count).map(|i| (i + first) % count).rev() {
                let left = if self.probing > 0 { per_turn - processed } else { per_round };
                for _ in 0..left {
                    let runs = |s: &&mut Slot| s.restoring.is_none() && !self.handover.holds(s);
                    let Some(slot) = self.slots.get_mut(i).filter(runs) else {
                        break;
                    };
                    match slot.task.process(now, &mut self.effects) {
                        Ok(Step::Processed) => processed += 1,
                        Ok(Step::Idle) => break,
                        Err(e) => self.fail_task(i, e)?,
                    }
                }
                self.send_effects()?;
            }
            if processed == before || processed >= per_turn || self.overlay_full() {
                break;
            }
        }
        self.probing = self.probing.saturating_sub(processed);
        if processed > 0 {
            self.crash_point("process.sent")?;
        }
        Ok(processed)
    }

    pub(crate) fn overlay_full(&self) -> bool {
        self.slots.iter().map(|s| s.task.state.overlay.dirty_bytes()).sum::<usize>() > self.config.overlay_bytes_max
    }

    /// A failure of one record stops its task only; any other is the worker's.
    fn fail_task(&mut self, i: usize, e: Error) -> Result<(), Error> {
        if e.action() != Action::FailTask {
            return Err(e);
        }
        if let Some(slot) = self.slots.get_mut(i) {
            tracing::error!(task = %slot.task.id(), error = %e,
                "task stopped; fix the cause and restart, or set the handler to dead-letter");
            slot.task.failed = Some(e.to_string());
            for input in &mut slot.task.buffer.inputs {
                self.log.pause(input.partition)?;
                input.paused = true;
                if let Some(channel) = &mut input.channel {
                    channel.close();
                }
            }
        }
        self.publish_phases();
        Ok(())
    }

    pub(crate) fn send_effects(&mut self) -> Result<(), Error> {
        if self.effects.is_empty() {
            return Ok(());
        }
        if !self.in_transaction {
            self.log.begin()?;
            self.in_transaction = true;
        }
        for output in self.effects.iter() {
            let count = self.partitions.get(output.topic.0 as usize).copied().unwrap_or(1);
            let mut partition = output.partition.or_else(|| output.key.map(|k| partition_for_key(k, count)));
            let has_channels = self.handover.has_channels(output.topic);
            if has_channels && partition.is_none() {
                partition = Some(self.handover.spread(count));
            }
            let record = Outgoing {
                topic: output.topic,
                partition,
                key: output.key,
                value: output.value,
                timestamp: output.timestamp,
                headers: output.headers,
            };
            self.log.send(record)?;
            if has_channels
                && let Some(partition) = partition
                && let Some(&(slot, input)) = self.routes.get(&TopicPartition { topic: output.topic, partition })
                && let Some(slot) = self.slots.get_mut(slot)
            {
                handover::hand_over(slot, input, &record, self.config.handover_records);
            }
        }
        self.effects.clear();
        Ok(())
    }

    /// Publishes which tasks are here and in what condition. The view is shared with other workers, so only what this one
    /// published before is replaced.
    fn publish_phases(&mut self) {
        let before = std::mem::replace(&mut self.published, self.slots.iter().map(|s| s.task.id()).collect());
        let gone: Vec<TaskId> = before.into_iter().filter(|id| !self.published.contains(id)).collect();
        self.view.publish(|tasks| {
            for id in gone {
                tasks.remove(&id);
            }
            for slot in &self.slots {
                let committed_at = tasks.get(&slot.task.id()).map_or(0, |t| t.committed_at);
                let mut view = task_view(slot, committed_at);
                if let Some(old) = tasks.get(&slot.task.id()).filter(|_| slot.task.commit_needed) {
                    // Uncommitted progress is nobody's business yet.
                    view.positions.clone_from(&old.positions);
                }
                tasks.insert(slot.task.id(), view);
            }
        });
    }

    /// Decides what follows a failure; only what must stop the process is returned.
    fn recover(&mut self, e: Error, now: Timestamp) -> Result<(), Error> {
        // A new producer that is still owed stays owed, whatever fails on the way to it: with less, the old transaction
        // could stay open and be committed with the next one.
        let owed = matches!(self.retry_at, Some((_, Action::Restore)));
        let action = match e.action() {
            Action::Stop => return Err(e),
            _ if owed => Action::Restore,
            action => action,
        };
        self.failures += 1;
        let backoff = self.config.retry_backoff_ms << (self.failures - 1).min(6);
        tracing::warn!(error = %e, ?action, backoff_ms = backoff, failures = self.failures,
            "uncommitted work is dropped; tasks go on from their committed positions");
        match &e {
            Error::Log(log::Error::Refused { reason, .. }) => self.probe_for_culprit(reason),
            Error::Log(log::Error::Displaced(_)) => self.stop_handing_over(now),
            _ => (),
        }
        for slot in &mut self.slots {
            slot.task.abort();
        }
        self.effects.clear();
        // The first abort is retried at once: it is the normal end of a rebalance race, not a fault to wait out.
        let wait = if self.failures == 1 { 0 } else { backoff };
        self.retry_at = Some((now + wait, action));
        Ok(())
    }

    /// The log refused a record of this transaction. With many records in it, each is run alone from here; with one, it is
    /// the culprit and its handler decides when it comes round again.
    fn probe_for_culprit(&mut self, reason: &str) {
        if self.probing == 0 {
            self.probing = self.config.buffered_records_per_partition.max(limits::RECORDS_PER_TURN);
            return;
        }
        for slot in &mut self.slots {
            slot.task.blame_last(reason);
        }
    }

    /// After a failure: a clean transaction state, then every task taken over again from what is committed.
    fn start_over(&mut self, action: Action, now: Timestamp) -> Result<(), Error> {
        let aborted = match (action, std::mem::take(&mut self.in_transaction)) {
            (Action::Restore, _) => false,
            (_, false) => true,
            // Whatever an abort fails with, the transaction may still be open: the next commit would carry it.
            (_, true) => self.log.abort().inspect_err(|e| tracing::warn!(error = %e, "abort failed")).is_ok(),
        };
        if !aborted {
            self.retry_at = Some((now, Action::Restore));
            self.log.reset()?;
        }
        let blamed: Vec<_> = self.slots.iter_mut().map(|s| (s.task.id(), s.task.take_blamed())).collect();
        for input in &self.assignment {
            // They flowed until now; taken over again they must not fill buffers nobody empties yet.
            self.log.pause(*input)?;
        }
        self.take_over_assignment(now)?;
        for slot in &mut self.slots {
            if let Some((_, Some(blamed))) = blamed.iter().find(|(id, _)| *id == slot.task.id()) {
                slot.task.set_blamed(blamed.clone());
            }
        }
        Ok(())
    }

    /// Commits what is processed and leaves: the clean stop.
    ///
    /// # Errors
    /// Of the last commit; the log is closed all the same.
    pub fn close(mut self, now: Timestamp) -> Result<(), Error> {
        let retrying = self.retry_at.is_some();
        let committed = if retrying { Ok(()) } else { self.commit(now) };
        if committed.is_err() || retrying {
            self.give_up_transaction();
        }
        self.slots.clear();
        self.publish_phases();
        self.log.close();
        committed
    }
}

pub(crate) fn task_view(slot: &Slot, committed_at: Timestamp) -> TaskView {
    let phase = match (&slot.restoring, slot.task.failure()) {
        (_, Some(reason)) => Phase::Failed(reason.to_owned()),
        (Some(r), None) => Phase::Restoring { done: r.done(), total: r.total() },
        (None, None) => Phase::Running,
    };
    let positions = match &slot.restoring {
        Some(_) => Vec::new(),
        None => slot.task.buffer.inputs.iter().map(|i| (i.partition, i.position)).collect(),
    };
    TaskView { phase, positions, counters: slot.task.counters(), stream_time: slot.task.stream_time(), committed_at }
}
