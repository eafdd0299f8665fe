//! The two sides of a spool as tasks, and a spool to look at.

use super::source::task_settings;
use super::{Parts, task_spec};
use crate::config::{ConnectorConfig, SpoolConfig, SpoolSinkConfig, SpoolSourceConfig, StoreChoice};
use crate::connector::{Layout, Limits, Settings, Sink, Source};
use crate::crypto::{KeyRing, load_key};
use crate::error::Result;
use crate::io::local::LocalFiles;
use crate::io::qumulo::QumuloFiles;
use crate::ports::files::Files;
use crate::ports::log::WriterId;
use crate::spool::{Content, Fence, SpoolSink, SpoolSinkSettings, SpoolSource, SpoolSourceSettings, Survey};
use crate::task::{Chain, SinkSettings, SinkTask, SourceTask, Version, Versions};
use crate::wasm::{Engines, Lent, LoadedPlugin, Trust};
use crate::worker::TaskSpec;
use sha2::{Digest, Sha256};
use std::sync::Arc;
use tokio::runtime::Handle;

/// Opens the store that a spool is in; asks a cluster nothing yet. A folder that is not there is made
/// where `make`.
///
/// # Errors
/// Class Config: a folder or a certificate that cannot be used.
pub(super) fn open_store(choice: &StoreChoice, runtime: &Handle, make: bool) -> Result<Arc<dyn Files>> {
    Ok(match choice {
        StoreChoice::Qumulo(settings) => Arc::new(QumuloFiles::new(*settings.clone(), runtime.clone())?),
        StoreChoice::Local(folder) => Arc::new(LocalFiles::open(folder, make)?),
    })
}

/// The keys that names stand for.
///
/// # Errors
/// Class Config: a name that leads nowhere, or a key file that others may read.
pub fn open_keys(option: &str, names: &[String]) -> Result<KeyRing> {
    let keys = names.iter().map(|name| load_key(option, name)).collect::<Result<Vec<_>>>()?;
    KeyRing::try_new(keys).map_err(|error| error.context(format!("option `{option}`: `{}`", names.join("`, `"))))
}

/// A connector's spool, to be looked at.
///
/// # Errors
/// What the store and the layout give.
pub fn survey(connector: &str, spool: &SpoolConfig, engines: &Engines, runtime: &Handle) -> Result<Survey> {
    let plugin = LoadedPlugin::load(engines, &spool.layout.package, Trust::Limited, Limits::default(), &[])?;
    let layout = plugin.layout(Lent { connector: connector.to_owned(), ..Lent::default() })?;
    Survey::new(open_store(&spool.store, runtime, false)?, Box::new(layout), connector, &spool.layout.settings)
}

/// Makes layout instances for a connector.
#[derive(Clone)]
struct Layouts {
    plugin: LoadedPlugin,
    connector: String,
}

impl Layouts {
    fn make(&self) -> Result<Box<dyn Layout>> {
        let lent = Lent { connector: self.connector.clone(), ..Lent::default() };
        Ok(Box::new(self.plugin.layout(lent)?))
    }
}

pub(super) fn prepare_sink(
    parts: &Parts<'_>,
    connector: &ConnectorConfig,
    config: &SpoolSinkConfig,
) -> Result<Vec<TaskSpec>> {
    let layouts = Layouts { plugin: parts.load(connector, &config.spool.layout)?, connector: connector.name.clone() };
    let label = config.spool.layout.package.label();
    let content = match &config.recipients {
        None => Content::Members,
        Some(names) => {
            let load = |name: &String| load_key("seal.recipients", name)?.recipient();
            let recipients = names.iter().map(load).collect::<Result<_>>()?;
            Content::Records { recipients, member_bytes: config.member_bytes }
        }
    };
    let files = open_store(&config.spool.store, parts.runtime, true)?;
    let spec = |task| {
        let settings = SpoolSinkSettings {
            connector: connector.name.clone(),
            task,
            layout: config.spool.layout.settings.clone(),
            place: config.place,
            content: content.clone(),
            lease: config.spool.lease,
        };
        let (files, layouts) = (Arc::clone(&files), layouts.clone());
        let make = move || {
            let sink = SpoolSink::open(Arc::clone(&files), layouts.make()?, settings.clone())?;
            Ok(Box::new(sink) as Box<dyn Sink>)
        };
        let settings = SinkSettings {
            connector: connector.name.clone(),
            task,
            num_tasks: connector.tasks_max,
            topics: config.topics.clone(),
            dead_letter_topic: config.dead_letter_topic.clone(),
            label: format!("spool-sink with {label}"),
            batch_records: connector.batch_records,
            batch_bytes: connector.batch_bytes,
            retries: connector.retries,
            tolerance: connector.tolerance,
        };
        let task_object = SinkTask { settings, log: Arc::clone(parts.log), make: Box::new(make) };
        task_spec(connector, task, &config.topics.join(","), format!("spool-sink, {label}"), Box::new(task_object))
    };
    Ok((0..connector.tasks_max).map(spec).collect())
}

pub(super) fn prepare_source(
    parts: &Parts<'_>,
    connector: &ConnectorConfig,
    config: &SpoolSourceConfig,
) -> Result<Vec<TaskSpec>> {
    let layouts = Layouts { plugin: parts.load(connector, &config.spool.layout)?, connector: connector.name.clone() };
    let label = config.spool.layout.package.label();
    let files = open_store(&config.spool.store, parts.runtime, true)?;
    let spec = |task| {
        let (log, chunk_bytes) = (Arc::clone(parts.log), config.chunk_bytes);
        let (name, lease, snapshot_keep) = (connector.name.clone(), config.spool.lease, config.snapshot_keep);
        let num_tasks = connector.tasks_max;
        let (files, layouts, layout) = (Arc::clone(&files), layouts.clone(), config.spool.layout.settings.clone());
        let label = format!("spool-source, {label}");
        let plugin = label.clone();
        let make = move || {
            let fence_log = Arc::clone(&log);
            let fence: Fence = Box::new(move |connector, task| {
                fence_log.writer(&WriterId { connector: connector.to_owned(), task }).map(drop)?;
                fence_log.positions(connector)
            });
            let settings = SpoolSourceSettings {
                connector: name.clone(),
                task,
                num_tasks,
                log_id: short_digest(&log.id()?),
                layout: layout.clone(),
                chunk_bytes,
                lease,
                snapshot_keep,
            };
            let source = SpoolSource::new(Arc::clone(&files), layouts.make()?, settings, fence)?;
            let source = Box::new(source) as Box<dyn Source>;
            Ok(Chain { source: (source, Settings::new()), transforms: Vec::new(), label: label.clone() })
        };
        let settings = task_settings(connector, task, &config.output);
        // Its code is the host's own; the layout goes on as it is.
        let versions = Versions::new(Version { label: plugin.clone(), make: Arc::new(make) });
        let task_object = SourceTask { settings, log: Arc::clone(parts.log), feed: None, versions };
        task_spec(connector, task, &config.output.topic, plugin, Box::new(task_object))
    };
    Ok((0..connector.tasks_max).map(spec).collect())
}

/// Enough of a digest to tell logs apart, in a directory's name.
fn short_digest(text: &str) -> String {
    Sha256::digest(text.as_bytes()).iter().take(6).map(|byte| format!("{byte:02x}")).collect()
}
