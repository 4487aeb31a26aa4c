//! ebook-rental: books, rents, the librarian's decisions. Payment is in [`crate::payment`].

pub mod state;

use crate::avro;
use crate::topics::Keyed;

avro! {
    /// Registers a book, or sets title and fee of a known one.
    pub struct RegisterBook {
        /// Unique id of this command; a repeat with the same id has no second effect.
        pub command_id: String,
        /// The book; partition key of the topic.
        pub book_id: String,
        /// Title of the book.
        pub book_name: String,
        /// Won for the rental.
        pub rental_fee: i64,
        /// When it was asked for, in milliseconds since the epoch.
        pub requested_at: i64,
    }
}

avro! {
    /// What a [`BookCommand`] carries.
    pub enum BookCommandKind: "orderflow.ebook.BookCommand.command" {
        /// Registers a book, or sets title and fee of a known one.
        RegisterBook(RegisterBook),
    }
}

avro! {
    /// Topic ebook.books: what the librarian asks for.
    pub struct BookCommand: "orderflow.ebook.BookCommand" in "ebook-rental/BookCommand.avsc" {
        /// One of the commands.
        pub command: BookCommandKind,
    }
}

avro! {
    /// Asks to read a book; the fee is charged once the book is kept for it.
    pub struct RequestRent {
        /// Unique id of this command; a repeat with the same id has no second effect.
        pub command_id: String,
        /// The rent; partition key of the topic.
        pub rent_id: String,
        /// The member.
        pub user_id: String,
        /// The book.
        pub book_id: String,
        /// Title as the member saw it.
        pub book_name: String,
        /// Won for the rental.
        pub rental_fee: i64,
        /// When it was asked for, in milliseconds since the epoch.
        pub requested_at: i64,
    }
}

avro! {
    /// Gives the book back.
    pub struct ReturnBook {
        /// Unique id of this command; a repeat with the same id has no second effect.
        pub command_id: String,
        /// The rent; partition key of the topic.
        pub rent_id: String,
        /// When it was asked for, in milliseconds since the epoch.
        pub requested_at: i64,
    }
}

avro! {
    /// What a [`RentCommand`] carries.
    pub enum RentCommandKind: "orderflow.ebook.RentCommand.command" {
        /// Asks to read a book; the fee is charged once the book is kept for it.
        RequestRent(RequestRent),
        /// Gives the book back.
        ReturnBook(ReturnBook),
    }
}

avro! {
    /// Topic ebook.rents: what members ask for.
    pub struct RentCommand: "orderflow.ebook.RentCommand" in "ebook-rental/RentCommand.avsc" {
        /// One of the commands.
        pub command: RentCommandKind,
    }
}

avro! {
    /// Lets the member read; refused before the payment.
    pub struct ApproveRent {
        /// Unique id of this command; a repeat with the same id has no second effect.
        pub command_id: String,
        /// The rent; partition key of the topic.
        pub rent_id: String,
        /// Who decides; empty when unknown.
        pub librarian_id: String,
        /// When the librarian decided, in milliseconds since the epoch.
        pub decided_at: i64,
    }
}

avro! {
    /// Turns the request down; the payment is given back.
    pub struct RejectRent {
        /// Unique id of this command; a repeat with the same id has no second effect.
        pub command_id: String,
        /// The rent; partition key of the topic.
        pub rent_id: String,
        /// Who decides; empty when unknown.
        pub librarian_id: String,
        /// Why; empty when not said.
        pub reason: String,
        /// When the librarian decided, in milliseconds since the epoch.
        pub decided_at: i64,
    }
}

avro! {
    /// What a [`DecisionCommand`] carries.
    pub enum DecisionCommandKind: "orderflow.ebook.DecisionCommand.command" {
        /// Lets the member read; refused before the payment.
        ApproveRent(ApproveRent),
        /// Turns the request down; the payment is given back.
        RejectRent(RejectRent),
    }
}

avro! {
    /// Topic ebook.decisions: what the librarian decides about rents.
    pub struct DecisionCommand: "orderflow.ebook.DecisionCommand" in "ebook-rental/DecisionCommand.avsc" {
        /// One of the commands.
        pub command: DecisionCommandKind,
    }
}

avro! {
    /// What is asked of the books.
    pub enum BookRequestKind: "orderflow.ebook.BookRequestKind" {
        /// A symbol of a newer release.
        Unknown = "UNKNOWN",
        /// Keep the book for one rent.
        Take = "TAKE",
        /// Make it possible to rent again.
        Free = "FREE",
    }
}

avro! {
    /// Topic ebook.book-requests: what the rent saga asks of the books.
    pub struct BookRequest: "orderflow.ebook.BookRequest" in "ebook-rental/BookRequest.avsc" {
        /// TAKE keeps the book for one rent, FREE makes it possible to rent again.
        pub kind: BookRequestKind,
        /// The rent.
        pub rent_id: String,
        /// The book; partition key of the topic.
        pub book_id: String,
        /// The command that led to this request.
        pub command_id: String,
        /// When it was asked for, in milliseconds since the epoch.
        pub requested_at: i64,
    }
}

avro! {
    /// What was decided about a book.
    pub enum BookOutcome: "orderflow.ebook.BookOutcome" {
        /// A symbol of a newer release.
        Unknown = "UNKNOWN",
        /// Kept for one rent.
        Taken = "TAKEN",
        /// Nothing was taken; the reason says why.
        Rejected = "REJECTED",
        /// Possible to rent again.
        Freed = "FREED",
    }
}

avro! {
    /// Why a book was not kept for a rent.
    pub enum BookRejection: "orderflow.ebook.BookRejection" {
        /// A symbol of a newer release.
        Unknown = "UNKNOWN",
        /// Another rent holds it.
        TakenByAnother = "TAKEN_BY_ANOTHER",
        /// No such book is registered.
        UnknownBook = "UNKNOWN_BOOK",
    }
}

avro! {
    /// Topic ebook.book-results: the answer of the books to the rent saga.
    pub struct BookResult: "orderflow.ebook.BookResult" in "ebook-rental/BookResult.avsc" {
        /// What was decided.
        pub outcome: BookOutcome,
        /// The rent; partition key of the topic.
        pub rent_id: String,
        /// The book.
        pub book_id: String,
        /// Title as registered; empty when rejected.
        pub book_name: String,
        /// Won for the rental, as registered; 0 when rejected.
        pub rental_fee: i64,
        /// Set when rejected.
        pub reason: Option<BookRejection>,
        /// The command that led to the request this answers.
        pub command_id: String,
        /// When it was decided, in milliseconds since the epoch.
        pub at: i64,
    }
}

avro! {
    /// What is asked of the librarian's side.
    pub enum ApprovalRequestKind: "orderflow.ebook.ApprovalRequestKind" {
        /// A symbol of a newer release.
        Unknown = "UNKNOWN",
        /// Put the rent before the librarian.
        Decide = "DECIDE",
        /// Take it away undecided.
        Withdraw = "WITHDRAW",
    }
}

avro! {
    /// Topic ebook.approval-requests: paid rents, from the rent saga to the librarian.
    pub struct ApprovalRequest: "orderflow.ebook.ApprovalRequest" in "ebook-rental/ApprovalRequest.avsc" {
        /// DECIDE puts the rent before the librarian, WITHDRAW takes it away undecided.
        pub kind: ApprovalRequestKind,
        /// The rent; partition key of the topic.
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
    }
}

avro! {
    /// What the librarian decided.
    pub enum ApprovalOutcome: "orderflow.ebook.ApprovalOutcome" {
        /// A symbol of a newer release.
        Unknown = "UNKNOWN",
        /// The member may read.
        Approved = "APPROVED",
        /// Turned down; the reason says why.
        Rejected = "REJECTED",
        /// Taken away undecided.
        Withdrawn = "WITHDRAWN",
    }
}

avro! {
    /// Topic ebook.approval-results: the librarian's decisions, to the rent saga.
    pub struct ApprovalResult: "orderflow.ebook.ApprovalResult" in "ebook-rental/ApprovalResult.avsc" {
        /// What was decided.
        pub outcome: ApprovalOutcome,
        /// The rent; partition key of the topic.
        pub rent_id: String,
        /// Who decided; empty when unknown.
        pub librarian_id: String,
        /// Why; empty when not said.
        pub reason: String,
        /// The librarian's command; empty when withdrawn.
        pub command_id: String,
        /// When it was decided, in milliseconds since the epoch.
        pub at: i64,
    }
}

avro! {
    /// Approved: the member may read.
    pub struct RentStarted {
        /// The rent; partition key of the topic.
        pub rent_id: String,
        /// The member.
        pub user_id: String,
        /// The book.
        pub book_id: String,
        /// Title of the book.
        pub book_name: String,
        /// When it was approved, in milliseconds since the epoch.
        pub started_at: i64,
    }
}

avro! {
    /// The book is back.
    pub struct RentReturned {
        /// The rent; partition key of the topic.
        pub rent_id: String,
        /// The member.
        pub user_id: String,
        /// The book.
        pub book_id: String,
        /// When it came back, in milliseconds since the epoch.
        pub returned_at: i64,
    }
}

avro! {
    /// Why a rent was cancelled.
    pub enum RentCancelReason: "orderflow.ebook.RentCancelReason" {
        /// A symbol of a newer release.
        Unknown = "UNKNOWN",
        /// Another rent holds it.
        TakenByAnother = "TAKEN_BY_ANOTHER",
        /// No such book is registered.
        UnknownBook = "UNKNOWN_BOOK",
        /// The payment was declined.
        PaymentDeclined = "PAYMENT_DECLINED",
        /// The payment was not settled before its deadline.
        PaymentTimeout = "PAYMENT_TIMEOUT",
        /// The librarian turned it down.
        Rejected = "REJECTED",
        /// The librarian did not decide before the deadline.
        ApprovalTimeout = "APPROVAL_TIMEOUT",
    }
}

avro! {
    /// Ended without reading; everything done for it has been undone.
    pub struct RentCancelled {
        /// The rent; partition key of the topic.
        pub rent_id: String,
        /// The member.
        pub user_id: String,
        /// The book.
        pub book_id: String,
        /// Why.
        pub reason: RentCancelReason,
        /// In words: of the librarian or the payment provider; empty when there are none.
        pub detail: String,
        /// When the unwinding was complete, in milliseconds since the epoch.
        pub cancelled_at: i64,
    }
}

avro! {
    /// What a [`RentEvent`] carries.
    pub enum RentEventKind: "orderflow.ebook.RentEvent.event" {
        /// Approved: the member may read.
        RentStarted(RentStarted),
        /// The book is back.
        RentReturned(RentReturned),
        /// Ended without reading; everything done for it has been undone.
        RentCancelled(RentCancelled),
    }
}

avro! {
    /// Topic ebook.rent-events: what happened to rents.
    pub struct RentEvent: "orderflow.ebook.RentEvent" in "ebook-rental/RentEvent.avsc" {
        /// One of the events.
        pub event: RentEventKind,
    }
}

avro! {
    /// Where a rent stands; the names are those of the members' dashboard.
    pub enum RentState: "orderflow.ebook.RentState" {
        /// A symbol of a newer release.
        Unknown = "UNKNOWN",
        /// Accepted; nothing is decided yet.
        Requested = "REQUESTED",
        /// The book is kept for it while the payment is under way.
        Rented = "RENTED",
        /// The payment is put off and will be tried again.
        PaymentDeferred = "PAYMENT_DEFERRED",
        /// Paid; before the librarian.
        Paid = "PAID",
        /// The member may read.
        Approved = "APPROVED",
        /// Back; the saga is over.
        Returned = "RETURNED",
        /// Being unwound.
        Canceling = "CANCELING",
        /// Ended; everything done for it is undone.
        Canceled = "CANCELED",
    }
}

avro! {
    /// Topic ebook.rent-status: every change of state of every rent.
    pub struct RentStatus: "orderflow.ebook.RentStatus" in "ebook-rental/RentStatus.avsc" {
        /// The rent; partition key of the topic.
        pub rent_id: String,
        /// The member.
        pub user_id: String,
        /// The book.
        pub book_id: String,
        /// Title of the book.
        pub book_name: String,
        /// Won for the rental.
        pub rental_fee: i64,
        /// The state entered.
        pub status: RentState,
        /// Why, once it is being cancelled.
        pub reason: Option<RentCancelReason>,
        /// Counts the changes of this rent from 1, so that a consumer can drop repeats.
        pub version: i32,
        /// When it changed, in milliseconds since the epoch.
        pub at: i64,
    }
}

impl Keyed for BookCommand {
    fn key(&self) -> &str {
        match &self.command {
            BookCommandKind::RegisterBook(command) => &command.book_id,
        }
    }
}

impl BookCommand {
    /// The command's id, whatever its kind.
    pub fn command_id(&self) -> &str {
        match &self.command {
            BookCommandKind::RegisterBook(command) => &command.command_id,
        }
    }
}

impl Keyed for RentCommand {
    fn key(&self) -> &str {
        match &self.command {
            RentCommandKind::RequestRent(command) => &command.rent_id,
            RentCommandKind::ReturnBook(command) => &command.rent_id,
        }
    }
}

impl RentCommand {
    /// The command's id, whatever its kind.
    pub fn command_id(&self) -> &str {
        match &self.command {
            RentCommandKind::RequestRent(command) => &command.command_id,
            RentCommandKind::ReturnBook(command) => &command.command_id,
        }
    }
}

impl Keyed for DecisionCommand {
    fn key(&self) -> &str {
        match &self.command {
            DecisionCommandKind::ApproveRent(command) => &command.rent_id,
            DecisionCommandKind::RejectRent(command) => &command.rent_id,
        }
    }
}

impl DecisionCommand {
    /// The command's id, whatever its kind.
    pub fn command_id(&self) -> &str {
        match &self.command {
            DecisionCommandKind::ApproveRent(command) => &command.command_id,
            DecisionCommandKind::RejectRent(command) => &command.command_id,
        }
    }
}

impl Keyed for BookRequest {
    fn key(&self) -> &str {
        &self.book_id
    }
}

impl Keyed for BookResult {
    fn key(&self) -> &str {
        &self.rent_id
    }
}

impl Keyed for ApprovalRequest {
    fn key(&self) -> &str {
        &self.rent_id
    }
}

impl Keyed for ApprovalResult {
    fn key(&self) -> &str {
        &self.rent_id
    }
}

impl Keyed for RentEvent {
    fn key(&self) -> &str {
        match &self.event {
            RentEventKind::RentStarted(event) => &event.rent_id,
            RentEventKind::RentReturned(event) => &event.rent_id,
            RentEventKind::RentCancelled(event) => &event.rent_id,
        }
    }
}

impl Keyed for RentStatus {
    fn key(&self) -> &str {
        &self.rent_id
    }
}

/// The topics of ebook-rental.
pub mod topics {
    use super::{
        ApprovalRequest, ApprovalResult, BookCommand, BookRequest, BookResult, DecisionCommand, RentCommand, RentEvent,
        RentStatus,
    };
    use crate::payment::{PaymentRequest, PaymentResult};
    use crate::topics::{Topic, TopicSpec};

    /// What the librarian asks for.
    pub const BOOKS: Topic<BookCommand> = Topic::command("ebook.books", "book_id");
    /// What members ask for.
    pub const RENTS: Topic<RentCommand> = Topic::command("ebook.rents", "rent_id");
    /// What the librarian decides about rents.
    pub const DECISIONS: Topic<DecisionCommand> = Topic::command("ebook.decisions", "rent_id");
    /// From the rent saga to the books.
    pub const BOOK_REQUESTS: Topic<BookRequest> = Topic::internal("ebook.book-requests", "book_id");
    /// From the books to the rent saga.
    pub const BOOK_RESULTS: Topic<BookResult> = Topic::internal("ebook.book-results", "rent_id");
    /// From the saga to the payment worker.
    pub const PAYMENT_REQUESTS: Topic<PaymentRequest> = Topic::internal("ebook.payment-requests", "rent_id");
    /// From the payment worker, or any external payment system, to the saga.
    pub const PAYMENT_RESULTS: Topic<PaymentResult> = Topic::internal("ebook.payment-results", "rent_id");
    /// From the rent saga to the librarian.
    pub const APPROVAL_REQUESTS: Topic<ApprovalRequest> = Topic::internal("ebook.approval-requests", "rent_id");
    /// From the librarian to the rent saga.
    pub const APPROVAL_RESULTS: Topic<ApprovalResult> = Topic::internal("ebook.approval-results", "rent_id");
    /// What happened to rents.
    pub const RENT_EVENTS: Topic<RentEvent> = Topic::event("ebook.rent-events", "rent_id");
    /// Every change of state of every rent.
    pub const RENT_STATUS: Topic<RentStatus> = Topic::event("ebook.rent-status", "rent_id");

    /// All of them.
    pub const ALL: &[TopicSpec] = &[
        BOOKS.spec(),
        RENTS.spec(),
        DECISIONS.spec(),
        BOOK_REQUESTS.spec(),
        BOOK_RESULTS.spec(),
        PAYMENT_REQUESTS.spec(),
        PAYMENT_RESULTS.spec(),
        APPROVAL_REQUESTS.spec(),
        APPROVAL_RESULTS.spec(),
        RENT_EVENTS.spec(),
        RENT_STATUS.spec(),
    ];
}
