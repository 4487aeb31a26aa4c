//! Appending commands for the gateway: one idempotent producer, shared by all requests.

use std::sync::Arc;
use std::time::Duration;

use query_api::platform::{AppendError, Appended};
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message as _;
use rdkafka::producer::{BaseRecord, DeliveryResult, Producer as _, ProducerContext, ThreadedProducer};
use rustc_hash::FxHashMap;
use streams::partitioner::partition_for_key;
use streams::{Offset, Timestamp};
use tokio::sync::{Mutex, Semaphore, oneshot};

use super::Settings;
use super::consumer::log_line;

/// Records under way at once; more are refused at once as [`AppendError::Busy`].
const IN_FLIGHT_MAX: usize = 10_000;
/// Added to the producer's own timeout before an append is given up: its own error says more.
const GRACE: Duration = Duration::from_millis(500);
/// Longest wait for a topic's partition count.
const METADATA_TIMEOUT: Duration = Duration::from_secs(5);

type Answer = oneshot::Sender<Result<Appended, KafkaError>>;

struct Context {
    name: String,
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        log_line(&self.name, level, facility, line);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(client = self.name, %error, reason, "kafka client");
    }
}

impl ProducerContext for Context {
    type DeliveryOpaque = Box<Answer>;

    fn delivery(&self, result: &DeliveryResult<'_>, answer: Box<Answer>) {
        let result = match result {
            Ok(m) => Ok(Appended { partition: u32::try_from(m.partition()).unwrap_or(0), offset: Offset(m.offset()) }),
            Err((e, _)) => Err(e.clone()),
        };
        // The request may have been given up.
        let _ = answer.send(result);
    }
}

/// Appends records outside transactions, each answered with where it landed. Cheap to clone.
#[derive(Clone)]
pub struct KafkaAppender {
    inner: Arc<Inner>,
}

struct Inner {
    producer: ThreadedProducer<Context>,
    prefix: String,
    timeout: Duration,
    in_flight: Semaphore,
    /// Partition counts by name in the cluster; asked once.
    counts: Mutex<FxHashMap<String, u32>>,
}

impl KafkaAppender {
    /// A producer whose records fail after `timeout`.
    ///
    /// # Errors
    /// Kafka's words, when a setting is not one.
    pub fn new(settings: &Settings, timeout: Duration) -> Result<Self, String> {
        let name = format!("{}{}-gateway", settings.prefix, settings.instance);
        let mut config = settings.plain_producer(&name, timeout);
        // A request waits for each record: batching pays only for what arrives in the same moment.
        config.set("linger.ms", "1");
        let producer = config.create_with_context(Context { name }).map_err(|e| e.to_string())?;
        let prefix = settings.prefix.clone();
        let in_flight = Semaphore::new(IN_FLIGHT_MAX);
        Ok(KafkaAppender { inner: Arc::new(Inner { producer, prefix, timeout, in_flight, counts: Mutex::default() }) })
    }

    /// Appends a record to the partition that Java's default partitioner gives its key. Answers once all in-sync replicas
    /// have it. `topic` is without the deployment's prefix.
    ///
    /// # Errors
    /// [`AppendError`]; after [`AppendError::Timeout`] the record may be there or not.
    pub async fn append(
        &self,
        topic: &str,
        key: &[u8],
        value: &[u8],
        timestamp: Timestamp,
    ) -> Result<Appended, AppendError> {
        let inner = &*self.inner;
        let _permit = inner.in_flight.try_acquire().map_err(|_| AppendError::Busy)?;
        let topic = format!("{}{topic}", inner.prefix);
        let count = self.partitions(&topic).await?;
        let partition = i32::try_from(partition_for_key(key, count)).unwrap_or(0);
        let (answer, answered) = oneshot::channel();
        let record = BaseRecord::with_opaque_to(&topic, Box::new(answer))
            .partition(partition)
            .key(key)
            .payload(value)
            .timestamp(timestamp.max(1));
        inner.producer.send(record).map_err(|(e, _)| self.error(&e))?;
        match tokio::time::timeout(inner.timeout + GRACE, answered).await {
            Ok(Ok(result)) => result.map_err(|e| self.error(&e)),
            Ok(Err(_)) => Err(AppendError::Unavailable("the producer stopped".to_owned())),
            Err(_) => Err(AppendError::Timeout(inner.timeout)),
        }
    }

    async fn partitions(&self, topic: &str) -> Result<u32, AppendError> {
        // Held while asking, so that a hundred first requests ask once.
        let mut counts = self.inner.counts.lock().await;
        if let Some(count) = counts.get(topic) {
            return Ok(*count);
        }
        let (inner, name) = (self.inner.clone(), topic.to_owned());
        let asked = tokio::task::spawn_blocking(move || {
            let metadata = inner.producer.client().fetch_metadata(Some(&name), METADATA_TIMEOUT);
            metadata.map(|m| m.topics().first().map_or(0, |t| t.partitions().len()))
        });
        let count = match asked.await {
            Ok(Ok(count)) => u32::try_from(count).unwrap_or(0),
            Ok(Err(e)) => return Err(AppendError::Unavailable(e.to_string())),
            Err(e) => return Err(AppendError::Unavailable(e.to_string())),
        };
        if count == 0 {
            return Err(AppendError::Refused(format!("topic '{topic}' does not exist; `orderflow topics` creates it")));
        }
        counts.insert(topic.to_owned(), count);
        Ok(count)
    }

    fn error(&self, e: &KafkaError) -> AppendError {
        use RDKafkaErrorCode as Code;
        match e.rdkafka_error_code() {
            Some(Code::QueueFull) => AppendError::Busy,
            // Sent and not answered for: it may be there.
            Some(Code::MessageTimedOut | Code::RequestTimedOut | Code::OperationTimedOut) => {
                AppendError::Timeout(self.inner.timeout)
            }
            Some(
                Code::MessageSizeTooLarge
                | Code::MessageBatchTooLarge
                | Code::InvalidTimestamp
                | Code::InvalidRecord
                | Code::UnknownTopic
                | Code::UnknownPartition
                | Code::UnknownTopicOrPartition
                | Code::TopicAuthorizationFailed,
            ) => AppendError::Refused(e.to_string()),
            _ => AppendError::Unavailable(e.to_string()),
        }
    }
}
