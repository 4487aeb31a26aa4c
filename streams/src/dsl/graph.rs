//! What every DSL handle shares: the topology being built, and the names it gives.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use crate::error::ProcessError;
use crate::processor::{Context, Processor};
use crate::record::Record;
use crate::topology::{BuildError, In, NodeId, Out, StoreIndex, Topology, TopologyBuilder};

/// The topology under construction, shared by all handles of one [`crate::dsl::StreamsBuilder`].
#[derive(Clone)]
pub(crate) struct Graph(Rc<RefCell<Inner>>);

struct Inner {
    topology: TopologyBuilder,
    /// Next number of a generated name, as Kafka Streams' `InternalStreamsBuilder.newProcessorName`.
    next: u32,
    problems: Vec<BuildError>,
    /// Operators with windows: how far stream time must be past a window's end for it to be final, milliseconds.
    window_close: BTreeMap<NodeId, i64>,
}

impl Graph {
    pub(crate) fn new(application_id: &str) -> Self {
        let topology = TopologyBuilder::new(application_id);
        Graph(Rc::new(RefCell::new(Inner { topology, next: 0, problems: Vec::new(), window_close: BTreeMap::new() })))
    }

    /// Works on the builder below.
    pub(crate) fn edit<R>(&self, edit: impl FnOnce(&mut TopologyBuilder) -> R) -> R {
        edit(&mut self.0.borrow_mut().topology)
    }

    /// A generated name: `KSTREAM-FILTER-0000000003`. For nodes without state only; what has state is named by its author.
    pub(crate) fn generate(&self, operator: &str) -> String {
        let mut inner = self.0.borrow_mut();
        let number = inner.next;
        inner.next += 1;
        format!("{operator}-{number:010}")
    }

    /// Notes a mistake of the author; `build` reports the first.
    pub(crate) fn problem(&self, problem: BuildError) {
        self.0.borrow_mut().problems.push(problem);
    }

    /// Notes that an operator's windows are final this long after their end.
    pub(crate) fn set_window_close(&self, node: NodeId, after_end_ms: i64) {
        self.0.borrow_mut().window_close.insert(node, after_end_ms);
    }

    /// When the windows of an operator's output are final: what is noted for the nearest operators above it, the longest
    /// of them (Kafka Streams: `GraphGraceSearchUtil`). `None` if there is a way up without windows.
    pub(crate) fn window_close(&self, node: NodeId) -> Option<i64> {
        let inner = self.0.borrow();
        fn search(inner: &Inner, node: NodeId) -> Option<i64> {
            if let Some(after_end_ms) = inner.window_close.get(&node) {
                return Some(*after_end_ms);
            }
            let above: Option<Vec<i64>> = inner.topology.parents(node).iter().map(|up| search(inner, *up)).collect();
            above?.into_iter().max()
        }
        search(&inner, node)
    }

    /// Adds a processor below a parent, with the stores it uses.
    pub(crate) fn below<P: Processor>(
        &self,
        parent: Out<P::KeyIn, P::ValueIn>,
        name: &str,
        processor: P,
        stores: &[StoreIndex],
    ) -> Out<P::KeyOut, P::ValueOut> {
        self.below_with_input(parent, name, processor, stores).1
    }

    /// As [`Graph::below`], with the node's receiving end too.
    pub(crate) fn below_with_input<P: Processor>(
        &self,
        parent: Out<P::KeyIn, P::ValueIn>,
        name: &str,
        processor: P,
        stores: &[StoreIndex],
    ) -> (In<P::KeyIn, P::ValueIn>, Out<P::KeyOut, P::ValueOut>) {
        self.edit(|b| {
            let (input, out) = b.processor(name, processor);
            b.connect(parent, input);
            for store in stores {
                b.connect_store_index(input, *store);
            }
            (input, out)
        })
    }

    pub(crate) fn build(&self) -> Result<Topology, BuildError> {
        let mut inner = self.0.borrow_mut();
        if let Some(problem) = inner.problems.first() {
            return Err(problem.clone());
        }
        let empty = TopologyBuilder::new(inner.topology.application_id());
        std::mem::replace(&mut inner.topology, empty).build()
    }
}

/// A processor made of one function: all that a stateless operator is.
pub(crate) struct Operator<KI, VI, KO, VO, F> {
    function: F,
    types: std::marker::PhantomData<fn(&KI, &VI) -> (KO, VO)>,
}

/// Makes a processor of a function.
pub(crate) fn operator<KI, VI, KO, VO, F>(function: F) -> Operator<KI, VI, KO, VO, F>
where
    F: Fn(&mut Context<'_, KO, VO>, Record<'_, KI, VI>) -> Result<(), ProcessError> + Send + Sync + 'static,
{
    Operator { function, types: std::marker::PhantomData }
}

impl<KI, VI, KO, VO, F> Processor for Operator<KI, VI, KO, VO, F>
where
    KI: 'static,
    VI: 'static,
    KO: 'static,
    VO: 'static,
    F: Fn(&mut Context<'_, KO, VO>, Record<'_, KI, VI>) -> Result<(), ProcessError> + Send + Sync + 'static,
{
    type KeyIn = KI;
    type ValueIn = VI;
    type KeyOut = KO;
    type ValueOut = VO;

    fn process(&self, cx: &mut Context<'_, KO, VO>, record: Record<'_, KI, VI>) -> Result<(), ProcessError> {
        (self.function)(cx, record)
    }
}
