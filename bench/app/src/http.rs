//! Interactive queries of W2: point reads of committed state, at the partition that owns the key.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::{HeaderValue, Request, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use axum::serve::{Listener as _, ListenerExt as _};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use schemas::AvroValue;
use streams::partitioner::partition_for_key;
use streams::{Phase, StoreIndex, View};
use tokio::net::TcpListener;
use tower::ServiceExt as _;

use crate::format::Avro;
use crate::model::{OrderView, StockView};
use crate::w2::{Formats, ORDERS_STORE, STOCK_STORE};

/// Room for the JSON of an order, so that it is written in one piece.
const JSON_BYTES: usize = 512;

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

    fn answer<T: AvroValue>(&self, (store, format): &(StoreIndex, Avro<T>), key: &str) -> Response {
        let partition = partition_for_key(key.as_bytes(), self.partitions);
        let mut json = Vec::with_capacity(JSON_BYTES);
        let found = match self.view.get(*store, partition, key.as_bytes()) {
            Ok(Some((bytes, _))) => format.transcode(&bytes, &mut json).map_err(|e| e.to_string()),
            Ok(None) => return StatusCode::NOT_FOUND.into_response(),
            Err(e) => Err(e.to_string()),
        };
        if let Err(e) = found {
            return (StatusCode::INTERNAL_SERVER_ERROR, e).into_response();
        }
        let mut response = Response::new(json.into());
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        response
    }
}

/// Serves every connection to the listener with `router`: over HTTP/1.1 only, as all clients of these reads speak, with as
/// little around it as there can be. What the reads are measured against can be served so too.
pub async fn serve(listener: TcpListener, router: Router) {
    let mut listener = listener.tap_io(|connection| {
        // An answer is written whole: there is nothing to wait for.
        if let Err(e) = connection.set_nodelay(true) {
            tracing::debug!("a connection without TCP_NODELAY: {e}");
        }
    });
    let mut http = http1::Builder::new();
    // Answers are small: copied behind their head, they are one buffer to write.
    http.writev(false);
    loop {
        let (connection, _) = listener.accept().await;
        let router = router.clone();
        let answer = service_fn(move |request: Request<Incoming>| {
            let answer = router.clone().oneshot(request);
            async {
                let answer = answer.await;
                // Requests that came in together are all answered before the first answer is written: a client that waits for
                // several is woken for several at once.
                tokio::task::yield_now().await;
                answer
            }
        });
        let connection = http.serve_connection(TokioIo::new(connection), answer);
        tokio::spawn(async move {
            if let Err(e) = connection.await {
                tracing::debug!("a connection ended: {e}");
            }
        });
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
