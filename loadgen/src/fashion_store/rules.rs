//! Which commands are sound (the table of bad input in the docs).

use schemas::fashion::{CancelOrder, CancelRequester, PlaceOrder, RegisterProduct, RestockProduct};

use crate::audit::rules::{Fault, PRICE_MAX, begun_at, id, optional_id, text, within};

pub(super) fn place(place: &PlaceOrder) -> Result<(), Fault> {
    optional_id(&place.customer_id)?;
    id(&place.product_id)?;
    text(&place.size)?;
    within(place.qty.into(), 1, i32::MAX.into(), "quantity out of range")?;
    within(place.price, 0, PRICE_MAX, "price out of range")?;
    begun_at(place.placed_at)
}

pub(super) fn cancel(cancel: &CancelOrder) -> Result<(), Fault> {
    if cancel.requested_by == CancelRequester::Unknown {
        return Err("requested by nobody");
    }
    text(&cancel.reason)
}

pub(super) fn register(register: &RegisterProduct) -> Result<(), Fault> {
    text(&register.name)?;
    within(register.price, 0, PRICE_MAX, "price out of range")?;
    within(register.stock.into(), 0, i32::MAX.into(), "stock out of range")
}

pub(super) fn restock(restock: &RestockProduct) -> Result<(), Fault> {
    within(restock.qty.into(), 1, i32::MAX.into(), "quantity out of range")
}
