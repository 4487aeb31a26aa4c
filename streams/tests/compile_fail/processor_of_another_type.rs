//! A processor of one's own takes what the stream carries.
use streams::dsl::{Consumed, StreamsBuilder};
use streams::serde::Utf8;
use streams::{Context, ProcessError, Processor, Record};

struct Doubled;

impl Processor for Doubled {
    type KeyIn = String;
    type ValueIn = i64;
    type KeyOut = String;
    type ValueOut = i64;

    fn process(&self, cx: &mut Context<'_, String, i64>, record: Record<'_, String, i64>) -> Result<(), ProcessError> {
        cx.forward(record)
    }
}

fn main() {
    let builder = StreamsBuilder::new("app");
    let lines = builder.stream("lines", Consumed::<String, String>::with(Utf8, Utf8));
    lines.process("doubled", Doubled, &[]);
}
