//! fashion-store under test.

use std::collections::BTreeMap;
use std::ops::{Deref, DerefMut};

use schemas::Codec;
use schemas::fashion::state::{Dashboard, Order, Product};
use schemas::fashion::{
    CancelOrder, CancelRequester, CancellationReason, DeliveryEvent, DeliveryEventKind, OrderCancelled, OrderCommand,
    OrderCommandKind, OrderState, OrderStatus, PlaceOrder, ProductCommand, ProductCommandKind, RegisterProduct,
    RestockProduct, topics,
};
use schemas::state::Verdict;
use topologies::fashion_store::{Config, topology};

use super::rig::{Business, Mode, Rig};

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

const BUSINESS: Business = Business {
    events: &[
        topics::STOCK_REQUESTS.base(),
        topics::STOCK_RESULTS.base(),
        topics::DELIVERY_REQUESTS.base(),
        topics::DELIVERIES.base(),
    ],
    payment: Some((topics::PAYMENT_REQUESTS.base(), topics::PAYMENT_RESULTS.base())),
    ledgers: &["commands", "product-commands"],
    dead_letters: "fashion-store-dead-letters",
};

/// The shop.
pub(crate) struct Shop(Rig);

impl Deref for Shop {
    type Target = Rig;
    fn deref(&self) -> &Rig {
        &self.0
    }
}

impl DerefMut for Shop {
    fn deref_mut(&mut self) -> &mut Rig {
        &mut self.0
    }
}

impl Shop {
    pub(crate) fn new(mode: Mode) -> Shop {
        Shop::with(&Config::default(), mode)
    }

    pub(crate) fn with(config: &Config, mode: Mode) -> Shop {
        Shop(Rig::new(topology(config).expect("builds"), &BUSINESS, mode))
    }

    pub(crate) fn order(&mut self, command: OrderCommandKind) {
        let command = OrderCommand { command };
        self.put_typed(topics::ORDERS.base(), &Codec::fixed(), &command);
    }

    pub(crate) fn product(&mut self, command: ProductCommandKind) {
        let command = ProductCommand { command };
        self.put_typed(topics::PRODUCTS.base(), &Codec::fixed(), &command);
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

    pub(crate) fn statuses(&mut self, id: &str) -> Vec<OrderState> {
        let events = self.events::<OrderStatus>(topics::ORDER_STATUS.base());
        events.get(id).into_iter().flatten().map(|s| s.status).collect()
    }

    /// Everything the outside world sees, and the state behind it.
    pub(crate) fn outcome(&mut self) -> Outcome {
        Outcome {
            orders: self.all("orders"),
            stock: self.all("stock"),
            dashboard: self.all("dashboard"),
            verdicts: self.verdicts(),
            statuses: self.events(topics::ORDER_STATUS.base()),
            cancellations: self.events(topics::CANCELLATIONS.base()),
            deliveries: self.events(topics::DELIVERIES.base()),
            held: self.ledger.all_held(),
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
