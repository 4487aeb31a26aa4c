//! The payment worker: stateless, async, between the request topic and the provider.
//!
//! One request per order is in flight, so that a VOID never overtakes its CHARGE; different orders go side by side up to a
//! bound. A position is committed when every request below it has its result on the log (the contiguous prefix).

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use schemas::payment::{PaymentRequest, PaymentResult};
use schemas::{Codec, Topic};
use tokio::time::Instant;

use super::provider::Provider;
use super::{PaymentLog, Request};
use crate::engine::{Stop, now_ms};

/// Requests read and not yet answered, as a multiple of the calls in flight; then reading stops.
const BACKLOG_FACTOR: usize = 8;
/// How often positions are committed.
const COMMIT_EVERY: Duration = Duration::from_millis(200);
/// First wait before a result that could not be appended is tried again; doubles up to the longest.
const RETRY_FIRST: Duration = Duration::from_millis(50);
const RETRY_LONGEST: Duration = Duration::from_secs(5);

/// What the worker has done; for metrics.
#[derive(Debug, Default)]
pub struct Counters {
    /// Requests answered.
    pub answered: AtomicU64,
    /// Of these, deferred.
    pub deferred: AtomicU64,
    /// Requests that are no payment requests.
    pub unreadable: AtomicU64,
}

/// The topics of one business, and the formats on them.
pub struct Worker {
    /// Where requests come from and results go.
    pub log: Arc<dyn PaymentLog>,
    /// The provider.
    pub provider: Arc<Provider>,
    /// Name of the request topic, without a deployment's prefix.
    pub requests: String,
    /// Name of the result topic, likewise.
    pub results: String,
    request_codec: Codec<PaymentRequest>,
    result_codec: Arc<Codec<PaymentResult>>,
    /// Calls in flight at once, at least 1.
    pub concurrency: usize,
    /// What it has done.
    pub counters: Arc<Counters>,
}

/// A request on its way.
struct Job {
    partition: u32,
    offset: i64,
    key: Vec<u8>,
    request: PaymentRequest,
}

/// Requests between the log and their results.
#[derive(Default)]
struct Backlog {
    /// Ready to be called, oldest first.
    ready: VecDeque<Job>,
    /// Orders with a call in flight or ready, and what waits behind it.
    orders: HashMap<String, VecDeque<Job>>,
    /// Offsets read and not answered, and the next offset to read, by partition.
    open: BTreeMap<u32, (BTreeSet<i64>, i64)>,
    size: usize,
}

impl Backlog {
    fn opened(&mut self, partition: u32, offset: i64) {
        let (open, next) = self.open.entry(partition).or_default();
        open.insert(offset);
        *next = (*next).max(offset + 1);
    }

    fn add(&mut self, job: Job) {
        self.size += 1;
        match self.orders.get_mut(&job.request.correlation_id) {
            Some(behind) => behind.push_back(job),
            None => {
                self.orders.insert(job.request.correlation_id.clone(), VecDeque::new());
                self.ready.push_back(job);
            }
        }
    }

    fn done(&mut self, partition: u32, offset: i64, order: Option<&str>) {
        if let Some((open, _)) = self.open.get_mut(&partition) {
            open.remove(&offset);
        }
        let Some(order) = order else { return };
        self.size -= 1;
        match self.orders.get_mut(order).and_then(VecDeque::pop_front) {
            Some(next) => self.ready.push_back(next),
            None => {
                self.orders.remove(order);
            }
        }
    }

    /// Up to where every request has its result.
    fn positions(&self) -> Vec<(u32, i64)> {
        self.open.iter().map(|(p, (open, next))| (*p, open.first().copied().unwrap_or(*next))).collect()
    }
}

impl Worker {
    /// A worker of one business.
    pub fn new(
        log: Arc<dyn PaymentLog>,
        provider: Arc<Provider>,
        requests: (Topic<PaymentRequest>, Codec<PaymentRequest>),
        results: (Topic<PaymentResult>, Codec<PaymentResult>),
        concurrency: usize,
    ) -> Self {
        Worker {
            log,
            provider,
            requests: requests.0.base().to_owned(),
            results: results.0.base().to_owned(),
            request_codec: requests.1,
            result_codec: Arc::new(results.1),
            concurrency: concurrency.max(1),
            counters: Arc::default(),
        }
    }

    /// Works until `stop`; what is in flight then is answered by the next start, from the committed positions.
    ///
    /// # Errors
    /// When the request topic cannot be read.
    pub async fn run(self, stop: Arc<Stop>) -> Result<(), String> {
        let mut requests = self.log.requests(&self.requests).await?;
        let mut backlog = Backlog::default();
        let mut calls = FuturesUnordered::new();
        let mut commit = tokio::time::interval_at(Instant::now() + COMMIT_EVERY, COMMIT_EVERY);
        let mut committed = Vec::new();
        let stopping = stop.requested();
        tokio::pin!(stopping);
        loop {
            while calls.len() < self.concurrency
                && let Some(job) = backlog.ready.pop_front()
            {
                calls.push(self.answer(job));
            }
            let room = backlog.size < self.concurrency * BACKLOG_FACTOR;
            tokio::select! {
                request = requests.recv(), if room => match request {
                    Some(request) => self.take(request, &mut backlog),
                    None => break,
                },
                Some((partition, offset, order)) = calls.next() => backlog.done(partition, offset, Some(&order)),
                _ = commit.tick() => self.commit(&backlog, &mut committed).await,
                () = &mut stopping => break,
            }
        }
        self.commit(&backlog, &mut committed).await;
        Ok(())
    }

    fn take(&self, request: Request, backlog: &mut Backlog) {
        let Request { partition, offset, key, value } = request;
        backlog.opened(partition, offset);
        match self.request_codec.decode(&value) {
            Ok(request) => backlog.add(Job { partition, offset, key, request }),
            Err(e) => {
                // Only our own saga writes this topic; whatever else is on it can have no order waiting for it.
                self.counters.unreadable.fetch_add(1, Ordering::Relaxed);
                tracing::warn!(topic = self.requests, partition, offset, error = %e, "not a payment request; skipped");
                backlog.done(partition, offset, None);
            }
        }
    }

    /// Calls the provider and appends the result, however long that takes: without it the saga would wait for ever.
    async fn answer(&self, job: Job) -> (u32, i64, String) {
        let Job { partition, offset, key, request } = job;
        let outcome = self.provider.call(&request).await;
        if outcome.outcome == schemas::payment::PaymentOutcome::Deferred {
            self.counters.deferred.fetch_add(1, Ordering::Relaxed);
            tracing::debug!(order = request.correlation_id, reason = outcome.reason, "payment deferred");
        }
        let result = PaymentResult {
            outcome: outcome.outcome,
            correlation_id: request.correlation_id,
            request_kind: request.kind,
            idempotency_key: request.idempotency_key,
            amount: request.amount,
            attempt: request.attempt,
            reason: outcome.reason,
            provider_reference: outcome.reference,
            at: now_ms(),
        };
        let value = self.result_codec.to_vec(&result);
        let mut wait = RETRY_FIRST;
        while let Err(e) = self.log.append(&self.results, &key, value.clone()).await {
            tracing::warn!(topic = self.results, error = e, "payment result not appended; trying again");
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(RETRY_LONGEST);
        }
        self.counters.answered.fetch_add(1, Ordering::Relaxed);
        (partition, offset, result.correlation_id)
    }

    async fn commit(&self, backlog: &Backlog, committed: &mut Vec<(u32, i64)>) {
        let positions = backlog.positions();
        if positions == *committed {
            return;
        }
        match self.log.commit(&self.requests, positions.clone()).await {
            Ok(()) => *committed = positions,
            // The next tick tries again; a crash before that only repeats requests.
            Err(e) => tracing::warn!(topic = self.requests, error = e, "payment positions not committed"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use schemas::payment::PaymentRequestKind;

    fn job(order: &str, offset: i64) -> Job {
        let request = PaymentRequest {
            kind: PaymentRequestKind::Charge,
            correlation_id: order.into(),
            idempotency_key: format!("{order}-charge"),
            amount: 1,
            attempt: 1,
            requested_at: 0,
            payer_id: String::new(),
            charge_key: None,
            provider_reference: None,
        };
        Job { partition: 0, offset, key: order.into(), request }
    }

    #[test]
    fn one_call_per_order_and_positions_by_contiguous_prefix() {
        let mut backlog = Backlog::default();
        for (order, offset) in [("a", 0), ("b", 1), ("a", 2)] {
            backlog.opened(0, offset);
            backlog.add(job(order, offset));
        }
        let ready: Vec<i64> = backlog.ready.drain(..).map(|j| j.offset).collect();
        assert_eq!(ready, [0, 1], "the second request of a waits behind the first");
        backlog.done(0, 1, Some("b"));
        assert_eq!(backlog.positions(), [(0, 0)], "offset 0 is still open");
        backlog.done(0, 0, Some("a"));
        assert_eq!(backlog.positions(), [(0, 2)]);
        assert_eq!(backlog.ready.pop_front().map(|j| j.offset), Some(2));
        backlog.done(0, 2, Some("a"));
        assert_eq!(backlog.positions(), [(0, 3)]);
        assert!(backlog.orders.is_empty());
        assert_eq!(backlog.size, 0);
    }
}
