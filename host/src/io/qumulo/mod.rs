//! A directory of a Qumulo cluster, over its REST API.
//!
//! Calls block the thread they are made from and run on a runtime of several threads that is handed
//! in; none may be made from within an async task. Nothing is sent before the first call, which
//! logs in. Requests that may be repeated are repeated within a bound; creating, renaming, appending
//! and writing know what to do about an answer that was lost (see the rooms). Nothing here keeps a
//! path's id from one call to the next: `cluster` says why.
//!
//! What the API is, and what of it is only assumed: `qumulo-api.md`, from the official client
//! `qumulo-api` 7.10 and the REST guide of Qumulo Core 7.2.
//!
//! Refused: following redirects or proxies, certificates that do not prove the cluster, and names
//! that a path of the port cannot hold (they are left out of listings, with a warning).

mod append;
mod backoff;
mod client;
mod cluster;
mod events;
mod failure;
mod read;
mod rename;
mod snapshots;
mod tls;
mod watch;
mod wire;
mod write;

#[cfg(test)]
mod tests;

use crate::error::{Error, Result};
use crate::ports::files::{FileInfo, FilePath, FileReader, FileWriter, Files, Moved, Snapshots, Watch};
use crate::ports::qumulo::QumuloSettings;
use bytes::Bytes;
use cluster::Cluster;
use read::QumuloReader;
use snapshots::QumuloSnapshots;
use std::collections::HashSet;
use std::fmt::Display;
use std::sync::Arc;
use tokio::runtime::Handle;
use watch::QumuloWatch;
use write::QumuloWriter;

/// A directory of a cluster as a store of files.
pub struct QumuloFiles {
    cluster: Arc<Cluster>,
    runtime: Handle,
    snapshots: QumuloSnapshots,
}

impl QumuloFiles {
    /// A store that connects when it is first used. `runtime` has several threads.
    ///
    /// # Errors
    /// Class Config: an address, a directory or a certificate file that cannot be.
    pub fn new(settings: QumuloSettings, runtime: Handle) -> Result<Self> {
        let cluster = Arc::new(Cluster::new(settings)?);
        let snapshots = QumuloSnapshots { cluster: Arc::clone(&cluster), runtime: runtime.clone() };
        Ok(QumuloFiles { cluster, runtime, snapshots })
    }

    /// Runs a call to its end and says what was attempted if it fails.
    fn run<T>(&self, call: impl Future<Output = Result<T>>, attempt: impl Display) -> Result<T> {
        self.runtime.block_on(call).map_err(|error| self.cluster.explain(error, attempt))
    }
}

impl Files for QumuloFiles {
    fn describe(&self) -> String {
        self.cluster.describe()
    }

    fn stat(&self, path: &FilePath) -> Result<Option<FileInfo>> {
        self.run(self.cluster.stat(path), format_args!("looking at `{path}`"))
    }

    fn list(&self, directory: &FilePath, each: &mut dyn FnMut(FileInfo) -> Result<()>) -> Result<bool> {
        let attempt = format_args!("listing `{directory}`");
        // The first page by path; the further ones of the same directory, wherever it is by then.
        let mut reference = self.cluster.absolute(directory);
        let mut after: Option<String> = None;
        let mut keys = HashSet::new();
        loop {
            let Some(page) = self.run(self.cluster.page(&reference, after.as_deref()), attempt)? else {
                return Ok(false);
            };
            let next = page.after().map_err(|error| self.cluster.explain(error, attempt))?;
            for attributes in &page.files {
                let name = &attributes.name;
                match directory.join(name) {
                    Ok(path) if path.parent() == *directory && !path.is_root() => {
                        let info = attributes.at(&path).map_err(|error| self.cluster.explain(error, attempt))?;
                        each(info)?;
                    }
                    _ => {
                        let (directory, name) = (directory.to_string(), name.escape_debug().to_string());
                        tracing::warn!(directory, name, "a name that cannot be used is left out of a listing");
                    }
                }
            }
            let Some(next) = next else { return Ok(true) };
            if !keys.insert(next.clone()) {
                let error = Error::retry(format!("the page after `{}` came twice", next.escape_debug()));
                return Err(self.cluster.explain(error, attempt));
            }
            reference = page.id;
            after = Some(next);
        }
    }

    fn make_directories(&self, directory: &FilePath) -> Result<FileInfo> {
        self.run(self.cluster.make_directories(directory), format_args!("making directory `{directory}`"))
    }

    fn create(&self, path: &FilePath) -> Result<Option<Box<dyn FileWriter>>> {
        let created = self.run(self.cluster.create(path), format_args!("creating `{path}`"))?;
        let writer = |created| {
            let (cluster, runtime) = (Arc::clone(&self.cluster), self.runtime.clone());
            Box::new(QumuloWriter::new(cluster, runtime, path.clone(), created)) as Box<dyn FileWriter>
        };
        Ok(created.map(writer))
    }

    fn append(&self, path: &FilePath, bytes: Bytes) -> Result<FileInfo> {
        self.run(self.cluster.append(path, bytes), format_args!("appending to `{path}`"))
    }

    fn read(&self, file: &FileInfo, offset: u64, length: Option<u64>) -> Result<Box<dyn FileReader>> {
        let (cluster, runtime) = (Arc::clone(&self.cluster), self.runtime.clone());
        Ok(Box::new(QumuloReader::open(cluster, runtime, file, offset, length)?))
    }

    fn rename(&self, from: &FileInfo, to: &FilePath) -> Result<Moved> {
        self.run(self.cluster.rename(from, to, false), format_args!("renaming `{}` to `{to}`", from.path))
    }

    fn replace(&self, from: &FileInfo, to: &FilePath) -> Result<Moved> {
        self.run(self.cluster.rename(from, to, true), format_args!("replacing `{to}` by `{}`", from.path))
    }

    fn delete(&self, file: &FileInfo) -> Result<bool> {
        self.run(self.cluster.delete(file), format_args!("deleting `{}`", file.path))
    }

    fn delete_tree(&self, directory: &FileInfo) -> Result<bool> {
        self.run(self.cluster.delete_tree(directory), format_args!("deleting directory `{}`", directory.path))
    }

    fn free_bytes(&self) -> Result<Option<u64>> {
        self.run(self.cluster.free_bytes(), "asking for free space")
    }

    fn watch(&self, directory: &FilePath) -> Result<Box<dyn Watch>> {
        Ok(Box::new(QumuloWatch::start(Arc::clone(&self.cluster), &self.runtime, directory.clone())))
    }

    fn snapshots(&self) -> Option<&dyn Snapshots> {
        Some(&self.snapshots)
    }
}
