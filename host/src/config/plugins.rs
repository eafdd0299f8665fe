//! Where plugins come from, and one with its options and grants.

use super::keys::{Key, WORKER_KEYS};
use super::lookup::Lookup;
use super::raw::{RawConfig, RawConnector};
use crate::connector::Settings;
use crate::dotted::Keys;
use crate::error::{Error, Result};
use crate::plugin::{Catalog, Manifest, OptionType, Package, PluginRef, Signers};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Where plugins are found by name, and whose signatures count. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Plugins(Option<Arc<(Catalog, Signers)>>);

impl Plugins {
    /// What the worker's keys say.
    ///
    /// # Errors
    /// Class Config: a key that cannot be read, or is of the wrong kind.
    pub fn check(raw: &RawConfig) -> Result<Self> {
        let (folder, keys) = (&raw.worker_folder, &raw.worker);
        let keys = Lookup { keys, defaults: None, known: &[WORKER_KEYS] };
        let in_data = || keys.need("data.dir").map(|dir| Path::new(dir).join("plugins"));
        let catalog = keys.path("plugin.path", folder).map_or_else(in_data, Ok)?;
        let required = keys.flag("require.signatures")?;
        let signers = Signers::load("trusted.keys", &keys.list("trusted.keys"), folder, required)?;
        Ok(Plugins(Some(Arc::new((Catalog::new(catalog), signers)))))
    }

    /// Reads the plugin that is named: a file, from `folder` on, or one of the catalog, with its version or range.
    ///
    /// # Errors
    /// What [`Package::read`], [`Catalog::read`] and [`Signers::check`] give.
    pub fn read(&self, folder: &Path, named: &str, version: Option<&str>) -> Result<Package> {
        let Some((catalog, signers)) = self.0.as_deref() else { return Package::read(&folder.join(named)) };
        let package = match PluginRef::is_file(named) {
            true if version.is_some() => {
                return Err(Error::config(format!("`plugin.version` is set, and `plugin` is the file `{named}`"))
                    .with_hint("a version is chosen among those of `plugin.path`: name the plugin, not a file"));
            }
            true => Package::read(&folder.join(named))?,
            false => catalog.read(&reference(named, version)?)?,
        };
        let signed = signers.check(&package);
        signed.map_err(|error| error.context(format!("plugin `{}`", package.path.display())))?;
        Ok(package)
    }

    /// The file that a plugin is in now, another one when a newer version was added; and its name, which is
    /// `NAME@VERSION` of one in the catalog.
    ///
    /// # Errors
    /// What [`Catalog::find`] gives.
    pub fn find(&self, folder: &Path, named: &str, version: Option<&str>) -> Result<(PathBuf, String)> {
        match self.0.as_deref() {
            Some((catalog, _)) if !PluginRef::is_file(named) => {
                let found = catalog.find(&reference(named, version)?)?;
                Ok((found.path, format!("{}@{}", found.name, found.version)))
            }
            _ => {
                let path = folder.join(named);
                let named = path.to_string_lossy().into_owned();
                Ok((path, named))
            }
        }
    }
}

fn reference(named: &str, version: Option<&str>) -> Result<PluginRef> {
    let reference = PluginRef::parse(named)?;
    version.map_or(Ok(reference.clone()), |version| reference.with_version(version))
}

/// A plugin with its options and grants.
#[derive(Debug, Clone)]
pub struct PluginUse {
    /// The plugin file.
    pub package: Package,
    /// Its options, complete.
    pub settings: Settings,
    /// Capabilities granted to it.
    pub grants: Vec<String>,
}

/// Reads the component that a connector names, which must be of world `world`.
pub(super) fn read(raw: &RawConnector, world: &str) -> Result<Package> {
    read_named(raw, &raw.keys, "plugin", world)
}

/// As [`read`], named by another key or in another table.
pub(super) fn read_named(raw: &RawConnector, keys: &Keys, key: &str, world: &str) -> Result<Package> {
    let missing = || Error::config(format!("option `{key}` is missing (a component file, or a plugin by name)"));
    let plugin = keys.get(key).ok_or_else(missing)?;
    let version = if key == "plugin" { keys.get("plugin.version") } else { None };
    let package = raw.plugins.read(&raw.folder, plugin, version.map(String::as_str))?;
    let found = &package.manifest.plugin.world;
    if found != world {
        let path = package.path.display();
        return Err(Error::config(format!("plugin `{path}` is of world `{found}`, expected `{world}`")));
    }
    Ok(package)
}

pub(super) fn check_transform(raw: &RawConnector, keys: &Keys) -> Result<PluginUse> {
    const fn text(name: &'static str, doc: &'static str) -> Key {
        Key { name, kind: OptionType::String, default: None, doc }
    }
    const KNOWN: &[Key] =
        &[text("plugin", "component file, or a plugin by name"), text("plugin.version", "its version")];
    let lookup = Lookup { keys, defaults: None, known: &[KNOWN] };
    let package = read_named(raw, keys, "plugin", "transform")?;
    lookup.check_known(&package.manifest.options)?;
    let settings = settings(&package.manifest, keys)?;
    Ok(PluginUse { package, settings, grants: Vec::new() })
}

/// The plugin's options: as set, or by default; each checked.
pub(super) fn settings(manifest: &Manifest, keys: &Keys) -> Result<Settings> {
    let mut settings = Settings::new();
    for option in &manifest.options {
        let value = keys.get(&option.name).or(option.default.as_ref()).ok_or_else(|| {
            let (plugin, name, doc) = (&manifest.plugin.name, &option.name, &option.doc);
            Error::config(format!("option `{name}` of plugin `{plugin}` is missing ({doc})"))
        })?;
        option.check(value)?;
        settings.push((option.name.clone(), value.clone()));
    }
    Ok(settings)
}
