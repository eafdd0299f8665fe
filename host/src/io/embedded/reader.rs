//! Reading one partition in order, from this process or another.

use super::schema::{self, OFFSET_BITS, explain};
use super::writer::Commits;
use crate::error::{Error, Result};
use crate::ports::log::{LogReader, ReadLimits, StoredRecord};
use crate::record::parse_headers;
use rusqlite::{Connection, params};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How often a reader looks for commits of another process, of which nothing wakes it.
const LOOK_EVERY: Duration = Duration::from_millis(100);

pub(super) struct EmbeddedReader {
    connection: Connection,
    path: PathBuf,
    commits: Option<Arc<Commits>>,
    topic: String,
    partition: i32,
    id: i64,
    next: i64,
}

impl EmbeddedReader {
    pub(super) fn open(
        path: &Path,
        commits: Option<Arc<Commits>>,
        topic: &str,
        partition: i32,
        offset: i64,
    ) -> Result<Self> {
        let connection = schema::open_for_reading(path)?;
        let found = schema::partition(&connection, topic, partition);
        let (id, marks) =
            found.map_err(|error| explain(path, &format!("reading topic `{topic}` partition {partition}"), &error))?;
        let next = offset.max(marks.low);
        let (path, topic) = (path.to_owned(), topic.to_owned());
        Ok(EmbeddedReader { connection, path, commits, topic, partition, id, next })
    }

    fn query(&mut self, limits: ReadLimits) -> rusqlite::Result<Vec<StoredRecord>> {
        let base = self.id << OFFSET_BITS;
        let mut statement = self.connection.prepare_cached(
            "SELECT id, timestamp, key, value, headers FROM records WHERE id >= ?1 AND id < ?2 ORDER BY id LIMIT ?3",
        )?;
        let limit = i64::try_from(limits.max_records).unwrap_or(i64::MAX);
        let mut rows = statement.query(params![base + self.next, (self.id + 1) << OFFSET_BITS, limit])?;
        let mut records = Vec::new();
        let mut bytes = 0usize;
        while let Some(row) = rows.next()? {
            let id: i64 = row.get(0)?;
            let key: Option<Vec<u8>> = row.get(2)?;
            let value: Option<Vec<u8>> = row.get(3)?;
            let headers: Option<Vec<u8>> = row.get(4)?;
            bytes += key.as_ref().map_or(0, Vec::len) + value.as_ref().map_or(0, Vec::len);
            if bytes > limits.max_bytes && !records.is_empty() {
                break;
            }
            let headers = parse_headers(headers.as_deref().unwrap_or_default()).unwrap_or_default();
            let headers = headers.into_iter().map(|(n, v)| (n.to_owned(), v.map(<[u8]>::to_vec))).collect();
            let offset = id - base;
            records.push(StoredRecord {
                partition: self.partition,
                offset,
                timestamp: row.get(1)?,
                key,
                value,
                headers,
            });
            self.next = offset + 1;
        }
        Ok(records)
    }
}

impl LogReader for EmbeddedReader {
    fn next(&mut self, limits: ReadLimits) -> Result<Vec<StoredRecord>> {
        let deadline = Instant::now() + limits.wait;
        // Taken before looking, so that a commit in between is not slept through.
        let mut seen = self.commits.as_ref().map_or(0, |commits| commits.wait(0, Duration::ZERO));
        loop {
            let records = self.query(limits).map_err(|error| {
                let what = format!("reading topic `{}` partition {}", self.topic, self.partition);
                let error = explain(&self.path, &what, &error);
                Error::retry(error.to_string())
            })?;
            let left = deadline.saturating_duration_since(Instant::now());
            if !records.is_empty() || left.is_zero() {
                return Ok(records);
            }
            match &self.commits {
                Some(commits) => seen = commits.wait(seen, left),
                None => std::thread::sleep(left.min(LOOK_EVERY)),
            }
        }
    }

    fn is_past(&self, offset: i64) -> bool {
        self.next >= offset
    }
}
