//! Wire form that every business shares: links, payments, what a command is answered with.

use schemas::state::Payment;
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use crate::hal::Link;
use crate::params::encode;

/// Where a business's resources are found: under its name, and some of them at the root.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mount<'a> {
    /// The business's name.
    pub(crate) app: &'static str,
    /// Whether this request came in at the root: links lead back there where they can.
    pub(crate) is_root: bool,
    /// Path segments of the business that the root has too; the others are another business's there.
    pub(crate) at_root: &'a [&'static str],
}

impl Mount<'_> {
    /// The path of a resource's collection.
    pub(crate) fn path(&self, name: &str) -> String {
        if self.at_root(name) { format!("/{name}") } else { format!("/{}/{name}", self.app) }
    }

    /// The path of a collection's profile.
    pub(crate) fn profile(&self, name: &str) -> String {
        if self.at_root(name) { format!("/profile/{name}") } else { format!("/{}/profile/{name}", self.app) }
    }

    fn at_root(&self, name: &str) -> bool {
        self.is_root && self.at_root.contains(&name)
    }
}

/// Where links lead: scheme and host, then the path of the business.
#[derive(Clone, Copy, Debug)]
pub(crate) struct At<'a> {
    pub(crate) base: &'a str,
    pub(crate) mount: Mount<'a>,
}

impl At<'_> {
    /// `<base><mount>/<name>/<id>`.
    pub(crate) fn href(&self, name: &str, id: &str) -> String {
        let path = self.mount.path(name);
        let mut href = String::with_capacity(self.base.len() + path.len() + id.len() + 24);
        href.push_str(self.base);
        href.push_str(&path);
        href.push('/');
        encode(id, &mut href);
        href
    }
}

/// `_links` of an item: itself twice, as Spring Data REST has it, and what belongs to it.
#[derive(Debug)]
pub(crate) struct Links {
    rel: &'static str,
    pub(crate) href: String,
    more: Vec<(&'static str, String)>,
}

impl Links {
    pub(crate) fn new(rel: &'static str, href: String) -> Self {
        Links { rel, href, more: Vec::new() }
    }

    /// One more link.
    pub(crate) fn and(mut self, rel: &'static str, href: String) -> Self {
        self.more.push((rel, href));
        self
    }

    /// The stream of this item's changes.
    pub(crate) fn and_events(self) -> Self {
        let href = format!("{}/events", self.href);
        self.and("events", href)
    }
}

impl Serialize for Links {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Ref<'a> {
            href: &'a str,
        }
        let mut map = serializer.serialize_map(Some(2 + self.more.len()))?;
        map.serialize_entry("self", &Ref { href: &self.href })?;
        map.serialize_entry(self.rel, &Ref { href: &self.href })?;
        for (rel, href) in &self.more {
            map.serialize_entry(rel, &Ref { href })?;
        }
        map.end()
    }
}

/// A payment; what it is for is named by the business.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PaymentView<'a> {
    price: i64,
    pub(crate) status: &'static str,
    /// Put off: the provider could not be asked, and will be again.
    deferred: bool,
    attempt: i32,
    #[serde(skip_serializing_if = "Option::is_none")]
    charged_at: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    decided_at: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_at: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reference: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
}

impl<'a> From<&'a Payment> for PaymentView<'a> {
    fn from(payment: &'a Payment) -> Self {
        PaymentView {
            price: payment.amount,
            status: payment.phase.symbol(),
            deferred: payment.deferred,
            attempt: payment.attempt,
            charged_at: payment.charged_at,
            decided_at: payment.decided_at,
            retry_at: payment.retry_at,
            reference: payment.reference.as_deref(),
            reason: payment.reason.as_deref(),
        }
    }
}

/// A change of state in a history; `S` and `R` are the business's words for states and reasons.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct StepView<'a, S, R> {
    pub(crate) version: i32,
    pub(crate) status: S,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<R>,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub(crate) detail: &'a str,
    pub(crate) at: i64,
}

/// What the business refused, and in which words: the resource as it is, and the message.
#[derive(Debug, Serialize)]
pub(crate) struct Refused<'a, V> {
    #[serde(flatten)]
    pub(crate) resource: V,
    pub(crate) verdict: &'static str,
    pub(crate) message: &'a str,
}

/// The body of a command's answer when there is no resource to show: not judged yet, or about nothing that is there.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CommandView<'a> {
    pub(crate) id: &'a str,
    pub(crate) command_id: &'a str,
    pub(crate) status: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub(crate) detail: &'a str,
    #[serde(rename = "_links")]
    pub(crate) links: CommandLinks,
}

/// Where the outcome can be asked for.
#[derive(Debug, Serialize)]
pub(crate) struct CommandLinks {
    #[serde(rename = "self")]
    pub(crate) this: Link,
    pub(crate) command: Link,
}
