//! Every limit of this crate, by name.

use std::time::Duration;

/// Bytes before an Avro body: the magic byte and the schema id.
pub const FRAME_BYTES: usize = 5;

/// Different writer schemas one codec remembers. A topic meets a handful in its life; a flood of made-up ids must not
/// grow memory.
pub const WRITER_SCHEMAS_MAX: usize = 64;

/// Schemas a registry client remembers, known and unknown ids together.
pub const REGISTRY_SCHEMAS_MAX: usize = 1_024;

/// Longest wait of an engine thread for a registry's answer; after it the record counts as not decodable *now*.
pub const REGISTRY_WAIT_MAX: Duration = Duration::from_secs(5);

/// How long an unknown id is remembered as unknown before the registry is asked again.
pub const UNKNOWN_ID_REMEMBERED: Duration = Duration::from_secs(30);

/// Nesting of values read through a schema that came from outside.
pub const DEPTH_MAX: usize = 64;

/// After a registry was out of reach, how long look-ups fail at once instead of waiting again.
pub const REGISTRY_RETRY_AFTER: Duration = Duration::from_secs(1);

/// Look-ups that may queue for the registry's thread; there is one per engine thread at most.
pub const REGISTRY_QUEUE_MAX: usize = 256;
