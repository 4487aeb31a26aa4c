//! Where a store partition stands.

use crate::Error;

/// Version byte of an encoded [`Position`].
const VERSION: u8 = 1;

/// Where a store partition stands; written in the same batch as the data it speaks of, so the two cannot differ.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Position {
    /// Next changelog offset to apply: all records before it are in the store.
    pub changelog_next: i64,
    /// Id of the changelog topic, so that a topic deleted and made anew under the same name is noticed.
    pub topic_id: [u8; 16],
    /// Wall-clock time of the commit, milliseconds since the Unix epoch.
    pub committed_at_ms: i64,
    /// Next offset of each input partition, as committed together with this data: (topic, partition, next offset).
    pub inputs: Vec<(String, u32, i64)>,
}

impl Position {
    /// Appends the stored form: version, fields in order, integers little-endian, lengths as `u32`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.push(VERSION);
        out.extend_from_slice(&self.changelog_next.to_le_bytes());
        out.extend_from_slice(&self.topic_id);
        out.extend_from_slice(&self.committed_at_ms.to_le_bytes());
        out.extend_from_slice(&length(self.inputs.len()).to_le_bytes());
        for (topic, partition, next) in &self.inputs {
            out.extend_from_slice(&length(topic.len()).to_le_bytes());
            out.extend_from_slice(topic.as_bytes());
            out.extend_from_slice(&partition.to_le_bytes());
            out.extend_from_slice(&next.to_le_bytes());
        }
    }

    /// Reads the stored form.
    ///
    /// # Errors
    /// [`Error::Corrupt`] when the bytes are not one whole position of a known version.
    pub fn decode(bytes: &[u8]) -> Result<Self, Error> {
        decode(bytes)
            .ok_or_else(|| Error::Corrupt { message: format!("a position of {} bytes cannot be read", bytes.len()) })
    }
}

/// Topic names and input lists are far below 4 GiB; a longer one is our own bug.
fn length(len: usize) -> u32 {
    assert!(u32::try_from(len).is_ok(), "position field of {len} entries");
    len as u32
}

fn decode(mut bytes: &[u8]) -> Option<Position> {
    let bytes = &mut bytes;
    if take::<1>(bytes)? != [VERSION] {
        return None;
    }
    let changelog_next = i64::from_le_bytes(take(bytes)?);
    let topic_id = take(bytes)?;
    let committed_at_ms = i64::from_le_bytes(take(bytes)?);
    let count = u32::from_le_bytes(take(bytes)?);
    // Not reserved by `count`: a damaged count must not allocate.
    let mut inputs = Vec::new();
    for _ in 0..count {
        let len = u32::from_le_bytes(take(bytes)?) as usize;
        let (topic, rest) = bytes.split_at_checked(len)?;
        *bytes = rest;
        let topic = std::str::from_utf8(topic).ok()?.to_owned();
        inputs.push((topic, u32::from_le_bytes(take(bytes)?), i64::from_le_bytes(take(bytes)?)));
    }
    bytes.is_empty().then_some(Position { changelog_next, topic_id, committed_at_ms, inputs })
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (head, rest) = bytes.split_first_chunk::<N>()?;
    *bytes = rest;
    Some(*head)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trip_and_every_truncation_refused() {
        let position = Position {
            changelog_next: i64::MAX,
            topic_id: [7; 16],
            committed_at_ms: -1,
            inputs: vec![("orders".into(), 3, 42), (String::new(), 0, 0)],
        };
        let mut bytes = Vec::new();
        position.encode(&mut bytes);
        assert_eq!(Position::decode(&bytes).unwrap(), position);
        for end in 0..bytes.len() {
            assert!(matches!(Position::decode(&bytes[..end]), Err(Error::Corrupt { .. })), "{end}");
        }
        bytes.push(0);
        assert!(Position::decode(&bytes).is_err(), "trailing byte");
        bytes.pop();
        bytes[0] = 9;
        assert!(Position::decode(&bytes).is_err(), "unknown version");
    }
}
