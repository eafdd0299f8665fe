//! The campaign as a program: records through the whole pipeline, while hosts, brokers, filers, feeds, plugins
//! and Druid fail as a seed decides. `tests/README.md` says how to run it.

#![allow(clippy::print_stdout, clippy::print_stderr)]

use clap::{Parser, ValueEnum};
use std::process::ExitCode;
use std::time::Duration;
use systems::kafka::Kafka;
use systems::or_skip;
use tests::campaign::{Broker, Options, Place, run};

/// Exit code where there is no Kafka to be had: what test harnesses take for skipped.
const SKIPPED: u8 = 77;

/// Sends records through the whole pipeline while everything fails, and counts what is lost or doubled.
///
/// One line for each run goes to standard error, one line of totals to standard output. The exit code is 0 when
/// every run ended with each record everywhere once, 77 when there is no Kafka to be had.
#[derive(Debug, Parser)]
#[command(name = "campaign", version)]
struct Arguments {
    /// Seed of the first run; each further run has the next number.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Runs, each with a pipeline of its own.
    #[arg(long, default_value_t = 10)]
    runs: u64,
    /// Begin no run after this time, for instance `30m`.
    #[arg(long, value_parser = humantime::parse_duration)]
    duration: Option<Duration>,
    /// Where the records are kept.
    #[arg(long, value_enum, default_value_t = LogKind::Embedded)]
    log: LogKind,
    /// Lives of the host that are ended in each run.
    #[arg(long, default_value_t = 20)]
    kills: u64,
    /// Changes in each run's feed; some two in three are records.
    #[arg(long, default_value_t = 3000)]
    changes: u64,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum LogKind {
    /// The host's own log.
    Embedded,
    /// A real Apache Kafka, fetched by Maven and started for each run.
    Kafka,
}

fn main() -> ExitCode {
    let Arguments { seed, runs, duration, log, kills, changes } = Arguments::parse();
    let options = Options { seed, runs, duration, kills, changes };
    // The first run's broker, which says whether there is one to be had.
    let mut first = match log {
        LogKind::Embedded => None,
        LogKind::Kafka => match or_skip(Kafka::start()) {
            Some(kafka) => Some(kafka),
            None => return ExitCode::from(SKIPPED),
        },
    };
    let mut start = || {
        let kafka = first.take().map_or_else(Kafka::start, Ok)?;
        Ok(Box::new(kafka) as Box<dyn Broker>)
    };
    let mut place = match log {
        LogKind::Embedded => Place::Embedded,
        LogKind::Kafka => Place::Kafka(&mut start),
    };
    let totals = run(&options, &mut place, &mut |line| eprintln!("{line}"));
    println!("campaign: seed={seed} {totals}");
    if totals.is_clean() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
