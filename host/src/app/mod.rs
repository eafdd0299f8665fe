//! The only place that wires rooms together: configuration to log, feeds, files, plugins and tasks.

mod ingest;
mod show;
mod source;
mod spool;
mod swap;

pub use ingest::{Served, address, data_list, data_set, open_indexer, plan_settings, row_format, spec_writer};
pub use show::show;
pub use spool::{open_keys, survey};
pub use swap::Swaps;

use crate::config::{Config, ConnectorConfig, ConnectorKind, LogChoice, PluginUse};
use crate::error::Result;
use crate::io::embedded::EmbeddedLog;
use crate::io::kafka::KafkaLog;
use crate::ports::log::Log;
use crate::serve::record_metrics;
use crate::task::Task;
use crate::wasm::{Engines, LoadedPlugin, Trust};
use crate::worker::{TaskSpec, Worker};
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::runtime::Handle;

/// Opens the log that a configuration names.
///
/// # Errors
/// What [`EmbeddedLog::open`] and [`KafkaLog::connect`] give.
pub fn open_log(choice: &LogChoice) -> Result<Arc<dyn Log>> {
    Ok(match choice {
        LogChoice::Embedded { dir, max_bytes } => Arc::new(EmbeddedLog::open(dir, *max_bytes)?),
        LogChoice::Kafka(settings) => Arc::new(KafkaLog::connect(settings.clone())?),
    })
}

/// Opens the log for reading, beside a host that may be writing to it.
///
/// # Errors
/// What [`EmbeddedLog::open_read_only`] and [`KafkaLog::connect`] give.
pub fn open_log_to_read(choice: &LogChoice) -> Result<Arc<dyn Log>> {
    Ok(match choice {
        LogChoice::Embedded { dir, .. } => Arc::new(EmbeddedLog::open_read_only(dir)?),
        LogChoice::Kafka(settings) => Arc::new(KafkaLog::connect(settings.clone())?),
    })
}

/// When connectors end by themselves.
#[derive(Debug, Clone, Copy, Default)]
pub struct Ends {
    /// Sources end after this many records.
    pub max_records: Option<u64>,
    /// Ingestions end when nothing waits to be loaded.
    pub once: bool,
}

/// What was started.
pub struct Started {
    /// The tasks.
    pub worker: Worker,
    /// The ingestions; their endpoints answer as long as they are kept.
    pub served: Vec<Served>,
    /// Swaps plugins of connectors that run; files are watched as long as it is kept.
    pub swaps: Swaps,
}

/// Loads every plugin, then starts every connector. Nothing runs unless everything can.
///
/// # Errors
/// Class Config and Deny: a plugin or a database that cannot be loaded, or lacks a grant.
pub fn start(config: &Config, log: &Arc<dyn Log>, engines: &Engines, runtime: &Handle, ends: Ends) -> Result<Started> {
    if config.listener.is_some() {
        record_metrics();
    }
    let parts = Parts { log, engines, runtime, max_records: ends.max_records, any_port: config.any_port };
    let (mut specs, mut served, mut swappable) = (Vec::new(), Vec::new(), BTreeMap::new());
    // A data set's folder is made by who writes it.
    let (readers, writers): (Vec<_>, Vec<_>) =
        config.connectors.iter().partition(|connector| matches!(connector.kind, ConnectorKind::Ingest(_)));
    for connector in writers.into_iter().chain(readers) {
        let prepared = match &connector.kind {
            ConnectorKind::Source(source) => source::prepare(&parts, connector, source).map(|(task, swaps)| {
                swappable.insert(connector.name.clone(), swaps);
                vec![task]
            }),
            ConnectorKind::SpoolSink(sink) => spool::prepare_sink(&parts, connector, sink),
            ConnectorKind::SpoolSource(source) => spool::prepare_source(&parts, connector, source),
            ConnectorKind::Ingest(config) => {
                ingest::prepare(&parts, connector, config, ends.once).map(|(task, endpoint)| {
                    served.push(endpoint);
                    vec![task]
                })
            }
        };
        specs.extend(prepared.map_err(|error| error.context(format!("connector `{}`", connector.name)))?);
    }
    Ok(Started { worker: Worker::start(specs)?, served, swaps: Swaps::start(swappable)? })
}

/// What connectors are made from.
struct Parts<'a> {
    log: &'a Arc<dyn Log>,
    engines: &'a Engines,
    runtime: &'a Handle,
    max_records: Option<u64>,
    any_port: bool,
}

impl Parts<'_> {
    fn load(&self, connector: &ConnectorConfig, plugin: &PluginUse) -> Result<LoadedPlugin> {
        load(self.engines, connector, plugin)
    }
}

/// Compiles and links a plugin within its connector's limits.
fn load(engines: &Engines, connector: &ConnectorConfig, plugin: &PluginUse) -> Result<LoadedPlugin> {
    let trust = if connector.trusted { Trust::Trusted } else { Trust::Limited };
    LoadedPlugin::load(engines, &plugin.package, trust, connector.limits, &plugin.grants)
}

/// A task of a connector, with what the worker needs to know of it.
fn task_spec(connector: &ConnectorConfig, number: u32, topic: &str, plugin: String, task: Box<dyn Task>) -> TaskSpec {
    TaskSpec {
        connector: connector.name.clone(),
        number,
        topic: topic.to_owned(),
        task,
        feed: None,
        plugin,
        restart_max: connector.restart_max,
        retries: connector.retries,
        stop_timeout: connector.stop_timeout,
    }
}
