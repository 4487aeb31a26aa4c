//! Avro as the engine's format: values framed and encoded by [`schemas::Codec`], shown as JSON by their schema.

use schemas::{AvroRecord, Codec, FixedRegistry, json};
use streams::serde::{Serde, SerdeError, Utf8};
use streams::store::KeyValue;

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

/// A store of records by id, shown as JSON through the schema its values were written with.
pub fn store<T: AvroRecord>() -> KeyValue<String, T> {
    KeyValue::new(Utf8, Avro::<T>::fixed()).shown_as(|_, value| show(value))
}

/// A stored value as JSON text; what cannot be read says why instead of hiding.
fn show(value: &[u8]) -> String {
    match json::value_from_framed(&FixedRegistry, value) {
        Ok(value) => value.to_string(),
        Err(e) => serde_json::json!({ "error": e.to_string() }).to_string(),
    }
}
