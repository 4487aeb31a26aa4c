//! The records a task has yet to process, one queue per input partition (Kafka Streams: `PartitionGroup`).

use std::collections::VecDeque;

use crate::handover::Channel;
use crate::record::Incoming;
use crate::types::{Offset, TopicPartition};

/// One input partition.
#[derive(Debug)]
pub(crate) struct Input {
    pub(crate) partition: TopicPartition,
    records: VecDeque<Incoming>,
    /// Known to have more than we were given: from takeover below the log's end until read to it.
    pub(crate) behind: bool,
    /// Next offset to process; what is committed.
    pub(crate) position: Offset,
    /// Where the log ended when it was last read to its end, which may be behind what is no record (markers, aborted
    /// records).
    end: Offset,
    pub(crate) paused: bool,
    /// Bytes of the records.
    pub(crate) bytes: usize,
    /// Present where only this worker writes.
    pub(crate) channel: Option<Channel>,
}

impl Input {
    /// How far it is known to be read, to the next offset.
    pub(crate) fn end(&self) -> Offset {
        self.end
    }

    /// The offset that may come next.
    pub(crate) fn expected(&self) -> Offset {
        self.records.back().map_or(self.position, |r| r.offset.next())
    }

    pub(crate) fn buffered(&self) -> usize {
        self.records.len()
    }

    /// With nothing buffered, the position moves over what is no record. True when it did.
    fn pass_markers(&mut self) -> bool {
        let moves = self.records.is_empty() && self.position < self.end;
        if moves {
            self.position = self.end;
        }
        moves
    }
}

/// All inputs of a task.
#[derive(Debug)]
pub(crate) struct Buffer {
    pub(crate) inputs: Vec<Input>,
    len: usize,
}

impl Buffer {
    pub(crate) fn new(inputs: Vec<TopicPartition>) -> Self {
        let inputs = inputs
            .into_iter()
            .map(|partition| Input {
                partition,
                records: VecDeque::new(),
                behind: true,
                position: Offset::ZERO,
                end: Offset::ZERO,
                paused: false,
                bytes: 0,
                channel: None,
            })
            .collect();
        Buffer { inputs, len: 0 }
    }

    /// Takes a record in. One below the position was delivered twice (a fetch in flight over a seek) and is dropped.
    pub(crate) fn push(&mut self, input: usize, record: Incoming) {
        let Some(input) = self.inputs.get_mut(input) else {
            return;
        };
        if record.offset >= input.expected() {
            input.bytes += record.bytes_len();
            input.records.push_back(record);
            self.len += 1;
        }
    }

    /// The log has nothing before `next` that we were not given: the input is not behind any more. True when its position
    /// moved.
    pub(crate) fn caught_up(&mut self, input: usize, next: Offset) -> bool {
        let Some(input) = self.inputs.get_mut(input) else { return false };
        input.behind = false;
        input.end = next;
        input.pass_markers()
    }

    /// Forgets everything buffered.
    pub(crate) fn clear(&mut self) {
        for input in &mut self.inputs {
            input.records.clear();
            input.bytes = 0;
            input.end = Offset::ZERO;
        }
        self.len = 0;
    }

    /// Index of the input to take next: the smallest head timestamp wins, the earlier input on a tie. `None` while there is
    /// nothing, or while an empty input is known to have more, because its records may be older (KIP-695).
    pub(crate) fn next_input(&self) -> Option<usize> {
        if self.len == 0 {
            return None;
        }
        let mut best: Option<(i64, usize)> = None;
        for (i, input) in self.inputs.iter().enumerate() {
            match input.records.front() {
                Some(head) if best.is_none_or(|(t, _)| head.timestamp < t) => best = Some((head.timestamp, i)),
                Some(_) => (),
                None if input.behind => return None,
                None => (),
            }
        }
        best.map(|(_, i)| i)
    }

    /// Takes the head of an input and moves its position past it.
    pub(crate) fn pop(&mut self, input: usize) -> Option<(TopicPartition, Incoming)> {
        let input = self.inputs.get_mut(input)?;
        let record = input.records.pop_front()?;
        input.bytes -= record.bytes_len();
        input.position = record.offset.next();
        // An end is told once, often together with the records before it.
        input.pass_markers();
        self.len -= 1;
        Some((input.partition, record))
    }

    /// The key of an input's head.
    pub(crate) fn head_key(&self, input: usize) -> Option<&[u8]> {
        self.inputs.get(input)?.records.front()?.key()
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn buffered(&self, input: usize) -> usize {
        self.inputs.get(input).map_or(0, Input::buffered)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::TopicIndex;

    fn buffer() -> Buffer {
        let tp = |t| TopicPartition { topic: TopicIndex(t), partition: 0 };
        Buffer::new(vec![tp(0), tp(1)])
    }

    fn record(offset: i64, timestamp: i64) -> Incoming {
        Incoming::new(Offset(offset), timestamp, None, None, None)
    }

    #[test]
    fn waits_for_an_input_that_is_behind_then_takes_the_smallest_head() {
        let mut b = buffer();
        b.push(0, record(0, 50));
        assert_eq!(b.next_input(), None, "input 1 may hold older records");
        b.push(1, record(0, 40));
        assert_eq!(b.next_input(), Some(1));
        b.pop(1);
        assert_eq!(b.next_input(), None);
        b.inputs[1].behind = false;
        assert_eq!(b.next_input(), Some(0));
    }

    #[test]
    fn the_end_moves_a_position_over_what_is_no_record_but_not_over_records() {
        let mut b = buffer();
        b.push(0, record(4, 1));
        b.inputs[1].behind = false;
        assert!(!b.caught_up(0, Offset(7)), "a record is buffered");
        b.pop(0);
        assert_eq!(b.inputs[0].position, Offset(7), "the end was told before the record was taken");
        assert!(b.caught_up(0, Offset(8)));
        assert!(!b.caught_up(0, Offset(6)), "never back");
        assert_eq!(b.inputs[0].position, Offset(8));
        b.push(0, record(9, 1));
        b.push(0, record(10, 1));
        b.pop(0);
        assert_eq!(b.inputs[0].position, Offset(10), "a record is left");
    }

    #[test]
    fn a_record_delivered_twice_is_taken_once() {
        let mut b = buffer();
        b.push(0, record(0, 1));
        b.push(0, record(0, 1));
        b.push(0, record(2, 1));
        b.push(0, record(1, 1));
        assert_eq!(b.buffered(0), 2);
        b.inputs[1].behind = false;
        b.pop(0);
        b.pop(0);
        assert_eq!(b.inputs[0].position, Offset(3));
        b.push(0, record(2, 1));
        assert_eq!(b.len(), 0);
    }
}
