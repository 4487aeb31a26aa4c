//! The form of a stored value: `[version][timestamp][headers][payload]`.
//!
//! | part | bytes |
//! |---|---|
//! | version | 1: `1` |
//! | timestamp | 8: milliseconds since the Unix epoch, big-endian, signed |
//! | headers | how many; each: name length, name (UTF-8), 0 for no value or its length + 1, value |
//! | payload | the rest |
//!
//! Counts and lengths are LEB128 varints of at most 5 bytes. A value without headers has 10 bytes before its payload.
//! In a changelog the same payload travels with Kafka's own timestamp and headers, so this form never leaves a store.

use crate::Error;

/// The form this release writes, and the only one it reads.
pub const VERSION: u8 = 1;

/// Largest length that the form can hold, in bytes; more than any broker takes.
const LENGTH_MAX: usize = i32::MAX as usize;

/// A header: a name, and a value that may be absent (which Kafka tells apart from empty).
pub type Header<'a> = (&'a str, Option<&'a [u8]>);

/// A stored value, borrowed from its bytes; decoding allocates nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Value<'a> {
    /// Event time of the record that wrote it, milliseconds since the Unix epoch.
    pub timestamp: i64,
    /// Its headers.
    pub headers: Headers<'a>,
    /// What the store's user wrote.
    pub payload: &'a [u8],
}

/// The headers of a [`Value`], in order; read by iterating. A name may come more than once, as in Kafka.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Headers<'a> {
    count: usize,
    /// Checked when the value was decoded.
    bytes: &'a [u8],
}

/// Appends everything before the payload, for a payload that is then written behind it.
///
/// # Panics
/// If a header is longer than 2 GiB, more than any log holds.
pub fn encode_head<'a>(
    timestamp: i64,
    headers: impl IntoIterator<Item = Header<'a>, IntoIter: ExactSizeIterator>,
    out: &mut Vec<u8>,
) {
    let headers = headers.into_iter();
    out.push(VERSION);
    out.extend_from_slice(&timestamp.to_be_bytes());
    write_length(headers.len(), out);
    for (name, value) in headers {
        write_length(name.len(), out);
        out.extend_from_slice(name.as_bytes());
        write_length(value.map_or(0, |value| value.len() + 1), out);
        out.extend_from_slice(value.unwrap_or_default());
    }
}

/// Appends a whole value.
///
/// # Panics
/// As [`encode_head`].
pub fn encode<'a>(
    timestamp: i64,
    headers: impl IntoIterator<Item = Header<'a>, IntoIter: ExactSizeIterator>,
    payload: &[u8],
    out: &mut Vec<u8>,
) {
    encode_head(timestamp, headers, out);
    out.extend_from_slice(payload);
}

impl<'a> Value<'a> {
    /// Reads a stored value. Whatever the bytes are, it takes time in their length and no memory.
    ///
    /// # Errors
    /// [`Error::Corrupt`] when they are cut short, or of a version that this release does not know.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, Error> {
        let corrupt = |message: &str| Error::Corrupt { message: format!("stored value {message}") };
        match bytes.split_first() {
            None => return Err(corrupt("is empty")),
            Some((&VERSION, _)) => {}
            Some((version, _)) => {
                let message = format!("has format {version}, this release reads {VERSION}");
                return Err(corrupt(&message));
            }
        }
        decode_v1(bytes.get(1..).unwrap_or_default()).ok_or_else(|| corrupt("is cut short or damaged"))
    }
}

fn decode_v1(bytes: &[u8]) -> Option<Value<'_>> {
    let (timestamp, rest) = bytes.split_first_chunk()?;
    let mut rest = rest;
    let count = read_length(&mut rest)?;
    let headers = rest;
    for _ in 0..count {
        read_header(&mut rest)?;
    }
    let bytes = headers.get(..headers.len() - rest.len())?;
    Some(Value { timestamp: i64::from_be_bytes(*timestamp), headers: Headers { count, bytes }, payload: rest })
}

impl<'a> Headers<'a> {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The headers in order.
    pub fn iter(&self) -> impl Iterator<Item = Header<'a>> + use<'a> {
        let mut rest = self.bytes;
        std::iter::from_fn(move || read_header(&mut rest))
    }
}

fn read_header<'a>(rest: &mut &'a [u8]) -> Option<Header<'a>> {
    let length = read_length(rest)?;
    let name = std::str::from_utf8(take(rest, length)?).ok()?;
    let value = match read_length(rest)?.checked_sub(1) {
        Some(length) => Some(take(rest, length)?),
        None => None,
    };
    Some((name, value))
}

fn take<'a>(rest: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (taken, tail) = rest.split_at_checked(length)?;
    *rest = tail;
    Some(taken)
}

fn write_length(mut length: usize, out: &mut Vec<u8>) {
    assert!(length <= LENGTH_MAX, "a stored header of {length} bytes");
    while length >= 0x80 {
        out.push((length & 0x7f) as u8 | 0x80);
        length >>= 7;
    }
    out.push(length as u8);
}

fn read_length(rest: &mut &[u8]) -> Option<usize> {
    let mut length = 0_usize;
    for shift in (0..35).step_by(7) {
        let (&byte, tail) = rest.split_first()?;
        *rest = tail;
        length |= usize::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return (length <= LENGTH_MAX).then_some(length);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_bytes_are_as_documented() {
        let mut bytes = Vec::new();
        encode(0x0102, [("n", Some(&b"v"[..])), ("absent", None), ("", Some(b""))], b"payload", &mut bytes);
        assert_eq!(bytes, b"\x01\0\0\0\0\0\0\x01\x02\x03\x01n\x02v\x06absent\0\0\x01payload");
    }

    #[test]
    fn a_value_cut_short_within_its_head_is_refused() {
        let mut bytes = Vec::new();
        encode(-1, [("name", Some(&[7; 200][..])), ("other", None)], b"", &mut bytes);
        for end in 0..bytes.len() {
            assert!(matches!(Value::decode(&bytes[..end]), Err(Error::Corrupt { .. })), "{end}");
        }
        assert_eq!(Value::decode(&bytes).unwrap().payload, b"");
    }

    #[test]
    fn other_versions_and_endless_lengths_are_refused() {
        let message = Value::decode(&[2, 0]).unwrap_err().to_string();
        assert!(message.contains("format 2"), "{message}");
        let endless = [[1; 9].as_slice(), &[0xff; 20]].concat();
        assert!(Value::decode(&endless).is_err());
        let many_headers_and_nothing_more = [[1; 9].as_slice(), &[0xff, 0xff, 0xff, 0xff, 0x07]].concat();
        assert!(Value::decode(&many_headers_and_nothing_more).is_err());
    }

    proptest! {
        #[test]
        fn round_trip(
            timestamp: i64,
            headers in prop::collection::vec((".{0,5}", prop::option::of(prop::collection::vec(any::<u8>(), 0..200))), 0..4),
            payload: Vec<u8>,
        ) {
            let borrowed: Vec<Header<'_>> =
                headers.iter().map(|(name, value)| (name.as_str(), value.as_deref())).collect();
            let mut bytes = Vec::new();
            encode(timestamp, borrowed.iter().copied(), &payload, &mut bytes);
            let value = Value::decode(&bytes).unwrap();
            prop_assert_eq!(value.timestamp, timestamp);
            prop_assert_eq!(value.payload, &payload[..]);
            prop_assert_eq!(value.headers.len(), headers.len());
            prop_assert_eq!(value.headers.iter().collect::<Vec<_>>(), borrowed);
        }

        /// Hostile bytes: no panic, and what is accepted is what it says.
        #[test]
        fn any_bytes(mut bytes: Vec<u8>) {
            if let Some(first) = bytes.first_mut() {
                *first = VERSION;
            }
            if let Ok(value) = Value::decode(&bytes) {
                prop_assert_eq!(value.headers.iter().count(), value.headers.len());
                prop_assert!(bytes.ends_with(value.payload));
            }
        }
    }
}
