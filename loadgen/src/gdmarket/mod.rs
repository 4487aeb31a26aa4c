//! gdmarket: items that one rental holds at a time, paid before they are out.

mod audit;
mod facts;
mod generate;
mod rest;
mod rules;

#[cfg(test)]
mod tests;

use std::sync::LazyLock;

use schemas::gdmarket::{
    ItemCommand, ItemCommandKind, RentalCommand, RentalCommandKind, RentalEvent, RentalEventKind, RentalState, topics,
};
use schemas::{Codec, TopicSpec};

use crate::audit::Auditor;
use crate::audit::saga::SagaAuditor;
use crate::business::{Business, Call, CommandTopic, NoCall, replayed};
use crate::error::Error;
use crate::generate::Params;
use crate::traffic::Envelope;

/// The rental market of `SYSTEMS.md`.
pub struct Market;

/// Codecs of what clients write.
#[derive(Default)]
pub(crate) struct CommandCodecs {
    pub(crate) items: Codec<ItemCommand>,
    pub(crate) rentals: Codec<RentalCommand>,
}

pub(crate) static COMMANDS: LazyLock<CommandCodecs> = LazyLock::new(CommandCodecs::default);

static EVENTS: LazyLock<Codec<RentalEvent>> = LazyLock::new(Codec::fixed);

impl Business for Market {
    fn name(&self) -> &'static str {
        "gdmarket"
    }

    fn topics(&self) -> &'static [TopicSpec] {
        topics::ALL
    }

    fn commands(&self) -> &'static [CommandTopic] {
        const COMMANDS: &[CommandTopic] = &[CommandTopic::of(&topics::ITEMS), CommandTopic::of(&topics::RENTALS)];
        COMMANDS
    }

    fn outcome_topics(&self) -> Vec<&'static str> {
        vec![topics::RENTAL_EVENTS.base()]
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
        if envelope.kind != generate::KIND_REQUEST {
            return None;
        }
        std::str::from_utf8(envelope.key.as_deref()?).ok()
    }

    /// A rental's request comes to its end when the item is out, or it is cancelled: how long it is kept is the renter's.
    fn ended(&self, _topic: &str, value: &[u8]) -> Option<String> {
        match EVENTS.decode(value).ok()?.event {
            RentalEventKind::RentalStarted(event) => Some(event.rental_id),
            RentalEventKind::RentalCancelled(event) => Some(event.rental_id),
            RentalEventKind::RentalReturned(_) => None,
        }
    }

    fn final_words(&self) -> &'static [&'static str] {
        const WORDS: &[&str] = &[RentalState::Rented.symbol(), RentalState::Cancelled.symbol()];
        WORDS
    }

    fn may_answer(&self, kind: &str, status: u16) -> bool {
        // Who takes back what is taken back, or over, already.
        (kind.ends_with(generate::KIND_CANCEL) || kind.ends_with(generate::KIND_CANCEL_PAYMENT)) && status == 409
    }

    fn events_path(&self) -> &'static str {
        "/rentals/events"
    }

    fn auditor(&self, partitions: &dyn Fn(&str) -> Option<i32>) -> Box<dyn Auditor> {
        Box::new(SagaAuditor::<facts::Facts>::new(self, partitions))
    }
}

replayed! { ItemCommand in COMMANDS.items, ItemCommandKind {
    RegisterItem: generate::KIND_REGISTER, [command_id, item_id], requested_at;
    DeleteItem: generate::KIND_DELETE, [command_id, item_id], requested_at;
} }

replayed! { RentalCommand in COMMANDS.rentals, RentalCommandKind {
    RequestRental: generate::KIND_REQUEST, [command_id, rental_id, item_id], requested_at;
    CancelRental: generate::KIND_CANCEL, [command_id, rental_id], requested_at;
    CancelPayment: generate::KIND_CANCEL_PAYMENT, [command_id, rental_id], requested_at;
    ReturnItem: generate::KIND_RETURN, [command_id, rental_id], requested_at;
} }
