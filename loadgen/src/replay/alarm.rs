//! Waiting on tokio until a command is due, as exactly as the kernel can: tokio's own timers tick once a millisecond, and the
//! difference would be measured as the target's. A thread that sleeps is as exact and costs two more switches a command.

use std::io;
use std::time::{Duration, Instant};

use rustix::fd::OwnedFd;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// A timer of the kernel among tokio's sockets.
pub(super) struct Alarm {
    timer: AsyncFd<OwnedFd>,
}

impl Alarm {
    /// Must be called on a tokio runtime.
    pub(super) fn new() -> io::Result<Self> {
        let timer = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)?;
        // SAFETY: the descriptor is owned: it stays open, and the same, for as long as the timer is registered.
        #[allow(unsafe_code)]
        let timer = unsafe { AsyncFd::register_with_interest(timer, Interest::READABLE) };
        Ok(Alarm { timer: timer? })
    }

    /// Waits; not at all when the moment has passed.
    pub(super) async fn wait_until(&self, due: Instant) -> io::Result<()> {
        loop {
            let left = due.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            let once = Itimerspec { it_interval: timespec(Duration::ZERO), it_value: timespec(left) };
            // Setting it takes back what it said before, so it need not be read.
            timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &once)?;
            self.timer.readable().await?.clear_ready();
        }
    }
}

fn timespec(time: Duration) -> Timespec {
    Timespec { tv_sec: time.as_secs() as i64, tv_nsec: time.subsec_nanos().into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_alarm_is_never_early_and_one_that_has_passed_waits_for_nothing() {
        let alarm = Alarm::new().unwrap();
        for _ in 0..20 {
            let due = Instant::now() + Duration::from_micros(300);
            alarm.wait_until(due).await.unwrap();
            assert!(Instant::now() >= due);
        }
        alarm.wait_until(Instant::now() - Duration::from_millis(1)).await.unwrap();
    }
}
