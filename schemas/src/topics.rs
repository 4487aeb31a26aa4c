//! What a topic is: its name, what its key means, what its values are. Each app's constants are in its module, e.g.
//! [`crate::fashion::topics`].

use std::fmt;
use std::marker::PhantomData;

use crate::avro::AvroRecord;

/// A value that carries the id its topic is partitioned by.
///
/// The record's key is this id as raw UTF-8; its partition is `murmur2` of those bytes, as Java's default partitioner
/// has it. A record whose key is not this id is refused.
pub trait Keyed {
    /// The partition key.
    fn key(&self) -> &str;
}

/// Who writes a topic, and for whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Written by clients, judged by our processors.
    Command,
    /// Between our own processors, or between them and the payment worker.
    Internal,
    /// Written by our processors for whoever wants to know.
    Event,
}

/// How long a topic's records stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Retention {
    /// This many days: commands as long as their ids are remembered, events as long as their sagas.
    Days(u32),
    /// Never expires by time: a request that expired unread would be a saga that hangs.
    Unlimited,
}

impl Retention {
    /// As Kafka's `retention.ms`; -1 is unlimited.
    pub const fn retention_ms(self) -> i64 {
        match self {
            Retention::Days(days) => days as i64 * 24 * 60 * 60 * 1_000,
            Retention::Unlimited => -1,
        }
    }
}

/// A topic without its value's type: for listing, creating and describing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TopicSpec {
    /// Name without prefix; see [`TopicSpec::name`].
    pub base: &'static str,
    /// What the record's key is, e.g. `order_id` (which payment records hold as `correlation_id`).
    pub key: &'static str,
    /// Full Avro name of the values' record.
    pub record: &'static str,
    /// Who writes it.
    pub kind: Kind,
    /// How long its records stay.
    pub retention: Retention,
}

impl TopicSpec {
    /// The topic's name on the log under a deployment's prefix (which may be empty).
    pub fn name(&self, prefix: &str) -> String {
        format!("{prefix}{}", self.base)
    }

    /// The registry subject of the topic's values, by Confluent's `TopicNameStrategy`.
    pub fn subject(&self, prefix: &str) -> String {
        format!("{prefix}{}-value", self.base)
    }
}

/// Every topic of every app.
pub fn all() -> impl Iterator<Item = TopicSpec> {
    use crate::{ebook, fashion, gdmarket, taxi};
    [fashion::topics::ALL, gdmarket::topics::ALL, taxi::topics::ALL, ebook::topics::ALL].into_iter().flatten().copied()
}

/// A topic whose values are `T`.
pub struct Topic<T> {
    spec: TopicSpec,
    value: PhantomData<fn() -> T>,
}

impl<T: AvroRecord + Keyed> Topic<T> {
    /// A topic that clients write commands to.
    pub const fn command(base: &'static str, key: &'static str) -> Self {
        Self::new(base, key, Kind::Command, Retention::Days(7))
    }

    /// A topic between processors.
    pub const fn internal(base: &'static str, key: &'static str) -> Self {
        Self::new(base, key, Kind::Internal, Retention::Unlimited)
    }

    /// A topic that tells what happened.
    pub const fn event(base: &'static str, key: &'static str) -> Self {
        Self::new(base, key, Kind::Event, Retention::Days(90))
    }

    const fn new(base: &'static str, key: &'static str, kind: Kind, retention: Retention) -> Self {
        Topic { spec: TopicSpec { base, key, record: T::NAME, kind, retention }, value: PhantomData }
    }
}

impl<T> Topic<T> {
    /// The topic without its value's type.
    pub const fn spec(&self) -> TopicSpec {
        self.spec
    }

    /// See [`TopicSpec::name`].
    pub fn name(&self, prefix: &str) -> String {
        self.spec.name(prefix)
    }

    /// See [`TopicSpec::subject`].
    pub fn subject(&self, prefix: &str) -> String {
        self.spec.subject(prefix)
    }

    /// Name without prefix, for topologies, which know none.
    pub const fn base(&self) -> &'static str {
        self.spec.base
    }
}

impl<T> Clone for Topic<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Topic<T> {}

impl<T> fmt::Debug for Topic<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Topic").field(&self.spec).finish()
    }
}
