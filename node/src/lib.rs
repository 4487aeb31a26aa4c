//! The process: configuration, logs (Kafka and embedded), worker threads, payment, and the platform the HTTP service runs
//! on.

pub mod args;
pub mod config;
pub mod engine;
pub mod payment;
pub mod signals;
