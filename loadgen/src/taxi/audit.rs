//! The auditor of taxi: every "never" of `SYSTEMS.md`, checked against the committed log.
//!
//! Who gets a call is computed again from the order of the acceptances on the log. What is not on it is when, among them,
//! the call came onto the list and off it again: there the events themselves are believed, as far as they make sense.

use std::collections::{BTreeMap, HashMap};

use schemas::taxi::{AcceptanceRejection, CallState, CallTaxi};
use serde_json::Value;

use super::facts::{Acceptance, Call, Facts, Told};
use crate::audit::Findings;
use crate::audit::saga::{self, Facts as _, Saga, Trace};
use crate::audit::web::{Listed, Want, compare};

/// The words for a driver who comes too late, as the seed has them.
const ALREADY_ASSIGNED: &str = "배차완료된 콜입니다";

/// Collections that show calls.
const PATHS: &[&str] = &["/passengers", "/calls"];

impl Saga for Call {
    type Request = CallTaxi;
    type State = CallState;
    const WORD: &'static str = "call";

    fn trace(&self) -> &Trace<CallTaxi, CallState> {
        &self.trace
    }

    fn trace_mut(&mut self) -> &mut Trace<CallTaxi, CallState> {
        &mut self.trace
    }

    fn words(call: &CallTaxi) -> Vec<String> {
        vec![call.passenger_id.clone(), call.start_location.clone(), call.end_location.clone()]
    }

    /// Turning drivers away is nothing that is done for a call.
    fn is_touched(&self) -> bool {
        let counted = self.list_asked + self.listed + self.expired > 0 || !self.assigned.is_empty();
        let turned_away =
            |told: &Told| matches!(told, Told::Rejected { reason, .. } if *reason == AcceptanceRejection::UnknownCall);
        counted || !self.told.iter().all(|(told, _)| turned_away(told))
    }

    fn rests_in(&self) -> Option<CallState> {
        Some(decide(self).state(self))
    }

    /// Until everything asked is answered, and the passenger knows.
    fn is_open(&self) -> bool {
        let decided = decide(self);
        let known = self.trace.begun.is_none()
            || (decided.standing != Standing::Unlisted && self.trace.history.last == Some(decided.state(self)));
        !known || decided.unanswered > 0
    }

    fn story(&self) -> String {
        self.progress()
    }

    fn progress(&self) -> String {
        format!(
            "asked for the list {} ×, listed {} ×, assigned {} ×, expired {} ×, status {}",
            self.list_asked,
            self.listed,
            self.assigned.len(),
            self.expired,
            self.trace.history.words()
        )
    }
}

impl saga::Facts for Facts {
    type Saga = Call;
    const COLLECTIONS: &'static [&'static str] = PATHS;

    fn sagas(&self) -> &HashMap<String, Call> {
        &self.calls
    }

    fn sagas_mut(&mut self) -> &mut HashMap<String, Call> {
        &mut self.calls
    }

    fn judge(&self, findings: &mut Findings) {
        not_lost(self, findings);
        one_driver(self, findings);
        passenger_sees(self, findings);
    }

    fn judge_web(&self, collections: &BTreeMap<String, Vec<Value>>, findings: &mut Findings) {
        let known: Vec<_> = self
            .begun()
            .map(|(id, call, ..)| {
                let mut wants = vec![("state", Want::Text(decide(call).state(call).symbol()))];
                wants.extend(call.assigned.first().map(|driver| ("driverId", Want::Text(driver))));
                Listed { id, wants }
            })
            .collect();
        for path in PATHS {
            if let Some(items) = collections.get(*path) {
                compare((path, "id", "call"), items, &known, findings);
            }
        }
    }

    fn count(&self, add: &mut dyn FnMut(&str, u64)) {
        for call in self.calls.values() {
            let rejected = |told: &Told| matches!(told, Told::Rejected { .. });
            add("acceptances", call.acceptances.len() as u64);
            add("drivers told no", call.told.iter().filter(|(told, _)| rejected(told)).count() as u64);
        }
    }
}

/// Where a call stands among the drivers.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Standing {
    Unlisted,
    Open,
    Taken(String),
    Expired,
}

/// What came of the acceptances, computed in the order of the log and held against what was told.
struct Decided {
    standing: Standing,
    /// Acceptances without an answer.
    unanswered: usize,
    /// The first answer that cannot be: expected, found, where.
    fault: Option<(String, String, String)>,
}

impl Decided {
    /// The state that the passenger must see.
    fn state(&self, call: &Call) -> CallState {
        match self.standing {
            Standing::Taken(_) => CallState::Assigned,
            _ if call.expired > 0 => CallState::Expired,
            Standing::Expired => CallState::Expired,
            Standing::Open => CallState::Listed,
            Standing::Unlisted => CallState::Called,
        }
    }
}

fn decide(call: &Call) -> Decided {
    let mut told = call.told.iter().peekable();
    let mut decided = Decided { standing: Standing::Unlisted, unanswered: 0, fault: None };
    for (index, acceptance) in call.acceptances.iter().enumerate() {
        if decided.standing == Standing::Unlisted && told.next_if(|(told, _)| *told == Told::Listed).is_some() {
            decided.standing = Standing::Open;
        }
        // The driver who has it asks again, and is told by the verdict alone. The nameless cannot be told apart.
        if !acceptance.driver_id.is_empty() && decided.standing == Standing::Taken(acceptance.driver_id.clone()) {
            continue;
        }
        let Some((answer, place)) = told.next() else {
            decided.unanswered = call.acceptances.len() - index;
            return decided;
        };
        match answered(&decided.standing, acceptance, answer) {
            Ok(standing) => decided.standing = standing,
            Err(expected) => {
                let found = format!("{answer:?} for the acceptance at {}", acceptance.place);
                decided.fault = Some((expected, found, place.to_string()));
                return decided;
            }
        }
    }
    if decided.standing == Standing::Unlisted && told.next_if(|(told, _)| *told == Told::Listed).is_some() {
        decided.standing = Standing::Open;
    }
    if let Some((more, place)) = told.next() {
        let expected = format!("nothing more about a call that is {:?}", decided.standing);
        decided.fault = Some((expected, format!("{more:?}"), place.to_string()));
    }
    decided
}

/// What a call becomes by an answer; or which answer there had to be.
fn answered(standing: &Standing, acceptance: &Acceptance, answer: &Told) -> Result<Standing, String> {
    use AcceptanceRejection::{AlreadyAssigned, Expired, UnknownCall};
    let rejected = |wanted: AcceptanceRejection| match answer {
        Told::Rejected { command_id, reason, message } => {
            *command_id == acceptance.command_id
                && *reason == wanted
                && (wanted != AlreadyAssigned || message == ALREADY_ASSIGNED)
        }
        _ => false,
    };
    match standing {
        Standing::Unlisted if rejected(UnknownCall) => Ok(Standing::Unlisted),
        Standing::Unlisted => Err("turned away: the call is not on the list".to_owned()),
        Standing::Open if *answer == Told::Assigned { driver_id: acceptance.driver_id.clone() } => {
            Ok(Standing::Taken(acceptance.driver_id.clone()))
        }
        Standing::Open | Standing::Expired if rejected(Expired) => Ok(Standing::Expired),
        Standing::Open => Err("assigned to the first who accepts it on the list".to_owned()),
        Standing::Expired => Err("turned away: the call has expired".to_owned()),
        Standing::Taken(_) if rejected(AlreadyAssigned) => Ok(standing.clone()),
        Standing::Taken(driver) => Err(format!("turned away with the words for it: driver {driver} has the call")),
    }
}

fn not_lost(facts: &Facts, findings: &mut Findings) {
    let says = "every call comes onto the list once, and its passenger and the drivers are told so";
    let mut check = findings.check("no call lost", says);
    for (id, call, _, at) in facts.begun() {
        let told = call.told.iter().filter(|(told, _)| *told == Told::Listed).count();
        let once = call.list_asked == 1 && call.listed == 1 && told == 1;
        let expected = "asked for the list once, listed once, told once";
        let found = || format!("{}; drivers told {told} ×", call.progress());
        check.holds(once, &format!("call {id}"), expected, found, || at);
    }
}

fn one_driver(facts: &Facts, findings: &mut Findings) {
    let says = "the first driver who accepts a listed call has it, in the order of the log; everyone else is told no";
    let mut check = findings.check("one driver", says);
    for (id, call) in &facts.calls {
        check.examined();
        let (subject, decided) = (format!("call {id}"), decide(call));
        if let Some((expected, found, evidence)) = &decided.fault {
            check.differs(&subject, expected, found, evidence);
        }
        if decided.unanswered > 0 {
            let at = call.acceptances.last().map_or_else(String::new, |last| last.place.to_string());
            let found = format!("{} of {} without one", decided.unanswered, call.acceptances.len());
            check.differs(&subject, "every acceptance answered", found, at);
        }
        let winner = match &decided.standing {
            Standing::Taken(driver) => vec![driver.clone()],
            _ => Vec::new(),
        };
        if call.assigned != winner {
            let found = format!("assigned to {:?}", call.assigned);
            check.differs(&subject, format!("assigned to {winner:?}"), found, call.progress());
        }
        if call.expired > usize::from(winner.is_empty()) as u32 {
            check.differs(&subject, "expired at most once, and never when assigned", call.progress(), "");
        }
        if decided.standing == Standing::Expired && call.expired == 0 {
            check.differs(&subject, "expired before a driver is told so", call.progress(), "");
        }
    }
}

fn passenger_sees(facts: &Facts, findings: &mut Findings) {
    let says = "the passenger is told the driver who has the call";
    let mut check = findings.check("the passenger sees it", says);
    for (id, call, _, at) in facts.begun() {
        check.examined();
        let decided = decide(call);
        let driver = match &decided.standing {
            Standing::Taken(driver) => Some(driver),
            _ => None,
        };
        if call.seen_driver.as_ref() != driver {
            let found = format!("driver {:?}", call.seen_driver);
            check.differs(format!("call {id}"), format!("driver {driver:?}"), found, at);
        }
    }
}
