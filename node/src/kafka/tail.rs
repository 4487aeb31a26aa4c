//! Following a topic: committed records of all its partitions, for server-sent events and reads that wait.

use std::sync::Arc;
use std::time::{Duration, Instant};

use query_api::platform::{Tail, TailError, TailFrom, TailItem, TailRecord};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::{Offset as NativeOffset, TopicPartitionList};
use streams::{Offset, Partition};
use tokio::sync::mpsc;

use super::consumer::MemberContext;
use super::native::{Fetched, PartitionQueue, Scratch, Wakeup};
use super::{Settings, extent};

/// Items between the reading thread and a slow reader; then the thread waits.
const ITEMS_MAX: usize = 1_024;
/// Records taken from one partition at once.
const BATCH_RECORDS_MAX: usize = 256;
/// Longest wait for where partitions begin and end.
const QUERY_TIMEOUT: Duration = Duration::from_secs(5);
/// How often a reader that went away is noticed when nothing comes.
const IDLE: Duration = Duration::from_millis(250);

/// Starts tails. Each has a consumer and a thread of its own, which end when its receiver is dropped.
#[derive(Clone)]
pub struct KafkaTail {
    settings: Settings,
    group: String,
}

impl KafkaTail {
    /// Tails in the name of this group, which they never join.
    #[must_use]
    pub fn new(settings: &Settings, application: &str) -> Self {
        KafkaTail { settings: settings.clone(), group: settings.group(application) }
    }

    /// Follows a topic (named without the deployment's prefix). Waits for the cluster: call it from a thread that may.
    ///
    /// # Errors
    /// [`TailError`].
    pub fn follow(&self, topic: &str, from: &TailFrom) -> Result<Tail, TailError> {
        let name = self.settings.physical(topic);
        let client_id = format!("{}-{}-tail", self.settings.prefix, self.settings.instance);
        let consumer: BaseConsumer<MemberContext> = self
            .settings
            .reader(&self.group, &client_id)
            .create_with_context(MemberContext::new(&client_id))
            .map_err(unavailable)?;
        let consumer = Arc::new(consumer);
        let start = start(&consumer, topic, &name, from)?;
        let wakeup = Arc::new(Wakeup::default());
        let mut list = TopicPartitionList::with_capacity(start.len());
        let mut parts = Vec::with_capacity(start.len());
        for (partition, offset) in &start {
            let queue = PartitionQueue::split(&consumer, &name, *partition, Some(&wakeup))
                .ok_or_else(|| TailError::UnknownTopic(topic.to_owned()))?;
            let native = i32::try_from(*partition).unwrap_or(i32::MAX);
            list.add_partition_offset(&name, native, NativeOffset::Offset(offset.0)).map_err(unavailable)?;
            parts.push(Part { partition: *partition, next: *offset, told: None, queue });
        }
        consumer.assign(&list).map_err(unavailable)?;
        let (items, receiver) = mpsc::channel(ITEMS_MAX);
        let reader = Reader { parts, consumer, wakeup, items };
        std::thread::Builder::new()
            .name(format!("tail-{topic}"))
            .spawn(move || reader.run())
            .map_err(|e| TailError::Unavailable(e.to_string()))?;
        Ok(Tail { start, items: receiver })
    }
}

fn unavailable(e: impl std::fmt::Display) -> TailError {
    TailError::Unavailable(e.to_string())
}

/// The first offset of every partition.
fn start(
    consumer: &BaseConsumer<MemberContext>,
    topic: &str,
    name: &str,
    from: &TailFrom,
) -> Result<Vec<(Partition, Offset)>, TailError> {
    let metadata = consumer.fetch_metadata(Some(name), QUERY_TIMEOUT).map_err(unavailable)?;
    let count = metadata.topics().first().map_or(0, |t| t.partitions().len());
    if count == 0 {
        return Err(TailError::UnknownTopic(topic.to_owned()));
    }
    let mut start = Vec::with_capacity(count);
    for partition in 0..u32::try_from(count).unwrap_or(u32::MAX) {
        let native = i32::try_from(partition).unwrap_or(i32::MAX);
        // A read-committed client is told the last stable offset: where what comes after this call will be.
        let (low, high) = extent(|| consumer.fetch_watermarks(name, native, QUERY_TIMEOUT)).map_err(unavailable)?;
        let offset = match from {
            TailFrom::End => Offset(high),
            TailFrom::Offsets(offsets) => {
                offsets.iter().find(|(p, _)| *p == partition).map_or(Offset(high), |(_, offset)| *offset)
            }
        };
        if offset.0 < low {
            return Err(TailError::Expired { partition, start: Offset(low) });
        }
        start.push((partition, offset));
    }
    Ok(start)
}

struct Part {
    partition: Partition,
    next: Offset,
    /// Up to where the reader was told that it has everything.
    told: Option<Offset>,
    queue: PartitionQueue<MemberContext>,
}

struct Reader {
    // Queues before their consumer.
    parts: Vec<Part>,
    consumer: Arc<BaseConsumer<MemberContext>>,
    wakeup: Arc<Wakeup>,
    items: mpsc::Sender<TailItem>,
}

impl Reader {
    fn run(mut self) {
        let mut scratch = Scratch::default();
        let mut batch = Vec::new();
        while !self.items.is_closed() {
            self.wakeup.clear();
            let _ = self.consumer.poll(Duration::ZERO);
            let mut lost = false;
            for part in &mut self.parts {
                lost |= part.read(&mut scratch, &mut batch);
            }
            if lost {
                // Deleted, or cut off below us: the channel closes, the reader follows anew and is told.
                return;
            }
            if batch.is_empty() {
                self.wakeup.wait_until(Instant::now() + IDLE);
            }
            for item in batch.drain(..) {
                if self.items.blocking_send(item).is_err() {
                    return;
                }
            }
        }
    }
}

impl Part {
    /// Takes what is there; true when this partition cannot be read on.
    fn read(&mut self, scratch: &mut Scratch, batch: &mut Vec<TailItem>) -> bool {
        let (partition, next, told) = (self.partition, &mut self.next, &mut self.told);
        let mut lost = false;
        self.queue.drain(scratch, BATCH_RECORDS_MAX, |fetched| match fetched {
            Fetched::Record(record) if record.offset >= *next => {
                *next = record.offset.next();
                batch.push(TailItem::Record(TailRecord {
                    partition,
                    offset: record.offset,
                    timestamp: record.timestamp,
                    key: record.key().unwrap_or_default().to_vec(),
                    value: record.value().map(<[u8]>::to_vec),
                }));
            }
            Fetched::Record(_) => (),
            Fetched::End(offset) => {
                *next = offset.max(*next);
                if *told != Some(*next) {
                    *told = Some(*next);
                    batch.push(TailItem::CaughtUp { partition, next: *next });
                }
            }
            Fetched::Failed(code, text) => match code {
                RDKafkaErrorCode::AutoOffsetReset
                | RDKafkaErrorCode::OffsetOutOfRange
                | RDKafkaErrorCode::UnknownTopicOrPartition
                | RDKafkaErrorCode::TopicAuthorizationFailed => {
                    tracing::warn!(partition, ?code, text, "tail ends");
                    lost = true;
                }
                _ => tracing::debug!(partition, ?code, text, "tail: fetch failed; it is repeated"),
            },
        });
        lost
    }
}
