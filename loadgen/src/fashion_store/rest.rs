//! The shop's commands as the REST calls of `SYSTEMS.md`.

use schemas::fashion::{CancelRequester, OrderCommandKind, ProductCommandKind, topics};

use super::COMMANDS;
use crate::business::{Call, NoCall};
use crate::rest::{Body, begin, is_json, not_json, push_segment};
use crate::traffic::Envelope;

pub(super) fn call(envelope: &Envelope, call: &mut Call) -> Result<(), NoCall> {
    let value = begin(envelope, call)?;
    if envelope.topic == topics::PRODUCTS.base() {
        return product_call(value, call);
    }
    if envelope.topic != topics::ORDERS.base() {
        return Err(NoCall("only commands have REST calls"));
    }
    match COMMANDS.orders.decode(value).map(|command| command.command) {
        Ok(OrderCommandKind::PlaceOrder(place)) => {
            // HTTP has no record key that could differ from the id.
            if envelope.key.as_deref() != Some(place.order_id.as_bytes()) {
                return Err(NoCall("a wrong or null key has no REST call"));
            }
            call.method = "POST";
            call.name = "POST /orders";
            call.path.push_str("/orders");
            let mut body = Body::new(&mut call.body);
            body.text("id", &place.order_id);
            body.text("customerId", &place.customer_id);
            body.text("productId", &place.product_id);
            body.text("size", &place.size);
            body.number("qty", i64::from(place.qty));
            body.number("price", place.price);
            body.end();
        }
        Ok(OrderCommandKind::CancelOrder(cancel)) if cancel.requested_by == CancelRequester::Md => {
            call.method = "POST";
            call.name = "POST /cancellations";
            call.path.push_str("/cancellations");
            call.idempotency_key.push_str(&cancel.command_id);
            let mut body = Body::new(&mut call.body);
            body.text("orderId", &cancel.order_id);
            body.text("reason", &cancel.reason);
            body.end();
        }
        Ok(OrderCommandKind::CancelOrder(cancel)) => {
            call.method = "DELETE";
            call.name = "DELETE /orders/{id}";
            call.path.push_str("/orders/");
            push_segment(&cancel.order_id, &mut call.path);
            call.idempotency_key.push_str(&cancel.command_id);
        }
        Err(_) if is_json(value) => not_json(call, "POST /orders (not JSON)", "/orders", value),
        Err(_) => return Err(NoCall("bytes that are no Avro have no REST call")),
    }
    Ok(())
}

fn product_call(value: &[u8], call: &mut Call) -> Result<(), NoCall> {
    let Ok(command) = COMMANDS.products.decode(value) else {
        return Err(NoCall("bytes that are no Avro have no REST call"));
    };
    call.idempotency_key.push_str(command.command_id());
    call.method = "POST";
    match command.command {
        ProductCommandKind::RegisterProduct(register) => {
            call.name = "POST /products";
            call.path.push_str("/products");
            let mut body = Body::new(&mut call.body);
            body.text("id", &register.product_id);
            body.text("name", &register.name);
            body.number("price", register.price);
            body.number("stock", i64::from(register.stock));
            body.end();
        }
        ProductCommandKind::RestockProduct(restock) => {
            call.name = "POST /products/{id}/restocks";
            call.path.push_str("/products/");
            push_segment(&restock.product_id, &mut call.path);
            call.path.push_str("/restocks");
            let mut body = Body::new(&mut call.body);
            body.number("qty", i64::from(restock.qty));
            body.end();
        }
    }
    Ok(())
}
