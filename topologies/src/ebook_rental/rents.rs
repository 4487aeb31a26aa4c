//! The rent saga in its processor: where its state, its timers and its commands go.

use schemas::ebook::state::Rent;
use schemas::ebook::{ApprovalRequest, BookRequest, RentCommand, RentEvent, RentState, RentStatus};
use schemas::payment::PaymentRequest;
use streams::store::StateAccess as _;
use streams::{Context, In, ProcessError, Record, Timestamp};

use super::saga::{Command, Event, Rules, Step, step};
use crate::saga::{DueKind, Owners, Payments, Saga};

/// The rent saga. Tells status events.
pub(super) struct RentSaga {
    pub(super) rules: Rules,
    pub(super) by_user: Owners,
    pub(super) payments: Payments,
    pub(super) book_requests: In<String, BookRequest>,
    pub(super) payment_requests: In<String, PaymentRequest>,
    pub(super) approval_requests: In<String, ApprovalRequest>,
    pub(super) events: In<String, RentEvent>,
    /// Takes status events, and a tombstone when a rent is forgotten.
    pub(super) dashboard: In<String, RentStatus>,
}

type Cx<'a> = Context<'a, String, RentStatus>;

impl Saga for RentSaga {
    type State = Rent;
    type Event = Event;
    type Request = RentCommand;
    type Command = Command;
    type Told = RentStatus;

    fn request(event: &Event) -> Option<&RentCommand> {
        if let Event::Command(command) = event { Some(command) } else { None }
    }

    fn step(&self, rent: Option<Rent>, event: &Event, now: Timestamp) -> Result<Step, String> {
        step(rent, event, now, &self.rules)
    }

    /// A rent that is being read is never forgotten.
    fn due(&self, kind: DueKind, rent: &Rent) -> Option<Timestamp> {
        match kind {
            DueKind::Deadline => rent.deadline_at,
            DueKind::PaymentRetry => rent.payment.retry_at,
            DueKind::Forget if rent.status == RentState::Approved => None,
            DueKind::Forget => rent.settled_at.map(|at| at.saturating_add(self.rules.saga.saga_retention_ms)),
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

    fn follow(&self, cx: &mut Cx<'_>, id: &String, old: Option<&Rent>, new: Option<&Rent>) -> Result<(), ProcessError> {
        self.payments.follow(cx, id, old.map(|r| &r.payment), new.map(|r| &r.payment))?;
        match (old, new) {
            (None, Some(rent)) => self.by_user.enter(cx, &rent.user_id, id, rent.requested_at),
            (Some(rent), None) => {
                self.by_user.leave(cx, &rent.user_id, id)?;
                let at = cx.timestamp();
                cx.forward_to(self.dashboard, Record::new(Some(id), None, at))
            }
            _ => Ok(()),
        }
    }

    fn send(&self, cx: &mut Cx<'_>, id: &String, command: &Command) -> Result<(), ProcessError> {
        let at = cx.timestamp();
        match command {
            Command::Book(r) => cx.forward_to(self.book_requests, Record::new(Some(&r.book_id), Some(r), at)),
            Command::Payment(r) => cx.forward_to(self.payment_requests, Record::new(Some(id), Some(r), at)),
            Command::Approval(r) => cx.forward_to(self.approval_requests, Record::new(Some(id), Some(r), at)),
            Command::Event(e) => cx.forward_to(self.events, Record::new(Some(id), Some(e), at)),
            Command::Status(status) => cx.forward(Record::new(Some(id), Some(status), at)),
        }
    }
}
