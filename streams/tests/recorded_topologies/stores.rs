//! Stores, worked on by commands in the records' values.

use std::ops::ControlFlow;

use streams::dsl::StreamsBuilder;
use streams::serde::Utf8;
use streams::store::{
    Direction, PutResult, Session, SessionStore, StoreHandle, Versioned, VersionedRecord, VersionedStore, Window,
    WindowStore,
};
use streams::{Context, ProcessError, Processor, Record, Timestamp};

use super::{Words, out, stream};

/// What a record says: a word, a tag for the value, two times.
struct Command<'a> {
    word: &'a str,
    value: String,
    from: Timestamp,
    to: Timestamp,
}

impl<'a> Command<'a> {
    fn of(text: &'a str) -> Self {
        let (command, tag) = text.split_once('#').expect("a tag");
        let mut words = command.split(':');
        let word = words.next().unwrap_or_default();
        let mut time = || words.next().map_or(0, |t| t.parse().expect("a time"));
        Command { word, value: format!("v{tag}"), from: time(), to: time() }
    }
}

/// Carries one kind of store's commands out.
#[expect(clippy::ptr_arg, reason = "the stores' key type")]
trait Kept: Send + Sync + 'static {
    fn answer(
        &self,
        cx: &mut Context<'_, String, String>,
        key: &String,
        at: Timestamp,
        command: Command<'_>,
    ) -> Result<Vec<String>, ProcessError>;
}

struct Keeper<S>(S);

impl<S: Kept> Processor for Keeper<S> {
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
        let answer = self.0.answer(cx, key, record.timestamp, Command::of(value))?;
        let answer = if answer.is_empty() { "none".to_owned() } else { answer.join(";") };
        cx.forward(record.with_value(Some(&answer)))
    }
}

fn version(version: Option<VersionedRecord<String>>) -> String {
    version.map_or_else(|| "none".to_owned(), |v| format!("{}@{}", v.value, v.timestamp))
}

impl Kept for VersionedStore<String, String> {
    fn answer(
        &self,
        cx: &mut Context<'_, String, String>,
        key: &String,
        at: Timestamp,
        command: Command<'_>,
    ) -> Result<Vec<String>, ProcessError> {
        Ok(vec![match command.word {
            "put" => match self.put(cx, key, Some(&command.value), at)? {
                PutResult::Latest => "latest".to_owned(),
                PutResult::ValidTo(time) => format!("until{time}"),
                PutResult::NotPut => "not".to_owned(),
            },
            "delete" => version(self.delete(cx, key, at)?),
            "get" => version(self.get(cx, key)?),
            _ => version(self.get_as_of(cx, key, command.from)?),
        }])
    }
}

impl Kept for WindowStore<String, String> {
    fn answer(
        &self,
        cx: &mut Context<'_, String, String>,
        key: &String,
        at: Timestamp,
        command: Command<'_>,
    ) -> Result<Vec<String>, ProcessError> {
        let mut answer = Vec::new();
        let range = (command.from, command.to);
        match command.word {
            "put" => self.put(cx, key, &command.value, at, at)?,
            "delete" => self.delete(cx, key, at)?,
            "get" => answer.extend(self.fetch(cx, key, at)?.map(|(value, _)| value)),
            "all" => {
                let all = self.fetch_all(cx, range)?;
                answer.extend(all.into_iter().map(|(key, start, value, _)| format!("{start}{key}={value}")));
            }
            word => {
                let direction = if word == "range" { Direction::Forward } else { Direction::Reverse };
                self.fetch_range(cx, key, range, direction, &mut |start, value, _| {
                    answer.push(format!("{start}={value}"));
                    ControlFlow::Continue(())
                })?;
            }
        }
        Ok(answer)
    }
}

impl Kept for SessionStore<String, String> {
    fn answer(
        &self,
        cx: &mut Context<'_, String, String>,
        key: &String,
        at: Timestamp,
        command: Command<'_>,
    ) -> Result<Vec<String>, ProcessError> {
        let session = (at - at % 7, at);
        let mut answer = Vec::new();
        match command.word {
            "put" => self.put(cx, key, session, &command.value)?,
            "delete" => self.remove(cx, key, session)?,
            "get" => answer.extend(self.fetch_session(cx, key, session)?),
            word => {
                let found = self.find_sessions(cx, key, command.from, command.to)?;
                answer.extend(found.into_iter().map(|(start, end, value)| format!("{key}{start}/{end}={value}")));
                if word == "back" {
                    answer.reverse();
                }
            }
        }
        Ok(answer)
    }
}

pub(crate) fn store(builder: &StreamsBuilder, words: Words<'_>) {
    let retention = words.number("retention", 100);
    match words.kind() {
        "versioned-store" => keep(builder, builder.add_store("kept", Versioned::new(Utf8, Utf8, retention))),
        "window-store" => {
            let spec = Window::new(Utf8, Utf8, retention);
            let spec = if words.has("duplicates") { spec.retain_duplicates() } else { spec };
            keep(builder, builder.add_store("kept", spec));
        }
        _ => keep(builder, builder.add_store("kept", Session::new(Utf8, Utf8, retention))),
    }
}

fn keep(builder: &StreamsBuilder, store: impl Kept + StoreHandle + Clone) {
    out(&stream(builder, "in").process("keeper", Keeper(store.clone()), &[&store]));
}
