//! ebook-rental's resources: books, rents, what is before the librarian, payments, the members' dashboard.

mod commands;
mod wire;

use std::sync::Arc;

use axum::routing::get;
use schemas::Topic;
use schemas::ebook::state::{Approval, Book, Dashboard, Rent};
use schemas::ebook::{BookCommand, DecisionCommand, RentCommand, RentState, RentStatus, topics};
use schemas::state::Payment;
use serde::Serialize;

use crate::StartError;
use crate::gateway::wire::At;
use crate::gateway::{
    Business, Commands, Hub, Judged, Profile, Resource, Route, Start, Streamed, Table, Until, all_events, collection,
    command, events_of, item,
};

/// Stores, command topics and events.
pub(crate) struct Ebook {
    books: Table<Book>,
    rents: Table<Rent>,
    approvals: Table<Approval>,
    waiting: Table<Approval>,
    payments: Table<Payment>,
    dashboards: Table<Dashboard>,
    book_commands: Commands<BookCommand>,
    rent_commands: Commands<RentCommand>,
    decisions: Commands<DecisionCommand>,
    status: Arc<Hub>,
}

impl Business for Ebook {
    const APP: &'static str = "ebook-rental";
    const PROFILES: &'static [Profile] = &[
        Profile { name: "books", item: "book", fields: &["id", "bookName", "rentalFee", "status", "rentId"] },
        Profile {
            name: "rents",
            item: "rent",
            fields: &["id", "userId", "bookId", "bookName", "rentalFee", "status", "reason", "history"],
        },
        Profile {
            name: "approvals",
            item: "approval",
            fields: &["id", "userId", "bookId", "bookName", "rentalFee", "status", "librarianId", "reason"],
        },
        Profile {
            name: "waitingapprovals",
            item: "approval",
            fields: &["id", "userId", "bookId", "bookName", "rentalFee", "status"],
        },
        Profile {
            name: "payments",
            item: "payment",
            fields: &["id", "rentId", "price", "status", "attempt", "deferred"],
        },
        Profile {
            name: "dashboards",
            item: "dashboard",
            fields: &[
                "id",
                "userId",
                "bookId",
                "bookName",
                "rentalFee",
                "rentedDate",
                "paidDate",
                "approvedDate",
                "returnedDate",
                "canceledDate",
                "status",
            ],
        },
    ];

    fn start(start: &Start<'_>) -> Result<Self, StartError> {
        Ok(Ebook {
            books: start.table("books")?,
            rents: start.table("rents")?,
            approvals: start.table("approvals")?,
            waiting: start.table("waiting-approvals")?,
            payments: start.table("payments")?,
            dashboards: start.table("dashboard")?,
            book_commands: start.commands(&topics::BOOKS, "book-commands")?,
            rent_commands: start.commands(&topics::RENTS, "commands")?,
            decisions: start.commands(&topics::DECISIONS, "decisions")?,
            status: start.hub::<Self, Changes>()?,
        })
    }

    fn routes() -> Vec<Route<Self>> {
        vec![
            ("/books", get(collection::<Self, Books>).post(commands::register_book)),
            ("/books/{id}", get(item::<Self, Books>)),
            ("/books/{id}/commands/{command}", get(command::<Self, Books>)),
            ("/rents", get(collection::<Self, Rents>).post(commands::request_rent)),
            ("/rents/events", get(all_events::<Self, Changes>)),
            ("/rents/{id}", get(item::<Self, Rents>).patch(commands::update_rent).put(commands::update_rent)),
            ("/rents/{id}/events", get(events_of::<Self, Changes>)),
            ("/rents/{id}/commands/{command}", get(command::<Self, Rents>)),
            ("/approvals", get(collection::<Self, Approvals>)),
            ("/approvals/{id}", get(item::<Self, Approvals>)),
            ("/approvals/{id}/commands/{command}", get(command::<Self, Approvals>)),
            ("/waitingapprovals", get(collection::<Self, WaitingApprovals>)),
            ("/payments", get(collection::<Self, Payments>)),
            ("/payments/{id}", get(item::<Self, Payments>)),
            ("/dashboards", get(collection::<Self, Dashboards>)),
            ("/dashboards/{id}", get(item::<Self, Dashboards>)),
        ]
    }
}

/// `/books`.
struct Books;
impl Resource<Ebook> for Books {
    type Value = Book;
    const NAME: &'static str = "books";
    fn table(library: &Ebook) -> &Table<Book> {
        &library.books
    }
    fn view(book: &Book, at: At<'_>) -> impl Serialize {
        wire::BookView::new(book, at)
    }
}

impl Judged<Ebook> for Books {
    type Command = BookCommand;
    const CREATES: &'static [&'static str] = &["RegisterBook"];
    fn commands(library: &Ebook) -> &Commands<BookCommand> {
        &library.book_commands
    }
}

/// `/rents`.
struct Rents;

/// The payment has an outcome, be it that it is put off.
const PAYMENT: Until<Rent> =
    Until::new("payment", |rent| !matches!(rent.status, RentState::Requested | RentState::Rented));
/// Nothing of the saga is under way any more.
const SETTLED: Until<Rent> = Until::new("settled", |rent| rent.settled_at.is_some());

impl Resource<Ebook> for Rents {
    type Value = Rent;
    const NAME: &'static str = "rents";
    const UNTIL: &'static [Until<Rent>] = &[PAYMENT, SETTLED];
    fn table(library: &Ebook) -> &Table<Rent> {
        &library.rents
    }
    fn view(rent: &Rent, at: At<'_>) -> impl Serialize {
        wire::RentView::new(rent, at)
    }
    fn retry_at(rent: &Rent) -> Option<i64> {
        rent.payment.retry_at.filter(|_| rent.status == RentState::PaymentDeferred)
    }
}

impl Judged<Ebook> for Rents {
    type Command = RentCommand;
    const CREATES: &'static [&'static str] = &["RequestRent"];
    fn commands(library: &Ebook) -> &Commands<RentCommand> {
        &library.rent_commands
    }
}

/// `/approvals`: rents that were put before the librarian, and what was decided.
struct Approvals;
impl Resource<Ebook> for Approvals {
    type Value = Approval;
    const NAME: &'static str = "approvals";
    const UNTIL: &'static [Until<Approval>] = &[Until::new("settled", |approval| approval.decided_at.is_some())];
    fn table(library: &Ebook) -> &Table<Approval> {
        &library.approvals
    }
    fn view(approval: &Approval, at: At<'_>) -> impl Serialize {
        wire::ApprovalView::new(approval, at)
    }
}

impl Judged<Ebook> for Approvals {
    type Command = DecisionCommand;
    const CREATES: &'static [&'static str] = &[];
    fn commands(library: &Ebook) -> &Commands<DecisionCommand> {
        &library.decisions
    }
}

/// `/waitingapprovals`: only those that wait for the librarian.
struct WaitingApprovals;
impl Resource<Ebook> for WaitingApprovals {
    type Value = Approval;
    const NAME: &'static str = "waitingapprovals";
    fn table(library: &Ebook) -> &Table<Approval> {
        &library.waiting
    }
    fn view(approval: &Approval, at: At<'_>) -> impl Serialize {
        wire::ApprovalView::new(approval, at)
    }
}

/// `/payments`: of rents whose payment was asked for.
struct Payments;
impl Resource<Ebook> for Payments {
    type Value = Payment;
    const NAME: &'static str = "payments";
    fn table(library: &Ebook) -> &Table<Payment> {
        &library.payments
    }
    fn view(payment: &Payment, at: At<'_>) -> impl Serialize {
        wire::PaymentView::new(payment, at)
    }
}

/// `/dashboards`: the members' view of their rents.
struct Dashboards;
impl Resource<Ebook> for Dashboards {
    type Value = Dashboard;
    const NAME: &'static str = "dashboards";
    fn table(library: &Ebook) -> &Table<Dashboard> {
        &library.dashboards
    }
    fn view(row: &Dashboard, at: At<'_>) -> impl Serialize {
        wire::DashboardView::new(row, at)
    }
}

/// `/rents/events`: every change of every rent, for its member.
struct Changes;
impl Streamed<Ebook> for Changes {
    type Record = RentStatus;
    const TOPIC: Topic<RentStatus> = topics::RENT_STATUS;
    const OWNER: &'static str = "userId";
    fn hub(library: &Ebook) -> &Arc<Hub> {
        &library.status
    }
    fn owner(status: &RentStatus) -> Option<&str> {
        Some(&status.user_id)
    }
    fn view(status: &RentStatus) -> impl Serialize {
        wire::StatusView::from(status)
    }
}
