//! Taking a task over: from an assignment to the first record, in this order (each step can be crashed after):
//!
//! 1. its inputs start paused;
//! 2. committed positions are read, once no pending transaction can still change them;
//! 3. the end of each changelog is asked as a read-uncommitted client sees it;
//! 4. each store is caught up from its own position to at least that end, or rebuilt when it cannot be trusted;
//! 5. inputs are sought to the committed positions and resumed.
//!
//! Positions come before changelog ends: everything a committed position covers is then below those ends.

use std::ops::ControlFlow;

use state::{Batch, Direction, Position, Range, StoreId, StoreKind};

use crate::error::Error;
use crate::limits::RESTORE_RECORDS_PER_STEP;
use crate::log::{Log, LogRange, StateWrites};
use crate::record::Incoming;
use crate::task::Task;
use crate::topology::StoreIndex;
use crate::types::{Offset, Partition, Timestamp, TopicPartition};
use crate::view::View;
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
    /// Steps 2 and 3, and the decision per store where to start.
    pub(crate) fn begin(mut self, task: &Task, now: Timestamp) -> Result<Restoring, Error> {
        let inputs: Vec<TopicPartition> = task.buffer.inputs.iter().map(|i| i.partition).collect();
        let committed = self.log.committed(&inputs)?;
        let mut positions = Vec::with_capacity(inputs.len());
        let mut ends = Vec::with_capacity(inputs.len());
        let any_committed = committed.iter().any(Option::is_some);
        for (input, committed) in inputs.into_iter().zip(committed) {
            let range = self.log.range(input)?;
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
            if let Some(s) = self.plan_store(*store, id.partition, any_committed, now)? {
                stores.push(s);
            }
        }
        Ok(Restoring { stores, positions, ends, restored: 0, any_committed })
    }

    /// Decides where a store's catching up starts; `None` for a store that has nothing to catch up from.
    fn plan_store(
        &mut self,
        store: StoreIndex,
        partition: Partition,
        any_committed: bool,
        now: Timestamp,
    ) -> Result<Option<RestoringStore>, Error> {
        let topology = self.view.topology();
        let (Some(def), Some(id)) =
            (topology.stores().get(store.0 as usize), self.view.store_ids().get(store.0 as usize))
        else {
            return Ok(None);
        };
        let kept_by_log = self.log.state_writes() == StateWrites::WithCommit && def.kind == StoreKind::Persistent;
        let Some(topic) = def.changelog.filter(|_| !kept_by_log) else {
            return Ok(None);
        };
        let changelog = TopicPartition { topic, partition };
        let range = self.log.range(changelog)?;
        let backend = self.view.backend();
        let position = backend.position(*id, partition)?;
        if !any_committed && position.is_some() && self.holds_any(*id, partition)? {
            return Err(self.state_without_positions(&format!("store '{}' partition {partition} holds", def.name)));
        }
        let (trusted, why) = trust(position.as_ref(), &range, now, self.config.delete_retention_ms);
        if let Some(why) = why {
            tracing::warn!(store = &*def.name, partition, why, "store is rebuilt from its changelog");
        }
        let start = match trusted {
            Some(next) => next,
            None => {
                backend.drop_partition(*id, partition)?;
                range.start
            }
        };
        Ok(Some(RestoringStore { id: *id, changelog, topic_id: range.topic_id, start, next: start, end: range.end }))
    }

    /// Step 4, a bounded piece of it; true when every store has reached its end.
    pub(crate) fn step(&mut self, task: &Task, restoring: &mut Restoring, now: Timestamp) -> Result<bool, Error> {
        let mut records = Vec::new();
        let mut batch = Batch::default();
        let mut complete = true;
        for store in &mut restoring.stores {
            if store.next >= store.end {
                continue;
            }
            records.clear();
            let replayed = self.log.replay(store.changelog, store.next, RESTORE_RECORDS_PER_STEP, &mut records)?;
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
            self.view.backend().write(&batch)?;
            store.next = replayed.next;
            restoring.restored += records.len() as u64;
            complete &= store.next >= store.end;
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
