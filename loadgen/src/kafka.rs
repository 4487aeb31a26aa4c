//! Kafka: clients, and committed records of topics.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Headers, Message};
use rdkafka::{Offset, TopicPartitionList};

use crate::error::Error;
use crate::log::{LogRecord, LogSource};

/// Longest wait for metadata and watermarks.
const METADATA_MAX: Duration = Duration::from_secs(15);

/// How long a fetch waits for records where the end of the log is to be found soon.
const IDLE_WAIT: Duration = Duration::from_millis(20);

/// No record for so long means that all that is committed has been read: a fetch of an idle broker answers in [`IDLE_WAIT`].
const SILENCE: Duration = Duration::from_millis(700);

/// The same before the first record, which waits for connections to be made.
const FIRST_SILENCE: Duration = Duration::from_secs(5);

/// How to reach a cluster.
#[derive(Clone, Debug)]
pub struct Cluster {
    /// `bootstrap.servers`.
    pub brokers: String,
    /// Further librdkafka settings, last word.
    pub settings: Vec<(String, String)>,
}

impl Cluster {
    /// A client configuration with `settings` under the user's own.
    pub fn config(&self, settings: &[(&str, &str)]) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.brokers);
        for (name, value) in settings {
            config.set(*name, *value);
        }
        for (name, value) in &self.settings {
            config.set(name, value);
        }
        config
    }

    /// A consumer of committed records that joins no group and commits nothing. Offsets end at the last stable one: a
    /// transaction under way hides what comes behind it. `idle_wait` is how long a broker may hold the answer to a fetch
    /// while nothing comes: records are never held, and a short wait costs both sides at least as many fetches a second.
    ///
    /// # Errors
    /// When librdkafka refuses a setting.
    pub fn reader(&self, idle_wait: Duration) -> Result<BaseConsumer, Error> {
        let consumer = self
            .config(&[
                ("group.id", "loadgen"),
                ("enable.auto.commit", "false"),
                ("isolation.level", "read_committed"),
                ("auto.offset.reset", "earliest"),
                ("fetch.wait.max.ms", &idle_wait.as_millis().to_string()),
            ])
            .create()?;
        Ok(consumer)
    }
}

/// Partition counts of those of `topics` that exist.
///
/// # Errors
/// When no broker answers.
pub fn partition_counts(consumer: &BaseConsumer, topics: &[String]) -> Result<BTreeMap<String, i32>, Error> {
    let metadata = consumer.fetch_metadata(None, METADATA_MAX)?;
    let counts = metadata
        .topics()
        .iter()
        .filter(|topic| topics.iter().any(|wanted| wanted == topic.name()))
        .map(|topic| (topic.name().to_owned(), topic.partitions().len() as i32))
        .collect();
    Ok(counts)
}

/// Committed records of some topics, read on from where the last read ended.
pub struct KafkaSource {
    brokers: String,
    prefix: String,
    consumer: BaseConsumer,
    counts: BTreeMap<String, i32>,
    read_before: bool,
}

impl KafkaSource {
    /// Opens the topics; those that do not exist are left out, except `required` ones.
    ///
    /// # Errors
    /// When no broker answers or a required topic does not exist.
    pub fn open(cluster: &Cluster, prefix: &str, topics: &[String], required: &[&str]) -> Result<Self, Error> {
        let consumer = cluster.reader(IDLE_WAIT)?;
        let names: Vec<_> = topics.iter().map(|topic| format!("{prefix}{topic}")).collect();
        let counts = partition_counts(&consumer, &names)?;
        if let Some(missing) = required.iter().find(|topic| !counts.contains_key(&format!("{prefix}{topic}"))) {
            return Err(Error::unreachable(&cluster.brokers, format!("there is no topic {prefix}{missing}")));
        }
        let mut list = TopicPartitionList::new();
        for (topic, &count) in &counts {
            for partition in 0..count {
                list.add_partition_offset(topic, partition, Offset::Beginning)?;
            }
        }
        consumer.assign(&list)?;
        Ok(KafkaSource {
            brokers: cluster.brokers.clone(),
            prefix: prefix.to_owned(),
            consumer,
            counts,
            read_before: false,
        })
    }
}

impl LogSource for KafkaSource {
    fn describe(&self) -> String {
        format!("kafka {}", self.brokers)
    }

    fn partitions(&self, topic: &str) -> Option<i32> {
        self.counts.get(&format!("{}{topic}", self.prefix)).copied()
    }

    fn read_new(&mut self, each: &mut dyn FnMut(LogRecord)) -> Result<u64, Error> {
        // librdkafka's end-of-partition event does not name its topic, and a position never reaches the end where a
        // transaction's marker is last. So: until nothing has come for a while, longer before the first record.
        let (mut count, mut last) = (0, Instant::now());
        while last.elapsed() < if self.read_before { SILENCE } else { FIRST_SILENCE } {
            match self.consumer.poll(Duration::from_millis(100)) {
                None => {}
                Some(Ok(message)) => {
                    self.read_before = true;
                    last = Instant::now();
                    count += 1;
                    each(record(&message, &self.prefix));
                }
                Some(Err(error)) if is_passing(&error) => {}
                Some(Err(error)) => return Err(error.into()),
            }
        }
        self.read_before = true;
        Ok(count)
    }
}

/// Errors that librdkafka gets over by itself.
pub fn is_passing(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(
            RDKafkaErrorCode::BrokerTransportFailure
                | RDKafkaErrorCode::AllBrokersDown
                | RDKafkaErrorCode::OperationTimedOut
                | RDKafkaErrorCode::NotLeaderForPartition
                | RDKafkaErrorCode::LeaderNotAvailable
        )
    )
}

/// A message as our own record, its topic without prefix.
pub fn record(message: &BorrowedMessage<'_>, prefix: &str) -> LogRecord {
    let topic = message.topic();
    let headers = message.headers().map(|headers| {
        headers.iter().map(|header| (header.key.to_owned(), header.value.unwrap_or_default().to_vec())).collect()
    });
    LogRecord {
        topic: topic.strip_prefix(prefix).unwrap_or(topic).to_owned(),
        partition: message.partition(),
        offset: message.offset(),
        timestamp: message.timestamp().to_millis().unwrap_or(-1),
        key: message.key().map(<[u8]>::to_vec),
        value: message.payload().map(<[u8]>::to_vec),
        headers: headers.unwrap_or_default(),
    }
}
