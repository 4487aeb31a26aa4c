//! What the log says, folded per rental and per item: plain counting, no judgement. The judgement is in `audit`.

use std::collections::{BTreeMap, HashMap};

use schemas::gdmarket::{
    ItemCommandKind, ItemOutcome, ItemRejection, ItemRequest, ItemRequestKind, ItemResult, ItemState, ItemStatus,
    RentalCancelReason, RentalCommandKind, RentalEvent, RentalEventKind, RentalState, RentalStatus, RequestRental,
    topics,
};
use schemas::{Codec, Keyed};

use super::{COMMANDS, rules};
use crate::audit::facts::{CLOCKS_APART_MS, Commands, Fold, Heard, History, Place, Poison, own, read};
use crate::audit::holds::{Answer, Ask, Asked};
use crate::audit::rules as values;
use crate::audit::saga::{Facts as _, Trace};

/// What a renter asks for after the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    Cancel,
    CancelPayment,
    Return,
}

/// How a rental must end by what was asked for, as far as the order on the log decides it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// However it comes.
    Any,
    Cancelled,
    Returned,
    /// One of these two, but not out for ever.
    Ended,
}

/// One rental, as the log has it.
#[derive(Debug, Default)]
pub(super) struct Rental {
    pub(super) trace: Trace<RequestRental, RentalState>,
    /// What the renter asked for behind that, in the order of the log, with the records' times.
    pub(super) wishes: Vec<(Wish, i64)>,
    pub(super) lock_asked: u32,
    pub(super) hand_out_asked: u32,
    pub(super) release_asked: u32,
    /// What item management answered, in order.
    pub(super) answers: Vec<Answer>,
    /// As registered when the item was locked.
    pub(super) fee: i64,
    /// When it began, by the clock of the saga; more than one is a fault.
    pub(super) started: Vec<i64>,
    pub(super) returned: u32,
    pub(super) cancelled: Vec<RentalCancelReason>,
}

impl Rental {
    pub(super) fn was(&self, answer: &Answer) -> bool {
        self.answers.contains(answer)
    }

    pub(super) fn wishes_for(&self, wish: Wish) -> bool {
        self.wishes.iter().any(|(one, _)| *one == wish)
    }

    /// How it must end. A cancellation is granted at any time before the item is brought back. Everything else is certain
    /// only if it was asked for well after the item was out: by the records' times, which are of the same clocks.
    pub(super) fn must_end(&self) -> End {
        let surely_out = |at: i64| self.started.first().is_some_and(|started| at > started + CLOCKS_APART_MS);
        let (mut maybe_back, mut maybe_cancelled) = (false, false);
        for (wish, at) in &self.wishes {
            match wish {
                Wish::Return if surely_out(*at) => return if maybe_cancelled { End::Ended } else { End::Returned },
                Wish::Return => maybe_back = true,
                Wish::CancelPayment if !surely_out(*at) => maybe_cancelled = true,
                Wish::Cancel | Wish::CancelPayment => return if maybe_back { End::Ended } else { End::Cancelled },
            }
        }
        End::Any
    }

    /// The item is not with, and not kept for, this rental.
    pub(super) fn is_freed(&self) -> bool {
        !self.was(&Answer::Taken) || self.was(&Answer::Freed)
    }

    /// What an event says of item and renter.
    fn says(&mut self, event: &'static str, item: String, renter: String) {
        self.trace.says(event, [item, renter]);
    }
}

/// One item, as the log has it.
#[derive(Debug, Default)]
pub(super) struct Item {
    /// Fees of sound registrations, in the order of the log.
    pub(super) fees: Vec<i64>,
    pub(super) deletions: u32,
    pub(super) asked: Vec<Asked>,
    /// Every change told: state and rental.
    pub(super) changes: Vec<(ItemState, Option<String>, Place)>,
    pub(super) history: History<ItemState>,
    commands: Commands,
}

/// Everything the log says.
#[derive(Default)]
pub(super) struct Facts {
    pub(super) rentals: HashMap<String, Rental>,
    pub(super) items: BTreeMap<String, Item>,
    codecs: Codecs,
}

#[derive(Default)]
struct Codecs {
    requests: Codec<ItemRequest>,
    results: Codec<ItemResult>,
    events: Codec<RentalEvent>,
    statuses: Codec<RentalStatus>,
    item_statuses: Codec<ItemStatus>,
}

impl Facts {
    fn rental_command(&mut self, key: &[u8], value: &[u8], place: &Place, at_ms: i64) -> Result<Heard, Poison> {
        let command = read(&COMMANDS.rentals, key, value)?;
        let rental = self.of(command.key());
        if rental.trace.commands.meet(&command)? == Heard::Again {
            return Ok(Heard::Again);
        }
        let wish = match command.command {
            RentalCommandKind::RequestRental(request) => {
                rules::request(&request).map_err(Poison::May)?;
                return Ok(rental.trace.begin(request, place));
            }
            RentalCommandKind::CancelRental(cancel) => {
                values::text(&cancel.reason).map_err(Poison::May)?;
                Wish::Cancel
            }
            RentalCommandKind::CancelPayment(cancel) => {
                values::text(&cancel.reason).map_err(Poison::May)?;
                Wish::CancelPayment
            }
            RentalCommandKind::ReturnItem(_) => Wish::Return,
        };
        // What is asked of a rental that is not there (yet) is refused and has no effect.
        if rental.trace.begun.is_some() {
            rental.wishes.push((wish, at_ms));
        }
        Ok(Heard::New)
    }

    fn item_command(&mut self, key: &[u8], value: &[u8]) -> Result<Heard, Poison> {
        let command = read(&COMMANDS.items, key, value)?;
        let item = self.items.entry(command.key().to_owned()).or_default();
        if item.commands.meet(&command)? == Heard::Again {
            return Ok(Heard::Again);
        }
        match command.command {
            ItemCommandKind::RegisterItem(register) => {
                rules::register(&register).map_err(Poison::May)?;
                item.fees.push(register.fee);
            }
            ItemCommandKind::DeleteItem(_) => item.deletions += 1,
        }
        Ok(Heard::New)
    }

    fn item_request(&mut self, request: ItemRequest, place: &Place) -> Result<(), String> {
        let rental = self.of(&request.rental_id);
        let (count, ask) = match request.kind {
            ItemRequestKind::Lock => (&mut rental.lock_asked, Ask::Take),
            ItemRequestKind::HandOut => (&mut rental.hand_out_asked, Ask::HandOut),
            ItemRequestKind::Release => (&mut rental.release_asked, Ask::Free),
            ItemRequestKind::Unknown => return Err("an unknown kind of request".to_owned()),
        };
        *count += 1;
        rental.says("ItemRequest", request.item_id.clone(), request.renter_id);
        let asked = Asked { holder: request.rental_id, ask, place: place.clone() };
        self.items.entry(request.item_id).or_default().asked.push(asked);
        Ok(())
    }

    fn item_result(&mut self, result: &ItemResult) -> Result<(), String> {
        let rental = self.of(&result.rental_id);
        let answer = match result.outcome {
            ItemOutcome::Locked => {
                rental.fee = result.fee;
                Answer::Taken
            }
            ItemOutcome::HandedOut => Answer::HandedOut,
            ItemOutcome::Released => Answer::Freed,
            ItemOutcome::Rejected => Answer::Rejected(result.reason.unwrap_or(ItemRejection::Unknown).symbol()),
            ItemOutcome::Unknown => return Err("an unknown outcome".to_owned()),
        };
        rental.answers.push(answer);
        Ok(())
    }

    fn event(&mut self, event: RentalEventKind) {
        match event {
            RentalEventKind::RentalStarted(e) => {
                let rental = self.of(&e.rental_id);
                rental.started.push(e.started_at);
                rental.says("RentalStarted", e.item_id, e.renter_id);
            }
            RentalEventKind::RentalReturned(e) => {
                let rental = self.of(&e.rental_id);
                rental.returned += 1;
                rental.says("RentalReturned", e.item_id, e.renter_id);
            }
            RentalEventKind::RentalCancelled(e) => {
                let rental = self.of(&e.rental_id);
                rental.cancelled.push(e.reason);
                rental.says("RentalCancelled", e.item_id, e.renter_id);
            }
        }
    }
}

impl Fold for Facts {
    fn command(&mut self, place: &Place, key: &[u8], value: &[u8], at_ms: i64) -> Result<Heard, Poison> {
        if place.topic == topics::RENTALS.base() {
            self.rental_command(key, value, place, at_ms)
        } else {
            self.item_command(key, value)
        }
    }

    fn own(&mut self, place: &Place, value: &[u8]) -> Result<(), String> {
        match place.topic {
            t if t == topics::ITEM_REQUESTS.base() => {
                let request = own(&self.codecs.requests, value)?;
                self.item_request(request, place)?;
            }
            t if t == topics::ITEM_RESULTS.base() => {
                let result = own(&self.codecs.results, value)?;
                self.item_result(&result)?;
            }
            t if t == topics::RENTAL_EVENTS.base() => {
                let event = own(&self.codecs.events, value)?;
                self.event(event.event);
            }
            t if t == topics::RENTAL_STATUS.base() => {
                let status = own(&self.codecs.statuses, value)?;
                let rental = self.of(&status.rental_id);
                rental.trace.history.tell(status.status, status.version, place);
                rental.says("RentalStatus", status.item_id, status.renter_id);
            }
            _ => {
                let status = own(&self.codecs.item_statuses, value)?;
                let item = self.items.entry(status.item_id).or_default();
                item.history.tell(status.status, status.version, place);
                item.changes.push((status.status, status.rental_id, place.clone()));
            }
        }
        Ok(())
    }
}
