//! What all handlers share, and how a request finds the instance that can answer it.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use axum::body::Bytes;
use axum::http::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE, ETAG, LOCATION, RETRY_AFTER};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use streams::partitioner::partition_for_key;
use streams::{StoreIndex, TaskId};
use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::StartError;
use crate::error::{ApiError, ORDERFLOW_ID};
use crate::limits::{HOP_BODY_BYTES_MAX, HOP_CONNECT_MAX, HOP_GRACE, HOPS_MAX, WAIT_DEFAULT, WAIT_MAX, WAITS_MAX};
use crate::metrics::Metrics;
use crate::params::{Base, FORWARDED_HOST, FORWARDED_PROTO, ORDERFLOW_HOP};
use crate::platform::{App, Owner, Platform};
use crate::position::{ORDERFLOW_POSITION, Token};
use crate::wait::Commits;

/// An application and who waits for it.
pub(crate) struct AppState {
    pub(crate) app: App,
    pub(crate) commits: Arc<Commits>,
}

/// Shared by all handlers.
pub(crate) struct Api {
    pub(crate) platform: Arc<dyn Platform>,
    pub(crate) apps: Vec<Arc<AppState>>,
    pub(crate) metrics: Metrics,
    /// Open event streams, and those of them that read the log again.
    pub(crate) event_streams: Arc<AtomicUsize>,
    pub(crate) event_replays: Arc<AtomicUsize>,
    http: reqwest::Client,
}

/// Where a request can be answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// In this process.
    Here,
    /// By the instance at this base URL.
    At(Arc<str>),
}

/// A store of one application, found by name once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StoreRef {
    pub(crate) index: StoreIndex,
    pub(crate) subtopology: u16,
    pub(crate) partitions: u32,
}

impl AppState {
    /// A store by name.
    pub(crate) fn store(&self, name: &str) -> Option<StoreRef> {
        let (index, _) = self.app.view.store(name)?;
        let subtopology = self.app.view.topology().subtopology_of_store(index)?;
        let partitions = *self.app.partitions.get(usize::from(subtopology))?;
        (partitions > 0).then_some(StoreRef { index, subtopology, partitions })
    }

    /// Whether everything the tokens name has been committed here, as far as it concerns this partition.
    pub(crate) fn has_committed(&self, tokens: &[Token], partition: u32) -> bool {
        let topology = self.app.view.topology();
        tokens.iter().filter(|token| token.partition == partition).all(|token| {
            let input = topology.topic(&token.topic).map(|topic| streams::TopicPartition { topic, partition });
            input.and_then(|input| self.app.view.position(input)).is_some_and(|offset| offset >= token.next)
        })
    }
}

impl StoreRef {
    /// The task that keeps this key.
    pub(crate) fn task_of(&self, key: &[u8]) -> TaskId {
        TaskId { subtopology: self.subtopology, partition: partition_for_key(key, self.partitions) }
    }

    /// All tasks of the store.
    pub(crate) fn tasks(&self) -> impl Iterator<Item = TaskId> {
        let subtopology = self.subtopology;
        (0..self.partitions).map(move |partition| TaskId { subtopology, partition })
    }
}

impl Api {
    /// Starts listening to the views. Must be called within a tokio runtime.
    pub(crate) fn start(platform: Arc<dyn Platform>, routes: &[String]) -> Result<Arc<Self>, StartError> {
        let waiting = Arc::new(Semaphore::new(WAITS_MAX));
        let apps = platform
            .apps()
            .iter()
            .map(|app| {
                let commits = Commits::of(&app.view, Arc::clone(&waiting));
                Arc::new(AppState { app: app.clone(), commits })
            })
            .collect();
        let http = reqwest::Client::builder()
            .connect_timeout(HOP_CONNECT_MAX)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .build()
            .map_err(|e| StartError::Client(e.to_string()))?;
        let metrics = Metrics::new(routes);
        let (event_streams, event_replays) = Default::default();
        Ok(Arc::new(Api { platform, apps, metrics, event_streams, event_replays, http }))
    }

    /// Where a task's stores are read now. A request that was passed on already (`hop`) is not passed on again: two
    /// instances that each take the other for the owner would send it to and fro.
    pub(crate) fn place(&self, app: &str, task: TaskId, hop: bool) -> Option<Place> {
        match self.platform.owner(app, task) {
            Owner::Here => Some(Place::Here),
            Owner::At(url) if !hop => Some(Place::At(url)),
            Owner::At(_) | Owner::Unknown => None,
        }
    }

    /// Asks another instance with a GET, and relays what it says.
    pub(crate) async fn hop(
        &self,
        base: &str,
        path: &str,
        headers: &HeaderMap,
        wait: Duration,
    ) -> Result<Response, ApiError> {
        let (status, answer, body) = self.ask(base, path, headers, wait).await?;
        let mut response = (status, body).into_response();
        for name in RELAYED {
            if let Some(value) = answer.get(&name) {
                response.headers_mut().insert(name, value.clone());
            }
        }
        Ok(response)
    }

    /// Asks another instance with a GET: status, headers and body.
    pub(crate) async fn ask(
        &self,
        base: &str,
        path: &str,
        headers: &HeaderMap,
        wait: Duration,
    ) -> Result<(StatusCode, HeaderMap, Bytes), ApiError> {
        self.metrics.hops.inc();
        let mut request = self.http.get(format!("{base}{path}")).timeout(wait.min(WAIT_MAX) + HOP_GRACE);
        request = request.header(ORDERFLOW_HOP, "1");
        if let Some(accept) = headers.get(ACCEPT) {
            request = request.header(ACCEPT, accept);
        }
        if let Some((scheme, host)) = Base::of(headers).0.split_once("://") {
            request = request.header(FORWARDED_HOST, host).header(FORWARDED_PROTO, scheme);
        }
        let answer = async {
            let mut response = request.send().await.map_err(|e| e.without_url().to_string())?;
            let status = response.status();
            let headers = std::mem::take(response.headers_mut());
            let mut body = Vec::new();
            while let Some(chunk) = response.chunk().await.map_err(|e| e.without_url().to_string())? {
                if body.len() + chunk.len() > HOP_BODY_BYTES_MAX {
                    return Err("its answer is too large".to_owned());
                }
                body.extend_from_slice(&chunk);
            }
            Ok((status, headers, Bytes::from(body)))
        };
        answer.await.map_err(|reason: String| {
            self.metrics.hops_failed.inc();
            ApiError::unavailable(format!("the instance that owns this key did not answer: {reason}"))
        })
    }

    /// The instances, besides this one, that own at least one of the tasks; and whether this one does. With tasks that no
    /// one owns there is no complete answer.
    pub(crate) fn owners(
        &self,
        app: &str,
        tasks: impl Iterator<Item = TaskId>,
    ) -> Result<(Vec<TaskId>, Vec<Arc<str>>), ApiError> {
        let (mut here, mut others) = (Vec::new(), Vec::new());
        for task in tasks {
            match self.platform.owner(app, task) {
                Owner::Here => here.push(task),
                Owner::At(url) if others.contains(&url) => {}
                Owner::At(url) => others.push(url),
                Owner::Unknown => return Err(no_owner(task)),
            }
        }
        if others.len() > HOPS_MAX {
            return Err(ApiError::unavailable(format!("more than {HOPS_MAX} instances would have to be asked")));
        }
        Ok((here, others))
    }
}

/// No instance has this task now.
pub(crate) fn no_owner(task: TaskId) -> ApiError {
    ApiError::unavailable(format!("no instance serves task {task} at the moment (rebalance or restore)"))
}

/// The time of a `min-position` is over.
pub(crate) fn not_committed() -> ApiError {
    ApiError::Timeout("what min-position names was not committed within the wait".into())
}

/// Waits until a task is here or somewhere else, and, if here, has committed past the tokens.
///
/// # Errors
/// 503 when no one had the task when the time ended, 504 when its commits did not get there.
pub(crate) async fn settle_place(
    api: &Api,
    app: &AppState,
    task: TaskId,
    tokens: &[Token],
    wait: Option<Duration>,
    hop: bool,
) -> Result<Place, ApiError> {
    // The usual read: no position asked for, owner known.
    let place = api.place(&app.app.name, task, hop);
    if let Some(place) = &place
        && (tokens.is_empty() || matches!(place, Place::At(_)) || app.has_committed(tokens, task.partition))
    {
        return Ok(place.clone());
    }
    if place.is_none() && wait.is_none() {
        return Err(no_owner(task));
    }
    let deadline = Instant::now() + wait.unwrap_or(WAIT_DEFAULT);
    let mut waiter = app.commits.register(deadline);
    loop {
        let place = api.place(&app.app.name, task, hop);
        match &place {
            Some(Place::Here) if !app.has_committed(tokens, task.partition) => {}
            Some(found) => return Ok(found.clone()),
            None => {}
        }
        if !waiter.again().await? {
            return Err(match place {
                None => no_owner(task),
                Some(_) => not_committed(),
            });
        }
    }
}

/// Headers of another instance's answer that go on to the client.
const RELAYED: [HeaderName; 7] =
    [CONTENT_TYPE, LOCATION, RETRY_AFTER, CACHE_CONTROL, ETAG, ORDERFLOW_POSITION, ORDERFLOW_ID];

/// Whether the request was passed on by another instance.
pub(crate) fn is_hop(headers: &HeaderMap) -> bool {
    headers.contains_key(ORDERFLOW_HOP)
}

/// A JSON answer from bytes that are JSON already. State changes all the time: nothing may be kept by caches.
pub(crate) fn json_bytes(status: StatusCode, content_type: &'static str, body: Vec<u8>) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// A JSON answer.
pub(crate) fn json(status: StatusCode, body: &impl serde::Serialize) -> Result<Response, ApiError> {
    let body = serde_json::to_vec(body).map_err(|e| ApiError::Internal(e.to_string()))?;
    Ok(json_bytes(status, "application/json", body))
}
