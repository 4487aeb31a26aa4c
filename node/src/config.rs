//! Configuration: defaults, file, environment and flags merged as TOML, then read once into [`Config`]. A key nobody knows
//! is refused by name, wherever it came from.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use thiserror::Error;
use toml::{Table, Value};

/// The defaults, every key with its unit: the documentation is the file itself.
pub const DEFAULTS: &str = include_str!("../../deploy/default.toml");

/// Prefix of environment variables: `ORDERFLOW__HTTP__LISTEN` sets `http.listen`.
pub const ENV_PREFIX: &str = "ORDERFLOW__";

/// Everything a process can be told. Field by field as in `deploy/default.toml`, which see.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "every key is documented in deploy/default.toml, the one place users read")]
pub struct Config {
    pub node: Node,
    pub http: Http,
    pub topics: Topics,
    pub engine: Engine,
    pub errors: Errors,
    pub local: Local,
    pub kafka: Kafka,
    pub registry: RegistryConfig,
    pub payment: Payment,
    pub breaker: BreakerConfig,
    pub taxi: Taxi,
    pub simulate: Simulate,
    pub saga: Saga,
    pub log: Log,
}

macro_rules! section {
    ($name:ident { $($field:ident: $type:ty),* $(,)? }) => {
        #[derive(Clone, Debug, Deserialize)]
        #[serde(deny_unknown_fields)]
        #[expect(missing_docs, reason = "every key is documented in deploy/default.toml, the one place users read")]
        pub struct $name { $(pub $field: $type),* }
    };
}

section!(Node { apps: Vec<String>, instance_id: String, data_dir: PathBuf, tasks: String });
section!(Http { listen: std::net::SocketAddr, advertised_url: String });
section!(Topics { prefix: String, partitions: u32 });
section!(Engine {
    workers: usize,
    commit_interval_ms: i64,
    commit_min_interval_ms: i64,
    buffered_records_per_partition: usize,
    cache_max_bytes: usize,
    memory_budget_bytes: usize,
    delete_retention_ms: i64,
});
section!(Errors { decode: Handler, process: Handler, produce: Handler });
section!(Local { sync: Sync, interval_ms: u64 });
section!(Kafka {
    brokers: String,
    group_protocol: GroupProtocol,
    session_timeout_ms: u32,
    transaction_timeout_ms: u32,
    replication_factor: i32,
    consumer: BTreeMap<String, Value>,
    producer: BTreeMap<String, Value>,
});
section!(RegistryConfig { url: String });
section!(Payment { url: String, timeout_ms: u64, concurrency: usize, worker: bool });
section!(BreakerConfig { failure_percent: u32, window: usize, probes: usize, open_ms: u64 });
section!(Taxi { accept_timeout_ms: u64 });
section!(Simulate { accept_delay_ms: u64, accept_jitter_ms: u64 });
section!(Saga { payment_deadline_ms: i64, retention_ms: i64, command_retention_ms: i64 });
section!(Log { format: LogFormat, level: String });

/// What becomes of a failing record.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum Handler {
    /// Stop its task.
    Fail,
    /// Skip it.
    Continue,
    /// Keep it in the dead-letter topic.
    DeadLetter,
}

impl From<Handler> for streams::OnError {
    fn from(handler: Handler) -> Self {
        match handler {
            Handler::Fail => streams::OnError::Fail,
            Handler::Continue => streams::OnError::Continue,
            Handler::DeadLetter => streams::OnError::DeadLetter,
        }
    }
}

/// When the embedded log is on disk.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum Sync {
    /// Before every answer.
    Always,
    /// Every `interval_ms`.
    Interval,
}

/// Kafka's group protocols.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum GroupProtocol {
    /// Client-side assignment, `range`, static members.
    Classic,
    /// KIP-848 with the broker's `range` assignor.
    Consumer,
}

/// Form of the log lines.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum LogFormat {
    /// For people.
    Human,
    /// One JSON object per line.
    Json,
}

/// Why a configuration is refused.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// A file cannot be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A source is not TOML.
    #[error("{source_name}: {message}")]
    Syntax {
        /// Which source.
        source_name: String,
        /// What is wrong.
        message: String,
    },
    /// A key is unknown or its value has the wrong type.
    #[error("{0}. All keys with their units: `orderflow config`")]
    Invalid(String),
}

impl Default for Config {
    /// The defaults alone, for programs that set fields themselves.
    fn default() -> Self {
        Config::load(None, std::iter::empty(), &[]).expect("the defaults are valid: a test loads them")
    }
}

impl Config {
    /// Merges defaults, file, environment and `key=value` settings, in this order, and checks the result.
    ///
    /// # Errors
    /// [`ConfigError`], naming the source or the key.
    pub fn load(
        file: Option<&Path>,
        environment: impl Iterator<Item = (String, String)>,
        settings: &[String],
    ) -> Result<Config, ConfigError> {
        let mut merged = parse("defaults", DEFAULTS)?;
        if let Some(path) = file {
            let text =
                std::fs::read_to_string(path).map_err(|source| ConfigError::Read { path: path.into(), source })?;
            merge(&mut merged, parse(&path.display().to_string(), &text)?);
        }
        for (name, value) in environment {
            if let Some(key) = name.strip_prefix(ENV_PREFIX) {
                set(&mut merged, &key.to_lowercase().replace("__", "."), &value);
            }
        }
        for setting in settings {
            let (key, value) = setting
                .split_once('=')
                .ok_or_else(|| ConfigError::Invalid(format!("--set {setting}: write it as section.key=value")))?;
            set(&mut merged, key.trim(), value.trim());
        }
        let config: Config = Value::Table(merged)
            .try_into()
            .map_err(|e: toml::de::Error| ConfigError::Invalid(e.message().to_owned()))?;
        config.check()?;
        Ok(config)
    }

    fn check(&self) -> Result<(), ConfigError> {
        positive("topics.partitions", self.topics.partitions)?;
        positive("engine.workers", self.engine.workers)?;
        positive("engine.commit_interval_ms", self.engine.commit_interval_ms)?;
        positive("engine.buffered_records_per_partition", self.engine.buffered_records_per_partition)?;
        self.subtopologies()?;
        positive("payment.concurrency", self.payment.concurrency)?;
        positive("breaker.window", self.breaker.window)?;
        positive("breaker.probes", self.breaker.probes)?;
        if !(1..=100).contains(&self.breaker.failure_percent) {
            let message = format!("breaker.failure_percent = {}: it must be 1 to 100", self.breaker.failure_percent);
            return Err(ConfigError::Invalid(message));
        }
        if self.node.apps.is_empty() {
            return Err(ConfigError::Invalid("node.apps is empty: name at least one business".into()));
        }
        if self.engine.commit_min_interval_ms < 0 || self.engine.commit_min_interval_ms > self.engine.commit_interval_ms
        {
            return Err(ConfigError::Invalid(format!(
                "engine.commit_min_interval_ms = {}: it must lie between 0 and engine.commit_interval_ms = {}",
                self.engine.commit_min_interval_ms, self.engine.commit_interval_ms
            )));
        }
        Ok(())
    }

    /// The engine's part, as the engine takes it.
    #[must_use]
    pub fn worker(&self) -> streams::Config {
        streams::Config {
            commit_interval_ms: self.engine.commit_interval_ms,
            commit_min_interval_ms: self.engine.commit_min_interval_ms,
            buffered_records_per_partition: self.engine.buffered_records_per_partition,
            cache_bytes: self.engine.cache_max_bytes / self.engine.workers.max(1),
            delete_retention_ms: self.engine.delete_retention_ms,
            errors: streams::ErrorPolicy {
                decode: self.errors.decode.into(),
                process: self.errors.process.into(),
                produce: self.errors.produce.into(),
            },
            ..streams::Config::default()
        }
    }

    /// A circuit breaker's settings, by the time after which a call has failed.
    #[must_use]
    pub fn breaker(&self, timeout_ms: u64) -> query_api::breaker::Settings {
        query_api::breaker::Settings {
            timeout: Duration::from_millis(timeout_ms),
            failure_rate: self.breaker.failure_percent as f32 / 100.0,
            window: self.breaker.window,
            probes: self.breaker.probes,
            open: Duration::from_millis(self.breaker.open_ms),
        }
    }

    /// The sub-topologies this process runs; `None` for all.
    ///
    /// # Errors
    /// When `node.tasks` is neither `all`, `none`, nor a list of numbers.
    pub fn subtopologies(&self) -> Result<Option<BTreeSet<u16>>, ConfigError> {
        match self.node.tasks.trim() {
            "all" => Ok(None),
            "none" => Ok(Some(BTreeSet::new())),
            list => {
                list.split(',').map(|n| n.trim().parse::<u16>()).collect::<Result<_, _>>().map(Some).map_err(|_| {
                    let message =
                        "write all, none, or numbers of sub-topologies such as 0,2 (`orderflow describe` lists them)";
                    ConfigError::Invalid(format!("node.tasks = {list:?}: {message}"))
                })
            }
        }
    }

    /// The instance's name: as configured, else the host's.
    #[must_use]
    pub fn instance_id(&self) -> String {
        if !self.node.instance_id.is_empty() {
            return self.node.instance_id.clone();
        }
        let host = std::fs::read_to_string("/etc/hostname").unwrap_or_default();
        let host = host.trim();
        if host.is_empty() { "orderflow".to_owned() } else { host.to_owned() }
    }

    /// How other instances reach this one's HTTP service.
    #[must_use]
    pub fn advertised_url(&self) -> String {
        if self.http.advertised_url.is_empty() {
            format!("http://{}", self.http.listen)
        } else {
            self.http.advertised_url.trim_end_matches('/').to_owned()
        }
    }
}

fn positive<T: PartialOrd + Default + fmt::Display>(key: &str, value: T) -> Result<(), ConfigError> {
    if value > T::default() {
        Ok(())
    } else {
        Err(ConfigError::Invalid(format!("{key} = {value}: it must be at least 1")))
    }
}

fn parse(source_name: &str, text: &str) -> Result<Table, ConfigError> {
    text.parse::<Table>()
        .map_err(|e| ConfigError::Syntax { source_name: source_name.to_owned(), message: e.to_string() })
}

/// Tables are merged key by key, everything else is replaced.
fn merge(into: &mut Table, from: Table) {
    for (key, value) in from {
        match (into.get_mut(&key), value) {
            (Some(Value::Table(old)), Value::Table(new)) => merge(old, new),
            (_, value) => {
                into.insert(key, value);
            }
        }
    }
}

/// Sets a dotted key. The text is read as TOML where it is TOML (`5`, `true`, `["a"]`) unless the default is a string, and
/// as a plain string otherwise. Kafka's own setting names have dots: below `kafka.consumer` and `kafka.producer` the rest
/// of the key is one name.
fn set(table: &mut Table, key: &str, text: &str) {
    let (section, name) = match ["kafka.consumer.", "kafka.producer."].iter().find(|p| key.starts_with(**p)) {
        Some(prefix) => (prefix.trim_end_matches('.'), &key[prefix.len()..]),
        None => key.rsplit_once('.').unwrap_or(("", key)),
    };
    let mut at = table;
    for part in section.split('.').filter(|p| !p.is_empty()) {
        let entry = at.entry(part.to_owned()).or_insert_with(|| Value::Table(Table::new()));
        if !entry.is_table() {
            *entry = Value::Table(Table::new());
        }
        let Value::Table(next) = entry else { return };
        at = next;
    }
    let is_text = at.get(name).is_some_and(Value::is_str);
    let parsed = (!is_text).then(|| format!("v = {text}").parse::<Table>().ok()).flatten();
    let value = parsed.and_then(|mut t| t.remove("v")).unwrap_or_else(|| Value::String(text.to_owned()));
    at.insert(name.to_owned(), value);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(environment: &[(&str, &str)], settings: &[&str]) -> Result<Config, ConfigError> {
        let environment = environment.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
        let settings: Vec<String> = settings.iter().map(|s| (*s).to_owned()).collect();
        Config::load(None, environment, &settings)
    }

    #[test]
    fn defaults_are_valid_and_flags_win_over_the_environment() {
        let config = load(&[], &[]).expect("defaults are valid");
        assert_eq!(config.http.listen.port(), 8088);
        let env = [("ORDERFLOW__HTTP__LISTEN", "127.0.0.1:1"), ("ORDERFLOW__TOPICS__PARTITIONS", "7"), ("HOME", "/")];
        let config = load(&env, &["http.listen=127.0.0.1:2", "kafka.consumer.fetch.wait.max.ms=9"]).expect("valid");
        assert_eq!((config.http.listen.port(), config.topics.partitions), (2, 7));
        assert_eq!(config.kafka.consumer.get("fetch.wait.max.ms"), Some(&Value::Integer(9)));
    }

    #[test]
    fn what_nobody_knows_is_refused_by_name() {
        for (setting, word) in [
            ("http.lissten=127.0.0.1:1", "lissten"),
            ("htp.listen=1", "htp"),
            ("topics.partitions=many", "invalid type"),
            ("topics.partitions=0", "topics.partitions"),
            ("engine.buffered_records_per_partition=0", "engine.buffered_records_per_partition"),
            ("errors.decode=ignore", "ignore"),
            ("nonsense", "section.key=value"),
        ] {
            let error = load(&[], &[setting]).expect_err(setting).to_string();
            assert!(error.contains(word), "{setting}: {error}");
        }
    }
}
