//! A connector whose source is a plugin.

use super::checked::{OutputConfig, check_output};
use super::feed::check_feed;
use super::keys::{COMMON_KEYS, OUTPUT_KEYS, SOURCE_KEYS};
use super::lookup::Lookup;
use super::plugins::{self, PluginUse};
use super::raw::RawConnector;
use crate::error::{Error, Result};
use crate::plugin::Package;
use crate::ports::feed::FeedSettings;
use std::path::{Path, PathBuf};

/// A source plugin, checked.
#[derive(Debug, Clone)]
pub struct SourceConfig {
    /// The source.
    pub source: PluginUse,
    /// Transforms in order.
    pub transforms: Vec<PluginUse>,
    /// Where its records go.
    pub output: OutputConfig,
    /// Keys in Connect's envelope.
    pub key_schemas: bool,
    /// Values in Connect's envelope.
    pub value_schemas: bool,
    /// GeoIP database, where one is lent.
    pub geoip_database: Option<PathBuf>,
    /// The feed, where one is lent.
    pub feed: Option<FeedSettings>,
    /// Whether the plugin's file is watched, and its next version takes over.
    pub watch: bool,
    raw: RawConnector,
}

impl SourceConfig {
    /// The same with another version of the plugin: it has to accept the options that are set, and gets no
    /// capability that the running one has not.
    ///
    /// # Errors
    /// Class Config: a file that is no source plugin, or options that it does not have. Class Deny: it wants more.
    pub fn replaced(&self, plugin: &Path) -> Result<Self> {
        let mut raw = RawConnector { grant_all: false, ..self.raw.clone() };
        raw.keys.insert("plugin".to_owned(), plugin.display().to_string());
        raw.keys.insert("grants".to_owned(), self.source.grants.join(","));
        let package = plugins::read(&raw.folder, &raw.keys, "source")?;
        check_source(&raw, &package)
    }
}

/// Checks what a source has of its own; `package` was read by the caller.
pub(super) fn check_source(raw: &RawConnector, package: &Package) -> Result<SourceConfig> {
    let keys = lookup(raw, package);
    keys.check_known(&package.manifest.options)?;
    let geoip_database = keys.path("geoip.database", &raw.folder);
    let grants = match raw.grant_all {
        true => {
            let wants = package.manifest.wants.iter().map(|want| want.capability.clone());
            wants.filter(|capability| capability != "geoip" || geoip_database.is_some()).collect()
        }
        false => keys.list("grants"),
    };
    if let Some(unknown) = grants.iter().find(|grant| !["feed", "geoip"].contains(&grant.as_str())) {
        return Err(Error::config(format!("option `grants` names `{unknown}`, this host lends `feed` and `geoip`")));
    }
    if geoip_database.is_some() && !grants.iter().any(|grant| grant == "geoip") {
        return Err(Error::deny("option `geoip.database` is set, and capability `geoip` is not granted")
            .with_hint("add \"geoip\" to the connector's `grants`"));
    }
    let feed = grants.iter().any(|grant| grant == "feed").then(|| check_feed(&keys, &raw.folder)).transpose()?;
    let output = check_output(&keys)?;
    let (key_schemas, value_schemas) =
        (keys.flag("key.converter.schemas.enable")?, keys.flag("value.converter.schemas.enable")?);
    let settings = plugins::settings(&package.manifest, &raw.keys)?;
    let transforms = raw.transforms.iter().enumerate().map(|(index, keys)| {
        plugins::check_transform(&raw.folder, keys).map_err(|error| error.context(format!("transform {}", index + 1)))
    });
    Ok(SourceConfig {
        transforms: transforms.collect::<Result<_>>()?,
        output,
        key_schemas,
        value_schemas,
        geoip_database,
        feed,
        watch: keys.flag("plugin.watch")?,
        raw: raw.clone(),
        source: PluginUse { package: package.clone(), settings, grants },
    })
}

/// The keys of a source, with its plugin's defaults.
pub(super) fn lookup<'a>(raw: &'a RawConnector, package: &'a Package) -> Lookup<'a> {
    let known = &[COMMON_KEYS, OUTPUT_KEYS, SOURCE_KEYS];
    Lookup { keys: &raw.keys, defaults: Some(&package.manifest), known }
}
