//! Windowed aggregations against models that know no store: the same records straight, with a crash and a restart after
//! every record, and with the disk lost in each of those crashes.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use state::Direction;
use streams::dsl::{
    BufferConfig, Consumed, EmitStrategy, KTable, Materialized, Produced, SessionWindows, SlidingWindows,
    StreamsBuilder, Suppressed, TimeWindows, Windowed,
};
use streams::serde::{I64, Utf8};
use streams::testing::TestDriver;
use streams::{Timestamp, Topology};

/// A record: key and time. Its value does not matter to a count.
type Input = (u8, Timestamp);

/// A result: key, window start and end, count (none: removed), timestamp.
type Result = (String, Timestamp, Timestamp, Option<i64>, Timestamp);

#[derive(Clone, Copy, Debug)]
enum Crash {
    Never,
    EveryRecord,
    EveryRecordLosingTheDisk,
}

fn crashes() -> impl Strategy<Value = Crash> {
    prop_oneof![Just(Crash::Never), Just(Crash::EveryRecord), Just(Crash::EveryRecordLosingTheDisk)]
}

fn inputs(times: Timestamp) -> impl Strategy<Value = Vec<Input>> {
    prop::collection::vec((0..3_u8, 0..times), 1..40)
}

fn name(key: u8) -> String {
    format!("k{key}")
}

fn topology(table: impl Fn(streams::dsl::KGroupedStream<String, i64>) -> KTable<Windowed<String>, i64>) -> Topology {
    let builder = StreamsBuilder::new("model");
    let grouped = builder.stream("in", Consumed::<String, i64>::with(Utf8, I64)).group_by_key();
    show(&table(grouped));
    builder.build().expect("valid")
}

/// To the output, with keys as text.
fn show(table: &KTable<Windowed<String>, i64>) {
    let shown = |w: Option<&Windowed<String>>| w.map(|w| format!("{} {} {}", w.key, w.start, w.end));
    let stream = table.to_stream().map_nullable(move |window, count: Option<&i64>| (shown(window), count.copied()));
    stream.to("out", Produced::with(Utf8, I64));
}

fn counts() -> Materialized<String, i64> {
    Materialized::new("counts", Utf8, I64)
}

/// What comes out, record by record, and the driver afterwards.
fn run(topology: Topology, inputs: &[Input], crash: Crash) -> (Vec<Vec<Result>>, TestDriver) {
    run_by(topology, inputs, crash, |_| "in")
}

/// As [`run`], each record by the topic it is given.
fn run_by(
    topology: Topology,
    inputs: &[Input],
    crash: Crash,
    mut topic: impl FnMut(&Input) -> &'static str,
) -> (Vec<Vec<Result>>, TestDriver) {
    let mut driver = TestDriver::new(topology, 1);
    let mut results = Vec::new();
    for input in inputs {
        let (key, time) = input;
        driver.pipe(topic(input), Some(name(*key).as_bytes()), Some(&1_i64.to_be_bytes()), *time);
        results.push(driver.read("out").iter().map(result).collect());
        match crash {
            Crash::Never => {}
            Crash::EveryRecord => driver.crash_and_restore(),
            Crash::EveryRecordLosingTheDisk => driver.crash_and_lose_disk(),
        }
    }
    (results, driver)
}

fn result(record: &streams::testing::OutRecord) -> Result {
    let key = String::from_utf8(record.key.clone().expect("a key")).expect("text");
    let mut parts = key.split(' ');
    let mut next = || parts.next().expect("three parts");
    let (key, start, end) = (next().to_owned(), next().parse().expect("start"), next().parse().expect("end"));
    let count = record.value.as_deref().map(|v| i64::from_be_bytes(v.try_into().expect("8 bytes")));
    (key, start, end, count, record.timestamp)
}

/// Windows of a size, every one of them looked at.
fn time_model(inputs: &[Input], size: i64, advance: i64, grace: i64) -> (Vec<Vec<Result>>, Vec<Result>) {
    let mut rows: BTreeMap<(Timestamp, String), (i64, Timestamp)> = BTreeMap::new();
    let mut stream_time = -1;
    let mut updates = Vec::new();
    for (key, time) in inputs {
        stream_time = stream_time.max(*time);
        let mut of_record = Vec::new();
        for start in (0..=*time).filter(|start| start % advance == 0 && *time < start + size) {
            if start + size > stream_time - grace {
                let row = rows.entry((start, name(*key))).or_insert((0, *time));
                *row = (row.0 + 1, row.1.max(*time));
                of_record.push((name(*key), start, start + size, Some(row.0), row.1));
            }
        }
        updates.push(of_record);
    }
    let closed = rows.into_iter().filter(|((start, _), _)| start + size <= stream_time - grace);
    let closed = closed.map(|((start, key), (count, at))| (key, start, start + size, Some(count), at)).collect();
    (updates, closed)
}

/// Sessions as a list of them.
fn session_model(inputs: &[Input], gap: i64, grace: i64) -> (Vec<Vec<Result>>, Vec<Result>) {
    let mut sessions: Vec<(String, Timestamp, Timestamp, i64)> = Vec::new();
    let mut stream_time = -1;
    let mut updates = Vec::new();
    for (key, time) in inputs {
        stream_time = stream_time.max(*time);
        let key = name(*key);
        // A closed session is not kept, unless by a longer retention, and takes no more records.
        let is_open = |end: Timestamp| end >= stream_time - gap - grace;
        let touches =
            |s: &(String, i64, i64, i64)| s.0 == key && is_open(s.2) && s.2 >= time - gap && s.1 <= time + gap;
        let (mut touched, rest): (Vec<_>, Vec<_>) = sessions.iter().cloned().partition(touches);
        touched.sort_by_key(|s| (s.2, s.1));
        let start = touched.iter().map(|s| s.1).min().unwrap_or(*time).min(*time);
        let end = touched.iter().map(|s| s.2).max().unwrap_or(*time).max(*time);
        let mut of_record = Vec::new();
        if is_open(end) {
            sessions = rest;
            let count = touched.iter().map(|s| s.3).sum::<i64>() + 1;
            if (start, end) != (*time, *time) {
                of_record.extend(touched.into_iter().map(|(key, start, end, _)| (key, start, end, None, end)));
            }
            sessions.push((key.clone(), start, end, count));
            of_record.push((key, start, end, Some(count), end));
        }
        updates.push(of_record);
    }
    let closed = sessions.into_iter().filter(|s| s.2 < stream_time - gap - grace);
    let mut closed: Vec<Result> = closed.map(|(key, start, end, count)| (key, start, end, Some(count), end)).collect();
    closed.sort_by(|a, b| (a.2, a.1, &a.0).cmp(&(b.2, b.1, &b.0)));
    (updates, closed)
}

/// Every window that KIP-450 defines over a set of records, with what lies in it: key and start to count and latest time.
fn sliding_model(inputs: &[Input], difference: i64) -> BTreeMap<(String, Timestamp), (i64, Timestamp)> {
    let mut windows = BTreeMap::new();
    for key in 0..3 {
        let times: Vec<Timestamp> = inputs.iter().filter(|(k, _)| *k == key).map(|(_, time)| *time).collect();
        let starts: BTreeSet<Timestamp> = times.iter().flat_map(|t| [(t - difference).max(0), t + 1]).collect();
        for start in starts {
            let inside = times.iter().filter(|t| (start..=start + difference).contains(*t));
            if let Some(latest) = inside.clone().max() {
                let count = i64::try_from(inside.count()).expect("few");
                windows.insert((name(key), start), (count, *latest));
            }
        }
    }
    windows
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(96) })]

    #[test]
    fn time_windows_update_as_every_window_looked_at(
        inputs in inputs(120), size in 1..30_i64, advance in 1..30_i64, grace in 0..40_i64, crash in crashes(),
    ) {
        let advance = advance.min(size);
        let windows = TimeWindows::of_size_and_grace(size, grace).advance_by(advance);
        let (got, _) = run(topology(|g| g.windowed_by(windows).count(counts())), &inputs, crash);
        prop_assert_eq!(got, time_model(&inputs, size, advance, grace).0);
    }

    /// Emission on close, and suppression until the window closes: each window's last result once, and only when closed.
    #[test]
    fn closed_time_windows_are_emitted_once(
        inputs in inputs(120), size in 1..30_i64, advance in 1..30_i64, grace in 0..40_i64, crash in crashes(),
    ) {
        let advance = advance.min(size);
        let windows = TimeWindows::of_size_and_grace(size, grace).advance_by(advance);
        let (_, closed) = time_model(&inputs, size, advance, grace);
        let emit = EmitStrategy::OnWindowClose { interval_ms: 0 };
        let on_close = topology(|g| g.windowed_by(windows).emit_strategy(emit).count(counts()));
        prop_assert_eq!(run(on_close, &inputs, crash).0.concat(), closed.clone());
        let held = || Suppressed::until_window_closes(Materialized::new("held", Utf8, I64), BufferConfig::unbounded());
        let suppressed = topology(|g| g.windowed_by(windows).count(counts()).suppress(held()));
        prop_assert_eq!(run(suppressed, &inputs, crash).0.concat(), closed);
    }

    #[test]
    fn sessions_update_as_a_list_of_them(
        inputs in inputs(200), gap in 1..30_i64, grace in 0..40_i64, crash in crashes(),
    ) {
        let windows = SessionWindows::of_inactivity_gap_and_grace(gap, grace);
        let (got, _) = run(topology(|g| g.windowed_by(windows).count(counts())), &inputs, crash);
        prop_assert_eq!(got, session_model(&inputs, gap, grace).0);
    }

    /// In order of time or not, a closed session takes no more records: each is emitted once.
    #[test]
    fn closed_sessions_are_emitted_once(
        inputs in inputs(200), gap in 1..30_i64, grace in 0..40_i64, crash in crashes(),
    ) {
        let windows = SessionWindows::of_inactivity_gap_and_grace(gap, grace);
        let emit = EmitStrategy::OnWindowClose { interval_ms: 0 };
        let on_close = topology(|g| g.windowed_by(windows).emit_strategy(emit).count(counts()));
        let (got, _) = run(on_close, &inputs, crash);
        prop_assert_eq!(got.concat(), session_model(&inputs, gap, grace).1);
    }

    /// In whatever order records come, the windows are those of the set of them.
    #[test]
    fn sliding_windows_are_those_of_the_set_of_records(
        inputs in inputs(120), difference in 0..30_i64, crash in crashes(),
    ) {
        let windows = SlidingWindows::of_time_difference_and_grace(difference, 1_000);
        let (updates, driver) = run(topology(|g| g.windowed_by(windows).count(counts())), &inputs, crash);
        let expected = sliding_model(&inputs, difference);
        let store = driver.view().window_store::<String, i64>("counts", Utf8, I64).expect("a window store");
        let rows = store.fetch_all(0, (0, Timestamp::MAX)).expect("readable");
        let stored: BTreeMap<_, _> = rows.into_iter().map(|(key, start, n, at)| ((key, start), (n, at))).collect();
        prop_assert_eq!(&stored, &expected);
        // The last update of each window said the same.
        let updates = updates.concat().into_iter();
        let last: BTreeMap<_, _> = updates.map(|(key, start, _, n, at)| ((key, start), (n.unwrap_or(0), at))).collect();
        prop_assert_eq!(&last, &expected);
    }

    /// What emission on close sends on is what emission on update sent last, once, for the windows that are closed.
    #[test]
    fn closed_sliding_windows_are_emitted_once(
        inputs in inputs(120), difference in 1..30_i64, grace in 0..40_i64, crash in crashes(),
    ) {
        let windows = SlidingWindows::of_time_difference_and_grace(difference, grace);
        // Ends with a record far behind all others, so that all windows close and no early record hides it.
        let mut inputs = inputs;
        inputs.push((2, 10_000));
        let emit = EmitStrategy::OnWindowClose { interval_ms: 0 };
        let on_close = topology(|g| g.windowed_by(windows).emit_strategy(emit).count(counts()));
        let mut got = run(on_close, &inputs, crash).0.concat();
        got.sort();
        let updates = run(topology(|g| g.windowed_by(windows).count(counts())), &inputs, Crash::Never).0.concat();
        let last: BTreeMap<_, _> = updates.into_iter().map(|r| ((r.0, r.1, r.2), (r.3, r.4))).collect();
        let closed = last.into_iter().filter(|((_, _, end), _)| *end < 10_000 - grace);
        let closed: Vec<Result> = closed.map(|((key, start, end), (n, at))| (key, start, end, n, at)).collect();
        prop_assert_eq!(got, closed);
    }

    /// Queries of one key, both ways, against the rows of all.
    #[test]
    fn window_queries_agree(inputs in inputs(300), from in 0..300_i64, length in 0..300_i64) {
        let windows = TimeWindows::of_size_and_grace(20, 1_000).advance_by(5);
        let (_, driver) = run(topology(|g| g.windowed_by(windows).count(counts())), &inputs, Crash::Never);
        let store = driver.view().window_store::<String, i64>("counts", Utf8, I64).expect("a window store");
        let range = (from, from + length);
        let all = store.fetch_all(0, range).expect("readable");
        for key in (0..3).map(name) {
            let expected: Vec<_> = all.iter().filter(|r| r.0 == key).map(|r| (r.1, r.2, r.3)).collect();
            let found = store.fetch(0, &key, range, Direction::Forward).expect("readable");
            prop_assert_eq!(&found, &expected);
            let mut reverse = store.fetch(0, &key, range, Direction::Reverse).expect("readable");
            reverse.reverse();
            prop_assert_eq!(reverse, expected);
        }
        let of_k1 = store.fetch_prefix(0, b"k1", range).expect("readable");
        prop_assert!(of_k1.iter().eq(all.iter().filter(|r| r.0 == "k1")));
        let mut ordered = all.clone();
        ordered.sort_by(|a, b| (a.1, &a.0).cmp(&(b.1, &b.0)));
        prop_assert_eq!(all, ordered);
    }
}

#[test]
fn session_queries_show_what_is_committed() {
    let windows = SessionWindows::of_inactivity_gap_and_grace(10, 1_000);
    let inputs = [(0, 0), (0, 5), (0, 100), (1, 7), (0, 200)];
    let (_, driver) = run(topology(|g| g.windowed_by(windows).count(counts())), &inputs, Crash::Never);
    let store = driver.view().session_store::<String, i64>("counts", Utf8, I64).expect("a session store");
    let k0 = name(0);
    let all = vec![(0, 5, 2), (100, 100, 1), (200, 200, 1)];
    assert_eq!(store.fetch(0, &k0, (0, Timestamp::MAX), Direction::Forward).expect("readable"), all);
    assert_eq!(store.fetch(0, &k0, (3, 100), Direction::Reverse).expect("readable"), [(100, 100, 1), (0, 5, 2)]);
    let ended = store.fetch_all(0, (0, 100)).expect("readable");
    assert_eq!(ended, [(k0.clone(), 0, 5, 2), (name(1), 7, 7, 1), (k0, 100, 100, 1)]);
    assert_eq!(store.fetch_prefix(0, b"k1", (0, 1_000)).expect("readable").len(), 1);
    let Err(wrong) = driver.view().window_store::<String, i64>("counts", Utf8, I64) else {
        panic!("not a window store")
    };
    assert!(wrong.to_string().contains("is a session store"), "{wrong}");
    assert!(driver.view().session_store::<String, i64>("other", Utf8, I64).is_err());
}

/// Lateness is decided after a restart as before it. Kafka Streams forgets an operator's stream time
/// (`AbstractKStreamTimeWindowAggregateProcessor.observedStreamTime` begins at `NO_TIMESTAMP` again), and would open the
/// closed window once more: an update of a result that was final.
#[test]
fn what_was_late_before_a_restart_is_late_after_it() {
    let windows = TimeWindows::of_size_with_no_grace(10);
    for crash in [Crash::Never, Crash::EveryRecord, Crash::EveryRecordLosingTheDisk] {
        let inputs = [(0, 5), (1, 25), (0, 6)];
        let time = topology(|g| g.windowed_by(windows).count(counts()));
        assert_eq!(run(time, &inputs, crash).0[2], [], "a tumbling window was reopened ({crash:?})");
        let session = SessionWindows::of_inactivity_gap_with_no_grace(5);
        let sessions = topology(|g| g.windowed_by(session).count(counts()));
        assert_eq!(run(sessions, &inputs, crash).0[2], [], "a session was reopened ({crash:?})");
        let sliding = SlidingWindows::of_time_difference_with_no_grace(5);
        let sliding = topology(|g| g.windowed_by(sliding).count(counts()));
        assert_eq!(run(sliding, &inputs, crash).0[2], [], "a sliding window was reopened ({crash:?})");
        let held = || {
            let store = Materialized::new("held", Utf8, I64);
            Suppressed::until_window_closes(store, BufferConfig::unbounded())
        };
        let graced = TimeWindows::of_size_and_grace(10, 10);
        let final_counts = topology(|g| g.windowed_by(graced).count(counts()).suppress(held()));
        // Closed by the second record, not again by the third.
        let (results, _) = run(final_counts, &[(0, 5), (1, 25), (0, 6), (1, 26)], crash);
        assert_eq!(results.concat(), [("k0".to_owned(), 0, 10, Some(1), 5)], "{crash:?}");
    }
}

/// The wall-clock interval between two emissions, over restarts too.
#[test]
fn emission_on_close_waits_for_its_interval() {
    for crash in [false, true] {
        let windows = TimeWindows::of_size_with_no_grace(10);
        let emit = EmitStrategy::OnWindowClose { interval_ms: 1_000 };
        let mut driver = TestDriver::new(topology(|g| g.windowed_by(windows).emit_strategy(emit).count(counts())), 1);
        let pipe = |driver: &mut TestDriver, time: Timestamp| {
            driver.pipe("in", Some(b"k0"), Some(&1_i64.to_be_bytes()), time);
            let got: Vec<_> = driver.read("out").iter().map(result).map(|r| r.1).collect();
            if crash {
                driver.crash_and_restore();
            }
            got
        };
        assert_eq!(pipe(&mut driver, 0), []);
        assert_eq!(pipe(&mut driver, 10), [], "within the interval that began with the first record");
        driver.advance_wall_clock(1_000);
        // A window that stream time leaves far behind its retention meanwhile is not lost.
        assert_eq!(pipe(&mut driver, 10_000_000), [0, 10]);
        driver.advance_wall_clock(999);
        assert_eq!(pipe(&mut driver, 10_000_010), []);
        driver.advance_wall_clock(1);
        assert_eq!(pipe(&mut driver, 10_000_010), [10_000_000]);
    }
}

/// A clock that was ahead of this one, on the machine the task was on before, does not hold results back for as long.
#[test]
fn a_clock_that_goes_back_does_not_stop_emission() {
    let windows = TimeWindows::of_size_with_no_grace(10);
    let emit = EmitStrategy::OnWindowClose { interval_ms: 1_000 };
    let mut driver = TestDriver::new(topology(|g| g.windowed_by(windows).emit_strategy(emit).count(counts())), 1);
    driver.advance_wall_clock(3_600_000);
    driver.pipe("in", Some(b"k0"), Some(&1_i64.to_be_bytes()), 0);
    driver.advance_wall_clock(-3_600_000);
    driver.pipe("in", Some(b"k0"), Some(&1_i64.to_be_bytes()), 10);
    assert_eq!(driver.read("out").iter().map(result).map(|r| r.1).collect::<Vec<_>>(), [0]);
}

/// Keys are counted apart, so it does not matter how they are spread, as long as nothing is late.
#[test]
fn results_do_not_depend_on_the_number_of_partitions() {
    let inputs: Vec<Input> = (0..60).map(|i| ((i * 7 % 3) as u8, i64::from(i) * 3 % 50)).collect();
    let rows = |partitions: u32| {
        let windows = TimeWindows::of_size_and_grace(10, 1_000).advance_by(5);
        let mut driver = TestDriver::new(topology(|g| g.windowed_by(windows).count(counts())), partitions);
        for (key, time) in &inputs {
            driver.pipe("in", Some(name(*key).as_bytes()), Some(&1_i64.to_be_bytes()), *time);
        }
        let last: BTreeMap<_, _> =
            driver.read("out").iter().map(result).map(|r| ((r.0, r.1, r.2), (r.3, r.4))).collect();
        last
    };
    assert_eq!(rows(1), rows(2));
    assert_eq!(rows(1), rows(4));
}

#[test]
fn mistakes_are_build_errors_that_say_what_to_do() {
    let problem = |table: &dyn Fn(&StreamsBuilder) -> Option<KTable<Windowed<String>, i64>>| {
        let builder = StreamsBuilder::new("mistake");
        let _ = table(&builder);
        builder.build().expect_err("a mistake").to_string()
    };
    let stream = |b: &StreamsBuilder| b.stream("in", Consumed::<String, i64>::with(Utf8, I64)).group_by_key();
    let hopping = TimeWindows::of_size_with_no_grace(5).advance_by(6);
    let said = problem(&|b| Some(stream(b).windowed_by(hopping).count(counts())));
    assert!(said.contains("advance by 1 to 5 ms"), "{said}");
    // A table that is keyed by windows, but read from a topic: nothing says when they close.
    let said = problem(&|b| {
        let serde = || streams::dsl::TimeWindowedSerde::new(Utf8, 10);
        let table = b.table("windows", Materialized::<Windowed<String>, i64>::new("rows", serde(), I64));
        let held = Materialized::new("held", Utf8, I64);
        Some(table.suppress(Suppressed::until_window_closes(held, BufferConfig::unbounded())))
    });
    assert!(said.contains("aggregate by windows"), "{said}");
}

/// Two streams cogrouped are one stream of both, whichever of them a record comes by.
fn cogrouped(kind: u8, emit: EmitStrategy) -> Topology {
    let builder = StreamsBuilder::new("model");
    let grouped = |topic| builder.stream(topic, Consumed::<String, i64>::with(Utf8, I64)).group_by_key();
    let both = grouped("in").cogroup(|_, _, n| n + 1).cogroup(&grouped("other"), |_, _, n| n + 1);
    let table = match kind {
        0 => both.windowed_by(hopping()).emit_strategy(emit).aggregate(|| 0, counts()),
        1 => both.windowed_by(sliding()).emit_strategy(emit).aggregate(|| 0, counts()),
        _ => both.windowed_by(sessions()).emit_strategy(emit).aggregate(|| 0, |_, a, b| a + b, counts()),
    };
    show(&table);
    builder.build().expect("valid")
}

fn hopping() -> TimeWindows {
    TimeWindows::of_size_and_grace(10, 15).advance_by(4)
}

fn sliding() -> SlidingWindows {
    SlidingWindows::of_time_difference_and_grace(10, 15)
}

fn sessions() -> SessionWindows {
    SessionWindows::of_inactivity_gap_and_grace(10, 15)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(96) })]

    #[test]
    fn a_windowed_cogroup_is_the_aggregation_of_its_inputs_merged(
        inputs in inputs(120), kind in 0..3_u8, closes: bool, crash in crashes(),
    ) {
        let emit = if closes { EmitStrategy::OnWindowClose { interval_ms: 0 } } else { EmitStrategy::OnWindowUpdate };
        let merged = topology(|g| match kind {
            0 => g.windowed_by(hopping()).emit_strategy(emit).count(counts()),
            1 => g.windowed_by(sliding()).emit_strategy(emit).count(counts()),
            _ => g.windowed_by(sessions()).emit_strategy(emit).count(counts()),
        });
        let expected = run(merged, &inputs, Crash::Never).0;
        let mut number = 0;
        let alternating = |_: &Input| {
            number += 1;
            if number % 3 == 0 { "other" } else { "in" }
        };
        prop_assert_eq!(run_by(cogrouped(kind, emit), &inputs, crash, alternating).0, expected);
    }
}
