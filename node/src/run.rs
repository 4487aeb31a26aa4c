//! `orderflow run` and `orderflow topics`: one instance of many on Apache Kafka.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use query_api::platform::App;
use streams::{Topology, View};
use tokio::sync::mpsc;

use crate::cluster::Cluster;
use crate::config::{Config, ConfigError};
use crate::engine::Stop;
use crate::instances::{self, Instances};
use crate::kafka::{
    GroupReader, KafkaAppender, KafkaTail, Received, Settings, TopicChange, TopicSpec, ensure_topics, topic_specs,
};
use crate::metrics::Metrics;
use crate::payment::{PaymentLog, Request};
use crate::service;
use crate::{application, apps};

/// Longest time an appended record may take to be acknowledged.
const APPEND_TIMEOUT: Duration = Duration::from_secs(10);
/// Requests between the group reader and the payment worker.
const REQUESTS_MAX: usize = 256;

fn settings(config: &Config) -> anyhow::Result<Settings> {
    Settings::new(&config.kafka, &config.topics.prefix, &config.instance_id())
        .map_err(|e| ConfigError::Invalid(e.to_string()).into())
}

fn businesses(config: &Config) -> anyhow::Result<Vec<apps::App>> {
    let registry = apps::registry(config)?;
    config.node.apps.iter().map(|name| apps::app(name, config, &registry)).collect()
}

/// Runs until asked to stop, or until something that cannot be gone on from.
///
/// # Errors
/// When it cannot start, or a worker ended with an error.
pub async fn run(config: Config) -> anyhow::Result<()> {
    let settings = settings(&config)?;
    let registry = apps::registry(&config)?;
    let businesses = tokio::task::spawn_blocking({
        let config = config.clone();
        move || businesses(&config)
    })
    .await??;
    let backend = application::kafka_state(&config)?;
    let stop = Arc::new(Stop::default());
    let metrics = Arc::new(Metrics::new(&config));
    let mut views = Vec::new();
    let mut workers = Vec::new();
    for business in &businesses {
        let view = View::open(business.topology.clone(), backend.clone())?;
        let partitions = partitions(&business.topology, config.topics.partitions);
        views.push(App { name: business.name.into(), view: view.clone(), partitions });
        workers.extend(application::kafka_workers(business.name, &config, &settings, &view, &stop)?);
    }
    let appender =
        KafkaAppender::new(&settings, APPEND_TIMEOUT).map_err(|e| anyhow::anyhow!("gateway producer: {e}"))?;
    let workers = Arc::new(workers);
    let instances = Arc::new(Instances::new(
        config.instance_id(),
        config.advertised_url(),
        Duration::from_millis(u64::from(config.kafka.session_timeout_ms)),
    ));
    for (app, business) in views.iter().zip(&businesses) {
        let tail = KafkaTail::new(&settings, business.topology.application_id());
        let announcer = instances::Announcer {
            instances: instances.clone(),
            app: app.clone(),
            topic: instances::topic(business.topology.application_id()),
            workers: workers.clone(),
        };
        announcer.spawn(appender.clone(), tail, stop.clone());
    }
    if config.payment.worker && !config.payment.url.is_empty() {
        let log =
            Arc::new(Payments { settings: settings.clone(), appender: appender.clone(), commits: Default::default() });
        service::spawn_payment(&config, &businesses, &registry, log, &config.payment.url, &metrics, &stop)?;
    } else {
        tracing::info!("no payment worker here: payment.url is empty or payment.worker is false");
    }
    let platform = Arc::new(Cluster {
        apps: views,
        registry,
        prefix: config.topics.prefix.clone(),
        appender,
        tails: KafkaTail::new(&settings, "gateway"),
        instances,
        workers: workers.clone(),
        stop: stop.clone(),
        metrics,
    });
    service::serve(&config, platform, axum::Router::new(), workers, &stop).await
}

/// Partition counts of the sub-topologies' source topics.
fn partitions(topology: &Topology, default: u32) -> Arc<[u32]> {
    let count = |sub: &streams::SubTopology| {
        let first = sub.source_topics().next().and_then(|t| topology.topics().get(usize::from(t.0)));
        first.and_then(|t| t.partitions).unwrap_or(default)
    };
    topology.subtopologies().iter().map(count).collect()
}

/// Every topic a business needs, with the retention its records deserve.
fn specs(config: &Config, settings: &Settings, business: &apps::App) -> Vec<TopicSpec> {
    let mut specs =
        topic_specs(settings, &business.topology, config.topics.partitions, config.engine.delete_retention_ms);
    for known in business.specs {
        let name = settings.physical(known.base);
        let retention = known.retention.retention_ms().to_string();
        match specs.iter_mut().find(|s| s.name == name) {
            Some(spec) => {
                spec.config.insert("retention.ms", retention);
            }
            None => specs.push(TopicSpec {
                name,
                partitions: config.topics.partitions,
                config: BTreeMap::from([("retention.ms", retention)]),
            }),
        }
    }
    specs.push(TopicSpec {
        name: settings.physical(&instances::topic(business.topology.application_id())),
        partitions: 1,
        config: BTreeMap::from([("cleanup.policy", "compact".to_owned())]),
    });
    specs
}

/// Creates the topics of all configured businesses, or says what would be created.
///
/// # Errors
/// When the cluster refuses, or a topic exists that differs.
pub fn topics(config: &Config, dry_run: bool) -> anyhow::Result<()> {
    use std::io::Write as _;
    let settings = settings(config)?;
    let mut out = std::io::stdout().lock();
    for business in businesses(config)? {
        for change in ensure_topics(&settings, &specs(config, &settings, &business), dry_run)? {
            let line = match change {
                TopicChange::Created(spec) => {
                    let settings: Vec<String> = spec.config.iter().map(|(k, v)| format!("{k}={v}")).collect();
                    let verb = if dry_run { "would create" } else { "created" };
                    format!("{verb} {} with {} partitions {}", spec.name, spec.partitions, settings.join(" "))
                }
                TopicChange::Present(name) => format!("present {name}"),
            };
            // A closed pipe is no error.
            let _ = writeln!(out, "{line}");
        }
    }
    Ok(())
}

/// Kafka as the payment worker's log: a group of its own, results by the gateway's producer.
struct Payments {
    settings: Settings,
    appender: KafkaAppender,
    /// Where positions go, by topic.
    commits: std::sync::Mutex<BTreeMap<String, mpsc::UnboundedSender<Vec<(u32, i64)>>>>,
}

impl PaymentLog for Payments {
    fn requests<'a>(&'a self, topic: &'a str) -> BoxFuture<'a, Result<mpsc::Receiver<Request>, String>> {
        Box::pin(async move {
            let group = format!("{topic}-payment-worker");
            let reader = GroupReader::join(&self.settings, &group, &self.settings.instance, topic)?;
            let (sender, receiver) = mpsc::channel(REQUESTS_MAX);
            // Unbounded, but fed a few times a second by one task and drained by another.
            let (commit, commits) = mpsc::unbounded_channel();
            self.commits.lock().unwrap_or_else(std::sync::PoisonError::into_inner).insert(topic.to_owned(), commit);
            tokio::spawn(pump(reader, sender, commits));
            Ok(receiver)
        })
    }

    fn append<'a>(&'a self, topic: &'a str, key: &'a [u8], value: Vec<u8>) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(async move {
            let append = self.appender.append(topic, key, &value, crate::engine::now_ms());
            append.await.map(drop).map_err(|e| e.to_string())
        })
    }

    fn commit<'a>(&'a self, topic: &'a str, next: Vec<(u32, i64)>) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(async move {
            let commits = self.commits.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            let sender = commits.get(topic).ok_or("the request topic is not being read")?;
            sender.send(next).map_err(|_| "the request topic is not read any more".to_owned())
        })
    }
}

/// Moves requests to the worker and positions back to the group.
async fn pump(
    mut reader: GroupReader,
    sender: mpsc::Sender<Request>,
    mut commits: mpsc::UnboundedReceiver<Vec<(u32, i64)>>,
) {
    // Under which assignment each partition's records came: a position is only committed under the same.
    let mut generations: BTreeMap<u32, u64> = BTreeMap::new();
    loop {
        tokio::select! {
            received = reader.next() => {
                let Some(Received { partition, offset, key, value, generation, .. }) = received else { return };
                generations.insert(partition, generation);
                let request = Request { partition, offset: offset.0, key, value: value.unwrap_or_default() };
                // A full channel must not hold commits up for longer than the worker needs to make room.
                if sender.send(request).await.is_err() {
                    return;
                }
            }
            positions = commits.recv() => {
                let Some(positions) = positions else { return };
                for (partition, next) in positions {
                    if let Some(generation) = generations.get(&partition) {
                        reader.commit(*generation, partition, streams::Offset(next));
                    }
                }
            }
        }
    }
}
