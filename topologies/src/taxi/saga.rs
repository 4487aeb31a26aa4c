//! The two pure functions of a call: what its passenger sees ([`step`]) and what the list decides ([`list_step`]).
//!
//! ```text
//!   passenger:  CALLED ──► LISTED ──► ASSIGNED          list:  (none) ──► LISTED ──► ASSIGNED   (the first driver)
//!                             └─────► EXPIRED                                └─────► EXPIRED    (the deadline)
//! ```
//!
//! The list alone decides who gets a call, on the call's own partition and one record at a time: that is what makes it
//! exactly one driver. Passengers go forward only, so answers may come twice, late, and overtake each other.

use schemas::state::Verdict;
use schemas::taxi::state::{Call, CallStep, Passenger};
use schemas::taxi::{
    AcceptCall, AcceptanceRejected, AcceptanceRejection, CallAssigned, CallEvent, CallListed, CallOutcome, CallRequest,
    CallRequestKind, CallResult, CallState, CallStatus, CallTaxi, DriverCommand, DriverCommandKind, PassengerCommand,
    PassengerCommandKind,
};
use streams::Timestamp;

use crate::limits::CLOCK_SKEW_MS_MAX;
use crate::saga::check;

/// What a driver is told who comes too late; the words are the business's own ("already assigned").
pub const ALREADY_ASSIGNED: &str = "배차완료된 콜입니다";

/// What the functions need of the settings.
#[derive(Clone, Debug)]
pub struct Rules {
    /// See [`super::Config::call_deadline_ms`].
    pub call_deadline_ms: i64,
    /// See [`super::Config::saga_retention_ms`].
    pub saga_retention_ms: i64,
}

/// What can happen to a passenger's call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The passenger asks for something.
    Command(PassengerCommand),
    /// The call list answers.
    Result(CallResult),
}

/// What the passenger's side wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Ask the call list.
    List(CallRequest),
    /// Tell that the call's state has changed.
    Status(CallStatus),
}

/// What became of an event.
pub type Step = crate::saga::Step<Passenger, Command>;

/// Takes an event of a passenger's call in.
///
/// # Errors
/// When the event cannot be about this call.
pub fn step(passenger: Option<Passenger>, event: &Event, now: Timestamp, rules: &Rules) -> Result<Step, String> {
    match event {
        Event::Command(PassengerCommand { command: PassengerCommandKind::CallTaxi(call) }) => {
            Ok(on_call(passenger, call, now, rules))
        }
        Event::Result(result) => on_result(passenger, result, now),
    }
}

fn on_call(known: Option<Passenger>, call: &CallTaxi, now: Timestamp, rules: &Rules) -> Step {
    let valid = check::optional_id("passenger_id", &call.passenger_id)
        .and_then(|()| check::text("start_location", &call.start_location))
        .and_then(|()| check::text("end_location", &call.end_location))
        .and_then(|()| check::number("called_at", call.called_at, 0, now.saturating_add(CLOCK_SKEW_MS_MAX)));
    if let Err(reason) = valid {
        return Step::answer(known, Verdict::Invalid, reason);
    }
    if let Some(known) = known {
        let same = (&known.passenger_id, &known.start_location, &known.end_location)
            == (&call.passenger_id, &call.start_location, &call.end_location);
        let (verdict, what) = if same { (Verdict::Duplicate, "the same") } else { (Verdict::Conflict, "another") };
        let detail = format!("call '{}' was made before, with {what} content", call.call_id);
        return Step::answer(Some(known), verdict, detail);
    }
    if call.called_at < now.saturating_sub(rules.saga_retention_ms) {
        let detail = format!("called at {}, longer ago than calls are remembered", call.called_at);
        return Step::answer(None, Verdict::Expired, detail);
    }
    let mut passenger = Passenger {
        call_id: call.call_id.clone(),
        passenger_id: call.passenger_id.clone(),
        start_location: call.start_location.clone(),
        end_location: call.end_location.clone(),
        called_at: call.called_at,
        command_id: call.command_id.clone(),
        status: CallState::Unknown,
        driver_id: None,
        version: 0,
        created_at: now,
        settled_at: None,
        history: Vec::new(),
    };
    let told = enter(&mut passenger, CallState::Called, now);
    let request = CallRequest {
        kind: CallRequestKind::List,
        call_id: call.call_id.clone(),
        passenger_id: call.passenger_id.clone(),
        start_location: call.start_location.clone(),
        end_location: call.end_location.clone(),
        called_at: call.called_at,
        requested_at: now,
    };
    let commands = vec![told, Command::List(request)];
    Step { state: Some(passenger), commands, verdict: Some((Verdict::Accepted, String::new())) }
}

fn on_result(passenger: Option<Passenger>, result: &CallResult, now: Timestamp) -> Result<Step, String> {
    let mut passenger = passenger.ok_or("there is no such call: it was never made, or is forgotten")?;
    let entered = match (passenger.status, result.outcome) {
        (_, CallOutcome::Unknown) => return Err("a call outcome that this release does not know".into()),
        (CallState::Called, CallOutcome::Listed) => Some(CallState::Listed),
        (CallState::Called | CallState::Listed, CallOutcome::Assigned) => {
            passenger.driver_id = Some(result.driver_id.clone().unwrap_or_default());
            Some(CallState::Assigned)
        }
        (CallState::Called | CallState::Listed, CallOutcome::Expired) => Some(CallState::Expired),
        // A repeat, or one that was overtaken.
        _ => None,
    };
    let commands = entered.map(|status| enter(&mut passenger, status, now)).into_iter().collect();
    Ok(Step { state: Some(passenger), commands, verdict: None })
}

/// Changes the call's state; answers with the news.
fn enter(passenger: &mut Passenger, status: CallState, now: Timestamp) -> Command {
    passenger.status = status;
    passenger.version = passenger.version.saturating_add(1);
    passenger.history.push(CallStep { version: passenger.version, status, at: now });
    passenger.settled_at = matches!(status, CallState::Assigned | CallState::Expired).then_some(now);
    Command::Status(CallStatus {
        call_id: passenger.call_id.clone(),
        passenger_id: passenger.passenger_id.clone(),
        driver_id: passenger.driver_id.clone(),
        start_location: passenger.start_location.clone(),
        end_location: passenger.end_location.clone(),
        status,
        version: passenger.version,
        at: now,
    })
}

/// What can happen on the call list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListEvent {
    /// A passenger's call arrives.
    Request(CallRequest),
    /// A driver asks for something.
    Command(DriverCommand),
    /// The call has waited long enough.
    Deadline,
}

/// What the list wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListCommand {
    /// Tell drivers the news.
    Tell(CallEvent),
    /// Answer the passenger.
    Answer(CallResult),
}

/// What the list decided.
pub type ListStep = crate::saga::Step<Call, ListCommand>;

/// Takes an event of the call list in.
///
/// # Errors
/// When the event makes no sense.
pub fn list_step(known: Option<Call>, event: &ListEvent, now: Timestamp) -> Result<ListStep, String> {
    match event {
        ListEvent::Request(request) => on_request(known, request, now),
        ListEvent::Command(DriverCommand { command: DriverCommandKind::AcceptCall(accept) }) => {
            Ok(on_accept(known, accept, now))
        }
        ListEvent::Deadline => Ok(match known {
            Some(call) if call.status == CallState::Listed => {
                let call = Call { status: CallState::Expired, decided_at: Some(now), ..call };
                answered(call, None, None, now)
            }
            call => ListStep::nothing(call),
        }),
    }
}

/// Answers the passenger with where the call stands, after the news for drivers.
fn answered(call: Call, event: Option<CallEvent>, verdict: Option<(Verdict, String)>, now: Timestamp) -> ListStep {
    let commands = event.map(ListCommand::Tell).into_iter().chain([ListCommand::Answer(answer(&call, now))]).collect();
    ListStep { state: Some(call), commands, verdict }
}

fn on_request(known: Option<Call>, request: &CallRequest, now: Timestamp) -> Result<ListStep, String> {
    if request.kind != CallRequestKind::List {
        return Err("a kind of call request that this release does not know".into());
    }
    if let Some(call) = known {
        // A repeat gets the answer as it is by now; the public event is not told twice.
        return Ok(answered(call, None, None, now));
    }
    let call = Call {
        call_id: request.call_id.clone(),
        passenger_id: request.passenger_id.clone(),
        start_location: request.start_location.clone(),
        end_location: request.end_location.clone(),
        status: CallState::Listed,
        driver_id: None,
        called_at: request.called_at,
        listed_at: now,
        decided_at: None,
    };
    let event = CallListed {
        call_id: call.call_id.clone(),
        passenger_id: call.passenger_id.clone(),
        start_location: call.start_location.clone(),
        end_location: call.end_location.clone(),
        listed_at: now,
    };
    Ok(answered(call, Some(CallEvent { event: event.into() }), None, now))
}

fn on_accept(known: Option<Call>, accept: &AcceptCall, now: Timestamp) -> ListStep {
    let valid = check::optional_id("driver_id", &accept.driver_id)
        .and_then(|()| check::text("start_location", &accept.start_location))
        .and_then(|()| check::text("end_location", &accept.end_location));
    if let Err(reason) = valid {
        return ListStep::answer(known, Verdict::Invalid, reason);
    }
    let Some(call) = known else {
        let detail = format!("there is no call '{}' on the list", accept.call_id);
        return rejected(None, accept, (Verdict::NotFound, AcceptanceRejection::UnknownCall, detail), now);
    };
    match call.status {
        CallState::Listed => {
            let driver_id = accept.driver_id.clone();
            let call =
                Call { status: CallState::Assigned, driver_id: Some(driver_id.clone()), decided_at: Some(now), ..call };
            let event = CallAssigned {
                call_id: call.call_id.clone(),
                passenger_id: call.passenger_id.clone(),
                driver_id,
                start_location: call.start_location.clone(),
                end_location: call.end_location.clone(),
                assigned_at: now,
            };
            answered(call, Some(CallEvent { event: event.into() }), Some((Verdict::Accepted, String::new())), now)
        }
        CallState::Expired => {
            let detail = format!("call '{}' has expired: nobody took it in time", accept.call_id);
            rejected(Some(call), accept, (Verdict::Refused, AcceptanceRejection::Expired, detail), now)
        }
        // The driver who has it asks again. One without a name cannot be told from another.
        _ if !accept.driver_id.is_empty() && call.driver_id.as_ref() == Some(&accept.driver_id) => {
            ListStep::answer(Some(call), Verdict::Duplicate, "the call is this driver's already")
        }
        _ => {
            let why = (Verdict::Refused, AcceptanceRejection::AlreadyAssigned, ALREADY_ASSIGNED.to_owned());
            rejected(Some(call), accept, why, now)
        }
    }
}

fn rejected(
    call: Option<Call>,
    accept: &AcceptCall,
    (verdict, reason, message): (Verdict, AcceptanceRejection, String),
    now: Timestamp,
) -> ListStep {
    let event = AcceptanceRejected {
        call_id: accept.call_id.clone(),
        driver_id: accept.driver_id.clone(),
        command_id: accept.command_id.clone(),
        reason,
        message: message.clone(),
        rejected_at: now,
    };
    let commands = vec![ListCommand::Tell(CallEvent { event: event.into() })];
    ListStep { state: call, commands, verdict: Some((verdict, message)) }
}

/// Where a call stands, for its passenger.
fn answer(call: &Call, now: Timestamp) -> CallResult {
    let outcome = match call.status {
        CallState::Assigned => CallOutcome::Assigned,
        CallState::Expired => CallOutcome::Expired,
        _ => CallOutcome::Listed,
    };
    CallResult { outcome, call_id: call.call_id.clone(), driver_id: call.driver_id.clone(), at: now }
}
