//! Settings of fashion-store, with units and defaults.

use schemas::fashion::{DeliveryEvent, OrderCancelled, OrderCommand, OrderStatus, ProductCommand, topics};
use schemas::payment::{PaymentRequest, PaymentResult};

use crate::codecs::codecs;
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

codecs! {
    products: ProductCommand = PRODUCTS,
    orders: OrderCommand = ORDERS,
    payment_requests: PaymentRequest = PAYMENT_REQUESTS,
    payment_results: PaymentResult = PAYMENT_RESULTS,
    deliveries: DeliveryEvent = DELIVERIES,
    cancellations: OrderCancelled = CANCELLATIONS,
    order_status: OrderStatus = ORDER_STATUS,
}
