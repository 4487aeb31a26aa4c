//! The members' dashboard: a view of its own, made from status events alone. It knows nothing of sagas.

use schemas::ebook::state::Dashboard;
use schemas::ebook::{RentState, RentStatus};
use streams::store::KeyValueStore;
use streams::{Context, ProcessError, Processor, Record};

/// Keeps one row per rent. A tombstone removes it.
pub(super) struct DashboardView {
    pub(super) rows: KeyValueStore<String, Dashboard>,
}

impl Processor for DashboardView {
    type KeyIn = String;
    type ValueIn = RentStatus;
    type KeyOut = String;
    type ValueOut = Dashboard;

    fn process(
        &self,
        cx: &mut Context<'_, String, Dashboard>,
        record: Record<'_, String, RentStatus>,
    ) -> Result<(), ProcessError> {
        let id = record.key.ok_or_else(|| ProcessError::rejected("the key is null"))?;
        let Some(status) = record.value else {
            return self.rows.delete(cx, id);
        };
        let row = self.rows.get(cx, id)?;
        if row.as_ref().is_some_and(|row| row.version >= status.version) {
            return Ok(());
        }
        self.rows.put(cx, id, &shown(row, status))
    }
}

/// The row after a status event.
fn shown(row: Option<Dashboard>, status: &RentStatus) -> Dashboard {
    let old = row.unwrap_or_else(|| Dashboard {
        rent_id: status.rent_id.clone(),
        user_id: status.user_id.clone(),
        book_id: status.book_id.clone(),
        book_name: String::new(),
        rental_fee: 0,
        status: RentState::Unknown,
        reason: None,
        version: 0,
        requested_date: None,
        rented_date: None,
        deferred_date: None,
        paid_date: None,
        approved_date: None,
        returned_date: None,
        canceled_date: None,
        updated_at: status.at,
    });
    let mut row = Dashboard {
        book_name: status.book_name.clone(),
        rental_fee: status.rental_fee,
        status: status.status,
        reason: status.reason,
        version: status.version,
        updated_at: status.at,
        ..old
    };
    let date = match status.status {
        RentState::Requested => &mut row.requested_date,
        RentState::Rented => &mut row.rented_date,
        RentState::PaymentDeferred => &mut row.deferred_date,
        RentState::Paid => &mut row.paid_date,
        RentState::Approved => &mut row.approved_date,
        RentState::Returned => &mut row.returned_date,
        RentState::Canceled => &mut row.canceled_date,
        RentState::Canceling | RentState::Unknown => return row,
    };
    date.get_or_insert(status.at);
    row
}
