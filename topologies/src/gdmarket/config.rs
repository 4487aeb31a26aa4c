//! Settings of gdmarket, with units and defaults.

use schemas::gdmarket::{ItemCommand, ItemStatus, RentalCommand, RentalEvent, RentalStatus, topics};
use schemas::payment::{PaymentRequest, PaymentResult};

use crate::codecs::codecs;
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

codecs! {
    items: ItemCommand = ITEMS,
    rentals: RentalCommand = RENTALS,
    payment_requests: PaymentRequest = PAYMENT_REQUESTS,
    payment_results: PaymentResult = PAYMENT_RESULTS,
    rental_events: RentalEvent = RENTAL_EVENTS,
    rental_status: RentalStatus = RENTAL_STATUS,
    item_status: ItemStatus = ITEM_STATUS,
}
