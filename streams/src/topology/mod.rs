//! The graph: sources, processors, sinks and stores, split into sub-topologies. Built once, immutable, shared by all tasks.

mod builder;
mod describe;
mod nodes;

use std::sync::Arc;

use smallvec::SmallVec;
use state::StoreKind;

pub use builder::{BuildError, In, Misplaced, Out, SourceOptions, TopologyBuilder};
pub(crate) use nodes::{SinkNode, SourceError, SourceNode, TimestampExtractor, dead_letter_headers, right_partition};

use crate::processor::ErasedProcessor;
use crate::store::Engine;
use crate::types::{TopicIndex, TopicPartition};

/// Index of a node in its topology.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct NodeId(pub(crate) u16);

/// Index of a store in its topology.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct StoreIndex(pub(crate) u16);

/// A time that a task keeps beside its stream time. It only moves forward, goes back with a record that is rolled back,
/// and is committed with the input positions, so that what is late before a restart is late after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Clock {
    /// Stream time of a node.
    Node(NodeId),
    /// Stream time of a store: what it expires by.
    Store(StoreIndex),
    /// Made by [`TopologyBuilder::clock`].
    Named(u16),
}

impl From<NodeId> for Clock {
    fn from(node: NodeId) -> Self {
        Clock::Node(node)
    }
}

/// What a topic is to the topology.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum TopicRole {
    /// Exists outside: read, written, or both.
    External,
    /// Written and read by this topology only; created with as many partitions as its sub-topology has.
    Repartition,
    /// Backs a store; compacted.
    Changelog,
    /// Takes what could not be processed.
    DeadLetter,
}

/// A topic the topology reads or writes.
#[derive(Clone, Debug)]
pub struct TopicDef {
    /// Full name.
    pub name: Arc<str>,
    /// What it is for.
    pub role: TopicRole,
    /// For a repartition topic: its partition count, where the author fixed one.
    pub partitions: Option<u32>,
    /// Only this topology writes to it: repartition topics, and what [`SourceOptions::exclusive`] says so of.
    pub exclusive: bool,
}

/// How an entry is shown as JSON text: from key bytes and payload bytes to a JSON value.
pub type ShowJson = Arc<dyn Fn(&[u8], &[u8]) -> String + Send + Sync>;

/// A state store.
#[derive(Clone)]
pub struct StoreDef {
    /// Name, unique in the topology.
    pub name: Arc<str>,
    /// On disk or in memory.
    pub kind: StoreKind,
    /// The engine of its own that keeps it, if it has one.
    pub engine: Option<Engine>,
    /// Its changelog; `None` for a store that is not logged.
    pub changelog: Option<TopicIndex>,
    /// What the store is, in Kafka Streams' words: `key-value`, `window`, `session`, `versioned`, `timers`.
    pub shape: &'static str,
    /// How interactive queries show it.
    pub show: Option<ShowJson>,
    /// How long an entry of a windowed store can matter, milliseconds: its changelog may delete what is older.
    pub retention_ms: Option<i64>,
    /// Length of the time segments in a windowed store's keys ([`state::layout::Segments`]), milliseconds.
    pub segment_ms: Option<u64>,
    pub(crate) subtopology: u16,
}

impl StoreDef {
    /// Whether a log that keeps state in its own commits ([`crate::log::StateWrites::WithCommit`]) keeps this store for good,
    /// so that it needs no changelog there.
    #[must_use]
    pub fn is_kept_by_log(&self) -> bool {
        self.kind == StoreKind::Persistent && self.engine.is_none()
    }
}

/// The sub-topology of a global store, which belongs to none.
pub(crate) const NO_SUBTOPOLOGY: u16 = u16::MAX;

/// A store that every instance fills from a whole topic.
#[derive(Clone, Debug)]
pub struct GlobalDef {
    /// The store; its changelog is the topic.
    pub store: StoreIndex,
    /// The topic.
    pub topic: TopicIndex,
}

pub(crate) enum NodeKind {
    Source(Arc<dyn SourceNode>),
    Processor(Arc<dyn ErasedProcessor>),
    Sink(Arc<dyn SinkNode>),
}

pub(crate) struct Node {
    pub(crate) name: Arc<str>,
    pub(crate) kind: NodeKind,
    /// Sources: their topics. Sinks: the topic.
    pub(crate) topics: Vec<TopicIndex>,
    pub(crate) stores: Vec<StoreIndex>,
    pub(crate) children: SmallVec<[NodeId; 4]>,
    /// Children reached only by [`crate::Context::forward_to`].
    pub(crate) named_children: SmallVec<[NodeId; 4]>,
    pub(crate) parents: SmallVec<[NodeId; 4]>,
    pub(crate) subtopology: u16,
}

/// A connected part of the graph; its sources are co-partitioned and its tasks run independently of all others.
#[derive(Clone, Debug, Default)]
pub struct SubTopology {
    pub(crate) nodes: Vec<NodeId>,
    /// Source topics, in a fixed order: the task's inputs.
    pub(crate) sources: Vec<(TopicIndex, NodeId)>,
    /// Its stores; the position in this list is the slot in the task's overlay.
    pub(crate) stores: Vec<StoreIndex>,
}

impl SubTopology {
    /// The topics its tasks read.
    pub fn source_topics(&self) -> impl Iterator<Item = TopicIndex> + '_ {
        self.sources.iter().map(|(t, _)| *t)
    }

    /// Its stores.
    #[must_use]
    pub fn stores(&self) -> &[StoreIndex] {
        &self.stores
    }
}

/// A complete topology. Made by [`TopologyBuilder::build`].
pub struct Topology {
    pub(crate) application_id: Arc<str>,
    pub(crate) nodes: Vec<Node>,
    pub(crate) topics: Vec<TopicDef>,
    pub(crate) stores: Vec<StoreDef>,
    pub(crate) subtopologies: Vec<SubTopology>,
    pub(crate) dead_letters: TopicIndex,
    pub(crate) globals: Vec<GlobalDef>,
    /// Names of all clocks as they stand in committed metadata: nodes, then stores, then named clocks.
    pub(crate) clocks: Vec<Arc<str>>,
}

impl Topology {
    /// `application.id`: names the group, the changelogs and the state.
    #[must_use]
    pub fn application_id(&self) -> &str {
        &self.application_id
    }

    /// All topics; [`TopicIndex`] points into this list.
    #[must_use]
    pub fn topics(&self) -> &[TopicDef] {
        &self.topics
    }

    /// The name of a topic.
    #[must_use]
    pub fn topic_name(&self, topic: TopicIndex) -> &str {
        self.topics.get(topic.0 as usize).map_or("?", |t| &t.name)
    }

    /// The index of a topic of this name.
    #[must_use]
    pub fn topic(&self, name: &str) -> Option<TopicIndex> {
        self.topics.iter().position(|t| &*t.name == name).and_then(|i| u16::try_from(i).ok()).map(TopicIndex)
    }

    /// All stores; [`StoreIndex`] points into this list.
    #[must_use]
    pub fn stores(&self) -> &[StoreDef] {
        &self.stores
    }

    /// A store by name.
    #[must_use]
    pub fn store(&self, name: &str) -> Option<(StoreIndex, &StoreDef)> {
        let i = self.stores.iter().position(|s| &*s.name == name)?;
        Some((StoreIndex(u16::try_from(i).ok()?), self.stores.get(i)?))
    }

    /// Stores filled from whole topics, on every instance.
    #[must_use]
    pub fn globals(&self) -> &[GlobalDef] {
        &self.globals
    }

    /// The sub-topologies, in the order of `describe()`.
    #[must_use]
    pub fn subtopologies(&self) -> &[SubTopology] {
        &self.subtopologies
    }

    /// The sub-topology a store belongs to; `None` for a global store.
    #[must_use]
    pub fn subtopology_of_store(&self, store: StoreIndex) -> Option<u16> {
        self.stores.get(store.0 as usize).map(|s| s.subtopology).filter(|s| *s != NO_SUBTOPOLOGY)
    }

    /// The sub-topology that reads a topic.
    #[must_use]
    pub fn subtopology_of_source(&self, topic: TopicIndex) -> Option<u16> {
        let i = self.subtopologies.iter().position(|s| s.source_topics().any(|t| t == topic))?;
        u16::try_from(i).ok()
    }

    /// Where records that cannot be processed go.
    #[must_use]
    pub fn dead_letter_topic(&self) -> TopicIndex {
        self.dead_letters
    }

    /// Every source topic partition of a sub-topology's task.
    pub(crate) fn inputs(&self, subtopology: u16, partition: u32) -> Vec<TopicPartition> {
        self.subtopologies
            .get(subtopology as usize)
            .map(|s| s.source_topics().map(|topic| TopicPartition { topic, partition }).collect())
            .unwrap_or_default()
    }

    /// The source node that reads a topic for a sub-topology.
    pub(crate) fn source_of(&self, subtopology: u16, topic: TopicIndex) -> Option<(NodeId, &dyn SourceNode)> {
        let sources = &self.subtopologies.get(subtopology as usize)?.sources;
        let (_, node) = sources.iter().find(|(t, _)| *t == topic)?;
        match &self.node(*node).kind {
            NodeKind::Source(source) => Some((*node, &**source)),
            NodeKind::Processor(_) | NodeKind::Sink(_) => None,
        }
    }

    pub(crate) fn node(&self, id: NodeId) -> &Node {
        // A NodeId is only ever made by this topology's builder.
        #[expect(clippy::indexing_slicing, reason = "NodeIds are indices into this vector by construction")]
        &self.nodes[id.0 as usize]
    }

    pub(crate) fn children(&self, id: NodeId) -> &[NodeId] {
        &self.node(id).children
    }
}

impl std::fmt::Debug for Topology {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.describe())
    }
}
