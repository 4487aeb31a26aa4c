//! gdmarket: its requirements by their numbers, golden scenarios in every mode, random workloads, and a thousand renters
//! at once.

mod support;

use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use schemas::Codec;
use schemas::gdmarket::RentalState::{
    Cancelled, Cancelling, ItemLocked, Paid, PaymentDeferred, Rented, Requested, Returned,
};
use schemas::gdmarket::state::{ItemView, Rental};
use schemas::gdmarket::{ItemState, RentalCancelReason, RentalCommand, RentalState, topics};
use schemas::state::Verdict;
use support::gdmarket::{Market, audit, bring_back, cancel, cancel_payment, delete, register, rent};
use support::{After, Charges, Mode, PLAIN, same_in_every_mode};
use topologies::gdmarket::{Config, topology};

fn golden(name: &str, scenario: impl Fn(&mut Market), check: impl Fn(&mut Market)) {
    same_in_every_mode(name, |mode| {
        let mut market = Market::new(mode);
        scenario(&mut market);
        let outcome = market.outcome();
        audit(&outcome);
        check(&mut market);
        outcome
    });
}

/// How rental `r` of item `i` ends.
fn ends(statuses: &[RentalState], reason: Option<RentalCancelReason>, item: ItemState) -> impl Fn(&mut Market) {
    move |market| {
        assert_eq!(market.statuses("r"), statuses);
        assert_eq!(market.get::<Rental>("rentals", "r").expect("is there").reason, reason);
        assert_eq!(market.item_state("i"), item);
        assert_eq!(market.dead_letters(), Vec::<String>::new());
    }
}

#[test]
fn requirements_1_3_4_5_7_9_10_an_item_is_requested_locked_paid_rented_and_brought_back() {
    golden(
        "rented",
        |market| {
            market.item(register("reg", "i", 5_000));
            market.rental(rent("r", "i"));
            assert_eq!(market.item_state("i"), ItemState::Locked, "unavailable once requested");
            market.provider(Charges::Approve);
        },
        ends(&[Requested, ItemLocked, Paid, Rented], None, ItemState::Rented),
    );
    golden(
        "returned",
        |market| {
            market.item(register("reg", "i", 5_000));
            market.rental(rent("r", "i"));
            market.provider(Charges::Approve);
            market.rental(bring_back("back", "r"));
        },
        |market| {
            ends(&[Requested, ItemLocked, Paid, Rented, Returned], None, ItemState::Available)(market);
            let view: ItemView = market.get("item-views", "i").expect("is there");
            assert_eq!((view.status, view.rentals, view.rental_id), (ItemState::Available, 1, None));
        },
    );
}

#[test]
fn requirement_2_an_item_is_deleted_but_not_while_it_is_out() {
    golden(
        "deleted",
        |market| {
            market.item(register("reg", "i", 5_000));
            market.rental(rent("r", "i"));
            market.item(delete("locked", "i"));
            market.provider(Charges::Approve);
            market.item(delete("out", "i"));
            market.rental(bring_back("back", "r"));
            market.item(delete("free", "i"));
            market.item(delete("again", "i"));
            market.item(delete("none", "nothing"));
            market.item(register("anew", "i", 1));
            market.rental(rent("r2", "i"));
        },
        |market| {
            for (about, id, verdict) in [
                ("i", "locked", Verdict::Refused),
                ("i", "out", Verdict::Refused),
                ("i", "free", Verdict::Accepted),
                ("i", "again", Verdict::Duplicate),
                ("nothing", "none", Verdict::NotFound),
                ("i", "anew", Verdict::Refused),
            ] {
                assert_eq!(market.verdict(about, id), Some(verdict), "{id}");
            }
            assert_eq!(market.statuses("r2"), [Requested, Cancelled]);
            let reason = market.get::<Rental>("rentals", "r2").expect("is there").reason;
            assert_eq!(reason, Some(RentalCancelReason::Deleted), "a deleted item is never rented");
        },
    );
}

#[test]
fn requirements_6_and_8_a_rental_is_cancelled_by_its_payment_or_its_request_at_every_point() {
    for (by_payment, reason) in [(true, RentalCancelReason::PaymentCancelled), (false, RentalCancelReason::Renter)] {
        let undo = move || if by_payment { cancel_payment("c", "r") } else { cancel("c", "r") };
        golden(
            "while the charge is open",
            |market| {
                market.item(register("reg", "i", 5_000));
                market.rental(rent("r", "i"));
                market.rental(undo());
                market.provider(Charges::Approve);
            },
            ends(&[Requested, ItemLocked, Cancelling, Cancelled], Some(reason), ItemState::Available),
        );
        golden(
            "while the item is out",
            |market| {
                market.item(register("reg", "i", 5_000));
                market.rental(rent("r", "i"));
                market.provider(Charges::Approve);
                market.rental(undo());
                market.provider(Charges::Approve);
            },
            ends(&[Requested, ItemLocked, Paid, Rented, Cancelling, Cancelled], Some(reason), ItemState::Available),
        );
    }
}

#[test]
fn a_payment_that_is_declined_deferred_or_never_answered_unwinds_or_waits() {
    golden(
        "declined",
        |market| {
            market.item(register("reg", "i", 5_000));
            market.rental(rent("r", "i"));
            market.provider(Charges::Decline);
        },
        ends(
            &[Requested, ItemLocked, Cancelling, Cancelled],
            Some(RentalCancelReason::PaymentDeclined),
            ItemState::Available,
        ),
    );
    for heard in [Charges::Defer, Charges::ApproveUnheard] {
        golden(
            "deferred",
            |market| {
                market.item(register("reg", "i", 5_000));
                market.rental(rent("r", "i"));
                market.provider(heard);
                market.advance(1_200);
                market.provider(Charges::Approve);
            },
            ends(&[Requested, ItemLocked, PaymentDeferred, Paid, Rented], None, ItemState::Rented),
        );
    }
    golden(
        "deadline",
        |market| {
            market.item(register("reg", "i", 5_000));
            market.rental(rent("r", "i"));
            let _ = market.payment_requests();
            market.advance(600_200);
            market.provider(Charges::Approve);
        },
        ends(
            &[Requested, ItemLocked, Cancelling, Cancelled],
            Some(RentalCancelReason::PaymentTimeout),
            ItemState::Available,
        ),
    );
}

#[test]
fn commands_are_answered_with_verdicts() {
    golden(
        "verdicts",
        |market| {
            market.item(register("reg", "i", 5_000));
            market.item(register("same", "i", 5_000));
            market.item(register("dear", "i", 6_000));
            market.item(register("wrong", "i", -1));
            market.rental(cancel("early", "r"));
            market.rental(rent("r", "i"));
            market.rental(bring_back("not-out", "r"));
            market.provider(Charges::Approve);
            market.rental(bring_back("back", "r"));
            market.rental(bring_back("twice", "r"));
            market.rental(cancel("late", "r"));
        },
        |market| {
            for (about, id, verdict) in [
                ("i", "reg", Verdict::Accepted),
                ("i", "same", Verdict::Duplicate),
                ("i", "dear", Verdict::Accepted),
                ("i", "wrong", Verdict::Invalid),
                ("r", "early", Verdict::NotFound),
                ("r", "rent-r", Verdict::Accepted),
                ("r", "not-out", Verdict::Refused),
                ("r", "back", Verdict::Accepted),
                ("r", "twice", Verdict::Duplicate),
                ("r", "late", Verdict::Refused),
            ] {
                assert_eq!(market.verdict(about, id), Some(verdict), "{id}");
            }
        },
    );
}

#[test]
fn of_a_thousand_renters_exactly_one_gets_the_item_and_every_other_is_told() {
    for partitions in [1, 4] {
        let mut market = Market::new(Mode { partitions, ..PLAIN });
        market.item(register("reg", "i", 5_000));
        for n in 0..1_000 {
            let command = RentalCommand { command: rent(&format!("r{n}"), "i") };
            let bytes = Codec::fixed().to_vec(&command);
            market.driver.pipe(topics::RENTALS.base(), Some(format!("r{n}").as_bytes()), Some(&bytes), 0);
        }
        market.provider(Charges::Approve);
        let outcome = market.outcome();
        audit(&outcome);
        let won = outcome.rentals.values().filter(|r| r.status == Rented).count();
        let told = outcome.rentals.values().filter(|r| r.reason == Some(RentalCancelReason::NotAvailable)).count();
        assert_eq!((won, told), (1, 999));
        assert_eq!(market.ledger.taken.len(), 1, "nobody else paid");
    }
}

#[test]
fn random_workloads_settle_and_keep_the_nevers() {
    for seed in 0..100_u64 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let partitions = [1, 2, 4][rng.random_range(0..3)];
        let every_event_twice = rng.random_bool(0.2);
        let mut market = Market::new(Mode { partitions, after_each_record: After::Nothing, every_event_twice });
        let mut requested = std::collections::BTreeSet::new();
        for n in 0..60 {
            let (r, i, id) =
                (format!("r{}", rng.random_range(0..12)), format!("i{}", rng.random_range(0..3)), format!("x{n}"));
            match rng.random_range(0..12) {
                0 => market.item(register(&id, &i, 1_000)),
                1 => market.item(delete(&id, &i)),
                2..5 => {
                    market.rental(rent(&r, &i));
                    requested.insert(r);
                }
                5 => market.rental(cancel(&id, &r)),
                6 => market.rental(cancel_payment(&id, &r)),
                7 => market.rental(bring_back(&id, &r)),
                8 => market.provider(Charges::Approve),
                9 => {
                    market.provider([Charges::Decline, Charges::Defer, Charges::ApproveUnheard][rng.random_range(0..3)])
                }
                10 => market.driver.crash_and_restore(),
                _ => market.advance(rng.random_range(1..400_000)),
            }
            audit(&market.outcome());
        }
        for _ in 0..20 {
            market.provider(Charges::Approve);
            market.advance(60_200);
        }
        let outcome = market.outcome();
        audit(&outcome);
        assert!(outcome.rentals.keys().eq(requested.iter()), "seed {seed}: a rental lost, or made up");
        assert!(outcome.rentals.values().all(|r| r.settled_at.is_some()), "seed {seed}: {:?}", outcome.rentals);
    }
}

#[test]
fn describes_itself_as_the_golden_file_says() {
    let topology = topology(&Config::default()).expect("builds");
    assert_eq!(topology.describe(), include_str!("golden/gdmarket.txt"), "a changed topology is a visible diff");
    assert_eq!(topology.subtopologies().len(), 2);
}
