//! The HTTP service over committed state: gateway resources, interactive queries, live events, health, metrics.
//!
//! [`app`] builds the router over a [`Platform`], the port to the process it runs in. Handlers read
//! [`streams::View`]s directly; what is not here is asked of the instance that has it, one hop away.
//!
//! Three kinds of modules: generic ones (`stores`, `topology`, `registry`, `health`), which know no business type;
//! [`gateway`], which is what the resources of all businesses have in common; and one per business ([`fashion`],
//! [`gdmarket`], [`taxi`], [`ebook`]), which has the wire form of its resources and the table of its routes.

mod body;
pub mod breaker;
mod console;
mod ebook;
mod error;
mod fashion;
mod gateway;
mod gdmarket;
mod hal;
mod health;
pub mod limits;
mod metrics;
mod params;
pub mod platform;
mod position;
mod registry;
mod service;
mod stores;
mod taxi;
mod topology;
mod wait;

use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get};
use thiserror::Error;

pub use error::{ApiError, FieldError};
pub use platform::Platform;

use crate::gateway::{Entry, Mounts, entry};
use crate::limits::{HEADER_BYTES_MAX, URI_BYTES_MAX};
use crate::service::Api;
use crate::stores::Scope;

/// Why the service cannot start.
#[derive(Debug, Error)]
pub enum StartError {
    /// The platform runs no application.
    #[error("no application runs in this process")]
    NoApp,
    /// An application lacks a store that its resources are read from.
    #[error("the topology of {app} has no store '{store}'")]
    MissingStore {
        /// The application.
        app: &'static str,
        /// The store.
        store: &'static str,
    },
    /// A schema has no id.
    #[error(transparent)]
    Registry(#[from] schemas::RegistryError),
    /// The client for other instances cannot be made.
    #[error("HTTP client: {0}")]
    Client(String),
}

/// Routes of one mount, with their patterns as metrics name them.
struct Routes<S> {
    mount: String,
    router: Router<S>,
    patterns: Vec<String>,
}

impl<S: Clone + Send + Sync + 'static> Routes<S> {
    fn new(mount: &str) -> Self {
        Routes { mount: mount.to_owned(), router: Router::new(), patterns: Vec::new() }
    }

    fn add(mut self, path: &str, handlers: MethodRouter<S>) -> Self {
        let pattern = format!("{}{path}", self.mount);
        self.router = self.router.route(&pattern, handlers);
        self.patterns.push(pattern);
        self
    }
}

/// Interactive queries over one application.
fn generic(mount: &str) -> Routes<Scope> {
    Routes::new(mount)
        .add("/stores", get(stores::list))
        .add("/stores/{store}", get(stores::range))
        .add("/stores/{store}/{key}", get(stores::get))
        .add("/topology", get(topology::topology))
        .add("/instances", get(topology::instances))
}

/// What belongs to the process, not to an application.
fn process() -> Routes<Arc<Api>> {
    Routes::new("")
        .add("/livez", get(health::livez))
        .add("/readyz", get(health::readyz))
        .add("/metrics", get(health::metrics))
        .add("/breakers", get(health::breakers))
}

/// The businesses this service has resources of. Any other application has its interactive queries only.
static BUSINESSES: [Entry; 4] =
    [entry::<fashion::Fashion>(), entry::<gdmarket::Gdmarket>(), entry::<taxi::Taxi>(), entry::<ebook::Ebook>()];

/// The paths of a business's resources, below its name; none of an application that has its interactive queries only.
#[must_use]
pub fn paths(app: &str) -> Vec<&'static str> {
    BUSINESSES.iter().find(|business| business.name == app).map(|business| (business.paths)()).unwrap_or_default()
}

/// The service. Must be called within a tokio runtime: it starts tasks that pass commits on to waiting requests.
///
/// # Errors
/// When the platform runs no application, one lacks a store, or a schema has no id.
pub fn app(platform: Arc<dyn Platform>) -> Result<Router, StartError> {
    let names: Vec<Arc<str>> = platform.apps().iter().map(|app| Arc::clone(&app.name)).collect();
    let default = names.first().cloned().ok_or(StartError::NoApp)?;
    let process = process();
    // The default application is found at the root too.
    let generics: Vec<_> = names
        .iter()
        .map(|name| (generic(&format!("/{name}")), Arc::clone(name)))
        .chain([(generic(""), Arc::clone(&default))])
        .collect();
    let mounts = Mounts::of(names.iter().filter_map(|name| BUSINESSES.iter().find(|b| *b.name == **name)));
    let mut patterns = process.patterns;
    patterns.extend(generics.iter().flat_map(|(routes, _)| routes.patterns.iter().cloned()));
    patterns.extend(mounts.patterns());

    let api = Api::start(platform, &patterns)?;
    let mut router = process.router.nest("/registry", registry::routes()).with_state(Arc::clone(&api));
    for (routes, name) in generics {
        if let Some(app) = api.apps.iter().find(|app| app.app.name == name) {
            router = router.merge(routes.router.with_state(Scope { api: Arc::clone(&api), app: Arc::clone(app) }));
        }
    }
    Ok(router
        .merge(console::routes(mounts.root_profiles(), &names))
        .merge(mounts.router(&api)?)
        .fallback(async || ApiError::NotFound("there is no such resource".into()))
        .method_not_allowed_fallback(async || ApiError::Method)
        .layer(axum::middleware::from_fn_with_state(api, watch)))
}

/// Around every request: refuses what is too large to be looked at, counts and times the rest.
async fn watch(State(api): State<Arc<Api>>, request: Request, next: Next) -> Response {
    let began = Instant::now();
    let uri_bytes = request.uri().path_and_query().map_or(0, |p| p.as_str().len());
    let header_bytes: usize = request.headers().iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    if uri_bytes > URI_BYTES_MAX {
        return ApiError::UriTooLong(URI_BYTES_MAX).into_response();
    }
    if header_bytes > HEADER_BYTES_MAX {
        return ApiError::HeadersTooLarge(HEADER_BYTES_MAX).into_response();
    }
    let matched = request.extensions().get::<MatchedPath>().cloned();
    let response = next.run(request).await;
    let metrics = api.metrics.route(matched.as_ref().map(MatchedPath::as_str));
    metrics.answered(response.status().as_u16(), began.elapsed());
    response
}
