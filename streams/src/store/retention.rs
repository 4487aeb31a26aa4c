//! How long windowed stores keep what they have, by their own stream time (Kafka Streams: `AbstractSegments`,
//! `AbstractRocksDBSegmentedBytesStore`).

use state::layout::{KeyRange, Segments, expired_segments};

use super::entries::stored_time;
use crate::task::TaskState;
use crate::topology::{Clock, StoreIndex};
use crate::types::{NO_TIMESTAMP, Timestamp};

/// Kafka Streams' smallest expiry step, milliseconds (`Stores.persistentWindowStore`).
const EXPIRY_MS_MIN: u64 = 60_000;

/// Retention of a store and the segments in its keys.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Retention {
    /// Entries with times at or before the store's stream time less this are not read any more.
    pub(crate) retention_ms: i64,
    /// Segment length in the keys. Short segments make reads over all keys by time cheap, long ones reads of one key.
    pub(crate) segment_ms: u64,
    /// What closes after this clock was not emitted yet, and is kept whatever its age.
    pub(crate) unemitted_after: Option<Clock>,
}

impl Retention {
    /// One segment per half retention, at least a minute.
    pub(crate) fn new(retention_ms: i64) -> Self {
        Retention { retention_ms, segment_ms: expiry_ms(retention_ms), unemitted_after: None }
    }

    pub(crate) fn with_segment(self, segment_ms: i64) -> Self {
        Retention { segment_ms: stored_time(segment_ms).max(1), ..self }
    }

    pub(crate) fn keep_unemitted(self, emitted: Clock) -> Self {
        Retention { unemitted_after: Some(emitted), ..self }
    }

    pub(crate) fn segments(&self) -> Segments {
        Segments::of(self.segment_ms)
    }

    /// The oldest time still read at a stream time.
    pub(crate) fn first_readable(&self, stream_time: Timestamp) -> Timestamp {
        if stream_time == NO_TIMESTAMP {
            0
        } else {
            stream_time.saturating_sub(self.retention_ms).saturating_add(1).max(0)
        }
    }

    /// Moves the store's stream time to `time` if that is later, removes what is expired then, and answers whether an
    /// entry of `time` is still kept. Removal is one range delete, once per half retention.
    pub(crate) fn advance(&self, task: &mut TaskState, slot: usize, store: StoreIndex, time: Timestamp) -> bool {
        let before = task.observed(Clock::Store(store));
        let now = task.observe(Clock::Store(store), time);
        let step = expiry_ms(self.retention_ms);
        let expired = |at: Timestamp| stored_time(at.saturating_sub(self.retention_ms)) / step * step;
        if expired(now) > expired(before) {
            let mut range = KeyRange::default();
            let emitted = self.unemitted_after.map_or(now, |clock| task.observed(clock).min(now));
            expired_segments(self.segments().segment(expired(emitted)), &mut range);
            task.overlay.expire(slot, range.from(), range.to());
        }
        stored_time(time) >= expired(now)
    }
}

fn expiry_ms(retention_ms: i64) -> u64 {
    (stored_time(retention_ms) / 2).max(EXPIRY_MS_MIN)
}
