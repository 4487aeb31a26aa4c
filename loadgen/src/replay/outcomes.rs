//! From intended sending to the end of the saga: remembers what began, and is told what ended.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::Stats;
use crate::limits::FIRST_OUTCOME_MAX;

/// Pause between two looks at what is left: a wait of half a minute for what never ends should cost no CPU to speak of.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Sagas under way. Shared by whoever sends and whoever listens.
pub struct Outcomes {
    stats: Arc<Stats>,
    begun: Mutex<HashMap<String, Instant>>,
}

impl Outcomes {
    /// Nothing begun yet.
    pub fn new(stats: Arc<Stats>) -> Self {
        Outcomes { stats, begun: Mutex::default() }
    }

    fn begun(&self) -> MutexGuard<'_, HashMap<String, Instant>> {
        self.begun.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A saga begins; called before its command is sent, for its end may be seen before its answer.
    pub fn begin(&self, id: String, due: Instant) {
        self.begun().insert(id, due);
    }

    /// Its command was refused or given up.
    pub fn forget(&self, id: &str) {
        self.begun().remove(id);
    }

    /// It ended now. Ends of sagas that are not ours, and second ends, count nothing.
    pub fn end(&self, id: &str) {
        let now = Instant::now();
        let begun = self.begun().remove(id);
        if let Some(due) = begun {
            self.stats.outcome(due, now);
        }
    }

    /// How many are still under way.
    pub fn open(&self) -> usize {
        self.begun().len()
    }

    /// When to stop waiting for what is under way, `waited` after the last command.
    pub fn is_over(&self, waited: Duration, limit: Duration) -> bool {
        let none_yet = self.stats.counts().2 == 0;
        self.open() == 0 || waited >= limit || (none_yet && waited >= FIRST_OUTCOME_MAX)
    }

    /// Waits until none is under way, or until `limit`; how many were left.
    pub fn wait_blocking(&self, limit: Duration) -> usize {
        let begun = Instant::now();
        while !self.is_over(begun.elapsed(), limit) {
            std::thread::sleep(LOOK_EVERY);
        }
        self.open()
    }

    /// The same on tokio.
    pub async fn wait(&self, limit: Duration) -> usize {
        let begun = Instant::now();
        while !self.is_over(begun.elapsed(), limit) {
            tokio::time::sleep(LOOK_EVERY).await;
        }
        self.open()
    }
}
