//! Settings of taxi, with units and defaults.

use schemas::taxi::{CallEvent, CallStatus, DriverCommand, PassengerCommand, topics};

use super::saga::Rules;
use crate::Error;
use crate::codecs::codecs;
use crate::saga::settings::{DAY_MS, HOUR_MS, check_positive};

/// Settings of taxi.
#[derive(Clone, Debug)]
pub struct Config {
    /// `application.id`. Default `taxi`.
    pub application_id: String,
    /// A call that no driver has taken this long after it was listed expires, milliseconds of wall clock. Default 1 hour.
    pub call_deadline_ms: i64,
    /// How long settled calls are kept, milliseconds. Default 90 days. A call made longer ago than this is refused.
    pub saga_retention_ms: i64,
    /// How long a repeated command is recognised by its id, milliseconds. Default 7 days.
    pub command_retention_ms: i64,
    /// How often timers are looked at, milliseconds of wall clock. Default 200.
    pub timer_resolution_ms: i64,
    /// Formats of the topics.
    pub codecs: Codecs,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            application_id: "taxi".into(),
            call_deadline_ms: HOUR_MS,
            saga_retention_ms: 90 * DAY_MS,
            command_retention_ms: 7 * DAY_MS,
            timer_resolution_ms: 200,
            codecs: Codecs::fixed(),
        }
    }
}

impl Config {
    /// Checks the settings.
    ///
    /// # Errors
    /// [`Error::Config`], naming the first setting that is wrong.
    pub fn check(&self) -> Result<(), Error> {
        check_positive(&[
            ("call_deadline_ms", self.call_deadline_ms),
            ("saga_retention_ms", self.saga_retention_ms),
            ("command_retention_ms", self.command_retention_ms),
            ("timer_resolution_ms", self.timer_resolution_ms),
        ])
    }

    /// What the saga needs of them.
    #[must_use]
    pub fn rules(&self) -> Rules {
        Rules { call_deadline_ms: self.call_deadline_ms, saga_retention_ms: self.saga_retention_ms }
    }
}

codecs! {
    passengers: PassengerCommand = PASSENGERS,
    acceptances: DriverCommand = ACCEPTANCES,
    call_events: CallEvent = CALL_EVENTS,
    call_status: CallStatus = CALL_STATUS,
}
