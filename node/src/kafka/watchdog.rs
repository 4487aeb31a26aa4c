//! Notices a consumer that has silently stopped: librdkafka has done so before (in the field: minutes without a fetch after
//! a reconnect, a partition left out after a rebalance), and only a new consumer helps.

use std::time::{Duration, Instant};

/// Silence after which the log is asked whether there is anything to be read.
const SILENCE: Duration = Duration::from_secs(15);
/// How much longer a consumer may stay silent once it is known that there is.
const PATIENCE: Duration = Duration::from_secs(10);

/// Watches one consumer.
pub(super) struct Watchdog {
    heard: Instant,
    suspected: Option<Instant>,
}

impl Watchdog {
    pub(super) fn new(now: Instant) -> Self {
        Watchdog { heard: now, suspected: None }
    }

    /// Something came in, or nothing is expected to.
    pub(super) fn heard(&mut self, now: Instant) {
        self.heard = now;
        self.suspected = None;
    }

    /// True when the consumer has stalled. `is_behind` asks the log whether there are records that were not delivered, and
    /// is called only after a silence: once per [`SILENCE`] while the log has nothing.
    pub(super) fn has_stalled(&mut self, now: Instant, is_behind: impl FnOnce() -> bool) -> bool {
        if let Some(since) = self.suspected {
            return now.duration_since(since) >= PATIENCE;
        }
        if now.duration_since(self.heard) < SILENCE {
            return false;
        }
        if is_behind() {
            self.suspected = Some(now);
        } else {
            self.heard = now;
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_alone_is_no_stall() {
        let start = Instant::now();
        let mut dog = Watchdog::new(start);
        let mut asked = 0;
        for second in 0..120 {
            assert!(!dog.has_stalled(start + Duration::from_secs(second), || {
                asked += 1;
                false
            }));
        }
        assert_eq!(asked, 7, "asked once per silence, not per turn");
    }

    #[test]
    fn silence_with_records_waiting_is_one_unless_they_come_in_time() {
        let start = Instant::now();
        let at = |s| start + Duration::from_secs(s);
        let mut dog = Watchdog::new(start);
        assert!(!dog.has_stalled(at(14), || unreachable!("too early to ask")));
        assert!(!dog.has_stalled(at(15), || true));
        assert!(!dog.has_stalled(at(24), || unreachable!("asked already")));
        dog.heard(at(24));
        assert!(!dog.has_stalled(at(26), || unreachable!("it was heard")));
        assert!(!dog.has_stalled(at(39), || true));
        assert!(dog.has_stalled(at(49), || unreachable!("asked already")));
    }
}
