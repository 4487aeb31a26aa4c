//! The processor around the call list. A sub-topology of its own, so that it can be stopped alone.

use schemas::state::Verdict;
use schemas::taxi::state::Call;
use schemas::taxi::{CallEvent, CallResult, CallState};
use streams::store::{KeyValueStore, StateAccess as _};
use streams::{Context, In, ProcessError, Processor, PunctuationType, Record, ScheduleId, Timestamp};

use super::saga::{ListEvent, Rules, list_step};
use crate::saga::{Due, DueKind, Ledger, Timers};

/// The call list. Forwards results.
pub(super) struct CallList {
    pub(super) rules: Rules,
    pub(super) timer_resolution_ms: i64,
    /// Every call, until it is forgotten.
    pub(super) calls: KeyValueStore<String, Call>,
    /// The calls that wait for a driver, and no others: what drivers look at.
    pub(super) open: KeyValueStore<String, Call>,
    pub(super) ledger: Ledger,
    pub(super) timers: Timers,
    pub(super) events: In<String, CallEvent>,
}

type Cx<'a> = Context<'a, String, CallResult>;

impl Processor for CallList {
    type KeyIn = String;
    type ValueIn = ListEvent;
    type KeyOut = String;
    type ValueOut = CallResult;

    fn init(&self, cx: &mut Cx<'_>) -> Result<(), ProcessError> {
        cx.schedule(self.timer_resolution_ms, PunctuationType::WallClockTime);
        Ok(())
    }

    fn process(&self, cx: &mut Cx<'_>, record: Record<'_, String, ListEvent>) -> Result<(), ProcessError> {
        let (Some(id), Some(event)) = (record.key, record.value) else {
            return Err(ProcessError::Topology("an event without call".into()));
        };
        match event {
            ListEvent::Command(command) => self.ledger.once(cx, command, |cx| self.take_step(cx, id, event)),
            _ => self.take_step(cx, id, event).map(|_| ()),
        }
    }

    fn punctuate(&self, cx: &mut Cx<'_>, _schedule: ScheduleId, now: Timestamp) -> Result<(), ProcessError> {
        for (due, Due { kind, id }) in self.timers.take_due(cx, now)? {
            match kind {
                DueKind::Deadline => self.take_step(cx, &id, &ListEvent::Deadline).map(|_| ())?,
                DueKind::Forget => self.calls.delete(cx, &id)?,
                DueKind::ForgetCommand => self.ledger.forget(cx, due, &id)?,
                DueKind::PaymentRetry => {}
            }
        }
        Ok(())
    }
}

impl CallList {
    fn take_step(
        &self,
        cx: &mut Cx<'_>,
        id: &String,
        event: &ListEvent,
    ) -> Result<Option<(Verdict, String)>, ProcessError> {
        let old = self.calls.get(cx, id)?;
        let step = list_step(old.clone(), event, cx.now()).map_err(ProcessError::rejected)?;
        if let Some(new) = step.call.as_ref().filter(|new| old.as_ref() != Some(*new)) {
            self.calls.put(cx, id, new)?;
            if new.status == CallState::Listed {
                self.open.put(cx, id, new)?;
            } else {
                self.open.delete(cx, id)?;
            }
            for kind in [DueKind::Deadline, DueKind::Forget] {
                let (was, is) = (old.as_ref().and_then(|c| self.due(kind, c)), self.due(kind, new));
                self.timers.follow(cx, kind, id, was, is)?;
            }
        }
        let at = cx.timestamp();
        if let Some(event) = &step.event {
            cx.forward_to(self.events, Record::new(Some(id), Some(event), at))?;
        }
        if let Some(result) = &step.result {
            cx.forward(Record::new(Some(id), Some(result), at))?;
        }
        Ok(step.verdict)
    }

    /// When a kind of timer of a call is due, by its state.
    fn due(&self, kind: DueKind, call: &Call) -> Option<Timestamp> {
        match kind {
            DueKind::Deadline if call.decided_at.is_none() => {
                Some(call.listed_at.saturating_add(self.rules.call_deadline_ms))
            }
            DueKind::Forget => call.decided_at.map(|at| at.saturating_add(self.rules.saga_retention_ms)),
            _ => None,
        }
    }
}
