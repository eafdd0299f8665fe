//! A plugin named by name and version, instead of by file: `wiki_source`, `wiki_source@0.2.0`, `wiki_source@^0.2`.

use crate::error::{Error, OrError, Result};
use semver::{Version, VersionReq};
use std::fmt;

/// A plugin of the catalog.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PluginRef {
    /// Its name.
    pub name: String,
    wanted: Wanted,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Wanted {
    /// The newest release.
    Newest,
    /// This one.
    Exact(Version),
    /// The newest of these.
    Range(VersionReq),
}

impl PluginRef {
    /// Whether a text names a file and not a plugin of the catalog: it ends in `.wasm`, or begins with what cannot be a
    /// plugin's name, such as a path.
    pub fn is_file(text: &str) -> bool {
        let name = text.split('@').next().unwrap_or_default();
        text.ends_with(".wasm") || check_name(name).is_err()
    }

    /// Reads `NAME`, `NAME@VERSION` or `NAME@RANGE`.
    ///
    /// # Errors
    /// Class Config, with what was found and what was expected.
    pub fn parse(text: &str) -> Result<Self> {
        let (name, wanted) = match text.split_once('@') {
            None => (text, Wanted::Newest),
            Some((name, version)) => (name, Wanted::parse(version)?),
        };
        check_name(name)?;
        Ok(PluginRef { name: name.to_owned(), wanted })
    }

    /// With a version or range (`plugin.version`) instead of its own.
    ///
    /// # Errors
    /// Class Config: neither, or it has one of its own already.
    pub fn with_version(self, version: &str) -> Result<Self> {
        if self.wanted != Wanted::Newest {
            return Err(Error::config(format!(
                "`plugin` is `{self}` and `plugin.version` is `{version}`, expected one"
            )));
        }
        Ok(PluginRef { wanted: Wanted::parse(version)?, ..self })
    }

    /// Whether a version is one of those that are meant.
    pub fn matches(&self, version: &Version) -> bool {
        match &self.wanted {
            Wanted::Newest => version.pre.is_empty(),
            Wanted::Exact(wanted) => version == wanted,
            Wanted::Range(range) => range.matches(version),
        }
    }

    /// The version, where it is one and no range.
    pub fn exact(&self) -> Option<&Version> {
        match &self.wanted {
            Wanted::Exact(version) => Some(version),
            _ => None,
        }
    }
}

impl Wanted {
    fn parse(text: &str) -> Result<Self> {
        // `0.1.0` alone is that version, as in Kafka Connect, and not a range as in Cargo.
        match Version::parse(text) {
            Ok(version) => Ok(Wanted::Exact(version)),
            Err(_) => VersionReq::parse(text).map(Wanted::Range).or_config(format!(
                "version `{text}`: expected one as in `0.2.0`, or a range as in `^0.2` or `>=0.1, <0.3`"
            )),
        }
    }
}

/// Refuses a name that cannot be a plugin's.
pub(super) fn check_name(name: &str) -> Result<()> {
    let is_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '-';
    match !name.is_empty() && name.len() <= 100 && name.chars().all(is_name) {
        true => Ok(()),
        false => {
            let found = name.escape_debug();
            Err(Error::config(format!("plugin name is `{found}`, expected lower case letters, digits, `_` and `-`")))
        }
    }
}

impl fmt::Display for PluginRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = &self.name;
        match &self.wanted {
            Wanted::Newest => write!(f, "{name}"),
            Wanted::Exact(version) => write!(f, "{name}@{version}"),
            Wanted::Range(range) => write!(f, "{name}@{range}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_means_some_versions_and_not_others() {
        let check = |text: &str, matching: &[&str], others: &[&str]| {
            let reference = PluginRef::parse(text).unwrap();
            for (versions, expected) in [(matching, true), (others, false)] {
                for version in versions {
                    assert_eq!(reference.matches(&Version::parse(version).unwrap()), expected, "{text} {version}");
                }
            }
        };
        check("wiki", &["0.1.0", "9.0.0"], &["1.0.0-rc.1"]);
        check("wiki@0.1.0", &["0.1.0"], &["0.1.1"]);
        check("wiki@^0.1", &["0.1.0", "0.1.7"], &["0.2.0", "0.1.8-rc.1"]);
        check("wiki@>=0.1, <0.3", &["0.1.0", "0.2.9"], &["0.3.0"]);
        check("wiki@1.0.0-rc.1", &["1.0.0-rc.1"], &["1.0.0"]);
        for wrong in ["", "Wiki", "../wiki", "wiki@", "wiki@newest", "wiki@1.0.0@2"] {
            assert!(PluginRef::parse(wrong).is_err(), "{wrong}");
        }
        for (text, expected) in
            [("./wiki", true), ("wiki.wasm", true), (".", true), ("wiki", false), ("wiki@^0.1", false)]
        {
            assert_eq!(PluginRef::is_file(text), expected, "{text}");
        }
        let pinned = PluginRef::parse("wiki").unwrap().with_version("^0.1").unwrap();
        assert_eq!(pinned.to_string(), "wiki@^0.1");
        assert!(pinned.with_version("0.1.0").unwrap_err().to_string().contains("expected one"));
    }
}
