//! The shop's commands as the REST calls of `SYSTEMS.md`.

use std::io::Write;

use schemas::fashion::{CancelRequester, OrderCommandKind, ProductCommandKind, topics};

use super::COMMANDS;
use crate::business::{Call, NoCall};
use crate::traffic::Envelope;

pub(super) fn call(envelope: &Envelope, call: &mut Call) -> Result<(), NoCall> {
    let Some(value) = envelope.value.as_deref() else {
        return Err(NoCall("a null value has no REST call"));
    };
    call.clear();
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
        Err(_) if value.first() == Some(&b'{') => {
            // What is no Avro on the topic is broken JSON here: both must be turned away.
            call.method = "POST";
            call.name = "POST /orders (not JSON)";
            call.path.push_str("/orders");
            call.body.extend_from_slice(value.get(1..).unwrap_or_default());
        }
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

/// Percent-encodes everything but RFC 3986's unreserved characters.
pub(crate) fn push_segment(text: &str, out: &mut String) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push('%');
            out.push(char::from(HEX[usize::from(byte >> 4)]));
            out.push(char::from(HEX[usize::from(byte & 15)]));
        }
    }
}

/// A JSON object written straight into a reused buffer.
struct Body<'a> {
    out: &'a mut Vec<u8>,
    first: bool,
}

impl<'a> Body<'a> {
    fn new(out: &'a mut Vec<u8>) -> Self {
        out.push(b'{');
        Body { out, first: true }
    }

    fn name(&mut self, name: &str) {
        if !std::mem::take(&mut self.first) {
            self.out.push(b',');
        }
        self.out.push(b'"');
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b"\":");
    }

    /// A string, escaped as RFC 8259 asks.
    fn text(&mut self, name: &str, value: &str) {
        self.name(name);
        self.out.push(b'"');
        for byte in value.bytes() {
            match byte {
                b'"' | b'\\' => self.out.extend_from_slice(&[b'\\', byte]),
                0..0x20 => {
                    // Writing to a vector cannot fail.
                    let _ = write!(self.out, "\\u{byte:04x}");
                }
                _ => self.out.push(byte),
            }
        }
        self.out.push(b'"');
    }

    fn number(&mut self, name: &str, value: i64) {
        self.name(name);
        let _ = write!(self.out, "{value}");
    }

    fn end(self) {
        self.out.push(b'}');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_are_json_whatever_the_text() {
        let mut bytes = Vec::new();
        let mut body = Body::new(&mut bytes);
        body.text("a", "say \"hi\"\\\n\u{1}\u{ac00}");
        body.number("b", -5);
        body.end();
        let value: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
        assert_eq!(value["a"], "say \"hi\"\\\n\u{1}\u{ac00}");
        assert_eq!(value["b"], -5);
    }

    #[test]
    fn ids_cannot_break_out_of_their_path_segment() {
        let mut path = String::new();
        push_segment("a/b?c#%é", &mut path);
        assert_eq!(path, "a%2Fb%3Fc%23%25%C3%A9");
    }
}
