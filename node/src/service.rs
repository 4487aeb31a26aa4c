//! What `up` and `run` have in common: payment workers, serving HTTP, and stopping in order.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use axum::Router;
use query_api::Platform;
use schemas::{Codec, Registry};

use crate::apps::App;
use crate::config::Config;
use crate::engine::{Stop, WorkerThread};
use crate::metrics::Metrics;
use crate::payment::PaymentLog;
use crate::payment::provider::Provider;
use crate::payment::worker::Worker as PaymentWorker;
use crate::signals;
use crate::simulate::Slow;

/// How long open requests may take to finish once a stop was asked for; event streams never finish by themselves.
const DRAIN: Duration = Duration::from_secs(3);

/// Starts a payment worker for every business that takes money.
///
/// # Errors
/// When the provider's client or the registry fails.
pub fn spawn_payment(
    config: &Config,
    businesses: &[App],
    registry: &Arc<dyn Registry>,
    log: Arc<dyn PaymentLog>,
    provider_url: &str,
    metrics: &Metrics,
    stop: &Arc<Stop>,
) -> anyhow::Result<()> {
    let provider = Arc::new(Provider::new(provider_url, metrics.payment_breaker())?);
    let prefix = &config.topics.prefix;
    for business in businesses {
        let Some((requests, results)) = business.payment else { continue };
        let worker = PaymentWorker::new(
            log.clone(),
            provider.clone(),
            (requests, Codec::for_topic(&requests, prefix, registry)?),
            (results, Codec::for_topic(&results, prefix, registry)?),
            config.payment.concurrency,
        );
        let counters = (business.name.into(), worker.counters.clone());
        metrics.payments.lock().unwrap_or_else(PoisonError::into_inner).push(counters);
        tokio::spawn(run_payment(worker, stop.clone()));
    }
    Ok(())
}

async fn run_payment(worker: PaymentWorker, stop: Arc<Stop>) {
    let topic = worker.requests.clone();
    match worker.run(stop.clone()).await {
        Ok(()) if stop.is_requested() => (),
        Ok(()) => {
            tracing::error!(topic, "the payment requests ended; the process stops");
            stop.request();
        }
        Err(e) => {
            tracing::error!(topic, error = e, "the payment worker ended; the process stops");
            stop.request();
        }
    }
}

/// Serves HTTP until a signal or a failure asks to stop; then open requests finish and the workers commit and leave.
///
/// # Errors
/// When it cannot listen, or a worker ended with an error.
pub async fn serve(
    config: &Config,
    platform: Arc<dyn Platform>,
    more: Router,
    workers: Arc<Vec<WorkerThread>>,
    stop: &Arc<Stop>,
) -> anyhow::Result<()> {
    let served = serve_http(config, platform, more, stop).await;
    stop.request();
    let left = tokio::task::spawn_blocking(move || join(&workers)).await?;
    served.and(left)
}

async fn serve_http(
    config: &Config,
    platform: Arc<dyn Platform>,
    more: Router,
    stop: &Arc<Stop>,
) -> anyhow::Result<()> {
    let address = config.http.listen;
    let listener = tokio::net::TcpListener::bind(address)
        .await
        .with_context(|| format!("cannot listen on {address}; --listen takes another address"))?;
    let router = query_api::app(Slow::before(platform, &config.simulate))?.merge(more);
    tracing::info!(url = config.advertised_url(), "ready: gateway, queries and console");
    let signalled = stop.clone();
    tokio::spawn(async move {
        signals::stop_requested().await;
        tracing::info!("stop requested; open requests finish, then the workers commit and leave");
        signalled.request();
    });
    let stopping = stop.clone();
    let graceful = axum::serve(listener, router).with_graceful_shutdown(async move { stopping.requested().await });
    let drained = async {
        stop.requested().await;
        tokio::time::sleep(DRAIN).await;
    };
    tokio::select! {
        result = async { graceful.await } => Ok(result?),
        () = drained => Ok(()),
    }
}

fn join(workers: &[WorkerThread]) -> anyhow::Result<()> {
    let mut outcome = Ok(());
    for worker in workers {
        if let Err(e) = worker.join() {
            outcome = Err(anyhow::Error::new(e).context(format!("worker {}", worker.name)));
        }
    }
    outcome
}
