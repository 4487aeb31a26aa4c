//! State of taxi's sagas, as it lies in stores and changelogs. What clients see of it is its JSON form.

use super::{CallState, DriverCommand, DriverCommandKind, PassengerCommand, PassengerCommandKind};
use crate::avro;
use crate::state::Command;

avro! {
    /// One change of state of a call.
    pub struct CallStep {
        /// Counts the changes from 1.
        pub version: i32,
        /// The state entered.
        pub status: CallState,
        /// When it changed, in milliseconds since the epoch.
        pub at: i64,
    }
}

avro! {
    /// A call as its passenger sees it, with everything its saga has to know.
    pub struct Passenger: "orderflow.taxi.Passenger" in "taxi/state/Passenger.avsc" {
        /// The call.
        pub call_id: String,
        /// The passenger; empty when unknown.
        pub passenger_id: String,
        /// Where the ride begins, in the words of the passenger.
        pub start_location: String,
        /// Where the ride ends, in the words of the passenger.
        pub end_location: String,
        /// When the passenger called, in milliseconds since the epoch.
        pub called_at: i64,
        /// The command that called.
        pub command_id: String,
        /// Where the call stands.
        pub status: CallState,
        /// The driver, once assigned.
        pub driver_id: Option<String>,
        /// Changes of state so far.
        pub version: i32,
        /// When the saga began, in milliseconds since the epoch.
        pub created_at: i64,
        /// Since when nothing is under way, in milliseconds since the epoch; null while something is.
        pub settled_at: Option<i64>,
        /// Every change of state, oldest first.
        pub history: Vec<CallStep>,
    }
}

avro! {
    /// A call on the call list.
    pub struct Call: "orderflow.taxi.Call" in "taxi/state/Call.avsc" {
        /// The call.
        pub call_id: String,
        /// The passenger; empty when unknown.
        pub passenger_id: String,
        /// Where the ride begins, in the words of the passenger.
        pub start_location: String,
        /// Where the ride ends, in the words of the passenger.
        pub end_location: String,
        /// Where it stands: LISTED, ASSIGNED or EXPIRED.
        pub status: CallState,
        /// The driver it is assigned to; empty for one who gave no name.
        pub driver_id: Option<String>,
        /// When the passenger called, in milliseconds since the epoch.
        pub called_at: i64,
        /// When it was put on the list, in milliseconds since the epoch.
        pub listed_at: i64,
        /// When it was assigned or expired, in milliseconds since the epoch; null while it waits.
        pub decided_at: Option<i64>,
    }
}

impl Command for PassengerCommand {
    fn command_id(&self) -> &str {
        PassengerCommand::command_id(self)
    }
    fn kind(&self) -> &'static str {
        match self.command {
            PassengerCommandKind::CallTaxi(_) => "CallTaxi",
        }
    }
    fn content(&self) -> Self {
        let mut same = self.clone();
        match &mut same.command {
            PassengerCommandKind::CallTaxi(command) => {
                command.command_id.clear();
                command.called_at = 0;
            }
        }
        same
    }
}

impl Command for DriverCommand {
    fn command_id(&self) -> &str {
        DriverCommand::command_id(self)
    }
    fn kind(&self) -> &'static str {
        match self.command {
            DriverCommandKind::AcceptCall(_) => "AcceptCall",
        }
    }
    fn content(&self) -> Self {
        let mut same = self.clone();
        match &mut same.command {
            DriverCommandKind::AcceptCall(command) => {
                command.command_id.clear();
                command.accepted_at = 0;
            }
        }
        same
    }
}
