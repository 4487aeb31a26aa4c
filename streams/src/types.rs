//! The small vocabulary of the engine: partitions, offsets, time and task identity.

use std::fmt;

/// A partition number, from 0 up to the topic's partition count (exclusive).
pub type Partition = u32;

/// Event or wall-clock time in milliseconds since the Unix epoch, as in Kafka's records. Negative values are invalid in
/// records and are used inside the engine for "not seen yet" ([`NO_TIMESTAMP`]).
pub type Timestamp = i64;

/// The stream time of an operator that has seen no record.
pub const NO_TIMESTAMP: Timestamp = -1;

/// A position in a partition's log. A committed or stored `Offset` is always that of the *next* record to read.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Offset(pub i64);

impl Offset {
    /// The start of a log nothing was ever deleted from.
    pub const ZERO: Offset = Offset(0);

    /// The offset after this one.
    #[must_use]
    pub fn next(self) -> Offset {
        Offset(self.0 + 1)
    }
}

impl fmt::Display for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The index of a topic in its [`crate::Topology`]'s topic list. Short-lived by design: it is never written anywhere.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct TopicIndex(pub u16);

/// A partition of one of the topology's topics.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct TopicPartition {
    /// The topic.
    pub topic: TopicIndex,
    /// The partition of it.
    pub partition: Partition,
}

/// The unit of parallelism: one sub-topology over one partition number of its source topics. Shown as Kafka Streams does,
/// `<sub-topology>_<partition>`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct TaskId {
    /// Index of the sub-topology, in the order `describe()` prints.
    pub subtopology: u16,
    /// The partition this task reads of every source topic.
    pub partition: Partition,
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}_{}", self.subtopology, self.partition)
    }
}
