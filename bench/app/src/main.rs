//! `bench-app`: W1 and W2 of `bench/peer` on Orderflow.

use bench_app::counting::Counting;
use bench_app::{engine_only, kafka};
use clap::{Parser, Subcommand};

/// What `orderflow` runs on, counted when the engine-only run asks.
#[global_allocator]
static ALLOCATOR: Counting<mimalloc::MiMalloc> = Counting(mimalloc::MiMalloc);

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
}

fn main() -> anyhow::Result<()> {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "info".into());
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(false).init();
    let (workload, options) = match Args::parse().command {
        Command::W1(options) => (kafka::Workload::W1, options),
        Command::W2(options) => (kafka::Workload::W2, options),
        Command::EngineOnly(options) => {
            let report = serde_json::to_string(&engine_only::run(&options)?)?;
            #[expect(clippy::print_stdout, reason = "the result of the run")]
            {
                println!("{report}");
            }
            return Ok(());
        }
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().thread_name("http").build()?;
    runtime.block_on(kafka::run(workload, &options))
}
