//! The binary `loadgen`: reads the command line, runs one command, ends with its exit status.

use std::io::{IsTerminal, Write, stderr, stdout};
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context;
use clap::Parser;
use loadgen::business::{self, Business, Names};
use loadgen::cli::{self, Cli, Command};
use loadgen::error::Error;
use loadgen::export::ExportSource;
use loadgen::http::Target;
use loadgen::kafka::{Cluster, KafkaSource};
use loadgen::log::{FileSource, LogSource};
use loadgen::replay::{self, http::HttpOptions, kafka::KafkaOptions};
use loadgen::report::Report;
use loadgen::schedule::Pace;
use loadgen::{audit, generate, plot, record};

/// Of what a command costs, a seventh was glibc's malloc.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// A difference found; see `loadgen --help`.
const DIFFERENCE: u8 = 1;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let done = match &cli.command {
        Command::Generate(args) => run_generate(args),
        Command::Record(args) => run_record(args),
        Command::Replay(args) => run_replay(args),
        Command::Audit(args) => run_audit(args),
        Command::Report(args) => run_report(args),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(DIFFERENCE),
        Err(error) => {
            eprintln!("loadgen: {error:#}");
            ExitCode::from(error.downcast_ref::<Error>().map_or(2, Error::exit_status))
        }
    }
}

/// Writes to standard output; a reader that has gone away (`| head`) is no error.
fn print(text: &str) {
    let mut out = stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

fn run_generate(args: &cli::Generate) -> anyhow::Result<bool> {
    let business = business::by_name(&args.app.app)?;
    let count = generate::generate(business, &args.params(), &args.file)?;
    let bytes = std::fs::metadata(&args.file).map_or(0, |file| file.len());
    print(&format!("{}: {count} records, {bytes} bytes\n", args.file.display()));
    Ok(true)
}

fn cluster(kafka: &cli::Kafka) -> Option<Cluster> {
    let brokers = kafka.kafka.clone()?;
    Some(Cluster { brokers, settings: kafka.kafka_config.clone() })
}

/// All topics of a business and its dead letters, or only what clients write.
fn topics(business: &dyn Business, commands_only: bool) -> Vec<String> {
    if commands_only {
        return business.command_topics().into_iter().map(str::to_owned).collect();
    }
    let own = business.topics().iter().map(|topic| topic.base.to_owned());
    own.chain([business.dead_letter_topic()]).collect()
}

fn open_source(
    business: &dyn Business,
    kafka: &cli::Kafka,
    node: Option<&Target>,
    topics: &[String],
    timeout: std::time::Duration,
) -> Result<Box<dyn LogSource>, Error> {
    let required = business.command_topics();
    match (cluster(kafka), node) {
        (Some(cluster), _) => Ok(Box::new(KafkaSource::open(&cluster, &kafka.topic_prefix, topics, &required)?)),
        (None, Some(node)) => Ok(Box::new(ExportSource::open(node, topics, &required, timeout)?)),
        (None, None) => Err(Error::Usage("say where the log is: --kafka or --http".to_owned())),
    }
}

fn run_record(args: &cli::Record) -> anyhow::Result<bool> {
    let business = business::by_name(&args.app.app)?;
    let node = args.http.as_deref().map(Target::parse).transpose()?;
    let topics = topics(business, args.commands_only);
    let timeout = std::time::Duration::from_secs(30);
    let mut source = open_source(business, &args.kafka, node.as_ref(), &topics, timeout)?;
    let count = record::record(business, &mut *source, args.follow, &args.file)?;
    print(&format!("{}: {count} records of {}\n", args.file.display(), source.describe()));
    Ok(true)
}

fn run_replay(args: &cli::Replay) -> anyhow::Result<bool> {
    let business = business::by_name(&args.app.app)?;
    let (pace, pace_words) = match (args.rate, args.speed, args.flat_out) {
        (Some(rate), ..) => (Pace::Rate(rate), format!("{rate}/s")),
        (_, _, true) => (Pace::Flat, "flat out".to_owned()),
        (_, speed, _) => {
            let speed = speed.unwrap_or(1.0);
            (Pace::Speed(speed), format!("{speed}x its own pace"))
        }
    };
    let id_suffix = if args.id_suffix == "auto" {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        format!("-{:x}", now.as_millis())
    } else {
        args.id_suffix.clone()
    };
    let options = replay::Options {
        file: args.file.clone(),
        pace,
        names: Names { topic_prefix: args.kafka.topic_prefix.clone(), id_suffix: id_suffix.clone() },
        keep_timestamps: args.keep_timestamps,
        limit: args.limit,
        give_up: args.give_up,
        settle: args.settle,
        outcomes: !args.no_outcomes,
        target_pids: args.target_pid.clone(),
        quiet: args.quiet,
    };
    let total = replay::count_commands(&options, business)?;
    let mut report = match (cluster(&args.kafka), &args.http) {
        (_, Some(url)) => {
            let http = HttpOptions {
                target: Target::parse(url)?,
                connections: args.connections,
                wait_s: args.wait,
                timeout: args.timeout,
            };
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(replay::http::replay(options, http, business, total))?
        }
        (Some(cluster), None) => {
            let kafka = KafkaOptions { cluster, in_flight: args.in_flight };
            replay::kafka::replay(&options, &kafka, business, total)?
        }
        (None, None) => return Err(Error::Usage("say where to: --kafka or --http".to_owned()).into()),
    };
    report.app = business.name().to_owned();
    report.file = args.file.display().to_string();
    report.pace = pace_words;
    report.id_suffix = id_suffix;
    let (clean, failed) = (report.is_clean(), report.failed.values().sum::<u64>());
    let report = Report::Replay(Box::new(report));
    print(&report.text());
    if let Some(path) = &args.report {
        report.write(path)?;
    }
    if failed > 0 {
        let reason = format!("{failed} commands were given up");
        return Err(Error::unreachable("the target", reason).into());
    }
    Ok(clean)
}

fn run_audit(args: &cli::Audit) -> anyhow::Result<bool> {
    let business = business::by_name(&args.app.app)?;
    let node = args.http.as_deref().map(Target::parse).transpose()?;
    let mut settle = args.settle;
    let mut source: Box<dyn LogSource> = match &args.file {
        Some(path) => {
            // A file does not change: waiting for it to settle would be in vain.
            settle = std::time::Duration::ZERO;
            Box::new(FileSource::new(path))
        }
        None => open_source(business, &args.kafka, node.as_ref(), &topics(business, false), args.timeout)?,
    };
    let options = audit::Options {
        provider: args.payment_url.as_deref().map(Target::parse).transpose()?,
        node,
        settle,
        quiet: args.quiet_for,
        timeout: args.timeout,
    };
    let bar = stderr().is_terminal().then(indicatif::ProgressBar::new_spinner);
    let mut progress = |records, open| {
        if let Some(bar) = &bar {
            bar.set_message(format!("{records} records read, {open} sagas open"));
            bar.tick();
        }
    };
    let report = audit::run(business, &mut *source, &options, &mut progress)?;
    if let Some(bar) = bar {
        bar.finish_and_clear();
    }
    let clean = report.is_clean();
    let report = Report::Audit(Box::new(report));
    print(&report.text());
    if let Some(path) = &args.report {
        report.write(path)?;
    }
    Ok(clean)
}

fn run_report(args: &cli::ShowReport) -> anyhow::Result<bool> {
    let report = Report::read(&args.file)?;
    print(&report.text());
    if let Some(path) = &args.svg {
        let Report::Replay(replay) = &report else {
            return Err(Error::Usage("only a replay has latencies to draw".to_owned()).into());
        };
        std::fs::write(path, plot::latencies(replay)).with_context(|| path.display().to_string())?;
    }
    Ok(true)
}
