//! What clients see of gdmarket: names in camelCase, times in milliseconds since the epoch.

use schemas::gdmarket::state::{Item, ItemPhase, ItemView as Row, Rental, RentalStep};
use schemas::gdmarket::{ItemState, ItemStatus, RentalCancelReason, RentalState, RentalStatus};
use schemas::state::{Payment, PaymentPhase};
use serde::Serialize;

use crate::gateway::wire::{At, Links, PaymentView as MoneyView, StepView};

/// `/items/{id}`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ItemView<'a> {
    id: &'a str,
    name: &'a str,
    fee: i64,
    status: ItemState,
    #[serde(skip_serializing_if = "Option::is_none")]
    rental_id: Option<&'a str>,
    version: i32,
    registered_at: i64,
    updated_at: i64,
    #[serde(rename = "_links")]
    links: Links,
}

impl<'a> ItemView<'a> {
    pub(super) fn new(item: &'a Item, at: At<'_>) -> Self {
        let id = &item.item_id;
        let mut links = Links::new("item", at.href("items", id)).and("itemview", at.href("itemviews", id)).and_events();
        if let Some(rental) = &item.rental_id {
            links = links.and("rental", at.href("rentals", rental));
        }
        ItemView {
            id,
            name: &item.name,
            fee: item.fee,
            status: item.status,
            rental_id: item.rental_id.as_deref(),
            version: item.version,
            registered_at: item.registered_at,
            updated_at: item.updated_at,
            links,
        }
    }
}

/// `/itemviews/{itemId}`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RowView<'a> {
    id: &'a str,
    item_id: &'a str,
    name: &'a str,
    fee: i64,
    status: ItemState,
    rental_id: Option<&'a str>,
    version: i32,
    /// How often it was handed out.
    rentals: i32,
    locked_at: Option<i64>,
    rented_at: Option<i64>,
    available_at: Option<i64>,
    deleted_at: Option<i64>,
    updated_at: i64,
    #[serde(rename = "_links")]
    links: Links,
}

impl<'a> RowView<'a> {
    pub(super) fn new(row: &'a Row, at: At<'_>) -> Self {
        let id = &row.item_id;
        RowView {
            id,
            item_id: id,
            name: &row.name,
            fee: row.fee,
            status: row.status,
            rental_id: row.rental_id.as_deref(),
            version: row.version,
            rentals: row.rentals,
            locked_at: row.locked_at,
            rented_at: row.rented_at,
            available_at: row.available_at,
            deleted_at: row.deleted_at,
            updated_at: row.updated_at,
            links: Links::new("itemview", at.href("itemviews", id)).and("item", at.href("items", id)),
        }
    }
}

/// `/rentals/{id}`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RentalView<'a> {
    id: &'a str,
    item_id: &'a str,
    renter_id: &'a str,
    fee: i64,
    status: RentalState,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<RentalCancelReason>,
    #[serde(skip_serializing_if = "str::is_empty")]
    detail: &'a str,
    item: ItemPhase,
    payment: PaymentPhase,
    requested_at: i64,
    updated_at: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    deadline_at: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    settled_at: Option<i64>,
    history: Vec<StepView<'a, RentalState, RentalCancelReason>>,
    #[serde(rename = "_links")]
    links: Links,
}

impl<'a> RentalView<'a> {
    pub(super) fn new(rental: &'a Rental, at: At<'_>) -> Self {
        let id = &rental.rental_id;
        let links = Links::new("rental", at.href("rentals", id))
            .and("payment", at.href("payments", id))
            .and("item", at.href("items", &rental.item_id))
            .and_events();
        let step = |s: &'a RentalStep| StepView {
            version: s.version,
            status: s.status,
            reason: s.reason,
            detail: &s.detail,
            at: s.at,
        };
        RentalView {
            id,
            item_id: &rental.item_id,
            renter_id: &rental.renter_id,
            fee: rental.fee,
            status: rental.status,
            reason: rental.reason,
            detail: &rental.detail,
            item: rental.item,
            payment: rental.payment.phase,
            requested_at: rental.requested_at,
            updated_at: rental.history.last().map_or(rental.created_at, |step| step.at),
            deadline_at: rental.deadline_at,
            settled_at: rental.settled_at,
            history: rental.history.iter().map(step).collect(),
            links,
        }
    }
}

/// `/payments/{rentalId}`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PaymentView<'a> {
    id: &'a str,
    rental_id: &'a str,
    renter_id: &'a str,
    #[serde(flatten)]
    money: MoneyView<'a>,
    #[serde(rename = "_links")]
    links: Links,
}

impl<'a> PaymentView<'a> {
    pub(super) fn new(payment: &'a Payment, at: At<'_>) -> Self {
        let id = &payment.correlation_id;
        let links = Links::new("payment", at.href("payments", id)).and("rental", at.href("rentals", id));
        PaymentView { id, rental_id: id, renter_id: &payment.payer_id, money: payment.into(), links }
    }
}

/// A status event of `/rentals/events`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct StatusView<'a> {
    id: &'a str,
    item_id: &'a str,
    renter_id: &'a str,
    fee: i64,
    status: RentalState,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<RentalCancelReason>,
    version: i32,
    at: i64,
}

impl<'a> From<&'a RentalStatus> for StatusView<'a> {
    fn from(status: &'a RentalStatus) -> Self {
        StatusView {
            id: &status.rental_id,
            item_id: &status.item_id,
            renter_id: &status.renter_id,
            fee: status.fee,
            status: status.status,
            reason: status.reason,
            version: status.version,
            at: status.at,
        }
    }
}

/// A status event of `/items/events`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ItemStatusView<'a> {
    id: &'a str,
    name: &'a str,
    fee: i64,
    status: ItemState,
    #[serde(skip_serializing_if = "Option::is_none")]
    rental_id: Option<&'a str>,
    version: i32,
    at: i64,
}

impl<'a> From<&'a ItemStatus> for ItemStatusView<'a> {
    fn from(status: &'a ItemStatus) -> Self {
        ItemStatusView {
            id: &status.item_id,
            name: &status.name,
            fee: status.fee,
            status: status.status,
            rental_id: status.rental_id.as_deref(),
            version: status.version,
            at: status.at,
        }
    }
}
