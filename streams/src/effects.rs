//! What a task wants done to the world: records to send. Filled by processors, drained by the worker, reused for ever.

use std::ops::Range;

use crate::record::Headers;
use crate::types::{Partition, Timestamp, TopicIndex};

/// Outputs of the records processed since the last drain, in order. Keys and values lie in one arena.
#[derive(Debug, Default)]
pub struct Effects {
    arena: Vec<u8>,
    outputs: Vec<Output>,
}

/// One output; its bytes are in the arena.
#[derive(Debug)]
struct Output {
    topic: TopicIndex,
    partition: Option<Partition>,
    key: Option<Range<usize>>,
    value: Option<Range<usize>>,
    timestamp: Timestamp,
    headers: Option<Box<Headers>>,
}

/// A point to go back to when a record fails.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mark {
    arena: usize,
    outputs: usize,
}

/// One output, borrowed from the arena.
#[derive(Clone, Copy, Debug)]
pub struct OutputRef<'a> {
    /// Where to.
    pub topic: TopicIndex,
    /// Fixed partition, or `None` to partition by key.
    pub partition: Option<Partition>,
    /// Key bytes.
    pub key: Option<&'a [u8]>,
    /// Value bytes.
    pub value: Option<&'a [u8]>,
    /// Event time.
    pub timestamp: Timestamp,
    /// Headers.
    pub headers: &'a Headers,
}

impl Effects {
    /// Adds an output whose key and value are written into the arena by two functions; `None` means null.
    ///
    /// # Errors
    /// Those of the writers; the arena is then as before.
    pub(crate) fn push_with<E>(
        &mut self,
        topic: TopicIndex,
        partition: Option<Partition>,
        key: Option<impl FnOnce(&mut Vec<u8>) -> Result<(), E>>,
        value: Option<impl FnOnce(&mut Vec<u8>) -> Result<(), E>>,
        timestamp: Timestamp,
        headers: &Headers,
    ) -> Result<usize, E> {
        let mark = self.mark();
        let written = (|| {
            let key = key.map(|write| write_into(&mut self.arena, write)).transpose()?;
            let value = value.map(|write| write_into(&mut self.arena, write)).transpose()?;
            Ok((key, value))
        })();
        let (key, value) = written.inspect_err(|_| self.arena.truncate(mark.arena))?;
        let headers = (!headers.is_empty()).then(|| Box::new(headers.clone()));
        self.outputs.push(Output { topic, partition, key, value, timestamp, headers });
        Ok(self.arena.len() - mark.arena)
    }

    /// Adds an output of given bytes.
    pub(crate) fn push(
        &mut self,
        topic: TopicIndex,
        partition: Option<Partition>,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        timestamp: Timestamp,
        headers: &Headers,
    ) {
        let copy = |bytes: &[u8], out: &mut Vec<u8>| {
            out.extend_from_slice(bytes);
            Ok(())
        };
        let pushed = self.push_with::<std::convert::Infallible>(
            topic,
            partition,
            key.map(|b| move |out: &mut Vec<u8>| copy(b, out)),
            value.map(|b| move |out: &mut Vec<u8>| copy(b, out)),
            timestamp,
            headers,
        );
        match pushed {
            Ok(_) => (),
            Err(never) => match never {},
        }
    }

    pub(crate) fn mark(&self) -> Mark {
        Mark { arena: self.arena.len(), outputs: self.outputs.len() }
    }

    pub(crate) fn truncate(&mut self, mark: Mark) {
        self.arena.truncate(mark.arena);
        self.outputs.truncate(mark.outputs);
    }

    /// Empties the buffer and keeps its memory.
    pub fn clear(&mut self) {
        self.arena.clear();
        self.outputs.clear();
    }

    /// True without any output.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.outputs.is_empty()
    }

    /// The outputs in the order they were made.
    pub fn iter(&self) -> impl Iterator<Item = OutputRef<'_>> {
        let slice = |r: &Range<usize>| self.arena.get(r.clone()).unwrap_or_default();
        self.outputs.iter().map(move |o| OutputRef {
            topic: o.topic,
            partition: o.partition,
            key: o.key.as_ref().map(slice),
            value: o.value.as_ref().map(slice),
            timestamp: o.timestamp,
            headers: o.headers.as_deref().unwrap_or(Headers::empty()),
        })
    }
}

fn write_into<E>(arena: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>) -> Result<(), E>) -> Result<Range<usize>, E> {
    let start = arena.len();
    write(arena)?;
    Ok(start..arena.len())
}
