//! What the resources of every business have in common: reading items and collections, giving commands and waiting for
//! their verdict, streams of status changes.
//!
//! A business is a module with the wire form of its resources and a table of its routes ([`Business`]); how a request is
//! answered is here, once.

mod commands;
mod hub;
mod live;
mod mount;
mod profiles;
mod resources;
pub(crate) mod wire;

pub(crate) use commands::{Ask, Judged, command, now_ms};
pub(crate) use hub::Hub;
pub(crate) use live::{Streamed, all_events, events_of};
pub(crate) use mount::{Entry, Mounts, entry};
pub(crate) use profiles::{Profile, Profiles, index};
pub(crate) use resources::{Resource, Until, collection, item};

use std::sync::Arc;

use axum::http::Uri;
use axum::routing::MethodRouter;
use schemas::state::{Command, CommandOutcome};
use schemas::{AvroRecord, Codec, Topic};

use crate::StartError;
use crate::breaker::Breaker;
use crate::platform::TailRecord;
use crate::service::{Api, AppState, StoreRef};
use wire::Mount;

/// A path below a business's mount, and what answers there.
pub(crate) type Route<B> = (&'static str, MethodRouter<Arc<Gateway<B>>>);

/// The resources of one business: what the handlers read and write, and where they are found.
pub(crate) trait Business: Sized + Send + Sync + 'static {
    /// The application's name in URLs.
    const APP: &'static str;
    /// Its collections, and what their items have.
    const PROFILES: &'static [Profile];

    /// Finds the stores and gets the schema ids.
    fn start(start: &Start<'_>) -> Result<Self, StartError>;

    /// Every path with its handlers.
    fn routes() -> Vec<Route<Self>>;
}

/// What the handlers of one business share.
pub(crate) struct Gateway<B> {
    pub(crate) business: B,
    api: Arc<Api>,
    app: Arc<AppState>,
    outcomes: Codec<CommandOutcome>,
    /// First path segments of this business that are found at the root too.
    at_root: Vec<&'static str>,
}

impl<B: Business> Gateway<B> {
    /// Starts a business's resources; `at_root` are its path segments that the root has too.
    pub(crate) fn start(
        api: &Arc<Api>,
        app: &Arc<AppState>,
        at_root: Vec<&'static str>,
    ) -> Result<Arc<Self>, StartError> {
        let business = B::start(&Start { api, app, name: B::APP })?;
        let (api, app) = (Arc::clone(api), Arc::clone(app));
        Ok(Arc::new(Gateway { business, api, app, outcomes: Codec::fixed(), at_root }))
    }

    /// Where a request found the business: under its name, or at the root.
    fn mount_of(&self, uri: &Uri) -> Mount<'_> {
        let under_name = uri.path().strip_prefix('/').and_then(|path| path.strip_prefix(B::APP));
        let is_root = !under_name.is_some_and(|rest| rest.starts_with('/'));
        Mount { app: B::APP, is_root, at_root: &self.at_root }
    }
}

/// What a business needs to start.
pub(crate) struct Start<'a> {
    api: &'a Arc<Api>,
    app: &'a Arc<AppState>,
    name: &'static str,
}

/// A store whose entries are a resource.
pub(crate) struct Table<V> {
    at: StoreRef,
    codec: Codec<V>,
}

/// A topic that commands of one kind go to, and where their outcomes are found.
pub(crate) struct Commands<C> {
    topic: &'static str,
    codec: Codec<C>,
    ledger: StoreRef,
}

impl Start<'_> {
    fn store(&self, store: &'static str) -> Result<StoreRef, StartError> {
        self.app.store(store).ok_or(StartError::MissingStore { app: self.name, store })
    }

    /// A store by name.
    pub(crate) fn table<V: AvroRecord>(&self, store: &'static str) -> Result<Table<V>, StartError> {
        Ok(Table { at: self.store(store)?, codec: Codec::fixed() })
    }

    /// A command topic and the store of its outcomes.
    pub(crate) fn commands<C: Command + AvroRecord>(
        &self,
        topic: &Topic<C>,
        ledger: &'static str,
    ) -> Result<Commands<C>, StartError> {
        let (prefix, registry) = (self.api.platform.topic_prefix(), self.api.platform.registry());
        let codec = Codec::for_topic(topic, prefix, registry)?;
        Ok(Commands { topic: topic.base(), codec, ledger: self.store(ledger)? })
    }

    /// The shared reader of a topic whose records are sent on as they come.
    pub(crate) fn hub<B: Business, S: Streamed<B>>(&self) -> Result<Arc<Hub>, StartError> {
        let (prefix, registry) = (self.api.platform.topic_prefix(), self.api.platform.registry());
        let codec = Codec::for_topic(&S::TOPIC, prefix, registry)?;
        let decode = Box::new(move |record: &TailRecord| live::decode::<B, S>(&codec, record));
        Ok(Hub::new(S::TOPIC.base(), Arc::clone(&self.api.platform), decode))
    }

    /// A circuit breaker of this process by name, if it has one.
    pub(crate) fn breaker(&self, name: &str) -> Option<Arc<Breaker>> {
        self.api.platform.breakers().iter().find(|breaker| breaker.name() == name).cloned()
    }
}
