//! gdmarket, a neighbourhood rental market: a rental locks an item, is paid, has the item and brings it back;
//! cancellations unwind.
//!
//! | | keyed by | reads | stores |
//! |---|---|---|---|
//! | 0 rentals | rental | rentals, item-results, payment-results | `rentals`, `rentals-by-renter`, `payments`, `commands`, `rental-timers` |
//! | 1 items | item | items, item-requests | `items`, `item-holds`, `item-views`, `item-commands`, `item-timers` |
//!
//! **Fault isolation.** The two meet only in topics that never expire: with item management stopped (`--tasks 0`) rentals
//! are requested around the clock, and decided when it is back; without a payment system, items stay locked until the
//! deadline.

mod config;
pub mod items;
mod rentals;
pub mod saga;

pub use config::{Codecs, Config};
pub use saga::{Command, Event, Step, step};

use schemas::gdmarket::state::{Item, ItemView, Rental};
use schemas::gdmarket::topics;
use schemas::state::{CommandOutcome, Hold};
use streams::serde::Utf8;
use streams::store::Timers as TimersSpec;
use streams::{Topology, TopologyBuilder};

use crate::Error;
use crate::avro::{self, Avro};
use crate::saga::{DueFormat, FROM_CLIENTS, FROM_STEPS, Holds, Keyed, Ledger, Owners, Payments, Runner, Timers};

/// A hold outlives its rental by once more the rental's own time, so that a release always finds it.
const HOLD_LIVES: i64 = 2;

/// The topology.
///
/// # Errors
/// [`Error::Config`] for settings that make no sense; [`Error::Build`] for a mistake in this function.
pub fn topology(config: &Config) -> Result<Topology, Error> {
    config.saga.check()?;
    let mut b = TopologyBuilder::new(&config.saga.application_id);
    rentals(&mut b, config);
    items(&mut b, config);
    Ok(b.build()?)
}

/// Rentals: the saga.
fn rentals(b: &mut TopologyBuilder, config: &Config) {
    let codecs = &config.codecs;
    let rentals = b.store("rentals", avro::store::<Rental>());
    let by_renter = Owners::new(b, "rentals-by-renter");
    let payments = Payments::new(b);
    let commands = b.store("commands", avro::store::<CommandOutcome>());
    let timers = b.store("rental-timers", TimersSpec::new(DueFormat));

    // What happens to a rental: the renter's commands, and the answers of item management and of the payment system.
    let commands_in = b.source("rentals", &[topics::RENTALS.base()], Utf8, Avro::new(&codecs.rentals), FROM_CLIENTS);
    let items_in = b.source("item-results", &[topics::ITEM_RESULTS.base()], Utf8, Avro::fixed(), FROM_STEPS);
    let payments_in = b.source(
        "payment-results",
        &[topics::PAYMENT_RESULTS.base()],
        Utf8,
        Avro::new(&codecs.payment_results),
        FROM_CLIENTS,
    );
    let (command_in, command) = b.processor("check-rental", Keyed::new(|c| Event::Command(Clone::clone(c))));
    let (item_in, item) = b.processor("check-item-result", Keyed::new(|r| Event::Item(Clone::clone(r))));
    let (payment_in, payment) = b.processor("check-payment-result", Keyed::new(|r| Event::Payment(Clone::clone(r))));
    b.connect(commands_in, command_in);
    b.connect(items_in, item_in);
    b.connect(payments_in, payment_in);

    // What the saga asks for and tells.
    let item_requests = b.sink("item-requests-sink", topics::ITEM_REQUESTS.base(), Utf8, Avro::fixed());
    let payment_requests =
        b.sink("payment-requests-sink", topics::PAYMENT_REQUESTS.base(), Utf8, Avro::new(&codecs.payment_requests));
    let events = b.sink("rental-events-sink", topics::RENTAL_EVENTS.base(), Utf8, Avro::new(&codecs.rental_events));
    let status_sink =
        b.sink("rental-status-sink", topics::RENTAL_STATUS.base(), Utf8, Avro::new(&codecs.rental_status));

    // The saga itself.
    let saga = rentals::RentalSaga {
        settings: config.saga.clone(),
        by_renter: by_renter.clone(),
        payments: payments.clone(),
        item_requests,
        payment_requests,
        events,
    };
    let saga = Runner {
        saga,
        states: rentals.clone(),
        ledger: Ledger::new(commands.clone(), timers.clone(), config.saga.command_retention_ms),
        timers: Timers::new(timers.clone()),
        timer_resolution_ms: config.saga.timer_resolution_ms,
    };
    let (saga_in, status) = b.processor("rental-saga", saga);
    for event in [command, item, payment] {
        b.connect(event, saga_in);
    }
    b.connect_store(saga_in, &rentals);
    b.connect_store(saga_in, by_renter.store());
    b.connect_store(saga_in, payments.store());
    b.connect_store(saga_in, &commands);
    b.connect_store(saga_in, &timers);
    b.connect_to(status, item_requests);
    b.connect_to(status, payment_requests);
    b.connect_to(status, events);
    b.connect(status, status_sink);
}

/// Item management: items, holds, and the manager's view.
fn items(b: &mut TopologyBuilder, config: &Config) {
    let items = b.store("items", avro::store::<Item>());
    let holds = b.store("item-holds", avro::store::<Hold>());
    let views = b.store("item-views", avro::store::<ItemView>());
    let commands = b.store("item-commands", avro::store::<CommandOutcome>());
    let timers = b.store("item-timers", TimersSpec::new(DueFormat));

    // What happens to an item: the manager's commands, and the requests of rentals.
    let commands_in = b.source("items", &[topics::ITEMS.base()], Utf8, Avro::new(&config.codecs.items), FROM_CLIENTS);
    let requests_in = b.source("item-requests", &[topics::ITEM_REQUESTS.base()], Utf8, Avro::fixed(), FROM_STEPS);
    let (command_in, command) = b.processor("check-item", Keyed::new(|c| items::Event::Command(Clone::clone(c))));
    let (request_in, request) =
        b.processor("check-item-request", Keyed::new(|r| items::Event::Request(Clone::clone(r))));
    b.connect(commands_in, command_in);
    b.connect(requests_in, request_in);

    // The answer goes to the rental, every change to the view and to everyone.
    let (view_in, _) = b.processor("item-view", items::ItemViews { rows: views.clone() });
    let status = b.sink("item-status-sink", topics::ITEM_STATUS.base(), Utf8, Avro::new(&config.codecs.item_status));
    let results = b.sink("item-results-sink", topics::ITEM_RESULTS.base(), Utf8, Avro::fixed());
    let retention_ms = config.saga.saga_retention_ms.saturating_mul(HOLD_LIVES);
    let management = items::ItemManagement {
        timer_resolution_ms: config.saga.timer_resolution_ms,
        retention_ms,
        items: items.clone(),
        holds: Holds::new(holds.clone(), Timers::new(timers.clone()), retention_ms),
        ledger: Ledger::new(commands.clone(), timers.clone(), config.saga.command_retention_ms),
        timers: Timers::new(timers.clone()),
        view: view_in,
        status,
    };
    let (management_in, result) = b.processor("item-management", management);
    b.connect(command, management_in);
    b.connect(request, management_in);
    b.connect_store(management_in, &items);
    b.connect_store(management_in, &holds);
    b.connect_store(management_in, &commands);
    b.connect_store(management_in, &timers);
    b.connect_store(view_in, &views);
    b.connect_to(result, view_in);
    b.connect_to(result, status);
    b.connect(result, results);
}
