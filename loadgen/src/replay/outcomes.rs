//! From intended sending to the end of the saga: remembers what began, and is told what ended.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::Stats;

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

    /// Waits until none is under way, or until `limit`; how many were left.
    pub fn wait_blocking(&self, limit: Duration) -> usize {
        let deadline = Instant::now() + limit;
        while self.open() > 0 && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(20));
        }
        self.open()
    }
}
