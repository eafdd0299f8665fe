//! Which batch was loaded by which task: kept in the log under the ingestion's name, as positions.
//!
//! Invariants:
//! - what a task is to load is durable before the task is handed in, under an identifier made from
//!   just that: a host that dies in between hands in the same task again, and the service refuses it;
//! - a task's end and the state of its batches change in one commit;
//! - a batch is of one task at a time, and leaves it only when the service said that nothing of the
//!   task is stored.

use super::batch::BatchFacts;
use super::target::Target;
use crate::connector::{IngestMode, Span};
use crate::error::{Error, OrError, Result};
use crate::ports::log::{Commit, Log, LogWriter, PositionEntry, WriterId};
use crate::record::now_ms;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Where a batch is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BatchState {
    /// Of no task.
    Waiting,
    /// Of a task that is not over.
    Taken,
    /// Stored.
    Ingested,
    /// Stored, and not served any more.
    Retired,
}

/// A batch in the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BatchEntry {
    /// Where it is.
    pub state: BatchState,
    /// The task it is of, or was stored by.
    pub task: Option<String>,
    /// When it came there, milliseconds since 1970 UTC.
    pub since_ms: i64,
    /// What it is.
    pub facts: BatchFacts,
}

/// Where a task is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TaskStage {
    /// Written down, and maybe handed in.
    Recorded,
    /// Accepted.
    Submitted,
    /// All of it is stored.
    Success,
    /// Nothing of it is stored.
    Failed,
}

impl TaskStage {
    /// Its word in the ledger.
    pub fn name(self) -> &'static str {
        match self {
            TaskStage::Recorded => "recorded",
            TaskStage::Submitted => "submitted",
            TaskStage::Success => "success",
            TaskStage::Failed => "failed",
        }
    }

    /// Whether something is still to come.
    pub fn is_open(self) -> bool {
        matches!(self, TaskStage::Recorded | TaskStage::Submitted)
    }
}

/// A task in the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskEntry {
    /// `append`, `replace` or `reindex`.
    pub mode: String,
    /// Where it is.
    pub stage: TaskStage,
    /// Its number among tasks of the same batches, from 1.
    pub attempt: u32,
    /// Its batches, by name.
    pub batches: Vec<String>,
    /// Chunks of time, start and end.
    pub intervals: Vec<(i64, i64)>,
    /// Rows that the batches hold; none: it has no batches.
    pub rows: Option<u64>,
    /// Rows that the service says it stored.
    pub stored: Option<u64>,
    /// When it was written down, milliseconds since 1970 UTC.
    pub recorded_ms: i64,
    /// When it was over.
    pub ended_ms: Option<i64>,
    /// What went wrong, in the service's words.
    pub error: Option<String>,
}

impl TaskEntry {
    /// A task that is about to be handed in.
    pub fn new(mode: IngestMode, attempt: u32, batches: Vec<String>, intervals: &[Span], rows: Option<u64>) -> Self {
        TaskEntry {
            mode: mode.name().to_owned(),
            stage: TaskStage::Recorded,
            attempt,
            batches,
            intervals: intervals.iter().map(|span| (span.start, span.end)).collect(),
            rows,
            stored: None,
            recorded_ms: now_ms(),
            ended_ms: None,
            error: None,
        }
    }

    /// What it does.
    ///
    /// # Errors
    /// Class Config: a ledger of a newer host.
    pub fn mode(&self) -> Result<IngestMode> {
        let modes = [IngestMode::Append, IngestMode::Replace, IngestMode::Reindex];
        modes.into_iter().find(|mode| mode.name() == self.mode).ok_or_else(|| {
            Error::config(format!("a task in the ledger is of mode `{}`, which this host does not know", self.mode))
        })
    }

    /// Whether it was stored, and what was stored is not what its batches have.
    pub fn is_short(&self) -> bool {
        self.stage == TaskStage::Success && self.rows.is_some() && self.stored.is_some() && self.rows != self.stored
    }

    /// Its chunks of time.
    pub fn spans(&self) -> Vec<Span> {
        self.intervals.iter().map(|(start, end)| Span { start: *start, end: *end }).collect()
    }
}

/// The name of an entry.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum EntryName {
    Batch(String),
    Task(String),
    Target,
}

/// What is written down.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Book {
    /// Batches by name.
    pub batches: BTreeMap<String, BatchEntry>,
    /// Tasks by identifier.
    pub tasks: BTreeMap<String, TaskEntry>,
    /// What they have in common; none: nothing was written yet.
    pub target: Option<Target>,
}

impl Book {
    /// Reads the ledger of an ingestion.
    ///
    /// # Errors
    /// Class Config: an entry that cannot be read. What the log gives.
    pub fn read(log: &dyn Log, name: &str) -> Result<Self> {
        let mut book = Book::default();
        for PositionEntry { partition, position } in log.positions(name)? {
            let shown = || format!("ledger of `{name}`: entry `{}`", String::from_utf8_lossy(&partition));
            match serde_json::from_slice(&partition).or_config(shown())? {
                EntryName::Batch(batch) => {
                    book.batches.insert(batch, serde_json::from_slice(&position).or_config(shown())?);
                }
                EntryName::Target => {
                    book.target = Some(serde_json::from_slice(&position).or_config(shown())?);
                }
                EntryName::Task(task) => {
                    book.tasks.insert(task, serde_json::from_slice(&position).or_config(shown())?);
                }
            }
        }
        Ok(book)
    }

    /// The task that is not over; there is one at most.
    pub fn open_task(&self) -> Option<(&String, &TaskEntry)> {
        self.tasks.iter().find(|(_, task)| task.stage.is_open())
    }

    /// What changes when a task is over: its batches are stored, or wait again.
    pub fn end(&self, id: &str, task: &mut TaskEntry, stage: TaskStage, error: Option<String>) -> Change {
        let now = now_ms();
        (task.stage, task.ended_ms, task.error) = (stage, Some(now), error);
        let is_taken = |batch: &BatchEntry| batch.state == BatchState::Taken && batch.task.as_deref() == Some(id);
        let batches = self.batches.iter().filter(|(_, batch)| is_taken(batch)).map(|(name, batch)| {
            let mut batch = batch.clone();
            batch.since_ms = now;
            batch.state = if stage == TaskStage::Success { BatchState::Ingested } else { BatchState::Waiting };
            (name.clone(), batch)
        });
        Change { batches: batches.collect(), tasks: vec![(id.to_owned(), task.clone())] }
    }

    /// Batches in the order in which they were found.
    pub fn in_order(&self) -> Vec<(&String, &BatchEntry)> {
        let mut batches: Vec<_> = self.batches.iter().collect();
        batches.sort_by_key(|(_, entry)| entry.facts.number);
        batches
    }
}

/// Changes that are to become durable together.
#[derive(Debug, Clone, Default)]
pub struct Change {
    /// Batches that are new or otherwise.
    pub batches: Vec<(String, BatchEntry)>,
    /// Tasks that are new or otherwise.
    pub tasks: Vec<(String, TaskEntry)>,
}

/// The ledger, written by one ingestion of its name at a time: a newer one fences the older.
pub struct Ledger {
    writer: Box<dyn LogWriter>,
    book: Book,
}

impl Ledger {
    /// Takes the ledger over and reads it.
    ///
    /// # Errors
    /// As for [`Book::read`]; class Retry when the log cannot be reached.
    pub fn open(log: &dyn Log, name: &str) -> Result<Self> {
        let writer = log.writer(&WriterId { connector: name.to_owned(), task: 0 })?;
        Ok(Ledger { writer, book: Book::read(log, name)? })
    }

    /// Writes down what all tasks have in common from now on.
    ///
    /// # Errors
    /// Class Config: it is not what was written down, see [`Target`]. As for [`Ledger::write`].
    pub fn aim(&mut self, target: &Target, merges: bool) -> Result<()> {
        let target = target.clone().after(self.book.target.as_ref(), merges)?;
        if self.book.target.as_ref() != Some(&target) {
            let positions = vec![position(&EntryName::Target, &target)?];
            self.writer.commit(&Commit { positions, ..Commit::default() })?;
            self.book.target = Some(target);
        }
        Ok(())
    }

    /// What is written down.
    pub fn book(&self) -> &Book {
        &self.book
    }

    /// Writes changes down. After an error of class Retry they may be: make the same change again.
    ///
    /// # Errors
    /// Class Config: another host has taken over. What the log gives.
    pub fn write(&mut self, change: Change) -> Result<()> {
        let mut positions = Vec::with_capacity(change.batches.len() + change.tasks.len());
        for (name, entry) in &change.batches {
            positions.push(position(&EntryName::Batch(name.clone()), entry)?);
        }
        for (id, entry) in &change.tasks {
            positions.push(position(&EntryName::Task(id.clone()), entry)?);
        }
        if positions.is_empty() {
            return Ok(());
        }
        self.writer.commit(&Commit { positions, ..Commit::default() })?;
        self.book.batches.extend(change.batches);
        self.book.tasks.extend(change.tasks);
        Ok(())
    }
}

fn position(name: &EntryName, entry: &impl Serialize) -> Result<PositionEntry> {
    Ok(PositionEntry {
        partition: serde_json::to_vec(name).or_bug("name of a ledger entry")?,
        position: serde_json::to_vec(entry).or_bug("entry of a ledger")?,
    })
}
