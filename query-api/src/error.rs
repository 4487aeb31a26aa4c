//! What a client is told when a request cannot be answered: RFC 9457 problem JSON.

use axum::Json;
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use thiserror::Error;

use crate::limits::RETRY_AFTER_S;
use crate::platform::AppendError;

/// One thing wrong with one field of a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FieldError {
    /// Where: a body field (`qty`), a query parameter (`?size`), a header (`Prefer`), a path segment (`{id}`).
    pub field: String,
    /// What is wrong and what would be right.
    pub detail: String,
}

impl FieldError {
    pub(crate) fn new(field: impl Into<String>, detail: impl Into<String>) -> Self {
        FieldError { field: field.into(), detail: detail.into() }
    }
}

/// Why a request got no answer of its own.
#[derive(Clone, Debug, PartialEq, Error)]
pub enum ApiError {
    /// Something in the request cannot be understood or is out of range: 400.
    #[error("{}", .0.first().map_or("the request is not valid", |e| e.detail.as_str()))]
    Invalid(Vec<FieldError>),
    /// What is asked for is not there: 404.
    #[error("{0}")]
    NotFound(String),
    /// The resource is there, but not with this method: 405.
    #[error("this resource does not take this method; Allow says which it takes")]
    Method,
    /// Conflicts with what was decided before: 409.
    #[error("{0}")]
    Conflict(String),
    /// Was there too long ago: 410.
    #[error("{0}")]
    Gone(String),
    /// The body is too large: 413.
    #[error("the body is larger than {0} bytes")]
    BodyTooLarge(usize),
    /// Path and query are too long: 414.
    #[error("the URI is longer than {0} bytes")]
    UriTooLong(usize),
    /// The body is not declared as JSON: 415.
    #[error("send the body as application/json; the content type was {0}")]
    MediaType(String),
    /// The headers are too large: 431.
    #[error("the headers are larger than {0} bytes")]
    HeadersTooLarge(usize),
    /// Not now: 503 with `Retry-After`.
    #[error("{reason}")]
    Unavailable {
        /// Why.
        reason: String,
        /// The id under which a retry is the same command.
        id: Option<String>,
    },
    /// The time to wait is over: 504.
    #[error("{0}")]
    Timeout(String),
    /// Our fault: 500. The text goes to the log, not to the client.
    #[error("internal error: {0}")]
    Internal(String),
}

/// The body of an answer that is an error.
#[derive(Debug, Serialize)]
struct Problem<'a> {
    r#type: String,
    title: &'a str,
    status: u16,
    detail: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    errors: &'a [FieldError],
}

impl ApiError {
    /// A request with one thing wrong.
    pub(crate) fn field(field: impl Into<String>, detail: impl Into<String>) -> Self {
        ApiError::Invalid(vec![FieldError::new(field, detail)])
    }

    /// Not now, and why.
    pub(crate) fn unavailable(reason: impl Into<String>) -> Self {
        ApiError::Unavailable { reason: reason.into(), id: None }
    }

    /// A failed append of a command, whose retry under `id` is the same command.
    pub(crate) fn append(error: &AppendError, id: &str) -> Self {
        match error {
            AppendError::Refused(reason) => ApiError::field("body", format!("the log refused the record: {reason}")),
            AppendError::Timeout(_) => ApiError::Unavailable {
                reason: format!("{error}; it may have taken the command: repeat it with this id, it is done once"),
                id: Some(id.to_owned()),
            },
            _ => ApiError::Unavailable { reason: error.to_string(), id: Some(id.to_owned()) },
        }
    }

    /// Status code and the short name that ends the problem's `type`.
    fn kind(&self) -> (StatusCode, &'static str) {
        match self {
            ApiError::Invalid(_) => (StatusCode::BAD_REQUEST, "invalid"),
            ApiError::NotFound(_) => (StatusCode::NOT_FOUND, "not-found"),
            ApiError::Method => (StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed"),
            ApiError::Conflict(_) => (StatusCode::CONFLICT, "conflict"),
            ApiError::Gone(_) => (StatusCode::GONE, "expired"),
            ApiError::BodyTooLarge(_) => (StatusCode::PAYLOAD_TOO_LARGE, "body-too-large"),
            ApiError::UriTooLong(_) => (StatusCode::URI_TOO_LONG, "uri-too-long"),
            ApiError::MediaType(_) => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "media-type"),
            ApiError::HeadersTooLarge(_) => (StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "headers-too-large"),
            ApiError::Unavailable { .. } => (StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
            ApiError::Timeout(_) => (StatusCode::GATEWAY_TIMEOUT, "timeout"),
            ApiError::Internal(_) => (StatusCode::INTERNAL_SERVER_ERROR, "internal"),
        }
    }
}

impl From<streams::QueryError> for ApiError {
    fn from(error: streams::QueryError) -> Self {
        ApiError::Internal(error.to_string())
    }
}

impl From<schemas::DecodeError> for ApiError {
    fn from(error: schemas::DecodeError) -> Self {
        ApiError::Internal(error.to_string())
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let (status, kind) = self.kind();
        let text = self.to_string();
        if status == StatusCode::INTERNAL_SERVER_ERROR {
            tracing::error!(error = %text, "request failed");
        }
        let (errors, id) = match &self {
            ApiError::Invalid(errors) => (errors.as_slice(), None),
            ApiError::Unavailable { id, .. } => (&[][..], id.as_deref()),
            _ => (&[][..], None),
        };
        let problem = Problem {
            r#type: format!("urn:orderflow:problem:{kind}"),
            title: status.canonical_reason().unwrap_or("Error"),
            status: status.as_u16(),
            detail: if matches!(self, ApiError::Internal(_)) { "see the service's log" } else { &text },
            id,
            errors,
        };
        let mut response = (status, Json(problem)).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(RETRY_AFTER, RETRY_AFTER_S.into());
        }
        if let Some(id) = id.and_then(|id| HeaderValue::from_str(id).ok()) {
            headers.insert(ORDERFLOW_ID, id);
        }
        response
    }
}

/// The id a command was given, on answers that have no `Location`.
pub(crate) const ORDERFLOW_ID: HeaderName = HeaderName::from_static("orderflow-id");
