//! `bench-app`: W1 and W2 of `bench/peer` on Orderflow.

use bench_app::counting::Counting;
use bench_app::{engine_only, http, kafka, local, raw_copy};
use clap::{Parser, Subcommand};

/// What `orderflow` runs on, counted when the engine-only run asks.
#[global_allocator]
static ALLOCATOR: Counting<tikv_jemallocator::Jemalloc> = Counting(tikv_jemallocator::Jemalloc);

/// The workloads that Orderflow is compared with Kafka Streams by.
#[derive(Parser)]
#[command(version)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Per-key aggregates, on Kafka.
    W1(kafka::Options),
    /// The order saga, on Kafka.
    W2(kafka::Options),
    /// The order saga without a broker: nanoseconds and allocations per order, as JSON.
    EngineOnly(engine_only::Options),
    /// The floor of the order saga on Kafka: its topics copied in transactions by librdkafka alone; as JSON.
    RawCopy(raw_copy::Options),
    /// The embedded log against SQLite, orders by the same rules; a line of JSON per case.
    Local(local::Options),
    /// The floor of reads: an axum service that says hello, on this port of the loopback interface.
    Hello {
        /// The port.
        #[arg(long)]
        http_port: u16,
        /// Serve it as the reads of W2 are served, instead of by `axum::serve` on a thread for each core.
        #[arg(long)]
        alike: bool,
    },
}

fn main() -> anyhow::Result<()> {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "info".into());
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(false).init();
    let command = Args::parse().command;
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    if matches!(command, Command::W1(_) | Command::W2(_) | Command::Hello { alike: true, .. }) {
        // A second one would take turns with the worker and the load on the two cores of the comparison, and the two would
        // wake each other for every few requests.
        runtime.worker_threads(1);
    }
    let runtime = runtime.enable_all().thread_name("http").build()?;
    match command {
        Command::W1(options) => runtime.block_on(kafka::run(kafka::Workload::W1, &options)),
        Command::W2(options) => runtime.block_on(kafka::run(kafka::Workload::W2, &options)),
        Command::EngineOnly(options) => print(&engine_only::run(&options)?),
        Command::RawCopy(options) => print(&raw_copy::run(&options)?),
        Command::Local(options) => runtime.block_on(local::run(&options))?.iter().try_for_each(print),
        Command::Hello { http_port, alike } => runtime.block_on(async {
            let listener = tokio::net::TcpListener::bind(("127.0.0.1", http_port)).await?;
            if alike {
                tokio::select! {
                    () = http::serve(listener, http::hello()) => (),
                    () = node::signals::stop_requested() => (),
                }
            } else {
                axum::serve(listener, http::hello()).with_graceful_shutdown(node::signals::stop_requested()).await?;
            }
            Ok(())
        }),
    }
}

#[expect(clippy::print_stdout, reason = "the result of the run")]
fn print(report: &impl serde::Serialize) -> anyhow::Result<()> {
    println!("{}", serde_json::to_string(report)?);
    Ok(())
}
