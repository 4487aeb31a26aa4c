//! Settings of ebook-rental, with units and defaults.

use schemas::ebook::{BookCommand, DecisionCommand, RentCommand, RentEvent, RentStatus, topics};
use schemas::payment::{PaymentRequest, PaymentResult};

use crate::Error;
use crate::codecs::codecs;
use crate::saga::settings::{DAY_MS, Settings, check_positive};

/// Settings of ebook-rental.
#[derive(Clone, Debug)]
pub struct Config {
    /// Those of the saga. The payment deadline runs from when the book is kept for the rent.
    pub saga: Settings,
    /// A rent that the librarian has not decided this long after it was paid is taken back and unwound, milliseconds of
    /// wall clock. Default 7 days.
    pub approval_deadline_ms: i64,
    /// Formats of the topics.
    pub codecs: Codecs,
}

impl Default for Config {
    fn default() -> Self {
        Config { saga: Settings::of("ebook-rental"), approval_deadline_ms: 7 * DAY_MS, codecs: Codecs::fixed() }
    }
}

impl Config {
    /// Checks the settings against each other.
    ///
    /// # Errors
    /// [`Error::Config`], naming the first setting that is wrong.
    pub fn check(&self) -> Result<(), Error> {
        check_positive(&[("approval_deadline_ms", self.approval_deadline_ms)])?;
        self.saga.check()
    }
}

codecs! {
    books: BookCommand = BOOKS,
    rents: RentCommand = RENTS,
    decisions: DecisionCommand = DECISIONS,
    payment_requests: PaymentRequest = PAYMENT_REQUESTS,
    payment_results: PaymentResult = PAYMENT_RESULTS,
    rent_events: RentEvent = RENT_EVENTS,
    rent_status: RentStatus = RENT_STATUS,
}
