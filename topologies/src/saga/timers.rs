//! Durable timers of sagas. A saga's timers are a function of its state: whoever changes the state calls
//! [`Timers::follow`], and no timer is ever set or taken back anywhere else.

use streams::serde::{Serde, SerdeError};
use streams::store::{StateAccess, TimerStore};
use streams::{ProcessError, Timestamp};

/// What is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DueKind {
    /// A saga has waited long enough.
    Deadline,
    /// A deferred payment request is made again.
    PaymentRetry,
    /// A settled saga, or something kept for one, is forgotten.
    Forget,
    /// A command's outcome is forgotten.
    ForgetCommand,
}

impl DueKind {
    const ALL: [DueKind; 4] = [DueKind::Deadline, DueKind::PaymentRetry, DueKind::Forget, DueKind::ForgetCommand];

    /// The byte it is stored as; never to be changed.
    fn byte(self) -> u8 {
        match self {
            DueKind::Deadline => 1,
            DueKind::PaymentRetry => 2,
            DueKind::Forget => 3,
            DueKind::ForgetCommand => 4,
        }
    }
}

/// A timer's key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Due {
    /// What is due.
    pub kind: DueKind,
    /// For whom: a saga's id, or a command's key in the ledger.
    pub id: String,
}

/// Bytes of a [`Due`]: the kind's byte, then the id.
#[derive(Clone, Copy, Debug, Default)]
pub struct DueFormat;

impl Serde<Due> for DueFormat {
    fn serialize(&self, due: &Due, out: &mut Vec<u8>) -> Result<(), SerdeError> {
        out.push(due.kind.byte());
        out.extend_from_slice(due.id.as_bytes());
        Ok(())
    }

    fn deserialize(&self, bytes: &[u8]) -> Result<Due, SerdeError> {
        let (byte, id) = bytes.split_first().ok_or_else(|| SerdeError::new("a timer without a kind"))?;
        let kind = DueKind::ALL
            .into_iter()
            .find(|kind| kind.byte() == *byte)
            .ok_or_else(|| SerdeError::new(format!("no kind of timer has the number {byte}")))?;
        let id = std::str::from_utf8(id).map_err(|e| SerdeError::new(format!("a timer's id: {e}")))?;
        Ok(Due { kind, id: id.to_owned() })
    }
}

/// The timers of a sub-topology.
#[derive(Clone)]
pub struct Timers {
    store: TimerStore<Due>,
}

impl Timers {
    /// Timers in a store.
    pub fn new(store: TimerStore<Due>) -> Self {
        Timers { store }
    }

    /// Moves one timer of a saga from where the old state had it to where the new state has it.
    ///
    /// # Errors
    /// When the store fails.
    pub fn follow(
        &self,
        cx: &mut impl StateAccess,
        kind: DueKind,
        id: &str,
        old: Option<Timestamp>,
        new: Option<Timestamp>,
    ) -> Result<(), ProcessError> {
        if old == new {
            return Ok(());
        }
        let due = Due { kind, id: id.to_owned() };
        if let Some(old) = old {
            self.store.cancel(cx, old, &due)?;
        }
        if let Some(new) = new {
            self.store.set(cx, new, &due)?;
        }
        Ok(())
    }

    /// Takes what is due, earliest first, at most [`crate::limits::TIMERS_PER_PUNCTUATION`].
    ///
    /// # Errors
    /// When the store fails.
    pub fn take_due(&self, cx: &mut impl StateAccess, now: Timestamp) -> Result<Vec<(Timestamp, Due)>, ProcessError> {
        self.store.take_due(cx, now, crate::limits::TIMERS_PER_PUNCTUATION)
    }
}
