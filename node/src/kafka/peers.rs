//! Whose open transaction holds a takeover up?
//!
//! Kafka names the producer of an open transaction only over requests that librdkafka lacks (DescribeProducers,
//! ListTransactions). But every worker's `client.id` is its `transactional.id`, and the group tells the client ids of its
//! members: whoever was a member when we last looked and is none now is dead for the group, its tasks are someone else's,
//! and its transaction can only be aborted. Registering its id anew does that at once; the broker would after
//! `transaction.timeout.ms`, at its next round of cleaning up (10 s + up to 10 s).
//!
//! A dead worker's records hold up every reader of the partitions they lie in, also of inputs that need no restore. So it is
//! done after every rebalance, in the background; a takeover that is held up does it again itself.
//!
//! An instance that starts after a dead one's session has run out never saw it: it waits for the broker. A worker's own
//! id needs none of this: its first producer registers it.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::producer::{BaseProducer, Producer as _};

use super::consumer::MemberContext;
use super::{Settings, native};

/// Longest wait for the list of members.
const MEMBERS_TIMEOUT: Duration = Duration::from_secs(2);
/// Longest wait for one dead worker's transaction to end.
const END_TIMEOUT: Duration = Duration::from_secs(5);
/// Workers remembered at most; the oldest by name go first.
const PEERS_MAX: usize = 1_000;

/// Transactional ids of the workers that have been members of our group while we looked.
pub(super) struct Peers {
    group: String,
    own: String,
    seen: Arc<Mutex<BTreeSet<String>>>,
}

impl Peers {
    pub(super) fn new(group: &str, own: &str) -> Self {
        Peers { group: group.to_owned(), own: own.to_owned(), seen: Arc::default() }
    }

    /// The client ids of the group's members; `None` if they are not to be had (the group is of the consumer protocol, or
    /// the coordinator is away).
    fn members(&self, client: &BaseConsumer<MemberContext>) -> Option<BTreeSet<String>> {
        match client.fetch_group_list(Some(&self.group), MEMBERS_TIMEOUT) {
            Ok(list) => {
                let group = list.groups().iter().find(|g| g.name() == self.group)?;
                Some(group.members().iter().map(|m| m.client_id().to_owned()).collect())
            }
            Err(e) => {
                tracing::debug!(group = self.group, error = %e, "members of the group are not to be had");
                None
            }
        }
    }

    /// Remembers who is a member now.
    pub(super) fn learn(&self, client: &BaseConsumer<MemberContext>) {
        self.remember(self.members(client).unwrap_or_default());
    }

    /// After a rebalance: who has gone is dead, and a thread that nobody waits for ends what it left open. Who has come is
    /// remembered.
    pub(super) fn look_round(&self, client: &BaseConsumer<MemberContext>, settings: &Settings) {
        let Some(members) = self.members(client) else { return };
        let dead = self.take_missing(&members);
        self.remember(members);
        if dead.is_empty() {
            return;
        }
        let (settings, seen) = (settings.clone(), self.seen.clone());
        let thread = std::thread::Builder::new().name(format!("{}-peers", self.own));
        if let Err(e) = thread.spawn(move || end_transactions(&settings, dead, &seen)) {
            tracing::debug!(error = %e, "no thread to end a dead worker's transaction on");
        }
    }

    fn remember(&self, members: BTreeSet<String>) {
        let prefix = format!("{}-", self.group);
        let mut seen = lock(&self.seen);
        seen.extend(members.into_iter().filter(|m| *m != self.own && m.starts_with(&prefix)));
        while seen.len() > PEERS_MAX {
            seen.pop_first();
        }
    }

    /// Forgets who was a member and is none of these. One that comes back while its transaction is ended is seen anew.
    fn take_missing(&self, members: &BTreeSet<String>) -> Vec<String> {
        let mut seen = lock(&self.seen);
        let missing: Vec<String> = seen.difference(members).cloned().collect();
        seen.retain(|id| members.contains(id));
        missing
    }

    /// Registers the transactional id of every worker that was a member and is none any more. A worker that is only slow
    /// notices it as being fenced, and starts over.
    pub(super) fn end_transactions_of_the_dead(&self, client: &BaseConsumer<MemberContext>, settings: &Settings) {
        // Without anyone to miss nobody is asked.
        let members = if lock(&self.seen).is_empty() { None } else { self.members(client) };
        let dead = members.map(|members| self.take_missing(&members)).unwrap_or_default();
        end_transactions(settings, dead, &self.seen);
    }
}

fn lock(seen: &Mutex<BTreeSet<String>>) -> MutexGuard<'_, BTreeSet<String>> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

fn end_transactions(settings: &Settings, dead: Vec<String>, seen: &Mutex<BTreeSet<String>>) {
    for id in dead {
        match end_transaction(settings, &id) {
            Ok(()) => tracing::info!(transactional_id = id, "ended what a dead worker had left open"),
            Err(e) => {
                tracing::warn!(transactional_id = id, error = e, "a dead worker's transaction is not ended yet");
                // Missed again the next time.
                lock(seen).insert(id);
            }
        }
    }
}

fn end_transaction(settings: &Settings, transactional_id: &str) -> Result<(), String> {
    let producer: BaseProducer =
        settings.transactional_producer(transactional_id).create().map_err(|e| e.to_string())?;
    native::init_transactions(producer.client(), END_TIMEOUT).map_err(|e| e.to_string())
}
