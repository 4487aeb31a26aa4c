//! Status changes as server-sent events: of all, of one, or of one owner.

use std::convert::Infallible;
use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::response::sse::{Event as Sse, Sse as SseResponse};
use axum::response::{IntoResponse, Response};
use futures_util::Stream as EventStream;
use schemas::{AvroRecord, Codec, Keyed, Topic};
use serde::Serialize;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::timeout;

use super::hub::{Event, Hub, Positions, Subscription, read_positions, write_positions};
use super::resources::path_id;
use super::{Business, Gateway};
use crate::error::ApiError;
use crate::limits::{EVENT_HEARTBEAT, EVENT_REPLAYS_MAX, EVENT_RETRY, EVENT_STREAMS_MAX};
use crate::params::Params;
use crate::platform::{TailError, TailRecord};
use crate::service::Api;
use crate::wait::Open;

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// A topic whose records clients follow.
pub(crate) trait Streamed<B>: Sized + 'static {
    /// Its records.
    type Record: AvroRecord + Keyed;
    /// The topic.
    const TOPIC: Topic<Self::Record>;
    /// The query parameter that narrows the stream to what concerns one person: `customerId`.
    const OWNER: &'static str;

    /// The shared reader.
    fn hub(business: &B) -> &Arc<Hub>;

    /// Whom a record concerns; `None`: everyone.
    fn owner(record: &Self::Record) -> Option<&str>;

    /// As clients see it.
    fn view(record: &Self::Record) -> impl Serialize;
}

/// A record of the topic as an event: JSON on one line. Serialized once for all streams.
pub(super) fn decode<B, S: Streamed<B>>(codec: &Codec<S::Record>, record: &TailRecord) -> Option<Event> {
    let value = match codec.decode(record.value.as_deref()?) {
        Ok(value) => value,
        Err(error) => {
            tracing::warn!(partition = record.partition, offset = %record.offset, %error, "unreadable event");
            return None;
        }
    };
    let data = serde_json::to_string(&S::view(&value)).ok()?;
    let (key, owner) = (value.key().to_owned(), S::owner(&value).map(str::to_owned));
    Some(Event { partition: record.partition, offset: record.offset, key, owner, data })
}

/// `GET /<name>/events`: of all, or of one owner.
pub(crate) async fn all_events<B: Business, S: Streamed<B>>(
    State(gateway): State<Arc<Gateway<B>>>,
    headers: HeaderMap,
    mut params: Params,
) -> Result<Response, ApiError> {
    let filter = params.take(S::OWNER).map_or(Filter::All, Filter::Owner);
    stream(&gateway.api, S::hub(&gateway.business), filter, &headers, params).await
}

/// `GET /<name>/{id}/events`: begins with nothing; what was before is in the resource's `history`.
pub(crate) async fn events_of<B: Business, S: Streamed<B>>(
    State(gateway): State<Arc<Gateway<B>>>,
    Path(id): Path<String>,
    headers: HeaderMap,
    params: Params,
) -> Result<Response, ApiError> {
    path_id(&id)?;
    stream(&gateway.api, S::hub(&gateway.business), Filter::Key(id), &headers, params).await
}

/// Which events a stream sends.
enum Filter {
    All,
    /// About this key.
    Key(String),
    /// For this person, and for everyone.
    Owner(String),
}

impl Filter {
    fn lets_through(&self, event: &Event) -> bool {
        match self {
            Filter::All => true,
            Filter::Key(key) => *key == event.key,
            Filter::Owner(owner) => event.owner.as_ref().is_none_or(|of| of == owner),
        }
    }
}

async fn stream(
    api: &Arc<Api>,
    hub: &Arc<Hub>,
    filter: Filter,
    headers: &HeaderMap,
    mut params: Params,
) -> Result<Response, ApiError> {
    // `EventSource` sends the header only when it comes back by itself; a page that knows where it was says it in the URL.
    let last = headers.get(LAST_EVENT_ID).and_then(|v| v.to_str().ok()).map(str::to_owned);
    let last = last.or(params.take("last-event-id")).filter(|text| !text.is_empty());
    params.finish()?;
    let wrong = || ApiError::field("Last-Event-ID", "is not an event id of this stream");
    let last = last.map(|text| read_positions(&text).ok_or_else(wrong)).transpose()?;
    let unavailable = |what: &str, max: usize| ApiError::unavailable(format!("{max} {what} already"));
    let open = Open::enter(&api.event_streams, EVENT_STREAMS_MAX)
        .ok_or_else(|| unavailable("event streams are open", EVENT_STREAMS_MAX))?;
    let subscription = hub.subscribe().await.map_err(|e| ApiError::unavailable(e.to_string()))?;
    let behind = last.as_ref().is_some_and(|last| is_behind(last, &subscription.from));
    let replay = if behind {
        let permit = Open::enter(&api.event_replays, EVENT_REPLAYS_MAX);
        Some(permit.ok_or_else(|| unavailable("event streams read the log again", EVENT_REPLAYS_MAX))?)
    } else {
        None
    };
    let events = events(Arc::clone(api), Arc::clone(hub), filter, last, subscription, replay, open);
    let mut response = SseResponse::new(events).into_response();
    // Proxies that buffer would hold events back (nginx reads this header).
    response.headers_mut().insert("x-accel-buffering", HeaderValue::from_static("no"));
    Ok(response)
}

fn is_behind(last: &Positions, from: &Positions) -> bool {
    last.iter().any(|(partition, next)| from.get(partition).is_some_and(|begin| next < begin))
}

/// One stream: what was missed, then what comes.
fn events(
    api: Arc<Api>,
    hub: Arc<Hub>,
    filter: Filter,
    last: Option<Positions>,
    subscription: Subscription,
    replay: Option<Open>,
    open: Open,
) -> impl EventStream<Item = Result<Sse, Infallible>> {
    async_stream::stream! {
        let _open = open;
        let _gauge = Gauge::of(&api);
        let Subscription { mut live, from } = subscription;
        // Where this stream is: partitions it has no word of begin where the live events do.
        let mut at = from.clone();
        at.extend(last.into_iter().flatten());
        yield Ok(Sse::default().retry(EVENT_RETRY).id(write_positions(&at)).event("hello").data("{}"));
        if replay.is_some() {
            let (sender, mut missed) = tokio::sync::mpsc::channel::<Event>(256);
            let hub = Arc::clone(&hub);
            let (begin, end) = (at.clone(), from);
            let reader = tokio::spawn(async move {
                hub.replay(&begin, &end, sender).await
            });
            while let Some(event) = missed.recv().await {
                at.insert(event.partition, event.offset.next());
                if let Some(sse) = show(&event, &filter, &at) {
                    yield Ok(sse);
                }
            }
            match reader.await {
                Ok(Ok(())) => {}
                Ok(Err(TailError::Expired { partition, start })) => {
                    // What was between is gone from the log: the client reloads what it shows.
                    at.insert(partition, start);
                    let data = format!("{{\"partition\":{partition},\"start\":{start}}}");
                    yield Ok(Sse::default().event("expired").id(write_positions(&at)).data(data));
                    return;
                }
                _ => return,
            }
        }
        drop(replay);
        loop {
            match timeout(EVENT_HEARTBEAT, live.recv()).await {
                Ok(Ok(event)) => {
                    let next = at.entry(event.partition).or_insert(event.offset);
                    if event.offset < *next {
                        continue;
                    }
                    *next = event.offset.next();
                    if let Some(sse) = show(&event, &filter, &at) {
                        yield Ok(sse);
                    }
                }
                // An id without data moves the client's Last-Event-ID without an event.
                Err(_) => yield Ok(Sse::default().id(write_positions(&at)).comment("heartbeat")),
                Ok(Err(RecvError::Lagged(missed))) => {
                    api.metrics.events_lagged.inc();
                    yield Ok(Sse::default().event("lagged").data(format!("{{\"missed\":{missed}}}")));
                    return;
                }
                Ok(Err(RecvError::Closed)) => return,
            }
        }
    }
}

fn show(event: &Event, filter: &Filter, at: &Positions) -> Option<Sse> {
    filter.lets_through(event).then(|| Sse::default().event("status").id(write_positions(at)).data(&event.data))
}

/// Counts the stream in the metrics for as long as it lives.
struct Gauge(Arc<Api>);

impl Gauge {
    fn of(api: &Arc<Api>) -> Self {
        api.metrics.event_streams.inc();
        Gauge(Arc::clone(api))
    }
}

impl Drop for Gauge {
    fn drop(&mut self) {
        self.0.metrics.event_streams.dec();
    }
}
