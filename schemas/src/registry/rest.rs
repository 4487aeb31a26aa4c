//! The catalog in the form of Confluent's registry API, read-only: what a node serves when there is no registry, so that
//! any Confluent client can read our topics. Plain functions; the HTTP routes are `query-api`'s.
//!
//! | route | function |
//! |---|---|
//! | `GET /subjects` | [`subjects`] |
//! | `GET /subjects/{subject}/versions` | [`versions`] |
//! | `GET /subjects/{subject}/versions/{n or latest}` | [`version`] |
//! | `GET /schemas/ids/{id}` | [`schema_by_id`] |
//! | `GET /schemas/types` | [`types`] |
//!
//! `None` is a 404; [`not_found`] is its body.

use apache_avro::Schema;
use serde_json::{Value, json};

use crate::catalog::{self, Entry, Version};
use crate::topics::{self, TopicSpec};

/// What was not found, with Confluent's error codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotFound {
    /// No such subject.
    Subject,
    /// The subject has no such version.
    Version,
    /// No schema has this id.
    Schema,
}

/// All subjects under a topic prefix, sorted.
pub fn subjects(prefix: &str) -> Value {
    let mut subjects: Vec<String> = topics::all().map(|topic| topic.subject(prefix)).collect();
    subjects.sort_unstable();
    subjects.into()
}

/// The version numbers of a subject, from 1.
pub fn versions(prefix: &str, subject: &str) -> Option<Value> {
    let entry = entry_of(prefix, subject)?;
    Some((1..=entry.versions.len()).collect())
}

/// One version of a subject: `latest` or a number from 1.
///
/// # Errors
/// Which of subject and version is unknown.
pub fn version(prefix: &str, subject: &str, version: &str) -> Result<Value, NotFound> {
    let entry = entry_of(prefix, subject).ok_or(NotFound::Subject)?;
    let number = match version {
        "latest" => entry.versions.len(),
        number => number.parse().map_err(|_| NotFound::Version)?,
    };
    let found = number.checked_sub(1).and_then(|i| entry.versions.get(i)).ok_or(NotFound::Version)?;
    Ok(json!({ "subject": subject, "version": number, "id": found.id, "schema": found.json }))
}

/// The version of a subject that equals a schema text, as `POST /subjects/{subject}` asks: same canonical form.
///
/// # Errors
/// Which of subject and schema is unknown.
pub fn lookup(prefix: &str, subject: &str, schema: &str) -> Result<Value, NotFound> {
    let entry = entry_of(prefix, subject).ok_or(NotFound::Subject)?;
    let wanted = Schema::parse_str(schema).map_err(|_| NotFound::Schema)?.canonical_form();
    let same = |version: &&Version| Schema::parse_str(version.json).is_ok_and(|own| own.canonical_form() == wanted);
    let found = entry.versions.iter().rfind(same).ok_or(NotFound::Schema)?;
    let number = entry.versions.iter().position(|v| v.id == found.id).map_or(0, |i| i + 1);
    Ok(json!({ "subject": subject, "version": number, "id": found.id, "schema": found.json }))
}

/// The schema behind an id, internal and stored ones too.
pub fn schema_by_id(id: u32) -> Option<Value> {
    let (_, version) = catalog::by_id(id)?;
    Some(json!({ "schema": version.json }))
}

/// The schema types served.
pub fn types() -> Value {
    json!(["AVRO"])
}

/// The body of a 404.
pub fn not_found(what: NotFound) -> Value {
    let (error_code, message) = match what {
        NotFound::Subject => (40_401, "Subject not found."),
        NotFound::Version => (40_402, "Version not found."),
        NotFound::Schema => (40_403, "Schema not found."),
    };
    json!({ "error_code": error_code, "message": message })
}

fn entry_of(prefix: &str, subject: &str) -> Option<&'static Entry> {
    let topic: TopicSpec = topics::all().find(|topic| topic.subject(prefix) == subject)?;
    catalog::entry(topic.record)
}
