//! The process's metrics: names and help texts in one place, values read when they are asked for.
//!
//! Counters live where the work is done (tasks, log, payment worker); this module only writes them down, so counting costs
//! the hot path nothing extra.

use std::fmt::{self, Write as _};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use query_api::breaker::Breaker;
use query_api::platform::{ACCEPT_BREAKER, App};
use streams::Phase;

use crate::config::Config;
use crate::engine::WorkerThread;
use crate::local;
use crate::payment::worker::Counters;

/// Name of the breaker around the payment provider.
const PAYMENT_BREAKER: &str = "payment";

/// What is not found elsewhere.
pub struct Metrics {
    local: Mutex<Option<local::Stats>>,
    /// The circuit breakers of this process: the payment provider's, and that of taxi's accept step.
    pub breakers: [Arc<Breaker>; 2],
    /// Payment workers by business.
    pub payments: Mutex<Vec<(Arc<str>, Arc<Counters>)>>,
    /// Times metrics were read.
    scrapes: AtomicU64,
}

/// One family in the OpenMetrics text form.
struct Family<'a> {
    out: &'a mut String,
    name: &'static str,
    suffix: &'static str,
}

impl<'a> Family<'a> {
    fn start(out: &'a mut String, name: &'static str, kind: &'static str, help: &str) -> Result<Self, fmt::Error> {
        writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}")?;
        Ok(Family { out, name, suffix: if kind == "counter" { "_total" } else { "" } })
    }

    fn sample(&mut self, labels: &[(&str, &str)], value: impl fmt::Display) -> fmt::Result {
        let Family { out, name, suffix } = self;
        write!(out, "{name}{suffix}")?;
        for (i, (key, value)) in labels.iter().enumerate() {
            let open = if i == 0 { '{' } else { ',' };
            let escaped = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            write!(out, "{open}{key}=\"{escaped}\"")?;
        }
        let close = if labels.is_empty() { "" } else { "}" };
        writeln!(out, "{close} {value}")
    }
}

impl Metrics {
    /// Nothing counted yet; with the breakers of this process, closed.
    #[must_use]
    pub fn new(config: &Config) -> Self {
        let breaker = |name, timeout_ms| Arc::new(Breaker::new(name, config.breaker(timeout_ms)));
        Metrics {
            local: Mutex::default(),
            breakers: [
                breaker(PAYMENT_BREAKER, config.payment.timeout_ms),
                breaker(ACCEPT_BREAKER, config.taxi.accept_timeout_ms),
            ],
            payments: Mutex::default(),
            scrapes: AtomicU64::default(),
        }
    }

    /// The breaker around the payment provider.
    #[must_use]
    pub fn payment_breaker(&self) -> Arc<Breaker> {
        self.breakers[0].clone()
    }

    /// Takes the embedded log's counters for the next encoding.
    pub fn local(&self, stats: &local::Stats) {
        *self.local.lock().unwrap_or_else(PoisonError::into_inner) = Some(stats.clone());
    }

    /// Writes everything, without the closing `# EOF`.
    ///
    /// # Errors
    /// When the buffer cannot grow.
    pub fn encode(&self, apps: &[App], workers: &[WorkerThread], out: &mut String) -> fmt::Result {
        self.scrapes.fetch_add(1, Ordering::Relaxed);
        encode_tasks(apps, out)?;
        let mut family =
            Family::start(out, "orderflow_worker_last_turn_seconds", "gauge", "Since the worker's loop last turned.")?;
        for worker in workers {
            family.sample(&[("worker", &worker.name)], worker.last_turn().as_secs_f64())?;
        }
        if let Some(app) = apps.first() {
            encode_state(app, out)?;
        }
        self.encode_local(out)?;
        self.encode_breakers(out)?;
        self.encode_payments(out)
    }

    fn encode_breakers(&self, out: &mut String) -> fmt::Result {
        let all: Vec<_> = self.breakers.iter().map(|breaker| breaker.status()).collect();
        let mut family =
            Family::start(out, "orderflow_breaker_state", "gauge", "1 for the state callers last found a breaker in.")?;
        for status in &all {
            family.sample(&[("breaker", status.name), ("state", &status.state.to_string())], 1)?;
        }
        let mut family = Family::start(
            out,
            "orderflow_breaker_calls",
            "counter",
            "Calls around a breaker, by what became of them.",
        )?;
        for status in &all {
            for (outcome, count) in [("ok", status.ok), ("failed", status.failed), ("rejected", status.rejected)] {
                family.sample(&[("breaker", status.name), ("outcome", outcome)], count)?;
            }
        }
        let mut family = Family::start(out, "orderflow_breaker_opened", "counter", "Times a breaker opened.")?;
        for status in &all {
            family.sample(&[("breaker", status.name)], status.opened)?;
        }
        Ok(())
    }

    fn encode_local(&self, out: &mut String) -> fmt::Result {
        let Some(s) = self.local.lock().unwrap_or_else(PoisonError::into_inner).clone() else { return Ok(()) };
        let counters: [(&'static str, &str, f64); 8] = [
            ("orderflow_log_records", "Records committed to the embedded log.", s.records as f64),
            ("orderflow_log_bytes", "Their stored bytes.", s.record_bytes as f64),
            ("orderflow_log_commits", "Appends and worker commits.", s.requests as f64),
            ("orderflow_log_group_commits", "Writes they were grouped into.", s.groups as f64),
            (
                "orderflow_log_write_seconds",
                "Time in writes, syncs included where writing syncs.",
                s.write_ns as f64 / 1e9,
            ),
            ("orderflow_log_busy", "Appends refused for want of room.", s.busy as f64),
            ("orderflow_log_write_failures", "Writes that failed, a full disk for one.", s.write_failures as f64),
            ("orderflow_log_records_deleted", "Records deleted by retention and compaction.", s.records_deleted as f64),
        ];
        for (name, help, value) in counters {
            Family::start(out, name, "counter", help)?.sample(&[], value)?;
        }
        Ok(())
    }

    fn encode_payments(&self, out: &mut String) -> fmt::Result {
        let payments = self.payments.lock().unwrap_or_else(PoisonError::into_inner);
        type Read = fn(&Counters) -> u64;
        let families: [(&'static str, &str, Read); 3] = [
            ("orderflow_payment_answered", "Payment requests answered.", |c| c.answered.load(Ordering::Relaxed)),
            ("orderflow_payment_deferred", "Of these, put off: the provider did not decide.", |c| {
                c.deferred.load(Ordering::Relaxed)
            }),
            ("orderflow_payment_unreadable", "Records on the request topic that are none.", |c| {
                c.unreadable.load(Ordering::Relaxed)
            }),
        ];
        for (name, help, read) in families {
            let mut family = Family::start(out, name, "counter", help)?;
            for (app, counters) in payments.iter() {
                family.sample(&[("app", app)], read(counters))?;
            }
        }
        Ok(())
    }
}

fn encode_tasks(apps: &[App], out: &mut String) -> fmt::Result {
    type Read = fn(&streams::Counters) -> u64;
    let families: [(&'static str, &str, Read); 7] = [
        ("orderflow_task_records_processed", "Records processed, whatever came of them.", |c| c.processed),
        ("orderflow_task_records_dropped", "Records dropped by an operator's own rules (late, null key).", |c| {
            c.dropped
        }),
        ("orderflow_task_records_skipped", "Records skipped by an error handler.", |c| c.skipped),
        ("orderflow_task_dead_letters", "Records sent to the dead-letter topic.", |c| c.dead_letters),
        (
            "orderflow_task_records_handed_over",
            "Records another task wrote and gave to this one without a way through the log.",
            |c| c.handed_over,
        ),
        ("orderflow_task_records_misplaced", "Records found on another partition than their key's.", |c| c.misplaced),
        ("orderflow_task_punctuations", "Punctuations run.", |c| c.punctuations),
    ];
    for (name, help, read) in families {
        let mut family = Family::start(out, name, "counter", help)?;
        for app in apps {
            for (id, task) in app.view.tasks() {
                family.sample(&[("app", &app.name), ("task", &id.to_string())], read(&task.counters))?;
            }
        }
    }
    let mut family = Family::start(out, "orderflow_task_state", "gauge", "1 for the state a task is in.")?;
    for app in apps {
        for (id, task) in app.view.tasks() {
            let state = match task.phase {
                Phase::Running => "running",
                Phase::Restoring { .. } => "restoring",
                Phase::Failed(_) => "failed",
            };
            family.sample(&[("app", &app.name), ("task", &id.to_string()), ("state", state)], 1)?;
        }
    }
    Ok(())
}

fn encode_state(app: &App, out: &mut String) -> fmt::Result {
    let usage = app.view.backend().usage();
    let gauges: [(&'static str, &str, u64); 4] = [
        ("orderflow_state_memtable_bytes", "Memory of memtables.", usage.memtable_bytes),
        ("orderflow_state_block_cache_bytes", "Memory of the block cache.", usage.block_cache_bytes),
        ("orderflow_state_disk_bytes", "Bytes on disk.", usage.disk_bytes),
        ("orderflow_state_pending_compaction_bytes", "Bytes waiting for compaction.", usage.pending_compaction_bytes),
    ];
    for (name, help, value) in gauges {
        Family::start(out, name, "gauge", help)?.sample(&[], value)?;
    }
    Ok(())
}
