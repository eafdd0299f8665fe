//! Ids, names and revisions, in SQLite.
//!
//! Two tables: a node is an object, known again by its inode and its time of birth; an entry is a
//! name in a directory. Invariants: an entry's position is decided by its name alone, so that a page
//! that begins after a position misses nothing and repeats nothing, whatever came or went; ids are
//! never used twice. What is here may be behind the folder (others write there too); the folder is
//! right.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::path::Path;

use rusqlite::{Connection, OptionalExtension, Transaction, params};
use sha2::{Digest, Sha256};

use super::attributes::Meta;
use super::{Id, ROOT};

const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS nodes (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    ino INTEGER NOT NULL,
    born INTEGER NOT NULL,
    revision INTEGER NOT NULL DEFAULT 1,
    fields TEXT
);
CREATE INDEX IF NOT EXISTS nodes_by_ino ON nodes (ino);
CREATE TABLE IF NOT EXISTS entries (
    parent INTEGER NOT NULL,
    position INTEGER NOT NULL,
    name TEXT NOT NULL,
    id INTEGER NOT NULL,
    PRIMARY KEY (parent, position)
) WITHOUT ROWID;
CREATE UNIQUE INDEX IF NOT EXISTS entries_by_name ON entries (parent, name);
CREATE INDEX IF NOT EXISTS entries_by_id ON entries (id);
CREATE TABLE IF NOT EXISTS settings (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS access_tokens (
    id TEXT PRIMARY KEY,
    digest BLOB NOT NULL UNIQUE,
    creation_ms INTEGER NOT NULL,
    expiration_ms INTEGER,
    enabled INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS snapshots (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL,
    source INTEGER NOT NULL,
    source_path TEXT NOT NULL,
    taken_ns INTEGER NOT NULL,
    expiration_ms INTEGER
);
CREATE TABLE IF NOT EXISTS snapshot_entries (
    snapshot INTEGER NOT NULL,
    parent INTEGER NOT NULL,
    position INTEGER NOT NULL,
    name TEXT NOT NULL,
    id INTEGER NOT NULL,
    path TEXT NOT NULL,
    size INTEGER NOT NULL,
    etag TEXT NOT NULL,
    attributes TEXT NOT NULL,
    PRIMARY KEY (snapshot, parent, position)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS snapshot_entries_by_id ON snapshot_entries (snapshot, id);
CREATE INDEX IF NOT EXISTS snapshot_entries_by_name ON snapshot_entries (snapshot, parent, name);
CREATE INDEX IF NOT EXISTS snapshot_entries_by_path ON snapshot_entries (snapshot, path);
INSERT OR IGNORE INTO nodes (id, ino, born) VALUES (2, 0, 0);
";

/// A name in a directory and the node it leads to.
#[derive(Debug, Clone)]
pub(super) struct Row {
    pub(super) position: i64,
    pub(super) name: String,
    pub(super) node: Node,
}

/// What is kept of an object.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) id: Id,
    pub(super) ino: i64,
    pub(super) born: i64,
    pub(super) revision: i64,
    /// Attributes that the folder cannot keep, as a JSON object.
    pub(super) fields: Option<String>,
}

impl Node {
    /// Whether this is the object that was found under its name.
    pub(super) fn is(&self, meta: &Meta) -> bool {
        self.ino == meta.ino && self.born == meta.born
    }
}

/// The database, and what is known of directories since the start.
pub(super) struct Index {
    db: Connection,
    /// Directories whose names were taken up, with their time of change and when that was looked
    /// at, both in nanoseconds.
    pub(super) scanned: RefCell<HashMap<Id, (i64, i64)>>,
}

const ROW: &str = "e.position, e.name, n.id, n.ino, n.born, n.revision, n.fields";

impl Index {
    pub(super) fn open(path: &Path) -> rusqlite::Result<Self> {
        let db = Connection::open(path)?;
        // The lock is held until the process ends: two emulators on one folder would disagree.
        db.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
        db.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
        // Safe against the end of the process, and against a power failure but for the last ids,
        // which are then given anew.
        db.pragma_update(None, "synchronous", "NORMAL")?;
        db.execute_batch(SCHEMA)?;
        Ok(Self { db, scanned: RefCell::default() })
    }

    pub(super) fn db(&self) -> &Connection {
        &self.db
    }

    pub(super) fn transaction(&self) -> rusqlite::Result<Transaction<'_>> {
        self.db.unchecked_transaction()
    }

    pub(super) fn root(&self) -> rusqlite::Result<Node> {
        let sql = "SELECT id, ino, born, revision, fields FROM nodes WHERE id = ?1";
        self.db.prepare_cached(sql)?.query_row([ROOT], |row| read_node(row, 0))
    }

    pub(super) fn row(&self, parent: Id, name: &str) -> rusqlite::Result<Option<Row>> {
        let sql =
            format!("SELECT {ROW} FROM entries e JOIN nodes n ON n.id = e.id WHERE e.parent = ?1 AND e.name = ?2");
        self.db.prepare_cached(&sql)?.query_row(params![parent, name], read_row).optional()
    }

    /// The rows after a position, in their order.
    pub(super) fn rows_after(&self, parent: Id, after: i64, limit: i64) -> rusqlite::Result<Vec<Row>> {
        let sql = format!(
            "SELECT {ROW} FROM entries e JOIN nodes n ON n.id = e.id WHERE e.parent = ?1 AND e.position > ?2 \
             ORDER BY e.position LIMIT ?3"
        );
        self.db.prepare_cached(&sql)?.query_map(params![parent, after, limit], read_row)?.collect()
    }

    pub(super) fn names(&self, parent: Id) -> rusqlite::Result<HashSet<String>> {
        let mut query = self.db.prepare_cached("SELECT name FROM entries WHERE parent = ?1")?;
        query.query_map([parent], |row| row.get(0))?.collect()
    }

    pub(super) fn count(&self, parent: Id) -> rusqlite::Result<i64> {
        let mut query = self.db.prepare_cached("SELECT COUNT(*) FROM entries WHERE parent = ?1")?;
        query.query_row([parent], |row| row.get(0))
    }

    /// The directories that an object is in, with its names there.
    pub(super) fn places(&self, id: Id) -> rusqlite::Result<Vec<(Id, String)>> {
        let mut query = self.db.prepare_cached("SELECT parent, name FROM entries WHERE id = ?1")?;
        query.query_map([id], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
    }

    /// Takes up an object under a name that has no entry. One that is known by another name keeps
    /// its id: it has several names, or somebody else has renamed it.
    pub(super) fn adopt(&self, parent: Id, name: &str, meta: &Meta) -> rusqlite::Result<Row> {
        let known = "SELECT id FROM nodes WHERE ino = ?1 AND born = ?2 AND born <> 0 AND id <> 2";
        let known: Option<Id> =
            self.db.prepare_cached(known)?.query_row([meta.ino, meta.born], |row| row.get(0)).optional()?;
        let id = match known {
            Some(id) => {
                if meta.num_links <= 1 || meta.is_dir() {
                    self.db.prepare_cached("DELETE FROM entries WHERE id = ?1")?.execute([id])?;
                }
                id
            }
            None => {
                let sql = "INSERT INTO nodes (ino, born) VALUES (?1, ?2)";
                self.db.prepare_cached(sql)?.insert([meta.ino, meta.born])?
            }
        };
        self.link(parent, name, id)?;
        // Just written, so it is there.
        self.row(parent, name)?.ok_or(rusqlite::Error::QueryReturnedNoRows)
    }

    /// Makes an entry for a node.
    pub(super) fn link(&self, parent: Id, name: &str, id: Id) -> rusqlite::Result<()> {
        let mut position = position(name);
        let taken = "SELECT 1 FROM entries WHERE parent = ?1 AND position = ?2";
        // Two names with one hash, once in 10^9 directories of 100,000 entries.
        while self.db.prepare_cached(taken)?.exists([parent, position])? {
            position = (position % i64::MAX) + 1;
        }
        let sql = "INSERT INTO entries (parent, position, name, id) VALUES (?1, ?2, ?3, ?4)";
        self.db.prepare_cached(sql)?.execute(params![parent, position, name, id])?;
        Ok(())
    }

    /// Removes an entry, but not its node.
    pub(super) fn unlink(&self, parent: Id, name: &str) -> rusqlite::Result<()> {
        let sql = "DELETE FROM entries WHERE parent = ?1 AND name = ?2";
        self.db.prepare_cached(sql)?.execute(params![parent, name])?;
        Ok(())
    }

    /// Removes an entry, its node when that was its last name, and all that was below it.
    pub(super) fn forget(&self, parent: Id, name: &str) -> rusqlite::Result<()> {
        let Some(row) = self.row(parent, name)? else { return Ok(()) };
        self.unlink(parent, name)?;
        let mut ids = vec![row.node.id];
        while let Some(id) = ids.pop() {
            if !self.places(id)?.is_empty() {
                continue;
            }
            let mut below = self.db.prepare_cached("SELECT id FROM entries WHERE parent = ?1")?;
            for id in below.query_map([id], |row| row.get(0))? {
                ids.push(id?);
            }
            self.db.prepare_cached("DELETE FROM entries WHERE parent = ?1")?.execute([id])?;
            self.db.prepare_cached("DELETE FROM nodes WHERE id = ?1")?.execute([id])?;
        }
        Ok(())
    }

    /// Counts a change of an object; its tag differs from now on.
    pub(super) fn bump(&self, id: Id) -> rusqlite::Result<()> {
        let sql = "UPDATE nodes SET revision = revision + 1 WHERE id = ?1";
        self.db.prepare_cached(sql)?.execute([id])?;
        Ok(())
    }

    pub(super) fn keep_fields(&self, id: Id, fields: &str) -> rusqlite::Result<()> {
        let sql = "UPDATE nodes SET fields = ?2 WHERE id = ?1";
        self.db.prepare_cached(sql)?.execute(params![id, fields])?;
        Ok(())
    }
}

fn read_row(row: &rusqlite::Row<'_>) -> rusqlite::Result<Row> {
    Ok(Row { position: row.get(0)?, name: row.get(1)?, node: read_node(row, 2)? })
}

fn read_node(row: &rusqlite::Row<'_>, from: usize) -> rusqlite::Result<Node> {
    Ok(Node {
        id: row.get(from)?,
        ino: row.get(from + 1)?,
        born: row.get(from + 2)?,
        revision: row.get(from + 3)?,
        fields: row.get(from + 4)?,
    })
}

/// Where a name stands in a listing: a hash, as on a cluster, so that no client may count on order.
/// From 1 to the largest signed 64-bit number. It is kept on disk and must stay as it is.
fn position(name: &str) -> i64 {
    let digest = Sha256::digest(name.as_bytes());
    let first = digest.first_chunk::<8>().copied().unwrap_or_default();
    (i64::from_be_bytes(first) & i64::MAX).max(1)
}
