//! `suppress`.

use streams::Topology;
use streams::dsl::{BufferConfig, KTable, SessionWindows, StreamsBuilder, Suppressed, TimeWindows, Windowed};

use super::windows::named;
use super::{consumed, grouped, produced, store};
use crate::runner::{Case, Scenario};

pub(crate) fn find(id: &str) -> Option<Case> {
    Some(match id {
        "suppress-before-groupby" => Case::of(before_grouping),
        _ if id.starts_with("suppress-before-join-") => Case::of(before_join),
        _ if id.starts_with("suppress-final-") => Case::of(final_results),
        _ if id.starts_with("suppress-") => Case::of(counts),
        _ => return None,
    })
}

fn for_ten_ms(s: &Scenario, name: &str) -> Suppressed<String, String> {
    let wait_ms = s.duration_ms("untilTimeLimit ").expect("a time limit");
    Suppressed::until_time_limit(wait_ms, store(name), BufferConfig::unbounded())
}

fn before_grouping(s: &Scenario) -> Topology {
    let builder = StreamsBuilder::new("conformance");
    let table = builder.table("topic", store::<String, String>("rows")).suppress(for_ten_ms(s, "held"));
    let by_key = table.group_by(|key, value| Some((key.clone(), value.clone())), grouped("by-key"));
    by_key.count(store("counts")).to_stream().to("output", produced());
    builder.build().expect("valid")
}

fn before_join(s: &Scenario) -> Topology {
    let builder = StreamsBuilder::new("conformance");
    let table = |topic: &str| -> KTable<String, String> {
        let table = builder.table(topic, store(&format!("{topic}-rows")));
        if s.says(&format!("suppressed-{topic}")) || s.says(&format!("table \"{topic}\" -> suppress")) {
            table.suppress(for_ten_ms(s, "held"))
        } else {
            table
        }
    };
    let (left, right) = (table("left"), table("right"));
    let text = |side: Option<&String>| side.map_or("null".to_owned(), Clone::clone);
    let joined = left.outer_join(&right, move |l, r| format!("({},{})", text(l), text(r)));
    joined.to_stream().to("output", produced());
    builder.build().expect("valid")
}

fn counts(s: &Scenario) -> Topology {
    let builder = StreamsBuilder::new("conformance");
    let by_value = builder
        .table("input", store::<String, String>("rows"))
        .group_by(|key, value| Some((value.clone(), key.clone())), grouped("by-value"));
    let counts = by_value.count(store("counts"));
    counts.to_stream().to("output-raw", produced());
    let number = |words: &str| s.duration_ms(words).and_then(|n| u64::try_from(n).ok());
    let buffer: BufferConfig = match (number("maxRecords "), number("maxBytes ")) {
        (Some(records), _) => BufferConfig::max_records(records).emit_early_when_full(),
        (_, Some(bytes)) => BufferConfig::max_bytes(bytes).emit_early_when_full(),
        _ => BufferConfig::unbounded().into(),
    };
    let wait_ms = s.duration_ms("untilTimeLimit(").unwrap_or(i64::MAX);
    let suppressed = counts.suppress(Suppressed::until_time_limit(wait_ms, store("held"), buffer));
    suppressed.to_stream().to("output-suppressed", produced());
    builder.build().expect("valid")
}

fn final_results(s: &Scenario) -> Topology {
    let builder = StreamsBuilder::new("conformance");
    let grouped = builder.stream("input", consumed::<String, String>()).group_by_key();
    let grace_ms = s.duration_ms("grace ").unwrap_or(0);
    let counts: KTable<Windowed<String>, i64> = match (s.duration_ms("gap "), s.duration_ms("tumbling ")) {
        (Some(gap_ms), _) => {
            grouped.windowed_by(SessionWindows::of_inactivity_gap_and_grace(gap_ms, grace_ms)).count(store("windows"))
        }
        (_, Some(size_ms)) => {
            grouped.windowed_by(TimeWindows::of_size_and_grace(size_ms, grace_ms)).count(store("windows"))
        }
        _ => panic!("no windows: {}", s.topology()),
    };
    named(&counts, "output-raw");
    let last = counts.suppress(Suppressed::until_window_closes(store("held"), BufferConfig::unbounded()));
    named(&last, "output-suppressed");
    builder.build().expect("valid")
}
