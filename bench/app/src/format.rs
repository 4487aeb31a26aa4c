//! Avro values behind Confluent's five bytes, with the ids of `schema-ids.json`.

use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::path::Path;

use anyhow::Context as _;
use schemas::{AvroValue, DecodeError, Reader};
use streams::serde::{Serde, SerdeError};

use crate::stages::{Stage, timed};

/// Bytes before the Avro body: `0x00` and the schema id.
const FRAME_BYTES: usize = 5;

/// Schema ids by schema name.
#[derive(Clone, Debug)]
pub struct Ids(BTreeMap<String, u32>);

impl Ids {
    /// Reads a JSON object of names and ids.
    ///
    /// # Errors
    /// When the file cannot be read or is something else.
    pub fn read(path: &Path) -> anyhow::Result<Ids> {
        let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        Ok(Ids(serde_json::from_str(&text).with_context(|| format!("{} is no JSON of ids", path.display()))?))
    }

    /// The format of values of the schema `name`.
    ///
    /// # Errors
    /// When the file has no such name.
    pub fn format<T>(&self, name: &str) -> anyhow::Result<Avro<T>> {
        let id = self.0.get(name).with_context(|| format!("no schema id for {name}"))?;
        Ok(Avro { frame: schemas::frame(*id), value: PhantomData })
    }
}

/// Framed Avro values of one type; both workloads know exactly one version of each schema.
pub struct Avro<T> {
    frame: [u8; FRAME_BYTES],
    value: PhantomData<fn() -> T>,
}

impl<T> Clone for Avro<T> {
    fn clone(&self) -> Self {
        Avro { frame: self.frame, value: PhantomData }
    }
}

impl<T: AvroValue + 'static> Serde<T> for Avro<T> {
    fn serialize(&self, value: &T, out: &mut Vec<u8>) -> Result<(), SerdeError> {
        timed(Stage::Encode, || {
            out.extend_from_slice(&self.frame);
            value.encode(out);
        });
        Ok(())
    }

    fn deserialize(&self, bytes: &[u8]) -> Result<T, SerdeError> {
        timed(Stage::Decode, || self.read(bytes))
    }
}

impl<T: AvroValue> Avro<T> {
    fn read(&self, bytes: &[u8]) -> Result<T, SerdeError> {
        self.whole(bytes, T::decode)
    }

    /// Appends a value as JSON.
    ///
    /// # Errors
    /// When the bytes are no such value.
    pub fn transcode(&self, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), SerdeError> {
        self.whole(bytes, |reader| T::transcode(reader, out))
    }

    /// Reads behind the frame, to the last byte.
    #[inline]
    fn whole<V>(
        &self,
        bytes: &[u8],
        read: impl FnOnce(&mut Reader<'_>) -> Result<V, DecodeError>,
    ) -> Result<V, SerdeError> {
        let body = bytes
            .strip_prefix(&self.frame)
            .ok_or_else(|| SerdeError::new(format!("a value with the frame {:02x?} was expected", self.frame)))?;
        let mut reader = Reader::after(FRAME_BYTES, body);
        let value = read(&mut reader).map_err(|e| SerdeError::new(e.to_string()))?;
        reader.finish().map_err(|e| SerdeError::new(e.to_string()))?;
        Ok(value)
    }
}
