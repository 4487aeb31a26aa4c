//! What passengers and drivers ask for.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use schemas::taxi::{AcceptCall, CallTaxi, DriverCommand, PassengerCommand};

use super::{Calls, Passengers, Taxi, wire};
use crate::body::Fields;
use crate::error::ApiError;
use crate::gateway::{Ask, Gateway, now_ms};

type Desk = State<Arc<Gateway<Taxi>>>;

/// `POST /passengers`: a passenger calls. Taken whether or not the call list runs.
pub(super) async fn call_taxi(State(desk): Desk, ask: Ask, mut fields: Fields) -> Result<Response, ApiError> {
    let id = fields.id("id").or_else(|| fields.id("callId"));
    fields.word("status", wire::CALL);
    let call = CallTaxi {
        command_id: ask.command_id(),
        call_id: ask.id(id),
        passenger_id: fields.id("passengerId").unwrap_or_default(),
        start_location: fields.required_text("startLocation"),
        end_location: fields.required_text("endLocation"),
        called_at: now_ms(),
    };
    fields.ignore(&["_links"]);
    fields.finish()?;
    desk.submit::<Passengers>(PassengerCommand { command: call.into() }, ask, None).await
}

/// `POST /taxis/accept`: a driver accepts a call, and is answered with the call list's decision.
pub(super) async fn accept_call(State(desk): Desk, ask: Ask, mut fields: Fields) -> Result<Response, ApiError> {
    fields.word("status", wire::ACCEPT);
    let accept = AcceptCall {
        command_id: ask.command_id(),
        call_id: fields.required_id("callId"),
        driver_id: fields.id("driverId").unwrap_or_default(),
        start_location: fields.text("startLocation"),
        end_location: fields.text("endLocation"),
        accepted_at: now_ms(),
    };
    fields.ignore(&["id", "_links"]);
    fields.finish()?;
    desk.submit::<Calls>(DriverCommand { command: accept.into() }, ask, None).await
}
