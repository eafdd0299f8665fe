//! The only place that wires rooms together: configuration to log, feeds, plugins and tasks.

use crate::config::{Config, ConnectorConfig, LogChoice, PluginUse};
use crate::error::Result;
use crate::io::embedded::EmbeddedLog;
use crate::io::feed::OpenFeed;
use crate::io::geoip::MaxMind;
use crate::io::kafka::KafkaLog;
use crate::ports::feed::Feed;
use crate::ports::geoip::GeoIp;
use crate::ports::log::Log;
use crate::task::{Chain, SourceTask, TaskSettings};
use crate::wasm::{Engines, Lent, Limits, LoadedPlugin, Trust};
use crate::worker::{TaskSpec, Worker};
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

/// Loads every plugin, then starts every connector. Nothing runs unless everything can.
///
/// # Errors
/// Class Config and Deny: a plugin or a database that cannot be loaded, or lacks a grant.
pub fn start(
    config: &Config,
    log: &Arc<dyn Log>,
    engines: &Engines,
    runtime: &Handle,
    max_records: Option<u64>,
) -> Result<Worker> {
    let spec = |connector| {
        let prepared = prepare(connector, log, engines, runtime, max_records);
        prepared.map_err(|error| error.context(format!("connector `{}`", connector.name)))
    };
    Worker::start(config.connectors.iter().map(spec).collect::<Result<_>>()?)
}

fn prepare(
    connector: &ConnectorConfig,
    log: &Arc<dyn Log>,
    engines: &Engines,
    runtime: &Handle,
    max_records: Option<u64>,
) -> Result<TaskSpec> {
    let limits =
        Limits { memory_bytes: connector.memory_bytes, cpu: connector.cpu, wall: connector.wall, ..Limits::default() };
    let trust = if connector.trusted { Trust::Trusted } else { Trust::Limited };
    let load = |plugin: &PluginUse| LoadedPlugin::load(engines, &plugin.package, trust, limits, &plugin.grants);
    let source = load(&connector.source)?;
    let transforms =
        connector.transforms.iter().map(|plugin| Ok((load(plugin)?, plugin.settings.clone(), plugin.package.label())));
    let transforms = transforms.collect::<Result<Vec<_>>>()?;
    let feed =
        connector.feed.clone().map(|settings| Arc::new(OpenFeed::new(settings, runtime.clone())) as Arc<dyn Feed>);
    let geoip = connector.geoip_database.as_deref().map(MaxMind::open).transpose()?;
    let lent = Lent {
        feed: feed.clone(),
        geoip: geoip.map(|database| Arc::new(database) as Arc<dyn GeoIp>),
        connector: connector.name.clone(),
    };
    let (settings, label) = (connector.source.settings.clone(), connector.source.package.label());
    let plugin = label.clone();
    let make = move || {
        let make_transform = |(plugin, settings, label): &(LoadedPlugin, _, String)| {
            let lent = Lent { connector: lent.connector.clone(), ..Lent::default() };
            Ok((
                Box::new(plugin.transform(lent)?) as Box<dyn crate::connector::Transform>,
                Clone::clone(settings),
                label.clone(),
            ))
        };
        Ok(Chain {
            source: (Box::new(source.source(lent.clone())?), settings.clone()),
            transforms: transforms.iter().map(make_transform).collect::<Result<_>>()?,
            label: label.clone(),
        })
    };
    let task = SourceTask {
        settings: task_settings(connector, max_records),
        log: Arc::clone(log),
        feed,
        make: Box::new(make),
    };
    Ok(TaskSpec { task, plugin, restart_max: connector.restart_max, stop_timeout: connector.stop_timeout })
}

fn task_settings(connector: &ConnectorConfig, max_records: Option<u64>) -> TaskSettings {
    TaskSettings {
        connector: connector.name.clone(),
        topic: connector.topic.clone(),
        dead_letter_topic: connector.dead_letter_topic.clone(),
        partitions: connector.partitions,
        key_schemas: connector.key_schemas,
        value_schemas: connector.value_schemas,
        batch_records: connector.batch_records,
        batch_bytes: connector.batch_bytes,
        commit_interval: connector.commit_interval,
        commit_bytes: connector.commit_bytes,
        retry_delay_max: connector.retry_delay_max,
        max_records,
    }
}
