//! A group member that hands records to async code and commits positions when told: for the payment worker, which has
//! effects outside Kafka and therefore reads at least once.
//!
//! The user commits a contiguous prefix: the position of a partition moves past a record only when it and everything
//! before it is done. Under which assignment a record was handed out is told by its generation; a commit of an earlier
//! generation is dropped, as the partition may be someone else's by now, who reads the record again.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rdkafka::client::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _, ConsumerContext, Rebalance};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message as _;
use rdkafka::{Offset as NativeOffset, TopicPartitionList};
use streams::{Offset, Partition, Timestamp};
use tokio::sync::mpsc;

use super::Settings;
use super::consumer::log_line;
use super::native::GroupMetadata;

/// Records between the reading thread and its user; then reading waits.
const RECORDS_MAX: usize = 1_024;
/// One wait for records; also how late a commit may be.
const POLL: Duration = Duration::from_millis(50);
/// Pause while the user takes nothing, and after an error of the client as a whole.
const PAUSE: Duration = Duration::from_millis(5);

/// A record of the topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// Its partition.
    pub partition: Partition,
    /// Its offset.
    pub offset: Offset,
    /// Its timestamp.
    pub timestamp: Timestamp,
    /// Key bytes.
    pub key: Vec<u8>,
    /// Value bytes; `None` is a tombstone.
    pub value: Option<Vec<u8>>,
    /// Counts the reader's assignments; goes back in with [`GroupReader::commit`].
    pub generation: u64,
}

#[derive(Default)]
struct Positions {
    generation: u64,
    /// To be committed.
    next: BTreeMap<Partition, Offset>,
}

/// What the reading thread and its user share.
struct Shared {
    member: String,
    topic: String,
    positions: Mutex<Positions>,
    stop: AtomicBool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Positions> {
        self.positions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was handed out up to now is out of date.
    fn next_generation(&self) {
        let mut positions = self.lock();
        positions.generation += 1;
        positions.next.clear();
    }

    fn commit(&self, consumer: &BaseConsumer<Context>, mode: CommitMode) {
        let next = std::mem::take(&mut self.lock().next);
        let mut list = TopicPartitionList::with_capacity(next.len());
        for (partition, offset) in &next {
            let partition = i32::try_from(*partition).unwrap_or(i32::MAX);
            if let Err(e) = list.add_partition_offset(&self.topic, partition, NativeOffset::Offset(offset.0)) {
                tracing::error!(member = self.member, error = %e, "position not taken");
            }
        }
        if list.count() == 0 {
            return;
        }
        if let Err(e) = consumer.commit(&list, mode) {
            // The records are read again: what the user does must bear that in any case.
            tracing::warn!(member = self.member, error = %e, "positions not committed");
        }
    }
}

/// Receives librdkafka's callbacks.
struct Context {
    shared: Arc<Shared>,
    /// The last change took partitions away.
    has_revoked: AtomicBool,
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        log_line(&self.shared.member, level, facility, line);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(client = self.shared.member, %error, reason, "kafka client");
    }
}

impl ConsumerContext for Context {
    fn pre_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        let revoked = matches!(rebalance, Rebalance::Revoke(_));
        self.has_revoked.store(revoked, Ordering::Relaxed);
        if revoked && !consumer.assignment_lost() {
            self.shared.commit(consumer, CommitMode::Sync);
        }
        self.shared.next_generation();
    }
}

/// See the module. Dropping it stops the reading thread, which commits what it was told last and closes the member.
pub struct GroupReader {
    shared: Arc<Shared>,
    records: mpsc::Receiver<Received>,
}

impl GroupReader {
    /// Joins `group` as `member` (both without the deployment's prefix), reading one topic from its committed positions,
    /// or from its beginning.
    ///
    /// # Errors
    /// Kafka's words, when a setting is not one or no thread is to be had.
    pub fn join(settings: &Settings, group: &str, member: &str, topic: &str) -> Result<Self, String> {
        let config = settings.plain_member(&settings.group(group), member);
        let shared = Arc::new(Shared {
            member: member.to_owned(),
            topic: settings.physical(topic),
            positions: Mutex::default(),
            stop: AtomicBool::new(false),
        });
        let consumer = connect(&config, &shared)?;
        let (sender, records) = mpsc::channel(RECORDS_MAX);
        let reading = Reading { config, consumer, shared: shared.clone() };
        std::thread::Builder::new()
            .name(format!("{member}-read"))
            .spawn(move || reading.run(&sender))
            .map_err(|e| e.to_string())?;
        Ok(GroupReader { shared, records })
    }

    /// The next record; `None` once the member cannot go on.
    pub async fn next(&mut self) -> Option<Received> {
        self.records.recv().await
    }

    /// Says that everything of a partition below `next` is done, as of the generation of the record this is about.
    /// Committed soon after by the reading thread; dropped if the partitions were dealt out anew since.
    pub fn commit(&self, generation: u64, partition: Partition, next: Offset) {
        let mut positions = self.shared.lock();
        if positions.generation == generation {
            let position = positions.next.entry(partition).or_insert(next);
            *position = next.max(*position);
        }
    }
}

impl Drop for GroupReader {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
    }
}

fn connect(config: &ClientConfig, shared: &Arc<Shared>) -> Result<BaseConsumer<Context>, String> {
    let context = Context { shared: shared.clone(), has_revoked: AtomicBool::new(false) };
    let consumer: BaseConsumer<Context> = config.create_with_context(context).map_err(|e| e.to_string())?;
    consumer.subscribe(&[&shared.topic]).map_err(|e| e.to_string())?;
    Ok(consumer)
}

struct Reading {
    config: ClientConfig,
    consumer: BaseConsumer<Context>,
    shared: Arc<Shared>,
}

impl Reading {
    fn run(mut self, sender: &mpsc::Sender<Received>) {
        while !self.shared.stop.load(Ordering::SeqCst) {
            self.shared.commit(&self.consumer, CommitMode::Async);
            match self.consumer.poll(POLL) {
                None | Some(Err(KafkaError::PartitionEOF(_))) => (),
                Some(Ok(message)) => {
                    let record = Received {
                        partition: u32::try_from(message.partition()).unwrap_or(0),
                        offset: Offset(message.offset()),
                        timestamp: message.timestamp().to_millis().unwrap_or(0),
                        key: message.key().unwrap_or_default().to_vec(),
                        value: message.payload().map(<[u8]>::to_vec),
                        generation: self.shared.lock().generation,
                    };
                    drop(message);
                    if !self.hand_over(sender, record) {
                        break;
                    }
                }
                Some(Err(KafkaError::MessageConsumptionFatal(code))) => {
                    let ended = if is_own_fence(code, &self.consumer) { self.rejoin() } else { Err(code.to_string()) };
                    if let Err(e) = ended {
                        tracing::error!(member = self.shared.member, error = e, "the group member ends");
                        break;
                    }
                }
                Some(Err(e)) => {
                    tracing::debug!(member = self.shared.member, error = %e, "group reader");
                    std::thread::sleep(PAUSE);
                }
            }
        }
        self.shared.commit(&self.consumer, CommitMode::Sync);
    }

    /// Goes on as a new member, from the committed positions.
    fn rejoin(&mut self) -> Result<(), String> {
        tracing::warn!(
            member = self.shared.member,
            "the session ran out while the coordinator was away; joining again"
        );
        self.shared.next_generation();
        self.consumer = connect(&self.config, &self.shared)?;
        Ok(())
    }

    /// Waits until the user takes the record, committing meanwhile; false when it never will.
    fn hand_over(&self, sender: &mpsc::Sender<Received>, mut record: Received) -> bool {
        loop {
            match sender.try_send(record) {
                Ok(()) => return true,
                Err(mpsc::error::TrySendError::Closed(_)) => return false,
                Err(mpsc::error::TrySendError::Full(back)) => record = back,
            }
            if self.shared.stop.load(Ordering::SeqCst) {
                return false;
            }
            self.shared.commit(&self.consumer, CommitMode::Async);
            std::thread::sleep(PAUSE);
        }
    }
}

/// See [`GroupMetadata::fenced_by_another`].
fn is_own_fence(code: RDKafkaErrorCode, consumer: &BaseConsumer<Context>) -> bool {
    let revoked = consumer.context().has_revoked.load(Ordering::Relaxed);
    code == RDKafkaErrorCode::FencedInstanceId && !GroupMetadata::fenced_by_another(consumer.client(), revoked)
}
