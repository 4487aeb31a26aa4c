//! The auditor of gdmarket: every "never" of `SYSTEMS.md`, checked against the committed log.

use std::collections::BTreeMap;

use schemas::gdmarket::{ItemRejection, ItemState, RentalCancelReason, RentalState};

use super::Market;
use super::facts::{End, Facts, Item, Rental, Wish};
use crate::audit::facts::Reader;
use crate::audit::holds::{Answer, Held, Reasons, Thing, Walk, walk};
use crate::audit::payment::{self, Claim, Due};
use crate::audit::web::{Listed, Want, compare};
use crate::audit::{Auditor, Evidence, Findings};
use crate::log::LogRecord;

const REASONS: Reasons = Reasons {
    taken: ItemRejection::NotAvailable.symbol(),
    unknown: ItemRejection::UnknownItem.symbol(),
    removed: Some(ItemRejection::Deleted.symbol()),
};

/// Folds the log and judges it.
pub struct MarketAuditor {
    facts: Facts,
    reader: Reader,
}

impl MarketAuditor {
    /// `partitions` tells how many partitions a topic has, where that is known.
    pub fn new(partitions: &dyn Fn(&str) -> Option<i32>) -> Self {
        MarketAuditor { facts: Facts::default(), reader: Reader::new(&Market, partitions) }
    }

    fn invented(&self, findings: &mut Findings) {
        let says = "nothing happens to a rental that nobody asked for; events say what was; all we write can be read";
        let mut check = findings.check("nothing invented", says);
        for (id, rental) in &self.facts.rentals {
            let subject = format!("rental {id}");
            let nobodys = rental.requested.is_none() && rental.has_effects();
            check.holds(!nobodys, &subject, "requested", || story(rental), || progress(rental));
            if let Some(event) = rental.event_differs() {
                check.differs(subject, "events of what was requested", event, "");
            }
        }
        self.reader.check_readable(&mut check);
    }
}

impl Auditor for MarketAuditor {
    fn observe(&mut self, record: LogRecord) {
        self.reader.observe(&record, &mut self.facts);
    }

    fn open(&self) -> u64 {
        requested(&self.facts).filter(|(_, rental, _)| rental.rests_in().is_none()).count() as u64
    }

    fn collections(&self) -> &'static [&'static str] {
        &["/items", "/itemviews", "/rentals"]
    }

    fn check(&self, evidence: &Evidence, findings: &mut Findings) {
        let facts = &self.facts;
        outcomes(facts, findings);
        causes(facts, findings);
        self.invented(findings);
        steps(facts, findings);
        statuses(facts, findings);
        let walks: BTreeMap<&str, Walk> =
            facts.items.iter().map(|(id, item)| (id.as_str(), walked(facts, item))).collect();
        one_holder(facts, &walks, findings);
        item_states(facts, &walks, findings);
        if let Some(ledger) = &evidence.ledger {
            let claims = facts.rentals.iter().filter_map(|(id, rental)| Some((id.as_str(), claim(rental)?)));
            payment::check("rental", &claims.collect(), ledger, findings);
        }
        self.reader.check_dead_letters(findings);
        web(facts, evidence, findings);
    }

    fn summary(&self) -> BTreeMap<String, u64> {
        let mut summary = BTreeMap::new();
        let mut add = |name: &str, count: u64| *summary.entry(name.to_owned()).or_default() += count;
        for (_, rental, _) in requested(&self.facts) {
            add("rentals", 1);
            match rental.cancelled.first() {
                Some(reason) => add(&format!("cancelled {}", reason.symbol()), 1),
                None => add(&rental.rests_in().map_or("open".to_owned(), |s| s.symbol().to_lowercase()), 1),
            }
        }
        let there =
            |state: ItemState| self.facts.items.values().filter(|i| i.history.last == Some(state)).count() as u64;
        add("items available", there(ItemState::Available));
        add("items deleted", there(ItemState::Deleted));
        for (name, count) in self.reader.summary() {
            add(name, count);
        }
        summary
    }
}

fn requested(facts: &Facts) -> impl Iterator<Item = (&String, &Rental, String)> {
    facts.rentals.iter().filter_map(|(id, rental)| Some((id, rental, rental.requested.as_ref()?.1.to_string())))
}

/// What became of a rental, in words.
fn story(rental: &Rental) -> String {
    let (started, cancelled) = (rental.started.len(), rental.cancelled.len());
    format!("started {started} ×, returned {} ×, cancelled {cancelled} ×", rental.returned)
}

/// Where a rental hangs.
fn progress(rental: &Rental) -> String {
    format!(
        "item management answered {:?}, approved {} ×, declined {} ×, status {}",
        rental.answers,
        rental.payment.approved,
        rental.payment.declined,
        rental.history.words()
    )
}

fn outcomes(facts: &Facts, findings: &mut Findings) {
    let says = "every rental is out, or was brought back, or was cancelled and everything undone; each is told once";
    let mut check = findings.check("one outcome", says);
    for (id, rental, at) in requested(facts) {
        check.examined();
        let subject = format!("rental {id}");
        if rental.started.len() > 1 || rental.returned > 1 || rental.cancelled.len() > 1 {
            check.differs(&subject, "each event at most once", story(rental), &at);
        }
        if rental.returned > 0 && (rental.started.is_empty() || !rental.cancelled.is_empty()) {
            check.differs(&subject, "brought back only what was out and not cancelled", story(rental), &at);
        }
        if rental.rests_in().is_none() {
            let expected = match rental.must_end() {
                End::Any => "an outcome".to_owned(),
                end => format!("{end:?}, as was asked for"),
            };
            check.differs(&subject, expected, story(rental), format!("{at}; {}", progress(rental)));
        }
    }
}

fn causes(facts: &Facts, findings: &mut Findings) {
    let says = "a cancellation has its cause on the log; who cancels or brings back in time gets it";
    let mut check = findings.check("outcome fits its cause", says);
    for (id, rental, at) in requested(facts) {
        check.examined();
        let subject = format!("rental {id}");
        let fits = match rental.must_end() {
            End::Cancelled => rental.returned == 0,
            End::Returned => rental.cancelled.is_empty(),
            End::Any | End::Ended => true,
        };
        if !fits {
            check.differs(&subject, format!("{:?}, as was asked for", rental.must_end()), story(rental), &at);
        }
        if rental.returned > 0 && !rental.wishes_for(Wish::Return) {
            check.differs(&subject, "brought back by the renter", "nobody brought it back", &at);
        }
        let Some(reason) = rental.cancelled.first().copied() else {
            continue;
        };
        let rejected = |rejection: ItemRejection| rental.was(&Answer::Rejected(rejection.symbol()));
        let cause = match reason {
            RentalCancelReason::NotAvailable => rejected(ItemRejection::NotAvailable),
            RentalCancelReason::UnknownItem => rejected(ItemRejection::UnknownItem),
            RentalCancelReason::Deleted => rejected(ItemRejection::Deleted),
            RentalCancelReason::PaymentDeclined => rental.payment.declined > 0,
            // The deadline is the saga's own: all that can be seen is that the payment was under way.
            RentalCancelReason::PaymentTimeout => rental.was(&Answer::Taken) && rental.started.is_empty(),
            RentalCancelReason::PaymentCancelled => rental.wishes_for(Wish::CancelPayment),
            RentalCancelReason::Renter => rental.wishes_for(Wish::Cancel),
            RentalCancelReason::Unknown => false,
        };
        if !cause {
            check.differs(subject, format!("a cause of {reason}"), "none on the log", at);
        }
    }
}

fn steps(facts: &Facts, findings: &mut Findings) {
    let says =
        "the item is kept before it is paid, paid before it is out, back before the money is; each asked for once";
    let mut check = findings.check("order of steps", says);
    for (id, rental, at) in requested(facts) {
        check.examined();
        let subject = format!("rental {id}");
        let mut holds = |holds: bool, expected: &str, found: String| {
            if !holds {
                check.differs(&subject, expected, found, &at);
            }
        };
        for (expected, found) in rental.payment.faults() {
            holds(false, expected, found);
        }
        let counts = [rental.lock_asked, rental.hand_out_asked, rental.release_asked];
        holds(counts.iter().all(|count| *count <= 1), "each asked for once", format!("{counts:?} asked for"));
        let (charged, paid) = (!rental.payment.charge_keys.is_empty(), rental.payment.approved > 0);
        let (taken, out) = (rental.was(&Answer::Taken), rental.was(&Answer::HandedOut));
        holds(!charged || taken, "no charge without the item", "CHARGE without LOCKED".to_owned());
        let asked = rental.hand_out_asked > 0;
        holds(!asked || paid, "no unpaid item out", "HAND_OUT without APPROVED".to_owned());
        holds(!out || asked, "out only when asked for", "HANDED_OUT without HAND_OUT".to_owned());
        holds(rental.started.is_empty() || (out && paid), "begun when paid and out", progress(rental));
        let undone = rental.was(&Answer::Freed) || !taken;
        holds(rental.payment.refund_keys.is_empty() || undone, "the item back before the money", progress(rental));
    }
}

fn statuses(facts: &Facts, findings: &mut Findings) {
    let says = "the status topic counts every change of a rental once, without a gap, and ends where the events end";
    let mut check = findings.check("status history", says);
    for (id, rental, at) in requested(facts) {
        rental.history.check(&format!("rental {id}"), rental.rests_in(), &at, &mut check);
    }
}

fn walked(facts: &Facts, item: &Item) -> Walk {
    let thing = Thing { registered: !item.fees.is_empty(), removed: item.deletions > 0 };
    walk(&item.asked, thing, &REASONS, &|rental| Some(facts.rentals.get(rental)?.answers.as_slice()))
}

fn one_holder(facts: &Facts, walks: &BTreeMap<&str, Walk>, findings: &mut Findings) {
    let says = "in the order of the requests: never two rentals with one item, none turned away from a free one, none from \
                a deleted one let in; and nobody keeps it who is done with it";
    let mut check = findings.check("one holder", says);
    for (id, walk) in walks {
        check.examined();
        for fault in &walk.faults {
            let subject = format!("item {id}, rental {}", fault.holder);
            check.differs(subject, &fault.expected, &fault.found, fault.place.to_string());
        }
        let subject = format!("item {id}");
        if walk.unanswered > 0 {
            check.differs(&subject, "every request answered", format!("{} without an answer", walk.unanswered), "");
        }
        let holder = walk.holder().and_then(|holder| Some((holder, facts.rentals.get(holder)?)));
        if let Some((holder, rental)) = holder
            && matches!(rental.rests_in(), Some(RentalState::Returned | RentalState::Cancelled))
        {
            check.differs(&subject, "free", format!("kept for rental {holder}: {}", story(rental)), "");
        }
    }
    for (id, rental, at) in requested(facts) {
        let registered = requested_item(facts, rental).is_some_and(|item| item.fees.contains(&rental.fee));
        if rental.was(&Answer::Taken) && !registered {
            check.differs(format!("rental {id}"), "a fee as registered", format!("fee {}", rental.fee), at);
        }
    }
}

fn requested_item<'a>(facts: &'a Facts, rental: &Rental) -> Option<&'a Item> {
    facts.items.get(&rental.requested.as_ref()?.0.item_id)
}

fn item_states(facts: &Facts, walks: &BTreeMap<&str, Walk>, findings: &mut Findings) {
    let says = "every item's states are those its requests lead to; deleted only while nobody has it, and for good";
    let mut check = findings.check("item states", says);
    for (id, item) in &facts.items {
        let subject = format!("item {id}");
        item.history.check(&subject, None, "", &mut check);
        let mut told: Vec<Held> = Vec::new();
        let (mut free, mut deleted) = (true, false);
        for (state, rental, place) in &item.changes {
            let rental = rental.clone().unwrap_or_default();
            let held = match state {
                ItemState::Locked => Held::For(rental),
                ItemState::Rented => Held::By(rental),
                ItemState::Available | ItemState::Deleted | ItemState::Unknown => Held::Free,
            };
            if deleted {
                check.differs(&subject, "deleted for good", format!("{state} after DELETED"), place.to_string());
            }
            if *state == ItemState::Deleted && !free {
                check.differs(&subject, "deleted only while nobody has it", story_of(&told), place.to_string());
            }
            deleted |= *state == ItemState::Deleted;
            free = held == Held::Free;
            // A new name or fee changes no holder, and neither does the first registration.
            if told.last().unwrap_or(&Held::Free) != &held {
                told.push(held);
            }
        }
        let walk = walks.get(id.as_str()).map(|walk| walk.changes.as_slice()).unwrap_or_default();
        if told != walk {
            let first = told.iter().zip(walk).position(|(a, b)| a != b).unwrap_or(told.len().min(walk.len()));
            let word = |held: Option<&Held>| held.map_or_else(|| "nothing more".to_owned(), |held| format!("{held:?}"));
            let found = format!("change {} is {}", first + 1, word(told.get(first)));
            check.differs(&subject, word(walk.get(first)), found, "");
        }
        if item.fees.is_empty() != item.changes.is_empty() {
            check.differs(&subject, "an item if registered, else none", item.history.words(), "");
        }
    }
}

fn story_of(told: &[Held]) -> String {
    told.last().map_or_else(|| "free".to_owned(), |held| format!("{held:?}"))
}

/// What the log says about a rental's money; `None` for one that nobody asked for.
fn claim(rental: &Rental) -> Option<Claim> {
    let (_, at) = rental.requested.as_ref()?;
    let due = match rental.rests_in() {
        _ if !rental.cancelled.is_empty() => Due::Nothing,
        Some(RentalState::Rented | RentalState::Returned) => Due::Kept,
        _ => Due::Open,
    };
    let (may_charge, served) = (rental.was(&Answer::Taken), !rental.started.is_empty());
    Some(Claim { amount: rental.fee, may_charge, served, due, at: at.to_string() })
}

fn web(facts: &Facts, evidence: &Evidence, findings: &mut Findings) {
    if let Some(items) = evidence.collections.get("/rentals") {
        let known: Vec<_> = requested(facts)
            .filter_map(|(id, rental, _)| {
                let (request, _) = rental.requested.as_ref()?;
                let mut wants = vec![("itemId", Want::Text(&request.item_id))];
                // Who cancels before the item is locked is shown no fee, though the lock is answered with one.
                if !rental.payment.charge_keys.is_empty() {
                    wants.push(("fee", Want::Number(rental.fee)));
                }
                wants.extend(rental.rests_in().map(|state| ("status", Want::Text(state.symbol()))));
                Some(Listed { id, wants })
            })
            .collect();
        compare(("/rentals", "id", "rental"), items, &known, findings);
    }
    for path in ["/items", "/itemviews"] {
        if let Some(items) = evidence.collections.get(path) {
            let known: Vec<_> = facts
                .items
                .iter()
                .filter_map(|(id, item)| {
                    let mut wants = vec![("status", Want::Text(item.history.last?.symbol()))];
                    let holder = item.changes.last().and_then(|(_, rental, _)| rental.as_deref());
                    wants.extend(holder.map(|rental| ("rentalId", Want::Text(rental))));
                    Some(Listed { id, wants })
                })
                .collect();
            compare((path, "id", "item"), items, &known, findings);
        }
    }
}
