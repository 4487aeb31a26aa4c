//! The payment leg of a saga, as a pure state machine over [`Payment`]. Every business that takes money uses it.
//!
//! ```text
//!            charge                 APPROVED                undo              REFUNDED
//!   NONE ──────────► CHARGING ───────────────► APPROVED ───────────► REFUNDING ───────► REFUNDED
//!                     │  │ ▲                                             ▲
//!                     │  │ └ DEFERRED, again after a while               │ VOID not possible, or APPROVED after VOIDED
//!            DECLINED │  │ undo                                          │
//!                     ▼  └──────────► VOIDING ───────────────────────────┘
//!                 DECLINED               │ VOIDED
//!                                        └──────► VOIDED
//! ```
//!
//! * All attempts of a charge go under one idempotency key, so that money is taken at most once.
//! * A charge whose result is unknown is never just dropped: it is voided, and the saga waits for the void's answer.
//!   While a VOID is open no REFUND is asked for, even when the charge's approval comes in: a provider whose VOID gives
//!   the money back would otherwise give it twice.
//! * An approval that comes when the leg was closed already is refunded.
//! * VOID and REFUND are made again until the provider carries them out: money is never kept for want of attempts. The
//!   rate is bounded by the longest pause.

use schemas::payment::{PaymentOutcome, PaymentRequest, PaymentRequestKind, PaymentResult};
use schemas::state::{Payment, PaymentPhase};
use streams::Timestamp;

use super::check;

/// When a deferred request is made again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retry {
    /// Pause after the first attempt, milliseconds; doubles with every further one.
    pub first_ms: i64,
    /// Longest pause, milliseconds.
    pub longest_ms: i64,
    /// How long the provider remembers a charge's key, milliseconds. No CHARGE is made again after that: it could be a
    /// second one.
    pub key_lifetime_ms: i64,
}

impl Retry {
    /// The pause after the given attempt, which counts from 1.
    #[must_use]
    pub fn pause_ms(&self, attempt: i32) -> i64 {
        let doublings = attempt.saturating_sub(1).clamp(0, 62);
        self.first_ms.saturating_mul(1_i64 << doublings).min(self.longest_ms)
    }
}

/// A payment of which nothing has been asked yet. `namespace` keeps the keys of businesses that share a provider apart.
#[must_use]
pub fn new(namespace: &str, correlation_id: &str, payer_id: &str, amount: i64, now: Timestamp) -> Payment {
    Payment {
        correlation_id: correlation_id.to_owned(),
        payer_id: payer_id.to_owned(),
        amount,
        phase: PaymentPhase::None,
        charge_key: format!("{namespace}:{correlation_id}:charge"),
        attempt: 0,
        deferred: false,
        money_taken: false,
        retry_at: None,
        charged_at: None,
        decided_at: Some(now),
        reference: None,
        reason: None,
    }
}

/// Asks for the money. Only from `NONE`; anything else asks for nothing.
pub fn charge(payment: &mut Payment, now: Timestamp) -> Option<PaymentRequest> {
    if payment.phase != PaymentPhase::None {
        return None;
    }
    payment.charged_at = Some(now);
    Some(ask(payment, PaymentPhase::Charging, now))
}

/// Asks for whatever makes the payment as if it had never been; `None` when that is so already, or asked for already.
pub fn undo(payment: &mut Payment, now: Timestamp) -> Option<PaymentRequest> {
    match payment.phase {
        PaymentPhase::Charging => Some(ask(payment, PaymentPhase::Voiding, now)),
        PaymentPhase::Approved => Some(ask(payment, PaymentPhase::Refunding, now)),
        _ => None,
    }
}

/// Whether no money is held and none can be taken any more.
#[must_use]
pub fn is_closed(payment: &Payment) -> bool {
    use PaymentPhase::{Declined, None, Refunded, Voided};
    matches!(payment.phase, None | Declined | Voided | Refunded)
}

/// The idempotency key of a request.
#[must_use]
pub fn key(payment: &Payment, kind: PaymentRequestKind) -> String {
    match kind {
        PaymentRequestKind::Void => format!("{}:void", payment.charge_key),
        PaymentRequestKind::Refund => format!("{}:refund", payment.charge_key),
        PaymentRequestKind::Charge | PaymentRequestKind::Unknown => payment.charge_key.clone(),
    }
}

/// Takes in a result; answers with what is to be asked next. A repeat of a result changes nothing.
///
/// # Errors
/// When the result cannot be of this payment; nothing is changed then.
pub fn answer(
    payment: &mut Payment,
    result: &PaymentResult,
    now: Timestamp,
    retry: &Retry,
) -> Result<Option<PaymentRequest>, String> {
    let (kind, id) = (result.request_kind, &payment.correlation_id);
    if payment.phase == PaymentPhase::None {
        return Err(format!("a payment result for '{id}', which was never charged"));
    }
    if result.idempotency_key != key(payment, kind) {
        let found: String = result.idempotency_key.chars().take(crate::limits::ID_BYTES_MAX).collect();
        return Err(format!("a payment result for '{id}' under the key '{found}', which is not its {kind} key"));
    }
    match result.outcome {
        PaymentOutcome::Approved => approved(payment, result, now),
        PaymentOutcome::Declined => Ok(declined(payment, result, now, retry)),
        PaymentOutcome::Deferred => {
            if open_request(payment.phase) == Some(kind) && result.attempt == payment.attempt && !payment.deferred {
                put_off(payment, result, now, retry);
            }
            Ok(None)
        }
        PaymentOutcome::Voided => {
            if payment.phase == PaymentPhase::Voiding {
                close(payment, PaymentPhase::Voided, now);
            }
            Ok(None)
        }
        PaymentOutcome::Refunded => {
            if payment.phase == PaymentPhase::Refunding {
                close(payment, PaymentPhase::Refunded, now);
            }
            Ok(None)
        }
        PaymentOutcome::Unknown => Err(format!("a payment outcome for '{id}' that this release does not know")),
    }
}

/// Makes a deferred request again; one that still waits for its answer is not. A charge whose key the provider may have
/// forgotten is not made again either; the saga's deadline voids it.
pub fn again(payment: &mut Payment, now: Timestamp, retry: &Retry) -> Option<PaymentRequest> {
    let kind = open_request(payment.phase).filter(|_| payment.deferred)?;
    payment.retry_at = None;
    let age_ms = now.saturating_sub(payment.charged_at.unwrap_or(now));
    if kind == PaymentRequestKind::Charge && age_ms >= retry.key_lifetime_ms {
        return None;
    }
    payment.deferred = false;
    payment.attempt = payment.attempt.saturating_add(1);
    Some(request(payment, kind, now))
}

/// The request that a phase waits for.
fn open_request(phase: PaymentPhase) -> Option<PaymentRequestKind> {
    match phase {
        PaymentPhase::Charging => Some(PaymentRequestKind::Charge),
        PaymentPhase::Voiding => Some(PaymentRequestKind::Void),
        PaymentPhase::Refunding => Some(PaymentRequestKind::Refund),
        _ => None,
    }
}

fn approved(payment: &mut Payment, result: &PaymentResult, now: Timestamp) -> Result<Option<PaymentRequest>, String> {
    if result.amount != payment.amount {
        let (id, amount) = (&payment.correlation_id, payment.amount);
        return Err(format!("{} won were approved for '{id}', which asked for {amount}", result.amount));
    }
    let known = std::mem::replace(&mut payment.money_taken, true);
    if payment.reference.is_none() {
        payment.reference = result.provider_reference.as_deref().map(check::clip);
    }
    Ok(match payment.phase {
        PaymentPhase::Charging => {
            close(payment, PaymentPhase::Approved, now);
            None
        }
        // The provider answers a VOID with "approved": it cannot be voided any more.
        PaymentPhase::Voiding if result.request_kind == PaymentRequestKind::Void => {
            Some(ask(payment, PaymentPhase::Refunding, now))
        }
        PaymentPhase::Declined | PaymentPhase::Voided if !known => Some(ask(payment, PaymentPhase::Refunding, now)),
        _ => None,
    })
}

fn declined(payment: &mut Payment, result: &PaymentResult, now: Timestamp, retry: &Retry) -> Option<PaymentRequest> {
    match (payment.phase, result.request_kind) {
        (PaymentPhase::Charging, PaymentRequestKind::Charge) => {
            close(payment, PaymentPhase::Declined, now);
            payment.reason = result.reason.as_deref().map(check::clip);
            None
        }
        // Not voidable: whatever was taken under the key is asked back.
        (PaymentPhase::Voiding, PaymentRequestKind::Void) => Some(ask(payment, PaymentPhase::Refunding, now)),
        (PaymentPhase::Refunding, PaymentRequestKind::Refund) if payment.money_taken => {
            if result.attempt == payment.attempt && !payment.deferred {
                put_off(payment, result, now, retry);
            }
            None
        }
        // Nothing to give back, and the charge was given up: nothing is held.
        (PaymentPhase::Refunding, PaymentRequestKind::Refund) => {
            close(payment, PaymentPhase::Voided, now);
            None
        }
        _ => None,
    }
}

fn put_off(payment: &mut Payment, result: &PaymentResult, now: Timestamp, retry: &Retry) {
    payment.deferred = true;
    payment.retry_at = Some(now.saturating_add(retry.pause_ms(payment.attempt)));
    payment.reason = result.reason.as_deref().map(check::clip);
}

fn close(payment: &mut Payment, phase: PaymentPhase, now: Timestamp) {
    payment.phase = phase;
    payment.deferred = false;
    payment.retry_at = None;
    payment.decided_at = Some(now);
    payment.reason = None;
}

/// Enters a phase that waits for a request, and makes its first attempt.
fn ask(payment: &mut Payment, phase: PaymentPhase, now: Timestamp) -> PaymentRequest {
    close(payment, phase, now);
    payment.attempt = 1;
    request(payment, open_request(phase).unwrap_or(PaymentRequestKind::Unknown), now)
}

fn request(payment: &Payment, kind: PaymentRequestKind, now: Timestamp) -> PaymentRequest {
    let undoes = kind != PaymentRequestKind::Charge;
    PaymentRequest {
        kind,
        correlation_id: payment.correlation_id.clone(),
        idempotency_key: key(payment, kind),
        amount: payment.amount,
        attempt: payment.attempt,
        requested_at: now,
        payer_id: payment.payer_id.clone(),
        charge_key: undoes.then(|| payment.charge_key.clone()),
        provider_reference: payment.reference.clone().filter(|_| kind == PaymentRequestKind::Refund),
    }
}
