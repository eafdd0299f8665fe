//! Snapshots: copies of a directory's files, and of what its tree looked like.
//!
//! A snapshot is a row, a row for each object, and a folder with the data of each file under its
//! id. It is there once its own row is written, which comes last; objects and folders without that
//! row are left of one that never was, and go at the next start.

use std::collections::BTreeMap;
use std::fs::File;

use rusqlite::{OptionalExtension, params};
use serde_json::Value;

use super::attributes::Kind;
use super::find::Found;
use super::index::Index;
use super::{HIDDEN, Id, Ref, Store};
use crate::clock::now_ms;
use crate::qumulo::answer::{Class, Refusal};

/// How many rows are held before they are written.
const BATCH: usize = 1000;

/// A snapshot there is.
#[derive(Debug, Clone)]
pub(in super::super) struct Snapshot {
    pub(in super::super) id: i64,
    pub(in super::super) name: String,
    pub(in super::super) source: Id,
    pub(in super::super) source_path: String,
    pub(in super::super) taken_ns: i64,
    /// Milliseconds since 1970; `None` for never.
    pub(in super::super) expiration_ms: Option<i64>,
}

/// An object as a snapshot keeps it.
pub(super) struct Kept {
    pub(super) id: Id,
    pub(super) path: String,
    pub(super) etag: String,
    pub(super) attributes: Value,
}

/// How a path differs between two snapshots.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Change {
    Create,
    Modify,
    Delete,
}

impl Store {
    /// Takes a snapshot of a directory; `name` makes its name of its id. Nothing changes meanwhile.
    ///
    /// # Errors
    /// Classes `NoSuchEntry`, `NotADirectory` and what the system says.
    pub(in super::super) fn take_snapshot(
        &self,
        what: &Ref,
        name: impl FnOnce(i64) -> String,
        expiration_ms: Option<i64>,
    ) -> Result<Snapshot, Refusal> {
        let index = &*self.index();
        let top = self.find_dir(index, what)?;
        let id = self.next_snapshot(index)?;
        let snapshot = Snapshot {
            id,
            name: name(id),
            source: top.id(),
            source_path: if top.path.is_empty() { "/".to_owned() } else { format!("/{}/", top.path) },
            taken_ns: now_ms().saturating_mul(1_000_000),
            expiration_ms,
        };
        let taken = self.copy_tree(index, id, &top).and_then(|()| keep_snapshot(index, &snapshot));
        match taken {
            Ok(()) => Ok(snapshot),
            Err(refusal) => {
                self.drop_snapshot(index, id)?;
                Err(refusal)
            }
        }
    }

    /// Keeps what is at and below `top`, and the way there, which is part of every path.
    fn copy_tree(&self, index: &Index, id: i64, top: &Found) -> Result<(), Refusal> {
        let folder = folder(id);
        self.dir.create_dir_all(&folder)?;
        let mut rows = Vec::new();
        let mut at = self.find(index, &Ref::Path(Vec::new()))?;
        for name in top.path.split('/').filter(|name| !name.is_empty()) {
            rows.push((at.clone(), self.describe(index, &at)?.to_string()));
            at = self.child(index, &at, name)?.ok_or_else(|| Refusal::no_entry(name))?;
        }
        let mut stack = vec![at];
        while let Some(found) = stack.pop() {
            let kept = format!("{folder}/{}", found.id());
            match found.meta.kind {
                Kind::Directory => {
                    self.scan(index, &found)?;
                    for row in index.rows_after(found.id(), 0, i64::MAX)? {
                        stack.extend(self.child(index, &found, &row.name)?);
                    }
                }
                Kind::File => drop(self.dir.copy(&found.path, &self.dir, &kept)?),
                Kind::Symlink => {
                    let target = self.dir.read_link_contents(&found.path)?;
                    self.dir.write(&kept, target.into_os_string().into_encoded_bytes())?;
                }
                _ => {}
            }
            let text = self.describe(index, &found)?.to_string();
            rows.push((found, text));
            if rows.len() >= BATCH {
                keep_rows(index, id, &mut rows)?;
            }
        }
        keep_rows(index, id, &mut rows)
    }

    fn next_snapshot(&self, index: &Index) -> Result<i64, Refusal> {
        let last = "SELECT COALESCE(MAX(seq), 0) FROM sqlite_sequence WHERE name = 'snapshots'";
        let last: i64 = index.db().query_row(last, [], |row| row.get(0))?;
        Ok(last + 1)
    }

    /// The snapshots there are, oldest first. Those whose time is over are gone.
    pub(in super::super) fn snapshots(&self) -> Result<Vec<Snapshot>, Refusal> {
        let now = now_ms();
        let index = self.index();
        let sql = "SELECT id, name, source, source_path, taken_ns, expiration_ms FROM snapshots ORDER BY id";
        let mut query = index.db().prepare_cached(sql)?;
        let rows = query.query_map([], |row| {
            Ok(Snapshot {
                id: row.get(0)?,
                name: row.get(1)?,
                source: row.get(2)?,
                source_path: row.get(3)?,
                taken_ns: row.get(4)?,
                expiration_ms: row.get(5)?,
            })
        })?;
        let (mut there, mut over) = (Vec::new(), Vec::new());
        for snapshot in rows {
            let snapshot = snapshot?;
            match snapshot.expiration_ms.is_some_and(|at| at <= now) {
                true => over.push(snapshot.id),
                false => there.push(snapshot),
            }
        }
        for id in over {
            self.drop_snapshot(&index, id)?;
        }
        Ok(there)
    }

    /// # Errors
    /// Class `NotFound`.
    pub(in super::super) fn snapshot(&self, id: i64) -> Result<Snapshot, Refusal> {
        let found = self.snapshots()?.into_iter().find(|snapshot| snapshot.id == id);
        found.ok_or_else(|| no_snapshot(id))
    }

    /// # Errors
    /// Class `NotFound`.
    pub(in super::super) fn delete_snapshot(&self, id: i64) -> Result<(), Refusal> {
        self.snapshot(id)?;
        self.drop_snapshot(&self.index(), id)
    }

    /// # Errors
    /// Class `NotFound`.
    pub(in super::super) fn set_snapshot_expiration(&self, id: i64, at_ms: Option<i64>) -> Result<Snapshot, Refusal> {
        self.snapshot(id)?;
        self.with_db(|db| db.execute("UPDATE snapshots SET expiration_ms = ?2 WHERE id = ?1", params![id, at_ms]))?;
        self.snapshot(id)
    }

    /// Bytes that snapshots keep.
    pub(in super::super) fn snapshot_bytes(&self) -> Result<i64, Refusal> {
        let sql = "SELECT COALESCE(SUM(size), 0) FROM snapshot_entries";
        self.with_db(|db| db.query_row(sql, [], |row| row.get(0)))
    }

    /// What differs from an older snapshot to a newer one, by path.
    ///
    /// # Errors
    /// Class `NotFound`.
    pub(in super::super) fn snapshot_changes(
        &self,
        newer: i64,
        older: i64,
    ) -> Result<BTreeMap<String, Change>, Refusal> {
        self.snapshot(newer)?;
        self.snapshot(older)?;
        let tags = |id: i64| {
            self.with_db(|db| {
                let mut query = db.prepare("SELECT path, etag FROM snapshot_entries WHERE snapshot = ?1")?;
                let rows = query.query_map([id], |row| Ok((row.get(0)?, row.get(1)?)))?;
                rows.collect::<rusqlite::Result<BTreeMap<String, String>>>()
            })
        };
        let (old, new) = (tags(older)?, tags(newer)?);
        let gone = old.keys().filter(|path| !new.contains_key(*path)).map(|path| (path.clone(), Change::Delete));
        let other = new.iter().filter_map(|(path, tag)| match old.get(path) {
            None => Some((path.clone(), Change::Create)),
            Some(before) if before != tag => Some((path.clone(), Change::Modify)),
            Some(_) => None,
        });
        Ok(gone.chain(other).collect())
    }

    /// # Errors
    /// Classes `NotFound` for the snapshot and `NoSuchEntry` within it.
    pub(super) fn find_in_snapshot(&self, index: &Index, snapshot: i64, what: &Ref) -> Result<Kept, Refusal> {
        let there = "SELECT 1 FROM snapshots WHERE id = ?1";
        if !index.db().prepare_cached(there)?.exists([snapshot])? {
            return Err(no_snapshot(snapshot));
        }
        let (column, key): (_, rusqlite::types::Value) = match what {
            Ref::Id(id) => ("id", (*id).into()),
            Ref::Path(names) => ("path", names.join("/").into()),
        };
        let sql = format!(
            "SELECT id, path, etag, attributes FROM snapshot_entries WHERE snapshot = ?1 AND {column} = ?2 LIMIT 1"
        );
        let kept = index.db().prepare_cached(&sql)?.query_row(params![snapshot, key], |row| {
            let text: String = row.get(3)?;
            let attributes = serde_json::from_str(&text).unwrap_or_default();
            Ok(Kept { id: row.get(0)?, path: row.get(1)?, etag: row.get(2)?, attributes })
        });
        kept.optional()?.ok_or_else(|| Refusal::no_entry(what))
    }

    pub(super) fn open_kept(&self, snapshot: i64, id: Id) -> Result<File, Refusal> {
        Ok(self.dir.open(format!("{}/{id}", folder(snapshot)))?.into_std())
    }

    fn drop_snapshot(&self, index: &Index, id: i64) -> Result<(), Refusal> {
        let transaction = index.transaction()?;
        transaction.execute("DELETE FROM snapshots WHERE id = ?1", [id])?;
        transaction.execute("DELETE FROM snapshot_entries WHERE snapshot = ?1", [id])?;
        transaction.commit()?;
        match self.dir.remove_dir_all(folder(id)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// Removes what is left of snapshots that never were, or are no more.
    pub(super) fn sweep_snapshots(&self) {
        let swept = self.snapshots().and_then(|snapshots| {
            let orphans = "DELETE FROM snapshot_entries WHERE snapshot NOT IN (SELECT id FROM snapshots)";
            self.with_db(|db| db.execute(orphans, []))?;
            let Ok(entries) = self.dir.read_dir(format!("{HIDDEN}/snapshots")) else { return Ok(()) };
            for entry in entries {
                let name = entry?.file_name();
                let is_kept = snapshots.iter().any(|snapshot| name.to_str() == Some(&snapshot.id.to_string()));
                if !is_kept {
                    self.dir.remove_dir_all(std::path::Path::new(HIDDEN).join("snapshots").join(name))?;
                }
            }
            Ok(())
        });
        if let Err(refusal) = swept {
            tracing::warn!(?refusal, "failed to sweep what is left of snapshots");
        }
    }
}

/// Writes the rows of objects and empties the list.
fn keep_rows(index: &Index, id: i64, rows: &mut Vec<(Found, String)>) -> Result<(), Refusal> {
    let transaction = index.transaction()?;
    let sql = "INSERT INTO snapshot_entries (snapshot, parent, position, name, id, path, size, etag, attributes) \
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
    for (found, text) in rows.drain(..) {
        let parent = found.parent().unwrap_or(0);
        let position = index.row(parent, found.name())?.map_or(1, |row| row.position);
        let size = i64::try_from(found.meta.size).unwrap_or(i64::MAX);
        let size = if found.meta.kind == Kind::File { size } else { 0 };
        let (name, path, etag) = (found.name(), &found.path, found.etag());
        transaction.prepare_cached(sql)?.execute(params![
            id,
            parent,
            position,
            name,
            found.id(),
            path,
            size,
            etag,
            text
        ])?;
    }
    Ok(transaction.commit()?)
}

/// Makes a snapshot be there.
fn keep_snapshot(index: &Index, snapshot: &Snapshot) -> Result<(), Refusal> {
    let sql = "INSERT INTO snapshots (id, name, source, source_path, taken_ns, expiration_ms) \
               VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
    let Snapshot { id, name, source, source_path, taken_ns, expiration_ms } = snapshot;
    index.db().execute(sql, params![id, name, source, source_path, taken_ns, expiration_ms])?;
    Ok(())
}

fn folder(id: i64) -> String {
    format!("{HIDDEN}/snapshots/{id}")
}

fn no_snapshot(id: i64) -> Refusal {
    Refusal::new(Class::NotFound, format!("there is no snapshot `{id}`"))
}
