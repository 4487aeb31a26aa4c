//! The payment provider's own book: `GET {provider}/ledger`, JSON lines with `key`, `order_id`, `kind`, `amount`, `status`,
//! `at`, in the order things happened there.

use std::time::Duration;

use serde::Deserialize;

use crate::error::Error;
use crate::http::{Ask, Connection, Target};

/// One line of the book.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Entry {
    /// Idempotency key under which it was asked.
    pub key: String,
    /// The saga it belongs to.
    pub order_id: String,
    /// `CHARGE`, `VOID` or `REFUND`.
    pub kind: String,
    /// Won that moved: taken by an approved charge, given back by a refund or by a void of an approved charge; else 0.
    pub amount: i64,
    /// `APPROVED`, `DECLINED`, `VOIDED` or `REFUNDED`.
    pub status: String,
}

impl Entry {
    fn is(&self, kind: &str) -> bool {
        self.kind.eq_ignore_ascii_case(kind)
    }

    /// Money was taken.
    pub fn is_charged(&self) -> bool {
        self.is("charge") && self.status.eq_ignore_ascii_case("approved")
    }

    /// The provider said no.
    pub fn is_declined(&self) -> bool {
        self.is("charge") && !self.is_charged()
    }

    /// Money was given back.
    pub fn is_given_back(&self) -> bool {
        (self.is("refund") || self.is("void")) && self.amount != 0
    }

    /// A key was made unusable, or its charge taken back.
    pub fn is_void(&self) -> bool {
        self.is("void")
    }
}

/// Reads the whole book.
///
/// # Errors
/// When the provider does not answer or its lines are not as above.
pub fn read(provider: &Target, idle: Duration) -> Result<Vec<Entry>, Error> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| Error::unreachable("this machine", e))?;
    let url = format!("{}/ledger", provider.url());
    runtime.block_on(async {
        let mut connection = Connection::new(provider);
        let status = connection.lines("/ledger", &[], idle).await?;
        if status != 200 {
            return Err(Error::unreachable(url, format!("status {status}")));
        }
        let mut entries = Vec::new();
        while let Some(line) = connection.next_line(idle).await? {
            if !line.is_empty() {
                let wrong = |e| Error::unreachable(&url, format!("not a line of a ledger: {e}"));
                entries.push(serde_json::from_slice(line).map_err(wrong)?);
            }
        }
        Ok(entries)
    })
}

/// Where a node says its provider is (`GET /export/payment-provider`); `None` when it does not say.
pub fn find_provider(node: &Target, limit: Duration) -> Option<Target> {
    #[derive(Deserialize)]
    struct Provider {
        url: String,
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().ok()?;
    let ask = Ask::get("/export/payment-provider");
    let answer = runtime.block_on(Connection::new(node).ask(ask, limit)).ok()?;
    let provider: Provider = serde_json::from_slice(&answer.body).ok()?;
    Target::parse(&provider.url).ok()
}
