//! `join/stream-stream`, `join/stream-stream-left`, `join/stream-stream-outer`, `join/null-key`.

use serde_json::Value;
use streams::Topology;
use streams::dsl::{JoinWindows, KStream, StreamJoined, StreamsBuilder};

use super::{consumed, produced};
use crate::runner::{Case, Scenario, Tagged};

pub(crate) fn find(id: &str) -> Option<Case> {
    Some(match id {
        "ss-multi-inner" => Case::of(multi),
        _ if id.starts_with("ss-") || id.starts_with("null-key-ss-") => Case::of(join),
        _ => return None,
    })
}

/// `right.ts in [left.ts-5, left.ts+20]`, `+-100 ms` or `<= 10000 ms`, and `grace …`.
fn windows(s: &Scenario) -> JoinWindows {
    let grace_ms = s.duration_ms("grace ").unwrap_or(0);
    if let Some((_, bounds)) = s.topology().split_once("right.ts in [left.ts") {
        let bounds = bounds.split(']').next().unwrap_or_default().replace(' ', "");
        let (low, high) = bounds.split_once(",left.ts").expect("two bounds");
        let number = |text: &str| if text.is_empty() { 0 } else { text.parse::<i64>().expect("a number") };
        let windows = JoinWindows::of_time_difference_and_grace(0, grace_ms);
        windows.before(-number(low)).after(number(high))
    } else {
        let difference_ms = s.duration_ms("+-").or(s.duration_ms("<= ")).expect("a window");
        JoinWindows::of_time_difference_and_grace(difference_ms, grace_ms)
    }
}

/// Without the emit throttle, as the corpus says.
fn joined(name: &str) -> StreamJoined<Value, Value, Value> {
    StreamJoined::new(name, Tagged, Tagged, Tagged).with_emit_interval(0)
}

fn joiner(s: &Scenario) -> impl Fn(Option<&Value>, Option<&Value>) -> Value + Send + Sync + 'static {
    let separator =
        ["\"+\"", "\"|\"", "\"-\""].into_iter().find(|sep| s.says(sep)).expect("a separator").replace('"', "");
    let text = |side: Option<&Value>| match side {
        None => "null".to_owned(),
        Some(value) => value.as_str().map_or_else(|| value.to_string(), str::to_owned),
    };
    move |left, right| Value::String(format!("{}{separator}{}", text(left), text(right)))
}

fn join(s: &Scenario) -> Topology {
    let builder = StreamsBuilder::new("conformance");
    let (left, right): (KStream<Value, Value>, KStream<Value, Value>) =
        (builder.stream("left", consumed()), builder.stream("right", consumed()));
    let join = joiner(s);
    let output = if s.says("LEFT") {
        left.left_join(&right, move |l, r| join(Some(l), r), windows(s), joined("join"))
    } else if s.says("OUTER") {
        left.outer_join(&right, join, windows(s), joined("join"))
    } else {
        left.join(&right, move |l, r| join(Some(l), Some(r)), windows(s), joined("join"))
    };
    output.to("output", produced());
    builder.build().expect("valid")
}

fn multi(s: &Scenario) -> Topology {
    let builder = StreamsBuilder::new("conformance");
    let (left, right): (KStream<Value, Value>, KStream<Value, Value>) =
        (builder.stream("left", consumed()), builder.stream("right", consumed()));
    let (first, second) = (joiner(s), joiner(s));
    left.join(&right, move |l, r| first(Some(l), Some(r)), windows(s), joined("first"))
        .join(&right, move |l, r| second(Some(l), Some(r)), windows(s), joined("second"))
        .to("output", produced());
    builder.build().expect("valid")
}
