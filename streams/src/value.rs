//! The stored value's format, `[version][timestamp][headers][payload]`: [`state::value`] in the engine's types.

use crate::record::Headers;
use crate::serde::SerdeError;
use crate::types::Timestamp;

/// A stored value, borrowed.
pub(crate) struct Stored<'a> {
    pub(crate) timestamp: Timestamp,
    pub(crate) headers: Headers,
    pub(crate) payload: &'a [u8],
}

/// Appends everything before the payload.
pub(crate) fn write_head(timestamp: Timestamp, headers: &Headers, out: &mut Vec<u8>) {
    state::value::encode_head(timestamp, headers.iter(), out);
}

/// The timestamp of a stored value, and how many bytes stand before its payload.
pub(crate) fn read_head(bytes: &[u8]) -> Result<(Timestamp, usize), SerdeError> {
    let value = state::value::Value::decode(bytes).map_err(|e| SerdeError::new(e.to_string()))?;
    Ok((value.timestamp, bytes.len() - value.payload.len()))
}

/// Reads a stored value; refuses what it does not know.
pub(crate) fn read(bytes: &[u8]) -> Result<Stored<'_>, SerdeError> {
    let value = state::value::Value::decode(bytes).map_err(|e| SerdeError::new(e.to_string()))?;
    let mut headers = Headers::default();
    for (name, value) in value.headers.iter() {
        headers.add(name, value);
    }
    Ok(Stored { timestamp: value.timestamp, headers, payload: value.payload })
}
