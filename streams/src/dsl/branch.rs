//! `split`: one stream into several (KIP-418).

use std::collections::BTreeMap;

use crate::dsl::graph::operator;
use crate::dsl::stream::KStream;
use crate::error::ProcessError;
use crate::processor::{Context, Processor};
use crate::record::Record;
use crate::topology::In;

type Predicate<K, V> = Box<dyn Fn(Option<&K>, &V) -> bool + Send + Sync>;
type Chain<'a, K, V> = Box<dyn FnOnce(KStream<K, V>) -> Option<KStream<K, V>> + 'a>;

/// A stream being split. Each record goes to the first branch whose predicate holds, to the default branch if there is one
/// and none holds, or nowhere. A null value matches no predicate.
///
/// Branches are returned under `<prefix><name>`, or `<prefix><number>` without a name: the first branch is 1, the default
/// branch 0, as in Kafka Streams.
///
/// ```
/// # use streams::{dsl::{Consumed, StreamsBuilder}, serde::{I64, Utf8}};
/// # let builder = StreamsBuilder::new("app");
/// # let amounts = builder.stream("amounts", Consumed::<String, i64>::with(Utf8, I64));
/// let mut branches = amounts
///     .split_named("amount-")
///     .branch_named("large", |_, amount| *amount >= 1_000)
///     .branch_named("small", |_, amount| *amount >= 0)
///     .default_branch_named("negative");
/// let large = branches.remove("amount-large").unwrap();
/// ```
#[must_use = "a split does nothing until it is ended with default_branch or no_default_branch"]
pub struct Split<K, V> {
    stream: KStream<K, V>,
    prefix: String,
    branches: Vec<(Predicate<K, V>, KStream<K, V>)>,
    results: BTreeMap<String, KStream<K, V>>,
}

impl<K: 'static, V: 'static> Split<K, V> {
    pub(crate) fn new(stream: &KStream<K, V>, prefix: Option<&str>) -> Self {
        let prefix = prefix.map_or_else(|| stream.graph.generate("KSTREAM-BRANCH") + "-", str::to_owned);
        Split { stream: stream.clone(), prefix, branches: Vec::new(), results: BTreeMap::new() }
    }

    /// A branch, named by its number.
    pub fn branch(self, predicate: impl Fn(Option<&K>, &V) -> bool + Send + Sync + 'static) -> Self {
        let name = (self.branches.len() + 1).to_string();
        self.branch_named(&name, predicate)
    }

    /// A branch with a name.
    pub fn branch_named(self, name: &str, predicate: impl Fn(Option<&K>, &V) -> bool + Send + Sync + 'static) -> Self {
        self.add(name, Box::new(predicate), Box::new(Some))
    }

    /// A branch handed to a function. What the function returns is the branch's result under its number; `None` means that
    /// the function has used it up (Kafka Streams: `Branched.withConsumer`, `Branched.withFunction`).
    ///
    /// ```
    /// # use streams::{dsl::*, serde::{I64, Utf8}};
    /// # let builder = StreamsBuilder::new("app");
    /// # let orders = builder.stream("orders", Consumed::<String, String>::with(Utf8, Utf8));
    /// let mut branches = orders
    ///     .split_named("order-")
    ///     .branch_chained(|_, order| order.starts_with("gift "), |gifts| {
    ///         gifts.to("gifts", Produced::with(Utf8, Utf8));
    ///         None // used up
    ///     })
    ///     .default_branch_named("plain");
    /// assert!(!branches.contains_key("order-1") && branches.contains_key("order-plain"));
    /// ```
    pub fn branch_chained(
        self,
        predicate: impl Fn(Option<&K>, &V) -> bool + Send + Sync + 'static,
        chain: impl FnOnce(KStream<K, V>) -> Option<KStream<K, V>>,
    ) -> Self {
        let name = (self.branches.len() + 1).to_string();
        self.add(&name, Box::new(predicate), Box::new(chain))
    }

    fn add(mut self, name: &str, predicate: Predicate<K, V>, chain: Chain<'_, K, V>) -> Self {
        let name = format!("{}{name}", self.prefix);
        let graph = self.stream.graph.clone();
        // Reached by name only; the splitting node is connected above it when all predicates are known.
        let pass = operator(|cx: &mut Context<'_, K, V>, record: Record<'_, K, V>| cx.forward(record));
        let (_, out) = graph.edit(|b| b.processor(&name, pass));
        let branch = KStream::new(graph, out, self.stream.rekeyed.clone());
        if let Some(result) = chain(branch.clone()) {
            self.results.insert(name, result);
        }
        self.branches.push((predicate, branch));
        self
    }

    /// All others go to a branch numbered 0; ends the split.
    pub fn default_branch(self) -> BTreeMap<String, KStream<K, V>> {
        self.default_branch_named("0")
    }

    /// All others go to a branch of this name; ends the split. Null values come here.
    pub fn default_branch_named(self, name: &str) -> BTreeMap<String, KStream<K, V>> {
        let split = self.add(name, Box::new(|_, _| true), Box::new(Some));
        split.finish(true)
    }

    /// All others go nowhere; ends the split. (A split that is dropped without an end splits nothing.)
    ///
    /// ```
    /// # use streams::{dsl::*, serde::{I64, Utf8}};
    /// # let builder = StreamsBuilder::new("app");
    /// # let lines = builder.stream("lines", Consumed::<String, String>::with(Utf8, Utf8));
    /// let branches = lines.split_named("line-").branch(|_, line| line.starts_with("ERROR")).no_default_branch();
    /// assert_eq!(branches.into_keys().collect::<Vec<_>>(), ["line-1"]);
    /// ```
    pub fn no_default_branch(self) -> BTreeMap<String, KStream<K, V>> {
        self.finish(false)
    }

    fn finish(mut self, default: bool) -> BTreeMap<String, KStream<K, V>> {
        let last = if default { self.branches.pop().map(|(_, s)| s) } else { None };
        let (predicates, streams): (Vec<_>, Vec<_>) = self.branches.into_iter().unzip();
        let inputs: Vec<In<K, V>> = streams.iter().map(|s| In::of(s.out.node)).collect();
        let default = last.map(|s| In::of(s.out.node));
        let all: Vec<In<K, V>> = inputs.iter().copied().chain(default).collect();
        let name = self.prefix;
        let branching = Branching { branches: predicates.into_iter().zip(inputs).collect(), default };
        let (_, out) = self.stream.graph.below_with_input(self.stream.out, &name, branching, &[]);
        self.stream.graph.edit(|b| all.iter().for_each(|input| b.connect_to(out, *input)));
        self.results
    }
}

struct Branching<K, V> {
    branches: Vec<(Predicate<K, V>, In<K, V>)>,
    default: Option<In<K, V>>,
}

impl<K: 'static, V: 'static> Processor for Branching<K, V> {
    type KeyIn = K;
    type ValueIn = V;
    type KeyOut = K;
    type ValueOut = V;

    fn process(&self, cx: &mut Context<'_, K, V>, record: Record<'_, K, V>) -> Result<(), ProcessError> {
        let matches = |value| self.branches.iter().find(|(predicate, _)| predicate(record.key, value));
        let branch = record.value.and_then(matches).map(|(_, branch)| *branch).or(self.default);
        branch.map_or(Ok(()), |branch| cx.forward_to(branch, record))
    }
}
