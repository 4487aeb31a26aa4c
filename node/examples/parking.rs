//! A business of one's own on the shared parts of `topologies`: parking spots, each for one car at a time. The steps are
//! those of `docs/add-a-business.md`. On the embedded log.
//!
//!     cargo run --release -p node --example parking

#![allow(missing_docs, reason = "an example: what is public here is seen by nobody else")]

use std::error::Error;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use node::{Application, Config};
use schemas::state::{Command, CommandOutcome, Verdict, ledger_key};
use schemas::{AvroRecord, Codec, Registry, RegistryError, Topic};
use streams::serde::Utf8;
use streams::store::{StateAccess as _, Timers as TimersSpec};
use streams::{Context, Misplaced, ProcessError, Record, SourceOptions, Timestamp, Topology, TopologyBuilder};
use topologies::avro::{self, Avro};
use topologies::saga::{DueFormat, DueKind, Keyed, Ledger, Runner, Saga, Step, Timers, check};

// 1. Records and topics

schemas::avro! {
    pub enum Ask: "parking.Ask" { Unknown = "UNKNOWN", Reserve = "RESERVE", Leave = "LEAVE", }
}
schemas::avro! {
    /// What the driver of a car asks for.
    pub struct SpotCommand { pub command_id: String, pub spot_id: String, pub car: String, pub ask: Ask, }
}
schemas::avro! {
    /// State of a spot, and the event that tells it.
    pub struct Spot { pub spot_id: String, pub car: Option<String>, pub until: Option<i64>, pub version: i32, }
}

const SPOT_COMMANDS: Topic<SpotCommand> = Topic::command("parking.spots", "spot_id");
const SPOT_STATUS: Topic<Spot> = Topic::event("parking.spot-status", "spot_id");

impl AvroRecord for SpotCommand {
    const NAME: &'static str = "parking.SpotCommand";
    fn schema_json() -> &'static str {
        r#"{"type": "record", "name": "SpotCommand", "namespace": "parking", "fields": [
            {"name": "command_id", "type": "string"}, {"name": "spot_id", "type": "string"}, {"name": "car", "type": "string"},
            {"name": "ask", "type": {"type": "enum", "name": "Ask", "symbols": ["UNKNOWN", "RESERVE", "LEAVE"]}}]}"#
    }
}

impl AvroRecord for Spot {
    const NAME: &'static str = "parking.Spot";
    fn schema_json() -> &'static str {
        r#"{"type": "record", "name": "Spot", "namespace": "parking", "fields": [{"name": "spot_id", "type": "string"},
            {"name": "car", "type": ["null", "string"]}, {"name": "until", "type": ["null", "long"]},
            {"name": "version", "type": "int"}]}"#
    }
}

/// Ids of the two schemas. A business in the workspace has them in `schemas/src/catalog.rs` instead.
#[derive(Debug)]
struct Ids;

impl Ids {
    fn codec<T: AvroRecord>() -> Codec<T> {
        Codec::new(if T::NAME == SpotCommand::NAME { 9_000 } else { 9_001 }, Arc::new(Ids))
    }
}

impl Registry for Ids {
    fn id_for_subject(&self, _subject: &str, name: &'static str) -> Result<u32, RegistryError> {
        Ok(if name == SpotCommand::NAME { 9_000 } else { 9_001 })
    }
    fn schema_by_id(&self, id: u32) -> Result<Option<Arc<str>>, RegistryError> {
        Ok(Some(if id == 9_000 { SpotCommand::schema_json() } else { Spot::schema_json() }.into()))
    }
}

impl schemas::Keyed for SpotCommand {
    fn key(&self) -> &str {
        &self.spot_id
    }
}

impl schemas::Keyed for Spot {
    fn key(&self) -> &str {
        &self.spot_id
    }
}

impl Command for SpotCommand {
    fn command_id(&self) -> &str {
        &self.command_id
    }
    fn kind(&self) -> &'static str {
        self.ask.symbol()
    }
    fn content(&self) -> Self {
        SpotCommand { command_id: String::new(), ..self.clone() }
    }
}

// 2. The saga: a pure function

/// What can happen to a spot.
enum Event {
    Command(SpotCommand),
    /// The car has not come, or not left, in time.
    Deadline,
}

/// How long a reservation lasts, milliseconds: a second, so that the example ends.
const RESERVED_MS: i64 = 1_000;

/// The step: the spot so far and what happened, to the spot from now on, what is told, and the answer to the driver.
fn step(spot: Option<Spot>, event: &Event, now: Timestamp) -> Step<Spot, Spot> {
    let has = spot.as_ref().and_then(|spot| spot.car.clone());
    let Event::Command(command) = event else {
        return match spot {
            Some(spot) if spot.car.is_some() => change(spot, None, None),
            spot => Step::nothing(spot),
        };
    };
    if let Err(wrong) = check::id("car", &command.car) {
        return Step::answer(spot, Verdict::Invalid, wrong);
    }
    let first = Spot { spot_id: command.spot_id.clone(), car: None, until: None, version: 0 };
    let accepted = Some((Verdict::Accepted, String::new()));
    match (command.ask, has) {
        (Ask::Reserve, None) => change(spot.unwrap_or(first), Some((&command.car, now)), accepted),
        (Ask::Reserve, Some(car)) if car == command.car => {
            Step::answer(spot, Verdict::Duplicate, "the spot is this car's")
        }
        (Ask::Reserve, Some(car)) => Step::answer(spot, Verdict::Refused, format!("car {car} has the spot")),
        (Ask::Leave, Some(car)) if car == command.car => change(spot.unwrap_or(first), None, accepted),
        (Ask::Leave, _) => Step::answer(spot, Verdict::Refused, "the car does not have the spot"),
        (Ask::Unknown, _) => Step::answer(spot, Verdict::Invalid, "this release does not know what is asked"),
    }
}

/// Gives the spot to a car or to nobody, and tells it.
fn change(spot: Spot, to: Option<(&str, Timestamp)>, verdict: Option<(Verdict, String)>) -> Step<Spot, Spot> {
    let (car, until) = to.map(|(car, now)| (car.to_owned(), now.saturating_add(RESERVED_MS))).unzip();
    let spot = Spot { car, until, version: spot.version.saturating_add(1), ..spot };
    Step { commands: vec![spot.clone()], state: Some(spot), verdict }
}

// 3. The saga in its processor

struct Parking;

impl Saga for Parking {
    type State = Spot;
    type Event = Event;
    type Request = SpotCommand;
    type Command = Spot;
    type Told = Spot;

    fn request(event: &Event) -> Option<&SpotCommand> {
        if let Event::Command(command) = event { Some(command) } else { None }
    }

    fn step(&self, spot: Option<Spot>, event: &Event, now: Timestamp) -> Result<Step<Spot, Spot>, String> {
        Ok(step(spot, event, now))
    }

    fn due(&self, kind: DueKind, spot: &Spot) -> Option<Timestamp> {
        spot.until.filter(|_| kind == DueKind::Deadline)
    }

    fn on_due(kind: DueKind) -> Option<Event> {
        (kind == DueKind::Deadline).then_some(Event::Deadline)
    }

    fn send(&self, cx: &mut Context<'_, String, Spot>, id: &String, told: &Spot) -> Result<(), ProcessError> {
        let at = cx.timestamp();
        cx.forward(Record::new(Some(id), Some(told), at))
    }
}

// 4. The topology

fn topology() -> Result<Topology, streams::BuildError> {
    let mut b = TopologyBuilder::new("parking");
    let spots = b.store("spots", avro::store_of::<Spot>(Ids::codec()));
    let commands = b.store("commands", avro::store::<CommandOutcome>());
    let timers = b.store("timers", TimersSpec::new(DueFormat));

    let from_clients = SourceOptions { misplaced: Misplaced::Forward, ..SourceOptions::default() };
    let commands_in = b.source("spots", &[SPOT_COMMANDS.base()], Utf8, Avro::new(&Ids::codec()), from_clients);
    let (command_in, command) = b.processor("check-spot", Keyed::new(|c| Event::Command(Clone::clone(c))));
    let saga = Runner {
        saga: Parking,
        states: spots.clone(),
        ledger: Ledger::new(commands.clone(), timers.clone(), 7 * 24 * 60 * 60 * 1_000),
        timers: Timers::new(timers.clone()),
        timer_resolution_ms: 200,
    };
    let (saga_in, told) = b.processor("parking", saga);
    let status = b.sink("spot-status-sink", SPOT_STATUS.base(), Utf8, Avro::new(&Ids::codec()));
    b.connect(commands_in, command_in);
    b.connect(command, saga_in);
    b.connect_store(saga_in, &spots);
    b.connect_store(saga_in, &commands);
    b.connect_store(saga_in, &timers);
    b.connect(told, status);
    b.build()
}

// 5. Running it

fn main() -> Result<(), Box<dyn Error>> {
    run(tempfile::tempdir()?.path(), &mut std::io::stdout())
}

pub(crate) fn run(directory: &Path, out: &mut dyn Write) -> Result<(), Box<dyn Error>> {
    let mut config = Config::default();
    config.node.data_dir = directory.into();
    let log = node::embedded_log(&config)?;
    let app = Application::on_embedded_log(topology()?, &log, &config)?;
    let outcomes = app.view().key_value_store::<String, CommandOutcome>("commands", Utf8, Avro::fixed())?;
    let asked = [("1", "A", Ask::Reserve), ("2", "B", Ask::Reserve), ("3", "A", Ask::Leave), ("4", "B", Ask::Reserve)];
    for (id, car, ask) in asked {
        let command = SpotCommand { command_id: id.into(), spot_id: "s1".into(), car: car.into(), ask };
        log.send(SPOT_COMMANDS.base(), Some(b"s1"), Some(&Ids::codec().to_vec(&command)), 0)?;
        log.wait_until_read("parking", Duration::from_secs(10))?;
        let outcome = outcomes.find(&ledger_key("s1", id))?.ok_or("no verdict")?.0;
        writeln!(out, "{}", format!("{ask} by {car}: {} {}", outcome.verdict, outcome.detail).trim_end())?;
    }
    let spots = app.view().key_value_store::<String, Spot>("spots", Utf8, Avro::new(&Ids::codec()))?;
    for _ in 0..100 {
        let (spot, _) = spots.find(&"s1".to_owned())?.ok_or("no spot")?;
        if spot.car.is_none() {
            writeln!(out, "s1 is free again, after {} changes", spot.version)?;
            break;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    app.close()?;
    Ok(())
}
