//! fashion-store's resources, as the seeds' clients know them.

mod commands;
mod wire;

use std::sync::Arc;

use axum::routing::{get, post};
use schemas::Topic;
use schemas::fashion::state::{Dashboard, Delivery, Order, Product};
use schemas::fashion::{OrderCommand, OrderState, OrderStatus, ProductCommand, topics};
use schemas::state::Payment;
use serde::Serialize;

use crate::StartError;
use crate::gateway::wire::At;
use crate::gateway::{
    Business, Commands, Hub, Judged, Profile, Resource, Route, Start, Streamed, Table, Until, all_events, collection,
    command, events_of, item,
};

/// Stores, command topics and events.
pub(crate) struct Fashion {
    orders: Table<Order>,
    payments: Table<Payment>,
    products: Table<Product>,
    deliveries: Table<Delivery>,
    dashboards: Table<Dashboard>,
    order_commands: Commands<OrderCommand>,
    product_commands: Commands<ProductCommand>,
    status: Arc<Hub>,
}

impl Business for Fashion {
    const APP: &'static str = "fashion-store";
    const PROFILES: &'static [Profile] = &[
        Profile {
            name: "orders",
            item: "order",
            fields: &["id", "customerId", "productId", "size", "qty", "price", "status", "history"],
        },
        Profile { name: "products", item: "product", fields: &["id", "name", "price", "stock", "onHand", "reserved"] },
        Profile {
            name: "payments",
            item: "payment",
            fields: &["id", "orderId", "price", "status", "attempt", "deferred"],
        },
        Profile {
            name: "deliveries",
            item: "delivery",
            fields: &["id", "orderId", "productId", "size", "qty", "status"],
        },
        Profile {
            name: "dashboards",
            item: "dashboard",
            fields: &["orderId", "customerId", "productId", "size", "qty", "price", "status"],
        },
    ];

    fn start(start: &Start<'_>) -> Result<Self, StartError> {
        Ok(Fashion {
            orders: start.table("orders")?,
            payments: start.table("payments")?,
            products: start.table("stock")?,
            deliveries: start.table("deliveries")?,
            dashboards: start.table("dashboard")?,
            order_commands: start.commands(&topics::ORDERS, "commands")?,
            product_commands: start.commands(&topics::PRODUCTS, "product-commands")?,
            status: start.hub::<Self, Changes>()?,
        })
    }

    fn routes() -> Vec<Route<Self>> {
        vec![
            ("/orders", get(collection::<Self, Orders>).post(commands::place_order)),
            ("/orders/events", get(all_events::<Self, Changes>)),
            ("/orders/{id}", get(item::<Self, Orders>).delete(commands::delete_order)),
            ("/orders/{id}/events", get(events_of::<Self, Changes>)),
            ("/orders/{id}/commands/{command}", get(command::<Self, Orders>)),
            ("/cancellations", post(commands::cancel_order)),
            ("/products", get(collection::<Self, Products>).post(commands::register_product)),
            ("/products/{id}", get(item::<Self, Products>)),
            ("/products/{id}/restocks", post(commands::restock_product)),
            ("/products/{id}/commands/{command}", get(command::<Self, Products>)),
            ("/payments", get(collection::<Self, Payments>)),
            ("/payments/{id}", get(item::<Self, Payments>)),
            ("/deliveries", get(collection::<Self, Deliveries>)),
            ("/deliveries/{id}", get(item::<Self, Deliveries>)),
            ("/dashboards", get(collection::<Self, Dashboards>)),
            ("/dashboards/{id}", get(item::<Self, Dashboards>)),
        ]
    }
}

/// `/orders`.
struct Orders;

/// The payment has an outcome, be it that it is put off.
const PAYMENT: Until<Order> =
    Until::new("payment", |order| !matches!(order.status, OrderState::Ordered | OrderState::StockReserved));
/// Nothing of the saga is under way any more.
const SETTLED: Until<Order> = Until::new("settled", |order| order.settled_at.is_some());

impl Resource<Fashion> for Orders {
    type Value = Order;
    const NAME: &'static str = "orders";
    const UNTIL: &'static [Until<Order>] = &[PAYMENT, SETTLED];
    fn table(fashion: &Fashion) -> &Table<Order> {
        &fashion.orders
    }
    fn view(order: &Order, at: At<'_>) -> impl Serialize {
        wire::OrderView::new(order, at)
    }
    fn retry_at(order: &Order) -> Option<i64> {
        order.payment.retry_at.filter(|_| order.status == OrderState::PaymentDeferred)
    }
}

impl Judged<Fashion> for Orders {
    type Command = OrderCommand;
    const CREATES: &'static [&'static str] = &["PlaceOrder"];
    fn commands(fashion: &Fashion) -> &Commands<OrderCommand> {
        &fashion.order_commands
    }
}

/// `/products`.
struct Products;
impl Resource<Fashion> for Products {
    type Value = Product;
    const NAME: &'static str = "products";
    fn table(fashion: &Fashion) -> &Table<Product> {
        &fashion.products
    }
    fn view(product: &Product, at: At<'_>) -> impl Serialize {
        wire::ProductView::new(product, at)
    }
}

impl Judged<Fashion> for Products {
    type Command = ProductCommand;
    const CREATES: &'static [&'static str] = &["RegisterProduct"];
    fn commands(fashion: &Fashion) -> &Commands<ProductCommand> {
        &fashion.product_commands
    }
}

/// `/payments`: of orders whose payment was asked for.
struct Payments;
impl Resource<Fashion> for Payments {
    type Value = Payment;
    const NAME: &'static str = "payments";
    fn table(fashion: &Fashion) -> &Table<Payment> {
        &fashion.payments
    }
    fn view(payment: &Payment, at: At<'_>) -> impl Serialize {
        wire::PaymentView::new(payment, at)
    }
}

/// `/deliveries`.
struct Deliveries;
impl Resource<Fashion> for Deliveries {
    type Value = Delivery;
    const NAME: &'static str = "deliveries";
    fn table(fashion: &Fashion) -> &Table<Delivery> {
        &fashion.deliveries
    }
    fn view(delivery: &Delivery, at: At<'_>) -> impl Serialize {
        wire::DeliveryView::new(delivery, at)
    }
}

/// `/dashboards`.
struct Dashboards;
impl Resource<Fashion> for Dashboards {
    type Value = Dashboard;
    const NAME: &'static str = "dashboards";
    fn table(fashion: &Fashion) -> &Table<Dashboard> {
        &fashion.dashboards
    }
    fn view(row: &Dashboard, at: At<'_>) -> impl Serialize {
        wire::DashboardView::new(row, at)
    }
}

/// `/orders/events`: every change of every order, for its customer.
struct Changes;
impl Streamed<Fashion> for Changes {
    type Record = OrderStatus;
    const TOPIC: Topic<OrderStatus> = topics::ORDER_STATUS;
    const OWNER: &'static str = "customerId";
    fn hub(fashion: &Fashion) -> &Arc<Hub> {
        &fashion.status
    }
    fn owner(status: &OrderStatus) -> Option<&str> {
        Some(&status.customer_id)
    }
    fn view(status: &OrderStatus) -> impl Serialize {
        wire::StatusView::from(status)
    }
}
