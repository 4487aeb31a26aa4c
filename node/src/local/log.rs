//! The engine's port over the embedded broker: one [`LocalLog`] per worker.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustc_hash::FxHashMap;
use streams::log::{
    Commit, CommitAck, Committed, Error as LogError, Log, LogRange, Outgoing, Polled, Rebalance, Replayed, StateWrites,
};
use streams::{Incoming, Offset, Partition, TopicIndex, TopicPartition, TopicRole, Topology};

use super::broker::check_record;
use super::shared::{Shared, read};
use super::tail::Chunk;
use super::topic::{Cleanup, NewTopic, PartitionLog, Quantity, Retention, Topic, Visible};
use super::{Error, LocalBroker, limits};

/// The topics a topology needs on the embedded log: its own ones, repartition topics (whose records go once they are
/// read), the dead letters, and changelogs of stores in memory or in engines of their
/// own only, for all others are part of each commit. Topics
/// the topology shares with others are kept for ever: the caller sets their retention.
#[must_use]
pub fn topics_of(topology: &Topology, partitions: u32) -> Vec<NewTopic> {
    let mut topics = Vec::new();
    for (index, def) in (0_u16..).map(TopicIndex).zip(topology.topics()) {
        let plain = NewTopic::new(&*def.name, declared_partitions(topology, index, partitions));
        match def.role {
            TopicRole::External | TopicRole::DeadLetter => topics.push(plain),
            TopicRole::Repartition => {
                let retention = Retention { time_ms: Some(0), bytes: None };
                topics.push(NewTopic { retention, keep_unread: true, ..plain });
            }
            TopicRole::Changelog if is_needed_changelog(topology, index) => {
                topics.push(NewTopic { cleanup: Cleanup::Compact, ..plain });
            }
            TopicRole::Changelog => (),
        }
    }
    topics
}

fn declared_partitions(topology: &Topology, topic: TopicIndex, default: u32) -> u32 {
    let def = topology.topics().get(topic.0 as usize);
    match def.map(|d| d.role) {
        Some(TopicRole::Repartition) => def.and_then(|d| d.partitions).unwrap_or(default),
        Some(TopicRole::Changelog) => {
            source_of_changelog(topology, topic).map_or(default, |s| declared_partitions(topology, s, default))
        }
        _ => default,
    }
}

fn is_needed_changelog(topology: &Topology, topic: TopicIndex) -> bool {
    topology.stores().iter().any(|s| s.changelog == Some(topic) && !s.is_kept_by_log())
}

/// A source topic of the sub-topology whose store this changelog backs: it has as many partitions.
fn source_of_changelog(topology: &Topology, changelog: TopicIndex) -> Option<TopicIndex> {
    let store = topology.stores().iter().find(|s| s.changelog == Some(changelog))?;
    let (index, _) = topology.store(&store.name)?;
    let subtopology = topology.subtopology_of_store(index)?;
    topology.subtopologies().get(subtopology as usize)?.source_topics().next()
}

/// Which part of an application's tasks a worker has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Share {
    /// This worker's number, below `workers`.
    pub worker: u32,
    /// Workers of the application in this process, at least 1.
    pub workers: u32,
    /// The sub-topologies this process runs; `None` for all.
    pub subtopologies: Option<BTreeSet<u16>>,
}

impl Share {
    /// All tasks on one worker.
    #[must_use]
    pub fn whole() -> Self {
        Share { worker: 0, workers: 1, subtopologies: None }
    }

    /// As Kafka's `range` assignor does: a run of partition numbers each, the same of every topic, so that the inputs of a
    /// task, and the sub-topologies of a partition, are together.
    fn has(&self, partition: Partition, partitions: u32) -> bool {
        let workers = self.workers.max(1);
        let (each, extra) = (partitions / workers, partitions % workers);
        let start = self.worker * each + self.worker.min(extra);
        let end = start + each + u32::from(self.worker < extra);
        (start..end).contains(&partition)
    }
}

/// A worker's log: its share of the partitions is fixed from the start, and its commits are one write together with its
/// state.
pub struct LocalLog {
    broker: Arc<LocalBroker>,
    shared: Arc<Shared>,
    group: Arc<str>,
    /// By [`TopicIndex`]; `None` for the changelog of a persistent store, which nobody needs here.
    topics: Vec<Option<Arc<Topic>>>,
    partitions: Vec<u32>,
    topology: Arc<Topology>,
    assignment: Vec<TopicPartition>,
    announced: bool,
    inputs: Vec<Input>,
    /// Input whose turn it is to be read first.
    turn: usize,
    transaction: Option<Transaction>,
    /// Where the next record without partition goes.
    spread: u32,
}

struct Input {
    at: TopicPartition,
    log: Arc<PartitionLog>,
    next: i64,
    flows: bool,
    caught_up: bool,
}

/// What was sent and is not committed.
#[derive(Default)]
struct Transaction {
    chunks: Vec<(TopicPartition, Arc<PartitionLog>, Chunk)>,
    by_partition: FxHashMap<TopicPartition, usize>,
    bytes: usize,
}

impl LocalLog {
    /// A worker's log over a broker that has the topology's topics (see [`topics_of`]). Registers the application as a
    /// group that holds back retention on its inputs.
    ///
    /// # Errors
    /// [`Error::UnknownTopic`] for a topic that was not created; [`Error::Invalid`] when the inputs of a sub-topology
    /// differ in their partition counts.
    pub fn new(broker: Arc<LocalBroker>, topology: Arc<Topology>, share: &Share) -> Result<Self, Error> {
        let mut topics = Vec::new();
        for (index, def) in (0_u16..).map(TopicIndex).zip(topology.topics()) {
            let dispensable = def.role == TopicRole::Changelog && !is_needed_changelog(&topology, index);
            topics.push(match broker.topic(&def.name) {
                Ok(topic) => Some(topic),
                Err(_) if dispensable => None,
                Err(e) => return Err(e),
            });
        }
        let count =
            |topic: TopicIndex| -> Option<u32> { topics.get(topic.0 as usize)?.as_ref().map(|t| t.stored.partitions) };
        let all = (0_u16..).map(TopicIndex).take(topics.len());
        let partitions =
            all.map(|t| count(t).or_else(|| count(source_of_changelog(&topology, t)?)).unwrap_or(1)).collect();
        let mut assignment = Vec::new();
        for (number, sub) in (0_u16..).zip(topology.subtopologies()) {
            let sources: Vec<(TopicIndex, u32)> =
                sub.source_topics().map(|t| (t, count(t).unwrap_or_default())).collect();
            let Some(&(first, tasks)) = sources.first() else { continue };
            if let Some((other, count)) = sources.iter().find(|(_, count)| *count != tasks) {
                let (first, name) = (topology.topic_name(first), topology.topic_name(*other).to_owned());
                let rule = format!("its {count} partitions are joined with the {tasks} of '{first}': make them equal");
                return Err(Error::Invalid { name, rule });
            }
            if share.subtopologies.as_ref().is_some_and(|only| !only.contains(&number)) {
                continue;
            }
            for partition in (0..tasks).filter(|p| share.has(*p, tasks)) {
                assignment.extend(sources.iter().map(|(topic, _)| TopicPartition { topic: *topic, partition }));
            }
        }
        let sources: Vec<&str> = assignment.iter().map(|tp| topology.topic_name(tp.topic)).collect();
        broker.register_group(topology.application_id(), &sources)?;
        Ok(LocalLog {
            shared: broker.shared().clone(),
            broker,
            group: topology.application_id().into(),
            topics,
            partitions,
            topology,
            assignment,
            announced: false,
            inputs: Vec::new(),
            turn: 0,
            transaction: None,
            spread: 0,
        })
    }

    /// The broker.
    #[must_use]
    pub fn broker(&self) -> &Arc<LocalBroker> {
        &self.broker
    }

    fn partition_log(&self, at: TopicPartition) -> Result<&Arc<PartitionLog>, Error> {
        let name = || self.topology.topic_name(at.topic).to_owned();
        let topic = self.topics.get(at.topic.0 as usize).and_then(Option::as_ref);
        topic.ok_or_else(|| Error::UnknownTopic(name()))?.partition(at.partition)
    }

    fn alive(&self) -> Result<(), LogError> {
        self.shared.failure().map_or(Ok(()), |e| Err(e.clone().into()))
    }

    fn input(&mut self, at: TopicPartition) -> Option<&mut Input> {
        self.inputs.iter_mut().find(|i| i.at == at)
    }

    /// Reads what flows; answers whether there was news.
    fn fetch(&mut self, polled: &mut Polled) -> Result<bool, Error> {
        let mut news = false;
        let quantity =
            Quantity { records_max: limits::POLL_RECORDS_PER_PARTITION, bytes_max: limits::POLL_BYTES_PER_PARTITION };
        self.turn = self.turn.wrapping_add(1);
        let count = self.inputs.len();
        for i in 0..count {
            let Some(input) = self.inputs.get_mut((i + self.turn) % count).filter(|i| i.flows) else { continue };
            let (at, before) = (input.at, input.next);
            let backend = &*self.shared.backend;
            let take = &mut |record: Incoming| polled.records.push((at, record));
            input.next = input.log.read(backend, self.shared.stores, before, quantity, Visible::Committed, take)?;
            let caught_up = input.next >= input.log.extent().end;
            news |= input.next != before || caught_up != input.caught_up;
            input.caught_up = caught_up;
            if caught_up {
                polled.caught_up.push((at, Offset(input.next)));
            }
        }
        Ok(news)
    }
}

impl Log for LocalLog {
    fn state_writes(&self) -> StateWrites {
        StateWrites::WithCommit
    }

    fn partitions(&self) -> &[u32] {
        &self.partitions
    }

    fn poll(&mut self, timeout: Duration, polled: &mut Polled) -> Result<(), LogError> {
        if !self.announced {
            self.announced = true;
            let input = |at: &TopicPartition| -> Result<Input, Error> {
                Ok(Input { at: *at, log: self.partition_log(*at)?.clone(), next: 0, flows: false, caught_up: false })
            };
            self.inputs = self.assignment.iter().map(input).collect::<Result<_, _>>()?;
            polled.rebalance.push(Rebalance::Assigned(self.assignment.clone()));
            return Ok(());
        }
        let until = Instant::now() + timeout;
        loop {
            let seen = self.shared.committed.turns();
            self.alive()?;
            polled.caught_up.clear();
            if self.fetch(polled)? || !self.shared.committed.wait(seen, until) {
                return Ok(());
            }
        }
    }

    fn begin(&mut self) -> Result<(), LogError> {
        self.alive()?;
        self.transaction = Some(Transaction::default());
        Ok(())
    }

    fn send(&mut self, record: Outgoing<'_>) -> Result<(), LogError> {
        let count = self.partitions.get(record.topic.0 as usize).copied().unwrap_or(1).max(1);
        let partition = record.partition.unwrap_or_else(|| {
            self.spread = self.spread.wrapping_add(1);
            self.spread % count
        });
        let at = TopicPartition { topic: record.topic, partition };
        let name = self.topology.topic_name(record.topic);
        let refused = |reason: String| LogError::Refused { topic: name.to_owned(), reason };
        let log = self.partition_log(at).map_err(|e| refused(e.to_string()))?.clone();
        let bytes = check_record(name, record.key, record.value, record.timestamp, record.headers)?;
        let max = limits::TRANSACTION_BYTES_MAX;
        let Some(transaction) = &mut self.transaction else {
            return Err(LogError::Abort("a record was sent outside a transaction".to_owned()));
        };
        if transaction.bytes + bytes > max {
            return Err(refused(format!("its transaction would exceed {max} bytes")));
        }
        transaction.bytes += bytes;
        let chunks = &mut transaction.chunks;
        let index = *transaction.by_partition.entry(at).or_insert_with(|| {
            chunks.push((at, log, Chunk::default()));
            chunks.len() - 1
        });
        if let Some((_, _, chunk)) = chunks.get_mut(index) {
            chunk.push(record.key, record.value, record.timestamp, record.headers);
        }
        Ok(())
    }

    fn commit(&mut self, commit: Commit<'_>) -> Result<CommitAck, LogError> {
        let Some(transaction) = self.transaction.take() else {
            return Err(LogError::Abort("no transaction is open".to_owned()));
        };
        let mut positions = Vec::with_capacity(commit.positions.len());
        for position in commit.positions {
            let log = self.partition_log(position.input)?.id;
            positions.push((log, Committed { offset: position.offset, metadata: position.metadata.clone() }));
        }
        let (stores, group) = (self.shared.stores, &self.group);
        let placed = |at: &TopicPartition, base: i64, records: i64| {
            let placement = commit.placements.iter().find(|p| p.partition == *at);
            placement.is_none_or(|p| p.first.0 == base && p.next.0 == base + records)
        };
        let written = self.shared.commit_and_wait(|pending| {
            let mut written = Vec::new();
            for (at, log, chunk) in &transaction.chunks {
                let (base, records) = (pending.next_offset(log), chunk.len() as i64);
                if !placed(at, base, records) {
                    return Err(LogError::Displaced(format!("{records} records to {at:?} would lie at {base}")));
                }
                written.push((*at, Offset(base + records)));
            }
            for (_, log, chunk) in transaction.chunks {
                pending.append_chunk(stores, &log, chunk);
            }
            for (log, committed) in positions {
                pending.set_position(stores, group, log, committed);
            }
            pending.add_state(commit.state);
            Ok(written)
        })?;
        Ok(CommitAck { written: written? })
    }

    fn abort(&mut self) -> Result<(), LogError> {
        self.transaction = None;
        Ok(())
    }

    fn reset(&mut self) -> Result<(), LogError> {
        self.transaction = None;
        // A commit's outcome is never open here: it is written, refused, or the log has failed for good.
        self.alive()
    }

    fn committed(&mut self, inputs: &[TopicPartition]) -> Result<Vec<Option<Committed>>, LogError> {
        let positions = read(&self.shared.positions);
        let logs = inputs.iter().map(|at| self.partition_log(*at));
        let committed = logs.map(|log| Ok(positions.get(&(self.group.clone(), log?.id)).cloned()));
        committed.collect::<Result<_, Error>>().map_err(Into::into)
    }

    fn ranges(&mut self, partitions: &[TopicPartition]) -> Result<Vec<LogRange>, LogError> {
        let range = |partition: &TopicPartition| -> Result<LogRange, Error> {
            let extent = self.partition_log(*partition)?.extent();
            let topic = self.topics.get(partition.topic.0 as usize).and_then(Option::as_ref);
            Ok(LogRange {
                topic_id: topic.map(|t| t.stored.id).unwrap_or_default(),
                start: Offset(extent.start),
                end: Offset(extent.end),
            })
        };
        partitions.iter().map(range).collect::<Result<_, _>>().map_err(Into::into)
    }

    /// A commit is one write: nothing is ever half visible.
    fn writes_markers(&self) -> bool {
        false
    }

    fn replay(
        &mut self,
        changelog: TopicPartition,
        from: Offset,
        _to: Offset,
        records_max: usize,
        records: &mut Vec<Incoming>,
    ) -> Result<Replayed, LogError> {
        let quantity = Quantity { records_max, bytes_max: usize::MAX };
        let log = self.partition_log(changelog)?;
        let take = &mut |record| records.push(record);
        let next = log.read(&*self.shared.backend, self.shared.stores, from.0, quantity, Visible::Committed, take)?;
        Ok(Replayed { next: Offset(next), blocked: false })
    }

    fn seek_and_resume(&mut self, input: TopicPartition, offset: Offset) -> Result<(), LogError> {
        if let Some(input) = self.input(input) {
            input.next = offset.0;
            input.flows = true;
            input.caught_up = false;
        }
        Ok(())
    }

    fn pause(&mut self, input: TopicPartition) -> Result<(), LogError> {
        if let Some(input) = self.input(input) {
            input.flows = false;
        }
        Ok(())
    }

    fn resume(&mut self, input: TopicPartition) -> Result<(), LogError> {
        if let Some(input) = self.input(input) {
            input.flows = true;
            input.caught_up = false;
        }
        Ok(())
    }

    fn park(&mut self, input: TopicPartition) -> Result<(), LogError> {
        self.pause(input)
    }

    fn unassign(&mut self) -> Result<(), LogError> {
        self.inputs.clear();
        Ok(())
    }

    fn close(&mut self) {
        self.transaction = None;
        self.inputs.clear();
    }
}
