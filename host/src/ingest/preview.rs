//! What an ingestion would do next, found out without writing anything down.

use super::discovery::Discovery;
use super::ledger::{BatchState, Book, TaskEntry, TaskStage};
use super::plan::{Job, PlanSettings, next_load, next_merge};
use super::rows::RowFormat;
use crate::error::Result;
use crate::spool::{DataList, DataSet};
use std::collections::BTreeMap;

/// Tasks that are looked ahead.
const MAX_JOBS: usize = 1000;

/// What would be done.
#[derive(Debug)]
pub struct Preview {
    /// The ledger as it would be before the first task: new files are batches in it.
    pub book: Book,
    /// Files that are no batches, and why.
    pub refused: BTreeMap<String, String>,
    /// Tasks that would load what waits, in order.
    pub loads: Vec<Job>,
    /// The first task that would merge, by what is stored now.
    pub merge: Option<Job>,
}

/// Looks at the data set and works out the tasks; `step` is told of each file that is opened.
///
/// # Errors
/// What files and layout give; class Config: an interval that cannot be replaced.
pub fn preview(
    set: DataSet,
    list: DataList,
    format: RowFormat,
    plan: &PlanSettings,
    mut book: Book,
    step: &mut dyn FnMut(&str),
) -> Result<Preview> {
    let mut discovery = Discovery::new(set, list, format, plan.granularity, &book);
    let (new, _) = discovery.look(&book)?;
    for file in new {
        step(&file.name);
        if let Some(batch) = discovery.examine(&file, &|| true)? {
            book.batches.insert(file.name, batch);
        }
    }
    let mut ahead = book.clone();
    let mut loads = Vec::new();
    while let Some(job) = next_load(&ahead, plan, &|name| discovery.files.contains_key(name))? {
        for name in &job.batches {
            if let Some(batch) = ahead.batches.get_mut(name) {
                batch.state = BatchState::Ingested;
            }
        }
        let mut task = TaskEntry::new(job.mode, job.attempt, job.batches.clone(), &job.intervals, job.rows);
        task.stage = TaskStage::Success;
        ahead.tasks.insert(job.id.clone(), task);
        loads.push(job);
        if loads.len() >= MAX_JOBS {
            break;
        }
    }
    let merge = next_merge(&book, plan);
    Ok(Preview { book, refused: discovery.refused(), loads, merge })
}
