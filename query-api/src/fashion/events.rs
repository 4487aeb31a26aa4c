//! Status changes as server-sent events: of all orders, or of one.

use std::convert::Infallible;
use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::response::sse::{Event as Sse, Sse as SseResponse};
use axum::response::{IntoResponse, Response};
use futures_util::Stream;
use schemas::Codec;
use schemas::fashion::OrderStatus;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::timeout;

use super::Fashion;
use super::resources::path_id;
use super::wire::StatusView;
use crate::error::ApiError;
use crate::events::{Event, Positions, Subscription, read_positions, write_positions};
use crate::limits::{EVENT_HEARTBEAT, EVENT_REPLAYS_MAX, EVENT_RETRY, EVENT_STREAMS_MAX};
use crate::params::Params;
use crate::platform::{TailError, TailRecord};
use crate::wait::Open;

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// A record of the status topic as an event: its order, and JSON on one line. Serialized once for all streams.
pub(super) fn decode(codec: &Codec<OrderStatus>, record: &TailRecord) -> Option<(String, String)> {
    let status = match codec.decode(record.value.as_deref()?) {
        Ok(status) => status,
        Err(error) => {
            tracing::warn!(partition = record.partition, offset = %record.offset, %error, "unreadable status event");
            return None;
        }
    };
    let data = serde_json::to_string(&StatusView::from(&status)).ok()?;
    Some((status.order_id, data))
}

/// `GET /orders/events`.
pub(super) async fn all(
    State(fashion): State<Arc<Fashion>>,
    headers: HeaderMap,
    params: Params,
) -> Result<Response, ApiError> {
    stream(fashion, None, &headers, params).await
}

/// `GET /orders/{id}/events`: begins with nothing; what was before is in the order's `history`.
pub(super) async fn of_order(
    State(fashion): State<Arc<Fashion>>,
    Path(id): Path<String>,
    headers: HeaderMap,
    params: Params,
) -> Result<Response, ApiError> {
    path_id(&id)?;
    stream(fashion, Some(id), &headers, params).await
}

async fn stream(
    fashion: Arc<Fashion>,
    order: Option<String>,
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
    let open = Open::enter(&fashion.api.event_streams, EVENT_STREAMS_MAX)
        .ok_or_else(|| unavailable("event streams are open", EVENT_STREAMS_MAX))?;
    let subscription = fashion.hub.subscribe().await.map_err(|e| ApiError::unavailable(e.to_string()))?;
    let behind = last.as_ref().is_some_and(|last| is_behind(last, &subscription.from));
    let replay = if behind {
        let permit = Open::enter(&fashion.api.event_replays, EVENT_REPLAYS_MAX);
        Some(permit.ok_or_else(|| unavailable("event streams read the log again", EVENT_REPLAYS_MAX))?)
    } else {
        None
    };
    let events = events(fashion, order, last, subscription, replay, open);
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
    fashion: Arc<Fashion>,
    order: Option<String>,
    last: Option<Positions>,
    subscription: Subscription,
    replay: Option<Open>,
    open: Open,
) -> impl Stream<Item = Result<Sse, Infallible>> {
    async_stream::stream! {
        let _open = open;
        let _gauge = Gauge::of(&fashion);
        let Subscription { mut live, from } = subscription;
        // Where this stream is: partitions it has no word of begin where the live events do.
        let mut at = from.clone();
        at.extend(last.into_iter().flatten());
        yield Ok(Sse::default().retry(EVENT_RETRY).id(write_positions(&at)).event("hello").data("{}"));
        if replay.is_some() {
            let (sender, mut missed) = tokio::sync::mpsc::channel::<Event>(256);
            let hub = Arc::clone(&fashion.hub);
            let (begin, end) = (at.clone(), from);
            let reader = tokio::spawn(async move {
                hub.replay(&begin, &end, sender).await
            });
            while let Some(event) = missed.recv().await {
                at.insert(event.partition, event.offset.next());
                if let Some(sse) = show(&event, order.as_deref(), &at) {
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
                    if let Some(sse) = show(&event, order.as_deref(), &at) {
                        yield Ok(sse);
                    }
                }
                // An id without data moves the client's Last-Event-ID without an event.
                Err(_) => yield Ok(Sse::default().id(write_positions(&at)).comment("heartbeat")),
                Ok(Err(RecvError::Lagged(missed))) => {
                    fashion.api.metrics.events_lagged.inc();
                    yield Ok(Sse::default().event("lagged").data(format!("{{\"missed\":{missed}}}")));
                    return;
                }
                Ok(Err(RecvError::Closed)) => return,
            }
        }
    }
}

fn show(event: &Event, order: Option<&str>, at: &Positions) -> Option<Sse> {
    if order.is_some_and(|order| order != event.key) {
        return None;
    }
    Some(Sse::default().event("status").id(write_positions(at)).data(&event.data))
}

/// Counts the stream in the metrics for as long as it lives.
struct Gauge(Arc<Fashion>);

impl Gauge {
    fn of(fashion: &Arc<Fashion>) -> Self {
        fashion.api.metrics.event_streams.inc();
        Gauge(Arc::clone(fashion))
    }
}

impl Drop for Gauge {
    fn drop(&mut self) {
        self.0.api.metrics.event_streams.dec();
    }
}
