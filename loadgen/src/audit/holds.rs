//! A thing that only one can have at a time (an item of a rental market, a book): who had it when, computed again from the
//! order of the requests on the log, and held against the answers.
//!
//! All requests for a thing lie on one partition, in the order they are decided. The answers to one holder lie on one
//! partition too, in the order of its requests: the n-th answer is the n-th request's.

use std::collections::{HashMap, VecDeque};

use super::facts::Place;
use super::findings::Check;

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

/// What was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Kept for the holder.
    Taken,
    /// With the holder.
    HandedOut,
    /// Free again.
    Freed,
    /// Not to be had, for this reason.
    Rejected(&'static str),
}

/// A request, where it is on the log.
#[derive(Clone, Debug)]
pub struct Asked {
    /// Who asks.
    pub holder: String,
    /// For what.
    pub ask: Ask,
    /// Where.
    pub place: Place,
}

/// Why a thing is not to be had, as the business names it.
#[derive(Clone, Copy, Debug)]
pub struct Reasons {
    /// Another has it.
    pub taken: &'static str,
    /// Nobody registered it.
    pub unknown: &'static str,
    /// It was removed; `None` where nothing ever is.
    pub removed: Option<&'static str>,
}

/// What the log says of the thing itself.
#[derive(Clone, Copy, Debug)]
pub struct Thing {
    /// Somebody registered it.
    pub registered: bool,
    /// Somebody removed it.
    pub removed: bool,
}

/// A change of who has the thing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Held {
    /// Kept for this holder.
    For(String),
    /// With this holder.
    By(String),
    /// Nobody's.
    Free,
}

/// What cannot be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// About which holder.
    pub holder: String,
    /// What had to be answered.
    pub expected: String,
    /// What was.
    pub found: String,
    /// The request.
    pub place: Place,
}

/// Who had the thing when.
#[derive(Debug, Default)]
pub struct Walk {
    /// Every change, in order; it begins free.
    pub changes: Vec<Held>,
    /// What cannot be.
    pub faults: Vec<Fault>,
    /// Requests without an answer.
    pub unanswered: u64,
}

impl Walk {
    /// Who has it in the end.
    pub fn holder(&self) -> Option<&str> {
        match self.changes.last() {
            Some(Held::For(holder) | Held::By(holder)) => Some(holder),
            Some(Held::Free) | None => None,
        }
    }

    /// What cannot be, about a thing (`book train`) and its holders (`rent`); `done` says what became of a holder that is
    /// done with it.
    pub fn check(&self, thing: &str, word: &str, done: &dyn Fn(&str) -> Option<String>, check: &mut Check<'_>) {
        check.examined();
        for fault in &self.faults {
            let subject = format!("{thing}, {word} {}", fault.holder);
            check.differs(subject, &fault.expected, &fault.found, fault.place.to_string());
        }
        if self.unanswered > 0 {
            check.differs(thing, "every request answered", format!("{} without an answer", self.unanswered), "");
        }
        if let Some((holder, story)) = self.holder().and_then(|holder| Some((holder, done(holder)?))) {
            check.differs(thing, "free", format!("kept for {word} {holder}: {story}"), "");
        }
    }
}

/// A holder's part of the walk.
struct Hold<'a> {
    phase: Phase,
    answers: VecDeque<&'a Answer>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    None,
    Kept,
    Out,
    Rejected,
    Over,
}

/// Walks through the requests for one thing. `answers` gives all that a holder was answered, in order.
pub fn walk<'a>(
    asked: &[Asked],
    thing: Thing,
    reasons: &Reasons,
    answers: &dyn Fn(&str) -> Option<&'a [Answer]>,
) -> Walk {
    let mut walk = Walk::default();
    let mut holds: HashMap<&str, Hold<'a>> = HashMap::new();
    // What is certain of the thing by what was decided about it before.
    let (mut known, mut gone) = (false, false);
    for Asked { holder, ask, place } in asked {
        let hold = holds.entry(holder).or_insert_with(|| Hold {
            phase: Phase::None,
            answers: answers(holder).unwrap_or_default().iter().collect(),
        });
        let Some(answer) = hold.answers.pop_front() else {
            walk.unanswered += 1;
            continue;
        };
        let other = walk.holder().filter(|other| *other != holder.as_str()).map(str::to_owned);
        let expected = match (ask, hold.phase) {
            (Ask::Take, Phase::None) => {
                let fault = taken(answer, other.as_deref(), thing, (known, gone), reasons);
                gone |= matches!(answer, Answer::Rejected(reason) if Some(*reason) == reasons.removed);
                known |= !matches!(answer, Answer::Rejected(reason) if *reason == reasons.unknown);
                fault.err()
            }
            (Ask::Free, _) => (*answer != Answer::Freed).then(|| "let go of".to_owned()),
            (Ask::HandOut, Phase::Kept | Phase::Out) => {
                (*answer != Answer::HandedOut).then(|| "handed out: it is kept for this holder".to_owned())
            }
            (Ask::HandOut, _) => (*answer == Answer::HandedOut).then(|| "kept before it is handed out".to_owned()),
            // A repeat is answered with the hold as it is.
            (Ask::Take, _) => None,
        };
        if let Some(expected) = expected {
            let found = format!("{ask:?} answered with {answer:?}");
            walk.faults.push(Fault { holder: holder.clone(), expected, found, place: place.clone() });
        }
        let (phase, change) = match answer {
            Answer::Taken => (Phase::Kept, Some(Held::For(holder.clone()))),
            Answer::HandedOut => (Phase::Out, Some(Held::By(holder.clone()))),
            Answer::Freed => (Phase::Over, (walk.holder() == Some(holder)).then_some(Held::Free)),
            Answer::Rejected(_) => (Phase::Rejected, None),
        };
        hold.phase = phase;
        walk.changes.extend(change);
    }
    walk
}

/// Whether the first answer to who wants the thing can be; else what had to be.
fn taken(
    answer: &Answer,
    other: Option<&str>,
    thing: Thing,
    (known, gone): (bool, bool),
    reasons: &Reasons,
) -> Result<(), String> {
    match (answer, other) {
        (Answer::Taken, Some(other)) => Err(format!("turned away: {other} has it")),
        (Answer::Taken, None) if !thing.registered => Err("turned away: nobody registered it".to_owned()),
        (Answer::Taken, None) if gone => Err("turned away: it was removed before".to_owned()),
        (Answer::Taken, None) => Ok(()),
        // It may have been let go of before it was ever taken: then nothing is.
        (Answer::Freed, _) => Err("taken, or turned away".to_owned()),
        (Answer::HandedOut, _) => Err("taken before it is handed out".to_owned()),
        (Answer::Rejected(reason), Some(other)) if *reason != reasons.taken => {
            Err(format!("turned away with {}: {other} has it", reasons.taken))
        }
        (Answer::Rejected(_), Some(_)) => Ok(()),
        (Answer::Rejected(reason), None) if *reason == reasons.unknown && known => {
            Err("taken: it was known before".to_owned())
        }
        (Answer::Rejected(reason), None) if *reason == reasons.unknown => Ok(()),
        (Answer::Rejected(reason), None) if Some(*reason) == reasons.removed && thing.removed => Ok(()),
        (Answer::Rejected(_), None) => Err("taken: nobody has it".to_owned()),
    }
}
