//! Our bytes are those of Confluent's own serializer for Python (`golden/make.py`), for every record type.

mod support;

use std::path::Path;
use std::sync::Arc;

use schemas::catalog::{self, Scope};
use schemas::{Codec, FixedRegistry, unframe};
use serde_json::Value;
use support::{Record, Visitor, visit_all};

struct Golden {
    files: usize,
}

impl Visitor for Golden {
    fn visit<T: Record>(&mut self) {
        if catalog::entry(T::NAME).is_some_and(|entry| entry.scope == Scope::Stored) {
            return; // only we read state
        }
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/{}.json", T::NAME));
        let text = std::fs::read_to_string(&path).unwrap_or_else(|e| {
            panic!("{}: {e}; run tests/golden/make.py", path.display());
        });
        let golden: Value = serde_json::from_str(&text).expect("golden file is JSON");
        let cases = golden["cases"].as_array().expect("golden file has cases");
        assert!(cases.len() >= 10, "{}: too few cases", T::NAME);
        for case in cases {
            let framed = bytes(case["framed"].as_str().expect("framed is hex"));
            let value: T = serde_json::from_value(case["value"].clone()).expect("value is a record");
            // The id is the mock registry's; ours writes and reads under the same id.
            let (id, _) = unframe(&framed).expect("framed");
            let codec = Codec::<T>::new(id, Arc::new(FixedRegistry));
            assert_eq!(codec.to_vec(&value), framed, "{}: {value:?}", T::NAME);
            assert_eq!(codec.decode(&framed), Ok(value), "{}", T::NAME);
        }
        self.files += 1;
    }
}

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.chars().map(|c| c.to_digit(16).expect("a hex digit") as u8).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

#[test]
fn our_bytes_are_those_of_confluents_python_serializer() {
    let mut golden = Golden { files: 0 };
    visit_all(&mut golden);
    assert!(golden.files > 0);
}
