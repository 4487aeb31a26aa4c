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
use crate::business::{Business, Call, Names, NoCall, renew};
use crate::error::Error;
use crate::generate::Params;
use crate::log::LogRecord;
use crate::traffic::Envelope;

pub use audit::LibraryAuditor;

/// The e-book rental of `SYSTEMS.md`.
pub struct Library;

/// Codecs of what clients write.
pub(crate) struct CommandCodecs {
    pub(crate) books: Codec<BookCommand>,
    pub(crate) rents: Codec<RentCommand>,
    pub(crate) decisions: Codec<DecisionCommand>,
}

pub(crate) static COMMANDS: LazyLock<CommandCodecs> =
    LazyLock::new(|| CommandCodecs { books: Codec::fixed(), rents: Codec::fixed(), decisions: Codec::fixed() });

static EVENTS: LazyLock<Codec<RentEvent>> = LazyLock::new(Codec::fixed);

impl Business for Library {
    fn name(&self) -> &'static str {
        "ebook-rental"
    }

    fn topics(&self) -> &'static [TopicSpec] {
        topics::ALL
    }

    fn command_topics(&self) -> Vec<&'static str> {
        vec![topics::BOOKS.base(), topics::RENTS.base(), topics::DECISIONS.base()]
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

    fn rewrite(&self, envelope: &mut Envelope, names: &Names, at_ms: i64) {
        rewrite(envelope, &names.id_suffix, at_ms);
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
        Box::new(LibraryAuditor::new(partitions))
    }

    fn kind(&self, record: &LogRecord) -> &'static str {
        let Some(value) = record.value.as_deref() else {
            return "null";
        };
        if record.topic == topics::BOOKS.base() {
            match COMMANDS.books.decode(value).map(|c| c.command) {
                Ok(BookCommandKind::RegisterBook(_)) => generate::KIND_REGISTER,
                Err(_) => "poison",
            }
        } else if record.topic == topics::RENTS.base() {
            match COMMANDS.rents.decode(value).map(|c| c.command) {
                Ok(RentCommandKind::RequestRent(_)) => generate::KIND_REQUEST,
                Ok(RentCommandKind::ReturnBook(_)) => generate::KIND_RETURN,
                Err(_) => "poison",
            }
        } else if record.topic == topics::DECISIONS.base() {
            match COMMANDS.decisions.decode(value).map(|c| c.command) {
                Ok(DecisionCommandKind::ApproveRent(_)) => generate::KIND_APPROVE,
                Ok(DecisionCommandKind::RejectRent(_)) => generate::KIND_REJECT,
                Err(_) => "poison",
            }
        } else {
            "event"
        }
    }
}

/// Moves times to `at_ms` and puts `suffix` behind every id of books, rents and commands.
fn rewrite(envelope: &mut Envelope, suffix: &str, at_ms: i64) {
    if envelope.topic == topics::RENTS.base() {
        renew(envelope, &COMMANDS.rents, suffix, |command| {
            let (command_id, rent_id, requested_at) = match &mut command.command {
                RentCommandKind::RequestRent(c) => {
                    c.book_id.push_str(suffix);
                    (&mut c.command_id, &mut c.rent_id, &mut c.requested_at)
                }
                RentCommandKind::ReturnBook(c) => (&mut c.command_id, &mut c.rent_id, &mut c.requested_at),
            };
            command_id.push_str(suffix);
            rent_id.push_str(suffix);
            *requested_at = at_ms;
        });
    } else if envelope.topic == topics::DECISIONS.base() {
        renew(envelope, &COMMANDS.decisions, suffix, |command| {
            let (command_id, rent_id, decided_at) = match &mut command.command {
                DecisionCommandKind::ApproveRent(c) => (&mut c.command_id, &mut c.rent_id, &mut c.decided_at),
                DecisionCommandKind::RejectRent(c) => (&mut c.command_id, &mut c.rent_id, &mut c.decided_at),
            };
            command_id.push_str(suffix);
            rent_id.push_str(suffix);
            *decided_at = at_ms;
        });
    } else if envelope.topic == topics::BOOKS.base() {
        renew(envelope, &COMMANDS.books, suffix, |command| {
            let BookCommandKind::RegisterBook(c) = &mut command.command;
            c.command_id.push_str(suffix);
            c.book_id.push_str(suffix);
            c.requested_at = at_ms;
        });
    }
}
