//! What the log says, folded per rent and per book: plain counting, no judgement. The judgement is in `audit`.

use std::collections::{BTreeMap, HashMap};

use schemas::ebook::{
    ApprovalOutcome, ApprovalRequest, ApprovalRequestKind, ApprovalResult, BookCommandKind, BookOutcome, BookRejection,
    BookRequest, BookRequestKind, BookResult, DecisionCommandKind, RentCancelReason, RentCommandKind, RentEvent,
    RentEventKind, RentState, RentStatus, RequestRent, topics,
};
use schemas::{Codec, Keyed};

use super::{COMMANDS, rules};
use crate::audit::facts::{CLOCKS_APART_MS, Commands, Fold, Heard, Place, Poison, own, read};
use crate::audit::holds::{Answer, Ask, Asked};
use crate::audit::saga::{Facts as _, Trace};

/// One rent, as the log has it.
#[derive(Debug, Default)]
pub(super) struct Rent {
    pub(super) trace: Trace<RequestRent, RentState>,
    /// When the member brought the book back, by the records' times.
    pub(super) brought_back: Vec<i64>,
    /// What librarians decided, by command id.
    pub(super) decisions: Vec<(String, ApprovalOutcome)>,
    pub(super) take_asked: u32,
    pub(super) free_asked: u32,
    /// What was answered about the book, in order.
    pub(super) answers: Vec<Answer>,
    /// As registered when the book was kept.
    pub(super) fee: i64,
    pub(super) decide_asked: u32,
    pub(super) withdraw_asked: u32,
    /// What the librarian's side answered, with the decision's command.
    pub(super) approvals: Vec<(ApprovalOutcome, String)>,
    /// When reading began, by the clock of the saga; more than one is a fault.
    pub(super) started: Vec<i64>,
    pub(super) returned: u32,
    pub(super) cancelled: Vec<RentCancelReason>,
    librarians: Commands,
}

impl Rent {
    pub(super) fn was(&self, answer: &Answer) -> bool {
        self.answers.contains(answer)
    }

    pub(super) fn was_decided(&self, outcome: ApprovalOutcome) -> bool {
        self.approvals.iter().any(|(one, _)| *one == outcome)
    }

    /// Whether the book was brought back well after reading began, so that this must have been granted: by the records'
    /// times, which are of the same clocks. What came earlier may have been too early.
    pub(super) fn must_return(&self) -> bool {
        let started = self.started.first();
        started.is_some_and(|started| self.brought_back.iter().any(|at| *at > started + CLOCKS_APART_MS))
    }

    /// The book is not kept for this rent.
    pub(super) fn is_freed(&self) -> bool {
        !self.was(&Answer::Taken) || self.was(&Answer::Freed)
    }

    /// What an event says of member and book.
    fn says(&mut self, event: &'static str, member: String, book: String) {
        self.trace.says(event, [member, book]);
    }
}

/// One book, as the log has it.
#[derive(Debug, Default)]
pub(super) struct Book {
    /// Fees of sound registrations, in the order of the log.
    pub(super) fees: Vec<i64>,
    pub(super) asked: Vec<Asked>,
    commands: Commands,
}

/// Everything the log says.
#[derive(Default)]
pub(super) struct Facts {
    pub(super) rents: HashMap<String, Rent>,
    pub(super) books: BTreeMap<String, Book>,
    codecs: Codecs,
}

#[derive(Default)]
struct Codecs {
    requests: Codec<BookRequest>,
    results: Codec<BookResult>,
    approval_requests: Codec<ApprovalRequest>,
    approval_results: Codec<ApprovalResult>,
    events: Codec<RentEvent>,
    statuses: Codec<RentStatus>,
}

impl Facts {
    fn rent_command(&mut self, key: &[u8], value: &[u8], place: &Place, at_ms: i64) -> Result<Heard, Poison> {
        let command = read(&COMMANDS.rents, key, value)?;
        let rent = self.of(command.key());
        if rent.trace.commands.meet(&command)? == Heard::Again {
            return Ok(Heard::Again);
        }
        match command.command {
            RentCommandKind::RequestRent(request) => {
                rules::request(&request).map_err(Poison::May)?;
                return Ok(rent.trace.begin(request, place));
            }
            // What is brought back without having been asked for (yet) is refused and has no effect.
            RentCommandKind::ReturnBook(_) if rent.trace.begun.is_some() => rent.brought_back.push(at_ms),
            RentCommandKind::ReturnBook(_) => {}
        }
        Ok(Heard::New)
    }

    fn decision(&mut self, key: &[u8], value: &[u8]) -> Result<Heard, Poison> {
        let command = read(&COMMANDS.decisions, key, value)?;
        let rent = self.of(command.key());
        if rent.librarians.meet(&command)? == Heard::Again {
            return Ok(Heard::Again);
        }
        rules::decision(&command.command).map_err(Poison::May)?;
        let decision = match command.command {
            DecisionCommandKind::ApproveRent(approve) => (approve.command_id, ApprovalOutcome::Approved),
            DecisionCommandKind::RejectRent(reject) => (reject.command_id, ApprovalOutcome::Rejected),
        };
        rent.decisions.push(decision);
        Ok(Heard::New)
    }

    fn book_command(&mut self, key: &[u8], value: &[u8]) -> Result<Heard, Poison> {
        let command = read(&COMMANDS.books, key, value)?;
        let book = self.books.entry(command.key().to_owned()).or_default();
        if book.commands.meet(&command)? == Heard::Again {
            return Ok(Heard::Again);
        }
        let BookCommandKind::RegisterBook(register) = command.command;
        rules::register(&register).map_err(Poison::May)?;
        book.fees.push(register.rental_fee);
        Ok(Heard::New)
    }

    fn book_request(&mut self, request: BookRequest, place: &Place) -> Result<(), String> {
        let rent = self.of(&request.rent_id);
        let (count, ask) = match request.kind {
            BookRequestKind::Take => (&mut rent.take_asked, Ask::Take),
            BookRequestKind::Free => (&mut rent.free_asked, Ask::Free),
            BookRequestKind::Unknown => return Err("an unknown kind of request".to_owned()),
        };
        *count += 1;
        let asked = Asked { holder: request.rent_id, ask, place: place.clone() };
        self.books.entry(request.book_id).or_default().asked.push(asked);
        Ok(())
    }

    fn book_result(&mut self, result: &BookResult) -> Result<(), String> {
        let rent = self.of(&result.rent_id);
        let answer = match result.outcome {
            BookOutcome::Taken => {
                rent.fee = result.rental_fee;
                Answer::Taken
            }
            BookOutcome::Freed => Answer::Freed,
            BookOutcome::Rejected => Answer::Rejected(result.reason.unwrap_or(BookRejection::Unknown).symbol()),
            BookOutcome::Unknown => return Err("an unknown outcome".to_owned()),
        };
        rent.answers.push(answer);
        Ok(())
    }

    fn event(&mut self, event: RentEventKind) {
        match event {
            RentEventKind::RentStarted(e) => {
                let rent = self.of(&e.rent_id);
                rent.started.push(e.started_at);
                rent.says("RentStarted", e.user_id, e.book_id);
            }
            RentEventKind::RentReturned(e) => {
                let rent = self.of(&e.rent_id);
                rent.returned += 1;
                rent.says("RentReturned", e.user_id, e.book_id);
            }
            RentEventKind::RentCancelled(e) => {
                let rent = self.of(&e.rent_id);
                rent.cancelled.push(e.reason);
                rent.says("RentCancelled", e.user_id, e.book_id);
            }
        }
    }
}

impl Fold for Facts {
    fn command(&mut self, place: &Place, key: &[u8], value: &[u8], at_ms: i64) -> Result<Heard, Poison> {
        match place.topic {
            t if t == topics::RENTS.base() => self.rent_command(key, value, place, at_ms),
            t if t == topics::DECISIONS.base() => self.decision(key, value),
            _ => self.book_command(key, value),
        }
    }

    fn own(&mut self, place: &Place, value: &[u8]) -> Result<(), String> {
        match place.topic {
            t if t == topics::BOOK_REQUESTS.base() => {
                let request = own(&self.codecs.requests, value)?;
                self.book_request(request, place)?;
            }
            t if t == topics::BOOK_RESULTS.base() => {
                let result = own(&self.codecs.results, value)?;
                self.book_result(&result)?;
            }
            t if t == topics::APPROVAL_REQUESTS.base() => {
                let request = own(&self.codecs.approval_requests, value)?;
                let rent = self.of(&request.rent_id);
                match request.kind {
                    ApprovalRequestKind::Decide => rent.decide_asked += 1,
                    ApprovalRequestKind::Withdraw => rent.withdraw_asked += 1,
                    ApprovalRequestKind::Unknown => return Err("an unknown kind of request".to_owned()),
                }
                rent.says("ApprovalRequest", request.user_id, request.book_id);
            }
            t if t == topics::APPROVAL_RESULTS.base() => {
                let result = own(&self.codecs.approval_results, value)?;
                self.of(&result.rent_id).approvals.push((result.outcome, result.command_id));
            }
            t if t == topics::RENT_EVENTS.base() => {
                let event = own(&self.codecs.events, value)?;
                self.event(event.event);
            }
            _ => {
                let status = own(&self.codecs.statuses, value)?;
                let rent = self.of(&status.rent_id);
                rent.trace.history.tell(status.status, status.version, place);
                rent.says("RentStatus", status.user_id, status.book_id);
            }
        }
        Ok(())
    }
}
