//! A Kafka-like log in memory: partitions with transaction markers and a last stable offset, transactional ids with epochs,
//! one consumer group with generations and static members. Deterministic: nothing moves unless a worker calls.
//!
//! What it models is what exactly-once rests on: aborted and open records are invisible, a fenced producer cannot commit, a
//! member of an old generation cannot commit positions, and markers take offsets of their own.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::log::{
    Commit, CommitAck, CommitPosition, Committed, Error, Log, LogRange, Outgoing, Polled, Rebalance, Replayed,
    StateWrites,
};
use crate::record::{Headers, Incoming};
use crate::topology::{TopicRole, Topology};
use crate::types::{Offset, Partition, Timestamp, TopicIndex, TopicPartition};

/// Records handed out per partition and poll.
const POLL_RECORDS_MAX: usize = 500;

/// A committed record as a read-committed client outside sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SimRecord {
    /// Position in the order in which all partitions of all topics were written.
    pub sequence: u64,
    /// Where it is.
    pub partition: Partition,
    /// The record.
    pub record: Incoming,
}

/// A call of the port, for fault hooks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// [`Log::begin`].
    Begin,
    /// [`Log::send`].
    Send,
    /// [`Log::commit`].
    Commit,
    /// [`Log::abort`].
    Abort,
    /// [`Log::reset`].
    Reset,
    /// [`Log::committed`].
    Committed,
    /// [`Log::replay`].
    Replay,
}

/// What a fault hook answers.
#[derive(Debug)]
pub enum Fault {
    /// The call goes through.
    None,
    /// The call fails and has had no effect.
    Before(Error),
    /// The call has its effect and fails all the same: the answer was lost.
    After(Error),
}

type Hook = Box<dyn FnMut(Call) -> Fault + Send>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Status {
    Open,
    Committed,
    Aborted,
    Marker,
}

#[derive(Clone, Debug)]
struct Entry {
    sequence: u64,
    status: Status,
    record: Incoming,
}

#[derive(Clone, Debug, Default)]
struct Partitioned {
    /// Offset of the first entry; what was before is deleted.
    start: i64,
    entries: Vec<Entry>,
    /// Open transactions by their first offset here.
    open: BTreeMap<String, i64>,
}

impl Partitioned {
    fn end(&self) -> i64 {
        self.start + i64::try_from(self.entries.len()).unwrap_or(i64::MAX)
    }

    /// Where an offset is among the entries; the first one if it is deleted.
    fn at(&self, offset: i64) -> usize {
        usize::try_from(offset - self.start).unwrap_or(0)
    }

    fn last_stable(&self) -> i64 {
        self.open.values().copied().min().unwrap_or_else(|| self.end())
    }

    fn committed_from(&self, from: Offset) -> impl Iterator<Item = &Entry> {
        let (from, to) = (self.at(from.0), self.at(self.last_stable()));
        self.entries.get(from..to.max(from)).unwrap_or_default().iter().filter(|e| e.status == Status::Committed)
    }
}

#[derive(Debug, Default)]
struct Member {
    /// Distinguishes a restarted static member from its dead predecessor.
    incarnation: u64,
    assignment: Vec<TopicPartition>,
    /// Generation whose assignment was handed out.
    generation: u64,
    told_to_revoke: bool,
    released: bool,
}

#[derive(Debug, Default)]
struct Producer {
    epoch: u64,
    written: Vec<TopicPartition>,
}

struct Inner {
    partitions: Vec<u32>,
    sources: Vec<TopicIndex>,
    logs: BTreeMap<TopicPartition, Partitioned>,
    sequence: u64,
    positions: BTreeMap<TopicPartition, Committed>,
    members: BTreeMap<String, Member>,
    generation: u64,
    rebalancing: bool,
    incarnations: u64,
    producers: BTreeMap<String, Producer>,
    /// Markers are held back until [`SimCluster::deliver_marker`].
    holds_markers: bool,
    /// Transactions that are decided, and partitions that have not heard of it, in the order of decision.
    undelivered: Vec<(String, TopicPartition, Status)>,
}

/// The cluster: shared by all [`SimLog`]s of a test.
#[derive(Clone)]
pub struct SimCluster {
    inner: Arc<Mutex<Inner>>,
}

impl SimCluster {
    /// Topics of a topology: `partitions` each, unless a repartition topic fixes its own.
    #[must_use]
    pub fn new(topology: &Topology, partitions: u32) -> Self {
        let counts: Vec<u32> = topology
            .topics()
            .iter()
            .map(|t| match t.role {
                TopicRole::Repartition => t.partitions.unwrap_or(partitions),
                _ => partitions,
            })
            .collect();
        let sources = topology.subtopologies().iter().flat_map(|s| s.source_topics().collect::<Vec<_>>()).collect();
        let mut logs = BTreeMap::new();
        for (topic, count) in (0_u16..).map(TopicIndex).zip(&counts) {
            for partition in 0..*count {
                logs.insert(TopicPartition { topic, partition }, Partitioned::default());
            }
        }
        let inner = Inner {
            partitions: counts,
            sources,
            logs,
            sequence: 0,
            positions: BTreeMap::new(),
            members: BTreeMap::new(),
            generation: 0,
            rebalancing: false,
            incarnations: 0,
            producers: BTreeMap::new(),
            holds_markers: false,
            undelivered: Vec::new(),
        };
        SimCluster { inner: Arc::new(Mutex::new(inner)) }
    }

    /// The cluster as a changed topology finds it: a copy with the records and positions of the topics that both know, but
    /// without members.
    #[must_use]
    pub fn upgraded(&self, from: &Topology, to: &Topology, partitions: u32) -> SimCluster {
        let upgraded = SimCluster::new(to, partitions);
        let mut new = upgraded.lock();
        let old = self.lock();
        new.sequence = old.sequence;
        let moved = |at: &TopicPartition| Some(TopicPartition { topic: to.topic(from.topic_name(at.topic))?, ..*at });
        new.logs.extend(old.logs.iter().filter_map(|(at, log)| Some((moved(at)?, log.clone()))));
        new.positions.extend(old.positions.iter().filter_map(|(at, committed)| Some((moved(at)?, committed.clone()))));
        drop(new);
        upgraded
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Partition count of a topic.
    #[must_use]
    pub fn partitions(&self, topic: TopicIndex) -> u32 {
        self.lock().partitions.get(topic.0 as usize).copied().unwrap_or(1)
    }

    /// Appends a record outside any transaction, as a client would.
    pub fn produce(
        &self,
        at: TopicPartition,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        timestamp: Timestamp,
        headers: Headers,
    ) -> Offset {
        self.lock().append(at, Status::Committed, key, value, timestamp, headers)
    }

    /// Appends a record of a transaction that is aborted at once: what a producer leaves that lost its tasks and does not
    /// know it. Takes two offsets, and nobody who reads committed records sees it.
    pub fn write_aborted(&self, at: TopicPartition) {
        let mut inner = self.lock();
        inner.append(at, Status::Aborted, None, None, 0, Headers::default());
        inner.append(at, Status::Marker, None, None, 0, Headers::default());
    }

    /// Deletes what is before an offset and decided, as retention or a client's DeleteRecords does.
    pub fn delete_records(&self, of: TopicPartition, before: Offset) {
        if let Some(log) = self.lock().logs.get_mut(&of) {
            let deleted = log.at(before.0.min(log.last_stable()));
            log.entries.drain(..deleted);
            log.start += i64::try_from(deleted).unwrap_or(0);
        }
    }

    /// Committed records of a topic from a sequence number on, in the order they were written.
    #[must_use]
    pub fn read(&self, topic: TopicIndex, from_sequence: u64) -> Vec<SimRecord> {
        let inner = self.lock();
        let mut records: Vec<SimRecord> = inner
            .logs
            .iter()
            .filter(|(tp, _)| tp.topic == topic)
            .flat_map(|(tp, log)| log.committed_from(Offset::ZERO).map(|e| (tp.partition, e)))
            .filter(|(_, e)| e.sequence >= from_sequence)
            .map(|(partition, e)| SimRecord { sequence: e.sequence, partition, record: e.record.clone() })
            .collect();
        records.sort_by_key(|r| r.sequence);
        records
    }

    /// The sequence number the next record will get.
    #[must_use]
    pub fn sequence(&self) -> u64 {
        self.lock().sequence
    }

    /// The group's committed position of an input.
    #[must_use]
    pub fn committed(&self, input: TopicPartition) -> Option<Committed> {
        self.lock().positions.get(&input).cloned()
    }

    /// The group loses its committed positions (offsets retention, a deleted group).
    pub fn lose_positions(&self) {
        self.lock().positions.clear();
    }

    /// True when every member has the assignment of the current generation.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        let inner = self.lock();
        !inner.rebalancing && inner.members.values().all(|m| m.generation == inner.generation)
    }

    /// The broker aborts what a dead producer left open (its transaction timed out).
    pub fn expire_transaction(&self, transactional_id: &str) {
        let mut inner = self.lock();
        inner.end_transaction(transactional_id, Status::Aborted);
        if let Some(p) = inner.producers.get_mut(transactional_id) {
            p.epoch += 1;
        }
    }

    /// From now on, a decided transaction's markers reach its partitions one by one, by [`SimCluster::deliver_marker`]; or,
    /// again, at once. As in Kafka the group's positions come first, EndTxn answers before any marker is written, and the
    /// next transaction of the same id waits for all of them.
    pub fn hold_markers(&self, hold: bool) {
        let mut inner = self.lock();
        inner.holds_markers = hold;
        while !hold && inner.deliver(0) {}
    }

    /// Writes one marker that is held back, the `n`th; false when there is none.
    pub fn deliver_marker(&self, n: usize) -> bool {
        self.lock().deliver(n)
    }

    /// The group drops a member whose session timed out.
    pub fn expire_member(&self, instance: &str) {
        let mut inner = self.lock();
        if inner.members.remove(instance).is_some() {
            inner.start_rebalance();
        }
    }

    /// Connects a worker. A known instance id takes its old place (and fences whoever held it); a new one starts a
    /// rebalance.
    #[must_use]
    pub fn connect(&self, instance: &str) -> SimLog {
        let mut inner = self.lock();
        inner.incarnations += 1;
        let incarnation = inner.incarnations;
        let transactional_id = format!("sim-{instance}");
        let epoch = inner.init_producer(&transactional_id);
        let known = inner.members.contains_key(instance);
        let member = inner.members.entry(instance.to_owned()).or_default();
        member.incarnation = incarnation;
        member.generation = 0;
        member.told_to_revoke = false;
        member.released = true;
        if known {
            // The others may have been waiting for its predecessor to let go.
            inner.try_assign();
        } else {
            inner.start_rebalance();
        }
        let partitions = inner.partitions.clone();
        drop(inner);
        SimLog {
            cluster: self.clone(),
            instance: instance.to_owned(),
            incarnation,
            transactional_id,
            epoch,
            generation_at_begin: None,
            partitions,
            flowing: BTreeMap::new(),
            hook: None,
        }
    }
}

impl Inner {
    fn append(
        &mut self,
        at: TopicPartition,
        status: Status,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        timestamp: Timestamp,
        headers: Headers,
    ) -> Offset {
        let sequence = self.sequence;
        self.sequence += 1;
        let log = self.logs.entry(at).or_default();
        let offset = Offset(log.end());
        log.entries.push(Entry {
            sequence,
            status,
            record: Incoming::new(offset, timestamp, key, value, Some(headers)),
        });
        offset
    }

    fn init_producer(&mut self, id: &str) -> u64 {
        self.end_transaction(id, Status::Aborted);
        let producer = self.producers.entry(id.to_owned()).or_default();
        producer.epoch += 1;
        producer.epoch
    }

    fn end_transaction(&mut self, id: &str, status: Status) {
        self.deliver_all_of(id);
        let written = self.producers.get_mut(id).map(|p| std::mem::take(&mut p.written)).unwrap_or_default();
        self.undelivered.extend(written.into_iter().map(|tp| (id.to_owned(), tp, status)));
        if !self.holds_markers {
            self.deliver_all_of(id);
        }
    }

    fn deliver_all_of(&mut self, id: &str) {
        while let Some(n) = self.undelivered.iter().position(|(of, _, _)| of == id) {
            self.deliver(n);
        }
    }

    /// Writes a marker of those decided; false when there are not so many.
    fn deliver(&mut self, n: usize) -> bool {
        if n >= self.undelivered.len() {
            return false;
        }
        let (id, tp, status) = self.undelivered.remove(n);
        let Some(log) = self.logs.get_mut(&tp) else { return true };
        let Some(first) = log.open.remove(&id) else { return true };
        let first = log.at(first);
        for entry in log.entries.iter_mut().skip(first).filter(|e| e.status == Status::Open) {
            // One partition may hold several open transactions; an entry names its own by key of its open set.
            if entry.record.headers().last(OWNER) == Some(Some(id.as_bytes())) {
                entry.status = status;
            }
        }
        self.append(tp, Status::Marker, None, None, 0, Headers::default());
        true
    }

    fn start_rebalance(&mut self) {
        self.rebalancing = true;
        for member in self.members.values_mut() {
            member.told_to_revoke = false;
            member.released = member.assignment.is_empty() || member.generation == 0;
        }
        self.try_assign();
    }

    /// Once every member has let go, the range assignor gives each a run of every topic's partitions.
    fn try_assign(&mut self) {
        if !self.rebalancing || self.members.values().any(|m| !m.released) {
            return;
        }
        self.rebalancing = false;
        self.generation += 1;
        let count = u32::try_from(self.members.len()).unwrap_or(1).max(1);
        for (i, member) in (0_u32..).zip(self.members.values_mut()) {
            member.assignment.clear();
            for topic in &self.sources {
                let partitions = self.partitions.get(topic.0 as usize).copied().unwrap_or(0);
                let (each, extra) = (partitions / count, partitions % count);
                let start = i * each + i.min(extra);
                let end = start + each + u32::from(i < extra);
                member.assignment.extend((start..end).map(|partition| TopicPartition { topic: *topic, partition }));
            }
            member.generation = 0;
            member.told_to_revoke = false;
        }
    }
}

/// Header that marks which transaction an open entry belongs to; never seen outside.
const OWNER: &str = "sim.transactional-id";

/// One worker's connection.
pub struct SimLog {
    cluster: SimCluster,
    instance: String,
    incarnation: u64,
    transactional_id: String,
    epoch: u64,
    /// `Some` inside a transaction: the group's generation when it began.
    generation_at_begin: Option<u64>,
    partitions: Vec<u32>,
    /// Assigned inputs: next offset to fetch, and whether it flows.
    flowing: BTreeMap<TopicPartition, (Offset, bool)>,
    hook: Option<Hook>,
}

impl SimLog {
    /// Installs a fault hook, asked at every call of the port.
    pub fn on_call(&mut self, hook: impl FnMut(Call) -> Fault + Send + 'static) {
        self.hook = Some(Box::new(hook));
    }

    fn fault(&mut self, call: Call) -> Result<Option<Error>, Error> {
        match self.hook.as_mut().map_or(Fault::None, |hook| hook(call)) {
            Fault::None => Ok(None),
            Fault::Before(e) => Err(e),
            Fault::After(e) => Ok(Some(e)),
        }
    }

    fn check_epoch(&self, inner: &Inner) -> Result<(), Error> {
        match inner.producers.get(&self.transactional_id) {
            Some(p) if p.epoch == self.epoch => Ok(()),
            _ => Err(Error::Fenced(format!("a newer producer has '{}'", self.transactional_id))),
        }
    }

    fn is_member(&self, inner: &Inner) -> bool {
        inner.members.get(&self.instance).is_some_and(|m| m.incarnation == self.incarnation)
    }

    fn poll_group(&mut self, inner: &mut Inner, polled: &mut Polled) {
        if !self.is_member(inner) {
            if !self.flowing.is_empty() {
                polled.rebalance.push(Rebalance::Lost);
            }
            return;
        }
        let (generation, rebalancing) = (inner.generation, inner.rebalancing);
        let Some(member) = inner.members.get_mut(&self.instance) else {
            return;
        };
        if rebalancing {
            if !member.released && !member.told_to_revoke {
                member.told_to_revoke = true;
                polled.rebalance.push(Rebalance::Revoked);
            }
        } else if member.generation != generation {
            member.generation = generation;
            member.released = false;
            let partitions = member.assignment.clone();
            self.flowing = partitions.iter().map(|tp| (*tp, (Offset::ZERO, false))).collect();
            polled.rebalance.push(Rebalance::Assigned(partitions));
        }
    }
}

impl Log for SimLog {
    fn state_writes(&self) -> StateWrites {
        StateWrites::AfterCommit
    }

    fn partitions(&self) -> &[u32] {
        &self.partitions
    }

    fn poll(&mut self, _timeout: Duration, polled: &mut Polled) -> Result<(), Error> {
        let cluster = self.cluster.clone();
        let mut inner = cluster.lock();
        self.poll_group(&mut inner, polled);
        for (tp, (next, flows)) in &mut self.flowing {
            if !*flows {
                continue;
            }
            let Some(log) = inner.logs.get(tp) else {
                continue;
            };
            let entries: Vec<&Entry> = log.committed_from(*next).take(POLL_RECORDS_MAX).collect();
            for entry in &entries {
                polled.records.push((*tp, entry.record.clone()));
                *next = entry.record.offset.next();
            }
            polled.more |= entries.len() == POLL_RECORDS_MAX;
            if entries.len() < POLL_RECORDS_MAX {
                *next = (*next).max(Offset(log.last_stable()));
                // As Kafka, which tells an end only to those who have arrived at it.
                if next.0 == log.last_stable() {
                    polled.caught_up.push((*tp, *next));
                }
            }
        }
        Ok(())
    }

    fn begin(&mut self) -> Result<(), Error> {
        self.fault(Call::Begin)?;
        let cluster = self.cluster.clone();
        let inner = cluster.lock();
        self.check_epoch(&inner)?;
        if !self.is_member(&inner) {
            return Err(Error::Fenced("not a member of the group".into()));
        }
        self.generation_at_begin = Some(inner.generation);
        Ok(())
    }

    fn send(&mut self, record: Outgoing<'_>) -> Result<(), Error> {
        let after = self.fault(Call::Send)?;
        let cluster = self.cluster.clone();
        let mut inner = cluster.lock();
        self.check_epoch(&inner)?;
        inner.deliver_all_of(&self.transactional_id);
        let count = inner.partitions.get(record.topic.0 as usize).copied().unwrap_or(1);
        let spread = u32::try_from(inner.sequence % u64::from(count.max(1))).unwrap_or(0);
        let at = TopicPartition { topic: record.topic, partition: record.partition.unwrap_or(spread) };
        let mut headers = record.headers.clone();
        headers.add(OWNER, Some(self.transactional_id.as_bytes()));
        let offset = inner.append(at, Status::Open, record.key, record.value, record.timestamp, headers);
        let id = self.transactional_id.clone();
        if let Some(log) = inner.logs.get_mut(&at) {
            log.open.entry(id.clone()).or_insert(offset.0);
        }
        if let Some(p) = inner.producers.get_mut(&id)
            && !p.written.contains(&at)
        {
            p.written.push(at);
        }
        after.map_or(Ok(()), Err)
    }

    fn commit(&mut self, commit: Commit<'_>) -> Result<CommitAck, Error> {
        let after = self.fault(Call::Commit)?;
        let cluster = self.cluster.clone();
        let mut inner = cluster.lock();
        self.check_epoch(&inner)?;
        let Some(generation) = self.generation_at_begin.take() else {
            return Err(Error::Unknown("no transaction".into()));
        };
        if !commit.positions.is_empty() && (generation != inner.generation || !self.is_member(&inner)) {
            self.generation_at_begin = Some(generation);
            return Err(Error::Abort("illegal generation".into()));
        }
        let id = self.transactional_id.clone();
        let written = inner.producers.get(&id).map(|p| p.written.clone()).unwrap_or_default();
        let mut ack = CommitAck::default();
        for tp in written {
            let Some(log) = inner.logs.get(&tp) else { continue };
            let ours =
                |e: &&Entry| e.status == Status::Open && e.record.headers().last(OWNER) == Some(Some(id.as_bytes()));
            let offsets: Vec<Offset> = log.entries.iter().filter(ours).map(|e| e.record.offset).collect();
            if let Some(placement) = commit.placements.iter().find(|p| p.partition == tp)
                && !offsets.iter().map(|o| o.0).eq(placement.first.0..placement.next.0)
            {
                self.generation_at_begin = Some(generation);
                return Err(Error::Displaced(format!("{placement:?}, but offsets are {offsets:?}")));
            }
            if let Some(last) = offsets.last() {
                ack.written.push((tp, last.next()));
            }
        }
        inner.end_transaction(&id, Status::Committed);
        for CommitPosition { input, offset, metadata } in commit.positions {
            inner.positions.insert(*input, Committed { offset: *offset, metadata: metadata.clone() });
        }
        after.map_or(Ok(ack), Err)
    }

    fn abort(&mut self) -> Result<(), Error> {
        let after = self.fault(Call::Abort)?;
        let cluster = self.cluster.clone();
        let mut inner = cluster.lock();
        self.check_epoch(&inner)?;
        self.generation_at_begin = None;
        let id = self.transactional_id.clone();
        inner.end_transaction(&id, Status::Aborted);
        after.map_or(Ok(()), Err)
    }

    fn reset(&mut self) -> Result<(), Error> {
        self.fault(Call::Reset)?;
        self.generation_at_begin = None;
        let id = self.transactional_id.clone();
        self.epoch = self.cluster.lock().init_producer(&id);
        Ok(())
    }

    fn committed(&mut self, inputs: &[TopicPartition]) -> Result<Vec<Option<Committed>>, Error> {
        self.fault(Call::Committed)?;
        let inner = self.cluster.lock();
        Ok(inputs.iter().map(|tp| inner.positions.get(tp).cloned()).collect())
    }

    fn ranges(&mut self, partitions: &[TopicPartition]) -> Result<Vec<LogRange>, Error> {
        let inner = self.cluster.lock();
        let range = |partition: &TopicPartition| {
            let (start, end) = inner.logs.get(partition).map_or((0, 0), |log| (log.start, log.end()));
            let mut topic_id = [0_u8; 16];
            let [a, b, ..] = &mut topic_id;
            [*a, *b] = partition.topic.0.to_be_bytes();
            LogRange { topic_id, start: Offset(start), end: Offset(end) }
        };
        Ok(partitions.iter().map(range).collect())
    }

    fn writes_markers(&self) -> bool {
        true
    }

    fn replay(
        &mut self,
        changelog: TopicPartition,
        from: Offset,
        _to: Offset,
        records_max: usize,
        records: &mut Vec<Incoming>,
    ) -> Result<Replayed, Error> {
        self.fault(Call::Replay)?;
        let inner = self.cluster.lock();
        let Some(log) = inner.logs.get(&changelog) else {
            return Ok(Replayed { next: from, blocked: false });
        };
        let before = records.len();
        records.extend(log.committed_from(from).take(records_max).map(|e| e.record.clone()));
        let full = records.len() - before == records_max;
        let next = match records.last().filter(|_| full) {
            Some(last) => last.offset.next(),
            None => Offset(log.last_stable().max(from.0)),
        };
        Ok(Replayed { next, blocked: !full && log.last_stable() < log.end() })
    }

    fn seek_and_resume(&mut self, input: TopicPartition, offset: Offset) -> Result<(), Error> {
        self.flowing.insert(input, (offset, true));
        Ok(())
    }

    fn pause(&mut self, input: TopicPartition) -> Result<(), Error> {
        if let Some((_, flows)) = self.flowing.get_mut(&input) {
            *flows = false;
        }
        Ok(())
    }

    fn resume(&mut self, input: TopicPartition) -> Result<(), Error> {
        if let Some((_, flows)) = self.flowing.get_mut(&input) {
            *flows = true;
        }
        Ok(())
    }

    fn park(&mut self, input: TopicPartition) -> Result<(), Error> {
        self.pause(input)
    }

    fn unassign(&mut self) -> Result<(), Error> {
        self.flowing.clear();
        let cluster = self.cluster.clone();
        let mut inner = cluster.lock();
        if self.is_member(&inner) {
            if let Some(member) = inner.members.get_mut(&self.instance) {
                member.released = true;
            }
            inner.try_assign();
        }
        Ok(())
    }

    fn close(&mut self) {
        let mut inner = self.cluster.lock();
        let id = self.transactional_id.clone();
        if inner.producers.get(&id).is_some_and(|p| p.epoch == self.epoch) {
            inner.end_transaction(&id, Status::Aborted);
        }
    }
}
