//! taxi: calls of passengers, and drivers who race for them.

mod audit;
mod facts;
mod generate;
mod rest;
mod rules;

#[cfg(test)]
mod tests;

use std::sync::LazyLock;

use schemas::taxi::{CallState, CallStatus, DriverCommand, DriverCommandKind, PassengerCommand, topics};
use schemas::taxi::{CallTaxi, PassengerCommandKind};
use schemas::{Codec, TopicSpec};

use crate::audit::Auditor;
use crate::business::{Business, Call, Names, NoCall, renew};
use crate::error::Error;
use crate::generate::Params;
use crate::log::LogRecord;
use crate::traffic::Envelope;

pub use audit::TaxiAuditor;

/// The taxi calls of `SYSTEMS.md`.
pub struct Taxi;

/// Codecs of what clients write.
pub(crate) struct CommandCodecs {
    pub(crate) passengers: Codec<PassengerCommand>,
    pub(crate) drivers: Codec<DriverCommand>,
}

pub(crate) static COMMANDS: LazyLock<CommandCodecs> =
    LazyLock::new(|| CommandCodecs { passengers: Codec::fixed(), drivers: Codec::fixed() });

static STATUSES: LazyLock<Codec<CallStatus>> = LazyLock::new(Codec::fixed);

impl Business for Taxi {
    fn name(&self) -> &'static str {
        "taxi"
    }

    fn topics(&self) -> &'static [TopicSpec] {
        topics::ALL
    }

    fn command_topics(&self) -> Vec<&'static str> {
        vec![topics::PASSENGERS.base(), topics::ACCEPTANCES.base()]
    }

    fn outcome_topics(&self) -> Vec<&'static str> {
        vec![topics::CALL_STATUS.base()]
    }

    fn generate(&self, params: &Params, sink: &mut dyn FnMut(Envelope) -> Result<(), Error>) -> Result<(), Error> {
        generate::generate(params, sink)
    }

    fn is_setup(&self, _envelope: &Envelope) -> bool {
        // Nothing has to be there before the first call.
        false
    }

    fn http_call(&self, envelope: &Envelope, call: &mut Call) -> Result<(), NoCall> {
        rest::call(envelope, call)
    }

    fn rewrite(&self, envelope: &mut Envelope, names: &Names, at_ms: i64) {
        let suffix = names.id_suffix.as_str();
        if envelope.topic == topics::PASSENGERS.base() {
            renew(envelope, &COMMANDS.passengers, suffix, |command| {
                let PassengerCommandKind::CallTaxi(CallTaxi { command_id, call_id, called_at, .. }) =
                    &mut command.command;
                *called_at = at_ms;
                command_id.push_str(suffix);
                call_id.push_str(suffix);
            });
        } else if envelope.topic == topics::ACCEPTANCES.base() {
            renew(envelope, &COMMANDS.drivers, suffix, |command| {
                let DriverCommandKind::AcceptCall(accept) = &mut command.command;
                accept.accepted_at = at_ms;
                accept.command_id.push_str(suffix);
                accept.call_id.push_str(suffix);
            });
        }
    }

    fn begins<'a>(&self, envelope: &'a Envelope) -> Option<&'a str> {
        // A call that nobody wants waits longer than any replay.
        if envelope.kind != generate::KIND_CALL {
            return None;
        }
        std::str::from_utf8(envelope.key.as_deref()?).ok()
    }

    fn ended(&self, _topic: &str, value: &[u8]) -> Option<String> {
        let status = STATUSES.decode(value).ok()?;
        matches!(status.status, CallState::Assigned | CallState::Expired).then_some(status.call_id)
    }

    fn final_words(&self) -> &'static [&'static str] {
        &["accept", "expired"]
    }

    fn may_answer(&self, kind: &str, status: u16) -> bool {
        // A driver who is faster than the call list.
        kind.ends_with(generate::KIND_ACCEPT) && status == 404
    }

    fn events_path(&self) -> &'static str {
        "/passengers/events"
    }

    fn auditor(&self, partitions: &dyn Fn(&str) -> Option<i32>) -> Box<dyn Auditor> {
        Box::new(TaxiAuditor::new(partitions))
    }

    fn kind(&self, record: &LogRecord) -> &'static str {
        let Some(value) = record.value.as_deref() else {
            return "null";
        };
        let (readable, kind) = if record.topic == topics::PASSENGERS.base() {
            (COMMANDS.passengers.decode(value).is_ok(), generate::KIND_CALL)
        } else if record.topic == topics::ACCEPTANCES.base() {
            (COMMANDS.drivers.decode(value).is_ok(), generate::KIND_ACCEPT)
        } else {
            (true, "event")
        };
        if readable { kind } else { "poison" }
    }
}
