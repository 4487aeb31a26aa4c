//! The stored value's format, `[version][timestamp][headers][payload]`, as `state` defines it, in the engine's types.

use crate::record::Headers;
use crate::serde::SerdeError;
use crate::types::Timestamp;

/// A stored value, borrowed.
pub(crate) struct Stored<'a> {
    pub(crate) timestamp: Timestamp,
    pub(crate) headers: Headers,
    pub(crate) payload: &'a [u8],
}

/// Format written by this release.
const VERSION: u8 = 1;

/// Appends everything before the payload.
pub(crate) fn write_head(timestamp: Timestamp, headers: &Headers, out: &mut Vec<u8>) {
    out.push(VERSION);
    out.extend_from_slice(&timestamp.to_be_bytes());
    write_len(headers.len(), out);
    for (name, value) in headers.iter() {
        write_len(name.len(), out);
        out.extend_from_slice(name.as_bytes());
        match value {
            None => write_len(0, out),
            Some(v) => {
                write_len(v.len() + 1, out);
                out.extend_from_slice(v);
            }
        }
    }
}

/// Reads a stored value; refuses what it does not know.
pub(crate) fn read(bytes: &[u8]) -> Result<Stored<'_>, SerdeError> {
    let short = || SerdeError::new("stored value is cut short");
    let (&version, rest) = bytes.split_first().ok_or_else(short)?;
    if version != VERSION {
        return Err(SerdeError::new(format!(
            "stored value has format {version}, this release reads {VERSION}: it was written by a newer release"
        )));
    }
    let (timestamp, rest) = rest.split_first_chunk::<8>().ok_or_else(short)?;
    let mut rest = rest;
    let count = read_len(&mut rest).ok_or_else(short)?;
    let mut headers = Headers::default();
    for _ in 0..count {
        let name = read_bytes(&mut rest).ok_or_else(short)?;
        let name = std::str::from_utf8(name).map_err(|_| SerdeError::new("stored header name is not UTF-8"))?;
        let len = read_len(&mut rest).ok_or_else(short)?;
        match len.checked_sub(1) {
            None => headers.add(name, None),
            Some(len) => {
                let (value, tail) = rest.split_at_checked(len).ok_or_else(short)?;
                headers.add(name, Some(value));
                rest = tail;
            }
        }
    }
    Ok(Stored { timestamp: i64::from_be_bytes(*timestamp), headers, payload: rest })
}

fn write_len(mut len: usize, out: &mut Vec<u8>) {
    while len >= 0x80 {
        out.push((len & 0x7f) as u8 | 0x80);
        len >>= 7;
    }
    out.push(len as u8);
}

fn read_len(rest: &mut &[u8]) -> Option<usize> {
    let mut len = 0_usize;
    for shift in (0..35).step_by(7) {
        let (&byte, tail) = rest.split_first()?;
        *rest = tail;
        len |= usize::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(len);
        }
    }
    None
}

fn read_bytes<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let len = read_len(rest)?;
    let (bytes, tail) = rest.split_at_checked(len)?;
    *rest = tail;
    Some(bytes)
}
