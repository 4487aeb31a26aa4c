//! Made-up traffic of a clothes shop.

use rand::Rng;
use schemas::fashion::{
    CancelOrder, CancelRequester, OrderCommand, OrderCommandKind, PlaceOrder, ProductCommand, ProductCommandKind,
    RegisterProduct, RestockProduct, topics,
};

use super::COMMANDS;
use crate::error::Error;
use crate::generate::{DUPLICATE_MS_MAX, Params, Traffic, Zipf, command, poison};
use crate::traffic::{Envelope, Expect};

pub(super) const KIND_REGISTER: &str = "register";
pub(super) const KIND_RESTOCK: &str = "restock";
pub(super) const KIND_PLACE: &str = "place";
pub(super) const KIND_CANCEL: &str = "cancel";

/// Between the last registration and the first order, so that products exist by then even on a slow system.
const SETUP_PAUSE_MS: i64 = 1_000;

/// An early cancellation comes at most this long after its order; `+ 1` keeps it behind the order in the file.
const EARLY_MS_MAX: i64 = 50;

/// A late one within this range: well after a saga's usual few milliseconds.
const LATE_MS: std::ops::Range<i64> = 2_000..10_000;

const SIZES: [&str; 5] = ["S", "M", "L", "XL", "Free"];
const NOUNS: [&str; 8] = ["shirt", "coat", "skirt", "scarf", "jeans", "socks", "dress", "hat"];
const COLOURS: [&str; 8] = ["red", "blue", "green", "black", "white", "grey", "navy", "ivory"];
const REASONS: [&str; 4] = ["changed my mind", "wrong size", "found it cheaper", ""];

/// Poison of a business's own: what can be read and makes no sense.
const NONSENSE: [&str; 2] = ["poison:negative-qty", "poison:zero-qty"];

struct Generator<'a> {
    traffic: Traffic<'a>,
    products: Zipf,
    customers: Zipf,
    prices: Vec<i64>,
}

pub(super) fn generate(params: &Params, sink: &mut dyn FnMut(Envelope) -> Result<(), Error>) -> Result<(), Error> {
    let mut generator = Generator {
        traffic: Traffic::new(params),
        products: Zipf::new(params.products, params.skew),
        customers: Zipf::new(params.customers, params.skew),
        prices: Vec::new(),
    };
    let first_ms = generator.register();
    let mut clock = generator.traffic.clock(first_ms);
    for number in 0..params.orders {
        let at_ms = clock.next(&mut generator.traffic.rng);
        generator.order(number, at_ms);
        generator.beside(number, at_ms);
        generator.traffic.release(at_ms, sink)?;
    }
    generator.traffic.release(i64::MAX, sink)
}

impl Generator<'_> {
    /// All products, a millisecond apart; when the first order may come.
    fn register(&mut self) -> i64 {
        for product in 0..self.traffic.params.products {
            let price = self.traffic.rng.random_range(5..=200_i64) * 1_000;
            self.prices.push(price);
            let colour = COLOURS[product as usize % COLOURS.len()];
            let noun = NOUNS[(product as usize / COLOURS.len()) % NOUNS.len()];
            let command = RegisterProduct {
                command_id: self.traffic.command_id(),
                product_id: self.product_id(product),
                name: format!("{colour} {noun}"),
                price,
                stock: self.traffic.params.stock,
            };
            let at_ms = i64::from(product);
            let envelope = product_envelope(at_ms, command.into(), KIND_REGISTER);
            self.traffic.add(envelope);
        }
        i64::from(self.traffic.params.products) + SETUP_PAUSE_MS
    }

    /// One order and what follows from it.
    fn order(&mut self, number: u64, at_ms: i64) {
        let order_id = self.order_id(number);
        let unknown = self.traffic.happens(self.traffic.params.unknown_products);
        let place = self.place(&order_id, at_ms, unknown);
        let envelope = order_envelope(at_ms, place.into(), KIND_PLACE, Expect::Accept);
        self.traffic.maybe_twice(&envelope);
        self.traffic.add(envelope);

        if self.traffic.happens(self.traffic.params.conflicts) {
            let mut other = self.place(&order_id, at_ms, false);
            other.size = "other".to_owned();
            let at_ms = at_ms + 1 + self.traffic.rng.random_range(0..DUPLICATE_MS_MAX);
            let envelope = order_envelope(at_ms, other.into(), "conflict", Expect::Refuse);
            self.traffic.add(envelope);
        }

        let dice = self.traffic.rng.random::<f64>();
        let delay_ms = if dice < self.traffic.params.cancels_early {
            1 + self.traffic.rng.random_range(0..EARLY_MS_MAX)
        } else if dice < self.traffic.params.cancels_early + self.traffic.params.cancels_late {
            self.traffic.rng.random_range(LATE_MS)
        } else {
            return;
        };
        let cancel = self.cancel(order_id, at_ms + delay_ms);
        let envelope = order_envelope(at_ms + delay_ms, cancel.into(), KIND_CANCEL, Expect::Accept);
        self.traffic.maybe_twice(&envelope);
        self.traffic.add(envelope);
    }

    /// What happens beside the orders: restocks, poison, cancellations of orders that never were.
    fn beside(&mut self, number: u64, at_ms: i64) {
        if self.traffic.happens(self.traffic.params.restocks) {
            let product = self.products.sample(&mut self.traffic.rng);
            let command = RestockProduct {
                command_id: self.traffic.command_id(),
                product_id: self.product_id(product),
                qty: self.traffic.rng.random_range(5..=40),
            };
            let envelope = product_envelope(at_ms, command.into(), KIND_RESTOCK);
            self.traffic.maybe_twice(&envelope);
            self.traffic.add(envelope);
        }
        if self.traffic.happens(self.traffic.params.poison) {
            let kind = self.traffic.poison_kind(&NONSENSE);
            let envelope = self.poison(number, at_ms, kind);
            self.traffic.add(envelope);
        }
        if self.traffic.happens(self.traffic.params.conflicts / 2.0) {
            let cancel = self.cancel(format!("nobodys-{:06}", number + 1), at_ms);
            let envelope = order_envelope(at_ms, cancel.into(), "cancel-unknown", Expect::Refuse);
            self.traffic.add(envelope);
        }
    }

    fn place(&mut self, order_id: &str, at_ms: i64, unknown_product: bool) -> PlaceOrder {
        let product = self.products.sample(&mut self.traffic.rng);
        let customer = self.customers.sample(&mut self.traffic.rng);
        let qty = if self.traffic.rng.random_bool(0.8) { 1 } else { self.traffic.rng.random_range(2..=4) };
        let price = self.prices.get(product as usize).copied().unwrap_or(1_000);
        PlaceOrder {
            command_id: self.traffic.command_id(),
            order_id: order_id.to_owned(),
            customer_id: format!("customer-{:05}", customer + 1),
            product_id: if unknown_product {
                format!("unregistered-{}", product + 1)
            } else {
                self.product_id(product)
            },
            size: SIZES[self.traffic.rng.random_range(0..SIZES.len())].to_owned(),
            qty,
            price: price * i64::from(qty),
            placed_at: at_ms,
        }
    }

    fn cancel(&mut self, order_id: String, at_ms: i64) -> CancelOrder {
        let requested_by =
            if self.traffic.rng.random_bool(0.7) { CancelRequester::Customer } else { CancelRequester::Md };
        CancelOrder {
            command_id: self.traffic.command_id(),
            order_id,
            requested_by,
            reason: REASONS[self.traffic.rng.random_range(0..REASONS.len())].to_owned(),
            requested_at: at_ms,
        }
    }

    fn poison(&mut self, number: u64, at_ms: i64, kind: &'static str) -> Envelope {
        let order_id = format!("poison-{:016x}-{:06}", self.traffic.params.seed, number + 1);
        let mut place = self.place(&order_id, at_ms, false);
        match kind {
            "poison:negative-qty" => place.qty = -1,
            "poison:zero-qty" => place.qty = 0,
            _ => {}
        }
        let expect = if NONSENSE.contains(&kind) { Expect::Refuse } else { Expect::DeadLetter };
        let envelope = order_envelope(at_ms, place.into(), kind, expect);
        poison(envelope, &format!("{{\"orderId\":\"{order_id}\",\"qty\":1}}"))
    }

    fn product_id(&self, rank: u32) -> String {
        format!("product-{:04}", rank + 1)
    }

    /// The seed is part of it: two files do not collide.
    fn order_id(&self, number: u64) -> String {
        format!("order-{:x}-{:07}", self.traffic.params.seed, number + 1)
    }
}

fn product_envelope(at_ms: i64, kind_of: ProductCommandKind, kind: &str) -> Envelope {
    let value = ProductCommand { command: kind_of };
    command(at_ms, &topics::PRODUCTS, &COMMANDS.products, &value, kind, Expect::Accept)
}

fn order_envelope(at_ms: i64, kind_of: OrderCommandKind, kind: &str, expect: Expect) -> Envelope {
    command(at_ms, &topics::ORDERS, &COMMANDS.orders, &OrderCommand { command: kind_of }, kind, expect)
}
