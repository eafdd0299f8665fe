//! The catalog: a folder of plugins by name and version, `NAME/VERSION.wasm`, each with a record of what was added
//! beside it, `VERSION.json`. A version is never written over, so that a name and a version are always the same bytes.
//!
//! A file is there when its record is: the component is put first. Whoever else writes into the folder is found out by
//! the digest in the record.

use super::package::Package;
use super::reference::{PluginRef, check_name};
use crate::error::{Error, OrError, Result};
use crate::record::now_ms;
use semver::Version;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};

/// Entries of a folder that are looked at.
const MAX_ENTRIES: usize = 100_000;

/// A folder of plugins.
#[derive(Debug, Clone)]
pub struct Catalog {
    folder: PathBuf,
}

/// What the record of a version holds.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Added {
    sha256: String,
    added_ms: i64,
    from: String,
}

/// A version of a plugin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Plugin name.
    pub name: String,
    /// Plugin version.
    pub version: Version,
    /// The component.
    pub path: PathBuf,
    /// SHA-256 of what was added, lower case hexadecimal.
    pub sha256: String,
    /// When it was added, milliseconds since 1970 UTC.
    pub added_ms: i64,
    /// Where it came from.
    pub from: String,
}

/// What became of a plugin that was to be added.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    /// It is there now.
    Added,
    /// The same bytes were there.
    AlreadyThere,
}

impl Catalog {
    /// The catalog in a folder, which need not be there.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Catalog { folder: folder.into() }
    }

    /// Its folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// All versions of all plugins, or of one: by name, then from the oldest to the newest.
    ///
    /// # Errors
    /// Class Config: a folder that cannot be read, or a record that is none.
    pub fn entries(&self, name: Option<&str>) -> Result<Vec<Entry>> {
        let names = match name {
            Some(name) => vec![name.to_owned()],
            None => names_in(&self.folder)?,
        };
        let mut entries = Vec::new();
        for name in names.iter().filter(|name| check_name(name).is_ok()) {
            for file in names_in(&self.folder.join(name))? {
                let Some(version) = file.strip_suffix(".json").and_then(|version| Version::parse(version).ok()) else {
                    continue;
                };
                entries.push(self.entry(name, version)?);
            }
        }
        entries.sort_by(|a, b| (&a.name, &a.version).cmp(&(&b.name, &b.version)));
        Ok(entries)
    }

    fn entry(&self, name: &str, version: Version) -> Result<Entry> {
        let (path, record) = self.places(name, &version);
        let attempt = format!("plugin record `{}`", record.display());
        let text = std::fs::read_to_string(&record).or_config(&attempt)?;
        let Added { sha256, added_ms, from } = serde_json::from_str(&text).or_config(&attempt)?;
        Ok(Entry { name: name.to_owned(), version, path, sha256, added_ms, from })
    }

    fn places(&self, name: &str, version: &Version) -> (PathBuf, PathBuf) {
        let folder = self.folder.join(name);
        (folder.join(format!("{version}.wasm")), folder.join(format!("{version}.json")))
    }

    /// The newest version that a reference means.
    ///
    /// # Errors
    /// Class Config: there is none; the message says which there are.
    pub fn find(&self, reference: &PluginRef) -> Result<Entry> {
        let mut all = self.entries(Some(&reference.name))?;
        let versions: Vec<String> = all.iter().map(|entry| entry.version.to_string()).collect();
        all.retain(|entry| reference.matches(&entry.version));
        all.pop().ok_or_else(|| {
            let folder = self.folder.display();
            let error = Error::config(format!("no plugin `{reference}` in `{folder}`"));
            match versions.is_empty() {
                true => error.with_hint("`host plugin ls` lists what is there, `host plugin add FILE` adds one"),
                false => error.with_hint(format!("versions that are there: `{}`", versions.join("`, `"))),
            }
        })
    }

    /// Reads the newest version that a reference means, and checks that it is what was added.
    ///
    /// # Errors
    /// As for [`Catalog::find`] and [`Package::read`]; class Deny: the file is not what was added.
    pub fn read(&self, reference: &PluginRef) -> Result<Package> {
        Self::read_entry(&self.find(reference)?)
    }

    /// Reads a version, and checks that it is what was added.
    ///
    /// # Errors
    /// As for [`Catalog::read`].
    pub fn read_entry(entry: &Entry) -> Result<Package> {
        let package = Package::read(&entry.path)?;
        let (path, found, expected) = (entry.path.display(), &package.digest, &entry.sha256);
        if found != expected {
            return Err(Error::deny(format!(
                "plugin `{path}` was changed since it was added: sha256 `{found}`, expected `{expected}`"
            ))
            .with_hint("`host plugin rm` it, and add it anew from where it came"));
        }
        let label = format!("{}@{}", entry.name, entry.version);
        match package.label() == label {
            true => Ok(package),
            false => Err(Error::config(format!("plugin `{path}` is `{}`, expected `{label}`", package.label()))),
        }
    }

    /// Keeps a package; `from` is where it came from, for people.
    ///
    /// # Errors
    /// Class Config: other bytes are there under its name and version, or the folder cannot be written.
    pub fn add(&self, package: &Package, from: &str) -> Result<(Entry, Kept)> {
        let plugin = &package.manifest.plugin;
        let version = Version::parse(&plugin.version).or_config(format!("plugin version `{}`", plugin.version))?;
        let (path, record) = self.places(&plugin.name, &version);
        if record.exists() {
            let found = self.entry(&plugin.name, version)?;
            if found.sha256 == package.digest {
                return Ok((found, Kept::AlreadyThere));
            }
            let (label, folder) = (package.label(), self.folder.display());
            return Err(Error::config(format!(
                "`{label}` is in `{folder}` with sha256 `{}`, and this is `{}`",
                found.sha256, package.digest
            ))
            .with_hint(
                "a version is never written over: raise `version` in plugin.toml, or `host plugin rm` it first",
            ));
        }
        let folder = self.folder.join(&plugin.name);
        std::fs::create_dir_all(&folder).or_config(format!("folder `{}`", folder.display()))?;
        let added = Added { sha256: package.digest.clone(), added_ms: now_ms(), from: from.to_owned() };
        let text = serde_json::to_string(&added).or_bug("a plugin record")?;
        put(&path, &package.bytes)?;
        put(&record, text.as_bytes())?;
        Ok((self.entry(&plugin.name, version)?, Kept::Added))
    }

    /// Forgets a version.
    ///
    /// # Errors
    /// Class Config: it cannot be removed.
    pub fn remove(&self, entry: &Entry) -> Result<()> {
        let (path, record) = self.places(&entry.name, &entry.version);
        for path in [record, path] {
            match std::fs::remove_file(&path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(Error::config(format!("removing `{}`: {error}", path.display())));
                }
                _ => {}
            }
        }
        // Gone with its last version; others may be in it.
        let _ = std::fs::remove_dir(self.folder.join(&entry.name));
        Ok(())
    }
}

/// The names in a folder, ascending; none where it is not there.
fn names_in(folder: &Path) -> Result<Vec<String>> {
    let attempt = || format!("plugin folder `{}`", folder.display());
    let read = match std::fs::read_dir(folder) {
        Ok(read) => read,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(Error::config(format!("{}: {error}", attempt()))),
    };
    let mut names = Vec::new();
    for entry in read {
        if names.len() == MAX_ENTRIES {
            return Err(Error::config(format!("{} holds more than {MAX_ENTRIES} entries", attempt())));
        }
        names.extend(entry.or_config(attempt())?.file_name().into_string());
    }
    names.sort();
    Ok(names)
}

/// Puts a file under its name at once, and on the disk.
fn put(path: &Path, bytes: &[u8]) -> Result<()> {
    let attempt = format!("writing `{}`", path.display());
    let folder = path.parent().unwrap_or(Path::new("."));
    let aside = path.with_extension(format!("{}.tmp", std::process::id()));
    let write = || -> std::io::Result<()> {
        let mut file = File::create(&aside)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(&aside, path)?;
        File::open(folder)?.sync_all()
    };
    write().or_config(attempt).inspect_err(|_| {
        // What is left of it is in nobody's way, but of no use.
        let _ = std::fs::remove_file(&aside);
    })
}
