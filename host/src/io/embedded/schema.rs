//! The file's shape, and how connections to it are set up.

use crate::error::{Error, OrError, Result};
use crate::ports::log::Watermarks;
use rusqlite::{Connection, ErrorCode, OpenFlags};
use std::path::Path;
use std::time::Duration;

/// Raised with every change of the shape; an older file is refused, not guessed at.
const VERSION: i64 = 2;
/// `application_id` of the file, "CHlg".
const APPLICATION: i64 = 0x4348_6c67;
/// Larger pages suit records of some KiB.
const PAGE_BYTES: i64 = 8192;
/// Bits of a row id that hold the offset: 10^12 records a partition.
pub(super) const OFFSET_BITS: u32 = 40;

const TABLES: &str = "
CREATE TABLE topics (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE,
    retention_ms INTEGER
);
CREATE TABLE partitions (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    topic INTEGER NOT NULL REFERENCES topics (id),
    partition INTEGER NOT NULL,
    low INTEGER NOT NULL,
    next INTEGER NOT NULL,
    UNIQUE (topic, partition)
);
CREATE TABLE records (
    id INTEGER PRIMARY KEY,
    timestamp INTEGER NOT NULL,
    key BLOB,
    value BLOB,
    headers BLOB
);
CREATE TABLE positions (
    connector TEXT NOT NULL,
    partition BLOB NOT NULL,
    position BLOB NOT NULL,
    PRIMARY KEY (connector, partition)
) WITHOUT ROWID;
CREATE TABLE group_offsets (
    group_name TEXT NOT NULL,
    topic TEXT NOT NULL,
    partition INTEGER NOT NULL,
    next INTEGER NOT NULL,
    PRIMARY KEY (group_name, topic, partition)
) WITHOUT ROWID;
CREATE TABLE writers (
    connector TEXT NOT NULL,
    task INTEGER NOT NULL,
    epoch INTEGER NOT NULL,
    PRIMARY KEY (connector, task)
) WITHOUT ROWID;
CREATE TABLE identity (
    id TEXT NOT NULL
);
INSERT INTO identity VALUES (lower(hex(randomblob(16))));
CREATE VIEW log AS
    SELECT t.name AS topic, p.partition AS partition, r.id & 0xffffffffff AS offset,
           r.timestamp AS timestamp, CAST(r.key AS TEXT) AS key, CAST(r.value AS TEXT) AS value
    FROM topics t JOIN partitions p ON p.topic = t.id
    JOIN records r ON r.id >= p.id << 40 AND r.id < (p.id + 1) << 40;
";

pub(super) fn open_for_writing(path: &Path, max_bytes: Option<u64>) -> Result<Connection> {
    let open = || -> rusqlite::Result<Connection> {
        let mut connection = Connection::open(path)?;
        // Asked first: everything below changes the file.
        let tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
        let application: i64 = connection.pragma_query_value(None, "application_id", |row| row.get(0))?;
        if tables > 0 && application != APPLICATION {
            return Ok(connection);
        }
        connection.pragma_update(None, "page_size", PAGE_BYTES)?;
        connection.pragma_update(None, "journal_mode", "wal")?;
        connection.pragma_update(None, "synchronous", "full")?;
        connection.pragma_update(None, "temp_store", "memory")?;
        // 64 MiB of pages; the writer touches the end of each partition only.
        connection.pragma_update(None, "cache_size", -65536)?;
        let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
        if version == 0 {
            let transaction = connection.transaction()?;
            transaction.execute_batch(TABLES)?;
            transaction.pragma_update(None, "user_version", VERSION)?;
            transaction.pragma_update(None, "application_id", APPLICATION)?;
            transaction.commit()?;
        }
        if let Some(bytes) = max_bytes {
            connection.pragma_query_value(None, "page_size", |row| row.get::<_, i64>(0)).and_then(|page| {
                let pages = i64::try_from(bytes).unwrap_or(i64::MAX) / page.max(1);
                connection.pragma_update(None, "max_page_count", pages.max(1))
            })?;
        }
        Ok(connection)
    };
    let connection = open().map_err(|error| explain(path, "opening", &error))?;
    check(path, &connection)?;
    Ok(connection)
}

pub(super) fn open_for_reading(path: &Path) -> Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(|error| explain(path, "opening", &error))?;
    connection.busy_timeout(Duration::from_secs(5)).or_retry("setting the busy time-out")?;
    check(path, &connection)?;
    Ok(connection)
}

fn check(path: &Path, connection: &Connection) -> Result<()> {
    let pragma = |name: &str| {
        let asked = connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
        asked.map_err(|error| explain(path, "reading the version", &error))
    };
    let (application, version) = (pragma("application_id")?, pragma("user_version")?);
    if application != APPLICATION || version != VERSION {
        let found =
            if application == APPLICATION { format!("version {version}") } else { "another program's file".to_owned() };
        return Err(Error::config(format!("log `{}`: {found}, this host reads version {VERSION}", path.display())));
    }
    Ok(())
}

/// The id and watermarks of a partition.
pub(super) fn partition(connection: &Connection, topic: &str, partition: i32) -> rusqlite::Result<(i64, Watermarks)> {
    connection
        .prepare_cached(
            "SELECT partitions.id, low, next FROM topics JOIN partitions ON topic = topics.id \
             WHERE name = ?1 AND partition = ?2",
        )?
        .query_row(rusqlite::params![topic, partition], |row| {
            Ok((row.get(0)?, Watermarks { low: row.get(1)?, high: row.get(2)? }))
        })
}

/// SQLite's error in our words and class.
pub(super) fn explain(path: &Path, what: &str, error: &rusqlite::Error) -> Error {
    let attempt = format!("log `{}`: {what}", path.display());
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => {
            Error::retry(format!("{attempt}: the disk is full, or `embedded.max.bytes` is reached"))
                .with_hint("free space, or raise the limit; nothing committed is lost, and the host goes on by itself")
        }
        Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => Error::config(format!("{attempt}: {error}"))
            .with_hint("the file is damaged or not a log; move it aside to start a new one"),
        Some(ErrorCode::CannotOpen | ErrorCode::PermissionDenied | ErrorCode::ReadOnly) => {
            Error::config(format!("{attempt}: {error}"))
        }
        _ if matches!(error, rusqlite::Error::QueryReturnedNoRows) => {
            Error::config(format!("{attempt}: no such topic or partition"))
        }
        _ => Error::retry(format!("{attempt}: {error}")),
    }
}
