//! The auditor of taxi: every "never" of `SYSTEMS.md`, checked against the committed log.
//!
//! Who gets a call is computed again from the order of the acceptances on the log. What is not on it is when, among them,
//! the call came onto the list and off it again: there the events themselves are believed, as far as they make sense.

use std::collections::BTreeMap;

use schemas::taxi::{AcceptanceRejection, CallState};

use super::Taxi;
use super::facts::{Acceptance, Call, Facts, Told};
use crate::audit::facts::Reader;
use crate::audit::web::{Listed, Want, compare};
use crate::audit::{Auditor, Evidence, Findings};
use crate::log::LogRecord;

/// The words for a driver who comes too late, as the seed has them.
const ALREADY_ASSIGNED: &str = "배차완료된 콜입니다";

/// Collections that show calls.
const PATHS: &[&str] = &["/passengers", "/calls"];

/// Folds the log and judges it.
pub struct TaxiAuditor {
    facts: Facts,
    reader: Reader,
}

impl TaxiAuditor {
    /// `partitions` tells how many partitions a topic has, where that is known.
    pub fn new(partitions: &dyn Fn(&str) -> Option<i32>) -> Self {
        TaxiAuditor { facts: Facts::default(), reader: Reader::new(&Taxi, partitions) }
    }

    fn invented(&self, findings: &mut Findings) {
        let says = "nothing happens to a call that nobody made; events say what was called; all we write can be read";
        let mut check = findings.check("nothing invented", says);
        for (id, call) in &self.facts.calls {
            let subject = format!("call {id}");
            let nobodys = call.called.is_none() && call.has_effects();
            check.holds(!nobodys, &subject, "called", || progress(call), String::new);
            if let Some(event) = call.event_differs() {
                check.differs(subject, "events of what was called", event, "");
            }
        }
        self.reader.check_readable(&mut check);
    }
}

impl Auditor for TaxiAuditor {
    fn observe(&mut self, record: LogRecord) {
        self.reader.observe(&record, &mut self.facts);
    }

    fn open(&self) -> u64 {
        self.facts.calls.values().filter(|call| !is_at_rest(call)).count() as u64
    }

    fn collections(&self) -> &'static [&'static str] {
        PATHS
    }

    fn check(&self, evidence: &Evidence, findings: &mut Findings) {
        not_lost(&self.facts, findings);
        one_driver(&self.facts, findings);
        passenger_sees(&self.facts, findings);
        self.invented(findings);
        self.reader.check_dead_letters(findings);
        web(&self.facts, evidence, findings);
    }

    fn summary(&self) -> BTreeMap<String, u64> {
        let mut summary = BTreeMap::new();
        let mut add = |name: &str, count: u64| *summary.entry(name.to_owned()).or_default() += count;
        for call in self.facts.calls.values() {
            add("acceptances", call.acceptances.len() as u64);
            let rejected = |told: &Told| matches!(told, Told::Rejected { .. });
            add("drivers told no", call.told.iter().filter(|(told, _)| rejected(told)).count() as u64);
            if call.called.is_some() {
                add("calls", 1);
                add(&decide(call).state(call).symbol().to_lowercase(), 1);
            }
        }
        for (name, count) in self.reader.summary() {
            add(name, count);
        }
        summary
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

/// Nothing is under way: everything asked is answered, and the passenger knows.
fn is_at_rest(call: &Call) -> bool {
    let decided = decide(call);
    let known = call.called.is_none()
        || (decided.standing != Standing::Unlisted && call.history.last == Some(decided.state(call)));
    known && decided.unanswered == 0
}

fn progress(call: &Call) -> String {
    format!(
        "asked for the list {} ×, listed {} ×, assigned {} ×, expired {} ×, status {}",
        call.list_asked,
        call.listed,
        call.assigned.len(),
        call.expired,
        call.history.words()
    )
}

fn called(facts: &Facts) -> impl Iterator<Item = (&String, &Call, String)> {
    facts.calls.iter().filter_map(|(id, call)| Some((id, call, call.called.as_ref()?.1.to_string())))
}

fn not_lost(facts: &Facts, findings: &mut Findings) {
    let says = "every call comes onto the list once, and its passenger and the drivers are told so";
    let mut check = findings.check("no call lost", says);
    for (id, call, at) in called(facts) {
        let told = call.told.iter().filter(|(told, _)| *told == Told::Listed).count();
        let once = call.list_asked == 1 && call.listed == 1 && told == 1;
        let expected = "asked for the list once, listed once, told once";
        let found = || format!("{}; drivers told {told} ×", progress(call));
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
            check.differs(&subject, format!("assigned to {winner:?}"), found, progress(call));
        }
        if call.expired > usize::from(winner.is_empty()) as u32 {
            check.differs(&subject, "expired at most once, and never when assigned", progress(call), "");
        }
        if decided.standing == Standing::Expired && call.expired == 0 {
            check.differs(&subject, "expired before a driver is told so", progress(call), "");
        }
    }
}

fn passenger_sees(facts: &Facts, findings: &mut Findings) {
    let says =
        "the passenger is told every change once, without a gap, ending in what the list decided, with the driver";
    let mut check = findings.check("the passenger sees it", says);
    for (id, call, at) in called(facts) {
        let (subject, decided) = (format!("call {id}"), decide(call));
        let expected = decided.state(call);
        call.history.check(&subject, Some(expected), &at, &mut check);
        let driver = match &decided.standing {
            Standing::Taken(driver) => Some(driver),
            _ => None,
        };
        if call.seen_driver.as_ref() != driver {
            check.differs(subject, format!("driver {driver:?}"), format!("driver {:?}", call.seen_driver), at);
        }
    }
}

fn web(facts: &Facts, evidence: &Evidence, findings: &mut Findings) {
    let known: Vec<_> = called(facts)
        .map(|(id, call, _)| {
            let mut wants = vec![("state", Want::Text(decide(call).state(call).symbol()))];
            wants.extend(call.assigned.first().map(|driver| ("driverId", Want::Text(driver))));
            Listed { id, wants }
        })
        .collect();
    for path in PATHS {
        if let Some(items) = evidence.collections.get(*path) {
            compare((path, "id", "call"), items, &known, findings);
        }
    }
}
