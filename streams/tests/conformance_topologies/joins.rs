//! `join/stream-table`, `join/table-table`, `join/table-table-multi`, `cogroup`.

use serde_json::Value;
use streams::Topology;
use streams::dsl::{Joined, KTable, Materialized, StreamsBuilder};

use super::{consumed, produced, store};
use crate::runner::{Case, Scenario, Tagged};

/// History retention of the corpus' versioned tables.
pub(crate) const HISTORY_MS: i64 = 300_000;

pub(crate) fn find(id: &str) -> Option<Case> {
    Some(match id {
        _ if id.starts_with("st-") => Case::of(stream_table),
        _ if id.starts_with("tt-multi-") => Case::of(table_table_multi),
        _ if id.starts_with("tt-") => Case::of(table_table),
        _ if id.starts_with("gt-") => Case::of(stream_global_table),
        "cogroup-then-table-join" => Case::of(cogroup_then_join),
        _ if id.starts_with("cogroup-") => Case::of(cogroup),
        _ => return None,
    })
}

/// `left-right`, a missing side as `null`.
fn beside(separator: &'static str) -> impl Fn(Option<&String>, Option<&String>) -> String + Clone + Send + Sync {
    let text = |side: Option<&String>| side.map_or_else(|| "null".to_owned(), Clone::clone);
    move |left, right| format!("{}{separator}{}", text(left), text(right))
}

fn maybe_versioned(name: &str, versioned: bool) -> Materialized<Value, String> {
    if versioned { store(name).versioned(HISTORY_MS) } else { store(name) }
}

fn stream_table(s: &Scenario) -> Topology {
    let builder = StreamsBuilder::new("conformance");
    let reads = |topic| s.input_topics().contains(&topic);
    let (stream, table) = if reads("left") || reads("right") { ("left", "right") } else { ("stream", "table") };
    let join = beside(if s.says("left + \"-\" + right") { "-" } else { "+" });
    let rows = builder.table(table, maybe_versioned("rows", s.says("ersioned") && !s.says("unversioned")));
    let records = builder.stream(stream, consumed::<Value, String>());
    let inner = {
        let join = join.clone();
        move |l: &String, r: &String| join(Some(l), Some(r))
    };
    let left = move |l: &String, r: Option<&String>| join(Some(l), r);
    let grace_ms = s.duration_ms("grace period of ");
    let graced = || Joined::new("graced", Tagged, Tagged).with_grace_period(grace_ms.unwrap_or(0));
    let joined = match (s.says("INNER join") || s.says("INNER JOIN"), grace_ms.is_some()) {
        (true, false) => records.join_table(&rows, inner),
        (true, true) => records.join_table_with(&rows, inner, graced()),
        (false, false) => records.left_join_table(&rows, left),
        (false, true) => records.left_join_table_with(&rows, left, graced()),
    };
    joined.to("output", produced());
    builder.build().expect("valid")
}

fn stream_global_table(s: &Scenario) -> Topology {
    let builder = StreamsBuilder::new("conformance");
    let rows = builder.global_table("global", store::<String, String>("rows"));
    let records = builder.stream("stream", consumed::<Value, String>());
    let key_of = |_: Option<&Value>, value: &String| value.split_once(',').map(|(_, key)| key.to_owned());
    let join = beside("+");
    let joined = if s.says("INNER JOIN") {
        records.join_global(&rows, key_of, move |l, r| join(Some(l), Some(r)))
    } else {
        records.left_join_global(&rows, key_of, move |l, r| join(Some(l), r))
    };
    joined.to("output", produced());
    builder.build().expect("valid")
}

fn join_as(kind: &str, left: &KTable<Value, String>, right: &KTable<Value, String>) -> KTable<Value, String> {
    let join = beside("-");
    match kind {
        "INNER" => left.join(right, move |l, r| join(Some(l), Some(r))),
        "LEFT" => left.left_join(right, move |l, r| join(Some(l), r)),
        "OUTER" => left.outer_join(right, join),
        other => panic!("no join is called {other}"),
    }
}

fn table_table(s: &Scenario) -> Topology {
    let builder = StreamsBuilder::new("conformance");
    let both = s.says("Both table stores are versioned");
    let left = builder.table("left", maybe_versioned("left", both || s.says("Left table store is versioned")));
    let right = builder.table("right", maybe_versioned("right", both || s.says("Right table store is versioned")));
    let kind = ["INNER", "LEFT", "OUTER"].into_iter().find(|kind| s.says(&format!("primary-key {kind} join")));
    let joined = join_as(kind.expect("a kind of join"), &left, &right);
    joined.materialize(store(s.final_store())).to_stream().to("output", produced());
    builder.build().expect("valid")
}

fn table_table_multi(s: &Scenario) -> Topology {
    let builder = StreamsBuilder::new("conformance");
    let left = builder.table("left", store::<Value, String>("left"));
    let right = builder.table("right", store::<Value, String>("right"));
    let kinds = ["INNER", "LEFT", "OUTER"];
    let first = kinds.into_iter().find(|k| s.says(&format!("(left {k} JOIN right)"))).expect("a kind of join");
    let second = kinds.into_iter().find(|k| s.says(&format!(") {k} JOIN right"))).expect("a kind of join");
    let joined = join_as(second, &join_as(first, &left, &right), &right);
    joined.materialize(store(s.final_store())).to_stream().to("output", produced());
    builder.build().expect("valid")
}

fn cogrouped(builder: &StreamsBuilder, topics: &[&str]) -> KTable<String, String> {
    let group = |topic: &str| builder.stream(topic, consumed::<String, String>()).group_by_key();
    let add = |_: &String, value: &String, sum: String| sum + value;
    let mut topics = topics.iter();
    let mut cogrouped = group(topics.next().expect("a topic")).cogroup(add);
    for topic in topics {
        cogrouped = cogrouped.cogroup(&group(topic), add);
    }
    cogrouped.aggregate(String::new, store("cogrouped"))
}

fn cogroup(s: &Scenario) -> Topology {
    let builder = StreamsBuilder::new("conformance");
    let topics: Vec<&str> = ["one", "two", "three"].into_iter().filter(|t| s.says(&format!("\"{t}\""))).collect();
    cogrouped(&builder, &topics).to_stream().to("output", produced());
    builder.build().expect("valid")
}

fn cogroup_then_join(_: &Scenario) -> Topology {
    let builder = StreamsBuilder::new("conformance");
    let table1 = cogrouped(&builder, &["one", "two"]);
    let table2 = builder.table("three", store::<String, String>("three"));
    table1.join(&table2, |l, r| format!("{l}+{r}")).to_stream().to("output", produced());
    builder.build().expect("valid")
}
