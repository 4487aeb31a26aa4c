//! The auditor against logs written by hand: an honest one passes, and every planted fault is found by the check that
//! promises to find it.

use schemas::gdmarket::{
    CancelPayment, CancelRental, DeleteItem, ItemCommand, ItemOutcome, ItemRejection, ItemRequest, ItemRequestKind,
    ItemResult, ItemState, ItemStatus, RegisterItem, RentalCancelReason, RentalCancelled, RentalCommand, RentalEvent,
    RentalEventKind, RentalReturned, RentalStarted, RentalState, RentalStatus, RequestRental, ReturnItem, topics,
};
use schemas::payment::{PaymentOutcome, PaymentRequestKind};
use serde_json::{Value, json};

use super::Market;
use crate::audit::testing::{World, assert_found, now_ms, world};

const FEE: i64 = 1_000;

/// When rentals begin, by the saga's clock.
const STARTED_MS: i64 = 100_000;

world!(Stalls);

impl Stalls {
    fn register(&mut self, item: &str) {
        let command = RegisterItem {
            command_id: format!("register-{item}"),
            item_id: item.to_owned(),
            name: "drill".to_owned(),
            fee: FEE,
            requested_at: 0,
        };
        self.put(topics::ITEMS.base(), &ItemCommand { command: command.into() });
        self.item(item, ItemState::Available, None);
    }

    fn delete(&mut self, item: &str) {
        let command = DeleteItem { command_id: format!("delete-{item}"), item_id: item.to_owned(), requested_at: 0 };
        self.put(topics::ITEMS.base(), &ItemCommand { command: command.into() });
    }

    fn item(&mut self, item: &str, status: ItemState, rental: Option<&str>) {
        let version = self.version(item);
        let event = ItemStatus {
            item_id: item.to_owned(),
            name: "drill".to_owned(),
            fee: FEE,
            status,
            rental_id: rental.map(str::to_owned),
            version,
            at: 0,
        };
        self.put(topics::ITEM_STATUS.base(), &event);
    }

    fn request(&mut self, rental: &str, item: &str) {
        let command = RequestRental {
            command_id: format!("request-{rental}"),
            rental_id: rental.to_owned(),
            item_id: item.to_owned(),
            renter_id: String::new(),
            requested_at: now_ms(),
        };
        self.put(topics::RENTALS.base(), &RentalCommand { command: command.into() });
        self.status(rental, item, RentalState::Requested);
    }

    fn cancel(&mut self, rental: &str) {
        let (command_id, rental_id) = (format!("cancel-{rental}"), rental.to_owned());
        let command = CancelRental { command_id, rental_id, reason: String::new(), requested_at: 0 };
        self.put(topics::RENTALS.base(), &RentalCommand { command: command.into() });
    }

    fn cancel_payment(&mut self, rental: &str) {
        let (command_id, rental_id) = (format!("cancel-payment-{rental}"), rental.to_owned());
        let command = CancelPayment { command_id, rental_id, reason: String::new(), requested_at: 0 };
        self.put(topics::RENTALS.base(), &RentalCommand { command: command.into() });
    }

    fn bring_back(&mut self, rental: &str, at_ms: i64) {
        self.now_ms = at_ms;
        let command =
            ReturnItem { command_id: format!("return-{rental}"), rental_id: rental.to_owned(), requested_at: 0 };
        self.put(topics::RENTALS.base(), &RentalCommand { command: command.into() });
        self.now_ms = 0;
    }

    fn status(&mut self, rental: &str, item: &str, status: RentalState) {
        let version = self.version(rental);
        let event = RentalStatus {
            rental_id: rental.to_owned(),
            item_id: item.to_owned(),
            renter_id: String::new(),
            fee: FEE,
            status,
            reason: None,
            version,
            at: 0,
        };
        self.put(topics::RENTAL_STATUS.base(), &event);
    }

    fn ask(&mut self, kind: ItemRequestKind, rental: &str, item: &str) {
        let request = ItemRequest {
            kind,
            rental_id: rental.to_owned(),
            item_id: item.to_owned(),
            renter_id: String::new(),
            command_id: String::new(),
            requested_at: 0,
        };
        self.put(topics::ITEM_REQUESTS.base(), &request);
    }

    fn answer(&mut self, outcome: ItemOutcome, reason: Option<ItemRejection>, rental: &str, item: &str) {
        let result = ItemResult {
            outcome,
            rental_id: rental.to_owned(),
            item_id: item.to_owned(),
            fee: if reason.is_none() { FEE } else { 0 },
            reason,
            command_id: String::new(),
            at: 0,
        };
        self.put(topics::ITEM_RESULTS.base(), &result);
    }

    fn lock(&mut self, rental: &str, item: &str) {
        self.ask(ItemRequestKind::Lock, rental, item);
        self.answer(ItemOutcome::Locked, None, rental, item);
        self.item(item, ItemState::Locked, Some(rental));
        self.status(rental, item, RentalState::ItemLocked);
    }

    fn turn_away(&mut self, rental: &str, item: &str, rejection: ItemRejection, reason: RentalCancelReason) {
        self.ask(ItemRequestKind::Lock, rental, item);
        self.answer(ItemOutcome::Rejected, Some(rejection), rental, item);
        self.cancelled(rental, item, reason);
    }

    fn hand_out(&mut self, rental: &str, item: &str) {
        self.ask(ItemRequestKind::HandOut, rental, item);
        self.answer(ItemOutcome::HandedOut, None, rental, item);
        self.item(item, ItemState::Rented, Some(rental));
    }

    fn release(&mut self, rental: &str, item: &str) {
        self.ask(ItemRequestKind::Release, rental, item);
        self.answer(ItemOutcome::Released, None, rental, item);
        self.item(item, ItemState::Available, None);
    }

    fn pay(&mut self, kind: PaymentRequestKind, outcome: PaymentOutcome, rental: &str) {
        let topics = (topics::PAYMENT_REQUESTS.base(), topics::PAYMENT_RESULTS.base());
        self.payment(topics, kind, outcome, rental, FEE);
    }

    fn charge(&mut self, rental: &str) {
        self.pay(PaymentRequestKind::Charge, PaymentOutcome::Approved, rental);
        self.book(rental, "CHARGE", FEE, "APPROVED");
    }

    fn refund(&mut self, rental: &str) {
        self.pay(PaymentRequestKind::Refund, PaymentOutcome::Refunded, rental);
        self.book(rental, "REFUND", FEE, "REFUNDED");
    }

    fn tell(&mut self, event: impl Into<RentalEventKind>) {
        self.put(topics::RENTAL_EVENTS.base(), &RentalEvent { event: event.into() });
    }

    fn started(&mut self, rental: &str, item: &str) {
        self.tell(RentalStarted {
            rental_id: rental.to_owned(),
            item_id: item.to_owned(),
            renter_id: String::new(),
            fee: FEE,
            started_at: STARTED_MS,
        });
    }

    /// From the request to the item being out.
    fn rent(&mut self, rental: &str, item: &str) {
        self.request(rental, item);
        self.lock(rental, item);
        self.charge(rental);
        self.hand_out(rental, item);
        self.started(rental, item);
        self.status(rental, item, RentalState::Rented);
    }

    fn returned(&mut self, rental: &str, item: &str) {
        let (rental_id, item_id) = (rental.to_owned(), item.to_owned());
        self.tell(RentalReturned { rental_id, item_id, renter_id: String::new(), returned_at: 0 });
    }

    fn cancelled(&mut self, rental: &str, item: &str, reason: RentalCancelReason) {
        self.tell(RentalCancelled {
            rental_id: rental.to_owned(),
            item_id: item.to_owned(),
            renter_id: String::new(),
            reason,
            detail: String::new(),
            cancelled_at: 0,
        });
        self.status(rental, item, RentalState::Cancelled);
    }

    fn shelf(&mut self, path: &str) -> &mut Vec<Value> {
        self.collections.entry(path.to_owned()).or_default()
    }
}

/// One rental of each fate over three items; a rental cancelled before anything was decided; poison.
fn honest() -> Stalls {
    let mut w = Stalls::default();
    for item in ["tent", "drill", "doomed"] {
        w.register(item);
    }
    w.rent("done", "tent");
    w.request("beaten", "tent");
    w.turn_away("beaten", "tent", ItemRejection::NotAvailable, RentalCancelReason::NotAvailable);
    w.bring_back("done", STARTED_MS + 10_000);
    w.release("done", "tent");
    w.returned("done", "tent");
    w.status("done", "tent", RentalState::Returned);
    w.rent("out", "tent");
    w.bring_back("out", STARTED_MS - 5_000); // too early: refused

    w.rent("changed", "drill");
    w.cancel("changed");
    w.release("changed", "drill");
    w.refund("changed");
    w.cancelled("changed", "drill", RentalCancelReason::Renter);

    w.request("declined", "drill");
    w.lock("declined", "drill");
    w.pay(PaymentRequestKind::Charge, PaymentOutcome::Declined, "declined");
    w.book("declined", "CHARGE", 0, "DECLINED");
    w.release("declined", "drill");
    w.cancelled("declined", "drill", RentalCancelReason::PaymentDeclined);

    w.rent("payback", "drill");
    w.cancel_payment("payback");
    w.release("payback", "drill");
    w.refund("payback");
    w.cancelled("payback", "drill", RentalCancelReason::PaymentCancelled);

    w.delete("doomed");
    w.item("doomed", ItemState::Deleted, None);
    w.request("too-late", "doomed");
    w.turn_away("too-late", "doomed", ItemRejection::Deleted, RentalCancelReason::Deleted);
    w.request("nowhere", "nothing");
    w.turn_away("nowhere", "nothing", ItemRejection::UnknownItem, RentalCancelReason::UnknownItem);

    w.raw(topics::RENTALS.base(), Some(b"poison".to_vec()), Some(b"{}".to_vec()));
    let at = w.log.last().unwrap().offset;
    w.dead_letter(&Market, topics::RENTALS.base(), at);

    for path in ["/items", "/itemviews"] {
        w.shelf(path).push(json!({"id": "tent", "status": "RENTED", "rentalId": "out"}));
        w.shelf(path).push(json!({"id": "drill", "status": "AVAILABLE"}));
        w.shelf(path).push(json!({"id": "doomed", "status": "DELETED"}));
    }
    let fates = [
        ("done", "tent", "RETURNED"),
        ("beaten", "tent", "CANCELLED"),
        ("out", "tent", "RENTED"),
        ("changed", "drill", "CANCELLED"),
        ("declined", "drill", "CANCELLED"),
        ("payback", "drill", "CANCELLED"),
        ("too-late", "doomed", "CANCELLED"),
        ("nowhere", "nothing", "CANCELLED"),
    ];
    for (id, item, status) in fates {
        let fee = if ["beaten", "too-late", "nowhere"].contains(&id) { 0 } else { FEE };
        w.shelf("/rentals").push(json!({"id": id, "itemId": item, "status": status, "fee": fee}));
    }
    w
}

#[track_caller]
fn finds(check: &str, subject: &str, plant: impl FnOnce(&mut Stalls)) {
    let mut world = honest();
    plant(&mut world);
    assert_found(&world.audit(&Market), check, subject);
}

#[test]
fn an_honest_log_has_no_difference_and_is_at_rest() {
    assert_eq!(honest().audit(&Market), Vec::<String>::new());
    assert_eq!(honest().open(&Market), 0);
}

#[test]
fn two_renters_of_one_item_are_found() {
    finds("one holder", "item tent, rental second", |w| w.rent("second", "tent"));
    finds("item states", "item tent", |w| w.item("tent", ItemState::Locked, Some("second")));
    finds("item states", "item tent", |w| w.item("tent", ItemState::Available, None));
    // Turned away from a free item, for whatever reason.
    for (rejection, reason) in [
        (ItemRejection::NotAvailable, RentalCancelReason::NotAvailable),
        (ItemRejection::UnknownItem, RentalCancelReason::UnknownItem),
        (ItemRejection::Deleted, RentalCancelReason::Deleted),
    ] {
        finds("one holder", "item drill, rental denied", |w| {
            w.request("denied", "drill");
            w.turn_away("denied", "drill", rejection, reason);
        });
    }
    finds("one holder", "item tent, rental denied", |w| {
        w.request("denied", "tent");
        w.turn_away("denied", "tent", ItemRejection::Deleted, RentalCancelReason::Deleted);
    });
}

#[test]
fn a_deleted_or_unknown_item_that_is_rented_is_found() {
    finds("one holder", "item doomed, rental late", |w| w.rent("late", "doomed"));
    finds("item states", "item doomed", |w| w.item("doomed", ItemState::Available, None));
    finds("one holder", "item nothing, rental bold", |w| w.rent("bold", "nothing"));
    // Deleted while it is out.
    finds("item states", "item tent", |w| {
        w.delete("tent");
        w.item("tent", ItemState::Deleted, Some("out"));
    });
    finds("item states", "item lamp", |w| {
        w.register("lamp");
        w.log.pop();
    });
}

#[test]
fn an_item_that_stays_taken_is_found() {
    // Said to be free, and never let go of.
    finds("one holder", "item drill", |w| {
        w.rent("stuck", "drill");
        w.cancel("stuck");
        w.answer(ItemOutcome::Released, None, "stuck", "drill");
        w.refund("stuck");
        w.cancelled("stuck", "drill", RentalCancelReason::Renter);
    });
    finds("one holder", "item tent", |w| w.ask(ItemRequestKind::Release, "out", "tent"));
}

#[test]
fn an_unpaid_item_that_is_out_is_found() {
    finds("order of steps", "rental out", |w| {
        let approved = w.position(topics::PAYMENT_RESULTS.base(), 1);
        w.log.remove(approved);
    });
    finds("order of steps", "rental declined", |w| w.hand_out("declined", "drill"));
    finds("order of steps", "rental declined", |w| w.started("declined", "drill"));
    finds("order of steps", "rental beaten", |w| {
        w.pay(PaymentRequestKind::Charge, PaymentOutcome::Approved, "beaten");
    });
    finds("order of steps", "rental out", |w| w.ask(ItemRequestKind::Lock, "out", "tent"));
    finds("order of steps", "rental out", |w| w.refund("out"));
    finds("money conserved", "rental out", |w| w.ledger.retain(|entry| entry.order_id != "out"));
}

#[test]
fn money_that_does_not_add_up_is_found() {
    finds("money conserved", "rental changed", |w| w.ledger.retain(|entry| entry.kind != "REFUND"));
    finds("money conserved", "rental changed", |w| w.book("changed", "REFUND", FEE, "REFUNDED"));
    finds("money conserved", "rental out", |w| w.book("out", "REFUND", FEE, "REFUNDED"));
    finds("money conserved", "rental done", |w| w.book("done", "CHARGE", FEE, "APPROVED"));
    finds("money conserved", "rental beaten", |w| w.book("beaten", "CHARGE", FEE, "APPROVED"));
    finds("money conserved", "rental stranger", |w| w.book("stranger", "CHARGE", FEE, "APPROVED"));
    finds("money conserved", "rental done", |w| w.ledger[0].amount += 1);
    finds("one holder", "rental odd", |w| {
        w.request("odd", "drill");
        w.ask(ItemRequestKind::Lock, "odd", "drill");
        let result = ItemResult {
            outcome: ItemOutcome::Locked,
            rental_id: "odd".to_owned(),
            item_id: "drill".to_owned(),
            fee: FEE + 1,
            reason: None,
            command_id: String::new(),
            at: 0,
        };
        w.put(topics::ITEM_RESULTS.base(), &result);
    });
}

#[test]
fn an_outcome_that_is_lost_doubled_or_without_cause_is_found() {
    finds("one outcome", "rental silent", |w| w.request("silent", "tent"));
    finds("one outcome", "rental out", |w| w.started("out", "tent"));
    finds("one outcome", "rental changed", |w| w.returned("changed", "drill"));
    finds("one outcome", "rental beaten", |w| w.cancelled("beaten", "tent", RentalCancelReason::NotAvailable));
    finds("outcome fits its cause", "rental late", |w| {
        w.request("late", "tent");
        w.turn_away("late", "tent", ItemRejection::NotAvailable, RentalCancelReason::Renter);
    });
    finds("outcome fits its cause", "rental lamp", |w| {
        w.rent("lamp", "drill");
        w.release("lamp", "drill");
        w.returned("lamp", "drill");
    });
    finds("nothing invented", "rental ghost", |w| w.started("ghost", "tent"));
    finds("nothing invented", "rental out", |w| w.started("out", "drill"));
    finds("status history", "rental out", |w| w.status("out", "tent", RentalState::Paid));
    finds("status history", "rental out", |w| {
        w.versions.insert("out".to_owned(), 7);
        w.status("out", "tent", RentalState::Rented);
    });
    finds("dead letters", "gdmarket.items/0@0", |w| w.dead_letter(&Market, topics::ITEMS.base(), 0));
}

/// What was asked for in time must happen; what may have come too early need not.
#[test]
fn who_cancels_or_brings_back_in_time_gets_it() {
    finds("one outcome", "rental out", |w| w.cancel("out"));
    let late = STARTED_MS + 60_000;
    let mut w = honest();
    w.rent("kept", "drill");
    w.bring_back("kept", STARTED_MS - 1);
    w.shelf("/items")[1] = json!({"id": "drill", "status": "RENTED", "rentalId": "kept"});
    w.shelf("/itemviews")[1] = json!({"id": "drill", "status": "RENTED", "rentalId": "kept"});
    w.shelf("/rentals").push(json!({"id": "kept", "itemId": "drill", "status": "RENTED", "fee": FEE}));
    assert_eq!(w.audit(&Market), Vec::<String>::new(), "it may have come before the item was out");
    let mut w = honest();
    w.rent("kept", "drill");
    w.bring_back("kept", late);
    assert_eq!(w.open(&Market), 1);
    assert_found(&w.audit(&Market), "one outcome", "rental kept");
    // Brought back in time, but cancelled instead.
    let mut w = honest();
    w.rent("kept", "drill");
    w.bring_back("kept", late);
    w.cancel("kept");
    w.release("kept", "drill");
    w.refund("kept");
    w.cancelled("kept", "drill", RentalCancelReason::Renter);
    assert_found(&w.audit(&Market), "outcome fits its cause", "rental kept");
}

#[test]
fn what_is_shown_wrongly_is_found() {
    finds("GET /rentals", "rental out", |w| w.shelf("/rentals")[2]["status"] = json!("PAID"));
    finds("GET /rentals", "rental done", |w| drop(w.shelf("/rentals").remove(0)));
    for path in ["/items", "/itemviews"] {
        let check = format!("GET {path}");
        finds(&check, "item tent", |w| w.shelf(path)[0]["rentalId"] = json!("done"));
        finds(&check, "item tent", |w| w.shelf(path)[0]["status"] = json!("AVAILABLE"));
        finds(&check, "item lamp", |w| w.shelf(path).push(json!({"id": "lamp", "status": "AVAILABLE"})));
    }
}
