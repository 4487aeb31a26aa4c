//! Delivery management: starts parcels and calls them back. A sub-topology of its own, so that it can be stopped alone.

use schemas::fashion::state::{Delivery, DeliveryPhase};
use schemas::fashion::{DeliveryCancelled, DeliveryEvent, DeliveryRequest, DeliveryRequestKind, DeliveryStarted};
use streams::store::{KeyValueStore, StateAccess as _};
use streams::{Context, ProcessError, Processor, PunctuationType, Record, ScheduleId, Timestamp};

use crate::saga::{Due, DueKind, Timers};

/// Decides a request: the delivery from now on. One that comes again changes nothing.
///
/// A CANCEL that overtakes its START, or comes when the delivery is forgotten, leaves a delivery that never started; a
/// START after it starts nothing.
///
/// # Errors
/// When the request makes no sense.
pub fn request(known: Option<Delivery>, request: &DeliveryRequest, now: Timestamp) -> Result<Delivery, String> {
    let mut delivery = known.unwrap_or_else(|| Delivery {
        order_id: request.order_id.clone(),
        customer_id: request.customer_id.clone(),
        product_id: request.product_id.clone(),
        size: request.size.clone(),
        qty: request.qty,
        phase: DeliveryPhase::None,
        reason: String::new(),
        started_at: None,
        cancelled_at: None,
    });
    match (request.kind, delivery.phase) {
        (DeliveryRequestKind::Unknown, _) => {
            return Err("a kind of delivery request that this release does not know".into());
        }
        (DeliveryRequestKind::Start, DeliveryPhase::None) => {
            delivery.phase = DeliveryPhase::Started;
            delivery.started_at = Some(now);
        }
        (DeliveryRequestKind::Cancel, DeliveryPhase::None | DeliveryPhase::Started) => {
            delivery.phase = DeliveryPhase::Cancelled;
            delivery.cancelled_at = Some(now);
            delivery.reason.clone_from(&request.reason);
        }
        _ => {}
    }
    Ok(delivery)
}

/// The event that tells where a delivery stands.
#[must_use]
pub fn event(delivery: &Delivery, now: Timestamp) -> DeliveryEvent {
    let Delivery { order_id, customer_id, product_id, size, .. } = delivery.clone();
    let qty = delivery.qty;
    let event = if delivery.phase == DeliveryPhase::Cancelled {
        let (reason, started_at) = (delivery.reason.clone(), delivery.started_at);
        let cancelled_at = delivery.cancelled_at.unwrap_or(now);
        DeliveryCancelled { order_id, customer_id, product_id, size, qty, reason, started_at, cancelled_at }.into()
    } else {
        let started_at = delivery.started_at.unwrap_or(now);
        DeliveryStarted { order_id, customer_id, product_id, size, qty, started_at }.into()
    };
    DeliveryEvent { event }
}

/// Delivery management's processor. Forwards events.
pub(super) struct DeliveryManagement {
    pub(super) timer_resolution_ms: i64,
    pub(super) retention_ms: i64,
    pub(super) deliveries: KeyValueStore<String, Delivery>,
    pub(super) timers: Timers,
}

type Cx<'a> = Context<'a, String, DeliveryEvent>;

impl Processor for DeliveryManagement {
    type KeyIn = String;
    type ValueIn = DeliveryRequest;
    type KeyOut = String;
    type ValueOut = DeliveryEvent;

    fn init(&self, cx: &mut Cx<'_>) -> Result<(), ProcessError> {
        cx.schedule(self.timer_resolution_ms, PunctuationType::WallClockTime);
        Ok(())
    }

    fn process(&self, cx: &mut Cx<'_>, record: Record<'_, String, DeliveryRequest>) -> Result<(), ProcessError> {
        let (Some(id), Some(ask)) = (record.key, record.value) else {
            return Err(ProcessError::Topology("a request without order".into()));
        };
        let old = self.deliveries.get(cx, id)?;
        let new = request(old.clone(), ask, cx.now()).map_err(ProcessError::rejected)?;
        if old.as_ref() == Some(&new) {
            // A repeat. The event is public and was told: it is not told twice.
            return Ok(());
        }
        self.deliveries.put(cx, id, &new)?;
        let (was, is) = (old.as_ref().and_then(|d| self.due(d)), self.due(&new));
        self.timers.follow(cx, DueKind::Forget, id, was, is)?;
        let (at, now) = (cx.timestamp(), cx.now());
        cx.forward(Record::new(Some(id), Some(&event(&new, now)), at))
    }

    fn punctuate(&self, cx: &mut Cx<'_>, _schedule: ScheduleId, now: Timestamp) -> Result<(), ProcessError> {
        for (_, Due { kind, id }) in self.timers.take_due(cx, now)? {
            if kind == DueKind::Forget {
                self.deliveries.delete(cx, &id)?;
            }
        }
        Ok(())
    }
}

impl DeliveryManagement {
    /// When a delivery is forgotten.
    fn due(&self, delivery: &Delivery) -> Option<Timestamp> {
        let changed = delivery.cancelled_at.or(delivery.started_at)?;
        Some(changed.saturating_add(self.retention_ms))
    }
}
