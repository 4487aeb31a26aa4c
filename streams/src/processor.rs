//! The Processor API: what user code implements, and the context it works in (KIP-478, KIP-820).

use std::any::Any;
use std::marker::PhantomData;

use crate::effects::Effects;
use crate::error::ProcessError;
use crate::record::{Headers, Record};
use crate::task::TaskState;
use crate::topology::{In, NodeId, NodeKind, Topology};
use crate::types::{Offset, Partition, TaskId, Timestamp};

/// A step of a topology.
///
/// `&self` is deliberate: a processor is shared by all tasks and holds configuration and store handles, never state. What
/// it must remember goes into a store, so that it commits, aborts and moves with everything else.
pub trait Processor: Send + Sync + 'static {
    /// Key it takes.
    type KeyIn: 'static;
    /// Value it takes.
    type ValueIn: 'static;
    /// Key it forwards.
    type KeyOut: 'static;
    /// Value it forwards.
    type ValueOut: 'static;

    /// Called when a task starts, before its first record: the place for [`Context::schedule`].
    ///
    /// # Errors
    /// A failure fails the task.
    fn init(&self, _cx: &mut Context<'_, Self::KeyOut, Self::ValueOut>) -> Result<(), ProcessError> {
        Ok(())
    }

    /// Handles one record.
    ///
    /// # Errors
    /// [`ProcessError::Rejected`] leaves stores and outputs as they were before the record and hands it to the process
    /// handler.
    fn process(
        &self,
        cx: &mut Context<'_, Self::KeyOut, Self::ValueOut>,
        record: Record<'_, Self::KeyIn, Self::ValueIn>,
    ) -> Result<(), ProcessError>;

    /// Called before a commit of what the task has processed, parents before children: what was held back for the commit
    /// is sent on now.
    ///
    /// # Errors
    /// As [`Processor::process`]; a rejected flush is logged and undone.
    fn flush(&self, _cx: &mut Context<'_, Self::KeyOut, Self::ValueOut>) -> Result<(), ProcessError> {
        Ok(())
    }

    /// Called when a schedule is due; `time` is the stream or wall-clock time now, not the deadline.
    ///
    /// # Errors
    /// As [`Processor::process`]; a rejected punctuation is logged and skipped.
    fn punctuate(
        &self,
        _cx: &mut Context<'_, Self::KeyOut, Self::ValueOut>,
        _schedule: ScheduleId,
        _time: Timestamp,
    ) -> Result<(), ProcessError> {
        Ok(())
    }
}

/// Which clock a schedule follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PunctuationType {
    /// The task's stream time; moves only with records.
    StreamTime,
    /// The wall clock.
    WallClockTime,
}

/// Names a schedule within its task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ScheduleId(pub u32);

/// A record between two nodes, its types erased. Borrowed, so a chain of nodes allocates nothing.
#[derive(Clone, Copy)]
pub(crate) struct Message<'a> {
    pub(crate) key: Option<&'a dyn Any>,
    pub(crate) value: Option<&'a dyn Any>,
    pub(crate) timestamp: Timestamp,
    pub(crate) headers: &'a Headers,
}

impl<'a, K: 'static, V: 'static> From<Record<'a, K, V>> for Message<'a> {
    fn from(r: Record<'a, K, V>) -> Self {
        Message {
            key: r.key.map(|k| k as &dyn Any),
            value: r.value.map(|v| v as &dyn Any),
            timestamp: r.timestamp,
            headers: r.headers,
        }
    }
}

impl<'a> Message<'a> {
    /// The typed record again.
    ///
    /// # Errors
    /// Never for a topology built through the typed handles; an error rather than a panic, because a worker must survive a
    /// bug in one topology.
    pub(crate) fn typed<K: 'static, V: 'static>(self) -> Result<Record<'a, K, V>, ProcessError> {
        fn cast<T: 'static>(any: Option<&dyn Any>) -> Result<Option<&T>, ProcessError> {
            any.map(|a| {
                a.downcast_ref::<T>()
                    .ok_or_else(|| ProcessError::Topology(format!("node expected {}", std::any::type_name::<T>())))
            })
            .transpose()
        }
        Ok(Record { key: cast(self.key)?, value: cast(self.value)?, timestamp: self.timestamp, headers: self.headers })
    }
}

/// Where the record being processed came from.
#[derive(Clone, Copy, Debug)]
pub struct RecordMetadata<'a> {
    /// Topic name.
    pub topic: &'a str,
    /// Partition of it.
    pub partition: Partition,
    /// Offset in it.
    pub offset: Offset,
}

/// The untyped context: position in the graph, and the task's mutable parts.
pub(crate) struct Cx<'a> {
    pub(crate) topology: &'a Topology,
    pub(crate) node: NodeId,
    pub(crate) task: &'a mut TaskState,
    pub(crate) effects: &'a mut Effects,
    pub(crate) now: Timestamp,
}

impl Cx<'_> {
    /// Depth first: each child and all below it, in the order they were connected.
    pub(crate) fn forward(&mut self, message: Message<'_>) -> Result<(), ProcessError> {
        let topology = self.topology;
        for &child in topology.children(self.node) {
            self.visit(child, message)?;
        }
        Ok(())
    }

    pub(crate) fn visit(&mut self, child: NodeId, message: Message<'_>) -> Result<(), ProcessError> {
        let topology = self.topology;
        let mut cx = Cx { topology, node: child, task: self.task, effects: self.effects, now: self.now };
        match &topology.node(child).kind {
            NodeKind::Processor(p) => p.process(&mut cx, message),
            NodeKind::Sink(s) => s.write(&mut cx, message),
            NodeKind::Source(_) => Err(ProcessError::Topology("a source has no parents".into())),
        }
    }
}

/// What a processor can do: forward, read and change its stores, look at time and record, schedule.
pub struct Context<'a, K, V> {
    pub(crate) cx: Cx<'a>,
    types: PhantomData<fn(&K, &V)>,
}

impl<'a, K: 'static, V: 'static> Context<'a, K, V> {
    pub(crate) fn new(cx: Cx<'a>) -> Self {
        Context { cx, types: PhantomData }
    }

    /// Hands a record to every child of the processor's own output type, depth first.
    ///
    /// # Errors
    /// Whatever a child fails with; pass it on, the record is rolled back as a whole.
    pub fn forward(&mut self, record: Record<'_, K, V>) -> Result<(), ProcessError> {
        self.cx.forward(record.into())
    }

    /// Hands a record to one child, which may take other types than the processor's own output.
    ///
    /// # Errors
    /// As [`Context::forward`]; [`ProcessError::Topology`] if the child was not connected with
    /// [`crate::TopologyBuilder::connect_to`] or [`crate::TopologyBuilder::connect`].
    pub fn forward_to<K2: 'static, V2: 'static>(
        &mut self,
        child: In<K2, V2>,
        record: Record<'_, K2, V2>,
    ) -> Result<(), ProcessError> {
        let node = self.cx.topology.node(self.cx.node);
        if !node.children.contains(&child.node) && !node.named_children.contains(&child.node) {
            let other = &self.cx.topology.node(child.node).name;
            return Err(ProcessError::Topology(format!("'{other}' is not connected below '{}'", node.name)));
        }
        self.cx.visit(child.node, record.into())
    }

    /// Wall-clock time as of this turn of the worker.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.cx.now
    }

    /// The task's stream time: the largest timestamp of all records it has processed, kept over restarts.
    #[must_use]
    pub fn stream_time(&self) -> Timestamp {
        self.cx.task.stream_time
    }

    /// This operator's own stream time after seeing `timestamp`. It is committed with the input positions, so a record
    /// that is late before a restart is late after it.
    pub fn observe(&mut self, timestamp: Timestamp) -> Timestamp {
        self.cx.task.observe(self.cx.node, timestamp)
    }

    /// This operator's own stream time; [`crate::NO_TIMESTAMP`] before the first [`Context::observe`].
    #[must_use]
    pub fn observed_time(&self) -> Timestamp {
        self.cx.task.observed(self.cx.node)
    }

    /// Where the current record came from; `None` while punctuating.
    #[must_use]
    pub fn record_metadata(&self) -> Option<RecordMetadata<'_>> {
        let (tp, offset) = self.cx.task.current?;
        Some(RecordMetadata { topic: self.cx.topology.topic_name(tp.topic), partition: tp.partition, offset })
    }

    /// The task this runs in.
    #[must_use]
    pub fn task_id(&self) -> TaskId {
        self.cx.task.id
    }

    /// Calls [`Processor::punctuate`] of this processor every `interval_ms` (at least 1) of the given clock. Stream time is
    /// aligned to the epoch and fires first with the first record; wall clock fires first one interval from now.
    pub fn schedule(&mut self, interval_ms: i64, clock: PunctuationType) -> ScheduleId {
        let start = match clock {
            PunctuationType::StreamTime => 0,
            PunctuationType::WallClockTime => self.cx.now.saturating_add(interval_ms),
        };
        self.cx.task.schedules.add(self.cx.node, start, interval_ms, clock)
    }

    /// As [`Context::schedule`], on the grid `start + n × interval` (KIP-1146).
    pub fn schedule_anchored(&mut self, start: Timestamp, interval_ms: i64, clock: PunctuationType) -> ScheduleId {
        let now = match clock {
            PunctuationType::StreamTime => self.cx.task.stream_time,
            PunctuationType::WallClockTime => self.cx.now,
        };
        let interval = interval_ms.max(1);
        // A start in the past is not made up for: the first is the next grid point after now.
        let first = if start >= now { start } else { start + ((now - start).div_euclid(interval) + 1) * interval };
        self.cx.task.schedules.add(self.cx.node, first, interval, clock)
    }

    /// Ends a schedule.
    pub fn cancel(&mut self, schedule: ScheduleId) {
        self.cx.task.schedules.cancel(schedule);
    }

    /// Hands the current record to the process handler, as [`ProcessError::Rejected`] does, but keeps what was done for it:
    /// the verdict that tells its sender why, for one. Under [`crate::OnError::Fail`] nothing is kept. Without a current
    /// record, in a punctuation, this does nothing.
    pub fn refuse(&mut self, reason: impl Into<String>) {
        if self.cx.task.current.is_some() {
            self.cx.task.refused = Some(reason.into());
        }
    }

    /// Counts a record this operator dropped, for the `dropped-records` metric.
    pub fn record_dropped(&mut self) {
        self.cx.task.counters.dropped += 1;
    }
}

impl<K, V> crate::store::StateAccess for Context<'_, K, V> {
    fn task(&mut self) -> &mut TaskState {
        self.cx.task
    }
    fn timestamp(&self) -> Timestamp {
        self.cx.task.current_timestamp
    }
}

/// A processor without its types, as the graph holds it.
pub(crate) trait ErasedProcessor: Send + Sync {
    fn init(&self, cx: &mut Cx<'_>) -> Result<(), ProcessError>;
    fn process(&self, cx: &mut Cx<'_>, message: Message<'_>) -> Result<(), ProcessError>;
    fn flush(&self, cx: &mut Cx<'_>) -> Result<(), ProcessError>;
    fn punctuate(&self, cx: &mut Cx<'_>, schedule: ScheduleId, time: Timestamp) -> Result<(), ProcessError>;
}

impl<P: Processor> ErasedProcessor for P {
    fn init(&self, cx: &mut Cx<'_>) -> Result<(), ProcessError> {
        Processor::init(self, &mut Context::new(cx.reborrow()))
    }
    fn process(&self, cx: &mut Cx<'_>, message: Message<'_>) -> Result<(), ProcessError> {
        let record = message.typed()?;
        Processor::process(self, &mut Context::new(cx.reborrow()), record)
    }
    fn flush(&self, cx: &mut Cx<'_>) -> Result<(), ProcessError> {
        Processor::flush(self, &mut Context::new(cx.reborrow()))
    }
    fn punctuate(&self, cx: &mut Cx<'_>, schedule: ScheduleId, time: Timestamp) -> Result<(), ProcessError> {
        Processor::punctuate(self, &mut Context::new(cx.reborrow()), schedule, time)
    }
}

impl Cx<'_> {
    pub(crate) fn reborrow(&mut self) -> Cx<'_> {
        Cx {
            topology: self.topology,
            node: self.node,
            task: &mut *self.task,
            effects: &mut *self.effects,
            now: self.now,
        }
    }
}
