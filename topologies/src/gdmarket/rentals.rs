//! The processor around the rental saga: reads the rental, takes the step, writes what changed, sends what was asked for.

use schemas::gdmarket::state::Rental;
use schemas::gdmarket::{ItemRequest, RentalEvent, RentalState, RentalStatus};
use schemas::payment::PaymentRequest;
use schemas::state::{Payment, PaymentPhase, Verdict};
use streams::store::{KeyValueStore, StateAccess as _};
use streams::{Context, In, ProcessError, Processor, PunctuationType, Record, ScheduleId, Timestamp};

use super::saga::{Command, Event, Rules, Step, step};
use crate::saga::{Due, DueKind, Ledger, Owners, Timers};

/// The rental saga. Forwards status events.
pub(super) struct RentalSaga {
    pub(super) rules: Rules,
    pub(super) timer_resolution_ms: i64,
    pub(super) rentals: KeyValueStore<String, Rental>,
    pub(super) by_renter: Owners,
    pub(super) payments: KeyValueStore<String, Payment>,
    pub(super) ledger: Ledger,
    pub(super) timers: Timers,
    pub(super) item_requests: In<String, ItemRequest>,
    pub(super) payment_requests: In<String, PaymentRequest>,
    pub(super) events: In<String, RentalEvent>,
}

type Cx<'a> = Context<'a, String, RentalStatus>;

impl Processor for RentalSaga {
    type KeyIn = String;
    type ValueIn = Event;
    type KeyOut = String;
    type ValueOut = RentalStatus;

    fn init(&self, cx: &mut Cx<'_>) -> Result<(), ProcessError> {
        cx.schedule(self.timer_resolution_ms, PunctuationType::WallClockTime);
        Ok(())
    }

    fn process(&self, cx: &mut Cx<'_>, record: Record<'_, String, Event>) -> Result<(), ProcessError> {
        let (Some(id), Some(event)) = (record.key, record.value) else {
            return Err(ProcessError::Topology("an event without rental".into()));
        };
        match event {
            Event::Command(command) => self.ledger.once(cx, command, |cx| self.take_step(cx, id, event)),
            _ => self.take_step(cx, id, event).map(|_| ()),
        }
    }

    fn punctuate(&self, cx: &mut Cx<'_>, _schedule: ScheduleId, now: Timestamp) -> Result<(), ProcessError> {
        for (due, Due { kind, id }) in self.timers.take_due(cx, now)? {
            match kind {
                DueKind::Deadline => self.take_step(cx, &id, &Event::Deadline).map(|_| ())?,
                DueKind::PaymentRetry => self.take_step(cx, &id, &Event::PaymentRetry).map(|_| ())?,
                DueKind::Forget => self.forget(cx, &id)?,
                DueKind::ForgetCommand => self.ledger.forget(cx, due, &id)?,
            }
        }
        Ok(())
    }
}

impl RentalSaga {
    fn take_step(
        &self,
        cx: &mut Cx<'_>,
        id: &String,
        event: &Event,
    ) -> Result<Option<(Verdict, String)>, ProcessError> {
        let old = self.rentals.get(cx, id)?;
        let Step { rental, commands, verdict } =
            step(old.clone(), event, cx.now(), &self.rules).map_err(ProcessError::rejected)?;
        if let Some(new) = rental.as_ref().filter(|new| old.as_ref() != Some(*new)) {
            self.write(cx, id, old.as_ref(), new)?;
        }
        let at = cx.timestamp();
        for command in &commands {
            match command {
                Command::Item(r) => cx.forward_to(self.item_requests, Record::new(Some(&r.item_id), Some(r), at))?,
                Command::Payment(r) => cx.forward_to(self.payment_requests, Record::new(Some(id), Some(r), at))?,
                Command::Event(e) => cx.forward_to(self.events, Record::new(Some(id), Some(e), at))?,
                Command::Status(status) => cx.forward(Record::new(Some(id), Some(status), at))?,
            }
        }
        Ok(verdict)
    }

    fn write(&self, cx: &mut Cx<'_>, id: &String, old: Option<&Rental>, new: &Rental) -> Result<(), ProcessError> {
        self.rentals.put(cx, id, new)?;
        if old.is_none() {
            self.by_renter.enter(cx, &new.renter_id, id, new.requested_at)?;
        }
        if new.payment.phase != PaymentPhase::None && old.map(|o| &o.payment) != Some(&new.payment) {
            self.payments.put(cx, id, &new.payment)?;
        }
        for kind in [DueKind::Deadline, DueKind::PaymentRetry, DueKind::Forget] {
            let (was, is) = (old.and_then(|o| self.due(kind, o)), self.due(kind, new));
            self.timers.follow(cx, kind, id, was, is)?;
        }
        Ok(())
    }

    /// When a kind of timer of a rental is due, by its state. An item that is out is never forgotten.
    fn due(&self, kind: DueKind, rental: &Rental) -> Option<Timestamp> {
        match kind {
            DueKind::Deadline => rental.deadline_at,
            DueKind::PaymentRetry => rental.payment.retry_at,
            DueKind::Forget if rental.status == RentalState::Rented => None,
            DueKind::Forget => rental.settled_at.map(|at| at.saturating_add(self.rules.saga_retention_ms)),
            DueKind::ForgetCommand => None,
        }
    }

    fn forget(&self, cx: &mut Cx<'_>, id: &String) -> Result<(), ProcessError> {
        let Some(rental) = self.rentals.get(cx, id)? else {
            return Ok(());
        };
        self.rentals.delete(cx, id)?;
        self.payments.delete(cx, id)?;
        self.by_renter.leave(cx, &rental.renter_id, id)
    }
}
