//! The order saga in its processor: where its state, its timers and its commands go.

use schemas::fashion::state::{Order, customer_key};
use schemas::fashion::{DeliveryRequest, OrderCancelled, OrderCommand, OrderStatus, StockRequest};
use schemas::payment::PaymentRequest;
use streams::store::{KeyValueStore, StateAccess as _};
use streams::{Context, In, ProcessError, Record, Timestamp};

use super::saga::{Command, Event, Step, step};
use crate::saga::settings::Settings;
use crate::saga::{DueKind, Payments, Saga};

/// Where the saga's commands go.
#[derive(Clone)]
pub(super) struct Outputs {
    pub(super) stock_requests: In<String, StockRequest>,
    pub(super) payment_requests: In<String, PaymentRequest>,
    pub(super) delivery_requests: In<String, DeliveryRequest>,
    pub(super) cancellations: In<String, OrderCancelled>,
    /// Takes status events, and a tombstone when an order is forgotten.
    pub(super) dashboard: In<String, OrderStatus>,
}

/// The order saga. Tells status events.
pub(super) struct OrderSaga {
    pub(super) settings: Settings,
    /// The index by customer: the time the order was placed, under [`customer_key`].
    pub(super) by_customer: KeyValueStore<String, i64>,
    pub(super) payments: Payments,
    pub(super) to: Outputs,
}

type Cx<'a> = Context<'a, String, OrderStatus>;

impl Saga for OrderSaga {
    type State = Order;
    type Event = Event;
    type Request = OrderCommand;
    type Command = Command;
    type Told = OrderStatus;

    fn request(event: &Event) -> Option<&OrderCommand> {
        if let Event::Command(command) = event { Some(command) } else { None }
    }

    fn step(&self, order: Option<Order>, event: &Event, now: Timestamp) -> Result<Step, String> {
        step(order, event, now, &self.settings)
    }

    fn due(&self, kind: DueKind, order: &Order) -> Option<Timestamp> {
        match kind {
            DueKind::Deadline => order.deadline_at,
            DueKind::PaymentRetry => order.payment.retry_at,
            DueKind::Forget => order.settled_at.map(|at| at.saturating_add(self.settings.saga_retention_ms)),
            DueKind::ForgetCommand => None,
        }
    }

    fn on_due(kind: DueKind) -> Option<Event> {
        match kind {
            DueKind::Deadline => Some(Event::Deadline),
            DueKind::PaymentRetry => Some(Event::PaymentRetry),
            DueKind::Forget | DueKind::ForgetCommand => None,
        }
    }

    fn follow(
        &self,
        cx: &mut Cx<'_>,
        id: &String,
        old: Option<&Order>,
        new: Option<&Order>,
    ) -> Result<(), ProcessError> {
        self.payments.follow(cx, id, old.map(|o| &o.payment), new.map(|o| &o.payment))?;
        match (old, new) {
            (None, Some(order)) if !order.customer_id.is_empty() => {
                self.by_customer.put(cx, &customer_key(&order.customer_id, id), &order.placed_at)
            }
            (Some(order), None) => {
                if !order.customer_id.is_empty() {
                    self.by_customer.delete(cx, &customer_key(&order.customer_id, id))?;
                }
                let at = cx.timestamp();
                cx.forward_to(self.to.dashboard, Record::new(Some(id), None, at))
            }
            _ => Ok(()),
        }
    }

    fn send(&self, cx: &mut Cx<'_>, id: &String, command: &Command) -> Result<(), ProcessError> {
        let (to, at) = (&self.to, cx.timestamp());
        match command {
            Command::Stock(r) => cx.forward_to(to.stock_requests, Record::new(Some(&r.product_id), Some(r), at)),
            Command::Payment(r) => cx.forward_to(to.payment_requests, Record::new(Some(id), Some(r), at)),
            Command::Delivery(r) => cx.forward_to(to.delivery_requests, Record::new(Some(id), Some(r), at)),
            Command::Cancelled(event) => cx.forward_to(to.cancellations, Record::new(Some(id), Some(event), at)),
            Command::Status(status) => cx.forward(Record::new(Some(id), Some(status), at)),
        }
    }
}
