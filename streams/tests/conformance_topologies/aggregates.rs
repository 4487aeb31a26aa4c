//! `stream/aggregate`, `ktable/aggregate`, `cogroup`.

use streams::Topology;
use streams::dsl::StreamsBuilder;

use super::{consumed, grouped, produced, store};
use crate::runner::{Case, Scenario};

pub(crate) fn find(id: &str) -> Option<Case> {
    Some(match id {
        "stream-aggregate" => Case::of(stream_aggregate),
        "stream-reduce" => Case::of(stream_reduce),
        "kt-agg-basic" => Case::of(table_aggregate),
        "kt-agg-versioned" => Case::of(table_aggregate_versioned),
        "kt-count" => Case::of(table_count),
        "kt-count-transient-default" => Case::of(table_count_by_key),
        "kt-count-transient-upgrade" => Case::of(table_count_in_two_records),
        "kt-remove-old-before-add-new" => Case::of(remove_old_before_add_new),
        _ => return None,
    })
}

fn stream_aggregate(_: &Scenario) -> Topology {
    let builder = StreamsBuilder::new("conformance");
    builder.stream("topic", consumed::<String, String>()).group_by_key().aggregate(
        || "0".to_owned(),
        |_, value, sum| format!("{sum}+{value}"),
        store("aggregate"),
    );
    builder.build().expect("valid")
}

fn stream_reduce(_: &Scenario) -> Topology {
    let builder = StreamsBuilder::new("conformance");
    builder
        .stream("topic", consumed::<String, String>())
        .group_by_key()
        .reduce(|sum, value| format!("{sum}+{value}"), store("reduce"));
    builder.build().expect("valid")
}

fn table_aggregate(_: &Scenario) -> Topology {
    let builder = StreamsBuilder::new("conformance");
    builder
        .table("topic1", store::<String, String>("topic1"))
        .group_by(|key, value| Some((key.clone(), value.clone())), grouped("grouped"))
        .aggregate(
            || "0".to_owned(),
            |_, value, sum| format!("{sum}+{value}"),
            |_, value, sum| format!("{sum}-{value}"),
            store("sums"),
        )
        .to_stream()
        .to("output", produced());
    builder.build().expect("valid")
}

fn table_aggregate_versioned(_: &Scenario) -> Topology {
    let builder = StreamsBuilder::new("conformance");
    builder
        .table("topic1", store::<String, String>("topic1").versioned(super::joins::HISTORY_MS))
        .group_by(
            |key, value| (!key.eq_ignore_ascii_case("null")).then(|| (value.clone(), value.clone())),
            grouped("grouped"),
        )
        .aggregate(
            || "0".to_owned(),
            |_, value, sum| format!("{sum}+{value}"),
            |_, value, sum| format!("{sum}-{value}"),
            store("sums"),
        )
        .to_stream()
        .to("output", produced());
    builder.build().expect("valid")
}

fn table_count(_: &Scenario) -> Topology {
    let builder = StreamsBuilder::new("conformance");
    builder
        .table("input", store::<String, String>("rows"))
        .group_by(|_, value| Some((value.clone(), value.clone())), grouped("grouped"))
        .count(store("counts"))
        .to_stream()
        .to("output", produced());
    builder.build().expect("valid")
}

fn table_count_by_key(_: &Scenario) -> Topology {
    let builder = StreamsBuilder::new("conformance");
    builder
        .table("input", store::<String, String>("rows"))
        .group_by(|key, value| Some((key.clone(), value.clone())), grouped("grouped"))
        .count(store("counts"))
        .to_stream()
        .to("output", produced());
    builder.build().expect("valid")
}

fn table_count_in_two_records(_: &Scenario) -> Topology {
    let builder = StreamsBuilder::new("conformance");
    builder
        .table("input", store::<String, String>("rows"))
        .group_by(|key, value| Some((key.clone(), value.clone())), grouped("grouped").with_two_records_per_update())
        .count(store("counts"))
        .to_stream()
        .to("output", produced());
    builder.build().expect("valid")
}

fn remove_old_before_add_new(_: &Scenario) -> Topology {
    let builder = StreamsBuilder::new("conformance");
    builder
        .table("input", store::<String, String>("rows"))
        .group_by(
            |key, _| {
                let mut chars = key.chars().map(String::from);
                chars.next().zip(chars.next())
            },
            grouped("grouped"),
        )
        .aggregate(
            String::new,
            |_, value, sum| sum + value,
            |_, value, sum: String| sum.replace(value.as_str(), ""),
            store("sums"),
        )
        .to_stream()
        .to("output", produced());
    builder.build().expect("valid")
}
