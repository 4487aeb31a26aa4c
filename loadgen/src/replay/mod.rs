//! Replaying a traffic file: what both ways (HTTP, Kafka) share.

mod alarm;
pub mod http;
pub mod kafka;
mod outcomes;
mod progress;
mod stats;

use std::iter::{Flatten, Peekable};
use std::path::PathBuf;
use std::sync::mpsc::{self, sync_channel};
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
    /// Processes whose CPU time is put beside ours.
    pub target_pids: Vec<u32>,
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

/// Envelopes handed over at once: one by one, each would wake the reading thread.
const READ_BATCH: usize = 256;

/// Batches read ahead of the clock.
const READ_AHEAD: usize = 16;

/// The commands of a file in their order: first those that set up, to be sent at once and answered before the clock starts,
/// then each with its time.
struct Commands<'a> {
    options: &'a Options,
    business: &'static dyn Business,
    read: Peekable<Flatten<mpsc::IntoIter<Vec<Result<Envelope, Error>>>>>,
    schedule: Schedule,
    start: Option<(Instant, i64)>,
}

impl<'a> Commands<'a> {
    /// Opens the file. A thread reads it ahead, so that decompressing a block delays no command: the next one is there, or
    /// the end, but for the first moment, because reading is ten times as fast as sending.
    fn open(options: &'a Options, business: &'static dyn Business) -> Result<Self, Error> {
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
        Ok(Commands {
            options,
            business,
            read: receiver.into_iter().flatten().peekable(),
            schedule: Schedule::new(options.pace),
            start: None,
        })
    }

    /// The next command of the setup.
    fn next_setup(&mut self) -> Result<Option<Job>, Error> {
        let is_setup = |envelope: &Result<Envelope, Error>| match envelope {
            Ok(envelope) => self.business.is_setup(envelope),
            Err(_) => true,
        };
        self.read.next_if(is_setup).map(|envelope| Ok(self.job(envelope?, Instant::now(), now_ms()))).transpose()
    }

    /// The next command behind the setup, and when it is due; the first one starts the clock.
    fn next_timed(&mut self) -> Result<Option<Job>, Error> {
        let Some(envelope) = self.read.next().transpose()? else {
            return Ok(None);
        };
        let (start, start_ms) = *self.start.get_or_insert_with(|| (Instant::now(), now_ms()));
        let due = self.schedule.next(envelope.at_ms).map_or_else(Instant::now, |since| start + since);
        let due_ms = start_ms + due.saturating_duration_since(start).as_millis() as i64;
        Ok(Some(self.job(envelope, due, due_ms)))
    }

    fn job(&self, mut envelope: Envelope, due: Instant, due_ms: i64) -> Job {
        let at_ms = if self.options.keep_timestamps { envelope.at_ms } else { due_ms };
        if envelope.at_ms != at_ms || !self.options.names.id_suffix.is_empty() {
            self.business.rewrite(&mut envelope, &self.options.names, at_ms);
            envelope.at_ms = at_ms;
        }
        Job { envelope, due }
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

fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64)
}
