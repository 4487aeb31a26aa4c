//! The auditor of ebook-rental: every "never" of `SYSTEMS.md`, checked against the committed log.

use std::collections::{BTreeMap, HashMap};

use schemas::ebook::{ApprovalOutcome, BookRejection, RentCancelReason, RentState, RequestRent, topics};
use serde_json::Value;

use super::facts::{Book, Facts, Rent};
use crate::audit::Findings;
use crate::audit::holds::{Answer, Reasons, Thing, Walk, walk};
use crate::audit::payment::{Claim, Due, Topics};
use crate::audit::saga::{self, Facts as _, Saga, Trace};
use crate::audit::web::{Listed, Want, compare};

const REASONS: Reasons = Reasons {
    taken: BookRejection::TakenByAnother.symbol(),
    unknown: BookRejection::UnknownBook.symbol(),
    removed: None,
};

impl Saga for Rent {
    type Request = RequestRent;
    type State = RentState;
    const WORD: &'static str = "rent";

    fn trace(&self) -> &Trace<RequestRent, RentState> {
        &self.trace
    }

    fn trace_mut(&mut self) -> &mut Trace<RequestRent, RentState> {
        &mut self.trace
    }

    fn words(request: &RequestRent) -> Vec<String> {
        vec![request.user_id.clone(), request.book_id.clone()]
    }

    fn is_touched(&self) -> bool {
        self.take_asked + self.free_asked + self.decide_asked + self.withdraw_asked + self.returned > 0
            || !(self.answers.is_empty() && self.approvals.is_empty())
            || !(self.started.is_empty() && self.cancelled.is_empty())
    }

    /// A paid rent may wait for the librarian.
    fn rests_in(&self) -> Option<RentState> {
        if !self.cancelled.is_empty() {
            return (self.is_freed() && self.trace.payment.is_undone()).then_some(RentState::Canceled);
        }
        if self.returned > 0 {
            return self.is_freed().then_some(RentState::Returned);
        }
        if !self.started.is_empty() {
            return (self.free_asked == 0 && !self.must_return()).then_some(RentState::Approved);
        }
        let waits = self.decide_asked > 0 && self.withdraw_asked == 0 && self.approvals.is_empty();
        waits.then_some(RentState::Paid)
    }

    fn story(&self) -> String {
        let (started, cancelled) = (self.started.len(), self.cancelled.len());
        format!("started {started} ×, returned {} ×, cancelled {cancelled} ×", self.returned)
    }

    fn progress(&self) -> String {
        let Trace { payment, history, .. } = &self.trace;
        format!(
            "the book answered {:?}, approved {} ×, declined {} ×, the librarian {:?}, status {}",
            self.answers,
            payment.approved,
            payment.declined,
            self.approvals,
            history.words()
        )
    }

    fn cancelled(&self) -> Option<&'static str> {
        self.cancelled.first().map(|reason| reason.symbol())
    }

    fn claim(&self, _request: &RequestRent, at: String) -> Option<Claim> {
        let due = match self.rests_in() {
            _ if !self.cancelled.is_empty() => Due::Nothing,
            Some(_) => Due::Kept,
            None => Due::Open,
        };
        let (may_charge, served) = (self.was(&Answer::Taken), !self.started.is_empty());
        Some(Claim { amount: self.fee, may_charge, served, due, at })
    }
}

impl saga::Facts for Facts {
    type Saga = Rent;
    const COLLECTIONS: &'static [&'static str] = &["/books", "/rents", "/dashboards"];
    const PAYMENT: Option<Topics> = Some((topics::PAYMENT_REQUESTS, topics::PAYMENT_RESULTS));

    fn sagas(&self) -> &HashMap<String, Rent> {
        &self.rents
    }

    fn sagas_mut(&mut self) -> &mut HashMap<String, Rent> {
        &mut self.rents
    }

    fn judge(&self, findings: &mut Findings) {
        outcomes(self, findings);
        causes(self, findings);
        steps(self, findings);
        approvals(self, findings);
        one_reader(self, findings);
    }

    fn judge_web(&self, collections: &BTreeMap<String, Vec<Value>>, findings: &mut Findings) {
        let rents: Vec<_> = self
            .begun()
            .map(|(id, rent, request, _)| {
                let mut wants =
                    vec![("bookId", Want::Text(&request.book_id)), ("userId", Want::Text(&request.user_id))];
                wants.extend(rent.rests_in().map(|state| ("status", Want::Text(state.symbol()))));
                Listed { id, wants }
            })
            .collect();
        for path in ["/rents", "/dashboards"] {
            if let Some(items) = collections.get(path) {
                compare((path, "id", "rent"), items, &rents, findings);
            }
        }
        if let Some(items) = collections.get("/books") {
            let books: Vec<_> = self
                .books
                .iter()
                .filter(|(_, book)| !book.fees.is_empty())
                .map(|(id, book)| {
                    let status = if walked(self, book).holder().is_some() { "TAKEN" } else { "POSSIBLE" };
                    Listed { id, wants: vec![("status", Want::Text(status))] }
                })
                .collect();
            compare(("/books", "id", "book"), items, &books, findings);
        }
    }

    fn count(&self, add: &mut dyn FnMut(&str, u64)) {
        add("books", self.books.values().filter(|book| !book.fees.is_empty()).count() as u64);
    }
}

fn outcomes(facts: &Facts, findings: &mut Findings) {
    let says = "every rent is read, or was brought back, or was cancelled and everything undone, or waits for the \
                librarian; each is told once";
    let mut check = findings.check("one outcome", says);
    for (id, rent, _, at) in facts.begun() {
        check.examined();
        let subject = format!("rent {id}");
        if rent.started.len() > 1 || rent.returned > 1 || rent.cancelled.len() > 1 {
            check.differs(&subject, "each event at most once", rent.story(), &at);
        }
        if rent.returned > 0 && rent.started.is_empty() {
            check.differs(&subject, "brought back only what was read", rent.story(), &at);
        }
        let read = !rent.started.is_empty() || rent.returned > 0;
        if read && !rent.cancelled.is_empty() {
            check.differs(&subject, "read or cancelled, not both", rent.story(), &at);
        }
        if rent.rests_in().is_none() {
            let expected = if rent.must_return() { "RETURNED, as was asked for" } else { "an outcome" };
            check.differs(&subject, expected, rent.story(), format!("{at}; {}", rent.progress()));
        }
    }
}

fn causes(facts: &Facts, findings: &mut Findings) {
    let says = "a cancellation and a return have their cause on the log";
    let mut check = findings.check("outcome fits its cause", says);
    for (id, rent, _, at) in facts.begun() {
        check.examined();
        let subject = format!("rent {id}");
        if rent.returned > 0 && rent.brought_back.is_empty() {
            check.differs(&subject, "brought back by the member", "nobody brought it back", &at);
        }
        let Some(reason) = rent.cancelled.first().copied() else {
            continue;
        };
        let rejected = |rejection: BookRejection| rent.was(&Answer::Rejected(rejection.symbol()));
        let cause = match reason {
            RentCancelReason::TakenByAnother => rejected(BookRejection::TakenByAnother),
            RentCancelReason::UnknownBook => rejected(BookRejection::UnknownBook),
            RentCancelReason::PaymentDeclined => rent.trace.payment.declined > 0,
            // The deadline is the saga's own: all that can be seen is that the payment was under way.
            RentCancelReason::PaymentTimeout => rent.was(&Answer::Taken) && rent.decide_asked == 0,
            RentCancelReason::Rejected => rent.was_decided(ApprovalOutcome::Rejected),
            RentCancelReason::ApprovalTimeout => rent.was_decided(ApprovalOutcome::Withdrawn),
            RentCancelReason::Unknown => false,
        };
        if !cause {
            check.differs(subject, format!("a cause of {reason}"), "none on the log", at);
        }
    }
}

fn steps(facts: &Facts, findings: &mut Findings) {
    let says = "the book is kept before it is paid, paid before the librarian has it; each asked for once";
    let mut check = findings.check("order of steps", says);
    for (id, rent, _, at) in facts.begun() {
        check.examined();
        let subject = format!("rent {id}");
        let mut holds = |holds: bool, expected: &str, found: String| {
            if !holds {
                check.differs(&subject, expected, found, &at);
            }
        };
        for (expected, found) in rent.trace.payment.faults() {
            holds(false, expected, found);
        }
        let counts = [rent.take_asked, rent.free_asked, rent.decide_asked, rent.withdraw_asked];
        holds(counts.iter().all(|count| *count <= 1), "each asked for once", format!("{counts:?} asked for"));
        let (charged, paid) = (!rent.trace.payment.charge_keys.is_empty(), rent.trace.payment.approved > 0);
        holds(!charged || rent.was(&Answer::Taken), "no charge without the book", "CHARGE without TAKEN".to_owned());
        holds(rent.decide_asked == 0 || paid, "nothing unpaid before the librarian", rent.progress());
        holds(rent.withdraw_asked <= rent.decide_asked, "withdrawn only what was asked", rent.progress());
    }
}

fn approvals(facts: &Facts, findings: &mut Findings) {
    let says = "no approval without payment; one decision, which a librarian made, and which is carried out";
    let mut check = findings.check("approvals", says);
    for (id, rent) in &facts.rents {
        check.examined();
        let subject = format!("rent {id}");
        let mut holds = |holds: bool, expected: &str| {
            if !holds {
                let found = format!("{}; {}", rent.story(), rent.progress());
                check.differs(&subject, expected, found, "");
            }
        };
        let first = rent.approvals.first();
        holds(rent.approvals.iter().all(|one| Some(one) == first), "one decision");
        let (approved, rejected) =
            (rent.was_decided(ApprovalOutcome::Approved), rent.was_decided(ApprovalOutcome::Rejected));
        let withdrawn = rent.was_decided(ApprovalOutcome::Withdrawn);
        holds(!approved || rent.trace.payment.approved > 0, "no approval without payment");
        holds(rent.approvals.is_empty() || rent.decide_asked > 0, "decided only what was before the librarian");
        holds(!withdrawn || rent.withdraw_asked > 0, "withdrawn only when asked for");
        if let Some((outcome, command_id)) = first.filter(|_| approved || rejected) {
            holds(rent.decisions.contains(&(command_id.clone(), *outcome)), "a decision that a librarian made");
        }
        holds(rent.started.is_empty() || approved, "read only when approved");
        holds(!approved || !rent.started.is_empty(), "an approval starts the rent");
        holds(!rejected || rent.cancelled.contains(&RentCancelReason::Rejected), "a rejection cancels the rent");
    }
}

fn walked(facts: &Facts, book: &Book) -> Walk {
    let thing = Thing { registered: !book.fees.is_empty(), removed: false };
    walk(&book.asked, thing, &REASONS, &|rent| Some(facts.rents.get(rent)?.answers.as_slice()))
}

fn one_reader(facts: &Facts, findings: &mut Findings) {
    let says = "in the order of the requests: never two rents with one book, none turned away from a free one; and nobody \
                keeps it who is done with it";
    let mut check = findings.check("one reader", says);
    let done = |holder: &str| {
        let rent = facts.rents.get(holder)?;
        matches!(rent.rests_in(), Some(RentState::Returned | RentState::Canceled)).then(|| rent.story())
    };
    for (id, book) in &facts.books {
        walked(facts, book).check(&format!("book {id}"), "rent", &done, &mut check);
    }
    for (id, rent, request, at) in facts.begun() {
        let book = facts.books.get(&request.book_id);
        if rent.was(&Answer::Taken) && !book.is_some_and(|book| book.fees.contains(&rent.fee)) {
            check.differs(format!("rent {id}"), "a fee as registered", format!("fee {}", rent.fee), at);
        }
    }
}
