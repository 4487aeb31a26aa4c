//! taxi's resources: passengers call, drivers accept, and each call goes to exactly one of them.

mod commands;
mod wire;

use std::sync::Arc;

use axum::routing::{get, post};
use schemas::Topic;
use schemas::state::CommandOutcome;
use schemas::taxi::state::{Call, Passenger};
use schemas::taxi::{CallEvent, CallEventKind, CallStatus, DriverCommand, PassengerCommand, topics};
use serde::Serialize;

use crate::StartError;
use crate::breaker::Breaker;
use crate::error::ApiError;
use crate::gateway::wire::At;
use crate::gateway::{
    Business, Commands, Hub, Judged, Profile, Resource, Route, Start, Streamed, Table, Until, all_events, collection,
    command, events_of, item,
};
use crate::platform::ACCEPT_BREAKER;

/// Stores, command topics and events.
pub(crate) struct Taxi {
    passengers: Table<Passenger>,
    calls: Table<Call>,
    open_calls: Table<Call>,
    calling: Commands<PassengerCommand>,
    accepting: Commands<DriverCommand>,
    status: Arc<Hub>,
    events: Arc<Hub>,
    breaker: Option<Arc<Breaker>>,
}

impl Business for Taxi {
    const APP: &'static str = "taxi";
    const PROFILES: &'static [Profile] = &[
        Profile {
            name: "passengers",
            item: "passenger",
            fields: &["id", "passengerId", "startLocation", "endLocation", "status", "driverId", "history"],
        },
        Profile {
            name: "calls",
            item: "call",
            fields: &["id", "passengerId", "startLocation", "endLocation", "status", "driverId"],
        },
        Profile {
            name: "opencalls",
            item: "call",
            fields: &["id", "passengerId", "startLocation", "endLocation", "status"],
        },
    ];

    fn start(start: &Start<'_>) -> Result<Self, StartError> {
        Ok(Taxi {
            passengers: start.table("passengers")?,
            calls: start.table("calls")?,
            open_calls: start.table("open-calls")?,
            calling: start.commands(&topics::PASSENGERS, "commands")?,
            accepting: start.commands(&topics::ACCEPTANCES, "acceptances")?,
            status: start.hub::<Self, Changes>()?,
            events: start.hub::<Self, DriverNews>()?,
            breaker: start.breaker(ACCEPT_BREAKER),
        })
    }

    fn routes() -> Vec<Route<Self>> {
        vec![
            ("/passengers", get(collection::<Self, Passengers>).post(commands::call_taxi)),
            ("/passengers/events", get(all_events::<Self, Changes>)),
            ("/passengers/{id}", get(item::<Self, Passengers>)),
            ("/passengers/{id}/events", get(events_of::<Self, Changes>)),
            ("/passengers/{id}/commands/{command}", get(command::<Self, Passengers>)),
            ("/calls", get(collection::<Self, Calls>)),
            ("/calls/{id}", get(item::<Self, Calls>)),
            ("/calls/{id}/commands/{command}", get(command::<Self, Calls>)),
            ("/opencalls", get(collection::<Self, OpenCalls>)),
            ("/taxis/accept", post(commands::accept_call)),
            ("/taxis/events", get(all_events::<Self, DriverNews>)),
        ]
    }
}

/// `/passengers`: each call as its passenger sees it.
struct Passengers;

/// A driver has it, or nobody took it in time.
const SETTLED: Until<Passenger> = Until::new("settled", |passenger| passenger.settled_at.is_some());

impl Resource<Taxi> for Passengers {
    type Value = Passenger;
    const NAME: &'static str = "passengers";
    const UNTIL: &'static [Until<Passenger>] = &[SETTLED];
    fn table(taxi: &Taxi) -> &Table<Passenger> {
        &taxi.passengers
    }
    fn view(passenger: &Passenger, at: At<'_>) -> impl Serialize {
        wire::PassengerView::new(passenger, at)
    }
}

impl Judged<Taxi> for Passengers {
    type Command = PassengerCommand;
    const CREATES: &'static [&'static str] = &["CallTaxi"];
    fn commands(taxi: &Taxi) -> &Commands<PassengerCommand> {
        &taxi.calling
    }
}

/// `/calls`: the call list.
struct Calls;
impl Resource<Taxi> for Calls {
    type Value = Call;
    const NAME: &'static str = "calls";
    const UNTIL: &'static [Until<Call>] = &[Until::new("settled", |call| call.decided_at.is_some())];
    fn table(taxi: &Taxi) -> &Table<Call> {
        &taxi.calls
    }
    fn view(call: &Call, at: At<'_>) -> impl Serialize {
        wire::CallView::new(call, at)
    }
}

impl Judged<Taxi> for Calls {
    type Command = DriverCommand;
    const CREATES: &'static [&'static str] = &[];
    fn commands(taxi: &Taxi) -> &Commands<DriverCommand> {
        &taxi.accepting
    }
    fn breaker(taxi: &Taxi) -> Option<&Breaker> {
        taxi.breaker.as_deref()
    }
    fn answer(call: &Call, outcome: &CommandOutcome, at: At<'_>) -> Result<Vec<u8>, ApiError> {
        wire::acceptance(call, outcome, at)
    }
}

/// `/opencalls`: only those that wait for a driver.
struct OpenCalls;
impl Resource<Taxi> for OpenCalls {
    type Value = Call;
    const NAME: &'static str = "opencalls";
    fn table(taxi: &Taxi) -> &Table<Call> {
        &taxi.open_calls
    }
    fn view(call: &Call, at: At<'_>) -> impl Serialize {
        wire::CallView::new(call, at)
    }
}

/// `/passengers/events`: every change of every call, for its passenger.
struct Changes;
impl Streamed<Taxi> for Changes {
    type Record = CallStatus;
    const TOPIC: Topic<CallStatus> = topics::CALL_STATUS;
    const OWNER: &'static str = "passengerId";
    fn hub(taxi: &Taxi) -> &Arc<Hub> {
        &taxi.status
    }
    fn owner(status: &CallStatus) -> Option<&str> {
        Some(&status.passenger_id)
    }
    fn view(status: &CallStatus) -> impl Serialize {
        wire::StatusView::from(status)
    }
}

/// `/taxis/events`: what happens on the call list, for drivers. A refusal is its driver's alone.
struct DriverNews;
impl Streamed<Taxi> for DriverNews {
    type Record = CallEvent;
    const TOPIC: Topic<CallEvent> = topics::CALL_EVENTS;
    const OWNER: &'static str = "driverId";
    fn hub(taxi: &Taxi) -> &Arc<Hub> {
        &taxi.events
    }
    fn owner(event: &CallEvent) -> Option<&str> {
        match &event.event {
            CallEventKind::AcceptanceRejected(rejected) => Some(&rejected.driver_id),
            CallEventKind::CallListed(_) | CallEventKind::CallAssigned(_) => None,
        }
    }
    fn view(event: &CallEvent) -> impl Serialize {
        wire::NewsView::from(event)
    }
}
