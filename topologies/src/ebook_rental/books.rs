//! Book management: books and who has them. A sub-topology of its own, so that it can be stopped alone.

use schemas::ebook::state::{Book, BookState};
use schemas::ebook::{
    BookCommand, BookCommandKind, BookOutcome, BookRejection, BookRequest, BookRequestKind, BookResult, RegisterBook,
};
use schemas::state::{Hold, HoldPhase, Verdict};
use streams::store::{KeyValueStore, StateAccess as _};
use streams::{Context, ProcessError, Processor, PunctuationType, Record, ScheduleId, Timestamp};

use crate::limits::PRICE_MAX;
use crate::saga::hold::{self, Ask};
use crate::saga::{Due, DueKind, Holds, Ledger, Timers, check};

/// What can happen to a book.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The librarian asks for something.
    Command(BookCommand),
    /// The rent saga asks for something.
    Request(BookRequest),
}

/// Decides a registration: the book from now on, if it changes, and the answer. The first one of an id registers; later
/// ones change title and fee, and what was agreed with a member stays.
#[must_use]
pub fn register(known: Option<&Book>, command: &RegisterBook, now: Timestamp) -> (Option<Book>, Verdict, String) {
    let valid = check::text("book_name", &command.book_name)
        .and_then(|()| check::number("rental_fee", command.rental_fee, 0, PRICE_MAX));
    if let Err(reason) = valid {
        return (None, Verdict::Invalid, reason);
    }
    let (book_name, rental_fee) = (command.book_name.clone(), command.rental_fee);
    let book = match known {
        None => Book {
            book_id: command.book_id.clone(),
            book_name,
            rental_fee,
            status: BookState::Possible,
            rent_id: None,
            registered_at: now,
            updated_at: now,
        },
        Some(book) if (&book.book_name, book.rental_fee) == (&book_name, rental_fee) => {
            return (None, Verdict::Duplicate, "the book is registered so already".into());
        }
        Some(book) => Book { book_name, rental_fee, updated_at: now, ..book.clone() },
    };
    (Some(book), Verdict::Accepted, String::new())
}

/// Decides a request of the rent saga: the book, if it changes, and the hold.
///
/// # Errors
/// When the request makes no sense.
pub fn request(
    known: Option<&Book>,
    hold: Option<&Hold>,
    request: &BookRequest,
    now: Timestamp,
) -> Result<(Option<Book>, Hold), String> {
    let ask = match request.kind {
        BookRequestKind::Take => Ask::Take,
        BookRequestKind::Free => Ask::Free,
        BookRequestKind::Unknown => return Err("a kind of book request that this release does not know".into()),
    };
    let refusal = match known {
        None => Some(BookRejection::UnknownBook),
        Some(Book { rent_id: Some(_), .. }) => Some(BookRejection::TakenByAnother),
        Some(_) => None,
    };
    let new = hold::decide(hold, &request.book_id, &request.rent_id, ask, refusal.map(BookRejection::symbol), now);
    let (was, is) = (hold.is_some_and(hold::keeps), hold::keeps(&new));
    let book = known.filter(|_| was != is).map(|book| {
        let (status, rent_id) =
            if is { (BookState::Taken, Some(request.rent_id.clone())) } else { (BookState::Possible, None) };
        Book { status, rent_id, updated_at: now, ..book.clone() }
    });
    Ok((book, new))
}

/// The answer that a hold is to a request.
#[must_use]
pub fn answer(book: Option<&Book>, hold: &Hold, request: &BookRequest, now: Timestamp) -> BookResult {
    let outcome = match (hold.phase, request.kind) {
        (_, BookRequestKind::Free) | (HoldPhase::Released, _) => BookOutcome::Freed,
        (HoldPhase::Held | HoldPhase::Out, _) => BookOutcome::Taken,
        (HoldPhase::Rejected | HoldPhase::Unknown, _) => BookOutcome::Rejected,
    };
    let book = book.filter(|_| hold::keeps(hold));
    BookResult {
        outcome,
        rent_id: request.rent_id.clone(),
        book_id: request.book_id.clone(),
        book_name: book.map(|book| book.book_name.clone()).unwrap_or_default(),
        rental_fee: book.map_or(0, |book| book.rental_fee),
        reason: BookRejection::from_symbol(&hold.reason).filter(|_| outcome == BookOutcome::Rejected),
        command_id: request.command_id.clone(),
        at: now,
    }
}

/// Book management's processor. Forwards results, keyed by rent.
pub(super) struct BookManagement {
    pub(super) timer_resolution_ms: i64,
    pub(super) books: KeyValueStore<String, Book>,
    pub(super) holds: Holds,
    pub(super) ledger: Ledger,
    pub(super) timers: Timers,
}

type Cx<'a> = Context<'a, String, BookResult>;

impl Processor for BookManagement {
    type KeyIn = String;
    type ValueIn = Event;
    type KeyOut = String;
    type ValueOut = BookResult;

    fn init(&self, cx: &mut Cx<'_>) -> Result<(), ProcessError> {
        cx.schedule(self.timer_resolution_ms, PunctuationType::WallClockTime);
        Ok(())
    }

    fn process(&self, cx: &mut Cx<'_>, record: Record<'_, String, Event>) -> Result<(), ProcessError> {
        let (Some(id), Some(event)) = (record.key, record.value) else {
            return Err(ProcessError::Topology("an event without book".into()));
        };
        match event {
            Event::Command(command) => self.ledger.once(cx, command, |cx| {
                let known = self.books.get(cx, id)?;
                let BookCommandKind::RegisterBook(asked) = &command.command;
                let (book, verdict, detail) = register(known.as_ref(), asked, cx.now());
                if let Some(book) = book {
                    self.books.put(cx, id, &book)?;
                }
                Ok(Some((verdict, detail)))
            }),
            Event::Request(request) => self.on_request(cx, request),
        }
    }

    fn punctuate(&self, cx: &mut Cx<'_>, _schedule: ScheduleId, now: Timestamp) -> Result<(), ProcessError> {
        for (due, Due { kind, id }) in self.timers.take_due(cx, now)? {
            match kind {
                DueKind::Forget => self.holds.forget(cx, &id)?,
                DueKind::ForgetCommand => self.ledger.forget(cx, due, &id)?,
                DueKind::Deadline | DueKind::PaymentRetry => {}
            }
        }
        Ok(())
    }
}

impl BookManagement {
    fn on_request(&self, cx: &mut Cx<'_>, ask: &BookRequest) -> Result<(), ProcessError> {
        check::id("rent_id", &ask.rent_id).map_err(ProcessError::rejected)?;
        let (known, now) = (self.books.get(cx, &ask.book_id)?, cx.now());
        let old = self.holds.get(cx, &ask.book_id, &ask.rent_id)?;
        let (book, new) = request(known.as_ref(), old.as_ref(), ask, now).map_err(ProcessError::rejected)?;
        if let Some(book) = &book {
            self.books.put(cx, &book.book_id, book)?;
        }
        self.holds.follow(cx, old.as_ref(), &new)?;
        let at = cx.timestamp();
        let result = answer(book.as_ref().or(known.as_ref()), &new, ask, now);
        cx.forward(Record::new(Some(&ask.rent_id), Some(&result), at))
    }
}
