//! Configuration raised to what it means: keys known, types right, paths joined, limits complete,
//! plugins read. Nothing is connected to.

use super::ingest::{self, IngestConfig, check_ingest};
use super::listener::check_listener;
use super::log::check_log;
use super::lookup::Lookup;
use super::plugins::{self, Plugins};
use super::raw::{RawConfig, RawConnector};
use super::source::{self, SourceConfig, check_source};
use super::spool::{self, SpoolSinkConfig, SpoolSourceConfig, check_spool_sink, check_spool_source};
use crate::connector::{Limits, Retries, Tolerance, TrialSettings};
use crate::error::{Error, Result};
use crate::ports::log::{KafkaSettings, check_topic_name};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

/// Where records go.
#[derive(Debug, Clone)]
pub enum LogChoice {
    /// The embedded log in a folder.
    Embedded {
        /// The folder.
        dir: PathBuf,
        /// Largest size of its file.
        max_bytes: Option<u64>,
    },
    /// A Kafka cluster.
    Kafka(KafkaSettings),
}

/// All configuration, checked.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where records go.
    pub log: LogChoice,
    /// Connectors in the order of their names.
    pub connectors: Vec<ConnectorConfig>,
    /// Where the pipeline is shown.
    pub listener: Option<SocketAddr>,
    /// Topic whose edits are counted there.
    pub edits_topic: Option<String>,
    /// Servers take any port where theirs is taken: for who sees in the output where they are.
    pub any_port: bool,
}

/// A connector, checked.
#[derive(Debug, Clone)]
pub struct ConnectorConfig {
    /// Name; positions and offsets are kept under it.
    pub name: String,
    /// What it does.
    pub kind: ConnectorKind,
    /// How many tasks it may have.
    pub tasks_max: u32,
    /// No CPU limit.
    pub trusted: bool,
    /// Records taken at once.
    pub batch_records: u32,
    /// Bytes taken at once, about.
    pub batch_bytes: u32,
    /// How failures that may pass are tried again.
    pub retries: Retries,
    /// What is done about rejected inputs.
    pub tolerance: Tolerance,
    /// What is asked of a new version of its plugin.
    pub trial: TrialSettings,
    /// How long a task may take to stop.
    pub stop_timeout: Duration,
    /// Restarts in a row.
    pub restart_max: u32,
    /// What an instance of its plugin may use.
    pub limits: Limits,
}

/// What a connector does.
#[derive(Debug, Clone)]
pub enum ConnectorKind {
    /// A source plugin.
    Source(Box<SourceConfig>),
    /// Topics to spool files.
    SpoolSink(SpoolSinkConfig),
    /// Spool files to a topic.
    SpoolSource(SpoolSourceConfig),
    /// A data set to an indexing service.
    Ingest(Box<IngestConfig>),
}

/// Where records of a connector go, and when.
#[derive(Debug, Clone)]
pub struct OutputConfig {
    /// Topic of records.
    pub topic: String,
    /// Topic of rejected inputs.
    pub dead_letter_topic: String,
    /// Partitions of topics that are made.
    pub partitions: i32,
    /// Records and positions in one transaction.
    pub exactly_once: bool,
    /// How long records wait for their commit.
    pub commit_interval: Duration,
    /// Bytes that make a commit at once.
    pub commit_bytes: usize,
}

impl Config {
    /// Checks configuration; reads plugin files, connects to nothing.
    ///
    /// # Errors
    /// Class Config (class Deny for plugins that import what they do not ask for), naming file,
    /// connector, key, what was found and what was expected.
    pub fn check(raw: &RawConfig) -> Result<Self> {
        Self::check_some(raw, &|_| true)
    }

    /// Checks the connectors that `wanted` names, and leaves out the others: what they need may not be here.
    ///
    /// # Errors
    /// As for [`Config::check`].
    pub fn check_some(raw: &RawConfig, wanted: &dyn Fn(&str) -> bool) -> Result<Self> {
        let in_worker = |error: Error| error.context(&raw.worker_origin);
        let log = check_log(&raw.worker).map_err(in_worker)?;
        let (listener, edits_topic) = check_listener(&raw.worker).map_err(in_worker)?;
        let plugins = Plugins::check(raw).map_err(in_worker)?;
        let mut all = raw.connectors.clone();
        all.values_mut().for_each(|connector| connector.plugins = plugins.clone());
        let check = |(name, connector): (&String, &RawConnector)| {
            check_connector(name, connector, &all).map_err(|error| error.context(&connector.origin))
        };
        let connectors = all.iter().filter(|(name, _)| wanted(name));
        let connectors = connectors.map(check).collect::<Result<Vec<_>>>()?;
        if connectors.is_empty() {
            return Err(Error::config("no connector is configured")
                .with_hint("give a config file with `[connectors.NAME]`, or `--plugin FILE`"));
        }
        Ok(Config { log, connectors, listener, edits_topic, any_port: false })
    }
}

fn check_connector(name: &str, raw: &RawConnector, all: &BTreeMap<String, RawConnector>) -> Result<ConnectorConfig> {
    match raw.keys.get("connector.class").map_or("plugin", String::as_str) {
        "plugin" => {
            let package = plugins::read(raw, "source")?;
            let kind = ConnectorKind::Source(Box::new(check_source(raw, &package)?));
            check_common(name, &source::lookup(raw, &package), kind)
        }
        "spool-sink" => {
            let kind = ConnectorKind::SpoolSink(check_spool_sink(name, raw)?);
            check_common(name, &spool::sink_lookup(raw), kind)
        }
        "spool-source" => {
            let kind = ConnectorKind::SpoolSource(check_spool_source(name, raw)?);
            check_common(name, &spool::source_lookup(raw), kind)
        }
        "ingest" => {
            let kind = ConnectorKind::Ingest(Box::new(check_ingest(name, raw, all)?));
            check_common(name, &ingest::lookup(raw), kind)
        }
        other => Err(Error::config(format!(
            "option `connector.class` is `{other}`, expected `plugin`, `spool-sink`, `spool-source` or `ingest`"
        ))),
    }
}

/// What all kinds have.
fn check_common(name: &str, keys: &Lookup<'_>, kind: ConnectorKind) -> Result<ConnectorConfig> {
    Ok(ConnectorConfig {
        name: name.to_owned(),
        kind,
        tasks_max: keys.number("tasks.max", 1, 10_000)?,
        trusted: keys.flag("trusted")?,
        batch_records: keys.number("batch.max.records", 1, 100_000)?,
        batch_bytes: keys.number("batch.max.bytes", 1024, 64 << 20)?,
        retries: check_retries(keys)?,
        tolerance: check_tolerance(keys)?,
        trial: check_trial(keys)?,
        stop_timeout: keys.millis("task.shutdown.graceful.timeout.ms", 1)?,
        restart_max: keys.number("restart.max", 0, 1_000_000)?,
        limits: check_limits(keys)?,
    })
}

fn check_limits(keys: &Lookup<'_>) -> Result<Limits> {
    let usual = Limits::default();
    // Of sources alone; other kinds do not have the keys.
    let of_sources = |name: &str, least: u32, most: u32, usual: u32| match keys.knows(name) {
        true => keys.number(name, least, most),
        false => Ok(usual),
    };
    let state = of_sources("state.max.bytes", 1024, 600 << 10, u32::try_from(usual.state_bytes).unwrap_or(u32::MAX))?;
    Ok(Limits {
        memory_bytes: keys.number("memory.max.bytes", 1 << 20, 4 << 30)?,
        table_elements: keys.number("table.max.elements", 1, 100_000_000)?,
        cpu: keys.millis("cpu.max.ms", 10)?,
        wall: keys.millis("call.timeout.ms", 2000)?,
        output_bytes: keys.number("output.max.bytes", 1024, 1 << 30)?,
        output_records: keys.number("output.max.records", 1, 1_000_000_000)?,
        host_calls_per_second: keys.number("host.calls.max.per.second", 1, u32::MAX)?,
        http_requests_per_second: of_sources(
            "http.requests.max.per.second",
            1,
            1_000_000,
            usual.http_requests_per_second,
        )?,
        state_bytes: state as usize,
        log_lines_per_second: keys.number("log.lines.max.per.second", 0, 1_000_000)?,
    })
}

fn check_retries(keys: &Lookup<'_>) -> Result<Retries> {
    let timeout: i64 = keys.number("errors.retry.timeout", -1, 366 * 24 * 3600 * 1000)?;
    let timeout = u64::try_from(timeout).ok().map(Duration::from_millis);
    Ok(Retries { delay_max: keys.millis("errors.retry.delay.max.ms", 1)?, timeout })
}

fn check_trial(keys: &Lookup<'_>) -> Result<TrialSettings> {
    let number = |name: &str, range: RangeInclusive<f64>| {
        let number: f64 = keys.parse(name)?.unwrap_or(*range.end());
        match range.contains(&number) {
            true => Ok(number),
            false => {
                let (least, most) = range.into_inner();
                Err(Error::config(format!("option `{name}` is `{number}`, expected {least} to {most}")))
            }
        }
    };
    Ok(TrialSettings {
        batches: keys.number("plugin.trial.batches", 0, 1_000_000_000)?,
        reject_increase: number("plugin.trial.reject.increase", 0.0..=1.0)?,
        cpu_factor: number("plugin.trial.cpu.factor", 1.0..=1e6)?,
    })
}

fn check_tolerance(keys: &Lookup<'_>) -> Result<Tolerance> {
    let ratio: Option<f64> = keys.parse("errors.deadletter.max.ratio")?;
    if let Some(wrong) = ratio.filter(|ratio| !(0.0..=1.0).contains(ratio)) {
        return Err(Error::config(format!("option `errors.deadletter.max.ratio` is `{wrong}`, expected 0 to 1")));
    }
    let window = keys.number("errors.deadletter.window", 1, 1_000_000_000)?;
    match (keys.choice("errors.tolerance", &["none", "all"])?, ratio) {
        ("none", Some(_)) => {
            Err(Error::config("option `errors.deadletter.max.ratio` is set, and `errors.tolerance` is `none`"))
        }
        ("none", None) => Ok(Tolerance::None),
        (_, ratio) => Ok(Tolerance::All { max_ratio: ratio.map(|ratio| (ratio, window)) }),
    }
}

pub(super) fn check_output(keys: &Lookup<'_>) -> Result<OutputConfig> {
    let topic = keys.need("topic")?.to_owned();
    let dead_letter_topic = keys.text("errors.deadletterqueue.topic.name").map(str::to_owned);
    let dead_letter_topic = dead_letter_topic.unwrap_or_else(|| format!("{topic}-dlq"));
    check_topic_name(&topic)?;
    check_topic_name(&dead_letter_topic)?;
    if dead_letter_topic == topic {
        return Err(Error::config(format!(
            "topic `{topic}` is also `errors.deadletterqueue.topic.name`, expected two"
        )));
    }
    Ok(OutputConfig {
        topic,
        dead_letter_topic,
        partitions: keys.number("topic.creation.default.partitions", 1, 10_000)?,
        exactly_once: keys.choice("exactly.once", &["required", "off"])? == "required",
        commit_interval: keys.millis("transaction.boundary.interval.ms", 0)?,
        commit_bytes: keys.number("transaction.boundary.max.bytes", 1, 256 << 20)?,
    })
}
