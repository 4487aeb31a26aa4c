//! What the log says, folded per order and per product: plain counting, no judgement. The judgement is in `audit`.

use std::collections::{BTreeMap, HashMap};

use schemas::fashion::{
    CancelRequester, CancellationReason, DeliveryEvent, DeliveryEventKind, DeliveryRequest, DeliveryRequestKind,
    OrderCancelled, OrderCommandKind, OrderState, OrderStatus, PlaceOrder, ProductCommandKind, StockOutcome,
    StockRejection, StockRequest, StockRequestKind, StockResult, topics,
};
use schemas::{Codec, Keyed};

use super::{COMMANDS, rules};
use crate::audit::facts::{Commands, Fold, Heard, Place, Poison, own, read};
use crate::audit::saga::{Facts as _, Trace};

/// One order, as the log has it.
#[derive(Debug, Default)]
pub(super) struct Order {
    pub(super) trace: Trace<PlaceOrder, OrderState>,
    /// Valid cancellations behind it.
    pub(super) cancels: Vec<CancelRequester>,
    pub(super) reserve_asked: u32,
    pub(super) release_asked: u32,
    pub(super) reserved: u32,
    pub(super) released: u32,
    pub(super) rejected: Vec<StockRejection>,
    pub(super) start_asked: u32,
    pub(super) started: u32,
    pub(super) recalled: u32,
    /// A recall came before its start.
    pub(super) recalled_first: bool,
    pub(super) cancelled: Vec<CancellationReason>,
}

impl Order {
    /// Delivered and not called back.
    pub(super) fn stands(&self) -> bool {
        self.started > 0 && self.cancelled.is_empty()
    }

    /// Nothing more is to come: delivered with nobody having cancelled, or cancelled with everything undone.
    pub(super) fn at_rest(&self) -> bool {
        if self.cancelled.is_empty() {
            self.started > 0 && self.cancels.is_empty()
        } else {
            self.released >= self.reserved && self.trace.payment.is_undone()
        }
    }
}

/// What changed a product's stock, in the order its partition of fashion.products has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Supply {
    Register(i64),
    Restock(i64),
}

/// One line of a product's partition of fashion.stock-requests.
#[derive(Clone, Debug)]
pub(super) struct Demand {
    pub(super) order_id: String,
    pub(super) qty: i64,
    pub(super) release: bool,
    pub(super) place: Place,
}

#[derive(Debug, Default)]
pub(super) struct Product {
    pub(super) supplies: Vec<Supply>,
    pub(super) demands: Vec<Demand>,
    commands: Commands,
}

impl Product {
    pub(super) fn is_registered(&self) -> bool {
        self.supplies.iter().any(|supply| matches!(supply, Supply::Register(_)))
    }

    /// Pieces that ever came in.
    pub(super) fn supplied(&self) -> i64 {
        self.supplies
            .iter()
            .map(|supply| match supply {
                Supply::Register(n) | Supply::Restock(n) => *n,
            })
            .sum()
    }
}

#[derive(Default)]
struct Codecs {
    stock_requests: Codec<StockRequest>,
    stock_results: Codec<StockResult>,
    delivery_requests: Codec<DeliveryRequest>,
    deliveries: Codec<DeliveryEvent>,
    cancellations: Codec<OrderCancelled>,
    statuses: Codec<OrderStatus>,
}

/// Everything the log says.
#[derive(Default)]
pub(super) struct Facts {
    pub(super) orders: HashMap<String, Order>,
    pub(super) products: BTreeMap<String, Product>,
    codecs: Codecs,
}

impl Facts {
    fn order_command(&mut self, key: &[u8], value: &[u8], place: &Place) -> Result<Heard, Poison> {
        let command = read(&COMMANDS.orders, key, value)?;
        let order = self.of(command.key());
        if order.trace.commands.meet(&command)? == Heard::Again {
            return Ok(Heard::Again);
        }
        match command.command {
            OrderCommandKind::PlaceOrder(command) => {
                rules::place(&command).map_err(Poison::May)?;
                return Ok(order.trace.begin(command, place));
            }
            OrderCommandKind::CancelOrder(command) => {
                rules::cancel(&command).map_err(Poison::May)?;
                // A cancellation of what is not there (yet) is refused and has no effect.
                if order.trace.begun.is_some() {
                    order.cancels.push(command.requested_by);
                }
            }
        }
        Ok(Heard::New)
    }

    fn product_command(&mut self, key: &[u8], value: &[u8]) -> Result<Heard, Poison> {
        let command = read(&COMMANDS.products, key, value)?;
        let product = self.products.entry(command.key().to_owned()).or_default();
        if product.commands.meet(&command)? == Heard::Again {
            return Ok(Heard::Again);
        }
        let supply = match command.command {
            // The first registration of an id counts.
            ProductCommandKind::RegisterProduct(c) => {
                rules::register(&c).map_err(Poison::May)?;
                (!product.is_registered()).then_some(Supply::Register(c.stock.into()))
            }
            // Restocking what is not registered is refused.
            ProductCommandKind::RestockProduct(c) => {
                rules::restock(&c).map_err(Poison::May)?;
                product.is_registered().then_some(Supply::Restock(c.qty.into()))
            }
        };
        product.supplies.extend(supply);
        Ok(Heard::New)
    }

    fn stock_request(&mut self, request: StockRequest, place: &Place) {
        let order = self.of(&request.order_id);
        let release = request.kind == StockRequestKind::Release;
        if release {
            order.release_asked += 1;
        } else {
            order.reserve_asked += 1;
        }
        self.products.entry(request.product_id).or_default().demands.push(Demand {
            order_id: request.order_id,
            qty: request.qty.into(),
            release,
            place: place.clone(),
        });
    }

    fn stock_result(&mut self, result: StockResult) {
        let order = self.of(&result.order_id);
        match result.outcome {
            StockOutcome::Reserved => order.reserved += 1,
            StockOutcome::Released => order.released += 1,
            StockOutcome::Rejected => order.rejected.push(result.reason.unwrap_or(StockRejection::Unknown)),
            StockOutcome::Unknown => {}
        }
    }

    fn delivery(&mut self, event: DeliveryEvent) {
        match event.event {
            DeliveryEventKind::DeliveryStarted(event) => {
                let order = self.of(&event.order_id);
                order.started += 1;
                order.recalled_first |= order.recalled > 0;
                order.trace.says("DeliveryStarted", [event.product_id, event.qty.to_string()]);
            }
            DeliveryEventKind::DeliveryCancelled(event) => {
                let order = self.of(&event.order_id);
                order.recalled += 1;
                order.trace.says("DeliveryCancelled", [event.product_id, event.qty.to_string()]);
            }
        }
    }
}

impl Fold for Facts {
    fn command(&mut self, place: &Place, key: &[u8], value: &[u8], _at_ms: i64) -> Result<Heard, Poison> {
        if place.topic == topics::ORDERS.base() {
            self.order_command(key, value, place)
        } else {
            self.product_command(key, value)
        }
    }

    fn own(&mut self, place: &Place, value: &[u8]) -> Result<(), String> {
        match place.topic {
            t if t == topics::STOCK_REQUESTS.base() => {
                let request = own(&self.codecs.stock_requests, value)?;
                self.stock_request(request, place);
            }
            t if t == topics::STOCK_RESULTS.base() => {
                let result = own(&self.codecs.stock_results, value)?;
                self.stock_result(result);
            }
            t if t == topics::DELIVERY_REQUESTS.base() => {
                let request = own(&self.codecs.delivery_requests, value)?;
                let order = self.of(&request.order_id);
                order.start_asked += u32::from(request.kind == DeliveryRequestKind::Start);
            }
            t if t == topics::DELIVERIES.base() => {
                let event = own(&self.codecs.deliveries, value)?;
                self.delivery(event);
            }
            t if t == topics::CANCELLATIONS.base() => {
                let event = own(&self.codecs.cancellations, value)?;
                let order = self.of(&event.order_id);
                order.cancelled.push(event.reason);
                let said = [event.product_id, event.qty.to_string(), event.price.to_string()];
                order.trace.says("OrderCancelled", said);
            }
            _ => {
                let status = own(&self.codecs.statuses, value)?;
                let order = self.of(&status.order_id);
                order.trace.history.tell(status.status, status.version, place);
            }
        }
        Ok(())
    }
}
