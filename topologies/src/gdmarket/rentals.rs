//! The rental saga in its processor: where its state, its timers and its commands go.

use schemas::gdmarket::state::Rental;
use schemas::gdmarket::{ItemRequest, RentalCommand, RentalEvent, RentalState, RentalStatus};
use schemas::payment::PaymentRequest;
use streams::store::StateAccess as _;
use streams::{Context, In, ProcessError, Record, Timestamp};

use super::saga::{Command, Event, Step, step};
use crate::saga::settings::Settings;
use crate::saga::{DueKind, Owners, Payments, Saga};

/// The rental saga. Tells status events.
pub(super) struct RentalSaga {
    pub(super) settings: Settings,
    pub(super) by_renter: Owners,
    pub(super) payments: Payments,
    pub(super) item_requests: In<String, ItemRequest>,
    pub(super) payment_requests: In<String, PaymentRequest>,
    pub(super) events: In<String, RentalEvent>,
}

type Cx<'a> = Context<'a, String, RentalStatus>;

impl Saga for RentalSaga {
    type State = Rental;
    type Event = Event;
    type Request = RentalCommand;
    type Command = Command;
    type Told = RentalStatus;

    fn request(event: &Event) -> Option<&RentalCommand> {
        if let Event::Command(command) = event { Some(command) } else { None }
    }

    fn step(&self, rental: Option<Rental>, event: &Event, now: Timestamp) -> Result<Step, String> {
        step(rental, event, now, &self.settings)
    }

    /// An item that is out is never forgotten.
    fn due(&self, kind: DueKind, rental: &Rental) -> Option<Timestamp> {
        match kind {
            DueKind::Deadline => rental.deadline_at,
            DueKind::PaymentRetry => rental.payment.retry_at,
            DueKind::Forget if rental.status == RentalState::Rented => None,
            DueKind::Forget => rental.settled_at.map(|at| at.saturating_add(self.settings.saga_retention_ms)),
            DueKind::ForgetCommand => None,
        }
    }

    fn on_due(kind: DueKind) -> Option<Event> {
        match kind {
            DueKind::Deadline => Some(Event::Deadline),
            DueKind::PaymentRetry => Some(Event::PaymentRetry),
            DueKind::Forget | DueKind::ForgetCommand => None,
        }
    }

    fn follow(
        &self,
        cx: &mut Cx<'_>,
        id: &String,
        old: Option<&Rental>,
        new: Option<&Rental>,
    ) -> Result<(), ProcessError> {
        match (old, new) {
            (None, Some(rental)) => self.by_renter.enter(cx, &rental.renter_id, id, rental.requested_at)?,
            (Some(rental), None) => self.by_renter.leave(cx, &rental.renter_id, id)?,
            _ => {}
        }
        self.payments.follow(cx, id, old.map(|r| &r.payment), new.map(|r| &r.payment))
    }

    fn send(&self, cx: &mut Cx<'_>, id: &String, command: &Command) -> Result<(), ProcessError> {
        let at = cx.timestamp();
        match command {
            Command::Item(r) => cx.forward_to(self.item_requests, Record::new(Some(&r.item_id), Some(r), at)),
            Command::Payment(r) => cx.forward_to(self.payment_requests, Record::new(Some(id), Some(r), at)),
            Command::Event(e) => cx.forward_to(self.events, Record::new(Some(id), Some(e), at)),
            Command::Status(status) => cx.forward(Record::new(Some(id), Some(status), at)),
        }
    }
}
