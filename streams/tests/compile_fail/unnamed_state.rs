//! State is named by its author: there is no store without a name.
use streams::dsl::{Consumed, StreamsBuilder};
use streams::serde::Utf8;

fn main() {
    let builder = StreamsBuilder::new("app");
    let lines = builder.stream("lines", Consumed::<String, String>::with(Utf8, Utf8));
    lines.group_by_key().count();
}
