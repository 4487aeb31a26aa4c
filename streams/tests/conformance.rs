//! Kafka Streams' own cases (`tests/conformance/`) against the production task, each topology written with the public API.
//!
//! Every scenario runs three ways: straight, with a crash and a restart after every input, and with the disk lost in each
//! of those crashes. `cargo test --release -p streams --test conformance -- --nocapture` lists every scenario by its id;
//! `CONFORMANCE=st- cargo test …` runs those whose id begins so.
//!
//! To add a topology: a function `fn(&Scenario) -> Topology` in a file of `conformance_topologies/`, and its id in that
//! file's `find`. Topics are the scenario's inputs and outputs by their names; formats are [`runner::Tagged`] throughout.

#![allow(clippy::print_stdout)] // the report is what this test is for

mod conformance_topologies;
mod runner;

use std::collections::BTreeMap;

use runner::Mode;

/// Scenarios whose topology is not written yet, one id per line. It only shrinks: an id that is missing here and has no topology fails, and
/// so does an id that is here and has one.
const NOT_YET: &str = include_str!("conformance_topologies/not_yet.txt");

/// Scenarios held to be wrong, each with the line of Kafka Streams that says otherwise.
const HELD_WRONG: &[(&str, &str)] = &[];

#[test]
fn kafka_streams_own_cases() {
    let prefix = std::env::var("CONFORMANCE").unwrap_or_default();
    let scenarios = runner::load();
    assert!(scenarios.len() >= 159, "the corpus is complete");
    let mut failures = Vec::new();
    let mut missing = Vec::new();
    let mut categories: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    for scenario in scenarios.iter().filter(|s| s.id.starts_with(&prefix)) {
        if let Some((_, why)) = HELD_WRONG.iter().find(|(id, _)| *id == scenario.id) {
            println!("held wrong  {}: {why}", scenario.id);
            continue;
        }
        let count = categories.entry(scenario.category.clone()).or_default();
        count.1 += 1;
        let Some(case) = conformance_topologies::find(&scenario.id) else {
            println!("not yet     {}", scenario.id);
            missing.push(scenario.id.as_str());
            continue;
        };
        let mut failed = false;
        for mode in [Mode::Straight, Mode::Crash, Mode::LoseDisk].into_iter().filter(|m| case.runs(*m)) {
            if let Err(why) = runner::run(scenario, &case, mode) {
                println!("FAILED      {} ({mode:?})\n{why}", scenario.id);
                failures.push(format!("{} ({mode:?})", scenario.id));
                failed = true;
                break;
            }
        }
        if !failed {
            count.0 += 1;
            println!("ok          {}", scenario.id);
        }
    }
    println!();
    for (category, (passed, total)) in &categories {
        println!("{category:<32} {passed:>3} of {total}");
    }
    let (passed, total) = categories.values().fold((0, 0), |(p, t), (a, b)| (p + a, t + b));
    println!("{:<32} {passed:>3} of {total}", "all");
    assert!(failures.is_empty(), "{} scenarios fail: {failures:?}", failures.len());
    let not_yet: Vec<&str> = NOT_YET.lines().collect();
    let unlisted: Vec<_> = missing.iter().filter(|id| !not_yet.contains(id)).collect();
    assert!(unlisted.is_empty(), "no topology, and not in NOT_YET: {unlisted:?}");
    let done: Vec<_> = not_yet.iter().filter(|id| conformance_topologies::find(id).is_some()).collect();
    assert!(done.is_empty(), "has a topology now, take it out of NOT_YET: {done:?}");
}
