//! Reading: items and paged collections, from this instance or from the one that owns the key.

use std::sync::Arc;

use axum::body::to_bytes;
use axum::extract::{OriginalUri, Path, State};
use axum::http::header::{ACCEPT, RETRY_AFTER};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::Response;
use schemas::AvroRecord;
use schemas::state::Verdict;
use serde::Serialize;
use serde_json::value::to_raw_value;
use tokio::time::Instant;

use super::commands::now_ms;
use super::wire::{At, Mount, Refused};
use super::{Business, Gateway, Table};
use crate::body::check_id;
use crate::error::ApiError;
use crate::hal::{self, PageRequest, Part};
use crate::limits::{HOP_BODY_BYTES_MAX, PAGE_ITEMS_REMOTE_MAX, WAIT_DEFAULT};
use crate::params::{Base, Params};
use crate::position::{self, Token};
use crate::service::{self, Place, is_hop, json_bytes};
use crate::stores::{blocking, check_covered, path_and_query};

/// A kind of resource of a business: where it lies and how it looks.
pub(crate) trait Resource<B>: Sized + 'static {
    /// What is stored.
    type Value: AvroRecord;
    /// The collection's path segment and relation.
    const NAME: &'static str;
    /// What a reader can wait for, by the name that `until=` takes.
    const UNTIL: &'static [Until<Self::Value>] = &[];

    /// Its store.
    fn table(business: &B) -> &Table<Self::Value>;

    /// As clients see it.
    fn view(value: &Self::Value, at: At<'_>) -> impl Serialize;

    /// When something that was put off is tried again, in milliseconds since the epoch: clients are told to come back then.
    fn retry_at(_value: &Self::Value) -> Option<i64> {
        None
    }
}

/// A condition on a stored value that readers can wait for.
pub(crate) struct Until<V> {
    pub(crate) name: &'static str,
    pub(crate) is_reached: fn(&V) -> bool,
}

impl<V> Clone for Until<V> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<V> Copy for Until<V> {}

impl<V> Until<V> {
    pub(crate) const fn new(name: &'static str, is_reached: fn(&V) -> bool) -> Self {
        Until { name, is_reached }
    }
}

/// Takes `until`; without one it is enough that the resource is there.
pub(super) fn read_until<B, R: Resource<B>>(params: &mut Params) -> Option<Until<R::Value>> {
    let name = params.take("until")?;
    let found = R::UNTIL.iter().find(|until| until.name == name);
    if found.is_none() {
        let names: Vec<&str> = R::UNTIL.iter().map(|until| until.name).collect();
        let detail = if names.is_empty() { "is not known of this resource".into() } else { names.join(" or ") };
        params.wrong("until", format!("must be {detail}"));
    }
    found.copied()
}

/// JSON as bytes.
pub(super) fn bytes(view: &impl Serialize) -> Result<Vec<u8>, ApiError> {
    let mut out = Vec::with_capacity(1_024);
    serde_json::to_writer(&mut out, view).map_err(|e| ApiError::Internal(e.to_string()))?;
    Ok(out)
}

/// The id of a path. One that no command could have made needs no look-up.
pub(crate) fn path_id(id: &str) -> Result<(), ApiError> {
    check_id(id).map_err(|detail| ApiError::field("{id}", detail))
}

/// The media type of an answer: HAL unless the client asks for plain JSON only.
pub(super) fn media_type(headers: &HeaderMap) -> &'static str {
    let accept = headers.get(ACCEPT).map(|a| a.as_bytes()).unwrap_or_default();
    if accept.starts_with(b"application/json") { "application/json" } else { hal::MEDIA_TYPE }
}

/// Says in how many whole seconds it is worth coming back, if something was put off.
pub(super) fn set_retry_after(answer: &mut Response, retry_at: Option<i64>) {
    if let Some(at) = retry_at {
        let seconds = at.saturating_sub(now_ms()).max(0).unsigned_abs().div_ceil(1_000).max(1);
        answer.headers_mut().insert(RETRY_AFTER, seconds.into());
    }
}

/// What a read of one item asks for.
struct Wanted<V> {
    until: Option<Until<V>>,
    tokens: Vec<Token>,
    /// `None`: the answer is as things are, once the tokens are reached.
    wait: Option<std::time::Duration>,
}

/// `GET /<name>/{id}`: with `wait` the answer is held back until the item is there, or as far as `until` says.
pub(crate) async fn item<B: Business, R: Resource<B>>(
    State(gateway): State<Arc<Gateway<B>>>,
    Path(id): Path<String>,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
    mut params: Params,
) -> Result<Response, ApiError> {
    let until = read_until::<B, R>(&mut params);
    let min_position = params.take("min-position");
    let wait = params.wait();
    params.finish()?;
    path_id(&id)?;
    let table = R::table(&gateway.business);
    let tokens = match &min_position {
        Some(text) => position::parse(text, gateway.app.app.view.topology(), table.at.subtopology)?,
        None => Vec::new(),
    };
    let wanted = Wanted { until, tokens, wait };
    if wanted.wait.is_none() && wanted.until.is_none() {
        return gateway.read_now::<R>(&id, &uri, &headers, &wanted).await;
    }
    gateway.read_until::<R>(&id, &uri, &headers, &wanted).await
}

impl<B: Business> Gateway<B> {
    /// An item of this instance, if it is there.
    pub(super) fn find<R: Resource<B>>(&self, id: &str) -> Result<Option<R::Value>, ApiError> {
        let table = R::table(&self.business);
        let task = table.at.task_of(id.as_bytes());
        let entry = self.app.app.view.get(table.at.index, task.partition, id.as_bytes())?;
        entry.map(|(payload, _)| table.codec.decode(&payload).map_err(ApiError::from)).transpose()
    }

    fn show<R: Resource<B>>(&self, value: &R::Value, uri: &Uri, headers: &HeaderMap) -> Result<Response, ApiError> {
        let base = Base::of(headers);
        let body = bytes(&R::view(value, At { base: &base.0, mount: self.mount_of(uri) }))?;
        let mut answer = json_bytes(StatusCode::OK, media_type(headers), body);
        set_retry_after(&mut answer, R::retry_at(value));
        Ok(answer)
    }

    /// An item as it is, wherever it is, under a command about it that was refused.
    pub(super) async fn refused<R: Resource<B>>(
        &self,
        id: &str,
        message: &str,
        mount: Mount<'_>,
        headers: &HeaderMap,
    ) -> Result<Response, ApiError> {
        let path = At { base: "", mount }.href(R::NAME, id);
        let uri = path.parse().map_err(|e| ApiError::Internal(format!("the path {path}: {e}")))?;
        let wanted = Wanted { until: None, tokens: Vec::new(), wait: None };
        let answer = self.read_now::<R>(id, &uri, headers, &wanted).await?;
        if answer.status() != StatusCode::OK {
            return Err(ApiError::NotFound(message.to_owned()));
        }
        let body = to_bytes(answer.into_body(), HOP_BODY_BYTES_MAX).await;
        let body = body.map_err(|e| ApiError::Internal(e.to_string()))?;
        let resource: serde_json::Map<String, serde_json::Value> =
            serde_json::from_slice(&body).map_err(|e| ApiError::Internal(e.to_string()))?;
        let refused = Refused { resource, verdict: Verdict::Refused.symbol(), message };
        Ok(json_bytes(StatusCode::OK, media_type(headers), bytes(&refused)?))
    }

    async fn read_now<R: Resource<B>>(
        &self,
        id: &str,
        uri: &Uri,
        headers: &HeaderMap,
        wanted: &Wanted<R::Value>,
    ) -> Result<Response, ApiError> {
        let task = R::table(&self.business).at.task_of(id.as_bytes());
        match service::settle_place(&self.api, &self.app, task, &wanted.tokens, None, is_hop(headers)).await? {
            Place::At(other) => self.api.hop(&other, path_and_query(uri), headers, WAIT_DEFAULT).await,
            Place::Here => {
                let missing = || ApiError::NotFound(format!("there is no such entry in {}", R::NAME));
                self.show::<R>(&self.find::<R>(id)?.ok_or_else(missing)?, uri, headers)
            }
        }
    }

    async fn read_until<R: Resource<B>>(
        &self,
        id: &str,
        uri: &Uri,
        headers: &HeaderMap,
        wanted: &Wanted<R::Value>,
    ) -> Result<Response, ApiError> {
        let deadline = Instant::now() + wanted.wait.unwrap_or(WAIT_DEFAULT);
        let task = R::table(&self.business).at.task_of(id.as_bytes());
        let (app, api) = (&self.app, &self.api);
        let hop = is_hop(headers);
        let mut waiter = app.commits.register(deadline);
        loop {
            let place = api.place(&app.app.name, task, hop);
            match &place {
                Some(Place::At(other)) => {
                    let left = deadline.saturating_duration_since(Instant::now());
                    // One that cannot answer now may be about to lose the key: look again who has it.
                    if let Ok(answer) = api.hop(other, path_and_query(uri), headers, left).await
                        && answer.status() != StatusCode::SERVICE_UNAVAILABLE
                    {
                        return Ok(answer);
                    }
                }
                Some(Place::Here) if app.has_committed(&wanted.tokens, task.partition) => {
                    let is_reached = |value: &R::Value| wanted.until.is_none_or(|until| (until.is_reached)(value));
                    if let Some(value) = self.find::<R>(id)?.filter(is_reached) {
                        return self.show::<R>(&value, uri, headers);
                    }
                }
                _ => {}
            }
            if !waiter.again().await? {
                let what = wanted.until.map_or("there", |until| until.name);
                return Err(match place {
                    None => service::no_owner(task),
                    Some(Place::Here) if !app.has_committed(&wanted.tokens, task.partition) => service::not_committed(),
                    Some(_) => ApiError::Timeout(format!("it was not {what} when the wait was over")),
                });
            }
        }
    }
}

/// `GET /<name>`: a page over all partitions, wherever they are.
pub(crate) async fn collection<B: Business, R: Resource<B>>(
    State(gateway): State<Arc<Gateway<B>>>,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
    mut params: Params,
) -> Result<Response, ApiError> {
    let page = PageRequest::read(&mut params);
    let min_position = params.take("min-position");
    let wait = params.wait();
    params.finish()?;
    let at = R::table(&gateway.business).at;
    let (api, app) = (&gateway.api, &gateway.app);
    let hop = is_hop(&headers);
    if let Some(text) = &min_position {
        for token in position::parse(text, app.app.view.topology(), at.subtopology)? {
            let task = streams::TaskId { subtopology: at.subtopology, partition: token.partition };
            // On a hop, what is not here is another instance's to wait for.
            if !hop || api.place(&app.app.name, task, true).is_some() {
                service::settle_place(api, app, task, &[token], wait, hop).await?;
            }
        }
    }
    let tasks: Vec<_> = at.tasks().collect();
    let (here, others) = if hop {
        (tasks.iter().copied().filter(|t| api.place(&app.app.name, *t, true).is_some()).collect(), Vec::new())
    } else {
        api.owners(&app.app.name, tasks.iter().copied())?
    };
    if !others.is_empty() && page.end() > PAGE_ITEMS_REMOTE_MAX {
        let detail = format!("over several instances, pages reach {PAGE_ITEMS_REMOTE_MAX} items deep; use /stores");
        return Err(ApiError::field("?page", detail));
    }
    let base = Base::of(&headers);
    let local = {
        let (gateway, base, uri) = (Arc::clone(&gateway), base.clone(), uri.clone());
        let all = hop || !others.is_empty();
        move || {
            let links = At { base: &base.0, mount: gateway.mount_of(&uri) };
            let show = |payload: &[u8]| {
                let value = R::table(&gateway.business).codec.decode(payload)?;
                to_raw_value(&R::view(&value, links)).map_err(|e| ApiError::Internal(e.to_string()))
            };
            hal::part(&gateway.app, at, &here, page, all, &show)
        }
    };
    let part = blocking(local).await?;
    if hop {
        return service::json(StatusCode::OK, &part);
    }
    let part = if others.is_empty() {
        part
    } else {
        let asked = others.iter().map(|o| api.ask(o, path_and_query(&uri), &headers, wait.unwrap_or(WAIT_DEFAULT)));
        let mut parts = vec![part];
        for answer in futures_util::future::join_all(asked).await {
            let (status, _, body) = answer?;
            let part: Option<Part> = status.is_success().then(|| serde_json::from_slice(&body).ok()).flatten();
            parts.push(part.ok_or_else(|| ApiError::unavailable(format!("another instance answered {status}")))?);
        }
        hal::merge(parts, page)
    };
    check_covered(part.partitions.clone(), &tasks)?;
    let mount = gateway.mount_of(&uri);
    let profile = format!("{}{}", base.0, mount.profile(R::NAME));
    let body = hal::collection(&format!("{}{}", base.0, mount.path(R::NAME)), &profile, R::NAME, page, part);
    Ok(json_bytes(StatusCode::OK, media_type(&headers), bytes(&body)?))
}
