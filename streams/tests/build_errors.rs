//! What cannot be built says what is wrong, where, and what to do: every error of the builder, by its whole text.

use std::collections::BTreeSet;

use streams::dsl::{
    BufferConfig, Consumed, EmitStrategy, Grouped, JoinWindows, Joined, KGroupedStream, KStream, KTable, Materialized,
    Repartitioned, SessionWindows, SlidingWindows, StreamJoined, StreamsBuilder, Suppressed, TimeWindowedKStream,
    TimeWindows, UnlimitedWindows, Windowed, WindowedBy,
};
use streams::serde::{I64, Utf8};
use streams::store::{Direction, KeyValue, ReadOnlyVersionedStore};
use streams::testing::TestDriver;
use streams::{BuildError, Context, ProcessError, Processor, Record};

fn stream(builder: &StreamsBuilder, topic: &str) -> KStream<String, String> {
    builder.stream(topic, Consumed::with(Utf8, Utf8))
}

fn store(name: &str) -> Materialized<String, String> {
    Materialized::new(name, Utf8, Utf8)
}

fn refused(build: &fn(&StreamsBuilder)) -> BuildError {
    let builder = StreamsBuilder::new("app");
    build(&builder);
    builder.build().expect_err("cannot be built")
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

/// A mistake, and the whole of what is said about it.
type Case = (&'static str, fn(&StreamsBuilder), &'static str);

/// Every error there is, each way to get it.
const MISTAKES: &[Case] = &[
    (
        "a store used for two tables",
        |b| {
            b.table("a", store("rows"));
            b.table("b", store("rows"));
        },
        "the name 'rows' is used twice: give one of the two another, because state and metrics are kept under it",
    ),
    (
        "a name given to two operators",
        |b| {
            let stream = stream(b, "in").peek(|_| ()).named("same");
            stream.peek(|_| ()).named("same").for_each(|_| ());
        },
        "the name 'same' is used twice: give one of the two another, because state and metrics are kept under it",
    ),
    (
        "a store without a name",
        |b| drop(b.table("rows", store(""))),
        "a store has no name: name it, so that its state survives a change of the topology",
    ),
    (
        "a processor without a name",
        |b| drop(stream(b, "in").process("", Nothing, &[])),
        "a node has no name: name it, so that its state survives a change of the topology",
    ),
    (
        "a name with a space",
        |b| drop(b.table("rows", store("my rows"))),
        "the name 'my rows' may have letters, digits, '.', '_' and '-' only, at most 200: topics are named after it",
    ),
    (
        "a topic read twice",
        |b| {
            b.table("a", store("rows"));
            stream(b, "a").for_each(|_| ());
        },
        "topic 'a' is read by two sources: read it once and connect both processors below that source",
    ),
    (
        "a topic read by tasks and by everyone",
        |b| {
            stream(b, "a").for_each(|_| ());
            b.global_table("a", store("rows"));
        },
        "topic 'a' is read by two sources: read it once and connect both processors below that source",
    ),
    (
        "a processor that nothing reaches",
        |b| {
            stream(b, "in").for_each(|_| ());
            b.topology(|b| {
                let _ = b.processor("alone", Nothing);
            });
        },
        "'alone' has no parent: connect it below a source, or remove it",
    ),
    (
        "a store that nothing uses",
        |b| {
            stream(b, "in").for_each(|_| ());
            b.add_store("spare", KeyValue::<String, String>::new(Utf8, Utf8));
        },
        "store 'spare' is connected to no processor: connect it with connect_store, or remove it",
    ),
    (
        "a circle",
        |b| {
            let source = stream(b, "in").out();
            b.topology(|b| {
                let (first_in, first_out) = b.processor("first", Nothing);
                let (second_in, second_out) = b.processor("second", Nothing);
                b.connect(source, first_in);
                b.connect(first_out, second_in);
                b.connect(second_out, first_in);
            });
        },
        "'first' is its own ancestor: records would go round for ever; go through a topic instead",
    ),
    (
        "a grouping by a changed key",
        |b| {
            stream(b, "in").select_key(|_, v| v.clone()).group_by_key().count(Materialized::new("counts", Utf8, I64));
        },
        "group_by_key after KSTREAM-KEY-SELECT-0000000001: the key was changed, so equal keys may be on different \
         partitions; use group_by_key_with(Grouped::new(name, key, value)), which names the repartition topic and its \
         formats",
    ),
    (
        "a join by a changed key",
        |b| {
            let table = b.table("rows", store("rows"));
            drop(stream(b, "in").map(|_, v| (v.clone(), v.clone())).join_table(&table, |l, r| format!("{l}{r}")));
        },
        "join_table after KSTREAM-MAP-0000000002: the key was changed, so equal keys may be on different partitions; use \
         join_table_with(.., Joined::new(name, key, value)), which names the repartition topic and its formats",
    ),
    (
        "a left join by a key that a processor may have changed",
        |b| {
            let table = b.table("rows", store("rows"));
            let processed = stream(b, "in").process("own", Nothing, &[]);
            drop(processed.left_join_table(&table, |l, _| l.clone()));
        },
        "left_join_table after own: the key was changed, so equal keys may be on different partitions; use \
         left_join_table_with(.., Joined::new(name, key, value)), which names the repartition topic and its formats",
    ),
    (
        "partitions that do not match",
        |b| {
            let repartitioned =
                |topic: &str, n| stream(b, topic).repartition(Repartitioned::new(topic, Utf8, Utf8).with_partitions(n));
            let table = repartitioned("right", 4).to_table(store("rows"));
            drop(repartitioned("left", 3).join_table(&table, |l, r| format!("{l}{r}")));
        },
        "'app-right-repartition' has 4 partitions and 'app-left-repartition' has 3, but records of both meet in one \
         sub-topology, where equal keys must be in equal partitions: give both the same with_partitions, or one none",
    ),
    (
        "nothing at all",
        |_| (),
        "the topology has no source, so it would never do anything: read a topic with stream, table or source",
    ),
    (
        "a global table alone",
        |b| drop(b.global_table("all", store("rows"))),
        "the topology has no source, so it would never do anything: read a topic with stream, table or source",
    ),
    (
        "grace on a table without versions",
        |b| {
            let table = b.table("rows", store("rows"));
            let joined = Joined::new("join", Utf8, Utf8).with_grace_period(5);
            drop(stream(b, "in").join_table_with(&table, |l, r| format!("{l}{r}"), joined));
        },
        "the join 'join' has a grace period, so it looks up rows of the past: make its table versioned with \
         Materialized::versioned",
    ),
    (
        "unlimited windows on close",
        |b| {
            let windows = stream(b, "in").group_by_key().windowed_by(UnlimitedWindows::of());
            windows.emit_strategy(EmitStrategy::on_window_close()).reduce(|_, v| v.clone(), store("last"));
        },
        "'last': unlimited windows never close, so nothing would ever be emitted on close: emit on update",
    ),
    (
        "unlimited windows suppressed until they close",
        |b| {
            let windows = stream(b, "in").group_by_key().windowed_by(UnlimitedWindows::of());
            let until = Suppressed::until_window_closes(store("final"), BufferConfig::unbounded());
            drop(windows.reduce(|_, v| v.clone(), store("last")).suppress(until));
        },
        "'final': windows close only where there are windows above, and not unlimited ones: aggregate by windows that end",
    ),
    (
        "a suppressed versioned table",
        |b| {
            let until = Suppressed::until_time_limit(5, store("held"), BufferConfig::unbounded());
            drop(b.table("rows", store("rows").versioned(10)).suppress(until));
        },
        "'held': a versioned table cannot be suppressed (KIP-914): suppress another one",
    ),
    (
        "windows of nothing",
        |b| drop(windowed(b, TimeWindows::of_size_with_no_grace(0))),
        "'last': a window of 0 ms: a window has at least 1 ms",
    ),
    (
        "windows with gaps between them",
        |b| drop(windowed(b, TimeWindows::of_size_with_no_grace(5).advance_by(6))),
        "'last': windows of 5 ms that advance by 6 ms: advance by 1 to 5 ms",
    ),
    (
        "a negative grace",
        |b| drop(windowed(b, TimeWindows::of_size_and_grace(5, -1))),
        "'last': a grace of -1 ms: a grace is 0 ms or more",
    ),
    (
        "a grace without end",
        |b| drop(windowed(b, TimeWindows::of_size_and_grace(5, i64::MAX))),
        "'last': 9223372036854775807 ms is longer than any time that is taken: give at most 253370764800000 ms",
    ),
    (
        "negative sliding windows",
        |b| drop(windowed(b, SlidingWindows::of_time_difference_with_no_grace(-1))),
        "'last': sliding windows of -1 ms: the time difference is 0 ms or more",
    ),
    (
        "windows before the epoch",
        |b| drop(windowed(b, UnlimitedWindows::of().start_on(-1))),
        "'last': a window from -1 on: start it at the epoch, 0, or later",
    ),
    (
        "sessions without a gap",
        |b| {
            let sessions =
                stream(b, "in").group_by_key().windowed_by(SessionWindows::of_inactivity_gap_with_no_grace(0));
            sessions.reduce(|_, v| v.clone(), store("last"));
        },
        "'last': sessions with a gap of 0 ms: the gap is at least 1 ms",
    ),
    (
        "a join window of less than nothing",
        |b| joined(b, &stream(b, "right")),
        "'join': a join window from 5 ms before to -6 ms after is empty: before and after together are 0 ms or more",
    ),
    (
        "the same of a stream with itself",
        |b| {
            let stream = stream(b, "left");
            drop(stream.join(&stream, |l, _| l.clone(), empty_window(), StreamJoined::new("join", Utf8, Utf8, Utf8)));
        },
        "'join': a join window from 5 ms before to -6 ms after is empty: before and after together are 0 ms or more",
    ),
];

struct Nothing;

impl Processor for Nothing {
    type KeyIn = String;
    type ValueIn = String;
    type KeyOut = String;
    type ValueOut = String;

    fn process(&self, _: &mut Context<'_, String, String>, _: Record<'_, String, String>) -> Result<(), ProcessError> {
        Ok(())
    }
}

fn windowed<W>(b: &StreamsBuilder, windows: W) -> KTable<Windowed<String>, String>
where
    W: WindowedBy<KGroupedStream<String, String>, Windowed = TimeWindowedKStream<String, String>>,
{
    stream(b, "in").group_by_key().windowed_by(windows).reduce(|_, v| v.clone(), store("last"))
}

fn empty_window() -> JoinWindows {
    JoinWindows::of_time_difference_with_no_grace(5).after(-6)
}

fn joined(b: &StreamsBuilder, other: &KStream<String, String>) {
    let joined = StreamJoined::new("join", Utf8, Utf8, Utf8);
    drop(stream(b, "left").join(other, |l, _| l.clone(), empty_window(), joined));
}

#[test]
fn every_mistake_is_told_with_its_remedy() {
    let told = MISTAKES.iter().map(|(mistake, build, _)| (*mistake, refused(build).to_string()));
    let expected = MISTAKES.iter().map(|(mistake, _, text)| (*mistake, (*text).to_owned()));
    assert_eq!(told.collect::<Vec<_>>(), expected.collect::<Vec<_>>());
}

/// The variants of the error; a new one does not compile here.
fn variant(error: &BuildError) -> &'static str {
    match error {
        BuildError::DuplicateName(_) => "DuplicateName",
        BuildError::Unnamed(_) => "Unnamed",
        BuildError::BadName(_) => "BadName",
        BuildError::TopicReadTwice(_) => "TopicReadTwice",
        BuildError::Unreachable(_) => "Unreachable",
        BuildError::UnusedStore(_) => "UnusedStore",
        BuildError::Cycle(_) => "Cycle",
        BuildError::RepartitionUnnamed { .. } => "RepartitionUnnamed",
        BuildError::NotCoPartitioned { .. } => "NotCoPartitioned",
        BuildError::Unsupported(_) => "Unsupported",
        BuildError::NoSource => "NoSource",
        BuildError::TooMany(_) => "TooMany",
    }
}

/// In the source, and no variant of its own: options that an operator cannot have. Whoever adds one adds a case above.
const UNSUPPORTED: usize = 8;

#[test]
fn every_error_there_is_is_provoked() {
    let seen: BTreeSet<&str> = MISTAKES.iter().map(|(_, build, _)| variant(&refused(build))).collect();
    let source =
        |file: &str| std::fs::read_to_string(format!("{}/src/{file}", env!("CARGO_MANIFEST_DIR"))).expect("the source");
    let builder = source("topology/builder.rs");
    let (_, variants) = builder.split_once("pub enum BuildError {").expect("the error");
    let (variants, _) = variants.split_once("\n}").expect("its end");
    let variants = variants.lines().filter_map(|line| line.strip_prefix("    "));
    let variants = variants.filter(|line| line.starts_with(char::is_uppercase));
    for name in variants.filter_map(|line| line.split([' ', '(', ',']).next()) {
        // What no test can build in reasonable time is tested beside the builder.
        assert!(seen.contains(name) || name == "TooMany", "no mistake here is answered by {name}");
    }
    let operators =
        ["stream.rs", "stream_join.rs", "stream_table_join.rs", "suppress.rs", "session.rs", "windowed_stream.rs"];
    let found = operators.iter().map(|file| source(&format!("dsl/{file}")).matches("BuildError::Unsupported(").count());
    assert_eq!(found.sum::<usize>(), UNSUPPORTED);
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
