//! All streams of a cogroup work on one aggregate.
use streams::dsl::{Consumed, Materialized, StreamsBuilder};
use streams::serde::{I64, Utf8};

fn main() {
    let builder = StreamsBuilder::new("app");
    let words = builder.stream("words", Consumed::<String, String>::with(Utf8, Utf8)).group_by_key();
    let numbers = builder.stream("numbers", Consumed::<String, i64>::with(Utf8, I64)).group_by_key();
    let all = words.cogroup(|_, _word, sum: i64| sum + 1).cogroup(&numbers, |_, number, text: String| format!("{text}{number}"));
    all.aggregate(|| 0, Materialized::new("all", Utf8, I64));
}
