//! Emitting closed windows once (Kafka Streams: `AbstractKStreamTimeWindowAggregateProcessor`).

use crate::dsl::graph::Graph;
use crate::dsl::windows::EmitStrategy;
use crate::task::TaskState;
use crate::topology::Clock;
use crate::types::{NO_TIMESTAMP, Timestamp};

/// Remembers up to which close time windows were emitted, and when to search again. Both survive restarts.
#[derive(Clone, Copy)]
pub(crate) struct OnClose {
    interval_ms: i64,
    emitted: Clock,
    next: Clock,
}

impl OnClose {
    /// For the operator of this name, if its strategy is to emit on close.
    pub(crate) fn new(graph: &Graph, name: &str, strategy: EmitStrategy) -> Option<Self> {
        let EmitStrategy::OnWindowClose { interval_ms } = strategy else { return None };
        graph.edit(|b| {
            let (emitted, next) = (b.clock(&format!("{name}-emitted")), b.clock(&format!("{name}-next")));
            Some(OnClose { interval_ms, emitted, next })
        })
    }

    /// The clock of what was emitted: windows that close at or before it have been.
    pub(crate) fn emitted(&self) -> Clock {
        self.emitted
    }

    /// Up to which close time everything was emitted ([`NO_TIMESTAMP`]: nothing), if a search is due now and would find
    /// what an earlier one could not.
    pub(crate) fn due(&self, task: &mut TaskState, now: Timestamp, close_time: Timestamp) -> Option<Timestamp> {
        if now < task.observed(self.next) {
            return None;
        }
        task.observe(self.next, now.saturating_add(self.interval_ms));
        let emitted = task.observed(self.emitted);
        (emitted == NO_TIMESTAMP || emitted < close_time).then_some(emitted)
    }

    /// Everything that closes at or before `close_time` was emitted.
    pub(crate) fn done(&self, task: &mut TaskState, close_time: Timestamp) {
        task.observe(self.emitted, close_time);
    }
}
