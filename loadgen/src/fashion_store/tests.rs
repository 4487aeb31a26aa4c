//! The auditor against logs written by hand: an honest one passes, and every planted fault is found by the check that
//! promises to find it.

use schemas::fashion::{
    CancelOrder, CancelRequester, CancellationReason, DeliveryCancelled, DeliveryEvent, DeliveryRequest,
    DeliveryRequestKind, DeliveryStarted, OrderCancelled, OrderCommand, OrderStage, OrderState, OrderStatus,
    PlaceOrder, ProductCommand, RegisterProduct, RestockProduct, StockOutcome, StockRejection, StockRequest,
    StockRequestKind, StockResult, topics,
};
use schemas::payment::{PaymentOutcome, PaymentRequestKind};
use serde_json::{Value, json};

use super::{FashionStore, web};
use crate::audit::testing::{World, assert_found, now_ms, world};

const PRICE: i64 = 1_000;

world!(Shop);

impl Shop {
    fn register(&mut self, product: &str, stock: i32) {
        let command = RegisterProduct {
            command_id: format!("register-{product}"),
            product_id: product.to_owned(),
            name: "shirt".to_owned(),
            price: PRICE,
            stock,
        };
        self.put(topics::PRODUCTS.base(), &ProductCommand { command: command.into() });
    }

    fn restock(&mut self, product: &str, qty: i32) {
        let command = RestockProduct { command_id: format!("restock-{product}"), product_id: product.to_owned(), qty };
        self.put(topics::PRODUCTS.base(), &ProductCommand { command: command.into() });
    }

    fn place(&mut self, order: &str, product: &str, qty: i32) {
        let command = PlaceOrder {
            command_id: format!("place-{order}"),
            order_id: order.to_owned(),
            customer_id: String::new(),
            product_id: product.to_owned(),
            size: String::new(),
            qty,
            price: PRICE,
            placed_at: now_ms(),
        };
        self.put(topics::ORDERS.base(), &OrderCommand { command: command.into() });
        self.status(order, OrderState::Ordered);
    }

    fn ask_cancel(&mut self, order: &str, requested_by: CancelRequester) {
        let command = CancelOrder {
            command_id: format!("cancel-{order}"),
            order_id: order.to_owned(),
            requested_by,
            reason: String::new(),
            requested_at: 0,
        };
        self.put(topics::ORDERS.base(), &OrderCommand { command: command.into() });
    }

    fn status(&mut self, order: &str, status: OrderState) {
        let version = self.version(order);
        let event = OrderStatus {
            order_id: order.to_owned(),
            customer_id: String::new(),
            product_id: String::new(),
            size: String::new(),
            qty: 1,
            price: PRICE,
            status,
            reason: None,
            stage: OrderStage::Order,
            version,
            at: 0,
        };
        self.put(topics::ORDER_STATUS.base(), &event);
    }

    fn stock(&mut self, kind: StockRequestKind, outcome: StockOutcome, order: &str, product: &str, qty: i32) {
        let request = StockRequest {
            kind,
            order_id: order.to_owned(),
            product_id: product.to_owned(),
            qty,
            command_id: String::new(),
            requested_at: 0,
        };
        self.put(topics::STOCK_REQUESTS.base(), &request);
        self.stock_result(outcome, None, order, product, qty);
    }

    fn stock_result(
        &mut self,
        outcome: StockOutcome,
        reason: Option<StockRejection>,
        order: &str,
        product: &str,
        qty: i32,
    ) {
        let result = StockResult {
            outcome,
            order_id: order.to_owned(),
            product_id: product.to_owned(),
            qty,
            reason,
            command_id: String::new(),
            at: 0,
        };
        self.put(topics::STOCK_RESULTS.base(), &result);
    }

    fn reserve(&mut self, order: &str, product: &str, qty: i32) {
        self.stock(StockRequestKind::Reserve, StockOutcome::Reserved, order, product, qty);
    }

    fn release(&mut self, order: &str, product: &str, qty: i32) {
        self.stock(StockRequestKind::Release, StockOutcome::Released, order, product, qty);
    }

    fn reject(&mut self, order: &str, product: &str, qty: i32, reason: StockRejection) {
        let request = StockRequest {
            kind: StockRequestKind::Reserve,
            order_id: order.to_owned(),
            product_id: product.to_owned(),
            qty,
            command_id: String::new(),
            requested_at: 0,
        };
        self.put(topics::STOCK_REQUESTS.base(), &request);
        self.stock_result(StockOutcome::Rejected, Some(reason), order, product, qty);
    }

    fn pay(&mut self, kind: PaymentRequestKind, outcome: PaymentOutcome, order: &str) {
        let topics = (topics::PAYMENT_REQUESTS.base(), topics::PAYMENT_RESULTS.base());
        self.payment(topics, kind, outcome, order, PRICE);
    }

    fn charge(&mut self, order: &str) {
        self.pay(PaymentRequestKind::Charge, PaymentOutcome::Approved, order);
        self.book(order, "CHARGE", PRICE, "APPROVED");
    }

    fn refund(&mut self, order: &str) {
        self.pay(PaymentRequestKind::Refund, PaymentOutcome::Refunded, order);
        self.book(order, "REFUND", PRICE, "REFUNDED");
    }

    fn start(&mut self, order: &str, product: &str, qty: i32) {
        let request = DeliveryRequest {
            kind: DeliveryRequestKind::Start,
            order_id: order.to_owned(),
            customer_id: String::new(),
            product_id: product.to_owned(),
            size: String::new(),
            qty,
            reason: String::new(),
            requested_at: 0,
        };
        self.put(topics::DELIVERY_REQUESTS.base(), &request);
        self.started(order, product, qty);
        self.status(order, OrderState::DeliveryStarted);
    }

    fn started(&mut self, order: &str, product: &str, qty: i32) {
        let event = DeliveryStarted {
            order_id: order.to_owned(),
            customer_id: String::new(),
            product_id: product.to_owned(),
            size: String::new(),
            qty,
            started_at: 0,
        };
        self.put(topics::DELIVERIES.base(), &DeliveryEvent { event: event.into() });
    }

    fn recall(&mut self, order: &str, product: &str, qty: i32) {
        let event = DeliveryCancelled {
            order_id: order.to_owned(),
            customer_id: String::new(),
            product_id: product.to_owned(),
            size: String::new(),
            qty,
            reason: String::new(),
            started_at: Some(0),
            cancelled_at: 0,
        };
        self.put(topics::DELIVERIES.base(), &DeliveryEvent { event: event.into() });
    }

    fn cancelled(&mut self, order: &str, product: &str, qty: i32, reason: CancellationReason) {
        let event = OrderCancelled {
            order_id: order.to_owned(),
            customer_id: String::new(),
            product_id: product.to_owned(),
            size: String::new(),
            qty,
            price: PRICE,
            reason,
            detail: String::new(),
            cancelled_at: 0,
        };
        self.put(topics::CANCELLATIONS.base(), &event);
        self.status(order, OrderState::Cancelled);
    }

    fn shown(&mut self, order: &str, qty: i32, status: OrderState) {
        let item = json!({"id": order, "orderId": order, "qty": qty, "price": PRICE, "status": status.symbol()});
        for path in [web::ORDERS, web::DASHBOARDS] {
            self.shelf(path).push(item.clone());
        }
    }

    fn shelf(&mut self, path: &str) -> &mut Vec<Value> {
        self.collections.entry(path.to_owned()).or_default()
    }
}

/// One order of each fate: delivered, called back, out of stock, declined, unknown product, cancelled before payment;
/// a duplicate, a cancellation of nobody's order, a poisoned record.
fn honest() -> Shop {
    let mut w = Shop::default();
    w.register("p", 4);
    w.restock("p", 1);
    w.place("delivered", "p", 2);
    w.reserve("delivered", "p", 2);
    w.charge("delivered");
    w.start("delivered", "p", 2);
    w.place("delivered", "p", 2);
    w.versions.insert("delivered".to_owned(), 2);
    w.log.pop();

    w.place("recalled", "p", 3);
    w.reserve("recalled", "p", 3);
    w.charge("recalled");
    w.start("recalled", "p", 3);
    w.place("sold-out", "p", 1);
    w.reject("sold-out", "p", 1, StockRejection::OutOfStock);
    w.cancelled("sold-out", "p", 1, CancellationReason::OutOfStock);
    w.ask_cancel("recalled", CancelRequester::Customer);
    w.recall("recalled", "p", 3);
    w.refund("recalled");
    w.release("recalled", "p", 3);
    w.cancelled("recalled", "p", 3, CancellationReason::Customer);

    w.place("declined", "p", 1);
    w.reserve("declined", "p", 1);
    w.pay(PaymentRequestKind::Charge, PaymentOutcome::Declined, "declined");
    w.book("declined", "CHARGE", 0, "DECLINED");
    w.release("declined", "p", 1);
    w.cancelled("declined", "p", 1, CancellationReason::PaymentDeclined);

    w.place("nowhere", "q", 1);
    w.reject("nowhere", "q", 1, StockRejection::UnknownProduct);
    w.cancelled("nowhere", "q", 1, CancellationReason::UnknownProduct);

    w.place("early", "p", 1);
    w.ask_cancel("early", CancelRequester::Md);
    w.reserve("early", "p", 1);
    w.release("early", "p", 1);
    w.cancelled("early", "p", 1, CancellationReason::Md);

    w.ask_cancel("nobodys", CancelRequester::Customer);
    w.raw(topics::ORDERS.base(), Some(b"poison".to_vec()), Some(b"{}".to_vec()));
    let at = w.log.last().unwrap().offset;
    w.dead_letter(&FashionStore, topics::ORDERS.base(), at);

    w.shelf(web::PRODUCTS).push(json!({"id": "p", "stock": 3, "onHand": 5, "reserved": 2}));
    w.shown("delivered", 2, OrderState::DeliveryStarted);
    w.shown("recalled", 3, OrderState::Cancelled);
    for order in ["sold-out", "declined", "nowhere", "early"] {
        w.shown(order, 1, OrderState::Cancelled);
    }
    w
}

#[test]
fn an_honest_log_has_no_difference() {
    assert_eq!(honest().audit(&FashionStore), Vec::<String>::new());
}

/// Plants a fault and expects the named check to find it at the named subject.
#[track_caller]
fn finds(check: &str, subject: &str, plant: impl FnOnce(&mut Shop)) {
    let mut world = honest();
    plant(&mut world);
    assert_found(&world.audit(&FashionStore), check, subject);
}

#[test]
fn a_lost_or_doubled_outcome_is_found() {
    finds("one outcome", "order delivered", |w| w.remove(topics::DELIVERIES.base(), 0));
    finds("one outcome", "order sold-out", |w| w.remove(topics::CANCELLATIONS.base(), 0));
    finds("one outcome", "order delivered", |w| w.started("delivered", "p", 2));
    finds("one outcome", "order sold-out", |w| w.cancelled("sold-out", "p", 1, CancellationReason::OutOfStock));
    finds("one outcome", "order delivered", |w| w.cancelled("delivered", "p", 2, CancellationReason::Customer));
    finds("one outcome", "order recalled", |w| w.started("recalled", "p", 3));
    finds("nothing invented", "order delivered", |w| {
        w.remove(topics::DELIVERIES.base(), 0);
        w.started("delivered", "p", 1);
    });
    finds("one outcome", "order silent", |w| w.place("silent", "p", 1));
}

#[test]
fn an_outcome_without_its_cause_is_found() {
    finds("outcome fits its cause", "order delivered", |w| w.ask_cancel("delivered", CancelRequester::Customer));
    finds("outcome fits its cause", "order early", |w| {
        let place = w.position(topics::ORDERS.base(), 8);
        w.log.remove(place); // its cancellation
    });
    finds("outcome fits its cause", "order sold-out", |w| {
        w.remove(topics::CANCELLATIONS.base(), 0);
        w.cancelled("sold-out", "p", 1, CancellationReason::PaymentDeclined);
    });
    finds("nothing invented", "order ghost", |w| w.started("ghost", "p", 1));
    finds("nothing invented", "fashion.deliveries/0@3", |w| {
        w.raw(topics::DELIVERIES.base(), Some(b"x".to_vec()), Some(vec![0, 0, 0, 0, 1]));
    });
}

#[test]
fn stock_that_does_not_add_up_is_found() {
    // The stock is 5, 2 of them are kept: three more are free, a fourth is not.
    finds("stock decisions", "product p, order greedy", |w| {
        w.place("greedy", "p", 4);
        w.reserve("greedy", "p", 4);
    });
    finds("stock decisions", "product p, order denied", |w| {
        w.place("denied", "p", 1);
        w.reject("denied", "p", 1, StockRejection::OutOfStock);
    });
    finds("stock decisions", "product p, order denied", |w| {
        w.place("denied", "p", 1);
        w.reject("denied", "p", 1, StockRejection::UnknownProduct);
    });
    finds("stock decisions", "product q, order denied", |w| {
        w.place("denied", "q", 1);
        w.reject("denied", "q", 1, StockRejection::OutOfStock);
    });
    finds("stock conserved", "order recalled", |w| w.release("recalled", "p", 3));
    finds("stock conserved", "order delivered", |w| w.release("delivered", "p", 2));
    finds("stock conserved", "order declined", |w| {
        let nth = w.log.iter().filter(|r| r.topic == topics::STOCK_RESULTS.base()).count() - 4;
        w.remove(topics::STOCK_RESULTS.base(), nth);
    });
    finds("stock conserved", "order delivered", |w| w.reserve("delivered", "p", 2));
    finds("GET /products", "product p", |w| w.shelf(web::PRODUCTS)[0]["stock"] = json!(4));
    finds("GET /products", "product p", |w| w.shelf(web::PRODUCTS)[0]["reserved"] = json!(1));
    finds("GET /products", "product p", |w| w.shelf(web::PRODUCTS).clear());
    finds("GET /products", "product z", |w| w.shelf(web::PRODUCTS).push(json!({"id": "z", "stock": 1})));
}

/// Supplies and demands lie on different topics: any order between them that explains the decisions is accepted.
#[test]
fn a_restock_may_come_before_or_after_a_decision() {
    for sold_out_first in [true, false] {
        let mut w = Shop::default();
        w.register("p", 1);
        w.place("a", "p", 2);
        w.place("b", "p", 2);
        w.restock("p", 3);
        let reject = |w: &mut Shop| {
            w.reject("a", "p", 2, StockRejection::OutOfStock);
            w.cancelled("a", "p", 2, CancellationReason::OutOfStock);
        };
        if sold_out_first {
            reject(&mut w);
        }
        w.reserve("b", "p", 2);
        w.charge("b");
        w.start("b", "p", 2);
        if !sold_out_first {
            // Two of four are taken, two are free: no order of events turns this one away.
            reject(&mut w);
        }
        w.shelf(web::PRODUCTS).push(json!({"id": "p", "stock": 2}));
        w.shown("a", 2, OrderState::Cancelled);
        w.shown("b", 2, OrderState::DeliveryStarted);
        let differences = w.audit(&FashionStore);
        assert_eq!(differences.len(), usize::from(!sold_out_first), "{differences:#?}");
    }
}

#[test]
fn money_that_does_not_add_up_is_found() {
    finds("money conserved", "order recalled", |w| w.book("recalled", "REFUND", PRICE, "REFUNDED"));
    finds("money conserved", "order declined", |w| w.book("declined", "REFUND", PRICE, "REFUNDED"));
    finds("money conserved", "order delivered", |w| w.book("delivered", "CHARGE", PRICE, "APPROVED"));
    finds("money conserved", "order delivered", |w| w.book("delivered", "VOID", PRICE, "VOIDED"));
    finds("money conserved", "order sold-out", |w| w.book("sold-out", "CHARGE", PRICE, "APPROVED"));
    finds("money conserved", "order stranger", |w| w.book("stranger", "CHARGE", PRICE, "APPROVED"));
    finds("money conserved", "order recalled", |w| w.ledger.retain(|entry| entry.kind != "REFUND"));
    finds("money conserved", "order delivered", |w| w.ledger.retain(|entry| entry.order_id != "delivered"));
    finds("money conserved", "order delivered", |w| w.ledger[0].amount += 1);
    finds("money conserved", "order recalled", |w| {
        let refund = w.ledger.iter_mut().find(|entry| entry.kind == "REFUND").unwrap();
        refund.amount -= 1;
    });
}

#[test]
fn steps_out_of_order_are_found() {
    finds("order of steps", "order sold-out", |w| {
        w.pay(PaymentRequestKind::Charge, PaymentOutcome::Approved, "sold-out");
    });
    finds("order of steps", "order delivered", |w| {
        let approved = w.position(topics::PAYMENT_RESULTS.base(), 0);
        w.log.remove(approved);
    });
    finds("order of steps", "order delivered", |w| {
        let asked = w.position(topics::DELIVERY_REQUESTS.base(), 0);
        w.log.remove(asked);
    });
    finds("order of steps", "order sold-out", |w| {
        w.pay(PaymentRequestKind::Refund, PaymentOutcome::Refunded, "sold-out");
    });
    finds("status history", "order delivered", |w| w.status("delivered", OrderState::Paid));
    finds("status history", "order delivered", |w| {
        w.versions.insert("delivered".to_owned(), 3);
        w.status("delivered", OrderState::DeliveryStarted);
    });
}

#[test]
fn a_record_wrongly_judged_is_found() {
    finds("dead letters", "fashion.orders/0@11", |w| {
        w.raw(topics::ORDERS.base(), None, Some(b"{}".to_vec()));
    });
    finds("dead letters", "fashion.orders/0@10", |w| w.dead_letter(&FashionStore, topics::ORDERS.base(), 10));
    finds("dead letters", "fashion.orders/0@0", |w| w.dead_letter(&FashionStore, topics::ORDERS.base(), 0));
    finds("dead letters", "dead letters", |w| w.raw("fashion-store-dead-letters", None, None));
}

#[test]
fn what_is_shown_wrongly_is_found() {
    for path in [web::ORDERS, web::DASHBOARDS] {
        let check = format!("GET {path}");
        finds(&check, "order delivered", |w| w.shelf(path)[0]["status"] = json!("PAID"));
        finds(&check, "order delivered", |w| w.shelf(path)[0]["qty"] = json!(7));
        finds(&check, "order delivered", |w| drop(w.shelf(path).remove(0)));
        finds(&check, "order ghost", |w| w.shown("ghost", 1, OrderState::Ordered));
    }
    finds("GET /orders", "/orders", |w| {
        let again = w.shelf(web::ORDERS)[0].clone();
        w.shelf(web::ORDERS).push(again);
    });
}

/// A cancellation that came before its order was refused, and its repeat behind the order is no new cancellation.
#[test]
fn a_repeat_of_a_refused_cancellation_has_no_effect() {
    let mut w = Shop::default();
    w.register("p", 1);
    w.ask_cancel("a", CancelRequester::Customer);
    w.place("a", "p", 1);
    w.ask_cancel("a", CancelRequester::Customer);
    w.reserve("a", "p", 1);
    w.charge("a");
    w.start("a", "p", 1);
    w.shelf(web::PRODUCTS).push(json!({"id": "p", "stock": 0}));
    w.shown("a", 1, OrderState::DeliveryStarted);
    assert_eq!(w.audit(&FashionStore), Vec::<String>::new());
}
