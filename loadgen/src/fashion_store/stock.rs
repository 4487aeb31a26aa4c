//! Stock: whether what was decided could be decided, and whether it adds up.
//!
//! Two topics feed the stock: supplies (fashion.products) and demands (fashion.stock-requests), each in log order; how they
//! were interleaved is not on the log. So the audit asks whether *any* interleaving explains every decision. Supplies
//! only add, hence the least number of supplies that explains everything so far is the best to go on with: a
//! reservation may force more supplies to have come before it, a rejection must hold at the least number. If that
//! greedy run fails, no interleaving exists.

use schemas::fashion::StockRejection;

use super::facts::{Facts, Order, Product, Supply};
use crate::audit::Findings;

pub(super) fn check(facts: &Facts, findings: &mut Findings) {
    decisions(facts, findings);
    per_order(facts, findings);
}

fn decisions(facts: &Facts, findings: &mut Findings) {
    let says = "every reservation had its pieces, every rejection had too few, in log order; never below zero";
    let mut check = findings.check("stock decisions", says);
    for (product_id, product) in &facts.products {
        let mut shelf = Shelf::new(product);
        for demand in &product.demands {
            check.examined();
            let Some(order) = facts.orders.get(&demand.order_id) else {
                continue;
            };
            let possible = if demand.release {
                // Only what was reserved comes back; whether it was is checked per order.
                if order.reserved > 0 {
                    shelf.free += demand.qty;
                }
                Ok(())
            } else if order.reserved > 0 {
                shelf.reserve(demand.qty)
            } else {
                match order.rejected.first() {
                    Some(StockRejection::UnknownProduct) => shelf.unknown(),
                    Some(_) => shelf.too_few(demand.qty),
                    // Not decided yet: the check of outcomes tells.
                    None => Ok(()),
                }
            };
            if let Err((expected, found)) = possible {
                let subject = format!("product {product_id}, order {}", demand.order_id);
                check.differs(subject, expected, found, demand.place.to_string());
            }
        }
    }
}

/// A product's free pieces with the least supplies that explain what was decided so far.
struct Shelf<'a> {
    coming: std::slice::Iter<'a, Supply>,
    registered: bool,
    free: i64,
}

type Impossible = (String, String);

impl<'a> Shelf<'a> {
    fn new(product: &'a Product) -> Self {
        Shelf { coming: product.supplies.iter(), registered: false, free: 0 }
    }

    fn supply(&mut self) -> bool {
        match self.coming.next() {
            Some(Supply::Register(pieces) | Supply::Restock(pieces)) => {
                self.registered = true;
                self.free += pieces;
                true
            }
            None => false,
        }
    }

    fn reserve(&mut self, qty: i64) -> Result<(), Impossible> {
        while !self.registered || self.free < qty {
            if !self.supply() {
                let found = format!("reserved with {} left of everything ever supplied", self.free);
                // Goes on as if it had not happened, so that one fault is not reported for every later order.
                return Err((format!("{qty} pieces free, or a rejection"), found));
            }
        }
        self.free -= qty;
        Ok(())
    }

    fn too_few(&mut self, qty: i64) -> Result<(), Impossible> {
        // OUT_OF_STOCK says that the product is known.
        if !self.registered && !self.supply() {
            return Err(("UNKNOWN_PRODUCT".to_owned(), "OUT_OF_STOCK".to_owned()));
        }
        if self.free >= qty {
            let found = format!("rejected with at least {} free", self.free);
            return Err((format!("{qty} pieces reserved"), found));
        }
        Ok(())
    }

    fn unknown(&self) -> Result<(), Impossible> {
        if self.registered {
            return Err(("a known product".to_owned(), "UNKNOWN_PRODUCT after it was known".to_owned()));
        }
        Ok(())
    }
}

fn per_order(facts: &Facts, findings: &mut Findings) {
    let says = "pieces are taken once, given back once when the order ends undelivered or called back, and else kept";
    let mut check = findings.check("stock conserved", says);
    for (id, order) in &facts.orders {
        let Some((_, place)) = &order.trace.begun else {
            continue;
        };
        let expected = expected_releases(order);
        let subject = format!("order {id}");
        let found = || format!("{} reserved, {} released", order.reserved, order.released);
        check.holds(order.reserved <= 1, &subject, "reserved at most once", found, || place.to_string());
        if let Some((least, most)) = expected {
            let words =
                if least == most { format!("released {least} ×") } else { format!("released {least} or {most} ×") };
            let fits = (least..=most).contains(&order.released);
            check.holds(fits, &subject, &words, found, || place.to_string());
        }
    }
}

/// How often an order's pieces must have come back, at least and at most; `None` while it is under way.
fn expected_releases(order: &Order) -> Option<(u32, u32)> {
    if !order.cancelled.is_empty() {
        // A cancellation may ask for a release before it knows that nothing was reserved.
        Some((order.reserved.min(1), 1))
    } else if order.at_rest() {
        Some((0, 0))
    } else {
        None
    }
}

/// Pieces of a product that must be free once everything is at rest.
pub(super) fn expected_free(facts: &Facts, product_id: &str) -> Option<i64> {
    let product = facts.products.get(product_id).filter(|product| product.is_registered())?;
    let kept: i64 = product
        .demands
        .iter()
        .filter(|demand| !demand.release)
        .filter(|demand| facts.orders.get(&demand.order_id).is_some_and(|o| o.reserved > 0 && o.stands()))
        .map(|demand| demand.qty)
        .sum();
    Some(product.supplied() - kept)
}
