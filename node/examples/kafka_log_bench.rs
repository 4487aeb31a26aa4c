//! What the Kafka adapter costs by itself: CPU of the worker's thread and of the whole process per record sent and polled,
//! and how long a commit takes. Needs a broker:
//!
//! `ORDERFLOW_TEST_BROKERS=127.0.0.1:19092 cargo run --release -p node --example kafka_log_bench`
#![allow(clippy::print_stdout, reason = "its output is its purpose")]

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::time::{Duration, Instant};

use node::config::{GroupProtocol, Kafka};
use node::kafka::{KafkaLog, Settings, ensure_topics, topic_specs};
use state::Batch;
use streams::log::{Commit, CommitPosition, Log, Outgoing, Polled, Rebalance};
use streams::serde::Utf8;
use streams::{Headers, Offset, SourceOptions, TopicPartition, TopologyBuilder};

const RECORDS: usize = 200_000;
const PARTITIONS: u32 = 4;
const VALUE_BYTES: usize = 100;

fn main() -> Result<(), Box<dyn Error>> {
    let brokers = std::env::var("ORDERFLOW_TEST_BROKERS")?;
    let mut b = TopologyBuilder::new("bench");
    let lines = b.source("lines", &["lines"], Utf8, Utf8, SourceOptions::default());
    let out = b.sink("out", "out", Utf8, Utf8);
    b.connect(lines, out);
    let topology = b.build()?;
    let kafka = Kafka {
        brokers,
        group_protocol: GroupProtocol::Classic,
        session_timeout_ms: 6_000,
        transaction_timeout_ms: 10_000,
        replication_factor: -1,
        consumer: BTreeMap::new(),
        producer: BTreeMap::new(),
    };
    let settings = Settings::new(&kafka, &format!("bench-{}.", uuid::Uuid::new_v4().simple()), "a")?;
    ensure_topics(&settings, &topic_specs(&settings, &topology, PARTITIONS, 86_400_000), false)?;
    let mut log = KafkaLog::connect(&settings, &topology, 0, None)?;
    let assigned = assignment(&mut log)?;

    send(&mut log, &assigned, RECORDS)?;
    for records in [1, 10, 1_000] {
        commits(&mut log, &assigned, records)?;
    }
    poll(&mut log, &assigned)?;
    log.close();
    Ok(())
}

fn assignment(log: &mut KafkaLog) -> Result<Vec<TopicPartition>, Box<dyn Error>> {
    let mut polled = Polled::default();
    loop {
        log.poll(Duration::from_millis(100), &mut polled)?;
        for change in polled.rebalance.drain(..) {
            if let Rebalance::Assigned(partitions) = change {
                return Ok(partitions);
            }
        }
    }
}

fn transaction(log: &mut KafkaLog, to: &[TopicPartition], records: usize) -> Result<Duration, Box<dyn Error>> {
    log.begin()?;
    let value = vec![b'v'; VALUE_BYTES];
    for n in 0..records {
        let key = (n as u64).to_be_bytes();
        let tp = to.get(n % to.len()).ok_or("no partition")?;
        log.send(Outgoing {
            topic: tp.topic,
            partition: Some(tp.partition),
            key: Some(&key),
            value: Some(&value),
            timestamp: 1_700_000_000_000,
            headers: Headers::empty(),
        })?;
    }
    let positions: Vec<CommitPosition> =
        to.iter().map(|tp| CommitPosition { input: *tp, offset: Offset::ZERO, metadata: "1|0".to_owned() }).collect();
    let began = Instant::now();
    log.commit(Commit { positions: &positions, state: &Batch::default(), placements: &[] })?;
    Ok(began.elapsed())
}

fn send(log: &mut KafkaLog, to: &[TopicPartition], records: usize) -> Result<(), Box<dyn Error>> {
    let (began, cpu) = (Instant::now(), Cpu::now()?);
    for _ in 0..records / 10_000 {
        transaction(log, to, 10_000)?;
    }
    cpu.report("sent, 10,000 per transaction", records, began.elapsed())
}

fn commits(log: &mut KafkaLog, to: &[TopicPartition], records: usize) -> Result<(), Box<dyn Error>> {
    let mut took = (0..200).map(|_| transaction(log, to, records)).collect::<Result<Vec<_>, _>>()?;
    took.sort();
    let at = |share: usize| took.get(took.len() * share / 100).copied().unwrap_or_default();
    println!("commit of {records:>5} records, back to back: p50 {:?}, p95 {:?}, p99 {:?}", at(50), at(95), at(99));
    Ok(())
}

fn poll(log: &mut KafkaLog, from: &[TopicPartition]) -> Result<(), Box<dyn Error>> {
    let (began, cpu) = (Instant::now(), Cpu::now()?);
    for tp in from {
        log.seek_and_resume(*tp, Offset::ZERO)?;
    }
    let (mut polled, mut records) = (Polled::default(), 0);
    while records < RECORDS {
        polled.clear();
        log.poll(Duration::from_millis(100), &mut polled)?;
        records += polled.records.len();
    }
    cpu.report("polled", records, began.elapsed())
}

/// CPU time used: by this thread in nanoseconds, by the process in clock ticks of 10 ms.
struct Cpu {
    thread_ns: u64,
    process_ticks: u64,
}

impl Cpu {
    fn now() -> Result<Cpu, Box<dyn Error>> {
        let thread = fs::read_to_string("/proc/thread-self/schedstat")?;
        let process = fs::read_to_string("/proc/self/stat")?;
        let after_name = process.rsplit(')').next().ok_or("stat")?;
        let mut times = after_name.split_whitespace().skip(11).take(2).map(str::parse::<u64>);
        let (user, system) = (times.next().ok_or("utime")??, times.next().ok_or("stime")??);
        let thread_ns = thread.split_whitespace().next().ok_or("schedstat")?.parse()?;
        Ok(Cpu { thread_ns, process_ticks: user + system })
    }

    fn report(&self, what: &str, records: usize, wall: Duration) -> Result<(), Box<dyn Error>> {
        let now = Cpu::now()?;
        let per = |total_ns: u64| total_ns as f64 / records as f64 / 1_000.0;
        println!(
            "{what}: {records} records of {VALUE_BYTES} bytes in {wall:.2?} ({:.0}/s); CPU per record: {:.2} µs on the \
             worker's thread, {:.2} µs in the process",
            records as f64 / wall.as_secs_f64(),
            per(now.thread_ns - self.thread_ns),
            per((now.process_ticks - self.process_ticks) * 10_000_000),
        );
        Ok(())
    }
}
