//! State of gdmarket's sagas, as it lies in stores and changelogs. What clients see of it is its JSON form.

use super::{
    ItemCommand, ItemCommandKind, ItemState, RentalCancelReason, RentalCommand, RentalCommandKind, RentalState,
};
use crate::avro;
use crate::state::{Command, Payment};

avro! {
    /// Where the item of a rental stands.
    pub enum ItemPhase: "orderflow.gdmarket.ItemPhase" {
        /// A symbol of a newer release.
        Unknown = "UNKNOWN",
        /// A LOCK is open.
        Asked = "ASKED",
        /// It is kept for the rental.
        Locked = "LOCKED",
        /// It was not to be had; nothing is kept.
        Rejected = "REJECTED",
        /// A HAND_OUT is open.
        HandingOut = "HANDING_OUT",
        /// The renter has it.
        Out = "OUT",
        /// A RELEASE is open.
        Releasing = "RELEASING",
        /// Nothing is kept any more.
        Released = "RELEASED",
    }
}

avro! {
    /// One change of state of a rental.
    pub struct RentalStep {
        /// Counts the changes from 1.
        pub version: i32,
        /// The state entered.
        pub status: RentalState,
        /// Why, once it is being cancelled.
        pub reason: Option<RentalCancelReason>,
        /// In words; empty when there are none.
        pub detail: String,
        /// When it changed, in milliseconds since the epoch.
        pub at: i64,
    }
}

avro! {
    /// A rental with everything its saga has to know.
    pub struct Rental: "orderflow.gdmarket.Rental" in "gdmarket/state/Rental.avsc" {
        /// The rental.
        pub rental_id: String,
        /// The item.
        pub item_id: String,
        /// Who rents; empty when unknown.
        pub renter_id: String,
        /// Won for the rental; 0 until the item is locked.
        pub fee: i64,
        /// When it was asked for, in milliseconds since the epoch.
        pub requested_at: i64,
        /// The command that asked for it.
        pub command_id: String,
        /// Where it stands.
        pub status: RentalState,
        /// Why it is being cancelled or was; null while it is not.
        pub reason: Option<RentalCancelReason>,
        /// The reason in words; empty when there are none.
        pub detail: String,
        /// Changes of state so far.
        pub version: i32,
        /// Its item.
        pub item: ItemPhase,
        /// Its payment.
        pub payment: Payment,
        /// When the saga began, in milliseconds since the epoch.
        pub created_at: i64,
        /// When it is unwound unless it is paid by then, in milliseconds since the epoch; null when nothing waits for that.
        pub deadline_at: Option<i64>,
        /// Since when nothing is under way, in milliseconds since the epoch; null while something is.
        pub settled_at: Option<i64>,
        /// Every change of state, oldest first.
        pub history: Vec<RentalStep>,
    }
}

avro! {
    /// An item and who has it.
    pub struct Item: "orderflow.gdmarket.Item" in "gdmarket/state/Item.avsc" {
        /// The item.
        pub item_id: String,
        /// Name shown to renters.
        pub name: String,
        /// Won for the whole rental.
        pub fee: i64,
        /// Where it stands.
        pub status: ItemState,
        /// The rental that holds the item.
        pub rental_id: Option<String>,
        /// Changes so far.
        pub version: i32,
        /// When it was registered, in milliseconds since the epoch.
        pub registered_at: i64,
        /// When it last changed, in milliseconds since the epoch.
        pub updated_at: i64,
    }
}

avro! {
    /// A row of the item manager's view of all items.
    pub struct ItemView: "orderflow.gdmarket.ItemView" in "gdmarket/state/ItemView.avsc" {
        /// The item.
        pub item_id: String,
        /// Name shown to renters.
        pub name: String,
        /// Won for the whole rental.
        pub fee: i64,
        /// Where it stands.
        pub status: ItemState,
        /// The rental that holds the item.
        pub rental_id: Option<String>,
        /// The last change seen.
        pub version: i32,
        /// How often it was handed out.
        pub rentals: i32,
        /// When it was last kept for a rental, in milliseconds since the epoch.
        pub locked_at: Option<i64>,
        /// When it was last handed out, in milliseconds since the epoch.
        pub rented_at: Option<i64>,
        /// When it last became available, in milliseconds since the epoch.
        pub available_at: Option<i64>,
        /// When it was deleted, in milliseconds since the epoch.
        pub deleted_at: Option<i64>,
        /// When it last changed, in milliseconds since the epoch.
        pub updated_at: i64,
    }
}

impl Command for ItemCommand {
    fn command_id(&self) -> &str {
        ItemCommand::command_id(self)
    }
    fn kind(&self) -> &'static str {
        match self.command {
            ItemCommandKind::RegisterItem(_) => "RegisterItem",
            ItemCommandKind::DeleteItem(_) => "DeleteItem",
        }
    }
    fn content(&self) -> Self {
        let mut same = self.clone();
        match &mut same.command {
            ItemCommandKind::RegisterItem(command) => {
                command.command_id.clear();
                command.requested_at = 0;
            }
            ItemCommandKind::DeleteItem(command) => {
                command.command_id.clear();
                command.requested_at = 0;
            }
        }
        same
    }
}

impl Command for RentalCommand {
    fn command_id(&self) -> &str {
        RentalCommand::command_id(self)
    }
    fn kind(&self) -> &'static str {
        match self.command {
            RentalCommandKind::RequestRental(_) => "RequestRental",
            RentalCommandKind::CancelPayment(_) => "CancelPayment",
            RentalCommandKind::CancelRental(_) => "CancelRental",
            RentalCommandKind::ReturnItem(_) => "ReturnItem",
        }
    }
    fn content(&self) -> Self {
        let mut same = self.clone();
        match &mut same.command {
            RentalCommandKind::RequestRental(command) => {
                command.command_id.clear();
                command.requested_at = 0;
            }
            RentalCommandKind::CancelPayment(command) => {
                command.command_id.clear();
                command.requested_at = 0;
            }
            RentalCommandKind::CancelRental(command) => {
                command.command_id.clear();
                command.requested_at = 0;
            }
            RentalCommandKind::ReturnItem(command) => {
                command.command_id.clear();
                command.requested_at = 0;
            }
        }
        same
    }
}
