//! Which commands are sound.

use schemas::taxi::{AcceptCall, CallTaxi};

use crate::audit::rules::{Fault, begun_at, optional_id, text};

pub(super) fn call(call: &CallTaxi) -> Result<(), Fault> {
    optional_id(&call.passenger_id)?;
    text(&call.start_location)?;
    text(&call.end_location)?;
    begun_at(call.called_at)
}

pub(super) fn accept(accept: &AcceptCall) -> Result<(), Fault> {
    optional_id(&accept.driver_id)?;
    text(&accept.start_location)?;
    text(&accept.end_location)
}
