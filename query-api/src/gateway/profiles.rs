//! Which collections there are, for `profile` links (ALPS, as Spring Data REST serves it) and the index at the root.

use std::sync::Arc;

use axum::Router;
use axum::extract::{OriginalUri, Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::get;
use serde_json::{Value, json};

use crate::error::ApiError;
use crate::params::Base;
use crate::service::{self, json_bytes};

/// A collection and what its items have.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Profile {
    /// The collection's path segment and relation.
    pub(crate) name: &'static str,
    /// The relation of one of its items.
    pub(crate) item: &'static str,
    /// Names of an item's fields.
    pub(crate) fields: &'static [&'static str],
}

/// The collections of one mount.
pub(crate) type Profiles = Arc<[Profile]>;

/// `/profile` and `/profile/{name}`.
pub(crate) fn routes(mount: &str) -> Router<Profiles> {
    Router::new().route(&format!("{mount}/profile"), get(list)).route(&format!("{mount}/profile/{{name}}"), get(one))
}

async fn list(
    State(profiles): State<Profiles>,
    OriginalUri(uri): OriginalUri,
    base: Base,
) -> Result<Response, ApiError> {
    let here = format!("{}{}", base.0, uri.path());
    let mut links = serde_json::Map::from_iter([("self".to_owned(), json!({ "href": here }))]);
    for Profile { name, .. } in profiles.iter() {
        links.insert((*name).to_owned(), json!({ "href": format!("{here}/{name}") }));
    }
    service::json(StatusCode::OK, &json!({ "_links": links }))
}

async fn one(State(profiles): State<Profiles>, Path(name): Path<String>) -> Result<Response, ApiError> {
    let found = profiles.iter().find(|profile| profile.name == name);
    let profile = found.ok_or_else(|| ApiError::NotFound("there is no such collection".into()))?;
    let descriptors: Vec<Value> =
        profile.fields.iter().map(|field| json!({ "name": field, "type": "SEMANTIC" })).collect();
    let alps = json!({
        "alps": {
            "version": "1.0",
            "descriptor": [{ "id": format!("{}-representation", profile.item), "descriptor": descriptors }],
        },
    });
    let body = serde_json::to_vec(&alps).map_err(|e| ApiError::Internal(e.to_string()))?;
    Ok(json_bytes(StatusCode::OK, "application/alps+json", body))
}

/// The index at the root: the collections found there, and what else there is.
pub(crate) fn index(profiles: &[Profile], at: &str) -> Value {
    let mut links = serde_json::Map::new();
    for Profile { name, .. } in profiles {
        let href = format!("{at}/{name}{{?page,size,sort}}");
        links.insert((*name).to_owned(), json!({ "href": href, "templated": true }));
    }
    for name in ["profile", "stores", "topology", "instances"] {
        links.insert(name.to_owned(), json!({ "href": format!("{at}/{name}") }));
    }
    json!({ "_links": links })
}
