//! One topology, running: what Kafka Streams knows as `KafkaStreams`. For programs with a topology of their own; the
//! process `orderflow` starts its businesses with the same parts.
//!
//! ```
//! use std::time::Duration;
//! use node::{Application, Config};
//! use streams::dsl::{Consumed, Materialized, StreamsBuilder};
//! use streams::serde::{I64, Utf8};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let directory = std::env::temp_dir().join(format!("application-doc-{}", std::process::id()));
//! let builder = StreamsBuilder::new("visits");
//! let clicks = builder.stream("clicks", Consumed::<String, String>::with(Utf8, Utf8));
//! clicks.group_by_key().count(Materialized::new("clicks-per-user", Utf8, I64));
//!
//! let mut config = Config::default(); // every key of deploy/default.toml
//! config.node.data_dir = directory.clone();
//! let log = node::embedded_log(&config)?;
//! let app = Application::on_embedded_log(builder.build()?, &log, &config)?;
//! log.send("clicks", Some(b"ada"), Some(b"/index.html"), 0)?;
//! assert!(log.wait_until_read("visits", Duration::from_secs(10))?);
//! let counts = app.view().key_value_store("clicks-per-user", Utf8, I64)?;
//! assert_eq!(counts.find(&"ada".to_owned())?, Some((1, 0)));
//! app.close()?;
//! # drop(log);
//! # std::fs::remove_dir_all(&directory)?;
//! # Ok(())
//! # }
//! ```
//!
//! The same topology on Kafka, as one instance of as many as there are partitions:
//!
//! ```no_run
//! # use node::{Application, Config};
//! # async fn example(topology: streams::Topology) -> Result<(), Box<dyn std::error::Error>> {
//! let mut config = Config::default();
//! config.kafka.brokers = "localhost:9092".into();
//! config.node.instance_id = "a".into();
//! let app = Application::on_kafka(topology, &config)?;
//! tokio::select! {
//!     () = node::signals::stop_requested() => (),
//!     () = app.ended() => (), // a worker failed: `close` says why
//! }
//! app.close()?;
//! # Ok(())
//! # }
//! ```

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use state::{Backend, RocksBackend, rocks};
use streams::{TopicRole, Topology, View};
use thiserror::Error;

use crate::config::{Config, ConfigError, Sync};
use crate::engine::{Stop, WorkerThread, crash_hook};
use crate::kafka::{KafkaLog, Settings, SettingsError, TopicsError, ensure_topics, topic_specs};
use crate::local::{self, LocalBroker, LocalLog, Share};

/// Why an application does not start.
#[derive(Debug, Error)]
pub enum StartError {
    /// The configuration is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// What is set for Kafka is wrong.
    #[error(transparent)]
    Kafka(#[from] SettingsError),
    /// Topics are missing and cannot be created, or are not what the topology needs.
    #[error(transparent)]
    Topics(#[from] TopicsError),
    /// The directory of log and stores cannot be made.
    #[error("cannot create {path}: {source}")]
    Directory {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The embedded log refuses.
    #[error(transparent)]
    Log(#[from] local::Error),
    /// The stores cannot be opened.
    #[error("cannot open the stores: {0}")]
    State(#[from] state::Error),
    /// The operating system has no thread for a worker.
    #[error("no thread for a worker: {0}")]
    Thread(#[from] io::Error),
}

/// A topology and the worker threads that run it, until it is closed or dropped.
pub struct Application {
    view: Arc<View>,
    workers: Vec<WorkerThread>,
    stop: Arc<Stop>,
}

impl Application {
    /// Runs a topology on the embedded log, with `engine.workers` threads. Topics that are not there yet are created, each
    /// with `topics.partitions` partitions and kept for ever; create one before ([`LocalBroker::create_topics`]) to give it
    /// a retention. Applications with ids of their own can share a log.
    ///
    /// # Errors
    /// [`StartError`]. What goes wrong later ends the workers: see [`Application::ended`].
    pub fn on_embedded_log(
        topology: Topology,
        log: &Arc<LocalBroker>,
        config: &Config,
    ) -> Result<Application, StartError> {
        let mut topics = local::topics_of(&topology, config.topics.partitions);
        topics.retain(|topic| log.describe_topic(&topic.name).is_err());
        log.create_topics(&topics)?;
        let view = View::open(Arc::new(topology), log.backend().clone())?;
        let stop = Arc::new(Stop::default());
        let name = view.topology().application_id().to_owned();
        let workers = local_workers(&name, config, log, &view, &stop)?;
        Ok(Application { view, workers, stop })
    }

    /// Runs a topology as one instance on Kafka (`kafka.brokers`), with `engine.workers` threads and its stores in
    /// `node.data_dir`. Creates the topology's own topics (repartition, changelog, dead letters) where they are missing,
    /// with `topics.partitions` partitions: as many as its input topics have, which are the caller's and must be there.
    ///
    /// # Errors
    /// [`StartError`]. What goes wrong later ends the workers: see [`Application::ended`].
    pub fn on_kafka(topology: Topology, config: &Config) -> Result<Application, StartError> {
        let settings = Settings::new(&config.kafka, &config.topics.prefix, &config.instance_id())?;
        let mut specs = topic_specs(&settings, &topology, config.topics.partitions, config.engine.delete_retention_ms);
        let external = |name: &str| {
            let mut others = topology.topics().iter().filter(|t| t.role == TopicRole::External);
            others.any(|t| settings.physical(&t.name) == name)
        };
        specs.retain(|spec| !external(&spec.name));
        ensure_topics(&settings, &specs, false)?;
        let view = View::open(Arc::new(topology), kafka_state(config)?)?;
        let stop = Arc::new(Stop::default());
        let name = view.topology().application_id().to_owned();
        let workers = kafka_workers(&name, config, &settings, &view, &stop)?;
        Ok(Application { view, workers, stop })
    }

    /// What interactive queries read: committed rows of the tasks that run here, and the tasks' condition.
    #[must_use]
    pub fn view(&self) -> &Arc<View> {
        &self.view
    }

    /// Completes when a worker ended by itself; all others then stop too. [`Application::close`] says why.
    pub async fn ended(&self) {
        self.stop.requested().await;
    }

    /// Commits what is processed and leaves; the next start goes on from there. Blocks until that is done.
    ///
    /// # Errors
    /// What ended a worker, now or before.
    pub fn close(self) -> Result<(), streams::Error> {
        self.stop.request();
        self.workers.iter().try_for_each(WorkerThread::join)
    }
}

impl Drop for Application {
    /// As [`Application::close`]; an error that nobody asked for is in the log.
    fn drop(&mut self) {
        self.stop.request();
        for worker in &self.workers {
            let _ = worker.join();
        }
    }
}

/// Opens the embedded log in `node.data_dir`, as the section `local` of the configuration says. It closes when the last
/// handle is dropped.
///
/// # Errors
/// [`StartError::Directory`], [`StartError::Log`].
pub fn embedded_log(config: &Config) -> Result<Arc<LocalBroker>, StartError> {
    let directory = config.node.data_dir.join("log");
    create(&directory)?;
    let sync = match config.local.sync {
        Sync::Always => local::Sync::Always,
        Sync::Interval => local::Sync::Interval(std::time::Duration::from_millis(config.local.interval_ms)),
    };
    let settings = local::Config { sync, ..local::Config::default() };
    let memory = config.engine.memory_budget_bytes;
    let (log, _) = LocalBroker::open_rocks_with_hook(&directory, memory, settings, crash_hook())?;
    Ok(log)
}

/// Opens the stores of an instance on Kafka, in `node.data_dir`.
pub(crate) fn kafka_state(config: &Config) -> Result<Arc<dyn Backend>, StartError> {
    let directory = config.node.data_dir.join("state");
    create(&directory)?;
    let options = rocks::Options {
        memory_budget_bytes: config.engine.memory_budget_bytes,
        durability: rocks::Durability::Process,
        ..rocks::Options::default()
    };
    Ok(Arc::new(RocksBackend::open(&directory, options)?))
}

fn create(directory: &Path) -> Result<(), StartError> {
    std::fs::create_dir_all(directory).map_err(|source| StartError::Directory { path: directory.into(), source })
}

/// Starts the workers of a topology on the embedded log, named `<name>-<number>`.
pub(crate) fn local_workers(
    name: &str,
    config: &Config,
    log: &Arc<LocalBroker>,
    view: &Arc<View>,
    stop: &Arc<Stop>,
) -> Result<Vec<WorkerThread>, StartError> {
    let mut workers = Vec::new();
    let count = u32::try_from(config.engine.workers).unwrap_or(u32::MAX);
    for number in 0..count {
        let (log, topology) = (log.clone(), view.topology().clone());
        let share = Share { worker: number, workers: count, subtopologies: config.subtopologies()? };
        let make = move || LocalLog::new(log, topology, &share).map_err(|e| streams::Error::Refused(e.to_string()));
        let worker = format!("{name}-{number}");
        workers.push(WorkerThread::spawn(worker, make, view.clone(), config.worker(), stop.clone())?);
    }
    Ok(workers)
}

/// Starts the workers of a topology on Kafka, named `<name>-<number>`.
pub(crate) fn kafka_workers(
    name: &str,
    config: &Config,
    settings: &Settings,
    view: &Arc<View>,
    stop: &Arc<Stop>,
) -> Result<Vec<WorkerThread>, StartError> {
    let mine: Option<Vec<u16>> = config.subtopologies()?.map(|mine| mine.into_iter().collect());
    if mine.as_ref().is_some_and(Vec::is_empty) {
        return Ok(Vec::new());
    }
    let mut workers = Vec::new();
    for number in 0..config.engine.workers {
        let (settings, topology, mine) = (settings.clone(), view.topology().clone(), mine.clone());
        let make = move || Ok(KafkaLog::connect(&settings, &topology, number, mine.as_deref())?);
        let worker = format!("{name}-{number}");
        workers.push(WorkerThread::spawn(worker, make, view.clone(), config.worker(), stop.clone())?);
    }
    Ok(workers)
}
