//! Taking a task over: from an assignment to the first record, in this order (each step can be crashed after):
//!
//! 1. its inputs start paused;
//! 2. committed positions are read, once no pending transaction can still change them, and refused if they are of another
//!    topology (`fingerprint.rs`);
//! 3. the end of each changelog is asked as a read-uncommitted client sees it;
//! 4. each store is caught up from its own position to at least that end, or rebuilt when it cannot be trusted;
//! 5. inputs are sought to the committed positions and resumed.
//!
//! Positions come before changelog ends: everything a committed position covers is then below those ends.
//!
//! Steps 2 and 3 ask for all tasks of an assignment at once, and step 4 has all their changelogs on the way at the same
//! time: how long a takeover takes does not depend on how many tasks there are.
//!
//! # Stores that need no catching up
//!
//! A store position written by a commit is that of its last changelog record; the transaction's marker comes right behind
//! it. Nobody with stores of its own can have written in between: to take over it must read that record as committed, which
//! it is once the marker is there. So a changelog that ends at such a position or one offset past it holds nothing new, and
//! the store, after a restart, a rebalance or an abort, however long that took, goes on without reading anything. If it ends
//! at the position, the marker is still on its way, and the next record written by us could come before it: the position is
//! made exact at once and loses the allowance for a marker. So do positions written by a restore, which are exact: there an
//! offset more can be another owner's record.

use std::ops::ControlFlow;

use rustc_hash::FxHashMap;
use state::{Batch, Direction, Position, Range, StoreId};

use crate::error::Error;
use crate::fingerprint;
use crate::limits::RESTORE_RECORDS_PER_STEP;
use crate::log;
use crate::log::{Committed, Log, LogRange, StateWrites};
use crate::record::Incoming;
use crate::task::Task;
use crate::topology::StoreIndex;
use crate::types::{Offset, Partition, Timestamp, TopicPartition};
use crate::view::{Claim, View};
use crate::worker::Config;

/// A task's stores on their way to the end of their changelogs.
#[derive(Debug)]
pub(crate) struct Restoring {
    stores: Vec<RestoringStore>,
    /// Committed inputs: where they go on, and the metadata committed with it.
    pub(crate) positions: Vec<(TopicPartition, Offset, Option<String>)>,
    /// Ends of the inputs as of now: below them an input is behind.
    pub(crate) ends: Vec<(TopicPartition, Offset)>,
    /// Records applied so far.
    pub(crate) restored: u64,
    /// Whether any input has a committed position.
    any_committed: bool,
    /// Whether the last step brought anything.
    pub(crate) moved: bool,
}

impl Restoring {
    pub(crate) fn done(&self) -> i64 {
        self.stores.iter().map(|s| s.next.0.min(s.end.0) - s.start.0).sum()
    }

    pub(crate) fn total(&self) -> i64 {
        self.stores.iter().map(|s| (s.end.0 - s.start.0).max(0)).sum()
    }
}

#[derive(Debug)]
struct RestoringStore {
    id: StoreId,
    changelog: TopicPartition,
    topic_id: [u8; 16],
    start: Offset,
    next: Offset,
    end: Offset,
}

/// The parts of a worker that takeover needs.
pub(crate) struct Takeover<'a, L> {
    pub(crate) log: &'a mut L,
    pub(crate) view: &'a View,
    pub(crate) config: &'a Config,
}

impl<L: Log> Takeover<'_, L> {
    /// Steps 2 and 3 for all these tasks, and the decision per store where to start.
    pub(crate) fn begin(mut self, tasks: &[Task], claims: &[Claim], now: Timestamp) -> Result<Vec<Restoring>, Error> {
        let inputs = || tasks.iter().flat_map(|t| &t.buffer.inputs).map(|i| i.partition);
        let committed = self.log.committed(&inputs().collect::<Vec<_>>())?; // (2)
        let committed: FxHashMap<TopicPartition, Option<Committed>> = inputs().zip(committed).collect();
        fingerprint::check(self.view, tasks, &committed)?;
        let asked: Vec<TopicPartition> = inputs().chain(tasks.iter().flat_map(|t| self.changelogs(t))).collect();
        let ranges: FxHashMap<TopicPartition, LogRange> = asked.iter().copied().zip(self.log.ranges(&asked)?).collect(); // (3)
        tasks.iter().zip(claims).map(|(task, claim)| self.plan(task, claim, &committed, &ranges, now)).collect()
    }

    /// Changelogs of a task's stores that have one to catch up from.
    fn changelogs(&self, task: &Task) -> Vec<TopicPartition> {
        let (topology, id) = (self.view.topology(), task.id());
        let own = topology.subtopologies().get(usize::from(id.subtopology)).map(|s| s.stores()).unwrap_or_default();
        own.iter().filter_map(|store| self.changelog(*store, id.partition)).collect()
    }

    /// `None` for a store without a changelog, or one that the log keeps itself.
    fn changelog(&self, store: StoreIndex, partition: Partition) -> Option<TopicPartition> {
        let def = self.view.topology().stores().get(usize::from(store.0))?;
        let kept_by_log = self.log.state_writes() == StateWrites::WithCommit && def.is_kept_by_log();
        let topic = def.changelog.filter(|_| !kept_by_log)?;
        Some(TopicPartition { topic, partition })
    }

    fn plan(
        &mut self,
        task: &Task,
        claim: &Claim,
        committed: &FxHashMap<TopicPartition, Option<Committed>>,
        ranges: &FxHashMap<TopicPartition, LogRange>,
        now: Timestamp,
    ) -> Result<Restoring, Error> {
        let inputs: Vec<TopicPartition> = task.buffer.inputs.iter().map(|i| i.partition).collect();
        let mut positions = Vec::with_capacity(inputs.len());
        let mut ends = Vec::with_capacity(inputs.len());
        let any_committed = inputs.iter().any(|input| matches!(committed.get(input), Some(Some(_))));
        for input in inputs {
            let range = extent(ranges, input)?;
            let committed = committed.get(&input).cloned().flatten();
            ends.push((input, range.end));
            match committed {
                Some(c) if c.offset < range.start => {
                    return Err(self.lost_input(task, input, c.offset, range.start));
                }
                Some(c) => positions.push((input, c.offset, Some(c.metadata))),
                None => positions.push((input, range.start, None)),
            }
        }
        let mut stores = Vec::new();
        let id = task.id();
        let topology = self.view.topology().clone();
        let own = topology.subtopologies().get(id.subtopology as usize).map(|s| s.stores()).unwrap_or_default();
        for store in own {
            if let Some(s) = self.plan_store(*store, id.partition, claim, any_committed, ranges, now)? {
                stores.push(s);
            }
        }
        Ok(Restoring { stores, positions, ends, restored: 0, any_committed, moved: true })
    }

    /// Decides where a store's catching up starts; `None` for a store that has nothing to catch up from.
    fn plan_store(
        &mut self,
        store: StoreIndex,
        partition: Partition,
        claim: &Claim,
        any_committed: bool,
        ranges: &FxHashMap<TopicPartition, LogRange>,
        now: Timestamp,
    ) -> Result<Option<RestoringStore>, Error> {
        let topology = self.view.topology();
        let index = usize::from(store.0);
        let (Some(changelog), Some(def), Some(id)) =
            (self.changelog(store, partition), topology.stores().get(index), self.view.store_ids().get(index))
        else {
            return Ok(None);
        };
        let range = extent(ranges, changelog)?;
        let backend = self.view.backend();
        let position = backend.position(*id, partition)?;
        if !any_committed && position.is_some() && self.holds_any(*id, partition)? {
            return Err(self.state_without_positions(&format!("store '{}' partition {partition} holds", def.name)));
        }
        if let Some(position) = position.as_ref().filter(|p| self.is_whole(p, &range)) {
            if position.changelog_next == range.end.0 && !position.inputs.is_empty() {
                let mut batch = Batch::default();
                batch.position(*id, partition, &Position { inputs: Vec::new(), ..position.clone() });
                self.view.with_claims([claim].into_iter(), |backend| backend.write(&batch))?;
            }
            let end = range.end;
            return Ok(Some(RestoringStore {
                id: *id,
                changelog,
                topic_id: range.topic_id,
                start: end,
                next: end,
                end,
            }));
        }
        let (trusted, why) = trust(position.as_ref(), &range, now, self.config.delete_retention_ms);
        if let Some(why) = why {
            tracing::warn!(store = &*def.name, partition, why, "store is rebuilt from its changelog");
        }
        let start = match trusted {
            Some(next) => next,
            None => {
                self.view.with_claims([claim].into_iter(), |b| b.drop_partition(*id, partition))?;
                range.start
            }
        };
        Ok(Some(RestoringStore { id: *id, changelog, topic_id: range.topic_id, start, next: start, end: range.end }))
    }

    /// The changelog holds nothing that the store lacks (see the module). Positions that know inputs are of a commit.
    fn is_whole(&self, position: &Position, range: &LogRange) -> bool {
        let marker = i64::from(self.log.writes_markers() && !position.inputs.is_empty());
        let next = position.changelog_next;
        position.topic_id == range.topic_id && (next..=next + marker).contains(&range.end.0)
    }

    /// Step 4, a bounded piece of it; true when every store has reached its end.
    pub(crate) fn step(
        &mut self,
        task: &Task,
        claim: &Claim,
        restoring: &mut Restoring,
        now: Timestamp,
    ) -> Result<bool, Error> {
        let mut records = Vec::new();
        let mut batch = Batch::default();
        let mut complete = true;
        restoring.moved = false;
        for store in &mut restoring.stores {
            if store.next >= store.end {
                continue;
            }
            records.clear();
            let replayed =
                self.log.replay(store.changelog, store.next, store.end, RESTORE_RECORDS_PER_STEP, &mut records)?;
            complete &= replayed.next >= store.end;
            if replayed.next == store.next {
                continue;
            }
            restoring.moved = true;
            batch.clear();
            let partition = task.id().partition;
            for record in &records {
                apply(&mut batch, store.id, partition, record);
            }
            // No inputs: what was restored is covered by committed positions, wherever they are.
            let position = Position {
                changelog_next: replayed.next.0,
                topic_id: store.topic_id,
                committed_at_ms: now,
                inputs: Vec::new(),
            };
            batch.position(store.id, partition, &position);
            self.view.with_claims([claim].into_iter(), |backend| backend.write(&batch))?;
            store.next = replayed.next;
            restoring.restored += records.len() as u64;
        }
        if complete && !restoring.any_committed && restoring.restored > 0 {
            return Err(self.state_without_positions(&format!("the changelogs of task {} hold", task.id())));
        }
        Ok(complete)
    }

    fn holds_any(&self, store: StoreId, partition: Partition) -> Result<bool, Error> {
        let mut any = false;
        self.view.backend().scan(store, partition, Range::all(), Direction::Forward, &mut |_, _| {
            any = true;
            ControlFlow::Break(())
        })?;
        Ok(any)
    }

    /// Changelog records and positions are committed together: one without the other means that positions were lost.
    fn state_without_positions(&self, what: &str) -> Error {
        Error::Refused(format!(
            "{what} state, but group '{}' has no committed positions: processing from the start would apply every input \
             twice. Restore the group's positions with Kafka's own tools, or start over from nothing: emptied topics and an \
             empty data directory",
            self.view.topology().application_id()
        ))
    }

    fn lost_input(&self, task: &Task, input: TopicPartition, committed: Offset, start: Offset) -> Error {
        Error::Refused(format!(
            "task {}: {}-{} was committed up to {committed}, but its log starts at {start}: records in between were deleted \
             unread. Raise the topic's retention; to go on without them, move the group's position to {start} with Kafka's own tools",
            task.id(),
            self.view.topology().topic_name(input.topic),
            input.partition
        ))
    }
}

/// What the log said of a partition; it answers for every one asked, so that none missing is the log's fault.
fn extent(ranges: &FxHashMap<TopicPartition, LogRange>, partition: TopicPartition) -> Result<LogRange, Error> {
    let missing = || log::Error::Unknown(format!("no answer about the extent of {partition:?}"));
    Ok(*ranges.get(&partition).ok_or_else(missing)?)
}

/// The position to go on from, or why there is none to trust.
pub(crate) fn trust(
    position: Option<&Position>,
    range: &LogRange,
    now: Timestamp,
    delete_retention_ms: i64,
) -> (Option<Offset>, Option<&'static str>) {
    let Some(p) = position else {
        return (None, None);
    };
    let next = Offset(p.changelog_next);
    if p.topic_id != range.topic_id {
        (None, Some("its changelog was deleted and created again"))
    } else if next > range.end {
        (None, Some("it is ahead of its changelog, whose end was lost"))
    } else if next < range.start {
        (None, Some("its changelog was cleaned past the store's position"))
    } else if next < range.end && now.saturating_sub(p.committed_at_ms) > delete_retention_ms / 2 {
        // Tombstones of that time may be compacted away already: catching up would keep deleted entries.
        (None, Some("it was away for more than half of delete.retention.ms"))
    } else {
        (Some(next), None)
    }
}

/// Puts one changelog record into a batch: the stored form again, with the record's timestamp and headers.
pub(crate) fn apply(batch: &mut Batch, store: StoreId, partition: Partition, record: &Incoming) {
    let Some(key) = record.key() else { return };
    match record.value() {
        None => batch.delete(store, partition, key),
        Some(payload) => {
            let mut value = Vec::with_capacity(payload.len() + 16);
            crate::value::write_head(record.timestamp, record.headers(), &mut value);
            value.extend_from_slice(payload);
            batch.put(store, partition, key, &value);
        }
    }
}
