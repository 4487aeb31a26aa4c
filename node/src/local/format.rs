//! The stored forms. Integers in keys are big-endian, so that byte order is their order; in values little-endian.
//!
//! | store | partition | key | value |
//! |---|---|---|---|
//! | `log/records` | [`LogId`]: topic number, partition | offset | a record, see [`encode`] |
//! | `log/positions` | 0 | group, 0, topic number, partition | version, offset, metadata |
//! | `log/topics` | [`TOPICS`] | name | a topic, see [`StoredTopic`] |
//! | `log/topics` | [`STARTS`] | [`LogId`] | first offset, once retention has moved it |

use streams::{Headers, Incoming, Offset, Partition, Timestamp};

use super::topic::{Cleanup, Retention};

/// Where the records are.
pub(crate) const RECORDS_STORE: &str = "log/records";
/// Where committed positions are.
pub(crate) const POSITIONS_STORE: &str = "log/positions";
/// Where topics and their first offsets are.
pub(crate) const TOPICS_STORE: &str = "log/topics";
/// Partition of [`TOPICS_STORE`] that holds topics by name.
pub(crate) const TOPICS: state::Partition = 0;
/// Partition of [`TOPICS_STORE`] that holds first offsets by [`LogId`].
pub(crate) const STARTS: state::Partition = 1;
/// The only partition of [`POSITIONS_STORE`].
pub(crate) const POSITIONS: state::Partition = 0;

const VERSION: u8 = 1;
const HAS_KEY: u8 = 1;
const HAS_VALUE: u8 = 2;
const NULL: u32 = u32::MAX;

/// Version, flags, byte position, timestamp, key length, headers length.
pub(crate) const RECORD_HEAD_BYTES: usize = 1 + 1 + 8 + 8 + 4 + 4;
/// Where the byte position is in the head.
const POSITION_AT: usize = 2;

/// A partition of a topic as the store knows it: the topic's number and the partition, 16 bits each.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct LogId(pub(crate) u32);

impl LogId {
    pub(crate) fn new(topic_number: u16, partition: Partition) -> Self {
        LogId(u32::from(topic_number) << 16 | (partition & 0xffff))
    }
}

/// The key of a record.
pub(crate) fn record_key(offset: i64) -> [u8; 8] {
    // Offsets are never negative.
    offset.to_be_bytes()
}

/// The offset in a record's key.
pub(crate) fn record_offset(key: &[u8]) -> Option<i64> {
    key.try_into().ok().map(i64::from_be_bytes)
}

/// Appends a record in its stored form: head, key, headers, value. Its byte position is set by [`set_position`] when its
/// offset is known.
pub(crate) fn encode(
    out: &mut Vec<u8>,
    key: Option<&[u8]>,
    value: Option<&[u8]>,
    timestamp: Timestamp,
    headers: &Headers,
) {
    let start = out.len();
    out.reserve(RECORD_HEAD_BYTES + key.map_or(0, <[u8]>::len) + value.map_or(0, <[u8]>::len));
    out.push(VERSION);
    out.push(if key.is_some() { HAS_KEY } else { 0 } | if value.is_some() { HAS_VALUE } else { 0 });
    out.extend_from_slice(&0_u64.to_le_bytes());
    out.extend_from_slice(&timestamp.to_le_bytes());
    out.extend_from_slice(&length(key.map_or(0, <[u8]>::len)).to_le_bytes());
    let headers_length_at = out.len();
    out.extend_from_slice(&0_u32.to_le_bytes());
    debug_assert_eq!(out.len() - start, RECORD_HEAD_BYTES, "the head has a fixed size");
    out.extend_from_slice(key.unwrap_or_default());
    let headers_start = out.len();
    for (name, value) in headers.iter() {
        out.extend_from_slice(&length(name.len()).to_le_bytes());
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(&value.map_or(NULL, |v| length(v.len())).to_le_bytes());
        out.extend_from_slice(value.unwrap_or_default());
    }
    let headers_length = length(out.len() - headers_start).to_le_bytes();
    if let Some(at) = out.get_mut(headers_length_at..headers_length_at + 4) {
        at.copy_from_slice(&headers_length);
    }
    out.extend_from_slice(value.unwrap_or_default());
}

/// Bytes that [`encode`] will write.
pub(crate) fn encoded_bytes(key: Option<&[u8]>, value: Option<&[u8]>, headers: &Headers) -> usize {
    let headers: usize = headers.iter().map(|(n, v)| 8 + n.len() + v.map_or(0, <[u8]>::len)).sum();
    RECORD_HEAD_BYTES + key.map_or(0, <[u8]>::len) + value.map_or(0, <[u8]>::len) + headers
}

/// Writes into a stored record where it begins in its partition, counted in bytes of stored records. The difference of
/// two such positions is the size of what lies between them, so retention by size needs no sums kept anywhere.
pub(crate) fn set_position(record: &mut [u8], position: u64) {
    if let Some(at) = record.get_mut(POSITION_AT..POSITION_AT + 8) {
        at.copy_from_slice(&position.to_le_bytes());
    }
}

/// Where a stored record begins in its partition, in bytes.
pub(crate) fn position(record: &[u8]) -> Result<u64, state::Error> {
    Ok(u64::from_le_bytes(head(record)?.get(POSITION_AT..).and_then(first).ok_or_else(corrupt)?))
}

/// A stored record's timestamp.
pub(crate) fn timestamp(record: &[u8]) -> Result<Timestamp, state::Error> {
    Ok(i64::from_le_bytes(head(record)?.get(POSITION_AT + 8..).and_then(first).ok_or_else(corrupt)?))
}

/// Reads a stored record.
pub(crate) fn decode(offset: i64, record: &[u8]) -> Result<Incoming, state::Error> {
    let timestamp = timestamp(record)?;
    let Parts { flags, key, headers, value } = parts(record).ok_or_else(corrupt)?;
    let headers = if headers.is_empty() { None } else { Some(decode_headers(headers).ok_or_else(corrupt)?) };
    let key = (flags & HAS_KEY != 0).then_some(key);
    let value = (flags & HAS_VALUE != 0).then_some(value);
    Ok(Incoming::new(Offset(offset), timestamp, key, value, headers))
}

/// Key and value presence of a stored record: what compaction must know.
pub(crate) fn key_and_tombstone(record: &[u8]) -> Result<(Option<&[u8]>, bool), state::Error> {
    let Parts { flags, key, .. } = parts(record).ok_or_else(corrupt)?;
    Ok(((flags & HAS_KEY != 0).then_some(key), flags & HAS_VALUE == 0))
}

/// A stored record taken apart; key and value are there if the flags say so.
struct Parts<'a> {
    flags: u8,
    key: &'a [u8],
    headers: &'a [u8],
    value: &'a [u8],
}

fn parts(record: &[u8]) -> Option<Parts<'_>> {
    let (head, rest) = record.split_at_checked(RECORD_HEAD_BYTES)?;
    if head.first() != Some(&VERSION) {
        return None;
    }
    let lengths = head.get(POSITION_AT + 16..)?;
    let key_length = u32::from_le_bytes(first(lengths)?) as usize;
    let headers_length = u32::from_le_bytes(first(lengths.get(4..)?)?) as usize;
    let (key, rest) = rest.split_at_checked(key_length)?;
    let (headers, value) = rest.split_at_checked(headers_length)?;
    Some(Parts { flags: *head.get(1)?, key, headers, value })
}

fn decode_headers(mut bytes: &[u8]) -> Option<Headers> {
    let bytes = &mut bytes;
    let mut headers = Headers::default();
    while !bytes.is_empty() {
        let name_length = u32::from_le_bytes(take(bytes)?) as usize;
        let (name, rest) = bytes.split_at_checked(name_length)?;
        *bytes = rest;
        let value = match u32::from_le_bytes(take(bytes)?) {
            NULL => None,
            n => {
                let (value, rest) = bytes.split_at_checked(n as usize)?;
                *bytes = rest;
                Some(value)
            }
        };
        headers.add(std::str::from_utf8(name).ok()?, value);
    }
    Some(headers)
}

/// A topic as it is recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StoredTopic {
    pub(crate) number: u16,
    pub(crate) id: [u8; 16],
    pub(crate) partitions: u32,
    pub(crate) retention: Retention,
    pub(crate) cleanup: Cleanup,
    pub(crate) keep_unread: bool,
}

impl StoredTopic {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        out.extend_from_slice(&self.number.to_le_bytes());
        out.extend_from_slice(&self.id);
        out.extend_from_slice(&self.partitions.to_le_bytes());
        out.extend_from_slice(&self.retention.time_ms.unwrap_or(-1).to_le_bytes());
        out.extend_from_slice(&self.retention.bytes.map_or(-1, |b| i64::try_from(b).unwrap_or(i64::MAX)).to_le_bytes());
        out.push(match self.cleanup {
            Cleanup::Delete => 0,
            Cleanup::Compact => 1,
        });
        out.push(u8::from(self.keep_unread));
        out
    }

    pub(crate) fn decode(mut bytes: &[u8]) -> Result<Self, state::Error> {
        let bytes = &mut bytes;
        let mut read = || {
            if take::<1>(bytes)? != [VERSION] {
                return None;
            }
            Some(StoredTopic {
                number: u16::from_le_bytes(take(bytes)?),
                id: take(bytes)?,
                partitions: u32::from_le_bytes(take(bytes)?),
                retention: Retention {
                    time_ms: Some(i64::from_le_bytes(take(bytes)?)).filter(|ms| *ms >= 0),
                    bytes: u64::try_from(i64::from_le_bytes(take(bytes)?)).ok(),
                },
                cleanup: match take::<1>(bytes)? {
                    [0] => Cleanup::Delete,
                    [1] => Cleanup::Compact,
                    _ => return None,
                },
                keep_unread: take::<1>(bytes)? != [0],
            })
        };
        read().ok_or_else(corrupt)
    }
}

/// The key of a group's position.
pub(crate) fn position_key(group: &str, log: LogId) -> Vec<u8> {
    let mut key = Vec::with_capacity(group.len() + 5);
    key.extend_from_slice(group.as_bytes());
    key.push(0);
    key.extend_from_slice(&log.0.to_be_bytes());
    key
}

/// Group and log of a position's key.
pub(crate) fn read_position_key(key: &[u8]) -> Option<(&str, LogId)> {
    let (group, log) = key.split_at_checked(key.len().checked_sub(5)?)?;
    Some((std::str::from_utf8(group).ok()?, LogId(u32::from_be_bytes(log.get(1..).and_then(first)?))))
}

/// The value of a group's position.
pub(crate) fn encode_position(offset: i64, metadata: &str, out: &mut Vec<u8>) {
    out.clear();
    out.push(VERSION);
    out.extend_from_slice(&offset.to_le_bytes());
    out.extend_from_slice(metadata.as_bytes());
}

/// Offset and metadata of a group's position.
pub(crate) fn decode_position(mut bytes: &[u8]) -> Option<(i64, String)> {
    let bytes = &mut bytes;
    if take::<1>(bytes)? != [VERSION] {
        return None;
    }
    let offset = i64::from_le_bytes(take(bytes)?);
    Some((offset, std::str::from_utf8(bytes).ok()?.to_owned()))
}

pub(crate) fn corrupt() -> state::Error {
    state::Error::Corrupt { message: "an entry of the embedded log cannot be read".to_owned() }
}

fn head(record: &[u8]) -> Result<&[u8], state::Error> {
    record.get(..RECORD_HEAD_BYTES).filter(|h| h.first() == Some(&VERSION)).ok_or_else(corrupt)
}

fn first<const N: usize>(bytes: &[u8]) -> Option<[u8; N]> {
    bytes.first_chunk::<N>().copied()
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (head, rest) = bytes.split_first_chunk::<N>()?;
    *bytes = rest;
    Some(*head)
}

/// Sizes are checked against limits far below 4 GiB before anything is encoded.
fn length(len: usize) -> u32 {
    assert!(u32::try_from(len).is_ok(), "a part of a record has {len} bytes");
    len as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_come_back_and_every_truncation_is_noticed() {
        let mut headers = Headers::default();
        headers.add("a", Some(b"1"));
        headers.add("a", None);
        headers.add("", Some(b""));
        for (key, value, headers) in [
            (Some(&b"key"[..]), Some(&b"value"[..]), headers),
            (None, Some(&b""[..]), Headers::default()),
            (Some(&b""[..]), None, Headers::default()),
        ] {
            let mut bytes = Vec::new();
            encode(&mut bytes, key, value, 1_234, &headers);
            assert_eq!(bytes.len(), encoded_bytes(key, value, &headers));
            set_position(&mut bytes, 77);
            assert_eq!((position(&bytes).unwrap(), timestamp(&bytes).unwrap()), (77, 1_234));
            let record = decode(5, &bytes).unwrap();
            assert_eq!((record.key(), record.value(), record.headers()), (key, value, &headers));
            assert_eq!((record.offset, record.timestamp), (Offset(5), 1_234));
            for end in 0..RECORD_HEAD_BYTES + key.map_or(0, <[u8]>::len) {
                assert!(decode(5, &bytes[..end]).is_err(), "{end}");
            }
            bytes[0] = 9;
            assert!(decode(5, &bytes).is_err() && position(&bytes).is_err(), "unknown version");
        }
    }

    #[test]
    fn topics_and_positions_come_back() {
        let topic = StoredTopic {
            number: 7,
            id: [3; 16],
            partitions: 12,
            retention: Retention { time_ms: Some(5), bytes: None },
            cleanup: Cleanup::Compact,
            keep_unread: true,
        };
        let bytes = topic.encode();
        assert_eq!(StoredTopic::decode(&bytes).unwrap(), topic);
        assert!(StoredTopic::decode(&bytes[1..]).is_err());
        let log = LogId::new(7, 11);
        assert_eq!(read_position_key(&position_key("a group", log)), Some(("a group", log)));
        let mut value = Vec::new();
        encode_position(9, "1|5", &mut value);
        assert_eq!(decode_position(&value), Some((9, "1|5".to_owned())));
        assert_eq!(decode_position(&value[1..]), None);
    }
}
