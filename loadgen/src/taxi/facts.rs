//! What the log says, folded per call: plain counting, no judgement. The judgement is in `audit`.

use std::collections::HashMap;

use schemas::taxi::{
    AcceptanceRejection, CallEvent, CallEventKind, CallOutcome, CallRequest, CallResult, CallState, CallStatus,
    CallTaxi, DriverCommandKind, PassengerCommandKind, topics,
};
use schemas::{Codec, Keyed};

use super::{COMMANDS, rules};
use crate::audit::facts::{Commands, Fold, Heard, Place, Poison, own, read};
use crate::audit::saga::{Facts as _, Trace};

/// One call, as the log has it.
#[derive(Debug, Default)]
pub(super) struct Call {
    pub(super) trace: Trace<CallTaxi, CallState>,
    /// Sound acceptances, each once, in the order of the log: that in which they are decided.
    pub(super) acceptances: Vec<Acceptance>,
    pub(super) list_asked: u32,
    /// Answers of the call list to the passenger.
    pub(super) listed: u32,
    pub(super) assigned: Vec<String>,
    pub(super) expired: u32,
    /// What the call list told the drivers, in order.
    pub(super) told: Vec<(Told, Place)>,
    /// The driver that the passenger was told.
    pub(super) seen_driver: Option<String>,
    drivers: Commands,
}

/// A driver who wants the call.
#[derive(Debug)]
pub(super) struct Acceptance {
    pub(super) command_id: String,
    pub(super) driver_id: String,
    pub(super) place: Place,
}

/// An event of the call list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Told {
    Listed,
    Assigned { driver_id: String },
    Rejected { command_id: String, reason: AcceptanceRejection, message: String },
}

impl Call {
    /// What an event says of passenger, start and end.
    fn says(&mut self, event: &'static str, passenger: String, start: String, end: String) {
        self.trace.says(event, [passenger, start, end]);
    }
}

/// Everything the log says.
#[derive(Default)]
pub(super) struct Facts {
    pub(super) calls: HashMap<String, Call>,
    codecs: Codecs,
}

#[derive(Default)]
struct Codecs {
    requests: Codec<CallRequest>,
    results: Codec<CallResult>,
    events: Codec<CallEvent>,
    statuses: Codec<CallStatus>,
}

impl Facts {
    fn event(&mut self, event: CallEventKind, place: &Place) {
        let (id, told) = match event {
            CallEventKind::CallListed(e) => {
                self.of(&e.call_id).says("CallListed", e.passenger_id, e.start_location, e.end_location);
                (e.call_id, Told::Listed)
            }
            CallEventKind::CallAssigned(e) => {
                self.of(&e.call_id).says("CallAssigned", e.passenger_id, e.start_location, e.end_location);
                (e.call_id, Told::Assigned { driver_id: e.driver_id })
            }
            CallEventKind::AcceptanceRejected(e) => {
                (e.call_id, Told::Rejected { command_id: e.command_id, reason: e.reason, message: e.message })
            }
        };
        self.of(&id).told.push((told, place.clone()));
    }
}

impl Fold for Facts {
    fn command(&mut self, place: &Place, key: &[u8], value: &[u8], _at_ms: i64) -> Result<Heard, Poison> {
        if place.topic == topics::PASSENGERS.base() {
            let command = read(&COMMANDS.passengers, key, value)?;
            let call = self.of(command.key());
            if call.trace.commands.meet(&command)? == Heard::Again {
                return Ok(Heard::Again);
            }
            let PassengerCommandKind::CallTaxi(command) = command.command;
            rules::call(&command).map_err(Poison::May)?;
            return Ok(call.trace.begin(command, place));
        } else {
            let command = read(&COMMANDS.drivers, key, value)?;
            let call = self.of(command.key());
            if call.drivers.meet(&command)? == Heard::Again {
                return Ok(Heard::Again);
            }
            let DriverCommandKind::AcceptCall(accept) = command.command;
            rules::accept(&accept).map_err(Poison::May)?;
            let (command_id, driver_id) = (accept.command_id, accept.driver_id);
            call.acceptances.push(Acceptance { command_id, driver_id, place: place.clone() });
        }
        Ok(Heard::New)
    }

    fn own(&mut self, place: &Place, value: &[u8]) -> Result<(), String> {
        match place.topic {
            t if t == topics::CALL_REQUESTS.base() => {
                let request = own(&self.codecs.requests, value)?;
                let call = self.of(&request.call_id);
                call.list_asked += 1;
                call.says("LIST", request.passenger_id, request.start_location, request.end_location);
            }
            t if t == topics::CALL_RESULTS.base() => {
                let result = own(&self.codecs.results, value)?;
                let call = self.of(&result.call_id);
                match result.outcome {
                    CallOutcome::Listed => call.listed += 1,
                    CallOutcome::Assigned => call.assigned.push(result.driver_id.unwrap_or_default()),
                    CallOutcome::Expired => call.expired += 1,
                    CallOutcome::Unknown => return Err("an unknown outcome".to_owned()),
                }
            }
            t if t == topics::CALL_EVENTS.base() => {
                let event = own(&self.codecs.events, value)?;
                self.event(event.event, place);
            }
            _ => {
                let status = own(&self.codecs.statuses, value)?;
                let call = self.of(&status.call_id);
                call.trace.history.tell(status.status, status.version, place);
                call.seen_driver = status.driver_id;
                call.says("CallStatus", status.passenger_id, status.start_location, status.end_location);
            }
        }
        Ok(())
    }
}
