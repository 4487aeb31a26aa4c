//! Replaying a traffic file: what both ways (HTTP, Kafka) share.

pub mod http;
pub mod kafka;
mod outcomes;
mod progress;
mod stats;

use std::path::PathBuf;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::business::{Business, Names};
use crate::error::Error;
use crate::schedule::{Pace, Schedule};
use crate::traffic::{Envelope, TrafficReader};

pub use outcomes::Outcomes;
pub use progress::Progress;
pub use stats::{Bound, Stats};

/// How to replay.
#[derive(Clone, Debug)]
pub struct Options {
    /// The traffic file.
    pub file: PathBuf,
    /// How fast.
    pub pace: Pace,
    /// Ids and topics.
    pub names: Names,
    /// Event times as in the file instead of now.
    pub keep_timestamps: bool,
    /// Only so many commands.
    pub limit: Option<u64>,
    /// Longest time one command may take with all its retries.
    pub give_up: Duration,
    /// Longest wait for outcomes after the last command.
    pub settle: Duration,
    /// Whether to follow outcomes at all.
    pub outcomes: bool,
    /// Process whose CPU time is put beside ours.
    pub target_pid: Option<u32>,
    /// No progress on standard error.
    pub quiet: bool,
}

/// One command on its way.
#[derive(Debug)]
pub struct Job {
    /// The command.
    pub envelope: Envelope,
    /// When it is, or was, to be sent.
    pub due: Instant,
}

/// Commands of a file, read ahead by a thread of its own so that decompressing a block delays no one.
struct ReadAhead {
    receiver: Receiver<Vec<Result<Envelope, Error>>>,
}

/// Envelopes handed over at once: one by one, each would wake the reading thread.
const READ_BATCH: usize = 256;

/// Batches read ahead of the clock.
const READ_AHEAD: usize = 16;

impl ReadAhead {
    fn open(options: &Options, business: &'static dyn Business) -> Result<Self, Error> {
        let reader = TrafficReader::open(&options.file)?;
        check_app(&reader, business)?;
        let topics = business.command_topics();
        let limit = options.limit.map_or(usize::MAX, |limit| limit as usize);
        let (sender, receiver) = sync_channel(READ_AHEAD);
        thread::spawn(move || {
            let is_command = |envelope: &Result<Envelope, Error>| match envelope {
                Ok(envelope) => topics.contains(&envelope.topic.as_str()),
                Err(_) => true,
            };
            let mut commands = reader.filter(is_command).take(limit);
            loop {
                let batch: Vec<_> = commands.by_ref().take(READ_BATCH).collect();
                if batch.is_empty() || sender.send(batch).is_err() {
                    return;
                }
            }
        });
        Ok(ReadAhead { receiver })
    }
}

fn check_app(reader: &TrafficReader, business: &dyn Business) -> Result<(), Error> {
    match reader.metadata().get("orderflow.app") {
        Some(app) if app != business.name() => {
            Err(Error::Usage(format!("the file holds traffic of {app}, not of {}: say --app {app}", business.name())))
        }
        _ => Ok(()),
    }
}

/// Counts the commands of a file, for progress bars and reports.
///
/// # Errors
/// When the file cannot be read.
pub fn count_commands(options: &Options, business: &'static dyn Business) -> Result<u64, Error> {
    let topics = business.command_topics();
    let mut count = 0;
    for envelope in TrafficReader::open(&options.file)? {
        count += u64::from(topics.contains(&envelope?.topic.as_str()));
    }
    Ok(options.limit.map_or(count, |limit| count.min(limit)))
}

/// Drives a file: sends the setup commands at once, waits for them, then each command at its time. `setup_done` is
/// called between the two and answers when the clock starts; `send` may block, that is how a full target slows the
/// flat-out replay.
fn drive(
    options: &Options,
    business: &'static dyn Business,
    send: &mut dyn FnMut(Job) -> Result<(), Error>,
    setup_done: &mut dyn FnMut() -> Result<(), Error>,
) -> Result<(), Error> {
    let commands = ReadAhead::open(options, business)?;
    let mut schedule = Schedule::new(options.pace);
    let mut start: Option<(Instant, i64)> = None;
    for envelope in commands.receiver.into_iter().flatten() {
        let mut envelope = envelope?;
        if start.is_none() {
            if business.is_setup(&envelope) {
                prepare(&mut envelope, options, business, now_ms());
                send(Job { envelope, due: Instant::now() })?;
                continue;
            }
            setup_done()?;
            start = Some((Instant::now(), now_ms()));
        }
        let (start, start_ms) = start.unwrap_or_else(|| (Instant::now(), now_ms()));
        let due = match schedule.next(envelope.at_ms) {
            None => Instant::now(),
            Some(since) => {
                let due = start + since;
                sleep_until(due);
                due
            }
        };
        let due_ms = start_ms + due.saturating_duration_since(start).as_millis() as i64;
        prepare(&mut envelope, options, business, due_ms);
        send(Job { envelope, due })?;
    }
    if start.is_none() {
        setup_done()?;
    }
    Ok(())
}

fn prepare(envelope: &mut Envelope, options: &Options, business: &dyn Business, due_ms: i64) {
    let at_ms = if options.keep_timestamps { envelope.at_ms } else { due_ms };
    if envelope.at_ms != at_ms || !options.names.id_suffix.is_empty() {
        business.rewrite(envelope, &options.names, at_ms);
        envelope.at_ms = at_ms;
    }
}

/// An OS sleep is exact to some 60 µs, a tokio timer to 1 ms: the difference would be measured as the target's.
fn sleep_until(due: Instant) {
    if let Some(left) = due.checked_duration_since(Instant::now()) {
        thread::sleep(left);
    }
}

fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64)
}
