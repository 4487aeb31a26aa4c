//! Kills −9 under load. A child process (this test again, with a directory in its environment) appends lines from several
//! tasks and runs the word count on two workers; it tells each answer it got on its standard output. It is killed after a
//! seeded number of answers, and what it left behind is audited: every line answered is there, at its place; offsets
//! without gaps; output, state and positions belong to the same whole commits. At the end all of it is processed, and
//! counts are those of the lines, recomputed.

mod local_support;

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use local_support::{Running, audit, config, create_topics, expected, line, records, runtime, word_count};
use node::engine::{Stop, WorkerThread};
use node::local::{LocalBroker, LocalLog, Share, Sync};
use streams::View;

const ROUNDS: u64 = 30;
const DIRECTORY: &str = "ORDERFLOW_TEST_KILL_DIRECTORY";
const MODE: &str = "ORDERFLOW_TEST_KILL_MODE";
const ROUND: &str = "ORDERFLOW_TEST_KILL_ROUND";
const CHILD: &str = "the_child_that_is_killed";
const MEMORY_BYTES: usize = 8 << 20;
/// Appends under way at once in the child.
const APPENDERS: u64 = 16;

fn mode(name: &str) -> Sync {
    match name {
        "always" => Sync::Always,
        _ => Sync::Interval(Duration::from_millis(20)),
    }
}

/// Not a test by itself: without the directory in its environment it has nothing to do.
#[test]
fn the_child_that_is_killed() {
    let Ok(directory) = std::env::var(DIRECTORY) else { return };
    let round = std::env::var(ROUND).expect("set by the parent");
    let sync = mode(&std::env::var(MODE).expect("set by the parent"));
    let opened = LocalBroker::open_rocks(Path::new(&directory), MEMORY_BYTES, config(sync));
    let (broker, backend) = opened.expect("opens after a kill");
    create_topics(&broker, &word_count());
    let view = View::open(word_count(), backend).expect("stores");
    let stop = Arc::new(Stop::default());
    for worker in 0..2 {
        let (broker, stop) = (broker.clone(), stop.clone());
        let share = Share { worker, workers: 2, subtopologies: None };
        let make =
            move || LocalLog::new(broker, word_count(), &share).map_err(|e| streams::Error::Refused(e.to_string()));
        let engine = streams::Config { commit_interval_ms: 5, ..Default::default() };
        WorkerThread::spawn(format!("w-{worker}"), make, view.clone(), engine, stop).expect("a thread");
    }
    runtime().block_on(async {
        let appender = |appender: u64| {
            let (broker, round) = (&broker, &round);
            async move {
                // Ends with the process, or with an error when the parent has gone.
                for n in 0_u64.. {
                    let text = format!("r{round} a{appender} n{} w{} w{}", n, n % 7, appender % 5);
                    let (partition, offset) = line(broker, &text).await.expect("appended");
                    if writeln!(std::io::stdout(), "\nACK {partition} {offset} {text}").is_err() {
                        return;
                    }
                }
            }
        };
        futures_util::future::join_all((0..APPENDERS).map(appender)).await;
    });
}

/// Runs the child until it has told so many answers, kills it, and answers what it told: partition, offset, line.
fn run_and_kill(directory: &Path, mode: &str, round: u64, answers: usize) -> Vec<(u32, usize, String)> {
    let mut child = Command::new(std::env::current_exe().expect("this program"))
        .args([CHILD, "--exact", "--nocapture", "--test-threads=1"])
        .envs([(DIRECTORY, directory.to_str().expect("text")), (MODE, mode), (ROUND, &round.to_string())])
        .stdout(Stdio::piped())
        .spawn()
        .expect("starts");
    let mut told = Vec::new();
    let mut killed = false;
    for text in BufReader::new(child.stdout.take().expect("piped")).lines() {
        // The last line may be cut off by the kill; a whole one has all its parts.
        let Ok(text) = text else { break };
        let mut parts = text.splitn(4, ' ');
        if parts.next() != Some("ACK") {
            continue;
        }
        let place = parts.next().and_then(|p| p.parse().ok()).zip(parts.next().and_then(|o| o.parse().ok()));
        let line = parts.next().filter(|line| line.split(' ').count() == 5);
        if let (Some((partition, offset)), Some(line)) = (place, line) {
            told.push((partition, offset, line.to_owned()));
        }
        if told.len() >= answers && !killed {
            child.kill().expect("kills");
            killed = true;
        }
    }
    let status = child.wait().expect("ended");
    assert!(killed && status.code().is_none(), "round {round}: it ended by the kill alone: {status}");
    told
}

fn kill_rounds(name: &str) {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("log");
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    let mut told = Vec::new();
    let mut behind = 0;
    for round in 0..ROUNDS {
        // xorshift64: which answer the kill follows.
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        told.extend(run_and_kill(&path, name, round, 1 + (seed % 400) as usize));
        let (broker, backend) = LocalBroker::open_rocks(&path, MEMORY_BYTES, config(mode(name))).expect("opens");
        create_topics(&broker, &word_count());
        let context = format!("{name}, round {round}");
        let processed = audit(&broker, &backend, &context);
        let lines: Vec<_> = (0..local_support::PARTITIONS).map(|p| records(&broker, "lines", p)).collect();
        for (partition, offset, line) in &told {
            let found = lines[*partition as usize].get(*offset).map(|(key, _)| key.as_slice());
            assert_eq!(found, Some(line.as_bytes()), "{context}: answered at {partition}@{offset}");
        }
        behind += lines.iter().map(Vec::len).sum::<usize>() - processed;
    }
    let (broker, backend) = LocalBroker::open_rocks(&path, MEMORY_BYTES, config(mode(name))).expect("opens");
    let mut running = Running::start(&broker, &backend, 2).expect("starts");
    running.run().expect("runs");
    assert_eq!(running.counts("disk"), expected(&broker), "{name}");
    assert_eq!(running.counts("memory"), expected(&broker), "{name}");
    eprintln!("{name}: {ROUNDS} kills, {} lines answered, {behind} lines unprocessed at the kills", told.len());
}

#[test]
fn thirty_kills_lose_nothing_answered_when_synced_always() {
    if std::env::var(DIRECTORY).is_err() {
        kill_rounds("always");
    }
}

#[test]
fn thirty_kills_lose_nothing_answered_when_synced_by_interval() {
    if std::env::var(DIRECTORY).is_err() {
        kill_rounds("interval");
    }
}
