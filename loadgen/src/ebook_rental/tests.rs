//! The auditor against logs written by hand: an honest one passes, and every planted fault is found by the check that
//! promises to find it.

use schemas::ebook::{
    ApprovalOutcome, ApprovalRequest, ApprovalRequestKind, ApprovalResult, ApproveRent, BookCommand, BookOutcome,
    BookRejection, BookRequest, BookRequestKind, BookResult, DecisionCommand, RegisterBook, RejectRent,
    RentCancelReason, RentCancelled, RentCommand, RentEvent, RentEventKind, RentReturned, RentStarted, RentState,
    RentStatus, RequestRent, ReturnBook, topics,
};
use schemas::payment::{PaymentOutcome, PaymentRequestKind};
use serde_json::{Value, json};

use super::Library;
use crate::audit::testing::{World, assert_found, now_ms, world};

const FEE: i64 = 500;

/// When reading begins, by the saga's clock.
const STARTED_MS: i64 = 100_000;

world!(Shelves);

impl Shelves {
    fn register(&mut self, book: &str) {
        let command = RegisterBook {
            command_id: format!("register-{book}"),
            book_id: book.to_owned(),
            book_name: String::new(),
            rental_fee: FEE,
            requested_at: 0,
        };
        self.put(topics::BOOKS.base(), &BookCommand { command: command.into() });
    }

    fn request(&mut self, rent: &str, book: &str) {
        let command = RequestRent {
            command_id: format!("request-{rent}"),
            rent_id: rent.to_owned(),
            user_id: String::new(),
            book_id: book.to_owned(),
            book_name: String::new(),
            rental_fee: 0,
            requested_at: now_ms(),
        };
        self.put(topics::RENTS.base(), &RentCommand { command: command.into() });
        self.status(rent, book, RentState::Requested);
    }

    fn bring_back(&mut self, rent: &str, at_ms: i64) {
        self.now_ms = at_ms;
        let command = ReturnBook { command_id: format!("return-{rent}"), rent_id: rent.to_owned(), requested_at: 0 };
        self.put(topics::RENTS.base(), &RentCommand { command: command.into() });
        self.now_ms = 0;
    }

    fn status(&mut self, rent: &str, book: &str, status: RentState) {
        let version = self.version(rent);
        let event = RentStatus {
            rent_id: rent.to_owned(),
            user_id: String::new(),
            book_id: book.to_owned(),
            book_name: String::new(),
            rental_fee: FEE,
            status,
            reason: None,
            version,
            at: 0,
        };
        self.put(topics::RENT_STATUS.base(), &event);
    }

    fn ask(&mut self, kind: BookRequestKind, rent: &str, book: &str) {
        let (rent_id, book_id) = (rent.to_owned(), book.to_owned());
        let request = BookRequest { kind, rent_id, book_id, command_id: String::new(), requested_at: 0 };
        self.put(topics::BOOK_REQUESTS.base(), &request);
    }

    fn answer(&mut self, outcome: BookOutcome, reason: Option<BookRejection>, rent: &str, book: &str) {
        let result = BookResult {
            outcome,
            rent_id: rent.to_owned(),
            book_id: book.to_owned(),
            book_name: String::new(),
            rental_fee: if reason.is_none() { FEE } else { 0 },
            reason,
            command_id: String::new(),
            at: 0,
        };
        self.put(topics::BOOK_RESULTS.base(), &result);
    }

    fn take(&mut self, rent: &str, book: &str) {
        self.ask(BookRequestKind::Take, rent, book);
        self.answer(BookOutcome::Taken, None, rent, book);
        self.status(rent, book, RentState::Rented);
    }

    fn free(&mut self, rent: &str, book: &str) {
        self.ask(BookRequestKind::Free, rent, book);
        self.answer(BookOutcome::Freed, None, rent, book);
    }

    fn turn_away(&mut self, rent: &str, book: &str, rejection: BookRejection, reason: RentCancelReason) {
        self.ask(BookRequestKind::Take, rent, book);
        self.answer(BookOutcome::Rejected, Some(rejection), rent, book);
        self.cancelled(rent, book, reason);
    }

    fn pay(&mut self, kind: PaymentRequestKind, outcome: PaymentOutcome, rent: &str) {
        let topics = (topics::PAYMENT_REQUESTS.base(), topics::PAYMENT_RESULTS.base());
        self.payment(topics, kind, outcome, rent, FEE);
    }

    fn charge(&mut self, rent: &str) {
        self.pay(PaymentRequestKind::Charge, PaymentOutcome::Approved, rent);
        self.book(rent, "CHARGE", FEE, "APPROVED");
    }

    fn refund(&mut self, rent: &str) {
        self.pay(PaymentRequestKind::Refund, PaymentOutcome::Refunded, rent);
        self.book(rent, "REFUND", FEE, "REFUNDED");
    }

    fn ask_librarian(&mut self, kind: ApprovalRequestKind, rent: &str, book: &str) {
        let request = ApprovalRequest {
            kind,
            rent_id: rent.to_owned(),
            user_id: String::new(),
            book_id: book.to_owned(),
            book_name: String::new(),
            rental_fee: FEE,
            requested_at: 0,
        };
        self.put(topics::APPROVAL_REQUESTS.base(), &request);
    }

    /// From the request to the librarian's desk.
    fn paid(&mut self, rent: &str, book: &str) {
        self.request(rent, book);
        self.take(rent, book);
        self.charge(rent);
        self.status(rent, book, RentState::Paid);
        self.ask_librarian(ApprovalRequestKind::Decide, rent, book);
    }

    fn approve(&mut self, rent: &str) {
        let (command_id, rent_id) = (format!("decide-{rent}"), rent.to_owned());
        let command = ApproveRent { command_id, rent_id, librarian_id: String::new(), decided_at: 0 };
        self.put(topics::DECISIONS.base(), &DecisionCommand { command: command.into() });
    }

    fn reject(&mut self, rent: &str) {
        let (command_id, rent_id) = (format!("decide-{rent}"), rent.to_owned());
        let (librarian_id, reason) = (String::new(), String::new());
        let command = RejectRent { command_id, rent_id, librarian_id, reason, decided_at: 0 };
        self.put(topics::DECISIONS.base(), &DecisionCommand { command: command.into() });
    }

    fn decided(&mut self, rent: &str, outcome: ApprovalOutcome) {
        let withdrawn = outcome == ApprovalOutcome::Withdrawn;
        let result = ApprovalResult {
            outcome,
            rent_id: rent.to_owned(),
            librarian_id: String::new(),
            reason: String::new(),
            command_id: if withdrawn { String::new() } else { format!("decide-{rent}") },
            at: 0,
        };
        self.put(topics::APPROVAL_RESULTS.base(), &result);
    }

    fn tell(&mut self, event: impl Into<RentEventKind>) {
        self.put(topics::RENT_EVENTS.base(), &RentEvent { event: event.into() });
    }

    fn started(&mut self, rent: &str, book: &str) {
        self.tell(RentStarted {
            rent_id: rent.to_owned(),
            user_id: String::new(),
            book_id: book.to_owned(),
            book_name: String::new(),
            started_at: STARTED_MS,
        });
        self.status(rent, book, RentState::Approved);
    }

    /// From the request to reading.
    fn read(&mut self, rent: &str, book: &str) {
        self.paid(rent, book);
        self.approve(rent);
        self.decided(rent, ApprovalOutcome::Approved);
        self.started(rent, book);
    }

    fn returned(&mut self, rent: &str, book: &str) {
        let (rent_id, book_id) = (rent.to_owned(), book.to_owned());
        self.tell(RentReturned { rent_id, user_id: String::new(), book_id, returned_at: 0 });
        self.status(rent, book, RentState::Returned);
    }

    fn cancelled(&mut self, rent: &str, book: &str, reason: RentCancelReason) {
        self.tell(RentCancelled {
            rent_id: rent.to_owned(),
            user_id: String::new(),
            book_id: book.to_owned(),
            reason,
            detail: String::new(),
            cancelled_at: 0,
        });
        self.status(rent, book, RentState::Canceled);
    }

    fn shelf(&mut self, path: &str) -> &mut Vec<Value> {
        self.collections.entry(path.to_owned()).or_default()
    }
}

/// One rent of each fate over two books, one of each left with a member or before the librarian; poison.
fn honest() -> Shelves {
    let mut w = Shelves::default();
    for book in ["salt", "rain", "train"] {
        w.register(book);
    }
    w.read("done", "salt");
    w.request("beaten", "salt");
    w.turn_away("beaten", "salt", BookRejection::TakenByAnother, RentCancelReason::TakenByAnother);
    w.bring_back("done", STARTED_MS + 10_000);
    w.free("done", "salt");
    w.returned("done", "salt");
    w.read("reading", "salt");
    w.bring_back("reading", STARTED_MS - 5_000); // too early: refused

    w.paid("rejected", "rain");
    w.reject("rejected");
    w.decided("rejected", ApprovalOutcome::Rejected);
    w.refund("rejected");
    w.free("rejected", "rain");
    w.cancelled("rejected", "rain", RentCancelReason::Rejected);

    w.request("declined", "rain");
    w.approve("declined"); // not paid: refused
    w.take("declined", "rain");
    w.pay(PaymentRequestKind::Charge, PaymentOutcome::Declined, "declined");
    w.book("declined", "CHARGE", 0, "DECLINED");
    w.free("declined", "rain");
    w.cancelled("declined", "rain", RentCancelReason::PaymentDeclined);

    w.paid("forgotten", "rain");
    w.ask_librarian(ApprovalRequestKind::Withdraw, "forgotten", "rain");
    w.decided("forgotten", ApprovalOutcome::Withdrawn);
    w.refund("forgotten");
    w.free("forgotten", "rain");
    w.cancelled("forgotten", "rain", RentCancelReason::ApprovalTimeout);

    w.paid("waiting", "train");
    w.request("nowhere", "nothing");
    w.turn_away("nowhere", "nothing", BookRejection::UnknownBook, RentCancelReason::UnknownBook);

    w.raw(topics::RENTS.base(), Some(b"poison".to_vec()), Some(b"{}".to_vec()));
    let at = w.log.last().unwrap().offset;
    w.dead_letter(&Library, topics::RENTS.base(), at);

    for (book, status) in [("salt", "TAKEN"), ("rain", "POSSIBLE"), ("train", "TAKEN")] {
        w.shelf("/books").push(json!({"id": book, "status": status}));
    }
    for (id, book, status) in [
        ("done", "salt", "RETURNED"),
        ("beaten", "salt", "CANCELED"),
        ("reading", "salt", "APPROVED"),
        ("rejected", "rain", "CANCELED"),
        ("declined", "rain", "CANCELED"),
        ("forgotten", "rain", "CANCELED"),
        ("waiting", "train", "PAID"),
        ("nowhere", "nothing", "CANCELED"),
    ] {
        for path in ["/rents", "/dashboards"] {
            w.shelf(path).push(json!({"id": id, "bookId": book, "userId": "", "status": status}));
        }
    }
    w
}

#[track_caller]
fn finds(check: &str, subject: &str, plant: impl FnOnce(&mut Shelves)) {
    let mut world = honest();
    plant(&mut world);
    assert_found(&world.audit(&Library), check, subject);
}

#[test]
fn an_honest_log_has_no_difference_and_is_at_rest() {
    assert_eq!(honest().audit(&Library), Vec::<String>::new());
    assert_eq!(honest().open(&Library), 0);
}

#[test]
fn an_approval_without_payment_is_found() {
    finds("approvals", "rent declined", |w| w.decided("declined", ApprovalOutcome::Approved));
    finds("approvals", "rent reading", |w| w.remove(topics::PAYMENT_RESULTS.base(), 1));
    finds("order of steps", "rent declined", |w| {
        w.ask_librarian(ApprovalRequestKind::Decide, "declined", "rain");
    });
    finds("order of steps", "rent beaten", |w| {
        w.pay(PaymentRequestKind::Charge, PaymentOutcome::Approved, "beaten");
    });
    finds("money conserved", "rent reading", |w| w.ledger.retain(|entry| entry.order_id != "reading"));
}

#[test]
fn a_decision_that_was_not_made_or_not_carried_out_is_found() {
    finds("approvals", "rent waiting", |w| w.decided("waiting", ApprovalOutcome::Approved));
    finds("approvals", "rent waiting", |w| {
        w.reject("waiting");
        w.decided("waiting", ApprovalOutcome::Approved);
    });
    finds("approvals", "rent waiting", |w| w.decided("waiting", ApprovalOutcome::Withdrawn));
    finds("approvals", "rent rejected", |w| w.decided("rejected", ApprovalOutcome::Approved));
    finds("approvals", "rent waiting", |w| w.started("waiting", "train"));
    finds("approvals", "rent waiting", |w| {
        w.reject("waiting");
        w.decided("waiting", ApprovalOutcome::Rejected);
    });
    finds("one outcome", "rent waiting", |w| {
        w.approve("waiting");
        w.decided("waiting", ApprovalOutcome::Approved);
    });
}

#[test]
fn a_refund_kept_back_is_found() {
    finds("one outcome", "rent rejected", |w| w.remove(topics::PAYMENT_RESULTS.base(), 3));
    finds("money conserved", "rent rejected", |w| w.ledger.retain(|entry| entry.kind != "REFUND"));
    finds("money conserved", "rent rejected", |w| w.book("rejected", "REFUND", FEE, "REFUNDED"));
    finds("money conserved", "rent waiting", |w| w.book("waiting", "REFUND", FEE, "REFUNDED"));
    finds("money conserved", "rent reading", |w| w.book("reading", "CHARGE", FEE, "APPROVED"));
    finds("money conserved", "rent beaten", |w| w.book("beaten", "CHARGE", FEE, "APPROVED"));
    finds("order of steps", "rent beaten", |w| w.refund("beaten"));
}

#[test]
fn two_readers_of_one_book_are_found() {
    finds("one reader", "book salt, rent second", |w| w.read("second", "salt"));
    finds("one reader", "book nothing, rent bold", |w| w.read("bold", "nothing"));
    for (rejection, reason) in [
        (BookRejection::TakenByAnother, RentCancelReason::TakenByAnother),
        (BookRejection::UnknownBook, RentCancelReason::UnknownBook),
    ] {
        finds("one reader", "book rain, rent denied", |w| {
            w.request("denied", "rain");
            w.turn_away("denied", "rain", rejection, reason);
        });
    }
    finds("one reader", "rent odd", |w| {
        w.request("odd", "rain");
        w.ask(BookRequestKind::Take, "odd", "rain");
        let result = BookResult {
            outcome: BookOutcome::Taken,
            rent_id: "odd".to_owned(),
            book_id: "rain".to_owned(),
            book_name: String::new(),
            rental_fee: FEE + 1,
            reason: None,
            command_id: String::new(),
            at: 0,
        };
        w.put(topics::BOOK_RESULTS.base(), &result);
    });
}

#[test]
fn a_book_that_stays_taken_is_found() {
    // Said to be free, and never let go of.
    finds("one reader", "book rain", |w| {
        w.read("stuck", "rain");
        w.bring_back("stuck", 0);
        w.answer(BookOutcome::Freed, None, "stuck", "rain");
        w.returned("stuck", "rain");
    });
    finds("one outcome", "rent rejected", |w| w.remove(topics::BOOK_RESULTS.base(), 5));
    finds("one reader", "book salt", |w| w.ask(BookRequestKind::Free, "reading", "salt"));
    // Brought back in time, and still read.
    finds("one outcome", "rent kept", |w| {
        w.read("kept", "rain");
        w.bring_back("kept", STARTED_MS + 60_000);
    });
}

#[test]
fn an_outcome_that_is_lost_doubled_or_without_cause_is_found() {
    finds("one outcome", "rent silent", |w| w.request("silent", "salt"));
    finds("one outcome", "rent reading", |w| w.started("reading", "salt"));
    finds("one outcome", "rent beaten", |w| w.cancelled("beaten", "salt", RentCancelReason::TakenByAnother));
    finds("one outcome", "rent rejected", |w| w.returned("rejected", "rain"));
    finds("one outcome", "rent reading", |w| w.cancelled("reading", "salt", RentCancelReason::Rejected));
    finds("outcome fits its cause", "rent late", |w| {
        w.request("late", "salt");
        w.turn_away("late", "salt", BookRejection::TakenByAnother, RentCancelReason::PaymentDeclined);
    });
    finds("outcome fits its cause", "rent back", |w| {
        w.read("back", "rain");
        w.free("back", "rain");
        w.returned("back", "rain");
    });
    finds("nothing invented", "rent ghost", |w| w.started("ghost", "salt"));
    finds("nothing invented", "rent reading", |w| w.started("reading", "rain"));
    finds("status history", "rent reading", |w| w.status("reading", "salt", RentState::Paid));
    finds("status history", "rent reading", |w| {
        w.versions.insert("reading".to_owned(), 9);
        w.status("reading", "salt", RentState::Approved);
    });
    finds("dead letters", "ebook.books/0@0", |w| w.dead_letter(&Library, topics::BOOKS.base(), 0));
}

#[test]
fn what_is_shown_wrongly_is_found() {
    for path in ["/rents", "/dashboards"] {
        let check = format!("GET {path}");
        finds(&check, "rent reading", |w| w.shelf(path)[2]["status"] = json!("PAID"));
        finds(&check, "rent done", |w| drop(w.shelf(path).remove(0)));
    }
    finds("GET /books", "book rain", |w| w.shelf("/books")[1]["status"] = json!("TAKEN"));
    finds("GET /books", "book lamp", |w| w.shelf("/books").push(json!({"id": "lamp", "status": "POSSIBLE"})));
}
