//! One format for all keys and values of the corpus: a tag and the value, so that bytes become JSON again without knowing
//! the topology. The order of bytes is that of Java's serializers for one type (text by UTF-8, integers big endian).

use serde_json::{Value, json};
use streams::dsl::Change;
use streams::serde::{Serde, SerdeError};

/// The format.
#[derive(Clone, Copy)]
pub(crate) struct Tagged;

/// A type of the corpus.
pub(crate) trait Datum: Sized + 'static {
    /// As JSON.
    fn to_json(&self) -> Value;
    /// From JSON; `None` if it is of another type.
    fn from_json(json: &Value) -> Option<Self>;
}

impl Datum for String {
    fn to_json(&self) -> Value {
        json!(self)
    }
    fn from_json(json: &Value) -> Option<Self> {
        json.as_str().map(str::to_owned)
    }
}

impl Datum for i32 {
    fn to_json(&self) -> Value {
        json!(self)
    }
    fn from_json(json: &Value) -> Option<Self> {
        json.as_i64().and_then(|i| i32::try_from(i).ok())
    }
}

impl Datum for i64 {
    fn to_json(&self) -> Value {
        json!(self)
    }
    fn from_json(json: &Value) -> Option<Self> {
        json.as_i64()
    }
}

impl Datum for Value {
    fn to_json(&self) -> Value {
        self.clone()
    }
    fn from_json(json: &Value) -> Option<Self> {
        Some(json.clone())
    }
}

impl<T: Datum> Datum for Change<T> {
    fn to_json(&self) -> Value {
        json!({"new": self.new.as_ref().map(T::to_json), "old": self.old.as_ref().map(T::to_json)})
    }
    fn from_json(json: &Value) -> Option<Self> {
        Some(Change::new(T::from_json(&json["new"]), T::from_json(&json["old"])))
    }
}

impl<T: Datum> Serde<T> for Tagged {
    fn serialize(&self, value: &T, out: &mut Vec<u8>) -> Result<(), SerdeError> {
        out.extend_from_slice(&encode(&value.to_json()));
        Ok(())
    }
    fn deserialize(&self, bytes: &[u8]) -> Result<T, SerdeError> {
        let json = decode(bytes);
        T::from_json(&json).ok_or_else(|| SerdeError::new(format!("{json} is no {}", std::any::type_name::<T>())))
    }
}

/// JSON to bytes.
pub(crate) fn encode(json: &Value) -> Vec<u8> {
    match json {
        Value::String(text) => [b"s", text.as_bytes()].concat(),
        Value::Number(n) if n.is_i64() => [b"i".as_slice(), &n.as_i64().unwrap_or(0).to_be_bytes()].concat(),
        other => [b"j", other.to_string().as_bytes()].concat(),
    }
}

/// Bytes to JSON; what is in no known form is shown as text.
pub(crate) fn decode(bytes: &[u8]) -> Value {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    match bytes.split_first() {
        Some((b's', rest)) => Value::String(text(rest)),
        Some((b'i', rest)) => rest.try_into().map_or(Value::Null, |b| json!(i64::from_be_bytes(b))),
        Some((b'j', rest)) => serde_json::from_slice(rest).unwrap_or_else(|_| Value::String(text(rest))),
        _ => Value::String(format!("?{}", text(bytes))),
    }
}
