//! Every interleaving of every business: see [`walk`]. Each business must have the walks named here that it has a meaning
//! for, and more of its own. The number of cases is printed, by walk and by business.

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

/// Every saga step fails once, and everything before it is undone.
const STEP_FAILS: &str = "every step failing in its turn";
/// Every event is delivered twice.
const TWICE: &str = "every event delivered twice";
/// Every pair of a command and a cancellation, in both orders and with everything else between them.
const CANCELLED: &str = "every command against every cancellation at every point";
/// The time is up, and then the answer comes after all.
const TOO_LATE: &str = "deadlines against late approvals";

/// Walks all cases of a business, `named` ones among them. Each must reach an end, all together the ends named, and they
/// must be long: a walk that lost its way would pass.
fn check<B: Business>(name: &str, cases: Vec<Case<B>>, named: &[&str], cases_min: u64, ends: &[&str]) {
    for walk in named {
        assert!(cases.iter().any(|case| case.bounds.name == *walk), "{name} is not walked: {walk}");
    }
    let (mut all, mut states) = (0, 0);
    let mut reached = std::collections::BTreeSet::new();
    for Case { bounds, business, first, clients } in cases {
        let Walked { cases, states: seen, ends } = walk::walk(business, &first, &clients, bounds);
        println!("{name}, {}: {cases} cases over {seen} states, ends {ends:?}", bounds.name);
        assert!(!ends.is_empty(), "{name}, {}: it never ends", bounds.name);
        if !bounds.ends.is_empty() {
            assert!(ends.keys().eq(bounds.ends), "{name}, {}: ends {ends:?}", bounds.name);
        }
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
