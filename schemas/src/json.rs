//! Avro bytes as JSON, by any schema: proves another writer's bytes sound before apache-avro reads them, and is what the
//! tests hold [`AvroValue::transcode`] against.
//!
//! The shape is that of the records' own `serde` form: a union of records is `{"PlaceOrder": {…}}`, an optional value
//! is the value or `null`, an enum is its symbol, a timestamp is its number of milliseconds.

use apache_avro::Schema;
use apache_avro::schema::{NamesRef, ResolvedSchema, SchemaKind};
use serde_json::{Map, Value};

use crate::avro::{AvroValue, Reader};
use crate::error::DecodeError;
use crate::limits::DEPTH_MAX;

/// A whole body, by the schema it was written with.
///
/// # Errors
/// When the bytes do not fit the schema, or the schema uses a type that is not supported here.
pub fn walk(schema: &Schema, mut reader: Reader<'_>) -> Result<Value, DecodeError> {
    let resolved = ResolvedSchema::try_from(schema).map_err(|e| DecodeError::Schema { reason: e.to_string() })?;
    let value = read(schema, resolved.get_names(), &mut reader, 0)?;
    reader.finish()?;
    Ok(value)
}

/// Walks one value. `depth` bounds the stack: a schema from outside may refer to itself.
fn read(schema: &Schema, names: &NamesRef<'_>, reader: &mut Reader<'_>, depth: usize) -> Result<Value, DecodeError> {
    if depth > DEPTH_MAX {
        return Err(DecodeError::Schema { reason: format!("values nest deeper than {DEPTH_MAX}") });
    }
    let depth = depth + 1;
    Ok(match schema {
        Schema::Null => Value::Null,
        Schema::Boolean => bool::decode(reader)?.into(),
        Schema::Int | Schema::Date | Schema::TimeMillis => reader.int()?.into(),
        Schema::Long
        | Schema::TimeMicros
        | Schema::TimestampMillis
        | Schema::TimestampMicros
        | Schema::TimestampNanos
        | Schema::LocalTimestampMillis
        | Schema::LocalTimestampMicros
        | Schema::LocalTimestampNanos => reader.long()?.into(),
        Schema::Float => {
            let mut bytes = [0; 4];
            bytes.copy_from_slice(reader.take(4)?);
            f32::from_le_bytes(bytes).into()
        }
        Schema::Double => f64::decode(reader)?.into(),
        Schema::String => reader.str()?.into(),
        Schema::Bytes => hex(reader.bytes()?),
        Schema::Fixed(fixed) => hex(reader.take(fixed.size)?),
        Schema::Enum(schema) => {
            let index = reader.long()?;
            let symbol = usize::try_from(index).ok().and_then(|i| schema.symbols.get(i));
            symbol.ok_or_else(|| reader.bad_index("an enum", "symbol", index))?.as_str().into()
        }
        Schema::Record(record) => {
            let mut object = Map::with_capacity(record.fields.len());
            for field in &record.fields {
                object.insert(field.name.clone(), read(&field.schema, names, reader, depth)?);
            }
            Value::Object(object)
        }
        Schema::Union(union) => {
            let index = reader.long()?;
            let branch = usize::try_from(index).ok().and_then(|i| union.variants().get(i));
            let branch = branch.ok_or_else(|| reader.bad_index("a union", "branch", index))?;
            let value = read(branch, names, reader, depth)?;
            // `["null", T]` is an optional value; any other union says which branch it holds.
            match branch.name() {
                Some(name) if !(union.is_nullable() && union.variants().len() == 2) => {
                    Value::Object(Map::from_iter([(name.name().to_owned(), value)]))
                }
                _ => value,
            }
        }
        Schema::Array(array) => {
            let mut items = Vec::new();
            blocks(reader, |reader| {
                items.push(read(&array.items, names, reader, depth)?);
                Ok(())
            })?;
            Value::Array(items)
        }
        Schema::Map(map) => {
            let mut object = Map::new();
            blocks(reader, |reader| {
                let key = reader.str()?.to_owned();
                object.insert(key, read(&map.types, names, reader, depth)?);
                Ok(())
            })?;
            Value::Object(object)
        }
        Schema::Ref { name } => {
            let target = names.get(name).copied();
            let target = target.ok_or_else(|| DecodeError::Schema { reason: format!("{name} is not defined") })?;
            read(target, names, reader, depth)?
        }
        other => {
            let kind = format!("{:?}", SchemaKind::from(other));
            return Err(DecodeError::Schema { reason: format!("type {kind} is not supported here") });
        }
    })
}

/// Reads the items of an array's or map's blocks; each item must take a byte at least, so that a count is bounded by
/// the bytes that follow it.
fn blocks<'a>(
    reader: &mut Reader<'a>,
    mut item: impl FnMut(&mut Reader<'a>) -> Result<(), DecodeError>,
) -> Result<(), DecodeError> {
    while let Some(count) = reader.block()? {
        for _ in 0..count {
            item(reader)?;
        }
    }
    Ok(())
}

fn hex(bytes: &[u8]) -> Value {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>().into()
}
