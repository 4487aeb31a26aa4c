//! Parameters of generated traffic and the tools every business's generator needs: skewed choice, and a clock that
//! brings later consequences (a cancellation, a duplicate) into order of time without holding all traffic in memory.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::path::Path;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use schemas::{AvroRecord, Codec, Keyed, Topic, frame};

use crate::business::Business;
use crate::error::Error;
use crate::traffic::{Envelope, Expect, Metadata, TrafficWriter};

/// What traffic to make, in a shop's words. Others have their own for the same: an order is a call, a rental, a rent; a
/// product an item, a book, a place to ride to; a customer a passenger and a driver, a renter, a member. Shares are
/// fractions of the orders, 0 to 1.
#[derive(Clone, Debug, PartialEq)]
pub struct Params {
    /// Everything random comes from it.
    pub seed: u64,
    /// Orders placed, without duplicates and poison.
    pub orders: u64,
    /// Products registered at the beginning.
    pub products: u32,
    /// Customers who order.
    pub customers: u32,
    /// Exponent of the Zipf distribution of products and customers; 0 is uniform, 1 is usual for shops.
    pub skew: f64,
    /// Pieces of each product at the beginning (fashion-store).
    pub stock: i32,
    /// Orders a second at the traffic's own pace.
    pub rate: f64,
    /// Commands sent twice, byte for byte.
    pub duplicates: f64,
    /// Commands that reuse an order's id for another order.
    pub conflicts: f64,
    /// Orders cancelled within 50 ms: at any point of the saga.
    pub cancels_early: f64,
    /// Orders cancelled 2 to 10 s later: after delivery has started, unless something is slow.
    pub cancels_late: f64,
    /// Orders of products that nobody registered.
    pub unknown_products: f64,
    /// Restocks, as a share of the orders (fashion-store).
    pub restocks: f64,
    /// Records that no honest client sends, as a share of the orders.
    pub poison: f64,
    /// Drivers at most who race for one call, renters or members for one thing (not fashion-store, where pieces are many).
    pub rivals: u32,
}

impl Default for Params {
    fn default() -> Self {
        Params {
            seed: 1,
            orders: 2_000,
            products: 50,
            customers: 400,
            skew: 1.0,
            stock: 60,
            rate: 100.0,
            duplicates: 0.02,
            conflicts: 0.005,
            cancels_early: 0.03,
            cancels_late: 0.04,
            unknown_products: 0.005,
            restocks: 0.02,
            poison: 0.01,
            rivals: 5,
        }
    }
}

impl Params {
    /// Checks what clap cannot.
    ///
    /// # Errors
    /// [`Error::Usage`] that names the option.
    pub fn validate(&self) -> Result<(), Error> {
        let shares = [
            ("--duplicates", self.duplicates),
            ("--conflicts", self.conflicts),
            ("--cancels-early", self.cancels_early),
            ("--cancels-late", self.cancels_late),
            ("--unknown-products", self.unknown_products),
            ("--restocks", self.restocks),
            ("--poison", self.poison),
        ];
        for (name, share) in shares {
            if !(0.0..=1.0).contains(&share) {
                return Err(Error::Usage(format!("{name} is a share between 0 and 1, not {share}")));
            }
        }
        if self.cancels_early + self.cancels_late > 1.0 {
            let message = "--cancels-early and --cancels-late together are more than 1";
            return Err(Error::Usage(message.to_owned()));
        }
        if self.products == 0 || self.customers == 0 || self.rivals == 0 {
            return Err(Error::Usage("--products, --customers and --rivals are at least 1".to_owned()));
        }
        if !(self.rate > 0.0 && self.rate.is_finite()) {
            return Err(Error::Usage(format!("--own-rate is more than 0, not {}", self.rate)));
        }
        if !(0.0..=10.0).contains(&self.skew) {
            return Err(Error::Usage(format!("--skew is between 0 and 10, not {}", self.skew)));
        }
        if self.stock < 0 {
            return Err(Error::Usage(format!("--stock is 0 or more, not {}", self.stock)));
        }
        Ok(())
    }

    /// As metadata of the file they made.
    pub fn metadata(&self, app: &str) -> Metadata {
        let fields = [
            ("app", app.to_owned()),
            ("seed", self.seed.to_string()),
            ("orders", self.orders.to_string()),
            ("products", self.products.to_string()),
            ("customers", self.customers.to_string()),
            ("skew", self.skew.to_string()),
            ("stock", self.stock.to_string()),
            ("own_rate", self.rate.to_string()),
            ("duplicates", self.duplicates.to_string()),
            ("conflicts", self.conflicts.to_string()),
            ("cancels_early", self.cancels_early.to_string()),
            ("cancels_late", self.cancels_late.to_string()),
            ("unknown_products", self.unknown_products.to_string()),
            ("restocks", self.restocks.to_string()),
            ("poison", self.poison.to_string()),
            ("rivals", self.rivals.to_string()),
            ("time", "relative".to_owned()),
        ];
        fields.into_iter().map(|(name, value)| (format!("orderflow.{name}"), value)).collect()
    }
}

/// Writes generated traffic to a file; how many records it holds.
///
/// # Errors
/// When a parameter makes no sense or the file cannot be written.
pub fn generate(business: &dyn Business, params: &Params, path: &Path) -> Result<u64, Error> {
    params.validate()?;
    let mut writer = TrafficWriter::create(path, &params.metadata(business.name()))?;
    business.generate(params, &mut |envelope| writer.write(envelope))?;
    Ok(writer.finish()?.1)
}

/// Choice with a Zipf distribution: rank k (from 0) has weight 1/(k+1)^skew.
pub struct Zipf {
    cumulative: Vec<f64>,
}

impl Zipf {
    /// Over `count` ranks, at least 1.
    pub fn new(count: u32, skew: f64) -> Self {
        let mut sum = 0.0;
        let cumulative = (1..=count.max(1))
            .map(|rank| {
                sum += f64::from(rank).powf(-skew);
                sum
            })
            .collect();
        Zipf { cumulative }
    }

    /// A rank, 0 for the most frequent.
    pub fn sample(&self, rng: &mut impl Rng) -> u32 {
        let total = self.cumulative.last().copied().unwrap_or(1.0);
        let point = rng.random::<f64>() * total;
        let rank = self.cumulative.partition_point(|&sum| sum <= point);
        rank.min(self.cumulative.len() - 1) as u32
    }
}

/// Brings envelopes into order of time. What is due before a moment is certain once nothing earlier can be added.
#[derive(Default)]
pub struct Timeline {
    waiting: BinaryHeap<Reverse<(i64, u64)>>,
    envelopes: std::collections::HashMap<u64, Envelope>,
    next: u64,
}

impl Timeline {
    /// Adds an envelope; ties keep the order of adding.
    pub fn add(&mut self, envelope: Envelope) {
        self.waiting.push(Reverse((envelope.at_ms, self.next)));
        self.envelopes.insert(self.next, envelope);
        self.next += 1;
    }

    /// Gives everything before `until_ms` to the sink, in order.
    ///
    /// # Errors
    /// The sink's.
    pub fn release(&mut self, until_ms: i64, sink: &mut dyn FnMut(Envelope) -> Result<(), Error>) -> Result<(), Error> {
        while let Some(Reverse((at_ms, number))) = self.waiting.peek().copied() {
            if at_ms >= until_ms {
                break;
            }
            self.waiting.pop();
            if let Some(envelope) = self.envelopes.remove(&number) {
                sink(envelope)?;
            }
        }
        Ok(())
    }
}

/// A duplicate comes at most this long after the first.
pub const DUPLICATE_MS_MAX: i64 = 500;

/// A schema id that no catalogue and no registry in use has given out.
const FOREIGN_SCHEMA_ID: u32 = 987_654_321;

/// The kinds of poison that every business's topics know: records that cannot be read at all. Each business adds some that
/// can be read and make no sense.
pub const POISONS: [&str; 6] = [
    "poison:not-avro",
    "poison:unknown-schema",
    "poison:truncated",
    "poison:null-key",
    "poison:null-value",
    "poison:wrong-key",
];

/// Traffic in the making: what every business's generator needs.
pub struct Traffic<'a> {
    /// What was asked for.
    pub params: &'a Params,
    /// Everything random comes from it.
    pub rng: ChaCha8Rng,
    timeline: Timeline,
    commands: u64,
}

impl<'a> Traffic<'a> {
    /// None yet.
    pub fn new(params: &'a Params) -> Self {
        let rng = ChaCha8Rng::seed_from_u64(params.seed);
        Traffic { params, rng, timeline: Timeline::default(), commands: 0 }
    }

    /// When sagas begin, from `first_ms` on.
    pub fn clock(&self, first_ms: i64) -> Clock {
        Clock { at_ms: first_ms as f64, rate: self.params.rate }
    }

    /// True for a share of the calls.
    pub fn happens(&mut self, share: f64) -> bool {
        self.rng.random::<f64>() < share
    }

    /// An id that no other command of this traffic has. The seed is part of it: two files do not collide.
    pub fn command_id(&mut self) -> String {
        self.commands += 1;
        format!("command-{:x}-{:07}", self.params.seed, self.commands)
    }

    /// Adds an envelope.
    pub fn add(&mut self, envelope: Envelope) {
        self.timeline.add(envelope);
    }

    /// Adds the same bytes again a little later, for the share of duplicates.
    pub fn maybe_twice(&mut self, envelope: &Envelope) {
        if self.happens(self.params.duplicates) {
            let mut again = envelope.clone();
            again.at_ms += 1 + self.rng.random_range(0..DUPLICATE_MS_MAX);
            again.expect = Expect::Duplicate;
            again.kind = format!("duplicate:{}", envelope.kind);
            self.timeline.add(again);
        }
    }

    /// A kind of poison, of all businesses or of this one's `nonsense`.
    pub fn poison_kind(&mut self, nonsense: &[&'static str]) -> &'static str {
        let number = self.rng.random_range(0..POISONS.len() + nonsense.len());
        POISONS.iter().chain(nonsense).nth(number).copied().unwrap_or(POISONS[0])
    }

    /// Gives everything before `until_ms` to the sink, in order.
    ///
    /// # Errors
    /// The sink's.
    pub fn release(&mut self, until_ms: i64, sink: &mut dyn FnMut(Envelope) -> Result<(), Error>) -> Result<(), Error> {
        self.timeline.release(until_ms, sink)
    }
}

/// Independent people: exponential gaps.
pub struct Clock {
    at_ms: f64,
    rate: f64,
}

impl Clock {
    /// When the next saga begins, milliseconds.
    pub fn next(&mut self, rng: &mut impl Rng) -> i64 {
        // 1 − u is never 0.
        self.at_ms += -(1.0 - rng.random::<f64>()).ln() * 1_000.0 / self.rate;
        self.at_ms as i64
    }
}

/// A command as an envelope of generated traffic.
pub fn command<T: AvroRecord + Keyed>(
    at_ms: i64,
    topic: &Topic<T>,
    codec: &Codec<T>,
    command: &T,
    kind: &str,
    expect: Expect,
) -> Envelope {
    Envelope {
        at_ms,
        topic: topic.base().to_owned(),
        partition: None,
        offset: None,
        key: Some(command.key().as_bytes().to_vec()),
        value: Some(codec.to_vec(command)),
        headers: Vec::new(),
        expect,
        kind: kind.to_owned(),
    }
}

/// Spoils a sound envelope by its kind, one of [`POISONS`]; others stay as they are. `not_avro` is what it would be in JSON.
pub fn poison(mut envelope: Envelope, not_avro: &str) -> Envelope {
    let value = envelope.value.get_or_insert_default();
    match envelope.kind.as_str() {
        "poison:not-avro" => *value = not_avro.as_bytes().to_vec(),
        "poison:unknown-schema" => {
            let foreign = frame(FOREIGN_SCHEMA_ID);
            value.splice(..foreign.len(), foreign);
        }
        "poison:truncated" => value.truncate(value.len() / 2),
        "poison:null-key" => envelope.key = None,
        "poison:null-value" => envelope.value = None,
        "poison:wrong-key" => {
            if let Some(key) = &mut envelope.key {
                key.splice(..0, *b"not-");
            }
        }
        _ => {}
    }
    envelope
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    #[test]
    fn zipf_prefers_low_ranks_by_its_exponent() {
        let mut rng = ChaCha8Rng::seed_from_u64(7);
        let count = |skew: f64, rng: &mut ChaCha8Rng| {
            let zipf = Zipf::new(100, skew);
            let mut ranks = [0_u32; 100];
            for _ in 0..100_000 {
                ranks[zipf.sample(rng) as usize] += 1;
            }
            ranks
        };
        let uniform = count(0.0, &mut rng);
        assert!(uniform.iter().all(|&n| (800..1_200).contains(&n)), "{uniform:?}");
        // The harmonic number of 100 is 5.187: rank 1 gets 19.3 %, rank 10 a tenth of that.
        let zipf = count(1.0, &mut rng);
        assert!((18_700..19_900).contains(&zipf[0]), "{}", zipf[0]);
        assert!((1_700..2_150).contains(&zipf[9]), "{}", zipf[9]);
    }

    #[test]
    fn a_share_outside_its_range_is_named() {
        let params = Params { poison: 1.5, ..Params::default() };
        assert!(params.validate().unwrap_err().to_string().contains("--poison"));
    }
}
