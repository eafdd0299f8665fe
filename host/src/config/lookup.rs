//! Keys of one table, looked up by name with type, default and origin in the message.

use super::keys::{Key, find, nearest};
use crate::dotted::Keys;
use crate::error::{Error, Result};
use crate::plugin::{Manifest, OptionSpec};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

/// Keys of one table, looked up by name with type, default and origin in the message.
pub(super) struct Lookup<'a> {
    pub(super) keys: &'a Keys,
    pub(super) defaults: Option<&'a Manifest>,
    pub(super) known: &'a [&'static [Key]],
}

impl Lookup<'_> {
    /// Refuses keys nobody knows.
    pub(super) fn check_known(&self, options: &[OptionSpec]) -> Result<()> {
        for name in self.keys.keys() {
            let ours = find(self.known, name).is_some();
            if !ours && !options.iter().any(|option| option.name == *name) {
                let names = self
                    .known
                    .iter()
                    .flat_map(|keys| keys.iter())
                    .map(|key| key.name)
                    .chain(options.iter().map(|o| o.name.as_str()));
                let mut error = Error::config(format!("unknown key `{name}`"));
                if let Some(near) = nearest(name, names) {
                    error = error.with_hint(format!("did you mean `{near}`?"));
                }
                return Err(error);
            }
        }
        Ok(())
    }

    /// Whether a connector of this kind can have the key.
    pub(super) fn knows(&self, name: &str) -> bool {
        find(self.known, name).is_some()
    }

    pub(super) fn text(&self, name: &str) -> Option<&str> {
        let by_plugin = || self.defaults.and_then(|manifest| manifest.defaults.get(name));
        let set = self.keys.get(name).or_else(by_plugin).map(String::as_str);
        set.or_else(|| find(self.known, name).and_then(|key| key.default)).filter(|text| !text.is_empty())
    }

    pub(super) fn need(&self, name: &str) -> Result<&str> {
        let doc = find(self.known, name).map_or("", |key| key.doc);
        self.text(name).ok_or_else(|| Error::config(format!("option `{name}` is missing ({doc})")))
    }

    pub(super) fn parse<T: FromStr>(&self, name: &str) -> Result<Option<T>> {
        let Some(text) = self.text(name) else { return Ok(None) };
        let kind = find(self.known, name).map_or("string", |key| key.kind.name());
        let found = || Error::config(format!("option `{name}` is `{text}`, expected a value of type {kind}"));
        text.parse().map(Some).map_err(|_| found())
    }

    pub(super) fn number<T: FromStr + PartialOrd + std::fmt::Display>(
        &self,
        name: &str,
        least: T,
        most: T,
    ) -> Result<T> {
        let number: T = self.parse(name)?.ok_or_else(|| Error::config(format!("option `{name}` is missing")))?;
        if number < least || number > most {
            return Err(Error::config(format!("option `{name}` is `{number}`, expected {least} to {most}")));
        }
        Ok(number)
    }

    pub(super) fn millis(&self, name: &str, least: u64) -> Result<Duration> {
        self.number(name, least, 24 * 3600 * 1000).map(Duration::from_millis)
    }

    pub(super) fn flag(&self, name: &str) -> Result<bool> {
        Ok(self.parse(name)?.unwrap_or(false))
    }

    pub(super) fn list(&self, name: &str) -> Vec<String> {
        let text = self.text(name).unwrap_or_default();
        text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect()
    }

    /// Text that goes into a line protocol: no blanks, no control characters.
    pub(super) fn word(&self, name: &str) -> Result<Option<String>> {
        let Some(text) = self.text(name) else { return Ok(None) };
        if text.chars().any(|c| c.is_control() || c.is_whitespace()) {
            let found = text.escape_debug();
            return Err(Error::config(format!(
                "option `{name}` is `{found}`, expected no blanks or control characters"
            )));
        }
        Ok(Some(text.to_owned()))
    }

    /// One of a few words.
    pub(super) fn choice(&self, name: &str, choices: &[&'static str]) -> Result<&'static str> {
        let text = self.need(name)?;
        choices.iter().find(|choice| **choice == text).copied().ok_or_else(|| {
            Error::config(format!("option `{name}` is `{text}`, expected one of `{}`", choices.join("`, `")))
        })
    }

    /// A path, from the folder of the configuration file.
    pub(super) fn path(&self, name: &str, folder: &Path) -> Option<PathBuf> {
        self.text(name).map(|path| folder.join(path))
    }
}
