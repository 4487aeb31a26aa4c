//! Waiting out a write stall, without waiting for ever.
//!
//! RocksDB stops writers while flushes are behind. When a flush failed for want of disk space, it stops them until
//! there is room again: a worker would hang with its transaction open. So writes ask not to be held up
//! (`no_slowdown`), and wait here, where a full disk ends the wait.

use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use crate::Error;

/// Between two attempts of a held up write.
const PAUSE: Duration = Duration::from_millis(1);
/// How long a write is held up before the disk is looked at, each time.
const PROBE_AFTER: Duration = Duration::from_millis(250);
/// After this the disk is too slow for what is written; below the session timeouts of a consumer.
const STALL_MAX: Duration = Duration::from_secs(20);

const PROBE_FILE: &str = "room.probe";

/// Runs `attempt` until it is not held up: it answers `None` if it was.
///
/// # Errors
/// The attempt's; [`Error::DiskFull`] if it is held up and `directory` has no room for a flush of `flush_bytes`;
/// [`Error::Storage`] after 20 seconds.
pub(super) fn wait_out(
    directory: &Path,
    flush_bytes: usize,
    mut attempt: impl FnMut() -> Option<Result<(), Error>>,
) -> Result<(), Error> {
    if let Some(result) = attempt() {
        return result;
    }
    let started = Instant::now();
    let mut probe_at = started + PROBE_AFTER;
    loop {
        std::thread::sleep(PAUSE);
        if let Some(result) = attempt() {
            return result;
        }
        let now = Instant::now();
        if now >= probe_at {
            probe(directory, flush_bytes)?;
            probe_at = Instant::now() + PROBE_AFTER;
        }
        if now.duration_since(started) > STALL_MAX {
            let message = format!("flush and compaction were behind for {} s", STALL_MAX.as_secs());
            return Err(Error::Storage { doing: "writing", message });
        }
    }
}

/// Looks whether a file of `bytes` can be written. Any other failure is left for RocksDB to meet and name.
fn probe(directory: &Path, bytes: usize) -> Result<(), Error> {
    let path = directory.join(PROBE_FILE);
    let written = fs::File::create(&path).and_then(|mut file| {
        file.write_all(&vec![0; bytes])?;
        file.sync_data()
    });
    // If it stays, the next probe writes over it.
    let _ = fs::remove_file(&path);
    match written {
        Err(error) if matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) => {
            Err(Error::DiskFull { message: format!("a flush of {bytes} bytes is held up: {error}") })
        }
        _ => Ok(()),
    }
}
