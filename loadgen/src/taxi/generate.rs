//! Made-up traffic of taxi calls.

use rand::Rng;
use schemas::taxi::{AcceptCall, CallTaxi, DriverCommand, PassengerCommand, topics};

use super::COMMANDS;
use crate::error::Error;
use crate::generate::{DUPLICATE_MS_MAX, Params, Traffic, Zipf, command, poison};
use crate::traffic::{Envelope, Expect};

pub(super) const KIND_CALL: &str = "call";
pub(super) const KIND_ACCEPT: &str = "accept";

/// A call that no driver wants.
const KIND_UNWANTED: &str = "call-unwanted";

/// Share of calls that no driver wants.
const UNWANTED: f64 = 0.03;

/// Share of drivers who do not say who they are: the seed's own command does not.
const NAMELESS: f64 = 0.02;

/// Share of drivers who ask again for a call they raced for, as if they had not heard the answer.
const ASKS_AGAIN: f64 = 0.05;

/// Drivers look at a call this long after it was made.
const LOOK_MS: std::ops::Range<i64> = 300..3_000;

/// Fast drivers, who may be there before the call is on the list.
const LOOK_EARLY_MS: std::ops::Range<i64> = 1..50;

/// Between the first and the last driver of a race.
const RACE_MS: i64 = 20;

/// When one more comes, who is too late, unless all before were there before the call was on the list.
const AFTERWARDS_MS: i64 = 5_000;

/// What can be read and makes no sense.
const NONSENSE: [&str; 1] = ["poison:long-text"];

/// One character more than people may write.
const TOO_LONG: usize = 501;

struct Generator<'a> {
    traffic: Traffic<'a>,
    places: Zipf,
    people: Zipf,
}

pub(super) fn generate(params: &Params, sink: &mut dyn FnMut(Envelope) -> Result<(), Error>) -> Result<(), Error> {
    let mut generator = Generator {
        traffic: Traffic::new(params),
        places: Zipf::new(params.products, params.skew),
        people: Zipf::new(params.customers, params.skew),
    };
    let mut clock = generator.traffic.clock(0);
    for number in 0..params.orders {
        let at_ms = clock.next(&mut generator.traffic.rng);
        generator.ride(number, at_ms);
        generator.beside(number, at_ms);
        generator.traffic.release(at_ms, sink)?;
    }
    generator.traffic.release(i64::MAX, sink)
}

impl Generator<'_> {
    /// A call and the drivers who race for it.
    fn ride(&mut self, number: u64, at_ms: i64) {
        let call_id = format!("call-{:x}-{:07}", self.traffic.params.seed, number + 1);
        let unwanted = self.traffic.happens(UNWANTED);
        let kind = if unwanted { KIND_UNWANTED } else { KIND_CALL };
        let call = self.call(&call_id, at_ms);
        let envelope = call_envelope(at_ms, call.clone(), kind, Expect::Accept);
        self.traffic.maybe_twice(&envelope);
        self.traffic.add(envelope);
        if self.traffic.happens(self.traffic.params.conflicts) {
            let other = CallTaxi { end_location: "somewhere else".to_owned(), ..self.call(&call_id, at_ms) };
            let at_ms = at_ms + 1 + self.traffic.rng.random_range(0..DUPLICATE_MS_MAX);
            self.traffic.add(call_envelope(at_ms, other, "conflict", Expect::Refuse));
        }
        if unwanted {
            return;
        }
        let early = self.traffic.happens(self.traffic.params.cancels_early);
        let look_ms = self.traffic.rng.random_range(if early { LOOK_EARLY_MS } else { LOOK_MS });
        let rivals = 1 + self.traffic.rng.random_range(0..self.traffic.params.rivals);
        let first = self.people.sample(&mut self.traffic.rng);
        for rival in 0..rivals {
            let at_ms = at_ms + look_ms + self.traffic.rng.random_range(0..=RACE_MS);
            let driver = (first + rival) % self.traffic.params.customers;
            self.accept(&call, driver, at_ms);
            if self.traffic.happens(ASKS_AGAIN) {
                self.accept(&call, driver, at_ms + DUPLICATE_MS_MAX);
            }
        }
        let late = self.people.sample(&mut self.traffic.rng);
        self.accept(&call, late, at_ms + AFTERWARDS_MS);
    }

    /// What happens beside: poison, acceptances of calls that never were.
    fn beside(&mut self, number: u64, at_ms: i64) {
        if self.traffic.happens(self.traffic.params.poison) {
            let call_id = format!("poison-{:016x}-{:06}", self.traffic.params.seed, number + 1);
            let kind = self.traffic.poison_kind(&NONSENSE);
            let mut call = self.call(&call_id, at_ms);
            let mut expect = Expect::DeadLetter;
            if kind == "poison:long-text" {
                call.start_location = "x".repeat(TOO_LONG);
                expect = Expect::Refuse;
            }
            let envelope = call_envelope(at_ms, call, kind, expect);
            self.traffic.add(poison(envelope, &format!("{{\"id\":\"{call_id}\",\"status\":\"call\"}}")));
        }
        if self.traffic.happens(self.traffic.params.unknown_products) {
            let nobodys = self.call(&format!("nobodys-{:06}", number + 1), at_ms);
            let driver = self.people.sample(&mut self.traffic.rng);
            let accept = self.acceptance(&nobodys, driver, at_ms);
            self.traffic.add(accept_envelope(at_ms, accept, "accept-unknown", Expect::Refuse));
        }
    }

    fn call(&mut self, call_id: &str, at_ms: i64) -> CallTaxi {
        let passenger = self.people.sample(&mut self.traffic.rng);
        let mut place = || format!("place {}", self.places.sample(&mut self.traffic.rng) + 1);
        let (start_location, end_location) = (place(), place());
        CallTaxi {
            command_id: self.traffic.command_id(),
            call_id: call_id.to_owned(),
            passenger_id: format!("passenger-{:05}", passenger + 1),
            start_location,
            end_location,
            called_at: at_ms,
        }
    }

    fn accept(&mut self, call: &CallTaxi, driver: u32, at_ms: i64) {
        let accept = self.acceptance(call, driver, at_ms);
        let envelope = accept_envelope(at_ms, accept, KIND_ACCEPT, Expect::Accept);
        self.traffic.maybe_twice(&envelope);
        self.traffic.add(envelope);
    }

    fn acceptance(&mut self, call: &CallTaxi, driver: u32, at_ms: i64) -> AcceptCall {
        let nameless = self.traffic.happens(NAMELESS);
        AcceptCall {
            command_id: self.traffic.command_id(),
            call_id: call.call_id.clone(),
            driver_id: if nameless { String::new() } else { format!("driver-{:05}", driver + 1) },
            start_location: call.start_location.clone(),
            end_location: call.end_location.clone(),
            accepted_at: at_ms,
        }
    }
}

fn call_envelope(at_ms: i64, call: CallTaxi, kind: &str, expect: Expect) -> Envelope {
    let value = PassengerCommand { command: call.into() };
    command(at_ms, &topics::PASSENGERS, &COMMANDS.passengers, &value, kind, expect)
}

fn accept_envelope(at_ms: i64, accept: AcceptCall, kind: &str, expect: Expect) -> Envelope {
    let value = DriverCommand { command: accept.into() };
    command(at_ms, &topics::ACCEPTANCES, &COMMANDS.drivers, &value, kind, expect)
}
