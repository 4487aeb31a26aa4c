//! The stock: products with their pieces, and reservations for orders.
//!
//! A piece is free, or reserved for one order; a reservation is held, rejected or released, and goes through these in one
//! direction only. Both are decided by pure functions; the processor reads, decides, writes and answers.

use schemas::fashion::state::{Product, Reservation, ReservationPhase, reservation_key};
use schemas::fashion::{
    ProductCommand, ProductCommandKind, RegisterProduct, RestockProduct, StockOutcome, StockRejection, StockRequest,
    StockRequestKind, StockResult,
};
use schemas::state::{KEY_SEPARATOR, Verdict};
use streams::store::{KeyValueStore, StateAccess as _};
use streams::{Context, ProcessError, Processor, PunctuationType, Record, ScheduleId, Timestamp};

use crate::limits::{PRICE_MAX, QTY_MAX, STOCK_MAX};
use crate::saga::{Due, DueKind, Ledger, Timers, check};

/// What can happen to a product.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The merchandiser asks for something.
    Command(ProductCommand),
    /// The order saga asks for something.
    Request(StockRequest),
}

/// What was decided about a product command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// The product as it is from now on; `None` when nothing changes.
    pub product: Option<Product>,
    /// The answer.
    pub verdict: Verdict,
    /// Why, in words; empty when accepted.
    pub detail: String,
}

fn decision(verdict: Verdict, detail: String) -> Decision {
    Decision { product: None, verdict, detail }
}

/// Decides a registration: the first one of an id counts.
#[must_use]
pub fn register(known: Option<&Product>, command: &RegisterProduct, now: Timestamp) -> Decision {
    let valid = check::text("name", &command.name)
        .and_then(|()| check::number("price", command.price, 0, PRICE_MAX))
        .and_then(|()| check::number("stock", command.stock.into(), 0, i32::MAX.into()));
    if let Err(reason) = valid {
        return decision(Verdict::Invalid, reason);
    }
    if let Some(known) = known {
        let same = (&known.name, known.price, known.registered) == (&command.name, command.price, command.stock);
        let (verdict, what) = if same { (Verdict::Duplicate, "the same") } else { (Verdict::Conflict, "another") };
        return decision(verdict, format!("product '{}' was registered before, with {what} content", known.product_id));
    }
    let product = Product {
        product_id: command.product_id.clone(),
        name: command.name.clone(),
        price: command.price,
        registered: command.stock,
        on_hand: command.stock.into(),
        reserved: 0,
        registered_at: now,
        updated_at: now,
    };
    Decision { product: Some(product), verdict: Verdict::Accepted, detail: String::new() }
}

/// Decides a restock.
#[must_use]
pub fn restock(known: Option<&Product>, command: &RestockProduct, now: Timestamp) -> Decision {
    if let Err(reason) = check::number("qty", command.qty.into(), 1, QTY_MAX.into()) {
        return decision(Verdict::Invalid, reason);
    }
    let Some(known) = known else {
        return decision(Verdict::NotFound, format!("there is no product '{}'", command.product_id));
    };
    let on_hand = known.on_hand.saturating_add(command.qty.into());
    if let Err(reason) = check::number("the stock after this", on_hand, 0, STOCK_MAX) {
        return decision(Verdict::Invalid, reason);
    }
    let product = Product { on_hand, updated_at: now, ..known.clone() };
    Decision { product: Some(product), verdict: Verdict::Accepted, detail: String::new() }
}

/// Decides a request of the order saga. `None` for the product means it does not change.
///
/// A request that comes again gets the answer it got. A RELEASE that overtakes its RESERVE is remembered: the RESERVE
/// then takes nothing.
///
/// # Errors
/// When the request makes no sense.
pub fn request(
    known: Option<&Product>,
    reservation: Option<&Reservation>,
    request: &StockRequest,
    now: Timestamp,
) -> Result<(Option<Product>, Reservation), String> {
    check::number("qty", request.qty.into(), 1, QTY_MAX.into())?;
    let decided = |phase, reason| Reservation {
        order_id: request.order_id.clone(),
        product_id: request.product_id.clone(),
        qty: request.qty,
        phase,
        reason,
        at: now,
    };
    match (request.kind, reservation) {
        (StockRequestKind::Unknown, _) => Err("a kind of stock request that this release does not know".into()),
        (StockRequestKind::Reserve, Some(decided)) => Ok((None, decided.clone())),
        (StockRequestKind::Reserve, None) => Ok(match known {
            None => (None, decided(ReservationPhase::Rejected, Some(StockRejection::UnknownProduct))),
            Some(product) if product.free() < i64::from(request.qty) => {
                (None, decided(ReservationPhase::Rejected, Some(StockRejection::OutOfStock)))
            }
            Some(product) => {
                let reserved = product.reserved.saturating_add(request.qty.into());
                let product = Product { reserved, updated_at: now, ..product.clone() };
                (Some(product), decided(ReservationPhase::Held, None))
            }
        }),
        (StockRequestKind::Release, Some(held)) if held.phase == ReservationPhase::Held => {
            let product = known.ok_or_else(|| format!("no product '{}' to release pieces of", request.product_id))?;
            // What was taken goes back, whatever the request says.
            let reserved = product.reserved.saturating_sub(held.qty.into());
            let product = Product { reserved, updated_at: now, ..product.clone() };
            Ok((Some(product), Reservation { phase: ReservationPhase::Released, at: now, ..held.clone() }))
        }
        (StockRequestKind::Release, Some(decided)) => Ok((None, decided.clone())),
        (StockRequestKind::Release, None) => Ok((None, decided(ReservationPhase::Released, None))),
    }
}

/// Forgets a reservation: pieces still held by then are sold, and leave the count with it.
#[must_use]
pub fn sold(product: &Product, reservation: &Reservation, now: Timestamp) -> Option<Product> {
    let qty = i64::from(reservation.qty);
    (reservation.phase == ReservationPhase::Held).then(|| Product {
        on_hand: product.on_hand.saturating_sub(qty),
        reserved: product.reserved.saturating_sub(qty),
        updated_at: now,
        ..product.clone()
    })
}

/// The answer that a reservation is to a request.
#[must_use]
pub fn answer(reservation: &Reservation, request: &StockRequest, now: Timestamp) -> StockResult {
    let outcome = match (reservation.phase, request.kind) {
        // A release has nothing left to do when nothing was taken: it is carried out.
        (_, StockRequestKind::Release) | (ReservationPhase::Released, _) => StockOutcome::Released,
        (ReservationPhase::Held, _) => StockOutcome::Reserved,
        (ReservationPhase::Rejected | ReservationPhase::Unknown, _) => StockOutcome::Rejected,
    };
    StockResult {
        outcome,
        order_id: request.order_id.clone(),
        product_id: request.product_id.clone(),
        qty: reservation.qty,
        reason: reservation.reason.filter(|_| outcome == StockOutcome::Rejected),
        command_id: request.command_id.clone(),
        at: now,
    }
}

/// The stock's processor. Forwards results, keyed by order.
pub(super) struct Stock {
    pub(super) timer_resolution_ms: i64,
    /// How long a reservation is remembered after its last change.
    pub(super) reservation_retention_ms: i64,
    pub(super) products: KeyValueStore<String, Product>,
    pub(super) reservations: KeyValueStore<String, Reservation>,
    pub(super) ledger: Ledger,
    pub(super) timers: Timers,
}

type Cx<'a> = Context<'a, String, StockResult>;

impl Processor for Stock {
    type KeyIn = String;
    type ValueIn = Event;
    type KeyOut = String;
    type ValueOut = StockResult;

    fn init(&self, cx: &mut Cx<'_>) -> Result<(), ProcessError> {
        cx.schedule(self.timer_resolution_ms, PunctuationType::WallClockTime);
        Ok(())
    }

    fn process(&self, cx: &mut Cx<'_>, record: Record<'_, String, Event>) -> Result<(), ProcessError> {
        match record.value {
            Some(Event::Command(command)) => self.on_command(cx, command),
            Some(Event::Request(request)) => self.on_request(cx, request),
            None => Err(ProcessError::Topology("an event without product".into())),
        }
    }

    fn punctuate(&self, cx: &mut Cx<'_>, _schedule: ScheduleId, now: Timestamp) -> Result<(), ProcessError> {
        for (due, Due { kind, id }) in self.timers.take_due(cx, now)? {
            match kind {
                DueKind::Forget => self.forget(cx, &id)?,
                DueKind::ForgetCommand => self.ledger.forget(cx, due, &id)?,
                DueKind::Deadline | DueKind::PaymentRetry => {}
            }
        }
        Ok(())
    }
}

impl Stock {
    fn on_command(&self, cx: &mut Cx<'_>, command: &ProductCommand) -> Result<(), ProcessError> {
        self.ledger.once(cx, command, |cx| {
            let id = schemas::Keyed::key(command).to_owned();
            let known = self.products.get(cx, &id)?;
            let Decision { product, verdict, detail } = match &command.command {
                ProductCommandKind::RegisterProduct(command) => register(known.as_ref(), command, cx.now()),
                ProductCommandKind::RestockProduct(command) => restock(known.as_ref(), command, cx.now()),
            };
            if let Some(product) = product {
                self.products.put(cx, &id, &product)?;
            }
            Ok(Some((verdict, detail)))
        })
    }

    fn on_request(&self, cx: &mut Cx<'_>, ask: &StockRequest) -> Result<(), ProcessError> {
        check::id("order_id", &ask.order_id).map_err(ProcessError::rejected)?;
        let key = reservation_key(&ask.product_id, &ask.order_id);
        let known = self.products.get(cx, &ask.product_id)?;
        let old = self.reservations.get(cx, &key)?;
        let now = cx.now();
        let (product, new) = request(known.as_ref(), old.as_ref(), ask, now).map_err(ProcessError::rejected)?;
        if let Some(product) = product {
            self.products.put(cx, &ask.product_id, &product)?;
        }
        if old.as_ref() != Some(&new) {
            self.reservations.put(cx, &key, &new)?;
            let due = |r: &Reservation| r.at.saturating_add(self.reservation_retention_ms);
            self.timers.follow(cx, DueKind::Forget, &key, old.as_ref().map(due), Some(due(&new)))?;
        }
        let at = cx.timestamp();
        cx.forward(Record::new(Some(&ask.order_id), Some(&answer(&new, ask, now)), at))
    }

    fn forget(&self, cx: &mut Cx<'_>, key: &String) -> Result<(), ProcessError> {
        let Some(reservation) = self.reservations.get(cx, key)? else {
            return Ok(());
        };
        self.reservations.delete(cx, key)?;
        let product_id = key.split(KEY_SEPARATOR).next().unwrap_or_default().to_owned();
        let known = self.products.get(cx, &product_id)?;
        if let Some(product) = known.and_then(|product| sold(&product, &reservation, cx.now())) {
            self.products.put(cx, &product_id, &product)?;
        }
        Ok(())
    }
}
