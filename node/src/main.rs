//! `orderflow`: parses the command line, sets logging up, and hands over.

use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser as _;
use node::args::{Args, Command, Common};
use node::config::{Config, ConfigError, DEFAULTS, LogFormat};

/// For the C libraries as well; its settings are in `.cargo/config.toml`.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Exit status of a refused command line, configuration or change of topology; clap's own.
const USAGE: u8 = 2;

fn main() -> ExitCode {
    match run(Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            // The log may not be set up, or may go elsewhere: the reason always reaches the terminal.
            eprintln!("orderflow: {e:#}");
            if is_refused(&e) { ExitCode::from(USAGE) } else { ExitCode::FAILURE }
        }
    }
}

/// What the operator asked for cannot be, and trying again will not help.
fn is_refused(e: &anyhow::Error) -> bool {
    e.is::<ConfigError>() || matches!(e.downcast_ref(), Some(streams::Error::Incompatible(_)))
}

fn run(args: Args) -> anyhow::Result<()> {
    match args.command {
        Command::Up(up) => {
            let config = configure(&up.common, up.serving.settings())?;
            runtime()?.block_on(node::up::run(config))
        }
        Command::Run(run) => {
            let mut settings = run.serving.settings();
            settings.extend(run.brokers.map(|b| format!("kafka.brokers={b}")));
            settings.extend(run.instance_id.map(|i| format!("node.instance_id={i}")));
            settings.extend(run.tasks.map(|t| format!("node.tasks={t}")));
            let config = configure(&run.common, settings)?;
            runtime()?.block_on(node::run::run(config))
        }
        Command::Topics(topics) => {
            let settings = topics.brokers.map(|b| format!("kafka.brokers={b}")).into_iter().collect();
            let config = configure(&topics.common, settings)?;
            node::run::topics(&config, topics.dry_run)
        }
        Command::Reset(reset) => {
            let on_kafka = reset.brokers.is_some();
            let brokers = reset.brokers.map(|b| format!("kafka.brokers={b}"));
            let data_dir = reset.data_dir.map(|directory| format!("node.data_dir={}", directory.display()));
            let config = configure(&reset.common, brokers.into_iter().chain(data_dir).collect())?;
            node::reset::run(&config, &reset.common.apps, on_kafka, reset.dry_run)
        }
        Command::Describe { app, hash } => {
            let config = Config::load(None, std::env::vars(), &[])?;
            let app = node::apps::app(&app, &config, &node::apps::registry(&config)?)?;
            if hash {
                print(&format!("{:016x}\n", app.topology.hash()));
            } else {
                print(&app.topology.describe());
            }
            Ok(())
        }
        Command::PaymentSim(sim) => {
            init_tracing(LogFormat::Human, "info")?;
            runtime()?.block_on(node::payment::sim::run(sim))
        }
        Command::Config => {
            print(DEFAULTS);
            Ok(())
        }
    }
}

/// Writes to standard output; a closed pipe (`orderflow config | head`) is no error.
fn print(text: &str) {
    use std::io::Write as _;
    let _ = std::io::stdout().write_all(text.as_bytes());
}

fn configure(common: &Common, mut settings: Vec<String>) -> anyhow::Result<Config> {
    settings.extend(common.settings());
    let config = Config::load(common.config.as_deref(), std::env::vars(), &settings)?;
    init_tracing(config.log.format, &config.log.level)?;
    Ok(config)
}

fn init_tracing(format: LogFormat, level: &str) -> anyhow::Result<()> {
    use tracing_subscriber::{EnvFilter, fmt};
    let filter = EnvFilter::try_new(level).map_err(|e| ConfigError::Invalid(format!("log.level = {level:?}: {e}")))?;
    let colours = std::io::IsTerminal::is_terminal(&std::io::stderr());
    let lines = fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(colours);
    match format {
        LogFormat::Human => lines.with_target(false).try_init(),
        LogFormat::Json => lines.json().flatten_event(true).try_init(),
    }
    .map_err(|e| anyhow::anyhow!("logging is set up twice: {e}"))
}

fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("http")
        .build()
        .context("the async runtime does not start")
}
