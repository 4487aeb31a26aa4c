//! The saga of an order: a pure function from state and event to state and commands.
//!
//! Steps (`+`) and what undoes them (`−`), in order; unwinding goes the other way round, one at a time, and each waits for
//! its answer before the next is asked for:
//!
//! | | asks | answered by | undone by |
//! |---|---|---|---|
//! | + reserve | `RESERVE` on stock-requests | `RESERVED`, or `REJECTED`: cancelled | − `RELEASE` → `RELEASED` |
//! | + charge | `CHARGE` on payment-requests | `APPROVED`; `DECLINED`: unwound; `DEFERRED`: asked again | − `VOID` → `VOIDED`, or `REFUND` → `REFUNDED` |
//! | + deliver | `START` on delivery-requests | `DeliveryStarted`: settled, until someone cancels | − `CANCEL` → `DeliveryCancelled` |
//!
//! The order of unwinding keeps the "never"s of the business at every moment and not only at the end: stock is free again
//! only when no money can be held for it, money goes back only when the parcel was called back.
//!
//! Every event may come twice, late, or not at all; what does not fit the state changes nothing. The only way from "not
//! at all" is the deadline, which runs until the order is paid.

use schemas::fashion::state::{DeliveryPhase, Order, OrderStep, StockPhase};
use schemas::fashion::{
    CancelOrder, CancelRequester, CancellationReason, DeliveryEvent, DeliveryEventKind, DeliveryRequest,
    DeliveryRequestKind, OrderCancelled, OrderCommand, OrderCommandKind, OrderStage, OrderState, OrderStatus,
    PlaceOrder, StockOutcome, StockRejection, StockRequest, StockRequestKind, StockResult,
};
use schemas::payment::{PaymentRequest, PaymentResult};
use schemas::state::{PaymentPhase, Verdict};
use streams::Timestamp;

use crate::limits::{CLOCK_SKEW_MS_MAX, PRICE_MAX, QTY_MAX};
use crate::saga::settings::Settings;
use crate::saga::{check, payment};

/// What can happen to an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A customer or the merchandiser asks for something.
    Command(OrderCommand),
    /// The stock answers.
    Stock(StockResult),
    /// The payment system answers.
    Payment(PaymentResult),
    /// Delivery management did something.
    Delivery(DeliveryEvent),
    /// The order has waited long enough for its payment.
    Deadline,
    /// A deferred payment request is due again.
    PaymentRetry,
}

/// What the saga wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Ask the stock.
    Stock(StockRequest),
    /// Ask the payment system.
    Payment(PaymentRequest),
    /// Ask delivery management.
    Delivery(DeliveryRequest),
    /// Tell that the order has ended.
    Cancelled(OrderCancelled),
    /// Tell that the order's state has changed.
    Status(OrderStatus),
}

/// What became of an event.
pub type Step = crate::saga::Step<Order, Command>;

/// Takes an event in.
///
/// # Errors
/// When the event cannot be about this order: it belongs on the dead-letter topic, with this reason.
pub fn step(order: Option<Order>, event: &Event, now: Timestamp, rules: &Settings) -> Result<Step, String> {
    match event {
        Event::Command(OrderCommand { command: OrderCommandKind::PlaceOrder(place) }) => {
            Ok(on_place(order, place, now, rules))
        }
        Event::Command(OrderCommand { command: OrderCommandKind::CancelOrder(cancel) }) => {
            Ok(on_cancel(order, cancel, now, rules))
        }
        Event::Deadline | Event::PaymentRetry if order.is_none() => Ok(Step::nothing(order)),
        _ => {
            let order = order.ok_or("there is no such order: it was never placed, or is forgotten")?;
            let mut saga = Saga { order, commands: Vec::new(), stage: OrderStage::Unknown, now, rules };
            match event {
                Event::Stock(result) => saga.on_stock(result)?,
                Event::Payment(result) => saga.on_payment(result)?,
                Event::Delivery(event) => saga.on_delivery(event),
                Event::Deadline => saga.on_deadline(),
                Event::PaymentRetry => saga.on_payment_retry(),
                Event::Command(_) => {}
            }
            Ok(saga.done(None))
        }
    }
}

fn on_place(order: Option<Order>, place: &PlaceOrder, now: Timestamp, rules: &Settings) -> Step {
    if let Err(reason) = check_place(place, now) {
        return Step::answer(order, Verdict::Invalid, reason);
    }
    if let Some(known) = &order {
        let same = is_same(known, place);
        let verdict = if same { Verdict::Duplicate } else { Verdict::Conflict };
        let what = if same { "the same content" } else { "another content" };
        let detail = format!("order '{}' was placed before, with {what}", place.order_id);
        return Step::answer(order, verdict, detail);
    }
    if place.placed_at < now.saturating_sub(rules.saga_retention_ms) {
        let detail = format!(
            "placed at {}, longer ago than orders are remembered: it may have been carried out before",
            place.placed_at
        );
        return Step::answer(None, Verdict::Expired, detail);
    }
    let mut saga =
        Saga { order: new_order(place, now, rules), commands: Vec::new(), stage: OrderStage::Order, now, rules };
    saga.enter(OrderState::Ordered, "");
    saga.ask_stock(StockRequestKind::Reserve);
    saga.done(Some((Verdict::Accepted, String::new())))
}

fn check_place(place: &PlaceOrder, now: Timestamp) -> Result<(), String> {
    check::optional_id("customer_id", &place.customer_id)?;
    check::id("product_id", &place.product_id)?;
    check::text("size", &place.size)?;
    check::number("qty", place.qty.into(), 1, QTY_MAX.into())?;
    check::number("price", place.price, 0, PRICE_MAX)?;
    // A time far ahead would outlive the memory of the order, and let a repeat of it pass for a new one.
    check::number("placed_at", place.placed_at, 0, now.saturating_add(CLOCK_SKEW_MS_MAX))
}

fn is_same(order: &Order, place: &PlaceOrder) -> bool {
    order.customer_id == place.customer_id
        && order.product_id == place.product_id
        && order.size == place.size
        && order.qty == place.qty
        && order.price == place.price
}

fn new_order(place: &PlaceOrder, now: Timestamp, rules: &Settings) -> Order {
    Order {
        order_id: place.order_id.clone(),
        customer_id: place.customer_id.clone(),
        product_id: place.product_id.clone(),
        size: place.size.clone(),
        qty: place.qty,
        price: place.price,
        placed_at: place.placed_at,
        command_id: place.command_id.clone(),
        status: OrderState::Unknown,
        reason: None,
        detail: String::new(),
        version: 0,
        stock: StockPhase::Asked,
        payment: payment::new(&rules.application_id, &place.order_id, &place.customer_id, place.price, now),
        delivery: DeliveryPhase::None,
        created_at: now,
        deadline_at: Some(now.saturating_add(rules.payment_deadline_ms)),
        settled_at: None,
        history: Vec::new(),
    }
}

fn on_cancel(order: Option<Order>, cancel: &CancelOrder, now: Timestamp, rules: &Settings) -> Step {
    if let Err(reason) = check::text("reason", &cancel.reason) {
        return Step::answer(order, Verdict::Invalid, reason);
    }
    let reason = match cancel.requested_by {
        CancelRequester::Customer => CancellationReason::Customer,
        CancelRequester::Md => CancellationReason::Md,
        CancelRequester::Unknown => {
            return Step::answer(order, Verdict::Invalid, "requested_by is neither CUSTOMER nor MD");
        }
    };
    let Some(order) = order else {
        return Step::answer(None, Verdict::NotFound, format!("there is no order '{}'", cancel.order_id));
    };
    if order.reason.is_some() {
        let how = if order.is_cancelled() { "is cancelled" } else { "is being cancelled" };
        let detail = format!("order '{}' {how} already", cancel.order_id);
        return Step::answer(Some(order), Verdict::AlreadyCancelled, detail);
    }
    let mut saga = Saga { order, commands: Vec::new(), stage: OrderStage::Cancellation, now, rules };
    saga.give_up(reason, &cancel.reason);
    saga.done(Some((Verdict::Accepted, String::new())))
}

/// An order while an event is taken in.
struct Saga<'a> {
    order: Order,
    commands: Vec<Command>,
    stage: OrderStage,
    now: Timestamp,
    rules: &'a Settings,
}

impl Saga<'_> {
    fn on_stock(&mut self, result: &StockResult) -> Result<(), String> {
        self.stage = OrderStage::Stock;
        if result.product_id != self.order.product_id {
            return Err(format!("a stock result for a product that order '{}' is not about", self.order.order_id));
        }
        match (self.order.stock, result.outcome) {
            (_, StockOutcome::Unknown) => return Err("a stock outcome that this release does not know".into()),
            (StockPhase::Asked, StockOutcome::Reserved) => {
                self.order.stock = StockPhase::Reserved;
                self.enter(OrderState::StockReserved, "");
                let charge = payment::charge(&mut self.order.payment, self.now);
                self.ask_payment(charge);
            }
            (StockPhase::Asked, StockOutcome::Rejected) => {
                self.order.stock = StockPhase::Rejected;
                match result.reason {
                    Some(StockRejection::UnknownProduct) => {
                        self.give_up(CancellationReason::UnknownProduct, "there is no such product");
                    }
                    _ => self.give_up(CancellationReason::OutOfStock, "there are not enough pieces"),
                }
            }
            (StockPhase::Releasing, StockOutcome::Released | StockOutcome::Rejected) => {
                self.order.stock = match result.outcome {
                    StockOutcome::Rejected => StockPhase::Rejected,
                    _ => StockPhase::Released,
                };
                self.unwind();
            }
            // A repeat; or RESERVED while a RELEASE is under way, whose answer follows.
            _ => {}
        }
        Ok(())
    }

    fn on_payment(&mut self, result: &PaymentResult) -> Result<(), String> {
        self.stage = OrderStage::Payment;
        let before = self.order.payment.phase;
        let next = payment::answer(&mut self.order.payment, result, self.now, &self.rules.retry)?;
        self.ask_payment(next);
        if self.order.reason.is_some() {
            // A late approval may have to be paid back after the end; that is no step of unwinding.
            if !self.order.is_cancelled() && self.order.payment.phase != before {
                self.unwind();
            }
            return Ok(());
        }
        match self.order.payment.phase {
            PaymentPhase::Approved if before != PaymentPhase::Approved => {
                self.order.deadline_at = None;
                self.enter(OrderState::Paid, "");
                self.order.delivery = DeliveryPhase::Asked;
                self.ask_delivery(DeliveryRequestKind::Start);
            }
            PaymentPhase::Declined => {
                let words = self.order.payment.reason.clone().unwrap_or_default();
                self.give_up(CancellationReason::PaymentDeclined, &words);
            }
            PaymentPhase::Charging
                if self.order.payment.deferred && self.order.status != OrderState::PaymentDeferred =>
            {
                let words = self.order.payment.reason.clone().unwrap_or_default();
                self.enter(OrderState::PaymentDeferred, &words);
            }
            _ => {}
        }
        Ok(())
    }

    fn on_delivery(&mut self, event: &DeliveryEvent) {
        self.stage = OrderStage::Delivery;
        match (self.order.delivery, &event.event) {
            (DeliveryPhase::Asked, DeliveryEventKind::DeliveryStarted(_)) => {
                self.order.delivery = DeliveryPhase::Started;
                self.enter(OrderState::DeliveryStarted, "");
            }
            (DeliveryPhase::Cancelling, DeliveryEventKind::DeliveryCancelled(_)) => {
                self.order.delivery = DeliveryPhase::Cancelled;
                self.enter(OrderState::DeliveryCancelled, "");
                self.unwind();
            }
            // Delivery management called the parcel back of its own accord.
            (DeliveryPhase::Asked | DeliveryPhase::Started, DeliveryEventKind::DeliveryCancelled(cancelled)) => {
                self.order.delivery = DeliveryPhase::Cancelled;
                self.order.reason = Some(CancellationReason::Md);
                self.order.detail = check::clip(&cancelled.reason);
                let detail = self.order.detail.clone();
                self.enter(OrderState::DeliveryCancelled, &detail);
                self.unwind();
            }
            // A repeat, an event of a delivery never asked for, or a start that the CANCEL under way will undo.
            _ => {}
        }
    }

    fn on_deadline(&mut self) {
        self.stage = OrderStage::Deadline;
        if self.order.reason.is_some() || self.order.payment.phase == PaymentPhase::Approved {
            return;
        }
        let waited_for = match (self.order.stock, self.order.payment.deferred) {
            (StockPhase::Asked, _) => "the stock did not decide in time",
            (_, true) => "the payment was put off until the deadline",
            (_, false) => "the payment system did not answer in time",
        };
        self.give_up(CancellationReason::PaymentTimeout, waited_for);
    }

    fn on_payment_retry(&mut self) {
        self.stage = OrderStage::Payment;
        let again = payment::again(&mut self.order.payment, self.now, &self.rules.retry);
        self.ask_payment(again);
    }

    /// From here on everything is undone.
    fn give_up(&mut self, reason: CancellationReason, detail: &str) {
        self.order.reason = Some(reason);
        self.order.detail = detail.to_owned();
        self.order.deadline_at = None;
        self.unwind();
    }

    /// Undoes the last thing that is not undone yet, or waits for that; tells the end when nothing is left.
    fn unwind(&mut self) {
        let parcel =
            matches!(self.order.delivery, DeliveryPhase::Asked | DeliveryPhase::Started | DeliveryPhase::Cancelling);
        let money = !payment::is_closed(&self.order.payment);
        let pieces = !matches!(self.order.stock, StockPhase::Rejected | StockPhase::Released);
        if (parcel || money || pieces)
            && !matches!(self.order.status, OrderState::Cancelling | OrderState::DeliveryCancelled)
        {
            let detail = self.order.detail.clone();
            self.enter(OrderState::Cancelling, &detail);
        }
        if parcel {
            if self.order.delivery != DeliveryPhase::Cancelling {
                self.order.delivery = DeliveryPhase::Cancelling;
                self.ask_delivery(DeliveryRequestKind::Cancel);
            }
        } else if money {
            let undo = payment::undo(&mut self.order.payment, self.now);
            self.ask_payment(undo);
        } else if pieces {
            if self.order.stock != StockPhase::Releasing {
                self.order.stock = StockPhase::Releasing;
                self.ask_stock(StockRequestKind::Release);
            }
        } else {
            let detail = self.order.detail.clone();
            self.enter(OrderState::Cancelled, &detail);
            self.tell_cancelled();
        }
    }

    /// Changes the order's state and tells it.
    fn enter(&mut self, status: OrderState, detail: &str) {
        let order = &mut self.order;
        order.status = status;
        order.version = order.version.saturating_add(1);
        order.history.push(OrderStep {
            version: order.version,
            status,
            stage: self.stage,
            reason: order.reason,
            detail: detail.to_owned(),
            at: self.now,
        });
        self.commands.push(Command::Status(OrderStatus {
            order_id: order.order_id.clone(),
            customer_id: order.customer_id.clone(),
            product_id: order.product_id.clone(),
            size: order.size.clone(),
            qty: order.qty,
            price: order.price,
            status,
            reason: order.reason,
            stage: self.stage,
            version: order.version,
            at: self.now,
        }));
    }

    fn ask_stock(&mut self, kind: StockRequestKind) {
        self.commands.push(Command::Stock(StockRequest {
            kind,
            order_id: self.order.order_id.clone(),
            product_id: self.order.product_id.clone(),
            qty: self.order.qty,
            command_id: self.order.command_id.clone(),
            requested_at: self.now,
        }));
    }

    fn ask_payment(&mut self, request: Option<PaymentRequest>) {
        self.commands.extend(request.map(Command::Payment));
    }

    fn ask_delivery(&mut self, kind: DeliveryRequestKind) {
        let reason = match kind {
            DeliveryRequestKind::Cancel => self.order.detail.clone(),
            _ => String::new(),
        };
        self.commands.push(Command::Delivery(DeliveryRequest {
            kind,
            order_id: self.order.order_id.clone(),
            customer_id: self.order.customer_id.clone(),
            product_id: self.order.product_id.clone(),
            size: self.order.size.clone(),
            qty: self.order.qty,
            reason,
            requested_at: self.now,
        }));
    }

    fn tell_cancelled(&mut self) {
        self.commands.push(Command::Cancelled(OrderCancelled {
            order_id: self.order.order_id.clone(),
            customer_id: self.order.customer_id.clone(),
            product_id: self.order.product_id.clone(),
            size: self.order.size.clone(),
            qty: self.order.qty,
            price: self.order.price,
            reason: self.order.reason.unwrap_or(CancellationReason::Unknown),
            detail: self.order.detail.clone(),
            cancelled_at: self.now,
        }));
    }

    /// The end of the step: notes since when nothing is under way.
    fn done(mut self, verdict: Option<(Verdict, String)>) -> Step {
        let order = &mut self.order;
        let settled = match order.status {
            OrderState::Cancelled => payment::is_closed(&order.payment),
            OrderState::DeliveryStarted => true,
            _ => false,
        };
        order.settled_at = if settled { order.settled_at.or(Some(self.now)) } else { None };
        Step { state: Some(self.order), commands: self.commands, verdict }
    }
}
