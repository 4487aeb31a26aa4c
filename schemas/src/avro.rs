//! Avro's binary encoding for plain Rust types, written out by hand or by [`avro!`](crate::avro!): no schema is walked
//! at run time, nothing is allocated but the strings of the value read.
//!
//! Format: Avro specification 1.12, "Binary Encoding". `tests/agrees_with_apache_avro.rs` proves that every record
//! here and `apache-avro` with the record's `.avsc` write the same bytes.

use crate::error::DecodeError;

/// A value with an Avro encoding; nested records, enums and unions, and the primitives they are made of.
pub trait AvroValue: Sized {
    /// Appends the value's encoding.
    fn encode(&self, out: &mut Vec<u8>);

    /// Reads one value; never panics. Strings take as much memory as their bytes; arrays grow as they are read, so a
    /// count that the bytes do not bear out reserves no more than the input's length.
    ///
    /// # Errors
    /// When the bytes are not such a value.
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError>;

    /// Reads one value and appends it as JSON, the text of its `serde` form: for answers that need no value between. Takes
    /// no memory but `out`'s, which on an error holds the beginning of a text.
    ///
    /// # Errors
    /// As [`AvroValue::decode`].
    fn transcode(reader: &mut Reader<'_>, out: &mut Vec<u8>) -> Result<(), DecodeError>;
}

/// As [`AvroValue::transcode`], of a primitive value that is decoded without taking memory.
#[inline]
fn transcode_decoded<T: AvroValue + serde::Serialize>(
    reader: &mut Reader<'_>,
    out: &mut Vec<u8>,
) -> Result<(), DecodeError> {
    write_json(&T::decode(reader)?, out);
    Ok(())
}

/// Appends a primitive value as JSON.
#[inline]
fn write_json(value: &(impl serde::Serialize + ?Sized), out: &mut Vec<u8>) {
    if let Err(e) = serde_json::to_writer(out, value) {
        unreachable!("a primitive value has a JSON form, and a vector takes it: {e}");
    }
}

/// A record with an `.avsc` file of its own: what a topic or a store holds.
pub trait AvroRecord: AvroValue + Send + Sync + 'static {
    /// Full Avro name, e.g. `orderflow.fashion.OrderCommand`; the key into [`crate::catalog`].
    const NAME: &'static str;

    /// The text of the `.avsc` file.
    fn schema_json() -> &'static str;

    /// Appends the Avro body, without frame.
    fn encode_body(&self, out: &mut Vec<u8>) {
        self.encode(out);
    }

    /// Reads the Avro body, without frame; the caller checks that no bytes are left.
    ///
    /// # Errors
    /// When the bytes are not such a record.
    fn decode_body(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Self::decode(reader)
    }
}

/// A cursor over the bytes of one value.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    left: &'a [u8],
    end: usize,
}

impl<'a> Reader<'a> {
    /// Reads from the first byte of a body without frame.
    pub fn new(bytes: &'a [u8]) -> Self {
        Reader { left: bytes, end: bytes.len() }
    }

    /// Reads a body that starts `skipped` bytes into what the operator sees; offsets in errors count from there.
    pub fn after(skipped: usize, bytes: &'a [u8]) -> Self {
        Reader { left: bytes, end: skipped + bytes.len() }
    }

    /// Offset of the next byte.
    pub fn offset(&self) -> usize {
        self.end - self.left.len()
    }

    /// Bytes not yet read.
    pub fn left(&self) -> usize {
        self.left.len()
    }

    /// Succeeds when every byte was read.
    ///
    /// # Errors
    /// [`DecodeError::Trailing`] otherwise.
    pub fn finish(&self) -> Result<(), DecodeError> {
        match self.left.len() {
            0 => Ok(()),
            count => Err(DecodeError::Trailing { count }),
        }
    }

    /// Reads one byte.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`] at the end.
    #[inline]
    pub fn byte(&mut self) -> Result<u8, DecodeError> {
        match self.left.split_first() {
            Some((&byte, rest)) => {
                self.left = rest;
                Ok(byte)
            }
            None => Err(self.truncated(1)),
        }
    }

    /// Reads exactly `count` bytes, without copying.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`] when fewer are left.
    #[inline]
    pub fn take(&mut self, count: usize) -> Result<&'a [u8], DecodeError> {
        match self.left.split_at_checked(count) {
            Some((taken, rest)) => {
                self.left = rest;
                Ok(taken)
            }
            None => Err(self.truncated(count)),
        }
    }

    /// Reads a zigzag variable-length `long`.
    ///
    /// # Errors
    /// When the bytes end inside it or it does not fit 64 bits.
    #[inline]
    pub fn long(&mut self) -> Result<i64, DecodeError> {
        // One byte is by far the commonest: lengths, small counts, enum symbols.
        match self.left.split_first() {
            Some((&byte, rest)) if byte < 0x80 => {
                self.left = rest;
                Ok(unzigzag(u64::from(byte)))
            }
            _ => self.long_slow(),
        }
    }

    fn long_slow(&mut self) -> Result<i64, DecodeError> {
        let offset = self.offset();
        let mut value = 0_u64;
        for (position, &byte) in self.left.iter().enumerate() {
            // The tenth byte carries the 64th bit only.
            if position == 9 && byte > 1 {
                return Err(DecodeError::Number { offset, kind: "long" });
            }
            value |= u64::from(byte & 0x7f) << (7 * position);
            if byte < 0x80 {
                self.left = self.left.get(position + 1..).unwrap_or_default();
                return Ok(unzigzag(value));
            }
        }
        Err(DecodeError::Truncated { offset: self.end, needed: 1 })
    }

    /// Reads a zigzag variable-length `int`.
    ///
    /// # Errors
    /// When the bytes end inside it or it does not fit 32 bits.
    #[inline]
    pub fn int(&mut self) -> Result<i32, DecodeError> {
        let offset = self.offset();
        i32::try_from(self.long()?).map_err(|_| DecodeError::Number { offset, kind: "int" })
    }

    /// Reads a length-prefixed byte string, without copying.
    ///
    /// # Errors
    /// When the length is negative or more than is left.
    #[inline]
    pub fn bytes(&mut self) -> Result<&'a [u8], DecodeError> {
        let offset = self.offset();
        let length = self.long()?;
        let left = self.left.len();
        match usize::try_from(length) {
            Ok(length) if length <= left => self.take(length),
            Ok(length) => Err(DecodeError::Truncated { offset: self.end, needed: length - left }),
            Err(_) => Err(DecodeError::Length { offset, length, left }),
        }
    }

    /// Reads a string, without copying.
    ///
    /// # Errors
    /// When the length is wrong or the bytes are not UTF-8.
    #[inline]
    pub fn str(&mut self) -> Result<&'a str, DecodeError> {
        let offset = self.offset();
        std::str::from_utf8(self.bytes()?).map_err(|_| DecodeError::Utf8 { offset })
    }

    /// Reads the number of an enum symbol or union branch; `name` and `what` are for [`Reader::bad_index`].
    ///
    /// # Errors
    /// As [`Reader::long`].
    #[inline]
    pub fn index(&mut self) -> Result<i64, DecodeError> {
        self.long()
    }

    /// The error for a number just read with [`Reader::index`] that the schema does not have.
    #[cold]
    pub fn bad_index(&self, name: &'static str, what: &'static str, index: i64) -> DecodeError {
        DecodeError::Index { name, what, index, offset: self.offset() }
    }

    /// Reads the start of the next block of an array or map: how many items follow, or `None` after the last block.
    ///
    /// # Errors
    /// When the count is larger than the bytes that are left: items of nothing are not supported.
    pub fn block(&mut self) -> Result<Option<usize>, DecodeError> {
        let offset = self.offset();
        let mut count = self.long()?;
        if count == 0 {
            return Ok(None);
        }
        if count < 0 {
            // A negative count is followed by the block's size in bytes, which only a skipping reader needs.
            self.long()?;
            count = count.checked_neg().unwrap_or(i64::MAX);
        }
        // Each item takes a byte at least, so a count is bounded by the bytes that follow it.
        let left = self.left();
        match usize::try_from(count) {
            Ok(count) if count <= left => Ok(Some(count)),
            Ok(count) => Err(DecodeError::Truncated { offset: self.end, needed: count - left }),
            Err(_) => Err(DecodeError::Length { offset, length: count, left }),
        }
    }

    #[cold]
    fn truncated(&self, wanted: usize) -> DecodeError {
        DecodeError::Truncated { offset: self.end, needed: wanted - self.left.len() }
    }
}

/// Most bytes that a `long` takes.
const LONG_BYTES_MAX: usize = 10;

/// Appends a zigzag variable-length `long` (an Avro `int` has the same bytes).
#[inline]
pub fn write_long(value: i64, out: &mut Vec<u8>) {
    let zigzag = zigzag(value);
    if zigzag < 0x80 {
        out.push(zigzag as u8);
    } else {
        write_long_slow(zigzag, out);
    }
}

fn write_long_slow(mut zigzag: u64, out: &mut Vec<u8>) {
    let mut buffer = [0_u8; LONG_BYTES_MAX];
    let mut length = 0;
    for slot in &mut buffer {
        length += 1;
        if zigzag < 0x80 {
            *slot = zigzag as u8;
            break;
        }
        *slot = (zigzag as u8) | 0x80;
        zigzag >>= 7;
    }
    // Copying all ten bytes and dropping the excess is a few plain stores; copying `length` bytes would be a call.
    let end = out.len() + length;
    out.extend_from_slice(&buffer);
    out.truncate(end);
}

fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

fn unzigzag(value: u64) -> i64 {
    ((value >> 1) as i64) ^ -((value & 1) as i64)
}

impl AvroValue for bool {
    #[inline]
    fn encode(&self, out: &mut Vec<u8>) {
        out.push(u8::from(*self));
    }
    #[inline]
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let offset = reader.offset();
        match reader.byte()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(DecodeError::Boolean { offset }),
        }
    }
    #[inline]
    fn transcode(reader: &mut Reader<'_>, out: &mut Vec<u8>) -> Result<(), DecodeError> {
        transcode_decoded::<Self>(reader, out)
    }
}

impl AvroValue for i32 {
    #[inline]
    fn encode(&self, out: &mut Vec<u8>) {
        write_long(i64::from(*self), out);
    }
    #[inline]
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        reader.int()
    }
    #[inline]
    fn transcode(reader: &mut Reader<'_>, out: &mut Vec<u8>) -> Result<(), DecodeError> {
        transcode_decoded::<Self>(reader, out)
    }
}

impl AvroValue for i64 {
    #[inline]
    fn encode(&self, out: &mut Vec<u8>) {
        write_long(*self, out);
    }
    #[inline]
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        reader.long()
    }
    #[inline]
    fn transcode(reader: &mut Reader<'_>, out: &mut Vec<u8>) -> Result<(), DecodeError> {
        transcode_decoded::<Self>(reader, out)
    }
}

impl AvroValue for f64 {
    #[inline]
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.to_le_bytes());
    }
    #[inline]
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(reader.take(8)?);
        Ok(f64::from_le_bytes(bytes))
    }
    #[inline]
    fn transcode(reader: &mut Reader<'_>, out: &mut Vec<u8>) -> Result<(), DecodeError> {
        transcode_decoded::<Self>(reader, out)
    }
}

impl AvroValue for String {
    #[inline]
    fn encode(&self, out: &mut Vec<u8>) {
        write_long(self.len() as i64, out);
        out.extend_from_slice(self.as_bytes());
    }
    #[inline]
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        reader.str().map(str::to_owned)
    }
    #[inline]
    fn transcode(reader: &mut Reader<'_>, out: &mut Vec<u8>) -> Result<(), DecodeError> {
        write_json(reader.str()?, out);
        Ok(())
    }
}

/// `["null", T]`, the only union of an optional value used here.
impl<T: AvroValue> AvroValue for Option<T> {
    #[inline]
    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            None => out.push(0),
            Some(value) => {
                out.push(2);
                value.encode(out);
            }
        }
    }
    #[inline]
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        match reader.index()? {
            0 => Ok(None),
            1 => T::decode(reader).map(Some),
            other => Err(reader.bad_index("an optional field", "branch", other)),
        }
    }
    #[inline]
    fn transcode(reader: &mut Reader<'_>, out: &mut Vec<u8>) -> Result<(), DecodeError> {
        match reader.index()? {
            0 => out.extend_from_slice(b"null"),
            1 => T::transcode(reader, out)?,
            other => return Err(reader.bad_index("an optional field", "branch", other)),
        }
        Ok(())
    }
}

/// An array. Written as one block; read as any number of blocks, with or without their sizes in bytes.
impl<T: AvroValue> AvroValue for Vec<T> {
    fn encode(&self, out: &mut Vec<u8>) {
        if !self.is_empty() {
            write_long(self.len() as i64, out);
            for item in self {
                item.encode(out);
            }
        }
        out.push(0);
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let mut items = Vec::new();
        while let Some(count) = reader.block()? {
            // Reserve no more memory than the input has bytes; honest large arrays grow as they are read.
            items.reserve_exact(count.min(reader.left() / size_of::<T>().max(1)));
            for _ in 0..count {
                items.push(T::decode(reader)?);
            }
        }
        Ok(items)
    }

    fn transcode(reader: &mut Reader<'_>, out: &mut Vec<u8>) -> Result<(), DecodeError> {
        out.push(b'[');
        let mut separator: &[u8] = b"";
        while let Some(count) = reader.block()? {
            for _ in 0..count {
                out.extend_from_slice(separator);
                separator = b",";
                T::transcode(reader, out)?;
            }
        }
        out.push(b']');
        Ok(())
    }
}
