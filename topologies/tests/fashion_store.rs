//! fashion-store in the engine: golden scenarios, each run in every way ([`support::modes`]) against one expected outcome;
//! bad input; misplaced keys; time.

mod support;

use schemas::Codec;
use schemas::fashion::OrderState::{
    Cancelled, Cancelling, DeliveryCancelled, DeliveryStarted, Ordered, Paid, PaymentDeferred, StockReserved,
};
use schemas::fashion::{
    CancelRequester, CancellationReason, OrderCommand, OrderCommandKind, OrderState, ProductCommand, topics,
};
use schemas::payment::PaymentOutcome;
use schemas::state::Verdict;
use streams::testing::TestDriver;
use streams::{ErrorPolicy, OnError, TopicPartition};
use support::{Charges, Mode, PLAIN, Shop, audit, cancel, place, register, restock, same_in_every_mode};
use topologies::fashion_store::{Config, topology};

const CUSTOMER: CancelRequester = CancelRequester::Customer;
const MD: CancelRequester = CancelRequester::Md;

/// Runs a scenario in every mode; all must come out like the first. Then `check` says what that must be.
fn golden(name: &str, scenario: impl Fn(&mut Shop), check: impl Fn(&mut Shop)) {
    same_in_every_mode(name, |mode| {
        let mut shop = Shop::new(mode);
        scenario(&mut shop);
        let outcome = shop.outcome();
        audit(&outcome);
        check(&mut shop);
        outcome
    });
}

fn ends(
    id: &'static str,
    statuses: &'static [OrderState],
    reason: Option<CancellationReason>,
    free: i64,
) -> impl Fn(&mut Shop) {
    move |shop| {
        assert_eq!(shop.statuses(id), statuses);
        assert_eq!(shop.order_state(id).reason, reason);
        assert_eq!(shop.stock("p").free(), free, "pieces free in the end");
        assert_eq!(shop.dead_letters(), Vec::<String>::new());
    }
}

#[test]
fn requirements_1_2_3_4_5_6_an_order_of_a_registered_product_is_reserved_paid_and_delivered() {
    golden(
        "delivered",
        |shop| {
            shop.product(register("p", 10));
            shop.order(place("o", "p", 2));
            shop.provider(Charges::Approve);
        },
        ends("o", &[Ordered, StockReserved, Paid, DeliveryStarted], None, 8),
    );
}

#[test]
fn an_order_of_an_unknown_product_is_cancelled() {
    golden(
        "unknown product",
        |shop| {
            shop.product(register("p", 10));
            shop.order(place("o", "nothing", 1));
            shop.provider(Charges::Approve);
        },
        ends("o", &[Ordered, Cancelled], Some(CancellationReason::UnknownProduct), 10),
    );
}

#[test]
fn an_order_beyond_the_stock_is_cancelled_and_a_restock_helps_the_next() {
    golden(
        "out of stock",
        |shop| {
            shop.product(register("p", 3));
            shop.order(place("o", "p", 4));
            shop.product(restock("more", "p", 1));
            shop.order(place("o2", "p", 4));
            shop.provider(Charges::Approve);
        },
        |shop| {
            assert_eq!(shop.statuses("o"), [Ordered, Cancelled]);
            assert_eq!(shop.order_state("o").reason, Some(CancellationReason::OutOfStock));
            assert_eq!(shop.statuses("o2"), [Ordered, StockReserved, Paid, DeliveryStarted]);
            assert_eq!(shop.stock("p").free(), 0);
        },
    );
}

#[test]
fn a_declined_payment_gives_the_stock_back() {
    golden(
        "declined",
        |shop| {
            shop.product(register("p", 10));
            shop.order(place("o", "p", 2));
            shop.provider(Charges::Decline);
        },
        ends("o", &[Ordered, StockReserved, Cancelling, Cancelled], Some(CancellationReason::PaymentDeclined), 10),
    );
}

#[test]
fn a_deferred_payment_is_asked_for_again_under_the_same_key() {
    for heard in [Charges::Defer, Charges::ApproveUnheard] {
        golden(
            "deferred",
            |shop| {
                shop.product(register("p", 10));
                shop.order(place("o", "p", 2));
                shop.provider(heard);
                // The first pause is one second, the second two.
                shop.advance(999);
                assert_eq!(shop.payment_requests(), vec![]);
                shop.advance(201);
                let again = shop.payment_requests();
                assert_eq!(again.iter().map(|r| r.attempt).collect::<Vec<_>>(), [2]);
                assert_eq!(again[0].idempotency_key, "fashion-store:o:charge");
                shop.answer(&again[0], PaymentOutcome::Deferred);
                shop.advance(2_200);
                shop.provider(Charges::Approve);
            },
            ends("o", &[Ordered, StockReserved, PaymentDeferred, Paid, DeliveryStarted], None, 8),
        );
    }
}

#[test]
fn an_order_not_paid_by_the_deadline_is_unwound() {
    golden(
        "deadline while deferred",
        |shop| {
            shop.product(register("p", 10));
            shop.order(place("o", "p", 2));
            shop.provider(Charges::ApproveUnheard);
            shop.advance(600_200);
            shop.provider(Charges::Approve);
        },
        ends(
            "o",
            &[Ordered, StockReserved, PaymentDeferred, Cancelling, Cancelled],
            Some(CancellationReason::PaymentTimeout),
            10,
        ),
    );
    golden(
        "approval after the deadline",
        |shop| {
            shop.product(register("p", 10));
            shop.order(place("o", "p", 2));
            let charge = shop.payment_requests().remove(0);
            shop.advance(600_200);
            let outcome = shop.ledger.carry_out(&charge, Charges::Approve);
            shop.answer(&charge, outcome);
            shop.provider(Charges::Approve);
        },
        ends("o", &[Ordered, StockReserved, Cancelling, Cancelled], Some(CancellationReason::PaymentTimeout), 10),
    );
    golden(
        "approval after the end",
        |shop| {
            shop.product(register("p", 10));
            shop.order(place("o", "p", 2));
            let charge = shop.payment_requests().remove(0);
            shop.advance(600_200);
            let void = shop.payment_requests().remove(0);
            shop.answer(&void, PaymentOutcome::Voided);
            // A provider that took the money in spite of the void.
            let outcome = shop.ledger.carry_out(&charge, Charges::Approve);
            shop.answer(&charge, outcome);
            shop.provider(Charges::Approve);
        },
        ends("o", &[Ordered, StockReserved, Cancelling, Cancelled], Some(CancellationReason::PaymentTimeout), 10),
    );
}

#[test]
fn requirements_7_8_9_a_cancellation_undoes_what_has_happened_so_far() {
    for (by, reason) in [(CUSTOMER, CancellationReason::Customer), (MD, CancellationReason::Md)] {
        golden(
            "while the charge is open",
            |shop| {
                shop.product(register("p", 10));
                shop.order(place("o", "p", 2));
                shop.order(cancel("c", "o", by));
                shop.provider(Charges::Approve);
            },
            ends("o", &[Ordered, StockReserved, Cancelling, Cancelled], Some(reason), 10),
        );
        golden(
            "while the charge is deferred",
            |shop| {
                shop.product(register("p", 10));
                shop.order(place("o", "p", 2));
                shop.provider(Charges::Defer);
                shop.order(cancel("c", "o", by));
                shop.provider(Charges::Approve);
            },
            ends("o", &[Ordered, StockReserved, PaymentDeferred, Cancelling, Cancelled], Some(reason), 10),
        );
        golden(
            "after delivery started",
            |shop| {
                shop.product(register("p", 10));
                shop.order(place("o", "p", 2));
                shop.provider(Charges::Approve);
                shop.order(cancel("c", "o", by));
                shop.provider(Charges::Approve);
            },
            ends(
                "o",
                &[Ordered, StockReserved, Paid, DeliveryStarted, Cancelling, DeliveryCancelled, Cancelled],
                Some(reason),
                10,
            ),
        );
    }
}

#[test]
fn commands_are_answered_with_verdicts() {
    golden(
        "verdicts",
        |shop| {
            shop.product(register("p", 10));
            let mut other = register("p", 11);
            if let schemas::fashion::ProductCommandKind::RegisterProduct(r) = &mut other {
                r.command_id = "register-again".into();
            }
            shop.product(other);
            shop.product(restock("no-such", "q", 5));
            shop.product(restock("zero", "p", 0));
            shop.order(cancel("c-early", "o", CUSTOMER));
            shop.order(place("o", "p", 2));
            let again = |id: &str, qty| match place("o", "p", qty) {
                OrderCommandKind::PlaceOrder(mut p) => {
                    p.command_id = id.into();
                    OrderCommandKind::PlaceOrder(p)
                }
                other => other,
            };
            shop.order(again("same", 2));
            shop.order(again("other", 3));
            shop.order(again("none", 0));
            shop.order(cancel("c1", "o", CUSTOMER));
            shop.order(cancel("c2", "o", MD));
            shop.provider(Charges::Approve);
            shop.order(cancel("c3", "o", MD));
        },
        |shop| {
            let expected = [
                ("p", "register-p", Verdict::Accepted),
                ("p", "register-again", Verdict::Conflict),
                ("q", "no-such", Verdict::NotFound),
                ("p", "zero", Verdict::Invalid),
                ("o", "c-early", Verdict::NotFound),
                ("o", "place-o", Verdict::Accepted),
                ("o", "same", Verdict::Duplicate),
                ("o", "other", Verdict::Conflict),
                ("o", "none", Verdict::Invalid),
                ("o", "c1", Verdict::Accepted),
                ("o", "c2", Verdict::AlreadyCancelled),
                ("o", "c3", Verdict::AlreadyCancelled),
            ];
            for (about, command, verdict) in expected {
                assert_eq!(shop.verdict(about, command), Some(verdict), "{command}");
            }
            assert_eq!(shop.stock("p").free(), 10);
            let mut dead = shop.dead_letters();
            dead.sort();
            let both = ["qty is 0, it must be from 1 to 2147483647"; 2];
            assert_eq!(dead, both, "invalid commands are dead letters too");
        },
    );
}

#[test]
fn bad_records_are_dead_letters_with_a_reason() {
    let mut shop = Shop::new(PLAIN);
    let orders = topics::ORDERS.base();
    let bytes = |command| Codec::<OrderCommand>::fixed().to_vec(&OrderCommand { command });
    let with = |change: fn(&mut schemas::fashion::PlaceOrder)| match place("o", "p", 1) {
        OrderCommandKind::PlaceOrder(mut p) => {
            change(&mut p);
            bytes(p.into())
        }
        other => bytes(other),
    };
    let good = bytes(place("o", "p", 1));
    let long = "x".repeat(10_000);
    let mut foreign = good.clone();
    foreign.splice(..5, schemas::frame(987_654_321));
    type Case<'a> = (&'a str, Option<&'a [u8]>, Option<Vec<u8>>, &'a str);
    let cases: Vec<Case<'_>> = vec![
        ("null key", None, Some(good.clone()), "the key is null"),
        ("null value", Some(b"o"), None, "the value is null"),
        ("wrong key", Some(b"other"), Some(good.clone()), "the key is 'other', but the value is about 'o'"),
        ("empty key", Some(b""), Some(with(|p| p.order_id.clear())), "the key is empty"),
        ("long id", Some(long.as_bytes()), Some(with(|p| p.order_id = "x".repeat(10_000))), "the limit is 128"),
        ("key not text", Some(b"\xff\xfe"), Some(good.clone()), "not UTF-8"),
        ("json", Some(b"o"), Some(b"{\"orderId\":\"o\"}".to_vec()), "looks like JSON"),
        ("unknown schema", Some(b"o"), Some(foreign), "unknown schema id 987654321"),
        ("truncated", Some(b"o"), Some(good[..good.len() / 2].to_vec()), "truncated"),
        ("no command id", Some(b"o"), Some(with(|p| p.command_id.clear())), "command_id is empty"),
        ("qty 0", Some(b"o"), Some(with(|p| (p.command_id, p.qty) = ("q0".into(), 0))), "qty is 0"),
        ("qty -1", Some(b"o"), Some(with(|p| (p.command_id, p.qty) = ("q1".into(), -1))), "qty is -1"),
        ("price", Some(b"o"), Some(with(|p| (p.command_id, p.price) = ("p1".into(), -5))), "price is -5"),
        ("price", Some(b"o"), Some(with(|p| (p.command_id, p.price) = ("p2".into(), i64::MAX))), "price is 92233"),
        ("future", Some(b"o"), Some(with(|p| (p.command_id, p.placed_at) = ("t".into(), i64::MAX))), "placed_at is"),
        (
            "control character",
            Some(b"o\x1fx"),
            Some(with(|p| p.order_id = "o\u{1f}x".into())),
            "the key holds a control character",
        ),
    ];
    for (name, key, value, reason) in cases {
        shop.put(orders, key, value.as_deref());
        let dead = shop.dead_letters();
        assert!(dead.len() == 1 && dead[0].contains(reason), "{name}: {dead:?}");
        assert!(shop.outcome().orders.is_empty(), "{name} made no order");
    }
    let kept = shop.outcome().verdicts;
    assert_eq!(kept.len(), 5, "a command that can be answered is: {kept:?}");
    assert!(kept.values().all(|v| *v == Verdict::Invalid));
    // After all of that, the good one goes through.
    shop.put(orders, Some(b"o"), Some(&good));
    assert_eq!(shop.dead_letters(), Vec::<String>::new());
    assert_eq!(shop.statuses("o"), [Ordered, Cancelled]);
}

#[test]
fn a_command_id_used_for_another_content_changes_nothing() {
    let mut shop = Shop::new(PLAIN);
    shop.product(register("p", 10));
    shop.order(place("o", "p", 2));
    let before = shop.outcome();
    shop.order(match place("o", "p", 3) {
        OrderCommandKind::PlaceOrder(p) => p.into(),
        other => other,
    });
    assert_eq!(shop.outcome(), before);
    assert_eq!(shop.dead_letters(), ["the command_id was used before, for another content"]);
}

#[test]
fn a_result_without_order_or_of_another_amount_is_a_dead_letter() {
    let mut shop = Shop::new(PLAIN);
    shop.product(register("p", 10));
    shop.order(place("o", "p", 2));
    let charge = shop.payment_requests().remove(0);
    let mut less = support::result(&charge, PaymentOutcome::Approved, 0);
    less.amount = 1;
    shop.put_typed(topics::PAYMENT_RESULTS.base(), &Codec::fixed(), &less);
    let mut nobodys = support::result(&charge, PaymentOutcome::Approved, 0);
    nobodys.correlation_id = "nobody".into();
    shop.put_typed(topics::PAYMENT_RESULTS.base(), &Codec::fixed(), &nobodys);
    let dead = shop.dead_letters();
    assert_eq!(dead.len(), 2);
    assert!(dead[0].contains("1 won were approved for 'o', which asked for 2000"), "{dead:?}");
    assert!(dead[1].contains("there is no such order"), "{dead:?}");
    assert_eq!(shop.statuses("o"), [Ordered, StockReserved]);
}

#[test]
fn a_command_on_the_wrong_partition_is_sent_on_and_processed_once() {
    let mut shop = Shop::new(Mode { partitions: 4, ..PLAIN });
    let bytes = Codec::<ProductCommand>::fixed().to_vec(&ProductCommand { command: register("p", 10) });
    let topic = topology(&Config::default()).expect("builds").topic(topics::PRODUCTS.base()).expect("is there");
    for partition in 0..4 {
        shop.driver.produce_to(TopicPartition { topic, partition }, Some(b"p"), Some(&bytes), 0);
    }
    shop.driver.run();
    assert_eq!(shop.driver.total(|c| c.misplaced), 3);
    assert_eq!(shop.stock("p").on_hand, 10);
    assert_eq!(shop.driver.entries("stock").len(), 1, "on one partition only");
}

const DAY_MS: i64 = 86_400_000;

#[test]
fn commands_are_forgotten_after_a_week_and_orders_after_ninety_days() {
    let mut shop = Shop::new(PLAIN);
    shop.product(register("p", 10));
    shop.order(place("o", "p", 2));
    shop.provider(Charges::Approve);
    shop.advance(7 * DAY_MS - 1_000);
    assert_eq!(shop.verdict("o", "place-o"), Some(Verdict::Accepted));
    shop.advance(2_000);
    assert_eq!(shop.verdict("o", "place-o"), None);
    shop.order(place("o", "p", 2));
    assert_eq!(shop.verdict("o", "place-o"), Some(Verdict::Duplicate), "the order itself is remembered longer");
    shop.advance(83 * DAY_MS);
    for store in ["orders", "orders-by-customer", "dashboard", "payments", "deliveries", "commands", "order-timers"] {
        assert_eq!(shop.driver.entries(store), vec![], "{store} is empty");
    }
    shop.order(place("o", "p", 2));
    assert_eq!(shop.verdict("o", "place-o"), Some(Verdict::Expired), "it may have been carried out before");
    assert_eq!(shop.stock("p").free(), 8, "what was sold stays sold");
    shop.advance(90 * DAY_MS);
    let stock = shop.stock("p");
    assert_eq!((stock.on_hand, stock.reserved), (8, 0), "sold pieces leave the count when they are forgotten");
    assert_eq!(shop.driver.entries("reservations"), vec![]);
}

#[test]
fn a_delivery_that_stands_still_holds_nothing_else_up() {
    // A record that nobody can read, under the policy that stops: delivery's task stands still as if it were not there.
    let errors = ErrorPolicy { decode: OnError::Fail, ..ErrorPolicy::default() };
    let engine = streams::Config { errors, commit_min_interval_ms: 0, ..streams::Config::default() };
    let mut shop = Shop::new(PLAIN);
    shop.driver = TestDriver::with_config(topology(&Config::default()).expect("builds"), 1, engine);
    shop.put(topics::DELIVERY_REQUESTS.base(), Some(b"x"), Some(b"not avro"));
    shop.product(register("p", 10));
    for n in 0..4 {
        shop.order(place(&format!("o{n}"), "p", 1));
    }
    shop.provider(Charges::Approve);
    shop.order(cancel("c", "o0", CUSTOMER));
    for n in 1..4 {
        assert_eq!(shop.order_state(&format!("o{n}")).status, Paid, "accepted and paid");
    }
    assert_eq!(shop.order_state("o0").status, Cancelling, "its parcel must be called back first");
    let waiting = shop.driver.read(topics::DELIVERY_REQUESTS.base());
    assert_eq!(waiting.len(), 1 + 4 + 1, "the requests wait for delivery");
    // Even the deadline leaves paid orders alone.
    shop.advance(DAY_MS);
    assert_eq!(shop.order_state("o1").status, Paid);
}

#[test]
fn without_a_payment_system_orders_are_taken_and_none_is_lost() {
    let mut shop = Shop::new(PLAIN);
    shop.product(register("p", 10));
    for n in 0..4 {
        shop.order(place(&format!("o{n}"), "p", 1));
    }
    assert!((0..4).all(|n| shop.order_state(&format!("o{n}")).status == StockReserved));
    shop.advance(599_000);
    shop.provider(Charges::Approve);
    assert!((0..4).all(|n| shop.order_state(&format!("o{n}")).status == DeliveryStarted));
}

#[test]
fn describes_itself_as_the_golden_file_says() {
    let topology = topology(&Config::default()).expect("builds");
    let golden = include_str!("golden/fashion_store.txt");
    assert_eq!(topology.describe(), golden, "a changed topology is a visible diff: change the file with the code");
    assert_eq!(topology.subtopologies().len(), 3);
    let again = topologies::fashion_store::topology(&Config::default()).expect("builds");
    assert_eq!(topology.hash(), again.hash());
    assert_eq!(
        topology.hash(),
        5_226_448_436_320_011_528,
        "stores and their formats decide it: an incompatible change shows here"
    );
}

#[test]
fn settings_that_contradict_each_other_are_refused() {
    let mut config = Config::default();
    config.saga.payment_deadline_ms = 2 * DAY_MS;
    let e = topology(&config).expect_err("refused").to_string();
    assert!(e.contains("payment_deadline_ms") && e.contains("key_lifetime"), "{e}");
    config = Config::default();
    config.saga.timer_resolution_ms = 0;
    assert_eq!(topology(&config).expect_err("refused").to_string(), "timer_resolution_ms: is 0, it must be at least 1");
}
