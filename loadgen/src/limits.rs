//! Every limit of this crate, by name.

use std::time::Duration;

/// Uncompressed bytes of one block of a traffic file: small enough to seek and stream, large enough to compress.
pub const BLOCK_BYTES: usize = 64 * 1024;

/// Commands read ahead of the clock per connection; what a file holds beyond that stays on disk.
pub const LANE_QUEUE_MAX: usize = 256;

/// Connections (HTTP) at most; each holds one request in flight.
pub const CONNECTIONS_MAX: usize = 4_096;

/// Largest answer body that is read before the connection is given up.
pub const ANSWER_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Longest head of an answer, and longest line behind its last chunk.
pub const HEAD_BYTES_MAX: usize = 64 * 1024;

/// Headers of an answer at most.
pub const HEADERS_MAX: usize = 32;

/// Room for one read from a socket: many answers, or many events, come at once.
pub const READ_BYTES: usize = 16 * 1024;

/// Longest single line of an export or an event stream.
pub const LINE_BYTES_MAX: usize = 4 * 1024 * 1024;

/// First wait before a refused or lost request is sent again; doubled each time up to [`RETRY_WAIT_MAX`].
pub const RETRY_WAIT_MIN: Duration = Duration::from_millis(20);

/// Longest wait between two attempts, whatever `Retry-After` asks for.
pub const RETRY_WAIT_MAX: Duration = Duration::from_secs(2);

/// Longest latency a histogram can hold; longer ones are counted as this.
pub const LATENCY_MAX: Duration = Duration::from_secs(3_600);

/// Rows of a page when collections are read by the audit.
pub const PAGE_SIZE: usize = 500;

/// Differences shown to a person; all of them are in the JSON report, up to [`DIFFERENCES_MAX`].
pub const DIFFERENCES_SHOWN: usize = 40;

/// Differences kept at all; beyond that only their number is.
pub const DIFFERENCES_MAX: usize = 10_000;

/// Longest wait for a first outcome after the last command: when none has come by then, every saga had ended before (the
/// file was replayed a second time), and waiting on would be in vain.
pub const FIRST_OUTCOME_MAX: Duration = Duration::from_secs(3);

/// Own part, in percent, of the CPU time of load and target together up to which the figures are the target's; above, a
/// report warns: the two share a machine, and what the load takes is missing to the target.
pub const OWN_SHARE_PERCENT_MAX: f64 = 10.0;
