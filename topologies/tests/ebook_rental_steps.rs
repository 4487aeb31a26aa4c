//! The rent saga and the librarian's side step by step: from every state, by every event, to a state with commands; and the
//! same as the stories of rents. What a rent must never do is in `interleavings`; here stands what it does.

mod support;

use schemas::ebook::state::{Approval, ApprovalPhase, Rent};
use schemas::ebook::{
    ApprovalOutcome, ApprovalRequest, ApprovalRequestKind, ApprovalResult, BookOutcome, BookRejection, BookResult,
    DecisionCommand, RentCommand,
};
use support::ebook::{approve, give_back, reject, rent};
use support::steps::{self, NOW, Steps, asked_in_table, money};
use topologies::ebook_rental::{Command, Config, Event, Rules, Step, librarian, step};

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
    let approval = |outcome| {
        let (rent_id, librarian_id, command_id) = ("r".into(), String::new(), String::new());
        Event::Approval(ApprovalResult { outcome, rent_id, librarian_id, reason: "no".into(), command_id, at: NOW })
    };
    match name {
        "request" => command(rent("r", "b")),
        "request other" => command(rent("r", "c")),
        "return" => command(give_back("back", "r")),
        "taken" => book(BookOutcome::Taken, None),
        "taken by another" => book(BookOutcome::Rejected, Some(BookRejection::TakenByAnother)),
        "unknown book" => book(BookOutcome::Rejected, Some(BookRejection::UnknownBook)),
        "freed" => book(BookOutcome::Freed, None),
        "approved" => approval(ApprovalOutcome::Approved),
        "rejected" => approval(ApprovalOutcome::Rejected),
        "withdrawn" => approval(ApprovalOutcome::Withdrawn),
        "deadline" => Event::Deadline,
        "retry" => Event::PaymentRetry,
        money => {
            Event::Payment(steps::paid("ebook-rental", "r", money).unwrap_or_else(|| panic!("no event '{money}'")))
        }
    }
}

/// A command in short.
fn short(command: &Command) -> String {
    match command {
        Command::Book(r) => r.kind.to_string(),
        Command::Payment(r) => steps::asked(r),
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

struct RentSteps;

impl Steps for RentSteps {
    type State = Rent;
    type Command = Command;

    const EVENTS: &'static [&'static str] = &[
        "request",
        "request other",
        "return",
        "taken",
        "taken by another",
        "unknown book",
        "freed",
        "paid",
        "declined",
        "deferred",
        "voided",
        "not voidable",
        "void deferred",
        "refunded",
        "refund deferred",
        "nothing to refund",
        "approved",
        "rejected",
        "withdrawn",
        "deadline",
        "retry",
    ];
    const OTHER: &'static str = "request other";

    fn take(rent: Option<Rent>, name: &str) -> Result<Step, String> {
        let mut event = event(name);
        if let Event::Payment(result) = &mut event {
            steps::paid_now(result, rent.as_ref().map(|rent| &rent.payment));
        }
        step(rent, &event, NOW, &rules())
    }

    fn name(rent: &Rent) -> String {
        format!("{}, book {}, {}, approval {}", rent.status, rent.book, money(&rent.payment), rent.approval)
    }

    fn why(rent: &Rent) -> Option<String> {
        rent.reason.map(|reason| reason.to_string())
    }

    fn is_settled(rent: &Rent) -> bool {
        rent.settled_at.is_some()
    }

    fn short(command: &Command) -> String {
        use schemas::ebook::RentEventKind::RentCancelled;
        match command {
            Command::Payment(r) => asked_in_table(r),
            Command::Event(e) if matches!(e.event, RentCancelled(_)) => "ended".into(),
            other => short(other),
        }
    }
}

#[test]
fn every_event_in_every_state_leads_where_the_table_says() {
    steps::check::<RentSteps>(include_str!("golden/ebook_rental_steps.txt"));
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
fn the_stories_of_rents() {
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

struct LibrarianSteps;

impl Steps for LibrarianSteps {
    type State = Approval;
    type Command = ApprovalResult;

    const EVENTS: &'static [&'static str] = &["decide", "withdraw", "unknown", "approve", "reject"];

    fn take(approval: Option<Approval>, name: &str) -> Result<librarian::Step, String> {
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
        let event = match name {
            "decide" => request(ApprovalRequestKind::Decide),
            "withdraw" => request(ApprovalRequestKind::Withdraw),
            "unknown" => request(ApprovalRequestKind::Unknown),
            "approve" => librarian::Event::Command(DecisionCommand { command: approve("yes", "r") }),
            "reject" => librarian::Event::Command(DecisionCommand { command: reject("no", "r") }),
            other => panic!("no event '{other}'"),
        };
        librarian::step(approval, &event, NOW)
    }

    fn name(approval: &Approval) -> String {
        approval.phase.to_string()
    }

    fn is_settled(approval: &Approval) -> bool {
        approval.phase != ApprovalPhase::Waiting
    }

    fn short(result: &ApprovalResult) -> String {
        result.outcome.to_string()
    }
}

/// The librarian decides once, and a withdrawal finds what was decided.
#[test]
fn every_event_in_every_state_of_the_librarians_side_leads_where_the_table_says() {
    steps::check::<LibrarianSteps>(include_str!("golden/ebook_librarian_steps.txt"));
}
