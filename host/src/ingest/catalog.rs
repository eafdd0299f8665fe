//! The batches that are known now, for those who serve them, those who load them and those who look.

use super::batch::BatchFacts;
use super::ledger::{BatchState, Book, TaskEntry};
use crate::spool::DataFile;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, PoisonError, RwLock};
use tokio::sync::OnceCell;

/// A batch that is known.
#[derive(Debug)]
pub struct Batch {
    /// Its name: that of its file.
    pub name: String,
    /// What it is.
    pub facts: BatchFacts,
    /// Where it is.
    pub state: BatchState,
    /// Its file; none: it is gone.
    pub file: Option<DataFile>,
    /// Bytes of it compressed, once somebody has fetched all of that.
    pub gzip_bytes: Arc<OnceCell<u64>>,
}

impl Batch {
    /// Whether it can be fetched.
    pub fn is_served(&self) -> bool {
        self.file.is_some() && self.state != BatchState::Retired
    }
}

/// What there is under a name.
#[derive(Debug)]
pub enum Found {
    /// A batch that can be fetched.
    Served(Arc<Batch>),
    /// One that cannot: retired, or its file is gone.
    Unserved(BatchState),
    /// A file that is no batch, and why.
    Refused(String),
    /// Nothing.
    Unknown,
}

#[derive(Default)]
struct Known {
    /// In the order in which they were found.
    batches: Vec<Arc<Batch>>,
    by_name: BTreeMap<String, Arc<Batch>>,
    /// Files that are no batches, and why.
    refused: BTreeMap<String, String>,
    /// The latest tasks, newest first.
    tasks: Vec<(String, TaskEntry)>,
    is_filled: bool,
}

/// Tasks that are shown.
const LATEST_TASKS: usize = 50;

/// All that is known, shared.
#[derive(Default)]
pub struct Catalog {
    known: RwLock<Known>,
    rows_served: AtomicU64,
}

impl Catalog {
    /// Puts what the ledger and the data set say in the place of what was known.
    pub(super) fn fill(&self, book: &Book, files: &BTreeMap<String, DataFile>, refused: BTreeMap<String, String>) {
        let mut tasks: Vec<_> = book.tasks.iter().collect();
        tasks.sort_by_key(|(_, task)| std::cmp::Reverse(task.recorded_ms));
        tasks.truncate(LATEST_TASKS);
        let tasks = tasks.into_iter().map(|(id, task)| (id.clone(), task.clone())).collect();
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        let batches: Vec<Arc<Batch>> = book
            .in_order()
            .into_iter()
            .map(|(name, entry)| {
                let (before, file) = (known.by_name.get(name), files.get(name));
                let is_same = |batch: &&Arc<Batch>| {
                    batch.state == entry.state
                        && batch.file.as_ref().map(|file| &file.info) == file.map(|file| &file.info)
                };
                if let Some(batch) = before.filter(is_same) {
                    return Arc::clone(batch);
                }
                Arc::new(Batch {
                    name: name.clone(),
                    facts: entry.facts.clone(),
                    state: entry.state,
                    file: file.cloned(),
                    gzip_bytes: before.map(|batch| Arc::clone(&batch.gzip_bytes)).unwrap_or_default(),
                })
            })
            .collect();
        let by_name = batches.iter().map(|batch| (batch.name.clone(), Arc::clone(batch))).collect();
        *known = Known { batches, by_name, refused, tasks, is_filled: true };
    }

    /// All batches, in the order in which they were found.
    pub fn batches(&self) -> Vec<Arc<Batch>> {
        self.known.read().unwrap_or_else(PoisonError::into_inner).batches.clone()
    }

    /// Whether all of the data set was looked at since the start.
    pub fn is_filled(&self) -> bool {
        self.known.read().unwrap_or_else(PoisonError::into_inner).is_filled
    }

    /// What there is under a name.
    pub fn find(&self, name: &str) -> Found {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        match (known.by_name.get(name), known.refused.get(name)) {
            (Some(batch), _) if batch.is_served() => Found::Served(Arc::clone(batch)),
            (Some(batch), _) => Found::Unserved(batch.state),
            (None, Some(reason)) => Found::Refused(reason.clone()),
            (None, None) => Found::Unknown,
        }
    }

    /// Files that are no batches, and why.
    pub fn refused(&self) -> BTreeMap<String, String> {
        self.known.read().unwrap_or_else(PoisonError::into_inner).refused.clone()
    }

    /// The latest tasks, newest first.
    pub fn tasks(&self) -> Vec<(String, TaskEntry)> {
        self.known.read().unwrap_or_else(PoisonError::into_inner).tasks.clone()
    }

    /// Notes that rows were given out.
    pub fn add_served(&self, rows: u64) {
        self.rows_served.fetch_add(rows, Relaxed);
    }

    /// Rows given out so far, each as often as it was.
    pub fn rows_served(&self) -> u64 {
        self.rows_served.load(Relaxed)
    }
}
