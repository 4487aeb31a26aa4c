//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use crate::generate::Params;

/// Makes, records, replays and audits traffic of Orderflow's businesses.
#[derive(Debug, Parser)]
#[command(
    name = "loadgen",
    version,
    about = "Makes, records, replays and audits traffic of Orderflow's businesses",
    after_help = "A tour:
  loadgen generate day.avro --orders 5000 --seed 7        the same seed gives the same bytes
  loadgen replay day.avro --http http://127.0.0.1:8088    send it at its own pace
  loadgen audit --http http://127.0.0.1:8088              recompute every outcome, stock and money
  loadgen report report.json --svg latency.svg            show a report that --report wrote

A TIME is written 500ms, 30s or 2m; a bare number is seconds.
Exit status: 0 all well; 1 the audit found a difference, or a replay was answered otherwise than
its file expects; 2 the command line or a file makes no sense; 3 the target was out of reach or
too slow."
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make traffic: seeded, skewed, with duplicates, cancellations, restocks and poison
    Generate(Generate),
    /// Record a running system's topics into a traffic file
    Record(Record),
    /// Send a traffic file's commands to a running system and time it
    Replay(Replay),
    /// Recompute all outcomes, stock and money from the committed log, and compare
    Audit(Audit),
    /// Show a JSON report as text, or its latencies as an SVG
    Report(ShowReport),
}

/// Which business.
#[derive(Debug, Args)]
pub struct App {
    /// The business
    #[arg(long, default_value = "fashion-store", value_name = "NAME")]
    pub app: String,
}

/// A Kafka cluster.
#[derive(Debug, Args)]
pub struct Kafka {
    /// Kafka brokers, host:port,…
    #[arg(long, value_name = "BROKERS")]
    pub kafka: Option<String>,
    /// A setting of librdkafka, e.g. security.protocol=ssl; may be given often
    #[arg(long, value_name = "NAME=VALUE", value_parser = setting)]
    pub kafka_config: Vec<(String, String)>,
    /// The deployment's topic prefix
    #[arg(long, value_name = "PREFIX", default_value = "")]
    pub topic_prefix: String,
}

/// `generate`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  loadgen generate day.avro                               2,000 orders, 20 s at their own pace
  loadgen generate sale.avro --orders 100000 --skew 1.3 --stock 5 --seed 11
                                                          few wanted things, many refused
  loadgen generate clean.avro --poison 0 --duplicates 0 --conflicts 0

A share is from 0 to 1: 0.02 is two in a hundred. Everything but the shares is a count.")]
pub struct Generate {
    /// The file to write: an Avro object container file (deflate)
    pub file: PathBuf,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub app: App,
    /// Everything random comes from it
    #[arg(long, default_value_t = Params::default().seed)]
    pub seed: u64,
    /// Orders (calls, rentals, rents), without duplicates and poison
    #[arg(long, default_value_t = Params::default().orders)]
    pub orders: u64,
    /// Products (places, items, books) at the beginning
    #[arg(long, default_value_t = Params::default().products)]
    pub products: u32,
    /// Customers (passengers and drivers, renters, members)
    #[arg(long, default_value_t = Params::default().customers)]
    pub customers: u32,
    /// Exponent of the Zipf distribution of products and customers; 0 is uniform
    #[arg(long, default_value_t = Params::default().skew)]
    pub skew: f64,
    /// Pieces of each product at the beginning (fashion-store)
    #[arg(long, default_value_t = Params::default().stock)]
    pub stock: i32,
    /// Orders a second at the traffic's own pace
    #[arg(long, default_value_t = Params::default().rate)]
    pub own_rate: f64,
    /// Share of commands sent twice, byte for byte
    #[arg(long, default_value_t = Params::default().duplicates)]
    pub duplicates: f64,
    /// Share of orders whose id is used again for another order
    #[arg(long, default_value_t = Params::default().conflicts)]
    pub conflicts: f64,
    /// Share of orders cancelled within 50 ms, anywhere in the saga
    #[arg(long, default_value_t = Params::default().cancels_early)]
    pub cancels_early: f64,
    /// Share of orders cancelled 2 to 10 s later, when usually all is done
    #[arg(long, default_value_t = Params::default().cancels_late)]
    pub cancels_late: f64,
    /// Share of orders for a product that nobody registered
    #[arg(long, default_value_t = Params::default().unknown_products)]
    pub unknown_products: f64,
    /// Restocks, as a share of the orders (fashion-store)
    #[arg(long, default_value_t = Params::default().restocks)]
    pub restocks: f64,
    /// Records that no honest client sends, as a share of the orders
    #[arg(long, default_value_t = Params::default().poison)]
    pub poison: f64,
    /// Drivers at most who race for one call, renters or members for one thing
    #[arg(long, default_value_t = Params::default().rivals)]
    pub rivals: u32,
}

impl Generate {
    /// The parameters given.
    pub fn params(&self) -> Params {
        Params {
            seed: self.seed,
            orders: self.orders,
            products: self.products,
            customers: self.customers,
            skew: self.skew,
            stock: self.stock,
            rate: self.own_rate,
            duplicates: self.duplicates,
            conflicts: self.conflicts,
            cancels_early: self.cancels_early,
            cancels_late: self.cancels_late,
            unknown_products: self.unknown_products,
            restocks: self.restocks,
            poison: self.poison,
            rivals: self.rivals,
        }
    }
}

/// `record`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  loadgen record day.avro --kafka localhost:9092          all there is now
  loadgen record day.avro --http http://127.0.0.1:8088 --follow 10m
  loadgen audit --file day.avro                           what was recorded can be audited later")]
#[command(group = clap::ArgGroup::new("source").required(true).args(["kafka", "http"]))]
pub struct Record {
    /// The file to write
    pub file: PathBuf,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub app: App,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub kafka: Kafka,
    /// A node whose log is exported over HTTP, http://host:port
    #[arg(long, value_name = "URL")]
    pub http: Option<String>,
    /// Follow the log so long before the file is written
    #[arg(long, value_name = "TIME", default_value = "0s", value_parser = duration)]
    pub follow: Duration,
    /// Only what clients write, not the events: enough to replay, not to audit
    #[arg(long)]
    pub commands_only: bool,
}

/// `replay`.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("target").required(true).args(["kafka", "http"]))]
#[command(group = clap::ArgGroup::new("pace").args(["rate", "speed", "flat_out"]))]
#[command(after_help = "Examples:
  loadgen replay day.avro --http http://127.0.0.1:8088 --speed 10x --report replay.json
  loadgen replay day.avro --kafka localhost:9092 --rate 500 --id-suffix auto
  loadgen replay day.avro --http http://127.0.0.1:8088 --flat-out --no-outcomes

Latencies count from the time a command was meant to be sent, not from when it was: a target that
stalls is charged for everyone who had to wait (no coordinated omission). Flat out there is no such
time; the latencies are then those of a queue that is always full.

What fails for now (429, 502, 503, 504, a lost connection, no answer in time) is sent again under
the same ids, with growing pauses, until --give-up.")]
pub struct Replay {
    /// The traffic file
    pub file: PathBuf,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub app: App,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub kafka: Kafka,
    /// A node's gateway, http://host:port[/base]
    #[arg(long, value_name = "URL")]
    pub http: Option<String>,
    /// Commands a second, evenly spaced: 500, or 500/s
    #[arg(long, value_name = "N/s", value_parser = rate)]
    pub rate: Option<f64>,
    /// Times the file's own pace: 10, or 10x [default: 1x]
    #[arg(long, value_name = "Nx", value_parser = speed)]
    pub speed: Option<f64>,
    /// As fast as answers come
    #[arg(long)]
    pub flat_out: bool,
    /// Put behind every id, so that the same file is new traffic; `auto` takes the time of day
    #[arg(long, value_name = "SUFFIX", default_value = "")]
    pub id_suffix: String,
    /// Event times as in the file instead of now (Kafka)
    #[arg(long)]
    pub keep_timestamps: bool,
    /// Only the first N commands
    #[arg(long, value_name = "N")]
    pub limit: Option<u64>,
    /// Connections, each with one request in flight (HTTP)
    #[arg(long, default_value_t = 64)]
    pub connections: usize,
    /// Records not acknowledged yet (Kafka)
    #[arg(long, default_value_t = 50_000)]
    pub in_flight: u64,
    /// Let each command wait for its saga, so many seconds at most, instead of being answered at once (HTTP)
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "10")]
    pub wait: Option<u32>,
    /// Longest wait for one answer
    #[arg(long, value_name = "TIME", default_value = "15s", value_parser = duration)]
    pub timeout: Duration,
    /// Longest time for one command with all its repeats
    #[arg(long, value_name = "TIME", default_value = "120s", value_parser = duration)]
    pub give_up: Duration,
    /// Do not follow outcomes
    #[arg(long)]
    pub no_outcomes: bool,
    /// Longest wait for outcomes after the last command
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = duration)]
    pub settle: Duration,
    /// A process on this machine whose CPU time is put beside ours; of several, say each (the application and its broker)
    #[arg(long, value_name = "PID")]
    pub target_pid: Vec<u32>,
    /// No progress
    #[arg(long, short)]
    pub quiet: bool,
    /// Write a JSON report
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
}

/// `audit`.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("source").required(true).multiple(true).args(["kafka", "http", "file"]))]
#[command(after_help = "Examples:
  loadgen audit --http http://127.0.0.1:8088              orderflow up
  loadgen audit --kafka localhost:9092 --http URL --payment-url URL
                                                          orderflow run, and its payment provider

The log is read from --file, else from --kafka, else from --http's export (GET /export/topics/…).
With --http the resources are compared as well, with --payment-url the provider's ledger; what is
not given is listed as not checked.")]
pub struct Audit {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub app: App,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub kafka: Kafka,
    /// A node, http://host:port: its resources, and its log unless it is on Kafka
    #[arg(long, value_name = "URL")]
    pub http: Option<String>,
    /// A recorded file as the log
    #[arg(long, value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// The payment provider, for its ledger (GET /ledger)
    #[arg(long, value_name = "URL")]
    pub payment_url: Option<String>,
    /// Longest wait until every saga has come to rest
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = duration)]
    pub settle: Duration,
    /// No new record for so long counts as rest
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = duration)]
    pub quiet_for: Duration,
    /// Longest wait for one answer
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = duration)]
    pub timeout: Duration,
    /// Write a JSON report
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
}

/// `report`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  loadgen report replay.json
  loadgen report replay.json --svg latency.svg            by percentile, without coordinated omission")]
pub struct ShowReport {
    /// What --report wrote
    pub file: PathBuf,
    /// Also draw the latencies of a replay
    #[arg(long, value_name = "FILE")]
    pub svg: Option<PathBuf>,
}

fn positive(text: &str, what: &str) -> Result<f64, String> {
    match text.trim().parse::<f64>() {
        Ok(number) if number > 0.0 && number.is_finite() => Ok(number),
        _ => Err(format!("{what} is a number above 0")),
    }
}

fn rate(text: &str) -> Result<f64, String> {
    positive(text.strip_suffix("/s").unwrap_or(text), "a rate")
}

fn speed(text: &str) -> Result<f64, String> {
    positive(text.strip_suffix('x').unwrap_or(text), "a speed")
}

/// `500ms`, `30s`, `2m`; a bare number is seconds.
fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("'{text}' is no time: write 500ms, 30s or 2m");
    let (number, unit_s) = if let Some(number) = text.strip_suffix("ms") {
        (number, 0.001)
    } else if let Some(number) = text.strip_suffix('s') {
        (number, 1.0)
    } else if let Some(number) = text.strip_suffix('m') {
        (number, 60.0)
    } else {
        (text, 1.0)
    };
    let number: f64 = number.trim().parse().map_err(|_| wrong())?;
    Duration::try_from_secs_f64(number * unit_s).map_err(|_| wrong())
}

fn setting(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("expected NAME=VALUE".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent_and_its_examples_parse() {
        let mut command = Cli::command();
        command.clone().debug_assert();
        command.build();
        let mut examples = 0;
        let help = |command: &mut clap::Command| command.render_long_help().to_string();
        let texts: Vec<String> =
            std::iter::once(help(&mut command)).chain(command.get_subcommands_mut().map(help)).collect();
        for line in texts.iter().flat_map(|text| text.lines()) {
            let Some(start) = line.strip_prefix("  loadgen ") else { continue };
            // What follows three spaces is not part of the command.
            let words = start.split("   ").next().unwrap_or_default();
            let parsed = Cli::try_parse_from(std::iter::once("loadgen").chain(words.split(' ')));
            assert!(parsed.is_ok(), "{words}: {}", parsed.err().map(|e| e.to_string()).unwrap_or_default());
            examples += 1;
        }
        assert!(examples > 10, "examples are found: {examples}");
    }

    #[test]
    fn times_and_rates_are_read_as_people_write_them() {
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("2m"), Ok(Duration::from_secs(120)));
        assert_eq!(duration("7"), Ok(Duration::from_secs(7)));
        assert!(duration("soon").is_err() && duration("-1s").is_err());
        assert_eq!((rate("500/s"), speed("10x")), (Ok(500.0), Ok(10.0)));
        assert!(rate("0").is_err() && speed("inf").is_err());
    }
}
