//! A workload on Kafka: the process that the harness starts.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use node::config::Config;
use node::engine::{Stop, WorkerThread};
use node::kafka::{KafkaLog, Settings, ensure_topics, topic_specs};
use state::{Backend, RocksBackend, rocks};
use streams::{Topology, View};

use crate::format::Ids;
use crate::{http, w1, w2};

/// Which workload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Workload {
    /// The aggregate per key.
    W1,
    /// The order saga.
    W2,
}

/// How to run it.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// bootstrap.servers.
    #[arg(long)]
    pub bootstrap: String,
    /// Directory of the stores.
    #[arg(long)]
    pub state_dir: PathBuf,
    /// application.id.
    #[arg(long)]
    pub app_id: String,
    /// JSON of schema names and ids.
    #[arg(long)]
    pub schema_ids: PathBuf,
    /// Port of the queries on the loopback interface (W2 only); none without it.
    #[arg(long)]
    pub http_port: Option<u16>,
    /// Settings of `orderflow`, `section.key=value`; repeatable.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub set: Vec<String>,
}

/// Runs until asked to stop.
///
/// # Errors
/// When it cannot start, or a worker ended with an error.
pub async fn run(workload: Workload, options: &Options) -> anyhow::Result<()> {
    let mut set = options.set.clone();
    set.push(format!("kafka.brokers={}", options.bootstrap));
    let config = Config::load(None, std::env::vars(), &set)?;
    let settings = Settings::new(&config.kafka, "", "bench")?;
    let ids = Ids::read(&options.schema_ids)?;
    let formats = w2::Formats::new(&ids)?;
    let topology = Arc::new(match workload {
        Workload::W1 => w1::topology(&options.app_id, &ids)?,
        Workload::W2 => w2::topology(&options.app_id, &formats)?,
    });
    let backend = open(options, &config)?;
    let view = View::open(topology.clone(), backend)?;
    let stop = Arc::new(Stop::default());
    if let Some(port) = options.http_port
        && let Some(queries) = http::Queries::new(view.clone(), &formats, config.topics.partitions)
    {
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await.context("the port of the queries")?;
        tokio::spawn(http::serve(listener, http::router(queries)));
    }
    own_topics(&settings, &topology, &config)?;
    let mut workers = Vec::new();
    for number in 0..config.engine.workers {
        let (settings, topology) = (settings.clone(), topology.clone());
        let make = move || Ok(KafkaLog::connect(&settings, &topology, number, None)?);
        let name = format!("worker-{number}");
        workers.push(WorkerThread::spawn(name, make, view.clone(), config.worker(), stop.clone())?);
    }
    tokio::select! {
        () = node::signals::stop_requested() => stop.request(),
        () = stop.requested() => (),
    }
    workers.iter().try_for_each(WorkerThread::join)?;
    Ok(())
}

fn open(options: &Options, config: &Config) -> anyhow::Result<Arc<dyn Backend>> {
    let rocks = rocks::Options {
        memory_budget_bytes: config.engine.memory_budget_bytes,
        durability: rocks::Durability::Process,
        ..rocks::Options::default()
    };
    std::fs::create_dir_all(&options.state_dir)?;
    let backend = RocksBackend::open(&options.state_dir, rocks)
        .with_context(|| format!("cannot open the stores in {}", options.state_dir.display()))?;
    Ok(Arc::new(backend))
}

/// Changelogs and dead letters; the others are the harness's.
fn own_topics(settings: &Settings, topology: &Topology, config: &Config) -> anyhow::Result<()> {
    let mut specs = topic_specs(settings, topology, config.topics.partitions, config.engine.delete_retention_ms);
    specs.retain(|s| s.name.starts_with(topology.application_id()));
    ensure_topics(settings, &specs, false)?;
    Ok(())
}
