//! Restoring: reads committed records of changelog partitions from a position on, by a consumer of its own that exists only
//! while something is restored.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::{Offset as NativeOffset, TopicPartitionList};
use streams::log::{Error, Replayed};
use streams::{Incoming, Offset, TopicPartition};

use super::consumer::{MemberContext, native_partition, seek};
use super::native::{Fetched, PartitionQueue, Scratch};
use super::{Topics, in_background};

/// Silence of the log after which a step fails.
const SILENCE_MAX: Duration = Duration::from_secs(15);
/// A consumer that has restored nothing for so long goes.
const IDLE_MAX: Duration = Duration::from_secs(5);
/// Records taken from the queue at once.
const BATCH_RECORDS_MAX: usize = 1_000;

struct Replaying {
    changelog: TopicPartition,
    queue: PartitionQueue<MemberContext>,
    next: Offset,
    /// Where the log ended for a reader of committed records, when it was last there.
    stable_end: Option<Offset>,
    heard: Instant,
}

/// See the module.
pub(super) struct Replayer {
    config: ClientConfig,
    topics: Arc<Topics>,
    name: String,
    // Before the consumer they belong to.
    partitions: Vec<Replaying>,
    consumer: Option<Arc<BaseConsumer<MemberContext>>>,
    used: Instant,
    scratch: Scratch,
}

impl Replayer {
    pub(super) fn new(config: ClientConfig, name: String, topics: Arc<Topics>) -> Self {
        Replayer {
            config,
            topics,
            name,
            partitions: Vec::new(),
            consumer: None,
            used: Instant::now(),
            scratch: Scratch::default(),
        }
    }

    /// Ends all restoring; the consumer goes.
    pub(super) fn stop(&mut self) {
        self.partitions.clear();
        if let Some(consumer) = self.consumer.take() {
            in_background(&self.name, consumer);
        }
    }

    /// Lets the consumer go some time after the last restore: the next task to take over may follow at once. A restore that
    /// nobody goes on with (given up, or done by another worker) ends so too.
    pub(super) fn stop_if_idle(&mut self) {
        if self.consumer.is_some() && self.used.elapsed() > IDLE_MAX {
            self.stop();
        }
    }

    fn consumer(&mut self) -> Result<Arc<BaseConsumer<MemberContext>>, Error> {
        if let Some(consumer) = &self.consumer {
            return Ok(consumer.clone());
        }
        let consumer: BaseConsumer<MemberContext> = self
            .config
            .create_with_context(MemberContext::new(&self.name))
            .map_err(|e| Error::Fatal(format!("the restoring consumer cannot be made: {e}")))?;
        Ok(self.consumer.insert(Arc::new(consumer)).clone())
    }

    fn list(&self, changelog: TopicPartition, from: Offset) -> Result<TopicPartitionList, Error> {
        let mut list = TopicPartitionList::with_capacity(1);
        let name = self.topics.name(changelog.topic);
        list.add_partition_offset(name, native_partition(changelog), NativeOffset::Offset(from.0))
            .map_err(|e| Error::Unknown(e.to_string()))?;
        Ok(list)
    }

    /// Finds or starts the reading of a changelog at `from`; its index in `partitions`.
    fn position(&mut self, changelog: TopicPartition, from: Offset) -> Result<usize, Error> {
        let consumer = self.consumer()?;
        let list = self.list(changelog, from)?;
        let found = self.partitions.iter_mut().enumerate().find(|(_, p)| p.changelog == changelog);
        if let Some((i, p)) = found {
            if p.next != from {
                seek(&consumer, &list)?;
                (p.next, p.stable_end, p.heard) = (from, None, Instant::now());
            }
            return Ok(i);
        }
        let name = self.topics.name(changelog.topic);
        let queue = PartitionQueue::split(&consumer, name, changelog.partition, None)
            .ok_or_else(|| Error::Fatal(format!("{name} cannot be read")))?;
        consumer.incremental_assign(&list).map_err(|e| Error::Unknown(format!("restore of {name}: {e}")))?;
        self.partitions.push(Replaying { changelog, queue, next: from, stable_end: None, heard: Instant::now() });
        Ok(self.partitions.len() - 1)
    }

    /// One step, as [`streams::log::Log::replay`]; `end` is where the caller's restore ends. It never waits, so that all
    /// changelogs of a restore are asked for before the first answer is there.
    pub(super) fn step(
        &mut self,
        changelog: TopicPartition,
        from: Offset,
        end: Offset,
        records_max: usize,
        records: &mut Vec<Incoming>,
    ) -> Result<Replayed, Error> {
        self.used = Instant::now();
        let i = self.position(changelog, from)?;
        // A consumer that is not polled reports nothing, not even its log.
        let _ = self.consumer()?.poll(Duration::ZERO);
        let Some(p) = self.partitions.get_mut(i) else {
            return Err(Error::Unknown("restore lost its place".to_owned()));
        };
        let before = records.len();
        let mut failed = None;
        loop {
            let room = records_max - (records.len() - before).min(records_max);
            let (next, stable_end) = (&mut p.next, &mut p.stable_end);
            let taken = p.queue.drain(&mut self.scratch, room.min(BATCH_RECORDS_MAX), |fetched| match fetched {
                Fetched::Record(record) if record.offset >= *next => {
                    *next = record.offset.next();
                    records.push(record);
                }
                Fetched::Record(_) => (),
                Fetched::End(offset) => {
                    *next = offset.max(*next);
                    *stable_end = Some(*next);
                }
                Fetched::Failed(code, text) => failed = Some((code, text)),
            });
            if taken > 0 {
                p.heard = Instant::now();
            }
            if taken == 0 || p.next >= end || records.len() - before >= records_max || failed.is_some() {
                break;
            }
        }
        if let Some((code, text)) = failed {
            let name = self.topics.name(changelog.topic);
            tracing::debug!(changelog = name, partition = changelog.partition, ?code, text, "restore: fetch failed");
        }
        // All that is committed was read, and it is less than what is in the log.
        let blocked = p.next < end && p.stable_end == Some(p.next);
        if !blocked && p.next < end && p.heard.elapsed() > SILENCE_MAX {
            self.stop();
            return Err(Error::Unknown(format!("the log was silent for {SILENCE_MAX:?} during a restore")));
        }
        let next = p.next;
        if next >= end {
            self.done(i)?;
        }
        Ok(Replayed { next, blocked })
    }

    /// Stops reading a changelog that has been restored.
    fn done(&mut self, i: usize) -> Result<(), Error> {
        let done = self.partitions.swap_remove(i);
        let list = self.list(done.changelog, done.next)?;
        let consumer = self.consumer()?;
        consumer.incremental_unassign(&list).map_err(|e| Error::Unknown(format!("end of a restore: {e}")))
    }
}
