//! The librarian's side: paid rents that wait for a decision. A sub-topology of its own, so that it can be stopped alone.
//!
//! ```text
//!   (none) ──► WAITING ──► APPROVED | REJECTED     by the librarian, the first decision counts
//!      │          └──────► WITHDRAWN               by the saga, when the librarian took too long
//!      └─────────────────────▲                     a WITHDRAW that overtakes its DECIDE
//! ```
//!
//! This side alone decides, one record at a time: a decision that was accepted always reaches the rent.

use schemas::ebook::state::{Approval, ApprovalPhase};
use schemas::ebook::{
    ApprovalOutcome, ApprovalRequest, ApprovalRequestKind, ApprovalResult, DecisionCommand, DecisionCommandKind,
};
use schemas::state::Verdict;
use streams::store::{KeyValueStore, StateAccess as _};
use streams::{Context, ProcessError, Record, Timestamp};

use crate::saga::{DueKind, Saga, check};

/// What can happen on the librarian's side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The rent saga asks for something.
    Request(ApprovalRequest),
    /// The librarian decides.
    Command(DecisionCommand),
}

/// What was decided; the command is the answer to the rent saga.
pub type Step = crate::saga::Step<Approval, ApprovalResult>;

/// Takes an event in.
///
/// # Errors
/// When the event makes no sense.
pub fn step(known: Option<Approval>, event: &Event, now: Timestamp) -> Result<Step, String> {
    match event {
        Event::Request(request) => on_request(known, request, now),
        Event::Command(DecisionCommand { command: DecisionCommandKind::ApproveRent(d) }) => {
            Ok(on_decision(known, ApprovalPhase::Approved, (&d.librarian_id, "", &d.command_id), now))
        }
        Event::Command(DecisionCommand { command: DecisionCommandKind::RejectRent(d) }) => {
            Ok(on_decision(known, ApprovalPhase::Rejected, (&d.librarian_id, &d.reason, &d.command_id), now))
        }
    }
}

fn on_request(known: Option<Approval>, request: &ApprovalRequest, now: Timestamp) -> Result<Step, String> {
    let first = |phase, decided_at| Approval {
        rent_id: request.rent_id.clone(),
        user_id: request.user_id.clone(),
        book_id: request.book_id.clone(),
        book_name: request.book_name.clone(),
        rental_fee: request.rental_fee,
        phase,
        librarian_id: String::new(),
        reason: String::new(),
        command_id: String::new(),
        requested_at: Some(now),
        decided_at,
    };
    let approval = match (request.kind, known) {
        (ApprovalRequestKind::Unknown, _) => {
            return Err("a kind of approval request that this release does not know".into());
        }
        (ApprovalRequestKind::Decide, None) => first(ApprovalPhase::Waiting, None),
        (ApprovalRequestKind::Withdraw, None) => first(ApprovalPhase::Withdrawn, Some(now)),
        (ApprovalRequestKind::Withdraw, Some(approval)) if approval.phase == ApprovalPhase::Waiting => {
            Approval { phase: ApprovalPhase::Withdrawn, decided_at: Some(now), ..approval }
        }
        // Decided before, or a repeat: the answer is what there is.
        (_, Some(approval)) => approval,
    };
    let commands = answer(&approval, now).into_iter().collect();
    Ok(Step { state: Some(approval), commands, verdict: None })
}

fn on_decision(
    known: Option<Approval>,
    phase: ApprovalPhase,
    (librarian_id, reason, command_id): (&str, &str, &str),
    now: Timestamp,
) -> Step {
    let valid = check::optional_id("librarian_id", librarian_id).and_then(|()| check::text("reason", reason));
    if let Err(wrong) = valid {
        return Step::answer(known, Verdict::Invalid, wrong);
    }
    let Some(approval) = known else {
        return Step::answer(None, Verdict::NotFound, "no paid rent of this id is before the librarian");
    };
    match approval.phase {
        ApprovalPhase::Waiting => {
            let approval = Approval {
                phase,
                librarian_id: librarian_id.to_owned(),
                reason: reason.to_owned(),
                command_id: command_id.to_owned(),
                decided_at: Some(now),
                ..approval
            };
            let commands = answer(&approval, now).into_iter().collect();
            Step { state: Some(approval), commands, verdict: Some((Verdict::Accepted, String::new())) }
        }
        decided if decided == phase => {
            Step::answer(Some(approval), Verdict::Duplicate, format!("the rent is {phase} already"))
        }
        decided => Step::answer(Some(approval), Verdict::Refused, format!("the rent is {decided} already")),
    }
}

/// What the rent saga is told; nothing while the librarian has not decided.
fn answer(approval: &Approval, now: Timestamp) -> Option<ApprovalResult> {
    let outcome = match approval.phase {
        ApprovalPhase::Approved => ApprovalOutcome::Approved,
        ApprovalPhase::Rejected => ApprovalOutcome::Rejected,
        ApprovalPhase::Withdrawn => ApprovalOutcome::Withdrawn,
        _ => return None,
    };
    Some(ApprovalResult {
        outcome,
        rent_id: approval.rent_id.clone(),
        librarian_id: approval.librarian_id.clone(),
        reason: approval.reason.clone(),
        command_id: approval.command_id.clone(),
        at: now,
    })
}

/// The librarian's side in its processor. Tells results.
pub(super) struct Librarian {
    /// How long a decision is remembered.
    pub(super) retention_ms: i64,
    /// The rents that wait for a decision, and no others: what the librarian looks at.
    pub(super) waiting: KeyValueStore<String, Approval>,
}

type Cx<'a> = Context<'a, String, ApprovalResult>;

impl Saga for Librarian {
    type State = Approval;
    type Event = Event;
    type Request = DecisionCommand;
    type Command = ApprovalResult;
    type Told = ApprovalResult;

    fn request(event: &Event) -> Option<&DecisionCommand> {
        if let Event::Command(command) = event { Some(command) } else { None }
    }

    fn step(&self, approval: Option<Approval>, event: &Event, now: Timestamp) -> Result<Step, String> {
        step(approval, event, now)
    }

    /// What waits is never forgotten.
    fn due(&self, kind: DueKind, approval: &Approval) -> Option<Timestamp> {
        let decided_at = approval.decided_at.filter(|_| kind == DueKind::Forget)?;
        Some(decided_at.saturating_add(self.retention_ms))
    }

    /// The deadline is the rent's.
    fn on_due(_kind: DueKind) -> Option<Event> {
        None
    }

    fn follow(
        &self,
        cx: &mut Cx<'_>,
        id: &String,
        _old: Option<&Approval>,
        new: Option<&Approval>,
    ) -> Result<(), ProcessError> {
        match new.filter(|approval| approval.phase == ApprovalPhase::Waiting) {
            Some(approval) => self.waiting.put(cx, id, approval),
            None => self.waiting.delete(cx, id),
        }
    }

    fn send(&self, cx: &mut Cx<'_>, id: &String, result: &ApprovalResult) -> Result<(), ProcessError> {
        let at = cx.timestamp();
        cx.forward(Record::new(Some(id), Some(result), at))
    }
}
