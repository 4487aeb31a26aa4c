//! Confluent's wire format: `0x00`, the schema id in four bytes big endian, the Avro body.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;
use std::sync::{Arc, OnceLock, RwLock};

use apache_avro::Schema;
use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::writer::datum::GenericDatumWriter;

use crate::avro::{AvroRecord, Reader};
use crate::catalog::{self, Scope};
use crate::error::{DecodeError, RegistryError};
use crate::json;
use crate::limits::{FRAME_BYTES, WRITER_SCHEMAS_MAX};
use crate::registry::{FixedRegistry, Registry};
use crate::topics::{Keyed, Topic};

/// The first byte of every framed value.
const MAGIC: u8 = 0;

/// The five bytes before a body written with schema `id`.
pub const fn frame(id: u32) -> [u8; FRAME_BYTES] {
    let [a, b, c, d] = id.to_be_bytes();
    [MAGIC, a, b, c, d]
}

/// Splits framed bytes into schema id and body.
///
/// # Errors
/// When they are empty, not framed, or end inside the frame.
#[inline]
pub fn unframe(bytes: &[u8]) -> Result<(u32, &[u8]), DecodeError> {
    match bytes.split_first_chunk::<FRAME_BYTES>() {
        Some(([MAGIC, a, b, c, d], body)) => Ok((u32::from_be_bytes([*a, *b, *c, *d]), body)),
        _ => Err(not_a_frame(bytes)),
    }
}

#[cold]
fn not_a_frame(bytes: &[u8]) -> DecodeError {
    match bytes.first() {
        None => DecodeError::Empty,
        Some(&MAGIC) => DecodeError::Truncated { offset: bytes.len(), needed: FRAME_BYTES.saturating_sub(bytes.len()) },
        Some(&first) => DecodeError::NotAvro { first },
    }
}

/// Writes and reads framed values of one topic or store. Cheap to clone; shared by all threads.
///
/// Values written with the codec's own schema take the fast path: no lock, no schema walk, no allocation but the
/// value's strings. Another id is looked up once, then resolved by Avro's rules, per value.
pub struct Codec<T> {
    frame: [u8; FRAME_BYTES],
    id: u32,
    slow: Arc<SlowPath>,
    value: PhantomData<fn() -> T>,
}

/// What reading another writer's values needs.
struct SlowPath {
    registry: Arc<dyn Registry>,
    own: OnceLock<Schema>,
    writers: RwLock<BTreeMap<u32, Arc<Writer>>>,
}

/// How values of another schema id become ours.
enum Writer {
    /// Differs in documentation, defaults or aliases only: the bytes are the same.
    SameBytes,
    /// Another version: resolve.
    Resolve(Schema),
}

impl<T: AvroRecord + Keyed> Codec<T> {
    /// The codec of a topic's values. The id comes from `registry` for public records, from the catalog for internal
    /// ones.
    ///
    /// # Errors
    /// When the registry gives no id, or one that is reserved for internal data.
    pub fn for_topic(topic: &Topic<T>, prefix: &str, registry: &Arc<dyn Registry>) -> Result<Self, RegistryError> {
        let fixed = catalog::entry(T::NAME).is_some_and(|entry| entry.scope != Scope::Public);
        if fixed {
            return Ok(Self::fixed());
        }
        let id = registry.id_for_subject(&topic.subject(prefix), T::NAME)?;
        Ok(Self::new(id, Arc::clone(registry)))
    }
}

impl<T: AvroRecord> Default for Codec<T> {
    /// [`Codec::fixed`].
    fn default() -> Self {
        Self::fixed()
    }
}

impl<T: AvroRecord> Codec<T> {
    /// The codec with the catalog's id: stored state, internal topics, and everything where there is no registry.
    ///
    /// # Panics
    /// When the record is missing in [`crate::catalog`]: a mistake of this crate, which its tests find.
    pub fn fixed() -> Self {
        let entry = catalog::entry(T::NAME);
        let id = entry.unwrap_or_else(|| panic!("{} is missing in the catalog", T::NAME)).current().id;
        Self::new(id, Arc::new(FixedRegistry))
    }

    /// A codec that writes with `id` and asks `registry` about others.
    pub fn new(id: u32, registry: Arc<dyn Registry>) -> Self {
        let slow = SlowPath { registry, own: OnceLock::new(), writers: RwLock::default() };
        Codec { frame: frame(id), id, slow: Arc::new(slow), value: PhantomData }
    }

    /// The id this codec writes.
    pub fn id(&self) -> u32 {
        self.id
    }

    /// Appends frame and body. Allocates only when `out` must grow.
    #[inline]
    pub fn encode(&self, value: &T, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.frame);
        value.encode_body(out);
    }

    /// Frame and body as a new vector.
    pub fn to_vec(&self, value: &T) -> Vec<u8> {
        let mut out = Vec::with_capacity(128);
        self.encode(value, &mut out);
        out
    }

    /// Reads a framed value, whatever version of the schema it was written with.
    ///
    /// # Errors
    /// When the bytes are not such a value. [`DecodeError::is_retriable`] tells bad bytes from a registry out of reach.
    #[inline]
    pub fn decode(&self, bytes: &[u8]) -> Result<T, DecodeError> {
        self.read(bytes, T::decode_body)
    }

    /// Appends a framed value as JSON, of whatever version of the schema: [`AvroValue::transcode`](crate::AvroValue::transcode).
    ///
    /// # Errors
    /// As [`Codec::decode`]; `out` then holds the beginning of a text.
    pub fn transcode(&self, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), DecodeError> {
        self.read(bytes, |reader| T::transcode(reader, out))
    }

    #[inline]
    fn read<V>(
        &self,
        bytes: &[u8],
        read: impl FnOnce(&mut Reader<'_>) -> Result<V, DecodeError>,
    ) -> Result<V, DecodeError> {
        let (id, body) = unframe(bytes)?;
        if id == self.id { read_exact(body, read) } else { self.read_other(id, body, read) }
    }

    #[cold]
    fn read_other<V>(
        &self,
        id: u32,
        body: &[u8],
        read: impl FnOnce(&mut Reader<'_>) -> Result<V, DecodeError>,
    ) -> Result<V, DecodeError> {
        match &*self.writer(id)? {
            Writer::SameBytes => read_exact(body, read),
            Writer::Resolve(schema) => {
                let body = self.slow.resolve(schema, T::schema_json(), body).map_err(|error| match error {
                    Unresolved::Bytes(error) => error,
                    Unresolved::Schema(reason) => DecodeError::Incompatible { id, name: T::NAME, reason },
                })?;
                read_exact(&body, read)
            }
        }
    }

    /// The writer's schema behind an id, from memory or from the registry.
    fn writer(&self, id: u32) -> Result<Arc<Writer>, DecodeError> {
        let known = self.slow.writers.read().unwrap_or_else(|e| e.into_inner()).get(&id).cloned();
        if let Some(writer) = known {
            return Ok(writer);
        }
        let text = lookup(&*self.slow.registry, id)?;
        let incompatible =
            |e: apache_avro::Error| DecodeError::Incompatible { id, name: T::NAME, reason: e.to_string() };
        let schema = Schema::parse_str(&text).map_err(incompatible)?;
        let own = self.slow.own(T::schema_json());
        let writer =
            if schema.canonical_form() == own.canonical_form() { Writer::SameBytes } else { Writer::Resolve(schema) };
        let writer = Arc::new(writer);
        let mut writers = self.slow.writers.write().unwrap_or_else(|e| e.into_inner());
        if writers.len() >= WRITER_SCHEMAS_MAX && !writers.contains_key(&id) {
            return Err(DecodeError::TooManyWriters { id, max: WRITER_SCHEMAS_MAX });
        }
        writers.insert(id, Arc::clone(&writer));
        Ok(writer)
    }
}

/// The schema text behind an id found in data: reserved ids from the catalog, others from the registry.
fn lookup(registry: &dyn Registry, id: u32) -> Result<Arc<str>, DecodeError> {
    let registry = if id >= catalog::RESERVED_FROM { &FixedRegistry } else { registry };
    registry
        .schema_by_id(id)
        .map_err(|e| DecodeError::RegistryUnavailable { id, reason: e.to_string() })?
        .ok_or(DecodeError::UnknownSchemaId { id })
}

#[inline]
fn read_exact<V>(body: &[u8], read: impl FnOnce(&mut Reader<'_>) -> Result<V, DecodeError>) -> Result<V, DecodeError> {
    let mut reader = Reader::after(FRAME_BYTES, body);
    let value = read(&mut reader)?;
    reader.finish()?;
    Ok(value)
}

enum Unresolved {
    Bytes(DecodeError),
    Schema(String),
}

impl From<apache_avro::Error> for Unresolved {
    fn from(error: apache_avro::Error) -> Self {
        Unresolved::Schema(error.to_string())
    }
}

impl SlowPath {
    fn own(&self, json: &'static str) -> &Schema {
        self.own.get_or_init(|| Schema::parse_str(json).expect("our own .avsc parses (a test parses every one)"))
    }

    /// The body as our own schema would have written it.
    fn resolve(&self, writer: &Schema, own_json: &'static str, body: &[u8]) -> Result<Vec<u8>, Unresolved> {
        // apache-avro trusts lengths up to 512 MiB. Walking the bytes first with our own reader proves them sound.
        json::walk(writer, Reader::after(FRAME_BYTES, body)).map_err(Unresolved::Bytes)?;
        let own = self.own(own_json);
        let mut bytes = body;
        let value = GenericDatumReader::builder(writer).reader_schema(own).build()?.read_value(&mut bytes)?;
        Ok(GenericDatumWriter::builder(own).build()?.write_value_to_vec(value)?)
    }
}

impl<T> Clone for Codec<T> {
    fn clone(&self) -> Self {
        Codec { frame: self.frame, id: self.id, slow: Arc::clone(&self.slow), value: PhantomData }
    }
}

impl<T: AvroRecord> fmt::Debug for Codec<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Codec").field("record", &T::NAME).field("id", &self.id).finish_non_exhaustive()
    }
}
