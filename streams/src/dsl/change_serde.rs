//! The form of a [`Change`] in a repartition topic: new and old value in one record (KIP-904).

use std::sync::Arc;

use crate::dsl::table::Change;
use crate::serde::{Serde, SerdeError};

/// `[flags 1][length of new 4, if both][new][old]`. Our own topics only, so the layout is ours: Kafka Streams' puts its
/// flag last (`ChangedSerializer`). Bit 0: new is there; bit 1: old is there.
pub(crate) struct ChangeSerde<V> {
    value: Arc<dyn Serde<V>>,
}

impl<V: 'static> ChangeSerde<V> {
    pub(crate) fn new(value: Arc<dyn Serde<V>>) -> Self {
        ChangeSerde { value }
    }
}

impl<V: 'static> Serde<Change<V>> for ChangeSerde<V> {
    fn serialize(&self, change: &Change<V>, out: &mut Vec<u8>) -> Result<(), SerdeError> {
        match (&change.new, &change.old) {
            (None, None) => {
                out.push(0);
                Ok(())
            }
            (Some(new), None) => {
                out.push(1);
                self.value.serialize(new, out)
            }
            (None, Some(old)) => {
                out.push(2);
                self.value.serialize(old, out)
            }
            (Some(new), Some(old)) => {
                out.push(3);
                let at = out.len();
                out.extend_from_slice(&[0; 4]);
                self.value.serialize(new, out)?;
                let length = u32::try_from(out.len() - at - 4).map_err(|_| SerdeError::new("a value over 4 GiB"))?;
                if let Some(slot) = out.get_mut(at..at + 4) {
                    slot.copy_from_slice(&length.to_be_bytes());
                }
                self.value.serialize(old, out)
            }
        }
    }

    fn deserialize(&self, bytes: &[u8]) -> Result<Change<V>, SerdeError> {
        let short = || SerdeError::new("change is cut short");
        let (flags, rest) = bytes.split_first().ok_or_else(short)?;
        let value = |bytes: &[u8]| self.value.deserialize(bytes).map(Some);
        match flags {
            0 if rest.is_empty() => Ok(Change::new(None, None)),
            1 => Ok(Change::new(value(rest)?, None)),
            2 => Ok(Change::new(None, value(rest)?)),
            3 => {
                let (length, rest) = rest.split_first_chunk::<4>().ok_or_else(short)?;
                let (new, old) = rest.split_at_checked(u32::from_be_bytes(*length) as usize).ok_or_else(short)?;
                Ok(Change::new(value(new)?, value(old)?))
            }
            other => Err(SerdeError::new(format!("change has unknown flags {other}"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serde::Utf8;

    #[test]
    fn round_trip_and_refusals() {
        let serde = ChangeSerde::new(Arc::new(Utf8) as Arc<dyn Serde<String>>);
        let text = |s: &str| Some(s.to_owned());
        for change in
            [(None, None), (text("a"), None), (None, text("b")), (text(""), text("bc")), (text("ab"), text(""))]
        {
            let change = Change::new(change.0, change.1);
            let mut bytes = Vec::new();
            serde.serialize(&change, &mut bytes).unwrap();
            assert_eq!(serde.deserialize(&bytes).unwrap(), change);
        }
        for bytes in [&b""[..], b"\x04", b"\x03\0\0", b"\x03\0\0\0\x09a", b"\0x"] {
            assert!(serde.deserialize(bytes).is_err(), "{bytes:?}");
        }
    }
}
