//! ebook-rental: books that one member reads at a time, paid and then approved by the librarian.

mod audit;
mod facts;
mod generate;
mod rest;
mod rules;

#[cfg(test)]
mod tests;

use std::sync::LazyLock;

use schemas::ebook::{
    BookCommand, BookCommandKind, DecisionCommand, DecisionCommandKind, RentCommand, RentCommandKind, RentEvent,
    RentEventKind, RentState, topics,
};
use schemas::{Codec, TopicSpec};

use crate::audit::Auditor;
use crate::audit::saga::SagaAuditor;
use crate::business::{Business, Call, CommandTopic, NoCall, replayed};
use crate::error::Error;
use crate::generate::Params;
use crate::traffic::Envelope;

/// The e-book rental of `SYSTEMS.md`.
pub struct Library;

/// Codecs of what clients write.
#[derive(Default)]
pub(crate) struct CommandCodecs {
    pub(crate) books: Codec<BookCommand>,
    pub(crate) rents: Codec<RentCommand>,
    pub(crate) decisions: Codec<DecisionCommand>,
}

pub(crate) static COMMANDS: LazyLock<CommandCodecs> = LazyLock::new(CommandCodecs::default);

static EVENTS: LazyLock<Codec<RentEvent>> = LazyLock::new(Codec::fixed);

impl Business for Library {
    fn name(&self) -> &'static str {
        "ebook-rental"
    }

    fn topics(&self) -> &'static [TopicSpec] {
        topics::ALL
    }

    fn commands(&self) -> &'static [CommandTopic] {
        const COMMANDS: &[CommandTopic] =
            &[CommandTopic::of(&topics::BOOKS), CommandTopic::of(&topics::RENTS), CommandTopic::of(&topics::DECISIONS)];
        COMMANDS
    }

    fn outcome_topics(&self) -> Vec<&'static str> {
        vec![topics::RENT_EVENTS.base()]
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
        // A rent that the librarian leaves undecided waits longer than any replay.
        if envelope.kind != generate::KIND_REQUEST {
            return None;
        }
        std::str::from_utf8(envelope.key.as_deref()?).ok()
    }

    /// A request comes to its end when the member reads, or it is cancelled: how long it takes to read is the member's.
    fn ended(&self, _topic: &str, value: &[u8]) -> Option<String> {
        match EVENTS.decode(value).ok()?.event {
            RentEventKind::RentStarted(event) => Some(event.rent_id),
            RentEventKind::RentCancelled(event) => Some(event.rent_id),
            RentEventKind::RentReturned(_) => None,
        }
    }

    fn final_words(&self) -> &'static [&'static str] {
        const WORDS: &[&str] = &[RentState::Approved.symbol(), RentState::Canceled.symbol()];
        WORDS
    }

    fn may_answer(&self, kind: &str, status: u16) -> bool {
        // A decision about a rent that never came before the librarian: its book was taken, say.
        (kind.ends_with(generate::KIND_APPROVE) || kind.ends_with(generate::KIND_REJECT)) && status == 404
    }

    fn events_path(&self) -> &'static str {
        "/rents/events"
    }

    fn auditor(&self, partitions: &dyn Fn(&str) -> Option<i32>) -> Box<dyn Auditor> {
        Box::new(SagaAuditor::<facts::Facts>::new(self, partitions))
    }
}

replayed! { BookCommand in COMMANDS.books, BookCommandKind {
    RegisterBook: generate::KIND_REGISTER, [command_id, book_id], requested_at;
} }

replayed! { RentCommand in COMMANDS.rents, RentCommandKind {
    RequestRent: generate::KIND_REQUEST, [command_id, rent_id, book_id], requested_at;
    ReturnBook: generate::KIND_RETURN, [command_id, rent_id], requested_at;
} }

replayed! { DecisionCommand in COMMANDS.decisions, DecisionCommandKind {
    ApproveRent: generate::KIND_APPROVE, [command_id, rent_id], decided_at;
    RejectRent: generate::KIND_REJECT, [command_id, rent_id], decided_at;
} }
