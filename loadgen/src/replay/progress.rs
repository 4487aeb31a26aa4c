//! Progress on standard error: a bar for people, a JSON line a second for machines.

use std::io::{IsTerminal, Write, stderr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;

use super::Stats;

/// How often a bar is drawn; JSON lines come once a second.
const DRAW_EVERY: Duration = Duration::from_millis(200);

/// Shows progress until dropped.
pub struct Progress {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Progress {
    /// Starts showing how far `stats` are of `total` commands.
    pub fn start(stats: Arc<Stats>, total: u64, quiet: bool) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let until = Arc::clone(&stop);
        let thread = (!quiet).then(|| {
            thread::spawn(move || {
                if stderr().is_terminal() {
                    draw(&stats, total, &until);
                } else {
                    tell(&stats, total, &until);
                }
            })
        });
        Progress { stop, thread }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // Only a panic while drawing could be lost here.
            let _ = thread.join();
        }
    }
}

fn draw(stats: &Stats, total: u64, stop: &AtomicBool) {
    let bar = ProgressBar::new(total);
    let template = "{bar:30} {pos}/{len} commands  {per_sec}  {msg}  {elapsed} (eta {eta})";
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    while !stop.load(Ordering::Relaxed) {
        let (sent, done, outcomes) = stats.counts();
        bar.set_position(done);
        bar.set_message(format!("{} in flight, {outcomes} outcomes", sent.saturating_sub(done)));
        thread::park_timeout(DRAW_EVERY);
    }
    bar.set_position(stats.counts().1);
    bar.finish_and_clear();
}

fn tell(stats: &Stats, total: u64, stop: &AtomicBool) {
    let start = Instant::now();
    let mut next = start + Duration::from_secs(1);
    while !stop.load(Ordering::Relaxed) {
        thread::park_timeout(next.saturating_duration_since(Instant::now()));
        if Instant::now() < next {
            continue;
        }
        next += Duration::from_secs(1);
        let (sent, done, outcomes) = stats.counts();
        let line = json!({
            "progress": "replay", "elapsed_s": start.elapsed().as_secs(),
            "total": total, "sent": sent, "done": done, "outcomes": outcomes,
        });
        // Progress that no one can read is no reason to stop.
        let _ = writeln!(stderr(), "{line}");
    }
}
