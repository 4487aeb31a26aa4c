//! Every limit of the service, with its unit and its reason. What a client meets is also in `docs/http.md`.

use std::time::Duration;

/// Bytes of a request body; the largest command is far below (→ 413).
pub const BODY_BYTES_MAX: usize = 64 << 10;

/// Bytes of path and query (→ 414).
pub const URI_BYTES_MAX: usize = 8 << 10;

/// Bytes of all header names and values of a request (→ 431).
pub const HEADER_BYTES_MAX: usize = 16 << 10;

/// Bytes of an id, as UTF-8: it becomes a record key and part of paths (→ 400).
pub const ID_BYTES_MAX: usize = 128;

/// Characters of a name, size or reason (→ 400).
pub const TEXT_CHARS_MAX: usize = 500;

/// Most pieces in one command: Avro's `int` (→ 400).
pub const QTY_MAX: i64 = i32::MAX as i64;

/// Largest price, in won: exact in JavaScript's numbers too (→ 400).
pub const PRICE_MAX: i64 = (1 << 53) - 1;

/// Items on a page unless asked for, as Spring Data REST's.
pub const PAGE_SIZE_DEFAULT: usize = 20;

/// Most items on a page, as Spring Data REST's; larger sizes are cut to it, as there.
pub const PAGE_SIZE_MAX: usize = 1_000;

/// How deep pages reach, in items: every page before must be merged over all partitions. Deeper reading goes by cursor.
pub const PAGE_ITEMS_MAX: usize = 100_000;

/// Items of one instance that are merged into a page of another; bounds what one instance sends to the next.
pub const PAGE_ITEMS_REMOTE_MAX: usize = 10_000;

/// Entries counted for `totalElements` in one partition; beyond it the total is a lower bound and says so.
pub const COUNT_MAX: u64 = 1_000_000;

/// Entries of a range query unless asked for.
pub const RANGE_LIMIT_DEFAULT: usize = 100;

/// Most entries of a range query.
pub const RANGE_LIMIT_MAX: usize = 1_000;

/// Longest wait of a request.
pub const WAIT_MAX: Duration = Duration::from_secs(60);

/// Wait of a request that does not say how long: `POST /orders` for the payment, a `min-position` for its commit.
pub const WAIT_DEFAULT: Duration = Duration::from_secs(10);

/// Requests waiting at once, over all applications (→ 503). Each is looked at again after commits.
pub const WAITS_MAX: usize = 4_096;

/// Time between two rounds of looking at all waiting requests, per request waiting: keeps looking below a fifth of a
/// core, however many wait. A thousand waiting means a round every 5 ms.
pub const WAIT_PACE: Duration = Duration::from_micros(5);

/// How often a request that waits for another instance asks who owns its key, when nothing else wakes it.
pub const OWNER_POLL: Duration = Duration::from_millis(200);

/// What `Retry-After` says, in seconds, when no one can answer: about a rebalance.
pub const RETRY_AFTER_S: u64 = 1;

/// Position tokens in one `min-position`.
pub const POSITION_TOKENS_MAX: usize = 16;

/// Streams of server-sent events open at once (→ 503).
pub const EVENT_STREAMS_MAX: usize = 1_024;

/// Streams that read the log again from their `Last-Event-ID` at once; each costs a reader of the log (→ 503).
pub const EVENT_REPLAYS_MAX: usize = 16;

/// Events kept for a slow stream; one that falls further behind is told so and closed, and resumes where it was.
pub const EVENT_BUFFER: usize = 4_096;

/// Silence on an event stream before a heartbeat, below the idle time-outs of common proxies (60 s).
pub const EVENT_HEARTBEAT: Duration = Duration::from_secs(15);

/// What an event stream tells clients to wait before they connect again.
pub const EVENT_RETRY: Duration = Duration::from_secs(1);

/// Time to connect to another instance.
pub const HOP_CONNECT_MAX: Duration = Duration::from_secs(1);

/// Time another instance may take beyond the wait it was asked for.
pub const HOP_GRACE: Duration = Duration::from_secs(5);

/// Bytes of an answer of another instance.
pub const HOP_BODY_BYTES_MAX: usize = 32 << 20;

/// Instances that are asked for one collection.
pub const HOPS_MAX: usize = 64;

/// Since the last turn of a worker's loop, before the process counts as dead (`/livez`). A broker outage does not stop the
/// loop.
pub const WORKER_SILENCE_MAX: Duration = Duration::from_secs(45);
