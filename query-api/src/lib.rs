//! The HTTP service over committed state: gateway resources, interactive queries, live events, health, metrics.

pub mod platform;

pub use platform::Platform;
