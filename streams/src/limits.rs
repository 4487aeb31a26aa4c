//! Every limit of the engine, with its unit and its reason. Those a user may want to move are also in [`crate::Config`].

use std::time::Duration;

/// Records buffered per input partition before it is paused (Kafka Streams: `buffered.records.per.partition`).
pub const BUFFERED_RECORDS_PER_PARTITION: usize = 1_000;

/// Uncommitted bytes over all tasks of a worker that force a commit before the interval is over, so that memory and the
/// size of a transaction stay bounded.
pub const OVERLAY_BYTES_MAX: usize = 64 << 20;

/// Committed entries that the tasks of a worker keep in memory (Kafka Streams: `statestore.cache.max.bytes`).
pub const CACHE_BYTES: usize = 10 << 20;

/// Records one task may process before the next ready task gets its turn.
pub const RECORDS_PER_ROUND: usize = 256;

/// Records a worker processes before it polls, punctuates and looks at its commit interval again.
pub const RECORDS_PER_TURN: usize = 4_096;

/// Changelog records applied per restore step, so that a worker keeps polling (and its membership alive) while restoring.
pub const RESTORE_RECORDS_PER_STEP: usize = 10_000;

/// Longest wait for input while a changelog that is being restored has brought nothing: it is asked again then.
pub const RESTORE_WAIT: Duration = Duration::from_millis(2);

/// Records in a task's buffer from which on nothing more is handed over to it.
pub const HANDOVER_RECORDS_MAX: usize = 10_000;
/// As [`HANDOVER_RECORDS_MAX`], bytes of an input.
pub const HANDOVER_BYTES_MAX: usize = 16 << 20;

/// Longest time, milliseconds, that the tasks writing to a repartition topic wait until it is read to its end.
pub const HANDOVER_HOLD_MS: i64 = 1_000;

/// Milliseconds between two such waits, and without handing over after somebody else wrote to a topic of ours.
pub const HANDOVER_RETRY_MS: i64 = 10_000;

/// Milliseconds without a commit after which positions that only passed transaction markers are committed.
pub const IDLE_COMMIT_MS: i64 = 5_000;

/// Bytes of one record's key and value together. Kafka's default `message.max.bytes` less room for the batch header.
pub const RECORD_BYTES_MAX: usize = 1_000_000;

/// Bytes of a record that is kept whole as a dead letter: room is left for its headers below what the log takes. A larger
/// one is a dead letter without key and value, whose headers say where the record is.
pub const DEAD_LETTER_BYTES_MAX: usize = 900_000;

/// Latest record timestamp that is taken: 9999-01-01, far enough for any real clock, near enough to catch a unit error
/// (microseconds sent as milliseconds) before it moves stream time beyond recovery.
pub const TIMESTAMP_MS_MAX: i64 = 253_370_764_800_000;

/// Bytes of the metadata that may travel with a committed offset (Kafka: `offset.metadata.max.bytes`).
pub const OFFSET_METADATA_BYTES_MAX: usize = 4_096;

/// Characters of a dead letter's reason header; the rest is cut.
pub const REASON_CHARS_MAX: usize = 1_000;
