//! Runs an audit: reads until everything has come to rest, or until the time is up, then compares.

use std::thread;
use std::time::{Duration, Instant};

use super::web::read_collection;
use super::{AuditReport, Evidence, Findings};
use crate::business::{self, Business};
use crate::error::Error;
use crate::http::Target;
use crate::ledger;
use crate::log::LogSource;

/// What to audit besides the log, and how long to wait.
#[derive(Clone, Debug)]
pub struct Options {
    /// The payment provider, for its ledger; when it is not given, the node is asked where it is.
    pub provider: Option<Target>,
    /// The node, for its resources.
    pub node: Option<Target>,
    /// Longest wait until all sagas have come to rest.
    pub settle: Duration,
    /// No record for so long, with no saga open, means that all is settled.
    pub quiet: Duration,
    /// Longest wait for one answer.
    pub timeout: Duration,
}

/// Pause between two looks at the log.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Reads, waits, compares.
///
/// # Errors
/// When a source cannot be read. Differences are no error: they are in the report.
pub fn run(
    business: &dyn Business,
    source: &mut dyn LogSource,
    options: &Options,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<AuditReport, Error> {
    let start = Instant::now();
    let mut auditor = business.auditor(&|topic| source.partitions(topic));
    let (mut records, mut last_new) = (0, Instant::now());
    loop {
        let new = source.read_new(&mut |record| auditor.observe(record))?;
        records += new;
        if new > 0 {
            last_new = Instant::now();
        }
        progress(records, auditor.open());
        if auditor.open() > 0 || last_new.elapsed() < options.quiet {
            if start.elapsed() >= options.settle {
                break;
            }
            thread::sleep(LOOK_EVERY);
            continue;
        }
        break;
    }
    let mut findings = Findings::default();
    let mut evidence = Evidence::default();
    let found = || ledger::find_provider(options.node.as_ref()?, options.timeout);
    match options.provider.clone().or_else(found) {
        Some(provider) => {
            let mut entries = ledger::read(&provider, options.timeout)?;
            entries.retain(|entry| !business::is_anothers(business, &entry.key));
            evidence.ledger = Some(entries);
        }
        None => findings.not_checked("money against the provider's ledger (give --payment-url)"),
    }
    match &options.node {
        Some(node) => {
            let node = node.below(business.name());
            for path in auditor.collections() {
                let (items, all) = read_collection(&node, path, options.timeout)?;
                if all {
                    evidence.collections.insert((*path).to_owned(), items);
                } else {
                    findings.not_checked(&format!("{path}: too many to read page by page"));
                }
            }
        }
        None => findings.not_checked("what is answered over HTTP (give --http)"),
    }
    auditor.check(&evidence, &mut findings);
    let difference_count = findings.count();
    let (checks, differences, not_checked) = findings.into_parts();
    Ok(AuditReport {
        app: business.name().to_owned(),
        source: source.describe(),
        records,
        duration_s: start.elapsed().as_secs_f64(),
        open: auditor.open(),
        summary: auditor.summary(),
        checks,
        not_checked,
        difference_count,
        differences,
    })
}
