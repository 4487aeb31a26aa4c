//! A task: one sub-topology over one partition. Pure: records and a clock go in, effects and overlay changes come out.
//! The worker drives it in production, the test driver and the simulation drive the same code.

use std::sync::Arc;

use state::{Backend, Overlay};

use crate::buffer::Buffer;
use crate::effects::{Effects, Mark};
use crate::error::{Error, ProcessError, Stage};
use crate::fingerprint::Fingerprint;
use crate::limits::{DEAD_LETTER_BYTES_MAX, OFFSET_METADATA_BYTES_MAX, TIMESTAMP_MS_MAX};
use crate::log::{self, CommitPosition, Outgoing};
use crate::processor::{Cx, PunctuationType};
use crate::punctuation::Schedules;
use crate::record::{Headers, Incoming};
use crate::topology::{
    Clock, Misplaced, NodeId, NodeKind, SourceError, StoreIndex, Topology, dead_letter_headers, right_partition,
};
use crate::types::{NO_TIMESTAMP, Offset, TaskId, Timestamp, TopicIndex, TopicPartition};

/// What becomes of a record that fails at a stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnError {
    /// The task is paused and reported; nothing is skipped.
    Fail,
    /// The record is skipped and counted.
    Continue,
    /// The record's original bytes go to the dead-letter topic with the reason; counted.
    DeadLetter,
}

/// The three handlers (KIP-161, KIP-1033, KIP-210), by stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ErrorPolicy {
    /// Key, value or timestamp cannot be read.
    pub decode: OnError,
    /// A processor rejects the record.
    pub process: OnError,
    /// The log refuses a result of the record.
    pub produce: OnError,
}

impl Default for ErrorPolicy {
    fn default() -> Self {
        ErrorPolicy { decode: OnError::DeadLetter, process: OnError::DeadLetter, produce: OnError::DeadLetter }
    }
}

/// What a task has done since it was created; read by metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Records processed, whatever came of them.
    pub processed: u64,
    /// Records an operator dropped by its own rules (late, null key).
    pub dropped: u64,
    /// Records skipped by an error handler.
    pub skipped: u64,
    /// Records sent to the dead-letter topic.
    pub dead_letters: u64,
    /// Records found on a wrong partition.
    pub misplaced: u64,
    /// Punctuations run.
    pub punctuations: u64,
    /// Records that another task here wrote and handed over, rather than read back from the log.
    pub handed_over: u64,
}

/// The part of a task that processors change: overlay, times, schedules. Everything here that matters after a restart is
/// in the overlay or in the committed positions' metadata.
pub struct TaskState {
    pub(crate) id: TaskId,
    pub(crate) overlay: Overlay,
    pub(crate) key_bytes: Vec<u8>,
    pub(crate) value_bytes: Vec<u8>,
    pub(crate) stream_time: Timestamp,
    /// Times of nodes, stores and named clocks, as [`Topology::clocks`] lists them; [`NO_TIMESTAMP`] where none was observed.
    times: Vec<Timestamp>,
    /// Times as they were before the current record, by index.
    times_undo: Vec<(usize, Timestamp)>,
    nodes: usize,
    stream_time_undo: Timestamp,
    pub(crate) schedules: Schedules,
    pub(crate) counters: Counters,
    pub(crate) current: Option<(TopicPartition, Offset)>,
    pub(crate) current_timestamp: Timestamp,
    /// Why the current record goes to the process handler although what was done for it stands.
    pub(crate) refused: Option<String>,
    /// Overlay slot by store index.
    slots: Vec<Option<u16>>,
    partitions: Arc<[u32]>,
    /// For global stores, which no overlay is in front of: they are only read.
    pub(crate) backend: Arc<dyn Backend>,
    pub(crate) store_ids: Arc<[state::StoreId]>,
}

impl TaskState {
    pub(crate) fn slot(&self, store: StoreIndex) -> Option<usize> {
        self.slots.get(store.0 as usize).copied().flatten().map(usize::from)
    }

    pub(crate) fn partitions(&self, topic: TopicIndex) -> u32 {
        self.partitions.get(topic.0 as usize).copied().unwrap_or(1)
    }

    fn index_of(&self, clock: Clock) -> usize {
        match clock {
            Clock::Node(node) => node.0 as usize,
            Clock::Store(store) => self.nodes + store.0 as usize,
            Clock::Named(number) => self.nodes + self.slots.len() + number as usize,
        }
    }

    pub(crate) fn observed(&self, clock: impl Into<Clock>) -> Timestamp {
        self.times.get(self.index_of(clock.into())).copied().unwrap_or(NO_TIMESTAMP)
    }

    pub(crate) fn observe(&mut self, clock: impl Into<Clock>, timestamp: Timestamp) -> Timestamp {
        let index = self.index_of(clock.into());
        let Some(time) = self.times.get_mut(index) else {
            return timestamp;
        };
        if timestamp > *time {
            self.times_undo.push((index, *time));
            *time = timestamp;
        }
        *time
    }

    fn savepoint(&mut self) {
        self.overlay.savepoint();
        self.times_undo.clear();
        self.stream_time_undo = self.stream_time;
    }

    fn rollback(&mut self) {
        self.overlay.rollback_to_savepoint();
        self.stream_time = self.stream_time_undo;
        for (index, time) in self.times_undo.drain(..).rev() {
            if let Some(slot) = self.times.get_mut(index) {
                *slot = time;
            }
        }
    }
}

/// A task.
pub struct Task {
    topology: Arc<Topology>,
    /// Some source takes times out of its records.
    extracts_timestamps: bool,
    pub(crate) state: TaskState,
    pub(crate) buffer: Buffer,
    policy: ErrorPolicy,
    /// Committed with its positions; a task outside a worker may have none.
    pub(crate) fingerprint: Option<Fingerprint>,
    /// Something was processed since the last commit.
    pub(crate) commit_needed: bool,
    /// Positions have moved since the last commit, over transaction markers only.
    pub(crate) passed_markers: bool,
    /// Why it stands still, after a handler said `Fail`.
    pub(crate) failed: Option<String>,
    /// The last record processed, and a record whose result the log refused.
    last: Option<(TopicPartition, Offset)>,
    blamed: Option<Blamed>,
    /// A blamed record whose handler's answer is in the open transaction.
    answered: Option<(TopicPartition, Offset)>,
}

/// A record whose result the log refused.
#[derive(Clone, Debug)]
pub(crate) struct Blamed {
    at: (TopicPartition, Offset),
    /// In the log's words.
    reason: String,
    /// What its handler made of it (a dead letter) was refused as well: no handler is left to ask.
    again: bool,
}

/// What [`Task::process`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing is ready.
    Idle,
    /// One record was processed.
    Processed,
}

impl Task {
    /// A task without positions and without a cache; [`Task::start`] comes before the first record.
    #[must_use]
    pub fn new(
        topology: Arc<Topology>,
        id: TaskId,
        backend: Arc<dyn Backend>,
        store_ids: &[state::StoreId],
        partitions: Arc<[u32]>,
        policy: ErrorPolicy,
    ) -> Self {
        let mut slots = vec![None; topology.stores().len()];
        let mut ids = Vec::new();
        let own =
            topology.subtopologies().get(id.subtopology as usize).map(|s| s.stores().to_vec()).unwrap_or_default();
        for (slot, store) in own.iter().enumerate() {
            if let (Some(entry), Some(id)) = (slots.get_mut(store.0 as usize), store_ids.get(store.0 as usize)) {
                *entry = u16::try_from(slot).ok();
                ids.push(*id);
            }
        }
        let state = TaskState {
            id,
            overlay: Overlay::new(backend.clone(), id.partition, ids, 0),
            key_bytes: Vec::new(),
            value_bytes: Vec::new(),
            stream_time: NO_TIMESTAMP,
            times: vec![NO_TIMESTAMP; topology.clocks.len()],
            nodes: topology.nodes.len(),
            times_undo: Vec::new(),
            stream_time_undo: NO_TIMESTAMP,
            schedules: Schedules::default(),
            counters: Counters::default(),
            current: None,
            current_timestamp: 0,
            refused: None,
            slots,
            partitions,
            backend,
            store_ids: store_ids.into(),
        };
        let inputs = topology.inputs(id.subtopology, id.partition);
        let mut sources = inputs.iter().filter_map(|input| topology.source_of(id.subtopology, input.topic));
        let extracts_timestamps = sources.any(|(_, source)| source.extracts_timestamps());
        let buffer = Buffer::new(inputs);
        Task {
            topology,
            extracts_timestamps,
            state,
            buffer,
            policy,
            fingerprint: None,
            commit_needed: false,
            passed_markers: false,
            failed: None,
            last: None,
            blamed: None,
            answered: None,
        }
    }

    /// Its positions are committed as those of this fingerprint.
    pub(crate) fn committing_as(self, fingerprint: Fingerprint) -> Self {
        Task { fingerprint: Some(fingerprint), ..self }
    }

    /// Its identity.
    #[must_use]
    pub fn id(&self) -> TaskId {
        self.state.id
    }

    /// Whether it has stores of its own.
    #[must_use]
    pub fn has_stores(&self) -> bool {
        self.state.slots.iter().any(Option::is_some)
    }

    /// How many bytes of committed entries it keeps in memory in front of its stores, keys, values and overhead; 0 at first.
    pub fn set_cache_bytes(&mut self, cache_bytes: usize) {
        self.state.overlay.set_cache_bytes(cache_bytes);
    }

    /// What it has done.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.state.counters
    }

    /// Its stream time.
    #[must_use]
    pub fn stream_time(&self) -> Timestamp {
        self.state.stream_time
    }

    /// Why it stands still, if a handler said `Fail`.
    #[must_use]
    pub fn failure(&self) -> Option<&str> {
        self.failed.as_deref()
    }

    /// Takes its committed positions and operator times, then initialises its processors. Inputs without a committed
    /// position start at `start`, the beginning of what is there.
    ///
    /// # Errors
    /// When a processor's `init` fails.
    pub fn start(
        &mut self,
        committed: &[(TopicPartition, Offset, Option<String>)],
        now: Timestamp,
        effects: &mut Effects,
    ) -> Result<(), Error> {
        self.state.stream_time = NO_TIMESTAMP;
        self.state.times.fill(NO_TIMESTAMP);
        self.state.schedules = Schedules::default();
        self.buffer.clear();
        (self.commit_needed, self.passed_markers) = (false, false);
        for (partition, offset, metadata) in committed {
            if let Some(input) = self.buffer.inputs.iter_mut().find(|i| i.partition == *partition) {
                input.position = *offset;
                input.behind = true;
                input.paused = false;
            }
            if let Some(text) = metadata {
                self.read_times(text);
            }
        }
        let topology = self.topology.clone();
        let nodes = topology.subtopologies().get(self.id().subtopology as usize).map(|s| s.nodes.clone());
        self.state.savepoint();
        for node in nodes.unwrap_or_default() {
            if let NodeKind::Processor(p) = &topology.node(node).kind {
                let mut cx = Cx { topology: &topology, node, task: &mut self.state, effects, now };
                p.init(&mut cx).map_err(|e| self.error("init", Stage::Process, &e.to_string()))?;
            }
        }
        Ok(())
    }

    /// Takes a record of one of its inputs in, to be processed in its turn. One below the input's position is dropped, as
    /// is one of a partition that is no input.
    pub fn push(&mut self, from: TopicPartition, record: Incoming) {
        if let Some(input) = self.buffer.inputs.iter().position(|i| i.partition == from) {
            self.take_in(input, record);
        }
    }

    /// As [`Task::push`], of an input whose index is known.
    pub(crate) fn take_in(&mut self, input: usize, mut record: Incoming) {
        if self.extracts_timestamps
            && let Some(topic) = self.buffer.inputs.get(input).map(|i| i.partition.topic)
            && let Some((_, source)) = self.topology.source_of(self.id().subtopology, topic)
        {
            record.timestamp = source.timestamp(&record).unwrap_or(record.timestamp);
        }
        self.buffer.push(input, record);
    }

    /// True when [`Task::process`] would do something.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.failed.is_none() && self.buffer.next_input().is_some()
    }

    /// Takes the next record and puts it through the topology.
    ///
    /// # Errors
    /// [`Error::State`] when the store fails; [`Error::Record`] when a handler says `Fail`: then this record's changes and
    /// effects are undone and the task stands still.
    pub fn process(&mut self, now: Timestamp, effects: &mut Effects) -> Result<Step, Error> {
        if self.failed.is_some() {
            return Ok(Step::Idle);
        }
        let Some(input) = self.buffer.next_input() else {
            return Ok(Step::Idle);
        };
        let Some((from, record)) = self.buffer.pop(input) else {
            return Ok(Step::Idle);
        };
        // Most stores are asked for the record's own key.
        if let Some(next) = self.buffer.head_key(input) {
            self.state.overlay.prefetch(next);
        }
        self.commit_needed = true;
        self.state.counters.processed += 1;
        self.state.savepoint();
        let mark = effects.mark();
        self.state.current = Some((from, record.offset));
        self.last = self.state.current;
        self.answered = None;
        let outcome = match self.blamed.take_if(|b| b.at == (from, record.offset)) {
            Some(blamed) if blamed.again => {
                return Err(self.stand_still(from, &record, Stage::Produce, &blamed.reason));
            }
            Some(blamed) => {
                self.answered = Some(blamed.at);
                Err(Failure::Record(Stage::Produce, blamed.reason))
            }
            None => self.run(from, &record, now, effects),
        };
        self.state.current = None;
        let refused = self.state.refused.take();
        if outcome.is_ok()
            && let Some(reason) = refused
        {
            if self.policy.process == OnError::Fail {
                self.state.rollback();
                effects.truncate(mark);
            }
            self.handle(from, &record, Stage::Process, &reason, now, effects)?;
        }
        if let Err(failure) = outcome {
            self.state.rollback();
            effects.truncate(mark);
            match failure {
                Failure::Record(stage, reason) => self.handle(from, &record, stage, &reason, now, effects)?,
                Failure::Other(e) => {
                    self.put_back(from, record.offset);
                    return Err(e);
                }
            }
        }
        self.punctuate_clock(PunctuationType::StreamTime, self.state.stream_time, now, effects)?;
        Ok(Step::Processed)
    }

    fn run(
        &mut self,
        from: TopicPartition,
        record: &Incoming,
        now: Timestamp,
        effects: &mut Effects,
    ) -> Result<(), Failure> {
        let topology = self.topology.clone();
        let sub = topology.subtopologies().get(self.id().subtopology as usize);
        let node = sub.and_then(|s| s.sources.iter().find(|(t, _)| *t == from.topic)).map(|(_, n)| *n);
        let Some(node) = node else { return Ok(()) };
        let NodeKind::Source(source) = &topology.node(node).kind else {
            return Ok(());
        };
        if record.timestamp < 0 || record.timestamp > TIMESTAMP_MS_MAX {
            let reason = format!("timestamp {} is not between 0 and {TIMESTAMP_MS_MAX} (year 9999)", record.timestamp);
            return Err(Failure::Record(Stage::Decode, reason));
        }
        if source.misplaced() != Misplaced::Accept
            && let Some(right) = right_partition(record, from.partition, self.state.partitions(from.topic))
        {
            self.state.counters.misplaced += 1;
            if source.misplaced() == Misplaced::DeadLetter {
                let reason = format!("key belongs on partition {right} (murmur2), not {}", from.partition);
                return Err(Failure::Record(Stage::Decode, reason));
            }
            let (key, value) = (record.key(), record.value());
            effects.push(from.topic, Some(right), key, value, record.timestamp, record.headers());
            return Ok(());
        }
        self.state.stream_time = self.state.stream_time.max(record.timestamp);
        self.state.current_timestamp = record.timestamp;
        let mut cx = Cx { topology: &topology, node, task: &mut self.state, effects, now };
        match source.read(&mut cx, record) {
            Ok(()) => Ok(()),
            Err(SourceError::Decode(e)) => Err(Failure::Record(Stage::Decode, e.to_string())),
            Err(SourceError::Process(e)) => Err(self.process_failure(e)),
        }
    }

    fn process_failure(&self, e: ProcessError) -> Failure {
        match e {
            ProcessError::State(e) => Failure::Other(Error::State(e)),
            e if e.is_records_fault() => Failure::Record(Stage::Process, e.to_string()),
            e => Failure::Other(self.error("", Stage::Process, &e.to_string())),
        }
    }

    /// Applies the handler of a stage to a record whose changes are undone already.
    fn handle(
        &mut self,
        from: TopicPartition,
        record: &Incoming,
        stage: Stage,
        reason: &str,
        now: Timestamp,
        effects: &mut Effects,
    ) -> Result<(), Error> {
        let on_error = match stage {
            Stage::Decode => self.policy.decode,
            Stage::Process => self.policy.process,
            Stage::Produce => self.policy.produce,
        };
        let topic = self.topology.topic_name(from.topic);
        match on_error {
            OnError::Fail => return Err(self.stand_still(from, record, stage, reason)),
            OnError::Continue => self.state.counters.skipped += 1,
            OnError::DeadLetter => {
                self.state.counters.dead_letters += 1;
                let headers =
                    dead_letter_headers(record.headers(), topic, from.partition, record, stage.as_str(), reason);
                // Never ahead of the clock: brokers refuse that (`message.timestamp.after.max.ms`), and a dead letter that
                // is refused would hold its task up for ever. The record's own time is in the headers.
                let timestamp = record.timestamp.clamp(0, now.clamp(0, TIMESTAMP_MS_MAX));
                let dead_letters = self.topology.dead_letter_topic();
                // What is too large for the log with its headers goes without its bytes: the headers say where it is.
                let whole = record.bytes_len() <= DEAD_LETTER_BYTES_MAX;
                let (key, value) = if whole { (record.key(), record.value()) } else { (None, None) };
                effects.push(dead_letters, None, key, value, timestamp, &headers);
            }
        }
        tracing::debug!(task = %self.id(), topic, partition = from.partition, offset = record.offset.0,
            stage = stage.as_str(), reason, "record not processed");
        Ok(())
    }

    /// Stops the task before this record.
    fn stand_still(&mut self, from: TopicPartition, record: &Incoming, stage: Stage, reason: &str) -> Error {
        let error = Error::Record {
            task: self.id(),
            topic: self.topology.topic_name(from.topic).to_owned(),
            partition: from.partition,
            offset: record.offset,
            stage: stage.as_str(),
            reason: reason.to_owned(),
        };
        self.put_back(from, record.offset);
        self.failed = Some(error.to_string());
        error
    }

    /// A record that stopped the task was not processed: committing must not go past it.
    fn put_back(&mut self, from: TopicPartition, offset: Offset) {
        if let Some(input) = self.buffer.inputs.iter_mut().find(|i| i.partition == from) {
            input.position = offset;
        }
    }

    /// Runs what is due on the wall clock.
    ///
    /// # Errors
    /// [`Error::State`] when the store fails, [`Error::Record`] when the topology itself is at fault.
    pub fn punctuate(&mut self, now: Timestamp, effects: &mut Effects) -> Result<bool, Error> {
        if self.failed.is_some() {
            return Ok(false);
        }
        self.punctuate_clock(PunctuationType::WallClockTime, now, now, effects)
    }

    /// Lets processors send on what they held back for the commit.
    ///
    /// # Errors
    /// As [`Task::punctuate`].
    pub(crate) fn flush(&mut self, now: Timestamp, effects: &mut Effects) -> Result<(), Error> {
        let topology = self.topology.clone();
        let nodes = topology.subtopologies().get(self.id().subtopology as usize).map(|s| s.nodes.as_slice());
        for &node in nodes.unwrap_or_default() {
            let NodeKind::Processor(processor) = &topology.node(node).kind else { continue };
            self.state.savepoint();
            let mark = effects.mark();
            let mut cx = Cx { topology: &topology, node, task: &mut self.state, effects, now };
            if let Err(e) = processor.flush(&mut cx) {
                self.undo(node, mark, effects, e, "flush")?;
            }
        }
        Ok(())
    }

    /// Undoes what a node did outside a record. Its rejection is logged; any other failure is the task's.
    fn undo(
        &mut self,
        node: NodeId,
        mark: Mark,
        effects: &mut Effects,
        e: ProcessError,
        what: &str,
    ) -> Result<(), Error> {
        self.state.rollback();
        effects.truncate(mark);
        match self.process_failure(e) {
            Failure::Record(_, reason) => {
                self.state.counters.skipped += 1;
                let node = &*self.topology.node(node).name;
                tracing::warn!(task = %self.id(), node, reason, "{what} rejected and skipped");
                Ok(())
            }
            Failure::Other(e) => Err(e),
        }
    }

    /// When [`Task::punctuate`] has something to do next.
    #[must_use]
    pub fn next_wall_clock(&self) -> Option<Timestamp> {
        self.state.schedules.next(PunctuationType::WallClockTime)
    }

    fn punctuate_clock(
        &mut self,
        clock: PunctuationType,
        time: Timestamp,
        now: Timestamp,
        effects: &mut Effects,
    ) -> Result<bool, Error> {
        let mut any = false;
        while let Some((node, schedule)) = self.state.schedules.take_due(clock, time) {
            any = true;
            self.state.counters.punctuations += 1;
            self.state.savepoint();
            let mark = effects.mark();
            self.state.current_timestamp = time.max(0);
            let topology = self.topology.clone();
            let NodeKind::Processor(processor) = &topology.node(node).kind else {
                continue;
            };
            let mut cx = Cx { topology: &topology, node, task: &mut self.state, effects, now };
            let outcome = processor.punctuate(&mut cx, schedule, time);
            if let Err(e) = outcome {
                self.undo(node, mark, effects, e, "punctuation")?;
            }
            // A punctuation that changed nothing leaves nothing to commit.
            self.commit_needed |= self.state.overlay.is_dirty() || !effects.is_empty();
        }
        Ok(any)
    }

    /// The positions to commit, each input's next offset with the task's fingerprint; operator times travel with the first.
    ///
    /// # Errors
    /// [`Error::Refused`] when the operator times do not fit the metadata limit.
    pub fn positions(&self) -> Result<Vec<CommitPosition>, Error> {
        let fingerprint = self.fingerprint.as_ref().map(Fingerprint::metadata_part);
        let metadata = self.write_times(fingerprint.as_deref());
        if metadata.len() > OFFSET_METADATA_BYTES_MAX {
            return Err(Error::Refused(format!(
                "task {}: operator times take {} bytes, a committed offset's metadata holds {OFFSET_METADATA_BYTES_MAX}: \
                 shorten node names or split the topology",
                self.id(),
                metadata.len()
            )));
        }
        let others = fingerprint.map_or_else(String::new, |part| format!("1|{NO_TIMESTAMP}|{part}"));
        let metadata = std::iter::once(metadata).chain(std::iter::repeat(others));
        let inputs = self.buffer.inputs.iter().zip(metadata);
        Ok(inputs.map(|(i, metadata)| CommitPosition { input: i.partition, offset: i.position, metadata }).collect())
    }

    /// Gives one changelog record per changed entry of every logged store to `send`, the last value only. They go straight
    /// from the overlay to the log: a copy of all that a commit changes would stay in memory.
    ///
    /// # Errors
    /// [`Error::State`] for a stored value the engine did not write; those of `send`, after which nothing more is sent.
    pub(crate) fn changelog(
        &self,
        all: bool,
        now: Timestamp,
        send: &mut dyn FnMut(Outgoing<'_>) -> Result<(), log::Error>,
    ) -> Result<(), Error> {
        let topology = &self.topology;
        let own = topology.subtopologies().get(self.id().subtopology as usize).map(|s| s.stores()).unwrap_or_default();
        let targets: Vec<Option<TopicIndex>> = own
            .iter()
            .map(|s| topology.stores().get(s.0 as usize))
            .map(|s| s.filter(|s| all || !s.is_kept_by_log()).and_then(|s| s.changelog))
            .collect();
        let partition = Some(self.id().partition);
        let mut sent = Ok(());
        self.state.overlay.for_each_dirty(&mut |slot, key, value| {
            let Some(Some(topic)) = targets.get(slot).filter(|_| sent.is_ok()) else {
                return;
            };
            let (topic, key) = (*topic, Some(key));
            sent = match value.map(crate::value::read).transpose() {
                Ok(Some(v)) => {
                    let (value, timestamp, headers) = (Some(v.payload), v.timestamp, &v.headers);
                    send(Outgoing { topic, partition, key, value, timestamp, headers }).map_err(Error::from)
                }
                Ok(None) => {
                    let (timestamp, headers) = (now.max(0), Headers::empty());
                    send(Outgoing { topic, partition, key, value: None, timestamp, headers }).map_err(Error::from)
                }
                Err(e) => Err(self.error("", Stage::Process, &e.to_string())),
            };
        });
        sent
    }

    /// Tells that an input has no record below `next` that was not pushed: until then, a task does not go on with its other
    /// inputs when this one is empty. Inputs are numbered as [`crate::SubTopology::source_topics`] has them. A task that
    /// stands still has put its record back and stays before it.
    pub fn caught_up(&mut self, input: usize, next: Offset) {
        if self.failed.is_none() {
            self.passed_markers |= self.buffer.caught_up(input, next);
        }
    }

    /// The log refused the transaction that held only the last record: it is to blame.
    pub(crate) fn blame_last(&mut self, reason: &str) {
        if self.commit_needed {
            let blame = |at| Blamed { at, reason: reason.to_owned(), again: self.answered == Some(at) };
            self.blamed = self.last.map(blame);
        }
    }

    pub(crate) fn take_blamed(&mut self) -> Option<Blamed> {
        self.blamed.take()
    }

    pub(crate) fn set_blamed(&mut self, blamed: Blamed) {
        self.blamed = Some(blamed);
    }

    /// Drops everything uncommitted.
    pub fn abort(&mut self) {
        self.state.overlay.abort();
        self.buffer.clear();
        (self.commit_needed, self.passed_markers) = (false, false);
    }

    /// Uncommitted changes became durable.
    pub fn committed(&mut self) {
        self.last = None;
        self.state.overlay.committed();
        (self.commit_needed, self.passed_markers) = (false, false);
    }

    fn write_times(&self, fingerprint: Option<&str>) -> String {
        use std::fmt::Write as _;
        let mut text = format!("1|{}", self.state.stream_time);
        let _ = fingerprint.map(|part| write!(text, "|{part}"));
        for (name, time) in self.topology.clocks.iter().zip(&self.state.times) {
            if *time != NO_TIMESTAMP {
                let _ = write!(text, "|{name}={time}");
            }
        }
        text
    }

    fn read_times(&mut self, text: &str) {
        let mut parts = text.split('|');
        if parts.next() != Some("1") {
            return;
        }
        let stream_time = parts.next().and_then(|t| t.parse().ok()).unwrap_or(NO_TIMESTAMP);
        self.state.stream_time = self.state.stream_time.max(stream_time);
        for (name, time) in parts.filter_map(|p| p.split_once('=')) {
            let clock = self.topology.clocks.iter().position(|clock| &**clock == name);
            if let (Some(slot), Ok(time)) = (clock.and_then(|n| self.state.times.get_mut(n)), time.parse()) {
                *slot = time;
            }
        }
    }

    fn error(&self, topic: &str, stage: Stage, reason: &str) -> Error {
        let (topic, partition, offset) = match self.state.current {
            Some((tp, offset)) => (self.topology.topic_name(tp.topic).to_owned(), tp.partition, offset),
            None => (topic.to_owned(), self.id().partition, Offset(-1)),
        };
        Error::Record { task: self.id(), topic, partition, offset, stage: stage.as_str(), reason: reason.to_owned() }
    }
}

/// Why a record did not get through.
enum Failure {
    /// Its own fault; a handler decides.
    Record(Stage, String),
    /// Not its fault.
    Other(Error),
}
