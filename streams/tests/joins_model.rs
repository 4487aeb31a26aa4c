//! Stream-stream joins against a model that keeps everything: straight, with a crash and a restart after every record, and
//! with the disk lost in each of those crashes.

use proptest::prelude::*;
use streams::Topology;
use streams::dsl::{Consumed, JoinWindows, KStream, Produced, StreamJoined, StreamsBuilder};
use streams::serde::Utf8;
use streams::testing::TestDriver;

/// A record: on the left side?, key (none: null), time.
type Input = (bool, Option<u8>, i64);

/// A result: key, joined values, timestamp.
type Result = (Option<String>, String, i64);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Inner,
    Left,
    Outer,
}

#[derive(Clone, Copy, Debug)]
enum Crash {
    Never,
    EveryRecord,
    EveryRecordLosingTheDisk,
}

#[derive(Clone, Copy, Debug)]
struct Windows {
    before: i64,
    after: i64,
    grace: i64,
}

fn joined(name: &str) -> StreamJoined<String, String, String> {
    StreamJoined::new(name, Utf8, Utf8, Utf8).with_emit_interval(0)
}

fn text(side: Option<&String>) -> &str {
    side.map_or("-", String::as_str)
}

fn join(
    left: &KStream<String, String>,
    right: &KStream<String, String>,
    kind: Kind,
    w: Windows,
) -> KStream<String, String> {
    let windows = JoinWindows::of_time_difference_and_grace(0, w.grace).before(w.before).after(w.after);
    match kind {
        Kind::Inner => left.join(right, |l, r| format!("{l}+{r}"), windows, joined("join")),
        Kind::Left => left.left_join(right, |l, r| format!("{l}+{}", text(r)), windows, joined("join")),
        Kind::Outer => left.outer_join(right, |l, r| format!("{}+{}", text(l), text(r)), windows, joined("join")),
    }
}

fn topology(kind: Kind, windows: Windows) -> Topology {
    let builder = StreamsBuilder::new("model");
    let stream = |topic| builder.stream(topic, Consumed::<String, String>::with(Utf8, Utf8));
    let (left, right) = (stream("left"), stream("right"));
    join(&left, &right, kind, windows).to("out", Produced::with(Utf8, Utf8));
    builder.build().expect("valid")
}

fn key_of(key: Option<u8>) -> Option<String> {
    key.map(|k| format!("k{k}"))
}

/// Every record has a value of its own: its number in the input.
fn run(topology: Topology, inputs: &[Input], crash: Crash) -> Vec<Vec<Result>> {
    let mut driver = TestDriver::new(topology, 1);
    let mut results = Vec::new();
    for (i, (is_left, key, time)) in inputs.iter().enumerate() {
        let topic = if *is_left { "left" } else { "right" };
        driver.pipe(topic, key_of(*key).as_deref().map(str::as_bytes), Some(i.to_string().as_bytes()), *time);
        let string = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("text");
        let result = |r: &streams::testing::OutRecord| {
            (r.key.as_deref().map(string), string(r.value.as_deref().expect("a value")), r.timestamp)
        };
        results.push(driver.read("out").iter().map(result).collect());
        match crash {
            Crash::Never => {}
            Crash::EveryRecord => driver.crash_and_restore(),
            Crash::EveryRecordLosingTheDisk => driver.crash_and_lose_disk(),
        }
    }
    results
}

/// A record that was put: key, time, number.
type Kept = (String, i64, usize);

/// The rules, on lists. Side 1 is the left one.
fn model(inputs: &[Input], kind: Kind, w: Windows) -> Vec<Vec<Result>> {
    let retention = (w.before + w.after + w.grace).max(1);
    let mut kept: [Vec<Kept>; 2] = [Vec::new(), Vec::new()];
    let mut alone: Vec<(i64, usize, String, usize)> = Vec::new();
    let mut stream_time = -1;
    let pair = |left: Option<usize>, right: Option<usize>| {
        let text = |n: Option<usize>| n.map_or("-".to_owned(), |n| n.to_string());
        format!("{}+{}", text(left), text(right))
    };
    let sided = |side: usize, own: usize, other: Option<usize>| {
        if side == 1 { pair(Some(own), other) } else { pair(other, Some(own)) }
    };
    let mut results = Vec::new();
    for (number, (is_left, key, time)) in inputs.iter().enumerate() {
        let side = usize::from(*is_left);
        let outer = kind == Kind::Outer || kind == Kind::Left && *is_left;
        let mut of_record = Vec::new();
        stream_time = stream_time.max(*time);
        let Some(key) = key_of(*key) else {
            if outer {
                of_record.push((None, sided(side, number, None), *time));
            }
            results.push(of_record);
            continue;
        };
        if *time == stream_time {
            alone.sort_by(|a, b| (a.0, a.1, &a.2).cmp(&(b.0, b.1, &b.2)));
            let closes = |at: i64, side: usize| at + if side == 1 { w.after } else { w.before } + w.grace;
            let (closed, open) = alone.into_iter().partition(|(at, side, ..)| closes(*at, *side) < stream_time);
            alone = open;
            let closed: Vec<(i64, usize, String, usize)> = closed;
            of_record.extend(closed.into_iter().map(|(at, side, key, n)| (Some(key), sided(side, n, None), at)));
        }
        let (before, after) = if *is_left { (w.before, w.after) } else { (w.after, w.before) };
        let others = &kept[1 - side];
        let newest = others.iter().map(|o| o.1).max().unwrap_or(-1);
        let (from, to) = (time - before, time + after);
        let mut partners: Vec<&Kept> =
            others.iter().filter(|o| o.0 == key && (from..=to).contains(&o.1) && o.1 > newest - retention).collect();
        partners.sort_by_key(|o| o.1);
        for partner in &partners {
            alone.retain(|(at, s, k, _)| !(*at == partner.1 && *s == 1 - side && *k == key));
            of_record.push((Some(key.clone()), sided(side, number, Some(partner.2)), partner.1.max(*time)));
        }
        if partners.is_empty() && outer {
            if to < stream_time {
                of_record.push((Some(key.clone()), sided(side, number, None), *time));
            } else {
                alone.push((*time, side, key.clone(), number));
            }
        }
        kept[side].push((key, *time, number));
        results.push(of_record);
    }
    results
}

fn kinds() -> impl Strategy<Value = Kind> {
    prop_oneof![Just(Kind::Inner), Just(Kind::Left), Just(Kind::Outer)]
}

fn crashes() -> impl Strategy<Value = Crash> {
    prop_oneof![Just(Crash::Never), Just(Crash::EveryRecord), Just(Crash::EveryRecordLosingTheDisk)]
}

fn windows() -> impl Strategy<Value = Windows> {
    (-5..30_i64, 0..30_i64, 0..20_i64).prop_map(|(before, after, grace)| Windows {
        before,
        after: after.max(-before),
        grace,
    })
}

fn inputs() -> impl Strategy<Value = Vec<Input>> {
    let key = prop_oneof![8 => (0..2_u8).prop_map(Some), 1 => Just(None)];
    prop::collection::vec((any::<bool>(), key, 0..120_i64), 1..40)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(192) })]

    #[test]
    fn joins_do_what_the_rules_on_lists_do(inputs in inputs(), kind in kinds(), w in windows(), crash in crashes()) {
        prop_assert_eq!(run(topology(kind, w), &inputs, crash), model(&inputs, kind, w));
    }

    /// In order and drained by a last record, every record of an outer join is in a pair or alone, and alone only once.
    #[test]
    fn in_order_every_record_is_joined_or_alone(mut inputs in inputs(), w in windows()) {
        inputs.sort_by_key(|(_, _, time)| *time);
        let w = Windows { before: w.before.max(0), ..w };
        let count = inputs.len();
        inputs.push((true, Some(9), 10_000));
        let results = run(topology(Kind::Outer, w), &inputs, Crash::Never).concat();
        for number in 0..count {
            let number = number.to_string();
            let of = |value: &str, missing: &str| {
                let (left, right) = value.split_once('+').expect("a pair");
                (left == number && (missing.is_empty() || right == missing))
                    || (right == number && (missing.is_empty() || left == missing))
            };
            let alone = results.iter().filter(|r| of(&r.1, "-")).count();
            let all = results.iter().filter(|r| of(&r.1, "")).count();
            prop_assert!(alone == 1 && all == 1 || alone == 0 && all >= 1, "{number}: alone {alone}, in all {all}");
        }
    }

    /// One store gives what two would, in the same order. It may give more: with two, the record itself moves the time of the
    /// first before it is looked for in that, so that a partner as far away as the store reaches is expired (Kafka Streams'
    /// `KStreamKStreamSelfJoin` and `KStreamKStreamJoin` differ in the same way).
    #[test]
    fn a_self_join_with_one_store_is_a_join_with_two(inputs in inputs(), w in windows(), crash in crashes()) {
        let (one, two) = (self_topology(true, w), self_topology(false, w));
        prop_assert_eq!(one.stores().len(), 1);
        prop_assert_eq!(two.stores().len(), 2);
        let inputs: Vec<Input> = inputs.into_iter().map(|(_, key, time)| (true, key, time)).collect();
        for (one, two) in run(one, &inputs, crash).into_iter().zip(run(two, &inputs, Crash::Never)) {
            let (both, more): (Vec<_>, Vec<_>) = one.into_iter().partition(|pair| two.contains(pair));
            prop_assert_eq!(both, two);
            for (_, pair, _) in more {
                let (left, right) = pair.split_once('+').expect("a pair");
                let time = |number: &str| inputs[number.parse::<usize>().expect("a number")].2;
                let apart = time(right) - time(left);
                prop_assert!((-w.before..=w.after).contains(&apart), "{} are {} apart", pair, apart);
                let (earlier, later) = (time(left).min(time(right)), time(left).max(time(right)));
                prop_assert!(earlier <= later - (w.before + w.after + w.grace).max(1), "{} is kept by two stores", pair);
            }
        }
    }
}

/// A stream joined with itself, or with a copy that is not known to be one.
fn self_topology(known: bool, windows: Windows) -> Topology {
    let builder = StreamsBuilder::new("model");
    let left = builder.stream("left", Consumed::<String, String>::with(Utf8, Utf8));
    let out = if known {
        join(&left, &left, Kind::Inner, windows)
    } else {
        let (left, right) = (left.map_values(Clone::clone), left.map_values(Clone::clone));
        join(&left, &right, Kind::Inner, windows)
    };
    out.to("out", Produced::with(Utf8, Utf8));
    builder.build().expect("valid")
}

#[test]
fn what_was_late_before_a_restart_is_late_after_it() {
    // The right record moves stream time past the window of the second left one, which so has no time to wait. Kafka
    // Streams forgets the time (`KStreamImplJoin.TimeTracker` begins anew), and would keep it waiting.
    let windows = Windows { before: 10, after: 10, grace: 0 };
    let inputs = [(false, Some(0), 100), (true, Some(1), 50)];
    for crash in [Crash::Never, Crash::EveryRecord, Crash::EveryRecordLosingTheDisk] {
        let results = run(topology(Kind::Left, windows), &inputs, crash);
        assert_eq!(results[1], [(key_of(Some(1)), "1+-".to_owned(), 50)], "{crash:?}");
    }
}

#[test]
fn a_join_repartitions_a_side_whose_key_was_changed() {
    let builder = StreamsBuilder::new("model");
    let stream = |topic| builder.stream(topic, Consumed::<String, String>::with(Utf8, Utf8));
    let left = stream("left").select_key(|_, value: &String| value.clone());
    let windows = Windows { before: 10, after: 10, grace: 0 };
    join(&left, &stream("right"), Kind::Inner, windows).to("out", Produced::with(Utf8, Utf8));
    let topology = builder.build().expect("valid");
    assert!(topology.topic("model-join-left-repartition").is_some());
    assert!(topology.topic("model-join-right-repartition").is_none());
    let mut driver = TestDriver::new(topology, 4);
    driver.pipe("left", Some(b"any"), Some(b"k"), 0);
    driver.pipe("right", Some(b"k"), Some(b"r"), 5);
    let out: Vec<_> = driver.read("out").into_iter().map(|r| (r.value, r.timestamp)).collect();
    assert_eq!(out, [(Some(b"k+r".to_vec()), 5)]);
}

/// Equal keys are on equal partitions on both sides: pairs do not depend on how many there are.
#[test]
fn pairs_do_not_depend_on_the_number_of_partitions() {
    let pairs = |partitions| {
        let mut driver =
            TestDriver::new(topology(Kind::Inner, Windows { before: 20, after: 20, grace: 1_000 }), partitions);
        for i in 0..60_i64 {
            let (topic, key) = (if i % 2 == 0 { "left" } else { "right" }, format!("k{}", i * 5 % 7));
            driver.pipe(topic, Some(key.as_bytes()), Some(i.to_string().as_bytes()), i * 11 % 97);
        }
        let mut pairs: Vec<_> = driver.read("out").into_iter().map(|r| (r.key, r.value, r.timestamp)).collect();
        pairs.sort();
        pairs
    };
    assert!(pairs(1).len() > 20);
    assert_eq!(pairs(1), pairs(2));
    assert_eq!(pairs(1), pairs(4));
}

#[test]
fn closed_records_are_searched_for_once_per_interval() {
    let builder = StreamsBuilder::new("model");
    let stream = |topic| builder.stream(topic, Consumed::<String, String>::with(Utf8, Utf8));
    let windows = JoinWindows::of_time_difference_with_no_grace(10);
    let joined = StreamJoined::new("join", Utf8, Utf8, Utf8);
    let left = stream("left").left_join(
        &stream("right"),
        |l: &String, r: Option<&String>| format!("{l}+{}", text(r)),
        windows,
        joined,
    );
    left.to("out", Produced::with(Utf8, Utf8));
    let mut driver = TestDriver::new(builder.build().expect("valid"), 1);
    driver.pipe("left", Some(b"a"), Some(b"1"), 0);
    driver.pipe("left", Some(b"a"), Some(b"2"), 100);
    assert_eq!(driver.read("out").len(), 0, "the first record's search was less than a second ago");
    driver.advance_wall_clock(1_000);
    driver.pipe("right", Some(b"b"), Some(b"3"), 100);
    assert_eq!(driver.read("out").len(), 1);
}
