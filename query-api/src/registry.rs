//! The schemas of this release in the Confluent schema registry's REST form, read-only, so that any Confluent serializer can
//! be pointed at `/registry` where there is no registry of its own. The answers are [`schemas::registry::rest`]'s.
//!
//! Registering a schema that exists answers its id, because serializers register before they write; an unknown one is
//! refused with the remedy.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use schemas::registry::rest::{self, NotFound};
use serde_json::{Value, json};

use crate::body;
use crate::error::ApiError;
use crate::service::Api;

/// Confluent's media type.
const MEDIA_TYPE: &str = "application/vnd.schemaregistry.v1+json";

/// The routes, to be nested under `/registry`.
pub(crate) fn routes() -> Router<Arc<Api>> {
    Router::new()
        .route("/subjects", get(async |State(api): Api_| ok(rest::subjects(api.platform.topic_prefix()))))
        .route("/subjects/{subject}", post(lookup))
        .route("/subjects/{subject}/versions", get(versions).post(register))
        .route("/subjects/{subject}/versions/{version}", get(version))
        .route("/schemas/types", get(async || ok(rest::types())))
        .route("/schemas/ids/{id}", get(by_id))
        .route("/config", get(async || ok(json!({ "compatibilityLevel": "BACKWARD" }))))
        .route("/mode", get(async || ok(json!({ "mode": "READONLY" }))))
        .fallback(async || {
            answer(StatusCode::NOT_FOUND, &refusal(404, "there is no such route; this registry is read-only"))
        })
}

type Api_ = State<Arc<Api>>;

fn answer(status: StatusCode, body: &Value) -> Response {
    (status, [(CONTENT_TYPE, MEDIA_TYPE)], body.to_string()).into_response()
}

fn ok(body: Value) -> Response {
    answer(StatusCode::OK, &body)
}

fn not_found(what: NotFound) -> Response {
    answer(StatusCode::NOT_FOUND, &rest::not_found(what))
}

/// An error in the form the registry's clients know.
fn refusal(code: u32, message: impl Into<String>) -> Value {
    json!({ "error_code": code, "message": message.into() })
}

async fn versions(State(api): Api_, Path(subject): Path<String>) -> Response {
    rest::versions(api.platform.topic_prefix(), &subject).map_or_else(|| not_found(NotFound::Subject), ok)
}

async fn version(State(api): Api_, Path((subject, version)): Path<(String, String)>) -> Response {
    rest::version(api.platform.topic_prefix(), &subject, &version).map_or_else(not_found, ok)
}

async fn by_id(Path(id): Path<String>) -> Response {
    id.parse().ok().and_then(rest::schema_by_id).map_or_else(|| not_found(NotFound::Schema), ok)
}

/// The version of a subject that is the posted schema, whatever its spacing, documentation and defaults.
async fn matching(api: &Api, subject: &str, request: Request) -> Result<Result<Value, NotFound>, Response> {
    let invalid = |message: String| answer(StatusCode::UNPROCESSABLE_ENTITY, &refusal(42201, message));
    let bytes = body::read(request.into_body()).await.map_err(|error| match error {
        ApiError::BodyTooLarge(_) => answer(StatusCode::PAYLOAD_TOO_LARGE, &refusal(413, error.to_string())),
        other => invalid(other.to_string()),
    })?;
    let posted: Value = serde_json::from_slice(&bytes).map_err(|e| invalid(format!("not JSON: {e}")))?;
    if posted.get("schemaType").and_then(Value::as_str).is_some_and(|kind| kind != "AVRO") {
        return Err(invalid("only AVRO schemas are served here".into()));
    }
    let text = posted.get("schema").and_then(Value::as_str);
    let text = text.ok_or_else(|| invalid("the field 'schema' is missing, or no string".into()))?;
    Ok(rest::lookup(api.platform.topic_prefix(), subject, text))
}

/// `POST /subjects/{subject}`: which version this schema is.
async fn lookup(State(api): Api_, Path(subject): Path<String>, request: Request) -> Response {
    match matching(&api, &subject, request).await {
        Ok(found) => found.map_or_else(not_found, ok),
        Err(refused) => refused,
    }
}

/// `POST /subjects/{subject}/versions`: the id of a schema that is there.
async fn register(State(api): Api_, Path(subject): Path<String>, request: Request) -> Response {
    match matching(&api, &subject, request).await {
        Ok(Ok(found)) => ok(json!({ "id": found.get("id") })),
        Ok(Err(NotFound::Subject)) => not_found(NotFound::Subject),
        Ok(Err(_)) => answer(
            StatusCode::FORBIDDEN,
            &refusal(
                40301,
                format!(
                    "this registry is read-only and no version of '{subject}' is this schema: write with the one of \
                     GET /registry/subjects/{subject}/versions/latest, or run Orderflow with a registry of your own"
                ),
            ),
        ),
        Err(refused) => refused,
    }
}
