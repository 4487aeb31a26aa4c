//! The walk that every business goes through: every order in which its messages can be taken in, every answer that each
//! receiver can give, clients' commands and timers at every point, messages that come twice and messages that overtake
//! each other. What must never happen is checked in every state, and every end must be settled.
//!
//! A business gives its own pure functions, those that run; the payment provider is a model here, as it is outside.

use std::collections::{BTreeMap, HashSet};
use std::fmt::Debug;
use std::hash::{DefaultHasher, Hash, Hasher as _};

use schemas::payment::{PaymentOutcome, PaymentRequest, PaymentRequestKind, PaymentResult};

/// All happens at one moment: the walk is about order, not about duration.
pub(crate) const NOW: i64 = 1_000;

/// A business as the walk sees it: the states of all its parts, and what they do with a message.
pub(crate) trait Business: Clone + Eq + Hash + Debug {
    /// Whatever travels between its parts, and what clients send.
    type Message: Clone + Eq + Hash + Debug;

    /// Messages of one way keep their order, as on one partition, unless the walk lets them overtake each other.
    fn way(message: &Self::Message) -> u8;

    /// Takes a message in; what is sent on goes to `out`, and what is asked of the payment provider.
    fn take(&mut self, message: &Self::Message, out: &mut Out<Self::Message>);

    /// Messages that a part may act on instead of this one: a step that fails of its own accord.
    fn instead(&self, _message: &Self::Message) -> Option<Self::Message> {
        None
    }

    /// The message that a result of the payment provider is.
    fn paid(result: PaymentResult) -> Self::Message;

    /// The messages of the timers that run: deadlines, which a walk may forbid, and payment retries.
    fn timers(&self) -> Timers<Self::Message>;

    /// Checks what holds at every moment.
    fn check(&self, money: &Provider);

    /// Checks what holds when everything is at rest; names how each saga ended.
    fn ends(&self, money: &Provider) -> Vec<String>;
}

/// Timers that run.
pub(crate) struct Timers<M> {
    pub(crate) deadlines: Vec<M>,
    pub(crate) retries: Vec<M>,
}

/// What a step sends.
pub(crate) struct Out<M> {
    pub(crate) messages: Vec<M>,
    pub(crate) payments: Vec<PaymentRequest>,
}

/// What a walk allows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) name: &'static str,
    /// How sagas must end, each at least once and in no other way; empty: in any way.
    pub(crate) ends: &'static [&'static str],
    /// Deadlines may pass at any point, as often as this.
    pub(crate) deadlines: u8,
    /// Payment calls without a definite answer.
    pub(crate) deferrals: u8,
    /// Messages that are taken in twice, the second time at any point later.
    pub(crate) repeats: u8,
    /// Every single message is taken in twice, one time behind the other.
    pub(crate) twice: bool,
    /// Steps that fail of their own accord.
    pub(crate) failures: u8,
    /// Messages may overtake each other.
    pub(crate) any_order: bool,
    /// The provider refuses to void a charge that it has taken.
    pub(crate) void_refused: bool,
}

pub(crate) const NONE: Bounds = Bounds {
    name: "",
    ends: &[],
    deadlines: 0,
    deferrals: 0,
    repeats: 0,
    twice: false,
    failures: 0,
    any_order: false,
    void_refused: false,
};

/// What the provider knows of a charge.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
enum Charge {
    #[default]
    Never,
    Taken,
    Declined,
    Voided,
    Refunded,
}

/// The provider's own ledger, by saga: the charge, how often money was taken, and how often given back.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Provider(BTreeMap<String, (Charge, u8, u8)>);

impl Provider {
    /// Whether money is held for a saga.
    pub(crate) fn holds(&self, id: &str) -> bool {
        self.0.get(id).is_some_and(|(_, taken, returned)| taken > returned)
    }

    fn check(&self) {
        for (id, (_, taken, returned)) in &self.0 {
            assert!(*taken <= 1, "charged twice: {id}");
            assert!(returned <= taken, "a refund without a charge, or two: {id}");
        }
    }

    /// The provider's own rules, independent of any saga's: see `node`'s simulated provider.
    fn answers(&self, request: &PaymentRequest, void_refused: bool) -> Vec<(PaymentOutcome, Provider)> {
        use PaymentOutcome::{Approved, Declined, Refunded, Voided};
        let (charge, ..) = self.0.get(&request.correlation_id).copied().unwrap_or_default();
        let outcomes: &[PaymentOutcome] = match (request.kind, charge) {
            (PaymentRequestKind::Charge, Charge::Never) => &[Approved, Declined],
            (PaymentRequestKind::Charge, Charge::Taken | Charge::Refunded) => &[Approved],
            (PaymentRequestKind::Charge, Charge::Declined | Charge::Voided) => &[Declined],
            (PaymentRequestKind::Void, Charge::Taken | Charge::Refunded) if void_refused => &[Declined],
            (PaymentRequestKind::Void, _) => &[Voided],
            (PaymentRequestKind::Refund, Charge::Never | Charge::Declined) => &[Declined],
            (PaymentRequestKind::Refund, _) => &[Refunded],
            (PaymentRequestKind::Unknown, _) => &[],
        };
        let carried_out = |outcome: PaymentOutcome| {
            let mut after = self.clone();
            let (charge, taken, returned) = after.0.entry(request.correlation_id.clone()).or_default();
            *charge = match (outcome, request.kind, *charge) {
                (Approved, _, Charge::Never) => {
                    *taken += 1;
                    Charge::Taken
                }
                (Declined, PaymentRequestKind::Charge, Charge::Never) => Charge::Declined,
                (Voided | Refunded, _, Charge::Taken) => {
                    *returned += 1;
                    if outcome == Voided { Charge::Voided } else { Charge::Refunded }
                }
                (Voided, _, Charge::Never) => Charge::Voided,
                (_, _, as_before) => as_before,
            };
            (outcome, after)
        };
        outcomes.iter().map(|outcome| carried_out(*outcome)).collect()
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Travels<M> {
    Message(M),
    Payment(PaymentRequest),
}

#[derive(Clone, PartialEq, Eq, Hash)]
struct World<B: Business> {
    business: B,
    money: Provider,
    under_way: Vec<Travels<B::Message>>,
    /// Clients' commands that may come at any point, or never.
    clients: Vec<B::Message>,
    deadlines: u8,
    deferrals: u8,
    repeats: u8,
    failures: u8,
}

/// How far a walk went.
pub(crate) struct Walked {
    pub(crate) cases: u64,
    pub(crate) states: usize,
    /// How often each end was reached.
    pub(crate) ends: BTreeMap<String, u64>,
}

/// Walks everything that can come of `first` commands, with those of `clients` at any point.
pub(crate) fn walk<B: Business>(business: B, first: &[B::Message], clients: &[B::Message], bounds: Bounds) -> Walked {
    let mut walked = Walked { cases: 0, states: 0, ends: BTreeMap::new() };
    let mut seen = HashSet::new();
    let mut left = vec![World {
        business,
        money: Provider::default(),
        under_way: first.iter().cloned().map(Travels::Message).collect(),
        clients: clients.to_vec(),
        deadlines: bounds.deadlines,
        deferrals: bounds.deferrals,
        repeats: bounds.repeats,
        failures: bounds.failures,
    }];
    while let Some(world) = left.pop() {
        if !seen.insert(fingerprint(&world)) {
            continue;
        }
        world.money.check();
        world.business.check(&world.money);
        let before = left.len();
        world.next(bounds, &mut left);
        walked.cases += (left.len() - before) as u64;
        // At rest: nothing is under way and no timer but deadlines runs. A client may still come, or never.
        if world.under_way.is_empty() && world.business.timers().retries.is_empty() {
            for end in world.business.ends(&world.money) {
                *walked.ends.entry(end).or_default() += 1;
            }
        }
    }
    walked.states = seen.len();
    walked
}

/// Stands for a world that was seen; a walk of a million states takes two for one with probability 10⁻⁷, and the same in
/// every run.
fn fingerprint<B: Business>(world: &World<B>) -> u64 {
    let mut hasher = DefaultHasher::new();
    world.hash(&mut hasher);
    hasher.finish()
}

impl<B: Business> World<B> {
    /// Every world that can come after this one.
    fn next(&self, bounds: Bounds, next: &mut Vec<World<B>>) {
        for at in 0..self.under_way.len() {
            let of = way::<B>(&self.under_way[at]);
            let is_first = self.under_way.iter().position(|m| way::<B>(m) == of) == Some(at);
            if is_first || bounds.any_order {
                let mut once = self.clone();
                let message = once.under_way.remove(at);
                if bounds.twice {
                    let mut taken = Vec::new();
                    once.take(&message, bounds, &mut taken);
                    taken.into_iter().for_each(|world| world.take(&message, bounds, next));
                } else {
                    once.take(&message, bounds, next);
                }
                if self.repeats > 0 {
                    World { repeats: self.repeats - 1, ..self.clone() }.take(&message, bounds, next);
                }
            }
        }
        for at in 0..self.clients.len() {
            let mut w = self.clone();
            let command = w.clients.remove(at);
            w.under_way.push(Travels::Message(command));
            next.push(w);
        }
        let timers = self.business.timers();
        if self.deadlines > 0 {
            for deadline in &timers.deadlines {
                World { deadlines: self.deadlines - 1, ..self.clone() }.act(deadline, next);
            }
        }
        for retry in &timers.retries {
            self.clone().act(retry, next);
        }
    }

    /// Takes one message in, with every answer that its receiver can give.
    fn take(self, message: &Travels<B::Message>, bounds: Bounds, next: &mut Vec<World<B>>) {
        match message {
            Travels::Message(message) => {
                if self.failures > 0
                    && let Some(instead) = self.business.instead(message)
                {
                    World { failures: self.failures - 1, ..self.clone() }.act(&instead, next);
                }
                self.act(message, next);
            }
            Travels::Payment(request) => self.pay(request, bounds, next),
        }
    }

    fn act(mut self, message: &B::Message, next: &mut Vec<World<B>>) {
        let mut out = Out { messages: Vec::new(), payments: Vec::new() };
        self.business.take(message, &mut out);
        self.under_way.extend(out.messages.into_iter().map(Travels::Message));
        self.under_way.extend(out.payments.into_iter().map(Travels::Payment));
        next.push(self);
    }

    fn pay(self, request: &PaymentRequest, bounds: Bounds, next: &mut Vec<World<B>>) {
        let told = |mut w: World<B>, outcome| {
            w.under_way.push(Travels::Message(B::paid(crate::support::result(request, outcome, NOW))));
            w
        };
        let unheard = |w: &World<B>| World { deferrals: w.deferrals - 1, ..w.clone() };
        for (outcome, money) in self.money.answers(request, bounds.void_refused) {
            let carried_out = World { money, ..self.clone() };
            if self.deferrals > 0 {
                // It took effect, and nobody heard the answer.
                next.push(told(unheard(&carried_out), PaymentOutcome::Deferred));
            }
            next.push(told(carried_out, outcome));
        }
        if self.deferrals > 0 {
            // It never arrived.
            next.push(told(unheard(&self), PaymentOutcome::Deferred));
        }
    }
}

fn way<B: Business>(message: &Travels<B::Message>) -> Option<u8> {
    if let Travels::Message(message) = message { Some(B::way(message)) } else { None }
}
