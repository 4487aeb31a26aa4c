//! What the log says, folded per call: plain counting, no judgement. The judgement is in `audit`.

use std::collections::HashMap;

use schemas::taxi::{
    AcceptanceRejection, CallEvent, CallEventKind, CallOutcome, CallRequest, CallResult, CallState, CallStatus,
    CallTaxi, DriverCommandKind, PassengerCommandKind, topics,
};
use schemas::{Codec, Keyed};

use super::{COMMANDS, rules};
use crate::audit::facts::{Commands, Fold, Heard, History, Place, Poison, own, read};

/// One call, as the log has it.
#[derive(Debug, Default)]
pub(super) struct Call {
    /// The first valid command that made it, and where it is.
    pub(super) called: Option<(CallTaxi, Place)>,
    /// Sound acceptances, each once, in the order of the log: that in which they are decided.
    pub(super) acceptances: Vec<Acceptance>,
    pub(super) list_asked: u32,
    /// Answers of the call list to the passenger.
    pub(super) listed: u32,
    pub(super) assigned: Vec<String>,
    pub(super) expired: u32,
    /// What the call list told the drivers, in order.
    pub(super) told: Vec<(Told, Place)>,
    /// What the passenger was told.
    pub(super) history: History<CallState>,
    /// The driver that the passenger was told.
    pub(super) seen_driver: Option<String>,
    /// Passenger, start and end as events have them; they may be read before their call, from another topic.
    said: Vec<(&'static str, [String; 3])>,
    callers: Commands,
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
    /// Whether anything was done for it, other than turning drivers away.
    pub(super) fn has_effects(&self) -> bool {
        let counted = self.list_asked + self.listed + self.expired > 0 || !self.assigned.is_empty();
        let turned_away =
            |told: &Told| matches!(told, Told::Rejected { reason, .. } if *reason == AcceptanceRejection::UnknownCall);
        counted || self.history.last.is_some() || !self.told.iter().all(|(told, _)| turned_away(told))
    }

    /// The first event that says another passenger or other places than the call does.
    pub(super) fn event_differs(&self) -> Option<String> {
        let (called, _) = self.called.as_ref()?;
        let right = [&called.passenger_id, &called.start_location, &called.end_location];
        let (event, said) = self.said.iter().find(|(_, said)| said.each_ref() != right)?;
        Some(format!("{event} of {}", said.join(", ")))
    }

    fn says(&mut self, event: &'static str, passenger: String, start: String, end: String) {
        self.said.push((event, [passenger, start, end]));
    }
}

/// Everything the log says.
#[derive(Default)]
pub(super) struct Facts {
    pub(super) calls: HashMap<String, Call>,
    codecs: Codecs,
}

struct Codecs {
    requests: Codec<CallRequest>,
    results: Codec<CallResult>,
    events: Codec<CallEvent>,
    statuses: Codec<CallStatus>,
}

impl Default for Codecs {
    fn default() -> Self {
        Codecs { requests: Codec::fixed(), results: Codec::fixed(), events: Codec::fixed(), statuses: Codec::fixed() }
    }
}

impl Facts {
    fn of(&mut self, id: &str) -> &mut Call {
        self.calls.entry(id.to_owned()).or_default()
    }

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
            if call.callers.meet(&command)? == Heard::Again {
                return Ok(Heard::Again);
            }
            let PassengerCommandKind::CallTaxi(command) = command.command;
            rules::call(&command).map_err(Poison::May)?;
            if call.called.is_some() {
                return Ok(Heard::Again);
            }
            call.called = Some((command, place.clone()));
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
                call.history.tell(status.status, status.version, place);
                call.seen_driver = status.driver_id;
                call.says("CallStatus", status.passenger_id, status.start_location, status.end_location);
            }
        }
        Ok(())
    }
}
