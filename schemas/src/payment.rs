//! Payment: shared by every business that takes money. Each has its own pair of topics of these records, keyed by the
//! correlation id of its saga (order id, rental id).

use crate::avro;
use crate::topics::Keyed;

avro! {
    /// What is asked of the payment provider.
    pub enum PaymentRequestKind: "orderflow.common.PaymentRequestKind" {
        /// A symbol of a newer release.
        Unknown = "UNKNOWN",
        /// Take the money.
        Charge = "CHARGE",
        /// Make a charge key unusable: a charge under it that comes later fails.
        Void = "VOID",
        /// Give an approved charge back.
        Refund = "REFUND",
    }
}

avro! {
    /// Asks the payment provider for one thing; shared by every business that takes money.
    pub struct PaymentRequest: "orderflow.common.PaymentRequest" in "common/PaymentRequest.avsc" {
        /// CHARGE takes the money, VOID makes a charge key unusable, REFUND gives an approved charge back.
        pub kind: PaymentRequestKind,
        /// Id of the saga (order id, rental id); partition key of the topic.
        pub correlation_id: String,
        /// Key the provider dedupes by; stays the same over all attempts of one request.
        pub idempotency_key: String,
        /// Won.
        pub amount: i64,
        /// 1 for the first try, one more for every re-issue.
        pub attempt: i32,
        /// When the saga asked, in milliseconds since the epoch.
        pub requested_at: i64,
        /// Who pays; empty when unknown.
        pub payer_id: String,
        /// For VOID and REFUND: the idempotency key of the charge to undo.
        pub charge_key: Option<String>,
        /// For REFUND: the reference under which the provider approved the charge.
        pub provider_reference: Option<String>,
    }
}

avro! {
    /// What the provider decided; DEFERRED means it is not known yet and is asked again later.
    pub enum PaymentOutcome: "orderflow.common.PaymentOutcome" {
        /// A symbol of a newer release.
        Unknown = "UNKNOWN",
        /// The money was taken.
        Approved = "APPROVED",
        /// The provider said no.
        Declined = "DECLINED",
        /// Not known yet: the provider did not answer, or the breaker is open.
        Deferred = "DEFERRED",
        /// The charge key is unusable; no money was or will be taken under it.
        Voided = "VOIDED",
        /// The money was given back.
        Refunded = "REFUNDED",
    }
}

avro! {
    /// What became of a payment request; written by the payment worker or by any external payment system.
    pub struct PaymentResult: "orderflow.common.PaymentResult" in "common/PaymentResult.avsc" {
        /// What the provider decided.
        pub outcome: PaymentOutcome,
        /// Id of the saga (order id, rental id); partition key of the topic.
        pub correlation_id: String,
        /// Which kind of request this answers.
        pub request_kind: PaymentRequestKind,
        /// Key of the request this answers.
        pub idempotency_key: String,
        /// Won that were taken, voided or given back.
        pub amount: i64,
        /// Attempt of the request this answers.
        pub attempt: i32,
        /// Why it was declined or deferred, in the words of the provider or the worker.
        pub reason: Option<String>,
        /// The reference of the provider for this payment.
        pub provider_reference: Option<String>,
        /// When it was decided, in milliseconds since the epoch.
        pub at: i64,
    }
}

impl Keyed for PaymentRequest {
    fn key(&self) -> &str {
        &self.correlation_id
    }
}

impl Keyed for PaymentResult {
    fn key(&self) -> &str {
        &self.correlation_id
    }
}
