//! CPU time of this process and of a target, from `/proc/<pid>/stat`: a load generator must know what it costs.

use std::fs;
use std::time::Duration;

/// Kernel ticks a second in `/proc` (`USER_HZ`): 100 on every Linux that Rust runs on, whatever the kernel's own clock.
const TICKS_PER_SECOND: f64 = 100.0;

/// CPU time used so far.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct CpuTime {
    /// In programs.
    pub user: Duration,
    /// In the kernel for them.
    pub system: Duration,
}

impl CpuTime {
    /// Of this process; zero where there is no `/proc`.
    pub fn own() -> Self {
        Self::read("/proc/self/stat").unwrap_or_default()
    }

    /// Of another process; `None` when there is no such process or no `/proc`.
    pub fn of(pid: u32) -> Option<Self> {
        Self::read(&format!("/proc/{pid}/stat"))
    }

    /// Of several processes together; `None` when there are none, or one of them is not there.
    pub fn of_all(pids: &[u32]) -> Option<Self> {
        let times: Vec<_> = pids.iter().map(|&pid| Self::of(pid)).collect::<Option<_>>()?;
        times.into_iter().reduce(|a, b| CpuTime { user: a.user + b.user, system: a.system + b.system })
    }

    fn read(path: &str) -> Option<Self> {
        Self::parse(&fs::read_to_string(path).ok()?)
    }

    /// Fields 14 and 15 (proc(5)); the second, the name, may contain blanks and parentheses.
    fn parse(stat: &str) -> Option<Self> {
        let (_, behind_name) = stat.rsplit_once(')')?;
        let mut fields = behind_name.split_ascii_whitespace().skip(11);
        let mut ticks = || fields.next()?.parse::<u64>().ok();
        let (user, system) = (ticks()?, ticks()?);
        let time = |ticks: u64| Duration::from_secs_f64(ticks as f64 / TICKS_PER_SECOND);
        Some(CpuTime { user: time(user), system: time(system) })
    }

    /// User and system time together.
    pub fn total(self) -> Duration {
        self.user + self.system
    }

    /// What was used since `earlier`.
    pub fn since(self, earlier: Self) -> Self {
        CpuTime { user: self.user.saturating_sub(earlier.user), system: self.system.saturating_sub(earlier.system) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_does_not_shift_the_fields() {
        let stat = "77 (a) b (c) S 1 77 77 0 -1 4194304 100 0 0 0 1234 56 0 0 20 0 9 0 100 0 0";
        let time = CpuTime::parse(stat).unwrap();
        assert_eq!((time.user, time.system), (Duration::from_millis(12_340), Duration::from_millis(560)));
        assert_eq!(CpuTime::parse("nonsense"), None);
    }

    #[test]
    fn a_target_of_several_processes_is_measured_whole_or_not_at_all() {
        let own = std::process::id();
        let (one, two) = (CpuTime::of_all(&[own]).unwrap(), CpuTime::of_all(&[own, own]).unwrap());
        assert!(two.total() >= one.total() * 2, "{two:?} for twice {one:?}");
        assert_eq!(CpuTime::of_all(&[]), None);
        assert_eq!(CpuTime::of_all(&[own, u32::MAX]), None);
    }
}
