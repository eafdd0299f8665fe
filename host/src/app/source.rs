//! A source plugin with its transforms, feed and database, as one task.

use super::{Parts, task_spec};
use crate::config::{ConnectorConfig, OutputConfig, SourceConfig};
use crate::connector::Transform;
use crate::error::Result;
use crate::io::feed::OpenFeed;
use crate::io::geoip::MaxMind;
use crate::ports::feed::Feed;
use crate::ports::geoip::GeoIp;
use crate::task::{Chain, SourceTask, TaskSettings};
use crate::wasm::{Lent, LoadedPlugin};
use crate::worker::TaskSpec;
use std::sync::Arc;

pub(super) fn prepare(parts: &Parts<'_>, connector: &ConnectorConfig, config: &SourceConfig) -> Result<TaskSpec> {
    let source = parts.load(connector, &config.source)?;
    let transforms = config
        .transforms
        .iter()
        .map(|plugin| Ok((parts.load(connector, plugin)?, plugin.settings.clone(), plugin.package.label())));
    let transforms = transforms.collect::<Result<Vec<_>>>()?;
    let feed = config.feed.clone();
    let feed = feed.map(|settings| Arc::new(OpenFeed::new(settings, parts.runtime.clone())) as Arc<dyn Feed>);
    let geoip = config.geoip_database.as_deref().map(MaxMind::open).transpose()?;
    let lent = Lent {
        feed: feed.clone(),
        geoip: geoip.map(|database| Arc::new(database) as Arc<dyn GeoIp>),
        connector: connector.name.clone(),
    };
    let (settings, label) = (config.source.settings.clone(), config.source.package.label());
    let plugin = label.clone();
    let make = move || {
        let make_transform = |(plugin, settings, label): &(LoadedPlugin, _, String)| {
            let lent = Lent { connector: lent.connector.clone(), ..Lent::default() };
            Ok((Box::new(plugin.transform(lent)?) as Box<dyn Transform>, Clone::clone(settings), label.clone()))
        };
        Ok(Chain {
            source: (Box::new(source.source(lent.clone())?), settings.clone()),
            transforms: transforms.iter().map(make_transform).collect::<Result<_>>()?,
            label: label.clone(),
        })
    };
    let settings = TaskSettings {
        key_schemas: config.key_schemas,
        value_schemas: config.value_schemas,
        max_records: parts.max_records,
        ..task_settings(connector, 0, &config.output)
    };
    let task = SourceTask { settings, log: Arc::clone(parts.log), feed: feed.clone(), make: Box::new(make) };
    // A feed is read by one task, whatever `tasks.max` allows.
    Ok(TaskSpec { feed, ..task_spec(connector, 0, &config.output.topic, plugin, Box::new(task)) })
}

/// What the configuration says of a task that writes to a topic; keys and values as they are.
pub(super) fn task_settings(connector: &ConnectorConfig, task: u32, output: &OutputConfig) -> TaskSettings {
    TaskSettings {
        connector: connector.name.clone(),
        task,
        topic: output.topic.clone(),
        exactly_once: output.exactly_once,
        dead_letter_topic: output.dead_letter_topic.clone(),
        partitions: output.partitions,
        key_schemas: false,
        value_schemas: false,
        batch_records: connector.batch_records,
        batch_bytes: connector.batch_bytes,
        commit_interval: output.commit_interval,
        commit_bytes: output.commit_bytes,
        retries: connector.retries,
        max_records: None,
        tolerance: connector.tolerance,
    }
}
