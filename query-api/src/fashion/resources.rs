//! Reading: items and paged collections, from this instance or from the one that owns the key.

use std::sync::Arc;

use axum::extract::{OriginalUri, Path, State};
use axum::http::header::ACCEPT;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::Response;
use schemas::fashion::OrderState;
use schemas::fashion::state::Order;
use serde::Serialize;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::wire::{At, DashboardView, DeliveryView, OrderView, PaymentView, ProductView};
use super::{Fashion, mount_of};
use crate::body::check_id;
use crate::error::ApiError;
use crate::hal::{self, PageRequest, Part};
use crate::limits::{PAGE_ITEMS_REMOTE_MAX, WAIT_DEFAULT};
use crate::params::{Base, Params};
use crate::position;
use crate::service::{self, Place, StoreRef, is_hop, json_bytes};
use crate::stores::{blocking, check_covered, path_and_query};

/// A kind of resource: where it lies and how it looks.
pub(super) trait Resource: 'static {
    /// The collection's path segment and relation.
    const NAME: &'static str;
    /// Its store.
    fn store(fashion: &Fashion) -> StoreRef;
    /// A stored value as JSON.
    fn show(fashion: &Fashion, payload: &[u8], at: At<'_>) -> Result<Vec<u8>, ApiError>;
}

fn bytes(view: &impl Serialize) -> Result<Vec<u8>, ApiError> {
    let mut out = Vec::with_capacity(1_024);
    serde_json::to_writer(&mut out, view).map_err(|e| ApiError::Internal(e.to_string()))?;
    Ok(out)
}

/// `/orders`.
pub(super) struct Orders;
impl Resource for Orders {
    const NAME: &'static str = "orders";
    fn store(fashion: &Fashion) -> StoreRef {
        fashion.orders
    }
    fn show(fashion: &Fashion, payload: &[u8], at: At<'_>) -> Result<Vec<u8>, ApiError> {
        bytes(&OrderView::new(&fashion.codecs.order.decode(payload)?, at))
    }
}

/// `/products`.
pub(super) struct Products;
impl Resource for Products {
    const NAME: &'static str = "products";
    fn store(fashion: &Fashion) -> StoreRef {
        fashion.products
    }
    fn show(fashion: &Fashion, payload: &[u8], at: At<'_>) -> Result<Vec<u8>, ApiError> {
        bytes(&ProductView::new(&fashion.codecs.product.decode(payload)?, at))
    }
}

/// `/payments`: of orders whose payment was asked for.
pub(super) struct Payments;
impl Resource for Payments {
    const NAME: &'static str = "payments";
    fn store(fashion: &Fashion) -> StoreRef {
        fashion.payments
    }
    fn show(fashion: &Fashion, payload: &[u8], at: At<'_>) -> Result<Vec<u8>, ApiError> {
        bytes(&PaymentView::new(&fashion.codecs.payment.decode(payload)?, at))
    }
}

/// `/deliveries`.
pub(super) struct Deliveries;
impl Resource for Deliveries {
    const NAME: &'static str = "deliveries";
    fn store(fashion: &Fashion) -> StoreRef {
        fashion.deliveries
    }
    fn show(fashion: &Fashion, payload: &[u8], at: At<'_>) -> Result<Vec<u8>, ApiError> {
        bytes(&DeliveryView::new(&fashion.codecs.delivery.decode(payload)?, at))
    }
}

/// `/dashboards`.
pub(super) struct Dashboards;
impl Resource for Dashboards {
    const NAME: &'static str = "dashboards";
    fn store(fashion: &Fashion) -> StoreRef {
        fashion.dashboard
    }
    fn show(fashion: &Fashion, payload: &[u8], at: At<'_>) -> Result<Vec<u8>, ApiError> {
        bytes(&DashboardView::new(&fashion.codecs.dashboard.decode(payload)?, at))
    }
}

/// Until when a read of an order is held back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Until {
    /// The order is there.
    There,
    /// Its payment has an outcome, be it that it is put off.
    Payment,
    /// Nothing of its saga is under way any more.
    Settled,
}

impl Until {
    pub(super) fn read(params: &mut Params) -> Self {
        match params.take("until").as_deref() {
            None => Until::There,
            Some("payment") => Until::Payment,
            Some("settled") => Until::Settled,
            Some(_) => {
                params.wrong("until", "must be payment or settled");
                Until::There
            }
        }
    }

    pub(super) fn name(self) -> Option<&'static str> {
        match self {
            Until::There => None,
            Until::Payment => Some("payment"),
            Until::Settled => Some("settled"),
        }
    }

    pub(super) fn is_reached(self, order: &Order) -> bool {
        match self {
            Until::There => true,
            Until::Payment => !matches!(order.status, OrderState::Ordered | OrderState::StockReserved),
            Until::Settled => order.settled_at.is_some(),
        }
    }
}

fn not_found(name: &str) -> ApiError {
    ApiError::NotFound(format!("there is no such entry in {name}"))
}

/// The id of a path. One that no command could have made needs no look-up.
pub(super) fn path_id(id: &str) -> Result<(), ApiError> {
    check_id(id).map_err(|detail| ApiError::field("{id}", detail))
}

/// The media type of an answer: HAL unless the client asks for plain JSON only.
pub(super) fn media_type(headers: &HeaderMap) -> &'static str {
    let accept = headers.get(ACCEPT).map(|a| a.as_bytes()).unwrap_or_default();
    if accept.starts_with(b"application/json") { "application/json" } else { hal::MEDIA_TYPE }
}

/// `GET /orders/{id}`, as [`item`], with `wait` and `until`.
pub(super) async fn order(
    State(fashion): State<Arc<Fashion>>,
    Path(id): Path<String>,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
    mut params: Params,
) -> Result<Response, ApiError> {
    let until = Until::read(&mut params);
    if until == Until::There && !params.has("wait") {
        return read_item::<Orders>(&fashion, &id, &uri, &headers, params).await;
    }
    let min_position = params.take("min-position");
    let wait = params.wait().unwrap_or(WAIT_DEFAULT);
    params.finish()?;
    path_id(&id)?;
    let deadline = Instant::now() + wait;
    let (at, app, api) = (fashion.orders, &fashion.app, &fashion.api);
    let tokens = match &min_position {
        Some(text) => position::parse(text, app.app.view.topology(), at.subtopology)?,
        None => Vec::new(),
    };
    let task = at.task_of(id.as_bytes());
    let hop = is_hop(&headers);
    let (base, mount) = (Base::of(&headers), mount_of(&uri));
    let mut waiter = app.commits.register(deadline);
    loop {
        let place = api.place(&app.app.name, task, hop);
        match &place {
            Some(Place::At(other)) => {
                let left = deadline.saturating_duration_since(Instant::now());
                // One that cannot answer now may be about to lose the key: look again who has it.
                if let Ok(answer) = api.hop(other, path_and_query(&uri), &headers, left).await
                    && answer.status() != StatusCode::SERVICE_UNAVAILABLE
                {
                    return Ok(answer);
                }
            }
            Some(Place::Here) if app.has_committed(&tokens, task.partition) => {
                if let Some(order) = fashion.read_order(&id)?.filter(|order| until.is_reached(order)) {
                    let body = bytes(&OrderView::new(&order, At { base: &base.0, mount }))?;
                    return Ok(json_bytes(StatusCode::OK, media_type(&headers), body));
                }
            }
            _ => {}
        }
        if !waiter.again().await? {
            let what = until.name().unwrap_or("there");
            return Err(match place {
                None => service::no_owner(task),
                Some(Place::Here) if !app.has_committed(&tokens, task.partition) => service::not_committed(),
                Some(_) => ApiError::Timeout(format!("the order was not {what} when the wait was over")),
            });
        }
    }
}

/// `GET /<name>/{id}`.
pub(super) async fn item<R: Resource>(
    State(fashion): State<Arc<Fashion>>,
    Path(id): Path<String>,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
    params: Params,
) -> Result<Response, ApiError> {
    read_item::<R>(&fashion, &id, &uri, &headers, params).await
}

async fn read_item<R: Resource>(
    fashion: &Fashion,
    id: &str,
    uri: &Uri,
    headers: &HeaderMap,
    mut params: Params,
) -> Result<Response, ApiError> {
    let min_position = params.take("min-position");
    let wait = params.wait();
    params.finish()?;
    path_id(id)?;
    let at = R::store(fashion);
    let view = &fashion.app.app.view;
    let tokens = match &min_position {
        Some(text) => position::parse(text, view.topology(), at.subtopology)?,
        None => Vec::new(),
    };
    let task = at.task_of(id.as_bytes());
    match service::settle_place(&fashion.api, &fashion.app, task, &tokens, wait, is_hop(headers)).await? {
        Place::At(other) => fashion.api.hop(&other, path_and_query(uri), headers, wait.unwrap_or(WAIT_DEFAULT)).await,
        Place::Here => {
            let (payload, _) = view.get(at.index, task.partition, id.as_bytes())?.ok_or_else(|| not_found(R::NAME))?;
            let base = Base::of(headers);
            let links = At { base: &base.0, mount: mount_of(uri) };
            let body = R::show(fashion, &payload, links)?;
            Ok(json_bytes(StatusCode::OK, media_type(headers), body))
        }
    }
}

/// `GET /<name>`: a page over all partitions, wherever they are.
pub(super) async fn collection<R: Resource>(
    State(fashion): State<Arc<Fashion>>,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
    mut params: Params,
) -> Result<Response, ApiError> {
    let page = PageRequest::read(&mut params);
    let min_position = params.take("min-position");
    let wait = params.wait();
    params.finish()?;
    let at = R::store(&fashion);
    let (api, app) = (&fashion.api, &fashion.app);
    let hop = is_hop(&headers);
    if let Some(text) = &min_position {
        for token in position::parse(text, app.app.view.topology(), at.subtopology)? {
            let task = streams::TaskId { subtopology: at.subtopology, partition: token.partition };
            // On a hop, what is not here is another instance's to wait for.
            if !hop || api.place(&app.app.name, task, true).is_some() {
                service::settle_place(api, app, task, &[token], wait, hop).await?;
            }
        }
    }
    let tasks: Vec<_> = at.tasks().collect();
    let (here, others) = if hop {
        (tasks.iter().copied().filter(|t| api.place(&app.app.name, *t, true).is_some()).collect(), Vec::new())
    } else {
        api.owners(&app.app.name, tasks.iter().copied())?
    };
    if !others.is_empty() && page.end() > PAGE_ITEMS_REMOTE_MAX {
        let detail = format!("over several instances, pages reach {PAGE_ITEMS_REMOTE_MAX} items deep; use /stores");
        return Err(ApiError::field("?page", detail));
    }
    let base = Base::of(&headers);
    let mount = mount_of(&uri);
    let local = {
        let (fashion, base) = (Arc::clone(&fashion), base.clone());
        let all = hop || !others.is_empty();
        move || {
            let links = At { base: &base.0, mount };
            let show = |payload: &[u8]| {
                let json = R::show(&fashion, payload, links)?;
                serde_json::from_slice(&json).map_err(|e| ApiError::Internal(e.to_string()))
            };
            hal::part(&fashion.app, at, &here, page, all, &show)
        }
    };
    let part = blocking(local).await?;
    if hop {
        return service::json(StatusCode::OK, &part);
    }
    let part = if others.is_empty() {
        part
    } else {
        let asked = others.iter().map(|o| api.ask(o, path_and_query(&uri), &headers, wait.unwrap_or(WAIT_DEFAULT)));
        let mut parts = vec![part];
        for answer in futures_util::future::join_all(asked).await {
            let (status, _, body) = answer?;
            let part: Option<Part> = status.is_success().then(|| serde_json::from_slice(&body).ok()).flatten();
            parts.push(part.ok_or_else(|| ApiError::unavailable(format!("another instance answered {status}")))?);
        }
        hal::merge(parts, page)
    };
    check_covered(part.partitions.clone(), &tasks)?;
    let body = hal::collection(&base.0, mount, R::NAME, page, part);
    let body = serde_json::to_vec(&body).map_err(|e| ApiError::Internal(e.to_string()))?;
    Ok(json_bytes(StatusCode::OK, media_type(&headers), body))
}

impl Fashion {
    /// An order in the state of this instance.
    pub(super) fn read_order(&self, id: &str) -> Result<Option<Order>, ApiError> {
        let task = self.orders.task_of(id.as_bytes());
        let entry = self.app.app.view.get(self.orders.index, task.partition, id.as_bytes())?;
        entry.map(|(payload, _)| self.codecs.order.decode(&payload).map_err(ApiError::from)).transpose()
    }
}

/// Collections and what their items have, for `profile` links (ALPS, as Spring Data REST serves it).
const PROFILES: [(&str, &str, &[&str]); 5] = [
    ("orders", "order", &["id", "customerId", "productId", "size", "qty", "price", "status", "history"]),
    ("products", "product", &["id", "name", "price", "stock", "onHand", "reserved"]),
    ("payments", "payment", &["id", "orderId", "price", "status", "attempt", "deferred"]),
    ("deliveries", "delivery", &["id", "orderId", "productId", "size", "qty", "status"]),
    ("dashboards", "dashboard", &["orderId", "customerId", "productId", "size", "qty", "price", "status"]),
];

/// `GET /profile`.
pub(super) async fn profiles(OriginalUri(uri): OriginalUri, base: Base) -> Result<Response, ApiError> {
    let here = format!("{}{}", base.0, uri.path());
    let mut links = serde_json::Map::from_iter([("self".to_owned(), json!({ "href": here }))]);
    for (name, ..) in PROFILES {
        links.insert(name.to_owned(), json!({ "href": format!("{here}/{name}") }));
    }
    service::json(StatusCode::OK, &json!({ "_links": links }))
}

/// `GET /profile/{name}`.
pub(super) async fn profile(Path(name): Path<String>) -> Result<Response, ApiError> {
    let found = PROFILES.into_iter().find(|(collection, ..)| *collection == name);
    let (_, item, fields) = found.ok_or_else(|| ApiError::NotFound("there is no such collection".into()))?;
    let descriptors: Vec<Value> = fields.iter().map(|field| json!({ "name": field, "type": "SEMANTIC" })).collect();
    let alps = json!({
        "alps": {
            "version": "1.0",
            "descriptor": [{ "id": format!("{item}-representation"), "descriptor": descriptors }],
        },
    });
    let body = serde_json::to_vec(&alps).map_err(|e| ApiError::Internal(e.to_string()))?;
    Ok(json_bytes(StatusCode::OK, "application/alps+json", body))
}

/// The collections of a mount, for the index at its root.
pub(crate) fn index(at: &str) -> Value {
    let mut links = serde_json::Map::new();
    for (name, ..) in PROFILES {
        links.insert(name.to_owned(), json!({ "href": format!("{at}/{name}{{?page,size,sort}}"), "templated": true }));
    }
    for name in ["profile", "stores", "topology", "instances"] {
        links.insert(name.to_owned(), json!({ "href": format!("{at}/{name}") }));
    }
    json!({ "_links": links })
}
