//! State of fashion-store's sagas, as it lies in stores and changelogs. What clients see of it is its JSON form.

use super::{
    CancellationReason, OrderCommand, OrderCommandKind, OrderStage, OrderState, ProductCommand, ProductCommandKind,
    StockRejection,
};
use crate::avro;
use crate::state::{Command, KEY_SEPARATOR, Payment};

avro! {
    /// Where the stock of an order stands.
    pub enum StockPhase: "orderflow.fashion.StockPhase" {
        /// A symbol of a newer release.
        Unknown = "UNKNOWN",
        /// A RESERVE is open.
        Asked = "ASKED",
        /// The pieces are kept for the order.
        Reserved = "RESERVED",
        /// There are none; nothing is kept.
        Rejected = "REJECTED",
        /// A RELEASE is open.
        Releasing = "RELEASING",
        /// Nothing is kept any more.
        Released = "RELEASED",
    }
}

avro! {
    /// Where the delivery of an order stands.
    pub enum DeliveryPhase: "orderflow.fashion.DeliveryPhase" {
        /// A symbol of a newer release.
        Unknown = "UNKNOWN",
        /// Nothing was asked of delivery management.
        None = "NONE",
        /// A START is open.
        Asked = "ASKED",
        /// The parcel is on its way.
        Started = "STARTED",
        /// A CANCEL is open.
        Cancelling = "CANCELLING",
        /// The parcel was called back, or will never start.
        Cancelled = "CANCELLED",
    }
}

avro! {
    /// What became of a reservation.
    pub enum ReservationPhase: "orderflow.fashion.ReservationPhase" {
        /// A symbol of a newer release.
        Unknown = "UNKNOWN",
        /// The pieces are taken out of the free stock.
        Held = "HELD",
        /// There were not enough, or no such product.
        Rejected = "REJECTED",
        /// The pieces are free again, or were never taken and never will be.
        Released = "RELEASED",
    }
}

avro! {
    /// One change of state of an order.
    pub struct OrderStep {
        /// Counts the changes from 1.
        pub version: i32,
        /// The state entered.
        pub status: OrderState,
        /// What caused the change.
        pub stage: OrderStage,
        /// Why, once the order is being cancelled.
        pub reason: Option<CancellationReason>,
        /// In words; empty when there are none.
        pub detail: String,
        /// When it changed, in milliseconds since the epoch.
        pub at: i64,
    }
}

avro! {
    /// An order with everything its saga has to know.
    pub struct Order: "orderflow.fashion.Order" in "fashion-store/state/Order.avsc" {
        /// The order.
        pub order_id: String,
        /// The customer; empty for an anonymous order.
        pub customer_id: String,
        /// The product.
        pub product_id: String,
        /// Size as the customer wrote it; empty when the product has none.
        pub size: String,
        /// Pieces, at least 1.
        pub qty: i32,
        /// Won for the whole order; the amount that is charged.
        pub price: i64,
        /// When the customer ordered, in milliseconds since the epoch.
        pub placed_at: i64,
        /// The command that placed it.
        pub command_id: String,
        /// Where it stands.
        pub status: OrderState,
        /// Why it is being cancelled or was; null while it is not.
        pub reason: Option<CancellationReason>,
        /// The reason in words; empty when there are none.
        pub detail: String,
        /// Changes of state so far.
        pub version: i32,
        /// Its stock.
        pub stock: StockPhase,
        /// Its payment.
        pub payment: Payment,
        /// Its delivery.
        pub delivery: DeliveryPhase,
        /// When the saga began, in milliseconds since the epoch.
        pub created_at: i64,
        /// When it is unwound unless it is paid by then, in milliseconds since the epoch; null once that is decided.
        pub deadline_at: Option<i64>,
        /// Since when nothing is under way, in milliseconds since the epoch; null while something is.
        pub settled_at: Option<i64>,
        /// Every change of state, oldest first.
        pub history: Vec<OrderStep>,
    }
}

avro! {
    /// A row of the customer's dashboard, made from status events alone.
    pub struct Dashboard: "orderflow.fashion.Dashboard" in "fashion-store/state/Dashboard.avsc" {
        /// The order.
        pub order_id: String,
        /// The customer; empty for an anonymous order.
        pub customer_id: String,
        /// The product.
        pub product_id: String,
        /// Size as the customer wrote it; empty when the product has none.
        pub size: String,
        /// Pieces, at least 1.
        pub qty: i32,
        /// Won for the whole order; the amount that is charged.
        pub price: i64,
        /// Where the order stands.
        pub status: OrderState,
        /// Why it is being cancelled or was.
        pub reason: Option<CancellationReason>,
        /// The last change seen.
        pub version: i32,
        /// When it was accepted, in milliseconds since the epoch.
        pub ordered_at: Option<i64>,
        /// When its stock was reserved, in milliseconds since the epoch.
        pub reserved_at: Option<i64>,
        /// When its payment was first put off, in milliseconds since the epoch.
        pub deferred_at: Option<i64>,
        /// When it was paid, in milliseconds since the epoch.
        pub paid_at: Option<i64>,
        /// When its delivery started, in milliseconds since the epoch.
        pub delivery_started_at: Option<i64>,
        /// When its cancellation began, in milliseconds since the epoch.
        pub cancel_requested_at: Option<i64>,
        /// When its delivery was called back, in milliseconds since the epoch.
        pub delivery_cancelled_at: Option<i64>,
        /// When everything was undone, in milliseconds since the epoch.
        pub cancelled_at: Option<i64>,
        /// When it last changed, in milliseconds since the epoch.
        pub updated_at: i64,
    }
}

avro! {
    /// A product and its stock.
    pub struct Product: "orderflow.fashion.Product" in "fashion-store/state/Product.avsc" {
        /// The product.
        pub product_id: String,
        /// Name shown to customers.
        pub name: String,
        /// Won for one piece.
        pub price: i64,
        /// Pieces on hand at registration.
        pub registered: i32,
        /// Pieces registered and restocked so far, less those sold so long ago that their orders are forgotten.
        pub on_hand: i64,
        /// Of these, pieces kept for orders or sent to customers; the rest is free.
        pub reserved: i64,
        /// When it was registered, in milliseconds since the epoch.
        pub registered_at: i64,
        /// When it last changed, in milliseconds since the epoch.
        pub updated_at: i64,
    }
}

avro! {
    /// What the stock decided about an order's pieces.
    pub struct Reservation: "orderflow.fashion.Reservation" in "fashion-store/state/Reservation.avsc" {
        /// The order.
        pub order_id: String,
        /// The product.
        pub product_id: String,
        /// Pieces asked for.
        pub qty: i32,
        /// What became of them.
        pub phase: ReservationPhase,
        /// Why it was rejected.
        pub reason: Option<StockRejection>,
        /// When that was decided, in milliseconds since the epoch.
        pub at: i64,
    }
}

avro! {
    /// A delivery.
    pub struct Delivery: "orderflow.fashion.Delivery" in "fashion-store/state/Delivery.avsc" {
        /// The order.
        pub order_id: String,
        /// The customer; empty for an anonymous order.
        pub customer_id: String,
        /// The product.
        pub product_id: String,
        /// Size as the customer wrote it; empty when the product has none.
        pub size: String,
        /// Pieces, at least 1.
        pub qty: i32,
        /// Where it stands: STARTED or CANCELLED.
        pub phase: DeliveryPhase,
        /// Why it was cancelled; empty when it was not or nobody said.
        pub reason: String,
        /// When it started, in milliseconds since the epoch; null when it never did.
        pub started_at: Option<i64>,
        /// When it was called back, in milliseconds since the epoch; null when it was not.
        pub cancelled_at: Option<i64>,
    }
}

impl Product {
    /// Pieces that can be ordered.
    pub fn free(&self) -> i64 {
        self.on_hand - self.reserved
    }
}

impl Order {
    /// Whether it has ended without delivery, everything undone.
    pub fn is_cancelled(&self) -> bool {
        self.status == OrderState::Cancelled
    }
}

/// The key of a reservation: the product, then the order.
pub fn reservation_key(product_id: &str, order_id: &str) -> String {
    format!("{product_id}{KEY_SEPARATOR}{order_id}")
}

/// The key of an order in the index by customer: the customer, then the order. All orders of a customer lie between
/// `customer_key(id, "")` and the first key without that prefix.
pub fn customer_key(customer_id: &str, order_id: &str) -> String {
    format!("{customer_id}{KEY_SEPARATOR}{order_id}")
}

impl Command for ProductCommand {
    fn command_id(&self) -> &str {
        ProductCommand::command_id(self)
    }
    fn kind(&self) -> &'static str {
        match self.command {
            ProductCommandKind::RegisterProduct(_) => "RegisterProduct",
            ProductCommandKind::RestockProduct(_) => "RestockProduct",
        }
    }
    fn content(&self) -> Self {
        let mut same = self.clone();
        match &mut same.command {
            ProductCommandKind::RegisterProduct(command) => command.command_id.clear(),
            ProductCommandKind::RestockProduct(command) => command.command_id.clear(),
        }
        same
    }
}

impl Command for OrderCommand {
    fn command_id(&self) -> &str {
        OrderCommand::command_id(self)
    }
    fn kind(&self) -> &'static str {
        match self.command {
            OrderCommandKind::PlaceOrder(_) => "PlaceOrder",
            OrderCommandKind::CancelOrder(_) => "CancelOrder",
        }
    }
    fn content(&self) -> Self {
        let mut same = self.clone();
        match &mut same.command {
            OrderCommandKind::PlaceOrder(command) => {
                command.command_id.clear();
                command.placed_at = 0;
            }
            OrderCommandKind::CancelOrder(command) => {
                command.command_id.clear();
                command.requested_at = 0;
            }
        }
        same
    }
}
