//! A payment provider as a model, shared by every business that takes money.

use std::collections::BTreeMap;

use schemas::payment::{PaymentOutcome, PaymentRequest, PaymentRequestKind, PaymentResult};

/// What the provider does with charges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Charges {
    Approve,
    Decline,
    /// Says nothing definite, and takes nothing.
    Defer,
    /// Takes the money, and its answer is lost: the worker says "deferred".
    ApproveUnheard,
}

/// A line of the provider's ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    Approved,
    Declined,
    Voided,
    Refunded,
}

/// The provider's own ledger, after `node`'s simulated provider: a key stands for one charge; a VOID of an approved
/// charge gives the money back.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ledger {
    pub(crate) charges: BTreeMap<String, Status>,
    /// Won taken and given back, by saga, and how often.
    pub(crate) taken: BTreeMap<String, (i64, u32)>,
    pub(crate) returned: BTreeMap<String, (i64, u32)>,
}

impl Ledger {
    /// Carries a request out.
    pub(crate) fn carry_out(&mut self, request: &PaymentRequest, charges: Charges) -> PaymentOutcome {
        let key = request.charge_key.clone().unwrap_or_else(|| request.idempotency_key.clone());
        let status = self.charges.get(&key).copied();
        let id = request.correlation_id.clone();
        let moved = |to: &mut BTreeMap<String, (i64, u32)>| {
            let entry = to.entry(id.clone()).or_default();
            *entry = (entry.0 + request.amount, entry.1 + 1);
        };
        match (request.kind, status) {
            (PaymentRequestKind::Charge, None) => match charges {
                Charges::Defer => PaymentOutcome::Deferred,
                Charges::Decline => {
                    self.charges.insert(key, Status::Declined);
                    PaymentOutcome::Declined
                }
                Charges::Approve | Charges::ApproveUnheard => {
                    self.charges.insert(key, Status::Approved);
                    moved(&mut self.taken);
                    if charges == Charges::Approve { PaymentOutcome::Approved } else { PaymentOutcome::Deferred }
                }
            },
            (PaymentRequestKind::Charge, Some(Status::Approved | Status::Refunded)) => PaymentOutcome::Approved,
            (PaymentRequestKind::Charge, Some(Status::Declined | Status::Voided)) => PaymentOutcome::Declined,
            (PaymentRequestKind::Void, status) => {
                if status == Some(Status::Approved) {
                    moved(&mut self.returned);
                }
                self.charges.insert(key, Status::Voided);
                PaymentOutcome::Voided
            }
            (PaymentRequestKind::Refund, Some(Status::Approved)) => {
                moved(&mut self.returned);
                self.charges.insert(key, Status::Refunded);
                PaymentOutcome::Refunded
            }
            (PaymentRequestKind::Refund, Some(Status::Refunded | Status::Voided)) => PaymentOutcome::Refunded,
            (PaymentRequestKind::Refund | PaymentRequestKind::Unknown, _) => PaymentOutcome::Declined,
        }
    }

    /// Won the provider holds, by saga.
    pub(crate) fn all_held(&self) -> BTreeMap<String, i64> {
        self.taken.keys().map(|id| (id.clone(), self.held(id))).collect()
    }

    /// Won the provider holds for a saga.
    pub(crate) fn held(&self, id: &str) -> i64 {
        let of = |side: &BTreeMap<String, (i64, u32)>| side.get(id).map_or(0, |(won, _)| *won);
        of(&self.taken) - of(&self.returned)
    }
}

/// The result record of a request.
pub(crate) fn result(request: &PaymentRequest, outcome: PaymentOutcome, at: i64) -> PaymentResult {
    PaymentResult {
        outcome,
        correlation_id: request.correlation_id.clone(),
        request_kind: request.kind,
        idempotency_key: request.idempotency_key.clone(),
        amount: request.amount,
        attempt: request.attempt,
        reason: (outcome == PaymentOutcome::Declined).then(|| "no money".to_owned()),
        provider_reference: (outcome == PaymentOutcome::Approved).then(|| "P1".to_owned()),
        at,
    }
}
