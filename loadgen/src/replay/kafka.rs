//! Replay onto Kafka topics, by Java's partitioner, idempotently.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rdkafka::client::ClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Header, Message, OwnedHeaders};
use rdkafka::producer::{BaseRecord, Producer, ProducerContext, ThreadedProducer};
use rdkafka::{Offset, TopicPartitionList};

use super::{Bound, Commands, Job, Options, Outcomes, Progress, Stats};
use crate::business::Business;
use crate::error::Error;
use crate::kafka::{Cluster, partition_counts};
use crate::report::ReplayReport;

/// How long a fetch for outcomes waits while there are none: Kafka's own default.
const IDLE_WAIT: Duration = Duration::from_millis(500);

/// What only Kafka has.
#[derive(Clone, Debug)]
pub struct KafkaOptions {
    /// Where to.
    pub cluster: Cluster,
    /// Records handed to librdkafka and not acknowledged yet.
    pub in_flight: u64,
}

/// What comes back with a delivery report.
struct Ticket {
    due: Instant,
    sent: Instant,
    saga: Option<String>,
    kind: String,
}

/// Counts delivery reports; called on the producer's own thread.
struct Reports {
    stats: Arc<Stats>,
    outcomes: Option<Arc<Outcomes>>,
    in_flight: Arc<AtomicU64>,
}

impl ClientContext for Reports {}

impl ProducerContext for Reports {
    type DeliveryOpaque = Box<Ticket>;

    fn delivery(&self, result: &DeliveryResult<'_>, ticket: Box<Ticket>) {
        self.in_flight.fetch_sub(1, Ordering::Release);
        match result {
            Ok(_) => {
                let bound = Bound { name: "produce", kind: &ticket.kind, key: b"" };
                self.stats.answered(bound, "acknowledged", true, ticket.due, ticket.sent);
            }
            Err((error, message)) => {
                let cause = error.rdkafka_error_code().map_or_else(|| error.to_string(), |code| code.to_string());
                self.stats.failed(&format!("{}: {cause}", message.topic()));
                if let (Some(outcomes), Some(saga)) = (&self.outcomes, &ticket.saga) {
                    outcomes.forget(saga);
                }
            }
        }
    }
}

/// Replays a file onto Kafka. Blocks; call it outside of tokio.
///
/// # Errors
/// When the file cannot be read, or topics or brokers are not there at the beginning. What fails later is in the report.
pub fn replay(
    options: &Options,
    kafka: &KafkaOptions,
    business: &'static dyn Business,
    total: u64,
) -> Result<ReplayReport, Error> {
    let stats = Arc::new(Stats::new(&options.target_pids));
    require_topics(kafka, options, business)?;
    let outcomes = options.outcomes.then(|| Arc::new(Outcomes::new(Arc::clone(&stats))));
    let listener = outcomes.as_ref().map(|o| Listener::start(kafka, options, business, o)).transpose()?;
    let in_flight = Arc::new(AtomicU64::new(0));
    let reports = Reports { stats: Arc::clone(&stats), outcomes: outcomes.clone(), in_flight: Arc::clone(&in_flight) };
    let producer: ThreadedProducer<Reports> = kafka
        .cluster
        .config(&[
            ("enable.idempotence", "true"),
            ("partitioner", "murmur2_random"),
            ("compression.type", "lz4"),
            ("queue.buffering.max.messages", "1000000"),
            ("delivery.timeout.ms", &options.give_up.as_millis().max(2_000).to_string()),
        ])
        .create_with_context(reports)?;
    let progress = Progress::start(Arc::clone(&stats), total, options.quiet);
    let mut topic = String::new();
    let mut send = |job: Job| {
        while in_flight.load(Ordering::Acquire) >= kafka.in_flight {
            thread::sleep(Duration::from_micros(200));
        }
        in_flight.fetch_add(1, Ordering::AcqRel);
        topic.clear();
        topic.push_str(&options.names.topic_prefix);
        topic.push_str(&job.envelope.topic);
        produce(&producer, &topic, job, business, outcomes.as_deref(), &stats)
    };
    let mut commands = Commands::open(options, business)?;
    while let Some(job) = commands.next_setup()? {
        send(job)?;
    }
    producer.flush(options.give_up)?;
    stats.start_clock();
    while let Some(job) = commands.next_timed()? {
        // An OS sleep is exact to some 60 µs.
        if let Some(left) = job.due.checked_duration_since(Instant::now()) {
            thread::sleep(left);
        }
        send(job)?;
    }
    producer.flush(options.give_up)?;
    let open = outcomes.as_ref().map_or(0, |outcomes| outcomes.wait_blocking(options.settle));
    drop((progress, listener));
    let mut report = stats.report();
    report.target = format!("kafka {}", kafka.cluster.brokers);
    report.outcomes_open = open as u64;
    report.outcomes_followed = outcomes.is_some();
    Ok(report)
}

/// Topics are never created by a producer: their partition count would be an accident.
fn require_topics(kafka: &KafkaOptions, options: &Options, business: &dyn Business) -> Result<(), Error> {
    let reader = kafka.cluster.reader(IDLE_WAIT)?;
    let prefix = &options.names.topic_prefix;
    let topics: Vec<_> = business.command_topics().iter().map(|topic| format!("{prefix}{topic}")).collect();
    let counts = partition_counts(&reader, &topics)?;
    match topics.iter().find(|topic| !counts.contains_key(*topic)) {
        None => Ok(()),
        Some(topic) => {
            let reason = format!("there is no topic {topic}: create it with `orderflow topics`");
            Err(Error::unreachable(&kafka.cluster.brokers, reason))
        }
    }
}

fn produce(
    producer: &ThreadedProducer<Reports>,
    topic: &str,
    job: Job,
    business: &dyn Business,
    outcomes: Option<&Outcomes>,
    stats: &Stats,
) -> Result<(), Error> {
    let envelope = job.envelope;
    let saga = business.begins(&envelope).filter(|_| outcomes.is_some()).map(str::to_owned);
    if let (Some(outcomes), Some(saga)) = (outcomes, &saga) {
        outcomes.begin(saga.clone(), job.due);
    }
    stats.sent();
    let ticket = Ticket { due: job.due, sent: Instant::now(), saga, kind: envelope.kind };
    let mut record = BaseRecord::with_opaque_to(topic, Box::new(ticket)).timestamp(envelope.at_ms);
    if let Some(key) = &envelope.key {
        record = record.key(key.as_slice());
    }
    if let Some(value) = &envelope.value {
        record = record.payload(value.as_slice());
    }
    if !envelope.headers.is_empty() {
        let headers = envelope.headers.iter().fold(OwnedHeaders::new(), |headers, (name, value)| {
            headers.insert(Header { key: name, value: Some(value) })
        });
        record = record.headers(headers);
    }
    loop {
        match producer.send::<[u8], [u8]>(record) {
            Ok(()) => return Ok(()),
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => {
                record = back;
                thread::sleep(Duration::from_millis(1));
            }
            Err((error, _)) => return Err(error.into()),
        }
    }
}

/// Follows the events that end sagas, from the topics' present end.
struct Listener {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Listener {
    fn start(
        kafka: &KafkaOptions,
        options: &Options,
        business: &'static dyn Business,
        outcomes: &Arc<Outcomes>,
    ) -> Result<Self, Error> {
        let consumer = kafka.cluster.reader(IDLE_WAIT)?;
        let prefix = options.names.topic_prefix.clone();
        let topics: Vec<_> = business.outcome_topics().iter().map(|topic| format!("{prefix}{topic}")).collect();
        let mut list = TopicPartitionList::new();
        for (topic, count) in partition_counts(&consumer, &topics)? {
            for partition in 0..count {
                let (_, end) = consumer.fetch_watermarks(&topic, partition, Duration::from_secs(15))?;
                list.add_partition_offset(&topic, partition, Offset::Offset(end))?;
            }
        }
        consumer.assign(&list)?;
        let stop = Arc::new(AtomicBool::new(false));
        let (until, outcomes) = (Arc::clone(&stop), Arc::clone(outcomes));
        let thread = thread::spawn(move || listen(&consumer, &prefix, business, &outcomes, &until));
        Ok(Listener { stop, thread: Some(thread) })
    }
}

fn listen(consumer: &BaseConsumer, prefix: &str, business: &dyn Business, outcomes: &Outcomes, stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        // Errors here pass (a broker bounced) or show as outcomes that never come.
        let Some(Ok(message)) = consumer.poll(Duration::from_millis(100)) else {
            continue;
        };
        let topic = message.topic();
        let topic = topic.strip_prefix(prefix).unwrap_or(topic);
        if let Some(id) = message.payload().and_then(|value| business.ended(topic, value)) {
            outcomes.end(&id);
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // Only a panic while listening could be lost here.
            let _ = thread.join();
        }
    }
}
