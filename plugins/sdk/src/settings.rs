//! The options the operator set, by name.

use crate::Error;
use crate::bindings::source::connector::plugin::types::Setting;
use std::collections::BTreeMap;
use std::str::FromStr;

/// A plugin's options: every one that `plugin.toml` declares with a default is present, and the
/// host has already checked names and types.
#[derive(Debug, Clone, Default)]
pub struct Settings(BTreeMap<String, String>);

impl Settings {
    /// The text of an option, if set.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str)
    }

    /// The text of an option that must be there.
    ///
    /// # Errors
    /// [`Error::Config`] naming the option.
    pub fn text(&self, key: &str) -> Result<&str, Error> {
        self.get(key).ok_or_else(|| Error::Config(format!("option `{key}` is not set")))
    }

    /// An option read as a number, a boolean, or anything else that parses.
    ///
    /// # Errors
    /// [`Error::Config`] naming the option, what was found and the type expected.
    pub fn parse<T: FromStr>(&self, key: &str) -> Result<T, Error> {
        let text = self.text(key)?;
        text.parse().map_err(|_| {
            let expected = std::any::type_name::<T>();
            Error::Config(format!("option `{key}` is `{text}`, expected a value of type {expected}"))
        })
    }
}

impl<K: Into<String>, V: Into<String>> FromIterator<(K, V)> for Settings {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(pairs: I) -> Self {
        Settings(pairs.into_iter().map(|(k, v)| (k.into(), v.into())).collect())
    }
}

impl From<Vec<Setting>> for Settings {
    fn from(settings: Vec<Setting>) -> Self {
        settings.into_iter().map(|s| (s.key, s.value)).collect()
    }
}
