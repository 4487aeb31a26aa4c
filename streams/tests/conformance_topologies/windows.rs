//! `window/*`: tumbling, hopping, sliding and session windows, emit strategies.

use streams::Topology;
use streams::dsl::{
    EmitStrategy, KTable, Materialized, SessionWindows, SlidingWindows, StreamsBuilder, TimeWindowedKStream,
    TimeWindows, Windowed,
};

use super::{consumed, produced, store};
use crate::runner::{Case, Datum, Scenario};

pub(crate) fn find(id: &str) -> Option<Case> {
    Some(match id {
        "win-hopping-join-update" => Case::of(join),
        "win-session-merge-update" | "win-session-multi-update" => Case::of(sessions).at_once(),
        _ if id.starts_with("win-session-") => Case::of(sessions),
        _ if id.starts_with("win-") => Case::of(windows),
        _ => return None,
    })
}

impl<T: Datum> Datum for Windowed<T> {
    fn to_json(&self) -> serde_json::Value {
        serde_json::json!({"key": self.key.to_json(), "start": self.start, "end": self.end})
    }
    fn from_json(json: &serde_json::Value) -> Option<Self> {
        Some(Windowed::new(T::from_json(&json["key"])?, json["start"].as_i64()?, json["end"].as_i64()?))
    }
}

fn size_of(s: &Scenario) -> i64 {
    s.duration_ms("size ").or(s.duration_ms("tumbling ")).unwrap_or(10)
}

/// What `As win-hopping-expired` stands for.
const EXPIRED_GRACE_MS: i64 = 90;

fn time_windows(s: &Scenario) -> TimeWindows {
    let expired = s.says("win-hopping-expired").then_some(EXPIRED_GRACE_MS);
    let grace_ms = s.duration_ms("grace ").or(expired).unwrap_or(0);
    let size_ms = size_of(s);
    let windows = TimeWindows::of_size_and_grace(size_ms, grace_ms);
    windows.advance_by(s.duration_ms("advance ").or(expired.map(|_| 5)).unwrap_or(size_ms))
}

fn emit(s: &Scenario) -> EmitStrategy {
    if s.id.ends_with("final") || s.says("ON_WINDOW_CLOSE") && !s.id.ends_with("update") {
        let interval_ms = s.duration_ms("once per ").unwrap_or(0);
        EmitStrategy::OnWindowClose { interval_ms }
    } else {
        EmitStrategy::on_window_update()
    }
}

fn plus(sum: String, value: &str) -> String {
    format!("{sum}+{value}")
}

/// Any aggregation over time or sliding windows.
fn windows(s: &Scenario) -> Topology {
    let builder = StreamsBuilder::new("conformance");
    let stream = builder.stream(s.input_topics()[0], consumed::<String, String>());
    let windowed = match s.duration_ms("diff ").or(s.duration_ms("time difference ")) {
        Some(difference_ms) => {
            let grace_ms = s.duration_ms("grace ").unwrap_or(0);
            let windows = SlidingWindows::of_time_difference_and_grace(difference_ms, grace_ms);
            stream.group_by_key().windowed_by(windows)
        }
        None => stream.group_by_key().windowed_by(time_windows(s)),
    };
    let windowed: TimeWindowedKStream<String, String> = windowed.emit_strategy(emit(s));
    if s.says("count") {
        output(s, &windowed.count(store("windows")));
    } else if s.says("reduce") {
        output(s, &windowed.reduce(|a, b| plus(a, b), store("windows")));
    } else {
        let initial = if s.says("win-hopping-expired") { "" } else { "0" };
        let aggregate = windowed.aggregate(move || initial.to_owned(), |_, v, sum| plus(sum, v), store("windows"));
        output(s, &aggregate);
    }
    builder.build().expect("valid")
}

/// Any aggregation over sessions.
fn sessions(s: &Scenario) -> Topology {
    let builder = StreamsBuilder::new("conformance");
    let gap_ms = s.duration_ms("gap ").expect("a gap");
    let windows = SessionWindows::of_inactivity_gap_and_grace(gap_ms, s.duration_ms("grace ").unwrap_or(0));
    let stream = builder.stream(s.input_topics()[0], consumed::<String, String>());
    let sessions = stream.group_by_key().windowed_by(windows).emit_strategy(emit(s));
    if s.says("reduce") {
        let separator = if s.says("\":\"") { ':' } else { '+' };
        output(s, &sessions.reduce(move |a, b| format!("{a}{separator}{b}"), store("sessions")));
    } else {
        let sessions_store = store("sessions");
        let cached = s.says("CACHED") || s.says("cache flush");
        output(s, &sessions.count(if cached { sessions_store.with_caching_enabled() } else { sessions_store }));
    }
    builder.build().expect("valid")
}

/// To the output in the form the scenario has its keys and values.
fn output<V: Datum + Clone>(s: &Scenario, table: &KTable<Windowed<String>, V>) {
    let records =
        || s.json["expected"].as_array().into_iter().flatten().filter_map(|e| e["records"].as_array()).flatten();
    if records().any(|r| r["key"].is_string()) {
        named(table, "output");
    } else if records().any(|r| r["value"].get("new").is_some()) {
        table.to_changes().to("output", produced());
    } else {
        table.to_stream().to("output", produced());
    }
}

/// Keys as `[key@start/end]`.
pub(crate) fn named<V: Datum + Clone>(table: &KTable<Windowed<String>, V>, topic: &str) {
    let name = |w: Option<&Windowed<String>>| w.map(|w| format!("[{}@{}/{}]", w.key, w.start, w.end));
    table.to_stream().map_nullable(move |key, value: Option<&V>| (name(key), value.cloned())).to(topic, produced());
}

fn join(s: &Scenario) -> Topology {
    let builder = StreamsBuilder::new("conformance");
    let table = |number: u8| {
        let stream = builder.stream(format!("topic{number}").as_str(), consumed::<String, String>());
        let windowed = stream.group_by_key().windowed_by(time_windows(s));
        let rows: Materialized<String, String> = store(&format!("windows-{number}"));
        let table = windowed.aggregate(|| "0".to_owned(), |_, v, sum| plus(sum, v), rows);
        table.to_stream().to(&format!("table{number}"), produced());
        table
    };
    let (left, right) = (table(1), table(2));
    left.join(&right, |a, b| format!("{a}%{b}")).to_stream().to("join", produced());
    builder.build().expect("valid")
}
