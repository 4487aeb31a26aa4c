//! Payment: the worker between the log and the provider, and a provider to run against.

pub mod provider;
pub mod sim;
pub mod worker;

use futures_util::future::BoxFuture;
use tokio::sync::mpsc;

/// A payment request as read from the log.
#[derive(Clone, Debug)]
pub struct Request {
    /// Its partition.
    pub partition: u32,
    /// Its offset.
    pub offset: i64,
    /// Key bytes.
    pub key: Vec<u8>,
    /// Value bytes, Confluent-framed.
    pub value: Vec<u8>,
}

/// What the payment worker needs of the log. At least once: a request may come again after a crash, which the provider's
/// idempotency keys and the saga's own make harmless.
pub trait PaymentLog: Send + Sync + 'static {
    /// Requests from the committed position on, in offset order within a partition. The channel is bounded and closes when
    /// the log stops.
    fn requests<'a>(&'a self, topic: &'a str) -> BoxFuture<'a, Result<mpsc::Receiver<Request>, String>>;

    /// Appends a result, partitioned by key; answers once it is durable.
    fn append<'a>(&'a self, topic: &'a str, key: &'a [u8], value: Vec<u8>) -> BoxFuture<'a, Result<(), String>>;

    /// Everything below these offsets has its result on the log.
    fn commit<'a>(&'a self, topic: &'a str, next: Vec<(u32, i64)>) -> BoxFuture<'a, Result<(), String>>;
}
