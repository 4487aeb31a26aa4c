//! Joins.

use streams::dsl::{JoinWindows, Joined, KTable, StreamJoined, StreamsBuilder, TableJoined};
use streams::serde::Utf8;

use super::{Words, beside, out, stream, table};

pub(crate) fn streams(builder: &StreamsBuilder, words: Words<'_>) {
    let windows = JoinWindows::of_time_difference_and_grace(0, words.number("grace", 0))
        .before(words.number("before", 10))
        .after(words.number("after", 10));
    let joined = StreamJoined::new("join", Utf8, Utf8, Utf8).with_emit_interval(0);
    let both = |l: &String, r: &String| beside(Some(l), Some(r));
    let left = stream(builder, if words.kind() == "self-join" { "both" } else { "left" });
    let result = if words.kind() == "self-join" {
        left.join(&left, both, windows, joined)
    } else {
        let right = stream(builder, "right");
        if words.has("inner") {
            left.join(&right, both, windows, joined)
        } else if words.has("left") {
            left.left_join(&right, |l, r| beside(Some(l), r), windows, joined)
        } else {
            left.outer_join(&right, beside, windows, joined)
        }
    };
    if words.has("aggregated") {
        let sums =
            result.group_by_key().aggregate(|| "0".to_owned(), |_, v, a| format!("{a}+{v}"), words.stored("sums"));
        return out(&sums.to_stream());
    }
    out(&result);
}

pub(crate) fn stream_table(builder: &StreamsBuilder, words: Words<'_>) {
    let mut left = stream(builder, "stream");
    if words.has("rekeyed") {
        left = left.map_nullable(|_, v: Option<&String>| {
            let key = v.and_then(|v| v.bytes().last()).map(|last| if last % 2 == 0 { "A" } else { "B" }.to_owned());
            (key, v.cloned())
        });
    }
    let mut right = table(builder, words, "table", words.has("versioned"));
    if words.has("filter") {
        right = right.filter(|_, v| !v.ends_with('3'));
    }
    let joined = Joined::new("joined", Utf8, Utf8);
    let joined = if words.has("grace") { joined.with_grace_period(words.number("grace", 0)) } else { joined };
    let both = |l: &String, r: &String| beside(Some(l), Some(r));
    let result = if words.has("inner") {
        left.join_table_with(&right, both, joined)
    } else {
        left.left_join_table_with(&right, |l, r| beside(Some(l), r), joined)
    };
    out(&if words.has("joined-twice") { result.join_table(&right, both) } else { result });
}

pub(crate) fn global(builder: &StreamsBuilder, words: Words<'_>) {
    let left = stream(builder, "stream");
    let right = builder.global_table("global", words.stored("global-rows"));
    let key =
        |_: Option<&String>, v: &String| v.split_once('|').map(|(_, key)| key.to_owned()).filter(|key| !key.is_empty());
    let result = if words.has("inner") {
        left.join_global(&right, key, |l, r| beside(Some(l), Some(r)))
    } else {
        left.left_join_global(&right, key, |l, r| beside(Some(l), r))
    };
    out(&if words.has("again") {
        result.left_join_global(&right, |k, _| k.cloned(), |l, r| beside(Some(l), r))
    } else {
        result
    });
}

fn join(how: &str, left: &KTable<String, String>, right: &KTable<String, String>) -> KTable<String, String> {
    match how {
        "inner" => left.join(right, |l, r| beside(Some(l), Some(r))),
        "left" => left.left_join(right, |l, r| beside(Some(l), r)),
        _ => left.outer_join(right, beside),
    }
}

pub(crate) fn tables(builder: &StreamsBuilder, words: Words<'_>) {
    let mut left = table(builder, words, "left", words.has("left-versioned"));
    let mut right = table(builder, words, "right", words.has("right-versioned"));
    if words.has("filter-left") {
        left = left.filter(|_, v| !v.ends_with('1') && !v.ends_with('2')).with_old_values();
    }
    if words.has("map-right") {
        right = right.map_values(|v| format!("{v}'"));
    }
    let mut result = join(words.value("how").expect("a kind of join"), &left, &right);
    if words.has("stored") {
        result = result.materialize(words.stored("joined"));
    }
    if let Some(how) = words.value("again") {
        result = join(how, &result, &right);
    }
    if let Some(how) = words.value("third") {
        result = join(how, &result, &table(builder, words, "third", false));
    }
    if words.has("grouped") {
        result = super::tables::grouped_by_letter(words, &result);
    }
    out(&result.to_stream());
}

pub(crate) fn foreign_key(builder: &StreamsBuilder, words: Words<'_>) {
    let left = table(builder, words, "left", words.has("left-versioned"));
    let right = table(builder, words, "right", words.has("right-versioned"));
    let key = |_: &String, v: &String| v.split_once('|').map(|(_, key)| key.to_owned()).filter(|key| !key.is_empty());
    let joined = TableJoined::new("fk", Utf8, Utf8, Utf8, Utf8);
    let mut result = if words.has("inner") {
        left.join_on_foreign_key(&right, key, |l, r| beside(Some(l), Some(r)), joined, words.stored("joined"))
    } else {
        left.left_join_on_foreign_key(&right, key, |l, r| beside(Some(l), r), joined, words.stored("joined"))
    };
    if words.has("again") {
        result = result.join(&left, |l, r| beside(Some(l), Some(r)));
    }
    if words.has("grouped") {
        result = super::tables::grouped_by_letter(words, &result.map_values(|v| v[..v.len() - 1].to_owned()));
    }
    out(&result.to_stream());
}
