//! taxi under test.

use std::collections::BTreeMap;
use std::ops::{Deref, DerefMut};

use schemas::Codec;
use schemas::state::Verdict;
use schemas::taxi::state::{Call, Passenger};
use schemas::taxi::{
    AcceptCall, CallEvent, CallEventKind, CallState, CallStatus, CallTaxi, DriverCommand, PassengerCommand, topics,
};
use topologies::taxi::{Config, topology};

use super::rig::{Business, Mode, Rig};

const BUSINESS: Business = Business {
    events: &[topics::CALL_REQUESTS.base(), topics::CALL_RESULTS.base()],
    payment: None,
    ledgers: &["commands", "acceptances"],
    dead_letters: "taxi-dead-letters",
};

pub(crate) fn call(id: &str) -> PassengerCommand {
    let command = CallTaxi {
        command_id: format!("call-{id}"),
        call_id: id.into(),
        passenger_id: "passenger-1".into(),
        start_location: "서울역".into(),
        end_location: "강남역".into(),
        called_at: 0,
    };
    PassengerCommand { command: command.into() }
}

pub(crate) fn accept(command_id: &str, id: &str, driver: &str) -> DriverCommand {
    let command = AcceptCall {
        command_id: command_id.into(),
        call_id: id.into(),
        driver_id: driver.into(),
        start_location: "서울역".into(),
        end_location: "강남역".into(),
        accepted_at: 0,
    };
    DriverCommand { command: command.into() }
}

/// The taxi service.
pub(crate) struct Taxis(Rig);

impl Deref for Taxis {
    type Target = Rig;
    fn deref(&self) -> &Rig {
        &self.0
    }
}

impl DerefMut for Taxis {
    fn deref_mut(&mut self) -> &mut Rig {
        &mut self.0
    }
}

impl Taxis {
    pub(crate) fn new(mode: Mode) -> Taxis {
        Taxis(Rig::new(topology(&Config::default()).expect("builds"), &BUSINESS, mode))
    }

    pub(crate) fn call(&mut self, id: &str) {
        self.put_typed(topics::PASSENGERS.base(), &Codec::fixed(), &call(id));
    }

    pub(crate) fn accept(&mut self, command_id: &str, id: &str, driver: &str) {
        self.put_typed(topics::ACCEPTANCES.base(), &Codec::fixed(), &accept(command_id, id, driver));
    }

    pub(crate) fn statuses(&mut self, id: &str) -> Vec<CallState> {
        let all = self.events::<CallStatus>(topics::CALL_STATUS.base());
        all.get(id).into_iter().flatten().map(|s| s.status).collect()
    }

    pub(crate) fn outcome(&mut self) -> Outcome {
        Outcome {
            passengers: self.all("passengers"),
            calls: self.all("calls"),
            open: self.all("open-calls"),
            verdicts: self.verdicts(),
            statuses: self.events(topics::CALL_STATUS.base()),
            events: self.events(topics::CALL_EVENTS.base()),
        }
    }
}

/// What a scenario led to, per key.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Outcome {
    pub(crate) passengers: BTreeMap<String, Passenger>,
    pub(crate) calls: BTreeMap<String, Call>,
    pub(crate) open: BTreeMap<String, Call>,
    pub(crate) verdicts: BTreeMap<String, Verdict>,
    pub(crate) statuses: BTreeMap<String, Vec<CallStatus>>,
    pub(crate) events: BTreeMap<String, Vec<CallEvent>>,
}

/// Checks the "never"s: two drivers on one call; an accepted call that its passenger does not see as accepted; a call lost.
pub(crate) fn audit(outcome: &Outcome) {
    for (id, passenger) in &outcome.passengers {
        let call = outcome.calls.get(id).unwrap_or_else(|| panic!("call {id} is lost"));
        assert_eq!((passenger.status, &passenger.driver_id), (call.status, &call.driver_id), "{id}");
        assert_eq!(
            outcome.open.contains_key(id),
            call.status == CallState::Listed,
            "the open calls, and no others: {id}"
        );
        let events = outcome.events.get(id).map(Vec::as_slice).unwrap_or_default();
        let assigned = events.iter().filter(|e| matches!(e.event, CallEventKind::CallAssigned(_))).count();
        assert_eq!(assigned, usize::from(call.status == CallState::Assigned), "drivers on {id}");
        let listed = events.iter().filter(|e| matches!(e.event, CallEventKind::CallListed(_))).count();
        assert_eq!(listed, 1, "sent to the drivers once: {id}");
        let statuses = outcome.statuses.get(id).map(Vec::as_slice).unwrap_or_default();
        let versions: Vec<i32> = statuses.iter().map(|s| s.version).collect();
        assert_eq!(versions, (1..=passenger.version).collect::<Vec<_>>(), "every change told once, in order: {id}");
        assert_eq!(statuses.last().map(|s| s.status), Some(passenger.status));
    }
    // One acceptance at most is told "yes", about each call.
    for id in outcome.calls.keys() {
        let about = |key: &str| key.starts_with(&format!("{id}{}", schemas::state::KEY_SEPARATOR));
        let won = outcome.verdicts.iter().filter(|(k, v)| about(k) && **v == Verdict::Accepted && !k.contains("call-"));
        assert!(won.count() <= 1, "two drivers were told yes about {id}");
    }
}
