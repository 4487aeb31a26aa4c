//! What can be wrong with bytes, and with a registry, in words an operator can act on.

use thiserror::Error;

/// Why bytes could not become a value. `Display` is a sentence for an operator; offsets count from the frame's first
/// byte when the bytes came framed, else from the body's first byte.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum DecodeError {
    /// The value has no bytes at all. A tombstone is `None` in Kafka, not an empty value.
    #[error("empty value: expected a 0x00 byte, a 4-byte schema id and an Avro body")]
    Empty,
    /// The first byte is not Confluent's magic byte.
    #[error(
        "not Confluent-framed Avro: the first byte is 0x{first:02x}{}, expected 0x00 and a 4-byte schema id",
        looks_like(*first)
    )]
    NotAvro {
        /// The first byte as found.
        first: u8,
    },
    /// The bytes end inside a field.
    #[error("truncated: {needed} more byte(s) needed at offset {offset}")]
    Truncated {
        /// Where the missing bytes should be.
        offset: usize,
        /// How many are missing, at least.
        needed: usize,
    },
    /// A variable-length integer is longer than its type allows.
    #[error("number out of range at offset {offset}: not an Avro {kind}")]
    Number {
        /// Where the number starts.
        offset: usize,
        /// `int` or `long`.
        kind: &'static str,
    },
    /// A length or count is negative, or larger than the bytes that follow.
    #[error("length {length} at offset {offset} is impossible: {left} byte(s) follow")]
    Length {
        /// Where the length was read.
        offset: usize,
        /// The length as read.
        length: i64,
        /// Bytes that follow.
        left: usize,
    },
    /// A string is not UTF-8.
    #[error("a string at offset {offset} is not UTF-8")]
    Utf8 {
        /// Where the string starts.
        offset: usize,
    },
    /// A boolean is neither 0 nor 1.
    #[error("a boolean at offset {offset} is neither 0 nor 1")]
    Boolean {
        /// Where the boolean is.
        offset: usize,
    },
    /// An enum symbol or union branch that the schema does not have.
    #[error("{name} has no {what} number {index} (offset {offset})")]
    Index {
        /// The Avro name of the enum or union.
        name: &'static str,
        /// `symbol` or `branch`.
        what: &'static str,
        /// The number as read.
        index: i64,
        /// Where it was read.
        offset: usize,
    },
    /// Bytes are left over after the value: written with another schema than the id says.
    #[error("{count} byte(s) are left over after the value: not written with the schema its id names")]
    Trailing {
        /// How many are left.
        count: usize,
    },
    /// No registry in reach knows the id.
    #[error("unknown schema id {id}: neither the registry nor this release knows it")]
    UnknownSchemaId {
        /// The id as found in the frame.
        id: u32,
    },
    /// The registry could not be asked; the same bytes may decode later.
    #[error("schema id {id} could not be looked up: {reason}")]
    RegistryUnavailable {
        /// The id as found in the frame.
        id: u32,
        /// What the registry, or the way to it, answered.
        reason: String,
    },
    /// The writer's schema is known but its data cannot be read as ours.
    #[error("written with schema id {id}, which cannot be read as {name}: {reason}")]
    Incompatible {
        /// The writer's id.
        id: u32,
        /// The record wanted.
        name: &'static str,
        /// Why not.
        reason: String,
    },
    /// A schema that does not parse, or uses a type that is not supported here.
    #[error("the schema cannot be used: {reason}")]
    Schema {
        /// Why not.
        reason: String,
    },
    /// More different writer schemas than [`crate::limits::WRITER_SCHEMAS_MAX`] were met by one codec.
    #[error("schema id {id} is one writer schema too many: this reader already holds {max}")]
    TooManyWriters {
        /// The id that was refused.
        id: u32,
        /// The limit.
        max: usize,
    },
}

impl DecodeError {
    /// Whether the same bytes may decode later: the registry was out of reach, the bytes may be sound.
    pub fn is_retriable(&self) -> bool {
        matches!(self, DecodeError::RegistryUnavailable { .. })
    }
}

/// A hint for the commonest mistakes of producers.
fn looks_like(first: u8) -> &'static str {
    match first {
        b'{' | b'[' | b'"' => " (looks like JSON)",
        b'O' => " (looks like an Avro container file)",
        0xc3 => " (looks like Avro single-object encoding)",
        0x20..=0x7e => " (looks like text)",
        _ => "",
    }
}

/// Why a schema could not be registered, resolved or looked up.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum RegistryError {
    /// The registry could not be reached, did not answer in time, or answered with a failure of its own.
    #[error("schema registry {url}: {reason}")]
    Unavailable {
        /// The registry's address, without credentials.
        url: String,
        /// What went wrong.
        reason: String,
    },
    /// The registry refused the schema, as a rule because it is not compatible with the subject's latest version.
    #[error("schema registry refused subject {subject}: {reason}")]
    Refused {
        /// The subject.
        subject: String,
        /// The registry's words.
        reason: String,
    },
    /// The subject does not exist and registering is switched off.
    #[error("subject {subject} has no version equal to schema {name}: register it, or allow registering")]
    UnknownSubject {
        /// The subject.
        subject: String,
        /// The record's full name.
        name: &'static str,
    },
    /// The registry's id lies in the range kept for our own schemas.
    #[error(
        "subject {subject} has id {id} in the registry; ids from {reserved_from} up are reserved for internal data"
    )]
    ReservedId {
        /// The subject.
        subject: String,
        /// The registry's id.
        id: u32,
        /// First reserved id.
        reserved_from: u32,
    },
}
