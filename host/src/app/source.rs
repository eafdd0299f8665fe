//! A source plugin with its transforms, feed and database, as one task.

use super::{Parts, load, task_spec};
use crate::config::{ConnectorConfig, LentConfig, OutputConfig, SourceConfig};
use crate::connector::{Settings, Transform};
use crate::error::{Error, Result};
use crate::io::feed::OpenFeed;
use crate::io::geoip::MaxMind;
use crate::io::local::LocalFiles;
use crate::io::web::Web;
use crate::ports::feed::Feed;
use crate::ports::geoip::GeoIp;
use crate::ports::http::Http;
use crate::task::{Chain, MakeChain, Rehearsed, SourceTask, Swapped, TaskSettings, Version, Versions, rehearse};
use crate::wasm::{Engines, Lent, LentFiles, LoadedPlugin};
use crate::worker::TaskSpec;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
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
    let lent = lend(parts, connector, &config.lent)?;
    let feed = lent.feed.clone();
    let version = Code::load(parts.engines, connector, config)?.version(config.label(), lent.clone());
    let made_from = Mutex::new(vec![(Arc::clone(&version.make), config.clone())]);
    let versions = Versions::new(version);
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
        configured: config.clone(),
        made_from,
        lent,
        versions,
    };
    // A feed is read by one task, whatever `tasks.max` allows.
    Ok((TaskSpec { feed, ..task_spec(connector, 0, &config.output.topic, plugin, Box::new(task)) }, swappable))
}

/// Sets up what is granted.
fn lend(parts: &Parts<'_>, connector: &ConnectorConfig, config: &LentConfig) -> Result<Lent> {
    let feed = config.feed.clone();
    let geoip = config.geoip_database.as_deref().map(MaxMind::open).transpose()?;
    let http = config.http.clone().map(|grant| Web::new(grant, parts.runtime.clone())).transpose()?;
    let files = config.files.as_ref().map(|(dir, can_write)| {
        let store = LocalFiles::open(dir, false).map_err(|error| error.context("option `files.dir`"))?;
        Ok::<_, Error>(LentFiles { store: Arc::new(store), can_write: *can_write })
    });
    Ok(Lent {
        feed: feed.map(|settings| Arc::new(OpenFeed::new(settings, parts.runtime.clone())) as Arc<dyn Feed>),
        geoip: geoip.map(|database| Arc::new(database) as Arc<dyn GeoIp>),
        http: http.map(|web| Arc::new(web) as Arc<dyn Http>),
        files: files.transpose()?,
        state: config.state,
        connector: connector.name.clone(),
    })
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
    fn version(self, label: String, lent: Lent) -> Version {
        Version { label, make: Arc::new(move || self.chain(&lent)) }
    }
}

/// A connector whose plugin can be swapped while it runs.
pub(super) struct Swappable {
    engines: Engines,
    connector: ConnectorConfig,
    /// As it was started.
    configured: SourceConfig,
    /// What versions were made from, as long as they may run: a transform is swapped beside the source that runs.
    made_from: Mutex<Vec<(Arc<MakeChain>, SourceConfig)>>,
    lent: Lent,
    versions: Arc<Versions>,
}

impl Swappable {
    /// Compiles a version, in a file or of the catalog, beside the one that runs, checks it against the configuration,
    /// and lets it take over between two batches.
    pub(super) fn swap(&self, plugin: &str) -> Result<Swapped> {
        let config = self.running()?.replaced(plugin)?;
        let code = Code::load(&self.engines, &self.connector, &config)?;
        self.rehearse(&code).map_err(|error| error.context(format!("plugin `{}` is refused", config.label())))?;
        let version = code.version(config.label(), self.lent.clone());
        self.lock().push((Arc::clone(&version.make), config));
        self.versions.swap(version, SWAP_WITHIN)
    }

    /// What the version that runs was made from.
    fn running(&self) -> Result<SourceConfig> {
        let (current, mut made_from) = (self.versions.current().make, self.lock());
        // Whoever was refused, or passed over for good, is held by nobody else.
        made_from.retain(|(make, _)| Arc::strong_count(make) > 1);
        let found = made_from.iter().find(|(make, _)| Arc::ptr_eq(make, &current));
        found
            .map(|(_, config)| config.clone())
            .ok_or_else(|| Error::bug("nobody knows what the running version was made from"))
    }

    fn lock(&self) -> MutexGuard<'_, Vec<(Arc<MakeChain>, SourceConfig)>> {
        self.made_from.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tries it on the latest inputs of the feed.
    fn rehearse(&self, code: &Code) -> Result<()> {
        // Requests and files would be real ones: who makes them is tried by its first batches.
        if self.lent.http.is_some() || self.lent.files.is_some() {
            return Ok(());
        }
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
        let package = &self.configured.source.package;
        self.configured.watch.then(|| (package.path.clone(), package.digest.clone()))
    }

    /// Where the plugin is now, another file when a newer version of it was added to the catalog, and its name.
    pub(super) fn file_now(&self) -> Option<(PathBuf, String)> {
        self.configured.file_now().ok()
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
