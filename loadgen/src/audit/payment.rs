//! Money, for every business that takes it: what the log says of a saga's payment, and the provider's own book against it.

use std::collections::{HashMap, HashSet};

use schemas::Topic;
use schemas::payment::{PaymentOutcome, PaymentRequest, PaymentRequestKind, PaymentResult};

use super::Findings;
use crate::ledger::Entry;

/// The topics that payments of a business go over: requests, and their results.
pub type Topics = (Topic<PaymentRequest>, Topic<PaymentResult>);

/// A saga's payment, as the log has it.
#[derive(Debug, Default)]
pub struct Payment {
    /// Different keys under which money was asked for.
    pub charge_keys: HashSet<String>,
    /// Different keys under which it was to be given back.
    pub refund_keys: HashSet<String>,
    /// Results that say APPROVED.
    pub approved: u32,
    /// Results that say DECLINED.
    pub declined: u32,
    /// VOIDED or REFUNDED.
    pub given_back: bool,
    /// Approved after it was voided, and not refunded yet.
    owed: bool,
}

impl Payment {
    /// Takes in what was asked.
    pub fn ask(&mut self, request: &PaymentRequest) {
        match request.kind {
            PaymentRequestKind::Charge => drop(self.charge_keys.insert(request.idempotency_key.clone())),
            PaymentRequestKind::Refund => drop(self.refund_keys.insert(request.idempotency_key.clone())),
            PaymentRequestKind::Void | PaymentRequestKind::Unknown => {}
        }
    }

    /// Takes in what was answered.
    pub fn answer(&mut self, result: &PaymentResult) {
        match result.outcome {
            PaymentOutcome::Approved => {
                self.approved += 1;
                self.owed |= self.given_back;
            }
            PaymentOutcome::Declined => self.declined += 1,
            PaymentOutcome::Refunded => {
                self.given_back = true;
                self.owed = false;
            }
            PaymentOutcome::Voided => self.given_back = true,
            PaymentOutcome::Deferred | PaymentOutcome::Unknown => {}
        }
    }

    /// Nothing was asked or answered.
    pub fn is_untouched(&self) -> bool {
        self.charge_keys.is_empty() && self.refund_keys.is_empty() && self.approved + self.declined == 0
    }

    /// Nothing is kept, and nothing is under way that could be.
    pub fn is_undone(&self) -> bool {
        (self.given_back || self.approved == 0) && !self.owed
    }

    /// What the log alone shows to be wrong, as (expected, found).
    pub fn faults(&self) -> Vec<(&'static str, String)> {
        let (charged, refunds) = (self.charge_keys.len(), self.refund_keys.len());
        let mut faults = Vec::new();
        let mut holds = |holds: bool, expected: &'static str, found: String| {
            if !holds {
                faults.push((expected, found));
            }
        };
        holds(charged <= 1, "one charge key", format!("{charged} keys"));
        holds(refunds <= 1, "one refund", format!("{refunds} refund keys"));
        holds(refunds == 0 || charged > 0, "no refund without a charge", "REFUND without CHARGE".to_owned());
        faults
    }
}

/// What must be true of a saga's money once everything is at rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// Charged once and kept.
    Kept,
    /// Nothing is kept.
    Nothing,
    /// Not certain: it is under way.
    Open,
}

/// What the log says about a saga's money.
#[derive(Clone, Debug)]
pub struct Claim {
    /// Won agreed on.
    pub amount: i64,
    /// What must come before a charge has come (stock, the item, the book).
    pub may_charge: bool,
    /// The customer got what they pay for, at least for a while.
    pub served: bool,
    /// What must be in the end.
    pub due: Due,
    /// Where the saga began.
    pub at: String,
}

/// What the book says of one saga.
#[derive(Default)]
struct Account<'a> {
    charges: Vec<&'a Entry>,
    returns: Vec<&'a Entry>,
    /// A fault seen while the book was read in its order.
    disorder: Option<String>,
}

/// The book against the log. `word` is what the business calls a saga: `order`, `rental`.
pub fn check(word: &str, claims: &HashMap<&str, Claim>, ledger: &[Entry], findings: &mut Findings) {
    let accounts = accounts(ledger);
    let says = "charged once if served; nothing kept if cancelled; never charged ahead of its cause, never for nobody";
    let mut check = findings.check("money conserved", says);
    for (id, account) in &accounts {
        check.examined();
        let subject = format!("{word} {id}");
        if let Some(disorder) = &account.disorder {
            check.differs(&subject, "a refund or void after its charge, under its key, of its amount", disorder, "");
        }
        match claims.get(id) {
            None if account.charges.is_empty() => {}
            None => {
                let expected = format!("a known {word}");
                check.differs(&subject, expected, "a charge for what nobody asked for", keys(account));
            }
            Some(claim) => {
                for (expected, found) in faults(claim, account) {
                    check.differs(&subject, expected, found, format!("{}; {}", claim.at, keys(account)));
                }
            }
        }
    }
    for (id, _) in claims.iter().filter(|(id, claim)| claim.served && !accounts.contains_key(*id)) {
        check.examined();
        check.differs(format!("{word} {id}"), "a charge in the book", "served, and the book knows nothing", "");
    }
}

fn accounts(ledger: &[Entry]) -> HashMap<&str, Account<'_>> {
    let mut accounts: HashMap<&str, Account<'_>> = HashMap::new();
    for entry in ledger {
        let account = accounts.entry(entry.order_id.as_str()).or_default();
        if entry.is_charged() {
            account.charges.push(entry);
        } else if entry.is_given_back() {
            let charge = account.charges.iter().find(|charge| charge.key == entry.key);
            match charge {
                Some(charge) if charge.amount == entry.amount => {}
                Some(charge) => {
                    account.disorder = Some(format!("{} given back of {} charged", entry.amount, charge.amount));
                }
                None => account.disorder = Some(format!("{} of key {} without a charge", entry.kind, entry.key)),
            }
            account.returns.push(entry);
        }
    }
    accounts
}

/// Every way in which a saga and its account do not fit.
fn faults(claim: &Claim, account: &Account<'_>) -> Vec<(String, String)> {
    let (charged, returned) = (account.charges.len(), account.returns.len());
    let kept = charged.saturating_sub(returned);
    let found = || format!("charged {charged} ×, given back {returned} ×");
    let mut faults = Vec::new();
    let mut fault = |expected: &str, found: String| faults.push((expected.to_owned(), found));
    if charged > 1 {
        fault("charged at most once", found());
    }
    if returned > charged {
        fault("given back at most what was charged", found());
    }
    if let Some(charge) = account.charges.iter().find(|charge| charge.amount != claim.amount) {
        fault(&format!("charge of {}", claim.amount), format!("charge of {}", charge.amount));
    }
    if charged > 0 && !claim.may_charge {
        fault("no charge ahead of its cause", "charged before anything was kept for it".to_owned());
    }
    if claim.served && charged == 0 {
        fault("a charge before it was served", "served without a charge".to_owned());
    }
    match claim.due {
        Due::Kept if kept != 1 => fault("served and paid once", found()),
        Due::Nothing if kept > 0 => fault("cancelled and given back", found()),
        _ => {}
    }
    faults
}

fn keys(account: &Account<'_>) -> String {
    let keys: Vec<_> =
        account.charges.iter().chain(&account.returns).map(|e| format!("{} {}", e.kind, e.key)).collect();
    format!("ledger: {}", keys.join(", "))
}
