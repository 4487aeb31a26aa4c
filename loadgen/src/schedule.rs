//! When each command is to be sent. The schedule knows nothing of how the target is doing: that is what keeps the
//! latencies free of coordinated omission (a slow answer delays no one's intended time, so the wait behind it counts).

use std::time::Duration;

/// How fast to replay.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pace {
    /// So many commands a second, evenly spaced.
    Rate(f64),
    /// So many times the traffic's own pace.
    Speed(f64),
    /// As fast as answers come: a closed loop. Its latencies are those of a full queue.
    Flat,
}

/// Intended times of a replay, counted from its start.
#[derive(Clone, Debug)]
pub struct Schedule {
    pace: Pace,
    first_at_ms: Option<i64>,
    count: u64,
}

impl Schedule {
    /// Begins with the first command asked for.
    pub fn new(pace: Pace) -> Self {
        Schedule { pace, first_at_ms: None, count: 0 }
    }

    /// When the next command is due, `at_ms` being its time in the file; `None` is at once.
    pub fn next(&mut self, at_ms: i64) -> Option<Duration> {
        let number = self.count;
        self.count += 1;
        match self.pace {
            Pace::Flat => None,
            Pace::Rate(rate) => Some(Duration::from_secs_f64(number as f64 / rate)),
            Pace::Speed(speed) => {
                let first = *self.first_at_ms.get_or_insert(at_ms);
                // Recorded topics are merged by timestamp, which producers choose: one may lie before the first.
                let since_ms = at_ms.saturating_sub(first).max(0);
                Some(Duration::from_secs_f64(since_ms as f64 / 1_000.0 / speed))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn times(pace: Pace, at_ms: &[i64]) -> Vec<Option<Duration>> {
        let mut schedule = Schedule::new(pace);
        at_ms.iter().map(|&at_ms| schedule.next(at_ms)).collect()
    }

    #[test]
    fn a_rate_spaces_evenly_whatever_the_file_says() {
        assert_eq!(times(Pace::Rate(500.0), &[0, 0, 90_000]), [Some(Duration::ZERO), Some(2 * MS), Some(4 * MS)]);
    }

    #[test]
    fn a_speed_divides_the_files_own_gaps() {
        let at_ms = [5_000, 5_010, 6_000, 4_000];
        let expected = [Some(Duration::ZERO), Some(MS), Some(100 * MS), Some(Duration::ZERO)];
        assert_eq!(times(Pace::Speed(10.0), &at_ms), expected);
        assert_eq!(times(Pace::Flat, &at_ms), [None; 4]);
    }

    #[test]
    fn a_long_rate_does_not_drift() {
        let mut schedule = Schedule::new(Pace::Rate(3_000.0));
        let last = (0..=3_000_000).map(|_| schedule.next(0)).last().flatten();
        assert_eq!(last, Some(Duration::from_secs(1_000)));
    }
}
