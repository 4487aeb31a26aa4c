//! Which commands are sound, by the promises made to clients (the table of bad input in the docs). Written anew here: an
//! auditor that asked the engine what is valid would agree with all its mistakes.

use std::time::{SystemTime, UNIX_EPOCH};

use schemas::fashion::{CancelOrder, CancelRequester, PlaceOrder, RegisterProduct, RestockProduct};

/// Bytes of an id.
const ID_BYTES_MAX: usize = 128;

/// Characters of a text that people write.
const TEXT_CHARS_MAX: usize = 500;

/// Won: the largest number that JSON readers of all languages read exactly.
const PRICE_MAX: i64 = (1 << 53) - 1;

const DAY_MS: i64 = 24 * 60 * 60 * 1_000;

/// How far ahead of the clock a command's own time may lie.
const AHEAD_MS_MAX: i64 = DAY_MS;

/// How long orders are remembered by default: an older command may have been carried out before.
const REMEMBERED_MS: i64 = 90 * DAY_MS;

type Fault = &'static str;

pub(super) fn id(id: &str) -> Result<(), Fault> {
    if id.is_empty() {
        return Err("empty id");
    }
    optional_id(id)
}

fn optional_id(id: &str) -> Result<(), Fault> {
    if id.len() > ID_BYTES_MAX {
        return Err("id too long");
    }
    if id.chars().any(char::is_control) {
        return Err("control character in an id");
    }
    Ok(())
}

fn text(text: &str) -> Result<(), Fault> {
    if text.chars().count() > TEXT_CHARS_MAX { Err("text too long") } else { Ok(()) }
}

fn within(value: i64, least: i64, most: i64, fault: Fault) -> Result<(), Fault> {
    if (least..=most).contains(&value) { Ok(()) } else { Err(fault) }
}

pub(super) fn place(place: &PlaceOrder) -> Result<(), Fault> {
    optional_id(&place.customer_id)?;
    id(&place.product_id)?;
    text(&place.size)?;
    within(place.qty.into(), 1, i32::MAX.into(), "quantity out of range")?;
    within(place.price, 0, PRICE_MAX, "price out of range")?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64);
    within(place.placed_at, now - REMEMBERED_MS, now + AHEAD_MS_MAX, "placed too long ago, or in the future")
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
