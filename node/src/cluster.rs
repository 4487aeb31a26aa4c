//! One instance of many on Kafka, as the HTTP service sees it.

use std::fmt;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use query_api::breaker::Breaker;
use query_api::platform::{App, AppendError, Appended, Health, Instance, Owner, Platform, Tail, TailError, TailFrom};
use schemas::Registry;
use streams::{Phase, TaskId};

use crate::embedded::{troubles, worker_health};
use crate::engine::{Stop, WorkerThread, now_ms};
use crate::instances::Instances;
use crate::kafka::{KafkaAppender, KafkaTail};
use crate::metrics::Metrics;

/// The instance.
pub struct Cluster {
    /// Businesses, in the order configured.
    pub apps: Vec<App>,
    /// Schema ids.
    pub registry: Arc<dyn Registry>,
    /// Put before every topic name.
    pub prefix: String,
    /// Appends commands.
    pub appender: KafkaAppender,
    /// Follows topics.
    pub tails: KafkaTail,
    /// Who serves what.
    pub instances: Arc<Instances>,
    /// Worker threads here.
    pub workers: Arc<Vec<WorkerThread>>,
    /// The process-wide stop.
    pub stop: Arc<Stop>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
}

impl Platform for Cluster {
    fn apps(&self) -> &[App] {
        &self.apps
    }

    fn topic_prefix(&self) -> &str {
        &self.prefix
    }

    fn registry(&self) -> &Arc<dyn Registry> {
        &self.registry
    }

    fn append<'a>(
        &'a self,
        topic: &'a str,
        key: &'a [u8],
        value: Vec<u8>,
    ) -> BoxFuture<'a, Result<Appended, AppendError>> {
        Box::pin(async move { self.appender.append(topic, key, &value, now_ms()).await })
    }

    fn tail<'a>(&'a self, topic: &'a str, from: TailFrom) -> BoxFuture<'a, Result<Tail, TailError>> {
        Box::pin(async move {
            let (tails, topic) = (self.tails.clone(), topic.to_owned());
            tokio::task::spawn_blocking(move || tails.follow(&topic, &from))
                .await
                .unwrap_or_else(|e| Err(TailError::Unavailable(e.to_string())))
        })
    }

    fn owner(&self, app: &str, task: TaskId) -> Owner {
        let here = self.apps.iter().find(|a| *a.name == *app).and_then(|a| a.view.phase(task));
        // A worker that has not turned for a session may have lost its tasks without knowing.
        let alive = self.workers.iter().all(|w| w.last_turn() < self.instances.session());
        match here {
            Some(Phase::Running) if alive => Owner::Here,
            _ => self.instances.owner(app, task),
        }
    }

    fn instances(&self, app: &str) -> Vec<Instance> {
        self.instances.list(app)
    }

    fn health(&self) -> Health {
        Health {
            workers: worker_health(&self.workers),
            cannot_append: None,
            troubles: troubles(&self.apps),
            stopping: self.stop.is_requested(),
        }
    }

    fn breakers(&self) -> &[Arc<Breaker>] {
        &self.metrics.breakers
    }

    fn encode_metrics(&self, out: &mut String) -> fmt::Result {
        self.metrics.encode(&self.apps, &self.workers, out)
    }
}
