//! Settings of fashion-store, with units and defaults.

use std::sync::Arc;

use schemas::fashion::{DeliveryEvent, OrderCancelled, OrderCommand, OrderStatus, ProductCommand, topics};
use schemas::payment::{PaymentRequest, PaymentResult};
use schemas::{Codec, Registry};

use crate::Error;
use crate::saga::settings::Settings;

/// Settings of fashion-store.
#[derive(Clone, Debug)]
pub struct Config {
    /// Those of the saga. The payment deadline runs from the order on.
    pub saga: Settings,
    /// Formats of the topics.
    pub codecs: Codecs,
}

impl Default for Config {
    fn default() -> Self {
        Config { saga: Settings::of("fashion-store"), codecs: Codecs::fixed() }
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
