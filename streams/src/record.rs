//! Records as processors see them, as the log delivers them, and their headers.

use crate::types::{Offset, Timestamp};

/// Record headers in order; a name may repeat, a value may be null (Kafka's own rules).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers(Vec<(Box<str>, Option<Box<[u8]>>)>);

static EMPTY: Headers = Headers(Vec::new());

impl Headers {
    /// No headers, without an allocation.
    #[must_use]
    pub fn empty() -> &'static Headers {
        &EMPTY
    }

    /// Appends a header.
    pub fn add(&mut self, name: &str, value: Option<&[u8]>) {
        self.0.push((name.into(), value.map(Into::into)));
    }

    /// The last header of this name, if there is one (`Some(None)`: there is one and its value is null).
    #[must_use]
    pub fn last(&self, name: &str) -> Option<Option<&[u8]>> {
        self.iter().rev().find(|(n, _)| *n == name).map(|(_, v)| v)
    }

    /// All headers in order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (&str, Option<&[u8]>)> + ExactSizeIterator {
        self.0.iter().map(|(n, v)| (&**n, v.as_deref()))
    }

    /// True without any header.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many headers there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }
}

/// A record on its way through the topology. It borrows: forwarding one allocates nothing.
///
/// A null key or value is `None`, as on the topic.
#[derive(Debug)]
pub struct Record<'a, K, V> {
    /// The key.
    pub key: Option<&'a K>,
    /// The value; `None` is a tombstone.
    pub value: Option<&'a V>,
    /// Event time.
    pub timestamp: Timestamp,
    /// Headers of the input record, unless a processor replaced them.
    pub headers: &'a Headers,
}

impl<K, V> Clone for Record<'_, K, V> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<K, V> Copy for Record<'_, K, V> {}

impl<'a, K, V> Record<'a, K, V> {
    /// A record without headers.
    #[must_use]
    pub fn new(key: Option<&'a K>, value: Option<&'a V>, timestamp: Timestamp) -> Self {
        Record { key, value, timestamp, headers: Headers::empty() }
    }

    /// The same record with another value.
    #[must_use]
    pub fn with_value<W>(self, value: Option<&'a W>) -> Record<'a, K, W> {
        Record { key: self.key, value, timestamp: self.timestamp, headers: self.headers }
    }

    /// The same record with another key.
    #[must_use]
    pub fn with_key<L>(self, key: Option<&'a L>) -> Record<'a, L, V> {
        Record { key, value: self.value, timestamp: self.timestamp, headers: self.headers }
    }

    /// The same record at another time.
    #[must_use]
    pub fn at(self, timestamp: Timestamp) -> Self {
        Record { timestamp, ..self }
    }
}

/// A record as the log delivered it: key and value in one allocation, headers only when there are some.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Incoming {
    /// Its offset in the partition.
    pub offset: Offset,
    /// Its timestamp, unchecked.
    pub timestamp: Timestamp,
    key_len: Option<u32>,
    has_value: bool,
    bytes: Box<[u8]>,
    headers: Option<Box<Headers>>,
}

impl Incoming {
    /// Copies a record out of the log's own memory.
    #[must_use]
    pub fn new(
        offset: Offset,
        timestamp: Timestamp,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: Option<Headers>,
    ) -> Self {
        let (k, v) = (key.unwrap_or_default(), value.unwrap_or_default());
        let mut bytes = Vec::with_capacity(k.len() + v.len());
        bytes.extend_from_slice(k);
        bytes.extend_from_slice(v);
        Incoming {
            offset,
            timestamp,
            key_len: key.map(|k| u32::try_from(k.len()).unwrap_or(u32::MAX)),
            has_value: value.is_some(),
            bytes: bytes.into_boxed_slice(),
            headers: headers.filter(|h| !h.is_empty()).map(Box::new),
        }
    }

    /// The key's bytes; `None` for a null key.
    #[must_use]
    pub fn key(&self) -> Option<&[u8]> {
        self.key_len.map(|n| self.bytes.get(..n as usize).unwrap_or_default())
    }

    /// The value's bytes; `None` for a tombstone.
    #[must_use]
    pub fn value(&self) -> Option<&[u8]> {
        self.has_value.then(|| self.bytes.get(self.key_len.unwrap_or(0) as usize..).unwrap_or_default())
    }

    /// The record's headers.
    #[must_use]
    pub fn headers(&self) -> &Headers {
        self.headers.as_deref().unwrap_or(Headers::empty())
    }

    /// Bytes this record holds, for buffer limits.
    #[must_use]
    pub fn bytes_len(&self) -> usize {
        self.bytes.len()
    }
}
