//! Orderflow's engine: Kafka Streams' model in Rust, pure.
//!
//! A [`Topology`] is built once ([`TopologyBuilder`]), split into sub-topologies, and run as [`Task`]s, one per partition.
//! A [`Worker`] owns tasks and a [`log::Log`] and does five things in a loop: poll, restore, process, punctuate, commit.
//! [`View`] is what queries read: committed state only.
//!
//! **Invariant:** this crate knows no Kafka client, no Avro, no async runtime, no RocksDB, no clock and no socket. Records,
//! the wall clock and stores come in as arguments; what is to be sent comes out as [`effects::Effects`].

#![warn(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing))]

mod buffer;
pub mod dsl;
pub mod effects;
pub mod error;
mod globals;
pub mod limits;
pub mod log;
pub mod partitioner;
mod processor;
mod punctuation;
mod record;
pub mod serde;
pub mod store;
mod takeover;
mod task;
pub mod testing;
mod topology;
mod types;
mod value;
mod view;
pub mod worker;

pub use error::{Error, ProcessError};
pub use processor::{Context, Processor, PunctuationType, RecordMetadata, ScheduleId};
pub use record::{Headers, Incoming, Record};
pub use task::{Counters, ErrorPolicy, OnError, Step, Task, TaskState};
pub use topology::{
    BuildError, GlobalDef, In, Misplaced, NodeId, Out, ShowJson, SourceOptions, StoreDef, StoreIndex, SubTopology,
    TopicDef, TopicRole, Topology, TopologyBuilder,
};
pub use types::{NO_TIMESTAMP, Offset, Partition, TaskId, Timestamp, TopicIndex, TopicPartition};
pub use view::{Listener, Phase, QueryError, TaskView, View};
pub use worker::{Config, Worker};
