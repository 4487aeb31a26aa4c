//! taxi: its requirements by their numbers, golden scenarios in every mode, random workloads, and a thousand drivers at
//! once.

mod support;

use std::collections::BTreeMap;

use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use schemas::Codec;
use schemas::state::Verdict;
use schemas::taxi::CallState::{Assigned, Called, Expired, Listed};
use schemas::taxi::state::{Call, Passenger};
use schemas::taxi::{AcceptanceRejection, CallEvent, CallEventKind, CallState, PassengerCommandKind, topics};
use support::taxi::{Taxis, accept, audit, call};
use support::{After, Mode, PLAIN, same_in_every_mode};
use topologies::taxi::{Config, topology};

const HOUR_MS: i64 = 3_600_000;

fn golden(name: &str, scenario: impl Fn(&mut Taxis), check: impl Fn(&mut Taxis)) {
    same_in_every_mode(name, |mode| {
        let mut taxis = Taxis::new(mode);
        scenario(&mut taxis);
        let outcome = taxis.outcome();
        audit(&outcome);
        check(&mut taxis);
        outcome
    });
}

#[test]
fn requirements_1_2_3_a_passenger_calls_the_call_is_listed_and_sent_to_drivers() {
    golden(
        "called",
        |taxis| taxis.call("c"),
        |taxis| {
            assert_eq!(taxis.statuses("c"), [Called, Listed]);
            assert_eq!(taxis.all::<Call>("open-calls").len(), 1);
            let events = taxis.events::<CallEvent>(topics::CALL_EVENTS.base());
            assert!(
                matches!(&events["c"][..], [CallEvent { event: CallEventKind::CallListed(e) }] if e.start_location == "서울역")
            );
        },
    );
}

#[test]
fn requirements_4_5_7_8_a_driver_accepts_an_open_call_and_the_passenger_sees_it() {
    golden(
        "accepted",
        |taxis| {
            taxis.call("c");
            taxis.accept("a1", "c", "driver-1");
        },
        |taxis| {
            assert_eq!(taxis.verdict("c", "a1"), Some(Verdict::Accepted));
            assert_eq!(taxis.statuses("c"), [Called, Listed, Assigned]);
            let passenger: Passenger = taxis.get("passengers", "c").expect("is there");
            assert_eq!(passenger.driver_id.as_deref(), Some("driver-1"));
            assert!(taxis.all::<Call>("open-calls").is_empty());
        },
    );
}

#[test]
fn requirement_6_who_comes_later_is_told_that_the_call_is_assigned() {
    golden(
        "later",
        |taxis| {
            taxis.call("c");
            taxis.accept("a1", "c", "driver-1");
            taxis.accept("a2", "c", "driver-2");
            taxis.accept("a3", "c", "");
            taxis.accept("a4", "c", "driver-1");
            taxis.accept("a5", "nothing", "driver-1");
        },
        |taxis| {
            for (about, id, verdict) in [
                ("c", "a2", Verdict::Refused),
                ("c", "a3", Verdict::Refused),
                ("c", "a4", Verdict::Duplicate),
                ("nothing", "a5", Verdict::NotFound),
            ] {
                assert_eq!(taxis.verdict(about, id), Some(verdict), "{id}");
            }
            assert_eq!(taxis.command("c", "a2").expect("is kept").detail, "배차완료된 콜입니다");
            let events = taxis.events::<CallEvent>(topics::CALL_EVENTS.base());
            let told: Vec<_> = events["c"]
                .iter()
                .filter_map(|e| match &e.event {
                    CallEventKind::AcceptanceRejected(r) => Some((r.driver_id.as_str(), r.reason, r.message.as_str())),
                    _ => None,
                })
                .collect();
            let late = AcceptanceRejection::AlreadyAssigned;
            assert_eq!(told, [("driver-2", late, "배차완료된 콜입니다"), ("", late, "배차완료된 콜입니다")]);
        },
    );
}

#[test]
fn a_call_that_nobody_takes_expires_and_everyone_is_told() {
    golden(
        "expired",
        |taxis| {
            taxis.call("c");
            taxis.advance(HOUR_MS + 200);
            taxis.accept("late", "c", "driver-1");
        },
        |taxis| {
            assert_eq!(taxis.statuses("c"), [Called, Listed, Expired]);
            assert_eq!(taxis.verdict("c", "late"), Some(Verdict::Refused));
        },
    );
}

#[test]
fn calls_are_judged_once() {
    golden(
        "verdicts",
        |taxis| {
            taxis.call("c");
            let mut again = call("c");
            let PassengerCommandKind::CallTaxi(c) = &mut again.command;
            c.command_id = "same".into();
            taxis.put_typed(topics::PASSENGERS.base(), &Codec::fixed(), &again);
            let PassengerCommandKind::CallTaxi(c) = &mut again.command;
            (c.command_id, c.end_location) = ("other".into(), "부산역".into());
            taxis.put_typed(topics::PASSENGERS.base(), &Codec::fixed(), &again);
            let PassengerCommandKind::CallTaxi(c) = &mut again.command;
            (c.command_id, c.end_location) = ("long".into(), "x".repeat(501));
            taxis.put_typed(topics::PASSENGERS.base(), &Codec::fixed(), &again);
        },
        |taxis| {
            for (id, verdict) in [
                ("call-c", Verdict::Accepted),
                ("same", Verdict::Duplicate),
                ("other", Verdict::Conflict),
                ("long", Verdict::Invalid),
            ] {
                assert_eq!(taxis.verdict("c", id), Some(verdict), "{id}");
            }
        },
    );
}

#[test]
fn of_a_thousand_drivers_exactly_one_gets_the_call_and_every_other_is_told() {
    for partitions in [1, 4] {
        let mut taxis = Taxis::new(Mode { partitions, ..PLAIN });
        taxis.call("c");
        for n in 0..1_000 {
            let command = accept(&format!("a{n}"), "c", &format!("driver-{n}"));
            let bytes = Codec::fixed().to_vec(&command);
            taxis.driver.pipe(topics::ACCEPTANCES.base(), Some(b"c"), Some(&bytes), 0);
        }
        let verdicts: Vec<_> = (0..1_000).map(|n| taxis.verdict("c", &format!("a{n}"))).collect();
        assert_eq!(verdicts.iter().filter(|v| **v == Some(Verdict::Accepted)).count(), 1);
        assert_eq!(verdicts.iter().filter(|v| **v == Some(Verdict::Refused)).count(), 999);
        audit(&taxis.outcome());
    }
}

#[test]
fn calls_and_drivers_are_forgotten_in_time() {
    let mut taxis = Taxis::new(PLAIN);
    taxis.call("c");
    taxis.accept("a1", "c", "driver-1");
    taxis.advance(90 * 24 * HOUR_MS + 1_000);
    for store in ["passengers", "calls", "open-calls", "commands", "acceptances", "passenger-timers", "call-timers"] {
        assert_eq!(taxis.driver.entries(store), vec![], "{store} is empty");
    }
    taxis.call("c");
    assert_eq!(taxis.verdict("c", "call-c"), Some(Verdict::Expired));
}

#[test]
fn describes_itself_as_the_golden_file_says() {
    let topology = topology(&Config::default()).expect("builds");
    assert_eq!(topology.describe(), include_str!("golden/taxi.txt"), "a changed topology is a visible diff");
    assert_eq!(topology.subtopologies().len(), 2);
}

#[test]
fn random_workloads_settle_as_the_auditor_expects() {
    for seed in 0..100_u64 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mode = Mode {
            partitions: [1, 2, 4][rng.random_range(0..3)],
            after_each_record: After::Nothing,
            every_event_twice: rng.random_bool(0.2),
        };
        let mut taxis = Taxis::new(mode);
        // What must be, by what was sent alone: who was first after the call, unless its hour was over.
        let mut model: BTreeMap<String, (i64, Option<String>)> = BTreeMap::new();
        for n in 0..60 {
            let id = format!("c{}", rng.random_range(0..8));
            match rng.random_range(0..10) {
                0..4 => {
                    taxis.call(&id);
                    model.entry(id).or_insert((taxis.driver.now(), None));
                }
                4..8 => {
                    let driver = format!("d{}", rng.random_range(0..4));
                    taxis.accept(&format!("a{n}"), &id, &driver);
                    let now = taxis.driver.now();
                    if let Some((listed, winner @ None)) = model.get_mut(&id)
                        && now < *listed + HOUR_MS
                    {
                        *winner = Some(driver);
                    }
                }
                8 => taxis.driver.crash_and_restore(),
                _ => {
                    // Whole steps, so that no call's hour ends between two looks at the timers.
                    let ms = rng.random_range(1..20) * 200_000;
                    taxis.advance(ms);
                }
            }
        }
        let outcome = taxis.outcome();
        audit(&outcome);
        assert!(outcome.passengers.keys().eq(model.keys()), "seed {seed}: a call lost, or made up");
        for (id, (listed, winner)) in &model {
            let passenger = &outcome.passengers[id];
            let expected = match winner {
                Some(_) => CallState::Assigned,
                None if taxis.driver.now() >= listed + HOUR_MS => Expired,
                None => Listed,
            };
            assert_eq!((passenger.status, &passenger.driver_id), (expected, winner), "seed {seed}: {id}");
        }
    }
}
