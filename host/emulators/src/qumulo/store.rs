//! The served folder as a file system with ids: the files are real ones, their ids and everything
//! else a file system does not keep are in [`HIDDEN`] inside it.
//!
//! Invariants: nothing outside the folder is reached, by no name and through no link (cap-std); one
//! lock orders all changes of names, so a rename is atomic against renames and listings; an id
//! follows its object over renames and restarts; [`HIDDEN`] has no name in the API. All of this
//! blocks, so it runs on blocking threads.
//!
//! - `store/index.rs` keeps ids, names and revisions in SQLite;
//! - `store/find.rs` goes from references to objects, and takes up what others put into the folder;
//! - `store/list.rs` gives pages of a directory;
//! - `store/change.rs` creates, renames and deletes;
//! - `store/attributes.rs` is what an object looks like, `store/patch.rs` changes it;
//! - `store/write.rs` reads and writes data;
//! - `store/usage.rs` counts bytes and objects;
//! - `store/snapshots.rs` keeps copies.

mod attributes;
mod change;
mod find;
mod index;
mod list;
mod patch;
mod snapshots;
mod usage;
mod write;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use cap_std::ambient_authority;
use cap_std::fs::Dir;
use rusqlite::OptionalExtension;

pub(super) use attributes::{rfc3339, rfc3339_ms};
pub(super) use change::New;
pub(super) use find::Found;
pub(super) use list::Wanted;
pub(super) use patch::Patch;
pub(super) use snapshots::{Change, Snapshot};
pub(super) use usage::{Part, Totals};
pub(super) use write::{Copy, How, Reader};

use super::answer::{Class, Refusal};
use super::watchers::Watchers;
use crate::{Error, lock};
use index::Index;

/// The id of an object. Positive; 2 is the root.
pub(super) type Id = i64;
/// The root directory, `qumulo-api.md` section 4.
pub(super) const ROOT: Id = 2;
/// The folder within the served one that holds the bookkeeping.
pub(super) const HIDDEN: &str = ".qumulo-emulator";

/// How a client names an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Ref {
    Id(Id),
    /// The names from the root on; none for the root.
    Path(Vec<String>),
}

impl std::fmt::Display for Ref {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Id(id) => write!(out, "id `{id}`"),
            Self::Path(names) => write!(out, "path `/{}`", names.join("/")),
        }
    }
}

/// A served folder.
pub(super) struct Store {
    dir: Dir,
    index: Mutex<Index>,
    watchers: Arc<Watchers>,
    /// Bytes in files, once somebody asked.
    used: Mutex<Option<u64>>,
    max_bytes: Option<u64>,
    durable: bool,
    /// Files being written, with the number of writers.
    writing: Mutex<HashMap<Id, u64>>,
    is_read_only: AtomicBool,
    is_full: AtomicBool,
}

/// What of the options concerns the store.
pub(super) struct Settings {
    pub(super) max_bytes: Option<u64>,
    pub(super) durable: bool,
    pub(super) read_only: bool,
}

impl Store {
    /// Opens a folder, made where it is missing. One process at a time may.
    ///
    /// # Errors
    /// [`Error::Folder`] and [`Error::Bookkeeping`].
    pub(super) fn open(path: &Path, settings: &Settings, watchers: Arc<Watchers>) -> Result<Self, Error> {
        let folder = |source| Error::Folder { path: path.to_owned(), source };
        let authority = ambient_authority();
        Dir::create_ambient_dir_all(path, authority).map_err(folder)?;
        let dir = Dir::open_ambient_dir(path, authority).map_err(folder)?;
        dir.create_dir_all(HIDDEN).map_err(folder)?;
        // A link here would take the bookkeeping out of the folder.
        if !dir.symlink_metadata(HIDDEN).map_err(folder)?.is_dir() {
            return Err(folder(std::io::ErrorKind::NotADirectory.into()));
        }
        let state: PathBuf = path.join(HIDDEN).join("state.db");
        let index = Index::open(&state).map_err(|source| Error::Bookkeeping { path: state, source })?;
        let store = Self {
            dir,
            index: Mutex::new(index),
            watchers,
            used: Mutex::default(),
            max_bytes: settings.max_bytes,
            durable: settings.durable,
            writing: Mutex::default(),
            is_read_only: AtomicBool::new(settings.read_only),
            is_full: AtomicBool::new(false),
        };
        store.sweep_snapshots();
        Ok(store)
    }

    /// Whether everything that writes is refused.
    pub(super) fn set_read_only(&self, is_read_only: bool) {
        self.is_read_only.store(is_read_only, Ordering::Relaxed);
    }

    /// Whether everything that grows is refused.
    pub(super) fn set_full(&self, is_full: bool) {
        self.is_full.store(is_full, Ordering::Relaxed);
    }

    /// # Errors
    /// Class `ReadOnly`.
    pub(super) fn check_writable(&self) -> Result<(), Refusal> {
        match self.is_read_only.load(Ordering::Relaxed) {
            true => Err(Refusal::new(Class::ReadOnly, "the file system is read-only")),
            false => Ok(()),
        }
    }

    fn index(&self) -> MutexGuard<'_, Index> {
        lock(&self.index)
    }

    /// Runs `what` on the database, for rooms that keep tables of their own.
    pub(super) fn with_db<T>(
        &self,
        what: impl FnOnce(&rusqlite::Connection) -> rusqlite::Result<T>,
    ) -> Result<T, Refusal> {
        Ok(what(self.index().db())?)
    }

    /// A setting that was kept, or the default.
    pub(super) fn setting(&self, key: &str, default: &str) -> Result<String, Refusal> {
        let sql = "SELECT value FROM settings WHERE key = ?1";
        let kept = self.with_db(|db| db.query_row(sql, [key], |row| row.get(0)).optional())?;
        Ok(kept.unwrap_or_else(|| default.to_owned()))
    }

    pub(super) fn keep_setting(&self, key: &str, value: &str) -> Result<(), Refusal> {
        let sql = "INSERT INTO settings (key, value) VALUES (?1, ?2) ON CONFLICT (key) DO UPDATE SET value = ?2";
        self.with_db(|db| db.execute(sql, [key, value]))?;
        Ok(())
    }
}
