//! A changed key is checked from there on.
use streams::dsl::{Consumed, Produced, StreamsBuilder};
use streams::serde::Utf8;

fn main() {
    let builder = StreamsBuilder::new("app");
    let lines = builder.stream("lines", Consumed::<String, String>::with(Utf8, Utf8));
    let by_length = lines.select_key(|_, line| line.len() as i64);
    by_length.to("lines-by-length", Produced::with(Utf8, Utf8));
}
