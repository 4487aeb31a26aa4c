//! A committed record of the log as the audit sees it, and the files and topics it comes from.

use crate::error::Error;
use crate::traffic::{Envelope, Expect, TrafficReader};
use std::path::Path;

/// One committed record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogRecord {
    /// Topic without a deployment's prefix.
    pub topic: String,
    /// Partition.
    pub partition: i32,
    /// Offset in the partition.
    pub offset: i64,
    /// Milliseconds since the epoch.
    pub timestamp: i64,
    /// The key's bytes.
    pub key: Option<Vec<u8>>,
    /// The value's bytes.
    pub value: Option<Vec<u8>>,
    /// In their order.
    pub headers: Vec<(String, Vec<u8>)>,
}

impl LogRecord {
    /// A header's value, the last of that name.
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        self.headers.iter().rev().find(|(n, _)| n == name).map(|(_, value)| value.as_slice())
    }

    /// As a record of a traffic file.
    pub fn into_envelope(self, kind: &str) -> Envelope {
        Envelope {
            at_ms: self.timestamp,
            topic: self.topic,
            partition: Some(self.partition),
            offset: Some(self.offset),
            key: self.key,
            value: self.value,
            headers: self.headers,
            expect: Expect::Unknown,
            kind: kind.to_owned(),
        }
    }
}

/// Where committed records come from: Kafka, a node's export, a recorded file.
pub trait LogSource {
    /// For messages.
    fn describe(&self) -> String;

    /// How many partitions a topic has; `None` when the source cannot tell.
    fn partitions(&self, topic: &str) -> Option<i32>;

    /// Gives every record that is committed by now and was not given before to `each`, in offset order within a
    /// partition; how many that were.
    ///
    /// # Errors
    /// When the source cannot be read.
    fn read_new(&mut self, each: &mut dyn FnMut(LogRecord)) -> Result<u64, Error>;
}

/// A recorded file as a source: read once, then nothing new.
pub struct FileSource {
    path: std::path::PathBuf,
    read: bool,
}

impl FileSource {
    /// The file is opened at the first read.
    pub fn new(path: &Path) -> Self {
        FileSource { path: path.to_owned(), read: false }
    }
}

impl LogSource for FileSource {
    fn describe(&self) -> String {
        self.path.display().to_string()
    }

    fn partitions(&self, _topic: &str) -> Option<i32> {
        None
    }

    fn read_new(&mut self, each: &mut dyn FnMut(LogRecord)) -> Result<u64, Error> {
        if std::mem::replace(&mut self.read, true) {
            return Ok(0);
        }
        let mut count = 0;
        for envelope in TrafficReader::open(&self.path)? {
            let envelope = envelope?;
            let (Some(partition), Some(offset)) = (envelope.partition, envelope.offset) else {
                return Err(Error::Traffic {
                    path: self.path.clone(),
                    reason: "generated traffic has no offsets: only recorded files can be audited".to_owned(),
                });
            };
            count += 1;
            each(LogRecord {
                topic: envelope.topic,
                partition,
                offset,
                timestamp: envelope.at_ms,
                key: envelope.key,
                value: envelope.value,
                headers: envelope.headers,
            });
        }
        Ok(count)
    }
}

/// The partition that Java's default partitioner gives a key: murmur2, `org.apache.kafka.common.utils.Utils`.
pub fn partition_of(key: &[u8], partitions: i32) -> i32 {
    const M: u32 = 0x5bd1_e995;
    let mut hash = 0x9747_b28c_u32 ^ key.len() as u32;
    let mut words = key.chunks_exact(4);
    for word in &mut words {
        let mut k = word.iter().rev().fold(0_u32, |k, &byte| (k << 8) | u32::from(byte));
        k = k.wrapping_mul(M);
        k ^= k >> 24;
        hash = hash.wrapping_mul(M) ^ k.wrapping_mul(M);
    }
    let rest = words.remainder();
    if !rest.is_empty() {
        hash ^= rest.iter().rev().fold(0_u32, |k, &byte| (k << 8) | u32::from(byte));
        hash = hash.wrapping_mul(M);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(M);
    hash ^= hash >> 15;
    (hash & 0x7fff_ffff) as i32 % partitions.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Hashes from Kafka's `UtilsTest.testMurmur2`, reduced to partitions of a prime number.
    #[test]
    fn partitions_are_javas() {
        for (key, hash) in [
            ("21", -973_932_308_i32),
            ("foobar", -790_332_482),
            ("a-little-bit-long-string", -985_981_536),
            ("a-little-bit-longer-string", -1_486_304_829),
        ] {
            let positive = hash & 0x7fff_ffff;
            assert_eq!(partition_of(key.as_bytes(), 9_973), positive % 9_973, "{key}");
        }
    }
}
