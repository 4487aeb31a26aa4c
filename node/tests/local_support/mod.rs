//! What the tests of the embedded log share: a small stateful topology, a way to run it, and an audit of what is left.
#![allow(dead_code, reason = "each test file uses its part")]

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use node::local::{Config, LocalBroker, LocalLog, NewTopic, Share, Sync, topics_of};
use state::{Backend, Direction, Range};
use streams::serde::{I64, Utf8};
use streams::store::{KeyValue, KeyValueStore};
use streams::{
    Context, Headers, Offset, ProcessError, Processor, Record, SourceOptions, Topology, TopologyBuilder, View, Worker,
};

/// Partitions of every topic of the word count.
pub(crate) const PARTITIONS: u32 = 3;

struct Split;

impl Processor for Split {
    type KeyIn = String;
    type ValueIn = String;
    type KeyOut = String;
    type ValueOut = String;

    fn process(
        &self,
        cx: &mut Context<'_, String, String>,
        record: Record<'_, String, String>,
    ) -> Result<(), ProcessError> {
        for word in record.value.map(String::as_str).unwrap_or_default().split_whitespace() {
            let word = word.to_owned();
            cx.forward(record.with_key(Some(&word)).with_value(Some(&word)))?;
        }
        Ok(())
    }
}

/// Counts each word twice: on disk, and in memory behind a changelog.
struct Count {
    disk: KeyValueStore<String, i64>,
    memory: KeyValueStore<String, i64>,
}

impl Processor for Count {
    type KeyIn = String;
    type ValueIn = String;
    type KeyOut = String;
    type ValueOut = i64;

    fn process(
        &self,
        cx: &mut Context<'_, String, i64>,
        record: Record<'_, String, String>,
    ) -> Result<(), ProcessError> {
        let Some(word) = record.key else { return Ok(()) };
        let count = self.disk.get(cx, word)?.unwrap_or(0) + 1;
        self.disk.put(cx, word, &count)?;
        let in_memory = self.memory.get(cx, word)?.unwrap_or(0) + 1;
        self.memory.put(cx, word, &in_memory)?;
        cx.forward(record.with_value(Some(&count)))
    }
}

/// `lines` → words, by word → `counted`, with the stores `disk` and `memory`.
pub(crate) fn word_count() -> Arc<Topology> {
    let mut b = TopologyBuilder::new("word-count");
    let disk = b.store("disk", KeyValue::<String, i64>::new(Utf8, I64));
    let memory = b.store("memory", KeyValue::<String, i64>::new(Utf8, I64).in_memory());
    let lines = b.source("lines", &["lines"], Utf8, Utf8, SourceOptions::default());
    let (split_in, split_out) = b.processor("split", Split);
    let (words_in, words_out) = b.repartition("words", Utf8, Utf8, None);
    let (count_in, count_out) = b.processor("count", Count { disk: disk.clone(), memory: memory.clone() });
    let out = b.sink("counted", "counted", Utf8, I64);
    b.connect(lines, split_in);
    b.connect(split_out, words_in);
    b.connect(words_out, count_in);
    b.connect_store(count_in, &disk);
    b.connect_store(count_in, &memory);
    b.connect(count_out, out);
    Arc::new(b.build().expect("a valid topology"))
}

/// Settings of a test: retention only when asked for.
pub(crate) fn config(sync: Sync) -> Config {
    Config { sync, retention_interval: Duration::from_secs(3_600), ..Config::default() }
}

/// The word count's topics, with nothing ever deleted, so that an audit can recompute everything.
pub(crate) fn create_topics(broker: &LocalBroker, topology: &Topology) {
    let keep = topics_of(topology, PARTITIONS).into_iter().map(|t| NewTopic::new(t.name, t.partitions));
    broker.create_topics(&keep.collect::<Vec<_>>()).expect("topics are created");
}

/// A runtime for the calls that are futures.
pub(crate) fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}

/// Appends a line.
pub(crate) async fn line(broker: &LocalBroker, text: &str) -> Result<(u32, Offset), node::local::Error> {
    broker.append("lines", Some(text.as_bytes()), Some(text.as_bytes()), 1, Headers::empty()).await
}

/// The word count over a broker, on workers that this thread turns.
pub(crate) struct Running {
    pub(crate) workers: Vec<Worker<LocalLog>>,
    pub(crate) view: Arc<View>,
    now: i64,
}

impl Running {
    pub(crate) fn start(broker: &Arc<LocalBroker>, backend: &Arc<dyn Backend>, workers: u32) -> Result<Self, String> {
        let topology = word_count();
        let view = View::open(topology.clone(), backend.clone()).map_err(|e| e.to_string())?;
        let start = |worker| {
            let share = Share { worker, workers, subtopologies: None };
            let log = LocalLog::new(broker.clone(), topology.clone(), &share).map_err(|e| e.to_string())?;
            Ok(Worker::new(log, view.clone(), streams::Config { commit_min_interval_ms: 0, ..Default::default() }))
        };
        Ok(Running { workers: (0..workers).map(start).collect::<Result<_, String>>()?, view, now: 1_000 })
    }

    /// Turns until nothing is left to do.
    pub(crate) fn run(&mut self) -> Result<(), streams::Error> {
        let mut quiet = 0;
        while quiet < 3 {
            quiet += 1;
            for worker in &mut self.workers {
                self.now += 1_000;
                let turn = worker.turn(self.now, Duration::ZERO)?;
                if turn.busy || turn.processed > 0 || turn.committed {
                    quiet = 0;
                }
            }
        }
        Ok(())
    }

    /// A store's committed counts.
    pub(crate) fn counts(&self, store: &str) -> BTreeMap<String, i64> {
        let (index, _) = self.view.store(store).expect("a store");
        let mut counts = BTreeMap::new();
        for partition in 0..PARTITIONS {
            let visit = &mut |key: &[u8], value: &[u8], _| {
                let count = i64::from_be_bytes(value.try_into().expect("eight bytes"));
                counts.insert(String::from_utf8_lossy(key).into_owned(), count);
                ControlFlow::Continue(())
            };
            self.view.scan(index, partition, Range::all(), Direction::Forward, visit).expect("a scan");
        }
        counts
    }
}

/// All records of a topic partition as (offset, key, value); offsets must follow each other from 0.
pub(crate) fn records(broker: &LocalBroker, topic: &str, partition: u32) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut all = Vec::new();
    let mut next = Offset(0);
    loop {
        let (records, after) = broker.read(topic, partition, next, 777).expect("readable");
        if records.is_empty() {
            let end = broker.describe_topic(topic).expect("known").partitions[partition as usize].synced_end;
            assert_eq!(next, end, "{topic}-{partition} is readable to its end");
            return all;
        }
        for record in records {
            assert_eq!(record.offset, Offset(all.len() as i64), "{topic}-{partition}: offsets without gaps");
            all.push((record.key().unwrap_or_default().to_vec(), record.value().unwrap_or_default().to_vec()));
        }
        next = after;
    }
}

fn tally<'a>(words: impl Iterator<Item = &'a str>) -> BTreeMap<String, i64> {
    let mut counts = BTreeMap::new();
    for word in words {
        *counts.entry(word.to_owned()).or_insert(0) += 1;
    }
    counts
}

/// Whole commits only: what each task wrote, and its state, are exactly the effect of the input below its committed
/// position. Holds at any moment at which no worker is in a commit. Answers how many lines are processed.
pub(crate) fn audit(broker: &LocalBroker, backend: &Arc<dyn Backend>, context: &str) -> usize {
    let words_topic = "word-count-words-repartition";
    let position = |topic: &str, partition| -> usize {
        let committed = broker.committed("word-count", topic, partition).expect("known");
        committed.map_or(0, |c| usize::try_from(c.offset.0).expect("not negative"))
    };
    let view = View::open(word_count(), backend.clone()).expect("stores");
    let running = Running { workers: Vec::new(), view, now: 0 };
    let (mut split, mut written, mut counted, mut results) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let mut processed = 0;
    for partition in 0..PARTITIONS {
        let lines = records(broker, "lines", partition);
        let read = position("lines", partition);
        assert!(read <= lines.len(), "{context}: lines-{partition} is committed to {read} of {}", lines.len());
        processed += read;
        for (_, line) in &lines[..read] {
            split.extend(String::from_utf8_lossy(line).split_whitespace().map(str::to_owned));
        }
        let words = records(broker, words_topic, partition);
        let read = position(words_topic, partition);
        assert!(read <= words.len(), "{context}: words-{partition} is committed to {read} of {}", words.len());
        let text = |(key, _): &(Vec<u8>, Vec<u8>)| String::from_utf8_lossy(key).into_owned();
        counted.extend(words[..read].iter().map(text));
        written.extend(words.iter().map(text));
        results.extend(records(broker, "counted", partition).iter().map(text));
    }
    let tally = |words: &[String]| tally(words.iter().map(String::as_str));
    assert_eq!(tally(&split), tally(&written), "{context}: words written are those of the lines committed");
    assert_eq!(tally(&counted), tally(&results), "{context}: one result for each word committed");
    assert_eq!(tally(&counted), running.counts("disk"), "{context}: the state is that of the words committed");
    processed
}

/// The whole run's answer, recomputed from the lines.
pub(crate) fn expected(broker: &LocalBroker) -> BTreeMap<String, i64> {
    let lines: Vec<String> = (0..PARTITIONS)
        .flat_map(|p| records(broker, "lines", p))
        .map(|(_, line)| String::from_utf8_lossy(&line).into_owned())
        .collect();
    tally(lines.iter().flat_map(|line| line.split_whitespace()))
}
