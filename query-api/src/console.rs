//! The web pages of `console/`, embedded, so that the binary is all there is to deploy.

use axum::Router;
use axum::extract::Request;
use axum::http::header::{ACCEPT, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY};
use axum::http::{HeaderName, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use crate::fashion;
use crate::params::Base;
use crate::service;

/// Nothing from elsewhere, nothing inline.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
     base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const NO_SNIFF: HeaderName = HeaderName::from_static("x-content-type-options");

/// File name, media type, content.
const FILES: [(&str, &str, &str); 0] = [];

/// `/console/…`, and `/`: the page for browsers, an index of links for everyone else.
pub(crate) fn routes() -> Router {
    let mut router = Router::new().route("/", get(root)).route("/console", get(async || page("index.html")));
    for (name, _, _) in FILES {
        router = router.route(&format!("/console/{name}"), get(async move || page(name)));
    }
    router
}

fn page(name: &str) -> Response {
    let Some((_, media_type, content)) = FILES.into_iter().find(|(file, ..)| *file == name) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let headers = [
        (CONTENT_TYPE, media_type),
        (CACHE_CONTROL, "no-cache"),
        (CONTENT_SECURITY_POLICY, POLICY),
        (REFERRER_POLICY, "no-referrer"),
        (NO_SNIFF, "nosniff"),
    ];
    (headers, content).into_response()
}

async fn root(base: Base, request: Request) -> Response {
    let accept = request.headers().get(ACCEPT).map(|a| a.as_bytes()).unwrap_or_default();
    if accept.windows(9).any(|part| part == b"text/html") {
        return page("index.html");
    }
    service::json(StatusCode::OK, &fashion::index(&base.0)).into_response()
}
