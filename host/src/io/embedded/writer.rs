//! All writing: one thread, one connection, one fsync for whatever waits.
//!
//! Each job runs in a savepoint of its own: one that fails is taken back alone. If the commit
//! itself fails, all jobs of that round fail and nothing of them is there.

use super::schema::{OFFSET_BITS, explain};
use crate::crash::CrashPoint;
use crate::error::{Error, OrError, Result};
use crate::ports::log::{Commit, LogWriter, WriterId, partition_of};
use crate::record::{Batch, encode_headers, now_ms};
use rusqlite::{Connection, OptionalExtension, params};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Jobs that may wait, and at most share one fsync; a task waits for its commit, so this is the
/// number of tasks that write at once before one has to wait for room.
const QUEUE: usize = 64;
/// How often records past their topic's retention are removed.
const TRIM_EVERY: Duration = Duration::from_secs(60);
/// WAL pages after which SQLite moves them into the file, some 32 MiB.
const CHECKPOINT_PAGES: i64 = 4096;

type Job = Box<dyn FnOnce(&Connection) -> Outcome + Send>;
/// Fills in what the caller gets, given whether the round was committed.
type Answer = Box<dyn FnOnce(Result<()>) + Send>;
type Outcome = (rusqlite::Result<()>, Answer);

/// Counts commits, and wakes readers that wait for one.
#[derive(Debug, Default)]
pub(super) struct Commits {
    count: Mutex<u64>,
    changed: Condvar,
}

impl Commits {
    /// Waits until a commit after `seen` or the time is over; the count now.
    pub(super) fn wait(&self, seen: u64, within: Duration) -> u64 {
        let count = self.count.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.changed.wait_timeout_while(count, within, |count| *count == seen);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }

    fn add(&self) {
        *self.count.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.changed.notify_all();
    }
}

/// The way to the writing thread, which ends when the last of these is dropped.
pub(super) struct Queue {
    jobs: Option<SyncSender<Job>>,
    thread: Option<std::thread::JoinHandle<()>>,
    commits: Arc<Commits>,
    path: PathBuf,
}

impl Queue {
    pub(super) fn start(connection: Connection, path: &Path) -> Result<Arc<Self>> {
        let set = connection.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES);
        set.map_err(|error| explain(path, "opening", &error))?;
        let (jobs, waiting) = sync_channel(QUEUE);
        let commits = Arc::new(Commits::default());
        let (thread_commits, thread_path) = (Arc::clone(&commits), path.to_owned());
        let thread = std::thread::Builder::new()
            .name("embedded-log".to_owned())
            .spawn(move || write_rounds(connection, &waiting, &thread_commits, &thread_path))
            .or_retry("starting the log's writing thread")?;
        Ok(Arc::new(Queue { jobs: Some(jobs), thread: Some(thread), commits, path: path.to_owned() }))
    }

    pub(super) fn commits(&self) -> Arc<Commits> {
        Arc::clone(&self.commits)
    }

    /// Runs `work` inside a committed round and returns what it gave.
    pub(super) fn run<T: Send + 'static>(
        &self,
        what: &'static str,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T> {
        self.run_checked(what, move |connection| work(connection).map(Ok))
    }

    /// Like [`Queue::run`]; an inner error is the caller's own and takes the work back.
    fn run_checked<T: Send + 'static>(
        &self,
        what: &'static str,
        work: impl FnOnce(&Connection) -> rusqlite::Result<Result<T>> + Send + 'static,
    ) -> Result<T> {
        let (reply, answered) = sync_channel::<Result<T>>(1);
        let path = self.path.clone();
        let job: Job = Box::new(move |connection| {
            let (ran, value) = match work(connection) {
                Ok(Ok(value)) => (Ok(()), Ok(value)),
                // Any error makes the round take the savepoint back.
                Ok(Err(error)) => (Err(rusqlite::Error::QueryReturnedNoRows), Err(error)),
                Err(error) => {
                    let explained = explain(&path, what, &error);
                    (Err(error), Err(explained))
                }
            };
            // A caller that is gone has nobody to tell.
            let answer: Answer =
                Box::new(move |committed| drop(reply.send(value.and_then(|value| committed.map(|()| value)))));
            (ran, answer)
        });
        let gone = || Error::bug(format!("log `{}`: the writing thread is gone", self.path.display()));
        self.jobs.as_ref().ok_or_else(gone)?.send(job).map_err(|_| gone())?;
        answered.recv().map_err(|_| gone())?
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            // The thread ends once the queue is empty; its panic was already logged.
            let _ = thread.join();
        }
    }
}

fn write_rounds(connection: Connection, waiting: &Receiver<Job>, commits: &Commits, path: &Path) {
    let mut trimmed = Instant::now();
    loop {
        match waiting.recv_timeout(TRIM_EVERY) {
            Ok(first) => write_round(&connection, first, waiting, commits, path),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
        if trimmed.elapsed() >= TRIM_EVERY {
            if let Err(error) = trim_by_age(&connection, now_ms()) {
                tracing::warn!(error = %explain(path, "trimming by age", &error), "retention is late");
            }
            trimmed = Instant::now();
        }
    }
}

fn write_round(connection: &Connection, first: Job, waiting: &Receiver<Job>, commits: &Commits, path: &Path) {
    let mut answers: Vec<Answer> = Vec::new();
    let round = || -> rusqlite::Result<()> {
        connection.execute_batch("BEGIN IMMEDIATE")?;
        let mut job = Some(first);
        while let Some(work) = job.take() {
            connection.execute_batch("SAVEPOINT job")?;
            let (ran, answer) = work(connection);
            answers.push(answer);
            // A full disk may have ended the whole transaction; the commit below then says so.
            let end = if ran.is_ok() { "RELEASE job" } else { "ROLLBACK TO job; RELEASE job" };
            connection.execute_batch(end)?;
            if answers.len() < QUEUE {
                job = waiting.try_recv().ok();
            }
        }
        CrashPoint::LogBeforeCommit.pass();
        connection.execute_batch("COMMIT")
    };
    let committed = round().map_err(|error| explain(path, "committing", &error));
    if committed.is_err()
        && !connection.is_autocommit()
        && let Err(error) = connection.execute_batch("ROLLBACK")
    {
        tracing::error!(%error, "cannot roll back");
    }
    if committed.is_ok() {
        CrashPoint::LogAfterCommit.pass();
        commits.add();
    }
    answers.into_iter().for_each(|answer| answer(committed.clone()));
}

/// Removes records before `offset`, which lies within the watermarks.
pub(super) fn trim(connection: &Connection, partition: i64, offset: i64) -> rusqlite::Result<()> {
    let base = partition << OFFSET_BITS;
    connection.execute("DELETE FROM records WHERE id >= ?1 AND id < ?2", params![base, base + offset])?;
    connection.execute("UPDATE partitions SET low = ?2 WHERE id = ?1", params![partition, offset])?;
    Ok(())
}

fn trim_by_age(connection: &Connection, now: i64) -> rusqlite::Result<()> {
    let mut statement = connection.prepare_cached(
        "SELECT partitions.id, low, next, retention_ms FROM partitions JOIN topics ON topics.id = topic \
         WHERE retention_ms IS NOT NULL AND next > low",
    )?;
    let partitions: Vec<(i64, i64, i64, i64)> = statement
        .query_map([], |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?, r.get(3)?)))?
        .collect::<rusqlite::Result<_>>()?;
    for (partition, low, next, retention) in partitions {
        let base = partition << OFFSET_BITS;
        // The first record that stays: the scan touches only what is removed.
        let keep: Option<i64> = connection
            .prepare_cached(
                "SELECT id FROM records WHERE id >= ?1 AND id < ?2 AND timestamp >= ?3 ORDER BY id LIMIT 1",
            )?
            .query_row(params![base + low, base + next, now.saturating_sub(retention)], |row| row.get(0))
            .optional()?;
        let offset = keep.map_or(next, |id| id - base);
        if offset > low {
            connection.execute_batch("SAVEPOINT age")?;
            let trimmed = trim(connection, partition, offset);
            connection.execute_batch(if trimmed.is_ok() { "RELEASE age" } else { "ROLLBACK TO age; RELEASE age" })?;
            trimmed?;
        }
    }
    Ok(())
}

/// A connector task's commits.
pub(super) struct EmbeddedWriter {
    queue: Arc<Queue>,
    id: WriterId,
    epoch: i64,
}

impl EmbeddedWriter {
    pub(super) fn register(queue: Arc<Queue>, id: &WriterId) -> Result<Self> {
        let (connector, task) = (id.connector.clone(), id.task);
        let epoch = queue.run("registering a writer", move |connection| {
            connection.query_row(
                "INSERT INTO writers (connector, task, epoch) VALUES (?1, ?2, 1) \
                 ON CONFLICT DO UPDATE SET epoch = epoch + 1 RETURNING epoch",
                params![connector, task],
                |row| row.get(0),
            )
        })?;
        Ok(EmbeddedWriter { queue, id: id.clone(), epoch })
    }
}

impl LogWriter for EmbeddedWriter {
    fn commit(&mut self, commit: &Commit) -> Result<()> {
        // Batches share their bytes, so this copies columns only.
        let (commit, id, epoch) = (commit.clone(), self.id.clone(), self.epoch);
        self.queue.run_checked("committing", move |connection| {
            let current: i64 = connection
                .prepare_cached("SELECT epoch FROM writers WHERE connector = ?1 AND task = ?2")?
                .query_row(params![id.connector, id.task], |row| row.get(0))?;
            if current != epoch {
                let WriterId { connector, task } = &id;
                return Ok(Err(Error::config(format!(
                    "connector `{connector}` task {task}: a newer writer (epoch {current}) has taken over from epoch {epoch}"
                ))));
            }
            for (topic, batch) in &commit.appends {
                if let Err(error) = append(connection, topic, batch)? {
                    return Ok(Err(error));
                }
            }
            let mut put = connection
                .prepare_cached("INSERT OR REPLACE INTO positions (connector, partition, position) VALUES (?1, ?2, ?3)")?;
            for entry in &commit.positions {
                put.execute(params![id.connector, entry.partition, entry.position])?;
            }
            let mut put = connection.prepare_cached(
                "INSERT OR REPLACE INTO group_offsets (group_name, topic, partition, next) VALUES (?1, ?2, ?3, ?4)",
            )?;
            for offset in &commit.group_offsets {
                put.execute(params![offset.group, offset.topic, offset.partition, offset.next])?;
            }
            Ok(Ok(()))
        })
    }
}

fn append(connection: &Connection, topic: &str, batch: &Batch) -> rusqlite::Result<Result<()>> {
    let mut find = connection.prepare_cached(
        "SELECT partition, partitions.id, next FROM topics JOIN partitions ON topic = topics.id WHERE name = ?1",
    )?;
    // Partition -> its id and the next offset.
    let mut ends: HashMap<i32, (i64, i64)> = HashMap::new();
    let mut rows = find.query([topic])?;
    while let Some(row) = rows.next()? {
        ends.insert(row.get(0)?, (row.get(1)?, row.get(2)?));
    }
    let partitions = i32::try_from(ends.len()).unwrap_or(i32::MAX);
    let mut insert = connection
        .prepare_cached("INSERT INTO records (id, timestamp, key, value, headers) VALUES (?1, ?2, ?3, ?4, ?5)")?;
    for record in batch.records() {
        let Some((id, next)) = ends.get_mut(&partition_of(record.key, partitions)) else {
            return Ok(Err(Error::config(format!("topic `{topic}` is not there"))));
        };
        let headers = record.headers();
        let headers = (!headers.is_empty()).then(|| encode_headers(&headers));
        insert.execute(params![(*id << OFFSET_BITS) + *next, record.timestamp, record.key, record.value, headers])?;
        *next += 1;
    }
    let mut update = connection.prepare_cached("UPDATE partitions SET next = ?2 WHERE id = ?1")?;
    for (id, next) in ends.values() {
        update.execute(params![id, next])?;
    }
    Ok(Ok(()))
}
