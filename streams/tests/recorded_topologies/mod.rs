//! The topologies of `recorder/topologies.txt`, as `Recorder.java` builds them in Java.
//!
//! What is known to differ, on purpose, is not asked for, or brought to one denominator where it is built:
//! * sessions and windows of Kafka Streams expire a millisecond, or a leap of time, too early for their own grace
//!   (`Materialized.withRetention` there); its self-join drops a record's pair with itself a millisecond too early;
//! * a filter sends removals of rows that never passed unless old rows are asked for (there: unless the table above it has
//!   a store);
//! * a suppression sends the old row it sent before, not one that was held back and replaced;
//! * records without a key are joined with nothing at once by a left join with grace (there: `NullPointerException`); a
//!   removal is a version like any other (there: forgotten if a value of the same time was there); join windows reach
//!   before the epoch; sliding windows of 0 ms work; null values are dropped by every aggregation; stream time of a windowed
//!   cogroup is one for all its inputs.

mod joins;
mod stores;
mod tables;
mod windows;

use streams::Topology;
use streams::dsl::{Consumed, KStream, KTable, Materialized, Produced, StreamsBuilder};
use streams::serde::Utf8;

/// A topology in words: a kind, then options `name` or `name=value`.
#[derive(Clone, Copy)]
pub(crate) struct Words<'a>(pub(crate) &'a str);

impl Words<'_> {
    fn kind(&self) -> &str {
        self.0.split(' ').next().unwrap_or_default()
    }

    fn value(&self, option: &str) -> Option<&str> {
        self.0.split(' ').skip(1).find_map(|word| match word.split_once('=') {
            Some((name, value)) => (name == option).then_some(value),
            None => (word == option).then_some(""),
        })
    }

    fn has(&self, option: &str) -> bool {
        self.value(option).is_some()
    }

    /// Kafka Streams may send records on without a partner later than it could: `KStreamKStreamJoin` does not look for them
    /// before `minTime + joinAfterMs + joinGraceMs` of the side at work, and `minTime` is the last record it saw then, not
    /// the earliest that is left. Here they go as soon as no partner can come.
    pub(crate) fn is_late_with_those_alone(&self) -> bool {
        self.kind() == "stream-join" && !self.has("inner")
    }

    /// A store's options, held back until the commit if the words say so.
    fn kept<K: 'static, V: 'static>(&self, store: Materialized<K, V>) -> Materialized<K, V> {
        if self.has("cached") { store.with_caching_enabled() } else { store }
    }

    fn stored(&self, name: &str) -> Materialized<String, String> {
        self.kept(Materialized::new(name, Utf8, Utf8))
    }

    fn number(&self, option: &str, otherwise: i64) -> i64 {
        self.value(option).map_or(otherwise, |n| n.parse().expect("a number"))
    }
}

/// The topology these words describe.
pub(crate) fn build(words: Words<'_>) -> Topology {
    let builder = StreamsBuilder::new("recorded");
    match words.kind() {
        "stream-join" | "self-join" => joins::streams(&builder, words),
        "stream-table" => joins::stream_table(&builder, words),
        "global" => joins::global(&builder, words),
        "table-join" => joins::tables(&builder, words),
        "foreign-key" => joins::foreign_key(&builder, words),
        "table" => tables::table(&builder, words),
        "aggregate" => tables::aggregate(&builder, words),
        "windows" | "sliding" | "sessions" | "unlimited" => windows::windowed(&builder, words),
        "cogroup" => windows::cogroup(&builder, words),
        "versioned-store" | "window-store" | "session-store" => stores::store(&builder, words),
        other => panic!("no topology is called {other}"),
    }
    builder.build().expect("valid")
}

fn consumed() -> Consumed<String, String> {
    Consumed::with(Utf8, Utf8)
}

fn stream(builder: &StreamsBuilder, topic: &str) -> KStream<String, String> {
    builder.stream(topic, consumed())
}

fn table(builder: &StreamsBuilder, words: Words<'_>, topic: &str, versioned: bool) -> KTable<String, String> {
    let rows = words.stored(&format!("{topic}-rows"));
    builder.table(topic, if versioned { rows.versioned(words.number("history", 30)) } else { rows })
}

fn out(stream: &KStream<String, String>) {
    stream.to("out", Produced::with(Utf8, Utf8));
}

fn beside(left: Option<&String>, right: Option<&String>) -> String {
    let text = |side: Option<&String>| {
        side.map_or_else(|| "-".to_owned(), |s| if s.is_empty() { "~".into() } else { s.clone() })
    };
    format!("({},{})", text(left), text(right))
}
