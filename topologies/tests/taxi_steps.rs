//! The two sides of a call step by step: from every state, by every event, to a state with commands. What a call must never
//! do is in `interleavings`; here stands what it does.

mod support;

use schemas::taxi::state::{Call, Passenger};
use schemas::taxi::{
    CallEventKind, CallOutcome, CallRequest, CallRequestKind, CallResult, CallState, CallTaxi, PassengerCommandKind,
};
use support::steps::{self, NOW, Steps};
use support::taxi::{accept, call};
use topologies::taxi::{Command, Config, Event, ListCommand, ListEvent, ListStep, Step, list_step, step};

fn result(outcome: CallOutcome, driver: Option<&str>) -> Event {
    Event::Result(CallResult { outcome, call_id: "c".into(), driver_id: driver.map(str::to_owned), at: NOW })
}

/// What can happen to a passenger's call, by its short name.
fn event(name: &str) -> Event {
    match name {
        "call" => Event::Command(call("c")),
        "call from elsewhere" => {
            let mut other = call("c");
            let PassengerCommandKind::CallTaxi(CallTaxi { start_location, .. }) = &mut other.command;
            *start_location = "elsewhere".into();
            Event::Command(other)
        }
        "listed" => result(CallOutcome::Listed, None),
        "assigned" => result(CallOutcome::Assigned, Some("d1")),
        "assigned to another" => result(CallOutcome::Assigned, Some("d2")),
        "expired" => result(CallOutcome::Expired, None),
        "unknown" => result(CallOutcome::Unknown, None),
        other => panic!("no event '{other}'"),
    }
}

fn with(status: CallState, driver: Option<&String>) -> String {
    let name = |driver: &'_ str| if driver.is_empty() { "a nameless driver".to_owned() } else { driver.to_owned() };
    driver.map_or_else(|| status.to_string(), |driver| format!("{status} to {}", name(driver)))
}

struct PassengerSteps;

impl Steps for PassengerSteps {
    type State = Passenger;
    type Command = Command;

    const EVENTS: &'static [&'static str] =
        &["call", "call from elsewhere", "listed", "assigned", "assigned to another", "expired", "unknown"];
    const OTHER: &'static str = "call from elsewhere";

    fn take(passenger: Option<Passenger>, name: &str) -> Result<Step, String> {
        step(passenger, &event(name), NOW, &Config::default().rules())
    }

    fn name(passenger: &Passenger) -> String {
        with(passenger.status, passenger.driver_id.as_ref())
    }

    fn is_settled(passenger: &Passenger) -> bool {
        passenger.settled_at.is_some()
    }

    fn short(command: &Command) -> String {
        match command {
            Command::List(request) => request.kind.to_string(),
            Command::Status(status) => format!("={}", status.status),
        }
    }
}

struct ListSteps;

impl Steps for ListSteps {
    type State = Call;
    type Command = ListCommand;

    const EVENTS: &'static [&'static str] =
        &["list", "driver 1", "driver 2", "a nameless driver", "a driver with too long a name", "deadline"];

    fn take(known: Option<Call>, name: &str) -> Result<ListStep, String> {
        let event = match name {
            "list" => ListEvent::Request(CallRequest {
                kind: CallRequestKind::List,
                call_id: "c".into(),
                passenger_id: "passenger-1".into(),
                start_location: "서울역".into(),
                end_location: "강남역".into(),
                called_at: NOW,
                requested_at: NOW,
            }),
            "driver 1" => ListEvent::Command(accept("a1", "c", "d1")),
            "driver 2" => ListEvent::Command(accept("a2", "c", "d2")),
            "a nameless driver" => ListEvent::Command(accept("a3", "c", "")),
            "a driver with too long a name" => ListEvent::Command(accept("a4", "c", &"d".repeat(129))),
            "deadline" => ListEvent::Deadline,
            other => panic!("no event '{other}'"),
        };
        list_step(known, &event, NOW)
    }

    fn name(call: &Call) -> String {
        with(call.status, call.driver_id.as_ref())
    }

    /// A call that no driver wants may wait.
    fn is_settled(call: &Call) -> bool {
        call.decided_at.is_some()
    }

    fn short(command: &ListCommand) -> String {
        match command {
            ListCommand::Answer(result) => result.outcome.to_string(),
            ListCommand::Tell(event) => match &event.event {
                CallEventKind::CallListed(_) => "told:listed".into(),
                CallEventKind::CallAssigned(e) => {
                    format!("told:assigned:{}", e.driver_id).trim_end_matches(':').to_owned()
                }
                CallEventKind::AcceptanceRejected(e) => format!("told:no:{}", e.reason),
            },
        }
    }
}

#[test]
fn every_event_in_every_state_of_a_passengers_call_leads_where_the_table_says() {
    steps::check::<PassengerSteps>(include_str!("golden/taxi_passenger_steps.txt"));
}

#[test]
fn every_event_in_every_state_of_the_call_list_leads_where_the_table_says() {
    steps::check::<ListSteps>(include_str!("golden/taxi_list_steps.txt"));
}

#[test]
fn who_comes_too_late_is_told_so_in_the_businesss_own_words() {
    let take = |call, name| ListSteps::take(call, name).expect("about the call");
    let listed = take(None, "list").state;
    let assigned = take(listed.clone(), "driver 1");
    assert_eq!(assigned.state.as_ref().and_then(|call| call.decided_at), Some(NOW));
    let late = take(assigned.state, "driver 2").verdict.expect("an answer");
    assert_eq!(late.1, "배차완료된 콜입니다");
    let expired = take(listed, "deadline").state;
    let late = take(expired, "driver 1").verdict.expect("an answer");
    assert_eq!(late.1, "call 'c' has expired: nobody took it in time");
}

#[test]
fn a_request_that_this_release_does_not_know_is_refused() {
    let request = CallRequest {
        kind: CallRequestKind::Unknown,
        call_id: "c".into(),
        passenger_id: String::new(),
        start_location: String::new(),
        end_location: String::new(),
        called_at: NOW,
        requested_at: NOW,
    };
    let refused = list_step(None, &ListEvent::Request(request), NOW).expect_err("a kind that is not known");
    assert_eq!(refused, "a kind of call request that this release does not know");
}
