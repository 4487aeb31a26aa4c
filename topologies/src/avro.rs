//! Avro as the engine's format: values framed, encoded and shown as JSON by [`schemas::Codec`].

use schemas::{AvroRecord, Codec};
use streams::serde::{Serde, SerdeError, Utf8};
use streams::store::KeyValue;

/// Room for the JSON of most stored values, so that it is written in one piece.
const JSON_BYTES: usize = 1_024;

/// Confluent-framed Avro values of one record type.
#[derive(Clone)]
pub struct Avro<T>(Codec<T>);

impl<T: AvroRecord> Avro<T> {
    /// The format of a codec.
    pub fn new(codec: &Codec<T>) -> Self {
        Avro(codec.clone())
    }

    /// The format of internal and stored values, whose ids are fixed.
    pub fn fixed() -> Self {
        Avro(Codec::fixed())
    }
}

impl<T: AvroRecord> Serde<T> for Avro<T> {
    fn serialize(&self, value: &T, out: &mut Vec<u8>) -> Result<(), SerdeError> {
        self.0.encode(value, out);
        Ok(())
    }

    fn deserialize(&self, bytes: &[u8]) -> Result<T, SerdeError> {
        self.0.decode(bytes).map_err(|e| SerdeError::new(e.to_string()))
    }
}

/// A store of records by id in the format of stored values, shown as JSON.
pub fn store<T: AvroRecord>() -> KeyValue<String, T> {
    store_of(Codec::fixed())
}

/// A store of records by id in the format of a codec, shown as JSON.
pub fn store_of<T: AvroRecord>(codec: Codec<T>) -> KeyValue<String, T> {
    KeyValue::new(Utf8, Avro::new(&codec)).shown_as(move |_, value| show(&codec, value))
}

/// A stored value as JSON text; what cannot be read says why instead of hiding.
fn show<T: AvroRecord>(codec: &Codec<T>, value: &[u8]) -> String {
    let mut json = Vec::with_capacity(JSON_BYTES);
    let shown = codec.transcode(value, &mut json).map_err(|e| e.to_string());
    let shown = shown.and_then(|()| String::from_utf8(json).map_err(|e| e.to_string()));
    shown.unwrap_or_else(|e| serde_json::json!({ "error": e }).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use schemas::state::{CommandOutcome, Verdict};

    #[test]
    fn a_stored_value_shows_as_its_json_and_one_that_cannot_be_read_says_why() {
        let codec = Codec::<CommandOutcome>::fixed();
        let (command_id, correlation_id, kind) = ("c \"1\"".into(), "o1".into(), "PlaceOrder".into());
        let (verdict, detail) = (Verdict::Refused, "sold out\n".into());
        let outcome =
            CommandOutcome { command_id, correlation_id, kind, verdict, detail, content_hash: -7, decided_at: 1 };
        let mut bytes = codec.to_vec(&outcome);
        assert_eq!(
            show(&codec, &bytes),
            r#"{"command_id":"c \"1\"","correlation_id":"o1","kind":"PlaceOrder","verdict":"REFUSED","detail":"sold out\n","content_hash":-7,"decided_at":1}"#
        );
        bytes.push(0);
        let wrong = r#"{"error":"1 byte(s) are left over after the value: not written with the schema its id names"}"#;
        assert_eq!(show(&codec, &bytes), wrong);
    }
}
