//! The embedded log: topics, positions and consumer offsets in one SQLite file, for running on one
//! machine with nothing installed.
//!
//! Invariants:
//! - one writing process for each data folder, held by a lock on `log.lock`; any number may read;
//! - a commit that returned is on the disk (WAL, `synchronous=FULL`): `kill -9` and power loss
//!   lose nothing of it;
//! - a record's row id is `partition id << 40 | offset`, so a partition is one run of the table;
//! - commits of several tasks that wait at the same time share one fsync.
//!
//! The file is readable with the `sqlite3` tool; the view `log` shows records by topic and offset.

mod reader;
mod schema;
mod writer;

use crate::error::{Error, OrError, Result};
use crate::ports::log::{
    GroupOffset, Log, LogReader, LogWriter, PositionEntry, TopicInfo, TopicSpec, Watermarks, WriterId, check_topic_name,
};
use reader::EmbeddedReader;
use rusqlite::{Connection, OptionalExtension, params};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use writer::{EmbeddedWriter, Queue};

/// Name of the database in the data folder.
pub const FILE: &str = "log.db";
const LOCK: &str = "log.lock";

/// A log in a folder.
pub struct EmbeddedLog {
    path: PathBuf,
    queue: Option<Arc<Queue>>,
    queries: Mutex<Connection>,
    // Held for the life of the log: the folder's one writer.
    _lock: Option<std::fs::File>,
}

impl EmbeddedLog {
    /// Opens or makes the log in `dir` for writing. `max_bytes` bounds the file, none is the disk.
    ///
    /// # Errors
    /// Class Config: another host writes there, the folder cannot be made, or the file is no log
    /// of this version.
    pub fn open(dir: &Path, max_bytes: Option<u64>) -> Result<Self> {
        let attempt = format!("data folder `{}`", dir.display());
        std::fs::create_dir_all(dir).or_config(&attempt)?;
        let lock = std::fs::File::create(dir.join(LOCK)).or_config(&attempt)?;
        lock.try_lock().map_err(|error| match error {
            std::fs::TryLockError::WouldBlock => Error::config(format!("{attempt}: another host writes to it"))
                .with_hint("stop it, or give this one its own `--data-dir`"),
            std::fs::TryLockError::Error(error) => Error::config(format!("{attempt}: {error}")),
        })?;
        let path = dir.join(FILE);
        let writing = schema::open_for_writing(&path, max_bytes)?;
        let queries = schema::open_for_reading(&path)?;
        let queue = Queue::start(writing, &path)?;
        Ok(EmbeddedLog { path, queue: Some(queue), queries: Mutex::new(queries), _lock: Some(lock) })
    }

    /// Opens the log in `dir` for reading, beside a host that writes to it or alone.
    ///
    /// # Errors
    /// Class Config when there is none.
    pub fn open_read_only(dir: &Path) -> Result<Self> {
        let path = dir.join(FILE);
        if !path.is_file() {
            return Err(Error::config(format!("no log at `{}`", path.display()))
                .with_hint("`--data-dir` names the folder given to `host run` or `host demo`"));
        }
        let queries = schema::open_for_reading(&path)?;
        Ok(EmbeddedLog { path, queue: None, queries: Mutex::new(queries), _lock: None })
    }

    fn queue(&self) -> Result<&Arc<Queue>> {
        let read_only = || Error::config(format!("log `{}` is open for reading only", self.path.display()));
        self.queue.as_ref().ok_or_else(read_only)
    }

    fn query<T>(&self, what: &str, ask: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T> {
        let connection = self.queries.lock().unwrap_or_else(PoisonError::into_inner);
        ask(&connection).map_err(|error| schema::explain(&self.path, what, &error))
    }
}

impl Log for EmbeddedLog {
    fn describe(&self) -> String {
        format!("embedded log `{}`", self.path.display())
    }

    fn id(&self) -> Result<String> {
        self.query("reading the log's id", |connection| {
            connection.query_row("SELECT id FROM identity", [], |row| row.get(0))
        })
    }

    fn topics(&self) -> Result<Vec<TopicInfo>> {
        self.query("listing topics", |connection| {
            let mut statement = connection.prepare_cached(
                "SELECT name, low, next FROM topics JOIN partitions ON topic = topics.id ORDER BY name, partition",
            )?;
            let mut rows = statement.query([])?;
            let mut topics: Vec<TopicInfo> = Vec::new();
            while let Some(row) = rows.next()? {
                let name: String = row.get(0)?;
                let marks = Watermarks { low: row.get(1)?, high: row.get(2)? };
                match topics.last_mut() {
                    Some(topic) if topic.name == name => topic.partitions.push(marks),
                    _ => topics.push(TopicInfo { name, partitions: vec![marks] }),
                }
            }
            Ok(topics)
        })
    }

    fn topic(&self, name: &str) -> Result<Option<TopicInfo>> {
        // One file's index: as cheap as asking for the one.
        Ok(self.topics()?.into_iter().find(|topic| topic.name == name))
    }

    fn create_topic(&self, name: &str, spec: TopicSpec) -> Result<bool> {
        check_topic_name(name)?;
        let exists = self.query("finding a topic", |connection| {
            connection.query_row("SELECT 1 FROM topics WHERE name = ?1", [name], |_| Ok(())).optional()
        })?;
        if exists.is_some() {
            return Ok(false);
        }
        let retention = spec.retention.map(|age| i64::try_from(age.as_millis()).unwrap_or(i64::MAX));
        let name = name.to_owned();
        self.queue()?.run("creating a topic", move |connection| {
            let made = connection.execute(
                "INSERT OR IGNORE INTO topics (name, retention_ms) VALUES (?1, ?2)",
                params![name, retention],
            )?;
            if made > 0 {
                let topic = connection.last_insert_rowid();
                for partition in 0..spec.partitions.max(1) {
                    connection.execute(
                        "INSERT INTO partitions (topic, partition, low, next) VALUES (?1, ?2, 0, 0)",
                        params![topic, partition],
                    )?;
                }
            }
            Ok(made > 0)
        })
    }

    fn delete_topic(&self, name: &str) -> Result<bool> {
        let name = name.to_owned();
        self.queue()?.run("deleting a topic", move |connection| {
            connection.execute(
                "DELETE FROM records WHERE EXISTS (SELECT 1 FROM partitions p JOIN topics t ON t.id = p.topic \
                 WHERE t.name = ?1 AND records.id >= p.id << 40 AND records.id < (p.id + 1) << 40)",
                [&name],
            )?;
            connection.execute("DELETE FROM group_offsets WHERE topic = ?1", [&name])?;
            connection
                .execute("DELETE FROM partitions WHERE topic IN (SELECT id FROM topics WHERE name = ?1)", [&name])?;
            Ok(connection.execute("DELETE FROM topics WHERE name = ?1", [&name])? > 0)
        })
    }

    fn writer(&self, id: &WriterId) -> Result<Box<dyn LogWriter>> {
        Ok(Box::new(EmbeddedWriter::register(Arc::clone(self.queue()?), id)?))
    }

    fn reader(&self, topic: &str, partition: i32, offset: i64) -> Result<Box<dyn LogReader>> {
        let commits = self.queue.as_ref().map(|queue| queue.commits());
        Ok(Box::new(EmbeddedReader::open(&self.path, commits, topic, partition, offset)?))
    }

    fn group_offsets(&self, group: &str, topic: &str) -> Result<Vec<GroupOffset>> {
        self.query("reading group offsets", |connection| {
            let mut statement = connection.prepare_cached(
                "SELECT partition, next FROM group_offsets WHERE group_name = ?1 AND topic = ?2 ORDER BY partition",
            )?;
            let rows = statement.query_map([group, topic], |row| {
                let (group, topic) = (group.to_owned(), topic.to_owned());
                Ok(GroupOffset { group, topic, partition: row.get(0)?, next: row.get(1)? })
            })?;
            rows.collect()
        })
    }

    fn positions(&self, connector: &str) -> Result<Vec<PositionEntry>> {
        self.query("reading positions", |connection| {
            let mut statement = connection
                .prepare_cached("SELECT partition, position FROM positions WHERE connector = ?1 ORDER BY partition")?;
            let rows = statement
                .query_map([connector], |row| Ok(PositionEntry { partition: row.get(0)?, position: row.get(1)? }))?;
            rows.collect()
        })
    }

    fn trim(&self, topic: &str, partition: i32, offset: i64) -> Result<()> {
        let (id, marks) =
            self.query("finding a partition", |connection| schema::partition(connection, topic, partition))?;
        let offset = offset.clamp(marks.low, marks.high);
        self.queue()?.run("trimming", move |connection| writer::trim(connection, id, offset))
    }
}
