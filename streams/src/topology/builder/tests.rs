//! Limits that no topology of a test would reach by building it.

use super::*;
use crate::error::ProcessError;
use crate::processor::Context;
use crate::record::Record;
use crate::serde::Utf8;

const MOST: usize = 1 << 16;

struct Nothing;

impl Processor for Nothing {
    type KeyIn = String;
    type ValueIn = String;
    type KeyOut = String;
    type ValueOut = String;

    fn process(&self, _: &mut Context<'_, String, String>, _: Record<'_, String, String>) -> Result<(), ProcessError> {
        Ok(())
    }
}

fn node() -> Node {
    Node {
        name: "node".into(),
        kind: NodeKind::Processor(Arc::new(Nothing)),
        topics: Vec::new(),
        stores: Vec::new(),
        children: SmallVec::new(),
        named_children: SmallVec::new(),
        parents: SmallVec::new(),
        subtopology: 0,
    }
}

#[test]
fn there_is_a_number_for_everything() {
    let refused = |fill: fn(&mut TopologyBuilder)| {
        let mut builder = TopologyBuilder::new("app");
        fill(&mut builder);
        builder.source::<String, String>("source", &["in"], Utf8, Utf8, SourceOptions::default());
        builder.store("store", KeyValue::<String, String>::new(Utf8, Utf8));
        builder.clock("clock");
        builder.build().expect_err("too many").to_string()
    };
    let text = |what: &str| format!("the topology has more than 65,536 {what}: divide it into several applications");
    assert_eq!(
        refused(|b| {
            let topic =
                TopicDef { name: "topic".into(), role: TopicRole::External, partitions: None, exclusive: false };
            b.topics.resize(MOST, topic);
        }),
        text("topics")
    );
    assert_eq!(refused(|b| b.nodes.resize_with(MOST, node)), text("nodes"));
    assert_eq!(
        refused(|b| {
            b.store("first", KeyValue::<String, String>::new(Utf8, Utf8));
            let store = b.stores.remove(0);
            b.stores.resize(MOST, store);
        }),
        text("stores")
    );
    assert_eq!(refused(|b| b.clocks.resize(MOST, "clock".into())), text("clocks"));
}
