//! What the item manager and renters ask for.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::Response;
use schemas::gdmarket::{
    CancelPayment, CancelRental, DeleteItem, ItemCommand, RegisterItem, RentalCommand, RequestRental, ReturnItem,
};

use super::{Gdmarket, Items, PAYMENT, Rentals};
use crate::body::Fields;
use crate::error::ApiError;
use crate::gateway::{Ask, Gateway, now_ms};
use crate::limits::PRICE_MAX;

/// What a renter can make of a rental.
const RETURNED: &str = "RETURNED";

type Market = State<Arc<Gateway<Gdmarket>>>;

/// `POST /items`: the item manager registers an item.
pub(super) async fn register_item(State(market): Market, ask: Ask, mut fields: Fields) -> Result<Response, ApiError> {
    let id = fields.id("id").or_else(|| fields.id("itemId"));
    let item = RegisterItem {
        command_id: ask.command_id(),
        item_id: ask.id(id),
        name: fields.required_text("name"),
        fee: fields.integer("fee", 0, PRICE_MAX, None),
        requested_at: now_ms(),
    };
    fields.ignore(&["status", "_links"]);
    fields.finish()?;
    market.submit::<Items>(ItemCommand { command: item.into() }, ask, None).await
}

/// `DELETE /items/{id}`: the item manager deletes an item; refused while a rental holds it.
pub(super) async fn delete_item(
    State(market): Market,
    Path(item_id): Path<String>,
    ask: Ask,
) -> Result<Response, ApiError> {
    let command = DeleteItem { command_id: ask.command_id(), item_id, requested_at: now_ms() };
    market.submit::<Items>(ItemCommand { command: command.into() }, ask, None).await
}

/// `POST /rentals`: a renter asks for an item; synchronous up to the payment.
pub(super) async fn request_rental(State(market): Market, ask: Ask, mut fields: Fields) -> Result<Response, ApiError> {
    let id = fields.id("id").or_else(|| fields.id("rentalId"));
    let rental = RequestRental {
        command_id: ask.command_id(),
        rental_id: ask.id(id),
        item_id: fields.required_id("itemId"),
        renter_id: fields.id("renterId").unwrap_or_default(),
        requested_at: now_ms(),
    };
    fields.ignore(&["status", "_links"]);
    fields.finish()?;
    market.submit::<Rentals>(RentalCommand { command: rental.into() }, ask, Some(PAYMENT)).await
}

/// `DELETE /rentals/{id}`: the renter cancels the request.
pub(super) async fn cancel_rental(
    State(market): Market,
    Path(rental_id): Path<String>,
    mut ask: Ask,
) -> Result<Response, ApiError> {
    let (command_id, reason) = (ask.command_id(), ask.reason());
    let command = CancelRental { command_id, rental_id, reason, requested_at: now_ms() };
    market.submit::<Rentals>(RentalCommand { command: command.into() }, ask, None).await
}

/// `DELETE /payments/{id}`: the payer cancels the payment, and with it the rental, which is the answer.
pub(super) async fn cancel_payment(
    State(market): Market,
    Path(rental_id): Path<String>,
    mut ask: Ask,
) -> Result<Response, ApiError> {
    let (command_id, reason) = (ask.command_id(), ask.reason());
    let command = CancelPayment { command_id, rental_id, reason, requested_at: now_ms() };
    market.submit::<Rentals>(RentalCommand { command: command.into() }, ask, None).await
}

/// `PATCH` (or `PUT`) `/rentals/{id} {"status":"RETURNED"}`: the renter brings the item back.
pub(super) async fn update_rental(
    State(market): Market,
    Path(rental_id): Path<String>,
    ask: Ask,
    mut fields: Fields,
) -> Result<Response, ApiError> {
    fields.one_of("status", &[RETURNED]);
    fields.finish()?;
    let command = ReturnItem { command_id: ask.command_id(), rental_id, requested_at: now_ms() };
    market.submit::<Rentals>(RentalCommand { command: command.into() }, ask, None).await
}
