//! The saga of a rent: a pure function from state and event to state and commands.
//!
//! | | asks | answered by | undone by |
//! |---|---|---|---|
//! | + take | `TAKE` on book-requests | `TAKEN` with title and fee, or `REJECTED`: canceled | − `FREE` → `FREED` |
//! | + charge | `CHARGE` on payment-requests | `APPROVED`; `DECLINED`: unwound; `DEFERRED`: asked again | − `VOID` or `REFUND` |
//! | + decide | `DECIDE` on approval-requests | `APPROVED`: the member reads; `REJECTED`: unwound | − `WITHDRAW` → `WITHDRAWN` |
//! | return | `FREE` | `FREED`: returned, and over | |
//!
//! Unwinding gives the money back first and frees the book after it: nobody pays for a book that another member has.
//!
//! Nothing but the librarian's decision ends a paid rent, so a decision, once made, stands. When the librarian has not
//! decided in time the request is withdrawn; the answer says whether a decision came first, and only `WITHDRAWN` unwinds.
//!
//! Both deadlines run from when something is held for the rent, the book or the money: a request that waits for a
//! stopped book management is not lost, it is answered when that is back.

use schemas::ebook::state::{ApprovalPhase, BookPhase, Rent, RentStep};
use schemas::ebook::{
    ApprovalOutcome, ApprovalRequest, ApprovalRequestKind, ApprovalResult, BookOutcome, BookRejection, BookRequest,
    BookRequestKind, BookResult, RentCancelReason, RentCancelled, RentCommand, RentCommandKind, RentEvent,
    RentEventKind, RentReturned, RentStarted, RentState, RentStatus, RequestRent,
};
use schemas::payment::{PaymentRequest, PaymentResult};
use schemas::state::{PaymentPhase, Verdict};
use streams::Timestamp;

use crate::limits::{CLOCK_SKEW_MS_MAX, PRICE_MAX};
use crate::saga::settings::Settings;
use crate::saga::{check, payment};

/// What the saga needs of the settings.
#[derive(Clone, Debug)]
pub struct Rules {
    /// Those of every saga that takes money.
    pub saga: Settings,
    /// See [`super::Config::approval_deadline_ms`].
    pub approval_deadline_ms: i64,
}

/// What can happen to a rent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The member asks for something.
    Command(RentCommand),
    /// Book management answers.
    Book(BookResult),
    /// The payment system answers.
    Payment(PaymentResult),
    /// The librarian's side answers.
    Approval(ApprovalResult),
    /// The rent has waited long enough, for its payment or for the librarian.
    Deadline,
    /// A deferred payment request is due again.
    PaymentRetry,
}

/// What the saga wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Ask book management.
    Book(BookRequest),
    /// Ask the payment system.
    Payment(PaymentRequest),
    /// Ask the librarian's side.
    Approval(ApprovalRequest),
    /// Tell what happened.
    Event(RentEvent),
    /// Tell that the rent's state has changed.
    Status(RentStatus),
}

/// What became of an event.
pub type Step = crate::saga::Step<Rent, Command>;

/// Takes an event in.
///
/// # Errors
/// When the event cannot be about this rent.
pub fn step(rent: Option<Rent>, event: &Event, now: Timestamp, rules: &Rules) -> Result<Step, String> {
    if let Event::Command(RentCommand { command: RentCommandKind::RequestRent(request) }) = event {
        return Ok(on_request(rent, request, now, rules));
    }
    let Some(rent) = rent else {
        return match event {
            Event::Command(_) => Ok(Step::answer(None, Verdict::NotFound, "there is no such rent")),
            Event::Deadline | Event::PaymentRetry => Ok(Step::nothing(None)),
            _ => Err("there is no such rent: it was never requested, or is forgotten".into()),
        };
    };
    let mut saga = Saga { rent, commands: Vec::new(), now, rules };
    let mut verdict = None;
    match event {
        Event::Command(_) => verdict = Some(saga.on_return()),
        Event::Book(result) => saga.on_book(result)?,
        Event::Payment(result) => saga.on_payment(result)?,
        Event::Approval(result) => saga.on_approval(result)?,
        Event::Deadline => saga.on_deadline(),
        Event::PaymentRetry => {
            let again = payment::again(&mut saga.rent.payment, now, &rules.saga.retry);
            saga.ask_payment(again);
        }
    }
    Ok(saga.done(verdict))
}

fn on_request(known: Option<Rent>, request: &RequestRent, now: Timestamp, rules: &Rules) -> Step {
    let valid = check::id("book_id", &request.book_id)
        .and_then(|()| check::optional_id("user_id", &request.user_id))
        .and_then(|()| check::text("book_name", &request.book_name))
        .and_then(|()| check::number("rental_fee", request.rental_fee, 0, PRICE_MAX))
        .and_then(|()| check::number("requested_at", request.requested_at, 0, now.saturating_add(CLOCK_SKEW_MS_MAX)));
    if let Err(reason) = valid {
        return Step::answer(known, Verdict::Invalid, reason);
    }
    if let Some(known) = known {
        // Title and fee became the book's own by now: what the member saw is not kept.
        let same = (&known.book_id, &known.user_id) == (&request.book_id, &request.user_id);
        let (verdict, what) = if same { (Verdict::Duplicate, "the same") } else { (Verdict::Conflict, "another") };
        let detail = format!("rent '{}' was requested before, with {what} content", request.rent_id);
        return Step::answer(Some(known), verdict, detail);
    }
    if request.requested_at < now.saturating_sub(rules.saga.saga_retention_ms) {
        let detail = format!("requested at {}, longer ago than rents are remembered", request.requested_at);
        return Step::answer(None, Verdict::Expired, detail);
    }
    let rent = Rent {
        rent_id: request.rent_id.clone(),
        user_id: request.user_id.clone(),
        book_id: request.book_id.clone(),
        book_name: request.book_name.clone(),
        rental_fee: request.rental_fee,
        requested_at: request.requested_at,
        command_id: request.command_id.clone(),
        status: RentState::Unknown,
        reason: None,
        detail: String::new(),
        version: 0,
        book: BookPhase::Asked,
        payment: payment::new(&rules.saga.application_id, &request.rent_id, &request.user_id, 0, now),
        approval: ApprovalPhase::None,
        created_at: now,
        deadline_at: None,
        settled_at: None,
        history: Vec::new(),
    };
    let mut saga = Saga { rent, commands: Vec::new(), now, rules };
    saga.enter(RentState::Requested);
    saga.ask_book(BookRequestKind::Take);
    saga.done(Some((Verdict::Accepted, String::new())))
}

/// A rent while an event is taken in.
struct Saga<'a> {
    rent: Rent,
    commands: Vec<Command>,
    now: Timestamp,
    rules: &'a Rules,
}

impl Saga<'_> {
    fn on_return(&mut self) -> (Verdict, String) {
        match (self.rent.status, self.rent.book) {
            (RentState::Approved, BookPhase::Taken) => {
                self.rent.book = BookPhase::Freeing;
                self.ask_book(BookRequestKind::Free);
                (Verdict::Accepted, String::new())
            }
            (RentState::Approved | RentState::Returned, _) => {
                (Verdict::Duplicate, "the book was given back before".into())
            }
            (status, _) => (Verdict::Refused, format!("the book is not being read: the rent is {status}")),
        }
    }

    fn on_book(&mut self, result: &BookResult) -> Result<(), String> {
        if result.book_id != self.rent.book_id {
            return Err(format!("a result for a book that rent '{}' is not about", self.rent.rent_id));
        }
        match (self.rent.book, result.outcome) {
            (_, BookOutcome::Unknown) => return Err("a book outcome that this release does not know".into()),
            (BookPhase::Asked, BookOutcome::Taken) => {
                self.rent.book = BookPhase::Taken;
                self.rent.book_name.clone_from(&result.book_name);
                self.rent.rental_fee = result.rental_fee;
                self.rent.payment.amount = result.rental_fee;
                self.rent.deadline_at = Some(self.now.saturating_add(self.rules.saga.payment_deadline_ms));
                self.enter(RentState::Rented);
                let charge = payment::charge(&mut self.rent.payment, self.now);
                self.ask_payment(charge);
            }
            (BookPhase::Asked, BookOutcome::Rejected) => {
                self.rent.book = BookPhase::Rejected;
                let (reason, words) = match result.reason {
                    Some(BookRejection::UnknownBook) => (RentCancelReason::UnknownBook, "there is no such book"),
                    _ => (RentCancelReason::TakenByAnother, "another rent holds the book"),
                };
                self.give_up(reason, words);
            }
            (BookPhase::Freeing, BookOutcome::Freed | BookOutcome::Rejected) => {
                self.rent.book = BookPhase::Freed;
                if self.rent.reason.is_some() {
                    self.unwind();
                } else {
                    self.enter(RentState::Returned);
                    let (rent_id, user_id, book_id) = self.ids();
                    self.tell(RentReturned { rent_id, user_id, book_id, returned_at: self.now });
                }
            }
            // A repeat.
            _ => {}
        }
        Ok(())
    }

    fn on_payment(&mut self, result: &PaymentResult) -> Result<(), String> {
        let before = self.rent.payment.phase;
        let next = payment::answer(&mut self.rent.payment, result, self.now, &self.rules.saga.retry)?;
        self.ask_payment(next);
        let after = self.rent.payment.phase;
        if self.rent.reason.is_some() {
            // A late approval may have to be paid back after the end; that is no step of unwinding.
            if self.rent.status != RentState::Canceled && after != before {
                self.unwind();
            }
            return Ok(());
        }
        let words = self.rent.payment.reason.clone().unwrap_or_default();
        match after {
            PaymentPhase::Approved if before != after => {
                self.rent.approval = ApprovalPhase::Waiting;
                self.rent.deadline_at = Some(self.now.saturating_add(self.rules.approval_deadline_ms));
                self.enter(RentState::Paid);
                self.ask_approval(ApprovalRequestKind::Decide);
            }
            PaymentPhase::Declined => self.give_up(RentCancelReason::PaymentDeclined, &words),
            PaymentPhase::Charging if self.rent.payment.deferred && self.rent.status != RentState::PaymentDeferred => {
                self.rent.detail = words;
                self.enter(RentState::PaymentDeferred);
                self.rent.detail.clear();
            }
            _ => {}
        }
        Ok(())
    }

    fn on_approval(&mut self, result: &ApprovalResult) -> Result<(), String> {
        if result.outcome == ApprovalOutcome::Unknown {
            return Err("an approval outcome that this release does not know".into());
        }
        if !matches!(self.rent.approval, ApprovalPhase::Waiting | ApprovalPhase::Withdrawing) {
            // A repeat.
            return Ok(());
        }
        self.rent.deadline_at = None;
        match result.outcome {
            ApprovalOutcome::Approved => {
                self.rent.approval = ApprovalPhase::Approved;
                self.enter(RentState::Approved);
                let ((rent_id, user_id, book_id), book_name) = (self.ids(), self.rent.book_name.clone());
                self.tell(RentStarted { rent_id, user_id, book_id, book_name, started_at: self.now });
            }
            ApprovalOutcome::Rejected => {
                self.rent.approval = ApprovalPhase::Rejected;
                self.give_up(RentCancelReason::Rejected, &check::clip(&result.reason));
            }
            ApprovalOutcome::Withdrawn | ApprovalOutcome::Unknown => {
                self.rent.approval = ApprovalPhase::Withdrawn;
                self.give_up(RentCancelReason::ApprovalTimeout, "the librarian did not decide in time");
            }
        }
        Ok(())
    }

    fn on_deadline(&mut self) {
        if self.rent.deadline_at.take().is_none() {
            return;
        }
        if self.rent.approval == ApprovalPhase::Waiting {
            self.rent.approval = ApprovalPhase::Withdrawing;
            self.ask_approval(ApprovalRequestKind::Withdraw);
            return;
        }
        let words = match self.rent.payment.deferred {
            true => "the payment was put off until the deadline",
            false => "the payment system did not answer in time",
        };
        self.give_up(RentCancelReason::PaymentTimeout, words);
    }

    /// From here on everything is undone.
    fn give_up(&mut self, reason: RentCancelReason, detail: &str) {
        self.rent.reason = Some(reason);
        self.rent.detail = detail.to_owned();
        self.rent.deadline_at = None;
        self.unwind();
    }

    /// Undoes the last thing that is not undone yet, or waits for that; tells the end when nothing is left.
    fn unwind(&mut self) {
        let money = !payment::is_closed(&self.rent.payment);
        let book = !matches!(self.rent.book, BookPhase::Rejected | BookPhase::Freed);
        if (money || book) && self.rent.status != RentState::Canceling {
            self.enter(RentState::Canceling);
        }
        if money {
            let undo = payment::undo(&mut self.rent.payment, self.now);
            self.ask_payment(undo);
        } else if book {
            if self.rent.book != BookPhase::Freeing {
                self.rent.book = BookPhase::Freeing;
                self.ask_book(BookRequestKind::Free);
            }
        } else {
            self.enter(RentState::Canceled);
            let (rent_id, user_id, book_id) = self.ids();
            let reason = self.rent.reason.unwrap_or(RentCancelReason::Unknown);
            let detail = self.rent.detail.clone();
            self.tell(RentCancelled { rent_id, user_id, book_id, reason, detail, cancelled_at: self.now });
        }
    }

    /// The ids that every event names: rent, member, book.
    fn ids(&self) -> (String, String, String) {
        (self.rent.rent_id.clone(), self.rent.user_id.clone(), self.rent.book_id.clone())
    }

    fn tell(&mut self, event: impl Into<RentEventKind>) {
        self.commands.push(Command::Event(RentEvent { event: event.into() }));
    }

    /// Changes the rent's state and tells it.
    fn enter(&mut self, status: RentState) {
        let (r, at) = (&mut self.rent, self.now);
        r.status = status;
        r.version = r.version.saturating_add(1);
        r.history.push(RentStep { version: r.version, status, reason: r.reason, detail: r.detail.clone(), at });
        self.commands.push(Command::Status(RentStatus {
            rent_id: r.rent_id.clone(),
            user_id: r.user_id.clone(),
            book_id: r.book_id.clone(),
            book_name: r.book_name.clone(),
            rental_fee: r.rental_fee,
            status,
            reason: r.reason,
            version: r.version,
            at,
        }));
    }

    fn ask_book(&mut self, kind: BookRequestKind) {
        self.commands.push(Command::Book(BookRequest {
            kind,
            rent_id: self.rent.rent_id.clone(),
            book_id: self.rent.book_id.clone(),
            command_id: self.rent.command_id.clone(),
            requested_at: self.now,
        }));
    }

    fn ask_payment(&mut self, request: Option<PaymentRequest>) {
        self.commands.extend(request.map(Command::Payment));
    }

    fn ask_approval(&mut self, kind: ApprovalRequestKind) {
        self.commands.push(Command::Approval(ApprovalRequest {
            kind,
            rent_id: self.rent.rent_id.clone(),
            user_id: self.rent.user_id.clone(),
            book_id: self.rent.book_id.clone(),
            book_name: self.rent.book_name.clone(),
            rental_fee: self.rent.rental_fee,
            requested_at: self.now,
        }));
    }

    /// The end of the step: notes since when nothing is under way. A paid rent before the librarian is under way.
    fn done(mut self, verdict: Option<(Verdict, String)>) -> Step {
        let r = &mut self.rent;
        let settled = match r.status {
            RentState::Approved => r.book == BookPhase::Taken,
            RentState::Returned => true,
            RentState::Canceled => payment::is_closed(&r.payment),
            _ => false,
        };
        r.settled_at = if settled { r.settled_at.or(Some(self.now)) } else { None };
        Step { state: Some(self.rent), commands: self.commands, verdict }
    }
}
