//! Generated traffic of every business: reproducible, in order of time, with something of everything, and all of it
//! sayable over HTTP except what REST has no way to say.

use std::collections::BTreeMap;
use std::path::Path;

use loadgen::business::{Business, Call, Names, by_name};
use loadgen::generate::{POISONS, Params, generate};
use loadgen::traffic::{Envelope, Expect, TrafficReader};

/// Each business with the kinds its traffic must have beside poison and duplicates.
const BUSINESSES: [(&str, &[&str]); 4] = [
    ("fashion-store", &["register", "restock", "place", "cancel", "conflict", "cancel-unknown"]),
    ("taxi", &["call", "call-unwanted", "accept", "accept-unknown", "conflict"]),
    (
        "gdmarket",
        &[
            "register",
            "register-again",
            "register-short-lived",
            "delete",
            "request",
            "conflict",
            "cancel",
            "cancel-payment",
            "return",
            "return-unknown",
        ],
    ),
    (
        "ebook-rental",
        &[
            "register",
            "register-again",
            "request",
            "request-undecided",
            "conflict",
            "approve",
            "reject",
            "return",
            "return-unknown",
        ],
    ),
];

fn params(seed: u64) -> Params {
    // More poison than usual, so that every kind of it is there.
    Params { seed, orders: 2_000, poison: 0.1, ..Params::default() }
}

fn made(business: &dyn Business, params: &Params, folder: &Path) -> (Vec<u8>, Vec<Envelope>) {
    let path = folder.join("traffic.avro");
    generate(business, params, &path).unwrap();
    let envelopes = TrafficReader::open(&path).unwrap().map(Result::unwrap).collect();
    (std::fs::read(&path).unwrap(), envelopes)
}

#[test]
fn the_same_seed_gives_the_same_bytes_and_another_one_others() {
    let folder = tempfile::tempdir().unwrap();
    for (name, _) in BUSINESSES {
        let business = by_name(name).unwrap();
        let (first, _) = made(business, &params(1), folder.path());
        assert!(first == made(business, &params(1), folder.path()).0, "{name}");
        assert!(first != made(business, &params(2), folder.path()).0, "{name}");
    }
}

#[test]
fn traffic_has_something_of_everything_in_order_of_time() {
    let folder = tempfile::tempdir().unwrap();
    for (name, kinds) in BUSINESSES {
        let (_, traffic) = made(by_name(name).unwrap(), &params(7), folder.path());
        assert!(traffic.windows(2).all(|pair| pair[0].at_ms <= pair[1].at_ms), "{name}");
        let mut counts: BTreeMap<&str, u32> = BTreeMap::new();
        for envelope in &traffic {
            *counts.entry(&envelope.kind).or_default() += 1;
        }
        for kind in kinds.iter().chain(&POISONS) {
            assert!(counts.contains_key(kind), "{name} has no {kind}: {counts:?}");
        }
        // A duplicate is a repeat of something earlier, byte for byte.
        let twice = |envelope: &&Envelope| envelope.expect == Expect::Duplicate;
        assert!(traffic.iter().filter(twice).count() > 20, "{name}");
        for (index, again) in traffic.iter().enumerate().filter(|(_, envelope)| twice(envelope)) {
            let same = |e: &Envelope| (&e.topic, &e.key, &e.value) == (&again.topic, &again.key, &again.value);
            assert!(traffic[..index].iter().any(same), "{name}: {} has no first", again.kind);
        }
    }
}

/// Rewritten under a suffix, a command is another one that is still sound: key and id agree, and REST can say it. The
/// saga it begins goes by the new id.
#[test]
fn renamed_traffic_is_sound_and_can_be_said_over_http() {
    let folder = tempfile::tempdir().unwrap();
    let names = Names { topic_prefix: String::new(), id_suffix: "-again".to_owned() };
    for (name, _) in BUSINESSES {
        let business = by_name(name).unwrap();
        let (_, traffic) = made(business, &params(3), folder.path());
        let (mut call, mut begun, mut unsayable) = (Call::default(), 0, 0);
        for mut envelope in traffic {
            let before = envelope.clone();
            business.rewrite(&mut envelope, &names, 99);
            if envelope.kind.starts_with("poison") {
                unsayable += u32::from(business.http_call(&envelope, &mut call).is_err());
                continue;
            }
            assert_ne!((&envelope.key, &envelope.value), (&before.key, &before.value), "{name} {}", envelope.kind);
            assert!(business.http_call(&envelope, &mut call).is_ok(), "{name} {}", envelope.kind);
            let said = format!("{}{}", call.path, String::from_utf8_lossy(&call.body));
            assert!(said.contains("-again"), "{name} {} says {said}", envelope.kind);
            if let Some(id) = business.begins(&envelope) {
                begun += 1;
                assert!(id.ends_with("-again"), "{name}: {id}");
            }
        }
        assert!(begun >= 1_900, "{name} begins {begun} sagas");
        assert!(unsayable > 0, "{name}: REST has no null keys");
    }
}
