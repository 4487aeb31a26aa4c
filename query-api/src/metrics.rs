//! The service's own metrics: every name and its help text.

use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::{encode_eof, encode_registry};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use crate::platform::Platform;

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct RouteLabel {
    route: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct StatusLabels {
    route: String,
    status: &'static str,
}

/// Status classes by their first digit.
const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// The metrics of one route, held so that a request looks no label up.
#[derive(Debug)]
pub(crate) struct RouteMetrics {
    by_class: [Counter; CLASSES.len()],
    duration: Histogram,
}

impl RouteMetrics {
    /// A request was answered.
    pub(crate) fn answered(&self, status: u16, after: Duration) {
        if let Some(counter) = usize::from(status / 100).checked_sub(1).and_then(|class| self.by_class.get(class)) {
            counter.inc();
        }
        self.duration.observe(after.as_secs_f64());
    }
}

/// All of them.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    routes: HashMap<String, RouteMetrics>,
    other: RouteMetrics,
    /// Requests that wait for a commit.
    pub(crate) waiting: Gauge,
    /// Open streams of server-sent events.
    pub(crate) event_streams: Gauge,
    /// Streams closed because their client was too slow.
    pub(crate) events_lagged: Counter,
    /// Requests passed on to another instance.
    pub(crate) hops: Counter,
    /// Hops without an answer.
    pub(crate) hops_failed: Counter,
    /// Commands appended.
    pub(crate) commands: Counter,
    /// Commands that could not be appended.
    pub(crate) commands_failed: Counter,
}

impl Metrics {
    /// Registers everything; `routes` are the patterns served.
    pub(crate) fn new(routes: &[String]) -> Self {
        let mut registry = Registry::with_prefix("orderflow_http");
        let requests = Family::<StatusLabels, Counter>::default();
        let duration = Family::<RouteLabel, Histogram>::new_with_constructor(|| Histogram::new(DURATION_BUCKETS_S));
        registry.register("requests", "Requests answered, by route and status class", requests.clone());
        registry.register_with_unit(
            "request_duration",
            "Time from a request's arrival to its answer's head, waits included",
            Unit::Seconds,
            duration.clone(),
        );
        let of = |route: &str| RouteMetrics {
            by_class: CLASSES
                .map(|status| requests.get_or_create_owned(&StatusLabels { route: route.to_owned(), status })),
            duration: duration.get_or_create_owned(&RouteLabel { route: route.to_owned() }),
        };
        let routes_of = routes.iter().map(|route| (route.clone(), of(route))).collect();
        let other = of("other");
        let mut counter = |name: &str, help: &str| {
            let metric = Counter::default();
            registry.register(name, help, metric.clone());
            metric
        };
        let events_lagged = counter("event_streams_lagged", "Event streams closed because their client was too slow");
        let hops = counter("hops", "Requests passed on to the instance that owns the key");
        let hops_failed = counter("hops_failed", "Requests passed on that got no answer");
        let commands = counter("commands", "Commands appended to the log");
        let commands_failed = counter("commands_failed", "Commands that could not be appended");
        let mut gauge = |name: &str, help: &str| {
            let metric: Gauge = Gauge::default();
            registry.register(name, help, metric.clone());
            metric
        };
        let waiting = gauge("waiting", "Requests that wait for a commit");
        let event_streams = gauge("event_streams", "Open streams of server-sent events");
        Metrics {
            registry,
            routes: routes_of,
            other,
            waiting,
            event_streams,
            events_lagged,
            hops,
            hops_failed,
            commands,
            commands_failed,
        }
    }

    /// The metrics of a matched route; of `other` where none matched.
    pub(crate) fn route(&self, pattern: Option<&str>) -> &RouteMetrics {
        pattern.and_then(|p| self.routes.get(p)).unwrap_or(&self.other)
    }

    /// Everything, the platform's included, as OpenMetrics text.
    pub(crate) fn encode(&self, platform: &dyn Platform) -> Result<String, fmt::Error> {
        let mut out = String::new();
        encode_registry(&mut out, &self.registry)?;
        platform.encode_metrics(&mut out)?;
        encode_eof(&mut out)?;
        Ok(out)
    }
}

/// From a read out of the cache to the longest wait.
const DURATION_BUCKETS_S: [f64; 14] =
    [0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 60.0];
