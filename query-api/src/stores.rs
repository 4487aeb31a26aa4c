//! Interactive queries: any store of any application, by key and by range. Knows no business type: an entry is shown as its
//! store says ([`streams::StoreDef::show`]).

use std::cmp::Ordering;
use std::ops::{Bound, ControlFlow};
use std::sync::Arc;

use axum::extract::{OriginalUri, Path, State};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::Response;
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Value, json};
use state::{Direction, Range, StoreKind};
use streams::partitioner::partition_for_key;
use streams::{Partition, Phase, ShowJson, TaskId, Timestamp};

use crate::error::ApiError;
use crate::limits::{RANGE_LIMIT_DEFAULT, RANGE_LIMIT_MAX, WAIT_DEFAULT};
use crate::params::{Params, encode};
use crate::platform::Owner;
use crate::position;
use crate::service::{self, Api, AppState, Place, StoreRef};

/// The application a group of generic routes is about.
#[derive(Clone)]
pub(crate) struct Scope {
    pub(crate) api: Arc<Api>,
    pub(crate) app: Arc<AppState>,
}

/// An entry as it is answered.
#[derive(Debug, Serialize, Deserialize)]
struct Entry {
    /// The key as text, or `0x` and its bytes in hexadecimal when it is not text.
    key: String,
    partition: Partition,
    /// Event time of the last change, milliseconds.
    timestamp: Timestamp,
    /// As the store shows it; passed on as it is.
    value: Box<RawValue>,
    /// The exact key, for merging; only between instances.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    raw: Option<String>,
}

/// `GET /stores`: what there is, in what shape, and where.
pub(crate) async fn list(State(scope): State<Scope>, params: Params) -> Result<Response, ApiError> {
    params.finish()?;
    let view = &scope.app.app.view;
    let topology = view.topology();
    let stores: Vec<Value> = topology
        .stores()
        .iter()
        .filter_map(|store| {
            let at = scope.app.store(&store.name)?;
            let partitions: Vec<Value> = at.tasks().map(|task| where_is(&scope, task)).collect();
            Some(json!({
                "name": &*store.name,
                "shape": store.shape,
                "engine": match (&store.engine, store.kind) {
                    (Some(engine), _) => engine.name(),
                    (None, StoreKind::Persistent) => "persistent",
                    (None, StoreKind::Memory) => "memory",
                },
                "changelog": store.changelog.map(|topic| topology.topic_name(topic)),
                "subtopology": at.subtopology,
                "partitions": partitions,
            }))
        })
        .collect();
    service::json(StatusCode::OK, &json!({ "application": &*scope.app.app.name, "stores": stores }))
}

/// A partition of a store: which task keeps it, and where.
fn where_is(scope: &Scope, task: TaskId) -> Value {
    let app = &scope.app.app;
    let owner = match scope.api.platform.owner(&app.name, task) {
        Owner::Here => json!("here"),
        Owner::At(url) => json!(&*url),
        Owner::Unknown => Value::Null,
    };
    let phase = app.view.phase(task).map(|phase| phase_json(&phase));
    json!({ "partition": task.partition, "task": task.to_string(), "owner": owner, "phase": phase })
}

/// A task's condition as JSON.
pub(crate) fn phase_json(phase: &Phase) -> Value {
    match phase {
        Phase::Running => json!({ "is": "running" }),
        Phase::Restoring { done, total } => json!({ "is": "restoring", "done": done, "total": total }),
        Phase::Failed(reason) => json!({ "is": "failed", "reason": reason }),
    }
}

/// Finds a store, or says which there are.
fn find(app: &AppState, name: &str) -> Result<StoreRef, ApiError> {
    app.store(name).ok_or_else(|| {
        let names: Vec<&str> = app.app.view.topology().stores().iter().map(|s| &*s.name).collect();
        ApiError::NotFound(format!("there is no store of this name; there are: {}", names.join(", ")))
    })
}

fn show_of<'a>(app: &'a AppState, store: &str) -> Option<&'a ShowJson> {
    app.app.view.store(store).and_then(|(_, def)| def.show.as_ref())
}

/// Text or hexadecimal to key bytes.
fn key_bytes(text: String, hex: bool, field: &str) -> Result<Vec<u8>, ApiError> {
    if !hex {
        return Ok(text.into_bytes());
    }
    unhex(&text).ok_or_else(|| ApiError::field(field, "must be pairs of hexadecimal digits"))
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits: Vec<u8> =
        text.chars().map(|c| c.to_digit(16).and_then(|d| u8::try_from(d).ok())).collect::<Option<_>>()?;
    let (pairs, rest) = digits.as_chunks::<2>();
    rest.is_empty().then(|| pairs.iter().map(|[high, low]| high << 4 | low).collect())
}

fn hex(bytes: &[u8]) -> String {
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 0xf]);
    digits.filter_map(|digit| char::from_digit(digit.into(), 16)).collect()
}

/// `GET /stores/{store}/{key}`: one committed entry, from whichever instance has it.
pub(crate) async fn get(
    State(scope): State<Scope>,
    Path((store, key)): Path<(String, String)>,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
    mut params: Params,
) -> Result<Response, ApiError> {
    let Scope { api, app } = &scope;
    let at = find(app, &store)?;
    let hex = params.flag("hex");
    let partition_key = params.take("partition-key");
    let partition = params.take("partition");
    let min_position = params.take("min-position");
    let wait = params.wait();
    params.finish()?;
    let key = key_bytes(key, hex, "{key}")?;
    let partition = match partition {
        Some(text) => parse_partition(&text, at)?,
        None => partition_for_key(partition_key.as_deref().map_or(&key, str::as_bytes), at.partitions),
    };
    let tokens = match &min_position {
        Some(text) => position::parse(text, app.app.view.topology(), at.subtopology)?,
        None => Vec::new(),
    };
    let task = TaskId { subtopology: at.subtopology, partition };
    match service::settle_place(api, app, task, &tokens, wait, service::is_hop(&headers)).await? {
        Place::At(base) => api.hop(&base, path_and_query(&uri), &headers, wait.unwrap_or(WAIT_DEFAULT)).await,
        Place::Here => {
            let view = &app.app.view;
            let Some((value, timestamp)) = view.get(at.index, partition, &key)? else {
                return Err(ApiError::NotFound(format!("store '{store}' has no such key in partition {partition}")));
            };
            let entry = entry(show_of(app, &store), &key, &value, timestamp, partition)?;
            service::json(StatusCode::OK, &entry)
        }
    }
}

fn parse_partition(text: &str, at: StoreRef) -> Result<Partition, ApiError> {
    text.parse::<Partition>()
        .ok()
        .filter(|p| *p < at.partitions)
        .ok_or_else(|| ApiError::field("?partition", format!("must be from 0 to {}", at.partitions.saturating_sub(1))))
}

/// Path and query of a request as it came.
pub(crate) fn path_and_query(uri: &Uri) -> &str {
    uri.path_and_query().map_or("/", axum::http::uri::PathAndQuery::as_str)
}

/// An entry as its store shows it; one whose store does not say how is shown as its bytes.
fn entry(
    show: Option<&ShowJson>,
    key: &[u8],
    value: &[u8],
    timestamp: Timestamp,
    partition: Partition,
) -> Result<Entry, ApiError> {
    let value = match show {
        Some(show) => RawValue::from_string(show(key, value)),
        None => to_raw_value(&format!("0x{}", hex(value))),
    };
    let value = value.map_err(|e| ApiError::Internal(format!("a store shows an entry as what is not JSON: {e}")))?;
    let text = std::str::from_utf8(key).ok().filter(|text| !text.chars().any(char::is_control));
    let key = text.map_or_else(|| format!("0x{}", hex(key)), str::to_owned);
    Ok(Entry { key, partition, timestamp, value, raw: None })
}

/// A range query as asked.
#[derive(Debug)]
struct Query {
    from: Bound<Vec<u8>>,
    to: Bound<Vec<u8>>,
    direction: Direction,
    limit: usize,
    /// Goes on after this key of this partition.
    after: Option<(Vec<u8>, Partition)>,
    partition: Option<Partition>,
}

impl Query {
    fn read(params: &mut Params, at: StoreRef) -> Result<Self, ApiError> {
        let hex = params.flag("hex");
        let direction = if params.flag("reverse") { Direction::Reverse } else { Direction::Forward };
        let limit = params.number("limit", RANGE_LIMIT_DEFAULT, 1, RANGE_LIMIT_MAX);
        let mut key = |name: &str| params.take(name).map(|text| key_bytes(text, hex, &format!("?{name}"))).transpose();
        let (from, to, prefix) = (key("from")?, key("to")?, key("prefix")?);
        let mut bounds = (from.map_or(Bound::Unbounded, Bound::Included), to.map_or(Bound::Unbounded, Bound::Excluded));
        if let Some(prefix) = prefix {
            if bounds != (Bound::Unbounded, Bound::Unbounded) {
                return Err(ApiError::field("?prefix", "cannot be combined with from or to"));
            }
            let range = Range::prefix(&prefix);
            let range = range.as_range();
            bounds = (range.from.map(<[u8]>::to_vec), range.to.map(<[u8]>::to_vec));
        }
        let after = match params.take("cursor") {
            None => None,
            Some(text) => {
                let wrong =
                    || ApiError::field("?cursor", "is not a cursor of this resource: give back 'next' as it came");
                let (partition, key) = text.split_once('-').ok_or_else(wrong)?;
                Some((unhex(key).ok_or_else(wrong)?, partition.parse().map_err(|_| wrong())?))
            }
        };
        let partition = params.take("partition").map(|text| parse_partition(&text, at)).transpose()?;
        let (from, to) = bounds;
        Ok(Query { from, to, direction, limit, after, partition })
    }

    /// Keys first, in the direction asked, then partitions upwards: an order over all entries of the store.
    fn order(&self, a: (&[u8], Partition), b: (&[u8], Partition)) -> Ordering {
        let keys = match self.direction {
            Direction::Forward => a.0.cmp(b.0),
            Direction::Reverse => b.0.cmp(a.0),
        };
        keys.then(a.1.cmp(&b.1))
    }

    /// What is left of the range in one partition after the cursor.
    fn range(&self, partition: Partition) -> Range<'_> {
        let (mut from, mut to) = (self.from.as_ref().map(Vec::as_slice), self.to.as_ref().map(Vec::as_slice));
        if let Some((key, last)) = &self.after {
            // The cursor's key may still be to come in later partitions.
            let bound =
                if partition > *last { Bound::Included(key.as_slice()) } else { Bound::Excluded(key.as_slice()) };
            match self.direction {
                Direction::Forward => from = bound,
                Direction::Reverse => to = bound,
            }
        }
        Range { from, to }
    }
}

/// The entries of some partitions, in the query's order, one more than asked for if there are more.
fn scan(app: &AppState, store: &str, at: StoreRef, query: &Query, tasks: &[TaskId]) -> Result<Vec<Entry>, ApiError> {
    let view = &app.app.view;
    let wanted = query.limit + 1;
    let mut found: Vec<(Vec<u8>, Vec<u8>, Timestamp, Partition)> = Vec::new();
    for task in tasks {
        let mut left = wanted;
        view.scan(
            at.index,
            task.partition,
            query.range(task.partition),
            query.direction,
            &mut |key, value, timestamp| {
                found.push((key.to_vec(), value.to_vec(), timestamp, task.partition));
                left -= 1;
                if left == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            },
        )?;
    }
    found.sort_unstable_by(|a, b| query.order((&a.0, a.3), (&b.0, b.3)));
    found.truncate(wanted);
    let show = show_of(app, store);
    let shown = found.into_iter().map(|(key, value, timestamp, partition)| {
        let mut entry = entry(show, &key, &value, timestamp, partition)?;
        entry.raw = Some(hex(&key));
        Ok(entry)
    });
    shown.collect()
}

/// What instances answer each other: their entries, and of which partitions.
#[derive(Debug, Serialize, Deserialize)]
struct Part {
    partitions: Vec<Partition>,
    entries: Vec<Entry>,
}

/// `GET /stores/{store}`: a range over all partitions, in key order, page by page.
pub(crate) async fn range(
    State(scope): State<Scope>,
    Path(store): Path<String>,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
    mut params: Params,
) -> Result<Response, ApiError> {
    let Scope { api, app } = scope;
    let at = find(&app, &store)?;
    let query = Query::read(&mut params, at)?;
    params.finish()?;
    let tasks: Vec<TaskId> = at.tasks().filter(|t| query.partition.is_none_or(|p| p == t.partition)).collect();
    let is_hop = service::is_hop(&headers);
    let (here, others) = if is_hop {
        let here = tasks.iter().copied().filter(|t| api.place(&app.app.name, *t, true) == Some(Place::Here)).collect();
        (here, Vec::new())
    } else {
        api.owners(&app.app.name, tasks.iter().copied())?
    };
    let mut covered: Vec<Partition> = here.iter().map(|t| t.partition).collect();
    let name = store.clone();
    let (mut entries, query) =
        blocking(move || scan(&app, &name, at, &query, &here).map(|found| (found, query))).await?;
    if is_hop {
        return service::json(StatusCode::OK, &Part { partitions: covered, entries });
    }
    let asked = others.iter().map(|base| api.ask(base, path_and_query(&uri), &headers, WAIT_DEFAULT));
    for answer in futures_util::future::join_all(asked).await {
        let (status, _, body) = answer?;
        let part: Option<Part> = status.is_success().then(|| serde_json::from_slice(&body).ok()).flatten();
        let part = part.ok_or_else(|| ApiError::unavailable(format!("another instance answered {status}")))?;
        covered.extend(part.partitions);
        entries.extend(part.entries);
    }
    check_covered(covered, &tasks)?;
    service::json(StatusCode::OK, &page(&store, &uri, &query, entries))
}

/// Every partition exactly once, or the answer would be missing entries or have them twice: ownership is moving.
pub(crate) fn check_covered(mut covered: Vec<Partition>, tasks: &[TaskId]) -> Result<(), ApiError> {
    covered.sort_unstable();
    if covered.iter().eq(tasks.iter().map(|t| &t.partition)) {
        return Ok(());
    }
    Err(ApiError::unavailable("the store's partitions are moving between instances"))
}

/// A page as it is answered.
#[derive(Debug, Serialize)]
struct Page<'a> {
    store: &'a str,
    entries: Vec<Entry>,
    next: Option<String>,
    #[serde(rename = "_links", skip_serializing_if = "Option::is_none")]
    links: Option<Value>,
}

/// Orders what came from all partitions, cuts it to the limit, and says where to go on.
fn page<'a>(store: &'a str, uri: &Uri, query: &Query, entries: Vec<Entry>) -> Page<'a> {
    let raw = |entry: &Entry| entry.raw.as_deref().and_then(unhex).unwrap_or_default();
    let mut keyed: Vec<(Vec<u8>, Entry)> = entries.into_iter().map(|entry| (raw(&entry), entry)).collect();
    keyed.sort_by(|a, b| query.order((&a.0, a.1.partition), (&b.0, b.1.partition)));
    let mut entries: Vec<Entry> = keyed.into_iter().map(|(_, entry)| entry).collect();
    let more = entries.len() > query.limit;
    entries.truncate(query.limit);
    let next = entries.last().filter(|_| more).map(|e| format!("{}-{}", e.partition, hex(&raw(e))));
    for entry in &mut entries {
        entry.raw = None;
    }
    let links = next.as_ref().map(|cursor| {
        let kept = uri.query().unwrap_or_default().split('&').filter(|p| !p.is_empty() && !p.starts_with("cursor="));
        let mut href = format!("{}?", uri.path());
        kept.for_each(|pair| {
            href.push_str(pair);
            href.push('&');
        });
        href.push_str("cursor=");
        encode(cursor, &mut href);
        json!({ "next": { "href": href } })
    });
    Page { store, entries, next, links }
}

/// Runs what reads many entries on a thread that may block.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ApiError> + Send + 'static,
) -> Result<T, ApiError> {
    tokio::task::spawn_blocking(work).await.map_err(|e| ApiError::Internal(e.to_string()))?
}
