//! gdmarket: items, rentals. Payment is in [`crate::payment`].

pub mod state;

use crate::avro;
use crate::topics::Keyed;

avro! {
    /// Registers an item, or sets name and fee of a known one.
    pub struct RegisterItem {
        /// Unique id of this command; a repeat with the same id has no second effect.
        pub command_id: String,
        /// The item; partition key of the topic.
        pub item_id: String,
        /// Name shown to renters.
        pub name: String,
        /// Won for the whole rental.
        pub fee: i64,
        /// When it was asked for, in milliseconds since the epoch.
        pub requested_at: i64,
    }
}

avro! {
    /// Deletes an item; refused while it is locked or out.
    pub struct DeleteItem {
        /// Unique id of this command; a repeat with the same id has no second effect.
        pub command_id: String,
        /// The item; partition key of the topic.
        pub item_id: String,
        /// When it was asked for, in milliseconds since the epoch.
        pub requested_at: i64,
    }
}

avro! {
    /// What a [`ItemCommand`] carries.
    pub enum ItemCommandKind: "orderflow.gdmarket.ItemCommand.command" {
        /// Registers an item, or sets name and fee of a known one.
        RegisterItem(RegisterItem),
        /// Deletes an item; refused while it is locked or out.
        DeleteItem(DeleteItem),
    }
}

avro! {
    /// Topic gdmarket.items: what the item manager asks for.
    pub struct ItemCommand: "orderflow.gdmarket.ItemCommand" in "gdmarket/ItemCommand.avsc" {
        /// One of the commands.
        pub command: ItemCommandKind,
    }
}

avro! {
    /// Asks to rent an item; its fee is charged once the item is locked for it.
    pub struct RequestRental {
        /// Unique id of this command; a repeat with the same id has no second effect.
        pub command_id: String,
        /// The rental; partition key of the topic.
        pub rental_id: String,
        /// The item.
        pub item_id: String,
        /// Who rents; empty when unknown.
        pub renter_id: String,
        /// When it was asked for, in milliseconds since the epoch.
        pub requested_at: i64,
    }
}

avro! {
    /// Takes the payment back, and with it the rental; refused once the item is back.
    pub struct CancelPayment {
        /// Unique id of this command; a repeat with the same id has no second effect.
        pub command_id: String,
        /// The rental; partition key of the topic.
        pub rental_id: String,
        /// Why, in their words; empty when they said nothing.
        pub reason: String,
        /// When it was asked for, in milliseconds since the epoch.
        pub requested_at: i64,
    }
}

avro! {
    /// Cancels the request; refused once the item is back.
    pub struct CancelRental {
        /// Unique id of this command; a repeat with the same id has no second effect.
        pub command_id: String,
        /// The rental; partition key of the topic.
        pub rental_id: String,
        /// Why, in their words; empty when they said nothing.
        pub reason: String,
        /// When it was asked for, in milliseconds since the epoch.
        pub requested_at: i64,
    }
}

avro! {
    /// Brings the item back.
    pub struct ReturnItem {
        /// Unique id of this command; a repeat with the same id has no second effect.
        pub command_id: String,
        /// The rental; partition key of the topic.
        pub rental_id: String,
        /// When it was asked for, in milliseconds since the epoch.
        pub requested_at: i64,
    }
}

avro! {
    /// What a [`RentalCommand`] carries.
    pub enum RentalCommandKind: "orderflow.gdmarket.RentalCommand.command" {
        /// Asks to rent an item; its fee is charged once the item is locked for it.
        RequestRental(RequestRental),
        /// Takes the payment back, and with it the rental; refused once the item is back.
        CancelPayment(CancelPayment),
        /// Cancels the request; refused once the item is back.
        CancelRental(CancelRental),
        /// Brings the item back.
        ReturnItem(ReturnItem),
    }
}

avro! {
    /// Topic gdmarket.rentals: what renters ask for.
    pub struct RentalCommand: "orderflow.gdmarket.RentalCommand" in "gdmarket/RentalCommand.avsc" {
        /// One of the commands.
        pub command: RentalCommandKind,
    }
}

avro! {
    /// What is asked of item management.
    pub enum ItemRequestKind: "orderflow.gdmarket.ItemRequestKind" {
        /// A symbol of a newer release.
        Unknown = "UNKNOWN",
        /// Keep the item for one rental.
        Lock = "LOCK",
        /// Give it to the renter.
        HandOut = "HAND_OUT",
        /// Give reserved pieces back.
        Release = "RELEASE",
    }
}

avro! {
    /// Topic gdmarket.item-requests: what the rental saga asks of item management.
    pub struct ItemRequest: "orderflow.gdmarket.ItemRequest" in "gdmarket/ItemRequest.avsc" {
        /// LOCK keeps the item for one rental, HAND_OUT gives it to the renter, RELEASE makes it available again.
        pub kind: ItemRequestKind,
        /// The rental.
        pub rental_id: String,
        /// The item; partition key of the topic.
        pub item_id: String,
        /// Who rents; empty when unknown.
        pub renter_id: String,
        /// The rental command that led to this request.
        pub command_id: String,
        /// When it was asked for, in milliseconds since the epoch.
        pub requested_at: i64,
    }
}

avro! {
    /// What item management decided.
    pub enum ItemOutcome: "orderflow.gdmarket.ItemOutcome" {
        /// A symbol of a newer release.
        Unknown = "UNKNOWN",
        /// Kept for one rental.
        Locked = "LOCKED",
        /// Nothing was taken; the reason says why.
        Rejected = "REJECTED",
        /// With the renter.
        HandedOut = "HANDED_OUT",
        /// The pieces are back.
        Released = "RELEASED",
    }
}

avro! {
    /// Why an item was not locked.
    pub enum ItemRejection: "orderflow.gdmarket.ItemRejection" {
        /// A symbol of a newer release.
        Unknown = "UNKNOWN",
        /// Another rental holds it.
        NotAvailable = "NOT_AVAILABLE",
        /// No such item is registered.
        UnknownItem = "UNKNOWN_ITEM",
        /// The item is deleted.
        Deleted = "DELETED",
    }
}

avro! {
    /// Topic gdmarket.item-results: the answer of item management to the rental saga.
    pub struct ItemResult: "orderflow.gdmarket.ItemResult" in "gdmarket/ItemResult.avsc" {
        /// What item management decided.
        pub outcome: ItemOutcome,
        /// The rental; partition key of the topic.
        pub rental_id: String,
        /// The item.
        pub item_id: String,
        /// Won for the rental, as registered; 0 when rejected.
        pub fee: i64,
        /// Set when rejected.
        pub reason: Option<ItemRejection>,
        /// The rental command that led to the request this answers.
        pub command_id: String,
        /// When it was decided, in milliseconds since the epoch.
        pub at: i64,
    }
}

avro! {
    /// Paid and handed out.
    pub struct RentalStarted {
        /// The rental; partition key of the topic.
        pub rental_id: String,
        /// The item.
        pub item_id: String,
        /// Who rents; empty when unknown.
        pub renter_id: String,
        /// Won for the whole rental.
        pub fee: i64,
        /// When it was handed out, in milliseconds since the epoch.
        pub started_at: i64,
    }
}

avro! {
    /// The item is back.
    pub struct RentalReturned {
        /// The rental; partition key of the topic.
        pub rental_id: String,
        /// The item.
        pub item_id: String,
        /// Who rents; empty when unknown.
        pub renter_id: String,
        /// When it came back, in milliseconds since the epoch.
        pub returned_at: i64,
    }
}

avro! {
    /// Why a rental was cancelled.
    pub enum RentalCancelReason: "orderflow.gdmarket.RentalCancelReason" {
        /// A symbol of a newer release.
        Unknown = "UNKNOWN",
        /// Another rental holds it.
        NotAvailable = "NOT_AVAILABLE",
        /// No such item is registered.
        UnknownItem = "UNKNOWN_ITEM",
        /// The item is deleted.
        Deleted = "DELETED",
        /// The payment was declined.
        PaymentDeclined = "PAYMENT_DECLINED",
        /// The payment was not settled before its deadline.
        PaymentTimeout = "PAYMENT_TIMEOUT",
        /// The customer took the payment back.
        PaymentCancelled = "PAYMENT_CANCELLED",
        /// The renter cancelled.
        Renter = "RENTER",
    }
}

avro! {
    /// Ended without or before a return; everything done for it has been undone.
    pub struct RentalCancelled {
        /// The rental; partition key of the topic.
        pub rental_id: String,
        /// The item.
        pub item_id: String,
        /// Who rents; empty when unknown.
        pub renter_id: String,
        /// Why.
        pub reason: RentalCancelReason,
        /// In words: of the renter or the payment provider; empty when there are none.
        pub detail: String,
        /// When the unwinding was complete, in milliseconds since the epoch.
        pub cancelled_at: i64,
    }
}

avro! {
    /// What a [`RentalEvent`] carries.
    pub enum RentalEventKind: "orderflow.gdmarket.RentalEvent.event" {
        /// Paid and handed out.
        RentalStarted(RentalStarted),
        /// The item is back.
        RentalReturned(RentalReturned),
        /// Ended without or before a return; everything done for it has been undone.
        RentalCancelled(RentalCancelled),
    }
}

avro! {
    /// Topic gdmarket.rental-events: what happened to rentals.
    pub struct RentalEvent: "orderflow.gdmarket.RentalEvent" in "gdmarket/RentalEvent.avsc" {
        /// One of the events.
        pub event: RentalEventKind,
    }
}

avro! {
    /// Where a rental stands.
    pub enum RentalState: "orderflow.gdmarket.RentalState" {
        /// A symbol of a newer release.
        Unknown = "UNKNOWN",
        /// Accepted; nothing is decided yet.
        Requested = "REQUESTED",
        /// The item is kept; the payment is under way.
        ItemLocked = "ITEM_LOCKED",
        /// The payment is put off and will be tried again.
        PaymentDeferred = "PAYMENT_DEFERRED",
        /// Paid; the delivery is asked for.
        Paid = "PAID",
        /// Taken: with the renter, or kept for the member while the payment is under way.
        Rented = "RENTED",
        /// Back; the saga is over.
        Returned = "RETURNED",
        /// Being unwound.
        Cancelling = "CANCELLING",
        /// Ended; everything done for it is undone.
        Cancelled = "CANCELLED",
    }
}

avro! {
    /// Topic gdmarket.rental-status: every change of state of every rental.
    pub struct RentalStatus: "orderflow.gdmarket.RentalStatus" in "gdmarket/RentalStatus.avsc" {
        /// The rental; partition key of the topic.
        pub rental_id: String,
        /// The item.
        pub item_id: String,
        /// Who rents; empty when unknown.
        pub renter_id: String,
        /// Won for the rental; 0 until the item is locked.
        pub fee: i64,
        /// The state entered.
        pub status: RentalState,
        /// Why, once it is being cancelled.
        pub reason: Option<RentalCancelReason>,
        /// Counts the changes of this rental from 1, so that a consumer can drop repeats.
        pub version: i32,
        /// When it changed, in milliseconds since the epoch.
        pub at: i64,
    }
}

avro! {
    /// Where an item stands.
    pub enum ItemState: "orderflow.gdmarket.ItemState" {
        /// A symbol of a newer release.
        Unknown = "UNKNOWN",
        /// Can be rented.
        Available = "AVAILABLE",
        /// Kept for one rental.
        Locked = "LOCKED",
        /// Taken: with the renter, or kept for the member while the payment is under way.
        Rented = "RENTED",
        /// The item is deleted.
        Deleted = "DELETED",
    }
}

avro! {
    /// Topic gdmarket.item-status: every change of state of every item.
    pub struct ItemStatus: "orderflow.gdmarket.ItemStatus" in "gdmarket/ItemStatus.avsc" {
        /// The item; partition key of the topic.
        pub item_id: String,
        /// Name shown to renters.
        pub name: String,
        /// Won for the whole rental.
        pub fee: i64,
        /// The state entered.
        pub status: ItemState,
        /// The rental that holds the item.
        pub rental_id: Option<String>,
        /// Counts the changes of this item from 1, so that a consumer can drop repeats.
        pub version: i32,
        /// When it changed, in milliseconds since the epoch.
        pub at: i64,
    }
}

impl Keyed for ItemCommand {
    fn key(&self) -> &str {
        match &self.command {
            ItemCommandKind::RegisterItem(command) => &command.item_id,
            ItemCommandKind::DeleteItem(command) => &command.item_id,
        }
    }
}

impl ItemCommand {
    /// The command's id, whatever its kind.
    pub fn command_id(&self) -> &str {
        match &self.command {
            ItemCommandKind::RegisterItem(command) => &command.command_id,
            ItemCommandKind::DeleteItem(command) => &command.command_id,
        }
    }
}

impl Keyed for RentalCommand {
    fn key(&self) -> &str {
        match &self.command {
            RentalCommandKind::RequestRental(command) => &command.rental_id,
            RentalCommandKind::CancelPayment(command) => &command.rental_id,
            RentalCommandKind::CancelRental(command) => &command.rental_id,
            RentalCommandKind::ReturnItem(command) => &command.rental_id,
        }
    }
}

impl RentalCommand {
    /// The command's id, whatever its kind.
    pub fn command_id(&self) -> &str {
        match &self.command {
            RentalCommandKind::RequestRental(command) => &command.command_id,
            RentalCommandKind::CancelPayment(command) => &command.command_id,
            RentalCommandKind::CancelRental(command) => &command.command_id,
            RentalCommandKind::ReturnItem(command) => &command.command_id,
        }
    }
}

impl Keyed for ItemRequest {
    fn key(&self) -> &str {
        &self.item_id
    }
}

impl Keyed for ItemResult {
    fn key(&self) -> &str {
        &self.rental_id
    }
}

impl Keyed for RentalEvent {
    fn key(&self) -> &str {
        match &self.event {
            RentalEventKind::RentalStarted(event) => &event.rental_id,
            RentalEventKind::RentalReturned(event) => &event.rental_id,
            RentalEventKind::RentalCancelled(event) => &event.rental_id,
        }
    }
}

impl Keyed for RentalStatus {
    fn key(&self) -> &str {
        &self.rental_id
    }
}

impl Keyed for ItemStatus {
    fn key(&self) -> &str {
        &self.item_id
    }
}

/// The topics of gdmarket.
pub mod topics {
    use super::{ItemCommand, ItemRequest, ItemResult, ItemStatus, RentalCommand, RentalEvent, RentalStatus};
    use crate::payment::{PaymentRequest, PaymentResult};
    use crate::topics::{Topic, TopicSpec};

    /// What the item manager asks for.
    pub const ITEMS: Topic<ItemCommand> = Topic::command("gdmarket.items", "item_id");
    /// What renters ask for.
    pub const RENTALS: Topic<RentalCommand> = Topic::command("gdmarket.rentals", "rental_id");
    /// From the rental saga to item management.
    pub const ITEM_REQUESTS: Topic<ItemRequest> = Topic::internal("gdmarket.item-requests", "item_id");
    /// From item management to the rental saga.
    pub const ITEM_RESULTS: Topic<ItemResult> = Topic::internal("gdmarket.item-results", "rental_id");
    /// From the saga to the payment worker.
    pub const PAYMENT_REQUESTS: Topic<PaymentRequest> = Topic::internal("gdmarket.payment-requests", "rental_id");
    /// From the payment worker, or any external payment system, to the saga.
    pub const PAYMENT_RESULTS: Topic<PaymentResult> = Topic::internal("gdmarket.payment-results", "rental_id");
    /// What happened to rentals.
    pub const RENTAL_EVENTS: Topic<RentalEvent> = Topic::event("gdmarket.rental-events", "rental_id");
    /// Every change of state of every rental.
    pub const RENTAL_STATUS: Topic<RentalStatus> = Topic::event("gdmarket.rental-status", "rental_id");
    /// Every change of state of every item.
    pub const ITEM_STATUS: Topic<ItemStatus> = Topic::event("gdmarket.item-status", "item_id");

    /// All of them.
    pub const ALL: &[TopicSpec] = &[
        ITEMS.spec(),
        RENTALS.spec(),
        ITEM_REQUESTS.spec(),
        ITEM_RESULTS.spec(),
        PAYMENT_REQUESTS.spec(),
        PAYMENT_RESULTS.spec(),
        RENTAL_EVENTS.spec(),
        RENTAL_STATUS.spec(),
        ITEM_STATUS.spec(),
    ];
}
