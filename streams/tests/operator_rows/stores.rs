//! Processors of one's own with each kind of store.

use std::collections::BTreeSet;

use streams::dsl::StreamsBuilder;
use streams::serde::Utf8;
use streams::store::{Direction, KeyValue, Session, StoreHandle, StoreSpec, Timers, Versioned, Window};
use streams::{Context, ProcessError, Processor, Record, Timestamp};

use super::models::{self, Results};
use super::{Against, IN, Input, Row, out, row, stream};

/// How long the rows here look back or wait, and how long their stores keep what they have: longer than any of the inputs.
const REACH: i64 = 20;
const KEPT: i64 = 100_000;

type Answers = Result<Vec<(String, String)>, ProcessError>;

/// Answers a record with what a function makes of it and a store.
struct Keeper<S, F> {
    store: S,
    answer: F,
}

impl<S, F> Processor for Keeper<S, F>
where
    S: Send + Sync + 'static,
    F: Fn(&mut Context<'_, String, String>, &S, &String, &String, Timestamp) -> Answers + Send + Sync + 'static,
{
    type KeyIn = String;
    type ValueIn = String;
    type KeyOut = String;
    type ValueOut = String;

    fn process(
        &self,
        cx: &mut Context<'_, String, String>,
        record: Record<'_, String, String>,
    ) -> Result<(), ProcessError> {
        let (Some(key), Some(value)) = (record.key, record.value) else { return Ok(()) };
        for (key, value) in (self.answer)(cx, &self.store, key, value, record.timestamp)? {
            cx.forward(record.with_key(Some(&key)).with_value(Some(&value)))?;
        }
        Ok(())
    }
}

fn keeping<S>(
    b: &StreamsBuilder,
    spec: S,
    answer: impl Fn(&mut Context<'_, String, String>, &S::Handle, &String, &String, Timestamp) -> Answers
    + Send
    + Sync
    + 'static,
) where
    S: StoreSpec,
    S::Handle: StoreHandle + Clone + Send + Sync + 'static,
{
    let store = b.add_store("kept", spec);
    out(&stream(b, "in").process_values("keeper", Keeper { store: store.clone(), answer }, &[&store]));
}

pub(super) fn rows() -> Vec<Row> {
    use Against::Stream;
    let window = || Window::<String, String>::new(Utf8, Utf8, KEPT);
    vec![
        row("process, key-value store: duplicates", &["KStream::process"], IN, Stream(models::first_ones), |b| {
            let seen = b.add_store("seen", KeyValue::<String, String>::new(Utf8, Utf8));
            let answer = |cx: &mut Context<'_, String, String>, seen: &_, key: &String, value: &String, _| {
                let seen: &streams::store::KeyValueStore<String, String> = seen;
                let both = format!("{key}/{value}");
                if seen.get(cx, &both)?.is_some() {
                    return Ok(Vec::new());
                }
                seen.put(cx, &both, value)?;
                Ok(vec![(key.clone(), value.clone())])
            };
            out(&stream(b, "in").process("duplicates", Keeper { store: seen.clone(), answer }, &[&seen]));
        }),
        row(
            "process_values, window store",
            &["KStream::process_values", "StreamsBuilder::add_store"],
            IN,
            Stream(near_ones),
            move |b| {
                keeping(b, window(), |cx, store, key, value, at| {
                    let near = (at - REACH, at + REACH);
                    let mut found = 0;
                    store.fetch_range(cx, key, near, Direction::Forward, &mut |_, _, _| {
                        found += 1;
                        std::ops::ControlFlow::Continue(())
                    })?;
                    store.put(cx, key, value, at, at)?;
                    Ok(vec![(key.clone(), found.to_string())])
                });
            },
        ),
        row("process_values, session store", &[], IN, Stream(open_sessions), |b| {
            keeping(b, Session::<String, String>::new(Utf8, Utf8, KEPT), |cx, store, key, value, at| {
                let open = store.find_sessions(cx, key, at, at)?.len();
                store.put(cx, key, (at, at + REACH), value)?;
                Ok(vec![(key.clone(), open.to_string())])
            });
        }),
        row("process_values, versioned store", &[], IN, Stream(as_of_before), |b| {
            keeping(b, Versioned::<String, String>::new(Utf8, Utf8, KEPT), |cx, store, key, value, at| {
                store.put(cx, key, Some(value), at)?;
                let then = store.get_as_of(cx, key, at - REACH)?;
                Ok(vec![(key.clone(), then.map_or_else(|| "none".to_owned(), |version| version.value))])
            });
        }),
        row("process_values, timers", &[], IN, Stream(due), |b| {
            keeping(b, Timers::<String>::new(Utf8), |cx, store, key, _, at| {
                let due = store.take_due(cx, at, usize::MAX)?;
                store.set(cx, at + REACH, key)?;
                Ok(due.into_iter().map(|(at, key)| (key, at.to_string())).collect())
            });
        })
        .timed(),
    ]
}

fn of_last(inputs: &[Input], answer: impl Fn(&Input, &[Input]) -> String) -> Results {
    let Some((last, before)) = inputs.split_last() else { return Results::new() };
    let of_key: Vec<Input> = before.iter().filter(|i| i.key == last.key).cloned().collect();
    vec![(last.key.clone(), answer(last, &of_key))]
}

fn times(of_key: &[Input]) -> BTreeSet<i64> {
    of_key.iter().map(|i| i.time).collect()
}

fn near_ones(inputs: &[Input]) -> Results {
    of_last(inputs, |last, of_key| {
        times(of_key).into_iter().filter(|at| (at - last.time).abs() <= REACH).count().to_string()
    })
}

fn open_sessions(inputs: &[Input]) -> Results {
    of_last(inputs, |last, of_key| {
        times(of_key).into_iter().filter(|at| (*at..=at + REACH).contains(&last.time)).count().to_string()
    })
}

fn as_of_before(inputs: &[Input]) -> Results {
    of_last(inputs, |last, of_key| {
        // Of several of one time the last; the newest that is old enough.
        let then = of_key.iter().filter(|i| i.time <= last.time - REACH).max_by_key(|i| i.time);
        then.and_then(|i| i.value.clone()).unwrap_or_else(|| "none".to_owned())
    })
}

/// What came due with the last record, or with those that moved time to it.
fn due(inputs: &[Input]) -> Results {
    let mut waiting: BTreeSet<(i64, String)> = BTreeSet::new();
    let mut results = Results::new();
    for (number, input) in inputs.iter().enumerate() {
        let later = waiting.split_off(&(input.time + 1, String::new()));
        let taken = std::mem::replace(&mut waiting, later);
        waiting.insert((input.time + REACH, input.key.clone()));
        if number + 5 >= inputs.len() {
            let taken = taken.into_iter().filter(|(_, key)| !key.starts_with("clock"));
            results.extend(taken.map(|(at, key)| (key, at.to_string())));
        }
    }
    results.sort_by(|a, b| a.0.cmp(&b.0));
    results
}
