//! What a foreign-key join sends through its two topics. The topics are the topology's own, so the layouts are ours:
//!
//! ```text
//! subscription   version 1 · instruction 1 · partition 4 · hash · left key
//! response       version 1 · partition 4 · hash · present 1 · value
//! hash           0, or 1 and 16 bytes
//! ```

use std::sync::Arc;

use crate::serde::{Serde, SerdeError};
use crate::types::Partition;

const VERSION: u8 = 1;

/// What the right side does with a subscription (Kafka Streams: `SubscriptionWrapper.Instruction`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Instruction {
    /// End it; no answer.
    DeleteKeyNoPropagate,
    /// End it, and answer that there is no row.
    DeleteKeyAndPropagate,
    /// Keep it, and answer with the row or that there is none.
    PropagateNullIfNone,
    /// Keep it, and answer if there is a row.
    PropagateOnlyIfPresent,
}

/// A left row's wish to hear of a right row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Subscription {
    /// Hash of the left value it is for; none when the left row is gone.
    pub(crate) hash: Option<u128>,
    pub(crate) instruction: Instruction,
    /// Where the left row lies.
    pub(crate) primary_partition: Partition,
    /// Its key's bytes.
    pub(crate) primary_key: Vec<u8>,
}

/// The right row for a left row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Response<V> {
    pub(crate) hash: Option<u128>,
    pub(crate) primary_partition: Partition,
    pub(crate) value: Option<V>,
}

/// FNV-1a, 128 bit, over the value's bytes: tells the versions of one left row apart, nothing more.
pub(crate) fn hash<V: 'static>(serde: &dyn Serde<V>, value: &V) -> Result<u128, SerdeError> {
    const OFFSET_BASIS: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;
    let mut bytes = Vec::new();
    serde.serialize(value, &mut bytes)?;
    Ok(bytes.iter().fold(OFFSET_BASIS, |h, b| (h ^ u128::from(*b)).wrapping_mul(PRIME)))
}

#[derive(Clone, Copy)]
pub(crate) struct SubscriptionSerde;

impl Serde<Subscription> for SubscriptionSerde {
    fn serialize(&self, s: &Subscription, out: &mut Vec<u8>) -> Result<(), SerdeError> {
        let instruction = match s.instruction {
            Instruction::DeleteKeyNoPropagate => 0,
            Instruction::DeleteKeyAndPropagate => 1,
            Instruction::PropagateNullIfNone => 2,
            Instruction::PropagateOnlyIfPresent => 3,
        };
        out.extend_from_slice(&[VERSION, instruction]);
        out.extend_from_slice(&s.primary_partition.to_be_bytes());
        write_hash(s.hash, out);
        out.extend_from_slice(&s.primary_key);
        Ok(())
    }

    fn deserialize(&self, bytes: &[u8]) -> Result<Subscription, SerdeError> {
        let mut rest = read_version(bytes)?;
        let instruction = match take::<1>(&mut rest)? {
            [0] => Instruction::DeleteKeyNoPropagate,
            [1] => Instruction::DeleteKeyAndPropagate,
            [2] => Instruction::PropagateNullIfNone,
            [3] => Instruction::PropagateOnlyIfPresent,
            [other] => return Err(SerdeError::new(format!("subscription has unknown instruction {other}"))),
        };
        let primary_partition = Partition::from_be_bytes(take(&mut rest)?);
        Ok(Subscription { hash: read_hash(&mut rest)?, instruction, primary_partition, primary_key: rest.to_vec() })
    }
}

pub(crate) struct ResponseSerde<V> {
    pub(crate) value: Arc<dyn Serde<V>>,
}

impl<V: 'static> Serde<Response<V>> for ResponseSerde<V> {
    fn serialize(&self, r: &Response<V>, out: &mut Vec<u8>) -> Result<(), SerdeError> {
        out.push(VERSION);
        out.extend_from_slice(&r.primary_partition.to_be_bytes());
        write_hash(r.hash, out);
        out.push(u8::from(r.value.is_some()));
        r.value.as_ref().map_or(Ok(()), |value| self.value.serialize(value, out))
    }

    fn deserialize(&self, bytes: &[u8]) -> Result<Response<V>, SerdeError> {
        let mut rest = read_version(bytes)?;
        let primary_partition = Partition::from_be_bytes(take(&mut rest)?);
        let hash = read_hash(&mut rest)?;
        let value = match take::<1>(&mut rest)? {
            [0] if rest.is_empty() => None,
            [1] => Some(self.value.deserialize(rest)?),
            [other] => return Err(SerdeError::new(format!("response has unknown flag {other}"))),
        };
        Ok(Response { hash, primary_partition, value })
    }
}

fn read_version(bytes: &[u8]) -> Result<&[u8], SerdeError> {
    match bytes.split_first() {
        Some((&VERSION, rest)) => Ok(rest),
        Some((other, _)) => Err(SerdeError::new(format!(
            "message of a foreign-key join has format {other}, this release reads {VERSION}"
        ))),
        None => Err(short()),
    }
}

fn write_hash(hash: Option<u128>, out: &mut Vec<u8>) {
    match hash {
        None => out.push(0),
        Some(hash) => {
            out.push(1);
            out.extend_from_slice(&hash.to_be_bytes());
        }
    }
}

fn read_hash(rest: &mut &[u8]) -> Result<Option<u128>, SerdeError> {
    match take::<1>(rest)? {
        [0] => Ok(None),
        _ => Ok(Some(u128::from_be_bytes(take(rest)?))),
    }
}

fn take<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], SerdeError> {
    let (taken, tail) = rest.split_first_chunk::<N>().ok_or_else(short)?;
    *rest = tail;
    Ok(*taken)
}

fn short() -> SerdeError {
    SerdeError::new("message of a foreign-key join is cut short")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serde::Utf8;

    #[test]
    fn round_trip_and_refusals() {
        for hash in [None, Some(u128::MAX - 5)] {
            let subscription = Subscription {
                hash,
                instruction: Instruction::PropagateOnlyIfPresent,
                primary_partition: 7,
                primary_key: b"left".to_vec(),
            };
            let mut bytes = Vec::new();
            SubscriptionSerde.serialize(&subscription, &mut bytes).unwrap();
            assert_eq!(SubscriptionSerde.deserialize(&bytes).unwrap(), subscription);
            let serde = ResponseSerde { value: Arc::new(Utf8) };
            for value in [None, Some("right".to_owned())] {
                let response = Response { hash, primary_partition: 7, value };
                let mut bytes = Vec::new();
                serde.serialize(&response, &mut bytes).unwrap();
                assert_eq!(serde.deserialize(&bytes).unwrap(), response);
                assert!(serde.deserialize(&bytes[..6]).is_err());
            }
        }
        assert!(SubscriptionSerde.deserialize(b"\x02").is_err(), "a newer release's");
        assert!(SubscriptionSerde.deserialize(b"\x01\x09\0\0\0\0\0").is_err(), "an unknown instruction");
    }
}
