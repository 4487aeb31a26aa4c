//! Typed stores over the task's overlay. A handle is made with the topology, held by processors, and used with their
//! context; it carries the formats, never data.

mod engine;
mod entries;
mod global;
mod key_value;
mod outer_join;
mod queries;
mod record_buffer;
mod retention;
mod session;
mod suppress;
mod timers;
mod versioned;
mod window;

pub use engine::Engine;
pub use global::GlobalStore;
pub use key_value::{KeyValue, KeyValueStore};
pub(crate) use outer_join::{Either, OuterJoin, OuterJoinStore, Side};
pub use queries::{ReadOnlyKeyValueStore, ReadOnlyVersionedStore};
pub(crate) use record_buffer::{RecordBuffer, RecordBufferStore};
pub(crate) use retention::Retention;
pub use session::{ReadOnlySessionStore, Session, SessionStore};
pub(crate) use suppress::{Held, Summary, Suppress, SuppressStore};
pub use timers::{TimerStore, Timers};
pub use versioned::{PutResult, Versioned, VersionedRecord, VersionedStore};
pub use window::{ReadOnlyWindowStore, Window, WindowStore};

pub use state::{Direction, Range};

use std::sync::Arc;

use crate::error::ProcessError;
use crate::task::TaskState;
use crate::topology::{ShowJson, StoreIndex};
use crate::types::Timestamp;

/// Something that gives access to a task's stores: a processor's [`crate::Context`].
pub trait StateAccess {
    /// The task's mutable part.
    #[doc(hidden)]
    fn task(&mut self) -> &mut TaskState;
    /// Timestamp of the record being processed: what a value is stored under.
    fn timestamp(&self) -> Timestamp;
}

impl StateAccess for TaskState {
    fn task(&mut self) -> &mut TaskState {
        self
    }
    fn timestamp(&self) -> Timestamp {
        self.current_timestamp
    }
}

/// Options every kind of store has.
#[derive(Clone)]
pub struct StoreOptions {
    /// Held in memory instead of RocksDB; comes back from its changelog.
    pub in_memory: bool,
    /// Kept by an engine of its own, whatever `in_memory` says.
    pub engine: Option<Engine>,
    /// Has a changelog. Without one its content is lost with the disk and does not move with its task.
    pub logged: bool,
    /// How interactive queries show an entry.
    pub show: Option<ShowJson>,
}

impl Default for StoreOptions {
    fn default() -> Self {
        StoreOptions { in_memory: false, engine: None, logged: true, show: None }
    }
}

/// What a store is made from: its types, formats and options.
pub trait StoreSpec {
    /// What processors use it with.
    type Handle: StoreHandle;
    /// Kafka Streams' word for the kind.
    fn shape(&self) -> &'static str;
    /// Its options.
    fn options(&self) -> &StoreOptions;
    /// How long an entry can matter, milliseconds; `None`: until it is removed.
    fn retention_ms(&self) -> Option<i64> {
        None
    }
    /// Length of the time segments in its keys, milliseconds.
    fn segment_ms(&self) -> Option<u64> {
        None
    }
    /// The handle, once the topology has given the store a place.
    fn handle(self, index: StoreIndex, name: Arc<str>) -> Self::Handle;
}

/// A handle of any kind of store.
pub trait StoreHandle {
    /// Its place in the topology.
    fn index(&self) -> StoreIndex;
    /// Its name.
    fn name(&self) -> &str;
}

/// The slot of a store in the task's overlay.
pub(crate) fn slot(task: &TaskState, index: StoreIndex, name: &str) -> Result<usize, ProcessError> {
    task.slot(index).ok_or_else(|| {
        ProcessError::Topology(format!(
            "store '{name}' is not in this sub-topology: connect it to the processor with connect_store"
        ))
    })
}
