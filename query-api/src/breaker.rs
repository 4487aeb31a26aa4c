//! Circuit breakers: calls of a step that may be slow or fail are counted, and once too many of them fail the step is left
//! alone for a while.
//!
//! A thin wrapper around `recloser`, which decides; here is what it does not tell: in which state its callers last found
//! it, and how often. Shared by the gateway (taxi's accept step) and the node (the payment provider).

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use recloser::{AsyncRecloser, Recloser};
use serde::Serialize;

/// When a breaker opens, and for how long.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Settings {
    /// A call that takes longer has failed.
    pub timeout: Duration,
    /// Share of failed calls at which it opens, above 0.0 up to 1.0.
    pub failure_rate: f32,
    /// Calls the share is measured over, at least 1.
    pub window: usize,
    /// Calls let through when it is half open, at least 1; the share of these decides.
    pub probes: usize,
    /// How long an open breaker turns calls away before it lets probes through.
    pub open: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        let (timeout, open) = (Duration::from_millis(610), Duration::from_secs(2));
        Settings { timeout, failure_rate: 0.5, window: 32, probes: 4, open }
    }
}

/// In which state its callers last found it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// Calls go through.
    Closed,
    /// Calls are turned away.
    Open,
    /// A few calls are let through, to see.
    HalfOpen,
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            State::Closed => "closed",
            State::Open => "open",
            State::HalfOpen => "half-open",
        })
    }
}

/// Why there is no result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal<E> {
    /// The breaker is open: the call was not made.
    Open,
    /// The call failed.
    Failed(E),
}

/// A breaker around one step.
#[derive(Debug)]
pub struct Breaker {
    name: &'static str,
    settings: Settings,
    recloser: AsyncRecloser,
    seen: Mutex<Seen>,
    ok: AtomicU64,
    failed: AtomicU64,
    rejected: AtomicU64,
    opened: AtomicU64,
}

/// What callers saw last.
#[derive(Debug)]
struct Seen {
    state: State,
    /// Calls let through since it was half open.
    probed: usize,
}

/// A breaker as it is shown.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// What it is around.
    pub name: &'static str,
    /// Its state as callers last found it.
    pub state: State,
    /// Milliseconds after which a call has failed.
    pub timeout_ms: u64,
    /// Calls that succeeded.
    pub ok: u64,
    /// Calls that failed.
    pub failed: u64,
    /// Calls turned away.
    pub rejected: u64,
    /// How often it was found to have opened.
    pub opened: u64,
}

impl Breaker {
    /// A closed breaker.
    #[must_use]
    pub fn new(name: &'static str, settings: Settings) -> Self {
        let recloser = Recloser::custom()
            .error_rate(settings.failure_rate)
            .closed_len(settings.window)
            .half_open_len(settings.probes)
            .open_wait(settings.open)
            .build();
        Breaker {
            name,
            settings,
            recloser: AsyncRecloser::from(recloser),
            seen: Mutex::new(Seen { state: State::Closed, probed: 0 }),
            ok: AtomicU64::default(),
            failed: AtomicU64::default(),
            rejected: AtomicU64::default(),
            opened: AtomicU64::default(),
        }
    }

    /// What it is around.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Its settings.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Makes a call unless the breaker is open. The timeout is the caller's to keep: only it knows how to give a call up.
    ///
    /// # Errors
    /// [`Refusal::Open`] when the call was not made, else what it failed with.
    pub async fn call<T, E>(&self, call: impl Future<Output = Result<T, E>>) -> Result<T, Refusal<E>> {
        match self.recloser.call(call).await {
            Ok(value) => {
                self.ok.fetch_add(1, Ordering::Relaxed);
                self.went_through();
                Ok(value)
            }
            Err(recloser::Error::Inner(error)) => {
                self.failed.fetch_add(1, Ordering::Relaxed);
                self.went_through();
                Err(Refusal::Failed(error))
            }
            Err(recloser::Error::Rejected) => {
                self.rejected.fetch_add(1, Ordering::Relaxed);
                let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
                if seen.state != State::Open {
                    *seen = Seen { state: State::Open, probed: 0 };
                    self.opened.fetch_add(1, Ordering::Relaxed);
                }
                Err(Refusal::Open)
            }
        }
    }

    /// After an open breaker the first calls let through are its probes; once they are all back without it having opened
    /// again, it is closed.
    fn went_through(&self) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.state != State::Closed {
            seen.probed += 1;
            seen.state = if seen.probed > self.settings.probes { State::Closed } else { State::HalfOpen };
        }
    }

    /// How it is, for metrics and the console.
    #[must_use]
    pub fn status(&self) -> Status {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Status {
            name: self.name,
            state: self.seen.lock().unwrap_or_else(PoisonError::into_inner).state,
            timeout_ms: u64::try_from(self.settings.timeout.as_millis()).unwrap_or(u64::MAX),
            ok: read(&self.ok),
            failed: read(&self.failed),
            rejected: read(&self.rejected),
            opened: read(&self.opened),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_opens_on_failures_and_closes_after_its_probes() {
        let open = Duration::from_millis(30);
        let breaker = Breaker::new("step", Settings { window: 4, probes: 2, open, ..Settings::default() });
        let call = async |result: Result<(), ()>| breaker.call(async { result }).await;
        for _ in 0..5 {
            assert_eq!(call(Err(())).await, Err(Refusal::Failed(())));
        }
        assert_eq!(call(Ok(())).await, Err(Refusal::Open), "not even made");
        assert_eq!(breaker.status().state, State::Open);
        tokio::time::sleep(open * 2).await;
        assert_eq!(call(Ok(())).await, Ok(()));
        assert_eq!(breaker.status().state, State::HalfOpen);
        for _ in 0..2 {
            assert_eq!(call(Ok(())).await, Ok(()));
        }
        let Status { state, ok, failed, rejected, opened, .. } = breaker.status();
        assert_eq!((state, ok, failed, rejected, opened), (State::Closed, 3, 5, 1, 1));
    }

    #[tokio::test]
    async fn a_failing_probe_opens_it_again() {
        let open = Duration::from_millis(30);
        let breaker = Breaker::new("step", Settings { window: 1, probes: 1, open, ..Settings::default() });
        let fail = async || breaker.call(async { Err::<(), ()>(()) }).await;
        while fail().await != Err(Refusal::Open) {}
        tokio::time::sleep(open * 2).await;
        while fail().await != Err(Refusal::Open) {}
        assert_eq!(breaker.status().opened, 2);
    }
}
