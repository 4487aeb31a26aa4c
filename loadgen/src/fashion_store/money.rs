//! Money: the provider's own book against the orders.

use std::collections::HashMap;

use super::facts::{Facts, Order};
use crate::audit::Findings;
use crate::ledger::Entry;

/// What the book says of one order.
#[derive(Default)]
struct Account<'a> {
    charges: Vec<&'a Entry>,
    returns: Vec<&'a Entry>,
    declined: u32,
    /// A fault seen while the book was read in its order.
    disorder: Option<String>,
}

pub(super) fn check(facts: &Facts, ledger: &[Entry], findings: &mut Findings) {
    let accounts = accounts(ledger);
    let says = "charged once if delivered; nothing kept if cancelled; never charged without stock, never for nobody";
    let mut check = findings.check("money conserved", says);
    for (id, account) in &accounts {
        check.examined();
        let subject = format!("order {id}");
        if let Some(disorder) = &account.disorder {
            check.differs(&subject, "a refund or void after its charge, under its key, of its amount", disorder, "");
        }
        let placed = facts.orders.get(*id).and_then(|order| Some((order, order.placed.as_ref()?)));
        match placed {
            None if account.charges.is_empty() => {}
            None => {
                check.differs(&subject, "an order on the log", "a charge for an order nobody placed", keys(account))
            }
            Some((order, (place, at))) => {
                for (expected, found) in faults(order, place.price, account) {
                    check.differs(&subject, expected, found, format!("{at}; {}", keys(account)));
                }
            }
        }
    }
    for (id, order) in &facts.orders {
        if order.started > 0 && !accounts.contains_key(id.as_str()) {
            check.examined();
            check.differs(format!("order {id}"), "a charge in the book", "delivered, and the book knows nothing", "");
        }
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
        } else if entry.is_declined() {
            account.declined += 1;
        }
    }
    accounts
}

/// Every way in which an order and its account do not fit.
fn faults(order: &Order, price: i64, account: &Account<'_>) -> Vec<(String, String)> {
    let (charged, returned) = (account.charges.len(), account.returns.len());
    let mut faults = Vec::new();
    let mut fault = |expected: &str, found: String| faults.push((expected.to_owned(), found));
    if charged > 1 {
        fault("charged at most once", format!("charged {charged} ×"));
    }
    if returned > charged {
        fault("given back at most what was charged", format!("charged {charged} ×, given back {returned} ×"));
    }
    if let Some(charge) = account.charges.iter().find(|charge| charge.amount != price) {
        fault(&format!("charge of {price}"), format!("charge of {}", charge.amount));
    }
    if charged > 0 && order.reserved == 0 {
        fault("no charge without reserved stock", "charged without stock".to_owned());
    }
    let kept = charged.saturating_sub(returned);
    if order.stands() && order.cancels.is_empty() && kept != 1 {
        fault("delivered and paid once", format!("delivered, charged {charged} ×, given back {returned} ×"));
    }
    if order.started > 0 && charged == 0 {
        fault("a charge before delivery", "delivered without a charge".to_owned());
    }
    if !order.cancelled.is_empty() && kept > 0 {
        fault("cancelled and given back", format!("cancelled, charged {charged} ×, given back {returned} ×"));
    }
    faults
}

fn keys(account: &Account<'_>) -> String {
    let keys: Vec<_> =
        account.charges.iter().chain(&account.returns).map(|e| format!("{} {}", e.kind, e.key)).collect();
    format!("ledger: {}", keys.join(", "))
}
