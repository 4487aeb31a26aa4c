//! The values of both workloads, field by field as in `bench/peer/schemas/*.avsc`.
#![allow(missing_docs, reason = "the .avsc files name every field; the peer's README says what each is for")]

schemas::avro! {
    pub struct W1Input {
        pub key: String,
        pub amount: i64,
        pub payload: String,
    }
}
schemas::avro! {
    pub struct W1Aggregate {
        pub count: i64,
        pub sum: i64,
        pub last_ts: i64,
    }
}
schemas::avro! {
    pub struct PlaceOrder {
        pub order_id: String,
        pub customer_id: String,
        pub product_id: String,
        pub size: String,
        pub qty: i32,
        pub price: i64,
        pub placed_at: i64,
    }
}
schemas::avro! {
    pub struct CancelOrder {
        pub order_id: String,
        pub reason: String,
        pub requested_at: i64,
    }
}
schemas::avro! {
    pub enum OrderCommand: "peer.OrderCommand" {
        PlaceOrder(PlaceOrder),
        CancelOrder(CancelOrder),
    }
}
schemas::avro! {
    pub struct RegisterProduct {
        pub product_id: String,
        pub name: String,
        pub stock: i32,
        pub price: i64,
    }
}
schemas::avro! {
    pub enum StockRequestKind: "peer.StockRequestKind" {
        Reserve = "RESERVE",
        Release = "RELEASE",
    }
}
schemas::avro! {
    pub struct StockRequest {
        pub order_id: String,
        pub product_id: String,
        pub qty: i32,
        pub kind: StockRequestKind,
    }
}
schemas::avro! {
    pub enum StockOutcome: "peer.StockOutcome" {
        Reserved = "RESERVED",
        Rejected = "REJECTED",
        Released = "RELEASED",
    }
}
schemas::avro! {
    pub struct StockResult {
        pub order_id: String,
        pub product_id: String,
        pub qty: i32,
        pub outcome: StockOutcome,
    }
}
schemas::avro! {
    pub enum PaymentRequestKind: "peer.PaymentRequestKind" {
        Charge = "CHARGE",
        Refund = "REFUND",
    }
}
schemas::avro! {
    pub struct PaymentRequest {
        pub order_id: String,
        pub amount: i64,
        pub kind: PaymentRequestKind,
    }
}
schemas::avro! {
    pub enum PaymentOutcome: "peer.PaymentOutcome" {
        Approved = "APPROVED",
        Declined = "DECLINED",
        Refunded = "REFUNDED",
    }
}
schemas::avro! {
    pub struct PaymentResult {
        pub order_id: String,
        pub amount: i64,
        pub outcome: PaymentOutcome,
    }
}
schemas::avro! {
    pub enum DeliveryStatus: "peer.DeliveryStatus" {
        Started = "STARTED",
        Cancelled = "CANCELLED",
    }
}
schemas::avro! {
    pub struct DeliveryEvent {
        pub order_id: String,
        pub product_id: String,
        pub qty: i32,
        pub status: DeliveryStatus,
        pub placed_at: i64,
        pub decided_at: i64,
    }
}
schemas::avro! {
    pub enum CancelReason: "peer.CancelReason" {
        OutOfStock = "OUT_OF_STOCK",
        PaymentDeclined = "PAYMENT_DECLINED",
        Customer = "CUSTOMER",
    }
}
schemas::avro! {
    pub struct Cancellation {
        pub order_id: String,
        pub reason: CancelReason,
        pub placed_at: i64,
    }
}
schemas::avro! {
    pub enum OrderStatus: "peer.OrderStatus" {
        Ordered = "ORDERED",
        StockReserved = "STOCK_RESERVED",
        DeliveryStarted = "DELIVERY_STARTED",
        DeliveryCancelled = "DELIVERY_CANCELLED",
        Cancelled = "CANCELLED",
    }
}
schemas::avro! {
    pub struct OrderView {
        pub order_id: String,
        pub customer_id: String,
        pub product_id: String,
        pub size: String,
        pub qty: i32,
        pub price: i64,
        pub status: OrderStatus,
        pub placed_at: i64,
        pub updated_at: i64,
    }
}
schemas::avro! {
    pub struct StockView {
        pub product_id: String,
        pub name: String,
        pub stock: i32,
        pub price: i64,
    }
}
