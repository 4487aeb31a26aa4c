//! What the librarian and members ask for.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::Response;
use schemas::ebook::{
    ApproveRent, BookCommand, DecisionCommand, RegisterBook, RejectRent, RentCommand, RequestRent, ReturnBook,
};

use super::{Approvals, Books, Ebook, PAYMENT, Rents};
use crate::body::Fields;
use crate::error::ApiError;
use crate::gateway::{Ask, Gateway, now_ms};
use crate::limits::PRICE_MAX;

type Library = State<Arc<Gateway<Ebook>>>;

/// What the librarian can make of a rent.
const APPROVED: &str = "APPROVED";
const REJECTED: &str = "REJECTED";
/// What the librarian is told who decides about a rent that is there, but not before the librarian.
const NOT_BEFORE_YOU: &str = "no paid rent of this id is before the librarian";
/// What its member can make of it.
const RETURNED: &str = "RETURNED";

/// `POST /books`: the librarian registers a book.
pub(super) async fn register_book(State(library): Library, ask: Ask, mut fields: Fields) -> Result<Response, ApiError> {
    let id = fields.id("id").or_else(|| fields.id("bookId"));
    let book = RegisterBook {
        command_id: ask.command_id(),
        book_id: ask.id(id),
        book_name: fields.required_text("bookName"),
        rental_fee: fields.integer("rentalFee", 0, PRICE_MAX, None),
        requested_at: now_ms(),
    };
    fields.ignore(&["status", "_links"]);
    fields.finish()?;
    library.submit::<Books>(BookCommand { command: book.into() }, ask, None).await
}

/// `POST /rents`: a member asks to read a book; synchronous up to the payment, as the seed's call is.
pub(super) async fn request_rent(State(library): Library, ask: Ask, mut fields: Fields) -> Result<Response, ApiError> {
    let id = fields.id("id").or_else(|| fields.id("rentId"));
    let rent = RequestRent {
        command_id: ask.command_id(),
        rent_id: ask.id(id),
        user_id: fields.id("userId").unwrap_or_default(),
        book_id: fields.required_id("bookId"),
        book_name: fields.text("bookName"),
        rental_fee: fields.integer("rentalFee", 0, PRICE_MAX, Some(0)),
        requested_at: now_ms(),
    };
    fields.ignore(&["status", "_links"]);
    fields.finish()?;
    library.submit::<Rents>(RentCommand { command: rent.into() }, ask, Some(PAYMENT)).await
}

/// `PATCH` (or `PUT`) `/rents/{id}`: the librarian approves or rejects, the member brings the book back. A decision is
/// answered with the approval, which is where it was judged; the rent follows it. Of a rent that is not before the librarian
/// the answer is the rent itself, refused.
pub(super) async fn update_rent(
    State(library): Library,
    Path(rent_id): Path<String>,
    ask: Ask,
    mut fields: Fields,
) -> Result<Response, ApiError> {
    let status = fields.one_of("status", &[APPROVED, REJECTED, RETURNED]);
    let (command_id, at) = (ask.command_id(), now_ms());
    if status == RETURNED {
        fields.finish()?;
        let command = ReturnBook { command_id, rent_id, requested_at: at };
        return library.submit::<Rents>(RentCommand { command: command.into() }, ask, None).await;
    }
    let librarian_id = fields.id("librarianId").unwrap_or_default();
    let command = if status == APPROVED {
        ApproveRent { command_id, rent_id, librarian_id, decided_at: at }.into()
    } else {
        let reason = fields.text("reason");
        RejectRent { command_id, rent_id, librarian_id, reason, decided_at: at }.into()
    };
    fields.finish()?;
    library.submit_about::<Approvals, Rents>(DecisionCommand { command }, ask, NOT_BEFORE_YOU).await
}
