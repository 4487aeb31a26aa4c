//! Settings that every business has, checked alike.

use super::payment::Retry;
use crate::Error;

/// Milliseconds of a second.
pub const SECOND_MS: i64 = 1_000;
/// Milliseconds of a minute.
pub const MINUTE_MS: i64 = 60 * SECOND_MS;
/// Milliseconds of an hour.
pub const HOUR_MS: i64 = 60 * MINUTE_MS;
/// Milliseconds of a day.
pub const DAY_MS: i64 = 24 * HOUR_MS;

/// Refuses durations below one millisecond.
///
/// # Errors
/// [`Error::Config`], naming the first that is wrong.
pub fn check_positive(settings: &[(&'static str, i64)]) -> Result<(), Error> {
    match settings.iter().find(|(_, value)| *value < 1) {
        Some((setting, value)) => wrong(setting, format!("is {value}, it must be at least 1")),
        None => Ok(()),
    }
}

/// Checks the settings of a payment against each other.
///
/// # Errors
/// [`Error::Config`], naming the first that is wrong.
pub fn check_payment(retry: &Retry, payment_deadline_ms: i64, saga_retention_ms: i64) -> Result<(), Error> {
    check_positive(&[
        ("payment_deadline_ms", payment_deadline_ms),
        ("retry.first_ms", retry.first_ms),
        ("retry.longest_ms", retry.longest_ms),
        ("retry.key_lifetime_ms", retry.key_lifetime_ms),
    ])?;
    if retry.longest_ms < retry.first_ms {
        return wrong("retry.longest_ms", "is shorter than retry.first_ms".into());
    }
    if payment_deadline_ms > retry.key_lifetime_ms {
        let reason = "is longer than retry.key_lifetime_ms: a charge could be due to be voided when the provider has \
                      forgotten its key";
        return wrong("payment_deadline_ms", reason.into());
    }
    if saga_retention_ms < payment_deadline_ms {
        return wrong("saga_retention_ms", "is shorter than payment_deadline_ms".into());
    }
    Ok(())
}

fn wrong(setting: &'static str, reason: String) -> Result<(), Error> {
    Err(Error::Config { setting, reason })
}
