//! fashion-store: products, orders, stock, delivery, cancellation. Payment is in [`crate::payment`].

pub mod state;

use crate::avro;
use crate::topics::Keyed;

avro! {
    /// Registers a product, or sets name and price of a known one.
    pub struct RegisterProduct {
        /// Unique id of this command; a repeat with the same id has no second effect.
        pub command_id: String,
        /// The product; partition key of the topic.
        pub product_id: String,
        /// Name shown to customers.
        pub name: String,
        /// Won for one piece.
        pub price: i64,
        /// Pieces on hand at registration, 0 or more.
        pub stock: i32,
    }
}

avro! {
    /// Adds pieces to the stock of a registered product.
    pub struct RestockProduct {
        /// Unique id of this command; a repeat with the same id has no second effect.
        pub command_id: String,
        /// The product; partition key of the topic.
        pub product_id: String,
        /// Pieces added, at least 1.
        pub qty: i32,
    }
}

avro! {
    /// What a [`ProductCommand`] carries.
    pub enum ProductCommandKind: "orderflow.fashion.ProductCommand.command" {
        /// Registers a product, or sets name and price of a known one.
        RegisterProduct(RegisterProduct),
        /// Adds pieces to the stock of a registered product.
        RestockProduct(RestockProduct),
    }
}

avro! {
    /// Topic fashion.products: what the merchandiser (MD) asks for.
    pub struct ProductCommand: "orderflow.fashion.ProductCommand" in "fashion-store/ProductCommand.avsc" {
        /// One of the commands.
        pub command: ProductCommandKind,
    }
}

avro! {
    /// Orders a quantity of one product.
    pub struct PlaceOrder {
        /// Unique id of this command; a repeat with the same id has no second effect.
        pub command_id: String,
        /// The order; partition key of the topic.
        pub order_id: String,
        /// The customer; empty for an anonymous order.
        pub customer_id: String,
        /// The product.
        pub product_id: String,
        /// Size as the customer wrote it; empty when the product has none.
        pub size: String,
        /// Pieces, at least 1.
        pub qty: i32,
        /// Won for the whole order, as the customer agreed to it; the amount that is charged.
        pub price: i64,
        /// When the customer ordered, in milliseconds since the epoch.
        pub placed_at: i64,
    }
}

avro! {
    /// Who asks for the cancellation.
    pub enum CancelRequester: "orderflow.fashion.CancelRequester" {
        /// A symbol of a newer release.
        Unknown = "UNKNOWN",
        /// The customer.
        Customer = "CUSTOMER",
        /// The merchandiser.
        Md = "MD",
    }
}

avro! {
    /// Cancels an order; undoes whatever has happened to it so far.
    pub struct CancelOrder {
        /// Unique id of this command; a repeat with the same id has no second effect.
        pub command_id: String,
        /// The order; partition key of the topic.
        pub order_id: String,
        /// Who asks.
        pub requested_by: CancelRequester,
        /// Why, in their words; empty when they said nothing.
        pub reason: String,
        /// When they asked, in milliseconds since the epoch.
        pub requested_at: i64,
    }
}

avro! {
    /// What a [`OrderCommand`] carries.
    pub enum OrderCommandKind: "orderflow.fashion.OrderCommand.command" {
        /// Orders a quantity of one product.
        PlaceOrder(PlaceOrder),
        /// Cancels an order; undoes whatever has happened to it so far.
        CancelOrder(CancelOrder),
    }
}

avro! {
    /// Topic fashion.orders: what customers and the merchandiser ask for.
    pub struct OrderCommand: "orderflow.fashion.OrderCommand" in "fashion-store/OrderCommand.avsc" {
        /// One of the commands.
        pub command: OrderCommandKind,
    }
}

avro! {
    /// What is asked of the stock.
    pub enum StockRequestKind: "orderflow.fashion.StockRequestKind" {
        /// A symbol of a newer release.
        Unknown = "UNKNOWN",
        /// Take pieces out of the free stock.
        Reserve = "RESERVE",
        /// Give reserved pieces back.
        Release = "RELEASE",
    }
}

avro! {
    /// Topic fashion.stock-requests: what the order saga asks of the stock.
    pub struct StockRequest: "orderflow.fashion.StockRequest" in "fashion-store/StockRequest.avsc" {
        /// RESERVE takes pieces out of the free stock, RELEASE gives them back.
        pub kind: StockRequestKind,
        /// The order the pieces are for; at most one reservation per order.
        pub order_id: String,
        /// The product; partition key of the topic.
        pub product_id: String,
        /// Pieces, at least 1.
        pub qty: i32,
        /// The order command that led to this request.
        pub command_id: String,
        /// When the saga asked, in milliseconds since the epoch.
        pub requested_at: i64,
    }
}

avro! {
    /// What the stock decided.
    pub enum StockOutcome: "orderflow.fashion.StockOutcome" {
        /// A symbol of a newer release.
        Unknown = "UNKNOWN",
        /// The pieces are kept for the order.
        Reserved = "RESERVED",
        /// Nothing was taken; the reason says why.
        Rejected = "REJECTED",
        /// The pieces are back.
        Released = "RELEASED",
    }
}

avro! {
    /// Why a reservation was rejected.
    pub enum StockRejection: "orderflow.fashion.StockRejection" {
        /// A symbol of a newer release.
        Unknown = "UNKNOWN",
        /// Fewer pieces than ordered.
        OutOfStock = "OUT_OF_STOCK",
        /// No such product is registered.
        UnknownProduct = "UNKNOWN_PRODUCT",
    }
}

avro! {
    /// Topic fashion.stock-results: the answer of the stock to the order saga.
    pub struct StockResult: "orderflow.fashion.StockResult" in "fashion-store/StockResult.avsc" {
        /// What the stock decided.
        pub outcome: StockOutcome,
        /// The order; partition key of the topic.
        pub order_id: String,
        /// The product.
        pub product_id: String,
        /// Pieces, at least 1.
        pub qty: i32,
        /// Set when rejected.
        pub reason: Option<StockRejection>,
        /// The order command that led to the request this answers.
        pub command_id: String,
        /// When it was decided, in milliseconds since the epoch.
        pub at: i64,
    }
}

avro! {
    /// What is asked of delivery management.
    pub enum DeliveryRequestKind: "orderflow.fashion.DeliveryRequestKind" {
        /// A symbol of a newer release.
        Unknown = "UNKNOWN",
        /// Send the parcel off.
        Start = "START",
        /// Call the parcel back.
        Cancel = "CANCEL",
    }
}

avro! {
    /// Topic fashion.delivery-requests: what the order saga asks of delivery management.
    pub struct DeliveryRequest: "orderflow.fashion.DeliveryRequest" in "fashion-store/DeliveryRequest.avsc" {
        /// START sends the parcel off, CANCEL calls it back.
        pub kind: DeliveryRequestKind,
        /// The order; partition key of the topic.
        pub order_id: String,
        /// The customer; empty for an anonymous order.
        pub customer_id: String,
        /// The product.
        pub product_id: String,
        /// Size as the customer wrote it; empty when the product has none.
        pub size: String,
        /// Pieces, at least 1.
        pub qty: i32,
        /// For CANCEL: why; empty otherwise.
        pub reason: String,
        /// When the saga asked, in milliseconds since the epoch.
        pub requested_at: i64,
    }
}

avro! {
    /// The parcel is on its way.
    pub struct DeliveryStarted {
        /// The order; partition key of the topic.
        pub order_id: String,
        /// The customer; empty for an anonymous order.
        pub customer_id: String,
        /// The product.
        pub product_id: String,
        /// Size as the customer wrote it; empty when the product has none.
        pub size: String,
        /// Pieces, at least 1.
        pub qty: i32,
        /// When it started, in milliseconds since the epoch.
        pub started_at: i64,
    }
}

avro! {
    /// The delivery was called back, or will never start.
    pub struct DeliveryCancelled {
        /// The order; partition key of the topic.
        pub order_id: String,
        /// The customer; empty for an anonymous order.
        pub customer_id: String,
        /// The product.
        pub product_id: String,
        /// Size as the customer wrote it; empty when the product has none.
        pub size: String,
        /// Pieces, at least 1.
        pub qty: i32,
        /// Why; empty when unknown.
        pub reason: String,
        /// When it had started, in milliseconds since the epoch; null when it never did.
        pub started_at: Option<i64>,
        /// When it was called back, in milliseconds since the epoch.
        pub cancelled_at: i64,
    }
}

avro! {
    /// What a [`DeliveryEvent`] carries.
    pub enum DeliveryEventKind: "orderflow.fashion.DeliveryEvent.event" {
        /// The parcel is on its way.
        DeliveryStarted(DeliveryStarted),
        /// The delivery was called back, or will never start.
        DeliveryCancelled(DeliveryCancelled),
    }
}

avro! {
    /// Topic fashion.deliveries: what happened to deliveries.
    pub struct DeliveryEvent: "orderflow.fashion.DeliveryEvent" in "fashion-store/DeliveryEvent.avsc" {
        /// One of the events.
        pub event: DeliveryEventKind,
    }
}

avro! {
    /// Why an order ended without delivery.
    pub enum CancellationReason: "orderflow.fashion.CancellationReason" {
        /// A symbol of a newer release.
        Unknown = "UNKNOWN",
        /// Fewer pieces than ordered.
        OutOfStock = "OUT_OF_STOCK",
        /// The payment was declined.
        PaymentDeclined = "PAYMENT_DECLINED",
        /// The payment was not settled before its deadline.
        PaymentTimeout = "PAYMENT_TIMEOUT",
        /// The customer.
        Customer = "CUSTOMER",
        /// The merchandiser.
        Md = "MD",
        /// No such product is registered.
        UnknownProduct = "UNKNOWN_PRODUCT",
    }
}

avro! {
    /// Topic fashion.cancellations: an order has ended; everything done for it has been undone.
    pub struct OrderCancelled: "orderflow.fashion.OrderCancelled" in "fashion-store/OrderCancelled.avsc" {
        /// The order; partition key of the topic.
        pub order_id: String,
        /// The customer; empty for an anonymous order.
        pub customer_id: String,
        /// The product.
        pub product_id: String,
        /// Size as the customer wrote it; empty when the product has none.
        pub size: String,
        /// Pieces, at least 1.
        pub qty: i32,
        /// Won for the whole order, as the customer agreed to it; the amount that is charged.
        pub price: i64,
        /// Why.
        pub reason: CancellationReason,
        /// In words: of the customer, the MD or the payment provider; empty when there are none.
        pub detail: String,
        /// When the unwinding was complete, in milliseconds since the epoch.
        pub cancelled_at: i64,
    }
}

avro! {
    /// Where an order stands.
    pub enum OrderState: "orderflow.fashion.OrderState" {
        /// A symbol of a newer release.
        Unknown = "UNKNOWN",
        /// Accepted; the stock is not decided yet.
        Ordered = "ORDERED",
        /// The pieces are kept; the payment is under way.
        StockReserved = "STOCK_RESERVED",
        /// The payment is put off and will be tried again.
        PaymentDeferred = "PAYMENT_DEFERRED",
        /// Paid; the delivery is asked for.
        Paid = "PAID",
        /// The parcel is on its way.
        DeliveryStarted = "DELIVERY_STARTED",
        /// Being unwound.
        Cancelling = "CANCELLING",
        /// The delivery was called back; the rest is being unwound.
        DeliveryCancelled = "DELIVERY_CANCELLED",
        /// Ended; everything done for it is undone.
        Cancelled = "CANCELLED",
    }
}

avro! {
    /// Which part of the saga changed an order.
    pub enum OrderStage: "orderflow.fashion.OrderStage" {
        /// A symbol of a newer release.
        Unknown = "UNKNOWN",
        /// The order command itself.
        Order = "ORDER",
        /// The answer of the stock.
        Stock = "STOCK",
        /// The answer of the payment.
        Payment = "PAYMENT",
        /// Delivery management.
        Delivery = "DELIVERY",
        /// A cancellation by the customer or the MD.
        Cancellation = "CANCELLATION",
        /// A deadline of the saga.
        Deadline = "DEADLINE",
    }
}

avro! {
    /// Topic fashion.order-status: every change of state of every order.
    pub struct OrderStatus: "orderflow.fashion.OrderStatus" in "fashion-store/OrderStatus.avsc" {
        /// The order; partition key of the topic.
        pub order_id: String,
        /// The customer; empty for an anonymous order.
        pub customer_id: String,
        /// The product.
        pub product_id: String,
        /// Size as the customer wrote it; empty when the product has none.
        pub size: String,
        /// Pieces, at least 1.
        pub qty: i32,
        /// Won for the whole order, as the customer agreed to it; the amount that is charged.
        pub price: i64,
        /// The state entered.
        pub status: OrderState,
        /// Why, once the order is being cancelled.
        pub reason: Option<CancellationReason>,
        /// What caused the change.
        pub stage: OrderStage,
        /// Counts the changes of this order from 1, so that a consumer can drop repeats.
        pub version: i32,
        /// When it changed, in milliseconds since the epoch.
        pub at: i64,
    }
}

impl Keyed for ProductCommand {
    fn key(&self) -> &str {
        match &self.command {
            ProductCommandKind::RegisterProduct(command) => &command.product_id,
            ProductCommandKind::RestockProduct(command) => &command.product_id,
        }
    }
}

impl ProductCommand {
    /// The command's id, whatever its kind.
    pub fn command_id(&self) -> &str {
        match &self.command {
            ProductCommandKind::RegisterProduct(command) => &command.command_id,
            ProductCommandKind::RestockProduct(command) => &command.command_id,
        }
    }
}

impl Keyed for OrderCommand {
    fn key(&self) -> &str {
        match &self.command {
            OrderCommandKind::PlaceOrder(command) => &command.order_id,
            OrderCommandKind::CancelOrder(command) => &command.order_id,
        }
    }
}

impl OrderCommand {
    /// The command's id, whatever its kind.
    pub fn command_id(&self) -> &str {
        match &self.command {
            OrderCommandKind::PlaceOrder(command) => &command.command_id,
            OrderCommandKind::CancelOrder(command) => &command.command_id,
        }
    }
}

impl Keyed for StockRequest {
    fn key(&self) -> &str {
        &self.product_id
    }
}

impl Keyed for StockResult {
    fn key(&self) -> &str {
        &self.order_id
    }
}

impl Keyed for DeliveryRequest {
    fn key(&self) -> &str {
        &self.order_id
    }
}

impl Keyed for DeliveryEvent {
    fn key(&self) -> &str {
        match &self.event {
            DeliveryEventKind::DeliveryStarted(event) => &event.order_id,
            DeliveryEventKind::DeliveryCancelled(event) => &event.order_id,
        }
    }
}

impl Keyed for OrderCancelled {
    fn key(&self) -> &str {
        &self.order_id
    }
}

impl Keyed for OrderStatus {
    fn key(&self) -> &str {
        &self.order_id
    }
}

/// The topics of fashion-store.
pub mod topics {
    use super::{
        DeliveryEvent, DeliveryRequest, OrderCancelled, OrderCommand, OrderStatus, ProductCommand, StockRequest,
        StockResult,
    };
    use crate::payment::{PaymentRequest, PaymentResult};
    use crate::topics::{Topic, TopicSpec};

    /// What the merchandiser asks for.
    pub const PRODUCTS: Topic<ProductCommand> = Topic::command("fashion.products", "product_id");
    /// What customers ask for.
    pub const ORDERS: Topic<OrderCommand> = Topic::command("fashion.orders", "order_id");
    /// From the order saga to the stock.
    pub const STOCK_REQUESTS: Topic<StockRequest> = Topic::internal("fashion.stock-requests", "product_id");
    /// From the stock to the order saga.
    pub const STOCK_RESULTS: Topic<StockResult> = Topic::internal("fashion.stock-results", "order_id");
    /// From the order saga to the payment worker.
    pub const PAYMENT_REQUESTS: Topic<PaymentRequest> = Topic::internal("fashion.payment-requests", "order_id");
    /// From the payment worker, or any external payment system, to the order saga.
    pub const PAYMENT_RESULTS: Topic<PaymentResult> = Topic::internal("fashion.payment-results", "order_id");
    /// From the order saga to delivery management.
    pub const DELIVERY_REQUESTS: Topic<DeliveryRequest> = Topic::internal("fashion.delivery-requests", "order_id");
    /// What happened to deliveries.
    pub const DELIVERIES: Topic<DeliveryEvent> = Topic::event("fashion.deliveries", "order_id");
    /// Orders that ended without delivery.
    pub const CANCELLATIONS: Topic<OrderCancelled> = Topic::event("fashion.cancellations", "order_id");
    /// Every change of state of every order.
    pub const ORDER_STATUS: Topic<OrderStatus> = Topic::event("fashion.order-status", "order_id");

    /// All of them.
    pub const ALL: &[TopicSpec] = &[
        PRODUCTS.spec(),
        ORDERS.spec(),
        STOCK_REQUESTS.spec(),
        STOCK_RESULTS.spec(),
        PAYMENT_REQUESTS.spec(),
        PAYMENT_RESULTS.spec(),
        DELIVERY_REQUESTS.spec(),
        DELIVERIES.spec(),
        CANCELLATIONS.spec(),
        ORDER_STATUS.spec(),
    ];
}
