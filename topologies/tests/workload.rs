//! Seeded random workloads with crashes, and an auditor that recomputes everything from what was sent, from the public
//! events and from the provider's ledger: it reads no state store to know what is right.

#![expect(clippy::print_stdout, reason = "a walk says how far it went")]

mod support;

use std::collections::{BTreeMap, VecDeque};

use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use schemas::fashion::{
    CancelRequester, CancellationReason, DeliveryEvent, DeliveryEventKind, OrderCancelled, OrderCommandKind,
    OrderState, OrderStatus, PlaceOrder, topics,
};
use schemas::payment::PaymentRequest;
use schemas::state::Verdict;
use support::{After, Charges, Mode, Shop, audit, cancel, place, register, restock};

/// Seeds of a quick run; `ORDERFLOW_SEEDS` names another count.
const SEEDS: u64 = 300;
/// Commands, answers, pauses and crashes of one run.
const OPERATIONS: usize = 80;
/// Rounds of answers and pauses within which everything must have settled.
const ROUNDS_MAX: usize = 50;

/// What must be, by what was sent and heard.
#[derive(Default)]
struct Auditor {
    /// Pieces ever put into stock, by product.
    pieces: BTreeMap<String, i64>,
    orders: BTreeMap<String, PlaceOrder>,
    /// Orders whose cancellation must go through.
    cancelled: BTreeMap<String, CancelRequester>,
    counts: BTreeMap<&'static str, u64>,
}

impl Auditor {
    /// Pieces of a product that are free, by the public events alone.
    fn free(&self, product: &str, statuses: &BTreeMap<String, Vec<OrderStatus>>) -> Option<i64> {
        let keeps = |order: &&PlaceOrder| {
            let told = statuses.get(&order.order_id).map(Vec::as_slice).unwrap_or_default();
            order.product_id == product
                && told.iter().any(|s| s.status == OrderState::StockReserved)
                && told.last().is_some_and(|s| s.status != OrderState::Cancelled)
        };
        let kept: i64 = self.orders.values().filter(keeps).map(|o| i64::from(o.qty)).sum();
        self.pieces.get(product).map(|all| all - kept)
    }
}

struct Run {
    seed: u64,
    rng: ChaCha8Rng,
    shop: Shop,
    auditor: Auditor,
    /// Payment requests not answered yet, by order: the worker keeps their order.
    open: BTreeMap<String, VecDeque<PaymentRequest>>,
    commands: u32,
}

impl Run {
    fn new(seed: u64) -> Run {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let partitions = [1, 2, 4][rng.random_range(0..3)];
        let mode = Mode { partitions, after_each_record: After::Nothing, every_event_twice: rng.random_bool(0.2) };
        let (shop, auditor) = (Shop::new(mode), Auditor::default());
        Run { seed, rng, shop, auditor, open: BTreeMap::new(), commands: 0 }
    }

    fn count(&mut self, what: &'static str) {
        *self.auditor.counts.entry(what).or_default() += 1;
    }

    fn command_id(&mut self) -> String {
        self.commands += 1;
        format!("command-{}", self.commands)
    }

    fn operate(&mut self) {
        match self.rng.random_range(0..100) {
            0..8 => self.register(),
            8..14 => self.restock(),
            14..44 => self.place(),
            44..56 => self.cancel(),
            56..82 => self.answer(),
            82..90 => {
                let ms = self.rng.random_range(1..5_000);
                self.shop.advance(ms);
            }
            90..92 => {
                self.count("deadlines");
                self.shop.advance(600_200);
            }
            92..96 => {
                self.count("crashes");
                self.shop.driver.crash_and_restore();
            }
            96..98 => {
                self.count("lost disks");
                self.shop.driver.crash_and_lose_disk();
            }
            _ => {
                self.count("poison");
                self.shop.put(topics::ORDERS.base(), Some(b"poison"), Some(b"poison"));
            }
        }
        for request in self.shop.payment_requests() {
            self.open.entry(request.correlation_id.clone()).or_default().push_back(request);
        }
    }

    fn product(&mut self) -> String {
        format!("p{}", self.rng.random_range(0..3))
    }

    fn order(&mut self) -> String {
        format!("o{}", self.rng.random_range(0..16))
    }

    fn register(&mut self) {
        let (product, stock) = (self.product(), self.rng.random_range(0..12));
        let known = self.auditor.pieces.contains_key(&product);
        let mut command = register(&product, stock);
        let id = self.command_id();
        if let schemas::fashion::ProductCommandKind::RegisterProduct(r) = &mut command {
            r.command_id.clone_from(&id);
        }
        self.shop.product(command);
        let verdict = self.shop.verdict(&product, &id);
        if known {
            assert!(matches!(verdict, Some(Verdict::Duplicate | Verdict::Conflict)), "seed {}", self.seed);
        } else {
            assert_eq!(verdict, Some(Verdict::Accepted), "seed {}", self.seed);
            self.auditor.pieces.insert(product, stock.into());
        }
    }

    fn restock(&mut self) {
        let (product, qty, id) = (self.product(), self.rng.random_range(0..6), self.command_id());
        self.shop.product(restock(&id, &product, qty));
        let expected = match self.auditor.pieces.get_mut(&product) {
            _ if qty == 0 => Verdict::Invalid,
            None => Verdict::NotFound,
            Some(pieces) => {
                *pieces += i64::from(qty);
                Verdict::Accepted
            }
        };
        assert_eq!(self.shop.verdict(&product, &id), Some(expected), "seed {}", self.seed);
        if self.rng.random_bool(0.3) {
            self.count("repeated commands");
            self.shop.product(restock(&id, &product, qty));
        }
    }

    fn place(&mut self) {
        let (order, product, qty) = (self.order(), self.product(), self.rng.random_range(1..5));
        let id = self.command_id();
        let OrderCommandKind::PlaceOrder(mut command) = place(&order, &product, qty) else { return };
        command.command_id.clone_from(&id);
        command.placed_at = self.shop.driver.now();
        let before = self.shop.events::<OrderStatus>(topics::ORDER_STATUS.base());
        let free = self.auditor.free(&product, &before);
        self.shop.order(command.clone().into());
        let verdict = self.shop.verdict(&order, &id);
        if let Some(known) = self.auditor.orders.get(&order) {
            let same = (&known.product_id, known.qty) == (&product, qty);
            let expected = if same { Verdict::Duplicate } else { Verdict::Conflict };
            assert_eq!(verdict, Some(expected), "seed {}", self.seed);
            return;
        }
        assert_eq!(verdict, Some(Verdict::Accepted), "seed {}", self.seed);
        self.auditor.orders.insert(order.clone(), command.clone());
        let statuses = self.shop.statuses(&order);
        let expected = match free {
            Some(free) if free >= i64::from(qty) => OrderState::StockReserved,
            _ => OrderState::Cancelled,
        };
        assert_eq!(statuses.last(), Some(&expected), "seed {}: {free:?} pieces free, {qty} wanted", self.seed);
        if self.rng.random_bool(0.2) {
            self.count("repeated commands");
            self.shop.order(command.into());
        }
    }

    fn cancel(&mut self) {
        let (order, id) = (self.order(), self.command_id());
        let by = if self.rng.random_bool(0.5) { CancelRequester::Customer } else { CancelRequester::Md };
        let last =
            self.shop.events::<OrderStatus>(topics::ORDER_STATUS.base()).get(&order).and_then(|s| s.last().cloned());
        self.shop.order(cancel(&id, &order, by));
        let expected = match last {
            None => Verdict::NotFound,
            Some(s) if s.reason.is_some() => Verdict::AlreadyCancelled,
            Some(_) => Verdict::Accepted,
        };
        assert_eq!(self.shop.verdict(&order, &id), Some(expected), "seed {}", self.seed);
        if expected == Verdict::Accepted {
            self.count("cancellations");
            self.auditor.cancelled.insert(order, by);
        }
    }

    /// The provider answers one open request, as the dice have it.
    fn answer(&mut self) {
        let charges = match self.rng.random_range(0..20) {
            0..12 => Charges::Approve,
            12..15 => Charges::Decline,
            15..18 => Charges::Defer,
            _ => Charges::ApproveUnheard,
        };
        if self.open.is_empty() {
            return;
        }
        let at = self.rng.random_range(0..self.open.len());
        let Some(request) = self.open.values_mut().nth(at).and_then(VecDeque::pop_front) else { return };
        self.open.retain(|_, requests| !requests.is_empty());
        let outcome = self.shop.ledger.carry_out(&request, charges);
        self.shop.answer(&request, outcome);
        if self.rng.random_bool(0.1) {
            self.count("repeated results");
            self.shop.answer(&request, outcome);
        }
    }

    /// Answers everything and lets time pass until nothing moves any more.
    fn settle(&mut self) {
        for _ in 0..ROUNDS_MAX {
            for request in self.open.values_mut().flat_map(std::mem::take).collect::<Vec<_>>() {
                let outcome = self.shop.ledger.carry_out(&request, Charges::Approve);
                self.shop.answer(&request, outcome);
            }
            self.open.clear();
            for request in self.shop.payment_requests() {
                self.open.entry(request.correlation_id.clone()).or_default().push_back(request);
            }
            let settled = self.shop.outcome().orders.values().all(|o| o.settled_at.is_some());
            if self.open.is_empty() && settled {
                return;
            }
            self.shop.advance(60_200);
            for request in self.shop.payment_requests() {
                self.open.entry(request.correlation_id.clone()).or_default().push_back(request);
            }
        }
        panic!("seed {}: not settled: {:?}", self.seed, self.shop.outcome().orders);
    }

    fn judge(&mut self) {
        let seed = self.seed;
        let outcome = self.shop.outcome();
        audit(&outcome);
        let statuses: BTreeMap<String, Vec<OrderStatus>> = self.shop.events(topics::ORDER_STATUS.base());
        let deliveries: BTreeMap<String, Vec<DeliveryEvent>> = self.shop.events(topics::DELIVERIES.base());
        let ended: BTreeMap<String, Vec<OrderCancelled>> = self.shop.events(topics::CANCELLATIONS.base());
        assert!(statuses.keys().eq(self.auditor.orders.keys()), "seed {seed}: an order lost, or made up");
        let mut out: BTreeMap<&str, i64> = BTreeMap::new();
        for (id, order) in &self.auditor.orders {
            let events = deliveries.get(id).map(Vec::as_slice).unwrap_or_default();
            let gone = matches!(events.last().map(|e| &e.event), Some(DeliveryEventKind::DeliveryStarted(_)));
            let end = ended.get(id).map(Vec::as_slice).unwrap_or_default();
            assert_eq!(end.len(), usize::from(!gone), "seed {seed}: {id} is delivered or cancelled, and that once");
            let (taken, charges) = self.shop.ledger.taken.get(id).copied().unwrap_or_default();
            let (_, refunds) = self.shop.ledger.returned.get(id).copied().unwrap_or_default();
            assert!(charges <= 1 && refunds <= charges, "seed {seed}: {id} has {charges} charges, {refunds} refunds");
            assert_eq!(self.shop.ledger.held(id), if gone { order.price } else { 0 }, "seed {seed}: {id}");
            assert!(taken == 0 || taken == order.price);
            if let Some(by) = self.auditor.cancelled.get(id) {
                let reason =
                    if *by == CancelRequester::Md { CancellationReason::Md } else { CancellationReason::Customer };
                assert_eq!(end.first().map(|e| e.reason), Some(reason), "seed {seed}: {id} was cancelled");
            }
            if gone {
                *out.entry(&order.product_id).or_default() += i64::from(order.qty);
            }
        }
        for (product, pieces) in &self.auditor.pieces {
            let stock = self.shop.stock(product);
            let out = out.get(product.as_str()).copied().unwrap_or(0);
            assert_eq!(stock.free(), pieces - out, "seed {seed}: stock of {product} lost or created");
            assert_eq!(self.auditor.free(product, &statuses), Some(stock.free()), "seed {seed}: {product}");
        }
        for status in statuses.values().filter_map(|s| s.last()) {
            *self.auditor.counts.entry(status.status.symbol()).or_default() += 1;
        }
    }
}

#[test]
fn random_workloads_settle_as_the_auditor_expects() {
    let seeds = std::env::var("ORDERFLOW_SEEDS").ok().and_then(|n| n.parse().ok()).unwrap_or(SEEDS);
    let mut counts: BTreeMap<&'static str, u64> = BTreeMap::new();
    for seed in 0..seeds {
        let mut run = Run::new(seed);
        for _ in 0..OPERATIONS {
            run.operate();
        }
        run.settle();
        run.judge();
        for (what, n) in run.auditor.counts {
            *counts.entry(what).or_default() += n;
        }
    }
    println!("{seeds} seeds of {OPERATIONS} operations: {counts:?}");
    for what in ["DELIVERY_STARTED", "CANCELLED", "cancellations", "crashes", "lost disks", "deadlines", "poison"] {
        assert!(counts.get(what).is_some_and(|n| *n > 0), "the workload has no {what}: it proves nothing about them");
    }
}
