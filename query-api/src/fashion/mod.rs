//! fashion-store's resources, as the seeds' clients know them.

mod commands;
mod events;
mod resources;
mod wire;

pub(crate) use resources::index;

use std::sync::Arc;

use axum::http::Uri;
use axum::routing::{get, post};
use schemas::Codec;
use schemas::fashion::state::{Dashboard, Delivery, Order, Product};
use schemas::fashion::{OrderCommand, OrderStatus, ProductCommand, topics};
use schemas::state::{CommandOutcome, Payment};

use crate::events::Hub;
use crate::service::{Api, AppState, StoreRef};
use crate::{Routes, StartError};

/// The application's name in URLs.
pub(crate) const APP: &str = "fashion-store";

/// Where a request found the application: under its name, or at the root.
fn mount_of(uri: &Uri) -> &'static str {
    if uri.path().starts_with("/fashion-store/") { "/fashion-store" } else { "" }
}

/// Names of the stores that are read.
mod stores {
    pub(super) const ORDERS: &str = "orders";
    pub(super) const DASHBOARD: &str = "dashboard";
    pub(super) const ORDER_COMMANDS: &str = "commands";
    pub(super) const PAYMENTS: &str = "payments";
    pub(super) const PRODUCTS: &str = "stock";
    pub(super) const PRODUCT_COMMANDS: &str = "product-commands";
    pub(super) const DELIVERIES: &str = "deliveries";
}

/// What the handlers share.
pub(crate) struct Fashion {
    api: Arc<Api>,
    app: Arc<AppState>,
    hub: Arc<Hub>,
    orders: StoreRef,
    dashboard: StoreRef,
    payments: StoreRef,
    products: StoreRef,
    deliveries: StoreRef,
    order_commands: StoreRef,
    product_commands: StoreRef,
    codecs: Codecs,
}

/// How records are written, and stored values read.
struct Codecs {
    order_command: Codec<OrderCommand>,
    product_command: Codec<ProductCommand>,
    order: Codec<Order>,
    payment: Codec<Payment>,
    product: Codec<Product>,
    delivery: Codec<Delivery>,
    dashboard: Codec<Dashboard>,
    outcome: Codec<CommandOutcome>,
}

impl Fashion {
    /// Finds the stores and gets the schema ids.
    pub(crate) fn start(api: &Arc<Api>, app: &Arc<AppState>) -> Result<Arc<Self>, StartError> {
        let store = |name: &'static str| app.store(name).ok_or(StartError::MissingStore { app: APP, store: name });
        let (prefix, registry) = (api.platform.topic_prefix(), api.platform.registry());
        let codecs = Codecs {
            order_command: Codec::for_topic(&topics::ORDERS, prefix, registry)?,
            product_command: Codec::for_topic(&topics::PRODUCTS, prefix, registry)?,
            order: Codec::fixed(),
            payment: Codec::fixed(),
            product: Codec::fixed(),
            delivery: Codec::fixed(),
            dashboard: Codec::fixed(),
            outcome: Codec::fixed(),
        };
        let status: Codec<OrderStatus> = Codec::for_topic(&topics::ORDER_STATUS, prefix, registry)?;
        let decode = Box::new(move |record: &crate::platform::TailRecord| events::decode(&status, record));
        let hub = Hub::new(topics::ORDER_STATUS.base(), Arc::clone(&api.platform), decode);
        Ok(Arc::new(Fashion {
            orders: store(stores::ORDERS)?,
            dashboard: store(stores::DASHBOARD)?,
            payments: store(stores::PAYMENTS)?,
            products: store(stores::PRODUCTS)?,
            deliveries: store(stores::DELIVERIES)?,
            order_commands: store(stores::ORDER_COMMANDS)?,
            product_commands: store(stores::PRODUCT_COMMANDS)?,
            api: Arc::clone(api),
            app: Arc::clone(app),
            hub,
            codecs,
        }))
    }
}

/// The routes under one mount: `/fashion-store`, or nothing for the root.
pub(crate) fn routes(mount: &str) -> Routes<Arc<Fashion>> {
    use resources::{collection, item};
    Routes::new(mount)
        .add("/orders", get(collection::<resources::Orders>).post(commands::place_order))
        .add("/orders/events", get(events::all))
        .add("/orders/{id}", get(resources::order).delete(commands::delete_order))
        .add("/orders/{id}/events", get(events::of_order))
        .add("/orders/{id}/commands/{command}", get(commands::order_command))
        .add("/cancellations", post(commands::cancel_order))
        .add("/products", get(collection::<resources::Products>).post(commands::register_product))
        .add("/products/{id}", get(item::<resources::Products>))
        .add("/products/{id}/restocks", post(commands::restock_product))
        .add("/products/{id}/commands/{command}", get(commands::product_command))
        .add("/payments", get(collection::<resources::Payments>))
        .add("/payments/{id}", get(item::<resources::Payments>))
        .add("/deliveries", get(collection::<resources::Deliveries>))
        .add("/deliveries/{id}", get(item::<resources::Deliveries>))
        .add("/dashboards", get(collection::<resources::Dashboards>))
        .add("/dashboards/{id}", get(item::<resources::Dashboards>))
        .add("/profile", get(resources::profiles))
        .add("/profile/{name}", get(resources::profile))
}
