//! Puts a topology together. Handles carry key and value types, so a graph whose types do not fit does not compile.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::sync::Arc;

use smallvec::SmallVec;
use state::StoreKind;
use thiserror::Error;

use super::nodes::{Partitioner, TimestampExtractor, TypedSink, TypedSource};
use super::{
    Clock, GlobalDef, NO_SUBTOPOLOGY, Node, NodeId, NodeKind, StoreDef, StoreIndex, SubTopology, TopicDef, TopicRole,
    Topology,
};
use crate::processor::Processor;
use crate::serde::Serde;
use crate::store::{GlobalStore, KeyValue, StoreHandle, StoreSpec};
use crate::types::TopicIndex;

/// The receiving end of a node that takes `K` and `V`.
pub struct In<K, V> {
    pub(crate) node: NodeId,
    types: PhantomData<fn(&K, &V)>,
}

/// The sending end of a node that emits `K` and `V`.
pub struct Out<K, V> {
    pub(crate) node: NodeId,
    types: PhantomData<fn(&K, &V)>,
}

impl<K, V> In<K, V> {
    pub(crate) fn of(node: NodeId) -> Self {
        In { node, types: PhantomData }
    }
}

impl<K, V> Clone for In<K, V> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<K, V> Copy for In<K, V> {}
impl<K, V> Clone for Out<K, V> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<K, V> Copy for Out<K, V> {}

/// What becomes of a keyed record that sits on another partition than Kafka's default partitioner would have chosen
/// (a producer with librdkafka's CRC32 default, say).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Misplaced {
    /// It is taken where it is: the author partitions on purpose.
    #[default]
    Accept,
    /// It is sent on to the right partition of the same topic, once, and counted.
    Forward,
    /// It is dead-lettered.
    DeadLetter,
}

/// Options of a source.
#[derive(Clone, Copy, Debug, Default)]
pub struct SourceOptions {
    /// Records on a wrong partition.
    pub misplaced: Misplaced,
    /// Only this topology writes to the topics, as it does to repartition topics. Where one worker has all the tasks
    /// concerned, records are then handed over from the task that writes them to the one that reads them inside one
    /// transaction. A record that somebody else writes all the same is not lost, but makes the open transaction be done again,
    /// or is read only in an idle moment.
    pub exclusive: bool,
}

/// Why a topology cannot be built; each text says what to change.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum BuildError {
    /// Two nodes or two stores of one name.
    #[error("the name '{0}' is used twice: give one of the two another, because state and metrics are kept under it")]
    DuplicateName(String),
    /// A node or store without a name.
    #[error("a {0} has no name: name it, so that its state survives a change of the topology")]
    Unnamed(&'static str),
    /// A name with characters Kafka refuses in topics.
    #[error("the name '{0}' may have letters, digits, '.', '_' and '-' only, at most 200: topics are named after it")]
    BadName(String),
    /// Two sources of one topic.
    #[error("topic '{0}' is read by two sources: read it once and connect both processors below that source")]
    TopicReadTwice(String),
    /// A node that nothing reaches.
    #[error("'{0}' has no parent: connect it below a source, or remove it")]
    Unreachable(String),
    /// A store that no processor uses.
    #[error("store '{0}' is connected to no processor: connect it with connect_store, or remove it")]
    UnusedStore(String),
    /// The graph has a cycle.
    #[error("'{0}' is its own ancestor: records would go round for ever; go through a topic instead")]
    Cycle(String),
    /// An operator needs records partitioned by the key they now have, but was not told how to repartition them.
    #[error(
        "{operator} after {changed_by}: the key was changed, so equal keys may be on different partitions; {remedy}, which \
         names the repartition topic and its formats"
    )]
    RepartitionUnnamed {
        /// The operator that needs it.
        operator: &'static str,
        /// The operator that changed the key.
        changed_by: String,
        /// What to call instead.
        remedy: &'static str,
    },
    /// Repartition topics of one sub-topology with different fixed partition counts.
    #[error(
        "'{first}' has {first_count} partitions and '{second}' has {second_count}, but records of both meet in one \
         sub-topology, where equal keys must be in equal partitions: give both the same with_partitions, or one none"
    )]
    NotCoPartitioned {
        /// A topic.
        first: String,
        /// Its partition count.
        first_count: u32,
        /// The other.
        second: String,
        /// Its partition count.
        second_count: u32,
    },
    /// An option that the operator cannot have.
    #[error("{0}")]
    Unsupported(String),
    /// No source at all.
    #[error("the topology has no source, so it would never do anything: read a topic with stream, table or source")]
    NoSource,
    /// More of something than there are numbers for.
    #[error("the topology has more than 65,536 {0}: divide it into several applications")]
    TooMany(&'static str),
}

/// Collects nodes, stores and edges; [`TopologyBuilder::build`] checks them.
pub struct TopologyBuilder {
    application_id: Arc<str>,
    nodes: Vec<Node>,
    topics: Vec<TopicDef>,
    stores: Vec<StoreDef>,
    clocks: Vec<Arc<str>>,
    problems: Vec<BuildError>,
    globals: Vec<GlobalDef>,
}

impl TopologyBuilder {
    /// An empty topology of this `application.id`.
    #[must_use]
    pub fn new(application_id: &str) -> Self {
        let mut builder = TopologyBuilder {
            application_id: application_id.into(),
            nodes: Vec::new(),
            topics: Vec::new(),
            stores: Vec::new(),
            clocks: Vec::new(),
            problems: Vec::new(),
            globals: Vec::new(),
        };
        builder.check_name("topology", application_id);
        builder
    }

    /// The `application.id` given at the start.
    #[must_use]
    pub fn application_id(&self) -> &str {
        &self.application_id
    }

    fn check_name(&mut self, what: &'static str, name: &str) {
        let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        if name.is_empty() {
            self.problems.push(BuildError::Unnamed(what));
        } else if name.len() > 200 || !name.chars().all(legal) {
            self.problems.push(BuildError::BadName(name.into()));
        }
    }

    /// The number of what is at this place of its list.
    fn number(&mut self, place: usize, what: &'static str) -> u16 {
        u16::try_from(place).unwrap_or_else(|_| {
            self.problems.push(BuildError::TooMany(what));
            0
        })
    }

    fn intern(&mut self, name: &str, role: TopicRole, partitions: Option<u32>) -> TopicIndex {
        let index = self.topics.iter().position(|t| &*t.name == name).unwrap_or_else(|| {
            self.topics.push(TopicDef {
                name: name.into(),
                role,
                partitions,
                exclusive: role == TopicRole::Repartition,
            });
            self.topics.len() - 1
        });
        TopicIndex(self.number(index, "topics"))
    }

    fn add(&mut self, name: &str, kind: NodeKind, topics: Vec<TopicIndex>) -> NodeId {
        self.check_name("node", name);
        if self.nodes.iter().any(|n| &*n.name == name) {
            self.problems.push(BuildError::DuplicateName(name.into()));
        }
        let id = self.number(self.nodes.len(), "nodes");
        self.nodes.push(Node {
            name: name.into(),
            kind,
            topics,
            stores: Vec::new(),
            children: SmallVec::new(),
            named_children: SmallVec::new(),
            parents: SmallVec::new(),
            subtopology: 0,
        });
        NodeId(id)
    }

    /// Reads topics of one key and value type.
    pub fn source<K: 'static, V: 'static>(
        &mut self,
        name: &str,
        topics: &[&str],
        key: impl Serde<K>,
        value: impl Serde<V>,
        options: SourceOptions,
    ) -> Out<K, V> {
        self.source_timed(name, topics, key, value, options, None)
    }

    /// As [`TopologyBuilder::source`], with times taken out of the records.
    pub(crate) fn source_timed<K: 'static, V: 'static>(
        &mut self,
        name: &str,
        topics: &[&str],
        key: impl Serde<K>,
        value: impl Serde<V>,
        SourceOptions { misplaced, exclusive }: SourceOptions,
        timestamp: Option<Arc<TimestampExtractor<K, V>>>,
    ) -> Out<K, V> {
        let topics: Vec<TopicIndex> = topics.iter().map(|t| self.intern(t, TopicRole::External, None)).collect();
        for topic in topics.iter().filter(|_| exclusive) {
            if let Some(topic) = self.topics.get_mut(usize::from(topic.0)) {
                topic.exclusive = true;
            }
        }
        let source = TypedSource { key: Arc::new(key), value: Arc::new(value), misplaced, timestamp };
        let node = self.add(name, NodeKind::Source(Arc::new(source)), topics);
        Out { node, types: PhantomData }
    }

    /// Adds a processor; connect its two ends with [`TopologyBuilder::connect`], its stores with
    /// [`TopologyBuilder::connect_store`].
    pub fn processor<P: Processor>(
        &mut self,
        name: &str,
        processor: P,
    ) -> (In<P::KeyIn, P::ValueIn>, Out<P::KeyOut, P::ValueOut>) {
        let node = self.add(name, NodeKind::Processor(Arc::new(processor)), Vec::new());
        (In { node, types: PhantomData }, Out { node, types: PhantomData })
    }

    /// Writes to a topic, partitioned by key as Kafka's default.
    pub fn sink<K: 'static, V: 'static>(
        &mut self,
        name: &str,
        topic: &str,
        key: impl Serde<K>,
        value: impl Serde<V>,
    ) -> In<K, V> {
        self.sink_partitioned_inner(name, topic, TopicRole::External, None, Arc::new(key), Arc::new(value), None)
    }

    /// Writes to a topic; `partitioner` gets key, value and partition count and answers with a partition below it.
    pub fn sink_partitioned<K: 'static, V: 'static>(
        &mut self,
        name: &str,
        topic: &str,
        key: impl Serde<K>,
        value: impl Serde<V>,
        partitioner: impl Fn(Option<&K>, Option<&V>, u32) -> u32 + Send + Sync + 'static,
    ) -> In<K, V> {
        let partitioner: Arc<Partitioner<K, V>> = Arc::new(partitioner);
        let (key, value) = (Arc::new(key), Arc::new(value));
        self.sink_partitioned_inner(name, topic, TopicRole::External, None, key, value, Some(partitioner))
    }

    /// Sends records through a topic of the topology's own, `<application.id>-<name>-repartition`, so that what comes out
    /// is partitioned by its key. Ends a sub-topology and starts the next.
    pub fn repartition<K: 'static, V: 'static>(
        &mut self,
        name: &str,
        key: impl Serde<K> + Clone,
        value: impl Serde<V> + Clone,
        partitions: Option<u32>,
    ) -> (In<K, V>, Out<K, V>) {
        self.repartition_by(name, key, value, partitions, None)
    }

    /// As [`TopologyBuilder::repartition`], by a partitioner of its own.
    pub(crate) fn repartition_by<K: 'static, V: 'static>(
        &mut self,
        name: &str,
        key: impl Serde<K> + Clone,
        value: impl Serde<V> + Clone,
        partitions: Option<u32>,
        partitioner: Option<Arc<Partitioner<K, V>>>,
    ) -> (In<K, V>, Out<K, V>) {
        let topic = format!("{}-{name}-repartition", self.application_id);
        let input = self.sink_partitioned_inner(
            &format!("{name}-sink"),
            &topic,
            TopicRole::Repartition,
            partitions,
            Arc::new(key.clone()),
            Arc::new(value.clone()),
            partitioner,
        );
        let out = self.source(&format!("{name}-source"), &[&topic], key, value, SourceOptions::default());
        (input, out)
    }

    /// Writes to a topic, by key or by a partitioner.
    pub(crate) fn sink_by<K: 'static, V: 'static>(
        &mut self,
        name: &str,
        topic: &str,
        key: Arc<dyn Serde<K>>,
        value: Arc<dyn Serde<V>>,
        partitioner: Option<Arc<Partitioner<K, V>>>,
    ) -> In<K, V> {
        self.sink_partitioned_inner(name, topic, TopicRole::External, None, key, value, partitioner)
    }

    fn sink_partitioned_inner<K: 'static, V: 'static>(
        &mut self,
        name: &str,
        topic: &str,
        role: TopicRole,
        partitions: Option<u32>,
        key: Arc<dyn Serde<K>>,
        value: Arc<dyn Serde<V>>,
        partitioner: Option<Arc<Partitioner<K, V>>>,
    ) -> In<K, V> {
        let topic = self.intern(topic, role, partitions);
        let sink = TypedSink { topic, key, value, partitioner };
        let node = self.add(name, NodeKind::Sink(Arc::new(sink)), vec![topic]);
        In { node, types: PhantomData }
    }

    /// Adds a store and gives the handle processors read and write it with.
    pub fn store<S: StoreSpec>(&mut self, name: &str, spec: S) -> S::Handle {
        self.check_name("store", name);
        if self.stores.iter().any(|s| &*s.name == name) {
            self.problems.push(BuildError::DuplicateName(name.into()));
        }
        let options = spec.options();
        let changelog = options.logged.then(|| {
            let topic = format!("{}-{name}-changelog", self.application_id);
            self.intern(&topic, TopicRole::Changelog, None)
        });
        let index = StoreIndex(self.number(self.stores.len(), "stores"));
        self.stores.push(StoreDef {
            name: name.into(),
            kind: if options.in_memory && options.engine.is_none() { StoreKind::Memory } else { StoreKind::Persistent },
            engine: options.engine.clone(),
            changelog,
            shape: spec.shape(),
            show: options.show.clone(),
            retention_ms: spec.retention_ms(),
            segment_ms: spec.segment_ms(),
            subtopology: 0,
        });
        spec.handle(index, name.into())
    }

    /// A time of a task's own, kept under this name; see [`Clock`].
    pub(crate) fn clock(&mut self, name: &str) -> Clock {
        self.clocks.push(format!("!{name}").into());
        Clock::Named(self.number(self.clocks.len() - 1, "clocks"))
    }

    /// Fills a store from a whole topic on every instance, whatever partitions its tasks have; any processor may read it.
    /// The topic is its changelog: keys are looked up by the bytes the topic has.
    pub fn global_store<K: 'static, V: 'static>(
        &mut self,
        name: &str,
        topic: &str,
        spec: KeyValue<K, V>,
    ) -> GlobalStore<K, V> {
        let topic = self.intern(topic, TopicRole::External, None);
        let (key, value) = spec.formats();
        let index = self.store(name, spec.not_logged()).index();
        if let Some(def) = self.stores.get_mut(index.0 as usize) {
            def.subtopology = NO_SUBTOPOLOGY;
            def.shape = "global";
        }
        self.globals.push(GlobalDef { store: index, topic });
        GlobalStore { index, topic, name: name.into(), key, value, types: PhantomData }
    }

    /// Records forwarded by `from` reach `to`.
    pub fn connect<K, V>(&mut self, from: Out<K, V>, to: In<K, V>) {
        self.edge(from.node, to.node, false);
    }

    /// `to` can be reached from `from` with [`crate::Context::forward_to`], whatever types it takes.
    pub fn connect_to<K, V, K2, V2>(&mut self, from: Out<K, V>, to: In<K2, V2>) {
        self.edge(from.node, to.node, true);
    }

    fn edge(&mut self, from: NodeId, to: NodeId, named: bool) {
        if let Some(node) = self.nodes.get_mut(from.0 as usize) {
            let list = if named { &mut node.named_children } else { &mut node.children };
            if !list.contains(&to) {
                list.push(to);
            }
        }
        if let Some(node) = self.nodes.get_mut(to.0 as usize)
            && !node.parents.contains(&from)
        {
            node.parents.push(from);
        }
    }

    /// Lets a processor use a store. Processors that share a store are in one sub-topology.
    pub fn connect_store<K, V>(&mut self, processor: In<K, V>, store: &impl StoreHandle) {
        self.connect_store_index(processor, store.index());
    }

    /// As [`TopologyBuilder::connect_store`], by the store's place.
    pub(crate) fn connect_store_index<K, V>(&mut self, processor: In<K, V>, store: StoreIndex) {
        if let Some(node) = self.nodes.get_mut(processor.node.0 as usize)
            && !node.stores.contains(&store)
        {
            node.stores.push(store);
        }
    }

    /// The nodes that forward to a node.
    pub(crate) fn parents(&self, node: NodeId) -> &[NodeId] {
        self.nodes.get(node.0 as usize).map_or(&[], |n| &n.parents)
    }

    /// Gives a node another name.
    pub(crate) fn rename(&mut self, id: NodeId, name: &str) {
        self.check_name("node", name);
        if self.nodes.iter().any(|n| &*n.name == name) {
            self.problems.push(BuildError::DuplicateName(name.into()));
        }
        if let Some(node) = self.nodes.get_mut(id.0 as usize) {
            node.name = name.into();
        }
    }

    /// Checks the graph and splits it into sub-topologies.
    ///
    /// # Errors
    /// The first [`BuildError`] found.
    pub fn build(mut self) -> Result<Topology, BuildError> {
        let dead_letters = format!("{}-dead-letters", self.application_id);
        let dead_letters = self.intern(&dead_letters, TopicRole::DeadLetter, None);
        if let Some(problem) = self.problems.into_iter().next() {
            return Err(problem);
        }
        check_sources(&self.nodes, &self.globals, &self.topics)?;
        check_reachable(&self.nodes)?;
        check_acyclic(&self.nodes)?;
        for (i, store) in self.stores.iter().enumerate() {
            let global = store.subtopology == NO_SUBTOPOLOGY;
            if !global && !self.nodes.iter().any(|n| n.stores.iter().any(|s| s.0 as usize == i)) {
                return Err(BuildError::UnusedStore(store.name.to_string()));
            }
        }
        let subtopologies = split(&mut self.nodes, &mut self.stores);
        check_co_partitioned(&subtopologies, &self.topics)?;
        let nodes = self.nodes.iter().map(|n| n.name.clone());
        let stores = self.stores.iter().map(|s| format!("@{}", s.name).into());
        let clocks = nodes.chain(stores).chain(self.clocks).collect();
        Ok(Topology {
            application_id: self.application_id,
            nodes: self.nodes,
            topics: self.topics,
            stores: self.stores,
            subtopologies,
            dead_letters,
            globals: self.globals,
            clocks,
        })
    }
}

fn check_sources(nodes: &[Node], globals: &[GlobalDef], topics: &[TopicDef]) -> Result<(), BuildError> {
    let mut seen = Vec::new();
    let sources = nodes.iter().filter(|n| matches!(n.kind, NodeKind::Source(_)));
    for topic in sources.flat_map(|n| &n.topics).chain(globals.iter().map(|g| &g.topic)) {
        if seen.contains(topic) {
            let name = topics.get(topic.0 as usize).map_or("?", |t| &t.name);
            return Err(BuildError::TopicReadTwice(name.into()));
        }
        seen.push(*topic);
    }
    if seen.len() == globals.len() { Err(BuildError::NoSource) } else { Ok(()) }
}

/// Counts of external topics are known only when the log is there; those fixed by the author are known now.
fn check_co_partitioned(subtopologies: &[SubTopology], topics: &[TopicDef]) -> Result<(), BuildError> {
    for sub in subtopologies {
        let fixed =
            sub.source_topics().filter_map(|t| topics.get(t.0 as usize)).filter_map(|t| Some((t, t.partitions?)));
        let mut fixed = fixed.peekable();
        let Some(&(first, first_count)) = fixed.peek() else { continue };
        if let Some((second, second_count)) = fixed.find(|(_, count)| *count != first_count) {
            let (first, second) = (first.name.to_string(), second.name.to_string());
            return Err(BuildError::NotCoPartitioned { first, first_count, second, second_count });
        }
    }
    Ok(())
}

fn check_reachable(nodes: &[Node]) -> Result<(), BuildError> {
    match nodes.iter().find(|n| n.parents.is_empty() && !matches!(n.kind, NodeKind::Source(_))) {
        Some(node) => Err(BuildError::Unreachable(node.name.to_string())),
        None => Ok(()),
    }
}

/// Kahn's algorithm: what cannot be ordered is on a cycle.
fn check_acyclic(nodes: &[Node]) -> Result<(), BuildError> {
    let mut waiting: Vec<usize> = nodes.iter().map(|n| n.parents.len()).collect();
    let mut ready: Vec<usize> = (0..nodes.len()).filter(|&i| waiting.get(i) == Some(&0)).collect();
    let mut ordered = 0;
    while let Some(i) = ready.pop() {
        ordered += 1;
        let Some(node) = nodes.get(i) else { continue };
        for child in node.children.iter().chain(&node.named_children).collect::<std::collections::BTreeSet<_>>() {
            if let Some(w) = waiting.get_mut(child.0 as usize) {
                *w -= 1;
                if *w == 0 {
                    ready.push(child.0 as usize);
                }
            }
        }
    }
    if ordered == nodes.len() {
        return Ok(());
    }
    let on_cycle = nodes.iter().zip(&waiting).find(|(_, w)| **w > 0).map_or("?", |(n, _)| &n.name);
    Err(BuildError::Cycle(on_cycle.into()))
}

/// Nodes joined by edges or shared stores form one sub-topology; numbered by their first node, as Kafka Streams does.
fn split(nodes: &mut [Node], stores: &mut [StoreDef]) -> Vec<SubTopology> {
    let mut group: Vec<usize> = (0..nodes.len()).collect();
    fn root(group: &[usize], mut i: usize) -> usize {
        while let Some(&up) = group.get(i)
            && up != i
        {
            i = up;
        }
        i
    }
    let mut first_user: BTreeMap<StoreIndex, usize> = BTreeMap::new();
    let mut unions: Vec<(usize, usize)> = Vec::new();
    for (i, node) in nodes.iter().enumerate() {
        unions.extend(node.children.iter().chain(&node.named_children).map(|c| (i, c.0 as usize)));
        for store in &node.stores {
            unions.push((i, *first_user.entry(*store).or_insert(i)));
        }
    }
    for (a, b) in unions {
        let (a, b) = (root(&group, a), root(&group, b));
        if let Some(slot) = group.get_mut(a.max(b)) {
            *slot = a.min(b);
        }
    }
    let mut numbers: BTreeMap<usize, u16> = BTreeMap::new();
    let mut subtopologies: Vec<SubTopology> = Vec::new();
    for (i, node) in nodes.iter_mut().enumerate() {
        let next = u16::try_from(numbers.len()).unwrap_or(u16::MAX);
        let number = *numbers.entry(root(&group, i)).or_insert(next);
        if number as usize == subtopologies.len() {
            subtopologies.push(SubTopology::default());
        }
        node.subtopology = number;
        let Some(sub) = subtopologies.get_mut(number as usize) else {
            continue;
        };
        let id = NodeId(u16::try_from(i).unwrap_or(u16::MAX));
        sub.nodes.push(id);
        if matches!(node.kind, NodeKind::Source(_)) {
            sub.sources.extend(node.topics.iter().map(|t| (*t, id)));
        }
        for store in &node.stores {
            if !sub.stores.contains(store) {
                sub.stores.push(*store);
            }
            if let Some(def) = stores.get_mut(store.0 as usize) {
                def.subtopology = number;
            }
        }
    }
    subtopologies
}
