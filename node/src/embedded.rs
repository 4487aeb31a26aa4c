//! The embedded log as the HTTP service and the payment worker see it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use query_api::breaker::Breaker;
use query_api::platform::{
    App, AppendError, Appended, Health, Instance, InstanceTask, Owner, Platform, Role, Tail, TailError, TailFrom,
    TailItem, TailRecord, Trouble, WorkerHealth,
};
use schemas::Registry;
use streams::{Headers, Phase, TaskId};
use tokio::sync::mpsc;

use crate::engine::{Stop, WorkerThread, now_ms};
use crate::local::{self, Event, From, GroupPosition, LocalBroker, Subscription};
use crate::metrics::Metrics;
use crate::payment::{PaymentLog, Request};

/// Records between the log and one follower; it waits when they are full.
const TAIL_CHANNEL: usize = 256;
/// Records read at once for a follower.
const TAIL_BATCH: usize = 128;
/// The payment worker's group on a business's request topic.
const PAYMENT_GROUP: &str = "payment-worker";
/// An append the log does not answer in this time is answered for as unknown.
const APPEND_TIMEOUT: Duration = Duration::from_secs(10);

/// Everything in one process.
pub struct Embedded {
    /// The log.
    pub broker: Arc<LocalBroker>,
    /// Businesses, in the order configured.
    pub apps: Vec<App>,
    /// Schema ids.
    pub registry: Arc<dyn Registry>,
    /// Put before every topic name.
    pub prefix: String,
    /// This process's address.
    pub url: Arc<str>,
    /// Its name.
    pub instance: String,
    /// Its worker threads.
    pub workers: Arc<Vec<WorkerThread>>,
    /// The process-wide stop.
    pub stop: Arc<Stop>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
}

impl Platform for Embedded {
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
        Box::pin(async move {
            let topic = format!("{}{topic}", self.prefix);
            let append = self.broker.append(&topic, Some(key), Some(&value), now_ms(), Headers::empty());
            match tokio::time::timeout(APPEND_TIMEOUT, append).await {
                Ok(Ok((partition, offset))) => Ok(Appended { partition, offset }),
                Ok(Err(e)) => Err(match &e {
                    local::Error::Busy { .. } => AppendError::Busy,
                    local::Error::Failed(_) => AppendError::Timeout(Duration::ZERO),
                    _ if e.action() == local::Action::Refuse => AppendError::Refused(e.to_string()),
                    _ => AppendError::Unavailable(e.to_string()),
                }),
                Err(_) => Err(AppendError::Timeout(APPEND_TIMEOUT)),
            }
        })
    }

    fn tail<'a>(&'a self, topic: &'a str, from: TailFrom) -> BoxFuture<'a, Result<Tail, TailError>> {
        Box::pin(async move {
            let name = format!("{}{topic}", self.prefix);
            let from = match from {
                TailFrom::End => From::End,
                TailFrom::Offsets(offsets) => From::Offsets(offsets),
            };
            let subscription = self.broker.subscribe(&name, &from).map_err(|e| match e {
                local::Error::Expired { partition, start } => TailError::Expired { partition, start },
                local::Error::UnknownTopic(topic) => TailError::UnknownTopic(topic),
                other => TailError::Unavailable(other.to_string()),
            })?;
            let start = subscription.positions();
            let (sender, items) = mpsc::channel(TAIL_CHANNEL);
            tokio::spawn(follow(subscription, sender, self.stop.clone()));
            Ok(Tail { start, items })
        })
    }

    fn owner(&self, app: &str, task: TaskId) -> Owner {
        let app = self.apps.iter().find(|a| *a.name == *app);
        match app.and_then(|a| a.view.phase(task)) {
            Some(Phase::Running) => Owner::Here,
            _ => Owner::Unknown,
        }
    }

    fn instances(&self, app: &str) -> Vec<Instance> {
        let Some(app) = self.apps.iter().find(|a| *a.name == *app) else { return Vec::new() };
        vec![Instance {
            id: self.instance.clone(),
            url: self.url.clone(),
            here: true,
            stale: false,
            tasks: tasks_of(app),
        }]
    }

    fn health(&self) -> Health {
        let failure = self.broker.failure();
        Health {
            workers: worker_health(&self.workers),
            cannot_append: failure.map(|e| Trouble(e.to_string())),
            troubles: troubles(&self.apps),
            stopping: self.stop.is_requested(),
        }
    }

    fn breakers(&self) -> &[Arc<Breaker>] {
        &self.metrics.breakers
    }

    fn encode_metrics(&self, out: &mut String) -> fmt::Result {
        self.metrics.local(&self.broker.stats());
        self.metrics.encode(&self.apps, &self.workers, out)
    }
}

/// The tasks of a business here, as they are announced.
#[must_use]
pub fn tasks_of(app: &App) -> Vec<InstanceTask> {
    let role = |phase: &Phase| match phase {
        Phase::Running => Role::Active,
        Phase::Restoring { .. } => Role::Restoring,
        Phase::Failed(_) => Role::Failed,
    };
    app.view.tasks().iter().map(|(task, t)| InstanceTask { task: *task, role: role(&t.phase) }).collect()
}

/// Failed tasks, in words.
#[must_use]
pub fn troubles(apps: &[App]) -> Vec<Trouble> {
    let mut troubles = Vec::new();
    for app in apps {
        for (id, task) in app.view.tasks() {
            if let Phase::Failed(reason) = task.phase {
                troubles.push(Trouble(format!("{} task {id} stands still: {reason}", app.name)));
            }
        }
    }
    troubles
}

/// Each worker and when it last turned.
#[must_use]
pub fn worker_health(workers: &[WorkerThread]) -> Vec<WorkerHealth> {
    workers.iter().map(|w| WorkerHealth { name: w.name.clone(), last_turn: w.last_turn() }).collect()
}

/// Pumps a subscription into a channel until either end is gone.
async fn follow(mut subscription: Subscription, sender: mpsc::Sender<TailItem>, stop: Arc<Stop>) {
    let stopping = stop.requested();
    tokio::pin!(stopping);
    loop {
        let events = tokio::select! {
            events = subscription.next(TAIL_BATCH) => events,
            () = sender.closed() => return,
            () = &mut stopping => return,
        };
        let events = match events {
            Ok(events) => events,
            Err(e) => {
                tracing::warn!(topic = subscription.topic(), error = %e, "a follower of the log ended");
                return;
            }
        };
        for event in events {
            let item = match event {
                Event::CaughtUp(partition, next) => TailItem::CaughtUp { partition, next },
                Event::Record(partition, r) => TailItem::Record(TailRecord {
                    partition,
                    offset: r.offset,
                    timestamp: r.timestamp,
                    key: r.key().unwrap_or_default().to_vec(),
                    value: r.value().map(<[u8]>::to_vec),
                }),
            };
            if sender.send(item).await.is_err() {
                return;
            }
        }
    }
}

/// The embedded log as the payment worker's.
pub struct Payments {
    /// The log.
    pub broker: Arc<LocalBroker>,
}

impl PaymentLog for Payments {
    fn requests<'a>(&'a self, topic: &'a str) -> BoxFuture<'a, Result<mpsc::Receiver<Request>, String>> {
        Box::pin(async move {
            self.broker.register_group(PAYMENT_GROUP, &[topic]).map_err(|e| e.to_string())?;
            let from = From::Committed(PAYMENT_GROUP.to_owned());
            let mut subscription = self.broker.subscribe(topic, &from).map_err(|e| e.to_string())?;
            let (sender, receiver) = mpsc::channel(TAIL_CHANNEL);
            tokio::spawn(async move {
                while let Ok(events) = subscription.next(TAIL_BATCH).await {
                    for event in events {
                        let Event::Record(partition, r) = event else { continue };
                        let request = Request {
                            partition,
                            offset: r.offset.0,
                            key: r.key().unwrap_or_default().to_vec(),
                            value: r.value().unwrap_or_default().to_vec(),
                        };
                        if sender.send(request).await.is_err() {
                            return;
                        }
                    }
                }
            });
            Ok(receiver)
        })
    }

    fn append<'a>(&'a self, topic: &'a str, key: &'a [u8], value: Vec<u8>) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(async move {
            let append = self.broker.append(topic, Some(key), Some(&value), now_ms(), Headers::empty());
            append.await.map(drop).map_err(|e| e.to_string())
        })
    }

    fn commit<'a>(&'a self, topic: &'a str, next: Vec<(u32, i64)>) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(async move {
            let positions: Vec<GroupPosition<'_>> = next
                .iter()
                .map(|(partition, offset)| GroupPosition {
                    group: PAYMENT_GROUP,
                    topic,
                    partition: *partition,
                    offset: streams::Offset(*offset),
                    metadata: "",
                })
                .collect();
            self.broker.commit_positions(&positions).await.map_err(|e| e.to_string())
        })
    }
}
