//! What every saga of every business needs, each part used by composition:
//!
//! * [`Runner`] and [`Saga`]: the processor around the pure step of a saga;
//! * [`payment`]: the payment leg, a pure state machine (charge, defer, retry, void, refund); [`Payments`] shows it;
//! * [`Ledger`]: commands remembered with their verdicts, so that a repeat has no second effect and the sender has an
//!   answer;
//! * [`Due`] and [`Timers`]: durable timers that follow the saga's state;
//! * [`Keyed`]: the door through which records come in, checked against their key;
//! * [`hold`]: a thing that only one can have, as pure functions; [`Holds`] keeps them;
//! * [`Owners`]: an index of sagas by their owner;
//! * [`settings`]: settings of a saga that takes money, durations and the checks on them;
//! * [`check`]: values that clients send, against the limits.
//!
//! A saga itself is a pure function `(state, event, now) → (state', commands)` in its business's module.

pub mod check;
pub mod hold;
mod holds;
mod keyed;
mod ledger;
mod owners;
pub mod payment;
mod payments;
mod runner;
pub mod settings;
mod timers;

pub use holds::Holds;
pub use keyed::{FROM_CLIENTS, FROM_STEPS, Keyed};
pub use ledger::{Ledger, Seen};
pub use owners::Owners;
pub use payments::Payments;
pub use runner::{Runner, Saga, Step};
pub use timers::{Due, DueFormat, DueKind, Timers};
