//! taxi: a passenger calls, the call is listed, exactly one driver gets it, and the passenger sees that.
//!
//! | | keyed by | reads | stores |
//! |---|---|---|---|
//! | 0 passengers | call | passengers, call-results | `passengers`, `commands`, `passenger-timers` |
//! | 1 call list | call | call-requests, acceptances | `calls`, `open-calls`, `acceptances`, `call-timers` |
//!
//! **Fault isolation.** Passengers and the call list meet only in topics that never expire: with the call list stopped
//! (`--tasks 0`) passengers call around the clock, and their calls arrive when it is back. A call expires only after it
//! has been on the list for its whole time, so that a stopped list costs nobody a taxi.

mod calls;
mod config;
mod passengers;
pub mod saga;

pub use config::{Codecs, Config};
pub use saga::{Command, Event, ListCommand, ListEvent, ListStep, Rules, Step, list_step, step};

use schemas::state::CommandOutcome;
use schemas::taxi::state::{Call, Passenger};
use schemas::taxi::topics;
use streams::serde::Utf8;
use streams::store::Timers as TimersSpec;
use streams::{Topology, TopologyBuilder};

use crate::Error;
use crate::avro::{self, Avro};
use crate::saga::{DueFormat, FROM_CLIENTS, FROM_STEPS, Keyed, Ledger, Runner, Timers};

/// The topology.
///
/// # Errors
/// [`Error::Config`] for settings that make no sense; [`Error::Build`] for a mistake in this function.
pub fn topology(config: &Config) -> Result<Topology, Error> {
    config.check()?;
    let mut b = TopologyBuilder::new(&config.application_id);
    passengers(&mut b, config);
    call_list(&mut b, config);
    Ok(b.build()?)
}

/// Passengers: each call as its passenger sees it.
fn passengers(b: &mut TopologyBuilder, config: &Config) {
    let passengers = b.store("passengers", avro::store::<Passenger>());
    let commands = b.store("commands", avro::store::<CommandOutcome>());
    let timers = b.store("passenger-timers", TimersSpec::new(DueFormat));

    // A passenger calls; the call list answers.
    let commands_in =
        b.source("passengers", &[topics::PASSENGERS.base()], Utf8, Avro::new(&config.codecs.passengers), FROM_CLIENTS);
    let results_in = b.source("call-results", &[topics::CALL_RESULTS.base()], Utf8, Avro::fixed(), FROM_STEPS);
    let (command_in, command) = b.processor("check-passenger", Keyed::new(|c| Event::Command(Clone::clone(c))));
    let (result_in, result) = b.processor("check-call-result", Keyed::new(|r| Event::Result(Clone::clone(r))));
    b.connect(commands_in, command_in);
    b.connect(results_in, result_in);

    // The call goes to the list, and every change to the passenger.
    let requests = b.sink("call-requests-sink", topics::CALL_REQUESTS.base(), Utf8, Avro::fixed());
    let status_sink =
        b.sink("call-status-sink", topics::CALL_STATUS.base(), Utf8, Avro::new(&config.codecs.call_status));
    let saga = Runner {
        saga: passengers::PassengerSaga { rules: config.rules(), requests },
        states: passengers.clone(),
        ledger: Ledger::new(commands.clone(), timers.clone(), config.command_retention_ms),
        timers: Timers::new(timers.clone()),
        timer_resolution_ms: config.timer_resolution_ms,
    };
    let (saga_in, status) = b.processor("passenger-saga", saga);
    b.connect(command, saga_in);
    b.connect(result, saga_in);
    b.connect_store(saga_in, &passengers);
    b.connect_store(saga_in, &commands);
    b.connect_store(saga_in, &timers);
    b.connect_to(status, requests);
    b.connect(status, status_sink);
}

/// The call list: calls pile up, drivers take them.
fn call_list(b: &mut TopologyBuilder, config: &Config) {
    let calls = b.store("calls", avro::store::<Call>());
    let open = b.store("open-calls", avro::store::<Call>());
    let acceptances = b.store("acceptances", avro::store::<CommandOutcome>());
    let timers = b.store("call-timers", TimersSpec::new(DueFormat));

    // Calls come from passengers, acceptances from drivers.
    let requests_in = b.source("call-requests", &[topics::CALL_REQUESTS.base()], Utf8, Avro::fixed(), FROM_STEPS);
    let drivers_in =
        b.source("drivers", &[topics::ACCEPTANCES.base()], Utf8, Avro::new(&config.codecs.acceptances), FROM_CLIENTS);
    let (request_in, request) = b.processor("check-call-request", Keyed::new(|r| ListEvent::Request(Clone::clone(r))));
    let (accept_in, accept) = b.processor("check-acceptance", Keyed::new(|c| ListEvent::Command(Clone::clone(c))));
    b.connect(requests_in, request_in);
    b.connect(drivers_in, accept_in);

    // The decision goes to the passenger, and to the drivers.
    let events = b.sink("call-events-sink", topics::CALL_EVENTS.base(), Utf8, Avro::new(&config.codecs.call_events));
    let results = b.sink("call-results-sink", topics::CALL_RESULTS.base(), Utf8, Avro::fixed());
    let list = Runner {
        saga: calls::CallList { rules: config.rules(), open: open.clone(), events },
        states: calls.clone(),
        ledger: Ledger::new(acceptances.clone(), timers.clone(), config.command_retention_ms),
        timers: Timers::new(timers.clone()),
        timer_resolution_ms: config.timer_resolution_ms,
    };
    let (list_in, result) = b.processor("call-list", list);
    b.connect(request, list_in);
    b.connect(accept, list_in);
    b.connect_store(list_in, &calls);
    b.connect_store(list_in, &open);
    b.connect_store(list_in, &acceptances);
    b.connect_store(list_in, &timers);
    b.connect_to(result, events);
    b.connect(result, results);
}
