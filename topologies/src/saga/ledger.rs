//! The ledger of commands: what was decided about each, so that a repeat has no second effect and the sender an answer.

use schemas::state::{Command, CommandOutcome, Verdict, ledger_key};
use streams::store::{KeyValueStore, StateAccess, TimerStore};
use streams::{Context, ProcessError, Timestamp};

use super::{Due, DueKind, check};

/// Whether a command was met before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    /// No.
    New,
    /// Yes, and its outcome stands.
    Before,
    /// Its id was, for another content. The first one's outcome stands; the sender tells by its content hash.
    Reused,
}

/// Outcomes of commands, kept for a time.
#[derive(Clone)]
pub struct Ledger {
    outcomes: KeyValueStore<String, CommandOutcome>,
    timers: TimerStore<Due>,
    retention_ms: i64,
}

impl Ledger {
    /// A ledger over a store and the timers of the same sub-topology.
    pub fn new(outcomes: KeyValueStore<String, CommandOutcome>, timers: TimerStore<Due>, retention_ms: i64) -> Self {
        Ledger { outcomes, timers, retention_ms }
    }

    /// Looks a command up.
    ///
    /// # Errors
    /// Rejected when its id is none; else when the store fails.
    pub fn look<K: 'static, V: 'static>(
        &self,
        cx: &mut Context<'_, K, V>,
        command: &impl Command,
    ) -> Result<Seen, ProcessError> {
        check::id("command_id", command.command_id()).map_err(ProcessError::rejected)?;
        let key = ledger_key(command.key(), command.command_id());
        Ok(match self.outcomes.get(cx, &key)? {
            None => Seen::New,
            Some(outcome) if outcome.content_hash == command.content_hash() => Seen::Before,
            Some(_) => Seen::Reused,
        })
    }

    /// Lets a command be decided once: a repeat changes nothing, an id used for another content is rejected, and what
    /// `decide` says is remembered. A command that asks for nothing possible is refused to the dead letters as well.
    ///
    /// # Errors
    /// Rejected for a reused id; else those of `decide` and of the store.
    pub fn once<K: 'static, V: 'static>(
        &self,
        cx: &mut Context<'_, K, V>,
        command: &impl Command,
        decide: impl FnOnce(&mut Context<'_, K, V>) -> Result<Option<(Verdict, String)>, ProcessError>,
    ) -> Result<(), ProcessError> {
        match self.look(cx, command)? {
            Seen::Before => return Ok(()),
            Seen::Reused => {
                return Err(ProcessError::rejected("the command_id was used before, for another content"));
            }
            Seen::New => {}
        }
        let Some((verdict, detail)) = decide(cx)? else {
            return Ok(());
        };
        self.record(cx, command, verdict, &detail)?;
        if matches!(verdict, Verdict::Invalid | Verdict::Expired) {
            cx.refuse(detail);
        }
        Ok(())
    }

    /// Remembers what was decided.
    ///
    /// # Errors
    /// When the store fails.
    pub fn record<K: 'static, V: 'static>(
        &self,
        cx: &mut Context<'_, K, V>,
        command: &impl Command,
        verdict: Verdict,
        detail: &str,
    ) -> Result<(), ProcessError> {
        let now = cx.now();
        let outcome = CommandOutcome {
            command_id: command.command_id().to_owned(),
            correlation_id: command.key().to_owned(),
            kind: command.kind().to_owned(),
            verdict,
            detail: detail.to_owned(),
            content_hash: command.content_hash(),
            decided_at: now,
        };
        let key = outcome.key();
        self.outcomes.put(cx, &key, &outcome)?;
        self.timers.set(cx, now.saturating_add(self.retention_ms), &Due { kind: DueKind::ForgetCommand, id: key })
    }

    /// Forgets a command whose time is over.
    ///
    /// # Errors
    /// When the store fails.
    pub fn forget(&self, cx: &mut impl StateAccess, due: Timestamp, key: &String) -> Result<(), ProcessError> {
        let over = |outcome: CommandOutcome| outcome.decided_at.saturating_add(self.retention_ms) <= due;
        if self.outcomes.get(cx, key)?.is_some_and(over) {
            self.outcomes.delete(cx, key)?;
        }
        Ok(())
    }
}
