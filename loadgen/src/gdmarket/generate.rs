//! Made-up traffic of a rental market.

use rand::Rng;
use schemas::gdmarket::{
    CancelPayment, CancelRental, DeleteItem, ItemCommand, ItemCommandKind, RegisterItem, RentalCommand,
    RentalCommandKind, RequestRental, ReturnItem, topics,
};

use super::COMMANDS;
use crate::error::Error;
use crate::generate::{DUPLICATE_MS_MAX, Params, Traffic, Zipf, command, poison};
use crate::traffic::{Envelope, Expect};

pub(super) const KIND_REGISTER: &str = "register";
pub(super) const KIND_DELETE: &str = "delete";
pub(super) const KIND_REQUEST: &str = "request";
pub(super) const KIND_CANCEL: &str = "cancel";
pub(super) const KIND_CANCEL_PAYMENT: &str = "cancel-payment";
pub(super) const KIND_RETURN: &str = "return";

/// Between the last registration and the first rental, so that items are there by then even on a slow system.
const SETUP_PAUSE_MS: i64 = 1_000;

/// An early cancellation comes at most this long after its request: anywhere in the saga.
const EARLY_MS_MAX: i64 = 50;

/// A late one within this range, and the second try of a renter whose item was not out yet when brought back.
const LATE_MS: std::ops::Range<i64> = 2_000..10_000;

/// An item comes back after so long.
const KEPT_MS: std::ops::Range<i64> = 200..2_000;

/// Share of rentals that several renters want at the same moment.
const RACES: f64 = 0.1;

/// Between the first and the last of them.
const RACE_MS: i64 = 10;

/// Share of renters who change their mind on the way back: they bring the item and cancel at the same moment.
const BOTH: f64 = 0.05;

/// What can be read and makes no sense.
const NONSENSE: [&str; 1] = ["poison:long-id"];

/// One byte more than an id may have.
const ID_TOO_LONG: usize = 129;

const NOUNS: [&str; 8] = ["drill", "tent", "bicycle", "camera", "ladder", "kayak", "projector", "sewing machine"];

struct Generator<'a> {
    traffic: Traffic<'a>,
    items: Zipf,
    renters: Zipf,
}

pub(super) fn generate(params: &Params, sink: &mut dyn FnMut(Envelope) -> Result<(), Error>) -> Result<(), Error> {
    let mut generator = Generator {
        traffic: Traffic::new(params),
        items: Zipf::new(params.products, params.skew),
        renters: Zipf::new(params.customers, params.skew),
    };
    for item in 0..params.products {
        let register = generator.register(&item_id(item), item);
        generator.traffic.add(item_envelope(i64::from(item), register, KIND_REGISTER));
    }
    let mut clock = generator.traffic.clock(i64::from(params.products) + SETUP_PAUSE_MS);
    for number in 0..params.orders {
        let at_ms = clock.next(&mut generator.traffic.rng);
        generator.rental(number, at_ms);
        generator.beside(number, at_ms);
        generator.traffic.release(at_ms, sink)?;
    }
    generator.traffic.release(i64::MAX, sink)
}

fn item_id(rank: u32) -> String {
    format!("item-{:04}", rank + 1)
}

impl Generator<'_> {
    /// A rental, those who want the same item at the same moment, and what follows for each.
    fn rental(&mut self, number: u64, at_ms: i64) {
        let unknown = self.traffic.happens(self.traffic.params.unknown_products);
        let item = self.items.sample(&mut self.traffic.rng);
        let item = if unknown { format!("unregistered-{}", item + 1) } else { item_id(item) };
        let races = self.traffic.happens(RACES);
        let rivals = if races { self.traffic.rng.random_range(0..self.traffic.params.rivals) } else { 0 };
        for rival in 0..=rivals {
            let at_ms = if rival == 0 { at_ms } else { at_ms + self.traffic.rng.random_range(0..=RACE_MS) };
            let rental_id = format!("rental-{:x}-{:07}-{rival}", self.traffic.params.seed, number + 1);
            self.request(&rental_id, &item, at_ms);
            self.afterwards(&rental_id, at_ms);
        }
    }

    fn request(&mut self, rental_id: &str, item_id: &str, at_ms: i64) {
        let request = self.wanted(rental_id, item_id, at_ms);
        let envelope = rental_envelope(at_ms, request, KIND_REQUEST, Expect::Accept);
        self.traffic.maybe_twice(&envelope);
        self.traffic.add(envelope);
        if self.traffic.happens(self.traffic.params.conflicts) {
            let other = self.wanted(rental_id, "another-item", at_ms);
            let at_ms = at_ms + 1 + self.traffic.rng.random_range(0..DUPLICATE_MS_MAX);
            self.traffic.add(rental_envelope(at_ms, other, "conflict", Expect::Refuse));
        }
    }

    /// What the renter does later: cancels early, cancels late, or brings the item back.
    fn afterwards(&mut self, rental_id: &str, at_ms: i64) {
        let dice = self.traffic.rng.random::<f64>();
        let params = self.traffic.params;
        if dice < params.cancels_early {
            let at_ms = at_ms + 1 + self.traffic.rng.random_range(0..EARLY_MS_MAX);
            self.cancel(rental_id, at_ms);
            return;
        }
        if dice < params.cancels_early + params.cancels_late {
            let at_ms = at_ms + self.traffic.rng.random_range(LATE_MS);
            self.cancel(rental_id, at_ms);
            return;
        }
        let back_ms = at_ms + self.traffic.rng.random_range(KEPT_MS);
        self.bring_back(rental_id, back_ms);
        if self.traffic.happens(BOTH) {
            self.cancel(rental_id, back_ms + 1);
        }
        let again_ms = at_ms + self.traffic.rng.random_range(LATE_MS);
        self.bring_back(rental_id, again_ms);
    }

    fn cancel(&mut self, rental_id: &str, at_ms: i64) {
        let (command_id, rental_id) = (self.traffic.command_id(), rental_id.to_owned());
        let reason = "changed my mind".to_owned();
        let (command, kind): (RentalCommandKind, _) = if self.traffic.rng.random_bool(0.5) {
            (CancelRental { command_id, rental_id, reason, requested_at: at_ms }.into(), KIND_CANCEL)
        } else {
            (CancelPayment { command_id, rental_id, reason, requested_at: at_ms }.into(), KIND_CANCEL_PAYMENT)
        };
        let envelope = rental_envelope(at_ms, command, kind, Expect::Accept);
        self.traffic.maybe_twice(&envelope);
        self.traffic.add(envelope);
    }

    fn bring_back(&mut self, rental_id: &str, at_ms: i64) {
        let command_id = self.traffic.command_id();
        let command = ReturnItem { command_id, rental_id: rental_id.to_owned(), requested_at: at_ms };
        let envelope = rental_envelope(at_ms, command, KIND_RETURN, Expect::Accept);
        self.traffic.maybe_twice(&envelope);
        self.traffic.add(envelope);
    }

    /// What happens beside the rentals: items that come and go, new fees, poison, commands about nobody's rental.
    fn beside(&mut self, number: u64, at_ms: i64) {
        if self.traffic.happens(self.traffic.params.restocks) {
            self.short_lived_item(number, at_ms);
            let item = self.items.sample(&mut self.traffic.rng);
            let register = self.register(&item_id(item), item);
            self.traffic.add(item_envelope(at_ms, register, "register-again"));
        }
        if self.traffic.happens(self.traffic.params.poison) {
            let rental_id = format!("poison-{:016x}-{:06}", self.traffic.params.seed, number + 1);
            let kind = self.traffic.poison_kind(&NONSENSE);
            let (item, expect) = match kind {
                "poison:long-id" => ("x".repeat(ID_TOO_LONG), Expect::Refuse),
                _ => (item_id(0), Expect::DeadLetter),
            };
            let request = self.wanted(&rental_id, &item, at_ms);
            let envelope = rental_envelope(at_ms, request, kind, expect);
            self.traffic.add(poison(envelope, &format!("{{\"id\":\"{rental_id}\",\"itemId\":\"{item}\"}}")));
        }
        if self.traffic.happens(self.traffic.params.conflicts) {
            let (command_id, rental_id) = (self.traffic.command_id(), format!("nobodys-{:06}", number + 1));
            let command = ReturnItem { command_id, rental_id, requested_at: at_ms };
            self.traffic.add(rental_envelope(at_ms, command, "return-unknown", Expect::Refuse));
        }
    }

    /// Registered, wanted, deleted while it may be out, and wanted once more.
    fn short_lived_item(&mut self, number: u64, at_ms: i64) {
        let item = format!("short-lived-{:x}-{:07}", self.traffic.params.seed, number + 1);
        let rank = self.traffic.rng.random_range(0..self.traffic.params.products);
        let register = self.register(&item, rank);
        self.traffic.add(item_envelope(at_ms, register, "register-short-lived"));
        for (nth, delay_ms) in [50, 2_500].into_iter().enumerate() {
            let rental_id = format!("rental-{:x}-{:07}-s{nth}", self.traffic.params.seed, number + 1);
            self.request(&rental_id, &item, at_ms + delay_ms);
            self.afterwards(&rental_id, at_ms + delay_ms);
        }
        for delay_ms in [50 + self.traffic.rng.random_range(0..DUPLICATE_MS_MAX), 2_400] {
            let delete = DeleteItem {
                command_id: self.traffic.command_id(),
                item_id: item.clone(),
                requested_at: at_ms + delay_ms,
            };
            self.traffic.add(item_envelope(at_ms + delay_ms, delete, KIND_DELETE));
        }
    }

    fn wanted(&mut self, rental_id: &str, item_id: &str, at_ms: i64) -> RequestRental {
        let renter = self.renters.sample(&mut self.traffic.rng);
        RequestRental {
            command_id: self.traffic.command_id(),
            rental_id: rental_id.to_owned(),
            item_id: item_id.to_owned(),
            renter_id: format!("renter-{:05}", renter + 1),
            requested_at: at_ms,
        }
    }

    fn register(&mut self, item_id: &str, rank: u32) -> RegisterItem {
        RegisterItem {
            command_id: self.traffic.command_id(),
            item_id: item_id.to_owned(),
            name: NOUNS[rank as usize % NOUNS.len()].to_owned(),
            fee: self.traffic.rng.random_range(1..=50_i64) * 1_000,
            requested_at: 0,
        }
    }
}

fn item_envelope(at_ms: i64, kind_of: impl Into<ItemCommandKind>, kind: &str) -> Envelope {
    let value = ItemCommand { command: kind_of.into() };
    command(at_ms, &topics::ITEMS, &COMMANDS.items, &value, kind, Expect::Accept)
}

fn rental_envelope(at_ms: i64, kind_of: impl Into<RentalCommandKind>, kind: &str, expect: Expect) -> Envelope {
    let value = RentalCommand { command: kind_of.into() };
    command(at_ms, &topics::RENTALS, &COMMANDS.rentals, &value, kind, expect)
}
