//! Commands as the REST calls of `SYSTEMS.md`.

use schemas::gdmarket::{ItemCommandKind, RentalCommandKind, topics};

use super::COMMANDS;
use crate::business::{Call, NoCall};
use crate::rest::{Body, begin, is_json, not_json, push_segment};
use crate::traffic::Envelope;

pub(super) fn call(envelope: &Envelope, call: &mut Call) -> Result<(), NoCall> {
    let value = begin(envelope, call)?;
    if is_json(value) {
        not_json(call, "POST /rentals (not JSON)", "/rentals", value);
        return Ok(());
    }
    if envelope.topic == topics::ITEMS.base() {
        return item_call(value, call);
    }
    let unreadable = |_| NoCall("bytes that are no Avro have no REST call");
    let command = COMMANDS.rentals.decode(value).map_err(unreadable)?;
    call.idempotency_key.push_str(command.command_id());
    match command.command {
        RentalCommandKind::RequestRental(c) => {
            if envelope.key.as_deref() != Some(c.rental_id.as_bytes()) {
                return Err(NoCall("a wrong or null key has no REST call"));
            }
            // The id in the body makes it safe to repeat.
            call.idempotency_key.clear();
            call.method = "POST";
            call.name = "POST /rentals";
            call.path.push_str("/rentals");
            let mut body = Body::new(&mut call.body);
            body.text("id", &c.rental_id);
            body.text("itemId", &c.item_id);
            body.optional("renterId", &c.renter_id);
            body.end();
        }
        RentalCommandKind::CancelRental(c) => {
            call.method = "DELETE";
            call.name = "DELETE /rentals/{id}";
            call.path.push_str("/rentals/");
            push_segment(&c.rental_id, &mut call.path);
        }
        RentalCommandKind::CancelPayment(c) => {
            call.method = "DELETE";
            call.name = "DELETE /payments/{id}";
            call.path.push_str("/payments/");
            push_segment(&c.rental_id, &mut call.path);
        }
        RentalCommandKind::ReturnItem(c) => {
            call.method = "PATCH";
            call.name = "PATCH /rentals/{id}";
            call.path.push_str("/rentals/");
            push_segment(&c.rental_id, &mut call.path);
            let mut body = Body::new(&mut call.body);
            body.text("status", "RETURNED");
            body.end();
        }
    }
    Ok(())
}

fn item_call(value: &[u8], call: &mut Call) -> Result<(), NoCall> {
    let unreadable = |_| NoCall("bytes that are no Avro have no REST call");
    let command = COMMANDS.items.decode(value).map_err(unreadable)?;
    call.idempotency_key.push_str(command.command_id());
    match command.command {
        ItemCommandKind::RegisterItem(c) => {
            call.method = "POST";
            call.name = "POST /items";
            call.path.push_str("/items");
            let mut body = Body::new(&mut call.body);
            body.text("id", &c.item_id);
            body.text("name", &c.name);
            body.number("fee", c.fee);
            body.end();
        }
        ItemCommandKind::DeleteItem(c) => {
            call.method = "DELETE";
            call.name = "DELETE /items/{id}";
            call.path.push_str("/items/");
            push_segment(&c.item_id, &mut call.path);
        }
    }
    Ok(())
}
