//! For tests of auditors: a log written by hand, line by line, with the provider's book beside it.

use std::collections::BTreeMap;

use schemas::payment::{PaymentOutcome, PaymentRequest, PaymentRequestKind, PaymentResult};
use schemas::{AvroRecord, Codec, Keyed};
use serde_json::Value;

use super::{Difference, Evidence, Findings};
use crate::business::Business;
use crate::ledger::Entry;
use crate::log::LogRecord;

/// Everything there is to audit.
#[derive(Clone, Default)]
pub(crate) struct World {
    pub(crate) log: Vec<LogRecord>,
    pub(crate) ledger: Vec<Entry>,
    pub(crate) collections: BTreeMap<String, Vec<Value>>,
    pub(crate) versions: BTreeMap<String, i32>,
    /// The time of further records, milliseconds since the epoch.
    pub(crate) now_ms: i64,
}

impl World {
    pub(crate) fn put<T: AvroRecord + Keyed>(&mut self, topic: &str, value: &T) {
        let key = value.key().as_bytes().to_vec();
        self.raw(topic, Some(key), Some(Codec::fixed().to_vec(value)));
    }

    pub(crate) fn raw(&mut self, topic: &str, key: Option<Vec<u8>>, value: Option<Vec<u8>>) {
        let offset = self.log.iter().filter(|record| record.topic == topic).count() as i64;
        self.log.push(LogRecord {
            topic: topic.to_owned(),
            partition: 0,
            offset,
            timestamp: self.now_ms,
            key,
            value,
            headers: Vec::new(),
        });
    }

    /// The next version of a thing whose changes are counted.
    pub(crate) fn version(&mut self, id: &str) -> i32 {
        let version = self.versions.entry(id.to_owned()).or_default();
        *version += 1;
        *version
    }

    pub(crate) fn dead_letter(&mut self, business: &dyn Business, topic: &str, offset: i64) {
        self.raw(&business.dead_letter_topic(), None, None);
        let headers = [("topic", topic.to_owned()), ("partition", "0".to_owned()), ("offset", offset.to_string())];
        if let Some(record) = self.log.last_mut() {
            record.headers =
                headers.map(|(name, value)| (format!("orderflow.error.{name}"), value.into_bytes())).to_vec();
        }
    }

    /// A payment request and its result, on the pair of topics given.
    pub(crate) fn payment(
        &mut self,
        (requests, results): (&str, &str),
        kind: PaymentRequestKind,
        outcome: PaymentOutcome,
        id: &str,
        amount: i64,
    ) {
        let key = format!("{id}:{}", kind.symbol());
        let request = PaymentRequest {
            kind,
            correlation_id: id.to_owned(),
            idempotency_key: key.clone(),
            amount,
            attempt: 1,
            requested_at: 0,
            payer_id: String::new(),
            charge_key: None,
            provider_reference: None,
        };
        self.put(requests, &request);
        let result = PaymentResult {
            outcome,
            correlation_id: id.to_owned(),
            request_kind: kind,
            idempotency_key: key,
            amount,
            attempt: 1,
            reason: None,
            provider_reference: None,
            at: 0,
        };
        self.put(results, &result);
    }

    pub(crate) fn book(&mut self, id: &str, kind: &str, amount: i64, status: &str) {
        self.ledger.push(Entry {
            key: format!("{id}:charge"),
            order_id: id.to_owned(),
            kind: kind.to_owned(),
            amount,
            status: status.to_owned(),
        });
    }

    /// The differences, as `check: subject: found`.
    pub(crate) fn audit(&self, business: &dyn Business) -> Vec<String> {
        // Topics are read one after the other, events before commands: the order between topics must not matter.
        let mut log = self.log.clone();
        log.sort_by(|a, b| (&a.topic, a.offset).cmp(&(&b.topic, b.offset)));
        let mut auditor = business.auditor(&|_| Some(1));
        for record in log {
            auditor.observe(record);
        }
        let mut findings = Findings::default();
        let evidence = Evidence { ledger: Some(self.ledger.clone()), collections: self.collections.clone() };
        auditor.check(&evidence, &mut findings);
        let words = |d: &Difference| format!("{}: {}: {}", d.check, d.subject, d.found);
        findings.differences().iter().map(words).collect()
    }

    /// Whether nothing is under way.
    pub(crate) fn open(&self, business: &dyn Business) -> u64 {
        let mut auditor = business.auditor(&|_| Some(1));
        for record in self.log.clone() {
            auditor.observe(record);
        }
        auditor.open()
    }

    pub(crate) fn position(&self, topic: &str, nth: usize) -> usize {
        let all = self.log.iter().enumerate().filter(|(_, record)| record.topic == topic);
        all.map(|(index, _)| index).nth(nth).expect("the honest log has it")
    }

    pub(crate) fn remove(&mut self, topic: &str, nth: usize) {
        self.log.remove(self.position(topic, nth));
    }
}

/// Fails unless the named check found something at the named subject.
#[track_caller]
pub(crate) fn assert_found(differences: &[String], check: &str, subject: &str) {
    let wanted = format!("{check}: {subject}: ");
    assert!(
        differences.iter().any(|difference| difference.starts_with(&wanted)),
        "'{wanted}…' is not among {differences:#?}"
    );
}

/// The time of day, milliseconds since the epoch.
pub(crate) fn now_ms() -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    now.as_millis() as i64
}

/// Declares a business's own world: a [`World`] with the words of the business.
macro_rules! world {
    ($name:ident) => {
        #[derive(Clone, Default)]
        struct $name(World);

        impl std::ops::Deref for $name {
            type Target = World;

            fn deref(&self) -> &World {
                &self.0
            }
        }

        impl std::ops::DerefMut for $name {
            fn deref_mut(&mut self) -> &mut World {
                &mut self.0
            }
        }
    };
}
pub(crate) use world;
