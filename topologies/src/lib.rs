//! The businesses of Orderflow, each a [`streams::Topology`]: pure, without IO, on the shared saga parts in [`saga`].
//!
//! One module per business; its `topology()` is the whole of it on one screen. What a module holds is always the same:
//! `config` (settings), `saga` (the pure step function), processors, and the topology that connects them.

#![warn(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing))]

pub mod avro;
mod codecs;
pub mod ebook_rental;
mod error;
pub mod fashion_store;
pub mod gdmarket;
pub mod limits;
pub mod saga;
pub mod taxi;

pub use error::Error;

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    /// The rows of the table of requirements: business, numbers, test.
    fn requirements() -> Vec<(&'static str, Vec<u32>, &'static str)> {
        let (_, table) = include_str!("../README.md").split_once("## Requirements and their tests").unwrap();
        let cells = |row: &'static str| row.split('|').map(str::trim).collect::<Vec<_>>();
        let rows = table.lines().filter(|line| line.starts_with('|')).skip(2).map(cells);
        rows.map(|row| (row[1], row[2].split(", ").map(|n| n.parse().unwrap()).collect(), row[3].trim_matches('`')))
            .collect()
    }

    #[test]
    fn every_numbered_requirement_has_the_test_that_the_table_names() {
        let tests = BTreeMap::from([
            ("fashion-store", (9, include_str!("../tests/fashion_store.rs"))),
            ("gdmarket", (10, include_str!("../tests/gdmarket.rs"))),
            ("taxi", (8, include_str!("../tests/taxi.rs"))),
            ("ebook-rental", (10, include_str!("../tests/ebook_rental.rs"))),
        ]);
        let mut covered: BTreeMap<&str, BTreeSet<u32>> = BTreeMap::new();
        for (business, numbers, test) in requirements() {
            assert!(tests[business].1.contains(&format!("#[test]\nfn {test}()")), "no test {test}");
            covered.entry(business).or_default().extend(numbers);
        }
        for (business, (last, _)) in tests {
            assert_eq!(covered[business], (1..=last).collect(), "{business}");
        }
    }
}
