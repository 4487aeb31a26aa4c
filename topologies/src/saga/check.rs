//! Values that clients send, against the limits. Each answers with what is wrong, in words for the sender.

use crate::limits::{ID_BYTES_MAX, TEXT_CHARS_MAX};

/// An id: some bytes, not too many, no control characters (they separate ids in composed keys).
///
/// # Errors
/// What is wrong with it.
pub fn id(field: &str, id: &str) -> Result<(), String> {
    if id.is_empty() {
        return Err(format!("{field} is empty"));
    }
    optional_id(field, id)
}

/// As [`id`], or empty for "unknown".
///
/// # Errors
/// What is wrong with it.
pub fn optional_id(field: &str, id: &str) -> Result<(), String> {
    if id.len() > ID_BYTES_MAX {
        return Err(format!("{field} has {} bytes, the limit is {ID_BYTES_MAX}", id.len()));
    }
    if id.chars().any(char::is_control) {
        return Err(format!("{field} holds a control character"));
    }
    Ok(())
}

/// A text people write; may be empty.
///
/// # Errors
/// What is wrong with it.
pub fn text(field: &str, text: &str) -> Result<(), String> {
    // Counting stops at the limit: the text may be long.
    match text.chars().nth(TEXT_CHARS_MAX) {
        Some(_) => Err(format!("{field} is longer than {TEXT_CHARS_MAX} characters")),
        None => Ok(()),
    }
}

/// A number within bounds, both inclusive.
///
/// # Errors
/// What is wrong with it.
pub fn number(field: &str, value: i64, min: i64, max: i64) -> Result<(), String> {
    if (min..=max).contains(&value) {
        Ok(())
    } else {
        Err(format!("{field} is {value}, it must be from {min} to {max}"))
    }
}

/// A text that others wrote, cut to the limit: words of a payment provider, of delivery management.
#[must_use]
pub fn clip(text: &str) -> String {
    text.chars().take(TEXT_CHARS_MAX).collect()
}
