//! What Kafka Streams itself answered: topologies in words, random records, and the answers of its `TopologyTestDriver`,
//! written down by `recorder/Recorder.java`. The production task must answer the same, also with a crash and with the disk
//! lost after every record.
//!
//! `tests/recorder/record` asks anew, with other records if another seed is given; `RECORDED=FILE` compares with such a file,
//! `RECORDED_ONLY=words` only topologies whose words contain these.

#![allow(clippy::print_stdout)] // what differs is what this test is for

mod recorded_topologies;

use std::fmt::Write as _;

use recorded_topologies::{Words, build};
use streams::testing::{OutRecord, TestDriver};

/// One topology and one run of records.
struct Case<'a> {
    words: Words<'a>,
    /// Input lines, each with the answers to it.
    steps: Vec<(&'a str, Vec<&'a str>)>,
}

fn read(text: &str) -> Vec<Case<'_>> {
    let mut cases: Vec<Case<'_>> = Vec::new();
    for line in text.lines() {
        let (mark, rest) = line.split_once(' ').expect("a mark and a text");
        let last = cases.last_mut();
        match (mark, last) {
            ("topology", _) => cases.push(Case { words: Words(rest), steps: Vec::new() }),
            ("<", Some(case)) => case.steps.push((rest, Vec::new())),
            (">", Some(case)) => case.steps.last_mut().expect("an input before").1.push(rest),
            _ => panic!("a line that is neither topology nor record: {line}"),
        }
    }
    cases
}

/// As it is written down: `-` for null, `~` for nothing.
fn text(bytes: Option<&[u8]>) -> String {
    match bytes {
        None => "-".to_owned(),
        Some(b"") => "~".to_owned(),
        Some(bytes) => String::from_utf8(bytes.to_vec()).expect("text"),
    }
}

fn line(r: &OutRecord) -> String {
    format!("{} {} {}", text(r.key.as_deref()), text(r.value.as_deref()), r.timestamp)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Straight,
    Crash,
    LoseDisk,
}

/// Answers so far that may come at another time.
#[derive(Default)]
struct Alone {
    got: Vec<String>,
    expected: Vec<String>,
}

impl Alone {
    /// Takes those of a record without its partner out of both, and answers whether the others are alike, and whether none
    /// is missing that Kafka Streams has sent by now.
    fn are_alike(&mut self, got: &[String], expected: &[&str]) -> bool {
        let is_alone = |line: &str| line.contains("(-,") || line.contains(",-)");
        let (alone, joined): (Vec<&String>, Vec<&String>) = got.iter().partition(|line| is_alone(line));
        self.got.extend(alone.into_iter().cloned());
        let (alone, expected): (Vec<&str>, Vec<&str>) = expected.iter().partition(|line| is_alone(line));
        self.expected.extend(alone.into_iter().map(str::to_owned));
        let mut left = self.got.clone();
        let none_missing =
            self.expected.iter().all(|line| left.iter().position(|l| l == line).map(|i| left.swap_remove(i)).is_some());
        joined == expected && none_missing
    }
}

/// What differs, if something does.
fn run<'t>(case: &Case<'t>, mode: Mode) -> Option<String> {
    let mut driver = TestDriver::new(build(case.words), 1);
    let mut so_far = String::new();
    let mut alone = case.words.is_late_with_those_alone().then(Alone::default);
    for (input, expected) in &case.steps {
        let fields: Vec<&str> = input.split(' ').collect();
        let [topic, key, value, at] = fields[..] else { panic!("an input has four fields: {input}") };
        let bytes = |text: &'t str| (text != "-").then_some(text.as_bytes());
        driver.pipe(topic, bytes(key), bytes(value), at.parse().expect("a time"));
        let got: Vec<String> = driver.read("out").iter().map(line).collect();
        let mut lines = |mark: &str, lines: &[&str]| {
            for line in lines {
                let _ = writeln!(so_far, "  {mark} {line}");
            }
        };
        lines("<", &[input]);
        lines(">", &got.iter().map(String::as_str).collect::<Vec<_>>());
        let alike = match &mut alone {
            Some(alone) => alone.are_alike(&got, expected),
            None => got == *expected,
        };
        if !alike {
            lines("Kafka Streams >", expected);
            return Some(so_far);
        }
        match mode {
            Mode::Straight => (),
            Mode::Crash => driver.crash_and_restore(),
            Mode::LoseDisk => driver.crash_and_lose_disk(),
        }
    }
    None
}

fn compare(text: &str, modes: &[Mode]) {
    let only = std::env::var("RECORDED_ONLY").unwrap_or_default();
    let mut different: Vec<(&str, usize, usize, String)> = Vec::new();
    for case in read(text) {
        if !case.words.0.contains(&only) {
            continue;
        }
        let why = modes.iter().find_map(|mode| {
            let outcome = std::panic::catch_unwind(|| run(&case, *mode));
            outcome.unwrap_or_else(|_| Some("panicked".to_owned())).map(|why| format!("{mode:?}\n{why}"))
        });
        if different.last().is_none_or(|d| d.0 != case.words.0) {
            different.push((case.words.0, 0, 0, String::new()));
        }
        let entry = different.last_mut().expect("just added");
        entry.1 += 1;
        if let Some(why) = why {
            entry.2 += 1;
            // The shortest tells most.
            if entry.3.is_empty() || why.len() < entry.3.len() {
                entry.3 = why;
            }
        }
    }
    different.retain(|d| d.2 > 0);
    for (words, runs, failed, why) in &different {
        println!("DIFFERENT {words}: {failed} of {runs}\n{why}");
    }
    assert!(different.is_empty(), "{} topologies differ from Kafka Streams", different.len());
}

#[test]
fn answers_are_kafka_streams() {
    match std::env::var("RECORDED") {
        Ok(file) => compare(&std::fs::read_to_string(file).expect("readable"), &[Mode::Straight]),
        Err(_) => compare(include_str!("recorded.txt"), &[Mode::Straight, Mode::Crash, Mode::LoseDisk]),
    }
}
