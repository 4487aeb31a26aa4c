//! Replay over HTTP against a server written here: pace, order, repeats after failures, latencies, outcomes.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use loadgen::business::{self, Names};
use loadgen::generate::{Params, generate};
use loadgen::http::Target;
use loadgen::replay::{Options, count_commands, http};
use loadgen::report::ReplayReport;
use loadgen::schedule::Pace;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::broadcast;

/// A request as the server saw it.
#[derive(Clone, Debug)]
struct Seen {
    at: Instant,
    line: String,
    headers: HashMap<String, String>,
    body: String,
}

/// What the server does with a request.
enum Reply {
    Status(&'static str),
    /// Ends the connection without an answer.
    Hang,
    /// Answers 202 after so long.
    Late(Duration),
}

type Behave = dyn Fn(&Seen, usize) -> Reply + Send + Sync;

struct Server {
    target: Target,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Server {
    /// `behave` is told how often the same request came before.
    async fn start(behave: impl Fn(&Seen, usize) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let target = Target::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (events, _) = broadcast::channel(10_000);
        let (behave, list): (Arc<Behave>, _) = (Arc::new(behave), Arc::clone(&seen));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&behave), Arc::clone(&list), events.clone()));
            }
        });
        Server { target, seen }
    }

    fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }
}

/// One keep-alive connection; an accepted order is said to be delivered on every event stream.
async fn serve(
    stream: TcpStream,
    behave: Arc<Behave>,
    list: Arc<Mutex<Vec<Seen>>>,
    events: broadcast::Sender<String>,
) -> Option<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let seen = read_request(&mut stream).await?;
        if seen.line.starts_with("GET /fashion-store/orders/events") {
            let mut events = events.subscribe();
            let head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n: hello\n\n";
            stream.get_mut().write_all(head).await.ok()?;
            while let Ok(id) = events.recv().await {
                let event = format!("id: 0:1\ndata: {{\"id\":\"{id}\",\"status\":\"DELIVERY_STARTED\"}}\n\n");
                stream.get_mut().write_all(event.as_bytes()).await.ok()?;
            }
            return None;
        }
        let before = {
            let mut list = list.lock().unwrap();
            let same = |other: &&Seen| other.line == seen.line && other.body == seen.body;
            let before = list.iter().filter(same).count();
            list.push(seen.clone());
            before
        };
        let status = match behave(&seen, before) {
            Reply::Hang => return None,
            Reply::Status(status) => status,
            Reply::Late(wait) => {
                tokio::time::sleep(wait).await;
                "202 Accepted"
            }
        };
        let answer = format!("HTTP/1.1 {status}\r\nretry-after: 0\r\ncontent-length: 2\r\n\r\n{{}}");
        stream.get_mut().write_all(answer.as_bytes()).await.ok()?;
        if status.starts_with('2')
            && let Some(id) = order_id(&seen)
        {
            // No one may be listening.
            let _ = events.send(id);
        }
    }
}

async fn read_request(stream: &mut BufReader<TcpStream>) -> Option<Seen> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await.ok()? == 0 {
            return None;
        }
        if line == "\r\n" {
            break;
        }
        lines.push(line.trim_end().to_owned());
    }
    let pair = |line: &String| line.split_once(": ").map(|(name, value)| (name.to_lowercase(), value.to_owned()));
    let headers: HashMap<String, String> = lines.iter().skip(1).filter_map(pair).collect();
    let length = headers.get("content-length").map_or(0, |length| length.parse().unwrap());
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    let body = String::from_utf8(body).unwrap();
    Some(Seen { at: Instant::now(), line: lines.first()?.clone(), headers, body })
}

fn order_id(seen: &Seen) -> Option<String> {
    if !seen.line.starts_with("POST /fashion-store/orders ") {
        return None;
    }
    let body: serde_json::Value = serde_json::from_str(&seen.body).ok()?;
    Some(body.get("id")?.as_str()?.to_owned())
}

/// Traffic without poison: every command must be accepted.
fn traffic(folder: &Path, params: Params) -> PathBuf {
    let path = folder.join("traffic.avro");
    let honest = Params { products: 3, poison: 0.0, conflicts: 0.0, restocks: 0.0, ..params };
    generate(business::by_name("fashion-store").unwrap(), &honest, &path).unwrap();
    path
}

async fn replay(server: &Server, file: PathBuf, pace: Pace, connections: usize, give_up: Duration) -> ReplayReport {
    let business = business::by_name("fashion-store").unwrap();
    let options = Options {
        file,
        pace,
        names: Names::default(),
        keep_timestamps: false,
        limit: None,
        give_up,
        settle: Duration::from_secs(20),
        outcomes: true,
        target_pids: Vec::new(),
        quiet: true,
    };
    let http = http::HttpOptions {
        target: server.target.clone(),
        connections,
        wait_s: None,
        timeout: Duration::from_secs(10),
    };
    let total = count_commands(&options, business).unwrap();
    http::replay(options, http, business, total).await.unwrap()
}

const PATIENT: Duration = Duration::from_secs(30);

#[tokio::test]
async fn commands_are_sent_at_their_rate_in_order_per_order_and_outcomes_are_timed() {
    let folder = tempfile::tempdir().unwrap();
    let file = traffic(folder.path(), Params { orders: 150, cancels_early: 0.5, ..Params::default() });
    let server = Server::start(|_, _| Reply::Status("202 Accepted")).await;
    let report = replay(&server, file, Pace::Rate(500.0), 8, PATIENT).await;
    assert!(report.is_clean(), "{report:?}");
    assert_eq!((report.outcomes, report.outcomes_open), (150, 0));
    assert_eq!(report.outcome.count, 150);
    let seen = server.seen();
    assert_eq!(seen.len() as u64, report.answered);
    // The first three are the products, sent before the clock starts.
    assert!(seen[..3].iter().all(|s| s.line.starts_with("POST /fashion-store/products ")));
    let timed = &seen[3..];
    let least = Duration::from_secs_f64((timed.len() - 1) as f64 / 500.0);
    let took = timed.last().unwrap().at - timed[0].at;
    assert!(took >= least - Duration::from_millis(50), "{took:?} for at least {least:?}");
    assert!(timed.iter().all(|s| s.headers["prefer"] == "respond-async"));
    // A cancellation never overtakes its order.
    let mut cancelled = 0;
    for (index, request) in timed.iter().enumerate() {
        if let Some(rest) = request.line.strip_prefix("DELETE /fashion-store/orders/") {
            let id = rest.split(' ').next().unwrap();
            let placed = timed[..index].iter().any(|s| order_id(s).as_deref() == Some(id));
            assert!(placed, "{id} was cancelled before it was placed");
            cancelled += 1;
        }
    }
    assert!(cancelled > 20);
}

#[tokio::test]
async fn what_fails_is_sent_again_with_the_same_id_until_it_is_answered() {
    let folder = tempfile::tempdir().unwrap();
    let file = traffic(folder.path(), Params { orders: 40, duplicates: 0.0, ..Params::default() });
    let server = Server::start(|seen, before| match (before, order_id(seen)) {
        // Orders meet an overload, then a connection that breaks.
        (0, Some(_)) => Reply::Status("503 Service Unavailable"),
        (1, Some(_)) => Reply::Hang,
        _ => Reply::Status("202 Accepted"),
    })
    .await;
    let report = replay(&server, file, Pace::Flat, 4, PATIENT).await;
    assert!(report.is_clean(), "{report:?}");
    assert_eq!(report.answers["POST /orders"], [("202".to_owned(), 40)].into());
    assert_eq!(report.retries["status 503"], 40);
    assert_eq!(report.retries["connection lost"], 40);
    assert_eq!(report.outcomes, 40);
    let mut by_id: HashMap<String, Vec<String>> = HashMap::new();
    for seen in server.seen() {
        if let Some(id) = order_id(&seen) {
            by_id.entry(id).or_default().push(seen.body);
        }
    }
    assert_eq!(by_id.len(), 40);
    assert!(by_id.values().all(|bodies| bodies.len() == 3 && bodies.iter().all(|body| *body == bodies[0])));
}

#[tokio::test]
async fn what_keeps_failing_is_given_up_and_said() {
    let folder = tempfile::tempdir().unwrap();
    let file = traffic(
        folder.path(),
        Params { orders: 2, duplicates: 0.0, cancels_early: 0.0, cancels_late: 0.0, ..Params::default() },
    );
    let server = Server::start(|seen, _| match order_id(seen) {
        Some(_) => Reply::Status("503 Service Unavailable"),
        None => Reply::Status("202 Accepted"),
    })
    .await;
    let report = replay(&server, file, Pace::Flat, 1, Duration::from_millis(50)).await;
    assert_eq!(report.failed["status 503"], 2);
    assert!(!report.is_clean() && report.outcomes_open == 0);
}

#[tokio::test]
async fn an_answer_that_does_not_fit_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let file = traffic(
        folder.path(),
        Params { orders: 5, duplicates: 0.0, cancels_early: 0.0, cancels_late: 0.0, ..Params::default() },
    );
    let server = Server::start(|seen, _| match order_id(seen) {
        Some(_) => Reply::Status("404 Not Found"),
        None => Reply::Status("202 Accepted"),
    })
    .await;
    let report = replay(&server, file, Pace::Flat, 1, PATIENT).await;
    assert_eq!((report.unexpected_count, report.unexpected[0].status.as_str()), (5, "404"));
    assert_eq!((report.outcomes, report.outcomes_open), (0, 0));
}

/// One connection, one stall of half a second: those that wait behind it are charged for the wait in the response time,
/// and not in the service time.
#[tokio::test]
async fn a_stall_counts_for_all_who_wait_behind_it() {
    let folder = tempfile::tempdir().unwrap();
    let params = Params { orders: 200, duplicates: 0.0, cancels_early: 0.0, cancels_late: 0.0, ..Params::default() };
    let file = traffic(folder.path(), params);
    let orders = Arc::new(Mutex::new(0));
    let server = Server::start(move |seen, _| {
        let mut orders = orders.lock().unwrap();
        *orders += u64::from(order_id(seen).is_some());
        if *orders == 20 { Reply::Late(Duration::from_millis(500)) } else { Reply::Status("202 Accepted") }
    })
    .await;
    let report = replay(&server, file, Pace::Rate(200.0), 1, PATIENT).await;
    assert!(report.is_clean(), "{report:?}");
    // 500 ms at 200/s: a hundred of two hundred wait, evenly up to half a second. Only one was slow by itself.
    assert!(report.response.p90_us > 250_000, "{:?}", report.response);
    assert!(report.service.p90_us < 100_000, "{:?}", report.service);
    assert!(report.service.max_us >= 490_000, "{:?}", report.service);
}
