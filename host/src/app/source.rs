//! A source plugin with its transforms, feed and database, as one task.

use super::{Parts, load, task_spec};
use crate::config::{ConnectorConfig, OutputConfig, SourceConfig};
use crate::connector::{Settings, Transform};
use crate::error::{Error, Result};
use crate::io::feed::OpenFeed;
use crate::io::geoip::MaxMind;
use crate::ports::feed::Feed;
use crate::ports::geoip::GeoIp;
use crate::task::{Chain, Rehearsed, SourceTask, Swapped, TaskSettings, Version, Versions, rehearse};
use crate::wasm::{Engines, Lent, LoadedPlugin};
use crate::worker::TaskSpec;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// A task comes to the end of a batch sooner than this, unless something is wrong with it.
const SWAP_WITHIN: Duration = Duration::from_secs(30);
/// Share of the latest inputs that a new version may reject, whatever the one before did.
const REJECTED_MOST: f64 = 0.5;

/// A source that is to run, and what a new version of its plugin needs.
pub(super) fn prepare(
    parts: &Parts<'_>,
    connector: &ConnectorConfig,
    config: &SourceConfig,
) -> Result<(TaskSpec, Swappable)> {
    let feed = config.feed.clone();
    let feed = feed.map(|settings| Arc::new(OpenFeed::new(settings, parts.runtime.clone())) as Arc<dyn Feed>);
    let geoip = config.geoip_database.as_deref().map(MaxMind::open).transpose()?;
    let lent = Lent {
        feed: feed.clone(),
        geoip: geoip.map(|database| Arc::new(database) as Arc<dyn GeoIp>),
        connector: connector.name.clone(),
    };
    let versions = Versions::new(Code::load(parts.engines, connector, config)?.version(lent.clone()));
    let settings = TaskSettings {
        key_schemas: config.key_schemas,
        value_schemas: config.value_schemas,
        max_records: parts.max_records,
        ..task_settings(connector, 0, &config.output)
    };
    let plugin = versions.current().label;
    let (log, task_versions) = (Arc::clone(parts.log), Arc::clone(&versions));
    let task = SourceTask { settings, log, feed: feed.clone(), versions: task_versions };
    let swappable = Swappable {
        engines: parts.engines.clone(),
        connector: connector.clone(),
        config: config.clone(),
        lent,
        versions,
    };
    // A feed is read by one task, whatever `tasks.max` allows.
    Ok((TaskSpec { feed, ..task_spec(connector, 0, &config.output.topic, plugin, Box::new(task)) }, swappable))
}

/// A plugin and its transforms, compiled and linked.
struct Code {
    source: LoadedPlugin,
    settings: Settings,
    transforms: Vec<(LoadedPlugin, Settings, String)>,
    label: String,
}

impl Code {
    fn load(engines: &Engines, connector: &ConnectorConfig, config: &SourceConfig) -> Result<Self> {
        let transforms = config
            .transforms
            .iter()
            .map(|plugin| Ok((load(engines, connector, plugin)?, plugin.settings.clone(), plugin.package.label())));
        Ok(Code {
            source: load(engines, connector, &config.source)?,
            settings: config.source.settings.clone(),
            transforms: transforms.collect::<Result<_>>()?,
            label: config.source.package.label(),
        })
    }

    /// New instances.
    fn chain(&self, lent: &Lent) -> Result<Chain> {
        let make_transform = |(plugin, settings, label): &(LoadedPlugin, Settings, String)| {
            let lent = Lent { connector: lent.connector.clone(), ..Lent::default() };
            Ok((Box::new(plugin.transform(lent)?) as Box<dyn Transform>, settings.clone(), label.clone()))
        };
        Ok(Chain {
            source: (Box::new(self.source.source(lent.clone())?), self.settings.clone()),
            transforms: self.transforms.iter().map(make_transform).collect::<Result<_>>()?,
            label: self.label.clone(),
        })
    }

    /// For instances that are all lent the same.
    fn version(self, lent: Lent) -> Version {
        let label = self.label.clone();
        Version { label, make: Arc::new(move || self.chain(&lent)) }
    }
}

/// A connector whose plugin can be swapped while it runs.
pub(super) struct Swappable {
    engines: Engines,
    connector: ConnectorConfig,
    config: SourceConfig,
    lent: Lent,
    versions: Arc<Versions>,
}

impl Swappable {
    /// Compiles the version in a file beside the one that runs, checks it against the configuration, and lets it
    /// take over between two batches.
    pub(super) fn swap(&self, plugin: &Path) -> Result<Swapped> {
        let config = self.config.replaced(plugin)?;
        let code = Code::load(&self.engines, &self.connector, &config)?;
        self.rehearse(&code).map_err(|error| error.context(format!("plugin `{}` is refused", code.label)))?;
        self.versions.swap(code.version(self.lent.clone()), SWAP_WITHIN)
    }

    /// Tries it on the latest inputs of the feed.
    fn rehearse(&self, code: &Code) -> Result<()> {
        let Some(feed) = self.lent.feed.as_ref().and_then(|feed| feed.rehearsal()) else { return Ok(()) };
        let lent = Lent { feed: Some(feed), ..self.lent.clone() };
        let tried = "tried on the latest inputs";
        let found = rehearse(&mut code.chain(&lent)?).map_err(|error| error.context(tried))?;
        let Rehearsed { inputs, rejected } = found;
        #[allow(clippy::cast_precision_loss)] // Some hundred.
        let share = rejected as f64 / inputs.max(1) as f64;
        // How many of these the running version rejected is not known; in its trial they are compared.
        let most = REJECTED_MOST.max(self.connector.trial.reject_increase);
        match share > most {
            true => Err(Error::config(format!("{tried} it rejects {rejected} of {inputs}, expected {most} at most"))),
            false => Ok(()),
        }
    }

    /// The file that is to be watched, and the digest of what is in it now.
    pub(super) fn watched(&self) -> Option<(PathBuf, String)> {
        let package = &self.config.source.package;
        self.config.watch.then(|| (package.path.clone(), package.digest.clone()))
    }
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
        trial: connector.trial,
    }
}
