//! A chain of stateless operators allocates nothing per record.

#[path = "../examples/operators/harness.rs"]
mod harness;

use streams::dsl::{Consumed, KStream, StreamsBuilder};
use streams::serde::I64;

#[global_allocator]
static ALLOCATOR: harness::Counting = harness::Counting;

fn cost_of(chain: impl Fn(&KStream<i64, i64>)) -> harness::Cost {
    let builder = StreamsBuilder::new("chain");
    chain(&builder.stream("in", Consumed::<i64, i64>::with(I64, I64)));
    let cost = harness::run(builder.build().expect("valid"), &["in"], 100, 20);
    assert_eq!(cost.records, 20 * 256);
    cost
}

/// Each of them alone, so that none hides behind a filter.
#[test]
fn no_stateless_operator_allocates() {
    let operators: [(&str, fn(&KStream<i64, i64>)); 17] = [
        ("filter", |s| s.filter(|_, v| v % 2 == 0).for_each(|_| ())),
        ("filter_not", |s| s.filter_not(|_, v| v % 2 == 0).for_each(|_| ())),
        ("filter_nullable", |s| s.filter_nullable(|_, v| v.is_some()).for_each(|_| ())),
        ("map_values", |s| s.map_values(|v| v + 1).for_each(|_| ())),
        ("map_values_with_key", |s| s.map_values_with_key(|_, v| v + 1).for_each(|_| ())),
        ("map", |s| s.map(|_, v| (*v, *v)).for_each(|_| ())),
        ("map_nullable", |s| s.map_nullable(|k, v: Option<&i64>| (k.copied(), v.copied())).for_each(|_| ())),
        ("flat_map_values", |s| s.flat_map_values(|v| [*v, v + 1]).for_each(|_| ())),
        ("flat_map", |s| s.flat_map(|_, v| [(*v, *v), (v + 1, *v)]).for_each(|_| ())),
        ("select_key", |s| s.select_key(|_, v| *v).for_each(|_| ())),
        ("peek", |s| s.peek(|_| ()).for_each(|_| ())),
        ("for_each", |s| s.for_each(|_| ())),
        ("merge", |s| s.merge(&s.map_values(|v| v + 1)).for_each(|_| ())),
        ("split, branch", |s| drop(s.split().branch(|_, v| v % 2 == 0).default_branch())),
        ("split, no default", |s| drop(s.split().branch(|_, v| v % 2 == 0).no_default_branch())),
        ("branch_chained", |s| {
            let ends = |even: KStream<i64, i64>| {
                even.for_each(|_| ());
                None
            };
            drop(s.split().branch_chained(|_, v| v % 2 == 0, ends).default_branch());
        }),
        ("five in a row", |s| {
            let chain = s.filter(|_, v| v % 7 != 0).map_values(|v| v + 1).map(|_, v| (*v, *v));
            chain.map_values(|v| v * 2).filter_not(|_, v| *v == 0).for_each(|_| ());
        }),
    ];
    for (name, chain) in operators {
        assert_eq!(cost_of(chain).allocations, 0, "{name}");
    }
}

#[test]
fn stateless_chains_allocate_nothing() {
    let builder = StreamsBuilder::new("chain");
    let source = builder.stream("in", Consumed::<i64, i64>::with(I64, I64));
    let mapped = source
        .filter(|key, value| key.is_some() && value % 3 != 0)
        .map_values(|value| value + 1)
        .select_key(|_, value| value % 7)
        .peek(|_| ())
        .map(|_, value| (*value, *value))
        .flat_map_values(|value| [*value, value + 1]);
    mapped.merge(&source).split().branch(|_, value| value % 2 == 0).default_branch();
    let cost = harness::run(builder.build().expect("valid"), &["in"], 100, 20);
    assert_eq!(cost.records, 20 * 256);
    assert_eq!(cost.allocations, 0, "in {} records", cost.records);
}
