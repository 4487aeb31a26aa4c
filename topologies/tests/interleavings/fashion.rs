//! fashion-store in every interleaving: an order, its stock, its delivery and a payment provider; cancellations by the
//! customer and by the merchandiser; two orders for the last pieces.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use schemas::fashion::state::{Delivery, DeliveryPhase, Order, Product, Reservation, ReservationPhase};
use schemas::fashion::{
    CancelRequester, DeliveryEvent, DeliveryEventKind, DeliveryRequest, DeliveryRequestKind, OrderCommand,
    OrderCommandKind, OrderState, ProductCommandKind, StockRequest, StockResult,
};
use schemas::payment::PaymentResult;
use topologies::fashion_store::{Command, Config, Event, delivery, step, stock};
use topologies::saga::settings::Settings;

use crate::support::{cancel, place, register};
use crate::walk::{Bounds, Business, NONE, NOW, Out, Provider, Timers};
use crate::{CANCELLED, Case, STEP_FAILS, TOO_LATE, TWICE, check};

/// Pieces of each order.
const QTY: i32 = 2;

static SETTINGS: LazyLock<Settings> = LazyLock::new(|| Config::default().saga);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Message {
    Order(OrderCommandKind),
    Stock(StockRequest),
    StockResult(StockResult),
    PaymentResult(PaymentResult),
    Delivery(DeliveryRequest),
    DeliveryEvent(DeliveryEvent),
    Deadline(String),
    PaymentRetry(String),
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Shop {
    orders: BTreeMap<String, Order>,
    product: Option<Product>,
    reservations: BTreeMap<String, Reservation>,
    parcels: BTreeMap<String, Delivery>,
    /// How often a parcel was started, and an end told, by order.
    starts: BTreeMap<String, u8>,
    ended: BTreeMap<String, u8>,
}

impl Shop {
    /// A shop with some pieces of its product, or without the product.
    fn new(pieces: Option<i32>) -> Shop {
        let product = pieces.and_then(|pieces| match register("p", pieces) {
            ProductCommandKind::RegisterProduct(r) => stock::register(None, &r, NOW).product,
            ProductCommandKind::RestockProduct(_) => None,
        });
        let (orders, reservations, parcels) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        Shop { orders, product, reservations, parcels, starts: BTreeMap::new(), ended: BTreeMap::new() }
    }

    fn saga(&mut self, id: &str, event: &Event, out: &mut Out<Message>) {
        let step = step(self.orders.remove(id), event, NOW, &SETTINGS).expect("about the order");
        self.orders.extend(step.state.map(|order| (id.to_owned(), order)));
        for command in step.commands {
            match command {
                Command::Stock(request) => out.messages.push(Message::Stock(request)),
                Command::Payment(request) => out.payments.push(request),
                Command::Delivery(request) => out.messages.push(Message::Delivery(request)),
                Command::Cancelled(_) => *self.ended.entry(id.to_owned()).or_default() += 1,
                Command::Status(_) => {}
            }
        }
    }

    fn kept(&self, id: &str) -> bool {
        self.reservations.get(id).is_some_and(|r| r.phase == ReservationPhase::Held)
    }

    fn out(&self, id: &str) -> bool {
        self.parcels.get(id).is_some_and(|d| d.phase == DeliveryPhase::Started)
    }
}

impl Business for Shop {
    type Message = Message;

    fn way(message: &Message) -> u8 {
        match message {
            Message::Order(_) => 0,
            Message::Stock(_) => 1,
            Message::StockResult(_) => 2,
            Message::PaymentResult(_) => 3,
            Message::Delivery(_) => 4,
            Message::DeliveryEvent(_) => 5,
            Message::Deadline(_) | Message::PaymentRetry(_) => 6,
        }
    }

    fn take(&mut self, message: &Message, out: &mut Out<Message>) {
        use schemas::Keyed as _;
        match message {
            Message::Order(command) => {
                let command = OrderCommand { command: command.clone() };
                self.saga(command.key(), &Event::Command(command.clone()), out);
            }
            Message::StockResult(result) => self.saga(&result.order_id, &Event::Stock(result.clone()), out),
            Message::PaymentResult(result) => self.saga(&result.correlation_id, &Event::Payment(result.clone()), out),
            Message::DeliveryEvent(event) => self.saga(event.key(), &Event::Delivery(event.clone()), out),
            Message::Deadline(id) => self.saga(id, &Event::Deadline, out),
            Message::PaymentRetry(id) => self.saga(id, &Event::PaymentRetry, out),
            Message::Stock(ask) => {
                let reservation = self.reservations.get(&ask.order_id);
                let (product, reservation) =
                    stock::request(self.product.as_ref(), reservation, ask, NOW).expect("makes sense");
                self.product = product.or(self.product.take());
                out.messages.push(Message::StockResult(stock::answer(&reservation, ask, NOW)));
                self.reservations.insert(ask.order_id.clone(), reservation);
            }
            Message::Delivery(ask) => {
                let old = self.parcels.remove(&ask.order_id);
                let new = delivery::request(old.clone(), ask, NOW).expect("makes sense");
                if old.as_ref() != Some(&new) {
                    let event = delivery::event(&new, NOW);
                    let started = matches!(event.event, DeliveryEventKind::DeliveryStarted(_));
                    *self.starts.entry(ask.order_id.clone()).or_default() += u8::from(started);
                    out.messages.push(Message::DeliveryEvent(event));
                }
                self.parcels.insert(ask.order_id.clone(), new);
            }
        }
    }

    /// Delivery management calls a parcel back of its own accord.
    fn instead(&self, message: &Message) -> Option<Message> {
        match message {
            Message::Delivery(ask) if ask.kind == DeliveryRequestKind::Start => {
                Some(Message::Delivery(DeliveryRequest { kind: DeliveryRequestKind::Cancel, ..ask.clone() }))
            }
            _ => None,
        }
    }

    fn paid(result: PaymentResult) -> Message {
        Message::PaymentResult(result)
    }

    fn timers(&self) -> Timers<Message> {
        let ids = |due: fn(&Order) -> Option<i64>| self.orders.values().filter(move |o| due(o).is_some());
        Timers {
            deadlines: ids(|o| o.deadline_at).map(|o| Message::Deadline(o.order_id.clone())).collect(),
            retries: ids(|o| o.payment.retry_at).map(|o| Message::PaymentRetry(o.order_id.clone())).collect(),
        }
    }

    fn check(&self, money: &Provider) {
        for (id, order) in &self.orders {
            assert!(!money.holds(id) || self.kept(id), "paid without stock: {order:?}");
            assert!(!self.out(id) || money.holds(id), "delivered without payment: {order:?}");
            assert!(self.starts.get(id).is_none_or(|n| *n <= 1), "delivered twice: {order:?}");
            assert!(self.ended.get(id).is_none_or(|n| *n <= 1), "ended twice: {order:?}");
        }
        if let Some(product) = &self.product {
            let kept = self.reservations.values().filter(|r| r.phase == ReservationPhase::Held).count() as i64;
            assert_eq!(product.reserved, kept * i64::from(QTY), "stock lost or created: {product:?}");
            assert!(product.free() >= 0, "stock below zero: {product:?}");
        }
    }

    fn ends(&self, money: &Provider) -> Vec<String> {
        let mut ends = Vec::new();
        for (id, order) in &self.orders {
            assert!(order.settled_at.is_some(), "it ends without being settled: {order:?}");
            let state = (money.holds(id), self.kept(id), self.out(id), self.ended.get(id).copied().unwrap_or(0));
            match order.status {
                OrderState::DeliveryStarted => assert_eq!(state, (true, true, true, 0), "{order:?}"),
                OrderState::Cancelled => assert_eq!(state, (false, false, false, 1), "{order:?}"),
                other => panic!("it ends as {other}: {order:?}"),
            }
            let versions: Vec<i32> = order.history.iter().map(|s| s.version).collect();
            assert_eq!(versions, (1..=order.version).collect::<Vec<_>>());
            ends.push(match order.reason {
                Some(reason) => format!("{}/{reason}", order.status),
                None => order.status.to_string(),
            });
        }
        ends
    }
}

#[test]
fn the_nevers_of_fashion_store_hold_in_every_interleaving() {
    let case = |bounds, pieces, orders: &[&str], clients: &[OrderCommandKind]| Case {
        bounds,
        business: Shop::new(pieces),
        first: orders.iter().map(|order| Message::Order(place(order, "p", QTY))).collect(),
        clients: clients.iter().cloned().map(Message::Order).collect(),
    };
    let both = [cancel("c", "o", CancelRequester::Customer), cancel("m", "o", CancelRequester::Md)];
    let one = &both[..1];
    let (some, few, none) = (Some(5), Some(1), None);
    let walks = vec![
        case(
            Bounds {
                name: STEP_FAILS,
                ends: &["CANCELLED/MD", "CANCELLED/OUT_OF_STOCK", "CANCELLED/PAYMENT_DECLINED", "DELIVERY_STARTED"],
                failures: 1,
                ..NONE
            },
            Some(QTY),
            &["o", "q"],
            &[],
        ),
        case(Bounds { name: TWICE, deadlines: 1, deferrals: 1, twice: true, ..NONE }, some, &["o"], &both),
        case(
            Bounds {
                name: TOO_LATE,
                ends: &["CANCELLED/PAYMENT_DECLINED", "CANCELLED/PAYMENT_TIMEOUT", "DELIVERY_STARTED"],
                deadlines: 1,
                deferrals: 2,
                any_order: true,
                ..NONE
            },
            some,
            &["o"],
            &[],
        ),
        case(Bounds { name: "no such product", deadlines: 1, repeats: 1, ..NONE }, none, &["o"], &both),
        case(Bounds { name: "out of stock", deadlines: 1, repeats: 1, ..NONE }, few, &["o"], &both),
        case(Bounds { name: CANCELLED, deadlines: 1, deferrals: 3, ..NONE }, some, &["o"], &both),
        case(
            Bounds { name: "any two messages again at any point", deadlines: 1, deferrals: 1, repeats: 2, ..NONE },
            some,
            &["o"],
            one,
        ),
        case(
            Bounds { name: "messages overtake each other", deadlines: 1, deferrals: 2, any_order: true, ..NONE },
            some,
            &["o"],
            &both,
        ),
        case(
            Bounds { name: "overtaking and repeated", deferrals: 1, repeats: 1, any_order: true, ..NONE },
            some,
            &["o"],
            one,
        ),
        case(
            Bounds { name: "voids refused", deadlines: 1, deferrals: 1, repeats: 1, void_refused: true, ..NONE },
            some,
            &["o"],
            &both,
        ),
        case(
            Bounds { name: "parcels called back", deadlines: 1, deferrals: 1, repeats: 1, failures: 1, ..NONE },
            some,
            &["o"],
            &both,
        ),
        case(Bounds { name: "two orders for the last pieces", deadlines: 1, ..NONE }, Some(3), &["o", "q"], one),
    ];
    let ends = [
        "CANCELLED/CUSTOMER",
        "CANCELLED/MD",
        "CANCELLED/OUT_OF_STOCK",
        "CANCELLED/PAYMENT_DECLINED",
        "CANCELLED/PAYMENT_TIMEOUT",
        "CANCELLED/UNKNOWN_PRODUCT",
        "DELIVERY_STARTED",
    ];
    check("fashion-store", walks, &[STEP_FAILS, TWICE, CANCELLED, TOO_LATE], 100_000, &ends);
}
