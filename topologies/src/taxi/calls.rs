//! The call list in its processor. A sub-topology of its own, so that it can be stopped alone.

use schemas::taxi::state::Call;
use schemas::taxi::{CallEvent, CallResult, CallState, DriverCommand};
use streams::store::{KeyValueStore, StateAccess as _};
use streams::{Context, In, ProcessError, Record, Timestamp};

use super::saga::{ListCommand, ListEvent, ListStep, Rules, list_step};
use crate::saga::{DueKind, Saga};

/// The call list. Tells results.
pub(super) struct CallList {
    pub(super) rules: Rules,
    /// The calls that wait for a driver, and no others: what drivers look at.
    pub(super) open: KeyValueStore<String, Call>,
    pub(super) events: In<String, CallEvent>,
}

type Cx<'a> = Context<'a, String, CallResult>;

impl Saga for CallList {
    type State = Call;
    type Event = ListEvent;
    type Request = DriverCommand;
    type Command = ListCommand;
    type Told = CallResult;

    fn request(event: &ListEvent) -> Option<&DriverCommand> {
        if let ListEvent::Command(command) = event { Some(command) } else { None }
    }

    fn step(&self, call: Option<Call>, event: &ListEvent, now: Timestamp) -> Result<ListStep, String> {
        list_step(call, event, now)
    }

    fn due(&self, kind: DueKind, call: &Call) -> Option<Timestamp> {
        match kind {
            DueKind::Deadline if call.decided_at.is_none() => {
                Some(call.listed_at.saturating_add(self.rules.call_deadline_ms))
            }
            DueKind::Forget => call.decided_at.map(|at| at.saturating_add(self.rules.saga_retention_ms)),
            _ => None,
        }
    }

    fn on_due(kind: DueKind) -> Option<ListEvent> {
        (kind == DueKind::Deadline).then_some(ListEvent::Deadline)
    }

    fn follow(
        &self,
        cx: &mut Cx<'_>,
        id: &String,
        _old: Option<&Call>,
        new: Option<&Call>,
    ) -> Result<(), ProcessError> {
        match new.filter(|call| call.status == CallState::Listed) {
            Some(call) => self.open.put(cx, id, call),
            None => self.open.delete(cx, id),
        }
    }

    fn send(&self, cx: &mut Cx<'_>, id: &String, command: &ListCommand) -> Result<(), ProcessError> {
        let at = cx.timestamp();
        match command {
            ListCommand::Tell(event) => cx.forward_to(self.events, Record::new(Some(id), Some(event), at)),
            ListCommand::Answer(result) => cx.forward(Record::new(Some(id), Some(result), at)),
        }
    }
}
