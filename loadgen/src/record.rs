//! Recording: committed records of a running system into a traffic file.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use crate::business::Business;
use crate::error::Error;
use crate::log::{LogRecord, LogSource};
use crate::traffic::{Metadata, TrafficWriter};

/// Pause between two looks at a log that is followed.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Writes all committed records of `source` to a file, in order of time; follows the log for `follow` first. How many
/// records the file holds.
///
/// # Errors
/// When the source cannot be read or the file not written.
pub fn record(
    business: &dyn Business,
    source: &mut dyn LogSource,
    follow: Duration,
    path: &Path,
) -> Result<u64, Error> {
    let start = Instant::now();
    let mut records: Vec<LogRecord> = Vec::new();
    loop {
        source.read_new(&mut |record| records.push(record))?;
        if start.elapsed() >= follow {
            break;
        }
        thread::sleep(LOOK_EVERY.min(follow.saturating_sub(start.elapsed())));
    }
    // By timestamp over all partitions; stable, so that one partition's records stay in offset order only if their
    // producers' clocks did: the running maximum per partition makes it certain.
    let mut latest = std::collections::HashMap::new();
    let mut order: Vec<(i64, usize)> = Vec::with_capacity(records.len());
    for (index, record) in records.iter().enumerate() {
        let last = latest.entry((record.topic.clone(), record.partition)).or_insert(i64::MIN);
        *last = record.timestamp.max(*last);
        order.push((*last, index));
    }
    order.sort();
    let metadata = Metadata::from([
        ("orderflow.app".to_owned(), business.name().to_owned()),
        ("orderflow.time".to_owned(), "epoch".to_owned()),
        ("orderflow.source".to_owned(), "recorded".to_owned()),
    ]);
    let mut writer = TrafficWriter::create(path, &metadata)?;
    let mut slots: Vec<_> = records.into_iter().map(Some).collect();
    for (_, index) in order {
        if let Some(record) = slots.get_mut(index).and_then(Option::take) {
            let kind = business.kind(&record);
            writer.write(record.into_envelope(kind))?;
        }
    }
    Ok(writer.finish()?.1)
}
