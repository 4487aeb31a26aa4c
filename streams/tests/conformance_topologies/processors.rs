//! `papi`, `task`, `store/versioned`, `partitioner`: the Processor API.

use std::ops::ControlFlow;

use serde_json::{Value, json};
use state::{Direction, Range};
use streams::dsl::StreamsBuilder;
use streams::store::{KeyValue, KeyValueStore, PutResult, Versioned, VersionedRecord, VersionedStore};
use streams::testing::TestDriver;
use streams::{
    Context, In, ProcessError, Processor, PunctuationType, Record, ScheduleId, SourceOptions, Timestamp, Topology,
    TopologyBuilder,
};

use super::{consumed, produced};
use crate::runner::{self, Case, Scenario, Tagged};

pub(crate) fn find(id: &str) -> Option<Case> {
    Some(match id {
        "papi-punctuate-stream-time" => Case::of(|_| punctuating(&["source"], PunctuationType::StreamTime, None)),
        "papi-punctuate-wall-clock" => Case::of(|_| punctuating(&["none"], PunctuationType::WallClockTime, None)),
        "papi-punctuate-wall-anchored" => {
            Case::of(|_| punctuating(&["none"], PunctuationType::WallClockTime, Some(-10)))
        }
        "papi-max-aggregator-stream-time" | "papi-max-aggregator-wall-clock" => Case::of(max_aggregator),
        "papi-punctuate-stream-gap" => Case::own(|s| task_order(s, usize::MAX)),
        "papi-punctuate-stream-cancel" => Case::own(|s| task_order(s, 3)),
        "task-record-order" => Case::own(|s| task_order(s, 0)),
        "papi-punctuation-queue" => Case::own(|s| punctuation_queue(s, 0)),
        "papi-punctuation-queue-aligned" => Case::own(|s| punctuation_queue(s, 50)),
        "papi-recursive-sink" | "papi-recursive-global" => Case::of(recursive),
        "partitioner-murmur2" => Case::own(murmur2),
        _ if id.starts_with("store-versioned-") => Case::own(versioned_store),
        _ => return None,
    })
    // Schedules begin anew with their task, in Kafka Streams too: a crash shifts what they fire.
    .map(|case| if id.starts_with("papi-punct") || id.starts_with("papi-max") { case.without_crashes() } else { case })
}

/// Forwards the time of every punctuation, and where each record came from.
struct Punctuating {
    clock: PunctuationType,
    /// Start of an anchored schedule.
    anchor: Option<Timestamp>,
    /// Milliseconds.
    interval: i64,
    /// Records after which the schedule is cancelled, and their count and the schedule.
    cancel_after: Option<(usize, KeyValueStore<String, i64>)>,
    /// Forwards records too.
    records: bool,
}

impl Processor for Punctuating {
    type KeyIn = Value;
    type ValueIn = Value;
    type KeyOut = Value;
    type ValueOut = Value;

    fn init(&self, cx: &mut Context<'_, Value, Value>) -> Result<(), ProcessError> {
        let schedule = match self.anchor {
            None => cx.schedule(self.interval, self.clock),
            Some(start) => cx.schedule_anchored(start, self.interval, self.clock),
        };
        match &self.cancel_after {
            None => Ok(()),
            Some((_, store)) => store.put(cx, &"schedule".to_owned(), &i64::from(schedule.0)),
        }
    }

    fn process(
        &self,
        cx: &mut Context<'_, Value, Value>,
        record: Record<'_, Value, Value>,
    ) -> Result<(), ProcessError> {
        if !self.records {
            return Ok(());
        }
        let topic = cx.record_metadata().map(|m| m.topic.to_owned());
        let order = json!({"record": {"topic": topic, "ts": record.timestamp}});
        cx.forward(record.with_value(Some(&order)))?;
        let Some((after, store)) = &self.cancel_after else { return Ok(()) };
        let seen = store.get(cx, &"seen".to_owned())?.unwrap_or(0) + 1;
        store.put(cx, &"seen".to_owned(), &seen)?;
        if usize::try_from(seen).ok() == Some(*after) {
            let schedule = store.get(cx, &"schedule".to_owned())?.and_then(|id| u32::try_from(id).ok());
            cx.cancel(ScheduleId(schedule.unwrap_or(0)));
        }
        Ok(())
    }

    fn punctuate(
        &self,
        cx: &mut Context<'_, Value, Value>,
        _: ScheduleId,
        time: Timestamp,
    ) -> Result<(), ProcessError> {
        let fired = json!({"record": {"punctuate": time}});
        cx.forward(Record::new(None, Some(&fired), time.max(0)))
    }
}

fn punctuating(topics: &[&str], clock: PunctuationType, anchor: Option<Timestamp>) -> Topology {
    let builder = StreamsBuilder::new("conformance");
    let processor = Punctuating { clock, anchor, interval: 10, cancel_after: None, records: false };
    builder
        .stream(topics, consumed::<Value, Value>())
        .process("punctuating", processor, &[])
        .to("punctuations", produced());
    builder.build().expect("valid")
}

/// One task over two topics, everything written before the first record is processed. Records and punctuations come out
/// in the order they happened; from `cancel_after` records on the schedule is cancelled.
fn task_order(s: &Scenario, cancel_after: usize) -> Result<(), String> {
    let builder = StreamsBuilder::new("conformance");
    let store = builder.add_store("notes", KeyValue::<String, i64>::new(Tagged, Tagged));
    let processor = Punctuating {
        clock: PunctuationType::StreamTime,
        anchor: None,
        interval: 10,
        cancel_after: Some((cancel_after, store.clone())),
        records: true,
    };
    builder
        .stream(["partition1", "partition2"], consumed::<Value, Value>())
        .process("task", processor, &[&store])
        .to("events", produced());
    let mut driver = TestDriver::new(builder.build().expect("valid"), 1);
    for input in s.list("inputs") {
        let ts = input["ts"].as_i64().expect("a timestamp");
        driver.produce(input["topic"].as_str().expect("a topic"), None, None, ts);
    }
    driver.run();
    let mut order = Vec::new();
    let mut punctuations: Vec<Value> = Vec::new();
    for event in driver.read("events") {
        let event = runner::decode(&event.value.unwrap_or_default())["record"].clone();
        if event.get("topic").is_some() {
            order.push(event);
            punctuations.push(json!({"punctuate": null}));
        } else if let Some(after_record) = punctuations.last_mut() {
            *after_record = event;
        }
    }
    for checkpoint in s.list("expected") {
        let expected = checkpoint["records"].as_array().cloned().unwrap_or_default();
        let got = if checkpoint["output"] == "processing_order" { &order } else { &punctuations };
        if got.get(..expected.len()) != Some(&expected) {
            return Err(format!("  {}\n  expected {expected:?}\n  got {got:?}", checkpoint["output"]));
        }
    }
    Ok(())
}

/// The arithmetic of one anchored schedule, read off a running task.
fn punctuation_queue(s: &Scenario, start: Timestamp) -> Result<(), String> {
    let builder = StreamsBuilder::new("conformance");
    let clock = PunctuationType::WallClockTime;
    let processor = Punctuating { clock, anchor: Some(start), interval: 100, cancel_after: None, records: false };
    builder.stream("none", consumed::<Value, Value>()).process("queue", processor, &[]).to("punctuations", produced());
    let mut driver = TestDriver::new(builder.build().expect("valid"), 1);
    // The task starts before the earliest time that is asked for.
    driver.advance_wall_clock(-1_000);
    driver.crash_and_restore();
    driver.advance_wall_clock(start);
    driver.crash_and_restore();
    driver.read("punctuations");
    let mut fired = 0;
    for op in s.store_ops() {
        let by = op["time"].as_i64().expect("a time") - driver.now();
        driver.advance_wall_clock(by);
        fired += driver.read("punctuations").len();
        let next = driver.worker_mut(0).and_then(|w| w.tasks().find_map(|t| t.next_wall_clock()));
        if op["total_fired"].as_u64() != u64::try_from(fired).ok() || op["next_deadline"].as_i64() != next {
            return Err(format!("  {op}: fired {fired}, next {next:?}"));
        }
    }
    Ok(())
}

/// Keeps the largest value per key; both clocks forward all of them.
struct MaxAggregator {
    store: KeyValueStore<String, i64>,
}

impl Processor for MaxAggregator {
    type KeyIn = String;
    type ValueIn = i64;
    type KeyOut = String;
    type ValueOut = i64;

    fn init(&self, cx: &mut Context<'_, String, i64>) -> Result<(), ProcessError> {
        cx.schedule(60_000, PunctuationType::WallClockTime);
        cx.schedule(10_000, PunctuationType::StreamTime);
        self.store.put(cx, &"a".to_owned(), &21)
    }

    fn process(&self, cx: &mut Context<'_, String, i64>, record: Record<'_, String, i64>) -> Result<(), ProcessError> {
        let (Some(key), Some(value)) = (record.key, record.value) else { return Ok(()) };
        let largest = self.store.get(cx, key)?.map_or(*value, |old| old.max(*value));
        self.store.put(cx, key, &largest)
    }

    fn punctuate(&self, cx: &mut Context<'_, String, i64>, _: ScheduleId, time: Timestamp) -> Result<(), ProcessError> {
        let mut entries = Vec::new();
        self.store.scan(cx, Range::all(), Direction::Forward, &mut |key, value, _| {
            entries.push((key, value));
            ControlFlow::Continue(())
        })?;
        entries.iter().try_for_each(|(key, value)| cx.forward(Record::new(Some(key), Some(value), time)))
    }
}

fn max_aggregator(_: &Scenario) -> Topology {
    let builder = StreamsBuilder::new("conformance");
    let store = builder.add_store("aggStore", KeyValue::<String, i64>::new(Tagged, Tagged));
    builder
        .stream("input-topic", consumed::<String, i64>())
        .process("max", MaxAggregator { store: store.clone() }, &[&store])
        .to("result-topic", produced());
    builder.build().expect("valid")
}

/// Sends a record round once more, then forwards it: to children it names.
struct Recursive {
    again: In<String, String>,
    outputs: Vec<In<String, String>>,
}

impl Processor for Recursive {
    type KeyIn = String;
    type ValueIn = String;
    type KeyOut = String;
    type ValueOut = String;

    fn process(
        &self,
        cx: &mut Context<'_, String, String>,
        record: Record<'_, String, String>,
    ) -> Result<(), ProcessError> {
        let value = record.value.map(String::as_str).unwrap_or_default();
        if !value.starts_with("recurse-") {
            let again = format!("recurse-{value}");
            cx.forward_to(self.again, record.with_value(Some(&again)))?;
        }
        self.outputs.iter().try_for_each(|output| cx.forward_to(*output, record))
    }
}

fn recursive(s: &Scenario) -> Topology {
    let mut b = TopologyBuilder::new("conformance");
    let source = b.source("source", &["input"], Tagged, Tagged, SourceOptions::default());
    let again = b.sink("again", "input", Tagged, Tagged);
    let mut outputs = vec![b.sink("output", "output", Tagged, Tagged)];
    if s.says("global-topic") {
        outputs.push(b.sink("global-sink", "global-topic", Tagged, Tagged));
        b.global_store("global-store", "global-topic", KeyValue::<String, String>::new(Tagged, Tagged));
    }
    let (input, out) = b.processor("recursive", Recursive { again, outputs: outputs.clone() });
    b.connect(source, input);
    b.connect_to(out, again);
    outputs.into_iter().for_each(|output| b.connect_to(out, output));
    b.build().expect("valid")
}

fn murmur2(s: &Scenario) -> Result<(), String> {
    for op in s.store_ops() {
        let hash = streams::partitioner::murmur2(op["key"].as_str().expect("a key").as_bytes()).cast_signed();
        if op["expect"].as_i64() != Some(i64::from(hash)) {
            return Err(format!("  {op}: {hash}"));
        }
    }
    Ok(())
}

/// Does what each record says to a versioned store and forwards what the store answered.
struct Operations {
    store: VersionedStore<String, String>,
}

fn shown(version: Option<VersionedRecord<String>>, with_end: bool) -> Value {
    let Some(version) = version else { return Value::Null };
    let mut json = json!({"value": version.value, "ts": version.timestamp});
    if with_end {
        json["valid_to"] = version.valid_to.map_or(json!("latest"), |t| json!(t));
    }
    json
}

impl Processor for Operations {
    type KeyIn = Value;
    type ValueIn = Value;
    type KeyOut = Value;
    type ValueOut = Value;

    fn process(
        &self,
        cx: &mut Context<'_, Value, Value>,
        record: Record<'_, Value, Value>,
    ) -> Result<(), ProcessError> {
        let op = record.value.cloned().unwrap_or_default();
        let key = op["key"].as_str().unwrap_or_default().to_owned();
        let time = |field: &str| op[field].as_i64().unwrap_or(-1);
        let answer = match op["op"].as_str() {
            Some("put") => {
                let value = op["value"].as_str().map(str::to_owned);
                match self.store.put(cx, &key, value.as_ref(), time("ts"))? {
                    PutResult::Latest => json!("latest"),
                    PutResult::ValidTo(t) => json!(t),
                    PutResult::NotPut => json!("not_put"),
                }
            }
            Some("delete") => shown(self.store.delete(cx, &key, time("ts"))?, false),
            Some("get") => shown(self.store.get(cx, &key)?, false),
            Some("get_as_of") => shown(self.store.get_as_of(cx, &key, time("as_of"))?, true),
            other => return Err(ProcessError::rejected(format!("unknown op {other:?}"))),
        };
        cx.forward(record.with_value(Some(&json!({"answer": answer}))))
    }
}

/// Straight, then with a crash after every operation.
fn versioned_store(s: &Scenario) -> Result<(), String> {
    for mode in [runner::Mode::Straight, runner::Mode::Crash, runner::Mode::LoseDisk] {
        let builder = StreamsBuilder::new("conformance");
        let history = Versioned::<String, String>::new(Tagged, Tagged, super::joins::HISTORY_MS);
        let store = builder.add_store("versions", history);
        builder
            .stream("ops", consumed::<Value, Value>())
            .process("operations", Operations { store: store.clone() }, &[&store])
            .to("answers", produced());
        let mut driver = TestDriver::new(builder.build().expect("valid"), 1);
        for op in s.store_ops() {
            driver.pipe("ops", None, Some(&runner::encode(op)), 0);
            let answers = driver.read("answers");
            let got = answers.first().and_then(|r| r.value.as_deref()).map(|v| runner::decode(v)["answer"].clone());
            let expected = op.get("returns").or(op.get("expect")).cloned();
            if got != expected {
                return Err(format!("  {op} ({mode:?}): {got:?}"));
            }
            match mode {
                runner::Mode::Straight => (),
                runner::Mode::Crash => driver.crash_and_restore(),
                runner::Mode::LoseDisk => driver.crash_and_lose_disk(),
            }
        }
    }
    Ok(())
}
