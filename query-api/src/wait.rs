//! Waiting for a commit, without losing one: register first, then look.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use streams::{Listener, View};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::Instant;

use crate::error::ApiError;
use crate::limits::{OWNER_POLL, WAIT_PACE, WAITS_MAX};

/// Tells waiting requests that something was committed. One per application.
///
/// The worker's thread only sets a flag ([`Bell`]); a task of the runtime passes it on, at a pace that grows with the
/// number of requests waiting, because each of them looks at the store again.
#[derive(Debug)]
pub(crate) struct Commits {
    rounds: watch::Sender<u64>,
    waiting: Arc<Semaphore>,
}

/// The listener on the view: wakes the passing-on task, and does no more on the worker's thread.
#[derive(Debug)]
struct Bell(Notify);

impl Listener for Bell {
    fn published(&self) {
        self.0.notify_one();
    }
}

impl Commits {
    /// Listens to a view. Must be called within a tokio runtime. `waiting` bounds the requests that wait, over all
    /// applications.
    pub(crate) fn of(view: &View, waiting: Arc<Semaphore>) -> Arc<Self> {
        let commits = Arc::new(Commits { rounds: watch::Sender::new(0), waiting });
        let bell = Arc::new(Bell(Notify::new()));
        view.listen(bell.clone());
        let weak = Arc::downgrade(&commits);
        tokio::spawn(async move {
            loop {
                bell.0.notified().await;
                let Some(commits) = weak.upgrade() else { return };
                commits.rounds.send_modify(|round| *round = round.wrapping_add(1));
                let waiting = WAITS_MAX.saturating_sub(commits.waiting.available_permits());
                drop(commits);
                let pause = WAIT_PACE * u32::try_from(waiting).unwrap_or(u32::MAX);
                // tokio's timer has a resolution of 1 ms: shorter pauses would be rounded up to it.
                if pause >= Duration::from_millis(1) {
                    tokio::time::sleep(pause).await;
                }
            }
        });
        commits
    }

    /// Registers a request that will look again and again. Look only after this: a commit between registration and the
    /// first look makes the first [`Waiter::again`] return at once, so none is lost.
    pub(crate) fn register(&self, deadline: Instant) -> Waiter {
        Waiter { rounds: self.rounds.subscribe(), waiting: Arc::clone(&self.waiting), permit: None, deadline }
    }

    /// Requests waiting now, over all applications.
    pub(crate) fn waiting(&self) -> usize {
        WAITS_MAX.saturating_sub(self.waiting.available_permits())
    }
}

/// A request that waits.
#[derive(Debug)]
pub(crate) struct Waiter {
    rounds: watch::Receiver<u64>,
    waiting: Arc<Semaphore>,
    permit: Option<OwnedSemaphorePermit>,
    deadline: Instant,
}

impl Waiter {
    /// Waits until it is worth looking again: after a commit, and, because what another instance does wakes no one here,
    /// every [`OWNER_POLL`]. False when the time is over.
    ///
    /// # Errors
    /// 503 when too many requests wait already.
    pub(crate) async fn again(&mut self) -> Result<bool, ApiError> {
        let now = Instant::now();
        if now >= self.deadline {
            return Ok(false);
        }
        if self.permit.is_none() {
            let permit = Arc::clone(&self.waiting).try_acquire_owned();
            let full = |_| ApiError::unavailable(format!("{WAITS_MAX} requests are waiting already"));
            self.permit = Some(permit.map_err(full)?);
        }
        // Woken or not, the answer is the same: look. An error would mean that nothing will ever commit again.
        let _ = tokio::time::timeout_at(self.deadline.min(now + OWNER_POLL), self.rounds.changed()).await;
        Ok(true)
    }
}

/// Counts something that is open, for as long as it lives, up to a limit.
#[derive(Debug)]
pub(crate) struct Open(Arc<AtomicUsize>);

impl Open {
    /// One more, unless there are `max` already.
    pub(crate) fn enter(count: &Arc<AtomicUsize>, max: usize) -> Option<Self> {
        let more = |n: usize| (n < max).then_some(n + 1);
        count.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).ok()?;
        Some(Open(Arc::clone(count)))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    fn commits(waiting: usize) -> Commits {
        Commits { rounds: watch::Sender::new(0), waiting: Arc::new(Semaphore::new(waiting)) }
    }

    /// The commit lands after the registration and before the wait: at the moment where a check-then-park loses it.
    #[tokio::test]
    async fn a_commit_between_looking_and_waiting_is_not_lost() {
        let commits = commits(1);
        let deadline = Instant::now() + Duration::from_secs(3_600);
        let mut waiter = commits.register(deadline);
        commits.rounds.send_modify(|round| *round += 1);
        assert_eq!(
            waiter.again().now_or_never(),
            Some(Ok(true)),
            "ready at once: woken by the commit, not by the poll"
        );
    }

    #[tokio::test]
    async fn one_commit_wakes_all_who_wait() {
        let commits = Arc::new(commits(100));
        let deadline = Instant::now() + Duration::from_secs(3_600);
        let waiters: Vec<_> = (0..100).map(|_| commits.register(deadline)).collect();
        let woken: Vec<_> =
            waiters.into_iter().map(|mut waiter| tokio::spawn(async move { waiter.again().await })).collect();
        commits.rounds.send_modify(|round| *round += 1);
        for waiter in woken {
            assert_eq!(waiter.await.unwrap(), Ok(true));
        }
    }

    #[tokio::test]
    async fn waiting_is_bounded_and_looking_once_is_not_waiting() {
        let commits = commits(1);
        let later = Instant::now() + Duration::from_secs(3_600);
        let (mut first, mut second) = (commits.register(later), commits.register(later));
        commits.rounds.send_modify(|round| *round += 1);
        assert_eq!(first.again().now_or_never(), Some(Ok(true)));
        assert!(matches!(second.again().now_or_never(), Some(Err(ApiError::Unavailable { .. }))));
        drop(first);
        let mut third = commits.register(Instant::now());
        assert_eq!(third.again().await, Ok(false), "its time is over");
    }

    #[test]
    fn what_is_open_is_counted_up_to_its_limit() {
        let count = Arc::default();
        let first = Open::enter(&count, 1);
        assert!(first.is_some());
        assert!(Open::enter(&count, 1).is_none());
        drop(first);
        assert!(Open::enter(&count, 1).is_some());
    }
}
