//! The processor around the order saga: reads the order, takes the step, writes what changed, sends what was asked for.

use schemas::fashion::state::{Order, customer_key};
use schemas::fashion::{DeliveryRequest, OrderCancelled, OrderStatus, StockRequest};
use schemas::payment::PaymentRequest;
use schemas::state::{Payment, PaymentPhase, Verdict};
use streams::store::{KeyValueStore, StateAccess as _};
use streams::{Context, In, ProcessError, Processor, PunctuationType, Record, ScheduleId, Timestamp};

use super::saga::{Command, Event, Rules, Step, step};
use crate::saga::{Due, DueKind, Ledger, Timers};

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

/// The order saga. Forwards status events.
pub(super) struct OrderSaga {
    pub(super) rules: Rules,
    pub(super) timer_resolution_ms: i64,
    pub(super) orders: KeyValueStore<String, Order>,
    /// The index by customer: the time the order was placed, under [`customer_key`].
    pub(super) by_customer: KeyValueStore<String, i64>,
    pub(super) payments: KeyValueStore<String, Payment>,
    pub(super) ledger: Ledger,
    pub(super) timers: Timers,
    pub(super) to: Outputs,
}

type Cx<'a> = Context<'a, String, OrderStatus>;

impl Processor for OrderSaga {
    type KeyIn = String;
    type ValueIn = Event;
    type KeyOut = String;
    type ValueOut = OrderStatus;

    fn init(&self, cx: &mut Cx<'_>) -> Result<(), ProcessError> {
        cx.schedule(self.timer_resolution_ms, PunctuationType::WallClockTime);
        Ok(())
    }

    fn process(&self, cx: &mut Cx<'_>, record: Record<'_, String, Event>) -> Result<(), ProcessError> {
        let (Some(id), Some(event)) = (record.key, record.value) else {
            return Err(ProcessError::Topology("an event without order".into()));
        };
        let Event::Command(command) = event else {
            return self.take_step(cx, id, event).map(|_| ());
        };
        self.ledger.once(cx, command, |cx| self.take_step(cx, id, event))
    }

    fn punctuate(&self, cx: &mut Cx<'_>, _schedule: ScheduleId, now: Timestamp) -> Result<(), ProcessError> {
        for (due, Due { kind, id }) in self.timers.take_due(cx, now)? {
            match kind {
                DueKind::Deadline => self.take_step(cx, &id, &Event::Deadline).map(|_| ())?,
                DueKind::PaymentRetry => self.take_step(cx, &id, &Event::PaymentRetry).map(|_| ())?,
                DueKind::Forget => self.forget(cx, &id)?,
                DueKind::ForgetCommand => self.ledger.forget(cx, due, &id)?,
            }
        }
        Ok(())
    }
}

impl OrderSaga {
    fn take_step(
        &self,
        cx: &mut Cx<'_>,
        id: &String,
        event: &Event,
    ) -> Result<Option<(Verdict, String)>, ProcessError> {
        let old = self.orders.get(cx, id)?;
        let Step { order, commands, verdict } =
            step(old.clone(), event, cx.now(), &self.rules).map_err(ProcessError::rejected)?;
        if let Some(new) = &order
            && old.as_ref() != Some(new)
        {
            self.write(cx, id, old.as_ref(), new)?;
        }
        for command in &commands {
            self.send(cx, id, command)?;
        }
        Ok(verdict)
    }

    fn write(&self, cx: &mut Cx<'_>, id: &String, old: Option<&Order>, new: &Order) -> Result<(), ProcessError> {
        self.orders.put(cx, id, new)?;
        if old.is_none() && !new.customer_id.is_empty() {
            self.by_customer.put(cx, &customer_key(&new.customer_id, id), &new.placed_at)?;
        }
        // A payment begins with its first request: an order without stock has none.
        if new.payment.phase != PaymentPhase::None && old.map(|o| &o.payment) != Some(&new.payment) {
            self.payments.put(cx, id, &new.payment)?;
        }
        for kind in [DueKind::Deadline, DueKind::PaymentRetry, DueKind::Forget] {
            let (was, is) = (old.and_then(|o| self.due(kind, o)), self.due(kind, new));
            self.timers.follow(cx, kind, id, was, is)?;
        }
        Ok(())
    }

    /// When a kind of timer of an order is due, by its state.
    fn due(&self, kind: DueKind, order: &Order) -> Option<Timestamp> {
        match kind {
            DueKind::Deadline => order.deadline_at,
            DueKind::PaymentRetry => order.payment.retry_at,
            DueKind::Forget => order.settled_at.map(|at| at.saturating_add(self.rules.saga_retention_ms)),
            DueKind::ForgetCommand => None,
        }
    }

    fn send(&self, cx: &mut Cx<'_>, id: &String, command: &Command) -> Result<(), ProcessError> {
        let at = cx.timestamp();
        match command {
            Command::Stock(request) => {
                cx.forward_to(self.to.stock_requests, Record::new(Some(&request.product_id), Some(request), at))
            }
            Command::Payment(request) => {
                cx.forward_to(self.to.payment_requests, Record::new(Some(id), Some(request), at))
            }
            Command::Delivery(request) => {
                cx.forward_to(self.to.delivery_requests, Record::new(Some(id), Some(request), at))
            }
            Command::Cancelled(event) => cx.forward_to(self.to.cancellations, Record::new(Some(id), Some(event), at)),
            Command::Status(status) => cx.forward(Record::new(Some(id), Some(status), at)),
        }
    }

    /// Forgets a settled order and everything kept for it in this sub-topology.
    fn forget(&self, cx: &mut Cx<'_>, id: &String) -> Result<(), ProcessError> {
        let Some(order) = self.orders.get(cx, id)? else {
            return Ok(());
        };
        self.orders.delete(cx, id)?;
        self.payments.delete(cx, id)?;
        if !order.customer_id.is_empty() {
            self.by_customer.delete(cx, &customer_key(&order.customer_id, id))?;
        }
        let at = cx.timestamp();
        cx.forward_to(self.to.dashboard, Record::new(Some(id), None, at))
    }
}
