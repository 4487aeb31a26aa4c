//! Settings of gdmarket, with units and defaults.

use std::sync::Arc;

use schemas::gdmarket::{ItemCommand, ItemStatus, RentalCommand, RentalEvent, RentalStatus, topics};
use schemas::payment::{PaymentRequest, PaymentResult};
use schemas::{Codec, Registry};

use crate::Error;
use crate::saga::settings::Settings;

/// Settings of gdmarket.
#[derive(Clone, Debug)]
pub struct Config {
    /// Those of the saga. The payment deadline runs from the item's lock on.
    pub saga: Settings,
    /// Formats of the topics.
    pub codecs: Codecs,
}

impl Default for Config {
    fn default() -> Self {
        Config { saga: Settings::of("gdmarket"), codecs: Codecs::fixed() }
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
