//! Interactive queries of W2: point reads of committed state, at the partition that owns the key.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use serde::Serialize;
use streams::partitioner::partition_for_key;
use streams::serde::Serde;
use streams::{Phase, StoreIndex, View};

use crate::format::Avro;
use crate::model::{OrderView, StockView};
use crate::w2::{Formats, ORDERS_STORE, STOCK_STORE};

/// What the handlers need.
pub struct Queries {
    view: Arc<View>,
    partitions: u32,
    tasks: usize,
    orders: (StoreIndex, Avro<OrderView>),
    products: (StoreIndex, Avro<StockView>),
}

impl Queries {
    /// Queries of a view whose topics have `partitions` each; `None` when it is no view of W2.
    #[must_use]
    pub fn new(view: Arc<View>, formats: &Formats, partitions: u32) -> Option<Queries> {
        let orders = (view.store(ORDERS_STORE)?.0, formats.order_view.clone());
        let products = (view.store(STOCK_STORE)?.0, formats.stock_view.clone());
        let tasks = view.topology().subtopologies().len() * partitions as usize;
        Some(Queries { view, partitions, tasks, orders, products })
    }

    fn is_ready(&self) -> bool {
        let tasks = self.view.tasks();
        tasks.len() == self.tasks && tasks.iter().all(|(_, t)| matches!(t.phase, Phase::Running))
    }

    fn answer<T: Serialize + 'static>(&self, (store, format): &(StoreIndex, impl Serde<T>), key: &str) -> Response {
        let partition = partition_for_key(key.as_bytes(), self.partitions);
        let found = match self.view.get(*store, partition, key.as_bytes()) {
            Ok(Some((bytes, _))) => format.deserialize(&bytes).map_err(|e| e.to_string()),
            Ok(None) => return StatusCode::NOT_FOUND.into_response(),
            Err(e) => Err(e.to_string()),
        };
        match found.and_then(|value| serde_json::to_vec(&value).map_err(|e| e.to_string())) {
            Ok(json) => ([(header::CONTENT_TYPE, "application/json")], json).into_response(),
            Err(e) => (StatusCode::INTERNAL_SERVER_ERROR, e).into_response(),
        }
    }
}

/// The least an axum service can do for a request: what the reads of W2 are measured against.
pub fn hello() -> Router {
    Router::new().route("/", get(|| async { "Hello, world!" }))
}

/// `/ready`, `/orders/{id}` and `/products/{id}`.
pub fn router(queries: Queries) -> Router {
    let ready = |State(q): State<Arc<Queries>>| async move {
        if q.is_ready() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }
    };
    let order = |State(q): State<Arc<Queries>>, Path(id): Path<String>| async move { q.answer(&q.orders, &id) };
    let product = |State(q): State<Arc<Queries>>, Path(id): Path<String>| async move { q.answer(&q.products, &id) };
    Router::new()
        .route("/ready", get(ready))
        .route("/orders/{id}", get(order))
        .route("/products/{id}", get(product))
        .with_state(Arc::new(queries))
}
