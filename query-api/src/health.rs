//! `/livez`, `/readyz`, `/metrics`.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use streams::Phase;

use crate::breaker::Status;
use crate::error::ApiError;
use crate::limits::WORKER_SILENCE_MAX;
use crate::platform::Owner;
use crate::service::{self, Api};

/// Alive while every worker's loop turns. Idleness, lag, a restore or a broker outage is not death: a restart would make
/// each of them worse.
pub(crate) async fn livez(State(api): State<Arc<Api>>) -> Result<Response, ApiError> {
    let health = api.platform.health();
    let workers: Vec<Value> = health
        .workers
        .iter()
        .map(|w| json!({ "worker": w.name, "lastTurnMs": u64::try_from(w.last_turn.as_millis()).unwrap_or(u64::MAX) }))
        .collect();
    let alive = health.workers.iter().all(|w| w.last_turn < WORKER_SILENCE_MAX);
    let status = if alive { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    service::json(status, &json!({ "alive": alive, "workers": workers }))
}

/// Ready while it can accept commands, or route reads to whoever has the state. A rebalance alone is not unready.
pub(crate) async fn readyz(State(api): State<Arc<Api>>) -> Result<Response, ApiError> {
    let health = api.platform.health();
    let mut restoring = Vec::new();
    let mut failed = Vec::new();
    let mut routed = 0_usize;
    for app in &api.apps {
        for (task, view) in app.app.view.tasks() {
            match view.phase {
                Phase::Failed(reason) => failed.push(format!("{} {task}: {reason}", app.app.name)),
                Phase::Running => {}
                _ => restoring.push(format!("{} {task}", app.app.name)),
            }
        }
        routed += subtasks(app).filter(|t| api.platform.owner(&app.app.name, *t) != Owner::Unknown).count();
    }
    let ready = !health.stopping && (health.cannot_append.is_none() || routed > 0);
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let body = json!({
        "ready": ready,
        "stopping": health.stopping,
        "commands": health.cannot_append.as_ref().map_or("accepted".to_owned(), |t| t.0.clone()),
        "tasksReadable": routed,
        "restoring": restoring,
        "failed": failed,
        "troubles": health.troubles.iter().map(|t| &t.0).collect::<Vec<_>>(),
    });
    service::json(status, &body)
}

fn subtasks(app: &service::AppState) -> impl Iterator<Item = streams::TaskId> {
    app.app.partitions.iter().zip(0_u16..).flat_map(|(partitions, subtopology)| {
        (0..*partitions).map(move |partition| streams::TaskId { subtopology, partition })
    })
}

/// The circuit breakers of this process.
pub(crate) async fn breakers(State(api): State<Arc<Api>>) -> Result<Response, ApiError> {
    let breakers: Vec<Status> = api.platform.breakers().iter().map(|breaker| breaker.status()).collect();
    service::json(StatusCode::OK, &json!({ "breakers": breakers }))
}

/// Everything measured, as OpenMetrics text.
pub(crate) async fn metrics(State(api): State<Arc<Api>>) -> Result<Response, ApiError> {
    let waiting = api.apps.first().map_or(0, |app| app.commits.waiting());
    api.metrics.waiting.set(i64::try_from(waiting).unwrap_or(i64::MAX));
    let text = api.metrics.encode(&*api.platform).map_err(|e| ApiError::Internal(e.to_string()))?;
    Ok(([(CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], text).into_response())
}
