//! Who serves what: every instance announces its tasks on the compacted topic `<application.id>-instances`, and follows it.
//!
//! An announcement is a JSON object under the instance's name. It is repeated several times a session, so that silence means
//! something; what is silent for a session is not routed to.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use query_api::platform::{App, Instance, InstanceTask, Owner, Role, TailError, TailFrom, TailItem};
use serde::{Deserialize, Serialize};
use streams::{Offset, TaskId};
use tokio::sync::Notify;

use crate::embedded::tasks_of;
use crate::engine::{Stop, WorkerThread, now_ms};
use crate::kafka::{KafkaAppender, KafkaTail};

/// Announcements per session.
const PER_SESSION: u32 = 4;
/// Shortest time between two announcements, so that a storm of changes is one.
const APART: Duration = Duration::from_millis(50);
/// Wait before a lost tail or a failed announcement is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// The announcements' topic, without a deployment's prefix.
#[must_use]
pub fn topic(application_id: &str) -> String {
    format!("{application_id}-instances")
}

#[derive(Serialize, Deserialize)]
struct Announcement {
    url: String,
    /// Wall clock of the instance, milliseconds since the epoch.
    at: i64,
    /// Sub-topology, partition, role.
    tasks: Vec<(u16, u32, String)>,
}

#[derive(Clone, Debug)]
struct Known {
    url: Arc<str>,
    heard_ms: i64,
    at: i64,
    tasks: Vec<InstanceTask>,
}

/// All instances of all applications, as last announced.
pub struct Instances {
    name: String,
    url: Arc<str>,
    session: Duration,
    known: RwLock<BTreeMap<(Arc<str>, String), Known>>,
}

impl Instances {
    /// Nobody known yet.
    #[must_use]
    pub fn new(name: String, url: String, session: Duration) -> Self {
        Instances { name, url: url.into(), session, known: RwLock::default() }
    }

    /// The group's session timeout.
    #[must_use]
    pub fn session(&self) -> Duration {
        self.session
    }

    fn is_stale(&self, known: &Known) -> bool {
        let silent = now_ms().saturating_sub(known.heard_ms);
        silent > i64::try_from(self.session.as_millis()).unwrap_or(i64::MAX)
    }

    /// Another instance that has the task running; the one that announced last when two claim it.
    #[must_use]
    pub fn owner(&self, app: &str, task: TaskId) -> Owner {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known
            .iter()
            .filter(|((a, name), k)| **a == *app && *name != self.name && !self.is_stale(k))
            .filter(|(_, k)| k.tasks.iter().any(|t| t.task == task && t.role == Role::Active))
            .max_by_key(|(_, k)| k.at)
            .map_or(Owner::Unknown, |(_, k)| Owner::At(k.url.clone()))
    }

    /// Everyone of an application.
    #[must_use]
    pub fn list(&self, app: &str) -> Vec<Instance> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known
            .iter()
            .filter(|((a, _), _)| **a == *app)
            .map(|((_, name), k)| Instance {
                id: name.clone(),
                url: k.url.clone(),
                here: *name == self.name,
                stale: self.is_stale(k),
                tasks: k.tasks.clone(),
            })
            .collect()
    }

    fn hear(&self, app: &Arc<str>, name: &[u8], value: Option<&[u8]>) {
        let name = String::from_utf8_lossy(name).into_owned();
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        let announcement = value.and_then(|v| serde_json::from_slice::<Announcement>(v).ok());
        let Some(a) = announcement else {
            known.remove(&(app.clone(), name));
            return;
        };
        let tasks = a
            .tasks
            .into_iter()
            .filter_map(|(subtopology, partition, role)| {
                let role = [Role::Active, Role::Restoring, Role::Standby, Role::Failed]
                    .into_iter()
                    .find(|r| role_name(*r) == role)?;
                Some(InstanceTask { task: TaskId { subtopology, partition }, role })
            })
            .collect();
        // Heard now only if it was said lately: history is read again at every start. The other's clock decides, but
        // never into the future.
        let heard_ms = now_ms().min(a.at);
        known.insert((app.clone(), name), Known { url: a.url.into(), heard_ms, at: a.at, tasks });
    }
}

fn role_name(role: Role) -> &'static str {
    match role {
        Role::Active => "active",
        Role::Restoring => "restoring",
        Role::Standby => "standby",
        Role::Failed => "failed",
    }
}

/// Announces one application's tasks here, and listens for everyone's.
pub struct Announcer {
    /// What is heard.
    pub instances: Arc<Instances>,
    /// The application.
    pub app: App,
    /// Its announcements' topic.
    pub topic: String,
    /// Worker threads here: an instance whose workers stand still goes silent.
    pub workers: Arc<Vec<WorkerThread>>,
}

/// Wakes the announcer when tasks come or go.
struct Changed {
    notify: Notify,
}

impl streams::Listener for Changed {
    fn published(&self) {
        self.notify.notify_one();
    }
}

impl Announcer {
    /// Starts announcing and listening, until `stop`.
    pub fn spawn(self, appender: KafkaAppender, tail: KafkaTail, stop: Arc<Stop>) {
        let listening = (self.instances.clone(), self.app.name.clone(), self.topic.clone());
        tokio::spawn(listen(listening.0, listening.1, listening.2, tail, stop.clone()));
        tokio::spawn(self.announce(appender, stop));
    }

    async fn announce(self, appender: KafkaAppender, stop: Arc<Stop>) {
        let changed = Arc::new(Changed { notify: Notify::new() });
        self.app.view.listen(changed.clone());
        let interval = self.instances.session / PER_SESSION;
        let mut last = Vec::new();
        let mut due = tokio::time::Instant::now();
        let stopping = stop.requested();
        tokio::pin!(stopping);
        loop {
            let tasks = tasks_of(&self.app);
            let alive = self.workers.iter().all(|w| w.last_turn() < self.instances.session);
            if alive && (tasks != last || tokio::time::Instant::now() >= due) {
                match self.say(&appender, &tasks).await {
                    Ok(()) => {
                        last = tasks;
                        due = tokio::time::Instant::now() + interval;
                    }
                    Err(e) => {
                        tracing::warn!(topic = self.topic, error = e, "this instance's tasks were not announced");
                        due = tokio::time::Instant::now() + RETRY;
                    }
                }
            }
            tokio::time::sleep(APART).await;
            tokio::select! {
                () = changed.notify.notified() => (),
                () = tokio::time::sleep_until(due) => (),
                () = &mut stopping => break,
            }
        }
        // Gone on purpose: nobody is to wait for a session to find out.
        if let Err(e) = self.say(&appender, &[]).await {
            tracing::debug!(error = e, "leaving was not announced");
        }
    }

    async fn say(&self, appender: &KafkaAppender, tasks: &[InstanceTask]) -> Result<(), String> {
        let announcement = Announcement {
            url: self.instances.url.to_string(),
            at: now_ms(),
            tasks: tasks.iter().map(|t| (t.task.subtopology, t.task.partition, role_name(t.role).to_owned())).collect(),
        };
        let value = serde_json::to_vec(&announcement).map_err(|e| e.to_string())?;
        let key = self.instances.name.as_bytes();
        appender.append(&self.topic, key, &value, now_ms()).await.map(drop).map_err(|e| e.to_string())
    }
}

/// Follows the topic from its beginning, for ever.
async fn listen(instances: Arc<Instances>, app: Arc<str>, topic: String, tail: KafkaTail, stop: Arc<Stop>) {
    let mut from = Offset(0);
    while !stop.is_requested() {
        let (follower, name) = (tail.clone(), topic.clone());
        let start = TailFrom::Offsets(vec![(0, from)]);
        let followed = tokio::task::spawn_blocking(move || follower.follow(&name, &start)).await;
        match followed {
            Ok(Ok(mut tail)) => {
                while let Some(item) = tail.items.recv().await {
                    if let TailItem::Record(r) = item {
                        instances.hear(&app, &r.key, r.value.as_deref());
                    }
                }
            }
            Ok(Err(TailError::Expired { start, .. })) => from = start,
            Ok(Err(e)) => tracing::warn!(topic, error = %e, "announcements cannot be read; trying again"),
            Err(e) => tracing::error!(error = %e, "reading announcements panicked"),
        }
        tokio::time::sleep(RETRY).await;
    }
}
