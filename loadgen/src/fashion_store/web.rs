//! What is answered over HTTP, against what the log says.

use std::collections::BTreeMap;

use schemas::fashion::PlaceOrder;
use serde_json::Value;

use super::facts::{Facts, Order};
use super::stock::expected_free;
use crate::audit::Findings;
use crate::audit::saga::{Facts as _, Saga as _};
use crate::audit::web::{Listed, Want, by_id, compare, number};

pub(super) const PRODUCTS: &str = "/products";
pub(super) const ORDERS: &str = "/orders";
pub(super) const DASHBOARDS: &str = "/dashboards";

pub(super) fn check(facts: &Facts, collections: &BTreeMap<String, Vec<Value>>, findings: &mut Findings) {
    if let Some(items) = collections.get(PRODUCTS) {
        products(facts, items, findings);
    }
    for (path, id) in [(ORDERS, "id"), (DASHBOARDS, "orderId")] {
        if let Some(items) = collections.get(path) {
            compare((path, id, "order"), items, &order_list(facts), findings);
        }
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

fn order_list(facts: &Facts) -> Vec<Listed<'_>> {
    let listed = |(id, order, placed, _): (_, &Order, &PlaceOrder, _)| {
        let mut wants = vec![("qty", Want::Number(placed.qty.into())), ("price", Want::Number(placed.price))];
        wants.extend(order.rests_in().map(|state| ("status", Want::Text(state.symbol()))));
        Listed { id, wants }
    };
    facts.begun().map(listed).collect()
}
