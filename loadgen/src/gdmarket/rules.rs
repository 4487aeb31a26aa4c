//! Which commands are sound.

use schemas::gdmarket::{RegisterItem, RequestRental};

use crate::audit::rules::{Fault, PRICE_MAX, begun_at, id, optional_id, text, within};

pub(super) fn request(request: &RequestRental) -> Result<(), Fault> {
    id(&request.item_id)?;
    optional_id(&request.renter_id)?;
    begun_at(request.requested_at)
}

pub(super) fn register(register: &RegisterItem) -> Result<(), Fault> {
    text(&register.name)?;
    within(register.fee, 0, PRICE_MAX, "fee out of range")
}
