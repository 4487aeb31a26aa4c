//! State of ebook-rental's sagas, as it lies in stores and changelogs. What clients see of it is its JSON form.

use super::{
    BookCommand, BookCommandKind, DecisionCommand, DecisionCommandKind, RentCancelReason, RentCommand, RentCommandKind,
    RentState,
};
use crate::avro;
use crate::state::{Command, Payment};

avro! {
    /// Where the book of a rent stands.
    pub enum BookPhase: "orderflow.ebook.BookPhase" {
        /// A symbol of a newer release.
        Unknown = "UNKNOWN",
        /// A TAKE is open.
        Asked = "ASKED",
        /// It is kept for the rent.
        Taken = "TAKEN",
        /// It was not to be had; nothing is kept.
        Rejected = "REJECTED",
        /// A FREE is open.
        Freeing = "FREEING",
        /// Nothing is kept any more.
        Freed = "FREED",
    }
}

avro! {
    /// Where the librarian's decision about a rent stands.
    pub enum ApprovalPhase: "orderflow.ebook.ApprovalPhase" {
        /// A symbol of a newer release.
        Unknown = "UNKNOWN",
        /// Not before the librarian.
        None = "NONE",
        /// Before the librarian.
        Waiting = "WAITING",
        /// A WITHDRAW is open.
        Withdrawing = "WITHDRAWING",
        /// The member may read.
        Approved = "APPROVED",
        /// Turned down.
        Rejected = "REJECTED",
        /// Taken away undecided.
        Withdrawn = "WITHDRAWN",
    }
}

avro! {
    /// Where a book stands; the words are the librarian's.
    pub enum BookState: "orderflow.ebook.BookState" {
        /// A symbol of a newer release.
        Unknown = "UNKNOWN",
        /// Can be rented.
        Possible = "POSSIBLE",
        /// Kept for one rent, or being read.
        Taken = "TAKEN",
    }
}

avro! {
    /// One change of state of a rent.
    pub struct RentStep {
        /// Counts the changes from 1.
        pub version: i32,
        /// The state entered.
        pub status: RentState,
        /// Why, once it is being cancelled.
        pub reason: Option<RentCancelReason>,
        /// In words; empty when there are none.
        pub detail: String,
        /// When it changed, in milliseconds since the epoch.
        pub at: i64,
    }
}

avro! {
    /// A rent with everything its saga has to know.
    pub struct Rent: "orderflow.ebook.Rent" in "ebook-rental/state/Rent.avsc" {
        /// The rent.
        pub rent_id: String,
        /// The member.
        pub user_id: String,
        /// The book.
        pub book_id: String,
        /// Title of the book.
        pub book_name: String,
        /// Won for the rental.
        pub rental_fee: i64,
        /// When it was asked for, in milliseconds since the epoch.
        pub requested_at: i64,
        /// The command that asked for it.
        pub command_id: String,
        /// Where it stands.
        pub status: RentState,
        /// Why it is being cancelled or was; null while it is not.
        pub reason: Option<RentCancelReason>,
        /// The reason in words; empty when there are none.
        pub detail: String,
        /// Changes of state so far.
        pub version: i32,
        /// Its book.
        pub book: BookPhase,
        /// Its payment.
        pub payment: Payment,
        /// The librarian's decision.
        pub approval: ApprovalPhase,
        /// When the saga began, in milliseconds since the epoch.
        pub created_at: i64,
        /// When it is unwound unless it is paid, or decided, by then, in milliseconds since the epoch; null when nothing waits for that.
        pub deadline_at: Option<i64>,
        /// Since when nothing is under way, in milliseconds since the epoch; null while something is.
        pub settled_at: Option<i64>,
        /// Every change of state, oldest first.
        pub history: Vec<RentStep>,
    }
}

avro! {
    /// A book and who has it.
    pub struct Book: "orderflow.ebook.Book" in "ebook-rental/state/Book.avsc" {
        /// The book.
        pub book_id: String,
        /// Title of the book.
        pub book_name: String,
        /// Won for the rental.
        pub rental_fee: i64,
        /// Where it stands.
        pub status: BookState,
        /// The rent that holds the book.
        pub rent_id: Option<String>,
        /// When it was registered, in milliseconds since the epoch.
        pub registered_at: i64,
        /// When it last changed, in milliseconds since the epoch.
        pub updated_at: i64,
    }
}

avro! {
    /// A paid rent before the librarian, and what was decided.
    pub struct Approval: "orderflow.ebook.Approval" in "ebook-rental/state/Approval.avsc" {
        /// The rent.
        pub rent_id: String,
        /// The member.
        pub user_id: String,
        /// The book.
        pub book_id: String,
        /// Title of the book.
        pub book_name: String,
        /// Won for the rental.
        pub rental_fee: i64,
        /// What was decided; WAITING until then.
        pub phase: ApprovalPhase,
        /// Who decided; empty when unknown.
        pub librarian_id: String,
        /// Why; empty when not said.
        pub reason: String,
        /// The command that decided; empty while undecided or withdrawn.
        pub command_id: String,
        /// When it was put before the librarian, in milliseconds since the epoch.
        pub requested_at: Option<i64>,
        /// When it was decided, in milliseconds since the epoch.
        pub decided_at: Option<i64>,
    }
}

avro! {
    /// A row of the members' dashboard.
    pub struct Dashboard: "orderflow.ebook.Dashboard" in "ebook-rental/state/Dashboard.avsc" {
        /// The rent.
        pub rent_id: String,
        /// The member.
        pub user_id: String,
        /// The book.
        pub book_id: String,
        /// Title of the book.
        pub book_name: String,
        /// Won for the rental.
        pub rental_fee: i64,
        /// Where it stands.
        pub status: RentState,
        /// Why it is being cancelled or was.
        pub reason: Option<RentCancelReason>,
        /// The last change seen.
        pub version: i32,
        /// When it was asked for, in milliseconds since the epoch.
        pub requested_date: Option<i64>,
        /// When the book was kept for it, in milliseconds since the epoch.
        pub rented_date: Option<i64>,
        /// When its payment was first put off, in milliseconds since the epoch.
        pub deferred_date: Option<i64>,
        /// When it was paid, in milliseconds since the epoch.
        pub paid_date: Option<i64>,
        /// When the librarian approved, in milliseconds since the epoch.
        pub approved_date: Option<i64>,
        /// When the book came back, in milliseconds since the epoch.
        pub returned_date: Option<i64>,
        /// When everything was undone, in milliseconds since the epoch.
        pub canceled_date: Option<i64>,
        /// When it last changed, in milliseconds since the epoch.
        pub updated_at: i64,
    }
}

impl Command for BookCommand {
    fn command_id(&self) -> &str {
        BookCommand::command_id(self)
    }
    fn kind(&self) -> &'static str {
        match self.command {
            BookCommandKind::RegisterBook(_) => "RegisterBook",
        }
    }
    fn content(&self) -> Self {
        let mut same = self.clone();
        match &mut same.command {
            BookCommandKind::RegisterBook(command) => {
                command.command_id.clear();
                command.requested_at = 0;
            }
        }
        same
    }
}

impl Command for RentCommand {
    fn command_id(&self) -> &str {
        RentCommand::command_id(self)
    }
    fn kind(&self) -> &'static str {
        match self.command {
            RentCommandKind::RequestRent(_) => "RequestRent",
            RentCommandKind::ReturnBook(_) => "ReturnBook",
        }
    }
    fn content(&self) -> Self {
        let mut same = self.clone();
        match &mut same.command {
            RentCommandKind::RequestRent(command) => {
                command.command_id.clear();
                command.requested_at = 0;
            }
            RentCommandKind::ReturnBook(command) => {
                command.command_id.clear();
                command.requested_at = 0;
            }
        }
        same
    }
}

impl Command for DecisionCommand {
    fn command_id(&self) -> &str {
        DecisionCommand::command_id(self)
    }
    fn kind(&self) -> &'static str {
        match self.command {
            DecisionCommandKind::ApproveRent(_) => "ApproveRent",
            DecisionCommandKind::RejectRent(_) => "RejectRent",
        }
    }
    fn content(&self) -> Self {
        let mut same = self.clone();
        match &mut same.command {
            DecisionCommandKind::ApproveRent(command) => {
                command.command_id.clear();
                command.decided_at = 0;
            }
            DecisionCommandKind::RejectRent(command) => {
                command.command_id.clear();
                command.decided_at = 0;
            }
        }
        same
    }
}
