//! Holds kept in a store: the decisions of [`super::hold`], remembered as long as they keep a thing and a time beyond.

use schemas::state::Hold;
use streams::store::{KeyValueStore, StateAccess};
use streams::{ProcessError, Timestamp};

use super::{DueKind, Timers, hold};

/// The holds of a business.
#[derive(Clone)]
pub struct Holds {
    store: KeyValueStore<String, Hold>,
    timers: Timers,
    retention_ms: i64,
}

impl Holds {
    /// Holds in a store, with the timers of the same sub-topology. One that keeps nothing any more is remembered for
    /// `retention_ms`, so that a request that comes late or again finds it.
    pub fn new(store: KeyValueStore<String, Hold>, timers: Timers, retention_ms: i64) -> Self {
        Holds { store, timers, retention_ms }
    }

    /// What was decided about a holder's wish.
    ///
    /// # Errors
    /// When the store fails.
    pub fn get(
        &self,
        cx: &mut impl StateAccess,
        thing_id: &str,
        holder_id: &str,
    ) -> Result<Option<Hold>, ProcessError> {
        self.store.get(cx, &hold::key(thing_id, holder_id))
    }

    /// Remembers what is decided now.
    ///
    /// # Errors
    /// When the store fails.
    pub fn follow(&self, cx: &mut impl StateAccess, old: Option<&Hold>, new: &Hold) -> Result<(), ProcessError> {
        if old == Some(new) {
            return Ok(());
        }
        let key = hold::key(&new.thing_id, &new.holder_id);
        let due = |h: &Hold| -> Option<Timestamp> { (!hold::keeps(h)).then(|| h.at.saturating_add(self.retention_ms)) };
        self.store.put(cx, &key, new)?;
        self.timers.follow(cx, DueKind::Forget, &key, old.and_then(due), due(new))
    }

    /// Forgets a hold, by the id of its timer.
    ///
    /// # Errors
    /// When the store fails.
    pub fn forget(&self, cx: &mut impl StateAccess, key: &String) -> Result<(), ProcessError> {
        self.store.delete(cx, key)
    }
}
