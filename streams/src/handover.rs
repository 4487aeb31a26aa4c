//! Handing over: what one task writes to a topic of this topology's own (a repartition topic, or one whose source says that
//! it is [`crate::SourceOptions::exclusive`]) and another task of the same worker reads from it is given to
//! that task at once, inside the transaction that writes it. A record that passes four topics takes part in one transaction
//! instead of five, and none of its hops waits for a commit and a fetch.
//!
//! It is still written to the log, at the offset under which the reading task sees it, and the position committed with it
//! is the one that reading it from there would have led to. So the log alone says what was processed: whoever takes the
//! task over, another instance or an older version without this module, goes on from it as ever.
//!
//! # Why the order is the log's
//!
//! A task must see the records of a partition in the order of their offsets. They are handed over only
//!
//! * where this worker has all tasks that write to the topic, and all that read it: no other writer is legitimate;
//! * once everything that the partition held when the worker came has been read (its [`Channel`]'s `floor`), so that what is
//!   written next is what comes next;
//!
//! and with the offset that follows from that. The commit then demands of the log that the records lie exactly there
//! ([`crate::log::Placement`]): should anybody have written in between (a worker that lost its tasks and does not know),
//! nothing is committed, all is taken over again, and for a while ([`crate::Config::handover_retry_ms`]) every record goes
//! by way of the log.
//!
//! # By way of the log
//!
//! After a takeover, and after a buffer got too full ([`crate::Config::handover_records`]), records are read back from the
//! log. To get out of that under load, the tasks that write to such a topic are held up until it is read to its end, for at
//! most [`crate::Config::handover_hold_ms`] at a time.

use crate::buffer::Input;
use crate::error::Error;
use crate::limits::{HANDOVER_BYTES_MAX, IDLE_COMMIT_MS};
use crate::log::{self, CommitAck, Log, Outgoing, Placement};
use crate::record::Incoming;
use crate::topology::{NodeKind, Topology};
use crate::types::{Offset, Timestamp, TopicIndex, TopicPartition};
use crate::worker::{Slot, Worker};

/// An input that only this worker writes to.
#[derive(Debug, Default)]
pub(crate) struct Channel {
    /// Offset of the next record written there, while they are handed over; `None` while they go by way of the log. After a
    /// commit the offset before is taken to be its marker's: the next records' placement, or a look at the log
    /// ([`Worker::prove_channels`]), shows whether that is so.
    next: Option<Offset>,
    /// Offset of the open transaction's first record there, if it was (or would be) handed over.
    first: Option<Offset>,
    /// Records of the open transaction, handed over or not.
    sent: i64,
    /// What has to be read by way of the log first.
    floor: Offset,
}

impl Channel {
    /// Nothing is read of the partition: all there is comes by the channel, or will once the open transaction has ended.
    pub(crate) fn is_parked(&self) -> bool {
        self.first.is_some()
    }

    /// What is sent from here on is read back from the log.
    pub(crate) fn close(&mut self) {
        self.next = None;
    }
}

/// What a worker knows of handing over, apart from its channels.
#[derive(Debug, Default)]
pub(crate) struct Handover {
    /// By [`TopicIndex`]: some task here has a channel of this topic.
    topics: Vec<bool>,
    /// Some channel goes by way of the log.
    unsettled: bool,
    /// Sub-topologies that are held up, by number.
    held: Vec<bool>,
    hold_until: Timestamp,
    /// No handing over before.
    off_until: Timestamp,
    /// Open channels are not asked about again before.
    proven_until: Timestamp,
    /// Where the next record without a key goes.
    spread: u32,
}

/// A deadline `length` or less away. One further off is of a clock that was set back.
fn is_ahead(deadline: Timestamp, now: Timestamp, length: i64) -> bool {
    (1..=length).contains(&deadline.saturating_sub(now))
}

impl Handover {
    /// True when records to this topic may have to be handed over.
    pub(crate) fn has_channels(&self, topic: TopicIndex) -> bool {
        self.topics.get(usize::from(topic.0)).copied().unwrap_or(false)
    }

    /// The next partition for a record without a key: handed over, it is the engine that spreads them.
    pub(crate) fn spread(&mut self, partitions: u32) -> u32 {
        self.spread = self.spread.wrapping_add(1);
        self.spread % partitions.max(1)
    }

    /// True for a task that waits until those it writes to have read what there is.
    pub(crate) fn holds(&self, slot: &Slot) -> bool {
        self.unsettled && self.held.get(usize::from(slot.task.id().subtopology)).copied().unwrap_or(false)
    }
}

/// Sub-topologies with a sink on a topic.
fn writers(topology: &Topology, topic: TopicIndex) -> impl Iterator<Item = u16> + '_ {
    let sinks = topology.nodes.iter().filter(|n| matches!(n.kind, NodeKind::Sink(_)));
    sinks.filter(move |n| n.topics.contains(&topic)).map(|n| n.subtopology)
}

impl<L: Log> Worker<L> {
    /// Finds out which inputs of a new assignment records can be handed over to.
    pub(crate) fn open_channels(&mut self, now: Timestamp) {
        let has_all = |slots: &[Slot], sub: u16| {
            let source = self.topology.subtopologies().get(usize::from(sub)).and_then(|s| s.source_topics().next());
            let tasks = source.and_then(|t| self.partitions.get(usize::from(t.0))).copied().unwrap_or(u32::MAX);
            slots.iter().filter(|s| s.task.id().subtopology == sub).count() == tasks as usize
        };
        let ours: Vec<bool> = (0_u16..)
            .map(TopicIndex)
            .zip(self.topology.topics())
            .map(|(topic, def)| {
                let reader = self.topology.subtopology_of_source(topic);
                let mut concerned = writers(&self.topology, topic).chain(reader);
                let is_written = writers(&self.topology, topic).next().is_some();
                def.exclusive && is_written && concerned.all(|sub| has_all(&self.slots, sub))
            })
            .collect();
        for slot in &mut self.slots {
            let ends = slot.restoring.as_ref().map(|r| r.ends.as_slice()).unwrap_or_default();
            for input in &mut slot.task.buffer.inputs {
                let ours = ours.get(usize::from(input.partition.topic.0)).copied().unwrap_or(false);
                let end = ends.iter().find(|(tp, _)| *tp == input.partition).map(|(_, end)| *end);
                input.channel = end.filter(|_| ours).map(|floor| Channel { floor, ..Channel::default() });
            }
        }
        self.handover.unsettled = ours.iter().any(|ours| *ours);
        self.handover.topics = ours;
        self.hold_writers(now);
    }

    /// Opens the channels that everything has been read of, and says which tasks have to wait for the others.
    pub(crate) fn settle_channels(&mut self, now: Timestamp) -> Result<(), Error> {
        self.handover.held.clear();
        let (hold, retry) = (self.config.handover_hold_ms, self.config.handover_retry_ms.max(1));
        if !self.handover.unsettled || is_ahead(self.handover.off_until, now, retry) {
            return Ok(());
        }
        let mut closed = false;
        // Topics that are being read to their end.
        let mut unsettled: Vec<TopicIndex> = Vec::new();
        // Sub-topologies that must run for one of their own inputs to be read on.
        let mut clogged: Vec<u16> = Vec::new();
        for slot in &mut self.slots {
            let (id, runs) = (slot.task.id(), slot.restoring.is_none());
            // One that stands still reads nothing.
            if slot.task.failed.is_some() {
                continue;
            }
            for input in &mut slot.task.buffer.inputs {
                let end = input.end();
                let Some(channel) = input.channel.as_mut().filter(|c| c.next.is_none()) else { continue };
                closed |= !runs;
                // Nobody waits for a task that is still being restored.
                if !runs {
                    continue;
                }
                if channel.sent == 0 && end >= channel.floor {
                    self.log.park(input.partition)?;
                    (channel.next, channel.first) = (Some(end), Some(end));
                    input.paused = false;
                } else {
                    closed = true;
                    unsettled.push(input.partition.topic);
                    if input.paused {
                        clogged.push(id.subtopology);
                    }
                }
            }
        }
        self.handover.unsettled = closed;
        if !is_ahead(self.handover.hold_until.saturating_add(retry), now, hold.saturating_add(retry)) {
            self.hold_writers(now);
        }
        if is_ahead(self.handover.hold_until, now, hold) && !unsettled.is_empty() {
            self.handover.held.resize(self.topology.subtopologies().len(), false);
            for sub in unsettled.iter().flat_map(|topic| writers(&self.topology, *topic)) {
                if let Some(held) = self.handover.held.get_mut(usize::from(sub)) {
                    *held = !clogged.contains(&sub);
                }
            }
        }
        Ok(())
    }

    /// From here on those who write to a task's inputs are held up again, if need be.
    pub(crate) fn hold_writers(&mut self, now: Timestamp) {
        self.handover.hold_until = now.saturating_add(self.config.handover_hold_ms);
    }

    /// Records did not lie where they were handed over from: for a while they all go by way of the log.
    pub(crate) fn stop_handing_over(&mut self, now: Timestamp) {
        self.handover.off_until = now.saturating_add(self.config.handover_retry_ms);
    }

    /// Where the log must have put the open transaction's records.
    pub(crate) fn placements(&self) -> Vec<Placement> {
        let inputs = self.slots.iter().flat_map(|s| &s.task.buffer.inputs);
        let placement = |(partition, channel): (TopicPartition, &Channel)| {
            let first = channel.first.filter(|_| channel.sent > 0)?;
            Some(Placement { partition, first, next: Offset(first.0 + channel.sent) })
        };
        inputs.filter_map(|i| Some((i.partition, i.channel.as_ref()?))).filter_map(placement).collect()
    }

    /// Every [`IDLE_COMMIT_MS`] the log is asked of partitions that nothing was written to in the open transaction whether they
    /// end where the next record is to lie. Positions move behind the markers then, so that a drained partition shows no lag;
    /// what somebody else wrote is found, and read.
    pub(crate) fn prove_channels(&mut self, now: Timestamp) -> Result<(), Error> {
        if is_ahead(self.handover.proven_until, now, IDLE_COMMIT_MS) {
            return Ok(());
        }
        self.handover.proven_until = now.saturating_add(IDLE_COMMIT_MS);
        let open = |i: &&Input| i.channel.as_ref().is_some_and(|c| c.next.is_some() && c.sent == 0);
        let inputs = self.slots.iter().filter(|s| s.restoring.is_none()).flat_map(|s| &s.task.buffer.inputs);
        let asked: Vec<TopicPartition> = inputs.filter(open).map(|i| i.partition).collect();
        if asked.is_empty() {
            return Ok(());
        }
        let ends = match self.log.ends(&asked) {
            Ok(ends) => ends,
            Err(e @ log::Error::Fatal(_)) => return Err(e.into()),
            // Asked again; a log that is away is nothing to give tasks up for.
            Err(e) => {
                tracing::debug!(error = %e, "the ends of handed-over topics are not known");
                return Ok(());
            }
        };
        for (tp, end) in asked.iter().zip(ends) {
            let Some(&(slot, i)) = self.routes.get(tp) else { continue };
            let Some(slot) = self.slots.get_mut(slot) else { continue };
            let Some(input) = slot.task.buffer.inputs.get_mut(i) else { continue };
            let Some(channel) = input.channel.as_mut() else { continue };
            let Some(next) = channel.next else { continue };
            // Below: the marker is still to come.
            if end == next {
                slot.task.caught_up(i, next);
            } else if end > next {
                tracing::warn!(
                    topic = self.topology.topic_name(tp.topic),
                    partition = tp.partition,
                    end = end.0,
                    ours = next.0,
                    "somebody else writes to a topic of this topology's own; it is read"
                );
                (channel.next, channel.first, channel.floor) = (None, None, end);
                read_back(&mut self.log, input)?;
                self.handover.unsettled = true;
                self.stop_handing_over(now);
            }
        }
        Ok(())
    }

    /// What somebody else wrote to a topic of this topology's own is looked for in the next turn, and not only after a while: for
    /// drivers that write there themselves.
    pub fn look_at_own_topics(&mut self) {
        self.handover.proven_until = Timestamp::MIN;
    }

    /// After a commit: the next records come behind its markers.
    pub(crate) fn advance_channels(&mut self, ack: &CommitAck, now: Timestamp) -> Result<(), Error> {
        let marker = i64::from(self.log.writes_markers());
        let mut closed = false;
        for slot in &mut self.slots {
            for input in &mut slot.task.buffer.inputs {
                let tp = input.partition;
                let Some(channel) = input.channel.as_mut().filter(|c| c.sent > 0) else { continue };
                let end = match channel.first {
                    Some(first) => Offset(first.0 + channel.sent),
                    None => {
                        ack.written.iter().find(|(written, _)| *written == tp).map_or(channel.floor, |(_, end)| *end)
                    }
                };
                let next = Offset(end.0 + marker);
                channel.sent = 0;
                if channel.next.is_some() {
                    (channel.next, channel.first) = (Some(next), Some(next));
                    continue;
                }
                channel.floor = next;
                self.handover.unsettled = true;
                if channel.first.take().is_some() && slot.task.failed.is_none() {
                    closed = true;
                    read_back(&mut self.log, input)?;
                }
            }
        }
        if closed {
            self.hold_writers(now);
        }
        Ok(())
    }
}

/// Goes on with an input by way of the log, behind what its task was given: there is more.
fn read_back<L: Log>(log: &mut L, input: &mut Input) -> Result<(), Error> {
    (input.behind, input.paused) = (true, false);
    Ok(log.seek_and_resume(input.partition, input.expected())?)
}

/// Notes that a record was sent to an input here, and gives it to its task if the channel is open; closes it when the task
/// has `records_max` to do.
pub(crate) fn hand_over(slot: &mut Slot, input: usize, sent: &Outgoing<'_>, records_max: usize) {
    let Some(reader) = slot.task.buffer.inputs.get_mut(input) else { return };
    let Some(channel) = reader.channel.as_mut() else { return };
    channel.sent += 1;
    let Some(offset) = channel.next else {
        // It will be read after the commit: until then this input has more than was given to its task.
        reader.behind |= channel.is_parked();
        return;
    };
    channel.next = Some(offset.next());
    let headers = (!sent.headers.is_empty()).then(|| sent.headers.clone());
    slot.task.state.counters.handed_over += 1;
    slot.task.take_in(input, Incoming::new(offset, sent.timestamp, sent.key, sent.value, headers));
    let full = |input: &Input| input.buffered() >= records_max || input.bytes >= HANDOVER_BYTES_MAX;
    if let Some(input) = slot.task.buffer.inputs.get_mut(input).filter(|i| full(i))
        && let Some(channel) = &mut input.channel
    {
        channel.close();
    }
}
