//! Settings of gdmarket, with units and defaults.

use std::sync::Arc;

use schemas::gdmarket::{ItemCommand, ItemStatus, RentalCommand, RentalEvent, RentalStatus, topics};
use schemas::payment::{PaymentRequest, PaymentResult};
use schemas::{Codec, Registry};

use super::saga::Rules;
use crate::Error;
use crate::saga::payment::Retry;
use crate::saga::settings::{DAY_MS, MINUTE_MS, SECOND_MS, check_payment, check_positive};

/// Settings of gdmarket.
#[derive(Clone, Debug)]
pub struct Config {
    /// `application.id`; also the namespace of the provider's idempotency keys. Default `gdmarket`.
    pub application_id: String,
    /// A rental that is not paid this long after its item was kept for it is unwound, milliseconds of wall clock.
    /// Default 10 minutes. At most the key lifetime: a charge must stay voidable.
    pub payment_deadline_ms: i64,
    /// When a deferred payment request is made again. Default: after 1 s, then twice as long each time up to 1 minute;
    /// the provider remembers a key for 24 hours.
    pub retry: Retry,
    /// How long ended rentals are kept, milliseconds. Default 90 days. A rental requested longer ago is refused.
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
            application_id: "gdmarket".into(),
            payment_deadline_ms: 10 * MINUTE_MS,
            retry: Retry { first_ms: SECOND_MS, longest_ms: MINUTE_MS, key_lifetime_ms: DAY_MS },
            saga_retention_ms: 90 * DAY_MS,
            command_retention_ms: 7 * DAY_MS,
            timer_resolution_ms: 200,
            codecs: Codecs::fixed(),
        }
    }
}

impl Config {
    /// Checks the settings against each other.
    ///
    /// # Errors
    /// [`Error::Config`], naming the first setting that is wrong.
    pub fn check(&self) -> Result<(), Error> {
        check_positive(&[
            ("saga_retention_ms", self.saga_retention_ms),
            ("command_retention_ms", self.command_retention_ms),
            ("timer_resolution_ms", self.timer_resolution_ms),
        ])?;
        check_payment(&self.retry, self.payment_deadline_ms, self.saga_retention_ms)
    }

    /// What the saga needs of them.
    #[must_use]
    pub fn rules(&self) -> Rules {
        Rules {
            namespace: self.application_id.clone(),
            payment_deadline_ms: self.payment_deadline_ms,
            saga_retention_ms: self.saga_retention_ms,
            retry: self.retry,
        }
    }
}

/// Formats of the topics whose schema ids a registry may give. Internal topics have fixed ids.
#[derive(Clone, Debug)]
pub struct Codecs {
    /// Of `gdmarket.items`.
    pub items: Codec<ItemCommand>,
    /// Of `gdmarket.rentals`.
    pub rentals: Codec<RentalCommand>,
    /// Of `gdmarket.payment-requests`.
    pub payment_requests: Codec<PaymentRequest>,
    /// Of `gdmarket.payment-results`.
    pub payment_results: Codec<PaymentResult>,
    /// Of `gdmarket.rental-events`.
    pub rental_events: Codec<RentalEvent>,
    /// Of `gdmarket.rental-status`.
    pub rental_status: Codec<RentalStatus>,
    /// Of `gdmarket.item-status`.
    pub item_status: Codec<ItemStatus>,
}

impl Codecs {
    /// With the fixed ids: no registry.
    #[must_use]
    pub fn fixed() -> Self {
        Codecs {
            items: Codec::fixed(),
            rentals: Codec::fixed(),
            payment_requests: Codec::fixed(),
            payment_results: Codec::fixed(),
            rental_events: Codec::fixed(),
            rental_status: Codec::fixed(),
            item_status: Codec::fixed(),
        }
    }

    /// With the ids of a registry, under the subjects of a deployment's topic prefix. This asks the registry.
    ///
    /// # Errors
    /// [`Error::Registry`] when it gives no id.
    pub fn resolve(prefix: &str, registry: &Arc<dyn Registry>) -> Result<Self, Error> {
        Ok(Codecs {
            items: Codec::for_topic(&topics::ITEMS, prefix, registry)?,
            rentals: Codec::for_topic(&topics::RENTALS, prefix, registry)?,
            payment_requests: Codec::for_topic(&topics::PAYMENT_REQUESTS, prefix, registry)?,
            payment_results: Codec::for_topic(&topics::PAYMENT_RESULTS, prefix, registry)?,
            rental_events: Codec::for_topic(&topics::RENTAL_EVENTS, prefix, registry)?,
            rental_status: Codec::for_topic(&topics::RENTAL_STATUS, prefix, registry)?,
            item_status: Codec::for_topic(&topics::ITEM_STATUS, prefix, registry)?,
        })
    }
}
