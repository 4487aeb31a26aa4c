//! taxi: calls of passengers, the call list, acceptances of drivers.

pub mod state;

use crate::avro;
use crate::topics::Keyed;

avro! {
    /// Calls a taxi.
    pub struct CallTaxi {
        /// Unique id of this command; a repeat with the same id has no second effect.
        pub command_id: String,
        /// The call; partition key of the topic.
        pub call_id: String,
        /// The passenger; empty when unknown.
        pub passenger_id: String,
        /// Where the ride begins, in the words of the passenger.
        pub start_location: String,
        /// Where the ride ends, in the words of the passenger.
        pub end_location: String,
        /// When the passenger called, in milliseconds since the epoch.
        pub called_at: i64,
    }
}

avro! {
    /// What a [`PassengerCommand`] carries.
    pub enum PassengerCommandKind: "orderflow.taxi.PassengerCommand.command" {
        /// Calls a taxi.
        CallTaxi(CallTaxi),
    }
}

avro! {
    /// Topic taxi.passengers: what passengers ask for.
    pub struct PassengerCommand: "orderflow.taxi.PassengerCommand" in "taxi/PassengerCommand.avsc" {
        /// One of the commands.
        pub command: PassengerCommandKind,
    }
}

avro! {
    /// Takes a call; exactly one driver gets it.
    pub struct AcceptCall {
        /// Unique id of this command; a repeat with the same id has no second effect.
        pub command_id: String,
        /// The call; partition key of the topic.
        pub call_id: String,
        /// The driver; empty when unknown.
        pub driver_id: String,
        /// Where the ride begins, as shown to the driver; empty when not sent.
        pub start_location: String,
        /// Where the ride ends, as shown to the driver; empty when not sent.
        pub end_location: String,
        /// When the driver accepted, in milliseconds since the epoch.
        pub accepted_at: i64,
    }
}

avro! {
    /// What a [`DriverCommand`] carries.
    pub enum DriverCommandKind: "orderflow.taxi.DriverCommand.command" {
        /// Takes a call; exactly one driver gets it.
        AcceptCall(AcceptCall),
    }
}

avro! {
    /// Topic taxi.acceptances: what drivers ask for.
    pub struct DriverCommand: "orderflow.taxi.DriverCommand" in "taxi/DriverCommand.avsc" {
        /// One of the commands.
        pub command: DriverCommandKind,
    }
}

avro! {
    /// What is asked of the call list.
    pub enum CallRequestKind: "orderflow.taxi.CallRequestKind" {
        /// A symbol of a newer release.
        Unknown = "UNKNOWN",
        /// Put the call on the list.
        List = "LIST",
    }
}

avro! {
    /// Topic taxi.call-requests: from the passengers to the call list.
    pub struct CallRequest: "orderflow.taxi.CallRequest" in "taxi/CallRequest.avsc" {
        /// LIST puts the call on the list.
        pub kind: CallRequestKind,
        /// The call; partition key of the topic.
        pub call_id: String,
        /// The passenger; empty when unknown.
        pub passenger_id: String,
        /// Where the ride begins, in the words of the passenger.
        pub start_location: String,
        /// Where the ride ends, in the words of the passenger.
        pub end_location: String,
        /// When the passenger called, in milliseconds since the epoch.
        pub called_at: i64,
        /// When it was asked for, in milliseconds since the epoch.
        pub requested_at: i64,
    }
}

avro! {
    /// What became of a call.
    pub enum CallOutcome: "orderflow.taxi.CallOutcome" {
        /// A symbol of a newer release.
        Unknown = "UNKNOWN",
        /// On the list, waiting for a driver.
        Listed = "LISTED",
        /// A driver has it.
        Assigned = "ASSIGNED",
        /// Nobody took it in time; off the list.
        Expired = "EXPIRED",
    }
}

avro! {
    /// Topic taxi.call-results: from the call list to the passengers.
    pub struct CallResult: "orderflow.taxi.CallResult" in "taxi/CallResult.avsc" {
        /// What became of it.
        pub outcome: CallOutcome,
        /// The call; partition key of the topic.
        pub call_id: String,
        /// The driver it was assigned to.
        pub driver_id: Option<String>,
        /// When it was decided, in milliseconds since the epoch.
        pub at: i64,
    }
}

avro! {
    /// A call waits for a driver.
    pub struct CallListed {
        /// The call; partition key of the topic.
        pub call_id: String,
        /// The passenger; empty when unknown.
        pub passenger_id: String,
        /// Where the ride begins, in the words of the passenger.
        pub start_location: String,
        /// Where the ride ends, in the words of the passenger.
        pub end_location: String,
        /// When it was put on the list, in milliseconds since the epoch.
        pub listed_at: i64,
    }
}

avro! {
    /// A driver has the call.
    pub struct CallAssigned {
        /// The call; partition key of the topic.
        pub call_id: String,
        /// The passenger; empty when unknown.
        pub passenger_id: String,
        /// The driver; empty when unknown.
        pub driver_id: String,
        /// Where the ride begins, in the words of the passenger.
        pub start_location: String,
        /// Where the ride ends, in the words of the passenger.
        pub end_location: String,
        /// When it was assigned, in milliseconds since the epoch.
        pub assigned_at: i64,
    }
}

avro! {
    /// Why a driver did not get a call.
    pub enum AcceptanceRejection: "orderflow.taxi.AcceptanceRejection" {
        /// A symbol of a newer release.
        Unknown = "UNKNOWN",
        /// Another driver has it.
        AlreadyAssigned = "ALREADY_ASSIGNED",
        /// No such call is on the list.
        UnknownCall = "UNKNOWN_CALL",
        /// Nobody took it in time; off the list.
        Expired = "EXPIRED",
    }
}

avro! {
    /// A driver came too late, or the call is not on the list.
    pub struct AcceptanceRejected {
        /// The call; partition key of the topic.
        pub call_id: String,
        /// The driver; empty when unknown.
        pub driver_id: String,
        /// The driver's command.
        pub command_id: String,
        /// Why.
        pub reason: AcceptanceRejection,
        /// The words for the driver, e.g. 배차완료된 콜입니다.
        pub message: String,
        /// When it was decided, in milliseconds since the epoch.
        pub rejected_at: i64,
    }
}

avro! {
    /// What a [`CallEvent`] carries.
    pub enum CallEventKind: "orderflow.taxi.CallEvent.event" {
        /// A call waits for a driver.
        CallListed(CallListed),
        /// A driver has the call.
        CallAssigned(CallAssigned),
        /// A driver came too late, or the call is not on the list.
        AcceptanceRejected(AcceptanceRejected),
    }
}

avro! {
    /// Topic taxi.call-events: what happened on the call list; drivers read it.
    pub struct CallEvent: "orderflow.taxi.CallEvent" in "taxi/CallEvent.avsc" {
        /// One of the events.
        pub event: CallEventKind,
    }
}

avro! {
    /// Where a call stands.
    pub enum CallState: "orderflow.taxi.CallState" {
        /// A symbol of a newer release.
        Unknown = "UNKNOWN",
        /// The passenger has called; the list has not answered yet.
        Called = "CALLED",
        /// On the list, waiting for a driver.
        Listed = "LISTED",
        /// A driver has it.
        Assigned = "ASSIGNED",
        /// No driver took it in time.
        Expired = "EXPIRED",
    }
}

avro! {
    /// Topic taxi.call-status: every change of state of every call as its passenger sees it.
    pub struct CallStatus: "orderflow.taxi.CallStatus" in "taxi/CallStatus.avsc" {
        /// The call; partition key of the topic.
        pub call_id: String,
        /// The passenger; empty when unknown.
        pub passenger_id: String,
        /// The driver, once assigned.
        pub driver_id: Option<String>,
        /// Where the ride begins, in the words of the passenger.
        pub start_location: String,
        /// Where the ride ends, in the words of the passenger.
        pub end_location: String,
        /// The state entered.
        pub status: CallState,
        /// Counts the changes of this call from 1, so that a consumer can drop repeats.
        pub version: i32,
        /// When it changed, in milliseconds since the epoch.
        pub at: i64,
    }
}

impl Keyed for PassengerCommand {
    fn key(&self) -> &str {
        match &self.command {
            PassengerCommandKind::CallTaxi(command) => &command.call_id,
        }
    }
}

impl PassengerCommand {
    /// The command's id, whatever its kind.
    pub fn command_id(&self) -> &str {
        match &self.command {
            PassengerCommandKind::CallTaxi(command) => &command.command_id,
        }
    }
}

impl Keyed for DriverCommand {
    fn key(&self) -> &str {
        match &self.command {
            DriverCommandKind::AcceptCall(command) => &command.call_id,
        }
    }
}

impl DriverCommand {
    /// The command's id, whatever its kind.
    pub fn command_id(&self) -> &str {
        match &self.command {
            DriverCommandKind::AcceptCall(command) => &command.command_id,
        }
    }
}

impl Keyed for CallRequest {
    fn key(&self) -> &str {
        &self.call_id
    }
}

impl Keyed for CallResult {
    fn key(&self) -> &str {
        &self.call_id
    }
}

impl Keyed for CallEvent {
    fn key(&self) -> &str {
        match &self.event {
            CallEventKind::CallListed(event) => &event.call_id,
            CallEventKind::CallAssigned(event) => &event.call_id,
            CallEventKind::AcceptanceRejected(event) => &event.call_id,
        }
    }
}

impl Keyed for CallStatus {
    fn key(&self) -> &str {
        &self.call_id
    }
}

/// The topics of taxi.
pub mod topics {
    use super::{CallEvent, CallRequest, CallResult, CallStatus, DriverCommand, PassengerCommand};
    use crate::topics::{Topic, TopicSpec};

    /// What passengers ask for.
    pub const PASSENGERS: Topic<PassengerCommand> = Topic::command("taxi.passengers", "call_id");
    /// What drivers ask for.
    pub const ACCEPTANCES: Topic<DriverCommand> = Topic::command("taxi.acceptances", "call_id");
    /// From the passengers to the call list.
    pub const CALL_REQUESTS: Topic<CallRequest> = Topic::internal("taxi.call-requests", "call_id");
    /// From the call list to the passengers.
    pub const CALL_RESULTS: Topic<CallResult> = Topic::internal("taxi.call-results", "call_id");
    /// What happened on the call list; drivers read it.
    pub const CALL_EVENTS: Topic<CallEvent> = Topic::event("taxi.call-events", "call_id");
    /// Every change of state of every call as its passenger sees it.
    pub const CALL_STATUS: Topic<CallStatus> = Topic::event("taxi.call-status", "call_id");

    /// All of them.
    pub const ALL: &[TopicSpec] = &[
        PASSENGERS.spec(),
        ACCEPTANCES.spec(),
        CALL_REQUESTS.spec(),
        CALL_RESULTS.spec(),
        CALL_EVENTS.spec(),
        CALL_STATUS.spec(),
    ];
}
