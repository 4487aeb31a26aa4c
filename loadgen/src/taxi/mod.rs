//! taxi: calls of passengers, and drivers who race for them.

mod audit;
mod facts;
mod generate;
mod rest;
mod rules;

#[cfg(test)]
mod tests;

use std::sync::LazyLock;

use schemas::taxi::{
    CallState, CallStatus, DriverCommand, DriverCommandKind, PassengerCommand, PassengerCommandKind, topics,
};
use schemas::{Codec, TopicSpec};

use crate::audit::Auditor;
use crate::audit::saga::SagaAuditor;
use crate::business::{Business, Call, CommandTopic, NoCall, replayed};
use crate::error::Error;
use crate::generate::Params;
use crate::traffic::Envelope;

/// The taxi calls of `SYSTEMS.md`.
pub struct Taxi;

/// Codecs of what clients write.
#[derive(Default)]
pub(crate) struct CommandCodecs {
    pub(crate) passengers: Codec<PassengerCommand>,
    pub(crate) drivers: Codec<DriverCommand>,
}

pub(crate) static COMMANDS: LazyLock<CommandCodecs> = LazyLock::new(CommandCodecs::default);

static STATUSES: LazyLock<Codec<CallStatus>> = LazyLock::new(Codec::fixed);

impl Business for Taxi {
    fn name(&self) -> &'static str {
        "taxi"
    }

    fn topics(&self) -> &'static [TopicSpec] {
        topics::ALL
    }

    fn commands(&self) -> &'static [CommandTopic] {
        const COMMANDS: &[CommandTopic] =
            &[CommandTopic::of(&topics::PASSENGERS), CommandTopic::of(&topics::ACCEPTANCES)];
        COMMANDS
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
        Box::new(SagaAuditor::<facts::Facts>::new(self, partitions))
    }
}

replayed! { PassengerCommand in COMMANDS.passengers, PassengerCommandKind {
    CallTaxi: generate::KIND_CALL, [command_id, call_id], called_at;
} }

replayed! { DriverCommand in COMMANDS.drivers, DriverCommandKind {
    AcceptCall: generate::KIND_ACCEPT, [command_id, call_id], accepted_at;
} }
