//! What clients of fashion-store ask for.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::http::header::LOCATION;
use axum::response::Response;
use schemas::fashion::{
    CancelOrder, CancelRequester, OrderCommand, PlaceOrder, ProductCommand, RegisterProduct, RestockProduct,
};

use super::{Fashion, Orders, PAYMENT, Products};
use crate::body::Fields;
use crate::error::ApiError;
use crate::gateway::{Ask, Gateway, now_ms};
use crate::limits::PRICE_MAX;

type Shop = State<Arc<Gateway<Fashion>>>;

/// `POST /orders`: synchronous up to the payment, as the seeds' call is.
pub(super) async fn place_order(State(shop): Shop, ask: Ask, mut fields: Fields) -> Result<Response, ApiError> {
    let id = fields.id("id").or_else(|| fields.id("orderId"));
    let order = PlaceOrder {
        command_id: ask.command_id(),
        order_id: ask.id(id),
        customer_id: fields.id("customerId").unwrap_or_default(),
        product_id: fields.required_id("productId"),
        size: fields.text("size"),
        qty: fields.quantity("qty", 1),
        price: fields.integer("price", 0, PRICE_MAX, None),
        placed_at: now_ms(),
    };
    fields.ignore(&["status", "_links"]);
    fields.finish()?;
    shop.submit::<Orders>(OrderCommand { command: order.into() }, ask, Some(PAYMENT)).await
}

/// `DELETE /orders/{id}`: the customer cancels.
pub(super) async fn delete_order(
    State(shop): Shop,
    Path(id): Path<String>,
    mut ask: Ask,
) -> Result<Response, ApiError> {
    let reason = ask.reason();
    shop.submit::<Orders>(cancel(id, CancelRequester::Customer, reason, &ask), ask, None).await
}

/// `POST /cancellations`: the merchandiser cancels.
pub(super) async fn cancel_order(State(shop): Shop, ask: Ask, mut fields: Fields) -> Result<Response, ApiError> {
    let id = fields.required_id("orderId");
    let reason = fields.text("reason");
    fields.ignore(&["id", "status", "_links"]);
    fields.finish()?;
    let location = ask.location("orders", &id, &shop);
    let mut answer = shop.submit::<Orders>(cancel(id, CancelRequester::Md, reason, &ask), ask, None).await?;
    if answer.status() == StatusCode::OK {
        *answer.status_mut() = StatusCode::CREATED;
        answer.headers_mut().insert(LOCATION, location);
    }
    Ok(answer)
}

fn cancel(order_id: String, requested_by: CancelRequester, reason: String, ask: &Ask) -> OrderCommand {
    let command_id = ask.command_id();
    let command = CancelOrder { command_id, order_id, requested_by, reason, requested_at: now_ms() };
    OrderCommand { command: command.into() }
}

/// `POST /products`: the merchandiser registers a product.
pub(super) async fn register_product(State(shop): Shop, ask: Ask, mut fields: Fields) -> Result<Response, ApiError> {
    let id = fields.id("id").or_else(|| fields.id("productId"));
    let product = RegisterProduct {
        command_id: ask.command_id(),
        product_id: ask.id(id),
        name: fields.required_text("name"),
        price: fields.integer("price", 0, PRICE_MAX, None),
        stock: fields.quantity("stock", 0),
    };
    fields.ignore(&["_links"]);
    fields.finish()?;
    shop.submit::<Products>(ProductCommand { command: product.into() }, ask, None).await
}

/// `POST /products/{id}/restocks`: adds pieces to the stock.
pub(super) async fn restock_product(
    State(shop): Shop,
    Path(product_id): Path<String>,
    ask: Ask,
    mut fields: Fields,
) -> Result<Response, ApiError> {
    let qty = fields.quantity("qty", 1);
    fields.finish()?;
    let command = RestockProduct { command_id: ask.command_id(), product_id, qty };
    shop.submit::<Products>(ProductCommand { command: command.into() }, ask, None).await
}
