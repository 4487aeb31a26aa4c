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

/// Settings of a saga that takes money; a business may have more of its own.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `application.id`: names the group, the changelogs, the state and the provider's idempotency keys. Default: the
    /// name of the business.
    pub application_id: String,
    /// A saga that is not paid in this time is unwound, milliseconds of wall clock; the saga says since when. Default 10
    /// minutes. At most the key lifetime: a charge must stay voidable.
    pub payment_deadline_ms: i64,
    /// When a deferred payment request is made again. Default: after 1 s, then twice as long each time up to 1 minute;
    /// the provider remembers a key for 24 hours.
    pub retry: Retry,
    /// How long settled sagas, and what is kept for them, are remembered, milliseconds. Default 90 days. What was asked for
    /// longer ago than this is refused.
    pub saga_retention_ms: i64,
    /// How long a repeated command is recognised by its id, milliseconds. Default 7 days.
    pub command_retention_ms: i64,
    /// How often timers are looked at, milliseconds of wall clock: how late a deadline may be. Default 200.
    pub timer_resolution_ms: i64,
}

impl Settings {
    /// The defaults of a business.
    #[must_use]
    pub fn of(application_id: &str) -> Self {
        Settings {
            application_id: application_id.into(),
            payment_deadline_ms: 10 * MINUTE_MS,
            retry: Retry { first_ms: SECOND_MS, longest_ms: MINUTE_MS, key_lifetime_ms: DAY_MS },
            saga_retention_ms: 90 * DAY_MS,
            command_retention_ms: 7 * DAY_MS,
            timer_resolution_ms: 200,
        }
    }

    /// Checks the settings against each other.
    ///
    /// # Errors
    /// [`Error::Config`], naming the first setting that is wrong.
    pub fn check(&self) -> Result<(), Error> {
        check_positive(&[
            ("payment_deadline_ms", self.payment_deadline_ms),
            ("retry.first_ms", self.retry.first_ms),
            ("retry.longest_ms", self.retry.longest_ms),
            ("retry.key_lifetime_ms", self.retry.key_lifetime_ms),
            ("saga_retention_ms", self.saga_retention_ms),
            ("command_retention_ms", self.command_retention_ms),
            ("timer_resolution_ms", self.timer_resolution_ms),
        ])?;
        if self.retry.longest_ms < self.retry.first_ms {
            return wrong("retry.longest_ms", "is shorter than retry.first_ms".into());
        }
        if self.payment_deadline_ms > self.retry.key_lifetime_ms {
            let reason = "is longer than retry.key_lifetime_ms: a charge could be due to be voided when the provider has \
                          forgotten its key";
            return wrong("payment_deadline_ms", reason.into());
        }
        if self.saga_retention_ms < self.payment_deadline_ms {
            return wrong("saga_retention_ms", "is shorter than payment_deadline_ms".into());
        }
        Ok(())
    }
}

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

fn wrong(setting: &'static str, reason: String) -> Result<(), Error> {
    Err(Error::Config { setting, reason })
}
