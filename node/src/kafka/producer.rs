//! A worker's transactional producer.
//!
//! Three threads: the worker queues records; one thread polls, for delivery reports; one makes the calls that wait for the
//! cluster. The last exists because some of these calls do not keep their timeouts (librdkafka #5456, #5511) and
//! destroying a producer may hang (#4674): the worker waits for it so long and no longer, then goes on with a new producer
//! of the same `transactional.id`, whose initialisation decides what became of the old one's transaction.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::TopicPartitionList;
use rdkafka::client::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, DeliveryResult, Producer as _, ProducerContext};
use rustc_hash::FxHashMap;
use streams::log::{Error, Outgoing, Placement};
use streams::{Offset, TopicIndex, TopicPartition};

use super::Topics;
use super::consumer::{SAME_INSTANCE, log_line};
use super::native::{self, Delivery, GroupMetadata, Produce, ReportQueue, TopicHandle, TransactionError};

/// One turn of the polling thread.
const POLL: Duration = Duration::from_millis(100);
/// What a call may take over its own timeout before the producer is given up.
const GRACE: Duration = Duration::from_secs(5);
/// Longest wait for a first connection before a new producer's id is asked for all the same: no longer than what it saves.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(500);
/// While records are flushed the answer of a commit that failed is looked for this often.
const FLUSH_SLICE: Duration = Duration::from_millis(20);
/// Longest wait for room in the producer's queue.
const QUEUE_FULL_TIMEOUT: Duration = Duration::from_secs(10);
/// Pause between two looks for room.
const QUEUE_FULL_RETRY: Duration = Duration::from_micros(500);

/// What became of a transaction's records.
#[derive(Default)]
struct Deliveries {
    /// Which transaction is collected; reports of earlier ones are ignored.
    transaction: u16,
    /// What is acknowledged, by partition.
    written: FxHashMap<TopicPartition, Span>,
    /// The first record that was not taken.
    failed: Option<(TopicIndex, RDKafkaErrorCode)>,
}

/// Where acknowledged records lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Span {
    first: i64,
    /// After the last.
    next: i64,
    records: i64,
}

impl Span {
    fn is(&self, placement: &Placement) -> bool {
        (self.first, self.next, self.records)
            == (placement.first.0, placement.next.0, placement.next.0 - placement.first.0)
    }
}

struct DeliveryContext {
    name: String,
    deliveries: Mutex<Deliveries>,
}

impl DeliveryContext {
    fn lock(&self) -> MutexGuard<'_, Deliveries> {
        self.deliveries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClientContext for DeliveryContext {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        log_line(&self.name, level, facility, line);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(client = self.name, %error, reason, "kafka client");
    }
}

/// What a record is known by in its delivery report: transaction, topic and partition in one word.
fn tag(transaction: u16, topic: TopicIndex) -> usize {
    usize::from(transaction) << 16 | usize::from(topic.0)
}

impl Deliveries {
    fn take_in(&mut self, delivery: &Delivery) {
        let [.., a, b, c, d] = delivery.opaque.to_be_bytes();
        let (transaction, topic) = (u16::from_be_bytes([a, b]), TopicIndex(u16::from_be_bytes([c, d])));
        if self.transaction != transaction {
            return;
        }
        match delivery.outcome {
            Ok(offset) => {
                let partition = u32::try_from(delivery.partition).unwrap_or(0);
                let written = self.written.entry(TopicPartition { topic, partition });
                let span = written.or_insert(Span { first: offset.0, next: offset.next().0, records: 0 });
                span.first = span.first.min(offset.0);
                span.next = span.next.max(offset.next().0);
                span.records += 1;
            }
            Err(code) => {
                self.failed.get_or_insert((topic, code));
            }
        }
    }
}

impl ProducerContext for DeliveryContext {
    type DeliveryOpaque = ();

    // Reports are read from the queue itself; what the wrapper still serves while it is dropped concerns nobody.
    fn delivery(&self, _: &DeliveryResult<'_>, (): ()) {}
}

/// The client and its topics; dropped by the calling thread, whenever librdkafka lets it.
struct Shared {
    // Before the client they belong to.
    topics: Vec<TopicHandle>,
    reports: ReportQueue,
    producer: BaseProducer<DeliveryContext>,
    stop: AtomicBool,
}

enum Call {
    Init,
    AddPositions(TopicPartitionList, GroupMetadata),
    Commit(Option<(TopicPartitionList, GroupMetadata)>),
    Abort,
}

/// See the module.
pub(super) struct TransactionalProducer {
    shared: Arc<Shared>,
    calls: Sender<Call>,
    answers: Receiver<Result<(), TransactionError>>,
    topics: Arc<Topics>,
    timeout: Duration,
    /// Number of the open or last transaction, as in [`Deliveries`].
    transaction: u16,
    /// The group's membership when the open transaction began.
    group: Option<GroupMetadata>,
    /// A call did not come back: nothing more can be asked of this producer.
    lost: bool,
}

impl TransactionalProducer {
    /// A producer ready to begin: its id is registered, what an earlier producer of it left open is decided.
    pub(super) fn start(config: &ClientConfig, topics: Arc<Topics>, timeout: Duration) -> Result<Self, Error> {
        let name = config.get("transactional.id").unwrap_or_default().to_owned();
        let context = DeliveryContext { name: name.clone(), deliveries: Mutex::default() };
        let producer: BaseProducer<DeliveryContext> = config
            .create_with_context(context)
            .map_err(|e| Error::Fatal(format!("the producer cannot be made: {e}")))?;
        let handles: Option<Vec<TopicHandle>> =
            topics.names().map(|name| TopicHandle::new(producer.client(), name)).collect();
        let handles = handles.ok_or_else(|| Error::Fatal("a topic's name is not one".to_owned()))?;
        let reports = ReportQueue::of(producer.client()).ok_or_else(|| Error::Fatal("no memory".to_owned()))?;
        let shared = Arc::new(Shared { topics: handles, reports, producer, stop: AtomicBool::new(false) });
        let (calls, requests) = mpsc::channel();
        let (replies, answers) = mpsc::channel();
        let (polling, calling) = (shared.clone(), shared.clone());
        let spawn = |name: String, body: Box<dyn FnOnce() + Send>| {
            std::thread::Builder::new()
                .name(name)
                .spawn(body)
                .map_err(|e| Error::Fatal(format!("no thread for the producer: {e}")))
        };
        let poller = spawn(format!("{name}-poll"), Box::new(move || poll(&polling)))?;
        spawn(
            format!("{name}-txn"),
            Box::new(move || {
                serve(&calling, &requests, &replies, timeout);
                calling.stop.store(true, Ordering::SeqCst);
                let _ = poller.join();
            }),
        )?;
        let mut this =
            TransactionalProducer { shared, calls, answers, topics, timeout, transaction: 0, group: None, lost: false };
        // librdkafka asks for the id's coordinator at once when it is connected to a broker, and else again only 500 ms later.
        // The connection by which it learns of the brokers does not count, as it is dropped thereafter: so a partition's
        // leader is asked. Whether anything came of this is told by the call itself.
        if let Some(topic) = this.topics.names().next() {
            let _ = this.shared.producer.client().fetch_watermarks(topic, 0, CONNECT_TIMEOUT);
        }
        this.call(Call::Init)?.map_err(|e| classify_init(&e))?;
        Ok(this)
    }

    /// Makes a call on the calling thread and waits for its answer, but not for ever.
    fn call(&mut self, call: Call) -> Result<Result<(), TransactionError>, Error> {
        let flush = matches!(call, Call::Commit(_) | Call::AddPositions(..));
        if self.lost || self.calls.send(call).is_err() {
            return Err(Error::Unknown("the producer is gone".to_owned()));
        }
        let deadline = Instant::now() + self.timeout + GRACE;
        if flush {
            // The calling thread sends records only after it has added the positions, two round trips later.
            while !native::flush(self.shared.producer.client(), FLUSH_SLICE) && Instant::now() < deadline {
                if let Ok(answer) = self.answers.try_recv() {
                    return Ok(answer);
                }
            }
        }
        match self.answers.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(answer) => Ok(answer),
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                self.lost = true;
                Err(Error::Unknown(format!("a transaction call did not come back within {:?}", self.timeout + GRACE)))
            }
        }
    }

    /// As [`streams::log::Log::begin`], for a member of the group.
    pub(super) fn begin(&mut self, group: GroupMetadata) -> Result<(), Error> {
        if self.lost {
            return Err(Error::Unknown("the producer is gone".to_owned()));
        }
        self.transaction = self.transaction.wrapping_add(1);
        {
            let mut deliveries = self.shared.producer.context().lock();
            deliveries.transaction = self.transaction;
            deliveries.written.clear();
            deliveries.failed = None;
        }
        native::begin_transaction(self.shared.producer.client()).map_err(|e| classify(&e))?;
        self.group = Some(group);
        Ok(())
    }

    /// As [`streams::log::Log::send`].
    pub(super) fn send(&mut self, record: Outgoing<'_>) -> Result<(), Error> {
        let Some(topic) = self.shared.topics.get(usize::from(record.topic.0)) else {
            return Err(Error::Fatal(format!("there is no topic {:?}", record.topic)));
        };
        let produce = Produce {
            partition: record.partition,
            key: record.key,
            value: record.value,
            timestamp: record.timestamp.max(1),
            headers: record.headers,
            opaque: tag(self.transaction, record.topic),
        };
        let mut deadline = None;
        loop {
            match native::produce(self.shared.producer.client(), topic, &produce) {
                Ok(()) => return Ok(()),
                Err(RDKafkaErrorCode::QueueFull) => {
                    let deadline = *deadline.get_or_insert_with(|| Instant::now() + QUEUE_FULL_TIMEOUT);
                    if Instant::now() >= deadline {
                        return Err(Error::Abort(format!("the producer's queue was full for {QUEUE_FULL_TIMEOUT:?}")));
                    }
                    std::thread::sleep(QUEUE_FULL_RETRY);
                }
                Err(code) => return Err(self.refused_or(code, record.topic)),
            }
        }
    }

    /// A record could not be queued: its own fault, or the transaction's.
    fn refused_or(&self, code: RDKafkaErrorCode, topic: TopicIndex) -> Error {
        if is_refusal(code) {
            return self.refusal(topic, code);
        }
        if let Some((topic, code)) = self.shared.producer.context().lock().failed.filter(|(_, c)| is_refusal(*c)) {
            return self.refusal(topic, code);
        }
        match self.shared.producer.client().fatal_error() {
            Some((code, text)) => fatal(code, &text),
            // The transaction failed already; what failed it is told by the abort at the latest.
            None => Error::Abort(format!("record to {} not queued: {code}", self.topics.name(topic))),
        }
    }

    fn refusal(&self, topic: TopicIndex, code: RDKafkaErrorCode) -> Error {
        Error::Refused { topic: self.topics.name(topic).to_owned(), reason: code.to_string() }
    }

    /// Adds `offsets`, waits for all deliveries and commits, provided that `placements` hold. Answers with the ends of all
    /// partitions written.
    pub(super) fn commit(
        &mut self,
        offsets: TopicPartitionList,
        placements: &[Placement],
    ) -> Result<Vec<(TopicPartition, Offset)>, Error> {
        let group = self.group.take().ok_or_else(|| Error::Unknown("no transaction is open".to_owned()))?;
        let mut offsets = (offsets.count() > 0).then_some((offsets, group));
        let mut added = Ok(());
        if !placements.is_empty() {
            if let Some((offsets, group)) = offsets.take() {
                added = self.call(Call::AddPositions(offsets, group))?;
            }
            if added.is_ok() {
                self.check(placements)?;
            }
        }
        let outcome = match added {
            Ok(()) => self.call(Call::Commit(offsets))?,
            failed => failed,
        };
        let mut deliveries = self.shared.producer.context().lock();
        let failed = deliveries.failed.take();
        match (outcome, failed) {
            (Ok(()), None) => Ok(deliveries.written.drain().map(|(tp, span)| (tp, Offset(span.next))).collect()),
            (Ok(()), Some((topic, code))) => {
                // Cannot be, by librdkafka's contract; if it is, the log decides.
                Err(Error::Unknown(format!(
                    "committed although a record to {:?} failed: {code}",
                    self.topics.name(topic)
                )))
            }
            (Err(e), Some((topic, code))) if is_refusal(code) && !e.fatal => {
                drop(deliveries);
                Err(self.refusal(topic, code))
            }
            (Err(e), _) => Err(classify(&e)),
        }
    }

    /// Waits until all records are acknowledged, and compares where they lie. A record that the log refused is left to the
    /// commit, which says so.
    fn check(&self, placements: &[Placement]) -> Result<(), Error> {
        let deadline = Instant::now() + self.timeout;
        let client = self.shared.producer.client();
        while !native::flush(client, FLUSH_SLICE) {
            if self.shared.producer.context().lock().failed.is_some() || client.fatal_error().is_some() {
                return Ok(());
            }
            // A transaction that failed otherwise keeps its records until it is aborted.
            if Instant::now() >= deadline {
                return Err(Error::Abort(format!("not all records were acknowledged within {:?}", self.timeout)));
            }
        }
        let deliveries = self.shared.producer.context().lock();
        let displaced = |p: &&Placement| deliveries.written.get(&p.partition).is_none_or(|span| !span.is(p));
        match placements.iter().find(displaced).filter(|_| deliveries.failed.is_none()) {
            None => Ok(()),
            Some(p) => Err(Error::Displaced(format!(
                "{}-{} should be written from {} to {} and is {:?}",
                self.topics.name(p.partition.topic),
                p.partition.partition,
                p.first,
                p.next,
                deliveries.written.get(&p.partition)
            ))),
        }
    }

    /// As [`streams::log::Log::abort`].
    pub(super) fn abort(&mut self) -> Result<(), Error> {
        self.group = None;
        self.call(Call::Abort)?.map_err(|e| match classify(&e) {
            Error::Abort(text) => Error::Unknown(text),
            other => other,
        })
    }
}

fn poll(shared: &Shared) {
    let context = shared.producer.context();
    while !shared.stop.load(Ordering::SeqCst) {
        shared.reports.serve(&**context, POLL, |reports| {
            let mut deliveries = context.lock();
            reports.for_each(|delivery| deliveries.take_in(&delivery));
        });
    }
}

fn serve(
    shared: &Shared,
    requests: &Receiver<Call>,
    replies: &Sender<Result<(), TransactionError>>,
    timeout: Duration,
) {
    let client = shared.producer.client();
    for call in requests {
        let answer = match call {
            Call::Init => native::init_transactions(client, timeout),
            Call::Abort => native::abort_transaction(client, timeout),
            Call::AddPositions(offsets, group) => {
                native::send_offsets_to_transaction(client, &offsets, &group, timeout)
            }
            Call::Commit(None) => native::commit_transaction(client, timeout),
            Call::Commit(Some((offsets, group))) => {
                native::send_offsets_to_transaction(client, &offsets, &group, timeout)
                    .and_then(|()| native::commit_transaction(client, timeout))
            }
        };
        if replies.send(answer).is_err() {
            return;
        }
    }
}

/// Refused for good, whatever else is in the transaction.
fn is_refusal(code: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode as Code;
    matches!(
        code,
        Code::MessageSizeTooLarge
            | Code::InvalidMessageSize
            | Code::MessageBatchTooLarge
            | Code::InvalidTimestamp
            | Code::InvalidRecord
            | Code::UnknownTopic
            | Code::UnknownPartition
            | Code::UnknownTopicOrPartition
            | Code::InvalidTopic
    )
}

fn fatal(code: RDKafkaErrorCode, text: &str) -> Error {
    use RDKafkaErrorCode as Code;
    match code {
        // A broker that timed our transaction out says the same as one that knows a newer producer: both mean a new start.
        Code::Fenced | Code::ProducerFenced | Code::InvalidProducerEpoch => Error::Fenced(text.to_owned()),
        code if is_forbidden(code) => Error::Fatal(format!("{text} ({code})")),
        code => Error::Unknown(format!("{text} ({code})")),
    }
}

fn is_forbidden(code: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode as Code;
    matches!(
        code,
        Code::TransactionalIdAuthorizationFailed
            | Code::ClusterAuthorizationFailed
            | Code::TopicAuthorizationFailed
            | Code::GroupAuthorizationFailed
            | Code::UnsupportedFeature
            | Code::UnsupportedVersion
            | Code::InvalidTransactionTimeout
    )
}

/// Sorts a failed transaction call by what the worker must do.
fn classify(e: &TransactionError) -> Error {
    if e.code == RDKafkaErrorCode::FencedInstanceId {
        Error::Fatal(SAME_INSTANCE.to_owned())
    } else if is_forbidden(e.code) {
        Error::Fatal(e.to_string())
    } else if e.fatal {
        fatal(e.code, &e.text)
    } else if e.abortable {
        Error::Abort(e.to_string())
    } else {
        // Timed out, or a state nobody foresaw: the new producer finds out.
        Error::Unknown(e.to_string())
    }
}

fn classify_init(e: &TransactionError) -> Error {
    match classify(e) {
        Error::Fatal(text) => Error::Fatal(text),
        // Someone took our id between two of our steps, or the cluster is not to be reached: tried again.
        other => Error::Unknown(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(code: RDKafkaErrorCode, fatal: bool, abortable: bool) -> TransactionError {
        TransactionError { code, fatal, abortable, text: "broker's words".to_owned() }
    }

    /// As measured against Kafka 4.3.1.
    #[test]
    fn errors_are_sorted_by_what_must_be_done() {
        use RDKafkaErrorCode as Code;
        assert!(matches!(classify(&error(Code::Fenced, true, false)), Error::Fenced(_)));
        assert!(matches!(classify(&error(Code::IllegalGeneration, false, true)), Error::Abort(_)));
        assert!(matches!(classify(&error(Code::OperationTimedOut, false, false)), Error::Unknown(_)));
        assert!(matches!(classify(&error(Code::State, true, false)), Error::Unknown(_)));
        assert!(matches!(classify(&error(Code::TransactionalIdAuthorizationFailed, true, false)), Error::Fatal(_)));
        assert!(matches!(classify(&error(Code::FencedInstanceId, false, true)), Error::Fatal(_)));
        assert!(matches!(classify_init(&error(Code::Fenced, true, false)), Error::Unknown(_)));
    }

    /// Reports of an aborted transaction may come when the next one is open: its positions and its fate are not theirs.
    #[test]
    fn deliveries_are_of_one_transaction() {
        let mut deliveries = Deliveries { transaction: 7, ..Deliveries::default() };
        let report = |transaction, outcome| Delivery { opaque: tag(transaction, TopicIndex(1)), partition: 2, outcome };
        for offset in [5, 4] {
            deliveries.take_in(&report(7, Ok(Offset(offset))));
        }
        deliveries.take_in(&report(6, Ok(Offset(90))));
        deliveries.take_in(&report(6, Err(RDKafkaErrorCode::PurgeQueue)));
        let written = TopicPartition { topic: TopicIndex(1), partition: 2 };
        let span = deliveries.written.get(&written).copied().expect("two records");
        assert_eq!(span, Span { first: 4, next: 6, records: 2 });
        let placement = |first, next| Placement { partition: written, first: Offset(first), next: Offset(next) };
        assert!(span.is(&placement(4, 6)));
        assert!(!span.is(&placement(3, 6)) && !span.is(&placement(4, 7)));
        // A record of another producer in between.
        assert!(!Span { records: 1, ..span }.is(&placement(4, 6)));
        assert_eq!(deliveries.failed, None);
        deliveries.take_in(&report(7, Err(RDKafkaErrorCode::MessageSizeTooLarge)));
        deliveries.take_in(&report(7, Err(RDKafkaErrorCode::PurgeQueue)));
        assert_eq!(deliveries.failed, Some((TopicIndex(1), RDKafkaErrorCode::MessageSizeTooLarge)), "the first one");
    }

    #[test]
    fn a_delivery_is_known_by_its_tag() {
        let [.., a, b, c, d] = tag(0xABCD, TopicIndex(0x1234)).to_be_bytes();
        assert_eq!([a, b, c, d], [0xAB, 0xCD, 0x12, 0x34]);
    }
}
