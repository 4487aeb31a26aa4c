//! The payment provider's HTTP interface: what the worker sends and what it makes of the answers.

use std::sync::Arc;

use query_api::breaker::{Breaker, Refusal};
use schemas::payment::{PaymentOutcome, PaymentRequest, PaymentRequestKind};
use serde::{Deserialize, Serialize};

/// Body of every call.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Call {
    /// Key the provider dedupes by. For a void or refund: the key of the charge to undo.
    pub key: String,
    /// The order (or rental) it is for.
    pub order_id: String,
    /// Won.
    pub amount: i64,
}

/// The provider's answer.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Answer {
    /// APPROVED, DECLINED, VOIDED or REFUNDED.
    pub status: String,
    /// The provider's own reference.
    pub reference: String,
    /// Why it was declined.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// What a call came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// For the result record.
    pub outcome: PaymentOutcome,
    /// In the provider's words or ours.
    pub reason: Option<String>,
    /// The provider's reference.
    pub reference: Option<String>,
}

/// The client: one connection pool, one timeout, one breaker.
pub struct Provider {
    client: reqwest::Client,
    url: String,
    breaker: Arc<Breaker>,
}

impl Provider {
    /// A client of the provider at `url`. A call that takes longer than the breaker's timeout has an unknown outcome.
    ///
    /// # Errors
    /// When the HTTP client cannot be built.
    pub fn new(url: &str, breaker: Arc<Breaker>) -> Result<Self, reqwest::Error> {
        let timeout = breaker.settings().timeout;
        let client = reqwest::Client::builder().timeout(timeout).pool_max_idle_per_host(128).build()?;
        Ok(Provider { client, url: url.trim_end_matches('/').to_owned(), breaker })
    }

    /// Carries a request out. Never fails: what cannot be decided now is DEFERRED, and the saga asks again under the same
    /// key.
    pub async fn call(&self, request: &PaymentRequest) -> Outcome {
        let (path, key) = match request.kind {
            PaymentRequestKind::Charge => ("charges", &request.idempotency_key),
            PaymentRequestKind::Void => ("voids", request.charge_key.as_ref().unwrap_or(&request.idempotency_key)),
            PaymentRequestKind::Refund => ("refunds", request.charge_key.as_ref().unwrap_or(&request.idempotency_key)),
            PaymentRequestKind::Unknown => return deferred("a kind of request this release does not know"),
        };
        let call = Call { key: key.clone(), order_id: request.correlation_id.clone(), amount: request.amount };
        let url = format!("{}/{path}", self.url);
        match self.breaker.call(self.send(&url, &call)).await {
            Ok(answer) => decide(&answer, request.kind),
            Err(Refusal::Failed(reason)) => deferred(&reason),
            Err(Refusal::Open) => deferred("the breaker is open: the provider is not called for a while"),
        }
    }

    /// Only faults of the provider are errors, so that only they open the breaker: a refusal is an answer.
    async fn send(&self, url: &str, call: &Call) -> Result<Answer, String> {
        let response = self.client.post(url).json(call).send().await.map_err(|e| {
            if e.is_timeout() {
                "the provider did not answer in time".to_owned()
            } else {
                format!("no connection: {e}")
            }
        })?;
        let status = response.status();
        if status.is_server_error() || status == reqwest::StatusCode::TOO_MANY_REQUESTS {
            return Err(format!("the provider answered {status}"));
        }
        let body = response.bytes().await.map_err(|e| format!("the provider's answer broke off: {e}"))?;
        match serde_json::from_slice::<Answer>(&body) {
            Ok(answer) => Ok(answer),
            Err(_) if status.is_client_error() => Ok(Answer {
                status: "DECLINED".into(),
                reference: String::new(),
                reason: Some(format!("the provider refused the call: {status}")),
            }),
            Err(e) => Err(format!("the provider's answer makes no sense: {e}")),
        }
    }
}

fn deferred(reason: &str) -> Outcome {
    Outcome { outcome: PaymentOutcome::Deferred, reason: Some(reason.to_owned()), reference: None }
}

fn decide(answer: &Answer, kind: PaymentRequestKind) -> Outcome {
    let outcome = match (answer.status.as_str(), kind) {
        ("APPROVED", PaymentRequestKind::Charge) => PaymentOutcome::Approved,
        ("VOIDED", PaymentRequestKind::Void) => PaymentOutcome::Voided,
        ("REFUNDED", PaymentRequestKind::Refund) => PaymentOutcome::Refunded,
        ("DECLINED" | "VOIDED", _) => PaymentOutcome::Declined,
        (other, _) => return deferred(&format!("the provider answered {other}, which does not fit the call")),
    };
    let reference = Some(answer.reference.clone()).filter(|r| !r.is_empty());
    Outcome { outcome, reason: answer.reason.clone(), reference }
}
