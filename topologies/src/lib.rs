//! The businesses of Orderflow, each a [`streams::Topology`]: pure, without IO, on the shared saga parts in [`saga`].
//!
//! One module per business; its `topology()` is the whole of it on one screen. What a module holds is always the same:
//! `config` (settings), `saga` (the pure step function), processors, and the topology that connects them.

#![warn(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing))]

pub mod avro;
pub mod ebook_rental;
mod error;
pub mod fashion_store;
pub mod gdmarket;
pub mod limits;
pub mod saga;
pub mod taxi;

pub use error::Error;
