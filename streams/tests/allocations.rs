//! A chain of stateless operators allocates nothing per record.

#[path = "../examples/operators/harness.rs"]
mod harness;

use streams::dsl::{Consumed, StreamsBuilder};
use streams::serde::I64;

#[global_allocator]
static ALLOCATOR: harness::Counting = harness::Counting;

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
