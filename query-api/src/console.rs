//! The web pages of `console/`, embedded, so that the binary is all there is to deploy.

use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::http::header::{ACCEPT, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY};
use axum::http::{HeaderName, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde_json::json;

use crate::gateway::{self, Profiles};
use crate::params::Base;
use crate::service;

/// Nothing from elsewhere, nothing inline.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
     base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const NO_SNIFF: HeaderName = HeaderName::from_static("x-content-type-options");

/// Name, media type and content of a file of `console/`.
macro_rules! files {
    ($($name:literal $media_type:literal),+ $(,)?) => {
        [$(($name, $media_type, include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../console/", $name)))),+]
    };
}

/// All of them; a test compares the list with the folder.
const FILES: [(&str, &str, &str); 19] = files![
    "index.html" "text/html; charset=utf-8",
    "style.css" "text/css; charset=utf-8",
    "icon.svg" "image/svg+xml",
    "main.js" "text/javascript; charset=utf-8",
    "api.js" "text/javascript; charset=utf-8",
    "breaker.js" "text/javascript; charset=utf-8",
    "business.js" "text/javascript; charset=utf-8",
    "data.js" "text/javascript; charset=utf-8",
    "dom.js" "text/javascript; charset=utf-8",
    "drawer.js" "text/javascript; charset=utf-8",
    "format.js" "text/javascript; charset=utf-8",
    "list.js" "text/javascript; charset=utf-8",
    "panels.js" "text/javascript; charset=utf-8",
    "payment.js" "text/javascript; charset=utf-8",
    "saga.js" "text/javascript; charset=utf-8",
    "fashion-store.js" "text/javascript; charset=utf-8",
    "gdmarket.js" "text/javascript; charset=utf-8",
    "taxi.js" "text/javascript; charset=utf-8",
    "ebook-rental.js" "text/javascript; charset=utf-8",
];

/// `/console/…` with a page for each of `apps` that is described there, and `/`: the first's page for browsers, an index of
/// links for everyone else.
pub(crate) fn routes(profiles: Profiles, apps: &[Arc<str>]) -> Router {
    let is_described = |app: &&Arc<str>| FILES.iter().any(|(file, ..)| file.strip_suffix(".js") == Some(app));
    let pages: Arc<[String]> = apps.iter().filter(is_described).map(|app| format!("/console/{app}")).collect();
    let mut router = Router::new();
    for path in pages.iter().map(String::as_str).chain(["/console", "/console/"]) {
        router = router.route(path, get(async || page("index.html")));
    }
    for (name, _, _) in FILES {
        router = router.route(&format!("/console/{name}"), get(async move || page(name)));
    }
    router.route("/", get(async move |base: Base, request: Request| root(&profiles, &pages, &base, &request)))
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

fn root(profiles: &Profiles, pages: &[String], base: &Base, request: &Request) -> Response {
    let accept = request.headers().get(ACCEPT).map(|a| a.as_bytes()).unwrap_or_default();
    if accept.windows(9).any(|part| part == b"text/html") {
        return page("index.html");
    }
    let mut index = gateway::index(profiles, &base.0);
    let link = |page: &String| {
        let name = page.rsplit('/').next();
        json!({ "name": name, "href": format!("{}{page}", base.0) })
    };
    index["_links"]["console"] = pages.iter().map(link).collect();
    service::json(StatusCode::OK, &index).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_of_the_folder_is_served() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../console");
        let mut found: Vec<String> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| !name.ends_with(".md") && !name.ends_with("-test.mjs"))
            .collect();
        let mut served: Vec<&str> = FILES.iter().map(|(name, ..)| *name).collect();
        found.sort_unstable();
        served.sort_unstable();
        assert_eq!(found, served);
    }

    #[test]
    fn nothing_is_inline_or_from_elsewhere() {
        for (name, _, content) in FILES {
            for forbidden in ["style=\"", "<script>", "onclick=\"", "https://", "src=\"//", "innerHTML"] {
                assert!(!content.contains(forbidden), "{name} has {forbidden}: the policy would block it");
            }
        }
    }
}
