//! What clients see of taxi: the seed's names and status words; what the seed has no word for is in `state`.

use schemas::state::{CommandOutcome, Verdict};
use schemas::taxi::state::{Call, CallStep, Passenger};
use schemas::taxi::{AcceptanceRejection, CallEvent, CallEventKind, CallState, CallStatus};
use serde::Serialize;

use crate::error::ApiError;
use crate::gateway::wire::{At, Links};

/// The seed's word for a call that waits for a driver.
pub(super) const CALL: &str = "call";
/// The seed's word for a call that a driver has.
pub(super) const ACCEPT: &str = "accept";

/// The seed's status of a call; it knows no call that nobody took in time, for which our word stands.
fn word(state: CallState) -> &'static str {
    match state {
        CallState::Called | CallState::Listed => CALL,
        CallState::Assigned => ACCEPT,
        CallState::Expired => "expired",
        CallState::Unknown => "unknown",
    }
}

#[derive(Debug, Serialize)]
struct StepView {
    version: i32,
    state: CallState,
    at: i64,
}

impl From<&CallStep> for StepView {
    fn from(step: &CallStep) -> Self {
        StepView { version: step.version, state: step.status, at: step.at }
    }
}

/// `/passengers/{id}`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PassengerView<'a> {
    id: &'a str,
    passenger_id: &'a str,
    start_location: &'a str,
    end_location: &'a str,
    status: &'static str,
    state: CallState,
    #[serde(skip_serializing_if = "Option::is_none")]
    driver_id: Option<&'a str>,
    called_at: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    settled_at: Option<i64>,
    history: Vec<StepView>,
    #[serde(rename = "_links")]
    links: Links,
}

impl<'a> PassengerView<'a> {
    pub(super) fn new(passenger: &'a Passenger, at: At<'_>) -> Self {
        let id = &passenger.call_id;
        PassengerView {
            id,
            passenger_id: &passenger.passenger_id,
            start_location: &passenger.start_location,
            end_location: &passenger.end_location,
            status: word(passenger.status),
            state: passenger.status,
            driver_id: passenger.driver_id.as_deref(),
            called_at: passenger.called_at,
            settled_at: passenger.settled_at,
            history: passenger.history.iter().map(StepView::from).collect(),
            links: Links::new("passenger", at.href("passengers", id)).and("call", at.href("calls", id)).and_events(),
        }
    }
}

/// `/calls/{id}`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct CallView<'a> {
    id: &'a str,
    passenger_id: &'a str,
    start_location: &'a str,
    end_location: &'a str,
    status: &'static str,
    state: CallState,
    #[serde(skip_serializing_if = "Option::is_none")]
    driver_id: Option<&'a str>,
    called_at: i64,
    listed_at: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    decided_at: Option<i64>,
    #[serde(rename = "_links")]
    links: Links,
}

impl<'a> CallView<'a> {
    pub(super) fn new(call: &'a Call, at: At<'_>) -> Self {
        let id = &call.call_id;
        CallView {
            id,
            passenger_id: &call.passenger_id,
            start_location: &call.start_location,
            end_location: &call.end_location,
            status: word(call.status),
            state: call.status,
            driver_id: call.driver_id.as_deref(),
            called_at: call.called_at,
            listed_at: call.listed_at,
            decided_at: call.decided_at,
            links: Links::new("call", at.href("calls", id)).and("passenger", at.href("passengers", id)),
        }
    }
}

/// The answer to a driver: whether the call is theirs, the call, and the message if it is not.
pub(super) fn acceptance(call: &Call, outcome: &CommandOutcome, at: At<'_>) -> Result<Vec<u8>, ApiError> {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct View<'a> {
        call_id: &'a str,
        accepted: bool,
        #[serde(skip_serializing_if = "str::is_empty")]
        message: &'a str,
        #[serde(flatten)]
        call: CallView<'a>,
    }
    let accepted = matches!(outcome.verdict, Verdict::Accepted | Verdict::Duplicate);
    let message = if accepted { "" } else { &outcome.detail };
    let view = View { call_id: &call.call_id, accepted, message, call: CallView::new(call, at) };
    serde_json::to_vec(&view).map_err(|e| ApiError::Internal(e.to_string()))
}

/// A status event of `/passengers/events`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct StatusView<'a> {
    id: &'a str,
    passenger_id: &'a str,
    start_location: &'a str,
    end_location: &'a str,
    status: &'static str,
    state: CallState,
    #[serde(skip_serializing_if = "Option::is_none")]
    driver_id: Option<&'a str>,
    version: i32,
    at: i64,
}

impl<'a> From<&'a CallStatus> for StatusView<'a> {
    fn from(status: &'a CallStatus) -> Self {
        StatusView {
            id: &status.call_id,
            passenger_id: &status.passenger_id,
            start_location: &status.start_location,
            end_location: &status.end_location,
            status: word(status.status),
            state: status.status,
            driver_id: status.driver_id.as_deref(),
            version: status.version,
            at: status.at,
        }
    }
}

/// An event of `/taxis/events`.
#[derive(Debug, Serialize)]
#[serde(tag = "event", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub(super) enum NewsView<'a> {
    CallListed { call_id: &'a str, start_location: &'a str, end_location: &'a str, at: i64 },
    CallAssigned { call_id: &'a str, driver_id: &'a str, at: i64 },
    AcceptanceRejected { call_id: &'a str, driver_id: &'a str, reason: AcceptanceRejection, message: &'a str, at: i64 },
}

impl<'a> From<&'a CallEvent> for NewsView<'a> {
    fn from(event: &'a CallEvent) -> Self {
        match &event.event {
            CallEventKind::CallListed(e) => NewsView::CallListed {
                call_id: &e.call_id,
                start_location: &e.start_location,
                end_location: &e.end_location,
                at: e.listed_at,
            },
            CallEventKind::CallAssigned(e) => {
                NewsView::CallAssigned { call_id: &e.call_id, driver_id: &e.driver_id, at: e.assigned_at }
            }
            CallEventKind::AcceptanceRejected(e) => NewsView::AcceptanceRejected {
                call_id: &e.call_id,
                driver_id: &e.driver_id,
                reason: e.reason,
                message: &e.message,
                at: e.rejected_at,
            },
        }
    }
}
