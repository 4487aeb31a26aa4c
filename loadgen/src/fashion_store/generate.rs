//! Made-up traffic of a clothes shop.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use schemas::fashion::{
    CancelOrder, CancelRequester, OrderCommand, OrderCommandKind, PlaceOrder, ProductCommand, ProductCommandKind,
    RegisterProduct, RestockProduct, topics,
};
use schemas::frame;

use super::COMMANDS;
use crate::error::Error;
use crate::generate::{Params, Timeline, Zipf};
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

/// A duplicate comes at most this long after the first.
const DUPLICATE_MS_MAX: i64 = 500;

/// A schema id that no catalogue and no registry in use has given out.
const FOREIGN_SCHEMA_ID: u32 = 987_654_321;

const SIZES: [&str; 5] = ["S", "M", "L", "XL", "Free"];
const NOUNS: [&str; 8] = ["shirt", "coat", "skirt", "scarf", "jeans", "socks", "dress", "hat"];
const COLOURS: [&str; 8] = ["red", "blue", "green", "black", "white", "grey", "navy", "ivory"];
const REASONS: [&str; 4] = ["changed my mind", "wrong size", "found it cheaper", ""];

/// The kinds of poison, each as likely as the others.
const POISONS: [&str; 8] = [
    "poison:not-avro",
    "poison:unknown-schema",
    "poison:truncated",
    "poison:null-key",
    "poison:null-value",
    "poison:wrong-key",
    "poison:negative-qty",
    "poison:zero-qty",
];

struct Generator<'a> {
    params: &'a Params,
    rng: ChaCha8Rng,
    timeline: Timeline,
    products: Zipf,
    customers: Zipf,
    prices: Vec<i64>,
    commands: u64,
}

pub(super) fn generate(params: &Params, sink: &mut dyn FnMut(Envelope) -> Result<(), Error>) -> Result<(), Error> {
    let mut generator = Generator {
        params,
        rng: ChaCha8Rng::seed_from_u64(params.seed),
        timeline: Timeline::default(),
        products: Zipf::new(params.products, params.skew),
        customers: Zipf::new(params.customers, params.skew),
        prices: Vec::new(),
        commands: 0,
    };
    let mut at_ms = generator.register();
    let mut at = at_ms as f64;
    for number in 0..params.orders {
        // Independent customers: exponential gaps. 1 − u is never 0.
        let gap = -(1.0 - generator.rng.random::<f64>()).ln() * 1_000.0 / params.rate;
        at += gap;
        at_ms = at as i64;
        generator.order(number, at_ms);
        generator.beside(number, at_ms);
        generator.timeline.release(at_ms, sink)?;
    }
    generator.timeline.release(i64::MAX, sink)
}

impl Generator<'_> {
    /// All products, a millisecond apart; when the first order may come.
    fn register(&mut self) -> i64 {
        for product in 0..self.params.products {
            let price = self.rng.random_range(5..=200_i64) * 1_000;
            self.prices.push(price);
            let colour = COLOURS[product as usize % COLOURS.len()];
            let noun = NOUNS[(product as usize / COLOURS.len()) % NOUNS.len()];
            let command = RegisterProduct {
                command_id: self.command_id(),
                product_id: self.product_id(product),
                name: format!("{colour} {noun}"),
                price,
                stock: self.params.stock,
            };
            let at_ms = i64::from(product);
            let envelope = product_envelope(at_ms, command.into(), KIND_REGISTER);
            self.timeline.add(envelope);
        }
        i64::from(self.params.products) + SETUP_PAUSE_MS
    }

    /// One order and what follows from it.
    fn order(&mut self, number: u64, at_ms: i64) {
        let order_id = self.order_id(number);
        let unknown = self.happens(self.params.unknown_products);
        let place = self.place(&order_id, at_ms, unknown);
        let envelope = order_envelope(at_ms, place.into(), KIND_PLACE, Expect::Accept);
        self.maybe_twice(&envelope);
        self.timeline.add(envelope);

        if self.happens(self.params.conflicts) {
            let mut other = self.place(&order_id, at_ms, false);
            other.size = "other".to_owned();
            let at_ms = at_ms + 1 + self.rng.random_range(0..DUPLICATE_MS_MAX);
            let envelope = order_envelope(at_ms, other.into(), "conflict", Expect::Refuse);
            self.timeline.add(envelope);
        }

        let dice = self.rng.random::<f64>();
        let delay_ms = if dice < self.params.cancels_early {
            1 + self.rng.random_range(0..EARLY_MS_MAX)
        } else if dice < self.params.cancels_early + self.params.cancels_late {
            self.rng.random_range(LATE_MS)
        } else {
            return;
        };
        let cancel = self.cancel(order_id, at_ms + delay_ms);
        let envelope = order_envelope(at_ms + delay_ms, cancel.into(), KIND_CANCEL, Expect::Accept);
        self.maybe_twice(&envelope);
        self.timeline.add(envelope);
    }

    /// What happens beside the orders: restocks, poison, cancellations of orders that never were.
    fn beside(&mut self, number: u64, at_ms: i64) {
        if self.happens(self.params.restocks) {
            let product = self.products.sample(&mut self.rng);
            let command = RestockProduct {
                command_id: self.command_id(),
                product_id: self.product_id(product),
                qty: self.rng.random_range(5..=40),
            };
            let envelope = product_envelope(at_ms, command.into(), KIND_RESTOCK);
            self.maybe_twice(&envelope);
            self.timeline.add(envelope);
        }
        if self.happens(self.params.poison) {
            let kind = POISONS[self.rng.random_range(0..POISONS.len())];
            let envelope = self.poison(number, at_ms, kind);
            self.timeline.add(envelope);
        }
        if self.happens(self.params.conflicts / 2.0) {
            let cancel = self.cancel(format!("nobodys-{:06}", number + 1), at_ms);
            let envelope = order_envelope(at_ms, cancel.into(), "cancel-unknown", Expect::Refuse);
            self.timeline.add(envelope);
        }
    }

    fn place(&mut self, order_id: &str, at_ms: i64, unknown_product: bool) -> PlaceOrder {
        let product = self.products.sample(&mut self.rng);
        let customer = self.customers.sample(&mut self.rng);
        let qty = if self.rng.random_bool(0.8) { 1 } else { self.rng.random_range(2..=4) };
        let price = self.prices.get(product as usize).copied().unwrap_or(1_000);
        PlaceOrder {
            command_id: self.command_id(),
            order_id: order_id.to_owned(),
            customer_id: format!("customer-{:05}", customer + 1),
            product_id: if unknown_product {
                format!("unregistered-{}", product + 1)
            } else {
                self.product_id(product)
            },
            size: SIZES[self.rng.random_range(0..SIZES.len())].to_owned(),
            qty,
            price: price * i64::from(qty),
            placed_at: at_ms,
        }
    }

    fn cancel(&mut self, order_id: String, at_ms: i64) -> CancelOrder {
        let requested_by = if self.rng.random_bool(0.7) { CancelRequester::Customer } else { CancelRequester::Md };
        CancelOrder {
            command_id: self.command_id(),
            order_id,
            requested_by,
            reason: REASONS[self.rng.random_range(0..REASONS.len())].to_owned(),
            requested_at: at_ms,
        }
    }

    fn poison(&mut self, number: u64, at_ms: i64, kind: &'static str) -> Envelope {
        let order_id = format!("poison-{:016x}-{:06}", self.params.seed, number + 1);
        let mut place = self.place(&order_id, at_ms, false);
        let expect = match kind {
            "poison:negative-qty" | "poison:zero-qty" => Expect::Refuse,
            _ => Expect::DeadLetter,
        };
        match kind {
            "poison:negative-qty" => place.qty = -1,
            "poison:zero-qty" => place.qty = 0,
            _ => {}
        }
        let mut envelope = order_envelope(at_ms, place.into(), kind, expect);
        let value = envelope.value.get_or_insert_default();
        match kind {
            "poison:not-avro" => *value = format!("{{\"orderId\":\"{order_id}\",\"qty\":1}}").into_bytes(),
            "poison:unknown-schema" => {
                let foreign = frame(FOREIGN_SCHEMA_ID);
                value.splice(..foreign.len(), foreign);
            }
            "poison:truncated" => value.truncate(value.len() / 2),
            "poison:null-key" => envelope.key = None,
            "poison:null-value" => envelope.value = None,
            "poison:wrong-key" => envelope.key = Some(format!("not-{order_id}").into_bytes()),
            _ => {}
        }
        envelope
    }

    /// Adds the same bytes again a little later, for the share of duplicates.
    fn maybe_twice(&mut self, envelope: &Envelope) {
        if self.happens(self.params.duplicates) {
            let mut again = envelope.clone();
            again.at_ms += 1 + self.rng.random_range(0..DUPLICATE_MS_MAX);
            again.expect = Expect::Duplicate;
            again.kind = format!("duplicate:{}", envelope.kind);
            self.timeline.add(again);
        }
    }

    fn happens(&mut self, share: f64) -> bool {
        self.rng.random::<f64>() < share
    }

    fn product_id(&self, rank: u32) -> String {
        format!("product-{:04}", rank + 1)
    }

    /// The seed is part of it: two files do not collide.
    fn order_id(&self, number: u64) -> String {
        format!("order-{:x}-{:07}", self.params.seed, number + 1)
    }

    fn command_id(&mut self) -> String {
        self.commands += 1;
        format!("command-{:x}-{:07}", self.params.seed, self.commands)
    }
}

fn product_envelope(at_ms: i64, command: ProductCommandKind, kind: &str) -> Envelope {
    use schemas::Keyed;
    let command = ProductCommand { command };
    Envelope {
        at_ms,
        topic: topics::PRODUCTS.base().to_owned(),
        partition: None,
        offset: None,
        key: Some(command.key().as_bytes().to_vec()),
        value: Some(COMMANDS.products.to_vec(&command)),
        headers: Vec::new(),
        expect: Expect::Accept,
        kind: kind.to_owned(),
    }
}

fn order_envelope(at_ms: i64, command: OrderCommandKind, kind: &str, expect: Expect) -> Envelope {
    use schemas::Keyed;
    let command = OrderCommand { command };
    Envelope {
        at_ms,
        topic: topics::ORDERS.base().to_owned(),
        partition: None,
        offset: None,
        key: Some(command.key().as_bytes().to_vec()),
        value: Some(COMMANDS.orders.to_vec(&command)),
        headers: Vec::new(),
        expect,
        kind: kind.to_owned(),
    }
}
