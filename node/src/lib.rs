//! The process: configuration, logs (Kafka and embedded), worker threads, payment, and the platform the HTTP service runs
//! on.

pub mod apps;
pub mod args;
pub mod config;
pub mod embedded;
pub mod engine;
mod export;
pub mod kafka;
pub mod local;
pub mod metrics;
pub mod payment;
pub mod run;
pub mod signals;
pub mod up;
