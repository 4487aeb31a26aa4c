//! State of stream tasks: bytes in, bytes out.
//!
//! A [`Backend`] holds *committed* data only: many stores, each divided by partition, one per process, shared by all
//! worker and query threads. A task changes its stores through an [`Overlay`], which keeps the uncommitted changes of
//! one transaction in memory until they are appended to a [`Batch`] and written in one atomic step together with the
//! [`Position`] they stand for. What is in a backend was therefore committed, after a crash as well as before it.
//!
//! ```
//! use state::{Backend, Batch, Memory, Overlay, StoreKind};
//! use std::sync::Arc;
//!
//! # fn main() -> Result<(), state::Error> {
//! let backend: Arc<dyn Backend> = Arc::new(Memory::new());
//! let orders = backend.open_store("orders", StoreKind::Persistent)?;
//! let mut overlay = Overlay::new(Arc::clone(&backend), 0, vec![orders], 64 * 1024);
//!
//! overlay.savepoint();
//! overlay.put(0, b"order-1", b"placed");
//! assert_eq!(overlay.get(0, b"order-1")?, Some(&b"placed"[..]));
//!
//! let mut batch = Batch::new();
//! overlay.append_to(&mut batch);
//! backend.write(&batch)?;
//! overlay.committed();
//! # Ok(())
//! # }
//! ```
//!
//! This crate knows no topic, no schema, no runtime: it is given keys and values as bytes. [`layout`] has the order
//! preserving keys of windowed, session, versioned and timer stores; [`value`] the form of a stored value.
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing))]

mod backend;
mod batch;
mod engines;
mod error;
pub mod fault;
pub mod layout;
mod memory;
mod overlay;
mod position;
mod range;
#[cfg(feature = "rocksdb")]
pub mod rocks;
pub mod value;

pub use backend::{Backend, Snapshot, StoreKind, Usage, Visit};
pub use batch::{Batch, Op};
pub use engines::Engines;
pub use error::{Action, Error};
pub use fault::FaultBackend;
pub use memory::Memory;
pub use overlay::{Changed, Overlay};
pub use position::Position;
pub use range::{Direction, PrefixRange, Range};
#[cfg(feature = "rocksdb")]
pub use rocks::RocksBackend;

/// A store of a [`Backend`]: the index that [`Backend::open_store`] gave it, valid for the life of that backend only
/// (the name is what lasts).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub struct StoreId(pub u16);

/// A partition of the topic that a task reads; a store's data is divided by it.
pub type Partition = u32;
