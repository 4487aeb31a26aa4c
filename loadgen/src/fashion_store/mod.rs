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
use crate::audit::saga::SagaAuditor;
use crate::business::{Business, Call, CommandTopic, NoCall, replayed};
use crate::error::Error;
use crate::generate::Params;
use crate::traffic::Envelope;

/// The clothes shop of `SYSTEMS.md`.
pub struct FashionStore;

/// Codecs of what clients write.
#[derive(Default)]
pub(crate) struct CommandCodecs {
    pub(crate) products: Codec<ProductCommand>,
    pub(crate) orders: Codec<OrderCommand>,
}

pub(crate) static COMMANDS: LazyLock<CommandCodecs> = LazyLock::new(CommandCodecs::default);

static DELIVERIES: LazyLock<Codec<DeliveryEvent>> = LazyLock::new(Codec::fixed);
static CANCELLATIONS: LazyLock<Codec<OrderCancelled>> = LazyLock::new(Codec::fixed);

impl Business for FashionStore {
    fn name(&self) -> &'static str {
        "fashion-store"
    }

    fn topics(&self) -> &'static [TopicSpec] {
        topics::ALL
    }

    fn commands(&self) -> &'static [CommandTopic] {
        const COMMANDS: &[CommandTopic] = &[CommandTopic::of(&topics::PRODUCTS), CommandTopic::of(&topics::ORDERS)];
        COMMANDS
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
        Box::new(SagaAuditor::<facts::Facts>::new(self, partitions))
    }
}

replayed! { ProductCommand in COMMANDS.products, ProductCommandKind {
    RegisterProduct: generate::KIND_REGISTER, [command_id, product_id];
    RestockProduct: generate::KIND_RESTOCK, [command_id, product_id];
} }

replayed! { OrderCommand in COMMANDS.orders, OrderCommandKind {
    PlaceOrder: generate::KIND_PLACE, [command_id, order_id, product_id], placed_at;
    CancelOrder: generate::KIND_CANCEL, [command_id, order_id], requested_at;
} }
