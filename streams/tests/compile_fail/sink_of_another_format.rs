//! A topic is written in a format of the stream's own types.
use streams::dsl::{Consumed, Produced, StreamsBuilder};
use streams::serde::{I64, Utf8};

fn main() {
    let builder = StreamsBuilder::new("app");
    let lines = builder.stream("lines", Consumed::<String, String>::with(Utf8, Utf8));
    lines.to("copies", Produced::with(Utf8, I64));
}
