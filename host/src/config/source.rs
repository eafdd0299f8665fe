//! A connector whose source is a plugin.

use super::checked::{OutputConfig, check_output};
use super::keys::{COMMON_KEYS, OUTPUT_KEYS, SOURCE_KEYS};
use super::lent::{LentConfig, check_grants, check_lent};
use super::lookup::Lookup;
use super::plugins::{self, PluginUse};
use super::raw::RawConnector;
use crate::error::{Error, Result};
use crate::plugin::Package;
use std::path::PathBuf;

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
    /// What is lent to it.
    pub lent: LentConfig,
    /// Whether the plugin's file is watched, and its next version takes over.
    pub watch: bool,
    raw: RawConnector,
}

impl SourceConfig {
    /// The same with another version of its plugin or of one of its transforms, a file or one of the catalog: it has to accept the options that are set, and gets no
    /// capability that the running one has not.
    ///
    /// # Errors
    /// Class Config: a file that is no source plugin, or options that it does not have. Class Deny: it wants more.
    pub fn replaced(&self, plugin: &str) -> Result<Self> {
        let mut raw = RawConnector { grant_all: false, ..self.raw.clone() };
        raw.keys.insert("grants".to_owned(), self.source.grants.join(","));
        let new = raw.plugins.read(&raw.folder, plugin, None)?.manifest.plugin;
        let keys = match new.world.as_str() {
            "transform" => {
                let names: Vec<&str> =
                    self.transforms.iter().map(|it| it.package.manifest.plugin.name.as_str()).collect();
                let index = names.iter().position(|name| *name == new.name);
                index.and_then(|index| raw.transforms.get_mut(index)).ok_or_else(|| {
                    Error::config(format!(
                        "`{plugin}` is the transform `{}`, which the connector does not have",
                        new.name
                    ))
                    .with_hint(format!("its transforms: `{}`", names.join("`, `")))
                })?
            }
            _ => &mut raw.keys,
        };
        keys.insert("plugin".to_owned(), plugin.to_owned());
        keys.remove("plugin.version");
        let package = plugins::read(&raw, "source")?;
        check_source(&raw, &package)
    }

    /// Names and versions of its plugin and transforms, for people.
    pub fn label(&self) -> String {
        let all = std::iter::once(&self.source).chain(&self.transforms);
        all.map(|it| it.package.label()).collect::<Vec<_>>().join(" + ")
    }

    /// The file that the configured plugin is in now, another one when a newer version of it was added, and its name.
    ///
    /// # Errors
    /// Class Config: it is not there any more.
    pub fn file_now(&self) -> Result<(PathBuf, String)> {
        let named = |key: &str| self.raw.keys.get(key).map(String::as_str);
        self.raw.plugins.find(&self.raw.folder, named("plugin").unwrap_or_default(), named("plugin.version"))
    }
}

/// Checks what a source has of its own; `package` was read by the caller.
pub(super) fn check_source(raw: &RawConnector, package: &Package) -> Result<SourceConfig> {
    let keys = lookup(raw, package);
    keys.check_known(&package.manifest.options)?;
    let grants = check_grants(&keys, raw, package)?;
    let lent = check_lent(&keys, raw, &grants)?;
    let output = check_output(&keys)?;
    let (key_schemas, value_schemas) =
        (keys.flag("key.converter.schemas.enable")?, keys.flag("value.converter.schemas.enable")?);
    let settings = plugins::settings(&package.manifest, &raw.keys)?;
    let transforms = raw.transforms.iter().enumerate().map(|(index, keys)| {
        plugins::check_transform(raw, keys).map_err(|error| error.context(format!("transform {}", index + 1)))
    });
    Ok(SourceConfig {
        transforms: transforms.collect::<Result<_>>()?,
        output,
        key_schemas,
        value_schemas,
        lent,
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
