//! ebook-rental, a library of e-books: a rent takes a book, is paid, approved by the librarian, read and given back; a
//! rejection gives the money back and cancels.
//!
//! | | keyed by | reads | stores |
//! |---|---|---|---|
//! | 0 rents | rent | rents, book-results, payment-results, approval-results | `rents`, `rents-by-user`, `dashboard`, `payments`, `commands`, `rent-timers` |
//! | 1 books | book | books, book-requests | `books`, `book-holds`, `book-commands`, `book-timers` |
//! | 2 librarian | rent | decisions, approval-requests | `approvals`, `waiting-approvals`, `decisions`, `approval-timers` |
//!
//! **Fault isolation.** The three meet only in topics that never expire. With the librarian's side stopped (`--tasks 0`)
//! rents are requested around the clock, and decided when it is back: with the books stopped they wait without a deadline;
//! with only the decisions stopped they are paid, and when the librarian's time ends, it is the stopped side's answer that
//! is waited for, so that no decision is overruled.

pub mod books;
mod config;
mod dashboard;
pub mod librarian;
mod rents;
pub mod saga;

pub use config::{Codecs, Config};
pub use saga::{Command, Event, Rules, Step, step};

use schemas::ebook::state::{Approval, Book, Dashboard, Rent};
use schemas::ebook::topics;
use schemas::state::{CommandOutcome, Hold};
use streams::serde::Utf8;
use streams::store::Timers as TimersSpec;
use streams::{Topology, TopologyBuilder};

use crate::Error;
use crate::avro::{self, Avro};
use crate::saga::{DueFormat, FROM_CLIENTS, FROM_STEPS, Holds, Keyed, Ledger, Owners, Payments, Runner, Timers};

/// A hold, or a decision, outlives its rent by once more the rent's own time, so that a request that is late finds it.
const LIVES: i64 = 2;

/// The topology.
///
/// # Errors
/// [`Error::Config`] for settings that make no sense; [`Error::Build`] for a mistake in this function.
pub fn topology(config: &Config) -> Result<Topology, Error> {
    config.check()?;
    let mut b = TopologyBuilder::new(&config.saga.application_id);
    rents(&mut b, config);
    books(&mut b, config);
    librarian(&mut b, config);
    Ok(b.build()?)
}

/// Rents: the saga, and the members' dashboard.
fn rents(b: &mut TopologyBuilder, config: &Config) {
    let codecs = &config.codecs;
    let rents = b.store("rents", avro::store::<Rent>());
    let by_user = Owners::new(b, "rents-by-user");
    let dashboard = b.store("dashboard", avro::store::<Dashboard>());
    let payments = Payments::new(b);
    let commands = b.store("commands", avro::store::<CommandOutcome>());
    let timers = b.store("rent-timers", TimersSpec::new(DueFormat));

    // What happens to a rent: the member's commands, and the answers of the books, the payment system and the librarian.
    let commands_in = b.source("rents", &[topics::RENTS.base()], Utf8, Avro::new(&codecs.rents), FROM_CLIENTS);
    let books_in = b.source("book-results", &[topics::BOOK_RESULTS.base()], Utf8, Avro::fixed(), FROM_STEPS);
    let payments_in = b.source(
        "payment-results",
        &[topics::PAYMENT_RESULTS.base()],
        Utf8,
        Avro::new(&codecs.payment_results),
        FROM_CLIENTS,
    );
    let approvals_in =
        b.source("approval-results", &[topics::APPROVAL_RESULTS.base()], Utf8, Avro::fixed(), FROM_STEPS);
    let (command_in, command) = b.processor("check-rent", Keyed::new(|c| Event::Command(Clone::clone(c))));
    let (book_in, book) = b.processor("check-book-result", Keyed::new(|r| Event::Book(Clone::clone(r))));
    let (payment_in, payment) = b.processor("check-payment-result", Keyed::new(|r| Event::Payment(Clone::clone(r))));
    let (approval_in, approval) =
        b.processor("check-approval-result", Keyed::new(|r| Event::Approval(Clone::clone(r))));
    b.connect(commands_in, command_in);
    b.connect(books_in, book_in);
    b.connect(payments_in, payment_in);
    b.connect(approvals_in, approval_in);

    // What the saga asks for and tells.
    let (dashboard_in, _) = b.processor("dashboard", dashboard::DashboardView { rows: dashboard.clone() });
    let book_requests = b.sink("book-requests-sink", topics::BOOK_REQUESTS.base(), Utf8, Avro::fixed());
    let payment_requests =
        b.sink("payment-requests-sink", topics::PAYMENT_REQUESTS.base(), Utf8, Avro::new(&codecs.payment_requests));
    let approval_requests = b.sink("approval-requests-sink", topics::APPROVAL_REQUESTS.base(), Utf8, Avro::fixed());
    let events = b.sink("rent-events-sink", topics::RENT_EVENTS.base(), Utf8, Avro::new(&codecs.rent_events));
    let status_sink = b.sink("rent-status-sink", topics::RENT_STATUS.base(), Utf8, Avro::new(&codecs.rent_status));

    // The saga itself.
    let saga = rents::RentSaga {
        rules: Rules { saga: config.saga.clone(), approval_deadline_ms: config.approval_deadline_ms },
        by_user: by_user.clone(),
        payments: payments.clone(),
        book_requests,
        payment_requests,
        approval_requests,
        events,
        dashboard: dashboard_in,
    };
    let saga = Runner {
        saga,
        states: rents.clone(),
        ledger: Ledger::new(commands.clone(), timers.clone(), config.saga.command_retention_ms),
        timers: Timers::new(timers.clone()),
        timer_resolution_ms: config.saga.timer_resolution_ms,
    };
    let (saga_in, status) = b.processor("rent-saga", saga);
    for event in [command, book, payment, approval] {
        b.connect(event, saga_in);
    }
    b.connect_store(saga_in, &rents);
    b.connect_store(saga_in, by_user.store());
    b.connect_store(saga_in, payments.store());
    b.connect_store(saga_in, &commands);
    b.connect_store(saga_in, &timers);
    b.connect_store(dashboard_in, &dashboard);
    b.connect_to(status, book_requests);
    b.connect_to(status, payment_requests);
    b.connect_to(status, approval_requests);
    b.connect_to(status, events);
    b.connect(status, dashboard_in);
    b.connect(status, status_sink);
}

/// Book management: books, and who holds them.
fn books(b: &mut TopologyBuilder, config: &Config) {
    let books = b.store("books", avro::store::<Book>());
    let holds = b.store("book-holds", avro::store::<Hold>());
    let commands = b.store("book-commands", avro::store::<CommandOutcome>());
    let timers = b.store("book-timers", TimersSpec::new(DueFormat));

    // What happens to a book: the librarian registers it, rents ask for it.
    let commands_in = b.source("books", &[topics::BOOKS.base()], Utf8, Avro::new(&config.codecs.books), FROM_CLIENTS);
    let requests_in = b.source("book-requests", &[topics::BOOK_REQUESTS.base()], Utf8, Avro::fixed(), FROM_STEPS);
    let (command_in, command) = b.processor("check-book", Keyed::new(|c| books::Event::Command(Clone::clone(c))));
    let (request_in, request) =
        b.processor("check-book-request", Keyed::new(|r| books::Event::Request(Clone::clone(r))));
    b.connect(commands_in, command_in);
    b.connect(requests_in, request_in);

    // The answer goes to the rent.
    let results = b.sink("book-results-sink", topics::BOOK_RESULTS.base(), Utf8, Avro::fixed());
    let retention_ms = config.saga.saga_retention_ms.saturating_mul(LIVES);
    let management = books::BookManagement {
        timer_resolution_ms: config.saga.timer_resolution_ms,
        books: books.clone(),
        holds: Holds::new(holds.clone(), Timers::new(timers.clone()), retention_ms),
        ledger: Ledger::new(commands.clone(), timers.clone(), config.saga.command_retention_ms),
        timers: Timers::new(timers.clone()),
    };
    let (management_in, result) = b.processor("book-management", management);
    b.connect(command, management_in);
    b.connect(request, management_in);
    b.connect_store(management_in, &books);
    b.connect_store(management_in, &holds);
    b.connect_store(management_in, &commands);
    b.connect_store(management_in, &timers);
    b.connect(result, results);
}

/// The librarian's side: paid rents, and what is decided about them.
fn librarian(b: &mut TopologyBuilder, config: &Config) {
    let approvals = b.store("approvals", avro::store::<Approval>());
    let waiting = b.store("waiting-approvals", avro::store::<Approval>());
    let decisions = b.store("decisions", avro::store::<CommandOutcome>());
    let timers = b.store("approval-timers", TimersSpec::new(DueFormat));

    // Rents come from the saga, decisions from the librarian.
    let requests_in =
        b.source("approval-requests", &[topics::APPROVAL_REQUESTS.base()], Utf8, Avro::fixed(), FROM_STEPS);
    let decisions_in =
        b.source("decisions", &[topics::DECISIONS.base()], Utf8, Avro::new(&config.codecs.decisions), FROM_CLIENTS);
    let (request_in, request) =
        b.processor("check-approval-request", Keyed::new(|r| librarian::Event::Request(Clone::clone(r))));
    let (decision_in, decision) =
        b.processor("check-decision", Keyed::new(|c| librarian::Event::Command(Clone::clone(c))));
    b.connect(requests_in, request_in);
    b.connect(decisions_in, decision_in);

    // What is decided goes to the rent.
    let results = b.sink("approval-results-sink", topics::APPROVAL_RESULTS.base(), Utf8, Avro::fixed());
    let librarian = Runner {
        saga: librarian::Librarian {
            retention_ms: config.saga.saga_retention_ms.saturating_mul(LIVES),
            waiting: waiting.clone(),
        },
        states: approvals.clone(),
        ledger: Ledger::new(decisions.clone(), timers.clone(), config.saga.command_retention_ms),
        timers: Timers::new(timers.clone()),
        timer_resolution_ms: config.saga.timer_resolution_ms,
    };
    let (librarian_in, result) = b.processor("librarian", librarian);
    b.connect(request, librarian_in);
    b.connect(decision, librarian_in);
    b.connect_store(librarian_in, &approvals);
    b.connect_store(librarian_in, &waiting);
    b.connect_store(librarian_in, &decisions);
    b.connect_store(librarian_in, &timers);
    b.connect(result, results);
}
