//! Kafka Streams' DSL: streams and tables under the names Kafka Streams gives them, typed.
//!
//! Begin at [`StreamsBuilder`]; [`KStream`] and [`KTable`] hold the operators.
//!
//! # Adding an operator
//! * *Without state*: `KStream::derive` (streams) or `KTable::derive` (tables) with a closure; the node's name is
//!   generated from Kafka Streams' prefix.
//! * *With state*: the author's name comes in with an option of `options.rs`, and is the store's and the node's. Make the
//!   store in `graph.edit(|b| b.store(..))`, clone its handle into the processor, and attach with
//!   `graph.below(parent, name, processor, &[store.index()])`, which also connects the store. Never keep anything else in
//!   the processor: what it must remember goes into the store, its stream time through [`crate::Context::observe`].
//! * *A table comes out*: forward `Change { new, old, is_latest }`, fill `old` only when the operator's `SendOld` is enabled
//!   (`SendOld::default()` where the operator has a store; `SendOld::from` its inputs where it computes), and return
//!   `KTable { getter, .. }`. A getter reads the row from another operator of the same task; a table over another kind of
//!   store implements `ValueGetter` for it. Keys of windowed tables are `Windowed<K>`.
//! * *Records must be partitioned by key*: `KStream::co_partitioned`, which puts a repartition topic in between when the key
//!   was changed, or notes a build error that names the remedy.
//! * *Rules to keep*: null keys and late records end in [`crate::Context::record_dropped`]; timestamps are stated in the
//!   operator's doc; a doctest shows it; a conformance scenario proves it (`tests/conformance`), also with a crash after
//!   every record.

mod branch;
mod builder;
mod cache;
mod change_serde;
mod cogroup;
mod emit;
mod foreign_key_join;
mod foreign_key_wire;
mod getter;
mod global_table;
mod graph;
mod group;
mod options;
mod session;
mod sliding;
mod stream;
mod stream_join;
mod stream_table_join;
mod suppress;
mod table;
mod table_join;
mod table_store;
mod windowed_cogroup;
mod windowed_stream;
mod windows;

pub use branch::Split;
pub use builder::{StreamsBuilder, Topics};
pub use cogroup::CogroupedKStream;
pub use foreign_key_join::TableJoined;
pub use global_table::GlobalKTable;
pub use group::{KGroupedStream, KGroupedTable};
pub use options::{Consumed, Grouped, Joined, Materialized, Produced, Repartitioned};
pub use session::SessionWindowedKStream;
pub use stream::KStream;
pub use stream_join::{JoinWindows, StreamJoined};
pub use suppress::{BufferConfig, StrictBufferConfig, Suppressed};
pub use table::{Change, KTable};
pub use windowed_cogroup::{SessionWindowedCogroupedKStream, TimeWindowedCogroupedKStream};
pub use windowed_stream::{TimeWindowedKStream, WindowedBy};
pub use windows::{
    EmitStrategy, SessionWindowedSerde, SessionWindows, SlidingWindows, TimeWindowedSerde, TimeWindows,
    UnlimitedWindows, Windowed,
};
