//! The auditor of ebook-rental: every "never" of `SYSTEMS.md`, checked against the committed log.

use std::collections::BTreeMap;

use schemas::ebook::{ApprovalOutcome, BookRejection, RentCancelReason, RentState};

use super::Library;
use super::facts::{Book, Facts, Rent};
use crate::audit::facts::Reader;
use crate::audit::holds::{Answer, Reasons, Thing, Walk, walk};
use crate::audit::payment::{self, Claim, Due};
use crate::audit::web::{Listed, Want, compare};
use crate::audit::{Auditor, Evidence, Findings};
use crate::log::LogRecord;

const REASONS: Reasons = Reasons {
    taken: BookRejection::TakenByAnother.symbol(),
    unknown: BookRejection::UnknownBook.symbol(),
    removed: None,
};

/// Folds the log and judges it.
pub struct LibraryAuditor {
    facts: Facts,
    reader: Reader,
}

impl LibraryAuditor {
    /// `partitions` tells how many partitions a topic has, where that is known.
    pub fn new(partitions: &dyn Fn(&str) -> Option<i32>) -> Self {
        LibraryAuditor { facts: Facts::default(), reader: Reader::new(&Library, partitions) }
    }

    fn invented(&self, findings: &mut Findings) {
        let says = "nothing happens to a rent that nobody asked for; events say what was; all we write can be read";
        let mut check = findings.check("nothing invented", says);
        for (id, rent) in &self.facts.rents {
            let subject = format!("rent {id}");
            let nobodys = rent.requested.is_none() && rent.has_effects();
            check.holds(!nobodys, &subject, "requested", || story(rent), || progress(rent));
            if let Some(event) = rent.event_differs() {
                check.differs(subject, "events of what was requested", event, "");
            }
        }
        self.reader.check_readable(&mut check);
    }
}

impl Auditor for LibraryAuditor {
    fn observe(&mut self, record: LogRecord) {
        self.reader.observe(&record, &mut self.facts);
    }

    fn open(&self) -> u64 {
        requested(&self.facts).filter(|(_, rent, _)| rent.rests_in().is_none()).count() as u64
    }

    fn collections(&self) -> &'static [&'static str] {
        &["/books", "/rents", "/dashboards"]
    }

    fn check(&self, evidence: &Evidence, findings: &mut Findings) {
        let facts = &self.facts;
        outcomes(facts, findings);
        causes(facts, findings);
        self.invented(findings);
        steps(facts, findings);
        approvals(facts, findings);
        statuses(facts, findings);
        one_reader(facts, findings);
        if let Some(ledger) = &evidence.ledger {
            let claims = facts.rents.iter().filter_map(|(id, rent)| Some((id.as_str(), claim(rent)?)));
            payment::check("rent", &claims.collect(), ledger, findings);
        }
        self.reader.check_dead_letters(findings);
        web(facts, evidence, findings);
    }

    fn summary(&self) -> BTreeMap<String, u64> {
        let mut summary = BTreeMap::new();
        let mut add = |name: &str, count: u64| *summary.entry(name.to_owned()).or_default() += count;
        for (_, rent, _) in requested(&self.facts) {
            add("rents", 1);
            match rent.cancelled.first() {
                Some(reason) => add(&format!("cancelled {}", reason.symbol()), 1),
                None => add(&rent.rests_in().map_or("open".to_owned(), |state| state.symbol().to_lowercase()), 1),
            }
        }
        add("books", self.facts.books.values().filter(|book| !book.fees.is_empty()).count() as u64);
        for (name, count) in self.reader.summary() {
            add(name, count);
        }
        summary
    }
}

fn requested(facts: &Facts) -> impl Iterator<Item = (&String, &Rent, String)> {
    facts.rents.iter().filter_map(|(id, rent)| Some((id, rent, rent.requested.as_ref()?.1.to_string())))
}

/// What became of a rent, in words.
fn story(rent: &Rent) -> String {
    let (started, cancelled) = (rent.started.len(), rent.cancelled.len());
    format!("started {started} ×, returned {} ×, cancelled {cancelled} ×", rent.returned)
}

/// Where a rent hangs.
fn progress(rent: &Rent) -> String {
    format!(
        "the book answered {:?}, approved {} ×, declined {} ×, the librarian {:?}, status {}",
        rent.answers,
        rent.payment.approved,
        rent.payment.declined,
        rent.approvals,
        rent.history.words()
    )
}

fn outcomes(facts: &Facts, findings: &mut Findings) {
    let says = "every rent is read, or was brought back, or was cancelled and everything undone, or waits for the \
                librarian; each is told once";
    let mut check = findings.check("one outcome", says);
    for (id, rent, at) in requested(facts) {
        check.examined();
        let subject = format!("rent {id}");
        if rent.started.len() > 1 || rent.returned > 1 || rent.cancelled.len() > 1 {
            check.differs(&subject, "each event at most once", story(rent), &at);
        }
        if rent.returned > 0 && rent.started.is_empty() {
            check.differs(&subject, "brought back only what was read", story(rent), &at);
        }
        let read = !rent.started.is_empty() || rent.returned > 0;
        if read && !rent.cancelled.is_empty() {
            check.differs(&subject, "read or cancelled, not both", story(rent), &at);
        }
        if rent.rests_in().is_none() {
            let expected = if rent.must_return() { "RETURNED, as was asked for" } else { "an outcome" };
            check.differs(&subject, expected, story(rent), format!("{at}; {}", progress(rent)));
        }
    }
}

fn causes(facts: &Facts, findings: &mut Findings) {
    let says = "a cancellation and a return have their cause on the log";
    let mut check = findings.check("outcome fits its cause", says);
    for (id, rent, at) in requested(facts) {
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
            RentCancelReason::PaymentDeclined => rent.payment.declined > 0,
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
    for (id, rent, at) in requested(facts) {
        check.examined();
        let subject = format!("rent {id}");
        let mut holds = |holds: bool, expected: &str, found: String| {
            if !holds {
                check.differs(&subject, expected, found, &at);
            }
        };
        for (expected, found) in rent.payment.faults() {
            holds(false, expected, found);
        }
        let counts = [rent.take_asked, rent.free_asked, rent.decide_asked, rent.withdraw_asked];
        holds(counts.iter().all(|count| *count <= 1), "each asked for once", format!("{counts:?} asked for"));
        let (charged, paid) = (!rent.payment.charge_keys.is_empty(), rent.payment.approved > 0);
        holds(!charged || rent.was(&Answer::Taken), "no charge without the book", "CHARGE without TAKEN".to_owned());
        holds(rent.decide_asked == 0 || paid, "nothing unpaid before the librarian", progress(rent));
        holds(rent.withdraw_asked <= rent.decide_asked, "withdrawn only what was asked", progress(rent));
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
                let found = format!("{}; {}", story(rent), progress(rent));
                check.differs(&subject, expected, found, "");
            }
        };
        let first = rent.approvals.first();
        holds(rent.approvals.iter().all(|one| Some(one) == first), "one decision");
        let (approved, rejected) =
            (rent.was_decided(ApprovalOutcome::Approved), rent.was_decided(ApprovalOutcome::Rejected));
        let withdrawn = rent.was_decided(ApprovalOutcome::Withdrawn);
        holds(!approved || rent.payment.approved > 0, "no approval without payment");
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

fn statuses(facts: &Facts, findings: &mut Findings) {
    let says = "the status topic counts every change of a rent once, without a gap, and ends where the events end";
    let mut check = findings.check("status history", says);
    for (id, rent, at) in requested(facts) {
        rent.history.check(&format!("rent {id}"), rent.rests_in(), &at, &mut check);
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
    for (id, book) in &facts.books {
        check.examined();
        let walk = walked(facts, book);
        for fault in &walk.faults {
            let subject = format!("book {id}, rent {}", fault.holder);
            check.differs(subject, &fault.expected, &fault.found, fault.place.to_string());
        }
        let subject = format!("book {id}");
        if walk.unanswered > 0 {
            check.differs(&subject, "every request answered", format!("{} without an answer", walk.unanswered), "");
        }
        let holder = walk.holder().and_then(|holder| Some((holder, facts.rents.get(holder)?)));
        if let Some((holder, rent)) = holder
            && matches!(rent.rests_in(), Some(RentState::Returned | RentState::Canceled))
        {
            check.differs(&subject, "free", format!("kept for rent {holder}: {}", story(rent)), "");
        }
    }
    for (id, rent, at) in requested(facts) {
        let book = rent.requested.as_ref().and_then(|(request, _)| facts.books.get(&request.book_id));
        if rent.was(&Answer::Taken) && !book.is_some_and(|book| book.fees.contains(&rent.fee)) {
            check.differs(format!("rent {id}"), "a fee as registered", format!("fee {}", rent.fee), at);
        }
    }
}

/// What the log says about a rent's money; `None` for one that nobody asked for.
fn claim(rent: &Rent) -> Option<Claim> {
    let (_, at) = rent.requested.as_ref()?;
    let due = match rent.rests_in() {
        _ if !rent.cancelled.is_empty() => Due::Nothing,
        Some(_) => Due::Kept,
        None => Due::Open,
    };
    let (may_charge, served) = (rent.was(&Answer::Taken), !rent.started.is_empty());
    Some(Claim { amount: rent.fee, may_charge, served, due, at: at.to_string() })
}

fn web(facts: &Facts, evidence: &Evidence, findings: &mut Findings) {
    let rents: Vec<_> = requested(facts)
        .filter_map(|(id, rent, _)| {
            let (request, _) = rent.requested.as_ref()?;
            let mut wants = vec![("bookId", Want::Text(&request.book_id)), ("userId", Want::Text(&request.user_id))];
            wants.extend(rent.rests_in().map(|state| ("status", Want::Text(state.symbol()))));
            Some(Listed { id, wants })
        })
        .collect();
    for path in ["/rents", "/dashboards"] {
        if let Some(items) = evidence.collections.get(path) {
            compare((path, "id", "rent"), items, &rents, findings);
        }
    }
    if let Some(items) = evidence.collections.get("/books") {
        let books: Vec<_> = facts
            .books
            .iter()
            .filter(|(_, book)| !book.fees.is_empty())
            .map(|(id, book)| {
                let status = if walked(facts, book).holder().is_some() { "TAKEN" } else { "POSSIBLE" };
                Listed { id, wants: vec![("status", Want::Text(status))] }
            })
            .collect();
        compare(("/books", "id", "book"), items, &books, findings);
    }
}
