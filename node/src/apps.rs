//! The businesses this binary knows, each as the process needs it: its topology, and where its payments go.

use std::sync::Arc;

use schemas::payment::{PaymentRequest, PaymentResult};
use schemas::{Registry, Topic, TopicSpec};
use streams::Topology;
use topologies::saga::settings::Settings;

use crate::config::{Config, ConfigError};

/// Names of all businesses.
pub const NAMES: [&str; 4] = ["fashion-store", "gdmarket", "taxi", "ebook-rental"];

/// A business.
pub struct App {
    /// As in URLs and on the command line.
    pub name: &'static str,
    /// What it does.
    pub topology: Arc<Topology>,
    /// Its payment topics, if it takes money.
    pub payment: Option<(Topic<PaymentRequest>, Topic<PaymentResult>)>,
    /// Its topics with their retention.
    pub specs: &'static [TopicSpec],
}

/// Builds a business by name, with ids of the registry that is configured.
///
/// # Errors
/// [`ConfigError::Invalid`] for an unknown name; otherwise why its topology cannot be built.
pub fn app(name: &str, config: &Config, registry: &Arc<dyn Registry>) -> anyhow::Result<App> {
    match name {
        "fashion-store" => {
            use schemas::fashion::topics;
            use topologies::fashion_store::{Codecs, Config as Business, topology};
            let codecs = Codecs::resolve(&config.topics.prefix, registry)?;
            Ok(App {
                name: "fashion-store",
                topology: Arc::new(topology(&Business { saga: saga("fashion-store", config), codecs })?),
                payment: Some((topics::PAYMENT_REQUESTS, topics::PAYMENT_RESULTS)),
                specs: topics::ALL,
            })
        }
        "gdmarket" => {
            use schemas::gdmarket::topics;
            use topologies::gdmarket::{Codecs, Config as Business, topology};
            let codecs = Codecs::resolve(&config.topics.prefix, registry)?;
            Ok(App {
                name: "gdmarket",
                topology: Arc::new(topology(&Business { saga: saga("gdmarket", config), codecs })?),
                payment: Some((topics::PAYMENT_REQUESTS, topics::PAYMENT_RESULTS)),
                specs: topics::ALL,
            })
        }
        "taxi" => {
            use schemas::taxi::topics;
            use topologies::taxi::{Codecs, Config as Business, topology};
            let business = Business {
                saga_retention_ms: config.saga.retention_ms,
                command_retention_ms: config.saga.command_retention_ms,
                codecs: Codecs::resolve(&config.topics.prefix, registry)?,
                ..Business::default()
            };
            Ok(App { name: "taxi", topology: Arc::new(topology(&business)?), payment: None, specs: topics::ALL })
        }
        "ebook-rental" => {
            use schemas::ebook::topics;
            use topologies::ebook_rental::{Codecs, Config as Business, topology};
            let codecs = Codecs::resolve(&config.topics.prefix, registry)?;
            let business = Business { saga: saga("ebook-rental", config), codecs, ..Business::default() };
            Ok(App {
                name: "ebook-rental",
                topology: Arc::new(topology(&business)?),
                payment: Some((topics::PAYMENT_REQUESTS, topics::PAYMENT_RESULTS)),
                specs: topics::ALL,
            })
        }
        other => {
            Err(ConfigError::Invalid(format!("there is no business '{other}': there are {}", NAMES.join(", "))).into())
        }
    }
}

/// The settings of a saga that takes money, as configured.
fn saga(name: &str, config: &Config) -> Settings {
    Settings {
        payment_deadline_ms: config.saga.payment_deadline_ms,
        saga_retention_ms: config.saga.retention_ms,
        command_retention_ms: config.saga.command_retention_ms,
        ..Settings::of(name)
    }
}

impl App {
    /// What is known of one of the business's own topics, by name without prefix.
    #[must_use]
    pub fn spec(&self, topic: &str) -> Option<&'static TopicSpec> {
        self.specs.iter().find(|s| s.base == topic)
    }
}

/// The registry that is configured: over HTTP where there is a URL, fixed ids otherwise.
///
/// # Errors
/// When the registry's client cannot be made.
pub fn registry(config: &Config) -> anyhow::Result<Arc<dyn Registry>> {
    if config.registry.url.is_empty() {
        return Ok(Arc::new(schemas::FixedRegistry));
    }
    let urls = config.registry.url.split(',').map(|u| u.trim().to_owned()).collect();
    let settings = schemas::ConfluentConfig { urls, basic_auth: None, register: true };
    Ok(Arc::new(schemas::ConfluentRegistry::new(settings)?))
}
