//! ebook-rental: its requirements by their numbers, golden scenarios in every mode, its saga as a table, random workloads,
//! and a thousand members at once.

mod support;

use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use schemas::Codec;
use schemas::ebook::RentState::{Approved, Canceled, Canceling, Paid, PaymentDeferred, Rented, Requested, Returned};
use schemas::ebook::state::{Approval, BookState, Dashboard};
use schemas::ebook::{RentCancelReason, RentCommand, RentState, topics};
use schemas::state::Verdict;
use support::ebook::{Library, approve, audit, give_back, register, reject, rent};
use support::{After, Charges, Mode, PLAIN, same_in_every_mode};
use topologies::ebook_rental::{Config, topology};

const DAY_MS: i64 = 24 * 60 * 60 * 1_000;

fn golden(name: &str, scenario: impl Fn(&mut Library), check: impl Fn(&mut Library)) {
    same_in_every_mode(name, |mode| {
        let mut library = Library::new(mode);
        scenario(&mut library);
        let outcome = library.outcome();
        audit(&outcome);
        check(&mut library);
        outcome
    });
}

/// How rent `r` of book `b` ends.
fn ends(statuses: &[RentState], reason: Option<RentCancelReason>, book: BookState) -> impl Fn(&mut Library) {
    move |library| {
        assert_eq!(library.statuses("r"), statuses);
        assert_eq!(library.rent_state("r").reason, reason);
        assert_eq!(library.book_state("b").status, book);
        assert_eq!(library.dead_letters(), Vec::<String>::new());
    }
}

/// A registered book and a paid rent of it.
fn paid(library: &mut Library) {
    library.book(register("reg", "b", 3_000));
    library.rent(rent("r", "b"));
    library.provider(Charges::Approve);
}

#[test]
fn requirements_1_2_3_4_a_member_requests_a_registered_book_pays_and_the_librarian_gets_the_request() {
    golden(
        "paid",
        |library| {
            library.book(register("reg", "b", 3_000));
            library.rent(rent("r", "b"));
            assert!(library.all::<Approval>("waiting-approvals").is_empty(), "nothing unpaid is before the librarian");
            library.provider(Charges::Approve);
        },
        |library| {
            ends(&[Requested, Rented, Paid], None, BookState::Taken)(library);
            assert_eq!(library.ledger.held("r"), 3_000);
            let waiting = library.all::<Approval>("waiting-approvals");
            let request = &waiting["r"];
            assert_eq!((&request.user_id[..], &request.book_name[..]), ("member-1", "title of b"));
        },
    );
}

#[test]
fn requirements_5_6_7_the_librarian_approves_the_rent_starts_and_the_book_is_given_back() {
    golden(
        "approved",
        |library| {
            paid(library);
            library.decide(approve("yes", "r"));
        },
        |library| {
            assert_eq!(library.verdict("r", "yes"), Some(Verdict::Accepted));
            ends(&[Requested, Rented, Paid, Approved], None, BookState::Taken)(library);
        },
    );
    golden(
        "returned",
        |library| {
            paid(library);
            library.decide(approve("yes", "r"));
            library.rent(give_back("back", "r"));
            library.rent(rent("r2", "b"));
        },
        |library| {
            assert_eq!(library.verdict("r", "back"), Some(Verdict::Accepted));
            ends(&[Requested, Rented, Paid, Approved, Returned], None, BookState::Taken)(library);
            assert_eq!(library.book_state("b").rent_id.as_deref(), Some("r2"), "possible to rent again");
        },
    );
}

#[test]
fn requirements_5_8_9_a_rejection_cancels_the_payment_and_with_it_the_rent() {
    golden(
        "rejected",
        |library| {
            paid(library);
            library.decide(reject("no", "r"));
            assert_eq!(library.rent_state("r").status, Canceling, "until the money is back");
            assert_eq!(library.book_state("b").status, BookState::Taken, "until the money is back");
            library.provider(Charges::Approve);
        },
        |library| {
            ends(
                &[Requested, Rented, Paid, Canceling, Canceled],
                Some(RentCancelReason::Rejected),
                BookState::Possible,
            )(library);
            assert_eq!(library.ledger.held("r"), 0);
            assert_eq!(library.rent_state("r").detail, "kept for a course");
        },
    );
}

#[test]
fn requirement_10_the_member_looks_the_rents_state_up_at_any_time() {
    let mut library = Library::new(PLAIN);
    let row = |library: &Library| library.get::<Dashboard>("dashboard", "r").expect("is there");
    library.book(register("reg", "b", 3_000));
    library.rent(rent("r", "b"));
    assert_eq!((row(&library).status, row(&library).paid_date), (Rented, None));
    library.provider(Charges::Approve);
    library.advance(1_000);
    library.decide(approve("yes", "r"));
    library.advance(1_000);
    library.rent(give_back("back", "r"));
    let row = row(&library);
    assert_eq!((row.status, &row.user_id[..], &row.book_name[..]), (Returned, "member-1", "title of b"));
    let dates = [row.rented_date, row.paid_date, row.approved_date, row.returned_date, row.canceled_date];
    let start = row.requested_date.expect("was requested");
    assert_eq!(dates.map(|d| d.map(|at| at - start)), [Some(0), Some(0), Some(1_000), Some(2_000), None]);
}

#[test]
fn an_unpaid_rent_is_never_approved() {
    golden(
        "unpaid",
        |library| {
            library.book(register("reg", "b", 3_000));
            library.rent(rent("r", "b"));
            library.decide(approve("early", "r"));
            library.decide(reject("early too", "r"));
            library.decide(approve("nothing", "r9"));
            library.provider(Charges::Decline);
            library.decide(approve("late", "r"));
        },
        |library| {
            for (about, id) in [("r", "early"), ("r", "early too"), ("r9", "nothing"), ("r", "late")] {
                assert_eq!(library.verdict(about, id), Some(Verdict::NotFound), "{id}: it is not before the librarian");
            }
            ends(
                &[Requested, Rented, Canceling, Canceled],
                Some(RentCancelReason::PaymentDeclined),
                BookState::Possible,
            )(library);
        },
    );
}

#[test]
fn a_payment_that_is_deferred_or_never_answered_waits_or_unwinds() {
    for heard in [Charges::Defer, Charges::ApproveUnheard] {
        golden(
            "deferred",
            |library| {
                library.book(register("reg", "b", 3_000));
                library.rent(rent("r", "b"));
                library.provider(heard);
                library.advance(1_200);
                library.provider(Charges::Approve);
            },
            ends(&[Requested, Rented, PaymentDeferred, Paid], None, BookState::Taken),
        );
    }
    golden(
        "payment deadline",
        |library| {
            library.book(register("reg", "b", 3_000));
            library.rent(rent("r", "b"));
            let _ = library.payment_requests();
            library.advance(600_200);
            library.provider(Charges::Approve);
        },
        ends(&[Requested, Rented, Canceling, Canceled], Some(RentCancelReason::PaymentTimeout), BookState::Possible),
    );
}

#[test]
fn a_rent_that_the_librarian_leaves_is_withdrawn_and_its_money_comes_back() {
    golden(
        "approval deadline",
        |library| {
            paid(library);
            library.advance(7 * DAY_MS + 200);
            library.decide(approve("late", "r"));
            library.provider(Charges::Approve);
        },
        |library| {
            assert_eq!(library.verdict("r", "late"), Some(Verdict::Refused));
            ends(
                &[Requested, Rented, Paid, Canceling, Canceled],
                Some(RentCancelReason::ApprovalTimeout),
                BookState::Possible,
            )(library);
        },
    );
}

#[test]
fn commands_are_answered_with_verdicts() {
    golden(
        "verdicts",
        |library| {
            library.book(register("same", "b", 1_000));
            library.book(register("reg", "b", 3_000));
            library.book(register("again", "b", 3_000));
            library.book(register("wrong", "b", -1));
            library.rent(give_back("none", "r"));
            library.rent(rent("r", "b"));
            library.rent(give_back("unread", "r"));
            library.rent(rent("r2", "b"));
            library.rent(rent("r3", "nothing"));
            library.provider(Charges::Approve);
            library.decide(approve("yes", "r"));
            library.decide(approve("yes again", "r"));
            library.decide(reject("no", "r"));
            library.rent(give_back("back", "r"));
            library.rent(give_back("twice", "r"));
        },
        |library| {
            for (about, id, verdict) in [
                ("b", "same", Verdict::Accepted),
                ("b", "reg", Verdict::Accepted),
                ("b", "again", Verdict::Duplicate),
                ("b", "wrong", Verdict::Invalid),
                ("r", "none", Verdict::NotFound),
                ("r", "rent-r", Verdict::Accepted),
                ("r", "unread", Verdict::Refused),
                ("r2", "rent-r2", Verdict::Accepted),
                ("r", "yes", Verdict::Accepted),
                ("r", "yes again", Verdict::Duplicate),
                ("r", "no", Verdict::Refused),
                ("r", "back", Verdict::Accepted),
                ("r", "twice", Verdict::Duplicate),
            ] {
                assert_eq!(library.verdict(about, id), Some(verdict), "{id}");
            }
            assert_eq!(library.statuses("r2"), [Requested, Canceled]);
            assert_eq!(library.rent_state("r2").reason, Some(RentCancelReason::TakenByAnother));
            assert_eq!(library.rent_state("r3").reason, Some(RentCancelReason::UnknownBook));
        },
    );
}

#[test]
fn of_a_thousand_members_exactly_one_gets_the_book_and_every_other_is_told() {
    for partitions in [1, 4] {
        let mut library = Library::new(Mode { partitions, ..PLAIN });
        library.book(register("reg", "b", 3_000));
        for n in 0..1_000 {
            let command = RentCommand { command: rent(&format!("r{n}"), "b") };
            let bytes = Codec::fixed().to_vec(&command);
            library.driver.pipe(topics::RENTS.base(), Some(format!("r{n}").as_bytes()), Some(&bytes), 0);
        }
        library.provider(Charges::Approve);
        let outcome = library.outcome();
        audit(&outcome);
        let won = outcome.rents.values().filter(|r| r.status == Paid).count();
        let told = outcome.rents.values().filter(|r| r.reason == Some(RentCancelReason::TakenByAnother)).count();
        assert_eq!((won, told), (1, 999));
        assert_eq!(library.ledger.taken.len(), 1, "nobody else paid");
    }
}

#[test]
fn random_workloads_settle_and_keep_the_nevers() {
    for seed in 0..100_u64 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let partitions = [1, 2, 4][rng.random_range(0..3)];
        let every_event_twice = rng.random_bool(0.2);
        let mut library = Library::new(Mode { partitions, after_each_record: After::Nothing, every_event_twice });
        let mut requested = std::collections::BTreeSet::new();
        for n in 0..60 {
            let (r, b, id) =
                (format!("r{}", rng.random_range(0..12)), format!("b{}", rng.random_range(0..3)), format!("x{n}"));
            match rng.random_range(0..13) {
                0 => library.book(register(&id, &b, 1_000 * rng.random_range(1..4))),
                1..4 => {
                    library.rent(rent(&r, &b));
                    requested.insert(r);
                }
                4 | 5 => library.decide(approve(&id, &r)),
                6 => library.decide(reject(&id, &r)),
                7 => library.rent(give_back(&id, &r)),
                8 | 9 => library.provider(Charges::Approve),
                10 => {
                    let charges = [Charges::Decline, Charges::Defer, Charges::ApproveUnheard];
                    library.provider(charges[rng.random_range(0..3)]);
                }
                11 => library.driver.crash_and_restore(),
                _ => library.advance(rng.random_range(1..400_000)),
            }
            audit(&library.outcome());
        }
        for _ in 0..20 {
            library.provider(Charges::Approve);
            library.advance(60_200);
        }
        library.advance(7 * DAY_MS);
        library.provider(Charges::Approve);
        let outcome = library.outcome();
        audit(&outcome);
        assert!(outcome.rents.keys().eq(requested.iter()), "seed {seed}: a rent lost, or made up");
        assert!(outcome.rents.values().all(|r| r.settled_at.is_some()), "seed {seed}: {:?}", outcome.rents);
    }
}

#[test]
fn ended_rents_are_forgotten_in_time() {
    let mut library = Library::new(PLAIN);
    paid(&mut library);
    library.decide(approve("yes", "r"));
    library.rent(give_back("back", "r"));
    // Holds and decisions outlive the rent.
    library.advance(90 * DAY_MS + 1_000);
    for store in ["rents", "rents-by-user", "payments", "dashboard", "commands", "rent-timers", "waiting-approvals"] {
        assert_eq!(library.driver.entries(store), vec![], "{store} is empty");
    }
    library.advance(90 * DAY_MS);
    for store in ["book-holds", "book-commands", "book-timers", "approvals", "decisions", "approval-timers"] {
        assert_eq!(library.driver.entries(store), vec![], "{store} is empty");
    }
    library.rent(rent("r", "b"));
    assert_eq!(library.verdict("r", "rent-r"), Some(Verdict::Expired));
}

#[test]
fn describes_itself_as_the_golden_file_says() {
    let topology = topology(&Config::default()).expect("builds");
    assert_eq!(topology.describe(), include_str!("golden/ebook_rental.txt"), "a changed topology is a visible diff");
    assert_eq!(topology.subtopologies().len(), 3);
}
