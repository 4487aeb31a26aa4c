//! The RocksDB backend across restarts: what a crash keeps, whose directory it is, a full disk.
#![cfg(feature = "rocksdb")]

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use state::rocks::{Durability, Options};
use state::{Backend, Batch, Direction, Error, Partition, Position, Range, RocksBackend, StoreId, StoreKind};

const PARTITION: Partition = 3;

fn options(durability: Durability) -> Options {
    // The smallest budget, so that memtables are flushed while a test runs.
    Options { memory_budget_bytes: 4 << 20, durability, ..Options::default() }
}

fn open(directory: &Path, durability: Durability) -> (RocksBackend, [StoreId; 2]) {
    let backend = RocksBackend::open(directory, options(durability)).unwrap();
    let stores = ["large", "small"].map(|name| backend.open_store(name, StoreKind::Persistent).unwrap());
    (backend, stores)
}

/// Batch number `number`: a large value into one store, a small one into the other, and a position for each. Only the
/// first store's memtable fills, so the two are flushed at different times.
fn numbered(stores: [StoreId; 2], number: u64, large_bytes: usize) -> Batch {
    let mut batch = Batch::new();
    // Does not compress, so that what is written fills files as it fills memory.
    let mut noise = number;
    let mut large: Vec<u8> = std::iter::repeat_with(|| {
        noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (noise >> 56) as u8
    })
    .take(large_bytes)
    .collect();
    large.extend_from_slice(&number.to_be_bytes());
    batch.put(stores[0], PARTITION, &(number % 2_000).to_be_bytes(), &large);
    batch.put(stores[1], PARTITION, b"number", &number.to_be_bytes());
    for store in stores {
        let position = Position { changelog_next: number as i64, ..Position::default() };
        batch.position(store, PARTITION, &position);
    }
    batch
}

/// The last numbered batch that is there, after checking that all its parts are; 0 for none.
fn last_whole_batch(backend: &RocksBackend, stores: [StoreId; 2]) -> u64 {
    let positions = stores.map(|store| backend.position(store, PARTITION).unwrap().map(|at| at.changelog_next as u64));
    assert_eq!(positions[0], positions[1], "positions of one batch");
    let number = positions[0].unwrap_or(0);
    let mut small = Vec::new();
    assert_eq!(backend.get(stores[1], PARTITION, b"number", &mut small).unwrap(), number > 0);
    assert!(number == 0 || small == number.to_be_bytes(), "position and data of one batch");
    let mut newest = 0;
    let mut visit = |_: &[u8], value: &[u8]| {
        newest = newest.max(u64::from_be_bytes(*value.last_chunk().unwrap()));
        ControlFlow::Continue(())
    };
    backend.scan(stores[0], PARTITION, Range::all(), Direction::Forward, &mut visit).unwrap();
    assert_eq!(newest, number, "stores of one batch");
    number
}

const CHILD_DIRECTORY: &str = "STATE_TEST_CHILD_DIRECTORY";
const CHILD_DURABILITY: &str = "STATE_TEST_CHILD_DURABILITY";

/// Not a test: the process that the crash tests start, and kill. Writes numbered batches, syncs now and then, and says
/// what it did once it is done.
#[test]
fn child() {
    let Some(directory) = std::env::var_os(CHILD_DIRECTORY) else { return };
    let durability = match std::env::var(CHILD_DURABILITY).unwrap().as_str() {
        "Buffered" => Durability::Buffered,
        "Process" => Durability::Process,
        _ => Durability::Sync,
    };
    let (backend, stores) = open(Path::new(&directory), durability);
    let mut out = std::io::stdout().lock();
    for number in last_whole_batch(&backend, stores) + 1.. {
        backend.write(&numbered(stores, number, 1_000)).unwrap();
        writeln!(out, "\nwritten {number}").unwrap();
        if number % 50 == 0 {
            backend.sync().unwrap();
            writeln!(out, "synced {number}").unwrap();
        }
    }
}

fn start_child(directory: &Path, durability: Durability) -> std::process::Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child", "--nocapture"])
        .env(CHILD_DIRECTORY, directory)
        .env(CHILD_DURABILITY, format!("{durability:?}"))
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// What a child said it had written and synced.
#[derive(Default)]
struct Said {
    written: u64,
    synced: u64,
}

impl Said {
    fn hear(&mut self, line: &str) {
        match line.split_once(' ') {
            Some(("written", number)) => self.written = number.parse().unwrap(),
            Some(("synced", number)) => self.synced = number.parse().unwrap(),
            _ => {}
        }
    }
}

#[test]
fn kill_9_keeps_what_the_durability_says() {
    for durability in [Durability::Buffered, Durability::Process, Durability::Sync] {
        let directory = tempfile::tempdir().unwrap();
        let mut recovered = 0;
        for round in 1..=4 {
            let mut child = start_child(directory.path(), durability);
            let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
            let mut said = Said::default();
            // A different place each round; some 2 MB in all, so that memtables were flushed on the way.
            while said.written < recovered + 700 + round * 13 {
                said.hear(&lines.next().expect("the child ended by itself").unwrap());
            }
            child.kill().unwrap();
            child.wait().unwrap();
            // What it said between our last look and its end.
            lines.for_each(|line| said.hear(&line.unwrap_or_default()));
            let (backend, stores) = open(directory.path(), durability);
            recovered = last_whole_batch(&backend, stores);
            let promised = if durability == Durability::Buffered { said.synced } else { said.written };
            assert!(promised > 0);
            assert!(recovered >= promised, "{durability:?}: promised {promised}, recovered {recovered}");
            // A kill can come between a write and saying so, not further on.
            assert!(recovered <= said.written + 1, "{durability:?}: {recovered} was never written");
        }
    }
}

#[test]
fn buffered_writes_are_lost_with_the_process_until_synced() {
    let directory = tempfile::tempdir().unwrap();
    let (backend, stores) = open(&directory.path().join("state"), Durability::Buffered);
    let as_if_killed = |name: &str| {
        let copy = directory.path().join(name);
        copy_directory(&directory.path().join("state"), &copy);
        let (backend, stores) = open(&copy, Durability::Buffered);
        last_whole_batch(&backend, stores)
    };
    backend.write(&numbered(stores, 1, 10)).unwrap();
    assert_eq!(as_if_killed("before"), 0);
    backend.sync().unwrap();
    assert_eq!(as_if_killed("after"), 1);
    // An orderly end keeps everything.
    backend.write(&numbered(stores, 2, 10)).unwrap();
    drop(backend);
    assert_eq!(as_if_killed("closed"), 2);
}

#[test]
fn a_torn_log_leaves_a_prefix_of_whole_batches() {
    let directory = tempfile::tempdir().unwrap();
    let live = directory.path().join("state");
    let (backend, stores) = open(&live, Durability::Process);
    for number in 1..=40 {
        backend.write(&numbered(stores, number, 100)).unwrap();
    }
    let log = newest_log(&live);
    let length = fs::metadata(&log).unwrap().len();
    let mut seen = Vec::new();
    for cut in (0..length).step_by(length as usize / 30).chain([length]) {
        let copy = directory.path().join(format!("cut-{cut}"));
        copy_directory(&live, &copy);
        let torn = newest_log(&copy);
        fs::OpenOptions::new().write(true).open(torn).unwrap().set_len(cut).unwrap();
        let (backend, stores) = open(&copy, Durability::Process);
        seen.push(last_whole_batch(&backend, stores));
    }
    assert!(seen.is_sorted(), "{seen:?}");
    assert_eq!((seen[0], *seen.last().unwrap()), (0, 40), "{seen:?}");
}

#[test]
fn names_are_what_lasts_and_stores_not_opened_are_kept() {
    let directory = tempfile::tempdir().unwrap();
    let put = |backend: &RocksBackend, store, value: &[u8]| {
        let mut batch = Batch::new();
        batch.put(store, PARTITION, b"k", value);
        batch.position(store, PARTITION, &Position { changelog_next: value.len() as i64, ..Position::default() });
        backend.write(&batch).unwrap();
    };
    let check = |backend: &RocksBackend, store, value: Option<&[u8]>| {
        let mut out = Vec::new();
        let found = backend.get(store, PARTITION, b"k", &mut out).unwrap().then_some(&out[..]);
        assert_eq!(found, value);
        let position = backend.position(store, PARTITION).unwrap().map(|position| position.changelog_next);
        assert_eq!(position, value.map(|value| value.len() as i64));
    };
    {
        let backend = RocksBackend::open(directory.path(), Options::default()).unwrap();
        for (name, value) in [("a", "1"), ("b", "22"), ("c", "333")] {
            put(&backend, backend.open_store(name, StoreKind::Persistent).unwrap(), value.as_bytes());
        }
        let memory = backend.open_store("m", StoreKind::Memory).unwrap();
        put(&backend, memory, b"gone at the end of the process");
    }
    {
        let backend = RocksBackend::open(directory.path(), Options::default()).unwrap();
        let memory = backend.open_store("m", StoreKind::Memory).unwrap();
        check(&backend, memory, None);
        check(&backend, backend.open_store("c", StoreKind::Persistent).unwrap(), Some(b"333"));
        check(&backend, backend.open_store("new", StoreKind::Persistent).unwrap(), None);
        check(&backend, backend.open_store("a", StoreKind::Persistent).unwrap(), Some(b"1"));
        assert_eq!(backend.store_names().unwrap(), ["a", "b", "c", "new"]);
    }
    let backend = RocksBackend::open(directory.path(), Options::default()).unwrap();
    check(&backend, backend.open_store("b", StoreKind::Persistent).unwrap(), Some(b"22"));
    assert!(matches!(backend.remove_store("b"), Err(Error::InvalidName { .. })), "it is open");
    backend.remove_store("a").unwrap();
    assert_eq!(backend.store_names().unwrap(), ["b", "c", "new"]);
    check(&backend, backend.open_store("a", StoreKind::Persistent).unwrap(), None);
    check(&backend, backend.open_store("c", StoreKind::Persistent).unwrap(), Some(b"333"));
}

#[test]
fn a_directory_has_one_owner() {
    let directory = tempfile::tempdir().unwrap();
    let (backend, _) = open(directory.path(), Durability::Process);
    let error = RocksBackend::open(directory.path(), Options::default()).map(|_| ()).unwrap_err();
    assert!(matches!(&error, Error::Locked { path } if path == directory.path()), "{error}");
    drop(backend);
    // Another process.
    let mut child = start_child(directory.path(), Durability::Process);
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().starts_with("written")));
    let error = RocksBackend::open(directory.path(), Options::default()).map(|_| ()).unwrap_err();
    assert!(matches!(error, Error::Locked { .. }), "{error}");
    child.kill().unwrap();
    child.wait().unwrap();
    open(directory.path(), Durability::Process);
}

#[test]
fn unknown_formats_are_refused_and_left_alone() {
    let later = (Some("orderflow state, format 2\n"), "has format 2");
    let other = (Some("something else"), "of something else");
    let foreign = (None, "is not empty (notes.txt)");
    for (format, expected) in [later, other, foreign] {
        let directory = tempfile::tempdir().unwrap();
        match format {
            Some(text) => fs::write(directory.path().join("FORMAT"), text).unwrap(),
            None => fs::write(directory.path().join("notes.txt"), "mine").unwrap(),
        }
        let error = RocksBackend::open(directory.path(), Options::default()).map(|_| ()).unwrap_err();
        assert!(matches!(error, Error::UnknownFormat { .. }), "{error}");
        assert!(error.to_string().contains(expected), "{error}");
        assert!(!directory.path().join("db").exists());
    }
    // A crash while the format was being written is no reason to refuse.
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("FORMAT.new"), "order").unwrap();
    open(directory.path(), Durability::Process);
}

const FULL_DISK_DIRECTORY: &str = "STATE_TEST_FULL_DISK_DIRECTORY";

/// Runs [`full_disk_child`] on a file system of 24 MiB, in namespaces of its own: needs no privilege where the kernel
/// lets users make namespaces, and leaves nothing mounted. Says so and checks nothing where it does not.
#[test]
fn a_full_disk_is_named_and_writes_work_again_once_there_is_room() {
    let directory = tempfile::tempdir().unwrap();
    let mount = "mount -t tmpfs -o size=24m tmpfs \"$STATE_TEST_FULL_DISK_DIRECTORY\"";
    let in_namespace = |script: &str| {
        let mut command = Command::new("unshare");
        command.args(["--user", "--map-root-user", "--mount", "sh", "-ec", script, "sh"]);
        command.env(FULL_DISK_DIRECTORY, directory.path());
        command
    };
    if !in_namespace(mount).output().is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: this system does not let the test mount a file system");
        return;
    }
    let output = in_namespace(&format!("{mount}; exec \"$@\""))
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "full_disk_child", "--nocapture"])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("went through a full disk"), "{text}{output:?}");
}

/// Not a test: the part of the one above that runs on the small disk.
#[test]
fn full_disk_child() {
    let Some(directory) = std::env::var_os(FULL_DISK_DIRECTORY) else { return };
    let directory = Path::new(&directory);
    let ballast = directory.join("ballast");
    for (round, durability) in [Durability::Process, Durability::Sync, Durability::Buffered].into_iter().enumerate() {
        let state = directory.join(format!("state-{round}"));
        fs::write(&ballast, vec![0; 6 << 20]).unwrap();
        let (backend, stores) = open(&state, durability);
        let write = |number| {
            backend.write(&numbered(stores, number, 50_000))?;
            backend.sync()
        };
        let mut number = 0;
        let error = loop {
            match write(number + 1) {
                Ok(()) => number += 1,
                Err(error) => break error,
            }
        };
        assert!(matches!(error, Error::DiskFull { .. }), "{error}");
        let again = write(number + 1).unwrap_err();
        if durability == Durability::Buffered {
            // Which of the two depends on whether the log or a flush met the full disk first.
            assert!(matches!(again, Error::Poisoned { .. } | Error::DiskFull { .. }), "{again}");
            fs::remove_file(&ballast).unwrap();
        } else {
            assert!(matches!(again, Error::DiskFull { .. }), "{again}");
            assert_eq!(last_whole_batch(&backend, stores), number, "the last commit is kept");
            fs::remove_file(&ballast).unwrap();
            let freed = Instant::now();
            while let Err(error) = write(number + 1) {
                assert!(freed.elapsed() < Duration::from_secs(30), "no writes since there is room: {error}");
                std::thread::yield_now();
            }
            number += 1;
            assert_eq!(last_whole_batch(&backend, stores), number);
        }
        drop(backend);
        let (backend, stores) = open(&state, durability);
        let recovered = last_whole_batch(&backend, stores);
        // The write that met the full disk may have reached it whole, or not.
        assert!(recovered == number || recovered == number + 1, "{recovered} of {number}");
        backend.write(&numbered(stores, recovered + 1, 10)).unwrap();
        backend.sync().unwrap();
        drop(backend);
        fs::remove_dir_all(&state).unwrap();
    }
    writeln!(std::io::stdout(), "went through a full disk").unwrap();
}

fn copy_directory(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => copy_directory(&entry.path(), &target),
            false => drop(fs::copy(entry.path(), target).unwrap()),
        }
    }
}

fn newest_log(directory: &Path) -> PathBuf {
    let files = fs::read_dir(directory.join("db")).unwrap().map(|entry| entry.unwrap().path());
    files.filter(|path| path.extension().is_some_and(|end| end == "log")).max().unwrap()
}
