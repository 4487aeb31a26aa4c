//! Every interleaving of every business: see [`walk`]. Per business: every step failing in its turn, every message twice,
//! every pair of a command and what cancels it at every point, deadlines against late approvals, two sagas that want one
//! thing. The number of cases is printed.

#![expect(clippy::print_stdout, reason = "a walk says how far it went")]

mod ebook;
mod fashion;
mod gdmarket;
#[path = "../support/mod.rs"]
mod support;
mod taxi;
mod walk;

use walk::{Bounds, Business, Walked};

/// A walk of a business.
struct Case<B: Business> {
    bounds: Bounds,
    business: B,
    /// Commands that are under way from the beginning, in order.
    first: Vec<B::Message>,
    /// Commands that come at any point, or never.
    clients: Vec<B::Message>,
}

/// Walks all cases of a business. Each must reach an end, all together the ends named, and they must be long: a walk that
/// lost its way would pass.
fn check<B: Business>(name: &str, cases: Vec<Case<B>>, cases_min: u64, ends: &[&str]) {
    let (mut all, mut states) = (0, 0);
    let mut reached = std::collections::BTreeSet::new();
    for Case { bounds, business, first, clients } in cases {
        let Walked { cases, states: seen, ends } = walk::walk(business, &first, &clients, bounds);
        println!("{name}, {}: {cases} cases over {seen} states, ends {ends:?}", bounds.name);
        assert!(!ends.is_empty(), "{name}, {}: it never ends", bounds.name);
        reached.extend(ends.into_keys());
        all += cases;
        states += seen;
    }
    println!("{name}: {all} cases over {states} states");
    assert!(all >= cases_min, "{name}: only {all} cases");
    assert_eq!(
        reached.iter().map(String::as_str).collect::<Vec<_>>(),
        ends,
        "{name}: every end is reached, and no other"
    );
}
