//! ebook-rental under test.

use std::collections::BTreeMap;
use std::ops::{Deref, DerefMut};

use schemas::Codec;
use schemas::ebook::state::{Approval, Book, BookState, Dashboard, Rent};
use schemas::ebook::{
    ApproveRent, BookCommand, BookCommandKind, DecisionCommand, DecisionCommandKind, RegisterBook, RejectRent,
    RentCommand, RentCommandKind, RentEvent, RentEventKind, RentState, RentStatus, RequestRent, ReturnBook, topics,
};
use schemas::state::Verdict;
use topologies::ebook_rental::{Config, topology};

use super::rig::{Business, Mode, Rig};

const BUSINESS: Business = Business {
    events: &[
        topics::BOOK_REQUESTS.base(),
        topics::BOOK_RESULTS.base(),
        topics::APPROVAL_REQUESTS.base(),
        topics::APPROVAL_RESULTS.base(),
    ],
    payment: Some((topics::PAYMENT_REQUESTS.base(), topics::PAYMENT_RESULTS.base())),
    ledgers: &["commands", "book-commands", "decisions"],
    dead_letters: "ebook-rental-dead-letters",
};

pub(crate) fn register(command: &str, book: &str, fee: i64) -> BookCommandKind {
    RegisterBook {
        command_id: command.into(),
        book_id: book.into(),
        book_name: format!("title of {book}"),
        rental_fee: fee,
        requested_at: 0,
    }
    .into()
}

pub(crate) fn rent(rent: &str, book: &str) -> RentCommandKind {
    RequestRent {
        command_id: format!("rent-{rent}"),
        rent_id: rent.into(),
        user_id: "member-1".into(),
        book_id: book.into(),
        book_name: format!("title of {book}"),
        rental_fee: 3_000,
        requested_at: 0,
    }
    .into()
}

pub(crate) fn give_back(command: &str, rent: &str) -> RentCommandKind {
    ReturnBook { command_id: command.into(), rent_id: rent.into(), requested_at: 0 }.into()
}

pub(crate) fn approve(command: &str, rent: &str) -> DecisionCommandKind {
    ApproveRent { command_id: command.into(), rent_id: rent.into(), librarian_id: "librarian-1".into(), decided_at: 0 }
        .into()
}

pub(crate) fn reject(command: &str, rent: &str) -> DecisionCommandKind {
    RejectRent {
        command_id: command.into(),
        rent_id: rent.into(),
        librarian_id: "librarian-1".into(),
        reason: "kept for a course".into(),
        decided_at: 0,
    }
    .into()
}

/// The library.
pub(crate) struct Library(Rig);

impl Deref for Library {
    type Target = Rig;
    fn deref(&self) -> &Rig {
        &self.0
    }
}

impl DerefMut for Library {
    fn deref_mut(&mut self) -> &mut Rig {
        &mut self.0
    }
}

impl Library {
    pub(crate) fn new(mode: Mode) -> Library {
        Library(Rig::new(topology(&Config::default()).expect("builds"), &BUSINESS, mode))
    }

    pub(crate) fn book(&mut self, command: BookCommandKind) {
        self.put_typed(topics::BOOKS.base(), &Codec::fixed(), &BookCommand { command });
    }

    pub(crate) fn rent(&mut self, command: RentCommandKind) {
        self.put_typed(topics::RENTS.base(), &Codec::fixed(), &RentCommand { command });
    }

    pub(crate) fn decide(&mut self, command: DecisionCommandKind) {
        self.put_typed(topics::DECISIONS.base(), &Codec::fixed(), &DecisionCommand { command });
    }

    pub(crate) fn statuses(&mut self, id: &str) -> Vec<RentState> {
        let all = self.events::<RentStatus>(topics::RENT_STATUS.base());
        all.get(id).into_iter().flatten().map(|s| s.status).collect()
    }

    pub(crate) fn rent_state(&self, id: &str) -> Rent {
        self.get("rents", id).expect("the rent exists")
    }

    pub(crate) fn book_state(&self, id: &str) -> Book {
        self.get("books", id).expect("the book exists")
    }

    pub(crate) fn outcome(&mut self) -> Outcome {
        Outcome {
            rents: self.all("rents"),
            books: self.all("books"),
            approvals: self.all("approvals"),
            waiting: self.all("waiting-approvals"),
            dashboard: self.all("dashboard"),
            verdicts: self.verdicts(),
            statuses: self.events(topics::RENT_STATUS.base()),
            events: self.events(topics::RENT_EVENTS.base()),
            held: self.ledger.all_held(),
        }
    }
}

/// What a scenario led to, per key.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Outcome {
    pub(crate) rents: BTreeMap<String, Rent>,
    pub(crate) books: BTreeMap<String, Book>,
    pub(crate) approvals: BTreeMap<String, Approval>,
    pub(crate) waiting: BTreeMap<String, Approval>,
    pub(crate) dashboard: BTreeMap<String, Dashboard>,
    pub(crate) verdicts: BTreeMap<String, Verdict>,
    pub(crate) statuses: BTreeMap<String, Vec<RentStatus>>,
    pub(crate) events: BTreeMap<String, Vec<RentEvent>>,
    pub(crate) held: BTreeMap<String, i64>,
}

/// Checks the "never"s: an approval without payment; a refund kept back after rejection; one copy read by two members; a
/// book that stays taken after return or cancellation.
pub(crate) fn audit(outcome: &Outcome) {
    for (id, rent) in &outcome.rents {
        let held = outcome.held.get(id).copied().unwrap_or(0);
        match rent.status {
            RentState::Approved | RentState::Returned => {
                assert_eq!(held, rent.rental_fee, "an approval without payment: {rent:?}");
            }
            RentState::Canceled => assert_eq!(held, 0, "a refund kept back: {rent:?}"),
            _ => assert_eq!(rent.settled_at, None, "under way: {rent:?}"),
        }
        let holds = outcome.books.get(&rent.book_id).is_some_and(|book| book.rent_id.as_ref() == Some(id));
        match rent.status {
            RentState::Returned | RentState::Canceled => assert!(!holds, "a book that stays taken: {rent:?}"),
            RentState::Approved if rent.settled_at.is_some() => assert!(holds, "one reads, another has it: {rent:?}"),
            _ => {}
        }
        let statuses = outcome.statuses.get(id).cloned().unwrap_or_default();
        let versions: Vec<i32> = statuses.iter().map(|s| s.version).collect();
        assert_eq!(versions, (1..=rent.version).collect::<Vec<_>>(), "every change told once, in order: {id}");
        let row = &outcome.dashboard[id];
        assert_eq!((row.status, row.version, row.reason), (rent.status, rent.version, rent.reason));
        let events = outcome.events.get(id).map(Vec::as_slice).unwrap_or_default();
        let count = |kind: fn(&RentEventKind) -> bool| events.iter().filter(|e| kind(&e.event)).count();
        let started = count(|e| matches!(e, RentEventKind::RentStarted(_)));
        let over = count(|e| !matches!(e, RentEventKind::RentStarted(_)));
        let ended = matches!(rent.status, RentState::Returned | RentState::Canceled);
        assert_eq!(over, usize::from(ended), "the end is told once: {rent:?}");
        let read = matches!(rent.status, RentState::Approved | RentState::Returned);
        assert_eq!(started, usize::from(read), "started once, and only when approved: {rent:?}");
    }
    for (id, book) in &outcome.books {
        let reads = |r: &&Rent| r.book_id == *id && r.status == RentState::Approved && r.settled_at.is_some();
        let readers: Vec<&str> = outcome.rents.values().filter(reads).map(|r| r.rent_id.as_str()).collect();
        assert!(readers.len() <= 1, "one copy read by two members: {readers:?}");
        assert_eq!(book.rent_id.is_some(), book.status == BookState::Taken, "{book:?}");
    }
    for (id, approval) in &outcome.approvals {
        assert_eq!(outcome.waiting.contains_key(id), approval.decided_at.is_none(), "what waits, and no other: {id}");
    }
}
