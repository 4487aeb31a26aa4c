//! The processor around a passenger's call: reads, takes the step, writes what changed, sends what was asked for.

use schemas::state::Verdict;
use schemas::taxi::state::Passenger;
use schemas::taxi::{CallRequest, CallStatus};
use streams::store::{KeyValueStore, StateAccess as _};
use streams::{Context, In, ProcessError, Processor, PunctuationType, Record, ScheduleId, Timestamp};

use super::saga::{Command, Event, Rules, Step, step};
use crate::saga::{Due, DueKind, Ledger, Timers};

/// Passengers and their calls. Forwards status events.
pub(super) struct PassengerSaga {
    pub(super) rules: Rules,
    pub(super) timer_resolution_ms: i64,
    pub(super) passengers: KeyValueStore<String, Passenger>,
    pub(super) ledger: Ledger,
    pub(super) timers: Timers,
    pub(super) requests: In<String, CallRequest>,
}

type Cx<'a> = Context<'a, String, CallStatus>;

impl Processor for PassengerSaga {
    type KeyIn = String;
    type ValueIn = Event;
    type KeyOut = String;
    type ValueOut = CallStatus;

    fn init(&self, cx: &mut Cx<'_>) -> Result<(), ProcessError> {
        cx.schedule(self.timer_resolution_ms, PunctuationType::WallClockTime);
        Ok(())
    }

    fn process(&self, cx: &mut Cx<'_>, record: Record<'_, String, Event>) -> Result<(), ProcessError> {
        let (Some(id), Some(event)) = (record.key, record.value) else {
            return Err(ProcessError::Topology("an event without call".into()));
        };
        match event {
            Event::Command(command) => self.ledger.once(cx, command, |cx| self.take_step(cx, id, event)),
            Event::Result(_) => self.take_step(cx, id, event).map(|_| ()),
        }
    }

    fn punctuate(&self, cx: &mut Cx<'_>, _schedule: ScheduleId, now: Timestamp) -> Result<(), ProcessError> {
        for (due, Due { kind, id }) in self.timers.take_due(cx, now)? {
            match kind {
                DueKind::Forget => self.passengers.delete(cx, &id)?,
                DueKind::ForgetCommand => self.ledger.forget(cx, due, &id)?,
                DueKind::Deadline | DueKind::PaymentRetry => {}
            }
        }
        Ok(())
    }
}

impl PassengerSaga {
    fn take_step(
        &self,
        cx: &mut Cx<'_>,
        id: &String,
        event: &Event,
    ) -> Result<Option<(Verdict, String)>, ProcessError> {
        let old = self.passengers.get(cx, id)?;
        let Step { passenger, commands, verdict } =
            step(old.clone(), event, cx.now(), &self.rules).map_err(ProcessError::rejected)?;
        if let Some(new) = passenger.as_ref().filter(|new| old.as_ref() != Some(*new)) {
            self.passengers.put(cx, id, new)?;
            let due = |p: &Passenger| p.settled_at.map(|at| at.saturating_add(self.rules.saga_retention_ms));
            self.timers.follow(cx, DueKind::Forget, id, old.as_ref().and_then(due), due(new))?;
        }
        let at = cx.timestamp();
        for command in &commands {
            match command {
                Command::List(request) => cx.forward_to(self.requests, Record::new(Some(id), Some(request), at))?,
                Command::Status(status) => cx.forward(Record::new(Some(id), Some(status), at))?,
            }
        }
        Ok(verdict)
    }
}
