//! What the embedded broker promises its callers: topics, offsets, followers, back-pressure, retention, export.

mod local_support;

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use local_support::{config, create_topics, line, records, runtime, word_count};
use node::local::{
    Action, Cleanup, Config, Error, Event, From, GroupPosition, LocalBroker, LocalLog, NewTopic, Retention, Share, Sync,
};
use state::{Backend, Batch, FaultBackend, Memory, Snapshot, StoreId, StoreKind};
use streams::log::{Log, Polled, Rebalance};
use streams::{Headers, Offset};

fn memory() -> Arc<dyn Backend> {
    Arc::new(Memory::new())
}

fn open(backend: &Arc<dyn Backend>, topics: &[NewTopic]) -> Arc<LocalBroker> {
    let broker = LocalBroker::open(backend.clone(), config(Sync::Always), None).expect("opens");
    broker.create_topics(topics).expect("topics are created");
    broker
}

async fn append(broker: &LocalBroker, topic: &str, key: &str, timestamp: i64) -> Offset {
    let bytes = Some(key.as_bytes());
    broker.append(topic, bytes, bytes, timestamp, Headers::empty()).await.expect("appended").1
}

#[test]
fn a_topic_keeps_its_identity_and_refuses_another_partition_count() {
    let backend = memory();
    let broker = open(&backend, &[NewTopic::new("t", 3)]);
    let id = broker.describe_topic("t").expect("known").id;
    broker.close();
    let broker = open(&backend, &[NewTopic::new("t", 3), NewTopic::new("u", 1)]);
    assert_eq!(broker.describe_topic("t").expect("known").id, id);
    assert_ne!(broker.describe_topic("u").expect("known").id, id);
    let error = broker.create_topics(&[NewTopic::new("v", 1), NewTopic::new("t", 4)]).expect_err("changed");
    assert!(error.to_string().contains("Go back to 3"), "names the remedy: {error}");
    assert!(broker.describe_topic("v").is_err(), "all or none");
    for name in ["", "a b", "ä", &"x".repeat(250)] {
        assert!(matches!(broker.create_topics(&[NewTopic::new(name, 1)]), Err(Error::Invalid { .. })), "{name}");
    }
    assert!(broker.create_topics(&[NewTopic::new("w", 0)]).is_err());
}

#[test]
fn records_come_back_as_they_were_on_the_partition_kafka_would_choose() {
    let backend = memory();
    let broker = open(&backend, &[NewTopic::new("t", 5)]);
    let mut headers = Headers::default();
    headers.add("trace", Some(b"1"));
    headers.add("none", None);
    let appended = runtime().block_on(broker.append("t", Some(b"foobar"), Some(b"v"), 42, &headers));
    let (partition, offset) = appended.expect("appended");
    assert_eq!(partition, streams::partitioner::partition_for_key(b"foobar", 5));
    broker.close();
    let broker = open(&backend, &[]);
    let (records, next) = broker.read("t", partition, offset, 10).expect("readable");
    assert_eq!((records.len(), next), (1, offset.next()));
    let record = &records[0];
    assert_eq!((record.key(), record.value(), record.timestamp), (Some(&b"foobar"[..]), Some(&b"v"[..]), 42));
    assert_eq!(record.headers(), &headers);
}

#[test]
fn what_cannot_be_taken_is_refused_by_its_reason() {
    let backend = memory();
    let broker = open(&backend, &[NewTopic::new("t", 1)]);
    let runtime = runtime();
    let big = vec![0; streams::limits::RECORD_BYTES_MAX + 1];
    for (topic, value, timestamp, word) in [
        ("t", &big[..], 1, "bytes"),
        ("t", b"v", -1, "timestamp"),
        ("t", b"v", i64::MAX, "timestamp"),
        ("nope", b"v", 1, "no topic"),
    ] {
        let appended = runtime.block_on(broker.append(topic, None, Some(value), timestamp, Headers::empty()));
        let error = appended.expect_err(word);
        assert!(error.to_string().contains(word), "{error}");
        assert_eq!(error.action(), Action::Refuse);
    }
    assert_eq!(broker.describe_topic("t").expect("known").partitions[0].end, Offset(0));
    broker.close();
    let closed = runtime.block_on(broker.append("t", None, None, 1, Headers::empty()));
    assert!(matches!(closed, Err(Error::Closed)));
}

/// A backend whose writes wait until the test lets them through.
struct Gate {
    inner: Memory,
    open: (std::sync::Mutex<bool>, std::sync::Condvar),
}

impl Gate {
    fn set(&self, open: bool) {
        *self.open.0.lock().expect("not poisoned") = open;
        self.open.1.notify_all();
    }
}

impl Backend for Gate {
    fn open_store(&self, name: &str, kind: StoreKind) -> Result<StoreId, state::Error> {
        self.inner.open_store(name, kind)
    }
    fn get(&self, store: StoreId, partition: u32, key: &[u8], out: &mut Vec<u8>) -> Result<bool, state::Error> {
        self.inner.get(store, partition, key, out)
    }
    fn scan(
        &self,
        store: StoreId,
        partition: u32,
        range: state::Range<'_>,
        direction: state::Direction,
        visit: &mut state::Visit<'_>,
    ) -> Result<(), state::Error> {
        self.inner.scan(store, partition, range, direction, visit)
    }
    fn snapshot(&self) -> Box<dyn Snapshot + '_> {
        self.inner.snapshot()
    }
    fn write(&self, batch: &Batch) -> Result<(), state::Error> {
        let open = self.open.0.lock().expect("not poisoned");
        drop(self.open.1.wait_while(open, |open| !*open).expect("not poisoned"));
        self.inner.write(batch)
    }
    fn sync(&self) -> Result<(), state::Error> {
        self.inner.sync()
    }
    fn position(&self, store: StoreId, partition: u32) -> Result<Option<state::Position>, state::Error> {
        self.inner.position(store, partition)
    }
    fn drop_partition(&self, store: StoreId, partition: u32) -> Result<(), state::Error> {
        self.inner.drop_partition(store, partition)
    }
    fn usage(&self) -> state::Usage {
        self.inner.usage()
    }
}

#[test]
fn a_stuck_disk_makes_appends_busy_after_a_bounded_wait_and_blocks_no_reader() {
    let gate = Arc::new(Gate { inner: Memory::new(), open: (true.into(), std::sync::Condvar::new()) });
    let settings =
        Config { append_wait: Duration::from_millis(5), appends_in_flight_bytes: 2_000, ..config(Sync::Always) };
    let broker = LocalBroker::open(gate.clone(), settings, None).expect("opens");
    broker.create_topics(&[NewTopic::new("t", 1)]).expect("created");
    runtime().block_on(async {
        append(&broker, "t", "first", 1).await;
        gate.set(false);
        let stuck: Vec<_> = (0..40).map(|_| broker.append("t", Some(b"k"), None, 1, Headers::empty())).collect();
        let opener = async {
            // Seven fit (27 bytes each and the overhead of a request); the others give up.
            while broker.stats().busy < 33 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            assert_eq!(records(&broker, "t", 0).len(), 1, "readers go on, and see only what is committed");
            gate.set(true);
        };
        let (outcomes, ()) = tokio::join!(futures_util::future::join_all(stuck), opener);
        let busy = outcomes.iter().filter(|o| matches!(o, Err(Error::Busy { waited_ms: 5 }))).count();
        let taken = outcomes.iter().filter(|o| o.is_ok()).count();
        assert_eq!((busy, taken), (33, 7));
        assert_eq!(records(&broker, "t", 0).len(), 1 + taken, "what was refused was not written");
        append(&broker, "t", "after", 1).await;
    });
    assert_eq!(broker.stats().appends_in_flight_bytes, 0, "all room is given back");
}

#[test]
fn followers_see_synced_records_once_in_order_from_where_they_ask() {
    // Never due by itself: nothing is synced until the log is closed.
    let backend = memory();
    let lazy = Sync::Interval(Duration::from_secs(3_600));
    let broker = LocalBroker::open(backend.clone(), config(lazy), None).expect("opens");
    broker.create_topics(&[NewTopic::new("t", 1)]).expect("created");
    let runtime = runtime();
    let mut early = broker.subscribe("t", &From::Beginning).expect("follows");
    runtime.block_on(async {
        append(&broker, "t", "0", 1).await;
        append(&broker, "t", "1", 1).await;
    });
    let events = early.next_until(Instant::now(), 100).expect("open");
    assert_eq!(events, [Event::CaughtUp(0, Offset(0))], "answered is not yet synced");
    broker.close();
    let keys = |events: &mut dyn Iterator<Item = Event>| -> Vec<String> {
        let key = |e| match e {
            Event::Record(_, r) => Some(String::from_utf8_lossy(r.key().unwrap_or_default()).into_owned()),
            Event::CaughtUp(..) => None,
        };
        events.filter_map(key).collect()
    };
    let events = early.next_until(Instant::now(), 100).expect("what is synced is still there");
    assert_eq!(keys(&mut events.into_iter()), ["0", "1"]);
    assert!(matches!(early.next_until(Instant::now(), 100), Err(Error::Closed)));

    let broker = open(&backend, &[]);
    runtime.block_on(async {
        let mut now = broker.subscribe("t", &From::End).expect("follows");
        let mut from_one = broker.subscribe("t", &From::Offsets(vec![(0, Offset(1))])).expect("follows");
        assert_eq!((now.positions(), from_one.positions()), (vec![(0, Offset(2))], vec![(0, Offset(1))]));
        assert_eq!(now.next(10).await.expect("open"), [Event::CaughtUp(0, Offset(2))]);
        // Waits first, is woken by the append.
        let (events, _) = tokio::join!(now.next(10), append(&broker, "t", "2", 1));
        assert_eq!(keys(&mut events.expect("open").into_iter()), ["2"]);
        let step = from_one.next(1).await.expect("open");
        assert_eq!(keys(&mut step.into_iter()), ["1"], "bounded by what is asked");
        let rest = from_one.next(10).await.expect("open");
        assert_eq!(rest.back(), Some(&Event::CaughtUp(0, Offset(3))));
        let position = GroupPosition { group: "g", topic: "t", partition: 0, offset: Offset(2), metadata: "" };
        broker.commit_positions(&[position]).await.expect("committed");
        let mut group = broker.subscribe("t", &From::Committed("g".into())).expect("follows");
        assert_eq!(keys(&mut group.next(10).await.expect("open").into_iter()), ["2"]);
    });
}

#[test]
fn what_left_memory_is_read_from_the_store_the_same() {
    let backend = memory();
    let settings = Config { tail_bytes_per_partition: 600, ..config(Sync::Always) };
    let broker = LocalBroker::open(backend, settings, None).expect("opens");
    broker.create_topics(&[NewTopic::new("t", 1)]).expect("created");
    runtime().block_on(async {
        for n in 0..100 {
            assert_eq!(append(&broker, "t", &n.to_string(), 1).await, Offset(n));
        }
    });
    let held = broker.describe_topic("t").expect("known").partitions[0].tail_bytes;
    assert!(held > 0 && held <= 600, "{held}");
    for from in [0, 50, 98, 99] {
        let (records, next) = broker.read("t", 0, Offset(from), 7).expect("readable");
        let keys: Vec<i64> = records
            .iter()
            .map(|r| String::from_utf8_lossy(r.key().unwrap_or_default()).parse().expect("a number"))
            .collect();
        assert_eq!(keys, (from..(from + 7).min(100)).collect::<Vec<_>>());
        assert_eq!(next, Offset((from + 7).min(100)));
    }
}

#[test]
fn retention_by_time_and_size_goes_from_the_front_and_spares_what_is_unread() {
    let backend = memory();
    let retained = |time_ms, bytes, keep_unread| NewTopic {
        retention: Retention { time_ms, bytes },
        keep_unread,
        ..NewTopic::new(
            if keep_unread {
                "kept"
            } else if bytes.is_some() {
                "sized"
            } else {
                "timed"
            },
            1,
        )
    };
    let topics =
        [retained(Some(100), None, false), retained(None, Some(10 * 48), false), retained(Some(0), None, true)];
    let broker = open(&backend, &topics);
    let runtime = runtime();
    runtime.block_on(async {
        for n in 0..30 {
            for topic in ["timed", "sized", "kept"] {
                append(&broker, topic, &format!("{n:011}"), n * 10).await;
            }
        }
    });
    broker.register_group("reader", &["kept"]).expect("known");
    let starts = |broker: &LocalBroker| -> Vec<i64> {
        ["timed", "sized", "kept"].map(|t| broker.describe_topic(t).expect("known").partitions[0].start.0).into()
    };
    assert_eq!(broker.enforce_retention(300).expect("passes"), 40);
    assert_eq!(starts(&broker), [20, 20, 0], "older than 100 ms; above ten records of 48 bytes; unread");
    let position =
        |offset| GroupPosition { group: "reader", topic: "kept", partition: 0, offset: Offset(offset), metadata: "" };
    runtime.block_on(broker.commit_positions(&[position(12)])).expect("committed");
    broker.enforce_retention(300).expect("passes");
    assert_eq!(starts(&broker), [20, 20, 12]);
    assert!(matches!(broker.read("timed", 0, Offset(19), 1), Err(Error::Expired { start: Offset(20), .. })));
    assert!(matches!(broker.subscribe("timed", &From::Offsets(vec![(0, Offset(3))])), Err(Error::Expired { .. })));
    runtime.block_on(broker.commit_positions(&[position(30)])).expect("committed");
    broker.enforce_retention(10_000).expect("passes");
    assert_eq!(starts(&broker), [30, 20, 30]);
    broker.close();
    let broker = open(&backend, &[]);
    assert_eq!(starts(&broker), [30, 20, 30]);
    assert_eq!(runtime.block_on(append(&broker, "timed", "next", 1)), Offset(30), "an emptied log keeps its end");
    assert_eq!(broker.read("sized", 0, Offset(20), 100).expect("readable").0.len(), 10);
    broker.remove_group("reader").expect("removed");
    assert_eq!(broker.committed("reader", "kept", 0).expect("known"), None);
}

#[test]
fn compaction_keeps_the_last_record_of_each_key_and_the_end() {
    const DAY_MS: i64 = 86_400_000;
    let backend = memory();
    let broker = open(&backend, &[NewTopic { cleanup: Cleanup::Compact, ..NewTopic::new("t", 1) }]);
    let runtime = runtime();
    runtime.block_on(async {
        for n in 0..20 {
            append(&broker, "t", &format!("k{}", n % 3), n).await;
        }
        broker.append("t", Some(b"k0"), None, 20, Headers::empty()).await.expect("appended");
        broker.append("t", Some(b"k1"), None, 2 * DAY_MS, Headers::empty()).await.expect("appended");
    });
    assert_eq!(broker.enforce_retention(2 * DAY_MS).expect("passes"), 20);
    assert_eq!(broker.enforce_retention(2 * DAY_MS).expect("passes"), 0, "nothing new, nothing to do");
    broker.close();
    let broker = open(&backend, &[]);
    let (left, next) = broker.read("t", 0, Offset(0), 100).expect("readable");
    let left: Vec<_> = left.iter().map(|r| (r.offset.0, r.key().unwrap_or_default().to_vec())).collect();
    assert_eq!(left, [(17, b"k2".to_vec()), (21, b"k1".to_vec())], "an old tombstone is gone, a young one stays");
    assert_eq!(next, Offset(22));
}

#[test]
fn workers_share_tasks_so_that_each_is_whole_and_has_one_owner() {
    let backend = memory();
    let broker = open(&backend, &[]);
    let topology = word_count();
    create_topics(&broker, &topology);
    for workers in 1..=5 {
        let mut all = Vec::new();
        for worker in 0..workers {
            let share = Share { worker, workers, subtopologies: None };
            let mut log = LocalLog::new(broker.clone(), topology.clone(), &share).expect("topics are there");
            let mut polled = Polled::default();
            log.poll(Duration::ZERO, &mut polled).expect("polls");
            let Some(Rebalance::Assigned(mine)) = polled.rebalance.pop() else { panic!("the first poll assigns") };
            let of = |name| -> Vec<u32> {
                let topic = topology.topic(name).expect("known");
                mine.iter().filter(|tp| tp.topic == topic).map(|tp| tp.partition).collect()
            };
            assert_eq!(of("lines"), of("word-count-words-repartition"), "sub-topologies of a partition are together");
            all.extend(mine);
        }
        all.sort_unstable();
        let count = all.len();
        all.dedup();
        assert_eq!((all.len(), count), (6, 6), "{workers} workers: every input once");
    }
    let only = Share { subtopologies: Some([1].into()), ..Share::whole() };
    let mut log = LocalLog::new(broker.clone(), topology.clone(), &only).expect("topics are there");
    let mut polled = Polled::default();
    log.poll(Duration::ZERO, &mut polled).expect("polls");
    assert!(matches!(&polled.rebalance[..], [Rebalance::Assigned(mine)] if mine.len() == 3));
}

#[test]
fn an_export_is_everything_at_one_instant() {
    let backend = memory();
    let broker = open(&backend, &[]);
    create_topics(&broker, &word_count());
    let mut running = local_support::Running::start(&broker, &backend, 1).expect("starts");
    let runtime = runtime();
    runtime.block_on(line(&broker, "a b a")).expect("appended");
    running.run().expect("runs");
    let export = broker.export();
    runtime.block_on(line(&broker, "later")).expect("appended");
    running.run().expect("runs");
    let mut exported = 0;
    for topic in export.topics() {
        for partition in 0..topic.partitions.len() as u32 {
            let count = &mut |_| {
                exported += 1;
                ControlFlow::Continue(())
            };
            export.records(&topic.name, partition, Offset(0), count).expect("readable");
        }
    }
    assert_eq!(exported, 1 + 3 + 3 + 2, "lines, words, results, and the memory store's changelog");
    let positions = export.positions().expect("readable");
    assert_eq!(positions.iter().filter(|p| p.group == "word-count").map(|p| p.committed.offset.0).sum::<i64>(), 4);
    let (index, _) = running.view.store("disk").expect("a store");
    let store = running.view.store_ids()[topology_position(&running, index)];
    let mut entries = 0;
    for partition in 0..local_support::PARTITIONS {
        let count = &mut |_: &[u8], _: &[u8]| {
            entries += 1;
            ControlFlow::Continue(())
        };
        export.entries(store, partition, count).expect("readable");
    }
    assert_eq!(entries, 2);
}

fn topology_position(running: &local_support::Running, index: streams::StoreIndex) -> usize {
    let stores = running.view.topology().stores();
    let by_index = |name: &str| running.view.store(name).map(|(i, _)| i);
    stores.iter().position(|s| by_index(&s.name) == Some(index)).expect("a store of the topology")
}

#[test]
fn ends_are_found_again_and_a_start_writes_nothing() {
    let fault = Arc::new(FaultBackend::new(Arc::new(Memory::new())));
    let backend: Arc<dyn Backend> = fault.clone();
    let broker = open(&backend, &[NewTopic::new("t", 2)]);
    runtime().block_on(async {
        let keys: Vec<String> = (0..500).map(|n| n.to_string()).collect();
        futures_util::future::join_all(keys.iter().map(|key| append(&broker, "t", key, 1))).await;
    });
    let ends =
        |b: &LocalBroker| b.describe_topic("t").expect("known").partitions.iter().map(|p| p.end.0).collect::<Vec<_>>();
    let before = ends(&broker);
    assert_eq!(before.iter().sum::<i64>(), 500);
    broker.close();
    let writes = fault.counts().writes;
    let broker = open(&backend, &[NewTopic::new("t", 2)]);
    assert_eq!(ends(&broker), before);
    assert_eq!(fault.counts().writes, writes, "an orderly start writes nothing");
}
