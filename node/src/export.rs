//! The embedded log's records over HTTP, for `loadgen record` and `loadgen audit` and for moving to Kafka; and the way to
//! the payment provider's ledger.

use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::Deserialize;
use serde_json::json;
use streams::{Incoming, Offset};

use crate::local::{self, LocalBroker};

/// Records of one answer.
const RECORDS_MAX: usize = 1_000;

#[derive(Clone)]
struct Export {
    broker: Arc<LocalBroker>,
    provider_url: Arc<str>,
}

/// `GET /export/topics`, `GET /export/topics/{topic}?partition=&from=`, `GET /export/payment-provider`.
pub(crate) fn router(broker: Arc<LocalBroker>, provider_url: &str) -> Router {
    Router::new()
        .route("/export/topics", get(topics))
        .route("/export/topics/{topic}", get(records))
        .route("/export/payment-provider", get(provider))
        .with_state(Export { broker, provider_url: provider_url.into() })
}

async fn topics(State(export): State<Export>) -> Response {
    let topics: Vec<_> = export
        .broker
        .topics()
        .into_iter()
        .map(|t| {
            let partitions: Vec<_> =
                t.partitions.iter().map(|p| json!({"start": p.start.0, "end": p.synced_end.0})).collect();
            json!({"name": t.name, "partitions": partitions})
        })
        .collect();
    Json(json!({ "topics": topics })).into_response()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Page {
    partition: u32,
    #[serde(default)]
    from: i64,
}

/// At most [`RECORDS_MAX`] records as NDJSON; the header `Orderflow-Next` says where the next page begins.
async fn records(State(export): State<Export>, Path(topic): Path<String>, Query(page): Query<Page>) -> Response {
    let read =
        tokio::task::spawn_blocking(move || export.broker.read(&topic, page.partition, Offset(page.from), RECORDS_MAX));
    match read.await {
        Ok(Ok((records, next))) => {
            let lines: String = records.iter().map(line).collect();
            let headers = [(header::CONTENT_TYPE, "application/x-ndjson".to_owned()), (NEXT, next.0.to_string())];
            (headers, lines).into_response()
        }
        Ok(Err(e @ (local::Error::UnknownTopic(_) | local::Error::UnknownPartition { .. }))) => {
            (StatusCode::NOT_FOUND, e.to_string()).into_response()
        }
        Ok(Err(e @ local::Error::Expired { .. })) => (StatusCode::GONE, e.to_string()).into_response(),
        Ok(Err(e)) => (StatusCode::SERVICE_UNAVAILABLE, e.to_string()).into_response(),
        Err(e) => (StatusCode::INTERNAL_SERVER_ERROR, e.to_string()).into_response(),
    }
}

const NEXT: header::HeaderName = header::HeaderName::from_static("orderflow-next");

fn line(record: &Incoming) -> String {
    let headers: Vec<_> =
        record.headers().iter().map(|(name, value)| json!([name, value.map(|v| BASE64.encode(v))])).collect();
    let value = json!({
        "offset": record.offset.0,
        "timestamp": record.timestamp,
        "key": record.key().map(|k| BASE64.encode(k)),
        "value": record.value().map(|v| BASE64.encode(v)),
        "headers": headers,
    });
    format!("{value}\n")
}

async fn provider(State(export): State<Export>) -> Json<serde_json::Value> {
    Json(json!({ "url": &*export.provider_url }))
}
