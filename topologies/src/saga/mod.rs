//! What every saga of every business needs, each part used by composition:
//!
//! * [`payment`]: the payment leg, a pure state machine (charge, defer, retry, void, refund);
//! * [`Ledger`]: commands remembered with their verdicts, so that a repeat has no second effect and the sender has an
//!   answer;
//! * [`Due`] and [`Timers`]: durable timers that follow the saga's state;
//! * [`Keyed`]: the door through which records come in, checked against their key;
//! * [`hold`]: a thing that only one can have, as pure functions;
//! * [`Owners`]: an index of sagas by their owner;
//! * [`settings`]: durations and the checks on them;
//! * [`check`]: values that clients send, against the limits.
//!
//! A saga itself is a pure function `(state, event, now) → (state', commands)` in its business's module; the processor
//! around it only reads, calls, writes and forwards.

pub mod check;
pub mod hold;
mod keyed;
mod ledger;
mod owners;
pub mod payment;
pub mod settings;
mod timers;

pub use keyed::Keyed;
pub use ledger::{Ledger, Seen};
pub use owners::Owners;
pub use timers::{Due, DueFormat, DueKind, Timers};
