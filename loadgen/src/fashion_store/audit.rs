//! The shop's auditor: every "never" of `SYSTEMS.md`, checked against the committed log.

use std::collections::BTreeMap;

use schemas::fashion::{CancelRequester, CancellationReason, StockRejection};

use super::FashionStore;
use super::facts::{Facts, Order};
use super::{stock, web};
use crate::audit::facts::Reader;
use crate::audit::payment::{self, Claim, Due};
use crate::audit::{Auditor, Evidence, Findings};
use crate::log::LogRecord;

/// Folds the log and judges it.
pub struct FashionAuditor {
    facts: Facts,
    reader: Reader,
}

impl FashionAuditor {
    /// `partitions` tells how many partitions a topic has, where that is known.
    pub fn new(partitions: &dyn Fn(&str) -> Option<i32>) -> Self {
        FashionAuditor { facts: Facts::new(), reader: Reader::new(&FashionStore, partitions) }
    }
}

impl Auditor for FashionAuditor {
    fn observe(&mut self, record: LogRecord) {
        self.reader.observe(&record, &mut self.facts);
    }

    fn open(&self) -> u64 {
        self.facts.orders.values().filter(|order| order.placed.is_some() && !order.at_rest()).count() as u64
    }

    fn collections(&self) -> &'static [&'static str] {
        &[web::PRODUCTS, web::ORDERS, web::DASHBOARDS]
    }

    fn check(&self, evidence: &Evidence, findings: &mut Findings) {
        let facts = &self.facts;
        outcomes(facts, findings);
        causes(facts, findings);
        self.invented(findings);
        steps(facts, findings);
        statuses(facts, findings);
        stock::check(facts, findings);
        if let Some(ledger) = &evidence.ledger {
            let claims = facts.orders.iter().filter_map(|(id, order)| Some((id.as_str(), claim(order)?)));
            payment::check("order", &claims.collect(), ledger, findings);
        }
        self.reader.check_dead_letters(findings);
        web::check(facts, &evidence.collections, findings);
    }

    fn summary(&self) -> BTreeMap<String, u64> {
        let mut summary = BTreeMap::new();
        let mut add = |name: &str, count: u64| *summary.entry(name.to_owned()).or_default() += count;
        for order in self.facts.orders.values().filter(|order| order.placed.is_some()) {
            add("orders", 1);
            match order.cancelled.first() {
                Some(reason) => add(&format!("cancelled {}", reason.symbol()), 1),
                None if order.started > 0 => add("delivered", 1),
                None => add("open", 1),
            }
            if order.started > 0 && !order.cancelled.is_empty() {
                add("called back", 1);
            }
        }
        let registered = self.facts.products.values().filter(|product| product.is_registered()).count();
        add("products", registered as u64);
        for (name, count) in self.reader.summary() {
            add(name, count);
        }
        summary
    }
}

impl FashionAuditor {
    fn invented(&self, findings: &mut Findings) {
        let says = "nothing happens to an order that nobody placed; whatever we write can be read";
        let mut check = findings.check("nothing invented", says);
        for (id, order) in &self.facts.orders {
            let nobodys = order.placed.is_none() && order.has_effects();
            check.holds(!nobodys, &format!("order {id}"), "placed", || story(order), || progress(order));
        }
        self.reader.check_readable(&mut check);
    }
}

fn placed(facts: &Facts) -> impl Iterator<Item = (&String, &Order, String)> {
    facts.orders.iter().filter_map(|(id, order)| Some((id, order, order.placed.as_ref()?.1.to_string())))
}

/// What became of an order, in words.
fn story(order: &Order) -> String {
    format!("started {} ×, called back {} ×, cancelled {} ×", order.started, order.recalled, order.cancelled.len())
}

fn outcomes(facts: &Facts, findings: &mut Findings) {
    let says = "every order ends exactly once: delivered, or cancelled with its delivery called back if it had started";
    let mut check = findings.check("one outcome", says);
    for (id, order, at) in placed(facts) {
        let subject = format!("order {id}");
        check.examined();
        if order.started == 0 && order.cancelled.is_empty() {
            check.differs(&subject, "an outcome", "none", format!("{at}; {}", progress(order)));
            continue;
        }
        if order.started > 1 || order.cancelled.len() > 1 || order.recalled > 1 {
            check.differs(&subject, "each event at most once", story(order), &at);
        }
        if order.recalled_first {
            check.differs(
                &subject,
                "no delivery once it is called back",
                "DeliveryStarted after DeliveryCancelled",
                &at,
            );
        }
        if order.cancelled.is_empty() && order.recalled > 0 {
            check.differs(&subject, "called back means cancelled", story(order), &at);
        }
        if !order.cancelled.is_empty() && order.started > 0 && order.recalled == 0 {
            check.differs(&subject, "cancelled after delivery started means called back", story(order), &at);
        }
        if let Some(event) = order.event_differs() {
            check.differs(&subject, "events of what was ordered", event, &at);
        }
    }
}

/// Where an order hangs.
fn progress(order: &Order) -> String {
    let last = if order.start_asked > 0 {
        "delivery asked for"
    } else if order.payment.approved > 0 {
        "payment approved"
    } else if !order.payment.charge_keys.is_empty() {
        "payment asked for"
    } else if order.reserved > 0 {
        "stock reserved"
    } else if !order.rejected.is_empty() {
        "stock rejected"
    } else if order.reserve_asked > 0 {
        "stock asked for"
    } else {
        "nothing has happened since it was placed"
    };
    format!("last step: {last}, status {}", order.history.words())
}

fn causes(facts: &Facts, findings: &mut Findings) {
    let says = "a cancellation has its cause on the log, and whoever cancels gets it";
    let mut check = findings.check("outcome fits its cause", says);
    for (id, order, at) in placed(facts) {
        check.examined();
        let subject = format!("order {id}");
        let Some(reason) = order.cancelled.first().copied() else {
            if !order.cancels.is_empty() && order.started > 0 {
                check.differs(subject, "cancelled, as was asked for", story(order), at);
            }
            continue;
        };
        let cause = match reason {
            CancellationReason::OutOfStock => order.rejected.contains(&StockRejection::OutOfStock),
            CancellationReason::UnknownProduct => order.rejected.contains(&StockRejection::UnknownProduct),
            CancellationReason::PaymentDeclined => order.payment.declined > 0,
            // The deadline is the saga's own: all that can be seen is that nobody else ended it.
            CancellationReason::PaymentTimeout => order.rejected.is_empty(),
            CancellationReason::Customer => order.cancels.contains(&CancelRequester::Customer),
            CancellationReason::Md => order.cancels.contains(&CancelRequester::Md),
            CancellationReason::Unknown => false,
        };
        if !cause {
            check.differs(subject, format!("a cause of {}", reason.symbol()), "none on the log", at);
        }
    }
}

fn steps(facts: &Facts, findings: &mut Findings) {
    let says = "stock before payment before delivery; each asked for once";
    let mut check = findings.check("order of steps", says);
    for (id, order, at) in placed(facts) {
        let subject = format!("order {id}");
        let mut holds = |holds: bool, expected: &str, found: String| {
            if !holds {
                check.differs(&subject, expected, found, &at);
            }
        };
        let asked = format!("{} × RESERVE, {} × RELEASE", order.reserve_asked, order.release_asked);
        holds(order.reserve_asked <= 1 && order.release_asked <= 1, "stock asked for once", asked);
        for (expected, found) in order.payment.faults() {
            holds(false, expected, found);
        }
        let charged = !order.payment.charge_keys.is_empty();
        holds(!charged || order.reserved > 0, "no charge without stock", "CHARGE without RESERVED".to_owned());
        let paid = order.payment.approved > 0;
        holds(
            order.start_asked == 0 || paid,
            "no delivery without payment",
            "delivery asked for without APPROVED".to_owned(),
        );
        holds(
            order.started == 0 || order.start_asked > 0,
            "no delivery unasked",
            "DeliveryStarted without START".to_owned(),
        );
        holds(order.started == 0 || paid, "paid before delivery", "delivered without APPROVED".to_owned());
        check.examined();
    }
}

fn statuses(facts: &Facts, findings: &mut Findings) {
    let says = "the status topic counts every change once, without a gap, and ends where the events end";
    let mut check = findings.check("status history", says);
    for (id, order, at) in placed(facts) {
        order.history.check(&format!("order {id}"), order.rests_in(), &at, &mut check);
    }
}

/// What the log says about an order's money; `None` for an order nobody placed.
fn claim(order: &Order) -> Option<Claim> {
    let (place, at) = order.placed.as_ref()?;
    let due = if !order.cancelled.is_empty() {
        Due::Nothing
    } else if order.at_rest() {
        Due::Kept
    } else {
        Due::Open
    };
    let (may_charge, served) = (order.reserved > 0, order.started > 0);
    Some(Claim { amount: place.price, may_charge, served, due, at: at.to_string() })
}
