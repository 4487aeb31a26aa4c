//! Every limit of the embedded log, with its unit and its reason.

/// Bytes of appends that may wait for their sync at once; more wait up to [`super::Config::append_wait`], then are
/// refused as busy. Bounds the committer's queue, and with it the memory of a burst.
pub const APPENDS_IN_FLIGHT_BYTES_MAX: usize = 64 << 20;

/// What an append is charged beside its key, value and headers: its place in the queue and its answer. Makes the byte
/// limit one of requests too.
pub const APPEND_OVERHEAD_BYTES: usize = 256;

/// Bytes a worker may send in one transaction. Past it the record is refused and the worker goes on record by record.
pub const TRANSACTION_BYTES_MAX: usize = 256 << 20;

/// Records of one partition that one poll delivers at most.
pub const POLL_RECORDS_PER_PARTITION: usize = 500;

/// Bytes of one partition after which a poll, or a step of a subscription, stops reading it.
pub const POLL_BYTES_PER_PARTITION: usize = 1 << 20;

/// Records that one read or one step of a subscription answers at most.
pub const READ_RECORDS_MAX: usize = 10_000;

/// Partitions of a topic; a log's number in the store holds 16 bits of it.
pub const PARTITIONS_PER_TOPIC_MAX: u32 = 1_024;

/// Bytes of a topic's name (Kafka's own limit).
pub const TOPIC_NAME_BYTES_MAX: usize = 249;

/// Bytes of a group's name.
pub const GROUP_NAME_BYTES_MAX: usize = 249;

/// Bytes up to which the committer keeps a written batch's memory for the next one.
pub const SPARE_BATCH_BYTES_MAX: usize = 16 << 20;

/// Records that one pass of retention or compaction looks at per partition; the next pass goes on.
pub const RETENTION_RECORDS_PER_PASS: usize = 100_000;
