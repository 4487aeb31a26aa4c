//! The rent saga and the librarian's side step by step, as tables: from a state, by an event, to a state with commands. What
//! a rent must never do is in `interleavings`; here stands what it does.

mod support;

use schemas::ebook::state::Rent;
use schemas::ebook::{
    ApprovalOutcome, ApprovalRequest, ApprovalRequestKind, ApprovalResult, BookOutcome, BookRejection, BookResult,
    DecisionCommand, RentCommand,
};
use schemas::payment::{PaymentOutcome, PaymentRequest, PaymentRequestKind};
use support::ebook::{approve, give_back, reject, rent};
use topologies::ebook_rental::{Command, Config, Event, Rules, librarian, step};

const NOW: i64 = 1_000;
const DAY_MS: i64 = 24 * 60 * 60 * 1_000;

fn rules() -> Rules {
    let Config { saga, approval_deadline_ms, .. } = Config::default();
    Rules { saga, approval_deadline_ms }
}

/// An event by its short name.
fn event(name: &str) -> Event {
    let command = |command| Event::Command(RentCommand { command });
    let book = |outcome, reason| {
        Event::Book(BookResult {
            outcome,
            rent_id: "r".into(),
            book_id: "b".into(),
            book_name: "title as registered".into(),
            rental_fee: 2_000,
            reason,
            command_id: "rent-r".into(),
            at: NOW,
        })
    };
    let payment = |kind, key: &str, outcome| {
        let request = PaymentRequest {
            kind,
            correlation_id: "r".into(),
            idempotency_key: format!("ebook-rental:r:charge{key}"),
            amount: 2_000,
            attempt: 1,
            requested_at: NOW,
            payer_id: String::new(),
            charge_key: None,
            provider_reference: None,
        };
        Event::Payment(support::result(&request, outcome, NOW))
    };
    let approval = |outcome| {
        let (rent_id, librarian_id, command_id) = ("r".into(), String::new(), String::new());
        Event::Approval(ApprovalResult { outcome, rent_id, librarian_id, reason: "no".into(), command_id, at: NOW })
    };
    let (charge, void, refund) = (PaymentRequestKind::Charge, PaymentRequestKind::Void, PaymentRequestKind::Refund);
    match name {
        "request" => command(rent("r", "b")),
        "request other" => command(rent("r", "c")),
        "return" => command(give_back("back", "r")),
        "taken" => book(BookOutcome::Taken, None),
        "taken by another" => book(BookOutcome::Rejected, Some(BookRejection::TakenByAnother)),
        "unknown book" => book(BookOutcome::Rejected, Some(BookRejection::UnknownBook)),
        "freed" => book(BookOutcome::Freed, None),
        "paid" => payment(charge, "", PaymentOutcome::Approved),
        "declined" => payment(charge, "", PaymentOutcome::Declined),
        "deferred" => payment(charge, "", PaymentOutcome::Deferred),
        "voided" => payment(void, ":void", PaymentOutcome::Voided),
        "not voidable" => payment(void, ":void", PaymentOutcome::Declined),
        "refunded" => payment(refund, ":refund", PaymentOutcome::Refunded),
        "refund deferred" => payment(refund, ":refund", PaymentOutcome::Deferred),
        "approved" => approval(ApprovalOutcome::Approved),
        "rejected" => approval(ApprovalOutcome::Rejected),
        "withdrawn" => approval(ApprovalOutcome::Withdrawn),
        "deadline" => Event::Deadline,
        "retry" => Event::PaymentRetry,
        other => panic!("no event '{other}'"),
    }
}

/// A command in short.
fn short(command: &Command) -> String {
    match command {
        Command::Book(r) => r.kind.to_string(),
        Command::Payment(r) if r.attempt > 1 => format!("{}#{}", r.kind, r.attempt),
        Command::Payment(r) => r.kind.to_string(),
        Command::Approval(r) => r.kind.to_string(),
        Command::Event(e) => {
            use schemas::ebook::RentEventKind::{RentCancelled, RentReturned, RentStarted};
            match &e.event {
                RentStarted(_) => "started".into(),
                RentReturned(_) => "returned".into(),
                RentCancelled(cancelled) => format!("ended:{}", cancelled.reason),
            }
        }
        Command::Status(s) => format!("={}", s.status),
    }
}

/// Takes events in from the beginning; what the last one led to: `verdict: commands`.
fn check(events: &str, expected: &str) -> Option<Rent> {
    let mut rent: Option<Rent> = None;
    let mut last = String::new();
    for name in events.split(", ") {
        let step = step(rent, &event(name), NOW, &rules()).unwrap_or_else(|e| panic!("{events}: {name}: {e}"));
        let commands: Vec<String> = step.commands.iter().map(short).collect();
        let verdict = step.verdict.map(|(verdict, _)| format!("{verdict}: ")).unwrap_or_default();
        last = format!("{verdict}{}", commands.join(" "));
        rent = step.state;
    }
    assert_eq!(last, expected, "{events}");
    rent
}

#[test]
fn each_step_of_a_rent_leads_where_the_table_says() {
    for (events, expected) in [
        // Forwards.
        ("request", "ACCEPTED: =REQUESTED TAKE"),
        ("request, taken", "=RENTED CHARGE"),
        ("request, taken, paid", "=PAID DECIDE"),
        ("request, taken, paid, approved", "=APPROVED started"),
        ("request, taken, paid, approved, return", "ACCEPTED: FREE"),
        ("request, taken, paid, approved, return, freed", "=RETURNED returned"),
        // A step fails.
        ("request, taken by another", "=CANCELED ended:TAKEN_BY_ANOTHER"),
        ("request, unknown book", "=CANCELED ended:UNKNOWN_BOOK"),
        ("request, taken, declined", "=CANCELING FREE"),
        ("request, taken, declined, freed", "=CANCELED ended:PAYMENT_DECLINED"),
        ("request, taken, deferred", "=PAYMENT_DEFERRED"),
        ("request, taken, deferred, retry", "CHARGE#2"),
        ("request, taken, deferred, paid", "=PAID DECIDE"),
        // Rejected: the money goes back before the book is free.
        ("request, taken, paid, rejected", "=CANCELING REFUND"),
        ("request, taken, paid, rejected, refund deferred, retry", "REFUND#2"),
        ("request, taken, paid, rejected, refunded", "FREE"),
        ("request, taken, paid, rejected, refunded, freed", "=CANCELED ended:REJECTED"),
        // The deadline of the payment.
        ("request, deadline", ""),
        ("request, taken, deadline", "=CANCELING VOID"),
        ("request, taken, deadline, voided", "FREE"),
        ("request, taken, deadline, not voidable", "REFUND"),
        ("request, taken, deadline, paid", ""),
        ("request, taken, deadline, paid, voided, freed", "=CANCELED ended:PAYMENT_TIMEOUT"),
        // The deadline of the librarian: a decision that came first stands.
        ("request, taken, paid, deadline", "WITHDRAW"),
        ("request, taken, paid, deadline, deadline", ""),
        ("request, taken, paid, deadline, withdrawn", "=CANCELING REFUND"),
        ("request, taken, paid, deadline, withdrawn, refunded, freed", "=CANCELED ended:APPROVAL_TIMEOUT"),
        ("request, taken, paid, deadline, approved", "=APPROVED started"),
        ("request, taken, paid, deadline, approved, withdrawn", ""),
        ("request, taken, paid, deadline, rejected", "=CANCELING REFUND"),
        ("request, taken, paid, approved, deadline", ""),
        ("deadline", ""),
        // An approval of the payment after the end is refunded, once.
        ("request, taken, deadline, voided, freed, paid", "REFUND"),
        ("request, taken, deadline, voided, freed, paid, refunded", ""),
        // Repeats.
        ("request, request", "DUPLICATE: "),
        ("request, request other", "CONFLICT: "),
        ("request, taken, taken", ""),
        ("request, taken, paid, paid", ""),
        ("request, taken, paid, approved, approved", ""),
        ("request, taken, paid, approved, rejected", ""),
        ("request, taken, paid, rejected, rejected", ""),
        ("request, taken, paid, approved, return, return", "DUPLICATE: "),
        ("request, taken, paid, approved, return, freed, freed", ""),
        ("request, taken, paid, approved, return, freed, return", "DUPLICATE: "),
        // Out of turn.
        ("return", "NOT_FOUND: "),
        ("request, return", "REFUSED: "),
        ("request, taken, paid, return", "REFUSED: "),
        ("request, approved", ""),
        ("request, taken, approved", ""),
        ("request, taken, freed", ""),
        ("request, retry", ""),
    ] {
        check(events, expected);
    }
}

#[test]
fn the_state_says_what_is_due_and_what_was_agreed() {
    let rent = check("request", "ACCEPTED: =REQUESTED TAKE").expect("requested");
    assert_eq!(rent.deadline_at, None, "nothing is held for it yet");
    let rent = check("request, taken", "=RENTED CHARGE").expect("requested");
    assert_eq!(rent.deadline_at, Some(NOW + 600_000));
    assert_eq!((&rent.book_name[..], rent.rental_fee, rent.payment.amount), ("title as registered", 2_000, 2_000));
    let rent = check("request, taken, paid", "=PAID DECIDE").expect("requested");
    assert_eq!((rent.deadline_at, rent.settled_at), (Some(NOW + 7 * DAY_MS), None));
    let rent = check("request, taken, paid, approved", "=APPROVED started").expect("requested");
    assert_eq!((rent.deadline_at, rent.settled_at), (None, Some(NOW)));
    let rent = check("request, taken, paid, rejected", "=CANCELING REFUND").expect("requested");
    assert_eq!((rent.deadline_at, rent.settled_at, &rent.detail[..]), (None, None, "no"));
}

#[test]
fn results_that_cannot_be_of_this_rent_are_refused_with_a_reason() {
    let of_another_book = match event("taken") {
        Event::Book(result) => Event::Book(BookResult { book_id: "c".into(), ..result }),
        other => other,
    };
    for (events, event, reason) in [
        ("return", event("paid"), "there is no such rent"),
        ("return", event("approved"), "there is no such rent"),
        ("request", event("paid"), "which was never charged"),
        ("request", of_another_book, "a book that rent 'r' is not about"),
    ] {
        let known = check(events, if events == "return" { "NOT_FOUND: " } else { "ACCEPTED: =REQUESTED TAKE" });
        let refused = step(known, &event, NOW, &rules()).expect_err(reason);
        assert!(refused.contains(reason), "{refused}");
    }
}

#[test]
fn the_librarian_decides_once_and_a_withdrawal_finds_what_was_decided() {
    let request = |kind| {
        librarian::Event::Request(ApprovalRequest {
            kind,
            rent_id: "r".into(),
            user_id: "member-1".into(),
            book_id: "b".into(),
            book_name: String::new(),
            rental_fee: 2_000,
            requested_at: NOW,
        })
    };
    let event = |name: &str| match name {
        "decide" => request(ApprovalRequestKind::Decide),
        "withdraw" => request(ApprovalRequestKind::Withdraw),
        "approve" => librarian::Event::Command(DecisionCommand { command: approve("yes", "r") }),
        "reject" => librarian::Event::Command(DecisionCommand { command: reject("no", "r") }),
        other => panic!("no event '{other}'"),
    };
    for (events, expected) in [
        ("approve", "REFUSED: "),
        ("decide", ""),
        ("decide, decide", ""),
        ("decide, approve", "ACCEPTED: APPROVED"),
        ("decide, reject", "ACCEPTED: REJECTED"),
        ("decide, approve, approve", "DUPLICATE: "),
        ("decide, approve, reject", "REFUSED: "),
        ("decide, approve, withdraw", "APPROVED"),
        ("decide, reject, withdraw", "REJECTED"),
        ("decide, approve, decide", "APPROVED"),
        ("decide, withdraw", "WITHDRAWN"),
        ("decide, withdraw, withdraw", "WITHDRAWN"),
        ("decide, withdraw, approve", "REFUSED: "),
        ("withdraw", "WITHDRAWN"),
        ("withdraw, decide", "WITHDRAWN"),
        ("withdraw, decide, approve", "REFUSED: "),
    ] {
        let (mut approval, mut last) = (None, String::new());
        for name in events.split(", ") {
            let step = librarian::step(approval, &event(name), NOW).expect("makes sense");
            let told: Vec<String> = step.commands.iter().map(|r| r.outcome.to_string()).collect();
            let verdict = step.verdict.map(|(verdict, _)| format!("{verdict}: ")).unwrap_or_default();
            last = format!("{verdict}{}", told.join(" "));
            approval = step.state;
        }
        assert_eq!(last, expected, "{events}");
    }
}
