//! How long a worker waits for input: it neither spins over a change that is to be committed later, nor commits it late.
//! What it does with inputs that are lost meanwhile.
#![allow(clippy::expect_used)]

use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use state::Memory;
use streams::log::{
    Commit, CommitAck, Committed, Error, Log, LogRange, Outgoing, Polled, Rebalance, Replayed, StateWrites,
};
use streams::serde::Utf8;
use streams::testing::{Call, Fault, SimCluster, SimLog};
use streams::{
    Config, Headers, Incoming, Offset, SourceOptions, TopicPartition, Topology, TopologyBuilder, View, Worker,
};

/// The simulated log, which never waits, and how long it was asked to.
struct Watched {
    log: SimLog,
    waits: Rc<RefCell<Vec<Duration>>>,
    paused: HashSet<TopicPartition>,
    /// Times it was asked to wait with an input paused, which would not have ended the wait.
    deaf: Rc<Cell<usize>>,
    pauses: Rc<Cell<usize>>,
    consumer: Rc<Cell<Consumer>>,
    /// Calls about an input that the new consumer does not have.
    strays: Rc<Cell<usize>>,
    input: TopicPartition,
}

/// What becomes of a consumer that has to be replaced by a new one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Consumer {
    Good,
    /// The next poll replaces it and says that everything is lost.
    Failing,
    /// Has no inputs until the next poll.
    New,
    /// Was told to let go of what it had just been assigned.
    Unassigned,
}

impl Watched {
    fn flow(&self) -> Result<(), Error> {
        match self.consumer.get() {
            Consumer::New => {
                self.strays.set(self.strays.get() + 1);
                Err(Error::Unknown("not assigned".to_owned()))
            }
            _ => Ok(()),
        }
    }
}

impl Log for Watched {
    fn poll(&mut self, timeout: Duration, polled: &mut Polled) -> Result<(), Error> {
        match self.consumer.get() {
            Consumer::Good | Consumer::Unassigned => (),
            Consumer::Failing => {
                self.consumer.set(Consumer::New);
                polled.rebalance.push(Rebalance::Lost);
                return Ok(());
            }
            Consumer::New => {
                self.consumer.set(Consumer::Good);
                polled.rebalance.push(Rebalance::Assigned(vec![self.input]));
                return Ok(());
            }
        }
        self.waits.borrow_mut().push(timeout);
        if !timeout.is_zero() && !self.paused.is_empty() {
            self.deaf.set(self.deaf.get() + 1);
        }
        self.log.poll(timeout, polled)
    }
    fn state_writes(&self) -> StateWrites {
        self.log.state_writes()
    }
    fn partitions(&self) -> &[u32] {
        self.log.partitions()
    }
    fn begin(&mut self) -> Result<(), Error> {
        self.log.begin()
    }
    fn send(&mut self, record: Outgoing<'_>) -> Result<(), Error> {
        self.log.send(record)
    }
    fn commit(&mut self, commit: Commit<'_>) -> Result<CommitAck, Error> {
        self.log.commit(commit)
    }
    fn abort(&mut self) -> Result<(), Error> {
        self.log.abort()
    }
    fn reset(&mut self) -> Result<(), Error> {
        self.log.reset()
    }
    fn committed(&mut self, inputs: &[TopicPartition]) -> Result<Vec<Option<Committed>>, Error> {
        self.log.committed(inputs)
    }
    fn ranges(&mut self, partitions: &[TopicPartition]) -> Result<Vec<LogRange>, Error> {
        self.log.ranges(partitions)
    }
    fn writes_markers(&self) -> bool {
        self.log.writes_markers()
    }
    fn replay(
        &mut self,
        changelog: TopicPartition,
        from: Offset,
        to: Offset,
        records_max: usize,
        records: &mut Vec<Incoming>,
    ) -> Result<Replayed, Error> {
        self.log.replay(changelog, from, to, records_max, records)
    }
    fn seek_and_resume(&mut self, input: TopicPartition, offset: Offset) -> Result<(), Error> {
        self.paused.remove(&input);
        self.log.seek_and_resume(input, offset)
    }
    fn pause(&mut self, input: TopicPartition) -> Result<(), Error> {
        self.paused.insert(input);
        self.pauses.set(self.pauses.get() + 1);
        self.flow()?;
        self.log.pause(input)
    }
    fn resume(&mut self, input: TopicPartition) -> Result<(), Error> {
        self.paused.remove(&input);
        self.flow()?;
        self.log.resume(input)
    }
    fn park(&mut self, input: TopicPartition) -> Result<(), Error> {
        self.log.park(input)
    }
    fn unassign(&mut self) -> Result<(), Error> {
        match self.consumer.get() {
            Consumer::New => (),
            _ => self.consumer.set(Consumer::Unassigned),
        }
        Ok(())
    }
    fn close(&mut self) {
        self.log.close();
    }
}

fn topology() -> Topology {
    let mut b = TopologyBuilder::new("waits");
    let source = b.source("in", &["in"], Utf8, Utf8, SourceOptions::default());
    let sink = b.sink("out", "out", Utf8, Utf8);
    b.connect(source, sink);
    b.build().expect("a topology")
}

/// A worker that was assigned its input, with what it was seen to do.
struct Scene {
    worker: Worker<Watched>,
    cluster: SimCluster,
    input: TopicPartition,
    waits: Rc<RefCell<Vec<Duration>>>,
    deaf: Rc<Cell<usize>>,
    pauses: Rc<Cell<usize>>,
    consumer: Rc<Cell<Consumer>>,
    strays: Rc<Cell<usize>>,
    /// So many of the calls that send, abort or start over fail.
    refused: Arc<AtomicUsize>,
}

impl Scene {
    fn new(config: Config) -> Scene {
        let topology = Arc::new(topology());
        let cluster = SimCluster::new(&topology, 1);
        let (waits, deaf, pauses, strays) = (Rc::default(), Rc::default(), Rc::default(), Rc::default());
        let (consumer, refused) = (Rc::new(Cell::new(Consumer::Good)), Arc::new(AtomicUsize::new(0)));
        let input = TopicPartition { topic: topology.topic("in").expect("the topic"), partition: 0 };
        let mut log = cluster.connect("worker");
        let to_refuse = Arc::clone(&refused);
        log.on_call(move |call| {
            let fails = matches!(call, Call::Send | Call::Abort | Call::Reset)
                && to_refuse.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1)).is_ok();
            if fails { Fault::Before(Error::Abort("for the test".to_owned())) } else { Fault::None }
        });
        let log = Watched {
            log,
            consumer: Rc::clone(&consumer),
            strays: Rc::clone(&strays),
            input,
            waits: Rc::clone(&waits),
            paused: HashSet::new(),
            deaf: Rc::clone(&deaf),
            pauses: Rc::clone(&pauses),
        };
        let view = View::open(topology.clone(), Arc::new(Memory::new())).expect("a view");
        let mut worker = Worker::new(log, view, config);
        for _ in 0..10 {
            worker.turn(10_000, Duration::ZERO).expect("a turn");
        }
        Scene { worker, cluster, input, waits, deaf, pauses, consumer, strays, refused }
    }

    fn produce(&self) {
        self.cluster.produce(self.input, Some(b"k"), Some(b"v"), 1, Headers::default());
    }
}

#[test]
fn a_change_that_is_to_be_committed_later_is_waited_for_and_not_spun_over() {
    let Scene { mut worker, waits, .. } = {
        let scene = Scene::new(Config { commit_min_interval_ms: 50, ..Config::default() });
        scene.produce();
        scene
    };
    let second = Duration::from_secs(1);

    let turn = worker.turn(10_000, Duration::ZERO).expect("a turn");
    assert_eq!((turn.processed, turn.committed), (1, false));

    waits.borrow_mut().clear();
    worker.wait(10_010, second).expect("a wait");
    assert_eq!(*waits.borrow(), [Duration::from_millis(40)], "until the commit is due, no longer");
    worker.wait(10_050, second).expect("no wait");
    assert_eq!(waits.borrow().len(), 1, "the commit is due");
    assert!(worker.turn(10_050, Duration::ZERO).expect("a turn").committed);

    waits.borrow_mut().clear();
    worker.wait(10_051, second).expect("a wait");
    assert_eq!(*waits.borrow(), [second], "nothing is left to do");
}

#[test]
fn input_that_had_to_wait_flows_again_before_more_is_waited_for() {
    const RECORDS: usize = 1_000;
    let config = Config { commit_min_interval_ms: 50, buffered_records_per_partition: 10, ..Config::default() };
    let mut scene = Scene::new(config);
    (0..RECORDS).for_each(|_| scene.produce());
    let mut processed = 0;
    for _ in 0..RECORDS {
        scene.worker.wait(10_000, Duration::from_secs(1)).expect("a wait");
        processed += scene.worker.turn(10_000, Duration::ZERO).expect("a turn").processed;
    }
    assert_eq!(processed, RECORDS);
    assert!(scene.pauses.get() > 0, "more input at once than is buffered");
    assert_eq!(scene.deaf.get(), 0, "waits with the input paused");
}

/// A transaction fails with the input paused, alone or (so that the worker tries again later) with the abort and the new
/// producer behind it; then the consumer is replaced.
#[test]
fn a_lost_assignment_is_let_go_of_before_anything_else_is_asked() {
    for failures in [1, 3] {
        let config = Config { buffered_records_per_partition: 10, ..Config::default() };
        let Scene { mut worker, cluster, input, consumer, strays, refused, pauses, .. } = {
            let scene = Scene::new(config);
            (0..100).for_each(|_| scene.produce());
            scene
        };
        refused.store(failures, Ordering::Relaxed);
        let mut now = 10_000;
        for _ in 0..10 {
            if refused.load(Ordering::Relaxed) > 0 {
                worker.turn(now, Duration::ZERO).expect("a turn");
            }
        }
        assert_eq!(refused.load(Ordering::Relaxed), 0, "failed as often as it was to");
        assert!(pauses.get() > 0, "more input at once than is buffered");

        consumer.set(Consumer::Failing);
        worker.wait(now, Duration::from_millis(1)).expect("a wait");
        for turn in 0..200 {
            worker.turn(now, Duration::ZERO).expect("a turn");
            assert_ne!(consumer.get(), Consumer::Unassigned, "turn {turn}: lets go of what it was given since");
            now += 10;
        }
        assert_eq!(strays.get(), 0, "calls for inputs that were lost");
        let done = cluster.committed(input).expect("a position").offset;
        assert_eq!(done, Offset(100), "all that there is, after {failures} failures");
    }
}
