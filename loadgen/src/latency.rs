//! Latencies in HDR histograms (three digits, 1 µs to an hour), and what reports say of them.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use crate::limits::LATENCY_MAX;

/// Latencies of one kind.
#[derive(Clone, Debug)]
pub struct Latencies {
    histogram: Histogram<u64>,
}

impl Default for Latencies {
    fn default() -> Self {
        let highest = LATENCY_MAX.as_micros() as u64;
        let histogram = Histogram::new_with_bounds(1, highest, 3).expect("constant bounds that HDR accepts");
        Latencies { histogram }
    }
}

impl Latencies {
    /// Counts one. From the *intended* time of sending to the end: a command that had to wait behind a slow one is as
    /// slow as its caller would have found it.
    pub fn record(&mut self, latency: Duration) {
        self.histogram.saturating_record((latency.as_micros() as u64).max(1));
    }

    /// How many were counted.
    pub fn count(&self) -> u64 {
        self.histogram.len()
    }

    /// For a report.
    pub fn distribution(&self) -> Distribution {
        let at = |quantile: f64| self.histogram.value_at_quantile(quantile);
        Distribution {
            count: self.histogram.len(),
            mean_us: self.histogram.mean(),
            min_us: if self.histogram.is_empty() { 0 } else { self.histogram.min() },
            p50_us: at(0.5),
            p90_us: at(0.9),
            p99_us: at(0.99),
            p999_us: at(0.999),
            max_us: self.histogram.max(),
            curve: self.histogram.iter_quantiles(4).map(|step| (step.quantile(), step.value_iterated_to())).collect(),
        }
    }
}

/// A distribution of latencies, in microseconds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Distribution {
    /// How many.
    pub count: u64,
    /// Arithmetic mean.
    pub mean_us: f64,
    /// Smallest.
    pub min_us: u64,
    /// Median.
    pub p50_us: u64,
    /// 90th percentile.
    pub p90_us: u64,
    /// 99th percentile.
    pub p99_us: u64,
    /// 99.9th percentile.
    pub p999_us: u64,
    /// Largest.
    pub max_us: u64,
    /// Quantile (0 to 1) and value, denser towards 1, for plots.
    pub curve: Vec<(f64, u64)>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schedule::{Pace, Schedule};

    /// A server that answers one request at a time in 1 ms and once stalls for 1 s; 100 requests a second. Whoever
    /// measures from the actual sending sees one slow request in a thousand (the omission); from the intended time,
    /// every request that waited behind the stall is slow.
    #[test]
    fn a_stall_is_felt_by_everyone_who_waited() {
        let (mut intended, mut naive) = (Latencies::default(), Latencies::default());
        let mut schedule = Schedule::new(Pace::Rate(100.0));
        let mut free_at = Duration::ZERO;
        for number in 0..1_000 {
            let due = schedule.next(0).unwrap();
            let sent = due.max(free_at);
            let service = if number == 500 { 1_000 } else { 1 };
            let done = sent + Duration::from_millis(service);
            free_at = done;
            intended.record(done - due);
            naive.record(done - sent);
        }
        let (intended, naive) = (intended.distribution(), naive.distribution());
        assert_eq!(naive.p99_us, 1_000, "the naive figure hides the stall");
        // 1 s at 100/s, draining at 9 ms a request net of arrivals: 110 requests waited, the longest 1 s.
        assert!((885_000..=920_000).contains(&intended.p99_us), "{}", intended.p99_us);
        assert!((999_000..=1_001_000).contains(&intended.max_us));
        assert!((1_000..=1_001).contains(&intended.p50_us));
    }

    #[test]
    fn an_empty_distribution_is_all_zero() {
        let empty = Latencies::default().distribution();
        assert_eq!((empty.count, empty.min_us, empty.p999_us, empty.max_us), (0, 0, 0, 0));
    }
}
