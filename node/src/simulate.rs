//! A call list that is slow to reach, for tests and demonstrations: the counterpart of the payment simulator's latency.
//!
//! It stands between the gateway and the log, where another process would be: the engine knows nothing of it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use query_api::Platform;
use query_api::breaker::Breaker;
use query_api::platform::{App, AppendError, Appended, Health, Instance, Owner, Tail, TailError, TailFrom};
use schemas::Registry;
use schemas::taxi::topics::ACCEPTANCES;
use streams::TaskId;

use crate::config::Simulate;
use crate::payment::sim::random;

/// A platform on which acceptances take their time to reach the call list.
pub struct Slow {
    platform: Arc<dyn Platform>,
    settings: Simulate,
}

impl Slow {
    /// Puts the configured delay before a platform; without one it is the platform itself.
    #[must_use]
    pub fn before(platform: Arc<dyn Platform>, settings: &Simulate) -> Arc<dyn Platform> {
        if settings.accept_delay_ms + settings.accept_jitter_ms == 0 {
            return platform;
        }
        Arc::new(Slow { platform, settings: settings.clone() })
    }

    fn pause(&self) -> Duration {
        let jitter = random() * self.settings.accept_jitter_ms as f64;
        Duration::from_millis(self.settings.accept_delay_ms + jitter as u64)
    }
}

impl Platform for Slow {
    fn append<'a>(
        &'a self,
        topic: &'a str,
        key: &'a [u8],
        value: Vec<u8>,
    ) -> BoxFuture<'a, Result<Appended, AppendError>> {
        Box::pin(async move {
            if topic == ACCEPTANCES.base() {
                tokio::time::sleep(self.pause()).await;
            }
            self.platform.append(topic, key, value).await
        })
    }

    fn apps(&self) -> &[App] {
        self.platform.apps()
    }

    fn topic_prefix(&self) -> &str {
        self.platform.topic_prefix()
    }

    fn registry(&self) -> &Arc<dyn Registry> {
        self.platform.registry()
    }

    fn tail<'a>(&'a self, topic: &'a str, from: TailFrom) -> BoxFuture<'a, Result<Tail, TailError>> {
        self.platform.tail(topic, from)
    }

    fn owner(&self, app: &str, task: TaskId) -> Owner {
        self.platform.owner(app, task)
    }

    fn instances(&self, app: &str) -> Vec<Instance> {
        self.platform.instances(app)
    }

    fn health(&self) -> Health {
        self.platform.health()
    }

    fn breakers(&self) -> &[Arc<Breaker>] {
        self.platform.breakers()
    }

    fn encode_metrics(&self, out: &mut String) -> fmt::Result {
        self.platform.encode_metrics(out)
    }
}
