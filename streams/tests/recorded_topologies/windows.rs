//! Windowed aggregations, and cogroups.

use streams::dsl::{
    BufferConfig, EmitStrategy, Grouped, KTable, Materialized, SessionWindows, SlidingWindows, StreamsBuilder,
    Suppressed, TimeWindows, UnlimitedWindows, Windowed,
};
use streams::serde::{I64, Utf8};

use super::{Words, out, stream, table};

type Table = KTable<Windowed<String>, String>;

fn time_windows(words: Words<'_>) -> TimeWindows {
    let size = words.number("size", 10);
    TimeWindows::of_size_and_grace(size, words.number("grace", 0)).advance_by(words.number("advance", size))
}

fn sliding_windows(words: Words<'_>) -> SlidingWindows {
    SlidingWindows::of_time_difference_and_grace(words.number("difference", 5), words.number("grace", 0))
}

fn session_windows(words: Words<'_>) -> SessionWindows {
    SessionWindows::of_inactivity_gap_and_grace(words.number("gap", 5), words.number("grace", 0))
}

fn zero() -> String {
    "0".to_owned()
}

pub(crate) fn windowed(builder: &StreamsBuilder, words: Words<'_>) {
    let grouped = stream(builder, "in").group_by_key();
    let counts = || words.kept(Materialized::new("counts", Utf8, I64));
    let emit = if words.has("close") {
        EmitStrategy::OnWindowClose { interval_ms: 0 }
    } else {
        EmitStrategy::on_window_update()
    };
    let table = if words.kind() == "sessions" {
        let windowed = grouped.windowed_by(session_windows(words)).emit_strategy(emit);
        if words.has("count") {
            windowed.count(counts()).map_values(i64::to_string)
        } else if words.has("reduce") {
            windowed.reduce(|a, v| format!("{a}+{v}"), words.stored("reduced"))
        } else {
            let merge = |_: &String, a: String, b: String| format!("{a}&{b}");
            windowed.aggregate(zero, |_, v, a| format!("{a}+{v}"), merge, words.stored("aggregated"))
        }
    } else {
        let windowed = match words.kind() {
            "sliding" => grouped.windowed_by(sliding_windows(words)),
            "unlimited" => grouped.windowed_by(UnlimitedWindows::of().start_on(words.number("start", 0))),
            _ => grouped.windowed_by(time_windows(words)),
        };
        let windowed = windowed.emit_strategy(emit);
        if words.has("count") {
            windowed.count(counts()).map_values(i64::to_string)
        } else if words.has("reduce") {
            windowed.reduce(|a, v| format!("{a}+{v}"), words.stored("reduced"))
        } else {
            windowed.aggregate(zero, |_, v, a| format!("{a}+{v}"), words.stored("aggregated"))
        }
    };
    after(words, table);
}

/// What follows a windowed table.
fn after(words: Words<'_>, mut table: Table) {
    if words.has("final") {
        table = table.suppress(Suppressed::until_window_closes(words.stored("final"), BufferConfig::unbounded()));
    }
    if words.has("wait") {
        let records_max = u64::try_from(words.number("max-records", i64::MAX)).expect("not negative");
        let held = Materialized::new("held", streams::dsl::SessionWindowedSerde::new(Utf8), Utf8);
        table = table.suppress(Suppressed::until_time_limit(
            words.number("wait", 0),
            held,
            BufferConfig::max_records(records_max),
        ));
    }
    if words.has("filter") {
        table = table.filter(|_, v| v.len() > 4).with_old_values();
    }
    if words.has("grouped") {
        let by_key = |w: &Windowed<String>, v: &String| Some((w.key.clone(), v.clone()));
        let sums = table.group_by(by_key, Grouped::new("by-key", Utf8, Utf8)).aggregate(
            String::new,
            |_, v, a| format!("{a}[+{v}]"),
            |_, v, a| format!("{a}[-{v}]"),
            words.stored("sums"),
        );
        return out(&sums.to_stream());
    }
    let name = |w: Option<&Windowed<String>>| w.map(|w| format!("{}@{}/{}", w.key, w.start, w.end));
    out(&table.to_stream().map_nullable(move |w, v: Option<&String>| (name(w), v.cloned())));
}

pub(crate) fn cogroup(builder: &StreamsBuilder, words: Words<'_>) {
    let (one, two) = (stream(builder, "one").group_by_key(), stream(builder, "two").group_by_key());
    let all = one.cogroup(|_, v, a| format!("{a}+{v}")).cogroup(&two, |_, v, a| format!("{a}*{v}"));
    if words.has("size") {
        after(words, all.windowed_by(time_windows(words)).aggregate(zero, words.stored("cogrouped")));
    } else if words.has("difference") {
        after(words, all.windowed_by(sliding_windows(words)).aggregate(zero, words.stored("cogrouped")));
    } else if words.has("gap") {
        let merge = |_: &String, a: String, b: String| format!("{a}&{b}");
        after(words, all.windowed_by(session_windows(words)).aggregate(zero, merge, words.stored("cogrouped")));
    } else {
        let mut sums = all.aggregate(zero, words.stored("cogrouped"));
        if words.has("joined") {
            sums = sums.join(&table(builder, words, "three", false), |l, r| super::beside(Some(l), Some(r)));
        }
        out(&sums.to_stream());
    }
}
