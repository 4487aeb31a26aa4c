//! Commands as the REST calls of `SYSTEMS.md`.

use schemas::taxi::{DriverCommandKind, PassengerCommandKind, topics};

use super::COMMANDS;
use crate::business::{Call, NoCall};
use crate::rest::{Body, begin, is_json, not_json};
use crate::traffic::Envelope;

pub(super) fn call(envelope: &Envelope, call: &mut Call) -> Result<(), NoCall> {
    let value = begin(envelope, call)?;
    if is_json(value) {
        not_json(call, "POST /passengers (not JSON)", "/passengers", value);
        return Ok(());
    }
    let unreadable = |_| NoCall("bytes that are no Avro have no REST call");
    call.method = "POST";
    if envelope.topic == topics::PASSENGERS.base() {
        let PassengerCommandKind::CallTaxi(c) = COMMANDS.passengers.decode(value).map_err(unreadable)?.command;
        if envelope.key.as_deref() != Some(c.call_id.as_bytes()) {
            return Err(NoCall("a wrong or null key has no REST call"));
        }
        call.name = "POST /passengers";
        call.path.push_str("/passengers");
        let mut body = Body::new(&mut call.body);
        body.text("id", &c.call_id);
        body.optional("passengerId", &c.passenger_id);
        body.text("startLocation", &c.start_location);
        body.text("endLocation", &c.end_location);
        body.text("status", "call");
        body.end();
    } else {
        let DriverCommandKind::AcceptCall(c) = COMMANDS.drivers.decode(value).map_err(unreadable)?.command;
        call.name = "POST /taxis/accept";
        call.path.push_str("/taxis/accept");
        call.idempotency_key.push_str(&c.command_id);
        let mut body = Body::new(&mut call.body);
        body.text("callId", &c.call_id);
        body.optional("driverId", &c.driver_id);
        body.text("startLocation", &c.start_location);
        body.text("endLocation", &c.end_location);
        body.text("status", "accept");
        body.end();
    }
    Ok(())
}
