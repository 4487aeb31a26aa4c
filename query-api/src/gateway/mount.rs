//! Where the businesses' resources are found: each under its name, and at the root whatever no business named before it
//! has there. One gateway serves them all, as the seeds' does on its one port.

use std::sync::Arc;

use axum::Router;

use super::profiles::{self, Profile, Profiles};
use super::{Business, Gateway};
use crate::StartError;
use crate::service::{Api, AppState};

/// A business, its types forgotten.
pub(crate) struct Entry {
    pub(crate) name: &'static str,
    pub(crate) paths: fn() -> Vec<&'static str>,
    profiles: &'static [Profile],
    router: fn(&Arc<Api>, &Arc<AppState>, Vec<&'static str>) -> Result<Router, StartError>,
}

/// The entry of a business.
pub(crate) const fn entry<B: Business>() -> Entry {
    Entry {
        name: B::APP,
        paths: || B::routes().into_iter().map(|(path, _)| path).collect(),
        profiles: B::PROFILES,
        router: router::<B>,
    }
}

fn router<B: Business>(api: &Arc<Api>, app: &Arc<AppState>, at_root: Vec<&'static str>) -> Result<Router, StartError> {
    let gateway = Gateway::<B>::start(api, app, at_root.clone())?;
    let mut router = Router::new();
    for (path, handlers) in B::routes() {
        if at_root.contains(&first_segment(path)) {
            router = router.route(path, handlers.clone());
        }
        router = router.route(&format!("/{}{path}", B::APP), handlers);
    }
    Ok(router.with_state(gateway))
}

/// The first segment of a path: what a business takes of the root.
fn first_segment(path: &'static str) -> &'static str {
    path.trim_start_matches('/').split('/').next().unwrap_or_default()
}

/// All businesses of a process, in its order.
pub(crate) struct Mounts(Vec<Mounted>);

struct Mounted {
    entry: &'static Entry,
    /// First path segments that the root has too.
    at_root: Vec<&'static str>,
}

impl Mounts {
    /// Shares the root out: what an earlier business has there, a later one has not.
    pub(crate) fn of(entries: impl Iterator<Item = &'static Entry>) -> Self {
        let mut mounts: Vec<Mounted> = Vec::new();
        for entry in entries {
            let mut at_root: Vec<&str> = Vec::new();
            for segment in (entry.paths)().into_iter().map(first_segment) {
                let is_taken = mounts.iter().any(|mounted| mounted.at_root.contains(&segment));
                if !is_taken && !at_root.contains(&segment) {
                    at_root.push(segment);
                }
            }
            mounts.push(Mounted { entry, at_root });
        }
        Mounts(mounts)
    }

    /// Every path with its mount, as metrics name them.
    pub(crate) fn patterns(&self) -> Vec<String> {
        let mut patterns = vec!["/profile".to_owned(), "/profile/{name}".to_owned()];
        for Mounted { entry, at_root } in &self.0 {
            for path in (entry.paths)().into_iter().chain(["/profile", "/profile/{name}"]) {
                patterns.push(format!("/{}{path}", entry.name));
                if at_root.contains(&first_segment(path)) {
                    patterns.push(path.to_owned());
                }
            }
        }
        patterns
    }

    /// The collections found at the root.
    pub(crate) fn root_profiles(&self) -> Profiles {
        let of = |mounted: &Mounted| {
            let at_root = mounted.at_root.clone();
            mounted.entry.profiles.iter().filter(move |profile| at_root.contains(&profile.name)).copied()
        };
        self.0.iter().flat_map(of).collect()
    }

    /// Starts every business and merges their routes.
    pub(crate) fn router(self, api: &Arc<Api>) -> Result<Router, StartError> {
        let mut router = profiles::routes("").with_state(self.root_profiles());
        for Mounted { entry, at_root } in self.0 {
            let Some(app) = api.apps.iter().find(|app| &*app.app.name == entry.name) else { continue };
            let own: Profiles = entry.profiles.into();
            router = router
                .merge(profiles::routes(&format!("/{}", entry.name)).with_state(own))
                .merge((entry.router)(api, app, at_root)?);
        }
        Ok(router)
    }
}
