//! The saga of a rental: a pure function from state and event to state and commands.
//!
//! | | asks | answered by | undone by |
//! |---|---|---|---|
//! | + lock | `LOCK` on item-requests | `LOCKED` with the fee, or `REJECTED`: cancelled | − `RELEASE` → `RELEASED` |
//! | + charge | `CHARGE` on payment-requests | `APPROVED`; `DECLINED`: unwound; `DEFERRED`: asked again | − `VOID` or `REFUND` |
//! | + hand out | `HAND_OUT` on item-requests | `HANDED_OUT`: rented | − the same `RELEASE` |
//! | return | `RELEASE` | `RELEASED`: returned, and over | |
//!
//! Unwinding gives the item back first and the money after it, so that no unpaid item is out at any moment.
//!
//! The deadline runs from the lock, when something is held for the rental: a request that waits for an item management
//! that is down is not lost, it is answered when that is back.

use schemas::gdmarket::state::{ItemPhase, Rental, RentalStep};
use schemas::gdmarket::{
    ItemOutcome, ItemRejection, ItemRequest, ItemRequestKind, ItemResult, RentalCancelReason, RentalCancelled,
    RentalCommand, RentalCommandKind, RentalEvent, RentalReturned, RentalStarted, RentalState, RentalStatus,
    RequestRental,
};
use schemas::payment::{PaymentRequest, PaymentResult};
use schemas::state::{PaymentPhase, Verdict};
use streams::Timestamp;

use crate::limits::CLOCK_SKEW_MS_MAX;
use crate::saga::settings::Settings;
use crate::saga::{check, payment};

/// What can happen to a rental.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The renter asks for something.
    Command(RentalCommand),
    /// Item management answers.
    Item(ItemResult),
    /// The payment system answers.
    Payment(PaymentResult),
    /// The rental has waited long enough for its payment.
    Deadline,
    /// A deferred payment request is due again.
    PaymentRetry,
}

/// What the saga wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Ask item management.
    Item(ItemRequest),
    /// Ask the payment system.
    Payment(PaymentRequest),
    /// Tell what happened.
    Event(RentalEvent),
    /// Tell that the rental's state has changed.
    Status(RentalStatus),
}

/// What became of an event.
pub type Step = crate::saga::Step<Rental, Command>;

/// Takes an event in.
///
/// # Errors
/// When the event cannot be about this rental.
pub fn step(rental: Option<Rental>, event: &Event, now: Timestamp, rules: &Settings) -> Result<Step, String> {
    let command = match event {
        Event::Command(RentalCommand { command: RentalCommandKind::RequestRental(request) }) => {
            return Ok(on_request(rental, request, now, rules));
        }
        Event::Command(RentalCommand { command }) => Some(command),
        _ => None,
    };
    let Some(rental) = rental else {
        return match event {
            Event::Command(_) => Ok(Step::answer(None, Verdict::NotFound, "there is no such rental")),
            Event::Deadline | Event::PaymentRetry => Ok(Step::nothing(rental)),
            _ => Err("there is no such rental: it was never requested, or is forgotten".into()),
        };
    };
    let mut saga = Saga { rental, commands: Vec::new(), now, rules };
    let verdict = match (command, event) {
        (Some(RentalCommandKind::ReturnItem(_)), _) => Some(saga.on_return()),
        (Some(RentalCommandKind::CancelRental(cancel)), _) => {
            Some(saga.on_cancel(RentalCancelReason::Renter, &cancel.reason))
        }
        (Some(RentalCommandKind::CancelPayment(cancel)), _) => {
            Some(saga.on_cancel(RentalCancelReason::PaymentCancelled, &cancel.reason))
        }
        (_, Event::Item(result)) => saga.on_item(result).map(|()| None)?,
        (_, Event::Payment(result)) => saga.on_payment(result).map(|()| None)?,
        (_, Event::Deadline) => {
            saga.on_deadline();
            None
        }
        (_, Event::PaymentRetry) => {
            let again = payment::again(&mut saga.rental.payment, now, &rules.retry);
            saga.ask_payment(again);
            None
        }
        _ => None,
    };
    Ok(saga.done(verdict))
}

fn on_request(known: Option<Rental>, request: &RequestRental, now: Timestamp, rules: &Settings) -> Step {
    let valid = check::id("item_id", &request.item_id)
        .and_then(|()| check::optional_id("renter_id", &request.renter_id))
        .and_then(|()| check::number("requested_at", request.requested_at, 0, now.saturating_add(CLOCK_SKEW_MS_MAX)));
    if let Err(reason) = valid {
        return Step::answer(known, Verdict::Invalid, reason);
    }
    if let Some(known) = known {
        let same = (&known.item_id, &known.renter_id) == (&request.item_id, &request.renter_id);
        let (verdict, what) = if same { (Verdict::Duplicate, "the same") } else { (Verdict::Conflict, "another") };
        let detail = format!("rental '{}' was requested before, with {what} content", request.rental_id);
        return Step::answer(Some(known), verdict, detail);
    }
    if request.requested_at < now.saturating_sub(rules.saga_retention_ms) {
        let detail = format!("requested at {}, longer ago than rentals are remembered", request.requested_at);
        return Step::answer(None, Verdict::Expired, detail);
    }
    let rental = Rental {
        rental_id: request.rental_id.clone(),
        item_id: request.item_id.clone(),
        renter_id: request.renter_id.clone(),
        fee: 0,
        requested_at: request.requested_at,
        command_id: request.command_id.clone(),
        status: RentalState::Unknown,
        reason: None,
        detail: String::new(),
        version: 0,
        item: ItemPhase::Asked,
        payment: payment::new(&rules.application_id, &request.rental_id, &request.renter_id, 0, now),
        created_at: now,
        deadline_at: None,
        settled_at: None,
        history: Vec::new(),
    };
    let mut saga = Saga { rental, commands: Vec::new(), now, rules };
    saga.enter(RentalState::Requested);
    saga.ask_item(ItemRequestKind::Lock);
    saga.done(Some((Verdict::Accepted, String::new())))
}

/// A rental while an event is taken in.
struct Saga<'a> {
    rental: Rental,
    commands: Vec<Command>,
    now: Timestamp,
    rules: &'a Settings,
}

impl Saga<'_> {
    fn on_return(&mut self) -> (Verdict, String) {
        match (self.rental.status, self.rental.item) {
            (RentalState::Rented, ItemPhase::Out) => {
                self.rental.item = ItemPhase::Releasing;
                self.ask_item(ItemRequestKind::Release);
                (Verdict::Accepted, String::new())
            }
            (RentalState::Rented | RentalState::Returned, _) => {
                (Verdict::Duplicate, "the item was brought back before".into())
            }
            (status, _) => (Verdict::Refused, format!("the item is not out: the rental is {status}")),
        }
    }

    fn on_cancel(&mut self, reason: RentalCancelReason, words: &str) -> (Verdict, String) {
        if let Err(wrong) = check::text("reason", words) {
            return (Verdict::Invalid, wrong);
        }
        if self.rental.reason.is_some() {
            return (Verdict::AlreadyCancelled, "the rental is cancelled, or being cancelled, already".into());
        }
        if self.is_coming_back() {
            return (Verdict::Refused, "the item is back: there is nothing left to cancel".into());
        }
        if reason == RentalCancelReason::PaymentCancelled && self.rental.payment.phase == PaymentPhase::None {
            return (Verdict::Refused, "there is no payment yet".into());
        }
        self.give_up(reason, words);
        (Verdict::Accepted, String::new())
    }

    /// Whether the renter has brought the item back, whether or not item management knows.
    fn is_coming_back(&self) -> bool {
        self.rental.reason.is_none() && matches!(self.rental.item, ItemPhase::Releasing | ItemPhase::Released)
    }

    fn on_item(&mut self, result: &ItemResult) -> Result<(), String> {
        if result.item_id != self.rental.item_id {
            return Err(format!("a result for an item that rental '{}' is not about", self.rental.rental_id));
        }
        match (self.rental.item, result.outcome) {
            (_, ItemOutcome::Unknown) => return Err("an item outcome that this release does not know".into()),
            (ItemPhase::Asked, ItemOutcome::Locked) => {
                self.rental.item = ItemPhase::Locked;
                self.rental.fee = result.fee;
                self.rental.payment.amount = result.fee;
                self.rental.deadline_at = Some(self.now.saturating_add(self.rules.payment_deadline_ms));
                self.enter(RentalState::ItemLocked);
                let charge = payment::charge(&mut self.rental.payment, self.now);
                self.ask_payment(charge);
            }
            (ItemPhase::Asked, ItemOutcome::Rejected) => {
                self.rental.item = ItemPhase::Rejected;
                let (reason, words) = match result.reason {
                    Some(ItemRejection::UnknownItem) => (RentalCancelReason::UnknownItem, "there is no such item"),
                    Some(ItemRejection::Deleted) => (RentalCancelReason::Deleted, "the item is deleted"),
                    _ => (RentalCancelReason::NotAvailable, "another rental holds the item"),
                };
                self.give_up(reason, words);
            }
            (ItemPhase::HandingOut, ItemOutcome::HandedOut) => {
                self.rental.item = ItemPhase::Out;
                self.enter(RentalState::Rented);
                let r = &self.rental;
                self.commands.push(told(RentalStarted {
                    rental_id: r.rental_id.clone(),
                    item_id: r.item_id.clone(),
                    renter_id: r.renter_id.clone(),
                    fee: r.fee,
                    started_at: self.now,
                }));
            }
            (ItemPhase::Releasing, ItemOutcome::Released | ItemOutcome::Rejected) => {
                let returned = self.rental.reason.is_none();
                self.rental.item = ItemPhase::Released;
                if returned {
                    self.tell_returned();
                } else {
                    self.unwind();
                }
            }
            // A repeat; or an answer that the RELEASE under way undoes.
            _ => {}
        }
        Ok(())
    }

    fn on_payment(&mut self, result: &PaymentResult) -> Result<(), String> {
        let before = self.rental.payment.phase;
        let next = payment::answer(&mut self.rental.payment, result, self.now, &self.rules.retry)?;
        self.ask_payment(next);
        let after = self.rental.payment.phase;
        if self.rental.reason.is_some() {
            // A late approval may have to be paid back after the end; that is no step of unwinding.
            if self.rental.status != RentalState::Cancelled && after != before {
                self.unwind();
            }
            return Ok(());
        }
        let words = self.rental.payment.reason.clone().unwrap_or_default();
        match after {
            PaymentPhase::Approved if before != after => {
                self.rental.deadline_at = None;
                self.enter(RentalState::Paid);
                self.rental.item = ItemPhase::HandingOut;
                self.ask_item(ItemRequestKind::HandOut);
            }
            PaymentPhase::Declined => self.give_up(RentalCancelReason::PaymentDeclined, &words),
            PaymentPhase::Charging
                if self.rental.payment.deferred && self.rental.status != RentalState::PaymentDeferred =>
            {
                self.rental.detail = words;
                self.enter(RentalState::PaymentDeferred);
                self.rental.detail.clear();
            }
            _ => {}
        }
        Ok(())
    }

    fn on_deadline(&mut self) {
        if self.rental.deadline_at.is_some() && self.rental.reason.is_none() {
            let words = match self.rental.payment.deferred {
                true => "the payment was put off until the deadline",
                false => "the payment system did not answer in time",
            };
            self.give_up(RentalCancelReason::PaymentTimeout, words);
        }
    }

    /// From here on everything is undone.
    fn give_up(&mut self, reason: RentalCancelReason, detail: &str) {
        self.rental.reason = Some(reason);
        self.rental.detail = detail.to_owned();
        self.rental.deadline_at = None;
        self.unwind();
    }

    /// Undoes the last thing that is not undone yet, or waits for that; tells the end when nothing is left.
    fn unwind(&mut self) {
        let item = !matches!(self.rental.item, ItemPhase::Rejected | ItemPhase::Released);
        let money = !payment::is_closed(&self.rental.payment);
        if (item || money) && self.rental.status != RentalState::Cancelling {
            self.enter(RentalState::Cancelling);
        }
        if item {
            if self.rental.item != ItemPhase::Releasing {
                self.rental.item = ItemPhase::Releasing;
                self.ask_item(ItemRequestKind::Release);
            }
        } else if money {
            let undo = payment::undo(&mut self.rental.payment, self.now);
            self.ask_payment(undo);
        } else {
            self.enter(RentalState::Cancelled);
            let r = &self.rental;
            self.commands.push(told(RentalCancelled {
                rental_id: r.rental_id.clone(),
                item_id: r.item_id.clone(),
                renter_id: r.renter_id.clone(),
                reason: r.reason.unwrap_or(RentalCancelReason::Unknown),
                detail: r.detail.clone(),
                cancelled_at: self.now,
            }));
        }
    }

    fn tell_returned(&mut self) {
        self.enter(RentalState::Returned);
        let r = &self.rental;
        self.commands.push(told(RentalReturned {
            rental_id: r.rental_id.clone(),
            item_id: r.item_id.clone(),
            renter_id: r.renter_id.clone(),
            returned_at: self.now,
        }));
    }

    /// Changes the rental's state and tells it.
    fn enter(&mut self, status: RentalState) {
        let (r, at) = (&mut self.rental, self.now);
        r.status = status;
        r.version = r.version.saturating_add(1);
        r.history.push(RentalStep { version: r.version, status, reason: r.reason, detail: r.detail.clone(), at });
        self.commands.push(Command::Status(RentalStatus {
            rental_id: r.rental_id.clone(),
            item_id: r.item_id.clone(),
            renter_id: r.renter_id.clone(),
            fee: r.fee,
            status,
            reason: r.reason,
            version: r.version,
            at,
        }));
    }

    fn ask_item(&mut self, kind: ItemRequestKind) {
        let r = &self.rental;
        self.commands.push(Command::Item(ItemRequest {
            kind,
            rental_id: r.rental_id.clone(),
            item_id: r.item_id.clone(),
            renter_id: r.renter_id.clone(),
            command_id: r.command_id.clone(),
            requested_at: self.now,
        }));
    }

    fn ask_payment(&mut self, request: Option<PaymentRequest>) {
        self.commands.extend(request.map(Command::Payment));
    }

    /// The end of the step: notes since when nothing is under way.
    fn done(mut self, verdict: Option<(Verdict, String)>) -> Step {
        let r = &mut self.rental;
        let settled = match r.status {
            RentalState::Rented => r.item == ItemPhase::Out,
            RentalState::Returned => true,
            RentalState::Cancelled => payment::is_closed(&r.payment),
            _ => false,
        };
        r.settled_at = if settled { r.settled_at.or(Some(self.now)) } else { None };
        Step { state: Some(self.rental), commands: self.commands, verdict }
    }
}

fn told(event: impl Into<schemas::gdmarket::RentalEventKind>) -> Command {
    Command::Event(RentalEvent { event: event.into() })
}
