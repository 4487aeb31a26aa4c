//! The shop's auditor: every "never" of `SYSTEMS.md`, checked against the committed log.

use std::collections::{BTreeMap, HashMap};

use schemas::fashion::{CancelRequester, CancellationReason, OrderState, PlaceOrder, StockRejection, topics};
use serde_json::Value;

use super::facts::{Facts, Order};
use super::{stock, web};
use crate::audit::Findings;
use crate::audit::payment::{Claim, Due, Topics};
use crate::audit::saga::{self, Facts as _, Saga, Trace};

impl Saga for Order {
    type Request = PlaceOrder;
    type State = OrderState;
    const WORD: &'static str = "order";

    fn trace(&self) -> &Trace<PlaceOrder, OrderState> {
        &self.trace
    }

    fn trace_mut(&mut self) -> &mut Trace<PlaceOrder, OrderState> {
        &mut self.trace
    }

    fn words(place: &PlaceOrder) -> Vec<String> {
        vec![place.product_id.clone(), place.qty.to_string(), place.price.to_string()]
    }

    fn is_touched(&self) -> bool {
        let asked = self.reserve_asked + self.release_asked + self.start_asked;
        let answered = self.reserved + self.released + self.started + self.recalled;
        asked + answered > 0 || !(self.rejected.is_empty() && self.cancelled.is_empty())
    }

    fn rests_in(&self) -> Option<OrderState> {
        if !self.cancelled.is_empty() {
            Some(OrderState::Cancelled)
        } else if self.at_rest() {
            Some(OrderState::DeliveryStarted)
        } else {
            None
        }
    }

    fn is_open(&self) -> bool {
        self.trace.begun.is_some() && !self.at_rest()
    }

    fn story(&self) -> String {
        let Order { started, recalled, cancelled, .. } = self;
        format!("started {started} ×, called back {recalled} ×, cancelled {} ×", cancelled.len())
    }

    fn progress(&self) -> String {
        let Trace { payment, history, .. } = &self.trace;
        let last = if self.start_asked > 0 {
            "delivery asked for"
        } else if payment.approved > 0 {
            "payment approved"
        } else if !payment.charge_keys.is_empty() {
            "payment asked for"
        } else if self.reserved > 0 {
            "stock reserved"
        } else if !self.rejected.is_empty() {
            "stock rejected"
        } else if self.reserve_asked > 0 {
            "stock asked for"
        } else {
            "nothing has happened since it was placed"
        };
        format!("last step: {last}, status {}", history.words())
    }

    fn end(&self) -> String {
        match self.cancelled.first() {
            Some(reason) => format!("cancelled {reason}"),
            None if self.started > 0 => "delivered".to_owned(),
            None => "open".to_owned(),
        }
    }

    fn claim(&self, place: &PlaceOrder, at: String) -> Option<Claim> {
        let due = if !self.cancelled.is_empty() {
            Due::Nothing
        } else if self.at_rest() {
            Due::Kept
        } else {
            Due::Open
        };
        let (may_charge, served) = (self.reserved > 0, self.started > 0);
        Some(Claim { amount: place.price, may_charge, served, due, at })
    }
}

impl saga::Facts for Facts {
    type Saga = Order;
    const COLLECTIONS: &'static [&'static str] = &[web::PRODUCTS, web::ORDERS, web::DASHBOARDS];
    const PAYMENT: Option<Topics> = Some((topics::PAYMENT_REQUESTS, topics::PAYMENT_RESULTS));

    fn sagas(&self) -> &HashMap<String, Order> {
        &self.orders
    }

    fn sagas_mut(&mut self) -> &mut HashMap<String, Order> {
        &mut self.orders
    }

    fn judge(&self, findings: &mut Findings) {
        outcomes(self, findings);
        causes(self, findings);
        steps(self, findings);
        stock::check(self, findings);
    }

    fn judge_web(&self, collections: &BTreeMap<String, Vec<Value>>, findings: &mut Findings) {
        web::check(self, collections, findings);
    }

    fn count(&self, add: &mut dyn FnMut(&str, u64)) {
        let called_back = self.begun().filter(|(_, order, ..)| order.started > 0 && !order.cancelled.is_empty());
        add("called back", called_back.count() as u64);
        add("products", self.products.values().filter(|product| product.is_registered()).count() as u64);
    }
}

fn outcomes(facts: &Facts, findings: &mut Findings) {
    let says = "every order ends exactly once: delivered, or cancelled with its delivery called back if it had started";
    let mut check = findings.check("one outcome", says);
    for (id, order, _, at) in facts.begun() {
        let subject = format!("order {id}");
        check.examined();
        if order.started == 0 && order.cancelled.is_empty() {
            check.differs(&subject, "an outcome", "none", format!("{at}; {}", order.progress()));
            continue;
        }
        if order.started > 1 || order.cancelled.len() > 1 || order.recalled > 1 {
            check.differs(&subject, "each event at most once", order.story(), &at);
        }
        if order.recalled_first {
            check.differs(
                &subject,
                "no delivery once it is called back",
                "DeliveryStarted after DeliveryCancelled",
                &at,
            );
        }
        if order.cancelled.is_empty() && order.recalled > 0 {
            check.differs(&subject, "called back means cancelled", order.story(), &at);
        }
        if !order.cancelled.is_empty() && order.started > 0 && order.recalled == 0 {
            check.differs(&subject, "cancelled after delivery started means called back", order.story(), &at);
        }
    }
}

fn causes(facts: &Facts, findings: &mut Findings) {
    let says = "a cancellation has its cause on the log, and whoever cancels gets it";
    let mut check = findings.check("outcome fits its cause", says);
    for (id, order, _, at) in facts.begun() {
        check.examined();
        let subject = format!("order {id}");
        let Some(reason) = order.cancelled.first().copied() else {
            if !order.cancels.is_empty() && order.started > 0 {
                check.differs(subject, "cancelled, as was asked for", order.story(), at);
            }
            continue;
        };
        let cause = match reason {
            CancellationReason::OutOfStock => order.rejected.contains(&StockRejection::OutOfStock),
            CancellationReason::UnknownProduct => order.rejected.contains(&StockRejection::UnknownProduct),
            CancellationReason::PaymentDeclined => order.trace.payment.declined > 0,
            // The deadline is the saga's own: all that can be seen is that nobody else ended it.
            CancellationReason::PaymentTimeout => order.rejected.is_empty(),
            CancellationReason::Customer => order.cancels.contains(&CancelRequester::Customer),
            CancellationReason::Md => order.cancels.contains(&CancelRequester::Md),
            CancellationReason::Unknown => false,
        };
        if !cause {
            check.differs(subject, format!("a cause of {}", reason.symbol()), "none on the log", at);
        }
    }
}

fn steps(facts: &Facts, findings: &mut Findings) {
    let says = "stock before payment before delivery; each asked for once";
    let mut check = findings.check("order of steps", says);
    for (id, order, _, at) in facts.begun() {
        let subject = format!("order {id}");
        let mut holds = |holds: bool, expected: &str, found: String| {
            if !holds {
                check.differs(&subject, expected, found, &at);
            }
        };
        let asked = format!("{} × RESERVE, {} × RELEASE", order.reserve_asked, order.release_asked);
        holds(order.reserve_asked <= 1 && order.release_asked <= 1, "stock asked for once", asked);
        for (expected, found) in order.trace.payment.faults() {
            holds(false, expected, found);
        }
        let charged = !order.trace.payment.charge_keys.is_empty();
        holds(!charged || order.reserved > 0, "no charge without stock", "CHARGE without RESERVED".to_owned());
        let paid = order.trace.payment.approved > 0;
        holds(
            order.start_asked == 0 || paid,
            "no delivery without payment",
            "delivery asked for without APPROVED".to_owned(),
        );
        holds(
            order.started == 0 || order.start_asked > 0,
            "no delivery unasked",
            "DeliveryStarted without START".to_owned(),
        );
        holds(order.started == 0 || paid, "paid before delivery", "delivered without APPROVED".to_owned());
        check.examined();
    }
}
