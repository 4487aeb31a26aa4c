//! Orderflow's engine: Kafka Streams' model in Rust, pure.
//!
//! # A path through it
//! 1. *Word count*: [`dsl::StreamsBuilder`] shows it whole; `cargo run --release -p streams --example word_count` runs it
//!    with a crash in the middle. What [`dsl::KStream::group_by`] put in between is a repartition topic: words are counted
//!    where all of one word arrive.
//! 2. *Enrichment*: a stream joined with a table ([`dsl::KStream::join_table`]); with a versioned table each record finds
//!    the row of its own time. `--example enrichment`.
//! 3. *Windows and late data*: [`dsl::KGroupedStream::windowed_by`], grace, and results once a window is closed.
//!    `--example windowed_count`.
//! 4. *A processor of your own*: [`Processor`], with its state in a store it holds a handle of. `--example deduplication`.
//! 5. *Testing*: [`testing::TestDriver`] runs the production worker over a log in memory, with crashes and lost disks.
//! 6. *What an operator costs*: `--example operators`.
//!
//! Those who know Kafka Streams find its names in [`dsl`]; `docs/from-kafka-streams.md` has them side by side.
//!
//! # How it runs
//! A [`Topology`] is built once ([`dsl::StreamsBuilder`], or [`TopologyBuilder`] below it), split into sub-topologies, and run as [`Task`]s, one per partition.
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
