//! The recorded sample is what `generate` makes of its seed, to the byte; and other seeds make other traffic.

use std::path::Path;

use loadgen::business;
use loadgen::generate::{Params, generate};
use loadgen::traffic::{Envelope, Expect, TrafficReader};

const SAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/samples/fashion-store.avro");

/// `loadgen generate samples/fashion-store.avro --seed 2026`
const SEED: u64 = 2_026;

fn made(params: &Params, path: &Path) -> Vec<u8> {
    let business = business::by_name("fashion-store").unwrap();
    generate(business, params, path).unwrap();
    std::fs::read(path).unwrap()
}

#[test]
fn the_sample_is_reproduced_byte_for_byte() {
    let folder = tempfile::tempdir().unwrap();
    let params = Params { seed: SEED, ..Params::default() };
    let again = made(&params, &folder.path().join("again.avro"));
    let sample = std::fs::read(SAMPLE).unwrap();
    assert!(sample.len() < 300 * 1024, "the sample has {} bytes", sample.len());
    assert!(again == sample, "run: loadgen generate loadgen/samples/fashion-store.avro --seed {SEED}");
}

#[test]
fn another_seed_is_other_traffic() {
    let folder = tempfile::tempdir().unwrap();
    let with = |seed| made(&Params { seed, orders: 100, ..Params::default() }, &folder.path().join("traffic.avro"));
    assert!(with(1) == with(1));
    assert!(with(1) != with(2));
}

#[test]
fn the_sample_has_something_of_everything_in_order_of_time() {
    let sample: Vec<Envelope> = TrafficReader::open(Path::new(SAMPLE)).unwrap().map(Result::unwrap).collect();
    assert!(sample.windows(2).all(|pair| pair[0].at_ms <= pair[1].at_ms));
    let count = |kind: &str| sample.iter().filter(|envelope| envelope.kind == kind).count();
    assert_eq!((count("register"), count("place")), (50, 2_000));
    for kind in ["restock", "cancel", "conflict", "cancel-unknown", "duplicate:place", "duplicate:cancel"] {
        assert!(count(kind) > 0, "no {kind}");
    }
    let poison = sample.iter().filter(|envelope| envelope.kind.starts_with("poison:"));
    assert!(poison.clone().count() >= 10);
    assert!(poison.clone().all(|envelope| matches!(envelope.expect, Expect::DeadLetter | Expect::Refuse)));
    // A duplicate is a repeat of something earlier, byte for byte.
    for (index, envelope) in sample.iter().enumerate().filter(|(_, e)| e.expect == Expect::Duplicate) {
        let first = sample[..index].iter().any(|e| (&e.key, &e.value) == (&envelope.key, &envelope.value));
        assert!(first, "{} has no first", envelope.kind);
    }
}
