//! The audit: everything is recomputed from the committed log, the payment provider's book and what is answered over
//! HTTP, with no engine code, and compared.

pub mod facts;
mod findings;
pub mod holds;
pub mod payment;
pub mod rules;
mod run;
pub mod saga;
#[cfg(test)]
pub(crate) mod testing;
pub mod web;

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::ledger::Entry;
use crate::limits::DIFFERENCES_SHOWN;
use crate::log::LogRecord;

pub use findings::{Check, Checked, Difference, Findings};
pub use run::{Options, run};

/// What a business's auditor does. It is fed the whole log and then asked.
pub trait Auditor {
    /// Takes a committed record. Records of one partition come in offset order, each once.
    fn observe(&mut self, record: LogRecord);

    /// Sagas that have begun and not come to rest.
    fn open(&self) -> u64;

    /// Collections (paths of HAL resources) that [`Auditor::check`] wants to see.
    fn collections(&self) -> &'static [&'static str];

    /// Compares everything.
    fn check(&self, evidence: &Evidence, findings: &mut Findings);

    /// Counts for the report: orders, delivered, cancelled, …
    fn summary(&self) -> BTreeMap<String, u64>;
}

/// What there is beside the log.
#[derive(Debug, Default)]
pub struct Evidence {
    /// The provider's book; `None` when it was not given.
    pub ledger: Option<Vec<Entry>>,
    /// Collections read over HTTP, by path; those not read are not there.
    pub collections: BTreeMap<String, Vec<Value>>,
}

/// What an audit found.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct AuditReport {
    /// The business.
    pub app: String,
    /// Where the log came from.
    pub source: String,
    /// Committed records read.
    pub records: u64,
    /// How long it took until everything was settled, or until it gave up waiting.
    pub duration_s: f64,
    /// Sagas still open at the end.
    pub open: u64,
    /// Counts.
    pub summary: BTreeMap<String, u64>,
    /// Every check, how much it looked at and how much differed.
    pub checks: Vec<Checked>,
    /// Evidence that was not there, so that a green audit does not say more than it knows.
    pub not_checked: Vec<String>,
    /// How many differences there are.
    pub difference_count: u64,
    /// The differences, up to a limit.
    pub differences: Vec<Difference>,
}

impl AuditReport {
    /// True when nothing differs.
    pub fn is_clean(&self) -> bool {
        self.difference_count == 0
    }

    /// For people.
    pub fn text(&self) -> String {
        let mut out = String::new();
        // Writing to a string cannot fail.
        let _ = writeln!(
            out,
            "audit of {} at {}: {} records in {:.1} s",
            self.app, self.source, self.records, self.duration_s
        );
        let summary: Vec<_> = self.summary.iter().map(|(name, count)| format!("{count} {name}")).collect();
        let _ = writeln!(out, "  {}", summary.join(", "));
        for check in &self.checks {
            let mark = if check.differences == 0 { "ok" } else { "DIFFERS" };
            let _ = write!(out, "  {mark:<8} {:<22} {:>8} checked  {}", check.name, check.examined, check.says);
            if check.differences > 0 {
                let _ = write!(out, "  ({} differ)", check.differences);
            }
            out.push('\n');
        }
        for missing in &self.not_checked {
            let _ = writeln!(out, "  not checked: {missing}");
        }
        if self.is_clean() {
            let _ = writeln!(out, "  no difference");
            return out;
        }
        let _ = writeln!(out, "\n{} DIFFERENCES", self.difference_count);
        let shown = self.differences.iter().take(DIFFERENCES_SHOWN);
        let widths = shown.clone().fold([5, 7, 8], |[check, subject, expected], d| {
            [check.max(d.check.len()), subject.max(d.subject.chars().count()), expected.max(d.expected.chars().count())]
        });
        let [check, subject, expected] = widths;
        let _ = writeln!(out, "  {:check$}  {:subject$}  {:expected$}  found", "check", "subject", "expected");
        for d in shown {
            let _ =
                writeln!(out, "  {:check$}  {:subject$}  {:expected$}  {}", d.check, d.subject, d.expected, d.found);
            if !d.evidence.is_empty() {
                let _ = writeln!(out, "  {:check$}  └ {}", "", d.evidence);
            }
        }
        if self.difference_count > DIFFERENCES_SHOWN as u64 {
            let more = self.difference_count - DIFFERENCES_SHOWN as u64;
            let _ = writeln!(out, "  … and {more} more (all with --report)");
        }
        out
    }
}
