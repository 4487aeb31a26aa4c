//! Reports: as JSON for machines, as text and a plot for people.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::audit::AuditReport;
use crate::cpu::CpuTime;
use crate::error::Error;
use crate::latency::Distribution;
use crate::limits::OWN_SHARE_PERCENT_MAX;

/// What a run leaves behind.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "report", rename_all = "kebab-case")]
pub enum Report {
    /// Of `replay`.
    Replay(Box<ReplayReport>),
    /// Of `audit`.
    Audit(Box<AuditReport>),
}

/// Numbers of a replay.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ReplayReport {
    /// The business.
    pub app: String,
    /// The file replayed.
    pub file: String,
    /// Where to.
    pub target: String,
    /// How fast it was meant to be.
    pub pace: String,
    /// Put behind every id.
    pub id_suffix: String,
    /// From the first byte to the last outcome.
    pub duration_s: f64,
    /// Commands sent, without repeats.
    pub sent: u64,
    /// Commands with a final answer.
    pub answered: u64,
    /// Final answers a second, setup aside, up to the last one.
    pub rate_per_s: f64,
    /// Commands that this way cannot say, by reason.
    pub skipped: BTreeMap<String, u64>,
    /// Further attempts, by cause.
    pub retries: BTreeMap<String, u64>,
    /// Commands given up, by cause.
    pub failed: BTreeMap<String, u64>,
    /// Final answers by call and status.
    pub answers: BTreeMap<String, BTreeMap<String, u64>>,
    /// Answers that do not fit what the file leads one to expect.
    pub unexpected_count: u64,
    /// The first of them.
    pub unexpected: Vec<Unexpected>,
    /// Whether outcomes were followed.
    pub outcomes_followed: bool,
    /// Sagas that came to their end.
    pub outcomes: u64,
    /// Sagas whose end was not seen.
    pub outcomes_open: u64,
    /// From the intended time of sending to the answer: free of coordinated omission.
    pub response: Distribution,
    /// From the actual sending to the answer: what the target alone took.
    pub service: Distribution,
    /// From the intended time of placing to the end of the saga.
    pub outcome: Distribution,
    /// Second by second.
    pub series: Vec<Second>,
    /// What it cost.
    pub cpu: Cpu,
}

/// An answer that does not fit.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Unexpected {
    /// The call.
    pub call: String,
    /// What the file says the command is.
    pub kind: String,
    /// Its key.
    pub key: String,
    /// The status answered.
    pub status: String,
}

/// One second of a replay.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Second {
    /// Which, from 0.
    pub at_s: u64,
    /// Commands sent in it.
    pub sent: u64,
    /// Answers in it.
    pub answered: u64,
    /// Sagas ended in it.
    pub outcomes: u64,
}

/// CPU time of the load generator, and of its target on the same machine if its pid was given.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Cpu {
    /// Own seconds in user mode.
    pub user_s: f64,
    /// Own seconds in the kernel.
    pub system_s: f64,
    /// Own share of one core, in percent of the run's time.
    pub core_percent: f64,
    /// Own microseconds per answered command.
    pub per_command_us: f64,
    /// The target's seconds.
    pub target_s: Option<f64>,
    /// Own part of both together, in percent.
    pub share_percent: Option<f64>,
}

impl Cpu {
    /// From times measured over `wall`.
    pub fn new(wall: Duration, own: CpuTime, target: Option<CpuTime>, answered: u64) -> Self {
        let total_s = own.total().as_secs_f64();
        let target_s = target.map(|target| target.total().as_secs_f64());
        Cpu {
            user_s: own.user.as_secs_f64(),
            system_s: own.system.as_secs_f64(),
            core_percent: 100.0 * total_s / wall.as_secs_f64().max(f64::MIN_POSITIVE),
            per_command_us: if answered == 0 { 0.0 } else { total_s * 1e6 / answered as f64 },
            target_s,
            share_percent: target_s
                .filter(|target_s| target_s + total_s > 0.0)
                .map(|target_s| 100.0 * total_s / (target_s + total_s)),
        }
    }
}

impl Report {
    /// Writes it as JSON.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), Error> {
        let mut json = serde_json::to_vec_pretty(self).map_err(|e| Error::file(path, std::io::Error::other(e)))?;
        json.push(b'\n');
        fs::write(path, json).map_err(|e| Error::file(path, e))
    }

    /// Reads one.
    ///
    /// # Errors
    /// When the file cannot be read or is no report.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let bytes = fs::read(path).map_err(|e| Error::file(path, e))?;
        serde_json::from_slice(&bytes)
            .map_err(|e| Error::Usage(format!("{}: not a report of loadgen: {e}", path.display())))
    }

    /// For people.
    pub fn text(&self) -> String {
        match self {
            Report::Replay(replay) => replay.text(),
            Report::Audit(audit) => audit.text(),
        }
    }
}

impl ReplayReport {
    /// True when every command got an answer, and one that fits.
    pub fn is_clean(&self) -> bool {
        self.failed.is_empty() && self.unexpected_count == 0
    }

    fn text(&self) -> String {
        let mut out = String::new();
        // Writing to a string cannot fail.
        let _ = writeln!(out, "replayed {} → {}  ({})", self.file, self.target, self.pace);
        let _ = writeln!(
            out,
            "  {} commands sent, {} answered in {:.1} s, {:.0}/s after setup",
            self.sent, self.answered, self.duration_s, self.rate_per_s
        );
        for (call, by_status) in &self.answers {
            let by: Vec<_> = by_status.iter().map(|(status, count)| format!("{status} × {count}")).collect();
            let _ = writeln!(out, "  {call:<28} {}", by.join(", "));
        }
        for (title, counts) in [("not sent", &self.skipped), ("sent again", &self.retries), ("GIVEN UP", &self.failed)]
        {
            for (cause, count) in counts {
                let _ = writeln!(out, "  {title}: {count} × {cause}");
            }
        }
        if self.unexpected_count > 0 {
            let _ = writeln!(out, "  ANSWERS THAT DO NOT FIT: {}", self.unexpected_count);
            for one in &self.unexpected {
                let _ = writeln!(out, "    {} answered {} to {} {}", one.call, one.status, one.kind, one.key);
            }
        }
        if self.outcomes_followed {
            let _ = writeln!(out, "  outcomes seen {}, not seen {}", self.outcomes, self.outcomes_open);
        }
        let _ =
            writeln!(out, "  {:<34} {:>9} {:>9} {:>9} {:>9} {:>9}", "latency, ms", "p50", "p90", "p99", "p99.9", "max");
        for (title, d) in [
            ("intended sending → answer", &self.response),
            ("actual sending → answer", &self.service),
            ("intended sending → outcome", &self.outcome),
        ] {
            if d.count > 0 {
                let values = [d.p50_us, d.p90_us, d.p99_us, d.p999_us, d.max_us];
                let values: Vec<_> = values.iter().map(|us| format!("{:>9.2}", *us as f64 / 1_000.0)).collect();
                let _ = writeln!(out, "    {title:<32} {}", values.join(" "));
            }
        }
        let cpu = &self.cpu;
        let _ = write!(
            out,
            "  own CPU {:.2} s user + {:.2} s system: {:.1} % of a core, {:.1} µs a command",
            cpu.user_s, cpu.system_s, cpu.core_percent, cpu.per_command_us
        );
        if let (Some(target_s), Some(share)) = (cpu.target_s, cpu.share_percent) {
            let _ = write!(out, "; target {target_s:.2} s, own share {share:.1} %");
        }
        out.push('\n');
        if let Some(share) = cpu.share_percent.filter(|share| *share > OWN_SHARE_PERCENT_MAX) {
            let _ = writeln!(
                out,
                "  WARNING: the load took {share:.1} % of the CPU of both, more than {OWN_SHARE_PERCENT_MAX} %: the target \
                 would do better alone; run the load on another machine"
            );
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_load_that_takes_too_much_of_the_machine_is_warned_of() {
        let text = |own_ms, target_ms| {
            let time = |ms| CpuTime { user: Duration::from_millis(ms), system: Duration::ZERO };
            let cpu = Cpu::new(Duration::from_secs(1), time(own_ms), Some(time(target_ms)), 1);
            Report::Replay(Box::new(ReplayReport { cpu, ..ReplayReport::default() })).text()
        };
        assert!(text(110, 890).contains("WARNING: the load took 11.0 % of the CPU of both, more than 10 %"));
        assert!(!text(100, 900).contains("WARNING"));
    }
}
