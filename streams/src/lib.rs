//! Orderflow's engine: Kafka Streams' model in Rust, pure.
//!
//! # A path through it
//! The [`tutorial`] takes an hour and ends with a saga. Its five programs run on the embedded log by one command each,
//! `cargo run --release -p node --example NAME`:
//! 1. `word_count`: [`dsl::StreamsBuilder`] shows it whole. What [`dsl::KStream::group_by`] put in between is a repartition
//!    topic: words are counted where all of one word arrive.
//! 2. `enrichment`: a stream joined with a table ([`dsl::KStream::join_table`]); with a versioned table each record finds
//!    the row of its own time.
//! 3. `windowed_count`: [`dsl::KGroupedStream::windowed_by`], late data, grace, and results once a window is closed.
//! 4. `deduplication`: a [`Processor`] of your own, with its state in a store it holds a handle of.
//! 5. `saga`: several topics, requests and answers, and what is taken back when a later step fails.
//!
//! [`testing::TestDriver`] tests any of them: the production worker over a log in memory, with crashes and lost disks. What
//! an operator costs: `cargo run --release -p streams --example operators`.
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
mod commit;
pub mod dsl;
pub mod effects;
pub mod error;
mod fingerprint;
mod globals;
mod handover;
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

#[doc = include_str!("../../docs/tutorial.md")]
pub mod tutorial {}

pub use error::{Error, ProcessError};
pub use fingerprint::{Fingerprint, RESET_UNDER_WAY};
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
