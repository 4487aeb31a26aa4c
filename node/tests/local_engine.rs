//! The engine's worker over the embedded log: a straight run, and one with a crash at every named point, of the worker and
//! of the committer, with and without the loss of what was not synced. All must come to the same.

mod local_support;

use std::sync::Arc;
use std::time::Duration;

use local_support::{Running, audit, config, create_topics, expected, line, runtime, word_count};
use node::local::{self, LocalBroker, Sync};
use state::{Backend, FaultBackend, Memory, StoreKind};
use streams::worker::CrashHook;

const LINES: [&str; 7] = ["a b a", "c", "b a", "d d d d", "a c b", "e", "b b a"];

fn hook(point: &'static str, passes: usize) -> CrashHook {
    let mut left = passes;
    Box::new(move |p| {
        let hit = p == point && left == 0;
        left -= usize::from(p == point && left > 0);
        hit
    })
}

/// What a process leaves behind and the next one finds.
struct Machine {
    fault: Arc<FaultBackend>,
    sync: Sync,
    lose_unsynced: bool,
    crashes: usize,
}

impl Machine {
    fn backend(&self) -> Arc<dyn Backend> {
        self.fault.clone()
    }

    fn boot(&self, crash: Option<CrashHook>) -> Arc<LocalBroker> {
        let broker = LocalBroker::open(self.backend(), config(self.sync), crash).expect("opens");
        create_topics(&broker, &word_count());
        broker
    }

    /// The process died: memory is gone, and maybe what was not synced.
    fn die(&mut self, broker: Arc<LocalBroker>) {
        self.crashes += 1;
        // Nothing more may be written by the dead: a real process would not.
        self.fault.freeze_after_writes(0);
        drop(broker);
        self.fault.thaw();
        if self.lose_unsynced {
            self.fault.lose_unsynced().expect("loses");
        }
        let memory = self.fault.open_store("word-count/memory", StoreKind::Memory).expect("known");
        for partition in 0..local_support::PARTITIONS {
            self.fault.drop_partition(memory, partition).expect("drops");
        }
    }
}

/// Runs the lines with one crash; lines that were not acknowledged are appended again, as a client would.
fn run(
    mut machine: Machine,
    worker: Option<CrashHook>,
    committer: Option<CrashHook>,
    workers: u32,
    context: &str,
) -> usize {
    let runtime = runtime();
    let mut broker = machine.boot(committer);
    let mut worker_hook = worker;
    let mut appended = 0;
    loop {
        let backend = machine.backend();
        let outcome = Running::start(&broker, &backend, workers).and_then(|mut running| {
            if let Some(hook) = worker_hook.take() {
                running.workers[0].on_crash_point(hook);
            }
            running.run().map_err(|e| e.to_string())?;
            while let Some(text) = LINES.get(appended) {
                runtime.block_on(line(&broker, text)).map_err(|e| e.to_string())?;
                appended += 1;
                running.run().map_err(|e| e.to_string())?;
            }
            Ok(running)
        });
        match outcome {
            Ok(running) => {
                let (disk, memory) = (running.counts("disk"), running.counts("memory"));
                drop(running);
                // An orderly stop syncs everything; an audit reads only what is synced.
                broker.close();
                broker = machine.boot(None);
                assert_eq!(disk, expected(&broker), "{context}");
                assert_eq!(memory, expected(&broker), "{context}: the memory store came back");
                break;
            }
            Err(e) => assert!(e.contains("crashed at"), "{context}: {e}"),
        }
        machine.die(broker);
        broker = machine.boot(None);
        audit(&broker, &machine.backend(), context);
        if machine.lose_unsynced && machine.sync != Sync::Always {
            // What was answered within the interval may be gone: the client finds out and goes on from there.
            appended = (0..local_support::PARTITIONS).map(|p| local_support::records(&broker, "lines", p).len()).sum();
        }
        assert!(machine.crashes < 3, "{context}: crashes once");
    }
    audit(&broker, &machine.backend(), context);
    machine.crashes
}

fn machine(sync: Sync, lose_unsynced: bool) -> Machine {
    let fault = Arc::new(FaultBackend::new(Arc::new(Memory::new())));
    Machine { fault, sync, lose_unsynced, crashes: 0 }
}

#[test]
fn any_number_of_workers_comes_to_the_same() {
    for workers in 1..=4 {
        assert_eq!(run(machine(Sync::Always, false), None, None, workers, &format!("{workers} workers")), 0);
    }
}

#[test]
fn a_crash_at_every_point_of_the_worker_changes_nothing() {
    for point in streams::worker::CRASH_POINTS {
        let mut crashes = 0;
        for passes in 0..5 {
            for lose_unsynced in [false, true] {
                let context = format!("{point} #{passes}, unsynced lost: {lose_unsynced}");
                crashes += run(machine(Sync::Always, lose_unsynced), Some(hook(point, passes)), None, 1, &context);
            }
        }
        assert!(crashes > 0, "{point} was never reached");
    }
}

#[test]
fn a_crash_at_every_point_of_the_committer_changes_nothing() {
    // Never due by itself within a test: what is written is not synced when the crash comes.
    let interval = Sync::Interval(Duration::from_secs(3_600));
    for sync in [Sync::Always, Sync::InWrite, interval] {
        for point in local::CRASH_POINTS {
            let mut crashes = 0;
            for passes in 0..12 {
                for lose_unsynced in [false, sync != Sync::InWrite] {
                    let context = format!("{sync:?} {point} #{passes}, unsynced lost: {lose_unsynced}");
                    // A line whose answer was lost is appended again: another line, and the expected counts, recomputed
                    // from the log, take it in.
                    crashes += run(machine(sync, lose_unsynced), None, Some(hook(point, passes)), 1, &context);
                }
            }
            let reached = sync != interval || point != "local.after-sync";
            assert_eq!(crashes > 0, reached, "{sync:?} {point}");
        }
    }
}
