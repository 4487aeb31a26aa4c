//! Which values are sound, by the promises made to clients (the tables of bad input in the docs). Written anew here: an
//! auditor that asked the engine what is valid would agree with all its mistakes.

use std::time::{SystemTime, UNIX_EPOCH};

/// Bytes of an id.
const ID_BYTES_MAX: usize = 128;

/// Characters of a text that people write.
const TEXT_CHARS_MAX: usize = 500;

/// Won: the largest number that JSON readers of all languages read exactly.
pub const PRICE_MAX: i64 = (1 << 53) - 1;

const DAY_MS: i64 = 24 * 60 * 60 * 1_000;

/// How far ahead of the clock a command's own time may lie.
const AHEAD_MS_MAX: i64 = DAY_MS;

/// How long sagas are remembered by default: an older command may have been carried out before.
const REMEMBERED_MS: i64 = 90 * DAY_MS;

/// What is wrong with a value.
pub type Fault = &'static str;

/// An id that must be there.
///
/// # Errors
/// What is wrong with it.
pub fn id(id: &str) -> Result<(), Fault> {
    if id.is_empty() {
        return Err("empty id");
    }
    optional_id(id)
}

/// An id that may be empty.
///
/// # Errors
/// What is wrong with it.
pub fn optional_id(id: &str) -> Result<(), Fault> {
    if id.len() > ID_BYTES_MAX {
        return Err("id too long");
    }
    if id.chars().any(char::is_control) {
        return Err("control character in an id");
    }
    Ok(())
}

/// A text that people write.
///
/// # Errors
/// What is wrong with it.
pub fn text(text: &str) -> Result<(), Fault> {
    if text.chars().count() > TEXT_CHARS_MAX { Err("text too long") } else { Ok(()) }
}

/// A number in a closed range.
///
/// # Errors
/// `fault` when it is outside.
pub fn within(value: i64, least: i64, most: i64, fault: Fault) -> Result<(), Fault> {
    if (least..=most).contains(&value) { Ok(()) } else { Err(fault) }
}

/// When a saga was begun, as its command says: not longer ago than sagas are remembered, not in the future.
///
/// # Errors
/// What is wrong with it.
pub fn begun_at(at_ms: i64) -> Result<(), Fault> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64);
    within(at_ms, now - REMEMBERED_MS, now + AHEAD_MS_MAX, "begun too long ago, or in the future")
}
