//! What a check looked at and what it found.

use serde::{Deserialize, Serialize};

use crate::limits::DIFFERENCES_MAX;

/// One difference, in words that a person can act on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    /// The check, e.g. `stock conserved`.
    pub check: String,
    /// What differs, e.g. `order 17`.
    pub subject: String,
    /// What it should be.
    pub expected: String,
    /// What it is.
    pub found: String,
    /// Where to look: topic, partition, offset; empty when there is nothing to point at.
    pub evidence: String,
}

/// A check and its result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checked {
    /// Its name.
    pub name: String,
    /// The promise it checks.
    pub says: String,
    /// How many things it looked at: a check that looked at nothing proves nothing.
    pub examined: u64,
    /// How many of them differ.
    pub differences: u64,
}

/// Collects the results of all checks.
#[derive(Debug, Default)]
pub struct Findings {
    checks: Vec<Checked>,
    differences: Vec<Difference>,
    count: u64,
    not_checked: Vec<String>,
}

/// A check under way.
pub struct Check<'a> {
    findings: &'a mut Findings,
    index: usize,
}

impl Findings {
    /// Begins a check.
    pub fn check(&mut self, name: &str, says: &str) -> Check<'_> {
        self.checks.push(Checked { name: name.to_owned(), says: says.to_owned(), examined: 0, differences: 0 });
        let index = self.checks.len() - 1;
        Check { findings: self, index }
    }

    /// Something could not be checked.
    pub fn not_checked(&mut self, what: &str) {
        self.not_checked.push(what.to_owned());
    }

    /// All differences kept.
    pub fn differences(&self) -> &[Difference] {
        &self.differences
    }

    /// How many there are, kept or not.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Checks, differences, and what was not checked.
    pub fn into_parts(self) -> (Vec<Checked>, Vec<Difference>, Vec<String>) {
        (self.checks, self.differences, self.not_checked)
    }
}

impl Check<'_> {
    /// One more thing was looked at.
    pub fn examined(&mut self) {
        if let Some(check) = self.findings.checks.get_mut(self.index) {
            check.examined += 1;
        }
    }

    /// It differs.
    pub fn differs(
        &mut self,
        subject: impl Into<String>,
        expected: impl Into<String>,
        found: impl Into<String>,
        evidence: impl Into<String>,
    ) {
        let Some(check) = self.findings.checks.get_mut(self.index) else {
            return;
        };
        check.differences += 1;
        self.findings.count += 1;
        if self.findings.differences.len() < DIFFERENCES_MAX {
            self.findings.differences.push(Difference {
                check: check.name.clone(),
                subject: subject.into(),
                expected: expected.into(),
                found: found.into(),
                evidence: evidence.into(),
            });
        }
    }

    /// Examines one thing that must hold.
    pub fn holds(
        &mut self,
        holds: bool,
        subject: &str,
        expected: &str,
        found: impl FnOnce() -> String,
        evidence: impl FnOnce() -> String,
    ) {
        self.examined();
        if !holds {
            self.differs(subject, expected, found(), evidence());
        }
    }
}
