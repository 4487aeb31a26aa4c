//! What runs, and where: `/topology`, `/instances`.

use axum::extract::State;
use axum::http::header::{ACCEPT, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use streams::TopicRole;

use crate::error::ApiError;
use crate::params::Params;
use crate::platform::Role;
use crate::service;
use crate::stores::{Scope, phase_json};

/// `GET /topology`: as Kafka Streams' `describe()` text for `Accept: text/plain` or `?format=text`, else as JSON with the
/// text in it.
pub(crate) async fn topology(
    State(scope): State<Scope>,
    headers: HeaderMap,
    mut params: Params,
) -> Result<Response, ApiError> {
    let format = params.take("format");
    params.finish()?;
    let topology = scope.app.app.view.topology();
    let accepts_text = headers.get(ACCEPT).is_some_and(|accept| accept.as_bytes().starts_with(b"text/plain"));
    match format.as_deref() {
        Some("text") => return Ok(([(CONTENT_TYPE, "text/plain; charset=utf-8")], topology.describe()).into_response()),
        None if accepts_text => {
            return Ok(([(CONTENT_TYPE, "text/plain; charset=utf-8")], topology.describe()).into_response());
        }
        None | Some("json") => {}
        Some(_) => return Err(ApiError::field("?format", "must be text or json")),
    }
    let subtopologies: Vec<Value> = topology
        .subtopologies()
        .iter()
        .enumerate()
        .map(|(i, sub)| {
            let stores: Vec<&str> = topology
                .stores()
                .iter()
                .filter(|s| topology.store(&s.name).is_some_and(|(index, _)| sub.stores().contains(&index)))
                .map(|s| &*s.name)
                .collect();
            json!({
                "id": i,
                "partitions": scope.app.app.partitions.get(i),
                "sources": sub.source_topics().map(|t| topology.topic_name(t)).collect::<Vec<_>>(),
                "stores": stores,
            })
        })
        .collect();
    let topics: Vec<Value> =
        topology.topics().iter().map(|t| json!({ "name": &*t.name, "role": role_name(t.role) })).collect();
    service::json(
        StatusCode::OK,
        &json!({
            "application": &*scope.app.app.name,
            "applicationId": topology.application_id(),
            "hash": format!("{:016x}", topology.hash()),
            "subtopologies": subtopologies,
            "topics": topics,
            "description": topology.describe(),
        }),
    )
}

fn role_name(role: TopicRole) -> &'static str {
    match role {
        TopicRole::External => "external",
        TopicRole::Repartition => "repartition",
        TopicRole::Changelog => "changelog",
        TopicRole::DeadLetter => "dead-letter",
    }
}

/// `GET /instances`: who holds which task as what, by their own announcements; and the tasks here in detail.
pub(crate) async fn instances(State(scope): State<Scope>, params: Params) -> Result<Response, ApiError> {
    params.finish()?;
    let app = &scope.app.app;
    let topology = app.view.topology();
    let instances: Vec<Value> = scope
        .api
        .platform
        .instances(&app.name)
        .into_iter()
        .map(|instance| {
            let tasks: Vec<Value> = instance
                .tasks
                .iter()
                .map(|t| {
                    let role = match t.role {
                        Role::Active => "active",
                        Role::Restoring => "restoring",
                        Role::Standby => "standby",
                        Role::Failed => "failed",
                    };
                    json!({ "task": t.task.to_string(), "role": role })
                })
                .collect();
            json!({
                "id": instance.id, "url": &*instance.url, "here": instance.here, "stale": instance.stale, "tasks": tasks,
            })
        })
        .collect();
    let tasks: Vec<Value> = app
        .view
        .tasks()
        .into_iter()
        .map(|(id, task)| {
            let positions: Vec<Value> = task
                .positions
                .iter()
                .map(|(tp, next)| {
                    json!({ "topic": topology.topic_name(tp.topic), "partition": tp.partition, "next": next.0 })
                })
                .collect();
            json!({
                "task": id.to_string(),
                "phase": phase_json(&task.phase),
                "committedAt": task.committed_at,
                "streamTime": task.stream_time,
                "positions": positions,
            })
        })
        .collect();
    service::json(StatusCode::OK, &json!({ "application": &*app.name, "instances": instances, "tasksHere": tasks }))
}
