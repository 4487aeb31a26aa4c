//! Stored state that every business shares: payments, and the ledger of commands ([`CommandOutcome`] under
//! [`ledger_key`]), which writers of commands read for their answer.

use crate::topics::Keyed;
use crate::{AvroValue, avro};

avro! {
    /// Where the payment of a saga stands.
    pub enum PaymentPhase: "orderflow.common.PaymentPhase" {
        /// A symbol of a newer release.
        Unknown = "UNKNOWN",
        /// Nothing was asked of the provider.
        None = "NONE",
        /// A CHARGE is open: its result is not known.
        Charging = "CHARGING",
        /// The money was taken.
        Approved = "APPROVED",
        /// The provider said no; no money was taken.
        Declined = "DECLINED",
        /// A VOID is open: the charge may have been taken or not.
        Voiding = "VOIDING",
        /// No money is held, and none can be taken under the charge's key.
        Voided = "VOIDED",
        /// A REFUND is open.
        Refunding = "REFUNDING",
        /// The money was given back.
        Refunded = "REFUNDED",
    }
}

avro! {
    /// The payment of one saga; shared by every business that takes money.
    pub struct Payment: "orderflow.common.Payment" in "common/state/Payment.avsc" {
        /// Id of the saga (order id, rental id).
        pub correlation_id: String,
        /// Who pays; empty when unknown.
        pub payer_id: String,
        /// Won.
        pub amount: i64,
        /// Where it stands.
        pub phase: PaymentPhase,
        /// Idempotency key of the charge, the same over all its attempts.
        pub charge_key: String,
        /// How often the open or last request was made; 0 when nothing was asked.
        pub attempt: i32,
        /// Whether the open request's last attempt came to nothing and waits for its next.
        pub deferred: bool,
        /// Whether the provider ever approved the charge.
        pub money_taken: bool,
        /// When the open request is made again, in milliseconds since the epoch; null when it is not to be.
        pub retry_at: Option<i64>,
        /// When the charge was first asked for, in milliseconds since the epoch.
        pub charged_at: Option<i64>,
        /// When the phase last changed, in milliseconds since the epoch.
        pub decided_at: Option<i64>,
        /// The provider's reference of the approved charge.
        pub reference: Option<String>,
        /// In the provider's or the worker's words: why it was declined or deferred.
        pub reason: Option<String>,
    }
}

avro! {
    /// What was decided about a command.
    pub enum Verdict: "orderflow.common.Verdict" {
        /// A symbol of a newer release.
        Unknown = "UNKNOWN",
        /// It was carried out.
        Accepted = "ACCEPTED",
        /// What it asks for exists already, with the same content: nothing was done, the answer is the same.
        Duplicate = "DUPLICATE",
        /// Its id belongs to something else already.
        Conflict = "CONFLICT",
        /// It is about something that does not exist.
        NotFound = "NOT_FOUND",
        /// What it wants to cancel is cancelled, or being cancelled, already.
        AlreadyCancelled = "ALREADY_CANCELLED",
        /// The business says no; the detail says why.
        Refused = "REFUSED",
        /// A value in it is out of its range.
        Invalid = "INVALID",
        /// It is older than finished business is remembered: it cannot be told whether it was carried out before.
        Expired = "EXPIRED",
    }
}

avro! {
    /// What was decided about a command: the answer to it and to every repeat of it.
    pub struct CommandOutcome: "orderflow.common.CommandOutcome" in "common/state/CommandOutcome.avsc" {
        /// The command.
        pub command_id: String,
        /// What it is about (order id, product id).
        pub correlation_id: String,
        /// Its Avro record name, such as PlaceOrder.
        pub kind: String,
        /// What was decided.
        pub verdict: Verdict,
        /// Why, in words for the sender; empty when accepted.
        pub detail: String,
        /// Of what it asks for, without ids and times of the command itself: a repeat has the same.
        pub content_hash: i64,
        /// When it was decided, in milliseconds since the epoch.
        pub decided_at: i64,
    }
}

avro! {
    /// What became of a hold.
    pub enum HoldPhase: "orderflow.common.HoldPhase" {
        /// A symbol of a newer release.
        Unknown = "UNKNOWN",
        /// The thing is kept for the holder.
        Held = "HELD",
        /// The holder has it.
        Out = "OUT",
        /// It was not to be had.
        Rejected = "REJECTED",
        /// It is free again, or was never taken and never will be.
        Released = "RELEASED",
    }
}

avro! {
    /// What was decided about one holder's wish for a thing that only one can have: an item, a book.
    pub struct Hold: "orderflow.common.Hold" in "common/state/Hold.avsc" {
        /// The thing.
        pub thing_id: String,
        /// For whom it is asked (rental id, rent id).
        pub holder_id: String,
        /// What became of it.
        pub phase: HoldPhase,
        /// Why it was rejected, as the business names it; empty when it was not.
        pub reason: String,
        /// When that was decided, in milliseconds since the epoch.
        pub at: i64,
    }
}

/// Between the two ids of a [`ledger_key`]; ids may not hold control characters.
pub const KEY_SEPARATOR: char = '\u{1f}';

/// The key of a command's outcome: what it is about, then its own id.
///
/// A command id is unique within what it is about, not over all of it: the ledger is partitioned like the commands, so
/// the same id under another order would be seen or not seen depending on the partition count.
pub fn ledger_key(correlation_id: &str, command_id: &str) -> String {
    format!("{correlation_id}{KEY_SEPARATOR}{command_id}")
}

/// A command on a topic, whatever its kind.
pub trait Command: AvroValue + Keyed + Clone {
    /// The command's own id.
    fn command_id(&self) -> &str;

    /// The Avro record name of its kind, such as `PlaceOrder`.
    fn kind(&self) -> &'static str;

    /// The same with the command's id and its times blank: what a repeat has in common with the first.
    fn content(&self) -> Self;

    /// A fingerprint of [`Command::content`]: a gateway compares it with the ledger's to tell a repeat from another
    /// command under the same id. FNV-1a, 64 bit: good against mistakes, which is all it is for.
    fn content_hash(&self) -> i64 {
        let mut bytes = Vec::with_capacity(128);
        self.content().encode(&mut bytes);
        let hash = bytes
            .iter()
            .fold(0xcbf2_9ce4_8422_2325_u64, |h, b| (h ^ u64::from(*b)).wrapping_mul(0x0000_0100_0000_01b3));
        hash.cast_signed()
    }
}

impl CommandOutcome {
    /// The key it lies under.
    pub fn key(&self) -> String {
        ledger_key(&self.correlation_id, &self.command_id)
    }
}
