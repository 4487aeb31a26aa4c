//! What windows there are, and keys that belong to one.

use std::sync::Arc;

use crate::limits::TIMESTAMP_MS_MAX;
use crate::serde::{Serde, SerdeError};
use crate::types::Timestamp;

/// A key and the window its row is of.
///
/// `end` is the first time after a time window `[start, end)`, and the last time inside a sliding or session window
/// `[start, end]`, as in Kafka Streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Windowed<K> {
    /// The key.
    pub key: K,
    /// First time inside, milliseconds.
    pub start: Timestamp,
    /// Where it ends, milliseconds.
    pub end: Timestamp,
}

impl<K> Windowed<K> {
    /// A key in a window.
    pub fn new(key: K, start: Timestamp, end: Timestamp) -> Self {
        Windowed { key, start, end }
    }
}

/// Windowed keys as `key · start 8`, Kafka Streams' `TimeWindowedSerializer`: the end is not written, every window has one
/// size.
pub struct TimeWindowedSerde<K> {
    key: Arc<dyn Serde<K>>,
    size_ms: i64,
}

impl<K: 'static> TimeWindowedSerde<K> {
    /// Of windows of this size, milliseconds; a sliding window's size is its time difference.
    pub fn new(key: impl Serde<K>, size_ms: i64) -> Self {
        TimeWindowedSerde { key: Arc::new(key), size_ms }
    }
}

impl<K> Clone for TimeWindowedSerde<K> {
    fn clone(&self) -> Self {
        TimeWindowedSerde { key: self.key.clone(), size_ms: self.size_ms }
    }
}

impl<K: 'static> Serde<Windowed<K>> for TimeWindowedSerde<K> {
    fn serialize(&self, windowed: &Windowed<K>, out: &mut Vec<u8>) -> Result<(), SerdeError> {
        self.key.serialize(&windowed.key, out)?;
        out.extend_from_slice(&windowed.start.to_be_bytes());
        Ok(())
    }

    fn deserialize(&self, bytes: &[u8]) -> Result<Windowed<K>, SerdeError> {
        let (key, start) = bytes.split_last_chunk::<8>().ok_or_else(no_window)?;
        let start = Timestamp::from_be_bytes(*start);
        Ok(Windowed { key: self.key.deserialize(key)?, start, end: start.saturating_add(self.size_ms) })
    }
}

/// Windowed keys as `key · end 8 · start 8`, Kafka Streams' `SessionWindowedSerializer`.
pub struct SessionWindowedSerde<K> {
    key: Arc<dyn Serde<K>>,
}

impl<K: 'static> SessionWindowedSerde<K> {
    /// Of sessions of such keys.
    pub fn new(key: impl Serde<K>) -> Self {
        SessionWindowedSerde { key: Arc::new(key) }
    }
}

impl<K> Clone for SessionWindowedSerde<K> {
    fn clone(&self) -> Self {
        SessionWindowedSerde { key: self.key.clone() }
    }
}

impl<K: 'static> Serde<Windowed<K>> for SessionWindowedSerde<K> {
    fn serialize(&self, windowed: &Windowed<K>, out: &mut Vec<u8>) -> Result<(), SerdeError> {
        self.key.serialize(&windowed.key, out)?;
        out.extend_from_slice(&windowed.end.to_be_bytes());
        out.extend_from_slice(&windowed.start.to_be_bytes());
        Ok(())
    }

    fn deserialize(&self, bytes: &[u8]) -> Result<Windowed<K>, SerdeError> {
        let (rest, start) = bytes.split_last_chunk::<8>().ok_or_else(no_window)?;
        let (key, end) = rest.split_last_chunk::<8>().ok_or_else(no_window)?;
        let (start, end) = (Timestamp::from_be_bytes(*start), Timestamp::from_be_bytes(*end));
        Ok(Windowed { key: self.key.deserialize(key)?, start, end })
    }
}

fn no_window() -> SerdeError {
    SerdeError::new("a windowed key ends with the times of its window, and these bytes are too few for them")
}

/// Windows of one size, all times in milliseconds: tumbling, or hopping with [`TimeWindows::advance_by`]. A window
/// `[start, end)` starts at a multiple of the advance, counted from the epoch.
///
/// A record is late for a window once `end <= stream time - grace`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeWindows {
    pub(crate) size_ms: i64,
    pub(crate) advance_ms: i64,
    pub(crate) grace_ms: i64,
}

impl TimeWindows {
    /// Tumbling windows that take no record after their end has passed in stream time.
    #[must_use]
    pub fn of_size_with_no_grace(size_ms: i64) -> Self {
        Self::of_size_and_grace(size_ms, 0)
    }

    /// Tumbling windows that take records until stream time is `grace_ms` past their end.
    #[must_use]
    pub fn of_size_and_grace(size_ms: i64, grace_ms: i64) -> Self {
        TimeWindows { size_ms, advance_ms: size_ms, grace_ms }
    }

    /// Hopping: a window every `advance_ms`, at most the size.
    #[must_use]
    pub fn advance_by(self, advance_ms: i64) -> Self {
        TimeWindows { advance_ms, ..self }
    }

    /// The starts of the windows that a time lies in, earliest first.
    pub(crate) fn starts(&self, time: Timestamp) -> impl Iterator<Item = Timestamp> + use<> {
        let (size, advance) = (self.size_ms, self.advance_ms.max(1));
        let first = (time - size + advance).max(0) / advance * advance;
        (0..).map(move |i| first + i * advance).take_while(move |start| *start <= time)
    }

    pub(crate) fn problem(&self) -> Option<String> {
        let TimeWindows { size_ms, advance_ms, grace_ms } = *self;
        if size_ms < 1 {
            Some(format!("a window of {size_ms} ms: a window has at least 1 ms"))
        } else if !(1..=size_ms).contains(&advance_ms) {
            Some(format!("windows of {size_ms} ms that advance by {advance_ms} ms: advance by 1 to {size_ms} ms"))
        } else {
            too_long(size_ms).or_else(|| bad_grace(grace_ms))
        }
    }
}

/// One window for each key, from a start on, that never ends: an aggregation of everything that is not older. Times in
/// milliseconds.
///
/// A record before the start is in no window, and is not counted as dropped (as in Kafka Streams). The window is never
/// closed: results are sent with each update, its rows are kept for ever, and its end is [`Timestamp::MAX`].
///
/// ```
/// # use streams::{dsl::{Consumed, Materialized, StreamsBuilder, UnlimitedWindows}, serde::{I64, Utf8}};
/// # let builder = StreamsBuilder::new("app");
/// # let sales = builder.stream("sales", Consumed::<String, i64>::with(Utf8, I64));
/// let since_2024 = sales
///     .group_by_key()
///     .windowed_by(UnlimitedWindows::of().start_on(1_704_067_200_000))
///     .count(Materialized::new("since-2024", Utf8, I64));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct UnlimitedWindows {
    pub(crate) start_ms: Timestamp,
}

impl UnlimitedWindows {
    /// From the epoch on.
    #[must_use]
    pub fn of() -> Self {
        Self::default()
    }

    /// From a time on, not before the epoch.
    #[must_use]
    pub fn start_on(self, start_ms: Timestamp) -> Self {
        UnlimitedWindows { start_ms }
    }

    pub(crate) fn problem(&self) -> Option<String> {
        (self.start_ms < 0).then(|| format!("a window from {} on: start it at the epoch, 0, or later", self.start_ms))
    }
}

/// Windows `[start, end]` of one length around records, times in milliseconds (KIP-450): for each record the window that
/// ends with it, and the one that starts right after it once a later record lies in that. Every set of records that lie
/// within the time difference is so in exactly one window.
///
/// A record is late once `its time + time difference < stream time - grace`. One whose own window is closed by then, though
/// it is not late, is added to the open windows there are, and makes none (as in Kafka Streams).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlidingWindows {
    pub(crate) difference_ms: i64,
    pub(crate) grace_ms: i64,
}

impl SlidingWindows {
    /// Of records at most `time_difference_ms` apart, without grace.
    #[must_use]
    pub fn of_time_difference_with_no_grace(time_difference_ms: i64) -> Self {
        Self::of_time_difference_and_grace(time_difference_ms, 0)
    }

    /// Of records at most `time_difference_ms` apart, taken until stream time is `grace_ms` past the window's end.
    #[must_use]
    pub fn of_time_difference_and_grace(time_difference_ms: i64, grace_ms: i64) -> Self {
        SlidingWindows { difference_ms: time_difference_ms, grace_ms }
    }

    pub(crate) fn problem(&self) -> Option<String> {
        if self.difference_ms < 0 {
            Some(format!("sliding windows of {} ms: the time difference is 0 ms or more", self.difference_ms))
        } else {
            too_long(self.difference_ms).or_else(|| bad_grace(self.grace_ms))
        }
    }
}

/// Sessions `[start, end]` of records with no longer pause than the gap between them, times in milliseconds (KIP-94). A
/// record that falls between two sessions, within the gap of both, merges them.
///
/// A record is late once its session, merged with those it touches, has `end < stream time - gap - grace`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionWindows {
    pub(crate) gap_ms: i64,
    pub(crate) grace_ms: i64,
}

impl SessionWindows {
    /// Sessions that a pause of more than `gap_ms` ends, without grace.
    #[must_use]
    pub fn of_inactivity_gap_with_no_grace(gap_ms: i64) -> Self {
        Self::of_inactivity_gap_and_grace(gap_ms, 0)
    }

    /// Sessions that a pause of more than `gap_ms` ends, and that take late records for `grace_ms` more.
    #[must_use]
    pub fn of_inactivity_gap_and_grace(gap_ms: i64, grace_ms: i64) -> Self {
        SessionWindows { gap_ms, grace_ms }
    }

    pub(crate) fn problem(&self) -> Option<String> {
        if self.gap_ms < 1 {
            Some(format!("sessions with a gap of {} ms: the gap is at least 1 ms", self.gap_ms))
        } else {
            too_long(self.gap_ms).or_else(|| bad_grace(self.grace_ms))
        }
    }
}

pub(crate) fn bad_grace(grace_ms: i64) -> Option<String> {
    let negative = (grace_ms < 0).then(|| format!("a grace of {grace_ms} ms: a grace is 0 ms or more"));
    negative.or_else(|| too_long(grace_ms))
}

/// No window outlasts all time there is; times can then be added up without overflow.
pub(crate) fn too_long(ms: i64) -> Option<String> {
    (ms > TIMESTAMP_MS_MAX)
        .then(|| format!("{ms} ms is longer than any time that is taken: give at most {TIMESTAMP_MS_MAX} ms"))
}

/// When a windowed aggregation sends its results on (KIP-825).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum EmitStrategy {
    /// Each update of a window.
    #[default]
    OnWindowUpdate,
    /// Each window once, when it is closed: one final result, with no state beyond the window's own store, unlike
    /// [`crate::dsl::KTable::suppress`]. Results leave while a record is processed, in order of window end, then of key
    /// bytes, at most every `interval_ms` of wall clock, so that a store is not searched for each record.
    ///
    /// What was emitted is remembered over restarts with the input positions: a window is final once.
    OnWindowClose {
        /// Least wall-clock time between two searches, milliseconds.
        interval_ms: i64,
    },
}

impl EmitStrategy {
    /// Kafka Streams' interval, milliseconds (`EMIT_INTERVAL_MS_KSTREAMS_WINDOWED_AGGREGATION`).
    pub const INTERVAL_MS: i64 = 1_000;

    /// Each update of a window.
    #[must_use]
    pub fn on_window_update() -> Self {
        EmitStrategy::OnWindowUpdate
    }

    /// Each window once, when it is closed, searched for every second.
    #[must_use]
    pub fn on_window_close() -> Self {
        EmitStrategy::OnWindowClose { interval_ms: Self::INTERVAL_MS }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serde::Utf8;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_time_is_in_exactly_the_windows_it_starts(size in 1_i64..50, advance in 1_i64..50, time in 0_i64..500) {
            let advance = advance.min(size);
            let windows = TimeWindows::of_size_with_no_grace(size).advance_by(advance);
            let all = (0..=time / advance).map(|i| i * advance).filter(|start| *start + size > time);
            prop_assert_eq!(windows.starts(time).collect::<Vec<_>>(), all.collect::<Vec<_>>());
        }
    }

    #[test]
    fn windowed_keys_are_kafka_streams_bytes() {
        let mut bytes = Vec::new();
        let windowed = Windowed::new("k".to_owned(), 1, 11);
        TimeWindowedSerde::new(Utf8, 10).serialize(&windowed, &mut bytes).unwrap();
        assert_eq!(bytes, b"k\0\0\0\0\0\0\0\x01");
        assert_eq!(TimeWindowedSerde::new(Utf8, 10).deserialize(&bytes).unwrap(), windowed);
        bytes.clear();
        SessionWindowedSerde::new(Utf8).serialize(&windowed, &mut bytes).unwrap();
        assert_eq!(bytes, b"k\0\0\0\0\0\0\0\x0b\0\0\0\0\0\0\0\x01");
        assert_eq!(SessionWindowedSerde::new(Utf8).deserialize(&bytes).unwrap(), windowed);
        assert!(SessionWindowedSerde::new(Utf8).deserialize(b"short").is_err());
    }

    #[test]
    fn impossible_windows_are_named() {
        for problem in [
            TimeWindows::of_size_with_no_grace(0).problem(),
            TimeWindows::of_size_with_no_grace(5).advance_by(6).problem(),
            TimeWindows::of_size_with_no_grace(5).advance_by(0).problem(),
            TimeWindows::of_size_and_grace(5, -1).problem(),
            SlidingWindows::of_time_difference_with_no_grace(-1).problem(),
            SessionWindows::of_inactivity_gap_and_grace(0, 0).problem(),
            SessionWindows::of_inactivity_gap_and_grace(i64::MAX, 0).problem(),
            TimeWindows::of_size_and_grace(5, i64::MAX).problem(),
            UnlimitedWindows::of().start_on(-1).problem(),
        ] {
            assert!(problem.is_some());
        }
        assert_eq!(TimeWindows::of_size_and_grace(5, 0).advance_by(5).problem(), None);
    }
}
