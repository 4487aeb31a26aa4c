//! What clients see of fashion-store: the seeds' names in camelCase, times in milliseconds since the epoch.

use schemas::fashion::state::{Dashboard, Delivery, DeliveryPhase, Order, OrderStep, Product, StockPhase};
use schemas::fashion::{CancellationReason, OrderStage, OrderState, OrderStatus};
use schemas::state::{Payment, PaymentPhase};
use serde::Serialize;

use crate::gateway::wire::{At, Links, PaymentView as MoneyView};

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct StepView<'a> {
    version: i32,
    status: OrderState,
    stage: OrderStage,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<CancellationReason>,
    #[serde(skip_serializing_if = "str::is_empty")]
    detail: &'a str,
    at: i64,
}

impl<'a> From<&'a OrderStep> for StepView<'a> {
    fn from(step: &'a OrderStep) -> Self {
        let OrderStep { version, status, stage, reason, detail, at } = step;
        StepView { version: *version, status: *status, stage: *stage, reason: *reason, detail, at: *at }
    }
}

/// `/orders/{id}`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct OrderView<'a> {
    id: &'a str,
    customer_id: &'a str,
    product_id: &'a str,
    size: &'a str,
    qty: i32,
    price: i64,
    status: OrderState,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<CancellationReason>,
    #[serde(skip_serializing_if = "str::is_empty")]
    detail: &'a str,
    stock: StockPhase,
    payment: PaymentPhase,
    delivery: DeliveryPhase,
    placed_at: i64,
    updated_at: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    deadline_at: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    settled_at: Option<i64>,
    history: Vec<StepView<'a>>,
    #[serde(rename = "_links")]
    links: Links,
}

impl<'a> OrderView<'a> {
    pub(crate) fn new(order: &'a Order, at: At<'_>) -> Self {
        let id = &order.order_id;
        let links = Links::new("order", at.href("orders", id)).and("dashboard", at.href("dashboards", id)).and_events();
        OrderView {
            id: &order.order_id,
            customer_id: &order.customer_id,
            product_id: &order.product_id,
            size: &order.size,
            qty: order.qty,
            price: order.price,
            status: order.status,
            reason: order.reason,
            detail: &order.detail,
            stock: order.stock,
            payment: order.payment.phase,
            delivery: order.delivery,
            placed_at: order.placed_at,
            updated_at: order.history.last().map_or(order.created_at, |step| step.at),
            deadline_at: order.deadline_at,
            settled_at: order.settled_at,
            history: order.history.iter().map(StepView::from).collect(),
            links,
        }
    }
}

/// `/products/{id}`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ProductView<'a> {
    id: &'a str,
    name: &'a str,
    price: i64,
    /// Pieces that can be ordered.
    stock: i64,
    on_hand: i64,
    reserved: i64,
    registered_at: i64,
    updated_at: i64,
    #[serde(rename = "_links")]
    links: Links,
}

impl<'a> ProductView<'a> {
    pub(crate) fn new(product: &'a Product, at: At<'_>) -> Self {
        ProductView {
            id: &product.product_id,
            name: &product.name,
            price: product.price,
            stock: product.free(),
            on_hand: product.on_hand,
            reserved: product.reserved,
            registered_at: product.registered_at,
            updated_at: product.updated_at,
            links: Links::new("product", at.href("products", &product.product_id)),
        }
    }
}

/// `/payments/{orderId}`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PaymentView<'a> {
    id: &'a str,
    order_id: &'a str,
    customer_id: &'a str,
    #[serde(flatten)]
    money: MoneyView<'a>,
    #[serde(rename = "_links")]
    links: Links,
}

impl<'a> PaymentView<'a> {
    pub(crate) fn new(payment: &'a Payment, at: At<'_>) -> Self {
        let id = &payment.correlation_id;
        let links = Links::new("payment", at.href("payments", id)).and("order", at.href("orders", id));
        PaymentView { id, order_id: id, customer_id: &payment.payer_id, money: payment.into(), links }
    }
}

/// `/deliveries/{orderId}`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DeliveryView<'a> {
    id: &'a str,
    order_id: &'a str,
    customer_id: &'a str,
    product_id: &'a str,
    size: &'a str,
    qty: i32,
    status: DeliveryPhase,
    #[serde(skip_serializing_if = "str::is_empty")]
    reason: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    started_at: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cancelled_at: Option<i64>,
    #[serde(rename = "_links")]
    links: Links,
}

impl<'a> DeliveryView<'a> {
    pub(crate) fn new(delivery: &'a Delivery, at: At<'_>) -> Self {
        let id = &delivery.order_id;
        let links = Links::new("delivery", at.href("deliveries", id)).and("order", at.href("orders", id));
        DeliveryView {
            id: &delivery.order_id,
            order_id: &delivery.order_id,
            customer_id: &delivery.customer_id,
            product_id: &delivery.product_id,
            size: &delivery.size,
            qty: delivery.qty,
            status: delivery.phase,
            reason: &delivery.reason,
            started_at: delivery.started_at,
            cancelled_at: delivery.cancelled_at,
            links,
        }
    }
}

/// `/dashboards/{orderId}`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DashboardView<'a> {
    order_id: &'a str,
    customer_id: &'a str,
    product_id: &'a str,
    size: &'a str,
    qty: i32,
    price: i64,
    status: OrderState,
    reason: Option<CancellationReason>,
    version: i32,
    ordered_at: Option<i64>,
    reserved_at: Option<i64>,
    deferred_at: Option<i64>,
    paid_at: Option<i64>,
    delivery_started_at: Option<i64>,
    cancel_requested_at: Option<i64>,
    delivery_cancelled_at: Option<i64>,
    cancelled_at: Option<i64>,
    updated_at: i64,
    #[serde(rename = "_links")]
    links: Links,
}

impl<'a> DashboardView<'a> {
    pub(crate) fn new(row: &'a Dashboard, at: At<'_>) -> Self {
        let id = &row.order_id;
        let links = Links::new("dashboard", at.href("dashboards", id)).and("order", at.href("orders", id));
        DashboardView {
            order_id: &row.order_id,
            customer_id: &row.customer_id,
            product_id: &row.product_id,
            size: &row.size,
            qty: row.qty,
            price: row.price,
            status: row.status,
            reason: row.reason,
            version: row.version,
            ordered_at: row.ordered_at,
            reserved_at: row.reserved_at,
            deferred_at: row.deferred_at,
            paid_at: row.paid_at,
            delivery_started_at: row.delivery_started_at,
            cancel_requested_at: row.cancel_requested_at,
            delivery_cancelled_at: row.delivery_cancelled_at,
            cancelled_at: row.cancelled_at,
            updated_at: row.updated_at,
            links,
        }
    }
}

/// A status event of `/orders/events`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct StatusView<'a> {
    id: &'a str,
    customer_id: &'a str,
    product_id: &'a str,
    size: &'a str,
    qty: i32,
    price: i64,
    status: OrderState,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<CancellationReason>,
    stage: OrderStage,
    version: i32,
    at: i64,
}

impl<'a> From<&'a OrderStatus> for StatusView<'a> {
    fn from(status: &'a OrderStatus) -> Self {
        StatusView {
            id: &status.order_id,
            customer_id: &status.customer_id,
            product_id: &status.product_id,
            size: &status.size,
            qty: status.qty,
            price: status.price,
            status: status.status,
            reason: status.reason,
            stage: status.stage,
            version: status.version,
            at: status.at,
        }
    }
}
