//! Where a worker's time goes: its log, its stores and its formats, timed from outside at the ports that they stand behind.
//!
//! Wall-clock time of one thread, for a worker that never waits. What reading the clock itself takes is measured and taken
//! off.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use state::{Backend, Batch, Direction, Partition, Position, Range, Snapshot, StoreId, StoreKind, Usage};
use streams::log::{Commit, CommitAck, Committed, Error, Log, LogRange, Outgoing, Polled, Replayed, StateWrites};
use streams::{Incoming, Offset, TopicPartition};

/// Readings to find out what one costs.
const CALIBRATION: u32 = 100_000;

/// A stage that is timed.
#[derive(Clone, Copy)]
pub(crate) enum Stage {
    /// [`Log::poll`].
    Fetch,
    /// Bytes to values: records and stored values.
    Decode,
    /// Reads of the backend, after the overlay had no answer.
    StoreRead,
    /// Values to bytes: records and stored values.
    Encode,
    /// [`Log::send`]: outputs and changelog records.
    Produce,
    /// [`Log::begin`] and [`Log::commit`].
    Commit,
    /// Writes of the backend.
    StoreWrite,
}

/// By [`Stage`].
const NAMES: [&str; 7] = ["fetch", "decode", "store read", "encode", "produce", "commit", "store write"];
/// The loop, tasks, overlay, processors.
const REST: &str = "engine";

#[derive(Default)]
struct Costs {
    on: Cell<bool>,
    /// Time and calls by [`Stage`].
    of: [Cell<(Duration, u32)>; NAMES.len()],
}

thread_local! {
    static COSTS: Costs = Costs::default();
}

/// Does the work and counts its time, if this thread is measuring.
pub(crate) fn timed<T>(stage: Stage, work: impl FnOnce() -> T) -> T {
    COSTS.with(|costs| {
        if !costs.on.get() {
            return work();
        }
        let started = Instant::now();
        let answer = work();
        let took = started.elapsed();
        let cell = &costs.of[stage as usize];
        let (time, calls) = cell.get();
        cell.set((time + took, calls + 1));
        answer
    })
}

/// Does the work and tells where its time went: by stage, and the rest, as shares of one.
pub(crate) fn shares<T>(work: impl FnOnce() -> T) -> (BTreeMap<&'static str, f64>, T) {
    let clock = clock_ns();
    COSTS.with(|costs| {
        costs.of.iter().for_each(|c| c.set((Duration::ZERO, 0)));
        costs.on.set(true);
        let started = Instant::now();
        let answer = work();
        let mut rest = started.elapsed().as_nanos() as f64;
        costs.on.set(false);
        let mut stages = BTreeMap::new();
        for (name, cell) in NAMES.into_iter().zip(&costs.of) {
            let (time, calls) = cell.get();
            let (time, clock) = (time.as_nanos() as f64, clock * f64::from(calls));
            // Of the two readings per call one falls into the stage and one around it.
            rest -= time + clock;
            stages.insert(name, (time - clock).max(0.0));
        }
        stages.insert(REST, rest.max(0.0));
        let sum: f64 = stages.values().sum();
        stages.values_mut().for_each(|ns| *ns /= sum);
        (stages, answer)
    })
}

/// Nanoseconds that one reading of the clock takes.
fn clock_ns() -> f64 {
    let started = Instant::now();
    for _ in 0..CALIBRATION {
        std::hint::black_box(Instant::now());
    }
    started.elapsed().as_nanos() as f64 / f64::from(CALIBRATION)
}

/// A log whose calls are timed.
pub(crate) struct TimedLog<L>(pub(crate) L);

impl<L: Log> Log for TimedLog<L> {
    fn state_writes(&self) -> StateWrites {
        self.0.state_writes()
    }
    fn partitions(&self) -> &[u32] {
        self.0.partitions()
    }
    fn poll(&mut self, timeout: Duration, polled: &mut Polled) -> Result<(), Error> {
        timed(Stage::Fetch, || self.0.poll(timeout, polled))
    }
    fn begin(&mut self) -> Result<(), Error> {
        timed(Stage::Commit, || self.0.begin())
    }
    fn send(&mut self, record: Outgoing<'_>) -> Result<(), Error> {
        timed(Stage::Produce, || self.0.send(record))
    }
    fn commit(&mut self, commit: Commit<'_>) -> Result<CommitAck, Error> {
        timed(Stage::Commit, || self.0.commit(commit))
    }
    fn abort(&mut self) -> Result<(), Error> {
        self.0.abort()
    }
    fn reset(&mut self) -> Result<(), Error> {
        self.0.reset()
    }
    fn committed(&mut self, inputs: &[TopicPartition]) -> Result<Vec<Option<Committed>>, Error> {
        self.0.committed(inputs)
    }
    fn ranges(&mut self, partitions: &[TopicPartition]) -> Result<Vec<LogRange>, Error> {
        self.0.ranges(partitions)
    }
    fn writes_markers(&self) -> bool {
        self.0.writes_markers()
    }
    fn replay(
        &mut self,
        changelog: TopicPartition,
        from: Offset,
        to: Offset,
        records_max: usize,
        records: &mut Vec<Incoming>,
    ) -> Result<Replayed, Error> {
        self.0.replay(changelog, from, to, records_max, records)
    }
    fn seek_and_resume(&mut self, input: TopicPartition, offset: Offset) -> Result<(), Error> {
        self.0.seek_and_resume(input, offset)
    }
    fn pause(&mut self, input: TopicPartition) -> Result<(), Error> {
        self.0.pause(input)
    }
    fn resume(&mut self, input: TopicPartition) -> Result<(), Error> {
        self.0.resume(input)
    }
    fn park(&mut self, input: TopicPartition) -> Result<(), Error> {
        self.0.park(input)
    }
    fn unassign(&mut self) -> Result<(), Error> {
        self.0.unassign()
    }
    fn close(&mut self) {
        self.0.close();
    }
}

/// A backend whose reads of single keys and whose writes are timed.
pub(crate) struct TimedBackend(pub(crate) Arc<dyn Backend>);

impl Backend for TimedBackend {
    fn open_store(&self, name: &str, kind: StoreKind) -> Result<StoreId, state::Error> {
        self.0.open_store(name, kind)
    }
    fn get(&self, store: StoreId, at: Partition, key: &[u8], out: &mut Vec<u8>) -> Result<bool, state::Error> {
        timed(Stage::StoreRead, || self.0.get(store, at, key, out))
    }
    fn scan(
        &self,
        store: StoreId,
        partition: Partition,
        range: Range<'_>,
        direction: Direction,
        visit: &mut state::Visit<'_>,
    ) -> Result<(), state::Error> {
        self.0.scan(store, partition, range, direction, visit)
    }
    fn snapshot(&self) -> Box<dyn Snapshot + '_> {
        self.0.snapshot()
    }
    fn write(&self, batch: &Batch) -> Result<(), state::Error> {
        timed(Stage::StoreWrite, || self.0.write(batch))
    }
    fn sync(&self) -> Result<(), state::Error> {
        self.0.sync()
    }
    fn position(&self, store: StoreId, partition: Partition) -> Result<Option<Position>, state::Error> {
        self.0.position(store, partition)
    }
    fn drop_partition(&self, store: StoreId, partition: Partition) -> Result<(), state::Error> {
        self.0.drop_partition(store, partition)
    }
    fn usage(&self) -> Usage {
        self.0.usage()
    }
}
