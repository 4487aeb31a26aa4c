//! What clients see of ebook-rental: the seed's names and status words, times in milliseconds since the epoch.

use schemas::ebook::state::{Approval, ApprovalPhase, Book, BookPhase, BookState, Dashboard, Rent, RentStep};
use schemas::ebook::{RentCancelReason, RentState, RentStatus};
use schemas::state::{Payment, PaymentPhase};
use serde::Serialize;

use crate::gateway::wire::{At, Links, PaymentView as MoneyView, StepView};

/// `/books/{id}`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct BookView<'a> {
    id: &'a str,
    book_name: &'a str,
    rental_fee: i64,
    status: BookState,
    #[serde(skip_serializing_if = "Option::is_none")]
    rent_id: Option<&'a str>,
    registered_at: i64,
    updated_at: i64,
    #[serde(rename = "_links")]
    links: Links,
}

impl<'a> BookView<'a> {
    pub(super) fn new(book: &'a Book, at: At<'_>) -> Self {
        let mut links = Links::new("book", at.href("books", &book.book_id));
        if let Some(rent) = &book.rent_id {
            links = links.and("rent", at.href("rents", rent));
        }
        BookView {
            id: &book.book_id,
            book_name: &book.book_name,
            rental_fee: book.rental_fee,
            status: book.status,
            rent_id: book.rent_id.as_deref(),
            registered_at: book.registered_at,
            updated_at: book.updated_at,
            links,
        }
    }
}

/// `/rents/{id}`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RentView<'a> {
    id: &'a str,
    user_id: &'a str,
    book_id: &'a str,
    book_name: &'a str,
    rental_fee: i64,
    status: RentState,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<RentCancelReason>,
    #[serde(skip_serializing_if = "str::is_empty")]
    detail: &'a str,
    book: BookPhase,
    payment: PaymentPhase,
    approval: ApprovalPhase,
    requested_at: i64,
    updated_at: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    deadline_at: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    settled_at: Option<i64>,
    history: Vec<StepView<'a, RentState, RentCancelReason>>,
    #[serde(rename = "_links")]
    links: Links,
}

impl<'a> RentView<'a> {
    pub(super) fn new(rent: &'a Rent, at: At<'_>) -> Self {
        let id = &rent.rent_id;
        let links = Links::new("rent", at.href("rents", id))
            .and("dashboard", at.href("dashboards", id))
            .and("payment", at.href("payments", id))
            .and("approval", at.href("approvals", id))
            .and("book", at.href("books", &rent.book_id))
            .and_events();
        let step = |s: &'a RentStep| StepView {
            version: s.version,
            status: s.status,
            reason: s.reason,
            detail: &s.detail,
            at: s.at,
        };
        RentView {
            id,
            user_id: &rent.user_id,
            book_id: &rent.book_id,
            book_name: &rent.book_name,
            rental_fee: rent.rental_fee,
            status: rent.status,
            reason: rent.reason,
            detail: &rent.detail,
            book: rent.book,
            payment: rent.payment.phase,
            approval: rent.approval,
            requested_at: rent.requested_at,
            updated_at: rent.history.last().map_or(rent.created_at, |step| step.at),
            deadline_at: rent.deadline_at,
            settled_at: rent.settled_at,
            history: rent.history.iter().map(step).collect(),
            links,
        }
    }
}

/// `/approvals/{rentId}`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ApprovalView<'a> {
    id: &'a str,
    user_id: &'a str,
    book_id: &'a str,
    book_name: &'a str,
    rental_fee: i64,
    status: ApprovalPhase,
    librarian_id: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    reason: &'a str,
    requested_at: Option<i64>,
    decided_at: Option<i64>,
    #[serde(rename = "_links")]
    links: Links,
}

impl<'a> ApprovalView<'a> {
    pub(super) fn new(approval: &'a Approval, at: At<'_>) -> Self {
        let id = &approval.rent_id;
        ApprovalView {
            id,
            user_id: &approval.user_id,
            book_id: &approval.book_id,
            book_name: &approval.book_name,
            rental_fee: approval.rental_fee,
            status: approval.phase,
            librarian_id: &approval.librarian_id,
            reason: &approval.reason,
            requested_at: approval.requested_at,
            decided_at: approval.decided_at,
            links: Links::new("approval", at.href("approvals", id)).and("rent", at.href("rents", id)),
        }
    }
}

/// `/payments/{rentId}`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PaymentView<'a> {
    id: &'a str,
    rent_id: &'a str,
    user_id: &'a str,
    #[serde(flatten)]
    money: MoneyView<'a>,
    #[serde(rename = "_links")]
    links: Links,
}

impl<'a> PaymentView<'a> {
    pub(super) fn new(payment: &'a Payment, at: At<'_>) -> Self {
        let id = &payment.correlation_id;
        let links = Links::new("payment", at.href("payments", id)).and("rent", at.href("rents", id));
        let mut money = MoneyView::from(payment);
        if payment.phase == PaymentPhase::Approved {
            // The seed's word.
            money.status = "PAID";
        }
        PaymentView { id, rent_id: id, user_id: &payment.payer_id, money, links }
    }
}

/// `/dashboards/{rentId}`: the seed's row.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct DashboardView<'a> {
    id: &'a str,
    user_id: &'a str,
    book_id: &'a str,
    book_name: &'a str,
    rental_fee: i64,
    requested_date: Option<i64>,
    rented_date: Option<i64>,
    deferred_date: Option<i64>,
    paid_date: Option<i64>,
    approved_date: Option<i64>,
    returned_date: Option<i64>,
    canceled_date: Option<i64>,
    status: RentState,
    reason: Option<RentCancelReason>,
    version: i32,
    updated_at: i64,
    #[serde(rename = "_links")]
    links: Links,
}

impl<'a> DashboardView<'a> {
    pub(super) fn new(row: &'a Dashboard, at: At<'_>) -> Self {
        let id = &row.rent_id;
        DashboardView {
            id,
            user_id: &row.user_id,
            book_id: &row.book_id,
            book_name: &row.book_name,
            rental_fee: row.rental_fee,
            requested_date: row.requested_date,
            rented_date: row.rented_date,
            deferred_date: row.deferred_date,
            paid_date: row.paid_date,
            approved_date: row.approved_date,
            returned_date: row.returned_date,
            canceled_date: row.canceled_date,
            status: row.status,
            reason: row.reason,
            version: row.version,
            updated_at: row.updated_at,
            links: Links::new("dashboard", at.href("dashboards", id)).and("rent", at.href("rents", id)),
        }
    }
}

/// A status event of `/rents/events`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct StatusView<'a> {
    id: &'a str,
    user_id: &'a str,
    book_id: &'a str,
    book_name: &'a str,
    rental_fee: i64,
    status: RentState,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<RentCancelReason>,
    version: i32,
    at: i64,
}

impl<'a> From<&'a RentStatus> for StatusView<'a> {
    fn from(status: &'a RentStatus) -> Self {
        StatusView {
            id: &status.rent_id,
            user_id: &status.user_id,
            book_id: &status.book_id,
            book_name: &status.book_name,
            rental_fee: status.rental_fee,
            status: status.status,
            reason: status.reason,
            version: status.version,
            at: status.at,
        }
    }
}
