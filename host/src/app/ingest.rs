//! An ingestion: the endpoint with its server, and the task that loads from it.

use super::spool::{open_keys, open_store};
use super::{Parts, task_spec};
use crate::config::{ConnectorConfig, IngestConfig, LoadConfig};
use crate::connector::{Ingestion, Layout, Limits};
use crate::error::{Error, Result};
use crate::ingest::{
    BatchAddress, Catalog, FetchSecret, FetchSecrets, IngestSettings, IngestTask, Loading, PlanSettings, RowFormat,
    SpecSettings, SpecWriter, Target, TimeFormat,
};
use crate::io::druid::DruidIndexer;
use crate::ports::indexer::Indexer;
use crate::secret::Secret;
use crate::serve::{Access, Endpoint, Server, ServerSettings, TlsFiles, endpoint};
use crate::spool::{DataList, DataSet};
use crate::wasm::{Engines, Lent, LoadedPlugin, Trust};
use crate::worker::TaskSpec;
use std::sync::Arc;
use tokio::runtime::Handle;

/// An ingestion that is being served.
pub struct Served {
    /// Connector name.
    pub name: String,
    /// Data source.
    pub data_source: String,
    /// What is known of its batches.
    pub catalog: Arc<Catalog>,
    /// The endpoint.
    pub server: Server,
}

pub(super) fn prepare(
    parts: &Parts<'_>,
    connector: &ConnectorConfig,
    config: &IngestConfig,
    once: bool,
) -> Result<(TaskSpec, Served)> {
    let set = data_set(config, parts.runtime)?;
    let lists = Lists::load(config, &connector.name, parts.engines)?;
    let (format, catalog) = (row_format(config), Arc::new(Catalog::default()));
    let access = Access { basic: config.basic.clone(), token: config.token.clone() };
    let tls = config.tls.clone().map(|(certificate, key)| TlsFiles { certificate, key });
    let router = endpoint(Endpoint { set: set.clone(), format: format.clone(), catalog: Arc::clone(&catalog), access });
    let settings = ServerSettings { any_port: parts.any_port, tls, ..ServerSettings::plain(config.listen) };
    let server = Server::start(parts.runtime, &settings, router).map_err(|error| error.context("option `listen`"))?;
    let loading = match &config.load {
        Some(load) if load.druid.is_some() => Some(loading(parts, connector, config, load, &server.url())?),
        _ => None,
    };
    let label = config.load.as_ref().map_or("no plugin".to_owned(), |load| load.spec.package.label());
    let settings = IngestSettings {
        connector: connector.name.clone(),
        target: Target::new(&config.into),
        format,
        granularity: config.into.segments,
        scan_interval: config.scan_interval,
        retire_after: config.retire_after,
        retries: connector.retries,
        once,
    };
    let listed = set.clone();
    let task = IngestTask {
        settings,
        log: Arc::clone(parts.log),
        set,
        list: Box::new(move || lists.make(&listed)),
        loading,
        catalog: Arc::clone(&catalog),
    };
    let data_source = config.into.name.clone();
    let spec = task_spec(connector, 0, &data_source, format!("ingest, {label}"), Box::new(task));
    Ok((spec, Served { name: connector.name.clone(), data_source, catalog, server }))
}

fn loading(
    parts: &Parts<'_>,
    connector: &ConnectorConfig,
    config: &IngestConfig,
    load: &LoadConfig,
    served_at: &str,
) -> Result<Loading> {
    let plugin = parts.load(connector, &load.spec)?;
    let writers = Writers { plugin, connector: connector.name.clone(), config: config.clone() };
    // What is wrong with the options is found now and not at the first batch.
    writers.make()?;
    Ok(Loading {
        plan: plan_settings(config, load),
        address: address(load, served_at),
        schedule: load.schedule.clone(),
        merge_schedule: load.merge_schedule.clone(),
        max_attempts: load.max_attempts,
        poll_interval: load.poll_interval,
        indexer: Arc::new(open_indexer(load, parts.runtime)?),
        make: Box::new(move || writers.make()),
    })
}

/// The service that an ingestion loads into; asks it nothing yet.
///
/// # Errors
/// Class Config: none is configured, or an address that cannot be used.
pub fn open_indexer(load: &LoadConfig, runtime: &Handle) -> Result<impl Indexer + use<>> {
    let settings = load.druid.clone().ok_or_else(|| Error::config("option `druid.url` is missing"))?;
    DruidIndexer::new(settings, runtime.clone())
}

/// The data set of an ingestion.
///
/// # Errors
/// Class Config: a key or a store that cannot be used.
pub fn data_set(config: &IngestConfig, runtime: &Handle) -> Result<DataSet> {
    let ring = open_keys("open.keys", &config.open_keys)?;
    Ok(DataSet::new(open_store(&config.data_set.store, runtime, false)?, Arc::new(ring)))
}

/// Lists the data set of an ingestion.
///
/// # Errors
/// What the layout gives.
pub fn data_list(config: &IngestConfig, connector: &str, set: &DataSet, engines: &Engines) -> Result<DataList> {
    Lists::load(config, connector, engines)?.make(set)
}

/// A writer of tasks, with the secrets of fetching in it.
///
/// # Errors
/// What the component gives.
pub fn spec_writer(config: &IngestConfig, connector: &str, engines: &Engines) -> Result<SpecWriter> {
    let load = config
        .load
        .as_ref()
        .ok_or_else(|| Error::config("option `plugin` is missing (the component that writes tasks)"))?;
    let plugin = LoadedPlugin::load(engines, &load.spec.package, Trust::Limited, Limits::default(), &[])?;
    Writers { plugin, connector: connector.to_owned(), config: config.clone() }.make()
}

/// What rows look like.
pub fn row_format(config: &IngestConfig) -> RowFormat {
    let known = TimeFormat::NAMES.into_iter().find(|(name, _)| *name == config.into.time_format);
    RowFormat {
        time_column: config.into.time_column.clone(),
        time_format: known.map_or(TimeFormat::Auto, |(_, format)| format),
    }
}

/// How loading is planned.
pub fn plan_settings(config: &IngestConfig, load: &LoadConfig) -> PlanSettings {
    PlanSettings {
        data_source: config.into.name.clone(),
        mode: load.mode,
        granularity: config.into.segments,
        max_batches: load.max_batches,
        merge_min_tasks: load.merge_min_tasks,
    }
}

/// Where the service fetches.
pub fn address(load: &LoadConfig, served_at: &str) -> BatchAddress {
    let base = load.advertised_url.clone().unwrap_or_else(|| served_at.to_owned());
    BatchAddress { base, gzip: load.gzip }
}

/// Makes listings of a data set.
struct Lists {
    layout: LoadedPlugin,
    connector: String,
    settings: crate::connector::Settings,
}

impl Lists {
    fn load(config: &IngestConfig, connector: &str, engines: &Engines) -> Result<Self> {
        let layout = &config.data_set.layout;
        let plugin = LoadedPlugin::load(engines, &layout.package, Trust::Limited, Limits::default(), &[])?;
        Ok(Lists { layout: plugin, connector: connector.to_owned(), settings: layout.settings.clone() })
    }

    fn make(&self, set: &DataSet) -> Result<DataList> {
        let layout = self.layout.layout(Lent { connector: self.connector.clone(), ..Lent::default() })?;
        DataList::open(set, Box::new(layout) as Box<dyn Layout>, &self.connector, &self.settings)
    }
}

/// Makes writers of tasks.
struct Writers {
    plugin: LoadedPlugin,
    connector: String,
    config: IngestConfig,
}

impl Writers {
    fn make(&self) -> Result<SpecWriter> {
        let lent = Lent { connector: self.connector.clone(), ..Lent::default() };
        let mut ingestion = self.plugin.ingestion(lent)?;
        let load =
            self.config.load.as_ref().ok_or_else(|| Error::bug("an ingestion without a plugin writes no tasks"))?;
        ingestion.open(&load.spec.settings)?;
        let IngestConfig { basic, token, into, .. } = &self.config;
        let basic = basic.clone().map(|(user, password)| match load.password_variable.clone() {
            Some(variable) => (user, FetchSecret::Environment(variable)),
            None => (user, FetchSecret::Given(password)),
        });
        let bearer = |token: &Secret| ("authorization".to_owned(), token.with_prefix("Bearer "));
        // One way to say who one is, and passwords are what every version of Druid can say.
        let headers = token.iter().filter(|_| basic.is_none()).map(bearer).collect();
        let settings =
            SpecSettings { into: into.clone(), dialect: load.dialect, fetch: FetchSecrets { basic, headers } };
        Ok(SpecWriter::new(Box::new(ingestion), settings))
    }
}
