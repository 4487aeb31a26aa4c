//! Item management: items, who has them, and the manager's view of all of them. A sub-topology of its own, so that it can
//! be stopped alone.

use schemas::gdmarket::state::{Item, ItemView};
use schemas::gdmarket::{
    DeleteItem, ItemCommand, ItemCommandKind, ItemOutcome, ItemRejection, ItemRequest, ItemRequestKind, ItemResult,
    ItemState, ItemStatus, RegisterItem,
};
use schemas::state::{Hold, HoldPhase, Verdict};
use streams::store::{KeyValueStore, StateAccess as _};
use streams::{Context, In, ProcessError, Processor, PunctuationType, Record, ScheduleId, Timestamp};

use crate::limits::PRICE_MAX;
use crate::saga::hold::{self, Ask};
use crate::saga::{Due, DueKind, Holds, Ledger, Timers, check};

/// What can happen to an item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The item manager asks for something.
    Command(ItemCommand),
    /// The rental saga asks for something.
    Request(ItemRequest),
}

/// What was decided about a command: the item from now on, if it changes, and the answer.
pub type Decision = (Option<Item>, Verdict, String);

/// Decides a registration: the first one of an id, or name and fee of a known item. What was agreed with a renter stays.
#[must_use]
pub fn register(known: Option<&Item>, command: &RegisterItem, now: Timestamp) -> Decision {
    let valid = check::text("name", &command.name).and_then(|()| check::number("fee", command.fee, 0, PRICE_MAX));
    if let Err(reason) = valid {
        return (None, Verdict::Invalid, reason);
    }
    let (name, fee) = (command.name.clone(), command.fee);
    let item = match known {
        None => Item {
            item_id: command.item_id.clone(),
            name,
            fee,
            status: ItemState::Available,
            rental_id: None,
            version: 1,
            registered_at: now,
            updated_at: now,
        },
        Some(item) if item.status == ItemState::Deleted => {
            return (None, Verdict::Refused, "the item is deleted, and its id is not used again".into());
        }
        Some(item) if (&item.name, item.fee) == (&name, fee) => {
            return (None, Verdict::Duplicate, "the item is registered so already".into());
        }
        Some(item) => changed(Item { name, fee, ..item.clone() }, now),
    };
    (Some(item), Verdict::Accepted, String::new())
}

/// Decides a deletion: refused while a rental holds the item.
#[must_use]
pub fn delete(known: Option<&Item>, command: &DeleteItem, now: Timestamp) -> Decision {
    match known {
        None => (None, Verdict::NotFound, format!("there is no item '{}'", command.item_id)),
        Some(item) if item.status == ItemState::Deleted => {
            (None, Verdict::Duplicate, "the item is deleted already".into())
        }
        Some(Item { rental_id: Some(rental), .. }) => {
            (None, Verdict::Refused, format!("rental '{rental}' holds the item"))
        }
        Some(item) => {
            let item = changed(Item { status: ItemState::Deleted, ..item.clone() }, now);
            (Some(item), Verdict::Accepted, String::new())
        }
    }
}

/// Decides a request of the rental saga: the item, if it changes, and the hold.
///
/// # Errors
/// When the request makes no sense.
pub fn request(
    known: Option<&Item>,
    hold: Option<&Hold>,
    request: &ItemRequest,
    now: Timestamp,
) -> Result<(Option<Item>, Hold), String> {
    let ask = match request.kind {
        ItemRequestKind::Lock => Ask::Take,
        ItemRequestKind::HandOut => Ask::HandOut,
        ItemRequestKind::Release => Ask::Free,
        ItemRequestKind::Unknown => return Err("a kind of item request that this release does not know".into()),
    };
    let refusal = match known.map(|item| item.status) {
        None => Some(ItemRejection::UnknownItem),
        Some(ItemState::Available) => None,
        Some(ItemState::Deleted) => Some(ItemRejection::Deleted),
        Some(_) => Some(ItemRejection::NotAvailable),
    };
    let new = hold::decide(hold, &request.item_id, &request.rental_id, ask, refusal.map(ItemRejection::symbol), now);
    let held_before = hold.is_some_and(hold::keeps);
    let item = known.filter(|_| hold != Some(&new) && (held_before || hold::keeps(&new))).map(|item| {
        let (status, rental_id) = match new.phase {
            HoldPhase::Held => (ItemState::Locked, Some(request.rental_id.clone())),
            HoldPhase::Out => (ItemState::Rented, Some(request.rental_id.clone())),
            _ => (ItemState::Available, None),
        };
        changed(Item { status, rental_id, ..item.clone() }, now)
    });
    Ok((item, new))
}

/// The answer that a hold is to a request.
#[must_use]
pub fn answer(item: Option<&Item>, hold: &Hold, request: &ItemRequest, now: Timestamp) -> ItemResult {
    let outcome = match (hold.phase, request.kind) {
        (_, ItemRequestKind::Release) | (HoldPhase::Released, _) => ItemOutcome::Released,
        (HoldPhase::Out, ItemRequestKind::HandOut) => ItemOutcome::HandedOut,
        (HoldPhase::Held | HoldPhase::Out, _) => ItemOutcome::Locked,
        (HoldPhase::Rejected | HoldPhase::Unknown, _) => ItemOutcome::Rejected,
    };
    ItemResult {
        outcome,
        rental_id: request.rental_id.clone(),
        item_id: request.item_id.clone(),
        fee: item.filter(|_| hold::keeps(hold)).map_or(0, |item| item.fee),
        reason: ItemRejection::from_symbol(&hold.reason).filter(|_| outcome == ItemOutcome::Rejected),
        command_id: request.command_id.clone(),
        at: now,
    }
}

fn changed(item: Item, now: Timestamp) -> Item {
    Item { version: item.version.saturating_add(1), updated_at: now, ..item }
}

/// Item management's processor. Forwards results, keyed by rental.
pub(super) struct ItemManagement {
    pub(super) timer_resolution_ms: i64,
    /// How long a deleted item is remembered.
    pub(super) retention_ms: i64,
    pub(super) items: KeyValueStore<String, Item>,
    pub(super) holds: Holds,
    pub(super) ledger: Ledger,
    pub(super) timers: Timers,
    pub(super) view: In<String, ItemStatus>,
    pub(super) status: In<String, ItemStatus>,
}

type Cx<'a> = Context<'a, String, ItemResult>;

impl Processor for ItemManagement {
    type KeyIn = String;
    type ValueIn = Event;
    type KeyOut = String;
    type ValueOut = ItemResult;

    fn init(&self, cx: &mut Cx<'_>) -> Result<(), ProcessError> {
        cx.schedule(self.timer_resolution_ms, PunctuationType::WallClockTime);
        Ok(())
    }

    fn process(&self, cx: &mut Cx<'_>, record: Record<'_, String, Event>) -> Result<(), ProcessError> {
        let (Some(id), Some(event)) = (record.key, record.value) else {
            return Err(ProcessError::Topology("an event without item".into()));
        };
        match event {
            Event::Command(command) => self.ledger.once(cx, command, |cx| {
                let known = self.items.get(cx, id)?;
                let (item, verdict, detail) = match &command.command {
                    ItemCommandKind::RegisterItem(command) => register(known.as_ref(), command, cx.now()),
                    ItemCommandKind::DeleteItem(command) => delete(known.as_ref(), command, cx.now()),
                };
                if let Some(item) = item {
                    self.change(cx, &item)?;
                }
                Ok(Some((verdict, detail)))
            }),
            Event::Request(request) => self.on_request(cx, request),
        }
    }

    fn punctuate(&self, cx: &mut Cx<'_>, _schedule: ScheduleId, now: Timestamp) -> Result<(), ProcessError> {
        for (due, Due { kind, id }) in self.timers.take_due(cx, now)? {
            match kind {
                DueKind::Forget => self.forget(cx, &id)?,
                DueKind::ForgetCommand => self.ledger.forget(cx, due, &id)?,
                DueKind::Deadline | DueKind::PaymentRetry => {}
            }
        }
        Ok(())
    }
}

impl ItemManagement {
    fn on_request(&self, cx: &mut Cx<'_>, ask: &ItemRequest) -> Result<(), ProcessError> {
        check::id("rental_id", &ask.rental_id).map_err(ProcessError::rejected)?;
        let (known, now) = (self.items.get(cx, &ask.item_id)?, cx.now());
        let old = self.holds.get(cx, &ask.item_id, &ask.rental_id)?;
        let (item, new) = request(known.as_ref(), old.as_ref(), ask, now).map_err(ProcessError::rejected)?;
        if let Some(item) = &item {
            self.change(cx, item)?;
        }
        self.holds.follow(cx, old.as_ref(), &new)?;
        let at = cx.timestamp();
        let result = answer(item.as_ref().or(known.as_ref()), &new, ask, now);
        cx.forward(Record::new(Some(&ask.rental_id), Some(&result), at))
    }

    /// Writes an item and tells everyone.
    fn change(&self, cx: &mut Cx<'_>, item: &Item) -> Result<(), ProcessError> {
        self.items.put(cx, &item.item_id, item)?;
        if item.status == ItemState::Deleted {
            let due = item.updated_at.saturating_add(self.retention_ms);
            self.timers.follow(cx, DueKind::Forget, &item.item_id, None, Some(due))?;
        }
        let status = ItemStatus {
            item_id: item.item_id.clone(),
            name: item.name.clone(),
            fee: item.fee,
            status: item.status,
            rental_id: item.rental_id.clone(),
            version: item.version,
            at: item.updated_at,
        };
        let at = cx.timestamp();
        cx.forward_to(self.view, Record::new(Some(&item.item_id), Some(&status), at))?;
        cx.forward_to(self.status, Record::new(Some(&item.item_id), Some(&status), at))
    }

    /// Forgets a hold, or a deleted item: a hold's key has two ids.
    fn forget(&self, cx: &mut Cx<'_>, key: &String) -> Result<(), ProcessError> {
        if key.contains(schemas::state::KEY_SEPARATOR) {
            return self.holds.forget(cx, key);
        }
        self.items.delete(cx, key)?;
        let at = cx.timestamp();
        cx.forward_to(self.view, Record::new(Some(key), None, at))
    }
}

/// The item manager's view: made from status events alone. A tombstone removes a row.
pub(super) struct ItemViews {
    pub(super) rows: KeyValueStore<String, ItemView>,
}

impl Processor for ItemViews {
    type KeyIn = String;
    type ValueIn = ItemStatus;
    type KeyOut = String;
    type ValueOut = ItemView;

    fn process(
        &self,
        cx: &mut Context<'_, String, ItemView>,
        record: Record<'_, String, ItemStatus>,
    ) -> Result<(), ProcessError> {
        let id = record.key.ok_or_else(|| ProcessError::rejected("the key is null"))?;
        let Some(status) = record.value else {
            return self.rows.delete(cx, id);
        };
        let row = self.rows.get(cx, id)?;
        self.rows.put(cx, id, &shown(row, status))
    }
}

/// The row after a status event.
fn shown(row: Option<ItemView>, status: &ItemStatus) -> ItemView {
    let before = row.as_ref().map(|row| row.status);
    let old = row.unwrap_or_else(|| ItemView {
        item_id: status.item_id.clone(),
        name: String::new(),
        fee: 0,
        status: ItemState::Unknown,
        rental_id: None,
        version: 0,
        rentals: 0,
        locked_at: None,
        rented_at: None,
        available_at: None,
        deleted_at: None,
        updated_at: status.at,
    });
    let mut row = ItemView {
        name: status.name.clone(),
        fee: status.fee,
        status: status.status,
        rental_id: status.rental_id.clone(),
        version: status.version,
        updated_at: status.at,
        ..old
    };
    // A change of name or fee is no change of state.
    if before == Some(status.status) {
        return row;
    }
    match status.status {
        ItemState::Locked => row.locked_at = Some(status.at),
        ItemState::Rented => {
            row.rented_at = Some(status.at);
            row.rentals = row.rentals.saturating_add(1);
        }
        ItemState::Available => row.available_at = Some(status.at),
        ItemState::Deleted => row.deleted_at = Some(status.at),
        ItemState::Unknown => {}
    }
    row
}
