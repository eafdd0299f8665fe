//! An ingestion: which data set, where it is served and to whom, what is loaded from it and when.

use super::keys::{COMMON_KEYS, INGEST_KEYS, SPOOL_KEYS};
use super::listener::resolve;
use super::lookup::Lookup;
use super::plugins::{self, PluginUse};
use super::raw::RawConnector;
use super::spool::{SpoolConfig, check_data_set, check_spool};
use crate::connector::{Column, ColumnType, DataSource, Dialect, Granularity, IngestMode};
use crate::error::{Error, Result};
use crate::ports::indexer::IndexerSettings;
use crate::schedule::Schedule;
use crate::secret::Secret;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// Columns of a data source; each is in every task.
const MAX_COLUMNS: usize = 10_000;
const MAX_NAME_BYTES: usize = 200;

/// An ingestion.
#[derive(Debug, Clone)]
pub struct IngestConfig {
    /// The data set.
    pub data_set: SpoolConfig,
    /// Names of private keys.
    pub open_keys: Vec<String>,
    /// How often the data set is looked at.
    pub scan_interval: Duration,
    /// Where batches are served.
    pub listen: SocketAddr,
    /// Certificate chain and key.
    pub tls: Option<(PathBuf, PathBuf)>,
    /// User and password that may fetch.
    pub basic: Option<(String, Secret)>,
    /// Bearer token that may fetch.
    pub token: Option<Secret>,
    /// A stored batch is served no more after this time.
    pub retire_after: Option<Duration>,
    /// What is loaded into, and what rows look like.
    pub into: DataSource,
    /// What is loaded, and how; none: `plugin` is not set.
    pub load: Option<LoadConfig>,
}

/// How batches are loaded.
#[derive(Debug, Clone)]
pub struct LoadConfig {
    /// The component that writes tasks.
    pub spec: PluginUse,
    /// In which words.
    pub dialect: Dialect,
    /// `append` or `replace`.
    pub mode: IngestMode,
    /// The service; none: tasks are only shown.
    pub druid: Option<IndexerSettings>,
    /// The endpoint as the service reaches it; none: its own address.
    pub advertised_url: Option<String>,
    /// Environment variable of the service's with the password.
    pub password_variable: Option<String>,
    /// Compressed.
    pub gzip: bool,
    /// When waiting batches are loaded.
    pub schedule: Schedule,
    /// When segments are merged.
    pub merge_schedule: Option<Schedule>,
    /// Tasks that appended to a chunk before it is merged.
    pub merge_min_tasks: usize,
    /// Batches of one task.
    pub max_batches: usize,
    /// Failures in a row before the ingestion fails.
    pub max_attempts: u32,
    /// How often a task is asked after.
    pub poll_interval: Duration,
}

pub(super) fn lookup(raw: &RawConnector) -> Lookup<'_> {
    Lookup { keys: &raw.keys, defaults: None, known: &[COMMON_KEYS, SPOOL_KEYS, INGEST_KEYS] }
}

pub(super) fn check_ingest(
    name: &str,
    raw: &RawConnector,
    all: &BTreeMap<String, RawConnector>,
) -> Result<IngestConfig> {
    let keys = lookup(raw);
    if !raw.transforms.is_empty() {
        return Err(Error::config("`transforms` are set, and an ingestion takes records as they are"));
    }
    let spec = raw.keys.get("plugin").map(|_| plugins::read(raw, "ingest")).transpose()?;
    let layout = raw.keys.get("layout.plugin");
    let layout = layout.map(|_| plugins::read_named(raw, &raw.keys, "layout.plugin", "layout")).transpose()?;
    let packages = spec.iter().chain(&layout);
    let options: Vec<_> = packages.flat_map(|package| package.manifest.options.iter().cloned()).collect();
    let mut seen = BTreeSet::new();
    if let Some(twice) = options.iter().find(|option| !seen.insert(&option.name)) {
        return Err(Error::config(format!("option `{}` is one of both plugins, expected different names", twice.name))
            .with_hint("name the data set by `data.set`, so that its layout is configured there"));
    }
    keys.check_known(&options)?;
    let data_set = match (keys.text("data.set"), layout) {
        (Some(sink), None) => {
            let of_it =
                all.get(sink).ok_or_else(|| Error::config(format!("option `data.set`: no connector `{sink}`")))?;
            check_data_set(sink, of_it).map_err(|error| error.context("option `data.set`"))?
        }
        (None, Some(layout)) => check_spool(name, raw, &keys, layout)?,
        (Some(_), Some(_)) => {
            return Err(Error::config("options `data.set` and `layout.plugin` are set, expected one"));
        }
        (None, None) => {
            return Err(Error::config("option `data.set` is missing (the spool sink whose data set is loaded)"));
        }
    };
    let open_keys: Vec<String> = keys.list("open.keys").iter().map(|key| Secret::name_from(key, &raw.folder)).collect();
    if open_keys.is_empty() {
        return Err(Error::config("option `open.keys` is missing (private keys that the data set was sealed for)"));
    }
    let retire_after = match keys.choice("retire", &["never", "ingested"])? {
        "ingested" => Some(keys.number("retire.after.ms", 0, 365 * 24 * 3600 * 1000).map(Duration::from_millis)?),
        _ => None,
    };
    let secret = |option: &str| {
        keys.text(option).map(|name| Secret::resolve(option, &Secret::name_from(name, &raw.folder))).transpose()
    };
    let basic = match (keys.word("access.username")?, secret("access.password")?) {
        (Some(user), Some(password)) if !user.contains(':') => Some((user, password)),
        (None, None) => None,
        _ => {
            return Err(Error::config(
                "`access.username` without a `:` and `access.password` are set together, or neither",
            ));
        }
    };
    let token = secret("access.token")?;
    let given = basic.iter().map(|(_, password)| password).chain(&token);
    if given.into_iter().any(|secret| secret.expose().is_empty()) {
        return Err(Error::config("`access.password` or `access.token` is empty, expected something to know"));
    }
    if token.as_ref().is_some_and(|token| token.expose().bytes().any(|byte| !byte.is_ascii_graphic())) {
        return Err(Error::config("option `access.token`: expected letters, digits and signs of ASCII without blanks"));
    }
    let listen = keys.need("listen")?;
    let listen = resolve(listen).ok_or_else(|| {
        Error::config(format!("option `listen` is `{listen}`, expected for instance `127.0.0.1:9500`"))
    })?;
    if !listen.ip().is_loopback() && basic.is_none() && token.is_none() {
        return Err(Error::config(format!(
            "option `listen` is `{listen}`, where others can reach it, and nobody is asked who they are"
        ))
        .with_hint("set `access.username` and `access.password`, or `access.token`"));
    }
    let tls = match (keys.path("tls.certificate.file", &raw.folder), keys.path("tls.key.file", &raw.folder)) {
        (Some(certificate), Some(key)) => Some((certificate, key)),
        (None, None) => None,
        _ => return Err(Error::config("`tls.certificate.file` and `tls.key.file` are set together, or neither")),
    };
    let into = check_data_source(&keys)?;
    let load = match spec {
        Some(package) => {
            let load = check_load(raw, &keys, package, retire_after.is_some())?;
            check_fetching(&load, listen, basic.is_some(), token.is_some())?;
            Some(load)
        }
        None if keys.text("druid.url").is_some() => {
            return Err(Error::config("option `plugin` is missing (the component that writes tasks)"));
        }
        None => None,
    };
    let scan_interval = keys.millis("scan.interval.ms", 100)?;
    Ok(IngestConfig { data_set, open_keys, scan_interval, listen, tls, basic, token, retire_after, into, load })
}

fn check_load(
    raw: &RawConnector,
    keys: &Lookup<'_>,
    package: crate::plugin::Package,
    retires: bool,
) -> Result<LoadConfig> {
    let settings = plugins::settings(&package.manifest, &raw.keys)?;
    let dialect = match keys.choice("dialect", &["current", "legacy"])? {
        "legacy" => Dialect::Legacy,
        _ => Dialect::Current,
    };
    let mode = match keys.choice("ingest.mode", &["append", "replace"])? {
        "replace" => IngestMode::Replace,
        _ => IngestMode::Append,
    };
    if mode == IngestMode::Replace && retires {
        return Err(Error::config("`ingest.mode` = `replace` loads batches again, expected `retire` = `never`"));
    }
    let schedule = |option: &str| {
        let schedule = keys.text(option).map(str::parse::<Schedule>).transpose();
        schedule.map_err(|error| error.context(format!("option `{option}`")))
    };
    let advertised_url = keys.word("advertised.url")?.map(|url| url.trim_end_matches('/').to_owned());
    if let Some(url) = advertised_url.as_ref().filter(|url| !url.starts_with("http://") && !url.starts_with("https://"))
    {
        return Err(Error::config(format!("option `advertised.url` is `{url}`, expected an `http` or `https` URL")));
    }
    Ok(LoadConfig {
        spec: PluginUse { package, settings, grants: Vec::new() },
        dialect,
        mode,
        druid: check_druid(raw, keys)?,
        advertised_url,
        password_variable: keys.word("access.password.variable")?,
        gzip: keys.flag("fetch.gzip")?,
        schedule: schedule("schedule")?.ok_or_else(|| Error::config("option `schedule` is missing"))?,
        merge_schedule: schedule("merge.schedule")?,
        merge_min_tasks: keys.number("merge.min.tasks", 2, 1_000_000)?,
        max_batches: keys.number("task.max.batches", 1, 1000)?,
        max_attempts: keys.number("task.max.attempts", 1, 1000)?,
        poll_interval: keys.millis("task.poll.interval.ms", 10)?,
    })
}

/// What tasks say of the endpoint is something that can be fetched.
fn check_fetching(load: &LoadConfig, listen: SocketAddr, has_password: bool, has_token: bool) -> Result<()> {
    if load.password_variable.is_some() && !has_password {
        return Err(Error::config("option `access.password.variable` is set, and `access.password` is not"));
    }
    if load.druid.is_some() && load.advertised_url.is_none() && listen.ip().is_unspecified() {
        return Err(Error::config(format!("option `listen` is `{listen}`, which nobody can fetch from"))
            .with_hint("set `advertised.url` to the endpoint as Druid reaches it"));
    }
    if load.dialect == Dialect::Legacy && has_token && !has_password {
        return Err(Error::config("option `access.token` is set, which `dialect` = `legacy` cannot carry")
            .with_hint("set `access.username` and `access.password`"));
    }
    Ok(())
}

fn check_druid(raw: &RawConnector, keys: &Lookup<'_>) -> Result<Option<IndexerSettings>> {
    let Some(url) = keys.word("druid.url")? else { return Ok(None) };
    let password = keys.text("druid.password");
    let password =
        password.map(|name| Secret::resolve("druid.password", &Secret::name_from(name, &raw.folder))).transpose()?;
    let login = match (keys.word("druid.username")?, password) {
        (Some(user), Some(password)) => Some((user, password)),
        (None, None) => None,
        _ => return Err(Error::config("`druid.username` and `druid.password` are set together, or neither")),
    };
    Ok(Some(IndexerSettings {
        url,
        login,
        tls_ca: keys.path("druid.tls.ca.file", &raw.folder),
        timeout: keys.millis("druid.timeout.ms", 100)?,
    }))
}

fn check_data_source(keys: &Lookup<'_>) -> Result<DataSource> {
    let segments = [
        ("hour", Granularity::Hour),
        ("day", Granularity::Day),
        ("month", Granularity::Month),
        ("year", Granularity::Year),
    ];
    let chosen = keys.choice("segment.granularity", &segments.map(|(name, _)| name))?;
    let segments = segments.into_iter().find(|(name, _)| *name == chosen).map_or(Granularity::Day, |(_, value)| value);
    let name = keys.need("data.source")?;
    if name.len() > MAX_NAME_BYTES
        || name.starts_with('.')
        || name.contains('/')
        || name.chars().any(|c| c.is_control() || c.is_whitespace())
    {
        let found = name.escape_debug();
        return Err(Error::config(format!(
            "option `data.source` is `{found}`, expected no blanks, no `/`, and no `.` at its beginning"
        )));
    }
    let time_column = keys.need("time.column")?.to_owned();
    let columns = keys.list("columns").iter().map(|text| check_column(text)).collect::<Result<Vec<_>>>()?;
    if columns.is_empty() || columns.len() > MAX_COLUMNS {
        let found = columns.len();
        return Err(Error::config(format!("option `columns` names {found} columns, expected 1 to {MAX_COLUMNS}")));
    }
    let mut seen = BTreeSet::from([time_column.as_str()]);
    if let Some(twice) = columns.iter().find(|column| !seen.insert(&column.name)) {
        return Err(Error::config(format!(
            "option `columns` names `{}` twice, or it is the `time.column`",
            twice.name
        )));
    }
    let time_format = keys.choice("time.format", &["iso", "millis", "posix", "auto"])?.to_owned();
    Ok(DataSource { name: name.to_owned(), time_column, time_format, columns, segments })
}

/// `NAME` or `NAME:TYPE`.
fn check_column(text: &str) -> Result<Column> {
    let (name, kind) = text.rsplit_once(':').unwrap_or((text, "string"));
    let kind = match kind.trim() {
        "string" => ColumnType::Text,
        "long" => ColumnType::Long,
        "float" => ColumnType::Float,
        "double" => ColumnType::Double,
        "json" => ColumnType::Json,
        other => {
            return Err(Error::config(format!(
                "option `columns`: `{name}` is of type `{other}`, expected `string`, `long`, `float`, `double` or `json`"
            )));
        }
    };
    match name.trim() {
        "" => Err(Error::config(format!("option `columns`: `{text}` has no name"))),
        name => Ok(Column { name: name.to_owned(), kind }),
    }
}
