//! gdmarket under test.

use std::collections::BTreeMap;
use std::ops::{Deref, DerefMut};

use schemas::Codec;
use schemas::gdmarket::state::{Item, ItemView, Rental};
use schemas::gdmarket::{
    CancelPayment, CancelRental, DeleteItem, ItemCommand, ItemCommandKind, ItemState, ItemStatus, RegisterItem,
    RentalCommand, RentalCommandKind, RentalEvent, RentalState, RentalStatus, RequestRental, ReturnItem, topics,
};
use schemas::state::Verdict;
use topologies::gdmarket::{Config, topology};

use super::rig::{Business, Mode, Rig};

const BUSINESS: Business = Business {
    events: &[topics::ITEM_REQUESTS.base(), topics::ITEM_RESULTS.base()],
    payment: Some((topics::PAYMENT_REQUESTS.base(), topics::PAYMENT_RESULTS.base())),
    ledgers: &["commands", "item-commands"],
    dead_letters: "gdmarket-dead-letters",
};

pub(crate) fn register(command: &str, item: &str, fee: i64) -> ItemCommandKind {
    let name = format!("name of {item}");
    RegisterItem { command_id: command.into(), item_id: item.into(), name, fee, requested_at: 0 }.into()
}

pub(crate) fn delete(command: &str, item: &str) -> ItemCommandKind {
    DeleteItem { command_id: command.into(), item_id: item.into(), requested_at: 0 }.into()
}

pub(crate) fn rent(rental: &str, item: &str) -> RentalCommandKind {
    RequestRental {
        command_id: format!("rent-{rental}"),
        rental_id: rental.into(),
        item_id: item.into(),
        renter_id: "renter-1".into(),
        requested_at: 0,
    }
    .into()
}

pub(crate) fn bring_back(command: &str, rental: &str) -> RentalCommandKind {
    ReturnItem { command_id: command.into(), rental_id: rental.into(), requested_at: 0 }.into()
}

pub(crate) fn cancel(command: &str, rental: &str) -> RentalCommandKind {
    CancelRental { command_id: command.into(), rental_id: rental.into(), reason: String::new(), requested_at: 0 }.into()
}

pub(crate) fn cancel_payment(command: &str, rental: &str) -> RentalCommandKind {
    CancelPayment { command_id: command.into(), rental_id: rental.into(), reason: String::new(), requested_at: 0 }
        .into()
}

/// The market.
pub(crate) struct Market(Rig);

impl Deref for Market {
    type Target = Rig;
    fn deref(&self) -> &Rig {
        &self.0
    }
}

impl DerefMut for Market {
    fn deref_mut(&mut self) -> &mut Rig {
        &mut self.0
    }
}

impl Market {
    pub(crate) fn new(mode: Mode) -> Market {
        Market(Rig::new(topology(&Config::default()).expect("builds"), &BUSINESS, mode))
    }

    pub(crate) fn item(&mut self, command: ItemCommandKind) {
        self.put_typed(topics::ITEMS.base(), &Codec::fixed(), &ItemCommand { command });
    }

    pub(crate) fn rental(&mut self, command: RentalCommandKind) {
        self.put_typed(topics::RENTALS.base(), &Codec::fixed(), &RentalCommand { command });
    }

    pub(crate) fn statuses(&mut self, id: &str) -> Vec<RentalState> {
        let all = self.events::<RentalStatus>(topics::RENTAL_STATUS.base());
        all.get(id).into_iter().flatten().map(|s| s.status).collect()
    }

    pub(crate) fn item_state(&self, id: &str) -> ItemState {
        self.get::<Item>("items", id).expect("the item exists").status
    }

    pub(crate) fn outcome(&mut self) -> Outcome {
        Outcome {
            rentals: self.all("rentals"),
            items: self.all("items"),
            views: self.all("item-views"),
            verdicts: self.verdicts(),
            statuses: self.events(topics::RENTAL_STATUS.base()),
            item_statuses: self.events(topics::ITEM_STATUS.base()),
            events: self.events(topics::RENTAL_EVENTS.base()),
            held: self.ledger.all_held(),
        }
    }
}

/// What a scenario led to, per key.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Outcome {
    pub(crate) rentals: BTreeMap<String, Rental>,
    pub(crate) items: BTreeMap<String, Item>,
    pub(crate) views: BTreeMap<String, ItemView>,
    pub(crate) verdicts: BTreeMap<String, Verdict>,
    pub(crate) statuses: BTreeMap<String, Vec<RentalStatus>>,
    pub(crate) item_statuses: BTreeMap<String, Vec<ItemStatus>>,
    pub(crate) events: BTreeMap<String, Vec<RentalEvent>>,
    pub(crate) held: BTreeMap<String, i64>,
}

/// Checks the "never"s of the business against everything that came out.
pub(crate) fn audit(outcome: &Outcome) {
    for (id, rental) in &outcome.rentals {
        let held = outcome.held.get(id).copied().unwrap_or(0);
        match rental.status {
            RentalState::Rented | RentalState::Returned => assert_eq!(held, rental.fee, "an unpaid item is out: {id}"),
            RentalState::Cancelled => assert_eq!(held, 0, "a payment kept for a cancelled rental: {id}"),
            _ => {}
        }
        let versions: Vec<i32> = outcome.statuses[id].iter().map(|s| s.version).collect();
        assert_eq!(versions, (1..=rental.version).collect::<Vec<_>>(), "every change told once, in order: {id}");
    }
    for (id, item) in &outcome.items {
        let out = |r: &&Rental| r.item_id == *id && r.status == RentalState::Rented && r.settled_at.is_some();
        let holders: Vec<&str> = outcome.rentals.values().filter(out).map(|r| r.rental_id.as_str()).collect();
        assert!(holders.len() <= 1, "two renters hold one item: {holders:?}");
        if let Some(holder) = holders.first() {
            assert_eq!((item.status, item.rental_id.as_deref()), (ItemState::Rented, Some(*holder)));
        }
        assert_eq!(item.rental_id.is_some(), matches!(item.status, ItemState::Locked | ItemState::Rented), "{item:?}");
        let view = &outcome.views[id];
        assert_eq!((view.status, view.version, &view.rental_id), (item.status, item.version, &item.rental_id));
        let versions: Vec<i32> = outcome.item_statuses[id].iter().map(|s| s.version).collect();
        assert_eq!(versions, (1..=item.version).collect::<Vec<_>>(), "every change of the item told once: {id}");
    }
}
