//! The two workloads of `bench/peer/README.md` on Orderflow, through its public API only, so that they can be compared
//! with the Kafka Streams peer.

pub mod counting;
pub mod cpu;
pub mod engine_only;
pub mod format;
pub mod http;
pub mod kafka;
pub mod local;
pub mod model;
pub mod raw_copy;
mod stages;
pub mod w1;
pub mod w2;
