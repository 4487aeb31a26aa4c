//! Loads scenarios, pipes their inputs through the test driver and compares what comes out. See `conformance/README.md`
//! for the format.

mod check;
mod tagged;

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;
use streams::Topology;
use streams::testing::{OutRecord, TestDriver};

pub(crate) use tagged::{Datum, Tagged, decode, encode};

/// One file of the corpus.
pub(crate) struct Scenario {
    /// Its id.
    pub(crate) id: String,
    /// `area/subarea`.
    pub(crate) category: String,
    /// All of it.
    pub(crate) json: Value,
}

impl Scenario {
    /// A field that is a list.
    pub(crate) fn list(&self, field: &str) -> &[Value] {
        self.json[field].as_array().map(Vec::as_slice).unwrap_or_default()
    }

    /// The topics its inputs go to.
    pub(crate) fn input_topics(&self) -> Vec<&str> {
        let mut topics: Vec<&str> = self.list("inputs").iter().filter_map(|i| i["topic"].as_str()).collect();
        topics.sort_unstable();
        topics.dedup();
        topics
    }

    /// The store whose final content is asserted, or `joined`.
    pub(crate) fn final_store(&self) -> &str {
        self.json["store_final"]["store"].as_str().unwrap_or("joined")
    }

    /// Ordered operations of store, partitioner and schedule scenarios.
    pub(crate) fn store_ops(&self) -> &[Value] {
        self.list("store_ops")
    }

    /// True if the topology's description has these words.
    pub(crate) fn says(&self, words: &str) -> bool {
        self.json["topology"].as_str().is_some_and(|t| t.contains(words))
    }
}

/// The whole corpus, by id.
pub(crate) fn load() -> Vec<Scenario> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance");
    let mut scenarios: Vec<Scenario> = std::fs::read_dir(folder)
        .expect("the corpus is there")
        .map(|entry| entry.expect("a file").path())
        .filter(|path| path.extension().is_some_and(|e| e == "json"))
        .map(|path| {
            let text = std::fs::read_to_string(&path).expect("readable");
            let json: Value = serde_json::from_str(&text).expect("JSON");
            let id = json["id"].as_str().expect("an id").to_owned();
            Scenario { id, category: json["category"].as_str().expect("a category").to_owned(), json }
        })
        .collect();
    scenarios.sort_by(|a, b| a.id.cmp(&b.id));
    scenarios
}

/// How a scenario is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// As it stands.
    Straight,
    /// The worker is killed and started again after every input.
    Crash,
    /// As [`Mode::Crash`], and its stores are lost.
    LoseDisk,
}

/// A scenario's topology, and how it is run.
pub(crate) struct Case {
    build: Build,
    /// Crash modes too. Not for what a restart resets by design, such as schedules of a wall clock.
    crashes: bool,
    /// All inputs are there before the first is processed, and are committed together.
    at_once: bool,
}

enum Build {
    Topology(fn(&Scenario) -> Topology),
    /// Does everything itself: store operations, arithmetic.
    Own(fn(&Scenario) -> Result<(), String>),
}

impl Case {
    /// A topology that inputs are piped through.
    pub(crate) fn of(build: fn(&Scenario) -> Topology) -> Case {
        Case { build: Build::Topology(build), crashes: true, at_once: false }
    }

    /// A check of its own.
    pub(crate) fn own(run: fn(&Scenario) -> Result<(), String>) -> Case {
        Case { build: Build::Own(run), crashes: false, at_once: false }
    }

    /// Straight only.
    pub(crate) fn without_crashes(self) -> Case {
        Case { crashes: false, ..self }
    }

    /// All inputs in one commit: for tables that hold updates back until then.
    pub(crate) fn at_once(self) -> Case {
        Case { crashes: false, at_once: true, ..self }
    }

    /// Whether it runs this way.
    pub(crate) fn runs(&self, mode: Mode) -> bool {
        mode == Mode::Straight || self.crashes
    }
}

/// Runs a scenario one way; the error says what differs.
pub(crate) fn run(scenario: &Scenario, case: &Case, mode: Mode) -> Result<(), String> {
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| match case.build {
        Build::Own(run) => run(scenario),
        Build::Topology(build) => Run::new(scenario, case, mode, build(scenario)).run(),
    }));
    outcome.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
        Err(format!("panicked: {}", text.unwrap_or("?")))
    })
}

struct Run<'a> {
    scenario: &'a Scenario,
    at_once: bool,
    mode: Mode,
    driver: TestDriver,
    /// Everything each output has brought so far.
    seen: BTreeMap<String, Vec<Value>>,
    /// Records dropped by tasks that have crashed since.
    dropped: u64,
}

impl<'a> Run<'a> {
    fn new(scenario: &'a Scenario, case: &Case, mode: Mode, topology: Topology) -> Self {
        let driver = TestDriver::new(topology, 1);
        Run { scenario, at_once: case.at_once, mode, driver, seen: BTreeMap::new(), dropped: 0 }
    }

    fn run(mut self) -> Result<(), String> {
        let inputs = self.scenario.list("inputs");
        for (i, input) in inputs.iter().enumerate() {
            self.input(input);
            if self.at_once && i + 1 < inputs.len() {
                continue;
            }
            self.driver.run();
            for checkpoint in self.scenario.list("expected") {
                if checkpoint["after_input"].as_u64() == u64::try_from(i).ok() {
                    self.check(i, checkpoint)?;
                }
            }
            if self.mode != Mode::Straight {
                self.crash();
            }
        }
        self.check_store()?;
        self.check_dropped()
    }

    fn input(&mut self, input: &Value) {
        match input["op"].as_str() {
            None => {
                let bytes = |field: &str| (!input[field].is_null()).then(|| tagged::encode(&input[field]));
                let topic = input["topic"].as_str().expect("a topic");
                let (key, value) = (bytes("key"), bytes("value"));
                let ts = input["ts"].as_i64().expect("a timestamp");
                self.driver.produce(topic, key.as_deref(), value.as_deref(), ts);
            }
            Some("advance_wall_clock") => self.driver.advance_wall_clock(input["ms"].as_i64().expect("milliseconds")),
            Some("set_wall_clock") => {
                let by = input["ms"].as_i64().expect("milliseconds") - self.driver.now();
                self.driver.advance_wall_clock(by);
            }
            Some("recreate_processor") => self.crash(),
            Some(other) => panic!("unknown op {other}"),
        }
    }

    fn crash(&mut self) {
        self.dropped += self.driver.total(|c| c.dropped);
        match self.mode {
            Mode::LoseDisk => self.driver.crash_and_lose_disk(),
            Mode::Straight | Mode::Crash => self.driver.crash_and_restore(),
        }
    }

    fn check(&mut self, i: usize, checkpoint: &Value) -> Result<(), String> {
        let output = checkpoint["output"].as_str().unwrap_or("output");
        let new: Vec<Value> = self.driver.read(output).iter().map(as_json).collect();
        let seen = self.seen.entry(output.to_owned()).or_default();
        seen.extend(new.iter().cloned());
        let expected = checkpoint["records"].as_array().map(Vec::as_slice).unwrap_or_default();
        let how = checkpoint["match"].as_str().unwrap_or("ordered");
        let prefix = self.scenario.json["notes"].as_str().is_some_and(|n| n.contains("prefix"));
        let got = if how == "last_per_key_contains" { &*seen } else { &*new };
        check::records(how, prefix, expected, got).map_err(|why| {
            let lines = |records: &[Value]| records.iter().map(|r| format!("    {r}\n")).collect::<String>();
            format!("  after input {i}, '{output}': {why}\n  expected\n{}  got\n{}", lines(expected), lines(got))
        })
    }

    fn check_store(&self) -> Result<(), String> {
        let expected = &self.scenario.json["store_final"];
        let Some(store) = expected["store"].as_str() else { return Ok(()) };
        let read = |(key, payload, at): (Vec<u8>, Vec<u8>, i64)| {
            let (key, value) = (tagged::decode(&key), tagged::decode(&payload));
            serde_json::json!({"key": key, "value": value, "ts": at})
        };
        let got: Vec<Value> = self.driver.entries(store).into_iter().map(read).collect();
        let entries = expected["entries"].as_array().map(Vec::as_slice).unwrap_or_default();
        let exact = expected["exact"].as_bool().unwrap_or(false);
        check::entries(exact, entries, &got).map_err(|why| format!("  store '{store}': {why}\n  got {got:?}"))
    }

    fn check_dropped(&self) -> Result<(), String> {
        let dropped = self.dropped + self.driver.total(|c| c.dropped);
        match self.scenario.json["dropped_records"].as_u64() {
            Some(expected) if expected != dropped => Err(format!("  dropped {dropped} records, expected {expected}")),
            _ => Ok(()),
        }
    }
}

/// A record in the corpus' form. A value that is an object with `"record"` stands for the whole (metadata outputs).
fn as_json(record: &OutRecord) -> Value {
    let part = |bytes: &Option<Vec<u8>>| bytes.as_deref().map_or(Value::Null, tagged::decode);
    let value = part(&record.value);
    match value.get("record") {
        Some(whole) => whole.clone(),
        None => serde_json::json!({"key": part(&record.key), "value": value, "ts": record.timestamp}),
    }
}
