//! Following a topic from outside the engine: server-sent events, the payment worker, exports.
//!
//! Pull, not push: a subscription reads when asked, from memory as a rule, and holds nothing but its offsets. A slow reader
//! costs nobody anything.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use streams::{Incoming, Offset, Partition};
use tokio::sync::watch;

use super::format::LogId;
use super::shared::{Shared, read};
use super::topic::{PartitionLog, Quantity, Topic, Visible};
use super::{Error, limits};

/// Where a subscription begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum From {
    /// At what is still there.
    Beginning,
    /// At the end: what is synced after this call.
    End,
    /// At these offsets; partitions not named begin at their end.
    Offsets(Vec<(Partition, Offset)>),
    /// At a group's committed positions; partitions without one begin at what is still there.
    Committed(String),
}

/// What a subscription brings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A record.
    Record(Partition, Incoming),
    /// Everything below this offset has been brought. Comes whenever the end is reached, at the start too.
    CaughtUp(Partition, Offset),
}

/// A topic being followed; see [`super::LocalBroker::subscribe`].
pub struct Subscription {
    shared: Arc<Shared>,
    topic: Arc<Topic>,
    synced: watch::Receiver<u64>,
    places: Vec<Place>,
    /// Partition whose turn it is, so that a busy one does not hide the others.
    turn: usize,
}

struct Place {
    log: Arc<PartitionLog>,
    next: i64,
    /// Whether the end it stands at was told.
    told: bool,
}

impl Subscription {
    pub(crate) fn new(shared: Arc<Shared>, topic: Arc<Topic>, from: &From) -> Result<Self, Error> {
        if let From::Offsets(offsets) = from {
            for (partition, _) in offsets {
                topic.partition(*partition)?;
            }
        }
        let mut synced = topic.synced.subscribe();
        synced.mark_unchanged();
        let mut places = Vec::with_capacity(topic.partitions.len());
        for log in &topic.partitions {
            let (start, end) = {
                let extent = log.extent();
                (extent.start, extent.synced_end)
            };
            let next = match from {
                From::Beginning => start,
                From::End => end,
                From::Offsets(offsets) => {
                    offsets.iter().find(|(p, _)| *p == log.partition).map_or(end, |(_, offset)| offset.0)
                }
                From::Committed(group) => committed(&shared, group, log.id).unwrap_or(start),
            };
            if next < start {
                return Err(Error::Expired { partition: log.partition, start: Offset(start) });
            }
            places.push(Place { log: log.clone(), next, told: false });
        }
        Ok(Subscription { shared, topic, synced, places, turn: 0 })
    }

    /// The topic's name.
    #[must_use]
    pub fn topic(&self) -> &str {
        &self.topic.name
    }

    /// The next offset of every partition.
    #[must_use]
    pub fn positions(&self) -> Vec<(Partition, Offset)> {
        self.places.iter().map(|p| (p.log.partition, Offset(p.next))).collect()
    }

    /// Waits until there is something, then answers up to `records_max` records and what they caught up with.
    ///
    /// Cancel-safe: a dropped future has taken nothing.
    ///
    /// # Errors
    /// [`Error::Expired`] when retention overtook this reader; [`Error::Closed`], [`Error::Failed`] when the log ended;
    /// [`Error::State`] when the storage cannot be read.
    pub async fn next(&mut self, records_max: usize) -> Result<VecDeque<Event>, Error> {
        loop {
            // Marked before looking: what is synced from here on wakes the wait below.
            self.synced.mark_unchanged();
            let events = self.take(records_max)?;
            if !events.is_empty() {
                return Ok(events);
            }
            if let Some(e) = self.shared.failure() {
                return Err(e.clone());
            }
            // The sender is in the topic, which is held here: it cannot go away.
            let _ = self.synced.changed().await;
        }
    }

    /// As [`Subscription::next`] for a thread: waits no longer than `until`, then answers with nothing.
    ///
    /// # Errors
    /// As [`Subscription::next`].
    pub fn next_until(&mut self, until: Instant, records_max: usize) -> Result<VecDeque<Event>, Error> {
        loop {
            let seen = self.shared.synced.turns();
            let events = self.take(records_max)?;
            if !events.is_empty() {
                return Ok(events);
            }
            if let Some(e) = self.shared.failure() {
                return Err(e.clone());
            }
            if !self.shared.synced.wait(seen, until) {
                return Ok(events);
            }
        }
    }

    /// What there is now, without waiting.
    fn take(&mut self, records_max: usize) -> Result<VecDeque<Event>, Error> {
        let mut events = VecDeque::new();
        let mut left = records_max.clamp(1, limits::READ_RECORDS_MAX);
        for _ in 0..self.places.len() {
            self.turn = (self.turn + 1) % self.places.len();
            let Some(place) = self.places.get_mut(self.turn) else { continue };
            let partition = place.log.partition;
            let quantity = Quantity { records_max: left, bytes_max: limits::POLL_BYTES_PER_PARTITION };
            let before = place.next;
            place.next = place.log.read(
                &*self.shared.backend,
                self.shared.stores,
                before,
                quantity,
                Visible::Synced,
                &mut |record| {
                    left = left.saturating_sub(1);
                    events.push_back(Event::Record(partition, record));
                },
            )?;
            place.told &= place.next == before;
            if !place.told && place.next >= place.log.extent().synced_end {
                place.told = true;
                events.push_back(Event::CaughtUp(partition, Offset(place.next)));
            }
            if left == 0 {
                break;
            }
        }
        Ok(events)
    }
}

fn committed(shared: &Shared, group: &str, log: LogId) -> Option<i64> {
    read(&shared.positions).get(&(group.into(), log)).map(|c| c.offset.0)
}
