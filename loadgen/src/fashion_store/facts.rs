//! What the log says, folded per order and per product: plain counting, no judgement. The judgement is in `audit`.

use std::collections::{BTreeMap, HashMap, HashSet};

use schemas::fashion::{
    CancelRequester, CancellationReason, DeliveryEvent, DeliveryEventKind, DeliveryRequest, DeliveryRequestKind,
    OrderCancelled, OrderCommandKind, OrderState, OrderStatus, PlaceOrder, ProductCommandKind, StockOutcome,
    StockRejection, StockRequest, StockRequestKind, StockResult, topics,
};
use schemas::payment::{PaymentOutcome, PaymentRequest, PaymentRequestKind, PaymentResult};
use schemas::state::Command;
use schemas::{Codec, Keyed};

use super::{COMMANDS, rules};
use crate::log::{LogRecord, partition_of};

/// Latest time of a command that is judged, milliseconds since the epoch: 9999-01-01.
const TIMESTAMP_MS_MAX: i64 = 253_370_764_800_000;

/// Where a record is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) topic: &'static str,
    pub(super) partition: i32,
    pub(super) offset: i64,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}@{}", self.topic, self.partition, self.offset)
    }
}

/// One order, as the log has it.
#[derive(Debug, Default)]
pub(super) struct Order {
    /// The first valid command that placed it, and where it is.
    pub(super) placed: Option<(PlaceOrder, Place)>,
    /// Valid cancellations behind it.
    pub(super) cancels: Vec<CancelRequester>,
    pub(super) reserve_asked: u32,
    pub(super) release_asked: u32,
    pub(super) reserved: u32,
    pub(super) released: u32,
    pub(super) rejected: Vec<StockRejection>,
    pub(super) charge_keys: HashSet<String>,
    pub(super) refund_keys: HashSet<String>,
    pub(super) approved: u32,
    pub(super) declined: u32,
    /// VOIDED or REFUNDED.
    pub(super) given_back: bool,
    /// Approved after it was voided, and not refunded yet.
    pub(super) owed: bool,
    pub(super) start_asked: u32,
    pub(super) started: u32,
    pub(super) recalled: u32,
    /// A recall came before its start.
    pub(super) recalled_first: bool,
    /// What each event says was ordered; events may be read before their order, from another topic.
    pub(super) said: Vec<Said>,
    pub(super) cancelled: Vec<CancellationReason>,
    pub(super) status: Option<(OrderState, i32)>,
    /// A version that did not follow the one before, and where.
    pub(super) status_gap: Option<(i32, i32, Place)>,
    commands: Commands,
}

/// Commands met before, by id, with what they said. Few per order or product, so a list.
#[derive(Debug, Default)]
struct Commands(Vec<(String, i64)>);

enum Met {
    New,
    Again,
    /// The id of another command.
    Reused,
}

impl Commands {
    fn meet(&mut self, command: &impl Command) -> Met {
        let hash = command.content_hash();
        match self.0.iter().find(|(id, _)| id == command.command_id()) {
            Some((_, known)) if *known == hash => Met::Again,
            Some(_) => Met::Reused,
            None => {
                self.0.push((command.command_id().to_owned(), hash));
                Met::New
            }
        }
    }
}

fn check_ids(command: &impl Command, key: &[u8]) -> Result<(), Poison> {
    if command.key().as_bytes() != key {
        return Err(Poison::Must("key is not the id"));
    }
    rules::id(command.key()).map_err(Poison::Must)?;
    rules::id(command.command_id()).map_err(Poison::Must)
}

/// Product, quantity and price as an event has them.
#[derive(Debug)]
pub(super) struct Said {
    event: &'static str,
    product_id: String,
    qty: i32,
    price: Option<i64>,
}

impl Order {
    /// The first event that says another product, quantity or price than the order does.
    pub(super) fn event_differs(&self) -> Option<String> {
        let (placed, _) = self.placed.as_ref()?;
        let differs = |said: &&Said| {
            said.product_id != placed.product_id
                || said.qty != placed.qty
                || said.price.is_some_and(|price| price != placed.price)
        };
        let said = self.said.iter().find(differs)?;
        let price = said.price.map_or_else(String::new, |price| format!(" for {price}"));
        Some(format!("{} of {} × {}{price}", said.event, said.qty, said.product_id))
    }

    fn says(&mut self, event: &'static str, product_id: String, qty: i32, price: Option<i64>) {
        self.said.push(Said { event, product_id, qty, price });
    }

    /// Whether anything was done for it.
    pub(super) fn has_effects(&self) -> bool {
        let asked = self.reserve_asked + self.release_asked + self.start_asked;
        let answered = self.reserved + self.released + self.approved + self.declined + self.started + self.recalled;
        asked + answered > 0
            || !(self.rejected.is_empty() && self.charge_keys.is_empty() && self.refund_keys.is_empty())
            || !self.cancelled.is_empty()
            || self.status.is_some()
    }

    /// Delivered and not called back.
    pub(super) fn stands(&self) -> bool {
        self.started > 0 && self.cancelled.is_empty()
    }

    /// Nothing more is to come: delivered with nobody having cancelled, or cancelled with everything undone.
    pub(super) fn at_rest(&self) -> bool {
        if self.cancelled.is_empty() {
            self.started > 0 && self.cancels.is_empty()
        } else {
            self.released >= self.reserved && (self.given_back || self.approved == 0) && !self.owed
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

/// What must happen to a record of a command topic that cannot be judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Poison {
    /// It must be a dead letter.
    Must(&'static str),
    /// It may be, or it is refused with a verdict: its form is right, its content is not.
    May(&'static str),
}

struct Codecs {
    stock_requests: Codec<StockRequest>,
    stock_results: Codec<StockResult>,
    payment_requests: Codec<PaymentRequest>,
    payment_results: Codec<PaymentResult>,
    delivery_requests: Codec<DeliveryRequest>,
    deliveries: Codec<DeliveryEvent>,
    cancellations: Codec<OrderCancelled>,
    statuses: Codec<OrderStatus>,
}

/// Everything the log says.
pub(super) struct Facts {
    pub(super) orders: HashMap<String, Order>,
    pub(super) products: BTreeMap<String, Product>,
    pub(super) poison: BTreeMap<Place, Poison>,
    /// Where each dead letter says it came from, how often.
    pub(super) dead_letters: BTreeMap<(String, i32, i64), u32>,
    /// Dead letters that do not say where they came from.
    pub(super) stray_dead_letters: u64,
    /// Commands that sit on another partition than their key's.
    pub(super) misplaced: u64,
    /// Records of our own topics that cannot be read.
    pub(super) unreadable: Vec<(Place, String)>,
    pub(super) duplicates: u64,
    partitions: HashMap<&'static str, i32>,
    codecs: Codecs,
}

impl Facts {
    pub(super) fn new(partitions: &dyn Fn(&str) -> Option<i32>) -> Self {
        let commands = [topics::PRODUCTS.base(), topics::ORDERS.base()];
        Facts {
            orders: HashMap::new(),
            products: BTreeMap::new(),
            poison: BTreeMap::new(),
            dead_letters: BTreeMap::new(),
            stray_dead_letters: 0,
            misplaced: 0,
            unreadable: Vec::new(),
            duplicates: 0,
            partitions: commands.into_iter().filter_map(|t| Some((t, partitions(t)?))).collect(),
            codecs: Codecs {
                stock_requests: Codec::fixed(),
                stock_results: Codec::fixed(),
                payment_requests: Codec::fixed(),
                payment_results: Codec::fixed(),
                delivery_requests: Codec::fixed(),
                deliveries: Codec::fixed(),
                cancellations: Codec::fixed(),
                statuses: Codec::fixed(),
            },
        }
    }

    pub(super) fn observe(&mut self, record: &LogRecord, dead_letter_topic: &str) {
        if record.topic == dead_letter_topic {
            return self.dead_letter(record);
        }
        let Some(topic) = topics::ALL.iter().find(|topic| topic.base == record.topic).map(|topic| topic.base) else {
            return;
        };
        let place = Place { topic, partition: record.partition, offset: record.offset };
        if topic == topics::ORDERS.base() || topic == topics::PRODUCTS.base() {
            self.command(record, place);
        } else if let Err(reason) = self.own(record, &place) {
            self.unreadable.push((place, reason));
        }
    }

    fn dead_letter(&mut self, record: &LogRecord) {
        let text = |name: &str| std::str::from_utf8(record.header(name)?).ok();
        let origin = || {
            let partition = text("orderflow.error.partition")?.parse().ok()?;
            let offset = text("orderflow.error.offset")?.parse().ok()?;
            Some((text("orderflow.error.topic")?.to_owned(), partition, offset))
        };
        match origin() {
            Some(origin) => *self.dead_letters.entry(origin).or_default() += 1,
            None => self.stray_dead_letters += 1,
        }
    }

    fn command(&mut self, record: &LogRecord, place: Place) {
        let judged = match (&record.key, &record.value) {
            _ if !(0..=TIMESTAMP_MS_MAX).contains(&record.timestamp) => {
                Err(Poison::Must("time before 1970 or in year 9999"))
            }
            (None, _) => Err(Poison::Must("null key")),
            (_, None) => Err(Poison::Must("null value")),
            (Some(key), Some(value)) => {
                let count = self.partitions.get(place.topic).copied();
                if count.is_some_and(|count| partition_of(key, count) != record.partition) {
                    // Sent on to its right partition, where it is seen again; or dead-lettered, by configuration.
                    self.misplaced += 1;
                    Err(Poison::May("on another partition than its key's"))
                } else if place.topic == topics::ORDERS.base() {
                    self.order_command(key, value, &place)
                } else {
                    self.product_command(key, value)
                }
            }
        };
        if let Err(poison) = judged {
            self.poison.insert(place, poison);
        }
    }

    fn order_command(&mut self, key: &[u8], value: &[u8], place: &Place) -> Result<(), Poison> {
        let command = COMMANDS.orders.decode(value).map_err(|_| Poison::Must("no Avro of ours"))?;
        check_ids(&command, key)?;
        let order = self.orders.entry(command.key().to_owned()).or_default();
        match order.commands.meet(&command) {
            Met::New => {}
            Met::Again => {
                self.duplicates += 1;
                return Ok(());
            }
            Met::Reused => return Err(Poison::May("command id of another command")),
        }
        match command.command {
            OrderCommandKind::PlaceOrder(command) => {
                rules::place(&command).map_err(Poison::May)?;
                if order.placed.is_some() {
                    self.duplicates += 1;
                } else {
                    order.placed = Some((command, place.clone()));
                }
            }
            OrderCommandKind::CancelOrder(command) => {
                rules::cancel(&command).map_err(Poison::May)?;
                // A cancellation of what is not there (yet) is refused and has no effect.
                if order.placed.is_some() {
                    order.cancels.push(command.requested_by);
                }
            }
        }
        Ok(())
    }

    fn product_command(&mut self, key: &[u8], value: &[u8]) -> Result<(), Poison> {
        let command = COMMANDS.products.decode(value).map_err(|_| Poison::Must("no Avro of ours"))?;
        check_ids(&command, key)?;
        let product = self.products.entry(command.key().to_owned()).or_default();
        match product.commands.meet(&command) {
            Met::New => {}
            Met::Again => {
                self.duplicates += 1;
                return Ok(());
            }
            Met::Reused => return Err(Poison::May("command id of another command")),
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
        Ok(())
    }

    /// Internal topics and events: written by us, so whatever cannot be read is a fault.
    fn own(&mut self, record: &LogRecord, place: &Place) -> Result<(), String> {
        let value = record.value.as_deref().ok_or("null value")?;
        let text = |e: schemas::DecodeError| e.to_string();
        match place.topic {
            t if t == topics::STOCK_REQUESTS.base() => {
                let request = self.codecs.stock_requests.decode(value).map_err(text)?;
                self.stock_request(request, place);
            }
            t if t == topics::STOCK_RESULTS.base() => {
                let result = self.codecs.stock_results.decode(value).map_err(text)?;
                self.stock_result(result);
            }
            t if t == topics::PAYMENT_REQUESTS.base() => {
                let request = self.codecs.payment_requests.decode(value).map_err(text)?;
                let order = self.orders.entry(request.correlation_id).or_default();
                match request.kind {
                    PaymentRequestKind::Charge => drop(order.charge_keys.insert(request.idempotency_key)),
                    PaymentRequestKind::Refund => drop(order.refund_keys.insert(request.idempotency_key)),
                    PaymentRequestKind::Void | PaymentRequestKind::Unknown => {}
                }
            }
            t if t == topics::PAYMENT_RESULTS.base() => {
                let result = self.codecs.payment_results.decode(value).map_err(text)?;
                let order = self.orders.entry(result.correlation_id).or_default();
                match result.outcome {
                    PaymentOutcome::Approved => {
                        order.approved += 1;
                        order.owed |= order.given_back;
                    }
                    PaymentOutcome::Declined => order.declined += 1,
                    PaymentOutcome::Refunded => {
                        order.given_back = true;
                        order.owed = false;
                    }
                    PaymentOutcome::Voided => order.given_back = true,
                    PaymentOutcome::Deferred | PaymentOutcome::Unknown => {}
                }
            }
            t if t == topics::DELIVERY_REQUESTS.base() => {
                let request = self.codecs.delivery_requests.decode(value).map_err(text)?;
                let order = self.orders.entry(request.order_id).or_default();
                order.start_asked += u32::from(request.kind == DeliveryRequestKind::Start);
            }
            t if t == topics::DELIVERIES.base() => {
                let event = self.codecs.deliveries.decode(value).map_err(text)?;
                self.delivery(event);
            }
            t if t == topics::CANCELLATIONS.base() => {
                let event = self.codecs.cancellations.decode(value).map_err(text)?;
                let order = self.orders.entry(event.order_id).or_default();
                order.cancelled.push(event.reason);
                order.says("OrderCancelled", event.product_id, event.qty, Some(event.price));
            }
            _ => {
                let status = self.codecs.statuses.decode(value).map_err(text)?;
                let order = self.orders.entry(status.order_id).or_default();
                let before = order.status.map_or(0, |(_, version)| version);
                if status.version != before + 1 && order.status_gap.is_none() {
                    order.status_gap = Some((before, status.version, place.clone()));
                }
                order.status = Some((status.status, status.version));
            }
        }
        Ok(())
    }

    fn stock_request(&mut self, request: StockRequest, place: &Place) {
        let order = self.orders.entry(request.order_id.clone()).or_default();
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
        let order = self.orders.entry(result.order_id).or_default();
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
                let order = self.orders.entry(event.order_id).or_default();
                order.started += 1;
                order.recalled_first |= order.recalled > 0;
                order.says("DeliveryStarted", event.product_id, event.qty, None);
            }
            DeliveryEventKind::DeliveryCancelled(event) => {
                let order = self.orders.entry(event.order_id).or_default();
                order.recalled += 1;
                order.says("DeliveryCancelled", event.product_id, event.qty, None);
            }
        }
    }
}
