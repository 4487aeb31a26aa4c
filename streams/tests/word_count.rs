//! The frame end to end: repartitioning, state, commit, crash at every named point, dead letters, restored time.

mod common;

use std::collections::BTreeMap;

use streams::testing::{Call, Fault, TestDriver};
use streams::worker::CRASH_POINTS;
use streams::{Config, Error, ErrorPolicy, OnError, log};

const LINES: [&str; 5] = ["a b a", "c", "b a", "d d d d", "a c b"];

fn counts(driver: &TestDriver) -> BTreeMap<String, i64> {
    let decode = |v: &[u8]| i64::from_be_bytes(v.try_into().expect("eight bytes"));
    driver.entries("counts").iter().map(|(k, v, _)| (String::from_utf8_lossy(k).into_owned(), decode(v))).collect()
}

fn outputs(driver: &mut TestDriver) -> Vec<(Vec<u8>, Vec<u8>)> {
    let read = driver.read("counted");
    read.into_iter().map(|r| (r.key.unwrap_or_default(), r.value.unwrap_or_default())).collect()
}

fn expected() -> BTreeMap<String, i64> {
    [("a", 4), ("b", 3), ("c", 2), ("d", 4)].map(|(k, v)| (k.to_owned(), v)).into()
}

#[test]
fn counts_over_any_number_of_partitions() {
    for partitions in [1, 2, 4, 7] {
        let mut driver = TestDriver::new(common::word_count(), partitions);
        for (i, line) in (0..).zip(LINES) {
            driver.pipe("lines", Some(line.as_bytes()), Some(line.as_bytes()), i);
        }
        assert_eq!(counts(&driver), expected());
        assert_eq!(outputs(&mut driver).len(), 13);
    }
}

#[test]
fn a_crash_after_every_record_changes_nothing() {
    for lose_disk in [false, true] {
        let mut driver = TestDriver::new(common::word_count(), 2);
        for (i, line) in (0..).zip(LINES) {
            driver.pipe("lines", Some(line.as_bytes()), Some(line.as_bytes()), i);
            if lose_disk { driver.crash_and_lose_disk() } else { driver.crash_and_restore() }
        }
        assert_eq!(counts(&driver), expected(), "disk lost: {lose_disk}");
        assert_eq!(outputs(&mut driver).len(), 13);
    }
}

#[test]
fn a_crash_at_every_point_of_commit_and_takeover_changes_nothing() {
    for point in CRASH_POINTS {
        for nth in 0..6 {
            let mut driver = TestDriver::new(common::word_count(), 2);
            let mut hits = 0;
            let mut left = nth;
            driver.worker_mut(0).expect("one worker").on_crash_point(Box::new(move |p| {
                left -= i32::from(p == point);
                left < 0 && p == point
            }));
            if point.starts_with("takeover") {
                // A takeover happens after a failure of the log.
                let mut failed = false;
                driver.worker_mut(0).expect("one worker").log_mut().on_call(move |call| {
                    if call == Call::Commit && !std::mem::replace(&mut failed, true) {
                        return Fault::After(log::Error::Unknown("lost answer".into()));
                    }
                    Fault::None
                });
            }
            for (i, line) in (0..).zip(LINES) {
                driver.produce("lines", Some(line.as_bytes()), Some(line.as_bytes()), i);
                if let Err(e) = driver.try_run() {
                    assert!(matches!(e, Error::Crashed(p) if p == point), "{e}");
                    hits += 1;
                    driver.crash_and_restore();
                }
            }
            assert_eq!(counts(&driver), expected(), "{point} #{nth}, {hits} hits");
            assert_eq!(outputs(&mut driver).len(), 13, "{point} #{nth}: nothing twice, nothing lost");
        }
    }
}

#[test]
fn every_fault_of_the_log_is_survived() {
    let unknown = || log::Error::Unknown("injected".into());
    let abort = || log::Error::Abort("injected".into());
    let fenced = || log::Error::Fenced("injected".into());
    type Make = fn() -> log::Error;
    let errors: [Make; 3] = [unknown, abort, fenced];
    for call in [Call::Begin, Call::Send, Call::Commit, Call::Committed, Call::Replay] {
        for (e, make) in errors.into_iter().enumerate() {
            for after in [false, true] {
                // Abort promises that nothing was committed, so it cannot come after a commit.
                if after && (e == 1 || call == Call::Committed || call == Call::Replay) {
                    continue;
                }
                let mut driver = TestDriver::new(common::word_count(), 2);
                let mut calls = 0;
                driver.worker_mut(0).expect("one worker").log_mut().on_call(move |c| {
                    calls += u32::from(c == call);
                    match (c == call && calls == 2, after) {
                        (true, true) => Fault::After(make()),
                        (true, false) => Fault::Before(make()),
                        _ => Fault::None,
                    }
                });
                for (i, line) in (0..).zip(LINES) {
                    driver.produce("lines", Some(line.as_bytes()), Some(line.as_bytes()), i);
                    driver.run();
                    driver.advance_wall_clock(10_000);
                }
                assert_eq!(counts(&driver), expected(), "{call:?} error {e} after {after}");
                assert_eq!(outputs(&mut driver).len(), 13, "{call:?} error {e} after {after}");
            }
        }
    }
}

#[test]
fn a_rejected_record_leaves_nothing_behind_and_is_dead_lettered() {
    let mut driver = TestDriver::new(common::word_count(), 1);
    driver.pipe("lines", Some(b"k"), Some(b"a b poison c"), 5);
    assert_eq!(driver.read("word-count-words-repartition"), vec![], "no word of the rejected line got out");
    let dead = driver.read("word-count-dead-letters");
    assert_eq!(dead.len(), 1);
    let dead = &dead[0];
    assert_eq!(dead.value.as_deref(), Some(b"a b poison c".as_slice()));
    let header = |n: &str| dead.headers.iter().find(|(name, _)| name == n).and_then(|(_, v)| v.clone());
    assert_eq!(header("orderflow.error.reason"), Some(b"poison".to_vec()));
    assert_eq!(header("orderflow.error.stage"), Some(b"process".to_vec()));
    assert_eq!(header("orderflow.error.offset"), Some(b"0".to_vec()));
}

#[test]
fn a_task_that_fails_stands_still_at_its_record_and_the_others_go_on() {
    let errors = ErrorPolicy { process: OnError::Fail, ..ErrorPolicy::default() };
    let config = Config { errors, commit_min_interval_ms: 0, ..Config::default() };
    let mut driver = TestDriver::with_config(common::word_count(), 2, config);
    let on = |key: &str| streams::partitioner::partition_for_key(key.as_bytes(), 2);
    let other = ["m", "n", "o", "p"].into_iter().find(|k| on(k) != on("k")).expect("a key of the other partition");
    driver.pipe("lines", Some(b"k"), Some(b"a"), 1);
    driver.pipe("lines", Some(b"k"), Some(b"poison"), 2);
    driver.pipe("lines", Some(b"k"), Some(b"a"), 3);
    driver.pipe("lines", Some(other.as_bytes()), Some(b"b"), 4);
    assert_eq!(counts(&driver), [("a".to_owned(), 1), ("b".to_owned(), 1)].into());
    let failed: Vec<_> = driver
        .worker_mut(0)
        .map(|w| w.tasks().filter_map(|t| t.failure().map(str::to_owned)).collect())
        .unwrap_or_default();
    assert_eq!(failed.len(), 1);
    assert!(failed[0].contains("poison") && failed[0].contains("@1"), "names reason and offset: {}", failed[0]);
    driver.crash_and_restore();
    assert_eq!(counts(&driver).get("a"), Some(&1), "the record is neither skipped nor processed");
}

#[test]
fn undecodable_and_untimely_records_are_dead_letters() {
    let mut driver = TestDriver::new(common::word_count(), 1);
    driver.pipe("lines", Some(b"k"), Some(&[0xff, 0xfe]), 5);
    driver.pipe("lines", Some(b"k"), Some(b"a"), 253_402_300_800_000);
    driver.pipe("lines", Some(b"k"), Some(b"a"), -2);
    driver.pipe("lines", Some(b"k"), Some(b"a"), 7);
    assert_eq!(driver.read("word-count-dead-letters").len(), 3);
    assert_eq!(counts(&driver), [("a".to_owned(), 1)].into());
}

#[test]
fn state_without_positions_is_refused_with_the_remedy() {
    for lose_disk in [false, true] {
        let mut driver = TestDriver::new(common::word_count(), 1);
        driver.pipe("lines", Some(b"k"), Some(b"a"), 1);
        if lose_disk {
            driver.crash_and_lose_disk();
        }
        driver.cluster().lose_positions();
        driver.crash();
        match driver.try_run() {
            Err(Error::Refused(text)) => assert!(text.contains("word-count") && text.contains("Restore"), "{text}"),
            other => panic!("disk lost {lose_disk}: {other:?}"),
        }
    }
}

#[test]
fn a_record_too_large_for_a_dead_letter_leaves_its_address() {
    let mut driver = TestDriver::new(common::word_count(), 1);
    driver.pipe("lines", Some(b"k"), Some(&vec![0xff; 950_000]), 5);
    let dead = driver.read("word-count-dead-letters");
    assert_eq!(dead.len(), 1);
    assert_eq!((&dead[0].key, &dead[0].value), (&None, &None));
    assert!(dead[0].headers.iter().any(|(n, v)| n == "orderflow.error.offset" && v.as_deref() == Some(b"0")));
}

/// Not even the dead letter is taken: there is no handler left, and going round for ever would help nobody.
#[test]
fn a_record_whose_dead_letter_is_refused_too_stops_its_task() {
    let mut driver = TestDriver::new(common::word_count(), 1);
    let refused = || log::Error::Refused { topic: "any".into(), reason: "policy violation".into() };
    let mut refusals = 0;
    driver.worker_mut(0).expect("one worker").log_mut().on_call(move |call| {
        if call != Call::Send {
            return Fault::None;
        }
        refusals += 1;
        assert!(refusals < 10, "it does not end");
        Fault::Before(refused())
    });
    driver.pipe("lines", Some(b"k"), Some(b"a"), 1);
    let failed: Vec<_> =
        driver.worker_mut(0).expect("one worker").tasks().filter_map(|t| t.failure().map(str::to_owned)).collect();
    assert!(failed.len() == 1 && failed[0].contains("policy violation"), "{failed:?}");
    driver.crash_and_restore();
    assert_eq!(counts(&driver).get("a"), Some(&1), "nothing was lost");
}

#[test]
fn two_workers_share_the_tasks() {
    let mut driver = TestDriver::new(common::word_count(), 4);
    driver.pipe("lines", Some(b"a"), Some(b"a b c d e f g"), 1);
    driver.add_worker();
    for worker in 0..2 {
        let tasks = driver.worker_mut(worker).map(|w| w.tasks().count());
        assert_eq!(tasks, Some(4), "range gives each worker two partitions of both sub-topologies");
    }
    driver.pipe("lines", Some(b"a"), Some(b"a b c d e f g"), 2);
    assert!(counts(&driver).values().all(|c| *c == 2));
}

#[test]
fn describes_itself_as_kafka_streams_does() {
    let text = "Topologies:
   Sub-topology: 0
    Source: lines (topics: [lines])
      --> split
    Processor: split (stores: [])
      --> words-sink
      <-- lines
    Sink: words-sink (topic: word-count-words-repartition)
      <-- split

   Sub-topology: 1
    Source: words-source (topics: [word-count-words-repartition])
      --> count
    Processor: count (stores: [counts])
      --> counted
      <-- words-source
    Sink: counted (topic: counted)
      <-- count

";
    assert_eq!(common::word_count().describe(), text);
}

#[test]
fn operator_time_survives_a_restart() {
    let mut driver = TestDriver::new(common::word_count(), 1);
    driver.pipe("lines", Some(b"k"), Some(b"a"), 5_000);
    let times = |d: &mut TestDriver| -> Vec<i64> {
        d.worker_mut(0).map(|w| w.tasks().map(|t| t.stream_time()).collect()).unwrap_or_default()
    };
    assert_eq!(times(&mut driver), [5_000, 5_000]);
    driver.crash_and_lose_disk();
    assert_eq!(times(&mut driver), [5_000, 5_000]);
}
