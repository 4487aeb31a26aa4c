//! The records on Orderflow's topics and in its stores: types, Avro schemas, ids, topics.
//!
//! * One `.avsc` under `avro/` per top-level record, one plain Rust type per record ([`fashion`], [`payment`], …).
//! * [`Codec`] frames and encodes them as Confluent's serializers do; hot path by hand ([`avro`](mod@avro)), other
//!   writer schemas by Avro's schema resolution.
//! * [`Registry`] gives ids: [`FixedRegistry`] from [`catalog`], or a registry over HTTP.
//! * [`Topic`] carries name, key and value type of every topic; nobody types a topic's name twice.
//!
//! How to add or evolve a record: `README.md` of this crate.

pub mod avro;
pub mod catalog;
mod codec;
pub mod ebook;
mod error;
pub mod fashion;
pub mod gdmarket;
pub mod json;
pub mod limits;
mod macros;
pub mod payment;
pub mod registry;
pub mod state;
pub mod taxi;
pub mod topics;

pub use avro::{AvroRecord, AvroValue, Reader, write_long};
pub use codec::{Codec, frame, unframe};
pub use error::{DecodeError, RegistryError};
pub use registry::{ConfluentConfig, ConfluentRegistry, FixedRegistry, Registry};
pub use topics::{Keyed, Kind, Retention, Topic, TopicSpec};
