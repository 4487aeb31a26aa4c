//! The door of a saga: records come in only under the key that their value names.

use streams::{Context, Misplaced, ProcessError, Processor, Record, SourceOptions};

use super::check;

/// Clients write in any language, and some partition differently (librdkafka's default is CRC32): their records are sent on
/// to the partition where their state is.
pub const FROM_CLIENTS: SourceOptions = SourceOptions { misplaced: Misplaced::Forward, exclusive: false };
/// Options of a source of what other sub-topologies of the same business write, and nobody else.
pub const FROM_STEPS: SourceOptions = SourceOptions { misplaced: Misplaced::Accept, exclusive: true };

/// Takes records whose key is the id in their value, and hands them on as an event of the saga.
///
/// What has no key, no value, or another key than its value says is rejected: it may lie on a partition where the state
/// it is about is not, so not even a verdict could be left where the sender would look for it.
pub struct Keyed<V, E> {
    event: fn(&V) -> E,
}

impl<V, E> Keyed<V, E> {
    /// A door that makes events of values.
    pub fn new(event: fn(&V) -> E) -> Self {
        Keyed { event }
    }
}

impl<V: schemas::Keyed + 'static, E: 'static> Processor for Keyed<V, E> {
    type KeyIn = String;
    type ValueIn = V;
    type KeyOut = String;
    type ValueOut = E;

    fn process(&self, cx: &mut Context<'_, String, E>, record: Record<'_, String, V>) -> Result<(), ProcessError> {
        let key = record.key.ok_or_else(|| ProcessError::rejected("the key is null"))?;
        let value = record.value.ok_or_else(|| ProcessError::rejected("the value is null: nothing here is deleted"))?;
        check::id("the key", key).map_err(ProcessError::rejected)?;
        if key != value.key() {
            // Not quoted in full: the value's id has no limit before this.
            let named: String = value.key().chars().take(crate::limits::ID_BYTES_MAX).collect();
            return Err(ProcessError::rejected(format!("the key is '{key}', but the value is about '{named}'")));
        }
        cx.forward(record.with_value(Some(&(self.event)(value))))
    }
}
