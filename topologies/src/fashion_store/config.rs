//! Settings of fashion-store, with units and defaults.

use std::sync::Arc;

use schemas::fashion::{DeliveryEvent, OrderCancelled, OrderCommand, OrderStatus, ProductCommand, topics};
use schemas::payment::{PaymentRequest, PaymentResult};
use schemas::{Codec, Registry};

use crate::Error;
use crate::saga::payment::Retry;
use crate::saga::settings::{DAY_MS, MINUTE_MS, SECOND_MS, check_payment, check_positive};

/// Settings of fashion-store.
#[derive(Clone, Debug)]
pub struct Config {
    /// `application.id`: names the group, the changelogs, the state and the provider's idempotency keys. Default
    /// `fashion-store`.
    pub application_id: String,
    /// An order that is not paid this long after it was placed is unwound, milliseconds of wall clock. Default 10
    /// minutes. At most the key lifetime: a charge must stay voidable.
    pub payment_deadline_ms: i64,
    /// When a deferred payment request is made again. Default: after 1 s, then twice as long each time up to 1 minute;
    /// the provider remembers a key for 24 hours.
    pub retry: Retry,
    /// How long settled orders, their deliveries and dashboard rows are kept, milliseconds. Default 90 days. An order
    /// placed longer ago than this is refused.
    pub saga_retention_ms: i64,
    /// How long a repeated command is recognised by its id, milliseconds. Default 7 days.
    pub command_retention_ms: i64,
    /// How often timers are looked at, milliseconds of wall clock: how late a deadline may be. Default 200.
    pub timer_resolution_ms: i64,
    /// Formats of the topics.
    pub codecs: Codecs,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            application_id: "fashion-store".into(),
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
}

/// Formats of the topics whose schema ids a registry may give. Internal topics have fixed ids.
#[derive(Clone, Debug)]
pub struct Codecs {
    /// Of `fashion.products`.
    pub products: Codec<ProductCommand>,
    /// Of `fashion.orders`.
    pub orders: Codec<OrderCommand>,
    /// Of `fashion.payment-requests`.
    pub payment_requests: Codec<PaymentRequest>,
    /// Of `fashion.payment-results`.
    pub payment_results: Codec<PaymentResult>,
    /// Of `fashion.deliveries`.
    pub deliveries: Codec<DeliveryEvent>,
    /// Of `fashion.cancellations`.
    pub cancellations: Codec<OrderCancelled>,
    /// Of `fashion.order-status`.
    pub order_status: Codec<OrderStatus>,
}

impl Codecs {
    /// With the fixed ids: no registry.
    #[must_use]
    pub fn fixed() -> Self {
        Codecs {
            products: Codec::fixed(),
            orders: Codec::fixed(),
            payment_requests: Codec::fixed(),
            payment_results: Codec::fixed(),
            deliveries: Codec::fixed(),
            cancellations: Codec::fixed(),
            order_status: Codec::fixed(),
        }
    }

    /// With the ids of a registry, under the subjects of a deployment's topic prefix. This asks the registry.
    ///
    /// # Errors
    /// [`Error::Registry`] when it gives no id.
    pub fn resolve(prefix: &str, registry: &Arc<dyn Registry>) -> Result<Self, Error> {
        Ok(Codecs {
            products: Codec::for_topic(&topics::PRODUCTS, prefix, registry)?,
            orders: Codec::for_topic(&topics::ORDERS, prefix, registry)?,
            payment_requests: Codec::for_topic(&topics::PAYMENT_REQUESTS, prefix, registry)?,
            payment_results: Codec::for_topic(&topics::PAYMENT_RESULTS, prefix, registry)?,
            deliveries: Codec::for_topic(&topics::DELIVERIES, prefix, registry)?,
            cancellations: Codec::for_topic(&topics::CANCELLATIONS, prefix, registry)?,
            order_status: Codec::for_topic(&topics::ORDER_STATUS, prefix, registry)?,
        })
    }
}
