//! What each operator costs on one core, without a log: nanoseconds and allocations per record.
//! `cargo run --release -p streams --example operators`
//!
//! Keys and values are integers, so reading a record allocates nothing and what is shown is the operator's own, with its
//! source in front. Stores are in memory and are not committed in between: RocksDB and the changelog come on top.
#![allow(clippy::print_stdout)] // a report

mod harness;

use streams::dsl::{
    Consumed, JoinWindows, KStream, KTable, Materialized, Produced, SessionWindows, SlidingWindows, StreamJoined,
    StreamsBuilder, TimeWindows,
};
use streams::serde::I64;

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

fn main() {
    let one: &[&str] = &["in"];
    let two: &[&str] = &["in", "other"];
    let operators: [(&str, &[&str], Build); 16] = [
        ("source alone", one, |b| stream(b, "in").for_each(|_| ())),
        ("filter", one, |b| stream(b, "in").filter(|_, v| v % 2 == 0).for_each(|_| ())),
        ("map_values, five in a row", one, |b| {
            let mut s = stream(b, "in");
            for _ in 0..5 {
                s = s.map_values(|v| v + 1);
            }
            s.for_each(|_| ());
        }),
        ("select_key, merge, map", one, |b| {
            let s = stream(b, "in");
            s.select_key(|_, v| *v).merge(&s).map(|_, v| (*v, *v)).for_each(|_| ());
        }),
        ("sink", one, |b| stream(b, "in").to("out", Produced::with(I64, I64))),
        ("table source", one, |b| table(b, "in").to_stream().for_each(|_| ())),
        ("table filter and map_values", one, |b| {
            table(b, "in").filter(|_, v| v % 2 == 0).map_values(|v| v + 1).to_stream().for_each(|_| ());
        }),
        ("count", one, |b| drop(stream(b, "in").group_by_key().count(store("count")))),
        ("reduce", one, |b| drop(stream(b, "in").group_by_key().reduce(|a, v| a.max(*v), store("reduce")))),
        ("tumbling count", one, |b| {
            let grouped = stream(b, "in").group_by_key();
            drop(grouped.windowed_by(TimeWindows::of_size_with_no_grace(5_000)).count(store("windows")));
        }),
        ("sliding count", one, |b| {
            let grouped = stream(b, "in").group_by_key();
            drop(grouped.windowed_by(SlidingWindows::of_time_difference_with_no_grace(3_000)).count(store("windows")));
        }),
        ("session count", one, |b| {
            let grouped = stream(b, "in").group_by_key();
            drop(grouped.windowed_by(SessionWindows::of_inactivity_gap_with_no_grace(500)).count(store("sessions")));
        }),
        ("stream-table join", two, |b| {
            stream(b, "in").join_table(&table(b, "other"), |a, b| a + b).for_each(|_| ());
        }),
        ("stream-table join, versioned", two, |b| {
            let rows = b.table("other", store("other").versioned(10_000));
            stream(b, "in").join_table(&rows, |a, b| a + b).for_each(|_| ());
        }),
        ("table-table join", two, |b| {
            table(b, "in").join(&table(b, "other"), |a, b| a + b).to_stream().for_each(|_| ());
        }),
        ("stream-stream join", two, |b| {
            let windows = JoinWindows::of_time_difference_with_no_grace(100);
            let joined = StreamJoined::new("join", I64, I64, I64);
            stream(b, "in").join(&stream(b, "other"), |a, b| a + b, windows, joined).for_each(|_| ());
        }),
    ];
    println!("{:<32} {:>12} {:>14}", "operator", "ns/record", "allocs/record");
    for (name, topics, build) in operators {
        let builder = StreamsBuilder::new("operators");
        build(&builder);
        let cost = harness::run(builder.build().expect("valid"), topics, KEYS, ROUNDS);
        let per_record = |n: f64| n / cost.records as f64;
        let (ns, allocations) = (per_record(cost.time.as_nanos() as f64), per_record(cost.allocations as f64));
        println!("{name:<32} {ns:>12.0} {allocations:>14.2}");
    }
}
