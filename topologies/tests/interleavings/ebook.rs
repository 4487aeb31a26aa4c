//! ebook-rental in every interleaving: a rent, one that wants the same book, the librarian, and a book management.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use schemas::ebook::state::{Approval, Book, BookState, Rent};
use schemas::ebook::{
    ApprovalRequest, ApprovalResult, BookCommandKind, BookRequest, BookRequestKind, BookResult, DecisionCommand,
    DecisionCommandKind, RentCommand, RentCommandKind, RentState,
};
use schemas::payment::PaymentResult;
use schemas::state::{Hold, Verdict};
use topologies::ebook_rental::{Command, Config, Event, Rules, books, librarian, step};

use crate::support::ebook::{approve, give_back, register, reject, rent};
use crate::walk::{Bounds, Business, NONE, NOW, Out, Provider, Timers};
use crate::{CANCELLED, Case, STEP_FAILS, TOO_LATE, TWICE, check};

static RULES: LazyLock<Rules> = LazyLock::new(|| {
    let Config { saga, approval_deadline_ms, .. } = Config::default();
    Rules { saga, approval_deadline_ms }
});

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Message {
    Rent(RentCommandKind),
    Decision(DecisionCommandKind),
    Book(BookRequest),
    /// A request that finds no such book.
    Missed(BookRequest),
    BookResult(BookResult),
    PaymentResult(PaymentResult),
    Approval(ApprovalRequest),
    ApprovalResult(ApprovalResult),
    Deadline(String),
    PaymentRetry(String),
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Library {
    rents: BTreeMap<String, Rent>,
    book: Option<Book>,
    holds: BTreeMap<String, Hold>,
    approvals: BTreeMap<String, Approval>,
    /// What the librarian was told yes to.
    accepted: Vec<String>,
}

impl Library {
    fn new(registered: bool) -> Library {
        let BookCommandKind::RegisterBook(registration) = register("reg", "b", 3_000);
        let book = if registered { books::register(None, &registration, NOW).0 } else { None };
        let (rents, holds, approvals) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        Library { rents, book, holds, approvals, accepted: Vec::new() }
    }

    fn saga(&mut self, id: &str, event: &Event, out: &mut Out<Message>) {
        let step = step(self.rents.remove(id), event, NOW, &RULES).expect("about the rent");
        self.rents.extend(step.state.map(|rent| (id.to_owned(), rent)));
        for command in step.commands {
            match command {
                Command::Book(request) => out.messages.push(Message::Book(request)),
                Command::Payment(request) => out.payments.push(request),
                Command::Approval(request) => out.messages.push(Message::Approval(request)),
                Command::Event(_) | Command::Status(_) => {}
            }
        }
    }

    /// What book management makes of a request about a book: the book, if it changes.
    fn hold(&mut self, book: Option<Book>, ask: &BookRequest, out: &mut Out<Message>) -> Option<Book> {
        let known = self.holds.get(&ask.rent_id);
        let (changed, hold) = books::request(book.as_ref(), known, ask, NOW).expect("makes sense");
        let now = changed.as_ref().or(book.as_ref());
        out.messages.push(Message::BookResult(books::answer(now, &hold, ask, NOW)));
        self.holds.insert(ask.rent_id.clone(), hold);
        changed
    }

    fn librarian(&mut self, id: &str, event: &librarian::Event, out: &mut Out<Message>) {
        let step = librarian::step(self.approvals.remove(id), event, NOW).expect("makes sense");
        self.approvals.extend(step.state.map(|approval| (id.to_owned(), approval)));
        out.messages.extend(step.commands.into_iter().map(Message::ApprovalResult));
        if step.verdict.is_some_and(|(verdict, _)| verdict == Verdict::Accepted)
            && let librarian::Event::Command(command) = event
        {
            self.accepted.push(command.command_id().to_owned());
        }
    }
}

impl Business for Library {
    type Message = Message;

    fn way(message: &Message) -> u8 {
        match message {
            Message::Rent(_) => 0,
            Message::Decision(_) => 1,
            Message::Book(_) | Message::Missed(_) => 2,
            Message::BookResult(_) => 3,
            Message::PaymentResult(_) => 4,
            Message::Approval(_) => 5,
            Message::ApprovalResult(_) => 6,
            Message::Deadline(_) | Message::PaymentRetry(_) => 7,
        }
    }

    fn instead(&self, message: &Message) -> Option<Message> {
        match message {
            Message::Book(ask) if ask.kind == BookRequestKind::Take => Some(Message::Missed(ask.clone())),
            _ => None,
        }
    }

    fn take(&mut self, message: &Message, out: &mut Out<Message>) {
        use schemas::Keyed as _;
        match message {
            Message::Rent(command) => {
                let command = RentCommand { command: command.clone() };
                self.saga(command.key(), &Event::Command(command.clone()), out);
            }
            Message::BookResult(result) => self.saga(&result.rent_id, &Event::Book(result.clone()), out),
            Message::PaymentResult(result) => self.saga(&result.correlation_id, &Event::Payment(result.clone()), out),
            Message::ApprovalResult(result) => self.saga(&result.rent_id, &Event::Approval(result.clone()), out),
            Message::Deadline(id) => self.saga(id, &Event::Deadline, out),
            Message::PaymentRetry(id) => self.saga(id, &Event::PaymentRetry, out),
            Message::Decision(command) => {
                let command = DecisionCommand { command: command.clone() };
                self.librarian(command.key(), &librarian::Event::Command(command.clone()), out);
            }
            Message::Approval(ask) => self.librarian(&ask.rent_id, &librarian::Event::Request(ask.clone()), out),
            Message::Book(ask) => {
                let book = self.hold(self.book.clone(), ask, out);
                self.book = book.or(self.book.take());
            }
            Message::Missed(ask) => drop(self.hold(None, ask, out)),
        }
    }

    fn paid(result: PaymentResult) -> Message {
        Message::PaymentResult(result)
    }

    fn timers(&self) -> Timers<Message> {
        let ids = |due: fn(&Rent) -> Option<i64>| self.rents.values().filter(move |r| due(r).is_some());
        Timers {
            deadlines: ids(|r| r.deadline_at).map(|r| Message::Deadline(r.rent_id.clone())).collect(),
            retries: ids(|r| r.payment.retry_at).map(|r| Message::PaymentRetry(r.rent_id.clone())).collect(),
        }
    }

    fn check(&self, money: &Provider) {
        let holder = self.book.as_ref().and_then(|book| book.rent_id.as_ref());
        for (id, rent) in &self.rents {
            // Before the rent is given back.
            if rent.status == RentState::Approved && rent.settled_at.is_some() {
                assert!(money.holds(id), "an approval without payment: {rent:?}");
                assert_eq!(holder, Some(id), "one copy read by two members: {rent:?}");
            }
            if money.holds(id) && !matches!(rent.status, RentState::Approved | RentState::Returned) {
                assert_eq!(holder, Some(id), "a member pays for a book that is not kept: {rent:?}");
            }
        }
        assert!(self.accepted.len() <= 1, "two decisions stand: {:?}", self.accepted);
    }

    fn ends(&self, money: &Provider) -> Vec<String> {
        let holder = self.book.as_ref().and_then(|book| book.rent_id.as_ref());
        let taken = self.book.as_ref().is_some_and(|book| book.status == BookState::Taken);
        assert_eq!(holder.is_some(), taken, "{:?}", self.book);
        let mut ends = Vec::new();
        for (id, rent) in &self.rents {
            let (held, kept) = (money.holds(id), holder == Some(id));
            let waits = self.approvals.get(id).is_some_and(|approval| approval.decided_at.is_none());
            match rent.status {
                RentState::Paid => assert!(held && kept && waits, "before the librarian: {rent:?}"),
                RentState::Approved => assert!(held && kept && !waits, "{rent:?}"),
                RentState::Returned => assert!(held && !kept && !waits, "a book that stays taken: {rent:?}"),
                RentState::Canceled => assert!(!held && !kept && !waits, "something is kept back: {rent:?}"),
                _ => panic!("it never ends: {rent:?}"),
            }
            assert_eq!(rent.settled_at.is_some(), rent.status != RentState::Paid, "{rent:?}");
            // What the librarian was told holds.
            if self.accepted.iter().any(|c| c == "yes") && id == "r" {
                assert!(matches!(rent.status, RentState::Approved | RentState::Returned), "overruled: {rent:?}");
            }
            ends.push(match rent.reason {
                Some(reason) => format!("{}/{reason}", rent.status),
                None => rent.status.to_string(),
            });
        }
        ends
    }
}

#[test]
fn the_nevers_of_ebook_rental_hold_in_every_interleaving() {
    let case = |bounds, registered, first: &[RentCommandKind], clients: Vec<Message>| Case {
        bounds,
        business: Library::new(registered),
        first: first.iter().cloned().map(Message::Rent).collect(),
        clients,
    };
    let yes = || Message::Decision(approve("yes", "r"));
    let no = || Message::Decision(reject("no", "r"));
    let back = || Message::Rent(give_back("back", "r"));
    let one = [rent("r", "b")];
    let two = [rent("r", "b"), rent("s", "b")];
    let walks = vec![
        case(
            Bounds {
                name: STEP_FAILS,
                ends: &[
                    "APPROVED",
                    "CANCELED/PAYMENT_DECLINED",
                    "CANCELED/REJECTED",
                    "CANCELED/TAKEN_BY_ANOTHER",
                    "CANCELED/UNKNOWN_BOOK",
                    "PAID",
                ],
                failures: 1,
                ..NONE
            },
            true,
            &two,
            vec![yes(), no()],
        ),
        case(
            Bounds { name: TWICE, deadlines: 1, deferrals: 1, twice: true, ..NONE },
            true,
            &one,
            vec![yes(), no(), back()],
        ),
        case(
            Bounds {
                name: TOO_LATE,
                ends: &[
                    "APPROVED",
                    "CANCELED/APPROVAL_TIMEOUT",
                    "CANCELED/PAYMENT_DECLINED",
                    "CANCELED/PAYMENT_TIMEOUT",
                    "PAID",
                ],
                deadlines: 2,
                deferrals: 2,
                any_order: true,
                ..NONE
            },
            true,
            &one,
            vec![yes()],
        ),
        case(Bounds { name: "no such book", repeats: 2, ..NONE }, false, &one, vec![yes(), back()]),
        case(Bounds { name: CANCELLED, deadlines: 2, deferrals: 2, ..NONE }, true, &one, vec![yes(), no(), back()]),
        case(
            Bounds { name: "messages overtake each other", deadlines: 2, deferrals: 1, any_order: true, ..NONE },
            true,
            &one,
            vec![yes(), no(), back()],
        ),
        case(
            Bounds { name: "overtaking and repeated", deadlines: 2, repeats: 1, any_order: true, ..NONE },
            true,
            &one,
            vec![yes(), back()],
        ),
        case(
            Bounds { name: "any two messages again at any point", deadlines: 2, repeats: 2, ..NONE },
            true,
            &one,
            vec![yes(), no()],
        ),
        case(
            Bounds { name: "voids refused", deadlines: 2, deferrals: 2, repeats: 1, void_refused: true, ..NONE },
            true,
            &one,
            vec![no()],
        ),
        case(Bounds { name: "two rents of one book", deadlines: 1, ..NONE }, true, &two, vec![yes(), back()]),
    ];
    let ends = [
        "APPROVED",
        "CANCELED/APPROVAL_TIMEOUT",
        "CANCELED/PAYMENT_DECLINED",
        "CANCELED/PAYMENT_TIMEOUT",
        "CANCELED/REJECTED",
        "CANCELED/TAKEN_BY_ANOTHER",
        "CANCELED/UNKNOWN_BOOK",
        "PAID",
        "RETURNED",
    ];
    check("ebook-rental", walks, &[STEP_FAILS, TWICE, CANCELLED, TOO_LATE], 100_000, &ends);
}
