//! Commands: append to the log, then answer with what the processor decided. Nothing is judged here: what a gateway could
//! look up before the append may be out of date by the time the processor reads the command.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::extract::{FromRequestParts, OriginalUri, Path, State};
use axum::http::header::{LOCATION, RETRY_AFTER};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri};
use axum::response::Response;
use schemas::state::{Command, CommandOutcome, Verdict, ledger_key};
use schemas::{AvroRecord, Keyed as _};
use tokio::time::Instant;

use super::resources::{Resource, Until, bytes, media_type, path_id, read_until, set_retry_after};
use super::wire::{At, CommandLinks, CommandView, Refused};
use super::{Business, Commands, Gateway};
use crate::body::make_id;
use crate::breaker::{Breaker, Refusal};
use crate::error::ApiError;
use crate::hal::{self, Link};
use crate::limits::{RETRY_AFTER_S, TEXT_CHARS_MAX, WAIT_DEFAULT};
use crate::params::{Base, Params, Prefer, encode, idempotency_key};
use crate::position::{self, ORDERFLOW_POSITION, Token};
use crate::service::{Place, is_hop, json_bytes};

/// RFC 7240: which of the client's preferences were followed.
const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");

/// The wall clock, in milliseconds since the epoch.
pub(crate) fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// A resource that commands are about: a command is answered with it.
pub(crate) trait Judged<B>: Resource<B> {
    /// The commands.
    type Command: Command + AvroRecord;
    /// Kinds of command that make a new one.
    const CREATES: &'static [&'static str];

    /// Where they go, and where their outcomes are.
    fn commands(business: &B) -> &Commands<Self::Command>;

    /// The breaker around judging them, if whoever judges may be overloaded.
    fn breaker(_business: &B) -> Option<&Breaker> {
        None
    }

    /// The body of the answer to a command that was carried out or refused.
    fn answer(value: &Self::Value, outcome: &CommandOutcome, at: At<'_>) -> Result<Vec<u8>, ApiError> {
        match outcome.verdict {
            Verdict::Refused => {
                let resource = Self::view(value, at);
                bytes(&Refused { resource, verdict: outcome.verdict.symbol(), message: &outcome.detail })
            }
            _ => bytes(&Self::view(value, at)),
        }
    }
}

/// What a command's request says besides its body.
pub(crate) struct Ask {
    uri: Uri,
    headers: HeaderMap,
    prefer: Prefer,
    key: Option<String>,
    params: Params,
}

impl<S: Send + Sync> FromRequestParts<S> for Ask {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let params = Params::from_request_parts(parts, state).await?;
        let OriginalUri(uri) =
            OriginalUri::from_request_parts(parts, state).await.unwrap_or_else(|never| match never {});
        let (prefer, key) = (Prefer::of(&parts.headers)?, idempotency_key(&parts.headers)?.map(str::to_owned));
        Ok(Ask { uri, headers: parts.headers.clone(), prefer, key, params })
    }
}

impl Ask {
    /// The id of what a command is about: the client's, made from its `Idempotency-Key`, or new.
    pub(crate) fn id(&self, given: Option<String>) -> String {
        make_id(given, self.key.as_deref())
    }

    /// The id of the command itself.
    pub(crate) fn command_id(&self) -> String {
        self.id(None)
    }

    /// Takes the query parameter `reason`, in the sender's words; empty when there is none.
    pub(crate) fn reason(&mut self) -> String {
        let reason = self.params.take("reason").unwrap_or_default();
        if reason.chars().count() > TEXT_CHARS_MAX {
            self.params.wrong("reason", format!("is longer than {TEXT_CHARS_MAX} characters"));
        }
        reason
    }

    /// Where a resource of the business is found, as a `Location`.
    pub(crate) fn location<B: Business>(&self, name: &str, id: &str, gateway: &Gateway<B>) -> HeaderValue {
        location(name, id, At { base: "", mount: gateway.mount_of(&self.uri) })
    }
}

/// A command that is in the log, and how long its sender waits for what.
struct Submitted<'a, V> {
    id: &'a str,
    command_id: &'a str,
    /// Of its content; `None` when only its id is known.
    hash: Option<i64>,
    tokens: Vec<Token>,
    /// How far what follows from it is waited for; `None`: only for the verdict.
    until: Option<Until<V>>,
    /// How long it waits for `until`.
    wait: Duration,
    /// How long it waits for the verdict.
    patience: Duration,
}

/// `GET /<name>/{id}/commands/{command}`: what was decided about a command, for senders that did not wait, and for
/// instances that took a command whose resource is another's.
pub(crate) async fn command<B: Business, R: Judged<B>>(
    State(gateway): State<Arc<Gateway<B>>>,
    Path((id, command)): Path<(String, String)>,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
    mut params: Params,
) -> Result<Response, ApiError> {
    let until = read_until::<B, R>(&mut params);
    let wait = params.wait().unwrap_or_default();
    let min_position = params.take("min-position");
    let hash = params.take("hash").and_then(|hash| hash.parse().ok());
    params.finish()?;
    path_id(&id)?;
    let ledger = R::commands(&gateway.business).ledger;
    let tokens = match min_position {
        Some(text) => position::parse(&text, gateway.app.app.view.topology(), ledger.subtopology)?,
        None => Vec::new(),
    };
    // Without a position a command may just not exist: then there is nothing to wait for beyond what was asked.
    let patience = if tokens.is_empty() { wait } else { wait.max(WAIT_DEFAULT) };
    let command = Submitted { id: &id, command_id: &command, hash, tokens, until, wait, patience };
    let base = Base::of(&headers);
    gateway.judge::<R>(&command, &headers, At { base: &base.0, mount: gateway.mount_of(&uri) }).await
}

fn location(name: &str, id: &str, at: At<'_>) -> HeaderValue {
    let path = At { base: "", ..at }.href(name, id);
    HeaderValue::from_str(&path).unwrap_or_else(|_| HeaderValue::from_static("/"))
}

impl<B: Business> Gateway<B> {
    /// Appends a command and answers with what became of it. `until` is how far what follows is waited for when the sender
    /// does not say how long it wants to wait.
    pub(crate) async fn submit<R: Judged<B>>(
        &self,
        command: R::Command,
        ask: Ask,
        until: Option<Until<R::Value>>,
    ) -> Result<Response, ApiError> {
        let Ask { uri, headers, prefer, params, .. } = ask;
        params.finish()?;
        path_id(command.key())?;
        let settled = || R::UNTIL.iter().find(|until| until.name == SETTLED).copied();
        let (until, wait) = match prefer.wait {
            Some(wait) => (settled(), wait),
            None => (until, until.map_or(Duration::ZERO, |_| WAIT_DEFAULT)),
        };
        let (id, command_id) = (command.key(), command.command_id());
        let hash = Some(command.content_hash());
        let patience = wait.max(WAIT_DEFAULT);
        let mut submitted = Submitted { id, command_id, hash, tokens: Vec::new(), until, wait, patience };
        let began = Instant::now();
        let Commands { topic, codec, .. } = R::commands(&self.business);
        let metrics = &self.api.metrics;
        let append = self.api.platform.append(topic, id.as_bytes(), codec.to_vec(&command));
        let appended = append.await.map_err(|error| {
            metrics.commands_failed.inc();
            ApiError::append(&error, id)
        })?;
        metrics.commands.inc();
        let token = Token::of(topic, appended);
        let position = token.header();
        submitted.tokens.push(token);
        let base = Base::of(&headers);
        let at = At { base: &base.0, mount: self.mount_of(&uri) };
        // A sender who says how long to wait is not turned away.
        let breaker = R::breaker(&self.business).filter(|_| prefer.wait.is_none());
        let mut answer = match breaker {
            _ if prefer.respond_async => pending::<B, R>(&submitted, at)?,
            Some(breaker) => {
                submitted.patience = breaker.settings().timeout.saturating_sub(began.elapsed());
                self.judge_guarded::<R>(breaker, &submitted, &headers, at).await?
            }
            None => self.judge::<R>(&submitted, &headers, at).await?,
        };
        let headers = answer.headers_mut();
        headers.insert(ORDERFLOW_POSITION, position);
        if prefer.respond_async {
            headers.insert(PREFERENCE_APPLIED, HeaderValue::from_static("respond-async"));
        } else if let Some(wait) = prefer.wait
            && let Ok(applied) = HeaderValue::from_str(&format!("wait={}", wait.as_secs_f64()))
        {
            headers.insert(PREFERENCE_APPLIED, applied);
        }
        Ok(answer)
    }

    /// As [`Gateway::submit`], of a command whose judge knows only some of the resources `Whole`. About one that is there but
    /// not known to the judge the answer is that resource, refused with the message; only what is not there is a 404.
    pub(crate) async fn submit_about<R: Judged<B>, Whole: Resource<B>>(
        &self,
        command: R::Command,
        ask: Ask,
        message: &str,
    ) -> Result<Response, ApiError> {
        let (id, uri, headers) = (command.key().to_owned(), ask.uri.clone(), ask.headers.clone());
        let answer = self.submit::<R>(command, ask, None).await;
        let is_unknown = match &answer {
            Ok(answer) => answer.status() == StatusCode::NOT_FOUND,
            Err(error) => matches!(error, ApiError::NotFound(_)),
        };
        if !is_unknown {
            return answer;
        }
        // What cannot be read at the moment is not shown; that its judge does not know it holds all the same.
        let shown = self.refused::<Whole>(&id, message, self.mount_of(&uri), &headers).await;
        shown.map_or(answer, Ok)
    }

    /// As [`Gateway::judge`], unless whoever judges has been too slow too often: then the command, which is in the log and
    /// will be judged, is answered for as pending at once, and the sender told when to ask again.
    async fn judge_guarded<R: Judged<B>>(
        &self,
        breaker: &Breaker,
        command: &Submitted<'_, R::Value>,
        headers: &HeaderMap,
        at: At<'_>,
    ) -> Result<Response, ApiError> {
        let judged = breaker.call(async {
            match self.judge::<R>(command, headers, at).await {
                Ok(answer) if answer.status() == StatusCode::ACCEPTED => Err(answer),
                answer => Ok(answer),
            }
        });
        let (mut pending, seconds) = match judged.await {
            Ok(answer) => return answer,
            Err(Refusal::Failed(pending)) => (pending, RETRY_AFTER_S),
            Err(Refusal::Open) => (pending::<B, R>(command, at)?, breaker.settings().open.as_secs().max(RETRY_AFTER_S)),
        };
        pending.headers_mut().insert(RETRY_AFTER, seconds.into());
        Ok(pending)
    }

    /// Waits for the verdict, and as far as the sender wants for what follows from it.
    async fn judge<R: Judged<B>>(
        &self,
        command: &Submitted<'_, R::Value>,
        headers: &HeaderMap,
        at: At<'_>,
    ) -> Result<Response, ApiError> {
        let began = Instant::now();
        let until_reached = began + command.wait;
        let judged = began + command.patience;
        let commits = &self.app.commits;
        if until_reached > began {
            let mut waiter = commits.register(until_reached);
            loop {
                if let Some(answer) = self.look::<R>(command, headers, at, until_reached, false).await? {
                    return Ok(answer);
                }
                if !waiter.again().await? {
                    break;
                }
            }
        }
        // The time for `until` is over: the state so far will do, once there is a verdict.
        let mut waiter = commits.register(judged);
        loop {
            if let Some(answer) = self.look::<R>(command, headers, at, judged, true).await? {
                return Ok(answer);
            }
            if !waiter.again().await? {
                break;
            }
        }
        if command.tokens.is_empty() {
            return Err(ApiError::NotFound("no such command is known (yet)".into()));
        }
        pending::<B, R>(command, at)
    }

    /// One look at the verdict, here or at the owner's; `None` when there is nothing to answer yet.
    async fn look<R: Judged<B>>(
        &self,
        command: &Submitted<'_, R::Value>,
        headers: &HeaderMap,
        at: At<'_>,
        deadline: Instant,
        state_so_far: bool,
    ) -> Result<Option<Response>, ApiError> {
        let ledger = R::commands(&self.business).ledger;
        let task = ledger.task_of(command.id.as_bytes());
        match self.api.place(&self.app.app.name, task, is_hop(headers)) {
            None => Ok(None),
            Some(Place::At(other)) => {
                let left = deadline.saturating_duration_since(Instant::now());
                let path = command.path(R::NAME, at, if state_so_far { Duration::ZERO } else { left });
                match self.api.hop(&other, &path, headers, left.max(WAIT_DEFAULT)).await {
                    Ok(answer) if answer.status() != StatusCode::SERVICE_UNAVAILABLE => Ok(Some(answer)),
                    _ => Ok(None),
                }
            }
            Some(Place::Here) if !self.app.has_committed(&command.tokens, task.partition) => Ok(None),
            Some(Place::Here) => {
                let key = ledger_key(command.id, command.command_id);
                match self.app.app.view.get(ledger.index, task.partition, key.as_bytes())? {
                    Some((payload, _)) => {
                        self.answer::<R>(command, &self.outcomes.decode(&payload)?, headers, at, state_so_far)
                    }
                    None if command.tokens.is_empty() => Ok(None),
                    None => Err(ApiError::Internal(format!(
                        "the command {} of {} was read but not judged: look into the dead letters",
                        command.command_id, command.id
                    ))),
                }
            }
        }
    }

    /// The answer to a verdict; `None` while the sender wants to wait for more.
    fn answer<R: Judged<B>>(
        &self,
        command: &Submitted<'_, R::Value>,
        outcome: &CommandOutcome,
        headers: &HeaderMap,
        at: At<'_>,
        state_so_far: bool,
    ) -> Result<Option<Response>, ApiError> {
        if command.hash.is_some_and(|hash| hash != outcome.content_hash) {
            let detail = "another command was given under this id or Idempotency-Key before, with other content";
            return Err(ApiError::Conflict(detail.into()));
        }
        let detail = || if outcome.detail.is_empty() { outcome.verdict.to_string() } else { outcome.detail.clone() };
        match outcome.verdict {
            Verdict::Accepted | Verdict::Duplicate | Verdict::AlreadyCancelled | Verdict::Refused => {}
            Verdict::Conflict => return Err(ApiError::Conflict(detail())),
            Verdict::NotFound => return Err(ApiError::NotFound(detail())),
            Verdict::Invalid => return Err(ApiError::field("body", detail())),
            Verdict::Expired => return Err(ApiError::Gone(detail())),
            Verdict::Unknown => return Err(ApiError::Internal(format!("unknown verdict: {}", detail()))),
        }
        let Some(value) = self.find::<R>(command.id)? else {
            // There is nothing to show (any more): the verdict alone.
            let view = command.view(R::NAME, outcome.verdict.symbol(), &outcome.detail, at);
            return Ok(Some(json_bytes(StatusCode::OK, hal::MEDIA_TYPE, bytes(&view)?)));
        };
        let is_refused = outcome.verdict == Verdict::Refused;
        let is_reached = command.until.is_none_or(|until| (until.is_reached)(&value));
        if !state_so_far && !is_refused && !is_reached {
            return Ok(None);
        }
        let creates = R::CREATES.contains(&outcome.kind.as_str());
        let status = if creates && outcome.verdict == Verdict::Accepted { StatusCode::CREATED } else { StatusCode::OK };
        let mut answer = json_bytes(status, media_type(headers), R::answer(&value, outcome, at)?);
        if creates {
            answer.headers_mut().insert(LOCATION, location(R::NAME, command.id, at));
        }
        set_retry_after(&mut answer, R::retry_at(&value));
        Ok(Some(answer))
    }
}

/// What `Prefer: wait` waits for, of resources that have it.
const SETTLED: &str = "settled";

/// 202: in the log, not judged yet; it will be.
fn pending<B, R: Judged<B>>(command: &Submitted<'_, R::Value>, at: At<'_>) -> Result<Response, ApiError> {
    let body = bytes(&command.view(R::NAME, "PENDING", "", at))?;
    let mut answer = json_bytes(StatusCode::ACCEPTED, hal::MEDIA_TYPE, body);
    answer.headers_mut().insert(LOCATION, location(R::NAME, command.id, at));
    Ok(answer)
}

impl<V> Submitted<'_, V> {
    /// The path another instance answers this command's outcome under.
    fn path(&self, name: &str, at: At<'_>, wait: Duration) -> String {
        let mut path = At { base: "", ..at }.href(name, self.id);
        path.push_str("/commands/");
        encode(self.command_id, &mut path);
        path.push_str(&format!("?wait={:.3}", wait.as_secs_f64()));
        if let Some(until) = self.until {
            path.push_str(&format!("&until={}", until.name));
        }
        if let Some(hash) = self.hash {
            path.push_str(&format!("&hash={hash}"));
        }
        for (i, token) in self.tokens.iter().enumerate() {
            path.push_str(if i == 0 { "&min-position=" } else { "," });
            encode(&token.to_string(), &mut path);
        }
        path
    }

    fn view<'a>(&'a self, name: &str, status: &'a str, detail: &'a str, at: At<'_>) -> CommandView<'a> {
        let this = at.href(name, self.id);
        let mut command = format!("{this}/commands/");
        encode(self.command_id, &mut command);
        let links = CommandLinks { this: Link { href: this }, command: Link { href: command } };
        CommandView { id: self.id, command_id: self.command_id, status, detail, links }
    }
}
