//! A passenger's call in its processor: where its state, its timers and its commands go.

use schemas::taxi::state::Passenger;
use schemas::taxi::{CallRequest, CallStatus, PassengerCommand};
use streams::store::StateAccess as _;
use streams::{Context, In, ProcessError, Record, Timestamp};

use super::saga::{Command, Event, Rules, Step, step};
use crate::saga::{DueKind, Saga};

/// Passengers and their calls. Tells status events.
pub(super) struct PassengerSaga {
    pub(super) rules: Rules,
    pub(super) requests: In<String, CallRequest>,
}

type Cx<'a> = Context<'a, String, CallStatus>;

impl Saga for PassengerSaga {
    type State = Passenger;
    type Event = Event;
    type Request = PassengerCommand;
    type Command = Command;
    type Told = CallStatus;

    fn request(event: &Event) -> Option<&PassengerCommand> {
        if let Event::Command(command) = event { Some(command) } else { None }
    }

    fn step(&self, passenger: Option<Passenger>, event: &Event, now: Timestamp) -> Result<Step, String> {
        step(passenger, event, now, &self.rules)
    }

    fn due(&self, kind: DueKind, passenger: &Passenger) -> Option<Timestamp> {
        let settled_at = passenger.settled_at.filter(|_| kind == DueKind::Forget)?;
        Some(settled_at.saturating_add(self.rules.saga_retention_ms))
    }

    /// The deadline is the call list's.
    fn on_due(_kind: DueKind) -> Option<Event> {
        None
    }

    fn send(&self, cx: &mut Cx<'_>, id: &String, command: &Command) -> Result<(), ProcessError> {
        let at = cx.timestamp();
        match command {
            Command::List(request) => cx.forward_to(self.requests, Record::new(Some(id), Some(request), at)),
            Command::Status(status) => cx.forward(Record::new(Some(id), Some(status), at)),
        }
    }
}
