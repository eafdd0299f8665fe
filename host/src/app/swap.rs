//! New versions of plugins, for connectors that run: asked for by name, or found in a file that is watched.

use super::source::Swappable;
use crate::error::{Error, OrError, Result};
use crate::plugin::Package;
use crate::task::{Stop, Swapped};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// How often watched files are looked at. One that changes is taken when it was the same twice: it may be
/// written in pieces.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Swaps plugins. Clones share the connectors; dropping the last one ends the watching.
#[derive(Clone)]
pub struct Swaps(Arc<Shared>);

struct Shared {
    connectors: Arc<BTreeMap<String, Swappable>>,
    stop: Arc<Stop>,
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.stop.ask(Duration::ZERO);
    }
}

impl Swaps {
    /// Watches the files that are to be.
    pub(super) fn start(connectors: BTreeMap<String, Swappable>) -> Result<Self> {
        let (connectors, stop) = (Arc::new(connectors), Arc::new(Stop::default()));
        let watched: Vec<Watched> = connectors.iter().filter_map(|(name, source)| Watched::new(name, source)).collect();
        if !watched.is_empty() {
            let (connectors, stop) = (Arc::clone(&connectors), Arc::clone(&stop));
            let thread = std::thread::Builder::new().name("plugin-watch".to_owned());
            thread
                .spawn(move || watch(watched, &connectors, &stop))
                .or_retry("starting the thread that watches plugins")?;
        }
        Ok(Swaps(Arc::new(Shared { connectors, stop })))
    }

    /// Lets another version, a file or one of the catalog (`NAME@VERSION`), take over from the one that a connector runs, between two of its batches. Feed,
    /// positions and other connectors go on.
    ///
    /// # Errors
    /// Why it does not; the version that runs goes on then. Class Config: there is no such connector, its kind has
    /// no plugin that can be swapped, or the new version does not fit. Class Deny: it wants more than is granted.
    /// Class Retry: the task did not come to it in time.
    pub fn swap(&self, connector: &str, plugin: &str) -> Result<Swapped> {
        let found = self.0.connectors.get(connector).ok_or_else(|| {
            let known: Vec<&str> = self.0.connectors.keys().map(String::as_str).collect();
            let error = Error::config(format!("no connector `{connector}` with a source plugin runs here"));
            error.with_hint(format!("those that can be swapped: `{}`", known.join("`, `")))
        })?;
        found.swap(plugin)
    }
}

/// A file as it was last seen.
struct Watched {
    connector: String,
    path: PathBuf,
    digest: String,
    seen: Option<(SystemTime, u64)>,
    is_new: bool,
}

impl Watched {
    fn new(connector: &str, source: &Swappable) -> Option<Self> {
        let (path, digest) = source.watched()?;
        Some(Watched { connector: connector.to_owned(), seen: state(&path), path, digest, is_new: false })
    }

    /// Whether something else is in the file than before, or another file is meant, and it is not being written any more.
    fn has_changed(&mut self, path: PathBuf) -> bool {
        if path != self.path {
            (self.path, self.seen) = (path, None);
        }
        let now = state(&self.path);
        let is_still = now == self.seen;
        self.seen = now;
        self.is_new |= !is_still;
        is_still && std::mem::take(&mut self.is_new) && now.is_some()
    }
}

fn state(path: &Path) -> Option<(SystemTime, u64)> {
    let meta = std::fs::metadata(path).ok()?;
    Some((meta.modified().ok()?, meta.len()))
}

fn watch(mut watched: Vec<Watched>, connectors: &BTreeMap<String, Swappable>, stop: &Stop) {
    while !stop.wait(LOOK_EVERY) {
        for file in &mut watched {
            let Some(source) = connectors.get(&file.connector) else { continue };
            let Some((path, named)) = source.file_now() else { continue };
            if !file.has_changed(path) {
                continue;
            }
            let (connector, plugin) = (file.connector.as_str(), file.path.display());
            match Package::read(&file.path) {
                Ok(package) if package.digest == file.digest => continue,
                Ok(package) => file.digest = package.digest,
                Err(error) => {
                    tracing::warn!(connector, %plugin, %error, "the watched plugin cannot be read");
                    continue;
                }
            }
            // What came of it the task has told; a refusal before that is told here.
            if let Err(error) = source.swap(&named) {
                tracing::warn!(connector, %plugin, %error, hint = error.hint(), "the new version does not take over");
            }
        }
    }
}
