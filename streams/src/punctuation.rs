//! Schedules of one task and their arithmetic (Kafka Streams: `PunctuationQueue`, `PunctuationSchedule`).

use crate::processor::{PunctuationType, ScheduleId};
use crate::topology::NodeId;
use crate::types::Timestamp;

/// One schedule.
#[derive(Clone, Copy, Debug)]
struct Schedule {
    id: ScheduleId,
    node: NodeId,
    next: Timestamp,
    interval_ms: i64,
    clock: PunctuationType,
}

/// All schedules of a task. Few, so a list.
#[derive(Debug, Default)]
pub(crate) struct Schedules {
    list: Vec<Schedule>,
    last_id: u32,
}

impl Schedules {
    pub(crate) fn add(
        &mut self,
        node: NodeId,
        start: Timestamp,
        interval_ms: i64,
        clock: PunctuationType,
    ) -> ScheduleId {
        self.last_id += 1;
        let id = ScheduleId(self.last_id);
        self.list.push(Schedule { id, node, next: start, interval_ms: interval_ms.max(1), clock });
        id
    }

    pub(crate) fn cancel(&mut self, id: ScheduleId) {
        self.list.retain(|s| s.id != id);
    }

    /// The earliest deadline of a clock.
    pub(crate) fn next(&self, clock: PunctuationType) -> Option<Timestamp> {
        self.list.iter().filter(|s| s.clock == clock).map(|s| s.next).min()
    }

    /// Takes the earliest schedule that is due and moves it on: by one interval, or to the first grid point after `time`
    /// when that has passed already, so that a gap fires once and not once per missed interval.
    pub(crate) fn take_due(&mut self, clock: PunctuationType, time: Timestamp) -> Option<(NodeId, ScheduleId)> {
        let due = self.list.iter_mut().filter(|s| s.clock == clock && s.next <= time).min_by_key(|s| (s.next, s.id))?;
        let next = due.next.saturating_add(due.interval_ms);
        due.next = if next <= time {
            let missed = (time - due.next) / due.interval_ms;
            due.next.saturating_add((missed + 1).saturating_mul(due.interval_ms))
        } else {
            next
        };
        Some((due.node, due.id))
    }
}
