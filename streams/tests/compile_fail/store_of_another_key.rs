//! A store is read with keys of its own type.
use streams::store::KeyValueStore;
use streams::{Context, ProcessError, Processor, Record};

struct Counter {
    counts: KeyValueStore<String, i64>,
}

impl Processor for Counter {
    type KeyIn = i64;
    type ValueIn = i64;
    type KeyOut = i64;
    type ValueOut = i64;

    fn process(&self, cx: &mut Context<'_, i64, i64>, record: Record<'_, i64, i64>) -> Result<(), ProcessError> {
        let Some(key) = record.key else { return Ok(()) };
        let count = self.counts.get(cx, key)?.unwrap_or(0) + 1;
        cx.forward(record.with_value(Some(&count)))
    }
}

fn main() {}
