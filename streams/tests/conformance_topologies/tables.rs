//! `ktable/source`, `ktable/stateless`.

use streams::Topology;
use streams::dsl::StreamsBuilder;

use super::{grouped, produced, store};
use crate::runner::{Case, Scenario};

pub(crate) fn find(id: &str) -> Option<Case> {
    Some(match id {
        "kt-source" => Case::of(source),
        "kt-source-old-values" => Case::of(source_old_values),
        "kt-filter" => Case::of(filter),
        "kt-filter-changes-no-old" => Case::of(filter_changes),
        "kt-filter-changes-old-parent" => Case::of(filter_changes_with_old),
        "kt-filter-skip-null-default" => Case::of(filter_skip_null),
        "kt-filter-skip-null-versioned-upstream" => Case::of(filter_skip_null),
        "kt-mapvalues-changes" => Case::of(map_values_changes),
        _ => return None,
    })
}

fn source(_: &Scenario) -> Topology {
    let builder = StreamsBuilder::new("conformance");
    builder.table("topic1", store::<String, i32>("rows")).to_stream().to("output", produced());
    builder.build().expect("valid")
}

fn source_old_values(_: &Scenario) -> Topology {
    let builder = StreamsBuilder::new("conformance");
    let table = builder.table("topic1", store::<String, String>("rows")).with_old_values();
    table.to_changes().to("output", produced());
    builder.build().expect("valid")
}

fn filter(_: &Scenario) -> Topology {
    let builder = StreamsBuilder::new("conformance");
    let table = builder.table("topic1", store::<String, i32>("rows"));
    table.filter(|_, value| value % 2 == 0).to_stream().to("filter", produced());
    table.filter_not(|_, value| value % 2 == 0).to_stream().to("filterNot", produced());
    builder.build().expect("valid")
}

fn filter_changes(_: &Scenario) -> Topology {
    let builder = StreamsBuilder::new("conformance");
    let table = builder.table("topic1", store::<String, i32>("rows"));
    table.to_changes().to("table", produced());
    table.filter(|_, value| value % 2 == 0).to_changes().to("filter", produced());
    builder.build().expect("valid")
}

fn filter_changes_with_old(_: &Scenario) -> Topology {
    let builder = StreamsBuilder::new("conformance");
    let table = builder.table("topic1", store::<String, i32>("rows"));
    table.to_changes().to("table", produced());
    table.filter(|_, value| value % 2 == 0).with_old_values().to_changes().to("filter", produced());
    builder.build().expect("valid")
}

fn filter_skip_null(s: &Scenario) -> Topology {
    let builder = StreamsBuilder::new("conformance");
    let rows = store::<String, String>("rows");
    let rows = if s.says("VERSIONED") { rows.versioned(super::joins::HISTORY_MS) } else { rows };
    let table = builder.table("topic1", rows);
    table.to_changes().to("table", produced());
    let accepted = table.filter(|_, value| value.eq_ignore_ascii_case("accept"));
    accepted.to_changes().to("filter", produced());
    accepted.group_by(|key, value| Some((key.clone(), value.clone())), grouped("grouped")).reduce(
        |sum, value| sum + value,
        |sum, _| sum,
        store("reduced"),
    );
    builder.build().expect("valid")
}

fn map_values_changes(_: &Scenario) -> Topology {
    let builder = StreamsBuilder::new("conformance");
    let table = builder.table("topic1", store::<String, String>("rows"));
    table.map_values(|value| value.parse::<i32>().unwrap_or(-1)).to_changes().to("output", produced());
    builder.build().expect("valid")
}
