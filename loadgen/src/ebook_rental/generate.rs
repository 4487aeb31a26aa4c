//! Made-up traffic of an e-book rental.

use rand::Rng;
use schemas::ebook::{
    ApproveRent, BookCommand, DecisionCommand, DecisionCommandKind, RegisterBook, RejectRent, RentCommand,
    RentCommandKind, RequestRent, ReturnBook, topics,
};

use super::COMMANDS;
use crate::error::Error;
use crate::generate::{DUPLICATE_MS_MAX, Params, Traffic, Zipf, command, poison};
use crate::traffic::{Envelope, Expect};

pub(super) const KIND_REGISTER: &str = "register";
pub(super) const KIND_REQUEST: &str = "request";
pub(super) const KIND_RETURN: &str = "return";
pub(super) const KIND_APPROVE: &str = "approve";
pub(super) const KIND_REJECT: &str = "reject";

/// A rent that the librarian leaves undecided.
const KIND_UNDECIDED: &str = "request-undecided";

/// Share of them: each keeps its book.
const UNDECIDED: f64 = 0.002;

/// Between the last registration and the first rent, so that books are there by then even on a slow system.
const SETUP_PAUSE_MS: i64 = 1_000;

/// The librarian decides after so long; a hasty one so soon that the rent may not be paid.
const DECIDED_MS: std::ops::Range<i64> = 300..1_500;
const HASTY_MS: std::ops::Range<i64> = 1..50;

/// Looks again, for rents that were not paid the first time.
const LOOKS_AGAIN_MS: i64 = 3_000;

/// The book comes back so long after the request; once more at the end, for what was not being read yet.
const READ_MS: std::ops::Range<i64> = 1_500..4_000;
const BACK_AT_LAST_MS: std::ops::Range<i64> = 5_000..10_000;

/// Share of decisions that two librarians make at the same moment, one against the other.
const TWO_MINDS: f64 = 0.05;

/// Share of rents that several members want at the same moment, and the time between the first and the last of them.
const RACES: f64 = 0.1;
const RACE_MS: i64 = 10;

/// What can be read and makes no sense.
const NONSENSE: [&str; 2] = ["poison:long-id", "poison:negative-fee"];

/// One byte more than an id may have.
const ID_TOO_LONG: usize = 129;

const TITLES: [&str; 6] = ["Night train", "The gardener", "Rain in March", "A short history", "Salt", "Letters home"];

struct Generator<'a> {
    traffic: Traffic<'a>,
    books: Zipf,
    members: Zipf,
}

pub(super) fn generate(params: &Params, sink: &mut dyn FnMut(Envelope) -> Result<(), Error>) -> Result<(), Error> {
    let mut generator = Generator {
        traffic: Traffic::new(params),
        books: Zipf::new(params.products, params.skew),
        members: Zipf::new(params.customers, params.skew),
    };
    for book in 0..params.products {
        let envelope = generator.register(i64::from(book), book, KIND_REGISTER);
        generator.traffic.add(envelope);
    }
    let mut clock = generator.traffic.clock(i64::from(params.products) + SETUP_PAUSE_MS);
    for number in 0..params.orders {
        let at_ms = clock.next(&mut generator.traffic.rng);
        generator.rent(number, at_ms);
        generator.beside(number, at_ms);
        generator.traffic.release(at_ms, sink)?;
    }
    generator.traffic.release(i64::MAX, sink)
}

fn book_id(rank: u32) -> String {
    format!("book-{:04}", rank + 1)
}

impl Generator<'_> {
    /// A rent, those who want the same book at the same moment, and what follows for each.
    fn rent(&mut self, number: u64, at_ms: i64) {
        let unknown = self.traffic.happens(self.traffic.params.unknown_products);
        let book = self.books.sample(&mut self.traffic.rng);
        let book = if unknown { format!("unregistered-{}", book + 1) } else { book_id(book) };
        let races = self.traffic.happens(RACES);
        let rivals = if races { self.traffic.rng.random_range(0..self.traffic.params.rivals) } else { 0 };
        for rival in 0..=rivals {
            let at_ms = if rival == 0 { at_ms } else { at_ms + self.traffic.rng.random_range(0..=RACE_MS) };
            let rent_id = format!("rent-{:x}-{:07}-{rival}", self.traffic.params.seed, number + 1);
            let undecided = self.traffic.happens(UNDECIDED);
            let request = self.wanted(&rent_id, &book, at_ms);
            let kind = if undecided { KIND_UNDECIDED } else { KIND_REQUEST };
            let envelope = rent_envelope(at_ms, request, kind, Expect::Accept);
            self.traffic.maybe_twice(&envelope);
            self.traffic.add(envelope);
            if self.traffic.happens(self.traffic.params.conflicts) {
                let other = self.wanted(&rent_id, "another-book", at_ms);
                let at_ms = at_ms + 1 + self.traffic.rng.random_range(0..DUPLICATE_MS_MAX);
                self.traffic.add(rent_envelope(at_ms, other, "conflict", Expect::Refuse));
            }
            if !undecided {
                self.decisions(&rent_id, at_ms);
            }
            for range in [READ_MS, BACK_AT_LAST_MS] {
                let at_ms = at_ms + self.traffic.rng.random_range(range);
                self.bring_back(&rent_id, at_ms);
            }
        }
    }

    /// What the librarian decides. Rejections are as many as late cancellations elsewhere: they are what unwinds here.
    fn decisions(&mut self, rent_id: &str, at_ms: i64) {
        let params = self.traffic.params;
        let hasty = self.traffic.happens(params.cancels_early);
        let decided_ms = at_ms + self.traffic.rng.random_range(if hasty { HASTY_MS } else { DECIDED_MS });
        let reject = self.traffic.happens(params.cancels_late);
        self.decide(rent_id, reject, decided_ms);
        if self.traffic.happens(TWO_MINDS) {
            self.decide(rent_id, !reject, decided_ms + 1);
        }
        self.decide(rent_id, reject, at_ms + LOOKS_AGAIN_MS);
    }

    fn decide(&mut self, rent_id: &str, reject: bool, decided_at: i64) {
        let (command_id, rent_id) = (self.traffic.command_id(), rent_id.to_owned());
        let librarian_id = format!("librarian-{}", self.traffic.rng.random_range(1..=3));
        let (command, kind): (DecisionCommandKind, _) = if reject {
            let reason = "not for members".to_owned();
            (RejectRent { command_id, rent_id, librarian_id, reason, decided_at }.into(), KIND_REJECT)
        } else {
            (ApproveRent { command_id, rent_id, librarian_id, decided_at }.into(), KIND_APPROVE)
        };
        let value = DecisionCommand { command };
        let envelope = self::command(decided_at, &topics::DECISIONS, &COMMANDS.decisions, &value, kind, Expect::Accept);
        self.traffic.maybe_twice(&envelope);
        self.traffic.add(envelope);
    }

    fn bring_back(&mut self, rent_id: &str, at_ms: i64) {
        let command_id = self.traffic.command_id();
        let command = ReturnBook { command_id, rent_id: rent_id.to_owned(), requested_at: at_ms };
        let envelope = rent_envelope(at_ms, command, KIND_RETURN, Expect::Accept);
        self.traffic.maybe_twice(&envelope);
        self.traffic.add(envelope);
    }

    /// What happens beside the rents: new fees, poison, returns of nobody's rent.
    fn beside(&mut self, number: u64, at_ms: i64) {
        if self.traffic.happens(self.traffic.params.restocks) {
            let book = self.books.sample(&mut self.traffic.rng);
            let envelope = self.register(at_ms, book, "register-again");
            self.traffic.add(envelope);
        }
        if self.traffic.happens(self.traffic.params.poison) {
            let rent_id = format!("poison-{:016x}-{:06}", self.traffic.params.seed, number + 1);
            let kind = self.traffic.poison_kind(&NONSENSE);
            let book = if kind == "poison:long-id" { "x".repeat(ID_TOO_LONG) } else { book_id(0) };
            let expect = if NONSENSE.contains(&kind) { Expect::Refuse } else { Expect::DeadLetter };
            let mut request = self.wanted(&rent_id, &book, at_ms);
            if kind == "poison:negative-fee" {
                request.rental_fee = -1;
            }
            let envelope = rent_envelope(at_ms, request, kind, expect);
            self.traffic.add(poison(envelope, &format!("{{\"id\":\"{rent_id}\",\"bookId\":\"{book}\"}}")));
        }
        if self.traffic.happens(self.traffic.params.conflicts) {
            let (command_id, rent_id) = (self.traffic.command_id(), format!("nobodys-{:06}", number + 1));
            let command = ReturnBook { command_id, rent_id, requested_at: at_ms };
            self.traffic.add(rent_envelope(at_ms, command, "return-unknown", Expect::Refuse));
        }
    }

    fn wanted(&mut self, rent_id: &str, book_id: &str, at_ms: i64) -> RequestRent {
        let member = self.members.sample(&mut self.traffic.rng);
        RequestRent {
            command_id: self.traffic.command_id(),
            rent_id: rent_id.to_owned(),
            user_id: format!("member-{:05}", member + 1),
            book_id: book_id.to_owned(),
            book_name: "as shown".to_owned(),
            rental_fee: 1_000,
            requested_at: at_ms,
        }
    }

    fn register(&mut self, at_ms: i64, book: u32, kind: &str) -> Envelope {
        let register = RegisterBook {
            command_id: self.traffic.command_id(),
            book_id: book_id(book),
            book_name: TITLES[book as usize % TITLES.len()].to_owned(),
            rental_fee: self.traffic.rng.random_range(1..=9_i64) * 500,
            requested_at: at_ms,
        };
        let value = BookCommand { command: register.into() };
        command(at_ms, &topics::BOOKS, &COMMANDS.books, &value, kind, Expect::Accept)
    }
}

fn rent_envelope(at_ms: i64, kind_of: impl Into<RentCommandKind>, kind: &str, expect: Expect) -> Envelope {
    let value = RentCommand { command: kind_of.into() };
    command(at_ms, &topics::RENTS, &COMMANDS.rents, &value, kind, expect)
}
