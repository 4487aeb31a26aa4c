//! A registry over HTTP: Confluent's, Apicurio's `/apis/ccompat/v7`, Karapace.
//!
//! HTTP is done by `schema_registry_converter` on one thread of its own, so that an engine thread waits at most
//! [`REGISTRY_WAIT_MAX`] whatever the network does, and no caller needs (or disturbs) an async runtime.

use std::collections::BTreeMap;
use std::error::Error as _;
use std::fmt;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, RwLock};
use std::time::{Duration, Instant};

use schema_registry_converter::blocking::schema_registry::{
    SrSettings, get_schema_by_id, perform_sr_call, post_schema,
};
use schema_registry_converter::error::SRCError;
use schema_registry_converter::schema_registry_common::{RawError, SchemaType, SrCall, SuppliedSchema};

use super::Registry;
use crate::catalog::{self, RESERVED_FROM};
use crate::error::RegistryError;
use crate::limits::{
    REGISTRY_QUEUE_MAX, REGISTRY_RETRY_AFTER, REGISTRY_SCHEMAS_MAX, REGISTRY_WAIT_MAX, UNKNOWN_ID_REMEMBERED,
};

/// How to reach a registry.
#[derive(Clone, Default)]
pub struct ConfluentConfig {
    /// Base addresses, tried in order, e.g. `http://registry:8081` or `http://apicurio:8080/apis/ccompat/v7`.
    pub urls: Vec<String>,
    /// User and password, when the registry asks for them.
    pub basic_auth: Option<(String, String)>,
    /// Register our schemas at start; otherwise they must already be there.
    pub register: bool,
}

/// Without the password, so that a configuration can be logged.
impl fmt::Debug for ConfluentConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let user = self.basic_auth.as_ref().map(|(user, _)| user);
        f.debug_struct("ConfluentConfig")
            .field("urls", &self.urls)
            .field("user", &user)
            .field("register", &self.register)
            .finish()
    }
}

/// A client of a Confluent-compatible registry. Cheap to share; remembers what it was told.
#[derive(Debug)]
pub struct ConfluentRegistry {
    url: String,
    requests: SyncSender<Request>,
    memory: Arc<RwLock<Memory>>,
}

/// What the registry has said so far.
#[derive(Debug, Default)]
struct Memory {
    schemas: BTreeMap<u32, Known>,
    /// When the registry was last found out of reach, and why.
    down: Option<(Instant, RegistryError)>,
}

#[derive(Clone, Debug)]
enum Known {
    Schema(Arc<str>),
    /// The registry had no such id then.
    Nothing(Instant),
}

enum Request {
    Id { subject: String, name: &'static str, json: &'static str, reply: SyncSender<Result<u32, RegistryError>> },
    Schema { id: u32, reply: SyncSender<Result<Option<Arc<str>>, RegistryError>> },
}

impl ConfluentRegistry {
    /// Starts the client's thread; nothing is asked of the registry yet.
    ///
    /// # Errors
    /// When no address is given or the HTTP client cannot be built.
    pub fn new(config: ConfluentConfig) -> Result<Self, RegistryError> {
        let url = config.urls.first().cloned().map(without_credentials).unwrap_or_default();
        let unavailable = |reason: String| RegistryError::Unavailable { url: url.clone(), reason };
        if config.urls.is_empty() {
            return Err(unavailable("no address is configured".to_owned()));
        }
        let (requests, queue) = sync_channel(REGISTRY_QUEUE_MAX);
        let (ready, started) = sync_channel(1);
        let memory = Arc::new(RwLock::default());
        let thread = Thread { url: url.clone(), register: config.register, memory: Arc::clone(&memory) };
        // The thread ends when the last `requests` sender is dropped.
        std::thread::Builder::new()
            .name("schema-registry".to_owned())
            .spawn(move || match settings(&config) {
                Ok(settings) => {
                    let _ = ready.send(Ok(()));
                    thread.run(&settings, &queue);
                }
                Err(error) => {
                    let _ = ready.send(Err(error));
                }
            })
            .map_err(|e| unavailable(format!("cannot start the client's thread: {e}")))?;
        match started.recv() {
            Ok(Ok(())) => Ok(ConfluentRegistry { url, requests, memory }),
            Ok(Err(error)) => Err(unavailable(words(&error))),
            Err(_) => Err(unavailable("the client's thread ended at once".to_owned())),
        }
    }

    /// Asks the thread and waits for the answer, at most [`REGISTRY_WAIT_MAX`].
    fn ask<R>(&self, request: Request, answer: &Receiver<Result<R, RegistryError>>) -> Result<R, RegistryError> {
        let unavailable =
            |reason: &str| RegistryError::Unavailable { url: self.url.clone(), reason: reason.to_owned() };
        self.requests.try_send(request).map_err(|_| unavailable("too many look-ups are waiting"))?;
        answer.recv_timeout(REGISTRY_WAIT_MAX).unwrap_or_else(|_| {
            let error = unavailable(&format!("no answer within {} s", REGISTRY_WAIT_MAX.as_secs()));
            self.memory.write().unwrap_or_else(|e| e.into_inner()).down = Some((Instant::now(), error.clone()));
            Err(error)
        })
    }
}

impl Registry for ConfluentRegistry {
    fn id_for_subject(&self, subject: &str, name: &'static str) -> Result<u32, RegistryError> {
        let unknown = || RegistryError::UnknownSubject { subject: subject.to_owned(), name };
        let json = catalog::entry(name).ok_or_else(unknown)?.current().json;
        let (reply, answer) = sync_channel(1);
        let id = self.ask(Request::Id { subject: subject.to_owned(), name, json, reply }, &answer)?;
        if id >= RESERVED_FROM {
            return Err(RegistryError::ReservedId { subject: subject.to_owned(), id, reserved_from: RESERVED_FROM });
        }
        Ok(id)
    }

    fn schema_by_id(&self, id: u32) -> Result<Option<Arc<str>>, RegistryError> {
        if let Some(answer) = self.memory.read().unwrap_or_else(|e| e.into_inner()).recall(id) {
            return answer;
        }
        let (reply, answer) = sync_channel(1);
        self.ask(Request::Schema { id, reply }, &answer)
    }
}

impl Memory {
    /// What is known about an id without asking: its schema, that there is none, or that asking is pointless now.
    fn recall(&self, id: u32) -> Option<Result<Option<Arc<str>>, RegistryError>> {
        match (self.schemas.get(&id), &self.down) {
            (Some(Known::Schema(text)), _) => Some(Ok(Some(Arc::clone(text)))),
            (Some(Known::Nothing(at)), _) if at.elapsed() < UNKNOWN_ID_REMEMBERED => Some(Ok(None)),
            (_, Some((at, error))) if at.elapsed() < REGISTRY_RETRY_AFTER => Some(Err(error.clone())),
            _ => None,
        }
    }

    fn remember(&mut self, id: u32, known: Known) {
        self.down = None;
        if self.schemas.len() >= REGISTRY_SCHEMAS_MAX {
            // Made-up ids go first; if all are real, the newest is simply asked for again.
            self.schemas.retain(|_, known| matches!(known, Known::Schema(_)));
        }
        if self.schemas.len() < REGISTRY_SCHEMAS_MAX {
            self.schemas.insert(id, known);
        }
    }
}

/// The thread that talks HTTP.
struct Thread {
    url: String,
    register: bool,
    memory: Arc<RwLock<Memory>>,
}

impl Thread {
    fn run(&self, settings: &SrSettings, queue: &Receiver<Request>) {
        // A caller that no longer waits has dropped its receiver; its answer is still remembered.
        for request in queue {
            match request {
                Request::Id { subject, name, json, reply } => {
                    let _ = reply.send(self.id(settings, subject, name, json));
                }
                Request::Schema { id, reply } => {
                    let _ = reply.send(self.schema(settings, id));
                }
            }
        }
    }

    fn id(&self, settings: &SrSettings, subject: String, name: &'static str, json: &str) -> Result<u32, RegistryError> {
        let answer = if self.register {
            let schema = SuppliedSchema::new(Some(name.to_owned()), SchemaType::Avro, json.to_owned());
            post_schema(settings, subject.clone(), schema).map(|schema| Some(schema.id))
        } else {
            let body = serde_json::json!({ "schema": json, "schemaType": "AVRO" }).to_string();
            perform_sr_call(settings, SrCall::PostForVersion(&subject, &body)).map(|schema| schema.id)
        };
        match answer {
            Ok(Some(id)) => Ok(id),
            Ok(None) => Err(self.unavailable("the answer has no id".to_owned())),
            Err(error) => Err(match refusal(&error) {
                Some(404) if !self.register => RegistryError::UnknownSubject { subject, name },
                // 404 with registering is a wrong address; the rest of 4xx is about the schema or the caller.
                Some(400..=403 | 405..=499) => RegistryError::Refused { subject, reason: words(&error) },
                _ => self.unavailable(words(&error)),
            }),
        }
    }

    fn schema(&self, settings: &SrSettings, id: u32) -> Result<Option<Arc<str>>, RegistryError> {
        // Another thread may have asked for the same id while this request was queued.
        if let Some(answer) = self.memory.read().unwrap_or_else(|e| e.into_inner()).recall(id) {
            return answer;
        }
        let answer = get_schema_by_id(id, settings);
        let mut memory = self.memory.write().unwrap_or_else(|e| e.into_inner());
        match answer {
            Ok(schema) => {
                let text: Arc<str> = schema.schema.into();
                memory.remember(id, Known::Schema(Arc::clone(&text)));
                Ok(Some(text))
            }
            Err(error) if refusal(&error) == Some(404) => {
                memory.remember(id, Known::Nothing(Instant::now()));
                Ok(None)
            }
            Err(error) => {
                let error = self.unavailable(words(&error));
                memory.down = Some((Instant::now(), error.clone()));
                Err(error)
            }
        }
    }

    fn unavailable(&self, reason: String) -> RegistryError {
        RegistryError::Unavailable { url: self.url.clone(), reason }
    }
}

fn settings(config: &ConfluentConfig) -> Result<SrSettings, SRCError> {
    let (first, more) = config.urls.split_first().expect("checked by the caller");
    let mut builder = SrSettings::new_builder(trim(first));
    for url in more {
        builder.add_url(trim(url));
    }
    if let Some((user, password)) = &config.basic_auth {
        builder.set_basic_authorization(user, Some(password));
    }
    // All addresses together stay within what a caller waits.
    let share = REGISTRY_WAIT_MAX / u32::try_from(config.urls.len()).unwrap_or(u32::MAX);
    builder.set_timeout(share.saturating_sub(Duration::from_millis(100)));
    builder.build()
}

fn trim(url: &str) -> String {
    url.trim_end_matches('/').to_owned()
}

/// `http://user:password@host` as `http://host`, for messages.
fn without_credentials(url: String) -> String {
    match (url.find("://"), url.rfind('@')) {
        (Some(scheme), Some(at)) if at > scheme => format!("{}{}", &url[..scheme + 3], &url[at + 1..]),
        _ => url,
    }
}

/// The HTTP status behind a registry's refusal: Confluent's error codes are the status, or the status and two digits.
fn refusal(error: &SRCError) -> Option<u32> {
    let code = error.source()?.downcast_ref::<RawError>()?.error_code;
    Some(if code >= 10_000 { code / 100 } else { code })
}

/// The error without the crate's own decoration.
fn words(error: &SRCError) -> String {
    match &error.cause {
        Some(cause) => format!("{}: {cause}", error.error),
        None => error.error.clone(),
    }
}
