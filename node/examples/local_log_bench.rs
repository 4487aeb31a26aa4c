//! Speed of the embedded log in both sync modes: durable appends per second under load, and the latency of single commits.
//!
//! `cargo run --release -p node --example local_log_bench [DIRECTORY]`
//!
//! Records have a 16-byte key and a 200-byte value, four partitions. *Load*: 1,000 appends under way at once, for three
//! seconds. *Latency*: one append at a time, from the call to its answer, which is one commit. DIRECTORY says which disk is measured.
#![allow(clippy::print_stdout, reason = "its result is what it prints")]

use std::error::Error;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use hdrhistogram::Histogram;
use node::local::{Config, LocalBroker, NewTopic, Sync};
use streams::Headers;

const UNDER_WAY: usize = 1_000;
const LOAD: Duration = Duration::from_secs(3);
const SINGLE: usize = 2_000;
const VALUE: [u8; 200] = [b'v'; 200];

async fn load(broker: &Arc<LocalBroker>) -> Result<(u64, Duration), Box<dyn Error>> {
    let started = Instant::now();
    let appender = |number: usize| {
        let broker = broker.clone();
        async move {
            let mut appended = 0_u64;
            while started.elapsed() < LOAD {
                let key = format!("{number:08}{appended:08}");
                broker.append("bench", Some(key.as_bytes()), Some(&VALUE), 1, Headers::empty()).await?;
                appended += 1;
            }
            Ok::<u64, node::local::Error>(appended)
        }
    };
    let tasks: Vec<_> = (0..UNDER_WAY).map(|n| tokio::spawn(appender(n))).collect();
    let mut total = 0;
    for appended in join_all(tasks).await {
        total += appended??;
    }
    Ok((total, started.elapsed()))
}

async fn single(broker: &LocalBroker) -> Result<Histogram<u64>, Box<dyn Error>> {
    let mut latencies = Histogram::new(3)?;
    for n in 0..SINGLE {
        let key = format!("{n:016}");
        let started = Instant::now();
        broker.append("bench", Some(key.as_bytes()), Some(&VALUE), 1, Headers::empty()).await?;
        latencies.record(u64::try_from(started.elapsed().as_micros())?)?;
    }
    Ok(latencies)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let directory = std::env::args().nth(1).map_or_else(std::env::temp_dir, PathBuf::from);
    for (name, sync) in [("always", Sync::Always), ("interval 50 ms", Sync::Interval(Duration::from_millis(50)))] {
        let place = directory.join(format!("local-log-bench-{}", std::process::id()));
        let (broker, backend) = LocalBroker::open_rocks(&place, 32 << 20, Config { sync, ..Config::default() })?;
        broker.create_topics(&[NewTopic::new("bench", 4)])?;
        let latencies = single(&broker).await?;
        let before = broker.stats();
        let (appended, took) = load(&broker).await?;
        let groups = broker.stats().groups - before.groups;
        println!(
            "sync = {name}: {:.0} appends/s under load ({:.0} per write); one at a time p50 {} µs, p99 {} µs",
            appended as f64 / took.as_secs_f64(),
            appended as f64 / groups.max(1) as f64,
            latencies.value_at_quantile(0.5),
            latencies.value_at_quantile(0.99),
        );
        broker.close();
        drop((broker, backend));
        let started = Instant::now();
        drop(LocalBroker::open_rocks(&place, 32 << 20, Config { sync, ..Config::default() })?);
        println!("  opened again, {} records, in {} ms", appended + SINGLE as u64, started.elapsed().as_millis());
        std::fs::remove_dir_all(&place)?;
    }
    Ok(())
}
