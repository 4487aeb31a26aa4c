//! Sending, and waiting for what follows, from a thread: for programs that have no async runtime.

use std::collections::BTreeMap;
use std::sync::PoisonError;
use std::time::{Duration, Instant};

use streams::{Headers, Offset, Partition, Timestamp};

use super::broker::check;
use super::format::LogId;
use super::shared::{PositionKey, read};
use super::{Error, LocalBroker, Produce};

impl LocalBroker {
    /// As [`LocalBroker::append`], for a thread: waits until the record is committed.
    ///
    /// # Errors
    /// See [`LocalBroker::write`]; never [`Error::Busy`].
    pub fn send(
        &self,
        topic: &str,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        timestamp: Timestamp,
    ) -> Result<(Partition, Offset), Error> {
        let (topic, headers) = (self.topic(topic)?, Headers::empty());
        let (log, _) = check(&topic, &Produce { topic: "", partition: None, key, value, timestamp, headers })?;
        let shared = self.shared();
        let append =
            |pending: &mut super::shared::Pending| pending.append(shared.stores, log, key, value, timestamp, headers);
        let offset = shared.commit_and_wait(append)?;
        Ok((log.partition, Offset(offset)))
    }

    /// Waits until a group has committed its positions at the ends of all it is registered for
    /// ([`LocalBroker::register_group`]). An application is a group under its id: all records are processed then, those
    /// that it sent to itself too. False when that took longer than `timeout`.
    ///
    /// # Errors
    /// What ended the log.
    pub fn wait_until_read(&self, group: &str, timeout: Duration) -> Result<bool, Error> {
        let until = Instant::now() + timeout;
        let shared = self.shared();
        loop {
            let seen = shared.committed.turns();
            if self.is_read(group) {
                return Ok(true);
            }
            if let Some(e) = self.failure() {
                return Err(e);
            }
            if !shared.committed.wait(seen, until) {
                return Ok(false);
            }
        }
    }

    fn is_read(&self, group: &str) -> bool {
        let shared = self.shared();
        let inputs: Vec<PositionKey> = {
            let registered = shared.registered.lock().unwrap_or_else(PoisonError::into_inner);
            registered.iter().filter(|(g, _)| **g == *group).cloned().collect()
        };
        // Positions before ends: a commit publishes its records before its positions, so whoever sees what it has read
        // sees what it has written.
        let positions: Vec<Option<i64>> = {
            let known = read(&shared.positions);
            inputs.iter().map(|input| known.get(input).map(|c| c.offset.0)).collect()
        };
        let catalog = read(&shared.catalog);
        let logs = catalog.topics.values().flat_map(|topic| &topic.partitions);
        let extents: BTreeMap<LogId, (i64, i64)> = logs
            .map(|log| {
                let extent = log.extent();
                (log.id, (extent.start, extent.end))
            })
            .collect();
        let is_at_end = |((_, log), position): (&PositionKey, Option<i64>)| {
            extents.get(log).is_some_and(|(start, end)| position.unwrap_or(*start) >= *end)
        };
        !inputs.is_empty() && inputs.iter().zip(positions).all(is_at_end)
    }
}
