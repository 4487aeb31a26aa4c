//! Which commands are sound.

use schemas::ebook::{DecisionCommandKind, RegisterBook, RequestRent};

use crate::audit::rules::{Fault, PRICE_MAX, begun_at, id, optional_id, text, within};

pub(super) fn request(request: &RequestRent) -> Result<(), Fault> {
    id(&request.book_id)?;
    optional_id(&request.user_id)?;
    text(&request.book_name)?;
    within(request.rental_fee, 0, PRICE_MAX, "fee out of range")?;
    begun_at(request.requested_at)
}

pub(super) fn register(register: &RegisterBook) -> Result<(), Fault> {
    text(&register.book_name)?;
    within(register.rental_fee, 0, PRICE_MAX, "fee out of range")
}

pub(super) fn decision(decision: &DecisionCommandKind) -> Result<(), Fault> {
    match decision {
        DecisionCommandKind::ApproveRent(approve) => optional_id(&approve.librarian_id),
        DecisionCommandKind::RejectRent(reject) => {
            optional_id(&reject.librarian_id)?;
            text(&reject.reason)
        }
    }
}
