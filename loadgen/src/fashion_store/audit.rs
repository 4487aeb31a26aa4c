//! The shop's auditor: every "never" of `SYSTEMS.md`, checked against the committed log.

use std::collections::BTreeMap;

use schemas::fashion::{CancelRequester, CancellationReason, OrderState, StockRejection, topics};

use super::FashionStore;
use super::facts::{Facts, Order, Place, Poison};
use super::{money, stock, web};
use crate::audit::{Auditor, Evidence, Findings};
use crate::business::Business;
use crate::log::LogRecord;

/// Folds the log and judges it.
pub struct FashionAuditor {
    facts: Facts,
    dead_letter_topic: String,
}

impl FashionAuditor {
    /// `partitions` tells how many partitions a topic has, where that is known.
    pub fn new(partitions: &dyn Fn(&str) -> Option<i32>) -> Self {
        FashionAuditor { facts: Facts::new(partitions), dead_letter_topic: FashionStore.dead_letter_topic() }
    }
}

impl Auditor for FashionAuditor {
    fn observe(&mut self, record: LogRecord) {
        self.facts.observe(&record, &self.dead_letter_topic);
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
        invented(facts, findings);
        steps(facts, findings);
        statuses(facts, findings);
        stock::check(facts, findings);
        if let Some(ledger) = &evidence.ledger {
            money::check(facts, ledger, findings);
        }
        dead_letters(facts, findings);
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
        add("duplicates", self.facts.duplicates);
        add("dead letters", self.facts.dead_letters.values().map(|count| u64::from(*count)).sum());
        add("misplaced commands", self.facts.misplaced);
        summary
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
    } else if order.approved > 0 {
        "payment approved"
    } else if !order.charge_keys.is_empty() {
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
    let state = order.status.map_or("none", |(state, _)| state.symbol());
    format!("last step: {last}, status {state}")
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
            CancellationReason::PaymentDeclined => order.declined > 0,
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

fn invented(facts: &Facts, findings: &mut Findings) {
    let says = "nothing happens to an order that nobody placed; whatever we write can be read";
    let mut check = findings.check("nothing invented", says);
    for (id, order) in &facts.orders {
        let nobodys = order.placed.is_none() && order.has_effects();
        check.holds(!nobodys, &format!("order {id}"), "placed", || story(order), || progress(order));
    }
    for (place, reason) in &facts.unreadable {
        check.differs(place.to_string(), "a readable record", reason, "");
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
        let charged = order.charge_keys.len();
        holds(charged <= 1, "one charge key", format!("{charged} keys"));
        holds(charged == 0 || order.reserved > 0, "no charge without stock", "CHARGE without RESERVED".to_owned());
        holds(
            order.start_asked == 0 || order.approved > 0,
            "no delivery without payment",
            "delivery asked for without APPROVED".to_owned(),
        );
        holds(
            order.started == 0 || order.start_asked > 0,
            "no delivery unasked",
            "DeliveryStarted without START".to_owned(),
        );
        let refunds = order.refund_keys.len();
        holds(refunds <= 1, "one refund", format!("{refunds} refund keys"));
        holds(refunds == 0 || charged > 0, "no refund without a charge", "REFUND without CHARGE".to_owned());
        holds(
            order.started == 0 || order.approved > 0,
            "paid before delivery",
            "delivered without APPROVED".to_owned(),
        );
        check.examined();
    }
}

fn statuses(facts: &Facts, findings: &mut Findings) {
    let says = "the status topic counts every change once, without a gap, and ends where the events end";
    let mut check = findings.check("status history", says);
    for (id, order, at) in placed(facts) {
        check.examined();
        let subject = format!("order {id}");
        if let Some((before, version, place)) = &order.status_gap {
            let found = format!("version {version} behind {before}");
            check.differs(&subject, format!("version {}", before + 1), found, place.to_string());
        }
        let expected = if !order.cancelled.is_empty() {
            OrderState::Cancelled
        } else if order.at_rest() {
            OrderState::DeliveryStarted
        } else {
            continue;
        };
        let last = order.status.map(|(state, _)| state);
        if last != Some(expected) {
            let found = last.map_or("no status", OrderState::symbol);
            check.differs(&subject, format!("last status {}", expected.symbol()), found, at);
        }
    }
}

fn dead_letters(facts: &Facts, findings: &mut Findings) {
    let says = "every record that cannot be judged is a dead letter once, and nothing else is";
    let mut check = findings.check("dead letters", says);
    let commands = [topics::ORDERS.base(), topics::PRODUCTS.base()];
    // Topics in headers have the deployment's prefix; places do not.
    let mut letters: BTreeMap<(&str, i32, i64), u32> = BTreeMap::new();
    for ((topic, partition, offset), count) in &facts.dead_letters {
        let topic = commands.iter().find(|command| topic.ends_with(*command)).copied().unwrap_or(topic);
        *letters.entry((topic, *partition, *offset)).or_default() += count;
    }
    for (place, poison) in &facts.poison {
        let count = letters.get(&(place.topic, place.partition, place.offset)).copied().unwrap_or_default();
        let (fits, what) = match poison {
            Poison::Must(what) => (count == 1, what),
            Poison::May(what) => (count <= 1, what),
        };
        check.holds(
            fits,
            &place.to_string(),
            "one dead letter",
            || format!("{count} dead letters"),
            || format!("it has: {what}"),
        );
    }
    for (topic, partition, offset) in letters.into_keys() {
        let known = commands.iter().find(|command| topic == **command);
        let place = known.map(|topic| Place { topic, partition, offset });
        if place.is_none_or(|place| !facts.poison.contains_key(&place)) {
            let subject = format!("{topic}/{partition}@{offset}");
            check.differs(subject, "judged like any command", "a dead letter", "");
        }
    }
    if facts.stray_dead_letters > 0 {
        let found = format!("{} without", facts.stray_dead_letters);
        check.differs("dead letters", "headers that say where they came from", found, "");
    }
}
