//! A thing that only one can have at a time: an item of a rental market, a book of a library. Pure; the business keeps the
//! thing itself and says when it is not to be had.
//!
//! ```text
//!             TAKE                 HAND_OUT            A hold goes through these in one direction only, so requests
//!   (none) ─────────► HELD ─────────────► OUT          may come twice, late, and overtake each other: a FREE before
//!      │  └► REJECTED   └──► RELEASED ◄───┘ FREE        its TAKE leaves RELEASED behind, and the TAKE takes nothing.
//!      └───────────────────────▲
//! ```

use schemas::state::{Hold, HoldPhase, KEY_SEPARATOR};
use streams::Timestamp;

/// What a holder wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask {
    /// Keep the thing for the holder.
    Take,
    /// Give it to the holder.
    HandOut,
    /// Let go of it.
    Free,
}

/// Decides a request; one that comes again gets the hold as it is. `refusal` is why the thing cannot be taken now, as
/// the business names it.
#[must_use]
pub fn decide(
    known: Option<&Hold>,
    thing_id: &str,
    holder_id: &str,
    ask: Ask,
    refusal: Option<&str>,
    now: Timestamp,
) -> Hold {
    let first = |phase, reason: &str| Hold {
        thing_id: thing_id.to_owned(),
        holder_id: holder_id.to_owned(),
        phase,
        reason: reason.to_owned(),
        at: now,
    };
    let moved = |hold: &Hold, phase| Hold { phase, at: now, ..hold.clone() };
    match (ask, known) {
        (Ask::Take, None) => match refusal {
            Some(reason) => first(HoldPhase::Rejected, reason),
            None => first(HoldPhase::Held, ""),
        },
        (Ask::HandOut, None) => first(HoldPhase::Rejected, ""),
        (Ask::Free, None) => first(HoldPhase::Released, ""),
        (Ask::HandOut, Some(hold)) if hold.phase == HoldPhase::Held => moved(hold, HoldPhase::Out),
        (Ask::Free, Some(hold)) if keeps(hold) => moved(hold, HoldPhase::Released),
        (_, Some(hold)) => hold.clone(),
    }
}

/// Whether the thing is not free because of this hold.
#[must_use]
pub fn keeps(hold: &Hold) -> bool {
    matches!(hold.phase, HoldPhase::Held | HoldPhase::Out)
}

/// The key of a hold: the thing, then its holder.
#[must_use]
pub fn key(thing_id: &str, holder_id: &str) -> String {
    format!("{thing_id}{KEY_SEPARATOR}{holder_id}")
}
