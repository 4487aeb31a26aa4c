//! fashion-store: products, orders, stock, payment, delivery.

mod audit;
mod facts;
mod generate;
mod rest;
mod rules;
mod stock;
mod web;

#[cfg(test)]
mod tests;

use std::sync::LazyLock;

use schemas::fashion::{
    DeliveryEvent, DeliveryEventKind, OrderCancelled, OrderCommand, OrderCommandKind, OrderState, ProductCommand,
    ProductCommandKind, topics,
};
use schemas::{Codec, TopicSpec};

use crate::audit::Auditor;
use crate::business::{Business, Call, Names, NoCall, renew};
use crate::error::Error;
use crate::generate::Params;
use crate::log::LogRecord;
use crate::traffic::Envelope;

pub use audit::FashionAuditor;

/// The clothes shop of `SYSTEMS.md`.
pub struct FashionStore;

/// Codecs of what clients write.
pub(crate) struct CommandCodecs {
    pub(crate) products: Codec<ProductCommand>,
    pub(crate) orders: Codec<OrderCommand>,
}

pub(crate) static COMMANDS: LazyLock<CommandCodecs> =
    LazyLock::new(|| CommandCodecs { products: Codec::fixed(), orders: Codec::fixed() });

static DELIVERIES: LazyLock<Codec<DeliveryEvent>> = LazyLock::new(Codec::fixed);
static CANCELLATIONS: LazyLock<Codec<OrderCancelled>> = LazyLock::new(Codec::fixed);

impl Business for FashionStore {
    fn name(&self) -> &'static str {
        "fashion-store"
    }

    fn topics(&self) -> &'static [TopicSpec] {
        topics::ALL
    }

    fn command_topics(&self) -> Vec<&'static str> {
        vec![topics::PRODUCTS.base(), topics::ORDERS.base()]
    }

    fn outcome_topics(&self) -> Vec<&'static str> {
        vec![topics::DELIVERIES.base(), topics::CANCELLATIONS.base()]
    }

    fn generate(&self, params: &Params, sink: &mut dyn FnMut(Envelope) -> Result<(), Error>) -> Result<(), Error> {
        generate::generate(params, sink)
    }

    fn is_setup(&self, envelope: &Envelope) -> bool {
        envelope.kind == generate::KIND_REGISTER
    }

    fn http_call(&self, envelope: &Envelope, call: &mut Call) -> Result<(), NoCall> {
        rest::call(envelope, call)
    }

    fn rewrite(&self, envelope: &mut Envelope, names: &Names, at_ms: i64) {
        rewrite(envelope, &names.id_suffix, at_ms);
    }

    fn begins<'a>(&self, envelope: &'a Envelope) -> Option<&'a str> {
        if envelope.kind != generate::KIND_PLACE {
            return None;
        }
        std::str::from_utf8(envelope.key.as_deref()?).ok()
    }

    fn ended(&self, topic: &str, value: &[u8]) -> Option<String> {
        if topic == topics::DELIVERIES.base() {
            match DELIVERIES.decode(value).ok()?.event {
                DeliveryEventKind::DeliveryStarted(event) => Some(event.order_id),
                DeliveryEventKind::DeliveryCancelled(_) => None,
            }
        } else if topic == topics::CANCELLATIONS.base() {
            Some(CANCELLATIONS.decode(value).ok()?.order_id)
        } else {
            None
        }
    }

    fn final_words(&self) -> &'static [&'static str] {
        const WORDS: &[&str] = &[OrderState::DeliveryStarted.symbol(), OrderState::Cancelled.symbol()];
        WORDS
    }

    fn may_answer(&self, kind: &str, status: u16) -> bool {
        kind.ends_with("cancel") && status == 409
    }

    fn events_path(&self) -> &'static str {
        "/orders/events"
    }

    fn auditor(&self, partitions: &dyn Fn(&str) -> Option<i32>) -> Box<dyn Auditor> {
        Box::new(FashionAuditor::new(partitions))
    }

    fn kind(&self, record: &LogRecord) -> &'static str {
        let Some(value) = record.value.as_deref() else {
            return "null";
        };
        if record.topic == topics::PRODUCTS.base() {
            match COMMANDS.products.decode(value).map(|c| c.command) {
                Ok(ProductCommandKind::RegisterProduct(_)) => generate::KIND_REGISTER,
                Ok(ProductCommandKind::RestockProduct(_)) => generate::KIND_RESTOCK,
                Err(_) => "poison",
            }
        } else if record.topic == topics::ORDERS.base() {
            match COMMANDS.orders.decode(value).map(|c| c.command) {
                Ok(OrderCommandKind::PlaceOrder(_)) => generate::KIND_PLACE,
                Ok(OrderCommandKind::CancelOrder(_)) => generate::KIND_CANCEL,
                Err(_) => "poison",
            }
        } else {
            "event"
        }
    }
}

/// Moves times to `at_ms` and puts `suffix` behind every id.
fn rewrite(envelope: &mut Envelope, suffix: &str, at_ms: i64) {
    if envelope.topic == topics::ORDERS.base() {
        renew(envelope, &COMMANDS.orders, suffix, |command| match &mut command.command {
            OrderCommandKind::PlaceOrder(place) => {
                place.placed_at = at_ms;
                for id in [&mut place.command_id, &mut place.order_id, &mut place.product_id] {
                    id.push_str(suffix);
                }
            }
            OrderCommandKind::CancelOrder(cancel) => {
                cancel.requested_at = at_ms;
                cancel.command_id.push_str(suffix);
                cancel.order_id.push_str(suffix);
            }
        });
    } else if envelope.topic == topics::PRODUCTS.base() {
        renew(envelope, &COMMANDS.products, suffix, |command| {
            let (command_id, product_id) = match &mut command.command {
                ProductCommandKind::RegisterProduct(c) => (&mut c.command_id, &mut c.product_id),
                ProductCommandKind::RestockProduct(c) => (&mut c.command_id, &mut c.product_id),
            };
            command_id.push_str(suffix);
            product_id.push_str(suffix);
        });
    }
}
