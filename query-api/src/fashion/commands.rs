//! Commands: append to the log, then answer with what the processor decided. Nothing is judged here: what a gateway could
//! look up before the append may be out of date by the time the processor reads the command.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::extract::{OriginalUri, Path, State};
use axum::http::header::LOCATION;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::Response;
use schemas::fashion::{
    CancelOrder, CancelRequester, OrderCommand, PlaceOrder, ProductCommand, RegisterProduct, RestockProduct, topics,
};
use schemas::state::{Command, CommandOutcome, Verdict, ledger_key};
use serde::Serialize;
use tokio::time::Instant;

use super::resources::{Until, media_type, path_id};
use super::wire::{At, CommandLinks, CommandView, OrderView, ProductView};
use super::{Fashion, mount_of};
use crate::body::{Fields, make_id};
use crate::error::ApiError;
use crate::hal::{self, Link};
use crate::limits::{PRICE_MAX, TEXT_CHARS_MAX, WAIT_DEFAULT};
use crate::params::{Base, Params, Prefer, encode, idempotency_key};
use crate::position::{self, ORDERFLOW_POSITION, Token};
use crate::service::{Place, StoreRef, is_hop, json_bytes};

/// RFC 7240: which of the client's preferences were followed.
const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");

/// What a command is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Of {
    Order,
    Product,
}

impl Of {
    fn name(self) -> &'static str {
        match self {
            Of::Order => "orders",
            Of::Product => "products",
        }
    }

    fn ledger(self, fashion: &Fashion) -> StoreRef {
        match self {
            Of::Order => fashion.order_commands,
            Of::Product => fashion.product_commands,
        }
    }
}

/// A command that is in the log, and how long its sender waits for what.
struct Submitted<'a> {
    of: Of,
    id: &'a str,
    command_id: &'a str,
    /// Of its content; `None` when only its id is known.
    hash: Option<i64>,
    tokens: Vec<Token>,
    until: Until,
    /// How long it waits for `until`; the verdict is waited for longer.
    wait: Duration,
}

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// `POST /orders`.
pub(super) async fn place_order(
    State(fashion): State<Arc<Fashion>>,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
    params: Params,
    mut fields: Fields,
) -> Result<Response, ApiError> {
    params.finish()?;
    let id = fields.id("id").or_else(|| fields.id("orderId"));
    let mut order = PlaceOrder {
        command_id: String::new(),
        order_id: String::new(),
        customer_id: fields.id("customerId").unwrap_or_default(),
        product_id: fields.required_id("productId"),
        size: fields.text("size"),
        qty: fields.quantity("qty", 1),
        price: fields.integer("price", 0, PRICE_MAX, None),
        placed_at: now_ms(),
    };
    fields.ignore(&["status", "_links"]);
    fields.finish()?;
    let prefer = Prefer::of(&headers)?;
    let key = idempotency_key(&headers)?;
    order.order_id = make_id(id, key);
    order.command_id = make_id(None, key);
    let (id, command_id) = (order.order_id.clone(), order.command_id.clone());
    let command = OrderCommand { command: order.into() };
    // The seeds' call is synchronous up to the payment.
    let (until, wait) = prefer.wait.map_or((Until::Payment, WAIT_DEFAULT), |wait| (Until::Settled, wait));
    let submitted = Submitted {
        of: Of::Order,
        id: &id,
        command_id: &command_id,
        hash: Some(command.content_hash()),
        tokens: Vec::new(),
        until,
        wait,
    };
    let value = fashion.codecs.order_command.to_vec(&command);
    let mount = mount_of(&uri);
    fashion.submit(submitted, topics::ORDERS.base(), value, prefer, &headers, mount).await
}

/// `DELETE /orders/{id}`: the customer cancels.
pub(super) async fn delete_order(
    State(fashion): State<Arc<Fashion>>,
    Path(id): Path<String>,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
    mut params: Params,
) -> Result<Response, ApiError> {
    let reason = params.take("reason").unwrap_or_default();
    if reason.chars().count() > TEXT_CHARS_MAX {
        params.wrong("reason", format!("is longer than {TEXT_CHARS_MAX} characters"));
    }
    params.finish()?;
    path_id(&id)?;
    let mount = mount_of(&uri);
    fashion.cancel(id, CancelRequester::Customer, reason, &headers, mount).await
}

/// `POST /cancellations`: the merchandiser cancels.
pub(super) async fn cancel_order(
    State(fashion): State<Arc<Fashion>>,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
    params: Params,
    mut fields: Fields,
) -> Result<Response, ApiError> {
    params.finish()?;
    let id = fields.required_id("orderId");
    let reason = fields.text("reason");
    fields.ignore(&["id", "status", "_links"]);
    fields.finish()?;
    let mount = mount_of(&uri);
    let location = location(mount, Of::Order, &id);
    let mut answer = fashion.cancel(id, CancelRequester::Md, reason, &headers, mount).await?;
    if answer.status() == StatusCode::OK {
        *answer.status_mut() = StatusCode::CREATED;
        answer.headers_mut().insert(LOCATION, location);
    }
    Ok(answer)
}

/// `POST /products`: the merchandiser registers a product.
pub(super) async fn register_product(
    State(fashion): State<Arc<Fashion>>,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
    params: Params,
    mut fields: Fields,
) -> Result<Response, ApiError> {
    params.finish()?;
    let id = fields.id("id").or_else(|| fields.id("productId"));
    let mut product = RegisterProduct {
        command_id: String::new(),
        product_id: String::new(),
        name: fields.required_text("name"),
        price: fields.integer("price", 0, PRICE_MAX, None),
        stock: fields.quantity("stock", 0),
    };
    fields.ignore(&["_links"]);
    fields.finish()?;
    let key = idempotency_key(&headers)?;
    product.product_id = make_id(id, key);
    product.command_id = make_id(None, key);
    let (id, command_id) = (product.product_id.clone(), product.command_id.clone());
    let command = ProductCommand { command: product.into() };
    fashion.submit_product(&id, &command_id, command, &headers, mount_of(&uri)).await
}

/// `POST /products/{id}/restocks`: adds pieces to the stock.
pub(super) async fn restock_product(
    State(fashion): State<Arc<Fashion>>,
    Path(id): Path<String>,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
    params: Params,
    mut fields: Fields,
) -> Result<Response, ApiError> {
    params.finish()?;
    path_id(&id)?;
    let qty = fields.quantity("qty", 1);
    fields.finish()?;
    let command_id = make_id(None, idempotency_key(&headers)?);
    let command = RestockProduct { command_id: command_id.clone(), product_id: id.clone(), qty };
    let command = ProductCommand { command: command.into() };
    fashion.submit_product(&id, &command_id, command, &headers, mount_of(&uri)).await
}

/// `GET /orders/{id}/commands/{command}`: what was decided about a command, for senders that did not wait, and for
/// instances that took a command whose order is another's.
pub(super) async fn order_command(
    State(fashion): State<Arc<Fashion>>,
    Path((id, command)): Path<(String, String)>,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
    params: Params,
) -> Result<Response, ApiError> {
    fashion.outcome(Of::Order, &id, &command, &headers, params, mount_of(&uri)).await
}

/// `GET /products/{id}/commands/{command}`, likewise.
pub(super) async fn product_command(
    State(fashion): State<Arc<Fashion>>,
    Path((id, command)): Path<(String, String)>,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
    params: Params,
) -> Result<Response, ApiError> {
    fashion.outcome(Of::Product, &id, &command, &headers, params, mount_of(&uri)).await
}

fn location(mount: &str, of: Of, id: &str) -> HeaderValue {
    let path = At { base: "", mount }.href(of.name(), id);
    HeaderValue::from_str(&path).unwrap_or_else(|_| HeaderValue::from_static("/"))
}

impl Fashion {
    async fn cancel(
        &self,
        id: String,
        requested_by: CancelRequester,
        reason: String,
        headers: &HeaderMap,
        mount: &str,
    ) -> Result<Response, ApiError> {
        let prefer = Prefer::of(headers)?;
        let command_id = make_id(None, idempotency_key(headers)?);
        let command = CancelOrder {
            command_id: command_id.clone(),
            order_id: id.clone(),
            requested_by,
            reason,
            requested_at: now_ms(),
        };
        let command = OrderCommand { command: command.into() };
        let submitted = Submitted {
            of: Of::Order,
            id: &id,
            command_id: &command_id,
            hash: Some(command.content_hash()),
            tokens: Vec::new(),
            until: if prefer.wait.is_some() { Until::Settled } else { Until::There },
            wait: prefer.wait.unwrap_or_default(),
        };
        let value = self.codecs.order_command.to_vec(&command);
        self.submit(submitted, topics::ORDERS.base(), value, prefer, headers, mount).await
    }

    async fn submit_product(
        &self,
        id: &str,
        command_id: &str,
        command: ProductCommand,
        headers: &HeaderMap,
        mount: &str,
    ) -> Result<Response, ApiError> {
        let prefer = Prefer::of(headers)?;
        let submitted = Submitted {
            of: Of::Product,
            id,
            command_id,
            hash: Some(command.content_hash()),
            tokens: Vec::new(),
            until: Until::There,
            wait: Duration::ZERO,
        };
        let value = self.codecs.product_command.to_vec(&command);
        self.submit(submitted, topics::PRODUCTS.base(), value, prefer, headers, mount).await
    }

    /// Appends a command and answers with what became of it.
    async fn submit(
        &self,
        mut command: Submitted<'_>,
        topic: &'static str,
        value: Vec<u8>,
        prefer: Prefer,
        headers: &HeaderMap,
        mount: &str,
    ) -> Result<Response, ApiError> {
        let metrics = &self.api.metrics;
        let appended = self.api.platform.append(topic, command.id.as_bytes(), value).await.map_err(|error| {
            metrics.commands_failed.inc();
            ApiError::append(&error, command.id)
        })?;
        metrics.commands.inc();
        let token = Token::of(topic, appended);
        let position = token.header();
        command.tokens.push(token);
        let base = Base::of(headers);
        let at = At { base: &base.0, mount };
        let mut answer =
            if prefer.respond_async { self.pending(&command, at)? } else { self.judge(&command, headers, at).await? };
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

    /// Reads what a request for a command's outcome asks, and answers it.
    async fn outcome(
        &self,
        of: Of,
        id: &str,
        command_id: &str,
        headers: &HeaderMap,
        mut params: Params,
        mount: &str,
    ) -> Result<Response, ApiError> {
        let until = Until::read(&mut params);
        let wait = params.wait().unwrap_or_default();
        let min_position = params.take("min-position");
        let hash = params.take("hash").and_then(|hash| hash.parse().ok());
        params.finish()?;
        path_id(id)?;
        let ledger = of.ledger(self);
        let tokens = match min_position {
            Some(text) => position::parse(&text, self.app.app.view.topology(), ledger.subtopology)?,
            None => Vec::new(),
        };
        let command = Submitted { of, id, command_id, hash, tokens, until, wait };
        self.judge(&command, headers, At { base: &Base::of(headers).0, mount }).await
    }

    /// Waits for the verdict, and as far as the sender wants for what follows from it.
    async fn judge(&self, command: &Submitted<'_>, headers: &HeaderMap, at: At<'_>) -> Result<Response, ApiError> {
        let began = Instant::now();
        let until_reached = began + command.wait;
        // Without a position a command may just not exist: then there is nothing to wait for beyond what was asked.
        let judged = if command.tokens.is_empty() { until_reached } else { began + command.wait.max(WAIT_DEFAULT) };
        let commits = &self.app.commits;
        if until_reached > began {
            let mut waiter = commits.register(until_reached);
            loop {
                if let Some(answer) = self.look(command, headers, at, until_reached, false).await? {
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
            if let Some(answer) = self.look(command, headers, at, judged, true).await? {
                return Ok(answer);
            }
            if !waiter.again().await? {
                break;
            }
        }
        if command.tokens.is_empty() {
            return Err(ApiError::NotFound("no such command is known (yet)".into()));
        }
        self.pending(command, at)
    }

    /// One look at the verdict, here or at the owner's; `None` when there is nothing to answer yet.
    async fn look(
        &self,
        command: &Submitted<'_>,
        headers: &HeaderMap,
        at: At<'_>,
        deadline: Instant,
        state_so_far: bool,
    ) -> Result<Option<Response>, ApiError> {
        let ledger = command.of.ledger(self);
        let task = ledger.task_of(command.id.as_bytes());
        match self.api.place(&self.app.app.name, task, is_hop(headers)) {
            None => Ok(None),
            Some(Place::At(other)) => {
                let left = deadline.saturating_duration_since(Instant::now());
                let path = command.path(at.mount, if state_so_far { Duration::ZERO } else { left });
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
                        self.answer(command, &self.codecs.outcome.decode(&payload)?, headers, at, state_so_far)
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
    fn answer(
        &self,
        command: &Submitted<'_>,
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
            Verdict::Accepted | Verdict::Duplicate | Verdict::AlreadyCancelled => {}
            Verdict::Conflict => return Err(ApiError::Conflict(detail())),
            Verdict::NotFound => return Err(ApiError::NotFound(detail())),
            Verdict::Invalid => return Err(ApiError::field("body", detail())),
            Verdict::Expired => return Err(ApiError::Gone(detail())),
            Verdict::Refused => return self.verdict_only(command, outcome, at).map(Some),
            Verdict::Unknown => return Err(ApiError::Internal(format!("unknown verdict: {}", detail()))),
        }
        let body = match command.of {
            Of::Order => match self.read_order(command.id)? {
                Some(order) if !state_so_far && !command.until.is_reached(&order) => return Ok(None),
                Some(order) => json(&OrderView::new(&order, at))?,
                None => return self.verdict_only(command, outcome, at).map(Some),
            },
            Of::Product => {
                let task = self.products.task_of(command.id.as_bytes());
                match self.app.app.view.get(self.products.index, task.partition, command.id.as_bytes())? {
                    Some((payload, _)) => json(&ProductView::new(&self.codecs.product.decode(&payload)?, at))?,
                    None => return self.verdict_only(command, outcome, at).map(Some),
                }
            }
        };
        let creates = matches!(outcome.kind.as_str(), "PlaceOrder" | "RegisterProduct");
        let status = if creates && outcome.verdict == Verdict::Accepted { StatusCode::CREATED } else { StatusCode::OK };
        let mut answer = json_bytes(status, media_type(headers), body);
        if creates {
            answer.headers_mut().insert(LOCATION, location(at.mount, command.of, command.id));
        }
        Ok(Some(answer))
    }

    /// 200 with the verdict, where there is no resource to show.
    fn verdict_only(
        &self,
        command: &Submitted<'_>,
        outcome: &CommandOutcome,
        at: At<'_>,
    ) -> Result<Response, ApiError> {
        let body = json(&command.view(outcome.verdict.symbol(), &outcome.detail, at))?;
        Ok(json_bytes(StatusCode::OK, hal::MEDIA_TYPE, body))
    }

    /// 202: in the log, not judged yet; it will be.
    fn pending(&self, command: &Submitted<'_>, at: At<'_>) -> Result<Response, ApiError> {
        let body = json(&command.view("PENDING", "", at))?;
        let mut answer = json_bytes(StatusCode::ACCEPTED, hal::MEDIA_TYPE, body);
        answer.headers_mut().insert(LOCATION, location(at.mount, command.of, command.id));
        Ok(answer)
    }
}

impl Submitted<'_> {
    /// The path another instance answers this command's outcome under.
    fn path(&self, mount: &str, wait: Duration) -> String {
        let mut path = At { base: "", mount }.href(self.of.name(), self.id);
        path.push_str("/commands/");
        encode(self.command_id, &mut path);
        path.push_str(&format!("?wait={:.3}", wait.as_secs_f64()));
        if let Some(until) = self.until.name() {
            path.push_str(&format!("&until={until}"));
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

    fn view<'a>(&'a self, status: &'a str, detail: &'a str, at: At<'_>) -> CommandView<'a> {
        let this = at.href(self.of.name(), self.id);
        let mut command = format!("{this}/commands/");
        encode(self.command_id, &mut command);
        let links = CommandLinks { this: Link { href: this }, command: Link { href: command } };
        CommandView { id: self.id, command_id: self.command_id, status, detail, links }
    }
}

fn json(view: &impl Serialize) -> Result<Vec<u8>, ApiError> {
    serde_json::to_vec(view).map_err(|e| ApiError::Internal(e.to_string()))
}
