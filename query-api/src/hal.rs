//! Collections in HAL, as Spring Data REST answers them: `_embedded`, `_links`, `page`.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};
use state::{Direction, Range};
use streams::{Partition, TaskId};

use crate::error::ApiError;
use crate::limits::{COUNT_MAX, PAGE_ITEMS_MAX, PAGE_SIZE_DEFAULT, PAGE_SIZE_MAX};
use crate::params::Params;
use crate::service::{AppState, StoreRef};

/// HAL's media type.
pub(crate) const MEDIA_TYPE: &str = "application/hal+json";

/// A link.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Link {
    pub(crate) href: String,
}

/// Which page of a collection is asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PageRequest {
    pub(crate) number: usize,
    pub(crate) size: usize,
    pub(crate) direction: Direction,
}

impl PageRequest {
    /// Reads `page`, `size` and `sort`; only the id can be sorted by, because it is what stores are ordered by.
    pub(crate) fn read(params: &mut Params) -> Self {
        let number = params.number("page", 0, 0, usize::MAX);
        let size = params.number("size", PAGE_SIZE_DEFAULT, 1, PAGE_SIZE_MAX);
        let direction = match params.take("sort").as_deref() {
            None | Some("id" | "id,asc") => Direction::Forward,
            Some("id,desc") => Direction::Reverse,
            Some(_) => {
                params.wrong("sort", "must be id,asc or id,desc");
                Direction::Forward
            }
        };
        if number.saturating_add(1).saturating_mul(size) > PAGE_ITEMS_MAX {
            let detail = format!("pages reach {PAGE_ITEMS_MAX} items deep; read on with /stores and its cursor");
            params.wrong("page", detail);
        }
        PageRequest { number, size, direction }
    }

    /// Items up to the end of this page.
    pub(crate) fn end(&self) -> usize {
        self.number.saturating_add(1).saturating_mul(self.size)
    }

    fn query(&self, number: usize) -> String {
        let sort = if self.direction == Direction::Reverse { "&sort=id,desc" } else { "" };
        format!("?page={number}&size={}{sort}", self.size)
    }
}

/// An item on its way to a page.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Item {
    pub(crate) key: String,
    pub(crate) partition: Partition,
    /// As clients see it; passed on as it is.
    pub(crate) item: Box<RawValue>,
}

/// What one instance adds to a page.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Part {
    /// The partitions it answers for.
    pub(crate) partitions: Vec<Partition>,
    /// All their items, counted up to [`COUNT_MAX`] each.
    pub(crate) total: u64,
    /// Whether counting stopped there.
    pub(crate) more: bool,
    /// The first of their items, up to the end of the page.
    pub(crate) items: Vec<Item>,
}

/// How a payload becomes an item.
pub(crate) type Render<'a> = dyn Fn(&[u8]) -> Result<Box<RawValue>, ApiError> + 'a;

/// The part of this instance. With `all` it has every item up to the page's end (another instance merges them), else only
/// those of the page itself.
pub(crate) fn part(
    app: &AppState,
    at: StoreRef,
    tasks: &[TaskId],
    page: PageRequest,
    all: bool,
    render: &Render<'_>,
) -> Result<Part, ApiError> {
    let view = &app.app.view;
    let end = page.end();
    let mut part = Part::default();
    let mut keys: Vec<(Vec<u8>, Partition)> = Vec::new();
    for task in tasks {
        let partition = task.partition;
        let mut seen = 0_u64;
        view.scan(at.index, partition, Range::all(), page.direction, &mut |key, _, _| {
            if seen < end as u64 {
                keys.push((key.to_vec(), partition));
            }
            seen += 1;
            if seen < COUNT_MAX { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        part.partitions.push(partition);
        part.total += seen;
        part.more |= seen == COUNT_MAX;
    }
    keys.sort_unstable();
    if page.direction == Direction::Reverse {
        keys.reverse();
    }
    let from = if all { 0 } else { end - page.size };
    for (key, partition) in keys.into_iter().take(end).skip(from) {
        // An entry that went between the two reads is not there any more.
        if let Some((payload, _)) = view.get(at.index, partition, &key)? {
            let item = render(&payload)?;
            part.items.push(Item { key: String::from_utf8_lossy(&key).into_owned(), partition, item });
        }
    }
    Ok(part)
}

/// Brings the items of all instances into order and cuts them to the page.
pub(crate) fn merge(mut parts: Vec<Part>, page: PageRequest) -> Part {
    let mut whole = Part::default();
    for part in &mut parts {
        whole.total += part.total;
        whole.more |= part.more;
        whole.partitions.append(&mut part.partitions);
        whole.items.append(&mut part.items);
    }
    whole.items.sort_by(|a, b| (&a.key, a.partition).cmp(&(&b.key, b.partition)));
    if page.direction == Direction::Reverse {
        whole.items.reverse();
    }
    whole.items = whole.items.into_iter().take(page.end()).skip(page.end() - page.size).collect();
    whole
}

/// A page as it is answered.
#[derive(Debug, Serialize)]
pub(crate) struct Collection<'a> {
    /// The items, by the name of their relation.
    #[serde(rename = "_embedded")]
    embedded: BTreeMap<&'a str, Vec<Box<RawValue>>>,
    #[serde(rename = "_links")]
    links: Map<String, Value>,
    page: Value,
}

/// The answer: `here` and `profile` lead to the collection and to what its items have, `name` is its relation (`orders`).
pub(crate) fn collection<'a>(
    here: &str,
    profile: &str,
    name: &'a str,
    page: PageRequest,
    part: Part,
) -> Collection<'a> {
    let href = |number: usize| json!({ "href": format!("{here}{}", page.query(number)) });
    let total = usize::try_from(part.total).unwrap_or(usize::MAX);
    let pages = total.div_ceil(page.size);
    let mut links = Map::new();
    if pages > 1 {
        links.insert("first".into(), href(0));
        if page.number > 0 {
            links.insert("prev".into(), href(page.number - 1));
        }
    }
    links.insert("self".into(), href(page.number));
    if pages > 1 {
        if page.number + 1 < pages {
            links.insert("next".into(), href(page.number + 1));
        }
        links.insert("last".into(), href(pages - 1));
    }
    links.insert("profile".into(), json!({ "href": profile }));
    let mut numbers = json!({
        "size": page.size, "totalElements": part.total, "totalPages": pages, "number": page.number,
    });
    if part.more
        && let Some(object) = numbers.as_object_mut()
    {
        object.insert("totalIsLowerBound".into(), true.into());
    }
    let items = part.items.into_iter().map(|item| item.item).collect();
    Collection { embedded: BTreeMap::from([(name, items)]), links, page: numbers }
}
