//! The topologies of the corpus, by scenario id.

mod aggregates;
mod foreign_keys;
mod joins;
mod processors;
mod stateless;
mod stream_joins;
mod suppressions;
mod tables;
mod windows;
mod words;

use crate::runner::{Case, Datum, Tagged};
use streams::dsl::{Consumed, Grouped, Materialized, Produced};

/// The topology of a scenario, once it is written.
pub(crate) fn find(id: &str) -> Option<Case> {
    stateless::find(id)
        .or_else(|| aggregates::find(id))
        .or_else(|| tables::find(id))
        .or_else(|| joins::find(id))
        .or_else(|| foreign_keys::find(id))
        .or_else(|| processors::find(id))
        .or_else(|| windows::find(id))
        .or_else(|| suppressions::find(id))
        .or_else(|| stream_joins::find(id))
}

/// How every topic of the corpus is read.
fn consumed<K: Datum, V: Datum>() -> Consumed<K, V> {
    Consumed::with(Tagged, Tagged)
}

/// How every topic of the corpus is written.
fn produced<K: Datum, V: Datum>() -> Produced<K, V> {
    Produced::with(Tagged, Tagged)
}

/// A store.
fn store<K: Datum, V: Datum>(name: &str) -> Materialized<K, V> {
    Materialized::new(name, Tagged, Tagged)
}

/// A repartition topic.
fn grouped<K: Datum, V: Datum>(name: &str) -> Grouped<K, V> {
    Grouped::new(name, Tagged, Tagged)
}
