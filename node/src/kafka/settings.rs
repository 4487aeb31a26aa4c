//! How clients of the cluster are configured: what the engine's guarantees rest on is fixed, the rest passes through.

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;
use thiserror::Error;

use streams::partitioner::murmur2;

use crate::config::{self, GroupProtocol};

/// Time between two group heartbeats, as a share of the session timeout (Kafka asks for at most a third). A survivor learns
/// of a dead member's rebalance by its own next heartbeat, so this is part of every takeover: 500 ms of the default session.
const HEARTBEATS_PER_SESSION: u32 = 12;
/// Longest time a broker holds a fetch that finds nothing, milliseconds. A partition that is sought anew waits for the
/// fetch under way, so this bounds the delay of a takeover; 20 empty fetches a second are the price.
const FETCH_WAIT_MS: u32 = 50;
/// As [`FETCH_WAIT_MS`], of the consumer that restores stores: it lives for a restore only.
const REPLAY_FETCH_WAIT_MS: u32 = 10;
/// Records fetched ahead per partition: what a worker can process in several times [`FETCH_QUEUE_BACKOFF_MS`]. One takes
/// some 300 bytes in librdkafka besides its own, and librdkafka's default of 100,000 would hold a whole backlog in memory.
const QUEUED_RECORDS: u32 = 1_000;
/// Bytes fetched ahead per partition, KiB.
const QUEUED_KBYTES: u32 = 2_048;
/// Bytes that one fetch may bring of one partition, beyond its first batch; compressed ones, of which a backlog has
/// thousands of records in as many.
const FETCH_BYTES: u32 = 65_536;
/// When enough is fetched ahead librdkafka looks again after this time, milliseconds, whatever was read meanwhile.
const FETCH_QUEUE_BACKOFF_MS: u32 = 5;
/// Wait between two tries of a transaction call while the previous transaction still ends (CONCURRENT_TRANSACTIONS),
/// milliseconds. At librdkafka's default of 100 ms back-to-back commits take over 100 ms each; at 2 ms about 6 ms.
const TRANSACTION_RETRY_BACKOFF_MS: u32 = 2;
/// How long records wait for more of their partition before they are sent, milliseconds. A commit flushes at once, so this
/// delays nobody; with librdkafka's 5 ms a backlog is written in three times as many requests, at over twice the broker's CPU.
const LINGER_MS: u32 = 20;
/// Records queued in a producer before `send` waits.
const PRODUCER_QUEUE_RECORDS: u32 = 500_000;
/// Bytes queued in a producer before `send` waits, KiB.
const PRODUCER_QUEUE_KBYTES: u32 = 262_144;

/// Settings that may not be passed through, each with the reason.
const PROTECTED: &[(&str, &str)] = &[
    ("bootstrap.servers", "is kafka.brokers"),
    ("client.id", "names the transactional id, by which a dead instance's open transaction is found"),
    ("group.id", "is the application's id"),
    ("group.instance.id", "is <instance>-<worker> and its topics: a restarted worker takes its place by it"),
    ("group.protocol", "is kafka.group_protocol"),
    ("session.timeout.ms", "is kafka.session_timeout_ms"),
    ("partition.assignment.strategy", "must be range: other assignors tear co-partitioned topics apart"),
    ("group.remote.assignor", "must be range: other assignors tear co-partitioned topics apart"),
    ("isolation.level", "must be read_committed for exactly-once"),
    ("enable.auto.commit", "positions are committed in transactions only"),
    ("enable.auto.offset.store", "positions are committed in transactions only"),
    ("auto.offset.reset", "a lost position must stop the task, not skip records"),
    ("enable.partition.eof", "the end of a partition tells when an input has caught up"),
    ("transactional.id", "is <application>-<instance>-<worker>: a restart ends what its predecessor left open by it"),
    ("transaction.timeout.ms", "is kafka.transaction_timeout_ms"),
    ("enable.idempotence", "must be true for exactly-once"),
    ("acks", "must be all for exactly-once"),
    ("partitioner", "must be murmur2_random: keys are placed as Java places them"),
    ("message.timeout.ms", "follows kafka.transaction_timeout_ms"),
    ("delivery.timeout.ms", "follows kafka.transaction_timeout_ms"),
];

/// A setting that is refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SettingsError {
    /// The engine needs it as it is.
    #[error("kafka.{section}.{key} cannot be set: it {reason}")]
    Protected {
        /// `consumer` or `producer`.
        section: &'static str,
        /// The setting.
        key: String,
        /// Why.
        reason: &'static str,
    },
    /// Neither text nor number nor truth value.
    #[error("kafka.{section}.{key} must be a string, a number or a boolean")]
    NotScalar {
        /// `consumer` or `producer`.
        section: &'static str,
        /// The setting.
        key: String,
    },
    /// There is no cluster to talk to.
    #[error("kafka.brokers is empty: set it to host:port[,host:port…]")]
    NoBrokers,
}

/// The cluster and our place in it.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `bootstrap.servers`.
    pub brokers: String,
    /// Name of this process, stable over restarts and unlike any other's.
    pub instance: String,
    /// Put before every topic name, and before the group's and the transactional ids.
    pub prefix: String,
    /// The group protocol.
    pub group_protocol: GroupProtocol,
    /// Silence after which the group gives a worker's tasks to others.
    pub session_timeout: Duration,
    /// Age at which the broker aborts an open transaction.
    pub transaction_timeout: Duration,
    /// Of topics that are created; -1 for the broker's default.
    pub replication_factor: i32,
    consumer: BTreeMap<String, String>,
    producer: BTreeMap<String, String>,
}

impl Settings {
    /// Checked settings for this process.
    ///
    /// # Errors
    /// [`SettingsError`] for a protected or malformed pass-through setting, or no brokers.
    pub fn new(kafka: &config::Kafka, prefix: &str, instance: &str) -> Result<Settings, SettingsError> {
        if kafka.brokers.trim().is_empty() {
            return Err(SettingsError::NoBrokers);
        }
        Ok(Settings {
            brokers: kafka.brokers.clone(),
            instance: instance.to_owned(),
            prefix: prefix.to_owned(),
            group_protocol: kafka.group_protocol,
            session_timeout: Duration::from_millis(kafka.session_timeout_ms.into()),
            transaction_timeout: Duration::from_millis(kafka.transaction_timeout_ms.into()),
            replication_factor: kafka.replication_factor,
            consumer: pass_through("consumer", &kafka.consumer)?,
            producer: pass_through("producer", &kafka.producer)?,
        })
    }

    /// The name a topic has in the cluster.
    #[must_use]
    pub fn physical(&self, topic: &str) -> String {
        format!("{}{topic}", self.prefix)
    }

    /// The consumer group of an application.
    #[must_use]
    pub fn group(&self, application: &str) -> String {
        format!("{}{application}", self.prefix)
    }

    /// The member of the group that is a worker of this process.
    #[must_use]
    pub fn member(&self, worker: usize) -> String {
        format!("{}-{worker}", self.instance)
    }

    /// The transactional id of a worker; also its `client.id`, by which others know whose transaction to end.
    #[must_use]
    pub fn transactional_id(&self, application: &str, worker: usize) -> String {
        format!("{}-{}", self.group(application), self.member(worker))
    }

    fn client(&self, client_id: &str) -> ClientConfig {
        let mut config = ClientConfig::new();
        // `RUST_LOG=node=debug` also shows what the `debug` setting of a client asks for.
        let debug = tracing::enabled!(tracing::Level::DEBUG);
        config.set_log_level(if debug { RDKafkaLogLevel::Debug } else { RDKafkaLogLevel::Info });
        config.set("bootstrap.servers", &self.brokers);
        config.set("client.id", client_id);
        config.set("reconnect.backoff.max.ms", "1000");
        config
    }

    fn any_consumer(&self, client_id: &str, fetch_wait_ms: u32) -> ClientConfig {
        let mut config = self.client(client_id);
        config.set("fetch.wait.max.ms", fetch_wait_ms.to_string());
        config.set("fetch.error.backoff.ms", "50");
        config.set("fetch.queue.backoff.ms", FETCH_QUEUE_BACKOFF_MS.to_string());
        config.set("fetch.message.max.bytes", FETCH_BYTES.to_string());
        config.set("queued.min.messages", QUEUED_RECORDS.to_string());
        config.set("queued.max.messages.kbytes", QUEUED_KBYTES.to_string());
        for (key, value) in &self.consumer {
            config.set(key, value);
        }
        config.set("enable.auto.commit", "false");
        config.set("enable.auto.offset.store", "false");
        config.set("enable.partition.eof", "true");
        config.set("auto.offset.reset", "error");
        config.set("isolation.level", "read_committed");
        config
    }

    /// A worker's member of the group, which is to subscribe to these topics.
    ///
    /// They are part of the member's name: a static member that comes back gets the assignment it had, without a rebalance,
    /// even if it has come back for other topics (KIP-345). It would go on with tasks it was told not to run, and never get
    /// those of a sub-topology that a new version has more.
    pub(super) fn group_consumer(&self, application: &str, worker: usize, topics: &[String]) -> ClientConfig {
        let mut config = self.any_consumer(&self.transactional_id(application, worker), FETCH_WAIT_MS);
        config.set("group.id", self.group(application));
        let mut topics: Vec<&str> = topics.iter().map(String::as_str).collect();
        topics.sort_unstable();
        let topics = murmur2(topics.join(",").as_bytes());
        config.set("group.instance.id", format!("{}.{topics:08x}", self.member(worker)));
        match self.group_protocol {
            GroupProtocol::Classic => {
                config.set("group.protocol", "classic");
                config.set("partition.assignment.strategy", "range");
                config.set("session.timeout.ms", self.session_timeout.as_millis().to_string());
                let heartbeat = self.session_timeout / HEARTBEATS_PER_SESSION;
                config.set("heartbeat.interval.ms", heartbeat.as_millis().to_string());
            }
            GroupProtocol::Consumer => {
                config.set("group.protocol", "consumer");
                config.set("group.remote.assignor", "range");
            }
        }
        config
    }

    /// A reader of committed records that assigns itself; it never joins the group whose name it bears.
    pub(super) fn reader(&self, group: &str, client_id: &str) -> ClientConfig {
        let mut config = self.any_consumer(client_id, FETCH_WAIT_MS);
        // librdkafka assigns nothing without a group id.
        config.set("group.id", group);
        config
    }

    /// As [`Settings::reader`], for restoring: it asks more often, and only for a while.
    pub(super) fn replayer(&self, group: &str, client_id: &str) -> ClientConfig {
        let mut config = self.reader(group, client_id);
        config.set("fetch.wait.max.ms", REPLAY_FETCH_WAIT_MS.to_string());
        config
    }

    /// A member of a group that commits positions itself and reads from the beginning what was never committed.
    pub(super) fn plain_member(&self, group: &str, member: &str) -> ClientConfig {
        let mut config = self.reader(group, member);
        config.set("group.instance.id", member);
        config.set("session.timeout.ms", self.session_timeout.as_millis().to_string());
        config.set("heartbeat.interval.ms", (self.session_timeout / HEARTBEATS_PER_SESSION).as_millis().to_string());
        config.set("partition.assignment.strategy", "range");
        config.set("auto.offset.reset", "earliest");
        config
    }

    /// A client that asks for the ends of logs as they are, open transactions included.
    pub(super) fn observer(&self, client_id: &str) -> ClientConfig {
        let mut config = self.any_consumer(client_id, FETCH_WAIT_MS);
        config.set("isolation.level", "read_uncommitted");
        // It is never polled, and lines of its log would wait for that.
        config.set_log_level(RDKafkaLogLevel::Info);
        config
    }

    fn any_producer(&self, client_id: &str) -> ClientConfig {
        let mut config = self.client(client_id);
        config.set("queue.buffering.max.messages", PRODUCER_QUEUE_RECORDS.to_string());
        config.set("queue.buffering.max.kbytes", PRODUCER_QUEUE_KBYTES.to_string());
        for (key, value) in &self.producer {
            config.set(key, value);
        }
        config.set("enable.idempotence", "true");
        config.set("partitioner", "murmur2_random");
        config
    }

    /// A worker's producer, or one that takes its place to end what it left open.
    pub(super) fn transactional_producer(&self, transactional_id: &str) -> ClientConfig {
        let mut config = self.any_producer(transactional_id);
        if !["linger.ms", "queue.buffering.max.ms"].iter().any(|key| self.producer.contains_key(*key)) {
            config.set("linger.ms", LINGER_MS.to_string());
        }
        config.set("transactional.id", transactional_id);
        config.set("transaction.timeout.ms", self.transaction_timeout.as_millis().to_string());
        if !self.producer.contains_key("retry.backoff.ms") {
            config.set("retry.backoff.ms", TRANSACTION_RETRY_BACKOFF_MS.to_string());
        }
        config
    }

    /// An idempotent producer without transactions, whose records fail after `timeout`.
    pub(super) fn plain_producer(&self, client_id: &str, timeout: Duration) -> ClientConfig {
        let mut config = self.any_producer(client_id);
        config.set("message.timeout.ms", timeout.as_millis().to_string());
        config
    }

    /// A client for administration.
    pub(super) fn admin(&self) -> ClientConfig {
        self.client(&format!("{}-admin", self.instance))
    }
}

fn pass_through(
    section: &'static str,
    settings: &BTreeMap<String, toml::Value>,
) -> Result<BTreeMap<String, String>, SettingsError> {
    let mut passed = BTreeMap::new();
    for (key, value) in flatten("", settings.iter()) {
        if let Some((_, reason)) = PROTECTED.iter().find(|(k, _)| *k == key) {
            return Err(SettingsError::Protected { section, key, reason });
        }
        let value = match value {
            toml::Value::String(s) => s.clone(),
            toml::Value::Integer(n) => n.to_string(),
            toml::Value::Float(x) => x.to_string(),
            toml::Value::Boolean(b) => b.to_string(),
            toml::Value::Datetime(_) | toml::Value::Array(_) | toml::Value::Table(_) => {
                return Err(SettingsError::NotScalar { section, key });
            }
        };
        passed.insert(key, value);
    }
    Ok(passed)
}

/// Kafka's names have dots, which TOML reads as tables unless they are quoted: both forms are one name here.
fn flatten<'a>(
    above: &str,
    table: impl Iterator<Item = (&'a String, &'a toml::Value)>,
) -> Vec<(String, &'a toml::Value)> {
    let mut flat = Vec::new();
    for (key, value) in table {
        let name = if above.is_empty() { key.clone() } else { format!("{above}.{key}") };
        match value {
            toml::Value::Table(inner) => flat.extend(flatten(&name, inner.iter())),
            value => flat.push((name, value)),
        }
    }
    flat
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(consumer: &str, producer: &str) -> Result<Settings, SettingsError> {
        let kafka = config::Kafka {
            brokers: "b:1".to_owned(),
            group_protocol: GroupProtocol::Classic,
            session_timeout_ms: 6_000,
            transaction_timeout_ms: 10_000,
            replication_factor: -1,
            consumer: toml::from_str(consumer).expect("toml"),
            producer: toml::from_str(producer).expect("toml"),
        };
        Settings::new(&kafka, "staging.", "a")
    }

    #[test]
    fn dotted_and_quoted_names_pass_through() {
        let s = settings("\"fetch.min.bytes\" = 10\n[socket]\nkeepalive.enable = true", "linger.ms = 1").expect("fine");
        let topics = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let consumer = s.group_consumer("app", 3, &topics(&["x", "y"]));
        assert_eq!(consumer.get("fetch.min.bytes"), Some("10"));
        assert_eq!(consumer.get("socket.keepalive.enable"), Some("true"));
        assert_eq!(consumer.get("group.id"), Some("staging.app"));
        let member =
            |names: &[&str]| s.group_consumer("app", 3, &topics(names)).get("group.instance.id").map(str::to_owned);
        assert!(consumer.get("group.instance.id").is_some_and(|id| id.starts_with("a-3.")));
        assert_eq!(member(&["y", "x"]), member(&["x", "y"]));
        assert_ne!(member(&["x"]), member(&["x", "y"]));
        let producer = s.transactional_producer(&s.transactional_id("app", 3));
        assert_eq!(producer.get("linger.ms"), Some("1"));
        assert_eq!(producer.get("transactional.id"), Some("staging.app-a-3"));
        assert_eq!(producer.get("client.id"), consumer.get("client.id"), "others find the open transaction by it");
    }

    #[test]
    fn what_guarantees_rest_on_is_refused_with_the_reason() {
        for (key, reason) in PROTECTED {
            let refused = settings(&format!("\"{key}\" = \"x\""), "").expect_err(key);
            assert!(refused.to_string().contains(reason), "{refused}");
            let refused = settings("", &format!("{key} = 1")).expect_err(key);
            assert!(refused.to_string().starts_with("kafka.producer."), "{refused}");
        }
        let refused = settings("fetch.min.bytes = [1]", "").expect_err("a list");
        assert!(matches!(refused, SettingsError::NotScalar { .. }), "{refused}");
    }
}
