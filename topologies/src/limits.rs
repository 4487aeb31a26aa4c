//! Every limit of the businesses, with its unit and its reason. The gateway's are at least as strict.

/// Bytes of an id in UTF-8: ids are keys of stores and topics, and stand in URLs.
pub const ID_BYTES_MAX: usize = 128;

/// Characters of a text that people write: reason, size, name.
pub const TEXT_CHARS_MAX: usize = 500;

/// Pieces of one order or one restock.
pub const QTY_MAX: i32 = i32::MAX;

/// Won. The largest number that JSON readers of all languages read exactly.
pub const PRICE_MAX: i64 = (1 << 53) - 1;

/// Pieces of one product on hand; far below where sums of `i64` could overflow.
pub const STOCK_MAX: i64 = (1 << 53) - 1;

/// Timers handled in one punctuation; what is due beyond them is handled in the next. At the default resolution this
/// forgets 50,000 commands a second, more than a task takes in.
pub const TIMERS_PER_PUNCTUATION: usize = 10_000;

/// Milliseconds that a command's own time may lie ahead of the wall clock: a day covers every time zone mistake, and
/// keeps a repeat from outliving the memory of its first.
pub const CLOCK_SKEW_MS_MAX: i64 = 24 * 60 * 60 * 1_000;
