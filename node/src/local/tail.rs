//! The newest records of a partition in memory, so that following a log reads no storage.

use std::collections::VecDeque;
use std::sync::Arc;

use streams::{Headers, Timestamp};

use super::format;

/// Records of one partition that were committed together, in their stored form. Built once by whoever sends them, then
/// shared: the commit copies out of it into its batch, and readers decode from it.
#[derive(Debug, Default)]
pub(crate) struct Chunk {
    /// Offset of the first record; set when the commit assigns offsets.
    base: i64,
    bytes: Vec<u8>,
    /// Where each record ends in `bytes`.
    ends: Vec<usize>,
}

impl Chunk {
    pub(crate) fn starting_at(base: i64) -> Self {
        Chunk { base, ..Chunk::default() }
    }

    /// Adds a record and answers its stored form.
    pub(crate) fn push(
        &mut self,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        timestamp: Timestamp,
        headers: &Headers,
    ) -> &mut [u8] {
        let start = self.bytes.len();
        format::encode(&mut self.bytes, key, value, timestamp, headers);
        self.ends.push(self.bytes.len());
        self.bytes.get_mut(start..).unwrap_or_default()
    }

    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    /// Bytes of its records.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Bytes it holds on to.
    fn held_bytes(&self) -> usize {
        self.bytes.capacity() + self.ends.capacity() * size_of::<usize>()
    }

    pub(crate) fn base(&self) -> i64 {
        self.base
    }

    /// Offset after its last record.
    pub(crate) fn end(&self) -> i64 {
        self.base + self.ends.len() as i64
    }

    /// Gives its records their offsets, from `base` on, and their byte positions, from `position` on.
    pub(crate) fn place(&mut self, base: i64, mut position: u64) {
        self.base = base;
        let mut start = 0;
        for end in &self.ends {
            if let Some(record) = self.bytes.get_mut(start..*end) {
                format::set_position(record, position);
                position += record.len() as u64;
            }
            start = *end;
        }
    }

    /// Its records from an offset on: offset and stored form.
    pub(crate) fn records_from(&self, from: i64) -> impl Iterator<Item = (i64, &[u8])> {
        let skip = usize::try_from(from - self.base).unwrap_or(0);
        (skip..self.ends.len()).map(move |i| {
            let start = i.checked_sub(1).and_then(|i| self.ends.get(i)).copied().unwrap_or(0);
            let end = self.ends.get(i).copied().unwrap_or(start);
            (self.base + i as i64, self.bytes.get(start..end).unwrap_or_default())
        })
    }
}

/// The newest chunks of a partition, at most so many bytes of them, without gaps up to the partition's end.
#[derive(Debug, Default)]
pub(crate) struct Tail {
    chunks: VecDeque<Arc<Chunk>>,
    bytes: usize,
}

impl Tail {
    /// Adds the newest chunk and lets go of the oldest ones above the limit, be it the new one itself.
    pub(crate) fn push(&mut self, chunk: Arc<Chunk>, bytes_max: usize) {
        self.bytes += chunk.held_bytes();
        self.chunks.push_back(chunk);
        while self.bytes > bytes_max
            && let Some(oldest) = self.chunks.pop_front()
        {
            self.bytes -= oldest.held_bytes();
        }
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The chunks that hold everything from an offset on; `None` if the tail does not reach back so far.
    pub(crate) fn chunks_from(&self, from: i64) -> Option<impl Iterator<Item = &Arc<Chunk>>> {
        self.chunks.front().filter(|oldest| oldest.base() <= from)?;
        let first = self.chunks.partition_point(|chunk| chunk.end() <= from);
        Some(self.chunks.range(first..))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk(base: i64, records: usize) -> Arc<Chunk> {
        let mut chunk = Chunk::default();
        for i in 0..records {
            chunk.push(None, Some(&[i as u8; 100]), 0, Headers::empty());
        }
        chunk.place(base, 1_000);
        Arc::new(chunk)
    }

    #[test]
    fn offsets_and_byte_positions_follow_each_other() {
        let chunk = chunk(10, 3);
        let records: Vec<_> = chunk.records_from(11).map(|(o, r)| (o, format::position(r).unwrap())).collect();
        let size = chunk.bytes() as u64 / 3;
        assert_eq!(records, [(11, 1_000 + size), (12, 1_000 + 2 * size)]);
        assert_eq!((chunk.end(), chunk.len()), (13, 3));
        assert_eq!(chunk.records_from(13).count(), 0);
        assert_eq!(chunk.records_from(0).count(), 3);
    }

    #[test]
    fn keeps_the_newest_and_says_when_it_does_not_reach_back() {
        let mut tail = Tail::default();
        let one = chunk(0, 4).held_bytes();
        for i in 0..5 {
            tail.push(chunk(i * 4, 4), 2 * one);
        }
        assert_eq!(tail.bytes(), 2 * one);
        assert!(tail.chunks_from(11).is_none());
        let offsets = |from| -> Vec<i64> {
            tail.chunks_from(from)
                .unwrap()
                .flat_map(|c| c.records_from(from).map(|(o, _)| o).collect::<Vec<_>>())
                .collect()
        };
        assert_eq!(offsets(15), [15, 16, 17, 18, 19]);
        assert_eq!(offsets(20), [] as [i64; 0]);
        tail.push(chunk(20, 400), 2 * one);
        assert_eq!(tail.bytes(), 0, "a chunk above the limit is left to the storage");
        assert!(tail.chunks_from(20).is_none());
    }
}
