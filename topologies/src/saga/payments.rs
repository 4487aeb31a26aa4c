//! What is shown of payments: a store of them, which follows the sagas that own them.

use schemas::state::{Payment, PaymentPhase};
use streams::store::{KeyValueStore, StateAccess};
use streams::{ProcessError, TopologyBuilder};

use crate::avro;

/// The payments of a business, by the id of their saga.
#[derive(Clone)]
pub struct Payments {
    store: KeyValueStore<String, Payment>,
}

impl Payments {
    /// In the store `payments`.
    pub fn new(b: &mut TopologyBuilder) -> Self {
        Payments { store: b.store("payments", avro::store::<Payment>()) }
    }

    /// The store, to be connected.
    #[must_use]
    pub fn store(&self) -> &KeyValueStore<String, Payment> {
        &self.store
    }

    /// Keeps a payment as its saga has it; `None`: the saga is forgotten. A payment begins with its first request: a saga
    /// that never got so far has none.
    ///
    /// # Errors
    /// When the store fails.
    pub fn follow(
        &self,
        cx: &mut impl StateAccess,
        id: &String,
        old: Option<&Payment>,
        new: Option<&Payment>,
    ) -> Result<(), ProcessError> {
        match new {
            None => self.store.delete(cx, id),
            Some(payment) if payment.phase != PaymentPhase::None && old != new => self.store.put(cx, id, payment),
            Some(_) => Ok(()),
        }
    }
}
