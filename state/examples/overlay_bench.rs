//! Nanoseconds of what a task does to its state, on both backends:
//! `cargo run --release -p state --example overlay_bench`
//!
//! Medians of several rounds, with the range; 24-byte keys, 200-byte values, one thread.
#![allow(clippy::print_stdout)]

use std::collections::BTreeMap;
use std::hint::black_box;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Instant;

use state::{Backend, Batch, Direction, Memory, Overlay, Range, StoreKind};

const ROUNDS: usize = 9;
/// Entries in the backend.
const ENTRIES: usize = 100_000;
/// Entries of one transaction.
const DIRTY: usize = 2_000;
const VALUE: [u8; 200] = [7; 200];

fn main() -> Result<(), state::Error> {
    ordered_access();
    println!();
    for uncommitted in [10, 1_000, 100_000] {
        scans_over(uncommitted)?;
    }
    println!();
    bench("memory", Arc::new(Memory::new()))?;
    #[cfg(feature = "rocksdb")]
    for durability in [state::rocks::Durability::Buffered, state::rocks::Durability::Process] {
        let directory = tempfile::tempdir()
            .map_err(|error| state::Error::Storage { doing: "making a directory", message: error.to_string() })?;
        let options = state::rocks::Options { durability, ..Default::default() };
        bench(&format!("rocks {durability:?}"), Arc::new(state::RocksBackend::open(directory.path(), options)?))?;
    }
    Ok(())
}

/// Keys in an order that is not theirs.
fn key(number: usize) -> [u8; 24] {
    let mut key = *b"order-000000000000000000";
    let scattered = (number as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    key[8..].copy_from_slice(format!("{scattered:016x}").as_bytes());
    key
}

/// Runs `round` several times; it answers nanoseconds an operation.
fn report(name: &str, what: &str, mut round: impl FnMut() -> Result<f64, state::Error>) -> Result<(), state::Error> {
    let mut times = (0..ROUNDS).map(|_| round()).collect::<Result<Vec<_>, _>>()?;
    times.sort_by(f64::total_cmp);
    let (least, median, most) = (times[0], times[ROUNDS / 2], times[ROUNDS - 1]);
    println!("{name:<15} {what:<44} {median:>9.0} ns  ({least:.0} to {most:.0})");
    Ok(())
}

fn per_operation(started: Instant, operations: usize) -> f64 {
    started.elapsed().as_nanos() as f64 / operations as f64
}

fn bench(name: &str, backend: Arc<dyn Backend>) -> Result<(), state::Error> {
    let store = backend.open_store("bench", StoreKind::Persistent)?;
    let keys: Vec<_> = (0..ENTRIES).map(key).collect();
    let absent: Vec<_> = (ENTRIES..2 * ENTRIES).map(key).collect();
    let mut batch = Batch::new();
    for key in &keys {
        batch.put(store, 0, key, &VALUE);
    }
    backend.write(&batch)?;
    let overlay = |cache_bytes| Overlay::new(Arc::clone(&backend), 0, vec![store], cache_bytes);

    let mut cached = overlay(64 << 20);
    for key in &keys {
        cached.get(0, key)?;
    }
    report(name, "get, cached", || {
        let started = Instant::now();
        for key in &keys {
            black_box(cached.get(0, key)?);
        }
        Ok(per_operation(started, ENTRIES))
    })?;
    let mut uncached = overlay(0);
    report(name, "get, from the backend", || {
        let started = Instant::now();
        for key in &keys[..10_000] {
            black_box(uncached.get(0, key)?);
        }
        Ok(per_operation(started, 10_000))
    })?;
    report(name, "get, not there", || {
        let started = Instant::now();
        for key in &absent[..10_000] {
            black_box(uncached.get(0, key)?);
        }
        Ok(per_operation(started, 10_000))
    })?;

    let mut task = overlay(1 << 20);
    report(name, "put, first of its key", || {
        task.abort();
        let started = Instant::now();
        for key in &keys[..DIRTY] {
            task.savepoint();
            task.put(0, key, &VALUE);
        }
        Ok(per_operation(started, DIRTY))
    })?;
    report(name, "put, dirty already", || {
        let started = Instant::now();
        for key in &keys[..DIRTY] {
            task.savepoint();
            task.put(0, key, &VALUE);
        }
        Ok(per_operation(started, DIRTY))
    })?;
    report(name, "get, dirty", || {
        let started = Instant::now();
        for key in &keys[..DIRTY] {
            black_box(task.get(0, key)?);
        }
        Ok(per_operation(started, DIRTY))
    })?;
    let mut round = 0;
    report(name, "commit, per entry (sort, append, write, committed)", || {
        task.abort();
        round += 1;
        for key in &keys[round * DIRTY..][..DIRTY] {
            task.put(0, key, &VALUE);
        }
        let started = Instant::now();
        batch.clear();
        task.sort();
        task.append_to(&mut batch);
        backend.write(&batch)?;
        task.committed();
        Ok(per_operation(started, DIRTY))
    })?;
    report(name, "sync", || {
        task.put(0, &keys[0], &VALUE);
        batch.clear();
        task.append_to(&mut batch);
        backend.write(&batch)?;
        task.committed();
        let started = Instant::now();
        backend.sync()?;
        Ok(per_operation(started, 1))
    })?;
    report(name, "scan, per entry of 1000", || {
        let mut left = 1_000;
        let started = Instant::now();
        task.scan(0, Range::all(), Direction::Forward, &mut |key, value| {
            black_box((key, value));
            left -= 1;
            if left == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        Ok(per_operation(started, 1_000))
    })
}

/// Why the overlay keeps order in runs that only scans bring up to date: the same changes and scans against an empty
/// backend, with a `BTreeMap` of the keys kept beside as the other way to do it.
fn ordered_access() {
    let keys: Vec<_> = (0..DIRTY).map(key).collect();
    for (pattern, every) in [("no scan", usize::MAX), ("a scan after each 100 puts", 100), ("a scan after each put", 1)]
    {
        let run = |with_tree: bool| {
            let backend: Arc<dyn Backend> = Arc::new(Memory::new());
            let store = backend.open_store("s", StoreKind::Persistent)?;
            let mut overlay = Overlay::new(Arc::clone(&backend), 0, vec![store], 0);
            let mut tree: BTreeMap<Box<[u8]>, u32> = BTreeMap::new();
            let started = Instant::now();
            for (number, key) in keys.iter().enumerate() {
                overlay.put(0, key, &VALUE);
                if with_tree {
                    tree.insert(key.as_slice().into(), number as u32);
                }
                if (number + 1) % every == 0 {
                    // A scan of one key's neighbourhood, as joins and windows do.
                    let range = Range::starting_at(key);
                    let mut visit = |key: &[u8], value: &[u8]| {
                        black_box((key, value));
                        ControlFlow::Break(())
                    };
                    if with_tree {
                        black_box(tree.range::<[u8], _>((range.from, range.to)).next());
                        backend.scan(store, 0, range, Direction::Forward, &mut visit)?;
                    } else {
                        overlay.scan(0, range, Direction::Forward, &mut visit)?;
                    }
                }
            }
            Ok(per_operation(started, DIRTY))
        };
        let _ = report("order in runs", pattern, || run(false));
        let _ = report("tree beside", pattern, || run(true));
    }
}

/// What a scan of ten results costs next to many uncommitted entries: it must not grow with them.
fn scans_over(uncommitted: usize) -> Result<(), state::Error> {
    const SCANS: usize = 1_000;
    let name = format!("{uncommitted} changed");
    let backend: Arc<dyn Backend> = Arc::new(Memory::new());
    let store = backend.open_store("s", StoreKind::Persistent)?;
    let changed = || {
        let mut overlay = Overlay::new(Arc::clone(&backend), 0, vec![store], 0);
        (0..uncommitted).for_each(|number| overlay.put(0, &key(number), &VALUE));
        overlay.savepoint();
        let _ = ten_from(&mut overlay, &[]);
        overlay
    };
    for (what, puts, rolls_back) in [
        ("ten results, nothing new", 0, false),
        ("a put, then ten results", 1, false),
        ("20 puts, then ten results", 20, false),
        ("a put, ten results, rolled back, again", 1, true),
    ] {
        let mut overlay = changed();
        let mut next = uncommitted;
        report(&name, what, || {
            let started = Instant::now();
            for _ in 0..SCANS {
                for _ in 0..puts {
                    overlay.put(0, &key(next), &VALUE);
                    next += 1;
                }
                ten_from(&mut overlay, &key(next / 2))?;
                if rolls_back {
                    overlay.rollback_to_savepoint();
                    ten_from(&mut overlay, &key(next / 2))?;
                }
                overlay.savepoint();
            }
            // As many entries again for every round.
            let taken = per_operation(started, SCANS);
            (overlay, next) = (changed(), uncommitted);
            Ok(taken)
        })?;
    }
    // What waits for its time: put at the end of the order, taken from its front.
    for (what, committed) in
        [("a queue's first, others taken", false), ("the same, those taken committed before", true)]
    {
        report(&name, what, || {
            let mut overlay = Overlay::new(Arc::clone(&backend), 1, vec![store], 0);
            let waiting = |number: usize| (number as u64).to_be_bytes();
            (0..uncommitted + SCANS).for_each(|number| overlay.put(0, &waiting(number), &VALUE));
            if committed {
                let mut batch = Batch::new();
                overlay.append_to(&mut batch);
                backend.write(&batch)?;
                overlay.committed();
            }
            (0..uncommitted).for_each(|number| overlay.delete(0, &waiting(number)));
            let started = Instant::now();
            for _ in 0..SCANS {
                overlay.savepoint();
                let mut first = [0; 8];
                overlay.scan(0, Range::all(), Direction::Forward, &mut |key, _| {
                    first.copy_from_slice(key);
                    ControlFlow::Break(())
                })?;
                overlay.delete(0, &first);
            }
            let taken = per_operation(started, SCANS);
            backend.drop_partition(store, 1)?;
            Ok(taken)
        })?;
    }
    Ok(())
}

fn ten_from(overlay: &mut Overlay, from: &[u8]) -> Result<(), state::Error> {
    let mut left = 10;
    overlay.scan(0, Range::starting_at(from), Direction::Forward, &mut |key, value| {
        black_box((key, value));
        left -= 1;
        if left == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })
}
