//! W1: a running {count, sum, latest time} per key, one output for every input.

use streams::serde::Utf8;
use streams::store::{KeyValue, KeyValueStore};
use streams::{Context, ProcessError, Processor, Record, SourceOptions, Topology, TopologyBuilder};

use crate::format::Ids;
use crate::model::{W1Aggregate, W1Input};

/// The one store.
pub const STORE: &str = "agg-store";

/// `w1-in` → aggregate per key → `w1-out`.
///
/// # Errors
/// When a schema id is missing.
pub fn topology(app_id: &str, ids: &Ids) -> anyhow::Result<Topology> {
    let mut b = TopologyBuilder::new(app_id);
    let aggregate = ids.format::<W1Aggregate>("W1Aggregate")?;
    let store = b.store(STORE, KeyValue::new(Utf8, aggregate.clone()));
    let source = b.source("in", &["w1-in"], Utf8, ids.format::<W1Input>("W1Input")?, SourceOptions::default());
    let (input, output) = b.processor("agg", Aggregate { store: store.clone() });
    let sink = b.sink("out", "w1-out", Utf8, aggregate);
    b.connect_store(input, &store);
    b.connect(source, input);
    b.connect(output, sink);
    Ok(b.build()?)
}

struct Aggregate {
    store: KeyValueStore<String, W1Aggregate>,
}

impl Processor for Aggregate {
    type KeyIn = String;
    type ValueIn = W1Input;
    type KeyOut = String;
    type ValueOut = W1Aggregate;

    fn process(
        &self,
        cx: &mut Context<'_, String, W1Aggregate>,
        record: Record<'_, String, W1Input>,
    ) -> Result<(), ProcessError> {
        let (Some(key), Some(input)) = (record.key, record.value) else { return Ok(()) };
        let old = self.store.get(cx, key)?.unwrap_or(W1Aggregate { count: 0, sum: 0, last_ts: record.timestamp });
        let new = W1Aggregate {
            count: old.count + 1,
            sum: old.sum + input.amount,
            last_ts: old.last_ts.max(record.timestamp),
        };
        self.store.put(cx, key, &new)?;
        cx.forward(record.with_value(Some(&new)))
    }
}
