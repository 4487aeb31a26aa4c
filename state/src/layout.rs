//! Keys whose byte order is the order that a store reads in.
//!
//! | store | key |
//! |---|---|
//! | window | segment 8 · key, delimited · time 8 · sequence 4 |
//! | session | segment of the end 8 · key, delimited · end 8 · start 8 |
//! | versioned | key, delimited · valid from 8, inverted: newest first |
//! | timers | due time 8 · key |
//! | composite | each part but the last delimited |
//!
//! (A persistent backend puts the partition before them.) Numbers are big-endian, so that they sort by bytes.
//!
//! *Times* are `u64` milliseconds since the Unix epoch: Kafka Streams refuses records with negative timestamps before
//! they reach a store, and so does this system. A number that may be negative is stored by [`ordered_i64`].
//!
//! *Delimited* keys end with a mark that no key contains, so `a` and `ab` never mix: a range over the times of one key
//! has this key's entries only, and keys keep their order. (Kafka Streams writes windowed keys without a delimiter,
//! and filters after the scan.) Zero bytes inside a key cost one byte more each; text has none.
//!
//! *Segments* are spans of time: everything of one segment expires at once, by one range delete, where Kafka Streams
//! drops the segment's own RocksDB (`AbstractSegments`).

use std::borrow::Cow;
use std::ops::RangeInclusive;

use crate::Range;

/// What a zero byte of a delimited key is followed by.
const ESCAPE: u8 = 0xff;
/// Ends a delimited key, after a zero byte. Smaller than any byte that can follow a key's own zero byte, so a key
/// sorts before its extensions.
const END: u8 = 0x01;

/// Kafka Streams' smallest segment, milliseconds (`Stores.persistentWindowStore`).
const SEGMENT_MS_MIN: u64 = 60_000;

/// A number as 8 bytes that sort as the numbers do, negative ones first.
pub fn ordered_i64(number: i64) -> [u8; 8] {
    (number.cast_unsigned() ^ (1 << 63)).to_be_bytes()
}

/// The number that [`ordered_i64`] wrote.
pub fn from_ordered_i64(bytes: [u8; 8]) -> i64 {
    (u64::from_be_bytes(bytes) ^ (1 << 63)).cast_signed()
}

/// Appends a part of a composite key so that its end is known and order is kept.
pub fn push_delimited(part: &[u8], out: &mut Vec<u8>) {
    for &byte in part {
        out.push(byte);
        if byte == 0 {
            out.push(ESCAPE);
        }
    }
    out.extend_from_slice(&[0, END]);
}

/// Splits off a part written by [`push_delimited`]: the part and the rest; `None` if there is none. Borrows, except
/// from a part with zero bytes in it.
pub fn split_delimited(bytes: &[u8]) -> Option<(Cow<'_, [u8]>, &[u8])> {
    let mut unescaped: Option<Vec<u8>> = None;
    let mut rest = bytes;
    loop {
        let zero = rest.iter().position(|&byte| byte == 0)?;
        let (plain, tail) = rest.split_at_checked(zero)?;
        let (&[_zero, mark], tail) = tail.split_first_chunk::<2>()?;
        match (mark, &mut unescaped) {
            (END, None) => return Some((Cow::Borrowed(plain), tail)),
            (END, Some(part)) => {
                part.extend_from_slice(plain);
                return Some((Cow::Owned(std::mem::take(part)), tail));
            }
            (ESCAPE, part) => {
                let part = part.get_or_insert_default();
                part.extend_from_slice(plain);
                part.push(0);
            }
            _ => return None,
        }
        rest = tail;
    }
}

/// A half-open range of keys that owns its bounds; reused from scan to scan.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct KeyRange {
    from: Vec<u8>,
    to: Vec<u8>,
}

impl KeyRange {
    /// The same range by reference.
    pub fn as_range(&self) -> Range<'_> {
        Range::half_open(&self.from, &self.to)
    }

    /// First key inside.
    pub fn from(&self) -> &[u8] {
        &self.from
    }

    /// First key outside.
    pub fn to(&self) -> &[u8] {
        &self.to
    }

    fn set(&mut self, write: impl Fn(&mut Vec<u8>, bool)) {
        self.from.clear();
        self.to.clear();
        write(&mut self.from, false);
        write(&mut self.to, true);
        // The last key inside, to the first one outside.
        self.to.push(0);
    }
}

/// How a store's time is cut into segments.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Segments {
    segment_ms: u64,
}

impl Segments {
    /// Segments for a store that keeps `retention_ms`: half of it, and at least a minute, as in Kafka Streams.
    /// Expired data is so kept for up to one and a half times the retention.
    pub fn for_retention(retention_ms: u64) -> Self {
        Segments { segment_ms: (retention_ms / 2).max(SEGMENT_MS_MIN) }
    }

    /// Segments of `segment_ms`, at least 1.
    pub fn of(segment_ms: u64) -> Self {
        Segments { segment_ms: segment_ms.max(1) }
    }

    /// The segment of a time.
    pub fn segment(&self, time: u64) -> u64 {
        time / self.segment_ms
    }

    /// The segments that a range of times touches, oldest first.
    pub fn between(&self, from_time: u64, to_time: u64) -> RangeInclusive<u64> {
        self.segment(from_time)..=self.segment(to_time)
    }

    /// The oldest segment to keep at a stream time: those before it hold only what is older than the retention.
    pub fn first_live(&self, stream_time: u64, retention_ms: u64) -> u64 {
        self.segment(stream_time.saturating_sub(retention_ms))
    }
}

/// Sets `range` to every key of the segments before `first_live`: what to expire.
pub fn expired_segments(first_live: u64, range: &mut KeyRange) {
    range.from.clear();
    range.to.clear();
    range.to.extend_from_slice(&first_live.to_be_bytes());
}

/// A key of a window store.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct WindowKey<'a> {
    /// The segment of `time`.
    pub segment: u64,
    /// The record key.
    pub key: Cow<'a, [u8]>,
    /// Start of the window, or time of the record in a join's buffer.
    pub time: u64,
    /// Tells entries of one key and time apart; 0 in a store that keeps one of them.
    pub sequence: u32,
}

impl<'a> WindowKey<'a> {
    /// Appends a window key.
    pub fn encode(segments: Segments, key: &[u8], time: u64, sequence: u32, out: &mut Vec<u8>) {
        out.extend_from_slice(&segments.segment(time).to_be_bytes());
        push_delimited(key, out);
        out.extend_from_slice(&time.to_be_bytes());
        out.extend_from_slice(&sequence.to_be_bytes());
    }

    /// Reads a window key; `None` if the bytes are none.
    pub fn decode(bytes: &'a [u8]) -> Option<Self> {
        let (segment, rest) = bytes.split_first_chunk()?;
        let (key, rest) = split_delimited(rest)?;
        let (time, sequence) = rest.split_first_chunk()?;
        Some(WindowKey {
            segment: u64::from_be_bytes(*segment),
            key,
            time: u64::from_be_bytes(*time),
            sequence: u32::from_be_bytes(sequence.try_into().ok()?),
        })
    }

    /// Sets `range` to one key's entries of one segment with times in `[from_time, to_time]`, in order of time. For a
    /// range over several segments scan one after the other, see [`Segments::between`].
    pub fn range(segment: u64, key: &[u8], from_time: u64, to_time: u64, range: &mut KeyRange) {
        range.set(|bound, last| {
            bound.extend_from_slice(&segment.to_be_bytes());
            push_delimited(key, bound);
            bound.extend_from_slice(&(if last { to_time } else { from_time }).to_be_bytes());
            bound.extend_from_slice(&(if last { u32::MAX } else { 0 }).to_be_bytes());
        });
    }
}

/// A key of a session store.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SessionKey<'a> {
    /// The segment of `end`.
    pub segment: u64,
    /// The record key.
    pub key: Cow<'a, [u8]>,
    /// Time of the session's last record.
    pub end: u64,
    /// Time of its first.
    pub start: u64,
}

impl<'a> SessionKey<'a> {
    /// Appends a session key.
    pub fn encode(segments: Segments, key: &[u8], start: u64, end: u64, out: &mut Vec<u8>) {
        out.extend_from_slice(&segments.segment(end).to_be_bytes());
        push_delimited(key, out);
        out.extend_from_slice(&end.to_be_bytes());
        out.extend_from_slice(&start.to_be_bytes());
    }

    /// Reads a session key; `None` if the bytes are none.
    pub fn decode(bytes: &'a [u8]) -> Option<Self> {
        let (segment, rest) = bytes.split_first_chunk()?;
        let (key, rest) = split_delimited(rest)?;
        let (end, start) = rest.split_first_chunk()?;
        Some(SessionKey {
            segment: u64::from_be_bytes(*segment),
            key,
            end: u64::from_be_bytes(*end),
            start: u64::from_be_bytes(start.try_into().ok()?),
        })
    }

    /// Sets `range` to one key's sessions of one segment that end in `[from_end, to_end]`, earliest end first. Those
    /// that may merge with a record are the ones that end at its time less the gap or later, and start at its time
    /// plus the gap or earlier; the second half is the caller's to check.
    pub fn range(segment: u64, key: &[u8], from_end: u64, to_end: u64, range: &mut KeyRange) {
        range.set(|bound, last| {
            bound.extend_from_slice(&segment.to_be_bytes());
            push_delimited(key, bound);
            bound.extend_from_slice(&(if last { to_end } else { from_end }).to_be_bytes());
            bound.extend_from_slice(&(if last { u64::MAX } else { 0 }).to_be_bytes());
        });
    }
}

/// A key of a versioned store ([KIP-889](https://cwiki.apache.org/confluence/display/KAFKA/KIP-889%3A+Versioned+State+Stores)).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct VersionedKey<'a> {
    /// The record key.
    pub key: Cow<'a, [u8]>,
    /// From when on this version holds.
    pub valid_from: u64,
}

impl<'a> VersionedKey<'a> {
    /// Appends a versioned key.
    pub fn encode(key: &[u8], valid_from: u64, out: &mut Vec<u8>) {
        push_delimited(key, out);
        out.extend_from_slice(&(!valid_from).to_be_bytes());
    }

    /// Reads a versioned key; `None` if the bytes are none.
    pub fn decode(bytes: &'a [u8]) -> Option<Self> {
        let (key, inverted) = split_delimited(bytes)?;
        Some(VersionedKey { key, valid_from: !u64::from_be_bytes(inverted.try_into().ok()?) })
    }

    /// Sets `range` to the versions of a key with `valid_from` in `[earliest, latest]`, newest first: the first one
    /// found is the version as of `latest`.
    pub fn range(key: &[u8], earliest: u64, latest: u64, range: &mut KeyRange) {
        range.set(|bound, last| {
            push_delimited(key, bound);
            bound.extend_from_slice(&(!if last { earliest } else { latest }).to_be_bytes());
        });
    }
}

/// A key of a timer store: in the order timers are due.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TimerKey<'a> {
    /// When it is due.
    pub due: u64,
    /// What it is for.
    pub key: &'a [u8],
}

impl<'a> TimerKey<'a> {
    /// Appends a timer key.
    pub fn encode(due: u64, key: &[u8], out: &mut Vec<u8>) {
        out.extend_from_slice(&due.to_be_bytes());
        out.extend_from_slice(key);
    }

    /// Reads a timer key; `None` if the bytes are none.
    pub fn decode(bytes: &'a [u8]) -> Option<Self> {
        let (due, key) = bytes.split_first_chunk()?;
        Some(TimerKey { due: u64::from_be_bytes(*due), key })
    }

    /// Sets `range` to the timers due at `now` or before. One set to `u64::MAX` is never due.
    pub fn due(now: u64, range: &mut KeyRange) {
        range.from.clear();
        range.to.clear();
        range.to.extend_from_slice(&now.saturating_add(1).to_be_bytes());
    }
}

#[cfg(test)]
mod tests;
