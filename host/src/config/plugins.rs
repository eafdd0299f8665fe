//! A plugin with its options and grants.

use super::keys::Key;
use super::lookup::Lookup;
use crate::connector::Settings;
use crate::dotted::Keys;
use crate::error::{Error, Result};
use crate::plugin::{Manifest, OptionType, Package};
use std::path::Path;

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

/// Reads the component that `keys` name, which must be of world `world`.
pub(super) fn read(folder: &Path, keys: &Keys, world: &str) -> Result<Package> {
    read_named(folder, keys, "plugin", world)
}

/// As [`read`], named by another key.
pub(super) fn read_named(folder: &Path, keys: &Keys, key: &str, world: &str) -> Result<Package> {
    let missing = || Error::config(format!("option `{key}` is missing (the component file)"));
    let plugin = keys.get(key).ok_or_else(missing)?;
    let package = Package::read(&folder.join(plugin))?;
    let found = &package.manifest.plugin.world;
    if found != world {
        let path = package.path.display();
        return Err(Error::config(format!("plugin `{path}` is of world `{found}`, expected `{world}`")));
    }
    Ok(package)
}

pub(super) fn check_transform(folder: &Path, keys: &Keys) -> Result<PluginUse> {
    const KNOWN: &[Key] = &[Key { name: "plugin", kind: OptionType::String, default: None, doc: "component file" }];
    let lookup = Lookup { keys, defaults: None, known: &[KNOWN] };
    let package = read(folder, keys, "transform")?;
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
