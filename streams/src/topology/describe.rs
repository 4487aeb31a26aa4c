//! `describe()` in Kafka Streams' text format (KIP-120), so that existing viewers draw it.

use std::fmt::Write as _;

use super::{Node, NodeId, NodeKind, Topology};

impl Topology {
    /// The topology as text, byte for byte in Kafka Streams' format.
    #[must_use]
    pub fn describe(&self) -> String {
        let mut out = String::from("Topologies:\n");
        for (i, sub) in self.subtopologies.iter().enumerate() {
            let _ = writeln!(out, "   Sub-topology: {i}");
            for id in &sub.nodes {
                self.describe_node(&mut out, self.node(*id));
            }
            out.push('\n');
        }
        for (global, i) in self.globals.iter().zip(self.subtopologies.len()..) {
            let store = self.stores.get(global.store.0 as usize).map_or("?", |s| &*s.name);
            let topic = self.topic_name(global.topic);
            let _ = write!(
                out,
                "   Sub-topology: {i} for global store (will not generate tasks)\n    Source: {store}-source (topics: \
                 [{topic}])\n      --> {store}\n    Processor: {store} (stores: [{store}])\n      --> none\n      <-- \
                 {store}-source\n\n"
            );
        }
        out
    }

    fn describe_node(&self, out: &mut String, node: &Node) {
        let name = &node.name;
        let topics: Vec<&str> = node.topics.iter().map(|t| self.topic_name(*t)).collect();
        let _ = match &node.kind {
            NodeKind::Source(_) => {
                writeln!(out, "    Source: {name} (topics: [{}])", topics.join(", "))
            }
            NodeKind::Processor(_) => {
                let mut stores: Vec<&str> =
                    node.stores.iter().filter_map(|s| self.stores.get(s.0 as usize)).map(|s| &*s.name).collect();
                stores.sort_unstable();
                writeln!(out, "    Processor: {name} (stores: [{}])", stores.join(", "))
            }
            NodeKind::Sink(_) => writeln!(out, "    Sink: {name} (topic: {})", topics.join(", ")),
        };
        if !matches!(node.kind, NodeKind::Sink(_)) {
            let children: Vec<NodeId> = node.children.iter().chain(&node.named_children).copied().collect();
            let _ = writeln!(out, "      --> {}", self.names(&children));
        }
        if !matches!(node.kind, NodeKind::Source(_)) {
            let _ = writeln!(out, "      <-- {}", self.names(&node.parents));
        }
    }

    fn names(&self, ids: &[NodeId]) -> String {
        let mut names: Vec<&str> = ids.iter().map(|id| &*self.node(*id).name).collect();
        names.sort_unstable();
        names.dedup();
        if names.is_empty() { "none".into() } else { names.join(", ") }
    }
}
