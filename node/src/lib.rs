//! The process: configuration, logs (Kafka and embedded), worker threads, payment, and the platform the HTTP service runs
//! on. [`Application`] runs a topology of one's own on either log.

pub mod application;
pub mod apps;
pub mod args;
pub mod cluster;
pub mod config;
pub mod embedded;
pub mod engine;
mod export;
pub mod instances;
pub mod kafka;
pub mod local;
pub mod metrics;
pub mod payment;
pub mod reset;
pub mod run;
pub mod service;
pub mod signals;
pub mod simulate;
pub mod up;

pub use application::{Application, embedded_log};
pub use config::Config;
