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
use crate::business::{Business, Call, Names, NoCall, renew};
use crate::error::Error;
use crate::generate::Params;
use crate::log::LogRecord;
use crate::traffic::Envelope;

pub use audit::MarketAuditor;

/// The rental market of `SYSTEMS.md`.
pub struct Market;

/// Codecs of what clients write.
pub(crate) struct CommandCodecs {
    pub(crate) items: Codec<ItemCommand>,
    pub(crate) rentals: Codec<RentalCommand>,
}

pub(crate) static COMMANDS: LazyLock<CommandCodecs> =
    LazyLock::new(|| CommandCodecs { items: Codec::fixed(), rentals: Codec::fixed() });

static EVENTS: LazyLock<Codec<RentalEvent>> = LazyLock::new(Codec::fixed);

impl Business for Market {
    fn name(&self) -> &'static str {
        "gdmarket"
    }

    fn topics(&self) -> &'static [TopicSpec] {
        topics::ALL
    }

    fn command_topics(&self) -> Vec<&'static str> {
        vec![topics::ITEMS.base(), topics::RENTALS.base()]
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

    fn rewrite(&self, envelope: &mut Envelope, names: &Names, at_ms: i64) {
        rewrite(envelope, &names.id_suffix, at_ms);
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
        Box::new(MarketAuditor::new(partitions))
    }

    fn kind(&self, record: &LogRecord) -> &'static str {
        let Some(value) = record.value.as_deref() else {
            return "null";
        };
        if record.topic == topics::ITEMS.base() {
            match COMMANDS.items.decode(value).map(|c| c.command) {
                Ok(ItemCommandKind::RegisterItem(_)) => generate::KIND_REGISTER,
                Ok(ItemCommandKind::DeleteItem(_)) => generate::KIND_DELETE,
                Err(_) => "poison",
            }
        } else if record.topic == topics::RENTALS.base() {
            match COMMANDS.rentals.decode(value).map(|c| c.command) {
                Ok(RentalCommandKind::RequestRental(_)) => generate::KIND_REQUEST,
                Ok(RentalCommandKind::CancelRental(_)) => generate::KIND_CANCEL,
                Ok(RentalCommandKind::CancelPayment(_)) => generate::KIND_CANCEL_PAYMENT,
                Ok(RentalCommandKind::ReturnItem(_)) => generate::KIND_RETURN,
                Err(_) => "poison",
            }
        } else {
            "event"
        }
    }
}

/// Moves times to `at_ms` and puts `suffix` behind every id of items, rentals and commands.
fn rewrite(envelope: &mut Envelope, suffix: &str, at_ms: i64) {
    if envelope.topic == topics::RENTALS.base() {
        renew(envelope, &COMMANDS.rentals, suffix, |command| {
            let (command_id, rental_id, requested_at) = match &mut command.command {
                RentalCommandKind::RequestRental(c) => {
                    c.item_id.push_str(suffix);
                    (&mut c.command_id, &mut c.rental_id, &mut c.requested_at)
                }
                RentalCommandKind::CancelPayment(c) => (&mut c.command_id, &mut c.rental_id, &mut c.requested_at),
                RentalCommandKind::CancelRental(c) => (&mut c.command_id, &mut c.rental_id, &mut c.requested_at),
                RentalCommandKind::ReturnItem(c) => (&mut c.command_id, &mut c.rental_id, &mut c.requested_at),
            };
            command_id.push_str(suffix);
            rental_id.push_str(suffix);
            *requested_at = at_ms;
        });
    } else if envelope.topic == topics::ITEMS.base() {
        renew(envelope, &COMMANDS.items, suffix, |command| {
            let (command_id, item_id, requested_at) = match &mut command.command {
                ItemCommandKind::RegisterItem(c) => (&mut c.command_id, &mut c.item_id, &mut c.requested_at),
                ItemCommandKind::DeleteItem(c) => (&mut c.command_id, &mut c.item_id, &mut c.requested_at),
            };
            command_id.push_str(suffix);
            item_id.push_str(suffix);
            *requested_at = at_ms;
        });
    }
}
