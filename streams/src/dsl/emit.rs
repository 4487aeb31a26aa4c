//! Emitting closed windows once (Kafka Streams: `AbstractKStreamTimeWindowAggregateProcessor`), and not too often.

use crate::dsl::graph::Graph;
use crate::dsl::windows::EmitStrategy;
use crate::task::TaskState;
use crate::topology::Clock;
use crate::types::{NO_TIMESTAMP, Timestamp};

/// At most one search per interval of wall clock, over restarts too.
#[derive(Clone, Copy)]
pub(crate) struct Throttle {
    interval_ms: i64,
    next: Clock,
}

impl Throttle {
    /// For the operator of this name.
    pub(crate) fn new(graph: &Graph, name: &str, interval_ms: i64) -> Self {
        Throttle { interval_ms, next: graph.edit(|b| b.clock(&format!("{name}-next"))) }
    }

    /// Whether a search is due; if so, the next one is an interval away.
    pub(crate) fn is_due(&self, task: &mut TaskState, now: Timestamp) -> bool {
        let next = task.observed(self.next);
        // Further away than an interval it was set by a clock that was ahead of this one, on another machine say: it would
        // hold results back for as long, so it does not count.
        if now < next && next.saturating_sub(now) <= self.interval_ms {
            return false;
        }
        task.observe(self.next, now.saturating_add(self.interval_ms));
        true
    }
}

/// Remembers up to which close time windows were emitted, and when to search again. Both outlive restarts.
#[derive(Clone, Copy)]
pub(crate) struct OnClose {
    throttle: Throttle,
    emitted: Clock,
}

impl OnClose {
    /// For the operator of this name, if its strategy is to emit on close.
    pub(crate) fn new(graph: &Graph, name: &str, strategy: EmitStrategy) -> Option<Self> {
        let EmitStrategy::OnWindowClose { interval_ms } = strategy else { return None };
        let throttle = Throttle::new(graph, name, interval_ms);
        Some(OnClose { throttle, emitted: graph.edit(|b| b.clock(&format!("{name}-emitted"))) })
    }

    /// The clock of what was emitted: windows that close at or before it have been.
    pub(crate) fn emitted(&self) -> Clock {
        self.emitted
    }

    /// Up to which close time everything was emitted ([`NO_TIMESTAMP`]: nothing), if a search is due now and would find
    /// what an earlier one could not.
    pub(crate) fn due(&self, task: &mut TaskState, now: Timestamp, close_time: Timestamp) -> Option<Timestamp> {
        if !self.throttle.is_due(task, now) {
            return None;
        }
        let emitted = task.observed(self.emitted);
        (emitted == NO_TIMESTAMP || emitted < close_time).then_some(emitted)
    }

    /// Everything that closes at or before `close_time` was emitted.
    pub(crate) fn done(&self, task: &mut TaskState, close_time: Timestamp) {
        task.observe(self.emitted, close_time);
    }
}
