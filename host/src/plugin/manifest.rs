//! `plugin.toml`: what a plugin is, which options it has, what it wants lent. Read strictly:
//! an unknown key is an error, because a misspelt want or default would silently do nothing.

use super::reference::check_name;
use crate::error::{Error, OrError, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The worlds this host serves, each with the interface that its components export.
pub const WORLDS: &[(&str, &str)] =
    &[("source", "source-task"), ("transform", "transformation"), ("layout", "spool-layout"), ("ingest", "ingestion")];

/// What can be lent to a plugin, apart from the log: the interfaces of `wit/host`, and of WASI clocks and random numbers.
pub const CAPABILITIES: &[&str] = &["clock", "feed", "files", "geoip", "http", "random", "state"];

/// A plugin's manifest, checked.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Name, version, world.
    pub plugin: PluginInfo,
    /// Defaults for keys the host owns (`topic`, `feed`, `irc.host` …), by dotted key.
    #[serde(default, deserialize_with = "flat_text")]
    pub defaults: BTreeMap<String, String>,
    /// Capabilities it wants lent.
    #[serde(default)]
    pub wants: Vec<Want>,
    /// Options of its own.
    #[serde(default)]
    pub options: Vec<OptionSpec>,
}

/// Who it is.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PluginInfo {
    /// Lower case letters, digits, `_` and `-`.
    pub name: String,
    /// Semantic version.
    pub version: String,
    /// The world it targets, one of [`WORLDS`].
    pub world: String,
    /// One line for people.
    #[serde(default)]
    pub description: String,
}

/// A capability it wants.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Want {
    /// One of [`CAPABILITIES`].
    pub capability: String,
    /// Why, for the operator who grants it.
    pub why: String,
    /// It can do without.
    #[serde(default)]
    pub optional: bool,
}

/// The types an option can have; Kafka Connect's words in lower case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OptionType {
    /// Any text.
    String,
    /// `true` or `false`.
    Boolean,
    /// 32-bit integer.
    Int,
    /// 64-bit integer.
    Long,
    /// Number.
    Double,
    /// Comma-separated texts.
    List,
}

/// An option of a plugin.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OptionSpec {
    /// Dotted name.
    pub name: String,
    /// Type.
    #[serde(rename = "type")]
    pub kind: OptionType,
    /// Default in text form, written as any TOML scalar; without one the option must be set.
    #[serde(default, deserialize_with = "scalar_text")]
    pub default: Option<String>,
    /// The allowed values; empty: any of the type.
    #[serde(default)]
    pub values: Vec<String>,
    /// What it does, for people.
    pub doc: String,
}

impl OptionType {
    /// Whether `text` is a value of this type.
    pub fn accepts(self, text: &str) -> bool {
        match self {
            OptionType::String | OptionType::List => true,
            OptionType::Boolean => text.parse::<bool>().is_ok(),
            OptionType::Int => text.parse::<i32>().is_ok(),
            OptionType::Long => text.parse::<i64>().is_ok(),
            OptionType::Double => text.parse::<f64>().is_ok(),
        }
    }

    /// Its name as in a manifest.
    pub fn name(self) -> &'static str {
        match self {
            OptionType::String => "string",
            OptionType::Boolean => "boolean",
            OptionType::Int => "int",
            OptionType::Long => "long",
            OptionType::Double => "double",
            OptionType::List => "list",
        }
    }
}

impl OptionSpec {
    /// Checks a value against type and allowed values.
    ///
    /// # Errors
    /// Class Config, naming option, value and what was expected.
    pub fn check(&self, value: &str) -> Result<()> {
        let (name, kind) = (&self.name, self.kind.name());
        if !self.kind.accepts(value) {
            return Err(Error::config(format!("option `{name}` is `{value}`, expected a value of type {kind}")));
        }
        if !self.values.is_empty() && !self.values.iter().any(|allowed| allowed == value) {
            let allowed = self.values.join("`, `");
            return Err(Error::config(format!("option `{name}` is `{value}`, expected one of `{allowed}`")));
        }
        Ok(())
    }
}

impl Manifest {
    /// Reads and checks a manifest; `origin` is where the text is from.
    ///
    /// # Errors
    /// Class Config with file, line and what was expected.
    pub fn parse(text: &str, origin: &str) -> Result<Self> {
        let manifest: Manifest = toml::from_str(text).or_config(format!("manifest `{origin}`"))?;
        manifest.check().map_err(|error| error.context(format!("manifest `{origin}`")))?;
        Ok(manifest)
    }

    fn check(&self) -> Result<()> {
        let PluginInfo { name, version, world, .. } = &self.plugin;
        check_name(name)?;
        if semver::Version::parse(version).is_err() {
            return Err(Error::config(format!("plugin version is `{version}`, expected three numbers as in `0.1.0`")));
        }
        if !WORLDS.iter().any(|(known, _)| known == world) {
            let known: Vec<&str> = WORLDS.iter().map(|(known, _)| *known).collect();
            return Err(Error::config(format!("world is `{world}`, this host has `{}`", known.join("`, `"))));
        }
        for want in &self.wants {
            if !CAPABILITIES.contains(&want.capability.as_str()) {
                let (found, known) = (&want.capability, CAPABILITIES.join("`, `"));
                return Err(Error::config(format!("wants capability `{found}`, this host lends `{known}`")));
            }
        }
        for (index, option) in self.options.iter().enumerate() {
            if self.options.iter().take(index).any(|other| other.name == option.name) {
                return Err(Error::config(format!("option `{}` is declared twice", option.name)));
            }
            if let Some(default) = &option.default {
                option.check(default).map_err(|error| error.context("default"))?;
            }
        }
        Ok(())
    }
}

fn scalar_text<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let value = toml::Value::deserialize(deserializer)?;
    let found = value.type_str();
    crate::dotted::scalar(&value)
        .map(Some)
        .ok_or_else(|| serde::de::Error::custom(format!("found a {found}, expected a value")))
}

/// Reads `irc.host = "…"`, which TOML nests, back into dotted keys with text values.
fn flat_text<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<String, String>, D::Error> {
    let table = toml::Table::deserialize(deserializer)?;
    let mut flat = BTreeMap::new();
    crate::dotted::flatten("", &table, &mut flat).map_err(serde::de::Error::custom)?;
    Ok(flat)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
        [plugin]
        name = "wiki_source"
        version = "0.1.0"
        world = "source"
        [defaults]
        topic = "wikipedia"
        irc.host = "irc.example.org"
        [[wants]]
        capability = "feed"
        why = "reads the feed"
        [[options]]
        name = "rules"
        type = "string"
        default = "dataset"
        values = ["dataset", "demo"]
        doc = "which rules"
    "#;

    #[test]
    fn dotted_defaults_stay_dotted() {
        let manifest = Manifest::parse(GOOD, "plugin.toml").unwrap();
        assert_eq!(manifest.defaults.get("irc.host").map(String::as_str), Some("irc.example.org"));
        let rules = manifest.options.first().unwrap();
        assert_eq!(
            rules.check("other").unwrap_err().to_string(),
            "option `rules` is `other`, expected one of `dataset`, `demo`"
        );
    }

    #[test]
    fn a_wrong_manifest_says_what_is_wrong() {
        let check = |from: &str, to: &str, expected: &str| {
            let error = Manifest::parse(&GOOD.replace(from, to), "p/plugin.toml").unwrap_err().to_string();
            assert!(error.contains("p/plugin.toml") && error.contains(expected), "{error}");
        };
        check("name = \"wiki_source\"", "name = \"Wiki Source\"", "plugin name is `Wiki Source`");
        check("world = \"source\"", "world = \"sink\"", "world is `sink`, this host has");
        check("capability = \"feed\"", "capability = \"root\"", "wants capability `root`");
        check("[[wants]]", "[[want]]", "unknown field `want`");
        check("default = \"dataset\"", "default = \"x\"", "default: option `rules` is `x`");
        check("type = \"string\"", "type = \"text\"", "text");
    }
}
