//! Bytes to values and back. The engine knows no format; `topologies` plugs Avro in here.

use thiserror::Error;

/// Why bytes could not become a value, or a value bytes, in words for an operator.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct SerdeError(pub String);

impl SerdeError {
    /// An error with this reason.
    pub fn new(reason: impl Into<String>) -> Self {
        SerdeError(reason.into())
    }
}

/// Serializer and deserializer of one type. Implementations hold no per-record state and are shared by all threads.
pub trait Serde<T>: Send + Sync + 'static {
    /// Appends the value's bytes to `out`.
    ///
    /// # Errors
    /// When the value has no representation in the format (too long, out of range).
    fn serialize(&self, value: &T, out: &mut Vec<u8>) -> Result<(), SerdeError>;

    /// Reads a value; all bytes must be used. Must not panic, whatever the bytes.
    ///
    /// # Errors
    /// When the bytes are not such a value; the reason names what is wrong.
    fn deserialize(&self, bytes: &[u8]) -> Result<T, SerdeError>;
}

impl<T: 'static, S: Serde<T> + ?Sized> Serde<T> for std::sync::Arc<S> {
    fn serialize(&self, value: &T, out: &mut Vec<u8>) -> Result<(), SerdeError> {
        (**self).serialize(value, out)
    }
    fn deserialize(&self, bytes: &[u8]) -> Result<T, SerdeError> {
        (**self).deserialize(bytes)
    }
}

/// UTF-8 text, the format of all public keys.
#[derive(Clone, Copy, Debug, Default)]
pub struct Utf8;

impl Serde<String> for Utf8 {
    fn serialize(&self, value: &String, out: &mut Vec<u8>) -> Result<(), SerdeError> {
        out.extend_from_slice(value.as_bytes());
        Ok(())
    }
    fn deserialize(&self, bytes: &[u8]) -> Result<String, SerdeError> {
        std::str::from_utf8(bytes).map(str::to_owned).map_err(|e| SerdeError::new(format!("not UTF-8: {e}")))
    }
}

/// Bytes as they are.
#[derive(Clone, Copy, Debug, Default)]
pub struct Bytes;

impl Serde<Vec<u8>> for Bytes {
    fn serialize(&self, value: &Vec<u8>, out: &mut Vec<u8>) -> Result<(), SerdeError> {
        out.extend_from_slice(value);
        Ok(())
    }
    fn deserialize(&self, bytes: &[u8]) -> Result<Vec<u8>, SerdeError> {
        Ok(bytes.to_vec())
    }
}

/// A 64-bit integer in eight bytes, big endian, as Kafka's `LongSerializer` writes it.
#[derive(Clone, Copy, Debug, Default)]
pub struct I64;

impl Serde<i64> for I64 {
    fn serialize(&self, value: &i64, out: &mut Vec<u8>) -> Result<(), SerdeError> {
        out.extend_from_slice(&value.to_be_bytes());
        Ok(())
    }
    fn deserialize(&self, bytes: &[u8]) -> Result<i64, SerdeError> {
        let bytes: [u8; 8] =
            bytes.try_into().map_err(|_| SerdeError::new(format!("a long has 8 bytes, these are {}", bytes.len())))?;
        Ok(i64::from_be_bytes(bytes))
    }
}

/// A 32-bit integer in four bytes, big endian, as Kafka's `IntegerSerializer` writes it.
#[derive(Clone, Copy, Debug, Default)]
pub struct I32;

impl Serde<i32> for I32 {
    fn serialize(&self, value: &i32, out: &mut Vec<u8>) -> Result<(), SerdeError> {
        out.extend_from_slice(&value.to_be_bytes());
        Ok(())
    }
    fn deserialize(&self, bytes: &[u8]) -> Result<i32, SerdeError> {
        let bytes: [u8; 4] = bytes
            .try_into()
            .map_err(|_| SerdeError::new(format!("an integer has 4 bytes, these are {}", bytes.len())))?;
        Ok(i32::from_be_bytes(bytes))
    }
}

/// A double in eight bytes, big endian, as Kafka's `DoubleSerializer` writes it.
#[derive(Clone, Copy, Debug, Default)]
pub struct F64;

impl Serde<f64> for F64 {
    fn serialize(&self, value: &f64, out: &mut Vec<u8>) -> Result<(), SerdeError> {
        out.extend_from_slice(&value.to_be_bytes());
        Ok(())
    }
    fn deserialize(&self, bytes: &[u8]) -> Result<f64, SerdeError> {
        I64.deserialize(bytes).map(|i| f64::from_bits(i.cast_unsigned()))
    }
}
