//! Traffic files: Avro object container files (deflate) of [`Envelope`]s, in order of time.
//!
//! The header is written here and not by `apache-avro`, whose metadata map has no fixed order: the same seed must give
//! the same bytes.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use apache_avro::serde::bytes_opt;
use apache_avro::{Codec, DeflateSettings, Reader, Schema, Writer};
use schemas::write_long;
use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::limits::BLOCK_BYTES;

/// The schema of a traffic file.
pub const ENVELOPE_JSON: &str = include_str!("../avro/Envelope.avsc");

static SCHEMA: LazyLock<Schema> = LazyLock::new(|| {
    Schema::parse_str(ENVELOPE_JSON).expect("our own .avsc parses (every test of this file needs it)")
});

/// What must become of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Expect {
    /// Not known: recorded traffic, and what is not a command.
    Unknown,
    /// It has its effect.
    Accept,
    /// It has no second effect: the same command came before.
    Duplicate,
    /// It is judged and refused, with no effect.
    Refuse,
    /// It cannot be judged; the dead-letter topic gets its bytes.
    DeadLetter,
}

/// One record of traffic: what was, or is to be, written to a topic, and when. Written and read without a generic Avro value
/// between, which would cost a replay several times as much.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Envelope {
    /// Milliseconds since the epoch when recorded; since the beginning of the traffic when generated.
    pub at_ms: i64,
    /// Topic without a deployment's prefix.
    pub topic: String,
    /// Where it was recorded; none when generated.
    pub partition: Option<i32>,
    /// Where it was recorded; none when generated.
    pub offset: Option<i64>,
    /// The record's key.
    #[serde(with = "bytes_opt")]
    pub key: Option<Vec<u8>>,
    /// The record's value, framed as on the topic.
    #[serde(with = "bytes_opt")]
    pub value: Option<Vec<u8>>,
    /// Name and value of each header, in their order.
    #[serde(with = "headers")]
    pub headers: Vec<(String, Vec<u8>)>,
    /// What must become of it.
    pub expect: Expect,
    /// What it is, in a word: `place`, `cancel-after-delivery`, `poison:not-avro`, …
    pub kind: String,
}

/// Metadata of a file: `orderflow.app`, the parameters it was made with, …; names begin with `orderflow.`.
pub type Metadata = BTreeMap<String, String>;

/// Writes a traffic file.
pub struct TrafficWriter<W: Write> {
    inner: Writer<'static, W>,
    path: PathBuf,
    count: u64,
}

impl TrafficWriter<BufWriter<File>> {
    /// Creates or overwrites a file.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn create(path: &Path, metadata: &Metadata) -> Result<Self, Error> {
        let file = File::create(path).map_err(|e| Error::file(path, e))?;
        Self::new(BufWriter::new(file), path, metadata)
    }
}

impl<W: Write> TrafficWriter<W> {
    /// Writes to anything; `path` is for error messages.
    ///
    /// # Errors
    /// When the header cannot be written.
    pub fn new(mut out: W, path: &Path, metadata: &Metadata) -> Result<Self, Error> {
        let marker = marker(metadata);
        out.write_all(&header(metadata, &marker)).map_err(|e| Error::file(path, e))?;
        let inner = Writer::builder()
            .schema(&SCHEMA)
            .writer(out)
            .codec(Codec::Deflate(DeflateSettings::default()))
            .block_size(BLOCK_BYTES)
            .marker(marker)
            .has_header(true)
            .build()
            .map_err(|e| broken(path, e))?;
        Ok(TrafficWriter { inner, path: path.to_owned(), count: 0 })
    }

    /// Appends one record.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&mut self, envelope: Envelope) -> Result<(), Error> {
        self.inner.append_ser(envelope).map_err(|e| broken(&self.path, e))?;
        self.count += 1;
        Ok(())
    }

    /// Writes what is buffered and says how many records the file holds.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn finish(self) -> Result<(W, u64), Error> {
        let mut out = self.inner.into_inner().map_err(|e| broken(&self.path, e))?;
        out.flush().map_err(|e| Error::file(&self.path, e))?;
        Ok((out, self.count))
    }
}

/// Reads a traffic file, record by record.
pub struct TrafficReader {
    inner: Box<dyn Iterator<Item = Result<Envelope, apache_avro::Error>> + Send>,
    path: PathBuf,
    metadata: Metadata,
}

impl TrafficReader {
    /// Opens a file.
    ///
    /// # Errors
    /// When it cannot be read or is not a container file.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let file = File::open(path).map_err(|e| Error::file(path, e))?;
        let inner = Reader::new(BufReader::new(file)).map_err(|e| broken(path, e))?;
        let metadata = inner
            .user_metadata()
            .iter()
            .map(|(name, value)| (name.clone(), String::from_utf8_lossy(value).into_owned()))
            .collect();
        Ok(TrafficReader { inner: Box::new(inner.into_deser_iter()), path: path.to_owned(), metadata })
    }

    /// What the file says about itself.
    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }
}

impl Iterator for TrafficReader {
    type Item = Result<Envelope, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        Some(self.inner.next()?.map_err(|e| broken(&self.path, e)))
    }
}

fn broken(path: &Path, error: apache_avro::Error) -> Error {
    Error::Traffic { path: path.to_owned(), reason: error.to_string() }
}

/// Object container file header, Avro specification 1.12: magic, metadata map, sync marker.
fn header(metadata: &Metadata, marker: &[u8; 16]) -> Vec<u8> {
    let mut entries: BTreeMap<&str, &[u8]> =
        metadata.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
    entries.insert("avro.codec", b"deflate");
    entries.insert("avro.schema", ENVELOPE_JSON.trim().as_bytes());
    let mut out = b"Obj\x01".to_vec();
    write_long(entries.len() as i64, &mut out);
    for (name, value) in entries {
        write_long(name.len() as i64, &mut out);
        out.extend_from_slice(name.as_bytes());
        write_long(value.len() as i64, &mut out);
        out.extend_from_slice(value);
    }
    write_long(0, &mut out);
    out.extend_from_slice(marker);
    out
}

/// A marker that depends on the metadata only (FNV-1a, twice): random ones would make every file different.
fn marker(metadata: &Metadata) -> [u8; 16] {
    let mut hashes = [0xcbf2_9ce4_8422_2325_u64, 0x6c62_272e_07bb_0142];
    for (name, value) in metadata {
        for byte in name.bytes().chain([0]).chain(value.bytes()).chain([1]) {
            for hash in &mut hashes {
                *hash = (*hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
            }
        }
    }
    let mut marker = [0; 16];
    for (slot, byte) in marker.iter_mut().zip(hashes.iter().flat_map(|hash| hash.to_be_bytes())) {
        *slot = byte;
    }
    marker
}

/// A header's name and value are a record in the file.
mod headers {
    use apache_avro::serde::bytes;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Serialize, Deserialize)]
    struct Header {
        name: String,
        #[serde(with = "bytes")]
        value: Vec<u8>,
    }

    pub(super) fn serialize<S: Serializer>(headers: &[(String, Vec<u8>)], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(headers.iter().cloned().map(|(name, value)| Header { name, value }))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<(String, Vec<u8>)>, D::Error> {
        let headers = Vec::<Header>::deserialize(deserializer)?;
        Ok(headers.into_iter().map(|header| (header.name, header.value)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXPECTS: [Expect; 5] =
        [Expect::Unknown, Expect::Accept, Expect::Duplicate, Expect::Refuse, Expect::DeadLetter];

    fn envelope(at_ms: i64) -> Envelope {
        Envelope {
            at_ms,
            topic: "fashion.orders".to_owned(),
            partition: (at_ms % 2 == 0).then_some(3),
            offset: (at_ms % 2 == 0).then_some(i64::MAX),
            key: (at_ms % 3 != 0).then(|| b"order-1".to_vec()),
            value: (at_ms % 5 != 0).then(|| vec![0, 255, 128]),
            headers: vec![("reason".to_owned(), b"why".to_vec())],
            expect: EXPECTS[at_ms as usize % EXPECTS.len()],
            kind: "poison:null-key".to_owned(),
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("traffic.avro");
        let metadata = Metadata::from([("orderflow.app".to_owned(), "fashion-store".to_owned())]);
        let mut writer = TrafficWriter::create(&path, &metadata).unwrap();
        let all: Vec<_> = (0..5_000).map(envelope).collect();
        for one in &all {
            writer.write(one.clone()).unwrap();
        }
        assert_eq!(writer.finish().unwrap().1, 5_000);
        let reader = TrafficReader::open(&path).unwrap();
        assert_eq!(reader.metadata(), &metadata);
        let read: Vec<_> = reader.map(Result::unwrap).collect();
        assert_eq!(read, all);
    }

    #[test]
    fn a_file_of_something_else_is_refused_with_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("not-traffic.avro");
        std::fs::write(&path, b"PK\x03\x04 a zip file").unwrap();
        let error = TrafficReader::open(&path).err().unwrap();
        assert!(error.to_string().contains("not-traffic.avro"), "{error}");
        assert_eq!(error.exit_status(), 2);
    }
}
