//! Collections of the HTTP side, page by page, as Spring Data REST lays them out.

use std::collections::HashMap;
use std::time::Duration;

use serde_json::Value;

use super::Findings;
use crate::error::Error;
use crate::http::{Ask, Connection, Target};
use crate::limits::PAGE_SIZE;

/// Pages at most: what a collection holds beyond `PAGES_MAX × PAGE_SIZE` is not read.
const PAGES_MAX: usize = 200;

/// Every item of a collection, and whether that was all.
///
/// # Errors
/// When the target does not answer with 200 and JSON.
pub fn read_collection(target: &Target, path: &str, limit: Duration) -> Result<(Vec<Value>, bool), Error> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| Error::unreachable("this machine", e))?;
    runtime.block_on(async {
        let mut connection = Connection::new(target);
        let mut items = Vec::new();
        for page in 0..PAGES_MAX {
            let path = format!("{path}?page={page}&size={PAGE_SIZE}");
            let url = format!("{}{path}", target.url());
            let answer =
                connection.ask(Ask::get(&path), limit).await.map_err(|lost| Error::unreachable(&url, lost.cause()))?;
            // Pages have a depth that servers bound: what lies behind it is not read.
            if answer.status == 400 && page > 0 {
                return Ok((items, false));
            }
            if answer.status != 200 {
                return Err(Error::unreachable(url, format!("status {}", answer.status)));
            }
            let body: Value = serde_json::from_slice(&answer.body).map_err(|e| Error::unreachable(&url, e))?;
            let pages = body.pointer("/page/totalPages").and_then(Value::as_u64);
            // `_embedded` has one member, named after the resource.
            let embedded = body.get("_embedded").and_then(Value::as_object);
            let found = embedded.and_then(|map| map.values().find_map(Value::as_array));
            let count = found.map_or(0, Vec::len);
            items.extend(found.into_iter().flatten().cloned());
            if count == 0 || pages.is_some_and(|total| page as u64 + 1 >= total) {
                return Ok((items, true));
            }
        }
        Ok((items, false))
    })
}

/// A whole number of an item, as a JSON number or as a string.
pub fn number(item: &Value, name: &str) -> Option<i64> {
    match item.get(name)? {
        Value::Number(number) => number.as_i64(),
        Value::String(text) => text.parse().ok(),
        _ => None,
    }
}

/// Items by the id in one of their fields.
pub fn by_id<'a>(items: &'a [Value], field: &str) -> HashMap<&'a str, &'a Value> {
    items.iter().filter_map(|item| Some((item.get(field)?.as_str()?, item))).collect()
}

/// What a field of an item must say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Want<'a> {
    /// This text.
    Text(&'a str),
    /// This number, or it in a string.
    Number(i64),
}

/// A thing that must be in a collection, and what must be said of it.
pub struct Listed<'a> {
    /// Its id.
    pub id: &'a str,
    /// Fields and what they must say.
    pub wants: Vec<(&'static str, Want<'a>)>,
}

/// A collection against what the log says: everything there is once, as it is, and nothing else. `word` is what the
/// business calls one of them.
pub fn compare(
    (path, id_field, word): (&str, &str, &str),
    items: &[Value],
    known: &[Listed<'_>],
    findings: &mut Findings,
) {
    let says = format!("every {word} once, as the log says it is");
    let mut check = findings.check(&format!("GET {path}"), &says);
    let mut shown = by_id(items, id_field);
    if shown.len() != items.len() {
        let found = format!("{} entries, {} ids", items.len(), shown.len());
        check.differs(path, format!("every {word} once"), found, "");
    }
    for Listed { id, wants } in known {
        check.examined();
        let subject = format!("{word} {id}");
        let Some(item) = shown.remove(id) else {
            check.differs(subject, "listed", "missing", "");
            continue;
        };
        for (field, want) in wants {
            let (expected, same) = match want {
                Want::Text(text) => ((*text).to_owned(), item.get(*field).and_then(Value::as_str) == Some(text)),
                Want::Number(n) => (n.to_string(), number(item, field) == Some(*n)),
            };
            if !same {
                let found = item.get(*field).map_or_else(|| "nothing".to_owned(), Value::to_string);
                check.differs(&subject, format!("{field} {expected}"), found, "");
            }
        }
    }
    for id in shown.into_keys() {
        check.differs(format!("{word} {id}"), "nobody made it", "listed", "");
    }
}
