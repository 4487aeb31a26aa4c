//! The order saga, its stock, its delivery and a payment provider as a model, walked exhaustively: every order in which
//! their messages can be taken in, every answer each of them can give (each step failing in its turn), a cancellation by
//! the customer and one by the merchandiser at every point, the deadline at every point, answers that come twice and
//! answers that overtake each other. The "never"s of the business are checked in every state, not only at the end, and
//! every end must be settled.
//!
//! The functions walked are those that run: `saga::step`, `stock::request`, `delivery::request`, `payment::answer`.

#![expect(clippy::print_stdout, reason = "a walk says how far it went")]

mod support;

use std::collections::{BTreeMap, HashSet};

use schemas::fashion::state::{Delivery, DeliveryPhase, Order, Product, Reservation, ReservationPhase};
use schemas::fashion::{
    CancelRequester, DeliveryEvent, DeliveryEventKind, DeliveryRequest, DeliveryRequestKind, OrderCommand, OrderState,
    ProductCommandKind, StockRequest, StockResult,
};
use schemas::payment::{PaymentOutcome, PaymentRequest, PaymentRequestKind, PaymentResult};
use schemas::state::Verdict;
use topologies::fashion_store::{Command, Config, Event, delivery, step, stock};
use topologies::saga::settings::Settings;

/// All happens at one moment: the model is about order, not about duration.
const NOW: i64 = 1_000;

/// What a walk allows.
#[derive(Clone, Copy, Debug)]
struct Bounds {
    name: &'static str,
    /// Pieces in stock; the order wants 2. `None`: no such product.
    stock: Option<i32>,
    /// Cancellations, at any point: by the customer first, then by the merchandiser.
    cancels: u8,
    /// The deadline may pass at any point.
    deadline: bool,
    /// Payment calls without a definite answer.
    deferrals: u8,
    /// Messages that are taken in twice.
    repeats: u8,
    /// Messages may overtake each other.
    any_order: bool,
    /// The provider refuses to void a charge that it has taken.
    void_refused: bool,
    /// Delivery management may call a parcel back of its own accord.
    parcel_refused: bool,
}

const NONE: Bounds = Bounds {
    name: "",
    stock: Some(5),
    cancels: 0,
    deadline: false,
    deferrals: 0,
    repeats: 0,
    any_order: false,
    void_refused: false,
    parcel_refused: false,
};

/// A message under way.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Message {
    Place,
    Cancel(CancelRequester),
    Stock(StockRequest),
    StockResult(StockResult),
    Payment(PaymentRequest),
    PaymentResult(PaymentResult),
    Delivery(DeliveryRequest),
    DeliveryEvent(DeliveryEvent),
}

impl Message {
    /// Messages of one way keep their order, as on one partition.
    fn way(&self) -> u8 {
        match self {
            Message::Place | Message::Cancel(_) => 0,
            Message::Stock(_) => 1,
            Message::StockResult(_) => 2,
            Message::Payment(_) => 3,
            Message::PaymentResult(_) => 4,
            Message::Delivery(_) => 5,
            Message::DeliveryEvent(_) => 6,
        }
    }
}

/// What the provider knows of the charge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Charge {
    Never,
    Taken,
    Declined,
    Voided,
    Refunded,
}

#[derive(Clone, PartialEq, Eq, Hash)]
struct World {
    order: Option<Order>,
    product: Option<Product>,
    reservation: Option<Reservation>,
    parcel: Option<Delivery>,
    charge: Charge,
    taken: u8,
    returned: u8,
    starts: u8,
    told_cancelled: u8,
    verdicts: Vec<Verdict>,
    under_way: Vec<Message>,
    cancels: u8,
    deadline: bool,
    deferrals: u8,
    repeats: u8,
}

struct Walk {
    bounds: Bounds,
    rules: Settings,
    seen: HashSet<World>,
    ends: BTreeMap<String, u64>,
    transitions: u64,
}

fn walk(bounds: Bounds) -> Walk {
    let rules = Config::default().saga;
    let product = bounds.stock.and_then(|pieces| match support::register("p", pieces) {
        ProductCommandKind::RegisterProduct(r) => stock::register(None, &r, NOW).product,
        ProductCommandKind::RestockProduct(_) => None,
    });
    let start = World {
        order: None,
        product,
        reservation: None,
        parcel: None,
        charge: Charge::Never,
        taken: 0,
        returned: 0,
        starts: 0,
        told_cancelled: 0,
        verdicts: Vec::new(),
        under_way: vec![Message::Place],
        cancels: bounds.cancels,
        deadline: bounds.deadline,
        deferrals: bounds.deferrals,
        repeats: bounds.repeats,
    };
    let mut walk = Walk { bounds, rules, seen: HashSet::new(), ends: BTreeMap::new(), transitions: 0 };
    let mut left = vec![start];
    while let Some(world) = left.pop() {
        if !walk.seen.insert(world.clone()) {
            continue;
        }
        walk.check(&world);
        let next = walk.next(&world);
        walk.transitions += next.len() as u64;
        // At rest: nothing is under way and no timer but the deadline runs. A cancellation may still come, or never.
        let waits = world.order.as_ref().is_some_and(|o| o.payment.retry_at.is_some());
        if world.under_way.is_empty() && !waits {
            walk.check_end(&world);
        }
        left.extend(next);
    }
    walk
}

impl Walk {
    /// Every world that can come after this one.
    fn next(&self, world: &World) -> Vec<World> {
        let mut next = Vec::new();
        for at in 0..world.under_way.len() {
            let way = world.under_way[at].way();
            let first = world.under_way.iter().position(|m| m.way() == way) == Some(at);
            if first || self.bounds.any_order {
                self.take_in(world, at, false, &mut next);
                if world.repeats > 0 {
                    self.take_in(world, at, true, &mut next);
                }
            }
        }
        if world.cancels > 0 {
            let mut w = world.clone();
            w.cancels -= 1;
            let by = if w.cancels + 1 == self.bounds.cancels { CancelRequester::Customer } else { CancelRequester::Md };
            w.under_way.push(Message::Cancel(by));
            next.push(w);
        }
        if world.deadline && world.order.as_ref().is_some_and(|o| o.deadline_at.is_some()) {
            let mut w = world.clone();
            w.deadline = false;
            self.saga(&mut w, &Event::Deadline);
            next.push(w);
        }
        if world.order.as_ref().is_some_and(|o| o.payment.retry_at.is_some()) {
            let mut w = world.clone();
            self.saga(&mut w, &Event::PaymentRetry);
            next.push(w);
        }
        next
    }

    /// Takes one message in, with every answer its receiver can give. `keep`: it will come once more.
    fn take_in(&self, world: &World, at: usize, keep: bool, next: &mut Vec<World>) {
        let mut w = world.clone();
        let message = if keep {
            w.repeats -= 1;
            w.under_way[at].clone()
        } else {
            w.under_way.remove(at)
        };
        match &message {
            Message::Place => self.command(&mut w, support::place("o", "p", 2)),
            Message::Cancel(by) => self.command(&mut w, support::cancel("c", "o", *by)),
            Message::StockResult(result) => self.saga(&mut w, &Event::Stock(result.clone())),
            Message::PaymentResult(result) => self.saga(&mut w, &Event::Payment(result.clone())),
            Message::DeliveryEvent(event) => self.saga(&mut w, &Event::Delivery(event.clone())),
            Message::Stock(request) => stock_takes(&mut w, request),
            Message::Payment(request) => return self.provider_takes(&w, request, next),
            Message::Delivery(request) => {
                if self.bounds.parcel_refused && request.kind == DeliveryRequestKind::Start && w.parcel.is_none() {
                    let mut refused = w.clone();
                    let cancel = DeliveryRequest { kind: DeliveryRequestKind::Cancel, ..request.clone() };
                    delivery_takes(&mut refused, &cancel);
                    next.push(refused);
                }
                delivery_takes(&mut w, request);
            }
        }
        next.push(w);
    }

    fn command(&self, w: &mut World, command: schemas::fashion::OrderCommandKind) {
        self.saga(w, &Event::Command(OrderCommand { command }));
    }

    fn saga(&self, w: &mut World, event: &Event) {
        let step = step(w.order.take(), event, NOW, &self.rules).expect("every event of this world is about the order");
        w.order = step.state;
        w.verdicts.extend(step.verdict.map(|(verdict, _)| verdict));
        for command in step.commands {
            match command {
                Command::Stock(request) => w.under_way.push(Message::Stock(request)),
                Command::Payment(request) => w.under_way.push(Message::Payment(request)),
                Command::Delivery(request) => w.under_way.push(Message::Delivery(request)),
                Command::Cancelled(_) => w.told_cancelled += 1,
                Command::Status(_) => {}
            }
        }
    }

    /// The provider's own rules, independent of the saga's: see `node`'s simulated provider.
    fn provider_takes(&self, w: &World, request: &PaymentRequest, next: &mut Vec<World>) {
        let answers: &[PaymentOutcome] = match (request.kind, w.charge) {
            (PaymentRequestKind::Charge, Charge::Never) => &[PaymentOutcome::Approved, PaymentOutcome::Declined],
            (PaymentRequestKind::Charge, Charge::Taken | Charge::Refunded) => &[PaymentOutcome::Approved],
            (PaymentRequestKind::Charge, Charge::Declined | Charge::Voided) => &[PaymentOutcome::Declined],
            (PaymentRequestKind::Void, Charge::Taken | Charge::Refunded) if self.bounds.void_refused => {
                &[PaymentOutcome::Declined]
            }
            (PaymentRequestKind::Void, _) => &[PaymentOutcome::Voided],
            (PaymentRequestKind::Refund, Charge::Never | Charge::Declined) => &[PaymentOutcome::Declined],
            (PaymentRequestKind::Refund, _) => &[PaymentOutcome::Refunded],
            (PaymentRequestKind::Unknown, _) => &[],
        };
        for outcome in answers {
            let mut after = w.clone();
            after.charge = match (outcome, request.kind, w.charge) {
                (PaymentOutcome::Approved, _, Charge::Never) => {
                    after.taken += 1;
                    Charge::Taken
                }
                (PaymentOutcome::Declined, PaymentRequestKind::Charge, Charge::Never) => Charge::Declined,
                (PaymentOutcome::Voided | PaymentOutcome::Refunded, _, Charge::Taken) => {
                    after.returned += 1;
                    if *outcome == PaymentOutcome::Voided { Charge::Voided } else { Charge::Refunded }
                }
                (PaymentOutcome::Voided, _, Charge::Never) => Charge::Voided,
                (_, _, as_before) => as_before,
            };
            if w.deferrals > 0 {
                // It took effect, and nobody heard the answer.
                let mut unheard = after.clone();
                unheard.deferrals -= 1;
                unheard.under_way.push(result(request, PaymentOutcome::Deferred));
                next.push(unheard);
            }
            after.under_way.push(result(request, *outcome));
            next.push(after);
        }
        if w.deferrals > 0 {
            // It never arrived.
            let mut lost = w.clone();
            lost.deferrals -= 1;
            lost.under_way.push(result(request, PaymentOutcome::Deferred));
            next.push(lost);
        }
    }

    /// What holds at every moment.
    fn check(&self, w: &World) {
        let held = w.taken - w.returned;
        let kept = w.reservation.as_ref().is_some_and(|r| r.phase == ReservationPhase::Held);
        let out = w.parcel.as_ref().is_some_and(|d| d.phase == DeliveryPhase::Started);
        let show = || format!("{:?}: {:?} charge {:?} under way {:?}", self.bounds, w.order, w.charge, w.under_way);
        assert!(w.taken <= 1, "charged twice: {}", show());
        assert!(w.returned <= w.taken, "a refund without a charge, or two: {}", show());
        assert!(held == 0 || kept, "paid without stock: {}", show());
        assert!(!out || held == 1, "delivered without payment: {}", show());
        assert!(w.starts <= 1, "delivered twice: {}", show());
        assert!(w.told_cancelled <= 1, "ended twice: {}", show());
        if let Some(p) = &w.product {
            assert_eq!(p.reserved, if kept { 2 } else { 0 }, "stock lost or created: {}", show());
            assert!(p.free() >= 0, "stock below zero: {}", show());
        }
        let accepted = w.verdicts.iter().filter(|v| **v == Verdict::Accepted).count();
        assert!(accepted <= 2, "one order and one cancellation: {}", show());
    }

    /// What holds when everything is at rest.
    fn check_end(&mut self, w: &World) {
        let held = w.taken - w.returned;
        let kept = w.reservation.as_ref().is_some_and(|r| r.phase == ReservationPhase::Held);
        let out = w.parcel.as_ref().is_some_and(|d| d.phase == DeliveryPhase::Started);
        let order = w.order.as_ref().expect("the order was placed");
        assert!(order.settled_at.is_some(), "it ends without being settled: {:?} {order:?}", self.bounds);
        match order.status {
            OrderState::DeliveryStarted => assert_eq!((held, kept, out, w.told_cancelled), (1, true, true, 0)),
            OrderState::Cancelled => assert_eq!((held, kept, out, w.told_cancelled), (0, false, false, 1), "{order:?}"),
            other => panic!("it ends as {other}: {order:?}"),
        }
        let versions: Vec<i32> = order.history.iter().map(|s| s.version).collect();
        assert_eq!(versions, (1..=order.version).collect::<Vec<_>>());
        let end = format!("{}/{}", order.status, order.reason.map_or("", |r| r.symbol()));
        *self.ends.entry(end).or_default() += 1;
    }
}

fn result(request: &PaymentRequest, outcome: PaymentOutcome) -> Message {
    Message::PaymentResult(support::result(request, outcome, NOW))
}

fn stock_takes(w: &mut World, request: &StockRequest) {
    let (product, reservation) = stock::request(w.product.as_ref(), w.reservation.as_ref(), request, NOW)
        .expect("the saga's requests make sense");
    if product.is_some() {
        w.product = product;
    }
    let result = stock::answer(&reservation, request, NOW);
    w.reservation = Some(reservation);
    w.under_way.push(Message::StockResult(result));
}

fn delivery_takes(w: &mut World, request: &DeliveryRequest) {
    let old = w.parcel.take();
    let new = delivery::request(old.clone(), request, NOW).expect("the saga's requests make sense");
    if old.as_ref() != Some(&new) {
        let event = delivery::event(&new, NOW);
        w.starts += u8::from(matches!(event.event, DeliveryEventKind::DeliveryStarted(_)));
        w.under_way.push(Message::DeliveryEvent(event));
    }
    w.parcel = Some(new);
}

#[test]
fn nothing_that_must_never_happen_happens_in_any_interleaving() {
    let walks = [
        Bounds { name: "every step failing in its turn", ..NONE },
        Bounds { name: "no such product", stock: None, cancels: 2, deadline: true, repeats: 1, ..NONE },
        Bounds { name: "out of stock", stock: Some(1), cancels: 2, deadline: true, repeats: 1, ..NONE },
        Bounds { name: "cancellations at every point", cancels: 2, ..NONE },
        Bounds { name: "cancellations, deadline, deferrals", cancels: 2, deadline: true, deferrals: 3, ..NONE },
        Bounds { name: "every message twice", cancels: 1, deadline: true, deferrals: 1, repeats: 2, ..NONE },
        Bounds {
            name: "messages overtake each other",
            cancels: 2,
            deadline: true,
            deferrals: 2,
            any_order: true,
            ..NONE
        },
        Bounds { name: "overtaking and repeated", cancels: 1, deferrals: 1, repeats: 1, any_order: true, ..NONE },
        Bounds {
            name: "voids refused",
            cancels: 2,
            deadline: true,
            deferrals: 2,
            repeats: 1,
            void_refused: true,
            ..NONE
        },
        Bounds {
            name: "parcels refused",
            cancels: 2,
            deadline: true,
            deferrals: 1,
            repeats: 1,
            parcel_refused: true,
            ..NONE
        },
    ];
    let (mut states, mut transitions) = (0, 0);
    for bounds in walks {
        let walk = walk(bounds);
        println!("{}: {} states, {} transitions, ends {:?}", bounds.name, walk.seen.len(), walk.transitions, walk.ends);
        assert!(!walk.ends.is_empty());
        states += walk.seen.len();
        transitions += walk.transitions;
    }
    println!("{transitions} cases over {states} states");
    // A walk that lost its way would pass: it must have been long.
    assert!(transitions > 10_000, "{transitions}");
}
