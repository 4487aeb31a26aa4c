//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args as ClapArgs, Parser, Subcommand};

/// Order sagas on Kafka topics, or with no broker at all.
#[derive(Debug, Parser)]
#[command(
    name = "orderflow",
    version,
    about = "Order sagas as stream processing: on Apache Kafka, or on one machine with no broker at all",
    after_help = "\
EXAMPLES
  Try it, everything in one process, state under ./.orderflow:
      orderflow up
      http POST :8088/products id=4000 name=Coat price=50000 stock=10
      http POST :8088/orders productId=4000 size=S qty=1 price=50000
  One instance of many on Kafka (start as many as there are partitions):
      orderflow topics --set kafka.brokers=localhost:9092
      orderflow run --app fashion-store --brokers localhost:9092 --listen 127.0.0.1:8088 --instance-id a
  What a business does, as Kafka Streams prints it:
      orderflow describe fashion-store

EXIT STATUS
  0  stopped on request, or the command did what it says
  1  failed while running; the last log line says why
  2  the command line or the configuration was refused"
)]
pub struct Args {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Runs everything in one process on the embedded log: engine, payment worker and simulator, gateway, console.
    Up(Up),
    /// Runs one instance on Apache Kafka.
    Run(Run),
    /// Creates the topics a business needs on Kafka, or shows with --dry-run what it would create.
    Topics(Topics),
    /// Prints a business's topology in Kafka Streams' text format.
    Describe {
        /// Which business.
        #[arg(default_value = "fashion-store")]
        app: String,
        /// Print only the hash that decides whether two topologies can share state.
        #[arg(long)]
        hash: bool,
    },
    /// Runs a payment provider to test against: latency, errors, declines and outages can be set while it runs.
    PaymentSim(PaymentSim),
    /// Prints every setting with its unit and default.
    Config,
}

/// Settings every long-running command takes.
#[derive(Debug, ClapArgs)]
pub struct Common {
    /// Configuration file; see `orderflow config` for all keys.
    #[arg(long, env = "ORDERFLOW_CONFIG")]
    pub config: Option<PathBuf>,
    /// Sets one key, for example --set engine.workers=2; may be repeated.
    #[arg(long = "set", value_name = "SECTION.KEY=VALUE")]
    pub set: Vec<String>,
    /// Address of the gateway, queries, metrics and console (http.listen).
    #[arg(long, value_name = "ADDR:PORT")]
    pub listen: Option<SocketAddr>,
    /// Where state is kept (node.data_dir).
    #[arg(long)]
    pub data_dir: Option<PathBuf>,
    /// A business to run; may be repeated (node.apps).
    #[arg(long = "app", value_name = "NAME")]
    pub apps: Vec<String>,
}

impl Common {
    /// The flags as `key=value` settings, weaker than --set.
    #[must_use]
    pub fn settings(&self) -> Vec<String> {
        let mut settings = Vec::new();
        if let Some(listen) = self.listen {
            settings.push(format!("http.listen={listen}"));
        }
        if let Some(dir) = &self.data_dir {
            settings.push(format!("node.data_dir={}", dir.display()));
        }
        if !self.apps.is_empty() {
            let quoted: Vec<String> = self.apps.iter().map(|a| format!("{a:?}")).collect();
            settings.push(format!("node.apps=[{}]", quoted.join(", ")));
        }
        settings.extend(self.set.iter().cloned());
        settings
    }
}

/// `orderflow up`
#[derive(Debug, ClapArgs)]
pub struct Up {
    #[command(flatten)]
    #[expect(missing_docs, reason = "flattened")]
    pub common: Common,
}

/// `orderflow run`
#[derive(Debug, ClapArgs)]
pub struct Run {
    #[command(flatten)]
    #[expect(missing_docs, reason = "flattened")]
    pub common: Common,
    /// Kafka's bootstrap servers (kafka.brokers).
    #[arg(long, value_name = "HOST:PORT,…")]
    pub brokers: Option<String>,
    /// Name of this instance, stable over restarts (node.instance_id).
    #[arg(long)]
    pub instance_id: Option<String>,
    /// Tasks this process runs: all, none (gateway only), or sub-topology numbers such as 0,2 (node.tasks).
    #[arg(long)]
    pub tasks: Option<String>,
}

/// `orderflow topics`
#[derive(Debug, ClapArgs)]
pub struct Topics {
    #[command(flatten)]
    #[expect(missing_docs, reason = "flattened")]
    pub common: Common,
    /// Kafka's bootstrap servers (kafka.brokers).
    #[arg(long, value_name = "HOST:PORT,…")]
    pub brokers: Option<String>,
    /// Show what would be created and change nothing.
    #[arg(long)]
    pub dry_run: bool,
}

/// `orderflow payment-sim`
#[derive(Debug, ClapArgs)]
pub struct PaymentSim {
    /// Address to listen on.
    #[arg(long, default_value = "127.0.0.1:8089", value_name = "ADDR:PORT")]
    pub listen: SocketAddr,
    /// File its ledger is kept in; without one the ledger lives in memory.
    #[arg(long)]
    pub ledger: Option<PathBuf>,
    /// Least time a call takes, milliseconds.
    #[arg(long, default_value_t = 0)]
    pub latency_ms: u64,
    /// Random time added to it, milliseconds.
    #[arg(long, default_value_t = 0)]
    pub jitter_ms: u64,
}
