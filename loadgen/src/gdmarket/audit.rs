//! The auditor of gdmarket: every "never" of `SYSTEMS.md`, checked against the committed log.

use std::collections::{BTreeMap, HashMap};

use schemas::gdmarket::{ItemRejection, ItemState, RentalCancelReason, RentalState, RequestRental, topics};
use serde_json::Value;

use super::facts::{End, Facts, Item, Rental, Wish};
use crate::audit::Findings;
use crate::audit::holds::{Answer, Held, Reasons, Thing, Walk, walk};
use crate::audit::payment::{Claim, Due, Topics};
use crate::audit::saga::{self, Facts as _, Saga, Trace};
use crate::audit::web::{Listed, Want, compare};

const REASONS: Reasons = Reasons {
    taken: ItemRejection::NotAvailable.symbol(),
    unknown: ItemRejection::UnknownItem.symbol(),
    removed: Some(ItemRejection::Deleted.symbol()),
};

impl Saga for Rental {
    type Request = RequestRental;
    type State = RentalState;
    const WORD: &'static str = "rental";

    fn trace(&self) -> &Trace<RequestRental, RentalState> {
        &self.trace
    }

    fn trace_mut(&mut self) -> &mut Trace<RequestRental, RentalState> {
        &mut self.trace
    }

    fn words(request: &RequestRental) -> Vec<String> {
        vec![request.item_id.clone(), request.renter_id.clone()]
    }

    fn is_touched(&self) -> bool {
        self.lock_asked + self.hand_out_asked + self.release_asked + self.returned > 0
            || !(self.answers.is_empty() && self.started.is_empty() && self.cancelled.is_empty())
    }

    fn rests_in(&self) -> Option<RentalState> {
        if !self.cancelled.is_empty() {
            (self.is_freed() && self.trace.payment.is_undone()).then_some(RentalState::Cancelled)
        } else if self.returned > 0 {
            self.is_freed().then_some(RentalState::Returned)
        } else {
            let out = !self.started.is_empty() && self.release_asked == 0 && self.must_end() == End::Any;
            out.then_some(RentalState::Rented)
        }
    }

    fn story(&self) -> String {
        let (started, cancelled) = (self.started.len(), self.cancelled.len());
        format!("started {started} ×, returned {} ×, cancelled {cancelled} ×", self.returned)
    }

    fn progress(&self) -> String {
        let Trace { payment, history, .. } = &self.trace;
        format!(
            "item management answered {:?}, approved {} ×, declined {} ×, status {}",
            self.answers,
            payment.approved,
            payment.declined,
            history.words()
        )
    }

    fn cancelled(&self) -> Option<&'static str> {
        self.cancelled.first().map(|reason| reason.symbol())
    }

    fn claim(&self, _request: &RequestRental, at: String) -> Option<Claim> {
        let due = match self.rests_in() {
            _ if !self.cancelled.is_empty() => Due::Nothing,
            Some(RentalState::Rented | RentalState::Returned) => Due::Kept,
            _ => Due::Open,
        };
        let (may_charge, served) = (self.was(&Answer::Taken), !self.started.is_empty());
        Some(Claim { amount: self.fee, may_charge, served, due, at })
    }
}

impl saga::Facts for Facts {
    type Saga = Rental;
    const COLLECTIONS: &'static [&'static str] = &["/items", "/itemviews", "/rentals"];
    const PAYMENT: Option<Topics> = Some((topics::PAYMENT_REQUESTS, topics::PAYMENT_RESULTS));

    fn sagas(&self) -> &HashMap<String, Rental> {
        &self.rentals
    }

    fn sagas_mut(&mut self) -> &mut HashMap<String, Rental> {
        &mut self.rentals
    }

    fn judge(&self, findings: &mut Findings) {
        outcomes(self, findings);
        causes(self, findings);
        steps(self, findings);
        let walks: BTreeMap<&str, Walk> =
            self.items.iter().map(|(id, item)| (id.as_str(), walked(self, item))).collect();
        one_holder(self, &walks, findings);
        item_states(self, &walks, findings);
    }

    fn judge_web(&self, collections: &BTreeMap<String, Vec<Value>>, findings: &mut Findings) {
        if let Some(items) = collections.get("/rentals") {
            let known: Vec<_> = self
                .begun()
                .map(|(id, rental, request, _)| {
                    let mut wants = vec![("itemId", Want::Text(&request.item_id))];
                    // Who cancels before the item is locked is shown no fee, though the lock is answered with one.
                    if !rental.trace.payment.charge_keys.is_empty() {
                        wants.push(("fee", Want::Number(rental.fee)));
                    }
                    wants.extend(rental.rests_in().map(|state| ("status", Want::Text(state.symbol()))));
                    Listed { id, wants }
                })
                .collect();
            compare(("/rentals", "id", "rental"), items, &known, findings);
        }
        for path in ["/items", "/itemviews"] {
            if let Some(items) = collections.get(path) {
                let known: Vec<_> = self
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

    fn count(&self, add: &mut dyn FnMut(&str, u64)) {
        for (name, state) in [("items available", ItemState::Available), ("items deleted", ItemState::Deleted)] {
            add(name, self.items.values().filter(|item| item.history.last == Some(state)).count() as u64);
        }
    }
}

fn outcomes(facts: &Facts, findings: &mut Findings) {
    let says = "every rental is out, or was brought back, or was cancelled and everything undone; each is told once";
    let mut check = findings.check("one outcome", says);
    for (id, rental, _, at) in facts.begun() {
        check.examined();
        let subject = format!("rental {id}");
        if rental.started.len() > 1 || rental.returned > 1 || rental.cancelled.len() > 1 {
            check.differs(&subject, "each event at most once", rental.story(), &at);
        }
        if rental.returned > 0 && (rental.started.is_empty() || !rental.cancelled.is_empty()) {
            check.differs(&subject, "brought back only what was out and not cancelled", rental.story(), &at);
        }
        if rental.rests_in().is_none() {
            let expected = match rental.must_end() {
                End::Any => "an outcome".to_owned(),
                end => format!("{end:?}, as was asked for"),
            };
            check.differs(&subject, expected, rental.story(), format!("{at}; {}", rental.progress()));
        }
    }
}

fn causes(facts: &Facts, findings: &mut Findings) {
    let says = "a cancellation has its cause on the log; who cancels or brings back in time gets it";
    let mut check = findings.check("outcome fits its cause", says);
    for (id, rental, _, at) in facts.begun() {
        check.examined();
        let subject = format!("rental {id}");
        let fits = match rental.must_end() {
            End::Cancelled => rental.returned == 0,
            End::Returned => rental.cancelled.is_empty(),
            End::Any | End::Ended => true,
        };
        if !fits {
            check.differs(&subject, format!("{:?}, as was asked for", rental.must_end()), rental.story(), &at);
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
            RentalCancelReason::PaymentDeclined => rental.trace.payment.declined > 0,
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
    for (id, rental, _, at) in facts.begun() {
        check.examined();
        let subject = format!("rental {id}");
        let mut holds = |holds: bool, expected: &str, found: String| {
            if !holds {
                check.differs(&subject, expected, found, &at);
            }
        };
        for (expected, found) in rental.trace.payment.faults() {
            holds(false, expected, found);
        }
        let counts = [rental.lock_asked, rental.hand_out_asked, rental.release_asked];
        holds(counts.iter().all(|count| *count <= 1), "each asked for once", format!("{counts:?} asked for"));
        let (charged, paid) = (!rental.trace.payment.charge_keys.is_empty(), rental.trace.payment.approved > 0);
        let (taken, out) = (rental.was(&Answer::Taken), rental.was(&Answer::HandedOut));
        holds(!charged || taken, "no charge without the item", "CHARGE without LOCKED".to_owned());
        let asked = rental.hand_out_asked > 0;
        holds(!asked || paid, "no unpaid item out", "HAND_OUT without APPROVED".to_owned());
        holds(!out || asked, "out only when asked for", "HANDED_OUT without HAND_OUT".to_owned());
        holds(rental.started.is_empty() || (out && paid), "begun when paid and out", rental.progress());
        let undone = rental.was(&Answer::Freed) || !taken;
        holds(
            rental.trace.payment.refund_keys.is_empty() || undone,
            "the item back before the money",
            rental.progress(),
        );
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
    let done = |holder: &str| {
        let rental = facts.rentals.get(holder)?;
        matches!(rental.rests_in(), Some(RentalState::Returned | RentalState::Cancelled)).then(|| rental.story())
    };
    for (id, walk) in walks {
        walk.check(&format!("item {id}"), "rental", &done, &mut check);
    }
    for (id, rental, request, at) in facts.begun() {
        let registered = facts.items.get(&request.item_id).is_some_and(|item| item.fees.contains(&rental.fee));
        if rental.was(&Answer::Taken) && !registered {
            check.differs(format!("rental {id}"), "a fee as registered", format!("fee {}", rental.fee), at);
        }
    }
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
