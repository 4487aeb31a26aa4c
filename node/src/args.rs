//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::builder::PossibleValuesParser;
use clap::{Args as ClapArgs, Parser, Subcommand};

use crate::apps;

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
      orderflow topics --brokers localhost:9092
      orderflow run --brokers localhost:9092 --instance-id a --listen 127.0.0.1:8088
  What a business does, as Kafka Streams prints it:
      orderflow describe fashion-store
  Every command says more: orderflow COMMAND --help

EXIT STATUS
  0  stopped on request, or the command did what it says
  1  failed while running; the last log line says why
  2  the command line or the configuration was refused, or a topology that does not fit the state"
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
    #[command(after_help = "\
EXAMPLES
  orderflow up                                  the fashion store on http://127.0.0.1:8088/
  orderflow up --app taxi --app gdmarket --data-dir /var/lib/orderflow
  orderflow up --set local.sync=interval        faster on a slow disk; a power loss may cost 50 ms
  orderflow up --set payment.url=http://127.0.0.1:8089
                                                with a provider of your own: orderflow payment-sim

Log, state and the simulator's ledger stay in the data directory: the next start goes on from there.
Ctrl-C commits and leaves; kill -9 loses nothing.")]
    Up(Up),
    /// Runs one instance on Apache Kafka.
    #[command(after_help = "\
EXAMPLES
  orderflow topics --brokers localhost:9092     once, before the first start
  orderflow run --brokers localhost:9092 --instance-id a --data-dir data/a
  orderflow run --brokers localhost:9092 --instance-id b --data-dir data/b --listen 127.0.0.1:8090
  orderflow run --brokers localhost:9092 --instance-id front --tasks none   a gateway only

Start as many instances as there are partitions, each with a name, a data directory and an
address of its own. Any of them answers for every key. Payments need payment.url on at least one.
SIGTERM commits and leaves; after kill -9 the others take over when kafka.session_timeout_ms is
over, and a restart under the same --instance-id goes on at once.")]
    Run(Run),
    /// Creates the topics a business needs on Kafka, or shows with --dry-run what it would create.
    #[command(after_help = "\
EXAMPLES
  orderflow topics --brokers localhost:9092 --dry-run
  orderflow topics --brokers localhost:9092 --app taxi --set topics.partitions=8

Repeat it as often as you like: what is there is left as it is, and a topic that differs in what
cannot be changed under data (its partitions) is refused with the remedy, and nothing created.")]
    Topics(Topics),
    /// Makes a business forget its positions and state, so that it starts anew from the beginning of its topics.
    #[command(after_help = "\
EXAMPLES
  orderflow reset --app taxi --dry-run          in the embedded log of `up`: what would be deleted
  orderflow reset --app taxi --data-dir /var/lib/orderflow
  orderflow reset --app taxi --brokers localhost:9092 --data-dir data/a
                                                on Kafka; then with each other instance's data directory

Stop it everywhere first: a log in use, or a group with active members, is refused (a stopped
instance is a member until kafka.session_timeout_ms is over). Deleted are the
positions, the stores, and the repartition and changelog topics; input and output topics stay. What
it wrote before it will write once more. For a topology that does not fit its state: docs/upgrades.md")]
    Reset(Reset),
    /// Prints a business's topology in Kafka Streams' text format.
    #[command(after_help = "\
EXAMPLES
  orderflow describe taxi
  orderflow describe fashion-store --hash

Viewers of Kafka Streams' topologies draw the text. Sub-topology numbers are what --tasks takes.")]
    Describe {
        /// Which business.
        #[arg(default_value = "fashion-store", value_parser = PossibleValuesParser::new(apps::NAMES))]
        app: String,
        /// Print only the hash: two topologies of one hash can take over each other's state (docs/upgrades.md).
        #[arg(long)]
        hash: bool,
    },
    /// Runs a payment provider to test against: latency, errors, declines and outages can be set while it runs.
    #[command(after_help = "\
EXAMPLES
  orderflow payment-sim --latency-ms 50 --jitter-ms 100 --ledger ledger.ndjson
  http :8089/settings                           how it behaves, with every field's name
  http PUT :8089/settings outage:=true          from now on; any part of the settings
  http :8089/ledger                             what was charged, voided and refunded

Point Orderflow at it: --set payment.url=http://127.0.0.1:8089")]
    PaymentSim(PaymentSim),
    /// Prints every setting with its unit and default.
    #[command(after_help = "\
EXAMPLES
  orderflow config > orderflow.toml             then edit it: orderflow up --config orderflow.toml
  orderflow up --set engine.workers=2           one key; wins over everything else
  ORDERFLOW__ENGINE__WORKERS=2 orderflow up     the same in the environment; wins over the file")]
    Config,
}

/// How a command is configured.
#[derive(Debug, ClapArgs)]
pub struct Common {
    /// Configuration file; see `orderflow config` for all keys.
    #[arg(long, env = "ORDERFLOW_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Sets one key, for example --set engine.workers=2; may be repeated.
    #[arg(long = "set", value_name = "SECTION.KEY=VALUE")]
    pub set: Vec<String>,
    /// A business; may be repeated (node.apps). Where paths are the same, the gateway's root has those of the first
    /// [default: fashion-store,gdmarket,taxi,ebook-rental].
    #[arg(long = "app", value_name = "NAME", value_parser = PossibleValuesParser::new(apps::NAMES))]
    pub apps: Vec<String>,
}

/// Where a process answers and keeps its data.
#[derive(Debug, ClapArgs)]
pub struct Serving {
    /// Address of the gateway, queries, metrics and console (http.listen) [default: 127.0.0.1:8088].
    #[arg(long, value_name = "ADDR:PORT")]
    pub listen: Option<SocketAddr>,
    /// Directory of the stores, and of the log of `up` (node.data_dir) [default: .orderflow].
    #[arg(long, value_name = "DIRECTORY")]
    pub data_dir: Option<PathBuf>,
}

impl Common {
    /// The flags as `key=value` settings, weaker than --set.
    #[must_use]
    pub fn settings(&self) -> Vec<String> {
        let mut settings = Vec::new();
        if !self.apps.is_empty() {
            let quoted: Vec<String> = self.apps.iter().map(|a| format!("{a:?}")).collect();
            settings.push(format!("node.apps=[{}]", quoted.join(", ")));
        }
        settings.extend(self.set.iter().cloned());
        settings
    }
}

impl Serving {
    /// The flags as `key=value` settings.
    #[must_use]
    pub fn settings(&self) -> Vec<String> {
        let listen = self.listen.map(|listen| format!("http.listen={listen}"));
        let data_dir = self.data_dir.as_ref().map(|directory| format!("node.data_dir={}", directory.display()));
        listen.into_iter().chain(data_dir).collect()
    }
}

/// `orderflow up`
#[derive(Debug, ClapArgs)]
pub struct Up {
    #[command(flatten)]
    #[expect(missing_docs, reason = "flattened")]
    pub common: Common,
    #[command(flatten)]
    #[expect(missing_docs, reason = "flattened")]
    pub serving: Serving,
}

/// `orderflow run`
#[derive(Debug, ClapArgs)]
pub struct Run {
    #[command(flatten)]
    #[expect(missing_docs, reason = "flattened")]
    pub common: Common,
    #[command(flatten)]
    #[expect(missing_docs, reason = "flattened")]
    pub serving: Serving,
    /// Kafka's bootstrap servers (kafka.brokers).
    #[arg(long, value_name = "HOST:PORT[,…]")]
    pub brokers: Option<String>,
    /// Name of this instance, stable over restarts and unlike any other's (node.instance_id) [default: the host's name].
    #[arg(long, value_name = "NAME")]
    pub instance_id: Option<String>,
    /// Tasks this process runs: all, none (gateway only), or sub-topology numbers such as 0,2 (node.tasks) [default: all].
    #[arg(long, value_name = "WHICH")]
    pub tasks: Option<String>,
}

/// `orderflow topics`
#[derive(Debug, ClapArgs)]
pub struct Topics {
    #[command(flatten)]
    #[expect(missing_docs, reason = "flattened")]
    pub common: Common,
    /// Kafka's bootstrap servers (kafka.brokers).
    #[arg(long, value_name = "HOST:PORT[,…]")]
    pub brokers: Option<String>,
    /// Show what would be created and change nothing.
    #[arg(long)]
    pub dry_run: bool,
}

/// `orderflow reset`
#[derive(Debug, ClapArgs)]
pub struct Reset {
    #[command(flatten)]
    #[expect(missing_docs, reason = "flattened")]
    pub common: Common,
    /// Kafka's bootstrap servers (kafka.brokers); without them the embedded log is meant.
    #[arg(long, value_name = "HOST:PORT[,…]")]
    pub brokers: Option<String>,
    /// Directory of the stores, and of the log of `up` (node.data_dir) [default: .orderflow].
    #[arg(long, value_name = "DIRECTORY")]
    pub data_dir: Option<PathBuf>,
    /// Show what would be deleted and change nothing.
    #[arg(long)]
    pub dry_run: bool,
}

/// `orderflow payment-sim`
#[derive(Debug, ClapArgs)]
pub struct PaymentSim {
    /// Address to listen on.
    #[arg(long, default_value = "127.0.0.1:8089", value_name = "ADDR:PORT")]
    pub listen: SocketAddr,
    /// File its ledger is kept in, JSON by line; without one the ledger lives in memory.
    #[arg(long, value_name = "FILE")]
    pub ledger: Option<PathBuf>,
    /// Least time a call takes, milliseconds.
    #[arg(long, default_value_t = 0, value_name = "MS")]
    pub latency_ms: u64,
    /// Longest random time added to it, milliseconds.
    #[arg(long, default_value_t = 0, value_name = "MS")]
    pub jitter_ms: u64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use clap::CommandFactory as _;

    #[test]
    fn help_names_the_defaults_that_are_and_examples_that_parse() {
        let config = Config::default();
        let mut command = Args::command().term_width(1_000);
        command.build();
        let mut examples = 0;
        let help = |command: &mut clap::Command| command.render_long_help().to_string();
        let run = help(command.find_subcommand_mut("run").expect("run"));
        for default in [
            config.http.listen.to_string(),
            config.node.data_dir.display().to_string(),
            config.node.apps.join(","),
            config.node.tasks.clone(),
        ] {
            assert!(run.contains(&format!("[default: {default}]")), "{default} is not in:\n{run}");
        }
        let texts =
            std::iter::once(help(&mut command)).chain(command.get_subcommands_mut().map(help)).collect::<Vec<_>>();
        for line in texts.iter().flat_map(|text| text.lines()).filter(|line| line.starts_with("  ")) {
            let Some(start) = line.trim_start().strip_prefix("orderflow ") else { continue };
            // What follows three spaces, or a redirection, is not part of the command.
            let words = start.split("   ").next().and_then(|c| c.split(" > ").next()).unwrap_or_default();
            if words.contains("COMMAND") {
                continue;
            }
            let parsed = Args::try_parse_from(std::iter::once("orderflow").chain(words.split(' ')));
            assert!(parsed.is_ok(), "{words}: {}", parsed.err().map(|e| e.to_string()).unwrap_or_default());
            examples += 1;
        }
        assert!(examples > 10, "examples are found: {examples}");
    }
}
