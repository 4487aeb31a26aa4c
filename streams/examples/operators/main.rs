//! What each operator costs on one core, without a log: nanoseconds and allocations per record.
//! `cargo run --release -p streams --example operators`
//!
//! Keys and values are integers, so reading a record allocates nothing and what is shown is the operator's own, with its
//! source in front. Stores are in memory and are not committed in between: RocksDB and the changelog come on top.
#![allow(clippy::print_stdout)] // a report

mod harness;

use streams::dsl::{
    BufferConfig, Consumed, EmitStrategy, Grouped, JoinWindows, Joined, KStream, KTable, Materialized, Produced,
    Repartitioned, SessionWindows, SlidingWindows, StreamJoined, StreamsBuilder, Suppressed, TableJoined, TimeWindows,
    Windowed,
};
use streams::serde::I64;
use streams::store::{KeyValue, KeyValueStore};
use streams::{Context, ProcessError, Processor, Record};

#[global_allocator]
static ALLOCATOR: harness::Counting = harness::Counting;

const KEYS: i64 = 1_000;
const ROUNDS: u64 = 200;

type Build = fn(&StreamsBuilder);

fn stream(b: &StreamsBuilder, topic: &str) -> KStream<i64, i64> {
    b.stream(topic, Consumed::with(I64, I64))
}

fn table(b: &StreamsBuilder, topic: &str) -> KTable<i64, i64> {
    b.table(topic, store(topic))
}

fn store(name: &str) -> Materialized<i64, i64> {
    Materialized::new(name, I64, I64)
}

const ONE: &[&str] = &["in"];
const TWO: &[&str] = &["in", "other"];

type Operator = (&'static str, &'static [&'static str], Build);

fn stateless() -> Vec<Operator> {
    vec![
        ("source alone", ONE, |b| stream(b, "in").for_each(|_| ())),
        ("filter", ONE, |b| stream(b, "in").filter(|_, v| v % 2 == 0).for_each(|_| ())),
        ("map_values, five in a row", ONE, |b| {
            let mut s = stream(b, "in");
            for _ in 0..5 {
                s = s.map_values(|v| v + 1);
            }
            s.for_each(|_| ());
        }),
        ("select_key, merge, map", ONE, |b| {
            let s = stream(b, "in");
            s.select_key(|_, v| *v).merge(&s).map(|_, v| (*v, *v)).for_each(|_| ());
        }),
        ("flat_map_values, two each", ONE, |b| stream(b, "in").flat_map_values(|v| [*v, v + 1]).for_each(|_| ())),
        ("peek", ONE, |b| stream(b, "in").peek(|_| ()).for_each(|_| ())),
        ("split into two branches", ONE, |b| {
            for branch in stream(b, "in").split().branch(|_, v| v % 2 == 0).default_branch().into_values() {
                branch.for_each(|_| ());
            }
        }),
        ("sink", ONE, |b| stream(b, "in").to("out", Produced::with(I64, I64))),
        ("repartition, the sending side", ONE, |b| {
            stream(b, "in").repartition(Repartitioned::new("by-key", I64, I64)).for_each(|_| ());
        }),
    ]
}

fn windows(
    b: &StreamsBuilder,
    table: impl FnOnce(streams::dsl::KGroupedStream<i64, i64>) -> KTable<Windowed<i64>, i64>,
) {
    table(stream(b, "in").group_by_key()).to_stream().for_each(|_| ());
}

fn tumbling() -> TimeWindows {
    TimeWindows::of_size_with_no_grace(5_000)
}

fn hopping() -> TimeWindows {
    tumbling().advance_by(1_000)
}

/// Looked for at every record: the clock of the benchmark stands still, and an interval would never be over.
fn on_close() -> EmitStrategy {
    EmitStrategy::OnWindowClose { interval_ms: 0 }
}

fn stateful() -> Vec<Operator> {
    vec![
        ("table source", ONE, |b| table(b, "in").to_stream().for_each(|_| ())),
        ("table filter and map_values", ONE, |b| {
            table(b, "in").filter(|_, v| v % 2 == 0).map_values(|v| v + 1).to_stream().for_each(|_| ());
        }),
        ("table filter, stored", ONE, |b| {
            table(b, "in").filter(|_, v| v % 2 == 0).materialize(store("even")).to_stream().for_each(|_| ());
        }),
        ("to_table", ONE, |b| stream(b, "in").to_table(store("rows")).to_stream().for_each(|_| ())),
        ("table source, versioned", ONE, |b| {
            b.table("in", store("in").versioned(10_000)).to_stream().for_each(|_| ());
        }),
        ("table group_by, the sending side", ONE, |b| {
            let grouped = table(b, "in").group_by(|_, v| Some((v % 10, *v)), Grouped::new("by-last", I64, I64));
            drop(grouped.count(store("count")));
        }),
        ("count", ONE, |b| drop(stream(b, "in").group_by_key().count(store("count")))),
        ("count, held back until the commit", ONE, |b| {
            drop(stream(b, "in").group_by_key().count(store("count").with_caching_enabled()));
        }),
        ("reduce", ONE, |b| drop(stream(b, "in").group_by_key().reduce(|a, v| a.max(*v), store("reduce")))),
        ("aggregate", ONE, |b| drop(stream(b, "in").group_by_key().aggregate(|| 0, |_, v, a| a + v, store("sum")))),
        ("cogroup of two", TWO, |b| {
            let (one, other) = (stream(b, "in").group_by_key(), stream(b, "other").group_by_key());
            drop(one.cogroup(|_, v, a| a + v).cogroup(&other, |_, v, a| a - v).aggregate(|| 0, store("sum")));
        }),
        ("tumbling count", ONE, |b| windows(b, |g| g.windowed_by(tumbling()).count(store("windows")))),
        ("hopping count, five windows each", ONE, |b| windows(b, |g| g.windowed_by(hopping()).count(store("windows")))),
        ("sliding count", ONE, |b| {
            let sliding = SlidingWindows::of_time_difference_with_no_grace(3_000);
            windows(b, |g| g.windowed_by(sliding).count(store("windows")));
        }),
        ("session count", ONE, |b| {
            let sessions = SessionWindows::of_inactivity_gap_with_no_grace(500);
            windows(b, |g| g.windowed_by(sessions).count(store("sessions")));
        }),
        ("tumbling count on close, interval 0", ONE, |b| {
            windows(b, |g| g.windowed_by(tumbling()).emit_strategy(on_close()).count(store("windows")));
        }),
        ("session count on close, interval 0", ONE, |b| {
            let sessions = SessionWindows::of_inactivity_gap_with_no_grace(500);
            windows(b, |g| g.windowed_by(sessions).emit_strategy(on_close()).count(store("sessions")));
        }),
        ("tumbling count, suppressed until close", ONE, |b| {
            let until = Suppressed::until_window_closes(store("final"), BufferConfig::unbounded());
            windows(b, |g| g.windowed_by(tumbling()).count(store("windows")).suppress(until));
        }),
        ("table suppressed for 500 ms", ONE, |b| {
            let until = Suppressed::until_time_limit(500, store("held"), BufferConfig::unbounded());
            table(b, "in").suppress(until).to_stream().for_each(|_| ());
        }),
        ("process_values with a store", ONE, |b| {
            let highest = b.add_store("highest", KeyValue::new(I64, I64));
            let processor = Highest { highest: highest.clone() };
            stream(b, "in").process_values("highest-of-key", processor, &[&highest]).for_each(|_| ());
        }),
    ]
}

/// Sends on what exceeds everything before it, by key.
struct Highest {
    highest: KeyValueStore<i64, i64>,
}

impl Processor for Highest {
    type KeyIn = i64;
    type ValueIn = i64;
    type KeyOut = i64;
    type ValueOut = i64;

    fn process(&self, cx: &mut Context<'_, i64, i64>, record: Record<'_, i64, i64>) -> Result<(), ProcessError> {
        let (Some(key), Some(value)) = (record.key, record.value) else { return Ok(()) };
        if self.highest.get(cx, key)?.is_some_and(|highest| highest >= *value) {
            return Ok(());
        }
        self.highest.put(cx, key, value)?;
        cx.forward(record)
    }
}

fn within_100_ms() -> JoinWindows {
    JoinWindows::of_time_difference_with_no_grace(100)
}

fn joined() -> StreamJoined<i64, i64, i64> {
    StreamJoined::new("join", I64, I64, I64)
}

fn versioned(b: &StreamsBuilder) -> KTable<i64, i64> {
    b.table("other", store("other").versioned(10_000))
}

fn joins() -> Vec<Operator> {
    vec![
        ("stream-table join", TWO, |b| {
            stream(b, "in").join_table(&table(b, "other"), |a, b| a + b).for_each(|_| ());
        }),
        ("stream-table join, versioned", TWO, |b| {
            stream(b, "in").join_table(&versioned(b), |a, b| a + b).for_each(|_| ());
        }),
        ("stream-table join, versioned, 100 ms grace", TWO, |b| {
            let joined = Joined::new("held", I64, I64).with_grace_period(100);
            stream(b, "in").join_table_with(&versioned(b), |a, b| a + b, joined).for_each(|_| ());
        }),
        ("stream-global table join, no row", ONE, |b| {
            let rows = b.global_table("all", store("all"));
            stream(b, "in").left_join_global(&rows, |_, v| Some(*v), |v, _| *v).for_each(|_| ());
        }),
        ("table-table join", TWO, |b| {
            table(b, "in").join(&table(b, "other"), |a, b| a + b).to_stream().for_each(|_| ());
        }),
        ("table-table outer join", TWO, |b| {
            let sum = |a: Option<&i64>, b: Option<&i64>| a.unwrap_or(&0) + b.unwrap_or(&0);
            table(b, "in").outer_join(&table(b, "other"), sum).to_stream().for_each(|_| ());
        }),
        ("foreign-key join, the subscribing side", ONE, |b| {
            let joined = TableJoined::new("fk", I64, I64, I64, I64);
            let (left, right) = (table(b, "in"), table(b, "other"));
            drop(left.join_on_foreign_key(&right, |_, v| Some(v % 100), |a, b| a + b, joined, store("joined")));
        }),
        ("stream-stream join", TWO, |b| {
            stream(b, "in").join(&stream(b, "other"), |a, b| a + b, within_100_ms(), joined()).for_each(|_| ());
        }),
        ("stream-stream left join", TWO, |b| {
            let sum = |a: &i64, b: Option<&i64>| a + b.unwrap_or(&0);
            stream(b, "in").left_join(&stream(b, "other"), sum, within_100_ms(), joined()).for_each(|_| ());
        }),
        ("stream-stream outer join", TWO, |b| {
            let sum = |a: Option<&i64>, b: Option<&i64>| a.unwrap_or(&0) + b.unwrap_or(&0);
            stream(b, "in").outer_join(&stream(b, "other"), sum, within_100_ms(), joined()).for_each(|_| ());
        }),
        ("stream joined with itself", ONE, |b| {
            let s = stream(b, "in");
            s.join(&s, |a, b| a + b, within_100_ms(), joined()).for_each(|_| ());
        }),
    ]
}

fn main() {
    println!("{:<44} {:>12} {:>14}", "operator", "ns/record", "allocs/record");
    for (name, topics, build) in stateless().into_iter().chain(stateful()).chain(joins()) {
        let builder = StreamsBuilder::new("operators");
        build(&builder);
        let cost = harness::run(builder.build().expect("valid"), topics, KEYS, ROUNDS);
        let per_record = |n: f64| n / cost.records as f64;
        let (ns, allocations) = (per_record(cost.time.as_nanos() as f64), per_record(cost.allocations as f64));
        println!("{name:<44} {ns:>12.0} {allocations:>14.2}");
    }
}
