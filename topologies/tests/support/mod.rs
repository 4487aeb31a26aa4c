//! A shop under test: the topology in the engine's test driver, a provider that answers payment requests, and readers of
//! what came out.
#![allow(dead_code)] // every test binary uses its part

use std::collections::BTreeMap;

use schemas::fashion::state::{Dashboard, Order, Product};
use schemas::fashion::{
    CancelOrder, CancelRequester, CancellationReason, DeliveryEvent, DeliveryEventKind, OrderCancelled, OrderCommand,
    OrderCommandKind, OrderState, OrderStatus, PlaceOrder, ProductCommand, ProductCommandKind, RegisterProduct,
    RestockProduct, topics,
};
use schemas::payment::{PaymentOutcome, PaymentRequest, PaymentRequestKind, PaymentResult};
use schemas::state::{CommandOutcome, Verdict, ledger_key};
use schemas::{AvroRecord, Codec, Keyed};
use streams::testing::{OutRecord, TestDriver};
use topologies::fashion_store::{Config, topology};

/// How the shop is run; the outcome must be the same for all of them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mode {
    pub(crate) partitions: u32,
    pub(crate) after_each_record: After,
    pub(crate) every_event_twice: bool,
}

/// What happens after each record that is put in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum After {
    Nothing,
    Crash,
    CrashAndLoseDisk,
}

/// All ways to run a scenario.
pub(crate) fn modes() -> Vec<Mode> {
    let mut modes = Vec::new();
    for partitions in [1, 2, 4] {
        for after_each_record in [After::Nothing, After::Crash, After::CrashAndLoseDisk] {
            for every_event_twice in [false, true] {
                modes.push(Mode { partitions, after_each_record, every_event_twice });
            }
        }
    }
    modes
}

/// What the provider does with charges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Charges {
    Approve,
    Decline,
    /// Says nothing definite, and takes nothing.
    Defer,
    /// Takes the money, and its answer is lost: the worker says "deferred".
    ApproveUnheard,
}

/// A line of the provider's ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    Approved,
    Declined,
    Voided,
    Refunded,
}

/// The provider's own ledger, after `node`'s simulated provider: a key stands for one charge; a VOID of an approved
/// charge gives the money back.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ledger {
    pub(crate) charges: BTreeMap<String, Status>,
    /// Won taken and given back, by saga, and how often.
    pub(crate) taken: BTreeMap<String, (i64, u32)>,
    pub(crate) returned: BTreeMap<String, (i64, u32)>,
}

impl Ledger {
    /// Carries a request out.
    pub(crate) fn carry_out(&mut self, request: &PaymentRequest, charges: Charges) -> PaymentOutcome {
        let key = request.charge_key.clone().unwrap_or_else(|| request.idempotency_key.clone());
        let status = self.charges.get(&key).copied();
        let id = request.correlation_id.clone();
        let moved = |to: &mut BTreeMap<String, (i64, u32)>| {
            let entry = to.entry(id.clone()).or_default();
            *entry = (entry.0 + request.amount, entry.1 + 1);
        };
        match (request.kind, status) {
            (PaymentRequestKind::Charge, None) => match charges {
                Charges::Defer => PaymentOutcome::Deferred,
                Charges::Decline => {
                    self.charges.insert(key, Status::Declined);
                    PaymentOutcome::Declined
                }
                Charges::Approve | Charges::ApproveUnheard => {
                    self.charges.insert(key, Status::Approved);
                    moved(&mut self.taken);
                    if charges == Charges::Approve { PaymentOutcome::Approved } else { PaymentOutcome::Deferred }
                }
            },
            (PaymentRequestKind::Charge, Some(Status::Approved | Status::Refunded)) => PaymentOutcome::Approved,
            (PaymentRequestKind::Charge, Some(Status::Declined | Status::Voided)) => PaymentOutcome::Declined,
            (PaymentRequestKind::Void, status) => {
                if status == Some(Status::Approved) {
                    moved(&mut self.returned);
                }
                self.charges.insert(key, Status::Voided);
                PaymentOutcome::Voided
            }
            (PaymentRequestKind::Refund, Some(Status::Approved)) => {
                moved(&mut self.returned);
                self.charges.insert(key, Status::Refunded);
                PaymentOutcome::Refunded
            }
            (PaymentRequestKind::Refund, Some(Status::Refunded | Status::Voided)) => PaymentOutcome::Refunded,
            (PaymentRequestKind::Refund | PaymentRequestKind::Unknown, _) => PaymentOutcome::Declined,
        }
    }

    /// Won the provider holds for a saga.
    pub(crate) fn held(&self, id: &str) -> i64 {
        let of = |side: &BTreeMap<String, (i64, u32)>| side.get(id).map_or(0, |(won, _)| *won);
        of(&self.taken) - of(&self.returned)
    }
}

/// The result record of a request.
pub(crate) fn result(request: &PaymentRequest, outcome: PaymentOutcome, at: i64) -> PaymentResult {
    PaymentResult {
        outcome,
        correlation_id: request.correlation_id.clone(),
        request_kind: request.kind,
        idempotency_key: request.idempotency_key.clone(),
        amount: request.amount,
        attempt: request.attempt,
        reason: (outcome == PaymentOutcome::Declined).then(|| "no money".to_owned()),
        provider_reference: (outcome == PaymentOutcome::Approved).then(|| "P1".to_owned()),
        at,
    }
}

pub(crate) fn register(product: &str, stock: i32) -> ProductCommandKind {
    RegisterProduct {
        command_id: format!("register-{product}"),
        product_id: product.into(),
        name: format!("name of {product}"),
        price: 1_000,
        stock,
    }
    .into()
}

pub(crate) fn restock(command: &str, product: &str, qty: i32) -> ProductCommandKind {
    RestockProduct { command_id: command.into(), product_id: product.into(), qty }.into()
}

pub(crate) fn place(order: &str, product: &str, qty: i32) -> OrderCommandKind {
    PlaceOrder {
        command_id: format!("place-{order}"),
        order_id: order.into(),
        customer_id: "customer-1".into(),
        product_id: product.into(),
        size: "S".into(),
        qty,
        price: 1_000 * i64::from(qty),
        placed_at: 0,
    }
    .into()
}

pub(crate) fn cancel(command: &str, order: &str, by: CancelRequester) -> OrderCommandKind {
    CancelOrder {
        command_id: command.into(),
        order_id: order.into(),
        requested_by: by,
        reason: "changed my mind".into(),
        requested_at: 0,
    }
    .into()
}

/// Topics whose records are put in a second time when every event comes twice.
const EVENTS: [&str; 4] = [
    topics::STOCK_REQUESTS.base(),
    topics::STOCK_RESULTS.base(),
    topics::DELIVERY_REQUESTS.base(),
    topics::DELIVERIES.base(),
];

/// The shop.
pub(crate) struct Shop {
    pub(crate) driver: TestDriver,
    pub(crate) mode: Mode,
    pub(crate) ledger: Ledger,
    read: BTreeMap<&'static str, Vec<OutRecord>>,
}

impl Shop {
    pub(crate) fn new(mode: Mode) -> Shop {
        Shop::with(&Config::default(), mode)
    }

    pub(crate) fn with(config: &Config, mode: Mode) -> Shop {
        let driver = TestDriver::new(topology(config).expect("builds"), mode.partitions);
        Shop { driver, mode, ledger: Ledger::default(), read: BTreeMap::new() }
    }

    /// Reads a topic to its end and keeps what was read.
    fn catch_up(&mut self, topic: &'static str) -> Vec<OutRecord> {
        let new = self.driver.read(topic);
        self.read.entry(topic).or_default().extend(new.iter().cloned());
        new
    }

    /// Puts a record in as the mode has it.
    pub(crate) fn put(&mut self, topic: &'static str, key: Option<&[u8]>, value: Option<&[u8]>) {
        let times = if self.mode.every_event_twice { 2 } else { 1 };
        for _ in 0..times {
            self.driver.pipe(topic, key, value, self.driver.now());
            self.after();
        }
        if self.mode.every_event_twice {
            self.repeat_events();
        }
    }

    pub(crate) fn after(&mut self) {
        match self.mode.after_each_record {
            After::Nothing => {}
            After::Crash => self.driver.crash_and_restore(),
            After::CrashAndLoseDisk => self.driver.crash_and_lose_disk(),
        }
    }

    /// Every internal event once more. What the copies lead to is not copied again, or it would never end.
    fn repeat_events(&mut self) {
        let mut copies = Vec::new();
        for topic in EVENTS {
            copies.extend(self.catch_up(topic).into_iter().map(|r| (topic, r)));
        }
        for (topic, r) in copies {
            self.driver.pipe(topic, r.key.as_deref(), r.value.as_deref(), r.timestamp);
            self.after();
        }
        for topic in EVENTS {
            // Copies of public events were put in by the test and are not the shop's own.
            let _ = self.driver.read(topic);
        }
    }

    pub(crate) fn order(&mut self, command: OrderCommandKind) {
        let command = OrderCommand { command };
        self.put_typed(topics::ORDERS.base(), &Codec::fixed(), &command);
    }

    pub(crate) fn product(&mut self, command: ProductCommandKind) {
        let command = ProductCommand { command };
        self.put_typed(topics::PRODUCTS.base(), &Codec::fixed(), &command);
    }

    pub(crate) fn put_typed<T: AvroRecord + Keyed>(&mut self, topic: &'static str, codec: &Codec<T>, value: &T) {
        self.put(topic, Some(value.key().as_bytes()), Some(&codec.to_vec(value)));
    }

    /// The payment requests that nobody has answered yet.
    pub(crate) fn payment_requests(&mut self) -> Vec<PaymentRequest> {
        let codec = Codec::<PaymentRequest>::fixed();
        let new = self.catch_up(topics::PAYMENT_REQUESTS.base());
        new.iter().map(|r| codec.decode(r.value.as_deref().expect("no tombstones")).expect("decodes")).collect()
    }

    pub(crate) fn answer(&mut self, request: &PaymentRequest, outcome: PaymentOutcome) {
        let result = result(request, outcome, self.driver.now());
        self.put_typed(topics::PAYMENT_RESULTS.base(), &Codec::fixed(), &result);
    }

    /// The provider answers everything that is open, until nothing is.
    pub(crate) fn provider(&mut self, charges: Charges) {
        loop {
            let requests = self.payment_requests();
            if requests.is_empty() {
                return;
            }
            for request in requests {
                let outcome = self.ledger.carry_out(&request, charges);
                self.answer(&request, outcome);
            }
        }
    }

    pub(crate) fn advance(&mut self, ms: i64) {
        self.driver.advance_wall_clock(ms);
        self.after();
        if self.mode.every_event_twice {
            self.repeat_events();
        }
    }

    pub(crate) fn get<T: AvroRecord>(&self, store: &str, key: &str) -> Option<T> {
        let (bytes, _) = self.driver.get(store, key.as_bytes())?;
        Some(Codec::<T>::fixed().decode(&bytes).expect("stored state decodes"))
    }

    pub(crate) fn all<T: AvroRecord>(&self, store: &str) -> BTreeMap<String, T> {
        let codec = Codec::<T>::fixed();
        let decode = |(k, v, _): (Vec<u8>, Vec<u8>, i64)| {
            (String::from_utf8(k).expect("keys are text"), codec.decode(&v).expect("stored state decodes"))
        };
        self.driver.entries(store).into_iter().map(decode).collect()
    }

    pub(crate) fn order_state(&self, id: &str) -> Order {
        self.get("orders", id).expect("the order exists")
    }

    pub(crate) fn stock(&self, id: &str) -> Product {
        self.get("stock", id).expect("the product exists")
    }

    pub(crate) fn dashboard(&self, id: &str) -> Dashboard {
        self.get("dashboard", id).expect("the row exists")
    }

    pub(crate) fn verdict(&self, about: &str, command: &str) -> Option<Verdict> {
        let key = ledger_key(about, command);
        let outcome: Option<CommandOutcome> = self.get("commands", &key).or_else(|| self.get("product-commands", &key));
        outcome.map(|o| o.verdict)
    }

    /// Everything ever written to a topic, by key, in order.
    pub(crate) fn events<T: AvroRecord>(&mut self, topic: &'static str) -> BTreeMap<String, Vec<T>> {
        self.catch_up(topic);
        let codec = Codec::<T>::fixed();
        let mut events: BTreeMap<String, Vec<T>> = BTreeMap::new();
        for r in self.read.get(topic).into_iter().flatten() {
            let key = String::from_utf8(r.key.clone().expect("keyed")).expect("keys are text");
            let value = codec.decode(r.value.as_deref().expect("no tombstones")).expect("decodes");
            events.entry(key).or_default().push(value);
        }
        events
    }

    pub(crate) fn statuses(&mut self, id: &str) -> Vec<OrderState> {
        let events = self.events::<OrderStatus>(topics::ORDER_STATUS.base());
        events.get(id).into_iter().flatten().map(|s| s.status).collect()
    }

    pub(crate) fn dead_letters(&mut self) -> Vec<String> {
        let reason = |r: OutRecord| {
            let found = r.headers.into_iter().find(|(n, _)| n == "orderflow.error.reason");
            found.and_then(|(_, v)| v).map(|v| String::from_utf8(v).expect("reasons are text")).expect("has a reason")
        };
        self.catch_up("fashion-store-dead-letters").into_iter().map(reason).collect()
    }

    /// Everything the outside world sees, and the state behind it.
    pub(crate) fn outcome(&mut self) -> Outcome {
        Outcome {
            orders: self.all("orders"),
            stock: self.all("stock"),
            dashboard: self.all("dashboard"),
            verdicts: [self.all("commands"), self.all("product-commands")]
                .into_iter()
                .flatten()
                .map(|(key, o): (String, CommandOutcome)| (key, o.verdict))
                .collect(),
            statuses: self.events(topics::ORDER_STATUS.base()),
            cancellations: self.events(topics::CANCELLATIONS.base()),
            deliveries: self.events(topics::DELIVERIES.base()),
            held: self.ledger.taken.keys().map(|id| (id.clone(), self.ledger.held(id))).collect(),
        }
    }
}

/// What a scenario led to, per key.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Outcome {
    pub(crate) orders: BTreeMap<String, Order>,
    pub(crate) stock: BTreeMap<String, Product>,
    pub(crate) dashboard: BTreeMap<String, Dashboard>,
    pub(crate) verdicts: BTreeMap<String, Verdict>,
    pub(crate) statuses: BTreeMap<String, Vec<OrderStatus>>,
    pub(crate) cancellations: BTreeMap<String, Vec<OrderCancelled>>,
    pub(crate) deliveries: BTreeMap<String, Vec<DeliveryEvent>>,
    pub(crate) held: BTreeMap<String, i64>,
}

/// Checks the "never"s of the business against everything that came out.
pub(crate) fn audit(outcome: &Outcome) {
    for (id, order) in &outcome.orders {
        let held = outcome.held.get(id).copied().unwrap_or(0);
        let cancelled = outcome.cancellations.get(id).map_or(0, Vec::len);
        let started = |e: &DeliveryEvent| matches!(e.event, DeliveryEventKind::DeliveryStarted(_));
        let starts = outcome.deliveries.get(id).into_iter().flatten().filter(|e| started(e)).count();
        let stops = outcome.deliveries.get(id).into_iter().flatten().filter(|e| !started(e)).count();
        match order.status {
            OrderState::DeliveryStarted => {
                assert_eq!((held, cancelled, starts, stops), (order.price, 0, 1, 0), "delivered: {order:?}");
            }
            OrderState::Cancelled => {
                assert_eq!((held, cancelled), (0, 1), "cancelled: {order:?}");
                assert!(starts <= stops && stops <= 1, "what was started is called back: {order:?}");
                assert_ne!(order.reason, None);
                assert_ne!(order.reason, Some(CancellationReason::Unknown));
            }
            _ => assert_eq!(order.settled_at, None, "under way: {order:?}"),
        }
        let statuses = outcome.statuses.get(id).cloned().unwrap_or_default();
        let versions: Vec<i32> = statuses.iter().map(|s| s.version).collect();
        assert_eq!(versions, (1..=order.version).collect::<Vec<_>>(), "every change told once, in order: {id}");
        assert_eq!(statuses.last().map(|s| s.status), Some(order.status));
        let row = &outcome.dashboard[id];
        assert_eq!((row.status, row.version, row.reason), (order.status, order.version, order.reason));
    }
    for (id, product) in &outcome.stock {
        assert!(product.reserved >= 0 && product.free() >= 0, "stock below zero: {product:?}");
        let kept = |o: &&Order| {
            use schemas::fashion::state::StockPhase;
            o.product_id == *id && matches!(o.stock, StockPhase::Reserved)
        };
        let under_way = outcome.orders.values().any(|o| o.product_id == *id && o.settled_at.is_none());
        let sum: i64 = outcome.orders.values().filter(kept).map(|o| i64::from(o.qty)).sum();
        if !under_way {
            assert_eq!(product.reserved, sum, "stock lost or created: {product:?}");
        }
    }
}
