//! Word count over a repartition topic: two sub-topologies, one store, one external output.

use streams::serde::{I64, Utf8};
use streams::store::{KeyValue, KeyValueStore};
use streams::{Context, ProcessError, Processor, Record, SourceOptions, Topology, TopologyBuilder};

/// Splits lines into words, each keyed by itself; the word "poison" is rejected.
struct Split;

impl Processor for Split {
    type KeyIn = String;
    type ValueIn = String;
    type KeyOut = String;
    type ValueOut = String;

    fn process(
        &self,
        cx: &mut Context<'_, String, String>,
        record: Record<'_, String, String>,
    ) -> Result<(), ProcessError> {
        for word in record.value.map(String::as_str).unwrap_or_default().split_whitespace() {
            if word == "poison" {
                return Err(ProcessError::rejected("poison"));
            }
            let word = word.to_owned();
            cx.forward(record.with_key(Some(&word)).with_value(Some(&word)))?;
        }
        Ok(())
    }
}

/// Counts each word.
struct Count {
    counts: KeyValueStore<String, i64>,
}

impl Processor for Count {
    type KeyIn = String;
    type ValueIn = String;
    type KeyOut = String;
    type ValueOut = i64;

    fn process(
        &self,
        cx: &mut Context<'_, String, i64>,
        record: Record<'_, String, String>,
    ) -> Result<(), ProcessError> {
        let Some(word) = record.key else {
            return Ok(());
        };
        let count = self.counts.get(cx, word)?.unwrap_or(0) + 1;
        self.counts.put(cx, word, &count)?;
        cx.observe(record.timestamp);
        cx.forward(record.with_value(Some(&count)))
    }
}

/// The topology.
pub(crate) fn word_count() -> Topology {
    let mut b = TopologyBuilder::new("word-count");
    let counts = b.store("counts", KeyValue::<String, i64>::new(Utf8, I64));
    let lines = b.source("lines", &["lines"], Utf8, Utf8, SourceOptions::default());
    let (split_in, split_out) = b.processor("split", Split);
    let (words_in, words_out) = b.repartition("words", Utf8, Utf8, None);
    let (count_in, count_out) = b.processor("count", Count { counts: counts.clone() });
    let out = b.sink("counted", "counted", Utf8, I64);
    b.connect(lines, split_in);
    b.connect(split_out, words_in);
    b.connect(words_out, count_in);
    b.connect_store(count_in, &counts);
    b.connect(count_out, out);
    b.build().expect("a valid topology")
}
