//! Collections of the HTTP side, page by page, as Spring Data REST lays them out.

use std::time::Duration;

use serde_json::Value;

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
