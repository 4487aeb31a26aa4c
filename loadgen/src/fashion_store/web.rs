//! What is answered over HTTP, against what the log says.

use std::collections::{BTreeMap, HashMap};

use serde_json::Value;

use super::facts::Facts;
use super::stock::expected_free;
use crate::audit::Findings;

pub(super) const PRODUCTS: &str = "/products";
pub(super) const ORDERS: &str = "/orders";
pub(super) const DASHBOARDS: &str = "/dashboards";

pub(super) fn check(facts: &Facts, collections: &BTreeMap<String, Vec<Value>>, findings: &mut Findings) {
    if let Some(items) = collections.get(PRODUCTS) {
        products(facts, items, findings);
    }
    for (path, id) in [(ORDERS, "id"), (DASHBOARDS, "orderId")] {
        if let Some(items) = collections.get(path) {
            orders(facts, path, id, items, findings);
        }
    }
}

/// A whole number, as a JSON number or as a string.
fn number(item: &Value, name: &str) -> Option<i64> {
    match item.get(name)? {
        Value::Number(number) => number.as_i64(),
        Value::String(text) => text.parse().ok(),
        _ => None,
    }
}

fn products(facts: &Facts, items: &[Value], findings: &mut Findings) {
    let says = "free stock = registered + restocked − delivered and not called back, for every product";
    let mut check = findings.check("GET /products", says);
    let by_id = by_id(items, "id");
    for (id, product) in facts.products.iter().filter(|(_, product)| product.is_registered()) {
        let subject = format!("product {id}");
        check.examined();
        let Some(item) = by_id.get(id.as_str()) else {
            check.differs(subject, "listed", "missing", "");
            continue;
        };
        let expected = expected_free(facts, id).unwrap_or_default();
        let found = number(item, "stock");
        if found != Some(expected) {
            let found = found.map_or_else(|| "no stock".to_owned(), |n| format!("stock {n}"));
            let supplied = product.supplied();
            let evidence = format!("{supplied} supplied, {} kept by delivered orders", supplied - expected);
            check.differs(&subject, format!("stock {expected}"), found, evidence);
        }
        if let (Some(on_hand), Some(reserved), Some(stock)) =
            (number(item, "onHand"), number(item, "reserved"), number(item, "stock"))
            && on_hand - reserved != stock
        {
            check.differs(&subject, "stock = onHand − reserved", format!("{stock} ≠ {on_hand} − {reserved}"), "");
        }
    }
    for id in by_id.keys().filter(|id| !facts.products.get(**id).is_some_and(|p| p.is_registered())) {
        check.differs(format!("product {id}"), "nobody registered it", "listed", "");
    }
}

fn orders(facts: &Facts, path: &str, id_field: &str, items: &[Value], findings: &mut Findings) {
    let says = "every order once, in the state that the events say";
    let mut check = findings.check(&format!("GET {path}"), says);
    let by_id = by_id(items, id_field);
    if by_id.len() != items.len() {
        let found = format!("{} entries, {} ids", items.len(), by_id.len());
        check.differs(path, "every order once", found, "");
    }
    for (id, order) in facts.orders.iter().filter(|(_, order)| order.placed.is_some()) {
        check.examined();
        let subject = format!("order {id}");
        let Some(item) = by_id.get(id.as_str()) else {
            check.differs(subject, "listed", "missing", "");
            continue;
        };
        let found = item.get("status").and_then(Value::as_str).unwrap_or_default();
        if let Some(expected) = order.rests_in()
            && found != expected.symbol()
        {
            check.differs(&subject, expected.symbol(), found, "");
        }
        if let Some((placed, _)) = &order.placed {
            let same = number(item, "qty") == Some(placed.qty.into()) && number(item, "price") == Some(placed.price);
            if !same {
                check.differs(&subject, format!("qty {}, price {}", placed.qty, placed.price), item.to_string(), "");
            }
        }
    }
    for id in by_id.keys().filter(|id| facts.orders.get(**id).is_none_or(|order| order.placed.is_none())) {
        check.differs(format!("order {id}"), "nobody placed it", "listed", "");
    }
}

fn by_id<'a>(items: &'a [Value], field: &str) -> HashMap<&'a str, &'a Value> {
    items.iter().filter_map(|item| Some((item.get(field)?.as_str()?, item))).collect()
}
