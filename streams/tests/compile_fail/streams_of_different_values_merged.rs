//! Merged streams carry the same.
use streams::dsl::{Consumed, StreamsBuilder};
use streams::serde::{I64, Utf8};

fn main() {
    let builder = StreamsBuilder::new("app");
    let words = builder.stream("words", Consumed::<String, String>::with(Utf8, Utf8));
    let numbers = builder.stream("numbers", Consumed::<String, i64>::with(Utf8, I64));
    let _ = words.merge(&numbers);
}
