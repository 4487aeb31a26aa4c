//! The dashboard: a view of its own, made from status events alone. It knows nothing of sagas.

use schemas::fashion::state::Dashboard;
use schemas::fashion::{OrderState, OrderStatus};
use streams::store::KeyValueStore;
use streams::{Context, ProcessError, Processor, Record};

/// Keeps one row per order. A tombstone removes it.
pub(super) struct DashboardView {
    pub(super) rows: KeyValueStore<String, Dashboard>,
}

impl Processor for DashboardView {
    type KeyIn = String;
    type ValueIn = OrderStatus;
    type KeyOut = String;
    type ValueOut = Dashboard;

    fn process(
        &self,
        cx: &mut Context<'_, String, Dashboard>,
        record: Record<'_, String, OrderStatus>,
    ) -> Result<(), ProcessError> {
        let Some(id) = record.key else {
            return Err(ProcessError::rejected("the key is null"));
        };
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
fn shown(row: Option<Dashboard>, status: &OrderStatus) -> Dashboard {
    let mut row = row.unwrap_or_else(|| Dashboard {
        order_id: status.order_id.clone(),
        customer_id: status.customer_id.clone(),
        product_id: status.product_id.clone(),
        size: status.size.clone(),
        qty: status.qty,
        price: status.price,
        status: status.status,
        reason: None,
        version: 0,
        ordered_at: None,
        reserved_at: None,
        deferred_at: None,
        paid_at: None,
        delivery_started_at: None,
        cancel_requested_at: None,
        delivery_cancelled_at: None,
        cancelled_at: None,
        updated_at: status.at,
    });
    row.status = status.status;
    row.reason = status.reason;
    row.version = status.version;
    row.updated_at = status.at;
    let time = match status.status {
        OrderState::Ordered => &mut row.ordered_at,
        OrderState::StockReserved => &mut row.reserved_at,
        OrderState::PaymentDeferred => &mut row.deferred_at,
        OrderState::Paid => &mut row.paid_at,
        OrderState::DeliveryStarted => &mut row.delivery_started_at,
        OrderState::Cancelling => &mut row.cancel_requested_at,
        OrderState::DeliveryCancelled => &mut row.delivery_cancelled_at,
        OrderState::Cancelled => &mut row.cancelled_at,
        OrderState::Unknown => return row,
    };
    time.get_or_insert(status.at);
    row
}
