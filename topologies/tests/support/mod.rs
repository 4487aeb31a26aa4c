//! Businesses under test: [`rig`] runs any of them, [`provider`] takes their money, and each has a module of its own.
#![allow(dead_code, unused_imports)] // every test binary uses its part

pub(crate) mod ebook;
pub(crate) mod fashion;
pub(crate) mod gdmarket;
pub(crate) mod provider;
pub(crate) mod rig;
pub(crate) mod steps;
pub(crate) mod taxi;

pub(crate) use fashion::{Shop, audit, cancel, place, register, restock};
pub(crate) use provider::{Charges, Ledger, result};
pub(crate) use rig::{After, Mode, PLAIN, modes, same_in_every_mode};
