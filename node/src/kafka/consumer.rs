//! A worker's member of the consumer group.
//!
//! librdkafka stops a rebalance until the application assigns or unassigns; its callback only queues the event here, and
//! the worker's loop acts: an assignment is applied, paused, when it is handed out; a revocation is acknowledged by
//! [`GroupConsumer::unassign`], after the worker's last commit.
//!
//! Each partition has a queue of its own, read in batches. Pausing one is not reading its queue: librdkafka's own pause
//! throws away what it has fetched and would go on, after an end-of-partition, one record too late (librdkafka #4844).

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::client::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext, RebalanceProtocol};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message as _;
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{Offset as NativeOffset, TopicPartitionList};
use rustc_hash::FxHashMap;
use streams::log::{Committed, Error, Polled, Rebalance};
use streams::{Offset, TopicPartition};

use super::Topics;
use super::native::{self, Fetched, GroupMetadata, PartitionQueue, Scratch, Wakeup};

/// Records taken from one partition's queue per poll.
const BATCH_RECORDS_MAX: usize = 500;
/// Events of the main queue served per poll.
const EVENTS_PER_POLL_MAX: usize = 64;
/// The main queue is looked at this often while waiting, should a wake-up ever be missing.
const MAIN_QUEUE_INTERVAL: Duration = Duration::from_millis(100);
/// How long an assigned partition may take until it can be sought.
const SEEK_TIMEOUT: Duration = Duration::from_secs(3);
/// Pause between two tries to seek.
const SEEK_RETRY: Duration = Duration::from_millis(2);

/// Why a worker ends when a second process bears its name: going on would only throw the other one out in turn.
pub(super) const SAME_INSTANCE: &str = "another process has joined the group with our instance id: every instance \
                                        needs a name of its own (node.instance_id)";

/// What the group did.
enum Event {
    Assign(Vec<(String, i32)>),
    Revoke(Vec<(String, i32)>),
    Lost(Vec<(String, i32)>),
}

/// A change of the assignment that waits until the worker has let go of the present one (incremental protocols only).
enum Change {
    Add(Vec<TopicPartition>),
    Remove(Vec<TopicPartition>),
}

/// Receives librdkafka's callbacks, on the thread that polls.
pub(super) struct MemberContext {
    name: String,
    events: Mutex<VecDeque<Event>>,
    /// The last change took partitions away.
    has_revoked: AtomicBool,
    /// Set by every line of log that is served; an answer without a record says nothing of whether more waits.
    has_logged: AtomicBool,
    closing: AtomicBool,
}

impl MemberContext {
    pub(super) fn new(name: &str) -> Self {
        MemberContext {
            name: name.to_owned(),
            events: Mutex::default(),
            has_revoked: AtomicBool::new(false),
            has_logged: AtomicBool::new(false),
            closing: AtomicBool::new(false),
        }
    }

    fn next(&self) -> Option<Event> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }
}

/// One line of librdkafka's log as one of ours. What it calls an error is one of many tries; what came of them the worker
/// says itself.
pub(super) fn log_line(client: &str, level: RDKafkaLogLevel, facility: &str, line: &str) {
    match level {
        RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical => {
            tracing::warn!(client, facility, "{line}");
        }
        RDKafkaLogLevel::Error => tracing::info!(client, facility, "{line}"),
        _ => tracing::debug!(client, facility, "{line}"),
    }
}

impl ClientContext for MemberContext {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        self.has_logged.store(true, Ordering::Relaxed);
        log_line(&self.name, level, facility, line);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(client = self.name, %error, reason, "kafka client");
    }
}

impl ConsumerContext for MemberContext {
    fn rebalance(&self, consumer: &BaseConsumer<Self>, err: RDKafkaRespErr, partitions: &mut TopicPartitionList) {
        let names = || partitions.elements().iter().map(|e| (e.topic().to_owned(), e.partition())).collect();
        if self.closing.load(Ordering::SeqCst) {
            // Nobody polls any more; closing waits for this answer.
            let released =
                if is_incremental(consumer) { consumer.incremental_unassign(partitions) } else { consumer.unassign() };
            if let Err(e) = released {
                tracing::debug!(client = self.name, error = %e, "unassign while closing");
            }
            return;
        }
        let event = match err {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => Event::Assign(names()),
            _ if consumer.assignment_lost() => Event::Lost(names()),
            _ => Event::Revoke(names()),
        };
        self.has_revoked.store(!matches!(event, Event::Assign(_)), Ordering::Relaxed);
        self.events.lock().unwrap_or_else(PoisonError::into_inner).push_back(event);
    }
}

/// An assigned partition.
struct Input {
    partition: TopicPartition,
    queue: Arc<PartitionQueue<MemberContext>>,
    /// The least offset that may be delivered next.
    next: Offset,
    /// Whether its queue is read.
    flows: bool,
    /// Whether librdkafka fetches it, from the first seek on.
    fetching: bool,
}

/// See the module.
pub(super) struct GroupConsumer {
    inputs: Vec<Input>,
    /// Those whose fetching began since the last poll.
    resumed: Vec<TopicPartition>,
    /// Between handing out a revocation and its acknowledgement nothing is read.
    revoking: bool,
    /// Under an incremental protocol: what happens once the worker has let go.
    change: Option<Change>,
    /// It cannot go on, or librdkafka and we disagree about what is assigned: only a new consumer settles it.
    broken: bool,
    /// An assignment that the worker is to be told at the next poll.
    announce: bool,
    // Kept for the consumer's life (see `PartitionQueue`).
    queues: FxHashMap<TopicPartition, Arc<PartitionQueue<MemberContext>>>,
    consumer: Arc<BaseConsumer<MemberContext>>,
    wakeup: Arc<Wakeup>,
    scratch: Scratch,
    topics: Arc<Topics>,
}

impl GroupConsumer {
    /// Connects to the group's coordinator, and no more: [`GroupConsumer::join`] is next.
    pub(super) fn connect(config: &ClientConfig, name: &str, topics: Arc<Topics>) -> Result<Self, Error> {
        let mut consumer: BaseConsumer<MemberContext> = config
            .create_with_context(MemberContext::new(name))
            .map_err(|e| Error::Fatal(format!("the consumer cannot be made: {e}")))?;
        let wakeup = Arc::new(Wakeup::default());
        let wake = wakeup.clone();
        consumer.set_nonempty_callback(move || wake.wake());
        Ok(GroupConsumer {
            inputs: Vec::new(),
            resumed: Vec::new(),
            revoking: false,
            change: None,
            broken: false,
            announce: false,
            queues: FxHashMap::default(),
            consumer: Arc::new(consumer),
            wakeup,
            scratch: Scratch::default(),
            topics,
        })
    }

    /// Joins the group for these topics (names in the cluster).
    pub(super) fn join(&self, subscription: &[&str]) -> Result<(), Error> {
        self.consumer.subscribe(subscription).map_err(|e| Error::Fatal(format!("cannot subscribe: {e}")))
    }

    /// librdkafka's thread of a broker sleeps up to a second when it has no partition to fetch, and resuming one does not wake
    /// it: a request to the broker does, one for all that were resumed.
    fn wake_fetchers(&mut self) {
        if self.resumed.is_empty() {
            return;
        }
        let partitions: Vec<(&str, i32)> =
            self.resumed.iter().map(|tp| (self.topics.name(tp.topic), native_partition(*tp))).collect();
        native::wake_leaders(self.consumer.client(), &partitions);
        self.resumed.clear();
    }

    /// As [`streams::log::Log::poll`].
    pub(super) fn poll(&mut self, timeout: Duration, polled: &mut Polled) -> Result<(), Error> {
        self.wake_fetchers();
        let deadline = Instant::now() + timeout;
        loop {
            self.wakeup.clear();
            if std::mem::take(&mut self.announce) {
                polled.rebalance.push(Rebalance::Assigned(self.assignment()));
            }
            let more = self.serve_events(polled)?;
            self.drain(polled)?;
            let any =
                more || !polled.records.is_empty() || !polled.caught_up.is_empty() || !polled.rebalance.is_empty();
            let now = Instant::now();
            if any || now >= deadline {
                return Ok(());
            }
            self.wakeup.wait_until(deadline.min(now + MAIN_QUEUE_INTERVAL));
        }
    }

    /// Serves the consumer's main queue: rebalances, errors, logs. True when more may wait there.
    fn serve_events(&mut self, polled: &mut Polled) -> Result<bool, Error> {
        let mut quiet = 0;
        for _ in 0..EVENTS_PER_POLL_MAX {
            match self.consumer.poll(Duration::ZERO) {
                // Also the answer after a log line or a rebalance was served: the queue is empty after two in a row.
                None => quiet += 1,
                Some(Err(KafkaError::MessageConsumptionFatal(RDKafkaErrorCode::FencedInstanceId))) => {
                    return Err(self.fenced());
                }
                Some(Err(e)) => client_error(&e)?,
                Some(Ok(message)) => {
                    // All assigned partitions have their own queues, split before they were assigned.
                    tracing::error!(
                        topic = message.topic(),
                        partition = message.partition(),
                        offset = message.offset(),
                        "a record arrived on the main queue; the position is read again"
                    );
                    return Err(Error::Unknown("a record arrived outside its partition's queue".to_owned()));
                }
            }
            while let Some(event) = self.consumer.context().next() {
                quiet = 0;
                let applied = self.apply(event, polled);
                self.broken |= applied.is_err();
                applied?;
            }
            if self.consumer.context().has_logged.swap(false, Ordering::Relaxed) {
                quiet = 0;
            }
            if quiet == 2 {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// What a fence means to the worker. This consumer is of no more use in any case.
    fn fenced(&mut self) -> Error {
        let revoked = self.consumer.context().has_revoked.load(Ordering::Relaxed);
        if GroupMetadata::fenced_by_another(self.consumer.client(), revoked) {
            return Error::Fatal(SAME_INSTANCE.to_owned());
        }
        self.broken = true;
        Error::Unknown("the session ran out before the coordinator answered again".to_owned())
    }

    fn apply(&mut self, event: Event, polled: &mut Polled) -> Result<(), Error> {
        let incremental = is_incremental(&self.consumer);
        match event {
            Event::Assign(partitions) => {
                let partitions = self.known(&partitions)?;
                if incremental && partitions.is_empty() && !self.inputs.is_empty() {
                    return self.acknowledge_nothing();
                }
                // The port deals in whole assignments: an addition to what the worker has begins with letting go of it.
                if incremental && !self.inputs.is_empty() {
                    self.change = Some(Change::Add(partitions));
                    return self.release(Rebalance::Revoked, polled);
                }
                self.assign(&partitions, incremental)?;
                polled.rebalance.push(Rebalance::Assigned(self.assignment()));
                Ok(())
            }
            Event::Revoke(partitions) => {
                self.change = if incremental { Some(Change::Remove(self.known(&partitions)?)) } else { None };
                self.release(Rebalance::Revoked, polled)
            }
            Event::Lost(partitions) => {
                self.change = if incremental { Some(Change::Remove(self.known(&partitions)?)) } else { None };
                self.release(Rebalance::Lost, polled)
            }
        }
    }

    /// A change of nothing, as the consumer protocol sends after every revocation. librdkafka has paused all partitions
    /// for it and goes on where it believes we are, which after an end of partition is one record too far (#4844): each
    /// is sought again.
    fn acknowledge_nothing(&mut self) -> Result<(), Error> {
        let nothing = TopicPartitionList::new();
        self.consumer.incremental_assign(&nothing).map_err(|e| Error::Unknown(format!("assign: {e}")))?;
        for input in self.inputs.iter().filter(|i| i.fetching) {
            let mut list = TopicPartitionList::with_capacity(1);
            let (name, partition) = (self.topics.name(input.partition.topic), native_partition(input.partition));
            list.add_partition_offset(name, partition, NativeOffset::Offset(input.next.0))
                .map_err(|e| Error::Unknown(e.to_string()))?;
            seek(&self.consumer, &list)?;
        }
        Ok(())
    }

    fn release(&mut self, how: Rebalance, polled: &mut Polled) -> Result<(), Error> {
        self.revoking = true;
        polled.rebalance.push(how);
        Ok(())
    }

    fn known(&self, partitions: &[(String, i32)]) -> Result<Vec<TopicPartition>, Error> {
        let known = |(name, partition): &(String, i32)| {
            self.topics.partition(name, *partition).ok_or_else(|| {
                Error::Fatal(format!("the group assigned {name}-{partition}, which nobody here asked for"))
            })
        };
        partitions.iter().map(known).collect()
    }

    fn assignment(&self) -> Vec<TopicPartition> {
        self.inputs.iter().map(|i| i.partition).collect()
    }

    fn list(&self, partitions: &[TopicPartition]) -> Result<TopicPartitionList, Error> {
        let mut list = TopicPartitionList::with_capacity(partitions.len());
        for tp in partitions {
            // The offset does not matter: nothing is fetched before the partition is sought.
            list.add_partition_offset(self.topics.name(tp.topic), native_partition(*tp), NativeOffset::Offset(0))
                .map_err(|e| Error::Unknown(e.to_string()))?;
        }
        Ok(list)
    }

    /// Takes partitions (all there are, or `incremental`ly more), paused: positions follow by
    /// [`GroupConsumer::seek_and_resume`].
    fn assign(&mut self, partitions: &[TopicPartition], incremental: bool) -> Result<(), Error> {
        if !incremental {
            self.inputs.clear();
        }
        for partition in partitions {
            let queue = self.queue(*partition)?;
            let next = Offset::ZERO;
            self.inputs.push(Input { partition: *partition, queue, next, flows: false, fetching: false });
        }
        let list = self.list(partitions)?;
        let assigned = if incremental { self.consumer.incremental_assign(&list) } else { self.consumer.assign(&list) };
        assigned.map_err(|e| Error::Unknown(format!("assign: {e}")))?;
        self.consumer.pause(&list).map_err(|e| Error::Unknown(format!("pause: {e}")))?;
        self.revoking = false;
        Ok(())
    }

    fn queue(&mut self, partition: TopicPartition) -> Result<Arc<PartitionQueue<MemberContext>>, Error> {
        if let Some(queue) = self.queues.get(&partition) {
            return Ok(queue.clone());
        }
        let name = self.topics.name(partition.topic);
        let queue = PartitionQueue::split(&self.consumer, name, partition.partition, Some(&self.wakeup))
            .map(Arc::new)
            .ok_or_else(|| Error::Fatal(format!("{name}-{} cannot be read", partition.partition)))?;
        self.queues.insert(partition, queue.clone());
        Ok(queue)
    }

    fn drain(&mut self, polled: &mut Polled) -> Result<(), Error> {
        if self.revoking {
            return Ok(());
        }
        let mut failed = None;
        for input in self.inputs.iter_mut().filter(|i| i.flows) {
            let (queue, next, tp) = (&input.queue, &mut input.next, input.partition);
            let taken = queue.drain(&mut self.scratch, BATCH_RECORDS_MAX, |fetched| match fetched {
                Fetched::Record(record) if record.offset >= *next => {
                    *next = record.offset.next();
                    polled.records.push((tp, record));
                }
                Fetched::Record(_) => (),
                Fetched::End(offset) => {
                    *next = offset.max(*next);
                    polled.caught_up.push((tp, *next));
                }
                Fetched::Failed(code, text) => failed = Some((tp, code, text)),
            });
            polled.more |= taken == BATCH_RECORDS_MAX;
        }
        match failed {
            None => Ok(()),
            Some((tp, code, text)) => self.partition_error(tp, code, &text),
        }
    }

    fn partition_error(&self, tp: TopicPartition, code: RDKafkaErrorCode, text: &str) -> Result<(), Error> {
        let topic = self.topics.name(tp.topic);
        match code {
            // The position is not in the log any more: takeover finds out what that means.
            RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange => {
                Err(Error::Unknown(format!("{topic}-{}: {text}", tp.partition)))
            }
            RDKafkaErrorCode::TopicAuthorizationFailed => {
                Err(Error::Fatal(format!("{topic}: {text}; grant READ on it")))
            }
            _ => {
                tracing::debug!(topic, partition = tp.partition, ?code, text, "fetch failed; it is repeated");
                Ok(())
            }
        }
    }

    fn input(&mut self, tp: TopicPartition) -> Result<&mut Input, Error> {
        let found = self.inputs.iter_mut().find(|i| i.partition == tp);
        // The worker believes in an assignment that this consumer does not have.
        self.broken |= found.is_none();
        found.ok_or_else(|| Error::Unknown(format!("partition {tp:?} is not assigned")))
    }

    /// As [`streams::log::Log::seek_and_resume`].
    pub(super) fn seek_and_resume(&mut self, tp: TopicPartition, offset: Offset) -> Result<(), Error> {
        let consumer = self.consumer.clone();
        let mut list = TopicPartitionList::with_capacity(1);
        let name = self.topics.name(tp.topic);
        list.add_partition_offset(name, native_partition(tp), NativeOffset::Offset(offset.0))
            .map_err(|e| Error::Unknown(e.to_string()))?;
        let sought = seek(&consumer, &list);
        self.broken |= sought.is_err();
        sought?;
        let input = self.input(tp)?;
        // What was fetched before the seek is out of date for librdkafka: the queue never delivers it.
        input.next = offset;
        input.flows = true;
        if !std::mem::replace(&mut input.fetching, true) {
            consumer.resume(&list).map_err(|e| Error::Unknown(format!("resume: {e}")))?;
            if !self.resumed.contains(&tp) {
                self.resumed.push(tp);
            }
        }
        Ok(())
    }

    /// As [`streams::log::Log::pause`] and [`streams::log::Log::resume`].
    pub(super) fn set_flow(&mut self, tp: TopicPartition, flows: bool) -> Result<(), Error> {
        self.input(tp)?.flows = flows;
        Ok(())
    }

    /// As [`streams::log::Log::park`].
    pub(super) fn park(&mut self, tp: TopicPartition) -> Result<(), Error> {
        let input = self.input(tp)?;
        input.flows = false;
        if std::mem::replace(&mut input.fetching, false) {
            let list = self.list(&[tp])?;
            self.consumer.pause(&list).map_err(|e| Error::Unknown(format!("pause: {e}")))?;
        }
        Ok(())
    }

    /// As [`streams::log::Log::unassign`]. Under an incremental protocol the change that made the worker let go is made
    /// now, and what it has from here on is told by the next poll.
    pub(super) fn unassign(&mut self) -> Result<(), Error> {
        let done = self.let_go();
        self.broken |= done.is_err();
        done
    }

    fn let_go(&mut self) -> Result<(), Error> {
        self.revoking = false;
        let Some(change) = self.change.take() else {
            self.inputs.clear();
            if is_incremental(&self.consumer) {
                return Ok(());
            }
            return self.consumer.unassign().map_err(|e| Error::Unknown(format!("unassign: {e}")));
        };
        for input in &mut self.inputs {
            input.flows = false;
        }
        match change {
            Change::Add(partitions) => self.assign(&partitions, true)?,
            Change::Remove(partitions) => {
                self.inputs.retain(|i| !partitions.contains(&i.partition));
                let list = self.list(&partitions)?;
                self.consumer.incremental_unassign(&list).map_err(|e| Error::Unknown(format!("unassign: {e}")))?;
            }
        }
        self.announce = !self.inputs.is_empty();
        Ok(())
    }

    /// True when this consumer is to be replaced.
    pub(super) fn is_broken(&self) -> bool {
        self.broken
    }

    /// True when at least one partition's records are waited for.
    pub(super) fn expects_records(&self) -> bool {
        !self.revoking && self.inputs.iter().any(|i| i.flows)
    }

    /// Asks the log whether committed records wait that were not delivered. False when it does not answer: an outage is
    /// no stall.
    pub(super) fn is_behind(&self, timeout: Duration) -> bool {
        for input in self.inputs.iter().filter(|i| i.flows) {
            let (name, partition) = (self.topics.name(input.partition.topic), native_partition(input.partition));
            match self.consumer.fetch_watermarks(name, partition, timeout) {
                Ok((_, end)) if input.next.0 < end => return true,
                Ok(_) => (),
                Err(_) => return false,
            }
        }
        false
    }

    /// Committed positions, once no transaction can change them any more (librdkafka asks with `require_stable` when it
    /// reads committed records only); `None` if that was not to be had within `timeout`.
    pub(super) fn committed(
        &self,
        inputs: &[TopicPartition],
        timeout: Duration,
    ) -> Result<Option<Vec<Option<Committed>>>, Error> {
        let mut list = TopicPartitionList::with_capacity(inputs.len());
        for tp in inputs {
            list.add_partition(self.topics.name(tp.topic), native_partition(*tp));
        }
        let list = match self.consumer.committed_offsets(list, timeout) {
            Ok(list) => list,
            Err(KafkaError::MetadataFetch(RDKafkaErrorCode::GroupAuthorizationFailed)) => {
                return Err(Error::Fatal(
                    "reading the group's positions is not authorized; grant READ on it".to_owned(),
                ));
            }
            Err(e) => {
                tracing::debug!(error = %e, "committed positions are not to be had yet");
                return Ok(None);
            }
        };
        let mut committed = Vec::with_capacity(inputs.len());
        for tp in inputs {
            let Some(element) = list.find_partition(self.topics.name(tp.topic), native_partition(*tp)) else {
                return Ok(None);
            };
            if element.error().is_err() {
                return Ok(None);
            }
            committed.push(match element.offset() {
                NativeOffset::Offset(offset) => {
                    Some(Committed { offset: Offset(offset), metadata: element.metadata().to_owned() })
                }
                _ => None,
            });
        }
        Ok(Some(committed))
    }

    /// The membership as of now; an error outside the group.
    pub(super) fn membership(&self) -> Result<GroupMetadata, Error> {
        match GroupMetadata::of(self.consumer.client()) {
            Some(group) if group.generation() >= 0 && group.has_member_id() => Ok(group),
            _ => Err(Error::Abort("not a member of the group at the moment".to_owned())),
        }
    }
}

impl Drop for GroupConsumer {
    fn drop(&mut self) {
        self.consumer.context().closing.store(true, Ordering::SeqCst);
        // A rebalance event that was handed out or still waits here will get no other answer.
        let released = if is_incremental(&self.consumer) {
            self.list(&self.assignment()).map(|list| self.consumer.incremental_unassign(&list).is_ok())
        } else {
            Ok(self.consumer.unassign().is_ok())
        };
        if !matches!(released, Ok(true)) {
            tracing::debug!("partitions were not given up in order while closing");
        }
    }
}

/// The protocol tells changes, not whole assignments.
fn is_incremental<C: ConsumerContext>(consumer: &BaseConsumer<C>) -> bool {
    matches!(consumer.rebalance_protocol(), RebalanceProtocol::Cooperative)
}

pub(super) fn native_partition(tp: TopicPartition) -> i32 {
    i32::try_from(tp.partition).unwrap_or(i32::MAX)
}

/// Seeks assigned partitions, waiting until they are ready to be sought.
pub(super) fn seek<C: ConsumerContext>(consumer: &BaseConsumer<C>, list: &TopicPartitionList) -> Result<(), Error> {
    let deadline = Instant::now() + SEEK_TIMEOUT;
    loop {
        let sought = consumer
            .seek_partitions(list.clone(), SEEK_TIMEOUT)
            .and_then(|list| list.elements().iter().try_for_each(|e| e.error()));
        match sought {
            Ok(()) => return Ok(()),
            // The assignment was taken but has not reached the partition yet (Local: Erroneous state).
            Err(e) if Instant::now() >= deadline => return Err(Error::Unknown(format!("seek: {e}"))),
            Err(_) => std::thread::sleep(SEEK_RETRY),
        }
    }
}

/// Sorts the errors of a client as a whole: nearly all of them pass.
fn client_error(e: &KafkaError) -> Result<(), Error> {
    use RDKafkaErrorCode as Code;
    match e {
        KafkaError::MessageConsumptionFatal(code) => Err(Error::Fatal(format!("the consumer ended: {code}"))),
        KafkaError::MessageConsumption(code @ (Code::GroupAuthorizationFailed | Code::TopicAuthorizationFailed)) => {
            Err(Error::Fatal(format!("{code}; grant READ on the group and its topics")))
        }
        e => {
            tracing::debug!(error = %e, "kafka client");
            Ok(())
        }
    }
}
