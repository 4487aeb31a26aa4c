//! The order saga step by step: from every state, by every event, to a state with commands; and the same as the stories of
//! orders. What an order must never do is in `interleavings`; here stands what it does.

mod support;

use schemas::fashion::state::Order;
use schemas::fashion::{
    CancelRequester, CancellationReason, DeliveryCancelled, DeliveryEvent, DeliveryStarted, OrderCommand, StockOutcome,
    StockRejection, StockResult,
};
use schemas::payment::{PaymentOutcome, PaymentResult};
use support::steps::{self, NOW, Steps, asked_in_table, money};
use topologies::fashion_store::{Command, Config, Event, Step, step};
use topologies::saga::settings::Settings;

fn rules() -> Settings {
    Config::default().saga
}

/// An event by its short name.
fn event(name: &str) -> Event {
    let command = |command| Event::Command(OrderCommand { command });
    let stock = |outcome, reason| {
        let (order_id, product_id, command_id) = ("o".into(), "p".into(), "place-o".into());
        Event::Stock(StockResult { outcome, order_id, product_id, qty: 2, reason, command_id, at: NOW })
    };
    let (order_id, customer_id, product_id, size, qty) = ("o".into(), String::new(), "p".into(), "S".into(), 2);
    match name {
        "place" => command(support::place("o", "p", 2)),
        "place other" => command(support::place("o", "p", 3)),
        "cancel" => command(support::cancel("c", "o", CancelRequester::Customer)),
        "cancel by md" => command(support::cancel("c", "o", CancelRequester::Md)),
        "cancel by nobody" => command(support::cancel("c", "o", CancelRequester::Unknown)),
        "reserved" => stock(StockOutcome::Reserved, None),
        "out of stock" => stock(StockOutcome::Rejected, Some(StockRejection::OutOfStock)),
        "unknown product" => stock(StockOutcome::Rejected, Some(StockRejection::UnknownProduct)),
        "released" => stock(StockOutcome::Released, None),
        "started" => {
            let event = DeliveryStarted { order_id, customer_id, product_id, size, qty, started_at: NOW }.into();
            Event::Delivery(DeliveryEvent { event })
        }
        "called back" => {
            let (reason, started_at, cancelled_at) = ("lost".into(), None, NOW);
            let event =
                DeliveryCancelled { order_id, customer_id, product_id, size, qty, reason, started_at, cancelled_at };
            Event::Delivery(DeliveryEvent { event: event.into() })
        }
        "deadline" => Event::Deadline,
        "retry" => Event::PaymentRetry,
        "approved" => event("paid"),
        money => {
            Event::Payment(steps::paid("fashion-store", "o", money).unwrap_or_else(|| panic!("no event '{money}'")))
        }
    }
}

/// A command in short.
fn short(command: &Command) -> String {
    match command {
        Command::Stock(r) => r.kind.to_string(),
        Command::Payment(r) => steps::asked(r),
        Command::Delivery(r) => r.kind.to_string(),
        Command::Cancelled(e) => format!("ended:{}", e.reason),
        Command::Status(s) => format!("={}", s.status),
    }
}

struct OrderSteps;

impl Steps for OrderSteps {
    type State = Order;
    type Command = Command;

    const EVENTS: &'static [&'static str] = &[
        "place",
        "place other",
        "cancel",
        "cancel by md",
        "cancel by nobody",
        "reserved",
        "out of stock",
        "unknown product",
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
        "started",
        "called back",
        "deadline",
        "retry",
    ];
    const OTHER: &'static str = "place other";

    fn take(order: Option<Order>, name: &str) -> Result<Step, String> {
        let mut event = event(name);
        if let Event::Payment(result) = &mut event {
            steps::paid_now(result, order.as_ref().map(|order| &order.payment));
        }
        step(order, &event, NOW, &rules())
    }

    fn name(order: &Order) -> String {
        format!("{}, stock {}, {}, delivery {}", order.status, order.stock, money(&order.payment), order.delivery)
    }

    fn why(order: &Order) -> Option<String> {
        order.reason.map(|reason| reason.to_string())
    }

    fn is_settled(order: &Order) -> bool {
        order.settled_at.is_some()
    }

    fn short(command: &Command) -> String {
        match command {
            Command::Payment(r) => asked_in_table(r),
            Command::Cancelled(_) => "ended".into(),
            other => short(other),
        }
    }
}

#[test]
fn every_event_in_every_state_leads_where_the_table_says() {
    steps::check::<OrderSteps>(include_str!("golden/fashion_store_steps.txt"));
}

/// Takes events in from the beginning; what the last one led to: `verdict: commands`.
fn check(events: &str, expected: &str) -> Option<Order> {
    let mut order: Option<Order> = None;
    let mut last = String::new();
    for name in events.split(", ") {
        let step = step(order, &event(name), NOW, &rules()).unwrap_or_else(|e| panic!("{events}: {name}: {e}"));
        let commands: Vec<String> = step.commands.iter().map(short).collect();
        let verdict = step.verdict.map(|(verdict, _)| format!("{verdict}: ")).unwrap_or_default();
        last = format!("{verdict}{}", commands.join(" "));
        order = step.state;
    }
    assert_eq!(last, expected, "{events}");
    order
}

#[test]
fn the_stories_of_orders() {
    for (events, expected) in [
        // Forwards.
        ("place", "ACCEPTED: =ORDERED RESERVE"),
        ("place, reserved", "=STOCK_RESERVED CHARGE"),
        ("place, reserved, approved", "=PAID START"),
        ("place, reserved, approved, started", "=DELIVERY_STARTED"),
        // A step fails.
        ("place, out of stock", "=CANCELLED ended:OUT_OF_STOCK"),
        ("place, unknown product", "=CANCELLED ended:UNKNOWN_PRODUCT"),
        ("place, reserved, declined", "=CANCELLING RELEASE"),
        ("place, reserved, declined, released", "=CANCELLED ended:PAYMENT_DECLINED"),
        ("place, reserved, deferred", "=PAYMENT_DEFERRED"),
        ("place, reserved, deferred, retry", "CHARGE#2"),
        ("place, reserved, deferred, approved", "=PAID START"),
        ("place, reserved, approved, called back", "=DELIVERY_CANCELLED REFUND"),
        ("place, reserved, approved, started, called back", "=DELIVERY_CANCELLED REFUND"),
        // A cancellation at every point.
        ("cancel", "NOT_FOUND: "),
        ("place, cancel", "ACCEPTED: =CANCELLING RELEASE"),
        ("place, cancel, reserved", ""),
        ("place, cancel, reserved, released", "=CANCELLED ended:CUSTOMER"),
        ("place, cancel by md, out of stock", "=CANCELLED ended:MD"),
        ("place, reserved, cancel", "ACCEPTED: =CANCELLING VOID"),
        ("place, reserved, cancel, voided", "RELEASE"),
        ("place, reserved, cancel, voided, released", "=CANCELLED ended:CUSTOMER"),
        ("place, reserved, cancel, approved", ""),
        ("place, reserved, cancel, approved, voided", "RELEASE"),
        ("place, reserved, cancel, approved, not voidable", "REFUND"),
        ("place, reserved, cancel, not voidable", "REFUND"),
        ("place, reserved, cancel, not voidable, nothing to refund", "RELEASE"),
        ("place, reserved, cancel, declined", ""),
        ("place, reserved, cancel, declined, voided", "RELEASE"),
        ("place, reserved, cancel, void deferred", ""),
        ("place, reserved, cancel, void deferred, retry", "VOID#2"),
        ("place, reserved, deferred, cancel", "ACCEPTED: =CANCELLING VOID"),
        ("place, reserved, approved, cancel", "ACCEPTED: =CANCELLING CANCEL"),
        ("place, reserved, approved, cancel, started", ""),
        ("place, reserved, approved, cancel, called back", "=DELIVERY_CANCELLED REFUND"),
        ("place, reserved, approved, started, cancel, called back", "=DELIVERY_CANCELLED REFUND"),
        ("place, reserved, approved, started, cancel, called back, refund deferred, retry", "REFUND#2"),
        ("place, reserved, approved, started, cancel, called back, refunded", "RELEASE"),
        ("place, reserved, approved, started, cancel, called back, refunded, released", "=CANCELLED ended:CUSTOMER"),
        ("place, cancel, cancel by md", "ALREADY_CANCELLED: "),
        ("place, out of stock, cancel", "ALREADY_CANCELLED: "),
        ("place, cancel by nobody", "INVALID: "),
        // The deadline.
        ("place, deadline", "=CANCELLING RELEASE"),
        ("place, reserved, deadline", "=CANCELLING VOID"),
        ("place, reserved, deadline, approved, voided, released", "=CANCELLED ended:PAYMENT_TIMEOUT"),
        ("place, reserved, approved, deadline", ""),
        ("place, cancel, deadline", ""),
        ("deadline", ""),
        // An approval after the end is refunded, once; the end is not told again.
        ("place, reserved, deadline, voided, released, approved", "REFUND"),
        ("place, reserved, deadline, voided, released, approved, approved", ""),
        ("place, reserved, deadline, voided, released, approved, refunded", ""),
        // Repeats.
        ("place, place", "DUPLICATE: "),
        ("place, place other", "CONFLICT: "),
        ("place, reserved, reserved", ""),
        ("place, reserved, approved, approved", ""),
        ("place, reserved, approved, declined", ""),
        ("place, reserved, deferred, deferred", ""),
        ("place, reserved, approved, started, started", ""),
        ("place, reserved, approved, cancel, called back, called back", ""),
        ("place, reserved, approved, cancel, called back, refunded, refunded", ""),
        ("place, cancel, released, released", ""),
        // Out of turn.
        ("place, started", ""),
        ("place, called back", ""),
        ("place, released", ""),
        ("place, reserved, retry", ""),
        ("place, retry", ""),
    ] {
        check(events, expected);
    }
}

#[test]
fn the_state_says_what_is_due_and_why() {
    let order = check("place", "ACCEPTED: =ORDERED RESERVE").expect("placed");
    assert_eq!((order.deadline_at, order.settled_at), (Some(NOW + 600_000), None));
    let order = check("place, reserved, deferred", "=PAYMENT_DEFERRED").expect("placed");
    assert_eq!(order.payment.retry_at, Some(NOW + 1_000));
    let order = check("place, reserved, approved", "=PAID START").expect("placed");
    assert_eq!((order.deadline_at, order.payment.retry_at), (None, None));
    let order = check("place, reserved, approved, started", "=DELIVERY_STARTED").expect("placed");
    assert_eq!(order.settled_at, Some(NOW));
    let order = check("place, reserved, approved, started, cancel", "ACCEPTED: =CANCELLING CANCEL").expect("placed");
    assert_eq!((order.settled_at, order.reason), (None, Some(CancellationReason::Customer)));
    assert_eq!(order.detail, "changed my mind");
    let order = check("place, reserved, deadline", "=CANCELLING VOID").expect("placed");
    assert_eq!(order.detail, "the payment system did not answer in time");
    let ends: Vec<i64> = order.history.iter().map(|s| s.at).collect();
    assert_eq!(ends, [NOW; 3]);
}

#[test]
fn results_that_cannot_be_of_this_order_are_refused_with_a_reason() {
    let placed = check("place", "ACCEPTED: =ORDERED RESERVE");
    let charged = check("place, reserved", "=STOCK_RESERVED CHARGE");
    let with = |change: fn(&mut PaymentResult)| match event("approved") {
        Event::Payment(mut result) => {
            change(&mut result);
            Event::Payment(result)
        }
        other => other,
    };
    let of_another_product = match event("reserved") {
        Event::Stock(mut result) => {
            result.product_id = "q".into();
            Event::Stock(result)
        }
        other => other,
    };
    for (order, event, reason) in [
        (None, event("approved"), "there is no such order"),
        (None, event("reserved"), "there is no such order"),
        (placed.clone(), event("approved"), "which was never charged"),
        (placed, of_another_product, "a product that order 'o' is not about"),
        (
            charged.clone(),
            with(|r| r.idempotency_key = "mine".into()),
            "under the key 'mine', which is not its CHARGE key",
        ),
        (charged.clone(), with(|r| r.amount += 1), "2001 won were approved for 'o', which asked for 2000"),
        (charged, with(|r| r.outcome = PaymentOutcome::Unknown), "that this release does not know"),
    ] {
        let refused = step(order, &event, NOW, &rules()).expect_err(reason);
        assert!(refused.contains(reason), "{refused}");
    }
}

#[test]
fn pauses_double_up_to_the_longest_and_never_overflow() {
    let retry = rules().retry;
    let pauses: Vec<i64> =
        [1, 2, 3, 6, 7, 8, 64, i32::MAX].into_iter().map(|attempt| retry.pause_ms(attempt)).collect();
    assert_eq!(pauses, [1_000, 2_000, 4_000, 32_000, 60_000, 60_000, 60_000, 60_000]);
    assert_eq!(retry.pause_ms(0), 1_000);
    assert_eq!(retry.pause_ms(i32::MIN), 1_000);
}

#[test]
fn a_charge_is_not_made_again_when_its_key_may_be_forgotten() {
    let order = check("place, reserved, deferred", "=PAYMENT_DEFERRED");
    let late = NOW + rules().retry.key_lifetime_ms;
    let after = step(order, &Event::PaymentRetry, late, &rules()).expect("about the order");
    assert_eq!(after.commands, vec![]);
    let undone = step(after.state, &Event::Deadline, late, &rules()).expect("about the order");
    assert_eq!(undone.commands.iter().map(short).collect::<Vec<_>>(), ["=CANCELLING", "VOID"]);
}
