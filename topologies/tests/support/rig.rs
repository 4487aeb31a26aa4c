//! A business under test: its topology in the engine's test driver, run as a [`Mode`] says, with a payment provider, and
//! readers of what came out. Every business's own support is built on it.

use std::collections::BTreeMap;

use schemas::payment::{PaymentOutcome, PaymentRequest};
use schemas::state::{CommandOutcome, Verdict, ledger_key};
use schemas::{AvroRecord, Codec, Keyed};
use streams::Topology;
use streams::testing::{OutRecord, TestDriver};

use super::provider::{Charges, Ledger, result};

/// How a business is run; the outcome must be the same for all of them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mode {
    pub(crate) partitions: u32,
    pub(crate) after_each_record: After,
    pub(crate) every_event_twice: bool,
}

/// What happens after each record that is put in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum After {
    Nothing,
    Crash,
    CrashAndLoseDisk,
}

/// The plainest way.
pub(crate) const PLAIN: Mode = Mode { partitions: 1, after_each_record: After::Nothing, every_event_twice: false };

/// All ways to run a scenario.
pub(crate) fn modes() -> Vec<Mode> {
    let mut modes = Vec::new();
    for partitions in [1, 2, 4] {
        for after_each_record in [After::Nothing, After::Crash, After::CrashAndLoseDisk] {
            for every_event_twice in [false, true] {
                modes.push(Mode { partitions, after_each_record, every_event_twice });
            }
        }
    }
    modes
}

/// What the rig has to know of a business.
#[derive(Debug)]
pub(crate) struct Business {
    /// Topics whose records are put in a second time when every event comes twice.
    pub(crate) events: &'static [&'static str],
    /// Payment requests and results.
    pub(crate) payment: Option<(&'static str, &'static str)>,
    /// Stores of command outcomes.
    pub(crate) ledgers: &'static [&'static str],
    pub(crate) dead_letters: &'static str,
}

/// A business in its test driver.
pub(crate) struct Rig {
    pub(crate) driver: TestDriver,
    pub(crate) mode: Mode,
    pub(crate) ledger: Ledger,
    business: &'static Business,
    read: BTreeMap<&'static str, Vec<OutRecord>>,
}

impl Rig {
    pub(crate) fn new(topology: Topology, business: &'static Business, mode: Mode) -> Rig {
        let driver = TestDriver::new(topology, mode.partitions);
        Rig { driver, mode, ledger: Ledger::default(), business, read: BTreeMap::new() }
    }

    /// Reads a topic to its end and keeps what was read.
    fn catch_up(&mut self, topic: &'static str) -> Vec<OutRecord> {
        let new = self.driver.read(topic);
        self.read.entry(topic).or_default().extend(new.iter().cloned());
        new
    }

    /// Puts a record in as the mode has it.
    pub(crate) fn put(&mut self, topic: &'static str, key: Option<&[u8]>, value: Option<&[u8]>) {
        let times = if self.mode.every_event_twice { 2 } else { 1 };
        for _ in 0..times {
            self.driver.pipe(topic, key, value, self.driver.now());
            self.after();
        }
        if self.mode.every_event_twice {
            self.repeat_events();
        }
    }

    pub(crate) fn after(&mut self) {
        match self.mode.after_each_record {
            After::Nothing => {}
            After::Crash => self.driver.crash_and_restore(),
            After::CrashAndLoseDisk => self.driver.crash_and_lose_disk(),
        }
    }

    /// Every internal event once more. What the copies lead to is not copied again, or it would never end.
    fn repeat_events(&mut self) {
        let mut copies = Vec::new();
        for topic in self.business.events.iter().copied() {
            copies.extend(self.catch_up(topic).into_iter().map(|r| (topic, r)));
        }
        for (topic, r) in copies {
            self.driver.pipe(topic, r.key.as_deref(), r.value.as_deref(), r.timestamp);
            self.after();
        }
        for topic in self.business.events.iter().copied() {
            // Copies of public events were put in by the test and are not the business's own.
            let _ = self.driver.read(topic);
        }
    }

    pub(crate) fn put_typed<T: AvroRecord + Keyed>(&mut self, topic: &'static str, codec: &Codec<T>, value: &T) {
        self.put(topic, Some(value.key().as_bytes()), Some(&codec.to_vec(value)));
    }

    /// The payment requests that nobody has answered yet.
    pub(crate) fn payment_requests(&mut self) -> Vec<PaymentRequest> {
        let codec = Codec::<PaymentRequest>::fixed();
        let new = self.catch_up(self.payment().0);
        new.iter().map(|r| codec.decode(r.value.as_deref().expect("no tombstones")).expect("decodes")).collect()
    }

    pub(crate) fn answer(&mut self, request: &PaymentRequest, outcome: PaymentOutcome) {
        let result = result(request, outcome, self.driver.now());
        self.put_typed(self.payment().1, &Codec::fixed(), &result);
    }

    /// The provider answers everything that is open, until nothing is.
    pub(crate) fn provider(&mut self, charges: Charges) {
        loop {
            let requests = self.payment_requests();
            if requests.is_empty() {
                return;
            }
            for request in requests {
                let outcome = self.ledger.carry_out(&request, charges);
                self.answer(&request, outcome);
            }
        }
    }

    pub(crate) fn advance(&mut self, ms: i64) {
        self.driver.advance_wall_clock(ms);
        self.after();
        if self.mode.every_event_twice {
            self.repeat_events();
        }
    }

    pub(crate) fn get<T: AvroRecord>(&self, store: &str, key: &str) -> Option<T> {
        let (bytes, _) = self.driver.get(store, key.as_bytes())?;
        Some(Codec::<T>::fixed().decode(&bytes).expect("stored state decodes"))
    }

    pub(crate) fn all<T: AvroRecord>(&self, store: &str) -> BTreeMap<String, T> {
        let codec = Codec::<T>::fixed();
        let decode = |(k, v, _): (Vec<u8>, Vec<u8>, i64)| {
            (String::from_utf8(k).expect("keys are text"), codec.decode(&v).expect("stored state decodes"))
        };
        self.driver.entries(store).into_iter().map(decode).collect()
    }

    pub(crate) fn verdict(&self, about: &str, command: &str) -> Option<Verdict> {
        self.command(about, command).map(|o| o.verdict)
    }

    pub(crate) fn command(&self, about: &str, command: &str) -> Option<CommandOutcome> {
        let key = ledger_key(about, command);
        self.business.ledgers.iter().find_map(|store| self.get(store, &key))
    }

    /// The verdicts of all commands.
    pub(crate) fn verdicts(&self) -> BTreeMap<String, Verdict> {
        let all = self.business.ledgers.iter().flat_map(|store| self.all::<CommandOutcome>(store));
        all.map(|(key, o)| (key, o.verdict)).collect()
    }

    fn payment(&self) -> (&'static str, &'static str) {
        self.business.payment.expect("the business takes money")
    }

    /// Everything ever written to a topic, by key, in order.
    pub(crate) fn events<T: AvroRecord>(&mut self, topic: &'static str) -> BTreeMap<String, Vec<T>> {
        self.catch_up(topic);
        let codec = Codec::<T>::fixed();
        let mut events: BTreeMap<String, Vec<T>> = BTreeMap::new();
        for r in self.read.get(topic).into_iter().flatten() {
            let key = String::from_utf8(r.key.clone().expect("keyed")).expect("keys are text");
            let value = codec.decode(r.value.as_deref().expect("no tombstones")).expect("decodes");
            events.entry(key).or_default().push(value);
        }
        events
    }

    pub(crate) fn dead_letters(&mut self) -> Vec<String> {
        let reason = |r: OutRecord| {
            let found = r.headers.into_iter().find(|(n, _)| n == "orderflow.error.reason");
            found.and_then(|(_, v)| v).map(|v| String::from_utf8(v).expect("reasons are text")).expect("has a reason")
        };
        self.catch_up(self.business.dead_letters).into_iter().map(reason).collect()
    }
}

/// Runs a scenario in every mode. Each must come out as the first did, by `outcome`, which also audits.
pub(crate) fn same_in_every_mode<O: PartialEq + std::fmt::Debug>(name: &str, run: impl Fn(Mode) -> O) {
    let mut expected = None;
    for mode in modes() {
        let outcome = run(mode);
        match &expected {
            None => expected = Some(outcome),
            Some(expected) => assert_eq!(outcome, *expected, "{name} in {mode:?}"),
        }
    }
}
