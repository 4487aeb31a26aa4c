//! Tables, groupings and aggregations without windows.

use streams::dsl::{BufferConfig, Grouped, KTable, Materialized, StreamsBuilder, Suppressed};
use streams::serde::{I64, Utf8};

use super::{Words, out, stream, table as rows};

/// Grouped by the value's last character; what is added and what is subtracted shows in the sum.
pub(crate) fn grouped_by_letter(words: Words<'_>, table: &KTable<String, String>) -> KTable<String, String> {
    table
        .group_by(
            |_, v| v.chars().last().map(|last| (last.to_string(), v.clone())),
            Grouped::new("by-letter", Utf8, Utf8),
        )
        .aggregate(|| "0".to_owned(), |_, v, a| format!("{a}+{v}"), |_, v, a| format!("{a}-{v}"), words.stored("sums"))
}

pub(crate) fn table(builder: &StreamsBuilder, words: Words<'_>) {
    let mut table = rows(builder, words, "table", words.has("versioned"));
    for step in words.value("steps").unwrap_or_default().split(',').filter(|s| !s.is_empty()) {
        let grouped = || Grouped::new("by-value", Utf8, Utf8);
        table = match step {
            // Kafka Streams' filters ask for old rows where there is a store above; here the author does.
            "filter" => table.filter(|_, v| v != "x").with_old_values(),
            "filter-not" => table.filter_not(|_, v| v == "y").with_old_values(),
            "filter-stored" => table.filter(|_, v| v != "x").materialize(words.stored("passing")).with_old_values(),
            "map" => table.map_values(|v| format!("{v}'")),
            "map-stored" => table.map_values(|v| format!("{v}'")).materialize(words.stored("mapped")),
            "rekeyed" => {
                let rekeyed =
                    table.to_stream().map_nullable(|k, v: Option<&String>| (k.map(|k| format!("k{k}")), v.cloned()));
                rekeyed.to_table(words.stored("rekeyed"))
            }
            "suppress" => {
                let wait = words.number("wait", 5);
                table.suppress(Suppressed::until_time_limit(wait, words.stored("held"), BufferConfig::unbounded()))
            }
            "by-letter" => grouped_by_letter(words, &table),
            "count" => table
                .group_by(|_, v| Some((v.clone(), v.clone())), grouped())
                .count(words.kept(Materialized::new("counts", Utf8, I64)))
                .map_values(i64::to_string),
            "reduce" => table.group_by(|_, v| Some((v.clone(), v.clone())), grouped()).reduce(
                |a, v| format!("{a}+{v}"),
                |a, v| format!("{a}-{v}"),
                words.stored("reduced"),
            ),
            other => panic!("no step is called {other}"),
        };
    }
    out(&table.to_stream());
}

pub(crate) fn aggregate(builder: &StreamsBuilder, words: Words<'_>) {
    let records = stream(builder, "in");
    let grouped = if words.has("by-value") {
        records.group_by(|_, v| v.clone(), Grouped::new("by-value", Utf8, Utf8))
    } else {
        records.group_by_key()
    };
    let mut table = if words.has("count") {
        grouped.count(words.kept(Materialized::new("counts", Utf8, I64))).map_values(i64::to_string)
    } else if words.has("reduce") {
        grouped.reduce(|a, v| format!("{a}+{v}"), words.stored("reduced"))
    } else {
        grouped.aggregate(|| "0".to_owned(), |_, v, a| format!("{a}+{v}"), words.stored("aggregated"))
    };
    if words.has("grouped") {
        table = grouped_by_letter(words, &table);
    }
    out(&table.to_stream());
}
