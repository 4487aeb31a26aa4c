//! Records of a stream-stream join that have not met a partner yet, in the order their windows close (Kafka Streams: the
//! shared outer-join store, `TimestampedKeyAndJoinSide` to a list of `LeftOrRightValue`).

use std::ops::ControlFlow;
use std::sync::Arc;

use state::layout::{push_delimited, split_delimited};
use state::{Direction, Range};

use super::entries::{Entries, Typed, bad_key, key_time, stored_time};
use super::{StateAccess, StoreHandle, StoreOptions, StoreSpec};
use crate::error::ProcessError;
use crate::record::Headers;
use crate::serde::{Serde, SerdeError};
use crate::topology::StoreIndex;
use crate::types::Timestamp;

/// Which stream a record came from. Right sorts first, as Kafka Streams' `TimestampedKeyAndJoinSideSerializer` has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Right = 0,
    Left = 1,
}

/// A value of either side.
pub(crate) enum Either<L, R> {
    Left(L),
    Right(R),
}

struct EitherSerde<L, R> {
    left: Arc<dyn Serde<L>>,
    right: Arc<dyn Serde<R>>,
}

/// `[side 1][value]`.
impl<L: 'static, R: 'static> Serde<Either<L, R>> for EitherSerde<L, R> {
    fn serialize(&self, value: &Either<L, R>, out: &mut Vec<u8>) -> Result<(), SerdeError> {
        match value {
            Either::Left(value) => {
                out.push(Side::Left as u8);
                self.left.serialize(value, out)
            }
            Either::Right(value) => {
                out.push(Side::Right as u8);
                self.right.serialize(value, out)
            }
        }
    }

    fn deserialize(&self, bytes: &[u8]) -> Result<Either<L, R>, SerdeError> {
        match bytes.split_first() {
            Some((&1, value)) => self.left.deserialize(value).map(Either::Left),
            Some((&0, value)) => self.right.deserialize(value).map(Either::Right),
            _ => Err(SerdeError::new("an unjoined record has no side")),
        }
    }
}

/// The store to be.
pub(crate) struct OuterJoin<K, L, R> {
    pub(crate) key: Arc<dyn Serde<K>>,
    pub(crate) left: Arc<dyn Serde<L>>,
    pub(crate) right: Arc<dyn Serde<R>>,
    pub(crate) options: StoreOptions,
}

impl<K: 'static, L: 'static, R: 'static> StoreSpec for OuterJoin<K, L, R> {
    type Handle = OuterJoinStore<K, L, R>;
    fn shape(&self) -> &'static str {
        "outer-join"
    }
    fn options(&self) -> &StoreOptions {
        &self.options
    }
    fn handle(self, index: StoreIndex, name: Arc<str>) -> OuterJoinStore<K, L, R> {
        let value = Arc::new(EitherSerde { left: self.left, right: self.right });
        OuterJoinStore { typed: Typed { index, name, key: self.key, value } }
    }
}

/// Handle of the store. Key: time 8 · side 1 · record key, delimited · sequence 4.
pub(crate) struct OuterJoinStore<K, L, R> {
    typed: Typed<K, Either<L, R>>,
}

impl<K, L, R> Clone for OuterJoinStore<K, L, R> {
    fn clone(&self) -> Self {
        OuterJoinStore { typed: self.typed.clone() }
    }
}

impl<K, L, R> StoreHandle for OuterJoinStore<K, L, R> {
    fn index(&self) -> StoreIndex {
        self.typed.index
    }
    fn name(&self) -> &str {
        &self.typed.name
    }
}

/// Where a list of unjoined records begins: time, side and key.
fn list_of(key: &[u8], time: Timestamp, side: Side, out: &mut Vec<u8>) {
    out.extend_from_slice(&stored_time(time).to_be_bytes());
    out.push(side as u8);
    push_delimited(key, out);
}

/// A record that never met a partner.
pub(crate) struct Unjoined<K, L, R> {
    pub(crate) key: K,
    pub(crate) time: Timestamp,
    pub(crate) value: Either<L, R>,
}

impl<K: 'static, L: 'static, R: 'static> OuterJoinStore<K, L, R> {
    /// Adds a record behind those of the same time, side and key.
    pub(crate) fn put(
        &self,
        cx: &mut impl StateAccess,
        key: &K,
        time: Timestamp,
        value: &Either<L, R>,
    ) -> Result<(), ProcessError> {
        let side = match value {
            Either::Left(_) => Side::Left,
            Either::Right(_) => Side::Right,
        };
        let last = self.list(cx, key, time, side)?.pop();
        let sequence = match last.as_deref().map(|bytes| bytes.last_chunk::<4>()) {
            Some(Some(last)) => u32::from_be_bytes(*last).saturating_add(1),
            _ => 0,
        };
        let (task, slot) = self.typed.open(cx)?;
        self.typed.encode_key(task, key, |key, out| {
            list_of(key, time, side, out);
            out.extend_from_slice(&sequence.to_be_bytes());
        })?;
        self.typed.put_value(task, slot, Headers::empty(), time, |out| self.typed.value.serialize(value, out))
    }

    /// Removes the records of a time, side and key: they have met a partner. Costs one look-up when there are none.
    pub(crate) fn remove(
        &self,
        cx: &mut impl StateAccess,
        key: &K,
        time: Timestamp,
        side: Side,
    ) -> Result<(), ProcessError> {
        let list = self.list(cx, key, time, side)?;
        let (task, slot) = self.typed.open(cx)?;
        for bytes in list {
            task.overlay.delete(slot, &bytes);
        }
        Ok(())
    }

    /// The keys of the records of a time, side and key. Sequences of a list begin at 0 and a list is only ever removed
    /// whole, so that a look-up of 0 tells whether there is one.
    fn list(
        &self,
        cx: &mut impl StateAccess,
        key: &K,
        time: Timestamp,
        side: Side,
    ) -> Result<Vec<Vec<u8>>, ProcessError> {
        let mut entries = self.typed.entries(cx)?;
        self.typed.encode_key(entries.task, key, |key, out| {
            list_of(key, time, side, out);
            out.extend_from_slice(&[0; 4]);
        })?;
        let first = entries.task.key_bytes.clone();
        let mut keys = Vec::new();
        if entries.task.overlay.get(entries.slot, &first)?.is_none() {
            return Ok(keys);
        }
        let mut last = first.clone();
        if let Some(sequence) = last.last_chunk_mut::<4>() {
            *sequence = [u8::MAX; 4];
        }
        let scanned = entries.scan(Range::inclusive(&first, &last), Direction::Forward, &mut |key, _, _| {
            keys.push(key.to_vec());
            Ok(ControlFlow::Continue(()))
        });
        scanned.map_err(|e| self.typed.failed(e))?;
        Ok(keys)
    }

    /// Removes and returns the records whose window is closed, in byte order of time, side and key. `is_open` is asked
    /// with side and time; once open, every later time of that side is. It answers true for a side that is never here.
    pub(crate) fn take_closed(
        &self,
        cx: &mut impl StateAccess,
        is_open: impl Fn(Side, Timestamp) -> bool,
    ) -> Result<Vec<Unjoined<K, L, R>>, ProcessError> {
        let mut entries = self.typed.entries(cx)?;
        let mut closed = Vec::new();
        let mut taken: Vec<Vec<u8>> = Vec::new();
        let scanned = entries.scan(Range::all(), Direction::Forward, &mut |bytes, payload, _| {
            let bad = || bad_key("unjoined record's", bytes);
            let (time, rest) = bytes.split_first_chunk::<8>().ok_or_else(bad)?;
            let (side, rest) = rest.split_first().ok_or_else(bad)?;
            let (key, _) = split_delimited(rest).ok_or_else(bad)?;
            let side = if *side == Side::Left as u8 { Side::Left } else { Side::Right };
            let time = key_time(u64::from_be_bytes(*time));
            if is_open(Side::Left, time) && is_open(Side::Right, time) {
                return Ok(ControlFlow::Break(()));
            }
            if !is_open(side, time) {
                let value = self.typed.value.deserialize(payload)?;
                closed.push(Unjoined { key: self.typed.key.deserialize(&key)?, time, value });
                taken.push(bytes.to_vec());
            }
            Ok(ControlFlow::Continue(()))
        });
        scanned.map_err(|e| self.typed.failed(e))?;
        for bytes in taken {
            entries.task.overlay.delete(entries.slot, &bytes);
        }
        Ok(closed)
    }
}
