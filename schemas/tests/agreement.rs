//! Our codec and apache-avro with the record's `.avsc` agree byte for byte, both ways, for every record type.

mod support;

use proptest::test_runner::{Config, TestRunner};
use schemas::{Codec, Reader, json};
use support::{Record, Visitor, apache_bytes, apache_value, schema, values, visit_all};

/// Generated values per type.
const CASES: u32 = 200;

struct Agreement;

impl Visitor for Agreement {
    fn visit<T: Record>(&mut self) {
        let schema = schema::<T>();
        let codec = Codec::<T>::fixed();
        let config = Config { failure_persistence: None, ..Config::with_cases(CASES) };
        let outcome = TestRunner::new(config).run(&values(&schema), |value| {
            let theirs = apache_bytes(&schema, &value);

            let mut reader = Reader::new(&theirs);
            let ours = T::decode_body(&mut reader).expect("apache-avro's bytes decode");
            reader.finish().expect("all bytes are read");

            let mut written = Vec::new();
            ours.encode_body(&mut written);
            assert_eq!(written, theirs, "{}: bytes differ for {value:?}", T::NAME);
            assert_eq!(apache_value(&schema, &written), value, "{}: values differ", T::NAME);

            // The walk by schema gives the same JSON as the type's own serde form, field names included.
            let walked = json::walk(&schema, Reader::new(&written)).expect("walks");
            assert_eq!(walked, serde_json::to_value(&ours).expect("serializes"), "{}: JSON differs", T::NAME);
            assert_eq!(serde_json::from_value::<T>(walked).expect("deserializes"), ours);

            // Straight to JSON gives its very text.
            let mut text = Vec::new();
            codec.transcode(&codec.to_vec(&ours), &mut text).expect("transcodes");
            assert_eq!(text, serde_json::to_vec(&ours).expect("serializes"), "{}: JSON texts differ", T::NAME);
            Ok(())
        });
        outcome.unwrap_or_else(|e| panic!("{}: {e}", T::NAME));
    }
}

#[test]
fn every_record_agrees_with_apache_avro() {
    visit_all(&mut Agreement);
}

/// An array written in several blocks, with sizes, as other languages' writers may.
#[test]
fn arrays_in_blocks_with_sizes_are_read() {
    // Block of 2 items, block of 1 item with its size in bytes, end.
    let bytes = [4, 2, b'a', 2, b'b', 1, 4, 2, b'c', 0];
    let mut reader = Reader::new(&bytes);
    let items = <Vec<String> as schemas::AvroValue>::decode(&mut reader).expect("decodes");
    assert_eq!(items, ["a", "b", "c"]);
    reader.finish().expect("all bytes are read");
    let (mut reader, mut text) = (Reader::new(&bytes), Vec::new());
    <Vec<String> as schemas::AvroValue>::transcode(&mut reader, &mut text).expect("transcodes");
    reader.finish().expect("all bytes are read");
    assert_eq!(text, br#"["a","b","c"]"#);
}
