//! What cannot be built says what to change.

use streams::BuildError;
use streams::dsl::{
    BufferConfig, Consumed, EmitStrategy, Grouped, Joined, KStream, Materialized, Repartitioned, StreamsBuilder,
    Suppressed, UnlimitedWindows,
};
use streams::serde::{I64, Utf8};
use streams::store::{Direction, ReadOnlyVersionedStore};
use streams::testing::TestDriver;

fn stream(builder: &StreamsBuilder, topic: &str) -> KStream<String, String> {
    builder.stream(topic, Consumed::with(Utf8, Utf8))
}

fn store(name: &str) -> Materialized<String, String> {
    Materialized::new(name, Utf8, Utf8)
}

fn refused(build: impl FnOnce(&StreamsBuilder)) -> String {
    let builder = StreamsBuilder::new("app");
    build(&builder);
    builder.build().expect_err("cannot be built").to_string()
}

#[test]
fn a_changed_key_asks_for_the_name_of_a_repartition_topic() {
    let text = refused(|b| {
        stream(b, "in").select_key(|_, v| v.clone()).group_by_key().count(Materialized::new("counts", Utf8, I64));
    });
    assert!(text.contains("KSTREAM-KEY-SELECT") && text.contains("group_by_key_with"), "{text}");
    let text = refused(|b| {
        let table = b.table("rows", store("rows"));
        let _ = stream(b, "in").map(|_, v| (v.clone(), v.clone())).join_table(&table, |l, r| format!("{l}{r}"));
    });
    assert!(text.contains("KSTREAM-MAP") && text.contains("join_table_with"), "{text}");
}

#[test]
fn a_changed_key_is_repartitioned_where_the_topic_is_named() {
    let builder = StreamsBuilder::new("app");
    let rekeyed = stream(&builder, "in").select_key(|_, v| v.clone());
    rekeyed.group_by_key_with(Grouped::new("by-value", Utf8, Utf8)).count(Materialized::new("counts", Utf8, I64));
    rekeyed.to_table(store("table"));
    let topology = builder.build().expect("valid");
    for topic in ["app-by-value-repartition", "app-table-repartition"] {
        assert!(topology.topic(topic).is_some(), "{topic}");
    }
}

#[test]
fn partitions_that_do_not_match_are_named() {
    let text = refused(|b| {
        let repartitioned =
            |topic: &str, n| stream(b, topic).repartition(Repartitioned::new(topic, Utf8, Utf8).with_partitions(n));
        let table = repartitioned("right", 4).to_table(store("rows"));
        let _ = repartitioned("left", 3).join_table(&table, |l, r| format!("{l}{r}"));
    });
    assert!(text.contains("app-left-repartition") && text.contains('3') && text.contains('4'), "{text}");
}

#[test]
fn grace_needs_a_versioned_table() {
    let text = refused(|b| {
        let table = b.table("rows", store("rows"));
        let joined = Joined::new("join", Utf8, Utf8).with_grace_period(5);
        let _ = stream(b, "in").join_table_with(&table, |l, r| format!("{l}{r}"), joined);
    });
    assert!(text.contains("Materialized::versioned"), "{text}");
}

#[test]
fn unlimited_windows_never_close() {
    let unlimited = |b: &StreamsBuilder| stream(b, "in").group_by_key().windowed_by(UnlimitedWindows::of());
    let text = refused(|b| {
        unlimited(b).emit_strategy(EmitStrategy::on_window_close()).reduce(|_, v| v.clone(), store("last"));
    });
    assert!(text.contains("emit on update"), "{text}");
    let text = refused(|b| {
        let final_results = Suppressed::until_window_closes(store("final"), BufferConfig::unbounded());
        let _ = unlimited(b).reduce(|_, v| v.clone(), store("last")).suppress(final_results);
    });
    assert!(text.contains("windows close only where there are windows"), "{text}");
}

#[test]
fn names_are_used_once_and_topics_read_once() {
    let builder = StreamsBuilder::new("app");
    builder.table("a", store("rows"));
    builder.table("b", store("rows"));
    assert!(matches!(builder.build(), Err(BuildError::DuplicateName(name)) if name == "rows"));
    let builder = StreamsBuilder::new("app");
    builder.table("a", store("rows"));
    stream(&builder, "a").for_each(|_| ());
    assert!(matches!(builder.build(), Err(BuildError::TopicReadTwice(topic)) if topic == "a"));
}

#[test]
fn queries_see_rows_and_versions_that_are_committed() {
    let builder = StreamsBuilder::new("app");
    builder.table("plain", store("plain"));
    builder.table("versioned", store("versioned").versioned(100));
    let mut driver = TestDriver::new(builder.build().expect("valid"), 1);
    for (key, value, at) in [("a", Some("1"), 10), ("b", Some("2"), 20), ("a", Some("3"), 30), ("b", None, 40)] {
        for topic in ["plain", "versioned"] {
            driver.pipe(topic, Some(key.as_bytes()), value.map(str::as_bytes), at);
        }
    }
    let view = driver.view();
    let plain = view.key_value_store::<String, String>("plain", Utf8, Utf8).expect("a store");
    assert_eq!(plain.get(0, &"a".to_owned()).expect("read"), Some(("3".to_owned(), 30)));
    assert_eq!(plain.get(0, &"b".to_owned()).expect("read"), None);
    assert_eq!(plain.prefix(0, b"a", Direction::Reverse, 9).expect("read").len(), 1);
    let versions: ReadOnlyVersionedStore<'_, String, String> =
        view.versioned_store("versioned", Utf8, Utf8).expect("a store");
    let as_of = |key: &str, at| {
        let version = versions.get_as_of(0, &key.to_owned(), at).expect("read");
        version.map(|v| (v.value, v.timestamp, v.valid_to))
    };
    assert_eq!(as_of("a", 29), Some(("1".to_owned(), 10, Some(30))));
    assert_eq!(as_of("a", 30), Some(("3".to_owned(), 30, None)));
    assert_eq!(as_of("b", 39), Some(("2".to_owned(), 20, Some(40))));
    assert_eq!(as_of("b", 40), None);
    assert_eq!(as_of("a", 9), None);
    assert_eq!(versions.history(0, &"a".to_owned(), (0, 100)).expect("read").len(), 2);
    assert!(versions.get(0, &"b".to_owned()).expect("read").is_none());
    assert!(view.versioned_store::<String, String>("plain", Utf8, Utf8).is_err(), "of another kind");
    assert!(view.key_value_store::<String, String>("nowhere", Utf8, Utf8).is_err());
}
