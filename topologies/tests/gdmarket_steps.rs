//! The rental saga step by step: from every state, by every event, to a state with commands. What a rental must never do is
//! in `interleavings`; here stands what it does.

mod support;

use schemas::gdmarket::state::Rental;
use schemas::gdmarket::{CancelRental, ItemOutcome, ItemRejection, ItemResult, RentalCancelReason, RentalCommand};
use support::gdmarket::{bring_back, cancel, cancel_payment, rent};
use support::steps::{self, NOW, Steps, asked_in_table, money};
use topologies::gdmarket::{Command, Config, Event, Step, step};
use topologies::saga::settings::Settings;

fn rules() -> Settings {
    Config::default().saga
}

/// An event by its short name.
fn event(name: &str) -> Event {
    let command = |command| Event::Command(RentalCommand { command });
    let item = |outcome, reason| {
        let (rental_id, item_id, command_id) = ("r".into(), "i".into(), "rent-r".into());
        Event::Item(ItemResult { outcome, rental_id, item_id, fee: 2_000, reason, command_id, at: NOW })
    };
    let rejected = |reason| item(ItemOutcome::Rejected, Some(reason));
    match name {
        "request" => command(rent("r", "i")),
        "request other" => command(rent("r", "j")),
        "cancel" => command(cancel("c", "r")),
        "cancel payment" => command(cancel_payment("cp", "r")),
        "return" => command(bring_back("back", "r")),
        "locked" => item(ItemOutcome::Locked, None),
        "not available" => rejected(ItemRejection::NotAvailable),
        "unknown item" => rejected(ItemRejection::UnknownItem),
        "deleted" => rejected(ItemRejection::Deleted),
        "handed out" => item(ItemOutcome::HandedOut, None),
        "released" => item(ItemOutcome::Released, None),
        "deadline" => Event::Deadline,
        "retry" => Event::PaymentRetry,
        money => Event::Payment(steps::paid("gdmarket", "r", money).unwrap_or_else(|| panic!("no event '{money}'"))),
    }
}

struct RentalSteps;

impl Steps for RentalSteps {
    type State = Rental;
    type Command = Command;

    const EVENTS: &'static [&'static str] = &[
        "request",
        "request other",
        "cancel",
        "cancel payment",
        "return",
        "locked",
        "not available",
        "unknown item",
        "deleted",
        "handed out",
        "released",
        "paid",
        "declined",
        "deferred",
        "voided",
        "not voidable",
        "void deferred",
        "refunded",
        "refund deferred",
        "nothing to refund",
        "deadline",
        "retry",
    ];
    const OTHER: &'static str = "request other";

    fn take(rental: Option<Rental>, name: &str) -> Result<Step, String> {
        let mut event = event(name);
        if let Event::Payment(result) = &mut event {
            steps::paid_now(result, rental.as_ref().map(|rental| &rental.payment));
        }
        step(rental, &event, NOW, &rules())
    }

    fn name(rental: &Rental) -> String {
        format!("{}, item {}, {}", rental.status, rental.item, money(&rental.payment))
    }

    fn why(rental: &Rental) -> Option<String> {
        rental.reason.map(|reason| reason.to_string())
    }

    fn is_settled(rental: &Rental) -> bool {
        rental.settled_at.is_some()
    }

    fn short(command: &Command) -> String {
        use schemas::gdmarket::RentalEventKind::{RentalCancelled, RentalReturned, RentalStarted};
        match command {
            Command::Item(r) => r.kind.to_string(),
            Command::Payment(r) => asked_in_table(r),
            Command::Event(e) => match &e.event {
                RentalStarted(_) => "started".into(),
                RentalReturned(_) => "returned".into(),
                RentalCancelled(_) => "ended".into(),
            },
            Command::Status(s) => format!("={}", s.status),
        }
    }
}

#[test]
fn every_event_in_every_state_leads_where_the_table_says() {
    steps::check::<RentalSteps>(include_str!("golden/gdmarket_steps.txt"));
}

/// The rental after events from its beginning.
fn after(events: &[&str]) -> Rental {
    let take = |rental, name: &&str| step(rental, &event(name), NOW, &rules()).expect(name).state;
    events.iter().fold(None, take).expect("requested")
}

#[test]
fn the_state_says_what_is_due_and_what_was_agreed() {
    let rental = after(&["request"]);
    assert_eq!((rental.deadline_at, rental.fee), (None, 0), "nothing is held for it yet");
    let rental = after(&["request", "locked"]);
    assert_eq!((rental.deadline_at, rental.fee, rental.payment.amount), (Some(NOW + 600_000), 2_000, 2_000));
    let rental = after(&["request", "locked", "deferred"]);
    assert_eq!(rental.payment.retry_at, Some(NOW + 1_000));
    let rental = after(&["request", "locked", "paid"]);
    assert_eq!((rental.deadline_at, rental.settled_at), (None, None));
    let rental = after(&["request", "locked", "paid", "handed out"]);
    assert_eq!(rental.settled_at, Some(NOW));
    let rental = after(&["request", "locked", "paid", "handed out", "return"]);
    assert_eq!(rental.settled_at, None, "the item is on its way back");
    let rental = after(&["request", "locked", "deferred", "deadline"]);
    assert_eq!(
        (rental.reason, &rental.detail[..]),
        (Some(RentalCancelReason::PaymentTimeout), "the payment was put off until the deadline")
    );
}

#[test]
fn what_is_too_long_or_of_another_item_is_refused_with_a_reason() {
    let wordy =
        CancelRental { command_id: "c".into(), rental_id: "r".into(), reason: "x".repeat(501), requested_at: 0 };
    let wordy = Event::Command(RentalCommand { command: wordy.into() });
    let rental = after(&["request"]);
    let step = |event: &Event| step(Some(rental.clone()), event, NOW, &rules());
    let refused = step(&wordy).expect("an answer");
    assert_eq!(refused.verdict.map(|(verdict, _)| verdict.to_string()).as_deref(), Some("INVALID"));
    assert_eq!((refused.state.as_ref(), refused.commands.len()), (Some(&rental), 0));
    let Event::Item(result) = event("locked") else { unreachable!("an answer about the item") };
    let strange = step(&Event::Item(ItemResult { item_id: "j".into(), ..result })).expect_err("of another item");
    assert_eq!(strange, "a result for an item that rental 'r' is not about");
}
