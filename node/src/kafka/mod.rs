//! The log on Apache Kafka: [`KafkaLog`] is a worker's consumer, transactional producer and changelog reader;
//! [`KafkaAppender`] and [`KafkaTail`] serve the gateway; [`GroupReader`] serves the payment worker; [`ensure_topics`]
//! creates what an application needs.
//!
//! librdkafka knows nothing of KIP-890 (transactions of version 2): an `EndTxn` that timed out may reach the *next*
//! transaction. Hence the rule of `DESIGN.md`: after any transaction call whose outcome is unknown the producer is thrown
//! away and a new one initialised, and everything is read again.

mod admin;
mod appender;
mod consumer;
mod group_reader;
mod native;
mod peers;
mod producer;
mod replay;
mod settings;
mod tail;
mod watchdog;

use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::{Offset as NativeOffset, TopicPartitionList};
use rustc_hash::FxHashMap;
use streams::log::{
    Commit, CommitAck, Committed, Error, Log, LogRange, Outgoing, Polled, Rebalance, Replayed, StateWrites,
};
use streams::{Incoming, Offset, TopicIndex, TopicPartition, Topology};

pub use admin::{TopicChange, TopicSpec, TopicsError, ensure_topics, forget_application, topic_specs};
pub use appender::KafkaAppender;
pub use group_reader::{GroupReader, Received};
pub use settings::{Settings, SettingsError};
pub use tail::KafkaTail;

use consumer::{GroupConsumer, MemberContext, native_partition};
use peers::Peers;
use producer::TransactionalProducer;
use replay::Replayer;
use watchdog::Watchdog;

/// Longest wait for an answer about a topic or a partition.
const QUERY_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest wait for ends that are asked in passing.
const ENDS_TIMEOUT: Duration = Duration::from_secs(1);
/// Tries to learn the extent of partitions, and the pause between two.
const EXTENT_TRIES: u32 = 5;
const EXTENT_RETRY: Duration = Duration::from_millis(50);
/// Longest wait for committed positions that no transaction can change any more. Above a transaction's own timeout, after
/// which the broker ends it.
const COMMITTED_TIMEOUT: Duration = Duration::from_secs(20);
/// How long a dead owner's open transaction may hold a takeover up before its `transactional.id` is taken over.
const BLOCKED_MAX: Duration = Duration::from_millis(500);
/// Longest wait for the end of one partition when a consumer is suspected to have stalled.
const STALL_QUERY_TIMEOUT: Duration = Duration::from_secs(1);
/// Rest after a commit that left nothing to do, as a share of the time that the commit took, and its bounds. The coordinator
/// still writes the transaction's markers then: a transaction begun at once is turned away, which librdkafka tries again
/// after 20 ms, and what was just written for our own tasks cannot be read yet. After the rest it comes together, as one
/// transaction, and not half of it with the next and half with the one after.
const REST_SHARE: f64 = 0.5;
const REST_MIN: Duration = Duration::from_millis(3);
const REST_MAX: Duration = Duration::from_millis(25);
/// Tries to make the first producer; a cluster may still be starting.
const START_TRIES: u32 = 4;

/// The topics of a topology under their names in the cluster.
pub(crate) struct Topics {
    names: Vec<String>,
    by_name: FxHashMap<String, TopicIndex>,
}

impl Topics {
    fn new(settings: &Settings, topology: &Topology) -> Self {
        let names: Vec<String> = topology.topics().iter().map(|t| settings.physical(&t.name)).collect();
        let by_name = names.iter().cloned().zip((0_u16..).map(TopicIndex)).collect();
        Topics { names, by_name }
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(String::as_str)
    }

    fn name(&self, topic: TopicIndex) -> &str {
        self.names.get(usize::from(topic.0)).map_or("?", String::as_str)
    }

    fn partition(&self, name: &str, partition: i32) -> Option<TopicPartition> {
        let topic = *self.by_name.get(name)?;
        Some(TopicPartition { topic, partition: u32::try_from(partition).ok()? })
    }
}

/// One worker's log on Kafka.
pub struct KafkaLog {
    settings: Settings,
    transactional_id: String,
    topics: Arc<Topics>,
    partitions: Vec<u32>,
    /// Topic ids as of the last assignment or reset; `None` until they are asked again.
    ids: Option<FxHashMap<TopicIndex, [u8; 16]>>,
    /// Since when a restore has been held up by an open transaction.
    blocked_since: Option<Instant>,
    peers: Peers,
    replayer: Replayer,
    /// `None` after a reset that failed.
    producer: Option<TransactionalProducer>,
    /// `None` once closed.
    consumer: Option<GroupConsumer>,
    watchdog: Watchdog,
    /// Until when a worker with nothing else to do leaves the log alone.
    rest_until: Instant,
    membership: Membership,
    observer: BaseConsumer<MemberContext>,
}

/// What it takes to join the group (again).
struct Membership {
    config: ClientConfig,
    subscription: Vec<String>,
}

impl Membership {
    fn connect(&self, name: &str, topics: &Arc<Topics>) -> Result<GroupConsumer, Error> {
        GroupConsumer::connect(&self.config, name, topics.clone())
    }

    fn join(&self, consumer: &GroupConsumer) -> Result<(), Error> {
        let subscription: Vec<&str> = self.subscription.iter().map(String::as_str).collect();
        consumer.join(&subscription)
    }
}

impl KafkaLog {
    /// Connects worker number `worker` of this process and joins the group. `subtopologies` limits which tasks this
    /// worker may get; `None` means all.
    ///
    /// # Errors
    /// [`Error::Fatal`] when the topics do not exist as the topology needs them, or the cluster refuses us;
    /// [`Error::Unknown`] when it does not answer.
    pub fn connect(
        settings: &Settings,
        topology: &Topology,
        worker: usize,
        subtopologies: Option<&[u16]>,
    ) -> Result<KafkaLog, Error> {
        let topics = Arc::new(Topics::new(settings, topology));
        let application = topology.application_id();
        let group = settings.group(application);
        let transactional_id = settings.transactional_id(application, worker);
        let observer: BaseConsumer<MemberContext> = settings
            .observer(&format!("{transactional_id}-observer"))
            .create_with_context(MemberContext::new(&transactional_id))
            .map_err(|e| Error::Fatal(format!("kafka client: {e}")))?;
        let described = describe(&observer, &topics)?;
        let partitions = described.iter().map(|(_, count)| *count).collect::<Vec<_>>();
        check_partitions(topology, &topics, &partitions)?;
        let ids = ids_of(&described);
        let subscription: Vec<String> = topology
            .subtopologies()
            .iter()
            .zip(0_u16..)
            .filter(|(_, i)| subtopologies.is_none_or(|s| s.contains(i)))
            .flat_map(|(s, _)| s.source_topics().map(|t| topics.name(t).to_owned()).collect::<Vec<_>>())
            .collect();
        let membership =
            Membership { config: settings.group_consumer(application, worker, &subscription), subscription };
        // It connects while the producer does, and joins when there is a producer to write with.
        let consumer = membership.connect(&transactional_id, &topics)?;
        let producer = start_producer(settings, &transactional_id, &topics)?;
        let peers = Peers::new(&group, &transactional_id);
        // Those whose session has not run out yet; the group forgets them afterwards.
        peers.learn(&observer);
        membership.join(&consumer)?;
        let replayer = Replayer::new(
            settings.replayer(&group, &format!("{transactional_id}-restore")),
            transactional_id.clone(),
            topics.clone(),
        );
        Ok(KafkaLog {
            settings: settings.clone(),
            transactional_id,
            topics,
            partitions,
            ids: Some(ids),
            blocked_since: None,
            peers,
            replayer,
            producer: Some(producer),
            consumer: Some(consumer),
            watchdog: Watchdog::new(Instant::now()),
            rest_until: Instant::now(),
            membership,
            observer,
        })
    }

    fn consumer(&mut self) -> Result<&mut GroupConsumer, Error> {
        self.consumer.as_mut().ok_or_else(|| Error::Fatal("the log is closed".to_owned()))
    }

    fn producer(&mut self) -> Result<&mut TransactionalProducer, Error> {
        self.producer.as_mut().ok_or_else(|| Error::Unknown("there is no producer; it is to be reset".to_owned()))
    }

    /// As [`KafkaLog::offsets`], see [`extent`].
    fn offsets_in_time(&self, partitions: &[TopicPartition], which: NativeOffset) -> Result<Vec<Offset>, Error> {
        extent(|| self.offsets(partitions, which, QUERY_TIMEOUT))
    }

    /// `which` end of each of these partitions as a reader of uncommitted records sees it, all in one request to a broker
    /// (`fetch_watermarks` makes two for each partition). ListOffsets has the two ends as special timestamps.
    fn offsets(
        &self,
        partitions: &[TopicPartition],
        which: NativeOffset,
        timeout: Duration,
    ) -> Result<Vec<Offset>, Error> {
        let mut wanted = TopicPartitionList::with_capacity(partitions.len());
        for tp in partitions {
            wanted
                .add_partition_offset(self.topics.name(tp.topic), native_partition(*tp), which)
                .map_err(|e| Error::Unknown(e.to_string()))?;
        }
        let found = self
            .observer
            .offsets_for_times(wanted, timeout)
            .map_err(|e| Error::Unknown(format!("extent of partitions: {e}")))?;
        let offset = |tp: &TopicPartition| {
            let name = self.topics.name(tp.topic);
            let element = found.find_partition(name, native_partition(*tp));
            match element.map(|e| e.error().map(|()| e.offset())) {
                Some(Ok(NativeOffset::Offset(offset))) => Ok(Offset(offset)),
                other => Err(Error::Unknown(format!("extent of {name}-{}: {other:?}", tp.partition))),
            }
        };
        partitions.iter().map(offset).collect()
    }

    /// A topic deleted and created again gets another id: asked anew after every assignment.
    fn topic_id(&mut self, topic: TopicIndex) -> Result<[u8; 16], Error> {
        let ids = match self.ids.take() {
            Some(ids) => ids,
            None => ids_of(&describe(&self.observer, &self.topics)?),
        };
        let id = ids.get(&topic).copied();
        self.ids = Some(ids);
        id.ok_or_else(|| Error::Fatal(format!("there is no topic {topic:?}")))
    }

    /// Replaces a consumer that has stalled or is of another mind than we are; true when it did.
    fn watch(&mut self, heard: bool) -> Result<bool, Error> {
        let (Some(consumer), now) = (&self.consumer, Instant::now()) else { return Ok(false) };
        let broken = consumer.is_broken();
        if !broken && (heard || !consumer.expects_records()) {
            self.watchdog.heard(now);
            return Ok(false);
        }
        if !broken && !self.watchdog.has_stalled(now, || consumer.is_behind(STALL_QUERY_TIMEOUT)) {
            return Ok(false);
        }
        let why = if broken {
            "lost its session, or could not be assigned or positioned"
        } else {
            "has stalled with records waiting"
        };
        tracing::warn!(worker = self.transactional_id, why, "the consumer is replaced by a new one");
        if let Some(old) = self.consumer.take() {
            in_background(&self.transactional_id, old);
        }
        let consumer = self.membership.connect(&self.transactional_id, &self.topics)?;
        self.membership.join(&consumer)?;
        self.consumer = Some(consumer);
        self.watchdog.heard(now);
        Ok(true)
    }

    /// Sits out what is left of the rest after a commit; answers with what is left of `timeout`.
    fn rest(&self, timeout: Duration) -> Duration {
        let rest = self.rest_until.saturating_duration_since(Instant::now()).min(timeout);
        if !rest.is_zero() {
            std::thread::sleep(rest);
        }
        timeout - rest
    }

    /// Ends transactions of workers that are not in the group any more, once we have been held up for long enough.
    fn held_up(&mut self) {
        let since = *self.blocked_since.get_or_insert_with(Instant::now);
        if since.elapsed() >= BLOCKED_MAX {
            self.peers.end_transactions_of_the_dead(&self.observer, &self.settings);
            self.blocked_since = None;
        }
    }
}

/// Asks for the extent of partitions, again when there is no leader yet, as in the first moments of a new topic, or it has
/// changed: librdkafka asks with the epoch that it knows and forgets it only when that was refused.
fn extent<T, E>(ask: impl Fn() -> Result<T, E>) -> Result<T, E> {
    let deadline = Instant::now() + QUERY_TIMEOUT;
    let mut found = ask();
    for _ in 1..EXTENT_TRIES {
        if found.is_ok() || Instant::now() >= deadline {
            break;
        }
        std::thread::sleep(EXTENT_RETRY);
        found = ask();
    }
    found
}

/// Ids and partition counts of all topics, in order.
fn describe(client: &BaseConsumer<MemberContext>, topics: &Topics) -> Result<Vec<([u8; 16], u32)>, Error> {
    let described = native::describe_topics(client.client(), &topics.names, QUERY_TIMEOUT).map_err(Error::Unknown)?;
    let mut found: FxHashMap<String, _> = described.into_iter().map(|d| (d.name, d.found)).collect();
    topics
        .names()
        .map(|name| match found.remove(name) {
            Some(Ok(topic)) => Ok(topic),
            Some(Err(rdkafka::error::RDKafkaErrorCode::UnknownTopicOrPartition)) => {
                Err(Error::Fatal(format!("topic '{name}' does not exist; `orderflow topics` creates it")))
            }
            Some(Err(code)) => Err(Error::Unknown(format!("topic '{name}': {code}"))),
            None => Err(Error::Unknown(format!("no answer about topic '{name}'"))),
        })
        .collect()
}

fn ids_of(described: &[([u8; 16], u32)]) -> FxHashMap<TopicIndex, [u8; 16]> {
    (0_u16..).map(TopicIndex).zip(described.iter().map(|(id, _)| *id)).collect()
}

/// Co-partitioned sources must have as many partitions as each other, and as their stores' changelogs.
fn check_partitions(topology: &Topology, topics: &Topics, partitions: &[u32]) -> Result<(), Error> {
    let count = |topic: TopicIndex| partitions.get(usize::from(topic.0)).copied().unwrap_or(0);
    for (sub, i) in topology.subtopologies().iter().zip(0_u16..) {
        let Some(first) = sub.source_topics().next() else { continue };
        let own = |s: &&streams::StoreDef| {
            topology.store(&s.name).and_then(|(index, _)| topology.subtopology_of_store(index)) == Some(i)
        };
        let changelogs = topology.stores().iter().filter(own).filter_map(|s| s.changelog);
        for other in sub.source_topics().chain(changelogs) {
            if count(other) != count(first) {
                return Err(Error::Fatal(format!(
                    "topics '{}' ({} partitions) and '{}' ({} partitions) belong to one sub-topology and must have the \
                     same number of partitions; delete the wrong one if it is empty and run `orderflow topics`",
                    topics.name(first),
                    count(first),
                    topics.name(other),
                    count(other),
                )));
            }
        }
    }
    Ok(())
}

/// Drops what talks to the cluster while it closes, on a thread that nobody waits for.
fn in_background<T: Send + 'static>(name: &str, closing: T) {
    let thread = std::thread::Builder::new().name(format!("{name}-close"));
    if let Err(e) = thread.spawn(move || drop(closing)) {
        tracing::debug!(error = %e, "no thread to close a client on");
    }
}

fn start_producer(
    settings: &Settings,
    transactional_id: &str,
    topics: &Arc<Topics>,
) -> Result<TransactionalProducer, Error> {
    let config = settings.transactional_producer(transactional_id);
    let start = || TransactionalProducer::start(&config, topics.clone(), settings.transaction_timeout);
    let mut tried = start();
    for _ in 1..START_TRIES {
        match &tried {
            Err(Error::Unknown(e)) => {
                tracing::warn!(transactional_id, error = e, "the producer does not start; trying on")
            }
            _ => break,
        }
        tried = start();
    }
    tried
}

impl Log for KafkaLog {
    fn state_writes(&self) -> StateWrites {
        StateWrites::AfterCommit
    }

    fn partitions(&self) -> &[u32] {
        &self.partitions
    }

    fn poll(&mut self, timeout: Duration, polled: &mut Polled) -> Result<(), Error> {
        let before = polled.records.len() + polled.caught_up.len() + polled.rebalance.len();
        // A worker that does not wait has work left, and no need of a rest.
        let timeout = self.rest(timeout);
        let outcome = self.consumer()?.poll(timeout, polled);
        let heard = polled.records.len() + polled.caught_up.len() + polled.rebalance.len() > before;
        if matches!(outcome, Err(Error::Fatal(_))) {
            return outcome;
        }
        self.replayer.stop_if_idle();
        if self.watch(heard)? {
            // Whatever the old consumer said last is void.
            polled.rebalance.clear();
            polled.rebalance.push(Rebalance::Lost);
            return Ok(());
        }
        if polled.rebalance.iter().any(|r| matches!(r, Rebalance::Assigned(_))) {
            self.replayer.stop();
            self.blocked_since = None;
            self.ids = None;
            self.peers.look_round(&self.observer, &self.settings);
        }
        outcome
    }

    fn begin(&mut self) -> Result<(), Error> {
        let group = self.consumer()?.membership()?;
        self.producer()?.begin(group)
    }

    fn send(&mut self, record: Outgoing<'_>) -> Result<(), Error> {
        self.producer()?.send(record)
    }

    fn commit(&mut self, commit: Commit<'_>) -> Result<CommitAck, Error> {
        let mut offsets = TopicPartitionList::with_capacity(commit.positions.len());
        for position in commit.positions {
            let name = self.topics.name(position.input.topic);
            let partition = native_partition(position.input);
            let mut element = offsets.add_partition(name, partition);
            element.set_offset(NativeOffset::Offset(position.offset.0)).map_err(|e| Error::Abort(e.to_string()))?;
            if !position.metadata.is_empty() {
                element.set_metadata(&position.metadata);
            }
        }
        let started = Instant::now();
        let written = self.producer()?.commit(offsets, commit.placements)?;
        let rest = started.elapsed().mul_f64(REST_SHARE).clamp(REST_MIN, REST_MAX);
        self.rest_until = Instant::now() + rest;
        Ok(CommitAck { written })
    }

    fn abort(&mut self) -> Result<(), Error> {
        self.producer()?.abort()
    }

    fn reset(&mut self) -> Result<(), Error> {
        self.producer = None;
        self.replayer.stop();
        let config = self.settings.transactional_producer(&self.transactional_id);
        self.producer =
            Some(TransactionalProducer::start(&config, self.topics.clone(), self.settings.transaction_timeout)?);
        self.ids = None;
        self.blocked_since = None;
        Ok(())
    }

    fn committed(&mut self, inputs: &[TopicPartition]) -> Result<Vec<Option<Committed>>, Error> {
        let deadline = Instant::now() + COMMITTED_TIMEOUT;
        loop {
            if let Some(committed) = self.consumer()?.committed(inputs, BLOCKED_MAX)? {
                self.blocked_since = None;
                return Ok(committed);
            }
            if Instant::now() >= deadline {
                return Err(Error::Unknown(format!(
                    "committed positions were not stable within {COMMITTED_TIMEOUT:?}"
                )));
            }
            self.held_up();
        }
    }

    fn ranges(&mut self, partitions: &[TopicPartition]) -> Result<Vec<LogRange>, Error> {
        if partitions.is_empty() {
            return Ok(Vec::new());
        }
        let starts = self.offsets_in_time(partitions, NativeOffset::Beginning)?;
        let ends = self.offsets_in_time(partitions, NativeOffset::End)?;
        let mut ranges = Vec::with_capacity(partitions.len());
        for ((partition, start), end) in partitions.iter().zip(starts).zip(ends) {
            ranges.push(LogRange { topic_id: self.topic_id(partition.topic)?, start, end });
        }
        Ok(ranges)
    }

    fn ends(&mut self, partitions: &[TopicPartition]) -> Result<Vec<Offset>, Error> {
        self.offsets(partitions, NativeOffset::End, ENDS_TIMEOUT)
    }

    fn writes_markers(&self) -> bool {
        true
    }

    fn replay(
        &mut self,
        changelog: TopicPartition,
        from: Offset,
        to: Offset,
        records_max: usize,
        records: &mut Vec<Incoming>,
    ) -> Result<Replayed, Error> {
        let replayed = self.replayer.step(changelog, from, to, records_max, records)?;
        // Others that move on do not end the wait of one that is held up: only a new assignment or reset does.
        if replayed.blocked {
            self.held_up();
        }
        Ok(replayed)
    }

    fn seek_and_resume(&mut self, input: TopicPartition, offset: Offset) -> Result<(), Error> {
        self.consumer()?.seek_and_resume(input, offset)
    }

    fn pause(&mut self, input: TopicPartition) -> Result<(), Error> {
        self.consumer()?.set_flow(input, false)
    }

    fn resume(&mut self, input: TopicPartition) -> Result<(), Error> {
        self.consumer()?.set_flow(input, true)
    }

    fn park(&mut self, input: TopicPartition) -> Result<(), Error> {
        self.consumer()?.park(input)
    }

    fn unassign(&mut self) -> Result<(), Error> {
        self.replayer.stop();
        self.consumer()?.unassign()
    }

    fn close(&mut self) {
        self.replayer.stop();
        self.producer = None;
        self.consumer = None;
    }
}
