//! Settings of ebook-rental, with units and defaults.

use std::sync::Arc;

use schemas::ebook::{BookCommand, DecisionCommand, RentCommand, RentEvent, RentStatus, topics};
use schemas::payment::{PaymentRequest, PaymentResult};
use schemas::{Codec, Registry};

use crate::Error;
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

/// Formats of the topics whose schema ids a registry may give. Internal topics have fixed ids.
#[derive(Clone, Debug)]
pub struct Codecs {
    /// Of `ebook.books`.
    pub books: Codec<BookCommand>,
    /// Of `ebook.rents`.
    pub rents: Codec<RentCommand>,
    /// Of `ebook.decisions`.
    pub decisions: Codec<DecisionCommand>,
    /// Of `ebook.payment-requests`.
    pub payment_requests: Codec<PaymentRequest>,
    /// Of `ebook.payment-results`.
    pub payment_results: Codec<PaymentResult>,
    /// Of `ebook.rent-events`.
    pub rent_events: Codec<RentEvent>,
    /// Of `ebook.rent-status`.
    pub rent_status: Codec<RentStatus>,
}

impl Codecs {
    /// With the fixed ids: no registry.
    #[must_use]
    pub fn fixed() -> Self {
        Codecs {
            books: Codec::fixed(),
            rents: Codec::fixed(),
            decisions: Codec::fixed(),
            payment_requests: Codec::fixed(),
            payment_results: Codec::fixed(),
            rent_events: Codec::fixed(),
            rent_status: Codec::fixed(),
        }
    }

    /// With the ids of a registry, under the subjects of a deployment's topic prefix. This asks the registry.
    ///
    /// # Errors
    /// [`Error::Registry`] when it gives no id.
    pub fn resolve(prefix: &str, registry: &Arc<dyn Registry>) -> Result<Self, Error> {
        Ok(Codecs {
            books: Codec::for_topic(&topics::BOOKS, prefix, registry)?,
            rents: Codec::for_topic(&topics::RENTS, prefix, registry)?,
            decisions: Codec::for_topic(&topics::DECISIONS, prefix, registry)?,
            payment_requests: Codec::for_topic(&topics::PAYMENT_REQUESTS, prefix, registry)?,
            payment_results: Codec::for_topic(&topics::PAYMENT_RESULTS, prefix, registry)?,
            rent_events: Codec::for_topic(&topics::RENT_EVENTS, prefix, registry)?,
            rent_status: Codec::for_topic(&topics::RENT_STATUS, prefix, registry)?,
        })
    }
}
