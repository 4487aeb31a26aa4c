//! `loadgen`: makes traffic, records it, replays it, and audits what became of it.
//!
//! It links nothing of the engine, only `schemas`: an auditor that shared code with what it audits would share its
//! mistakes.

pub mod audit;
pub mod business;
pub mod cli;
pub mod cpu;
pub mod ebook_rental;
pub mod error;
pub mod export;
pub mod fashion_store;
pub mod gdmarket;
pub mod generate;
pub mod http;
pub mod kafka;
pub mod latency;
pub mod ledger;
pub mod limits;
pub mod log;
pub mod plot;
pub mod record;
pub mod replay;
pub mod report;
pub mod rest;
pub mod schedule;
pub mod taxi;
pub mod traffic;

pub use error::Error;
