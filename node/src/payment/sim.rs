//! `orderflow payment-sim`: a payment provider with a ledger of its own, whose latency, errors, declines and outages can be
//! set while it runs. The ledger is the independent witness of the audits: it knows nothing of sagas.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};

use super::provider::{Answer, Call};
use crate::args::PaymentSim;
use crate::engine::now_ms;

/// Bytes of a call's body; a call is three short fields.
const BODY_BYTES_MAX: usize = 16 << 10;

/// How the provider behaves; `PUT /settings` takes any part of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Least time a call takes, milliseconds.
    pub latency_ms: u64,
    /// Random time added, milliseconds.
    pub jitter_ms: u64,
    /// Share of calls answered 500 without any effect, 0.0 to 1.0.
    pub error_rate: f64,
    /// Share of calls that take effect and whose answer is then lost: they hang for `hang_ms` and answer 500.
    pub lost_answer_rate: f64,
    /// How long a lost answer hangs, milliseconds.
    pub hang_ms: u64,
    /// Share of charges declined, decided by the order id alone so that every attempt is answered alike, in percent.
    pub decline_percent: u32,
    /// Answer 503 to everything.
    pub outage: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            latency_ms: 0,
            jitter_ms: 0,
            error_rate: 0.0,
            lost_answer_rate: 0.0,
            hang_ms: 2_000,
            decline_percent: 0,
            outage: false,
        }
    }
}

/// A line of the ledger: something that happened to money, or to a key. Repeats of a call are not entries.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Key of the charge.
    pub key: String,
    /// The order it is for.
    pub order_id: String,
    /// CHARGE, VOID or REFUND.
    pub kind: String,
    /// Won that moved: taken by an approved CHARGE, given back by a REFUND or by a VOID of an approved charge; else 0.
    pub amount: i64,
    /// APPROVED, DECLINED, VOIDED or REFUNDED.
    pub status: String,
    /// Milliseconds since the epoch.
    pub at: i64,
}

#[derive(Clone, Debug)]
struct Charge {
    status: String,
    amount: i64,
    reference: String,
}

#[derive(Default)]
struct Ledger {
    charges: HashMap<String, Charge>,
    entries: Vec<Entry>,
    file: Option<File>,
}

/// The provider.
pub struct Sim {
    settings: Mutex<Settings>,
    ledger: Mutex<Ledger>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Sim {
    /// A provider whose ledger is kept in a file (appended before a call is answered, so it survives `kill -9`) or in
    /// memory.
    ///
    /// # Errors
    /// When the file cannot be read or written.
    pub fn open(settings: Settings, file: Option<&Path>) -> std::io::Result<Arc<Sim>> {
        let mut ledger = Ledger::default();
        if let Some(path) = file {
            if path.exists() {
                for line in BufReader::new(File::open(path)?).lines() {
                    // A line cut short by a crash was never answered for.
                    if let Ok(entry) = serde_json::from_str::<Entry>(&line?) {
                        ledger.apply(entry);
                    }
                }
            }
            ledger.file = Some(OpenOptions::new().create(true).append(true).open(path)?);
        }
        Ok(Arc::new(Sim { settings: Mutex::new(settings), ledger: Mutex::new(ledger) }))
    }

    /// The provider's routes.
    pub fn router(self: Arc<Self>) -> Router {
        Router::new()
            .route("/charges", post(charge))
            .route("/voids", post(void))
            .route("/refunds", post(refund))
            .route("/ledger", get(ledger))
            .route("/settings", get(read_settings).put(write_settings))
            .layer(axum::extract::DefaultBodyLimit::max(BODY_BYTES_MAX))
            .with_state(self)
    }

    /// Everything in the ledger, oldest first.
    #[must_use]
    pub fn entries(&self) -> Vec<Entry> {
        lock(&self.ledger).entries.clone()
    }

    /// Waits, fails or goes through, as the settings have it; then `act` takes effect once per key.
    async fn answer(&self, call: Call, act: fn(&mut Ledger, &Call, &Settings) -> (StatusCode, Answer)) -> Response {
        let settings = lock(&self.settings).clone();
        if settings.outage {
            return StatusCode::SERVICE_UNAVAILABLE.into_response();
        }
        let pause = settings.latency_ms + (random() * settings.jitter_ms as f64) as u64;
        if pause > 0 {
            tokio::time::sleep(Duration::from_millis(pause)).await;
        }
        if random() < settings.error_rate {
            return StatusCode::INTERNAL_SERVER_ERROR.into_response();
        }
        let answer = act(&mut lock(&self.ledger), &call, &settings);
        if random() < settings.lost_answer_rate {
            tokio::time::sleep(Duration::from_millis(settings.hang_ms)).await;
            return StatusCode::INTERNAL_SERVER_ERROR.into_response();
        }
        (answer.0, Json(answer.1)).into_response()
    }
}

impl Ledger {
    fn record(&mut self, entry: Entry) {
        if let Some(file) = &mut self.file
            && let Ok(mut line) = serde_json::to_vec(&entry)
        {
            line.push(b'\n');
            if let Err(e) = file.write_all(&line) {
                tracing::error!(error = %e, "the provider's ledger cannot be written");
            }
        }
        self.apply(entry);
    }

    fn apply(&mut self, entry: Entry) {
        let charge = self.charges.entry(entry.key.clone()).or_insert_with(|| Charge {
            status: String::new(),
            amount: entry.amount,
            reference: format!("P{:08}", self.entries.len() + 1),
        });
        charge.status.clone_from(&entry.status);
        self.entries.push(entry);
    }

    fn entry(&mut self, call: &Call, kind: &str, amount: i64, status: &str) -> Answer {
        self.record(Entry {
            key: call.key.clone(),
            order_id: call.order_id.clone(),
            kind: kind.into(),
            amount,
            status: status.into(),
            at: now_ms(),
        });
        self.repeat(&call.key, status)
    }

    fn repeat(&self, key: &str, status: &str) -> Answer {
        let reference = self.charges.get(key).map(|c| c.reference.clone()).unwrap_or_default();
        let reason = (status == "DECLINED").then(|| "declined by the provider".to_owned());
        Answer { status: status.into(), reference, reason }
    }
}

async fn charge(State(sim): State<Arc<Sim>>, Json(call): Json<Call>) -> Response {
    sim.answer(call, |ledger, call, settings| match ledger.charges.get(&call.key).map(|c| c.status.clone()) {
        // A key stands for one charge: whatever became of it is the answer to every repeat.
        Some(status) if status == "VOIDED" => (
            StatusCode::CONFLICT,
            Answer { reason: Some("the key was voided".into()), ..ledger.repeat(&call.key, "VOIDED") },
        ),
        Some(status) if status == "REFUNDED" => (StatusCode::OK, ledger.repeat(&call.key, "APPROVED")),
        Some(status) => (StatusCode::OK, ledger.repeat(&call.key, &status)),
        None => {
            let declined = crc32fast::hash(call.order_id.as_bytes()) % 100 < settings.decline_percent;
            let (amount, status) = if declined { (0, "DECLINED") } else { (call.amount, "APPROVED") };
            (StatusCode::OK, ledger.entry(call, "CHARGE", amount, status))
        }
    })
    .await
}

async fn void(State(sim): State<Arc<Sim>>, Json(call): Json<Call>) -> Response {
    sim.answer(call, |ledger, call, _| match ledger.charges.get(&call.key).cloned() {
        Some(c) if c.status == "VOIDED" => (StatusCode::OK, ledger.repeat(&call.key, "VOIDED")),
        // Money taken is given back with the void.
        Some(c) if c.status == "APPROVED" => (StatusCode::OK, ledger.entry(call, "VOID", c.amount, "VOIDED")),
        Some(_) => (StatusCode::OK, ledger.repeat(&call.key, "VOIDED")),
        None => (StatusCode::OK, ledger.entry(call, "VOID", 0, "VOIDED")),
    })
    .await
}

async fn refund(State(sim): State<Arc<Sim>>, Json(call): Json<Call>) -> Response {
    sim.answer(call, |ledger, call, _| match ledger.charges.get(&call.key).cloned() {
        Some(c) if c.status == "APPROVED" => (StatusCode::OK, ledger.entry(call, "REFUND", c.amount, "REFUNDED")),
        // Given back already, by whichever way.
        Some(c) if c.status == "REFUNDED" || c.status == "VOIDED" => {
            (StatusCode::OK, ledger.repeat(&call.key, "REFUNDED"))
        }
        _ => {
            let reason = Some("there is no charge under this key".to_owned());
            (StatusCode::NOT_FOUND, Answer { status: "DECLINED".into(), reference: String::new(), reason })
        }
    })
    .await
}

async fn ledger(State(sim): State<Arc<Sim>>) -> Response {
    let lines: Vec<String> =
        lock(&sim.ledger).entries.iter().filter_map(|e| serde_json::to_string(e).ok()).map(|l| l + "\n").collect();
    ([(header::CONTENT_TYPE, "application/x-ndjson")], lines.concat()).into_response()
}

async fn read_settings(State(sim): State<Arc<Sim>>) -> Json<Settings> {
    Json(lock(&sim.settings).clone())
}

/// Takes any part of the settings; what is not named stays.
async fn write_settings(State(sim): State<Arc<Sim>>, Json(change): Json<serde_json::Value>) -> Response {
    let mut settings = lock(&sim.settings);
    let mut merged = serde_json::to_value(&*settings).unwrap_or_default();
    if let (Some(merged), Some(change)) = (merged.as_object_mut(), change.as_object()) {
        merged.extend(change.clone());
    }
    match serde_json::from_value::<Settings>(merged) {
        Ok(new) => {
            *settings = new.clone();
            Json(new).into_response()
        }
        Err(e) => (StatusCode::BAD_REQUEST, e.to_string()).into_response(),
    }
}

/// A number in 0.0..1.0. Not seeded: it models a world outside our control.
pub(crate) fn random() -> f64 {
    let bits = uuid::Uuid::new_v4().as_u64_pair().1 >> 11;
    bits as f64 / (1_u64 << 53) as f64
}

/// Serves until interrupted.
///
/// # Errors
/// When the address or the ledger's file cannot be used.
pub async fn run(args: PaymentSim) -> anyhow::Result<()> {
    let settings = Settings { latency_ms: args.latency_ms, jitter_ms: args.jitter_ms, ..Settings::default() };
    let sim = Sim::open(settings, args.ledger.as_deref())?;
    let listener = tokio::net::TcpListener::bind(args.listen).await?;
    tracing::info!(address = %listener.local_addr()?, "payment provider ready; PUT /settings changes how it behaves");
    axum::serve(listener, sim.router()).with_graceful_shutdown(crate::signals::stop_requested()).await?;
    Ok(())
}
