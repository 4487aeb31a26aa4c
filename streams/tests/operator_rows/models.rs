//! What the operators should answer, worked out anew from all records so far.

use std::collections::{BTreeMap, BTreeSet};

use super::Input;

pub(super) type Table = BTreeMap<String, String>;
pub(super) type Results = Vec<(String, String)>;

fn number(value: &str) -> i64 {
    value.split_once('|').and_then(|(n, _)| n.parse().ok()).unwrap_or(0)
}

fn reference(value: &str) -> String {
    value.split_once('|').map_or_else(String::new, |(_, reference)| reference.to_owned())
}

/// The last row of each key of a topic.
fn table(inputs: &[Input], topic: &str) -> Table {
    let mut rows = Table::new();
    for input in inputs.iter().filter(|i| i.topic == topic) {
        match &input.value {
            Some(row) => rows.insert(input.key.clone(), row.clone()),
            None => rows.remove(&input.key),
        };
    }
    rows
}

/// Values by a key of theirs, in their order.
fn grouped(inputs: &[Input], key: impl Fn(&Input) -> String) -> BTreeMap<String, Vec<&Input>> {
    let mut groups: BTreeMap<String, Vec<&Input>> = BTreeMap::new();
    for input in inputs.iter().filter(|i| i.value.is_some()) {
        groups.entry(key(input)).or_default().push(input);
    }
    groups
}

fn by_key(inputs: &[Input], answer: impl Fn(&[&Input]) -> String) -> Table {
    grouped(inputs, |i| i.key.clone()).into_iter().map(|(key, of_key)| (key, answer(&of_key))).collect()
}

fn value(input: &Input) -> &str {
    input.value.as_deref().unwrap_or_default()
}

fn counted(inputs: &[&Input]) -> String {
    inputs.len().to_string()
}

fn reduced(inputs: &[&Input]) -> String {
    inputs.iter().map(|i| value(i)).collect::<Vec<_>>().join("+")
}

fn aggregated(inputs: &[&Input]) -> String {
    inputs.iter().fold("0".to_owned(), |all, i| format!("{all}{}{}", if i.topic == "in" { '+' } else { '*' }, value(i)))
}

pub(super) fn count(inputs: &[Input]) -> Table {
    by_key(inputs, counted)
}

pub(super) fn reduce(inputs: &[Input]) -> Table {
    by_key(inputs, reduced)
}

pub(super) fn aggregate(inputs: &[Input]) -> Table {
    by_key(inputs, aggregated)
}

pub(super) fn count_by_reference(inputs: &[Input]) -> Table {
    grouped(inputs, |i| reference(value(i))).into_iter().map(|(key, of_key)| (key, counted(&of_key))).collect()
}

/// A group that is empty now, and was not once, has 0.
fn groups(inputs: &[Input], worth: impl Fn(&str) -> i64) -> Table {
    let once: BTreeSet<String> = inputs.iter().filter_map(|i| i.value.as_deref()).map(reference).collect();
    let rows = table(inputs, "left");
    let of = |group: &String| rows.values().filter(|row| reference(row) == *group).map(|row| worth(row)).sum::<i64>();
    once.into_iter().map(|group| (group.clone(), of(&group).to_string())).collect()
}

pub(super) fn rows_counted(inputs: &[Input]) -> Table {
    groups(inputs, |_| 1)
}

pub(super) fn rows_summed(inputs: &[Input]) -> Table {
    groups(inputs, number)
}

pub(super) fn rows(inputs: &[Input]) -> Table {
    table(inputs, "left")
}

pub(super) fn stream_as_rows(inputs: &[Input]) -> Table {
    table(inputs, "in")
}

pub(super) fn even_rows(inputs: &[Input]) -> Table {
    table(inputs, "left").into_iter().filter(|(_, row)| number(row) % 2 == 0).collect()
}

pub(super) fn odd_rows(inputs: &[Input]) -> Table {
    table(inputs, "left").into_iter().filter(|(_, row)| number(row) % 2 != 0).collect()
}

pub(super) fn marked_rows(inputs: &[Input]) -> Table {
    table(inputs, "left").into_iter().map(|(key, row)| (key, format!("{row}!"))).collect()
}

pub(super) fn rows_with_their_keys(inputs: &[Input]) -> Table {
    table(inputs, "left").into_iter().map(|(key, row)| (key.clone(), format!("{key}:{row}"))).collect()
}

pub(super) fn beside(left: Option<&String>, right: Option<&String>) -> String {
    let text = |side: Option<&String>| side.map_or("-", String::as_str).to_owned();
    format!("{}&{}", text(left), text(right))
}

fn joined(inputs: &[Input], is_row: impl Fn(bool, bool) -> bool) -> Table {
    let (left, right) = (table(inputs, "left"), table(inputs, "right"));
    let keys: BTreeSet<&String> = left.keys().chain(right.keys()).collect();
    let sides = keys.into_iter().map(|key| (key, left.get(key), right.get(key)));
    let rows = sides.filter(|(_, l, r)| is_row(l.is_some(), r.is_some()));
    rows.map(|(key, l, r)| (key.clone(), beside(l, r))).collect()
}

pub(super) fn inner_join(inputs: &[Input]) -> Table {
    joined(inputs, |left, right| left && right)
}

pub(super) fn left_join(inputs: &[Input]) -> Table {
    joined(inputs, |left, _| left)
}

pub(super) fn outer_join(inputs: &[Input]) -> Table {
    joined(inputs, |_, _| true)
}

pub(super) fn foreign_left_join(inputs: &[Input]) -> Table {
    let right = table(inputs, "right");
    let join = |row: &String| beside(Some(row), right.get(&reference(row)));
    table(inputs, "left").into_iter().map(|(key, row)| (key, join(&row))).collect()
}

pub(super) fn foreign_inner_join(inputs: &[Input]) -> Table {
    foreign_left_join(inputs).into_iter().filter(|(_, joined)| !joined.ends_with("&-")).collect()
}

/// What the last record makes, if it is one of the stream.
fn of_last(inputs: &[Input], answer: impl Fn(&Input, &[Input]) -> Option<(String, String)>) -> Results {
    let Some((last, before)) = inputs.split_last() else { return Results::new() };
    if last.topic == "in" { answer(last, before).into_iter().collect() } else { Results::new() }
}

pub(super) fn looked_up(inputs: &[Input]) -> Results {
    of_last(inputs, |last, before| {
        let right = table(before, "right");
        right.get(&last.key).map(|row| (last.key.clone(), beside(last.value.as_ref(), Some(row))))
    })
}

pub(super) fn looked_up_or_not(inputs: &[Input]) -> Results {
    of_last(inputs, |last, before| {
        let right = table(before, "right");
        Some((last.key.clone(), beside(last.value.as_ref(), right.get(&last.key))))
    })
}

/// Keyed by its reference on the way to the table.
pub(super) fn rekeyed_looked_up_or_not(inputs: &[Input]) -> Results {
    of_last(inputs, |last, before| {
        let key = reference(value(last));
        let right = table(before, "right");
        Some((key.clone(), beside(last.value.as_ref(), right.get(&key))))
    })
}

pub(super) fn referred_to(inputs: &[Input]) -> Results {
    of_last(inputs, |last, before| {
        let right = table(before, "right");
        right.get(&reference(value(last))).map(|row| (last.key.clone(), beside(last.value.as_ref(), Some(row))))
    })
}

pub(super) fn referred_to_or_not(inputs: &[Input]) -> Results {
    of_last(inputs, |last, before| {
        let right = table(before, "right");
        Some((last.key.clone(), beside(last.value.as_ref(), right.get(&reference(value(last))))))
    })
}

pub(super) fn rekeyed(inputs: &[Input]) -> Results {
    of_last(inputs, |last, _| Some((reference(value(last)), value(last).to_owned())))
}

pub(super) fn first_ones(inputs: &[Input]) -> Results {
    of_last(inputs, |last, before| {
        let known = before.iter().any(|i| i.key == last.key && i.value == last.value);
        (!known).then(|| (last.key.clone(), value(last).to_owned()))
    })
}

/// The windows that take each record, of these: size, advance, grace.
fn windows((size, advance, grace): (i64, i64, i64), inputs: &[Input]) -> (BTreeMap<(String, i64), Vec<&Input>>, i64) {
    let mut windows: BTreeMap<(String, i64), Vec<&Input>> = BTreeMap::new();
    let mut stream_time = 0;
    for input in inputs {
        stream_time = stream_time.max(input.time);
        let starts = (0..=input.time).filter(|start| start % advance == 0 && input.time < start + size);
        for start in starts.filter(|start| start + size > stream_time - grace) {
            windows.entry((input.key.clone(), start)).or_default().push(input);
        }
    }
    (windows, stream_time)
}

/// Rows of time windows: all of them, or those that are closed.
fn windowed(inputs: &[Input], shape: (i64, i64, i64), closed: bool, answer: fn(&[&Input]) -> String) -> Table {
    let (size, _, grace) = shape;
    let (windows, stream_time) = windows(shape, inputs);
    let shown = windows.into_iter().filter(|((_, start), _)| !closed || start + size <= stream_time - grace);
    shown.map(|((key, start), records)| (format!("{key} {start} {}", start + size), answer(&records))).collect()
}

/// A function of its own for each: rows keep plain functions.
macro_rules! windowed {
    ($($name:ident: $shape:expr, $closed:expr, $answer:expr;)*) => {
        $(pub(super) fn $name(inputs: &[Input]) -> Table {
            windowed(inputs, $shape, $closed, $answer)
        })*
    };
}

windowed! {
    tumbling_count: super::TUMBLING, false, counted;
    tumbling_reduce: super::TUMBLING, false, reduced;
    tumbling_aggregate: super::TUMBLING, false, aggregated;
    tumbling_count_closed: super::TUMBLING, true, counted;
    tumbling_reduce_closed: super::TUMBLING, true, reduced;
    tumbling_aggregate_closed: super::TUMBLING, true, aggregated;
    hopping_count: super::HOPPING, false, counted;
    hopping_reduce: super::HOPPING, false, reduced;
    hopping_aggregate: super::HOPPING, false, aggregated;
    hopping_count_closed: super::HOPPING, true, counted;
    hopping_reduce_closed: super::HOPPING, true, reduced;
    hopping_aggregate_closed: super::HOPPING, true, aggregated;
}

/// When unlimited windows begin.
pub(super) const UNLIMITED_FROM: i64 = 60;

fn unlimited(inputs: &[Input], answer: fn(&[&Input]) -> String) -> Table {
    let inside: Vec<Input> = inputs.iter().filter(|i| i.time >= UNLIMITED_FROM).cloned().collect();
    let rows = by_key(&inside, answer).into_iter();
    rows.map(|(key, row)| (format!("{key} {UNLIMITED_FROM} {}", i64::MAX), row)).collect()
}

pub(super) fn unlimited_count(inputs: &[Input]) -> Table {
    unlimited(inputs, counted)
}

pub(super) fn unlimited_reduce(inputs: &[Input]) -> Table {
    unlimited(inputs, reduced)
}

pub(super) fn unlimited_aggregate(inputs: &[Input]) -> Table {
    unlimited(inputs, aggregated)
}
