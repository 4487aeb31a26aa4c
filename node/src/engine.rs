//! Worker threads: one OS thread per worker, from start to clean stop, with the clock and the fault injector the pure
//! engine does not have.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use streams::log::Log;
use streams::{Config, Timestamp, View, Worker};

/// Longest wait for input in one turn; bounds how late a stop is noticed.
const POLL_WAIT: Duration = Duration::from_millis(100);

/// Environment variable naming a crash point, optionally with how many times it is passed first: `commit.after-log:3`.
/// For tests that kill the process at a named place.
pub const CRASH_ENV: &str = "ORDERFLOW_CRASH_POINT";

/// Wall-clock time.
#[must_use]
pub fn now_ms() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::try_from(since.as_millis()).unwrap_or(Timestamp::MAX)
}

/// A worker thread.
pub struct WorkerThread {
    /// `<app>-<number>`.
    pub name: String,
    last_turn: Arc<AtomicI64>,
    thread: Mutex<Option<JoinHandle<Result<(), streams::Error>>>>,
}

impl WorkerThread {
    /// Starts a thread that makes its log, then turns until `stop` is set, then commits and leaves. A worker that ends
    /// with an error sets `stop` itself: the process goes down as a whole and says why.
    ///
    /// # Errors
    /// When the operating system has no thread to give.
    pub fn spawn<L: Log>(
        name: String,
        make_log: impl FnOnce() -> Result<L, streams::Error> + Send + 'static,
        view: Arc<View>,
        config: Config,
        stop: Arc<Stop>,
    ) -> std::io::Result<WorkerThread> {
        let last_turn = Arc::new(AtomicI64::new(now_ms()));
        let turned = last_turn.clone();
        let thread = std::thread::Builder::new().name(name.clone()).spawn(move || {
            let result = make_log().and_then(|log| run(Worker::new(log, view, config), &stop, &turned));
            if let Err(e) = &result {
                tracing::error!(error = %e, "worker ended; the process stops");
                stop.request();
            }
            result
        })?;
        Ok(WorkerThread { name, last_turn, thread: Mutex::new(Some(thread)) })
    }

    /// Milliseconds since the loop last turned.
    #[must_use]
    pub fn last_turn(&self) -> Duration {
        Duration::from_millis(now_ms().saturating_sub(self.last_turn.load(Ordering::Relaxed)).max(0).unsigned_abs())
    }

    /// Waits for the thread's end; a second call has nothing to wait for.
    ///
    /// # Errors
    /// What ended the worker before it was asked to stop.
    pub fn join(&self) -> Result<(), streams::Error> {
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(thread) = thread else { return Ok(()) };
        thread.join().unwrap_or_else(|_| Err(streams::Error::Refused(format!("worker {} panicked", self.name))))
    }
}

fn run<L: Log>(mut worker: Worker<L>, stop: &Stop, last_turn: &AtomicI64) -> Result<(), streams::Error> {
    if let Some(hook) = crash_hook() {
        worker.on_crash_point(hook);
    }
    while !stop.is_requested() {
        worker.wait(now_ms(), POLL_WAIT)?;
        let now = now_ms();
        last_turn.store(now, Ordering::Relaxed);
        worker.turn(now, Duration::ZERO)?;
    }
    worker.close(now_ms())
}

/// Aborts the process at the point named in the environment: nothing is flushed, no destructor runs, as under `kill -9`.
#[must_use]
pub fn crash_hook() -> Option<streams::worker::CrashHook> {
    let setting = std::env::var(CRASH_ENV).ok()?;
    let (point, passes) = match setting.split_once(':') {
        Some((point, n)) => (point.to_owned(), n.parse().unwrap_or(0)),
        None => (setting, 0_u64),
    };
    let mut left = passes;
    Some(Box::new(move |p| {
        if p == point {
            if left == 0 {
                std::process::abort();
            }
            left -= 1;
        }
        false
    }))
}

/// A stop that threads poll and async tasks await.
#[derive(Default)]
pub struct Stop {
    requested: AtomicBool,
    notify: tokio::sync::Notify,
}

impl Stop {
    /// Asks everyone to stop; more than once is the same as once.
    pub fn request(&self) {
        self.requested.store(true, Ordering::SeqCst);
        self.notify.notify_waiters();
    }

    /// Whether a stop was asked for.
    #[must_use]
    pub fn is_requested(&self) -> bool {
        self.requested.load(Ordering::SeqCst)
    }

    /// Completes once a stop was asked for.
    pub async fn requested(&self) {
        loop {
            // Registered before the flag is read, so a request in between is not lost.
            let notified = self.notify.notified();
            tokio::pin!(notified);
            notified.as_mut().enable();
            if self.is_requested() {
                return;
            }
            notified.await;
        }
    }
}
