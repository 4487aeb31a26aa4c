//! `join/foreign-key`.

use streams::Topology;
use streams::dsl::{StreamsBuilder, TableJoined};

use super::{produced, store};
use crate::runner::{Case, Scenario, Tagged};

pub(crate) fn find(id: &str) -> Option<Case> {
    id.starts_with("fk-").then(|| Case::of(foreign_key_join))
}

fn foreign_key_join(s: &Scenario) -> Topology {
    let builder = StreamsBuilder::new("conformance");
    let table = |side: &str| {
        let rows = store::<String, String>(side);
        let versioned = s.says(&format!("{side} table versioned"));
        builder.table(side, if versioned { rows.versioned(super::joins::HISTORY_MS) } else { rows })
    };
    let (left, right) = (table("left"), table("right"));
    let never = s.says("ALWAYS returns null");
    let foreign_key = move |_: &String, value: &String| {
        value.split_once('|').filter(|_| !never).map(|(_, foreign_key)| foreign_key.to_owned())
    };
    let joined = TableJoined::new("fk", Tagged, Tagged, Tagged, Tagged);
    let beside = |left: &String, right: Option<&String>| format!("({left},{})", right.map_or("null", String::as_str));
    let result = store(s.final_store());
    let result = if s.says("left INNER") {
        left.join_on_foreign_key(&right, foreign_key, move |l, r| beside(l, Some(r)), joined, result)
    } else {
        left.left_join_on_foreign_key(&right, foreign_key, beside, joined, result)
    };
    result.to_stream().to("output", produced());
    builder.build().expect("valid")
}
