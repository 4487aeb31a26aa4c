//! Replay over HTTP. Commands of one key stay in order: a key always takes the same connection, and a connection sends
//! the next request when the one before is answered. All of it is one thread's: the clock, the connections and the events;
//! handing commands from thread to thread would wake a second one for each.

use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use super::alarm::Alarm;
use super::{Bound, Commands, Job, Options, Outcomes, Progress, Stats};
use crate::business::{Business, Call};
use crate::error::Error;
use crate::http::{ACCEPT_EVENTS, Ask, Connection, Target};
use crate::limits::{CONNECTIONS_MAX, LANE_QUEUE_MAX, RETRY_WAIT_MAX, RETRY_WAIT_MIN};
use crate::report::ReplayReport;
use crate::schedule::Pace;
use crate::traffic::{Envelope, Expect};

/// Longest silence on the event stream: heartbeats come every 15 s.
const EVENTS_IDLE: Duration = Duration::from_secs(60);

/// What only HTTP has.
#[derive(Clone, Debug)]
pub struct HttpOptions {
    /// Where to.
    pub target: Target,
    /// Connections, each with one request in flight.
    pub connections: usize,
    /// `Prefer: wait=N` instead of `respond-async`.
    pub wait_s: Option<u32>,
    /// Longest wait for one answer before the request is sent again.
    pub timeout: Duration,
}

/// Pause between two looks whether the setup is answered.
const SETUP_LOOK_EVERY: Duration = Duration::from_millis(1);

struct Shared {
    business: &'static dyn Business,
    http: HttpOptions,
    prefer: String,
    give_up: Duration,
    flat_out: bool,
    stats: Arc<Stats>,
    outcomes: Option<Arc<Outcomes>>,
}

/// Replays a file over HTTP.
///
/// # Errors
/// When the file cannot be read or the target is not there at the beginning. What fails later is in the report.
pub async fn replay(
    mut options: Options,
    mut http: HttpOptions,
    business: &'static dyn Business,
    total: u64,
) -> Result<ReplayReport, Error> {
    if !(1..=CONNECTIONS_MAX).contains(&http.connections) {
        return Err(Error::Usage(format!("--connections is between 1 and {CONNECTIONS_MAX}")));
    }
    // Every app answers under its own name, whichever is the default one.
    http.target = http.target.below(business.name());
    // REST calls carry no event times: moving them would be work for nothing.
    options.keep_timestamps = true;
    let stats = Arc::new(Stats::new(&options.target_pids));
    let outcomes = if options.outcomes { follow(&http, business, &stats).await? } else { None };
    let shared = Arc::new(Shared {
        business,
        prefer: http.wait_s.map_or_else(|| "respond-async".to_owned(), |s| format!("wait={s}")),
        give_up: options.give_up,
        flat_out: options.pace == Pace::Flat,
        stats: Arc::clone(&stats),
        outcomes: outcomes.clone(),
        http,
    });
    let _progress = Progress::start(Arc::clone(&stats), total, options.quiet);
    let (lanes, finished) = start_lanes(&shared);
    let settle = options.settle;
    // A task and not this future: waking the one that a runtime blocks on takes two system calls, each time.
    let driver = tokio::spawn(async move { drive_lanes(&options, business, &stats, lanes).await });
    for lane in finished {
        // A lane that panicked is a bug of ours.
        lane.await.map_err(|e| Error::unreachable(shared.http.target.url(), e))?;
    }
    driver.await.map_err(|_| Error::Usage("the replay's clock stopped: a bug of loadgen".to_owned()))??;
    let open = match &outcomes {
        Some(outcomes) => outcomes.wait(settle).await as u64,
        None => 0,
    };
    let mut report = shared.stats.report();
    report.target = shared.http.target.url();
    report.outcomes_open = open;
    report.outcomes_followed = outcomes.is_some();
    Ok(report)
}

type Lanes = Vec<mpsc::Sender<Job>>;

fn start_lanes(shared: &Arc<Shared>) -> (Lanes, Vec<tokio::task::JoinHandle<()>>) {
    (0..shared.http.connections)
        .map(|_| {
            let (sender, receiver) = mpsc::channel(LANE_QUEUE_MAX);
            (sender, tokio::spawn(lane(Arc::clone(shared), receiver)))
        })
        .unzip()
}

/// Waits until each command is due and gives it to its key's lane. Flat out a full lane is what slows it.
async fn drive_lanes(
    options: &Options,
    business: &'static dyn Business,
    stats: &Stats,
    lanes: Lanes,
) -> Result<(), Error> {
    // Not the randomly seeded hasher: runs over the same file should use their connections alike.
    let hasher = BuildHasherDefault::<DefaultHasher>::default();
    let send = async |job: Job| {
        let lane = hasher.hash_one(&job.envelope.key) % lanes.len() as u64;
        let gone = || Error::Usage("a connection's task ended early: a bug of loadgen".to_owned());
        let lane = lanes.get(lane as usize).ok_or_else(gone)?;
        lane.send(job).await.map_err(|_| gone())
    };
    let mut commands = Commands::open(options, business)?;
    let mut setup = 0;
    while let Some(job) = commands.next_setup()? {
        send(job).await?;
        setup += 1;
    }
    while stats.counts().1 < setup {
        tokio::time::sleep(SETUP_LOOK_EVERY).await;
    }
    stats.start_clock();
    let no_alarm = |e| Error::unreachable("this machine's clock", e);
    let alarm = Alarm::new().map_err(no_alarm)?;
    while let Some(job) = commands.next_timed()? {
        alarm.wait_until(job.due).await.map_err(no_alarm)?;
        send(job).await?;
    }
    Ok(())
}

/// One connection's life.
async fn lane(shared: Arc<Shared>, mut jobs: mpsc::Receiver<Job>) {
    let mut connection = Connection::new(&shared.http.target);
    let mut call = Call::default();
    while let Some(mut job) = jobs.recv().await {
        // Flat out nothing is intended for a certain time: what waits in our own queue is no one's latency.
        if shared.flat_out {
            job.due = Instant::now();
        }
        match shared.business.http_call(&job.envelope, &mut call) {
            Ok(()) => one(&shared, &mut connection, &call, job).await,
            Err(no_call) => shared.stats.skipped(no_call.0),
        }
    }
}

async fn one(shared: &Shared, connection: &mut Connection, call: &Call, job: Job) {
    let saga = match (&shared.outcomes, shared.business.begins(&job.envelope)) {
        (Some(outcomes), Some(id)) => {
            outcomes.begin(id.to_owned(), job.due);
            Some((outcomes, id))
        }
        _ => None,
    };
    shared.stats.sent();
    let headers = [("prefer", shared.prefer.as_str()), ("idempotency-key", call.idempotency_key.as_str())];
    let headers = if call.idempotency_key.is_empty() { &headers[..1] } else { &headers };
    let ask = Ask { method: call.method, path: &call.path, body: &call.body, headers };
    let begun = Instant::now();
    let mut pause = RETRY_WAIT_MIN;
    loop {
        let sent = Instant::now();
        let (cause, wait) = match connection.ask(ask, shared.http.timeout).await {
            Ok(answer) if !is_retriable(answer.status) => {
                let envelope = &job.envelope;
                let key = envelope.key.as_deref().unwrap_or_default();
                let bound = Bound { name: call.name, kind: &envelope.kind, key };
                let status = Status::new(answer.status);
                let fits = fits(shared.business, envelope, answer.status);
                shared.stats.answered(bound, status.as_str(), fits, job.due, sent);
                if let (Some((outcomes, id)), 400..) = (saga, answer.status) {
                    outcomes.forget(id);
                }
                return;
            }
            Ok(answer) => (format!("status {}", answer.status), answer.retry_after),
            Err(lost) => (lost.cause().to_owned(), None),
        };
        let wait = wait.unwrap_or(pause).min(RETRY_WAIT_MAX);
        if begun.elapsed() + wait > shared.give_up {
            shared.stats.failed(&cause);
            if let Some((outcomes, id)) = saga {
                outcomes.forget(id);
            }
            return;
        }
        shared.stats.retried(&cause);
        tokio::time::sleep(wait).await;
        pause = (pause * 2).min(RETRY_WAIT_MAX);
    }
}

/// What may pass by itself: overload, no leader, a gateway without its upstream.
fn is_retriable(status: u16) -> bool {
    matches!(status, 429 | 502 | 503 | 504)
}

/// Whether an answer is one that the file leads one to expect. Strict about what is certain only.
fn fits(business: &dyn Business, envelope: &Envelope, status: u16) -> bool {
    let kind = envelope.kind.as_str();
    match envelope.expect {
        Expect::Unknown => status < 500,
        Expect::Accept | Expect::Duplicate => (200..300).contains(&status) || business.may_answer(kind, status),
        // Answered before it was judged: the refusal comes later.
        Expect::Refuse if status == 202 && !kind.starts_with("poison") => true,
        Expect::Refuse | Expect::DeadLetter => (400..500).contains(&status),
    }
}

/// A status code as text without allocating.
struct Status([u8; 3]);

impl Status {
    fn new(status: u16) -> Self {
        let digit = |divisor: u16| b'0' + (status / divisor % 10) as u8;
        Status([digit(100), digit(10), digit(1)])
    }

    fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or("???")
    }
}

/// Listens to the target's events from before the first command on. `None`, with a word why, when it has none.
async fn follow(
    http: &HttpOptions,
    business: &'static dyn Business,
    stats: &Arc<Stats>,
) -> Result<Option<Arc<Outcomes>>, Error> {
    let mut connection = Connection::new(&http.target);
    let (path, limit) = (business.events_path(), http.timeout);
    let status = connection.lines(path, &[ACCEPT_EVENTS], limit).await?;
    if status != 200 {
        eprintln!("loadgen: {}{path} answers {status}: outcomes are not timed", http.target.url());
        return Ok(None);
    }
    let outcomes = Arc::new(Outcomes::new(Arc::clone(stats)));
    let listener = Arc::downgrade(&outcomes);
    tokio::spawn(async move {
        let mut last_id = String::new();
        loop {
            listen(&mut connection, &mut last_id, business, &listener).await;
            // Broken off: go on behind the last event seen.
            loop {
                if listener.strong_count() == 0 {
                    return;
                }
                tokio::time::sleep(RETRY_WAIT_MIN).await;
                let headers = [ACCEPT_EVENTS, ("last-event-id", last_id.as_str())];
                let headers = if last_id.is_empty() { &headers[..1] } else { &headers };
                match connection.lines(path, headers, limit).await {
                    Ok(200) => break,
                    _ => tokio::time::sleep(RETRY_WAIT_MAX).await,
                }
            }
        }
    });
    Ok(Some(outcomes))
}

/// Reads events (`data:` lines with JSON, as in WHATWG's server-sent events) until the stream ends or nobody listens.
async fn listen(connection: &mut Connection, last_id: &mut String, business: &dyn Business, listener: &Weak<Outcomes>) {
    let mut data: Vec<u8> = Vec::new();
    while let Ok(Some(line)) = connection.next_line(EVENTS_IDLE).await {
        if line.is_empty() {
            if !data.is_empty() {
                let Some(outcomes) = listener.upgrade() else {
                    return;
                };
                if let Some(id) = business.ended_json(&data) {
                    outcomes.end(&id);
                }
                data.clear();
            }
        } else if let Some(id) = field(line, b"id:") {
            last_id.clear();
            last_id.push_str(&String::from_utf8_lossy(id));
        } else if let Some(part) = field(line, b"data:") {
            data.extend_from_slice(part);
        }
    }
}

fn field<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let value = line.strip_prefix(name)?;
    Some(value.strip_prefix(b" ").unwrap_or(value))
}
