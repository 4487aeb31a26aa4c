//! `stream/stateless`, `stream/repartition`.

use streams::Topology;
use streams::dsl::{Repartitioned, StreamsBuilder};

use super::{consumed, grouped, produced, store};
use crate::runner::{Case, Scenario, Tagged};

pub(crate) fn find(id: &str) -> Option<Case> {
    Some(match id {
        "stream-flatmap" => Case::of(flat_map),
        "stream-flatmapvalues" => Case::of(flat_map_values),
        "stream-merge" => Case::of(merge),
        "split-named-branches" => Case::of(split_named),
        "split-no-terminal" => Case::of(split_no_terminal),
        "stream-repartition" => Case::of(repartition),
        "stream-totable-groupby-count" => Case::of(to_table_group_by_count),
        _ => return None,
    })
}

fn flat_map(_: &Scenario) -> Topology {
    let builder = StreamsBuilder::new("conformance");
    builder
        .stream("topic", consumed::<i32, String>())
        .flat_map(|key, value| {
            let (n, value) = (key.copied().unwrap_or(0), value.clone());
            (0..n).map(move |i| ((n * 10 + i).to_string(), value.clone()))
        })
        .to("output", produced());
    builder.build().expect("valid")
}

fn flat_map_values(_: &Scenario) -> Topology {
    let builder = StreamsBuilder::new("conformance");
    builder
        .stream("topic", consumed::<i32, i32>())
        .flat_map_values(|value| [format!("v{value}"), format!("V{value}")])
        .to("output", produced());
    builder.build().expect("valid")
}

fn merge(_: &Scenario) -> Topology {
    let builder = StreamsBuilder::new("conformance");
    let topic = |n| builder.stream(n, consumed::<String, String>());
    let (one, two, three, four) = (topic("topic-1"), topic("topic-2"), topic("topic-3"), topic("topic-4"));
    one.merge(&two).merge(&three).merge(&four).to("output", produced());
    builder.build().expect("valid")
}

fn split_named(_: &Scenario) -> Topology {
    let builder = StreamsBuilder::new("conformance");
    let multiple_of = |n: i32| move |key: Option<&i32>, _: &String| key.is_some_and(|k| k % n == 0);
    let branches = builder
        .stream("topic", consumed::<i32, String>())
        .split_named("foo-")
        .branch_named("bar", multiple_of(2))
        .branch_chained(multiple_of(3), |stream| {
            stream.for_each(|_| ());
            None
        })
        .branch_chained(multiple_of(5), |_| None)
        .branch_chained(|key, _| key.is_some_and(|k| *k < 0), Some)
        .branch(multiple_of(7))
        .default_branch();
    assert_eq!(branches.keys().collect::<Vec<_>>(), ["foo-0", "foo-4", "foo-5", "foo-bar"]);
    for (name, stream) in branches {
        stream.to(&name, produced());
    }
    builder.build().expect("valid")
}

fn split_no_terminal(_: &Scenario) -> Topology {
    let builder = StreamsBuilder::new("conformance");
    let multiple_of = |n: i32| move |key: Option<&i32>, _: &String| key.is_some_and(|k| k % n == 0);
    let branches = builder
        .stream("topic", consumed::<i32, String>())
        .split()
        .branch(multiple_of(2))
        .branch(multiple_of(5))
        .no_default_branch();
    branches.values().for_each(|stream| stream.to("output", produced()));
    builder.build().expect("valid")
}

fn repartition(_: &Scenario) -> Topology {
    let builder = StreamsBuilder::new("conformance");
    builder
        .stream("topic", consumed::<String, String>())
        .repartition(Repartitioned::new("again", Tagged, Tagged))
        .to("output", produced());
    builder.build().expect("valid")
}

fn to_table_group_by_count(_: &Scenario) -> Topology {
    let builder = StreamsBuilder::new("conformance");
    builder
        .stream("input", consumed::<String, String>())
        .to_table(store("rows"))
        .group_by(|_, value| Some((value.clone(), value.clone())), grouped("by-value"))
        .count(store("counts"))
        .to_stream()
        .to("output", produced());
    builder.build().expect("valid")
}
