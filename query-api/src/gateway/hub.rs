//! Live events: one reader of a topic, many streams of server-sent events.
//!
//! A stream's event id is the vector of next offsets it stands at, `partition:offset,…`; given back as `Last-Event-ID` (by
//! browsers of themselves), the stream goes on there: what was missed is read from the log again, up to where the shared
//! reader was when the stream joined it, and the rest comes live. Nothing is left out and nothing comes twice.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use streams::{Offset, Partition};
use tokio::sync::broadcast;

use crate::limits::EVENT_BUFFER;
use crate::platform::{Platform, Tail, TailError, TailFrom, TailItem, TailRecord};

/// The next offset of every partition.
pub(crate) type Positions = BTreeMap<Partition, Offset>;

/// An event as streams send it.
#[derive(Debug)]
pub(crate) struct Event {
    pub(crate) partition: Partition,
    pub(crate) offset: Offset,
    /// What it is about.
    pub(crate) key: String,
    /// Whom it concerns; `None`: everyone.
    pub(crate) owner: Option<String>,
    /// JSON on one line.
    pub(crate) data: String,
}

/// How a record becomes an event; `None` for one that is none of ours.
pub(crate) type Decode = dyn Fn(&TailRecord) -> Option<Event> + Send + Sync;

/// Follows one topic for all streams.
pub(crate) struct Hub {
    topic: &'static str,
    platform: Arc<dyn Platform>,
    decode: Box<Decode>,
    shared: Mutex<Shared>,
    /// Held while the shared reader is being started, so that it is started once.
    starting: tokio::sync::Mutex<()>,
}

struct Shared {
    /// `None` while no one reads; dropped by the reader when its topic ends.
    sender: Option<broadcast::Sender<Arc<Event>>>,
    positions: Positions,
}

/// A place in the live events.
pub(crate) struct Subscription {
    pub(crate) live: broadcast::Receiver<Arc<Event>>,
    /// Where the shared reader was when this subscription began: what `live` brings comes after it.
    pub(crate) from: Positions,
}

impl Hub {
    pub(crate) fn new(topic: &'static str, platform: Arc<dyn Platform>, decode: Box<Decode>) -> Arc<Self> {
        let shared = Mutex::new(Shared { sender: None, positions: Positions::new() });
        Arc::new(Hub { topic, platform, decode, shared, starting: tokio::sync::Mutex::new(()) })
    }

    /// Joins the live events, starting the shared reader if it does not run.
    pub(crate) async fn subscribe(self: &Arc<Self>) -> Result<Subscription, TailError> {
        if let Some(subscription) = self.join() {
            return Ok(subscription);
        }
        let _one_at_a_time = self.starting.lock().await;
        if let Some(subscription) = self.join() {
            return Ok(subscription);
        }
        let tail = self.platform.tail(self.topic, TailFrom::End).await?;
        let (sender, live) = broadcast::channel(EVENT_BUFFER);
        let from: Positions = tail.start.iter().copied().collect();
        {
            let mut shared = self.lock();
            shared.positions.clone_from(&from);
            shared.sender = Some(sender);
        }
        tokio::spawn(Arc::clone(self).pump(tail));
        Ok(Subscription { live, from })
    }

    fn join(&self) -> Option<Subscription> {
        let shared = self.lock();
        let live = shared.sender.as_ref()?.subscribe();
        Some(Subscription { live, from: shared.positions.clone() })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The shared reader: stops when the topic ends or no stream has listened for a while. The sender is dropped then, which
    /// ends every stream; clients come back and begin anew where they were.
    async fn pump(self: Arc<Self>, mut tail: Tail) {
        const UNUSED_MAX: Duration = Duration::from_secs(30);
        loop {
            let received = tokio::time::timeout(UNUSED_MAX, tail.items.recv()).await;
            match received {
                Ok(Some(item)) => self.publish(item),
                Ok(None) => {
                    self.lock().sender = None;
                    return;
                }
                Err(_) => {
                    // Seen and dropped under one lock, so that no one joins in between.
                    let mut shared = self.lock();
                    if shared.sender.as_ref().is_none_or(|sender| sender.receiver_count() == 0) {
                        shared.sender = None;
                        return;
                    }
                }
            }
        }
    }

    fn publish(&self, item: TailItem) {
        let (partition, next, event) = match item {
            TailItem::CaughtUp { partition, next } => (partition, next, None),
            TailItem::Record(record) => (record.partition, record.offset.next(), (self.decode)(&record)),
        };
        // Position and event change together, or a subscription could miss the event or get it twice.
        let mut shared = self.lock();
        let position = shared.positions.entry(partition).or_insert(next);
        *position = next.max(*position);
        if let (Some(sender), Some(event)) = (&shared.sender, event) {
            // Without a receiver there is no one to miss it.
            let _ = sender.send(Arc::new(event));
        }
    }

    /// Reads the log again from a vector up to where a subscription began, and sends each event.
    pub(crate) async fn replay(
        &self,
        positions: &Positions,
        until: &Positions,
        events: tokio::sync::mpsc::Sender<Event>,
    ) -> Result<(), TailError> {
        let from = positions.iter().map(|(p, o)| (*p, *o)).collect();
        let mut tail = self.platform.tail(self.topic, TailFrom::Offsets(from)).await?;
        let mut open: BTreeMap<Partition, Offset> =
            until.iter().filter(|(p, to)| positions.get(p).is_some_and(|at| at < *to)).map(|(p, o)| (*p, *o)).collect();
        while !open.is_empty() {
            let Some(item) = tail.items.recv().await else {
                return Err(TailError::Unavailable("the log stopped while it was read again".into()));
            };
            let (partition, next) = match &item {
                TailItem::CaughtUp { partition, next } => (*partition, *next),
                TailItem::Record(record) => (record.partition, record.offset.next()),
            };
            let Some(end) = open.get(&partition).copied() else { continue };
            if let TailItem::Record(record) = &item
                && record.offset < end
                && let Some(event) = (self.decode)(record)
                && events.send(event).await.is_err()
            {
                return Ok(());
            }
            if next >= end {
                open.remove(&partition);
            }
        }
        Ok(())
    }
}

/// A vector as an event id.
pub(crate) fn write_positions(positions: &Positions) -> String {
    let parts: Vec<String> = positions.iter().map(|(partition, next)| format!("{partition}:{next}")).collect();
    parts.join(",")
}

/// An event id as a vector. Partitions of a topic are few; a longer vector is none of ours.
pub(crate) fn read_positions(text: &str) -> Option<Positions> {
    const PARTITIONS_MAX: usize = 4_096;
    let mut positions = Positions::new();
    for part in text.split(',') {
        let (partition, next) = part.split_once(':')?;
        let next: i64 = next.parse().ok().filter(|n| *n >= 0)?;
        positions.insert(partition.parse().ok()?, Offset(next));
        if positions.len() > PARTITIONS_MAX {
            return None;
        }
    }
    Some(positions)
}
