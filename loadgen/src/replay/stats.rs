//! What a replay counts, and the report it becomes.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::cpu::CpuTime;
use crate::latency::Latencies;
use crate::report::{Cpu, ReplayReport, Second, Unexpected};

/// Examples of answers that did not fit, kept for the report.
const EXAMPLES_MAX: usize = 20;

/// Shared by all connections.
pub struct Stats {
    start: Instant,
    cpu: CpuTime,
    target_pids: Vec<u32>,
    target: Option<CpuTime>,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    clock_started: Option<Instant>,
    last_answer: Option<Instant>,
    sent: u64,
    answered: u64,
    in_setup: u64,
    skipped: BTreeMap<&'static str, u64>,
    retries: BTreeMap<String, u64>,
    failed: BTreeMap<String, u64>,
    answers: BTreeMap<&'static str, BTreeMap<String, u64>>,
    unexpected_count: u64,
    unexpected: Vec<Unexpected>,
    outcome_count: u64,
    response: Latencies,
    service: Latencies,
    outcome: Latencies,
    series: Vec<Second>,
}

impl Inner {
    fn second(&mut self, since: Instant, now: Instant) -> &mut Second {
        let at_s = now.saturating_duration_since(since).as_secs();
        while self.series.len() as u64 <= at_s {
            let at_s = self.series.len() as u64;
            self.series.push(Second { at_s, ..Second::default() });
        }
        let last = self.series.len() - 1;
        &mut self.series[last.min(at_s as usize)]
    }
}

/// Where one command ends up.
#[derive(Clone, Copy, Debug)]
pub struct Bound<'a> {
    /// What is counted together.
    pub name: &'static str,
    /// What the file says it is.
    pub kind: &'a str,
    /// Its key, for examples.
    pub key: &'a [u8],
}

impl Stats {
    /// Begins counting now.
    pub fn new(target_pids: &[u32]) -> Self {
        Stats {
            start: Instant::now(),
            cpu: CpuTime::own(),
            target_pids: target_pids.to_owned(),
            target: CpuTime::of_all(target_pids),
            inner: Mutex::default(),
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Setup is over; latencies count from here on.
    pub fn start_clock(&self) {
        let mut inner = self.inner();
        inner.clock_started = Some(Instant::now());
        inner.in_setup = inner.answered;
    }

    /// Counts a command that went out, first attempts only.
    pub fn sent(&self) {
        let now = Instant::now();
        let mut inner = self.inner();
        inner.sent += 1;
        inner.second(self.start, now).sent += 1;
    }

    /// Counts a command that cannot be said over this way.
    pub fn skipped(&self, why: &'static str) {
        *self.inner().skipped.entry(why).or_default() += 1;
    }

    /// Counts another attempt.
    pub fn retried(&self, cause: &str) {
        *self.inner().retries.entry(cause.to_owned()).or_default() += 1;
    }

    /// Counts a command given up.
    pub fn failed(&self, cause: &str) {
        *self.inner().failed.entry(cause.to_owned()).or_default() += 1;
    }

    /// Counts a final answer. `due` is the intended time, `sent` that of the last attempt.
    pub fn answered(&self, bound: Bound<'_>, status: &str, fits: bool, due: Instant, sent: Instant) {
        let now = Instant::now();
        let mut inner = self.inner();
        inner.answered += 1;
        inner.last_answer = Some(now);
        inner.second(self.start, now).answered += 1;
        if inner.clock_started.is_some() {
            inner.response.record(now.saturating_duration_since(due));
            inner.service.record(now.saturating_duration_since(sent));
        }
        let by_status = inner.answers.entry(bound.name).or_default();
        match by_status.get_mut(status) {
            Some(count) => *count += 1,
            None => {
                by_status.insert(status.to_owned(), 1);
            }
        }
        if !fits {
            inner.unexpected_count += 1;
            if inner.unexpected.len() < EXAMPLES_MAX {
                inner.unexpected.push(Unexpected {
                    call: bound.name.to_owned(),
                    kind: bound.kind.to_owned(),
                    key: String::from_utf8_lossy(bound.key).into_owned(),
                    status: status.to_owned(),
                });
            }
        }
    }

    /// Counts a saga that came to its end at `now`.
    pub fn outcome(&self, due: Instant, now: Instant) {
        let mut inner = self.inner();
        inner.outcome_count += 1;
        inner.second(self.start, now).outcomes += 1;
        inner.outcome.record(now.saturating_duration_since(due));
    }

    /// Commands sent, commands answered or given up, sagas ended.
    pub fn counts(&self) -> (u64, u64, u64) {
        let inner = self.inner();
        let done = inner.answered + inner.failed.values().sum::<u64>() + inner.skipped.values().sum::<u64>();
        (inner.sent, done, inner.outcome_count)
    }

    /// The numbers of a replay; the caller fills in what was replayed where.
    pub fn report(&self) -> ReplayReport {
        let inner = self.inner();
        let wall = self.start.elapsed();
        let used = CpuTime::own().since(self.cpu);
        let target = self.target.and_then(|before| Some(CpuTime::of_all(&self.target_pids)?.since(before)));
        let clock = inner.clock_started.unwrap_or(self.start);
        let span = inner.last_answer.map_or(0.0, |last| last.saturating_duration_since(clock).as_secs_f64());
        let timed = inner.answered.saturating_sub(inner.in_setup);
        ReplayReport {
            duration_s: wall.as_secs_f64(),
            sent: inner.sent,
            answered: inner.answered,
            rate_per_s: if span > 0.0 { timed as f64 / span } else { 0.0 },
            skipped: inner.skipped.iter().map(|(why, count)| ((*why).to_owned(), *count)).collect(),
            retries: inner.retries.clone(),
            failed: inner.failed.clone(),
            answers: inner.answers.iter().map(|(name, by)| ((*name).to_owned(), by.clone())).collect(),
            unexpected_count: inner.unexpected_count,
            unexpected: inner.unexpected.clone(),
            outcomes: inner.outcome_count,
            response: inner.response.distribution(),
            service: inner.service.distribution(),
            outcome: inner.outcome.distribution(),
            series: inner.series.clone(),
            cpu: Cpu::new(wall, used, target, inner.answered),
            ..ReplayReport::default()
        }
    }
}
