//! W2: the order saga of `bench/peer/README.md`, in the same three sub-topologies and over the same four topics between
//! them as the Kafka Streams peer's `W2.java`.

use streams::serde::Utf8;
use streams::store::{KeyValue, KeyValueStore};
use streams::{Context, In, ProcessError, Processor, Record, SourceOptions, Topology, TopologyBuilder};

use crate::format::{Avro, Ids};
use crate::model::{
    CancelReason, Cancellation, DeliveryEvent, DeliveryStatus, OrderCommand, OrderStatus, OrderView, PaymentOutcome,
    PaymentRequest, PaymentRequestKind, PaymentResult, PlaceOrder, RegisterProduct, StockOutcome, StockRequest,
    StockRequestKind, StockResult, StockView,
};

/// Orders by id.
pub const ORDERS_STORE: &str = "orders-store";
/// Products by id.
pub const STOCK_STORE: &str = "stock-store";
/// One charge in so many is declined: those whose id's CRC-32 it divides.
const DECLINED_ONE_IN: u32 = 20;

/// What processors of this topology work in: everything goes to named sinks.
type Cx<'a> = Context<'a, (), ()>;

/// Formats of all topics and stores.
#[derive(Clone)]
#[expect(missing_docs, reason = "each is named after its schema")]
pub struct Formats {
    pub order_command: Avro<OrderCommand>,
    pub product_command: Avro<RegisterProduct>,
    pub stock_request: Avro<StockRequest>,
    pub stock_result: Avro<StockResult>,
    pub payment_request: Avro<PaymentRequest>,
    pub payment_result: Avro<PaymentResult>,
    pub delivery_event: Avro<DeliveryEvent>,
    pub cancellation: Avro<Cancellation>,
    pub order_view: Avro<OrderView>,
    pub stock_view: Avro<StockView>,
}

impl Formats {
    /// All of them, with these ids.
    ///
    /// # Errors
    /// When one is missing.
    pub fn new(ids: &Ids) -> anyhow::Result<Formats> {
        Ok(Formats {
            order_command: ids.format("OrderCommand")?,
            product_command: ids.format("ProductCommand")?,
            stock_request: ids.format("StockRequest")?,
            stock_result: ids.format("StockResult")?,
            payment_request: ids.format("PaymentRequest")?,
            payment_result: ids.format("PaymentResult")?,
            delivery_event: ids.format("DeliveryEvent")?,
            cancellation: ids.format("Cancellation")?,
            order_view: ids.format("OrderView")?,
            stock_view: ids.format("StockView")?,
        })
    }
}

/// Order tasks, stock tasks and payment tasks.
///
/// # Errors
/// When the graph is not right.
pub fn topology(app_id: &str, formats: &Formats) -> anyhow::Result<Topology> {
    let f = formats.clone();
    let mut b = TopologyBuilder::new(app_id);
    let options = SourceOptions::default();
    // Nobody but this topology writes to the topics between its sub-topologies.
    let between = SourceOptions { exclusive: true, ..options };

    // order tasks
    let store = b.store(ORDERS_STORE, KeyValue::new(Utf8, f.order_view));
    let orders = Orders {
        store: store.clone(),
        to_stock: b.sink("to-stock-requests", "stock-requests", Utf8, f.stock_request.clone()),
        to_payment: b.sink("to-payment-requests", "payment-requests", Utf8, f.payment_request.clone()),
        to_deliveries: b.sink("to-deliveries", "deliveries", Utf8, f.delivery_event),
        to_cancellations: b.sink("to-cancellations", "cancellations", Utf8, f.cancellation),
    };
    let commands = b.source("orders-in", &["orders"], Utf8, f.order_command, options);
    let (input, output) = b.processor("order-commands", OrderCommands(orders.clone()));
    b.connect(commands, input);
    b.connect_store(input, &store);
    orders.connect(&mut b, output);
    let results = b.source("stock-results-in", &["stock-results"], Utf8, f.stock_result.clone(), between);
    let (input, output) = b.processor("order-stock", OrderStock(orders.clone()));
    b.connect(results, input);
    b.connect_store(input, &store);
    orders.connect(&mut b, output);
    let results = b.source("payment-results-in", &["payment-results"], Utf8, f.payment_result.clone(), between);
    let (input, output) = b.processor("order-payment", OrderPayment(orders.clone()));
    b.connect(results, input);
    b.connect_store(input, &store);
    orders.connect(&mut b, output);

    // stock tasks
    let store = b.store(STOCK_STORE, KeyValue::new(Utf8, f.stock_view));
    let products = b.source("products-in", &["products"], Utf8, f.product_command, options);
    let (input, _) = b.processor("stock-products", StockProducts { store: store.clone() });
    b.connect(products, input);
    b.connect_store(input, &store);
    let requests = b.source("stock-requests-in", &["stock-requests"], Utf8, f.stock_request, between);
    let (input, output) = b.processor("stock", Stock { store: store.clone() });
    let sink = b.sink("to-stock-results", "stock-results", Utf8, f.stock_result);
    b.connect(requests, input);
    b.connect_store(input, &store);
    b.connect(output, sink);

    // payment tasks
    let requests = b.source("payment-requests-in", &["payment-requests"], Utf8, f.payment_request, between);
    let (input, output) = b.processor("payment", Payment);
    let sink = b.sink("to-payment-results", "payment-results", Utf8, f.payment_result);
    b.connect(requests, input);
    b.connect(output, sink);
    Ok(b.build()?)
}

/// What the three order processors have in common: the store and the outgoing messages.
#[derive(Clone)]
struct Orders {
    store: KeyValueStore<String, OrderView>,
    to_stock: In<String, StockRequest>,
    to_payment: In<String, PaymentRequest>,
    to_deliveries: In<String, DeliveryEvent>,
    to_cancellations: In<String, Cancellation>,
}

impl Orders {
    fn connect(&self, b: &mut TopologyBuilder, from: streams::Out<(), ()>) {
        b.connect_to(from, self.to_stock);
        b.connect_to(from, self.to_payment);
        b.connect_to(from, self.to_deliveries);
        b.connect_to(from, self.to_cancellations);
    }

    fn set(&self, cx: &mut Cx<'_>, order: &mut OrderView, status: OrderStatus) -> Result<(), ProcessError> {
        order.status = status;
        order.updated_at = cx.now();
        self.store.put(cx, &order.order_id, order)
    }

    fn request_stock(
        &self,
        cx: &mut Cx<'_>,
        order: &OrderView,
        kind: StockRequestKind,
        at: i64,
    ) -> Result<(), ProcessError> {
        let request = StockRequest {
            order_id: order.order_id.clone(),
            product_id: order.product_id.clone(),
            qty: order.qty,
            kind,
        };
        cx.forward_to(self.to_stock, Record::new(Some(&order.product_id), Some(&request), at))
    }

    fn request_payment(
        &self,
        cx: &mut Cx<'_>,
        order: &OrderView,
        kind: PaymentRequestKind,
        at: i64,
    ) -> Result<(), ProcessError> {
        let amount = order.price * i64::from(order.qty);
        let request = PaymentRequest { order_id: order.order_id.clone(), amount, kind };
        cx.forward_to(self.to_payment, Record::new(Some(&order.order_id), Some(&request), at))
    }

    fn delivery(
        &self,
        cx: &mut Cx<'_>,
        order: &OrderView,
        status: DeliveryStatus,
        at: i64,
    ) -> Result<(), ProcessError> {
        let event = DeliveryEvent {
            order_id: order.order_id.clone(),
            product_id: order.product_id.clone(),
            qty: order.qty,
            status,
            placed_at: order.placed_at,
            decided_at: order.updated_at,
        };
        cx.forward_to(self.to_deliveries, Record::new(Some(&order.order_id), Some(&event), at))
    }

    fn cancel(
        &self,
        cx: &mut Cx<'_>,
        order: &mut OrderView,
        reason: CancelReason,
        at: i64,
    ) -> Result<(), ProcessError> {
        self.set(cx, order, OrderStatus::Cancelled)?;
        let event = Cancellation { order_id: order.order_id.clone(), reason, placed_at: order.placed_at };
        cx.forward_to(self.to_cancellations, Record::new(Some(&order.order_id), Some(&event), at))
    }

    fn place(&self, cx: &mut Cx<'_>, command: &PlaceOrder, at: i64) -> Result<(), ProcessError> {
        let order = OrderView {
            order_id: command.order_id.clone(),
            customer_id: command.customer_id.clone(),
            product_id: command.product_id.clone(),
            size: command.size.clone(),
            qty: command.qty,
            price: command.price,
            status: OrderStatus::Ordered,
            placed_at: command.placed_at,
            updated_at: cx.now(),
        };
        self.store.put(cx, &order.order_id, &order)?;
        self.request_stock(cx, &order, StockRequestKind::Reserve, at)
    }
}

struct OrderCommands(Orders);

impl Processor for OrderCommands {
    type KeyIn = String;
    type ValueIn = OrderCommand;
    type KeyOut = ();
    type ValueOut = ();

    fn process(&self, cx: &mut Cx<'_>, record: Record<'_, String, OrderCommand>) -> Result<(), ProcessError> {
        let (Some(key), Some(command), at) = (record.key, record.value, record.timestamp) else { return Ok(()) };
        let (orders, known) = (&self.0, self.0.store.get(cx, key)?);
        let mut order = match (command, known) {
            (OrderCommand::PlaceOrder(place), None) => return orders.place(cx, place, at),
            (OrderCommand::CancelOrder(_), Some(order)) => order,
            // A repeat, or a cancellation of nothing.
            (OrderCommand::PlaceOrder(_), Some(_)) | (OrderCommand::CancelOrder(_), None) => return Ok(()),
        };
        match order.status {
            // The reservation is on its way: it is given back when it arrives.
            OrderStatus::Ordered => orders.cancel(cx, &mut order, CancelReason::Customer, at),
            // The charge is on its way: it is refunded when approved.
            OrderStatus::StockReserved => {
                orders.cancel(cx, &mut order, CancelReason::Customer, at)?;
                orders.request_stock(cx, &order, StockRequestKind::Release, at)
            }
            OrderStatus::DeliveryStarted => {
                orders.set(cx, &mut order, OrderStatus::DeliveryCancelled)?;
                orders.delivery(cx, &order, DeliveryStatus::Cancelled, at)?;
                orders.request_payment(cx, &order, PaymentRequestKind::Refund, at)?;
                orders.request_stock(cx, &order, StockRequestKind::Release, at)
            }
            OrderStatus::DeliveryCancelled | OrderStatus::Cancelled => Ok(()),
        }
    }
}

struct OrderStock(Orders);

impl Processor for OrderStock {
    type KeyIn = String;
    type ValueIn = StockResult;
    type KeyOut = ();
    type ValueOut = ();

    fn process(&self, cx: &mut Cx<'_>, record: Record<'_, String, StockResult>) -> Result<(), ProcessError> {
        let (Some(key), Some(result), at) = (record.key, record.value, record.timestamp) else { return Ok(()) };
        if result.outcome == StockOutcome::Released {
            return Ok(());
        }
        let orders = &self.0;
        let Some(mut order) = orders.store.get(cx, key)? else { return Ok(()) };
        match (result.outcome, order.status) {
            (StockOutcome::Reserved, OrderStatus::Ordered) => {
                orders.set(cx, &mut order, OrderStatus::StockReserved)?;
                orders.request_payment(cx, &order, PaymentRequestKind::Charge, at)
            }
            (StockOutcome::Reserved, OrderStatus::Cancelled) => {
                orders.request_stock(cx, &order, StockRequestKind::Release, at)
            }
            (StockOutcome::Rejected, OrderStatus::Ordered) => {
                orders.cancel(cx, &mut order, CancelReason::OutOfStock, at)
            }
            _ => Ok(()),
        }
    }
}

struct OrderPayment(Orders);

impl Processor for OrderPayment {
    type KeyIn = String;
    type ValueIn = PaymentResult;
    type KeyOut = ();
    type ValueOut = ();

    fn process(&self, cx: &mut Cx<'_>, record: Record<'_, String, PaymentResult>) -> Result<(), ProcessError> {
        let (Some(key), Some(result), at) = (record.key, record.value, record.timestamp) else { return Ok(()) };
        if result.outcome == PaymentOutcome::Refunded {
            return Ok(());
        }
        let orders = &self.0;
        let Some(mut order) = orders.store.get(cx, key)? else { return Ok(()) };
        match (result.outcome, order.status) {
            (PaymentOutcome::Approved, OrderStatus::StockReserved) => {
                orders.set(cx, &mut order, OrderStatus::DeliveryStarted)?;
                orders.delivery(cx, &order, DeliveryStatus::Started, at)
            }
            (PaymentOutcome::Approved, OrderStatus::Cancelled) => {
                orders.request_payment(cx, &order, PaymentRequestKind::Refund, at)
            }
            (PaymentOutcome::Declined, OrderStatus::StockReserved) => {
                orders.cancel(cx, &mut order, CancelReason::PaymentDeclined, at)?;
                orders.request_stock(cx, &order, StockRequestKind::Release, at)
            }
            _ => Ok(()),
        }
    }
}

struct StockProducts {
    store: KeyValueStore<String, StockView>,
}

impl Processor for StockProducts {
    type KeyIn = String;
    type ValueIn = RegisterProduct;
    type KeyOut = ();
    type ValueOut = ();

    fn process(&self, cx: &mut Cx<'_>, record: Record<'_, String, RegisterProduct>) -> Result<(), ProcessError> {
        let Some(product) = record.value else { return Ok(()) };
        // The first registration counts.
        if self.store.get(cx, &product.product_id)?.is_some() {
            return Ok(());
        }
        let view = StockView {
            product_id: product.product_id.clone(),
            name: product.name.clone(),
            stock: product.stock,
            price: product.price,
        };
        self.store.put(cx, &view.product_id, &view)
    }
}

struct Stock {
    store: KeyValueStore<String, StockView>,
}

impl Processor for Stock {
    type KeyIn = String;
    type ValueIn = StockRequest;
    type KeyOut = String;
    type ValueOut = StockResult;

    fn process(
        &self,
        cx: &mut Context<'_, String, StockResult>,
        record: Record<'_, String, StockRequest>,
    ) -> Result<(), ProcessError> {
        let Some(request) = record.value else { return Ok(()) };
        let known = self.store.get(cx, &request.product_id)?;
        let (change, outcome) = match (request.kind, &known) {
            (StockRequestKind::Release, _) => (request.qty, StockOutcome::Released),
            (StockRequestKind::Reserve, Some(s)) if s.stock >= request.qty => (-request.qty, StockOutcome::Reserved),
            (StockRequestKind::Reserve, _) => (0, StockOutcome::Rejected),
        };
        if let Some(mut stock) = known
            && change != 0
        {
            stock.stock += change;
            self.store.put(cx, &request.product_id, &stock)?;
        }
        let result = StockResult {
            order_id: request.order_id.clone(),
            product_id: request.product_id.clone(),
            qty: request.qty,
            outcome,
        };
        cx.forward(Record::new(Some(&request.order_id), Some(&result), record.timestamp))
    }
}

struct Payment;

impl Processor for Payment {
    type KeyIn = String;
    type ValueIn = PaymentRequest;
    type KeyOut = String;
    type ValueOut = PaymentResult;

    fn process(
        &self,
        cx: &mut Context<'_, String, PaymentResult>,
        record: Record<'_, String, PaymentRequest>,
    ) -> Result<(), ProcessError> {
        let Some(request) = record.value else { return Ok(()) };
        let outcome = match request.kind {
            PaymentRequestKind::Refund => PaymentOutcome::Refunded,
            PaymentRequestKind::Charge if declined(&request.order_id) => PaymentOutcome::Declined,
            PaymentRequestKind::Charge => PaymentOutcome::Approved,
        };
        let result = PaymentResult { order_id: request.order_id.clone(), amount: request.amount, outcome };
        cx.forward(Record::new(Some(&request.order_id), Some(&result), record.timestamp))
    }
}

/// The simulated payment provider's rule.
#[must_use]
pub fn declined(order_id: &str) -> bool {
    crc32fast::hash(order_id.as_bytes()).is_multiple_of(DECLINED_ONE_IN)
}
