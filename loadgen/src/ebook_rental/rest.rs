//! Commands as the REST calls of `SYSTEMS.md`.

use schemas::ebook::{BookCommandKind, DecisionCommandKind, RentCommandKind, topics};

use super::COMMANDS;
use crate::business::{Call, NoCall};
use crate::rest::{Body, begin, is_json, not_json, push_segment};
use crate::traffic::Envelope;

pub(super) fn call(envelope: &Envelope, call: &mut Call) -> Result<(), NoCall> {
    let value = begin(envelope, call)?;
    if is_json(value) {
        not_json(call, "POST /rents (not JSON)", "/rents", value);
        return Ok(());
    }
    let unreadable = |_| NoCall("bytes that are no Avro have no REST call");
    if envelope.topic == topics::BOOKS.base() {
        let BookCommandKind::RegisterBook(c) = COMMANDS.books.decode(value).map_err(unreadable)?.command;
        call.idempotency_key.push_str(&c.command_id);
        post(call, "POST /books", "/books");
        let mut body = Body::new(&mut call.body);
        body.text("id", &c.book_id);
        body.text("bookName", &c.book_name);
        body.number("rentalFee", c.rental_fee);
        body.end();
    } else if envelope.topic == topics::RENTS.base() {
        match COMMANDS.rents.decode(value).map_err(unreadable)?.command {
            RentCommandKind::RequestRent(c) => {
                if envelope.key.as_deref() != Some(c.rent_id.as_bytes()) {
                    return Err(NoCall("a wrong or null key has no REST call"));
                }
                post(call, "POST /rents", "/rents");
                let mut body = Body::new(&mut call.body);
                body.text("id", &c.rent_id);
                body.optional("userId", &c.user_id);
                body.text("bookId", &c.book_id);
                body.text("bookName", &c.book_name);
                body.number("rentalFee", c.rental_fee);
                body.end();
            }
            RentCommandKind::ReturnBook(c) => {
                update(call, "PATCH /rents/{id} RETURNED", &c.rent_id, &c.command_id);
                let mut body = Body::new(&mut call.body);
                body.text("status", "RETURNED");
                body.end();
            }
        }
    } else {
        match COMMANDS.decisions.decode(value).map_err(unreadable)?.command {
            DecisionCommandKind::ApproveRent(c) => {
                update(call, "PATCH /rents/{id} APPROVED", &c.rent_id, &c.command_id);
                let mut body = Body::new(&mut call.body);
                body.text("status", "APPROVED");
                body.optional("librarianId", &c.librarian_id);
                body.end();
            }
            DecisionCommandKind::RejectRent(c) => {
                update(call, "PATCH /rents/{id} REJECTED", &c.rent_id, &c.command_id);
                let mut body = Body::new(&mut call.body);
                body.text("status", "REJECTED");
                body.optional("librarianId", &c.librarian_id);
                body.text("reason", &c.reason);
                body.end();
            }
        }
    }
    Ok(())
}

fn post(call: &mut Call, name: &'static str, path: &str) {
    call.method = "POST";
    call.name = name;
    call.path.push_str(path);
}

fn update(call: &mut Call, name: &'static str, rent_id: &str, command_id: &str) {
    call.method = "PATCH";
    call.name = name;
    call.path.push_str("/rents/");
    push_segment(rent_id, &mut call.path);
    call.idempotency_key.push_str(command_id);
}
