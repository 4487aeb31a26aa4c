//! Runs one task on records held in memory, and counts what it allocates. No log, no broker, one thread.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::Arc;
use std::time::{Duration, Instant};

use state::{Backend, Memory};
use streams::effects::Effects;
use streams::{ErrorPolicy, Incoming, Offset, Step, Task, TaskId, TopicPartition, Topology, View};

/// Counts allocations; reallocations count too.
pub(crate) struct Counting;

thread_local! {
    /// Of this thread only: a test harness allocates on threads of its own, whenever it likes.
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

fn count() {
    // A thread that is ending has no counter any more, and nobody reads it.
    let _ = ALLOCATIONS.try_with(|n| n.set(n.get() + 1));
}

// SAFETY: every call goes to the system allocator as it came; counting touches no memory of the caller.
#[allow(unsafe_code, reason = "an allocator cannot be written without; it only counts and passes on")]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        unsafe { System.dealloc(pointer, layout) }
    }
    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        unsafe { System.realloc(pointer, layout, size) }
    }
}

/// What processing cost.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cost {
    /// Records processed.
    pub(crate) records: u64,
    /// Time it took.
    pub(crate) time: Duration,
    /// Allocations it made.
    pub(crate) allocations: u64,
}

/// Records processed between two drains of the outputs.
const RECORDS_PER_ROUND: u64 = 256;

/// A task of the sub-topology that reads the topics, over an empty store, fed with `rounds` rounds of records after as many
/// warm-up rounds: keys run over `keys`, topics take turns, time moves by 1 ms per record.
pub(crate) fn run(topology: Topology, topics: &[&str], keys: i64, rounds: u64) -> Cost {
    let topology = Arc::new(topology);
    let backend: Arc<dyn Backend> = Arc::new(Memory::new());
    let view = View::open(topology.clone(), backend.clone()).expect("stores open");
    let first = topics.first().and_then(|topic| topology.topic(topic)).expect("a topic");
    let id = TaskId { subtopology: topology.subtopology_of_source(first).expect("a source"), partition: 0 };
    let partitions: Arc<[u32]> = vec![1; topology.topics().len()].into();
    let policy = ErrorPolicy::default();
    let mut task = Task::new(topology.clone(), id, backend, view.store_ids(), partitions, policy);
    task.set_cache_bytes(16 << 20);
    let mut effects = Effects::default();
    let inputs: Vec<TopicPartition> =
        topics.iter().map(|t| TopicPartition { topic: topology.topic(t).expect("a topic"), partition: 0 }).collect();
    let committed: Vec<_> = inputs.iter().map(|tp| (*tp, Offset::ZERO, None)).collect();
    task.start(&committed, 0, &mut effects).expect("starts");
    // Inputs that get no records, such as answers of another sub-topology, hold nothing up.
    let sources = topology.subtopologies()[id.subtopology as usize].source_topics().count();
    (0..sources).for_each(|input| task.caught_up(input, Offset::ZERO));
    let mut number = 0_i64;
    let mut cost = Cost { records: 0, time: Duration::ZERO, allocations: 0 };
    for round in 0..2 * rounds {
        for _ in 0..RECORDS_PER_ROUND {
            for input in &inputs {
                let key = (number % keys).to_be_bytes();
                let record = Incoming::new(Offset(number), number, Some(&key), Some(&number.to_be_bytes()), None);
                task.push(*input, record);
            }
            number += 1;
        }
        let (allocations, started) = (ALLOCATIONS.get(), Instant::now());
        let mut records = 0;
        // All inputs have as many records, so the task never waits for one of them before the round is over.
        while records < RECORDS_PER_ROUND * inputs.len() as u64
            && task.process(0, &mut effects).expect("processes") == Step::Processed
        {
            records += 1;
        }
        effects.clear();
        if round >= rounds {
            cost.records += records;
            cost.time += started.elapsed();
            cost.allocations += ALLOCATIONS.get() - allocations;
        }
    }
    cost
}
