//! Whatever the bytes: no panic, an error that says what is wrong, and no more memory than the input has bytes.

mod support;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use schemas::{AvroValue, Codec, DecodeError, Reader, frame, json};
use support::counting::{Counting, count};
use support::{Record, Visitor, apache_bytes, schema, values, visit_all};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const CASES: u32 = 300;

/// Bytes of memory per byte of input at most, for records with arrays: an item's struct is larger than its encoding
/// (and `Vec` makes room for four at first). Records without arrays take no more than the input's length.
const ARRAY_GROWTH: usize = 64;

/// Bytes with a valid beginning: random bytes alone rarely get past the first field.
fn nearly_valid<T: Record>() -> impl Strategy<Value = Vec<u8>> {
    let schema = schema::<T>();
    let valid = values(&schema).prop_map(move |value| apache_bytes(&schema, &value));
    (valid, prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4), any::<prop::sample::Index>())
        .prop_map(|(mut bytes, changes, cut)| {
            for (at, byte) in changes {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            // Half of the cases are cut short as well.
            if cut.index(2) == 0 {
                bytes.truncate(cut.index(bytes.len()));
            }
            bytes
        })
}

struct Hostile;

impl Visitor for Hostile {
    fn visit<T: Record>(&mut self) {
        let codec = Codec::<T>::fixed();
        let growth = if T::schema_json().contains("\"array\"") { ARRAY_GROWTH } else { 1 };
        let schema = schema::<T>();
        let inputs = prop_oneof![nearly_valid::<T>(), prop::collection::vec(any::<u8>(), 0..64)];
        let config = Config { failure_persistence: None, ..Config::with_cases(CASES) };
        let outcome = TestRunner::new(config).run(&inputs, |body| {
            let framed = [&frame(codec.id())[..], &body].concat();
            let (result, counts) = count(|| codec.decode(&framed));
            assert!(counts.bytes <= body.len() * growth, "{}: {counts:?} for {} bytes", T::NAME, body.len());
            // The walk by schema accepts exactly what the codec accepts.
            assert_eq!(json::walk(&schema, Reader::new(&body)).is_ok(), result.is_ok(), "{}: {result:?}", T::NAME);
            // So does what goes straight to JSON, with the same words.
            assert_eq!(codec.transcode(&framed, &mut Vec::new()).err(), result.as_ref().err().cloned(), "{}", T::NAME);
            if let Ok(value) = result {
                // What was accepted is a value: written again it is read as the same.
                assert_eq!(codec.decode(&codec.to_vec(&value)), Ok(value));
            }
            Ok(())
        });
        outcome.unwrap_or_else(|e| panic!("{}: {e}", T::NAME));
    }
}

#[test]
fn no_bytes_make_any_record_panic_or_allocate_beyond_the_input() {
    visit_all(&mut Hostile);
}

struct Truncation;

impl Visitor for Truncation {
    fn visit<T: Record>(&mut self) {
        let codec = Codec::<T>::fixed();
        let schema = schema::<T>();
        let config = Config { failure_persistence: None, ..Config::with_cases(20) };
        let outcome = TestRunner::new(config).run(&values(&schema), |value| {
            let framed = [&frame(codec.id())[..], &apache_bytes(&schema, &value)].concat();
            for end in 1..framed.len() {
                let result = codec.decode(&framed[..end]);
                assert!(matches!(result, Err(DecodeError::Truncated { .. })), "{} cut at {end}: {result:?}", T::NAME);
            }
            let longer = [&framed[..], &[0]].concat();
            assert_eq!(codec.decode(&longer), Err(DecodeError::Trailing { count: 1 }), "{}", T::NAME);
            Ok(())
        });
        outcome.unwrap_or_else(|e| panic!("{}: {e}", T::NAME));
    }
}

#[test]
fn every_cut_of_every_record_says_truncated_and_every_excess_says_trailing() {
    visit_all(&mut Truncation);
}

#[test]
fn a_huge_array_count_is_refused_before_anything_is_reserved() {
    for count_of_items in [1_i64 << 40, i64::MAX, i64::MIN, -(1 << 40)] {
        let mut bytes = Vec::new();
        count_of_items.encode(&mut bytes);
        bytes.extend_from_slice(&[2, 2, 2]);
        let (result, counts) = count(|| Vec::<String>::decode(&mut Reader::new(&bytes)));
        assert!(matches!(result, Err(DecodeError::Truncated { .. })), "{result:?}");
        assert_eq!(counts.calls, 0);
    }
}

#[test]
fn numbers_outside_their_type_are_refused() {
    let check = |bytes: &[u8], expected: &str| {
        let error = i64::decode(&mut Reader::new(bytes)).expect_err("not a long").to_string();
        assert_eq!(error, expected);
    };
    check(&[0xff; 12], "number out of range at offset 0: not an Avro long");
    check(&[0xff; 4], "truncated: 1 more byte(s) needed at offset 4");
    let mut bytes = Vec::new();
    (i64::from(i32::MAX) + 1).encode(&mut bytes);
    assert_eq!(i32::decode(&mut Reader::new(&bytes)), Err(DecodeError::Number { offset: 0, kind: "int" }));
}

#[test]
fn encoding_into_a_large_enough_buffer_allocates_nothing() {
    struct Encodes;
    impl Visitor for Encodes {
        fn visit<T: Record>(&mut self) {
            let codec = Codec::<T>::fixed();
            let schema = schema::<T>();
            let config = Config { failure_persistence: None, ..Config::with_cases(20) };
            let outcome = TestRunner::new(config).run(&values(&schema), |value| {
                let body = apache_bytes(&schema, &value);
                let value = T::decode_body(&mut Reader::new(&body)).expect("decodes");
                let mut out = Vec::with_capacity(body.len() + 16); // the frame, and room to work
                let ((), counts) = count(|| codec.encode(&value, &mut out));
                assert_eq!(counts.calls, 0, "{}", T::NAME);
                Ok(())
            });
            outcome.unwrap_or_else(|e| panic!("{}: {e}", T::NAME));
        }
    }
    visit_all(&mut Encodes);
}
