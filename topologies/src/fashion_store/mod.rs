//! fashion-store: an order reserves stock, is paid and delivered; a cancellation unwinds all three.
//!
//! Three sub-topologies, because three things fail and scale apart:
//!
//! | | keyed by | reads | stores |
//! |---|---|---|---|
//! | 0 orders | order | orders, stock-results, payment-results, deliveries | `orders`, `orders-by-customer`, `dashboard`, `payments`, `commands`, `order-timers` |
//! | 1 stock | product | products, stock-requests | `stock`, `reservations`, `product-commands`, `stock-timers` |
//! | 2 delivery | order | delivery-requests | `deliveries`, `delivery-timers` |
//!
//! **Fault isolation.** Sub-topologies meet only in topics, and no request topic expires: with delivery stopped
//! (`--tasks 0,1`) orders are taken and paid, and their requests wait; with the stock stopped orders are taken; with
//! neither a payment worker nor a provider, orders are taken, wait under their deadline, and the rest goes on. The
//! payment system is no sub-topology at all: it lies between payment-requests and payment-results, whoever runs it.
//! Orders, answers and the dashboard are one sub-topology because they share their key: an answer and the row that shows
//! it commit together.

mod config;
mod dashboard;
pub mod delivery;
mod orders;
pub mod saga;
pub mod stock;

pub use config::{Codecs, Config};
pub use saga::{Command, Event, Step, step};

use schemas::fashion::state::{Dashboard, Delivery, Order, Product, Reservation};
use schemas::fashion::topics;
use schemas::state::CommandOutcome;
use streams::serde::{I64, Utf8};
use streams::store::{KeyValue, Timers as TimersSpec};
use streams::{Topology, TopologyBuilder};

use crate::Error;
use crate::avro::{self, Avro};
use crate::saga::{DueFormat, FROM_CLIENTS, FROM_STEPS, Keyed, Ledger, Payments, Runner, Timers};

/// A reservation outlives its order by once more the order's own time, so that a release always finds it.
const RESERVATION_LIVES: i64 = 2;

/// The topology.
///
/// # Errors
/// [`Error::Config`] for settings that make no sense; [`Error::Build`] for a mistake in this function.
pub fn topology(config: &Config) -> Result<Topology, Error> {
    config.saga.check()?;
    let mut b = TopologyBuilder::new(&config.saga.application_id);
    orders(&mut b, config);
    stock(&mut b, config);
    delivery(&mut b, config);
    Ok(b.build()?)
}

/// Orders: the saga, keyed by order, and what is shown of it.
fn orders(b: &mut TopologyBuilder, config: &Config) {
    let codecs = &config.codecs;
    let orders = b.store("orders", avro::store::<Order>());
    let by_customer = b.store("orders-by-customer", KeyValue::new(Utf8, I64).shown_as(show_customer_order));
    let dashboard = b.store("dashboard", avro::store::<Dashboard>());
    let payments = Payments::new(b);
    let commands = b.store("commands", avro::store::<CommandOutcome>());
    let timers = b.store("order-timers", TimersSpec::new(DueFormat));

    // What happens to an order: commands, and the answers of stock, payment and delivery. Each comes in under its order
    // id or not at all.
    let commands_in = b.source("orders", &[topics::ORDERS.base()], Utf8, Avro::new(&codecs.orders), FROM_CLIENTS);
    let stock_in = b.source("stock-results", &[topics::STOCK_RESULTS.base()], Utf8, Avro::fixed(), FROM_STEPS);
    let payments_in = b.source(
        "payment-results",
        &[topics::PAYMENT_RESULTS.base()],
        Utf8,
        Avro::new(&codecs.payment_results),
        FROM_CLIENTS,
    );
    let deliveries_in =
        b.source("delivery-events", &[topics::DELIVERIES.base()], Utf8, Avro::new(&codecs.deliveries), FROM_STEPS);
    let (command_in, command) = b.processor("check-order", Keyed::new(|c| Event::Command(Clone::clone(c))));
    let (stock_result_in, stock_result) =
        b.processor("check-stock-result", Keyed::new(|r| Event::Stock(Clone::clone(r))));
    let (payment_result_in, payment_result) =
        b.processor("check-payment-result", Keyed::new(|r| Event::Payment(Clone::clone(r))));
    let (delivery_event_in, delivery_event) =
        b.processor("check-delivery-event", Keyed::new(|e| Event::Delivery(Clone::clone(e))));
    b.connect(commands_in, command_in);
    b.connect(stock_in, stock_result_in);
    b.connect(payments_in, payment_result_in);
    b.connect(deliveries_in, delivery_event_in);

    // What the saga asks for and tells.
    let (dashboard_in, _) = b.processor("dashboard", dashboard::DashboardView { rows: dashboard.clone() });
    let to = orders::Outputs {
        stock_requests: b.sink("stock-requests-sink", topics::STOCK_REQUESTS.base(), Utf8, Avro::fixed()),
        payment_requests: b.sink(
            "payment-requests-sink",
            topics::PAYMENT_REQUESTS.base(),
            Utf8,
            Avro::new(&codecs.payment_requests),
        ),
        delivery_requests: b.sink("delivery-requests-sink", topics::DELIVERY_REQUESTS.base(), Utf8, Avro::fixed()),
        cancellations: b.sink(
            "cancellations-sink",
            topics::CANCELLATIONS.base(),
            Utf8,
            Avro::new(&codecs.cancellations),
        ),
        dashboard: dashboard_in,
    };
    let status_sink = b.sink("order-status-sink", topics::ORDER_STATUS.base(), Utf8, Avro::new(&codecs.order_status));

    // The saga itself.
    let saga = orders::OrderSaga {
        settings: config.saga.clone(),
        by_customer: by_customer.clone(),
        payments: payments.clone(),
        to: to.clone(),
    };
    let saga = Runner {
        saga,
        states: orders.clone(),
        ledger: Ledger::new(commands.clone(), timers.clone(), config.saga.command_retention_ms),
        timers: Timers::new(timers.clone()),
        timer_resolution_ms: config.saga.timer_resolution_ms,
    };
    let (saga_in, status) = b.processor("order-saga", saga);
    for event in [command, stock_result, payment_result, delivery_event] {
        b.connect(event, saga_in);
    }
    b.connect_store(saga_in, &orders);
    b.connect_store(saga_in, &by_customer);
    b.connect_store(saga_in, payments.store());
    b.connect_store(saga_in, &commands);
    b.connect_store(saga_in, &timers);
    b.connect_store(dashboard_in, &dashboard);
    b.connect_to(status, to.stock_requests);
    b.connect_to(status, to.payment_requests);
    b.connect_to(status, to.delivery_requests);
    b.connect_to(status, to.cancellations);
    b.connect(status, dashboard_in);
    b.connect(status, status_sink);
}

/// The stock: products and reservations, keyed by product.
fn stock(b: &mut TopologyBuilder, config: &Config) {
    let products = b.store("stock", avro::store::<Product>());
    let reservations = b.store("reservations", avro::store::<Reservation>());
    let commands = b.store("product-commands", avro::store::<CommandOutcome>());
    let timers = b.store("stock-timers", TimersSpec::new(DueFormat));

    // What happens to a product: the merchandiser's commands, and the requests of orders.
    let commands_in =
        b.source("products", &[topics::PRODUCTS.base()], Utf8, Avro::new(&config.codecs.products), FROM_CLIENTS);
    let requests_in = b.source("stock-requests", &[topics::STOCK_REQUESTS.base()], Utf8, Avro::fixed(), FROM_STEPS);
    let (command_in, command) = b.processor("check-product", Keyed::new(|c| stock::Event::Command(Clone::clone(c))));
    let (request_in, request) =
        b.processor("check-stock-request", Keyed::new(|r| stock::Event::Request(Clone::clone(r))));
    b.connect(commands_in, command_in);
    b.connect(requests_in, request_in);

    // Pieces are counted, and the answer goes to the order.
    let processor = stock::Stock {
        timer_resolution_ms: config.saga.timer_resolution_ms,
        reservation_retention_ms: config.saga.saga_retention_ms.saturating_mul(RESERVATION_LIVES),
        products: products.clone(),
        reservations: reservations.clone(),
        ledger: Ledger::new(commands.clone(), timers.clone(), config.saga.command_retention_ms),
        timers: Timers::new(timers.clone()),
    };
    let (stock_in, result) = b.processor("stock", processor);
    let results = b.sink("stock-results-sink", topics::STOCK_RESULTS.base(), Utf8, Avro::fixed());
    b.connect(command, stock_in);
    b.connect(request, stock_in);
    b.connect_store(stock_in, &products);
    b.connect_store(stock_in, &reservations);
    b.connect_store(stock_in, &commands);
    b.connect_store(stock_in, &timers);
    b.connect(result, results);
}

/// Delivery management, keyed by order.
fn delivery(b: &mut TopologyBuilder, config: &Config) {
    let deliveries = b.store("deliveries", avro::store::<Delivery>());
    let timers = b.store("delivery-timers", TimersSpec::new(DueFormat));

    // What the orders ask for: start a parcel, call it back.
    let requests = b.source("delivery-requests", &[topics::DELIVERY_REQUESTS.base()], Utf8, Avro::fixed(), FROM_STEPS);
    let (request_in, request) = b.processor("check-delivery-request", Keyed::new(Clone::clone));
    b.connect(requests, request_in);

    // Parcels go, and everyone is told.
    let processor = delivery::DeliveryManagement {
        timer_resolution_ms: config.saga.timer_resolution_ms,
        retention_ms: config.saga.saga_retention_ms,
        deliveries: deliveries.clone(),
        timers: Timers::new(timers.clone()),
    };
    let (delivery_in, event) = b.processor("delivery", processor);
    let events = b.sink("deliveries-sink", topics::DELIVERIES.base(), Utf8, Avro::new(&config.codecs.deliveries));
    b.connect(request, delivery_in);
    b.connect_store(delivery_in, &deliveries);
    b.connect_store(delivery_in, &timers);
    b.connect(event, events);
}

/// An entry of the index by customer as JSON.
fn show_customer_order(key: &[u8], placed_at: &[u8]) -> String {
    let key = String::from_utf8_lossy(key);
    let (customer_id, order_id) = key.split_once(schemas::state::KEY_SEPARATOR).unwrap_or(("", &key));
    let placed_at = placed_at.try_into().map(i64::from_be_bytes).ok();
    serde_json::json!({ "customer_id": customer_id, "order_id": order_id, "placed_at": placed_at }).to_string()
}
