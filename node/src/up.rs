//! `orderflow up`: everything in one process on the embedded log.

use std::sync::Arc;

use anyhow::Context as _;
use query_api::platform::App;
use streams::View;

use crate::config::{Config, ConfigError};
use crate::embedded::{Embedded, Payments};
use crate::engine::Stop;
use crate::local::{self, NewTopic, Retention};
use crate::metrics::Metrics;
use crate::payment::sim::{Settings, Sim};
use crate::{application, apps, export, service};

/// Runs until asked to stop, or until something that cannot be gone on from.
///
/// # Errors
/// When it cannot start, or a worker ended with an error.
pub async fn run(config: Config) -> anyhow::Result<()> {
    if !config.topics.prefix.is_empty() {
        let reason = "topics.prefix is for sharing a Kafka cluster; the log of `up` belongs to one process".into();
        return Err(ConfigError::Invalid(reason).into());
    }
    let registry = apps::registry(&config)?;
    let businesses =
        config.node.apps.iter().map(|name| apps::app(name, &config, &registry)).collect::<anyhow::Result<Vec<_>>>()?;
    let broker = application::embedded_log(&config)?;
    let stop = Arc::new(Stop::default());
    let metrics = Arc::new(Metrics::new(&config));
    let mut views = Vec::new();
    let mut workers = Vec::new();
    for business in &businesses {
        broker.create_topics(&new_topics(business, config.topics.partitions))?;
        let view = View::open(business.topology.clone(), broker.backend().clone())?;
        let count = business.topology.subtopologies().len();
        let partitions: Arc<[u32]> = vec![config.topics.partitions; count].into();
        views.push(App { name: business.name.into(), view: view.clone(), partitions });
        workers.extend(application::local_workers(business.name, &config, &broker, &view, &stop)?);
    }
    let provider_url = provider(&config, &stop).await?;
    if config.payment.worker {
        let log = Arc::new(Payments { broker: broker.clone() });
        service::spawn_payment(&config, &businesses, &registry, log, &provider_url, &metrics, &stop)?;
    }
    let workers = Arc::new(workers);
    let platform = Arc::new(Embedded {
        broker: broker.clone(),
        apps: views,
        registry,
        prefix: String::new(),
        url: config.advertised_url().into(),
        instance: config.instance_id(),
        workers: workers.clone(),
        stop: stop.clone(),
        metrics,
    });
    let more = export::router(broker.clone(), &provider_url);
    let outcome = service::serve(&config, platform, more, workers, &stop).await;
    broker.close();
    outcome
}

/// The topology's topics, with the retention the business gives its own.
fn new_topics(business: &apps::App, partitions: u32) -> Vec<NewTopic> {
    let mut topics = local::topics_of(&business.topology, partitions);
    for topic in &mut topics {
        if let Some(spec) = business.spec(&topic.name) {
            let ms = spec.retention.retention_ms();
            topic.retention = Retention { time_ms: (ms >= 0).then_some(ms), bytes: None };
            topic.keep_unread = true;
        }
    }
    topics
}

/// The provider's URL; without one configured, a simulator of our own on a free port of the loopback interface, its ledger
/// beside the log.
async fn provider(config: &Config, stop: &Arc<Stop>) -> anyhow::Result<String> {
    if !config.payment.url.is_empty() {
        return Ok(config.payment.url.clone());
    }
    let ledger = config.node.data_dir.join("payments.ndjson");
    let sim = Sim::open(Settings::default(), Some(&ledger)).context("the payment simulator's ledger")?;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.context("the payment simulator's port")?;
    let url = format!("http://{}", listener.local_addr()?);
    let stop = stop.clone();
    tokio::spawn(async move {
        let stopping = async move { stop.requested().await };
        if let Err(e) = axum::serve(listener, sim.router()).with_graceful_shutdown(stopping).await {
            tracing::error!(error = %e, "the payment simulator ended");
        }
    });
    tracing::info!(url, "payment simulator ready; it is used because payment.url is empty");
    Ok(url)
}
