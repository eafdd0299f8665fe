//! The part of an ingestion's life that loads: one step at a time, from what the ledger says.
//!
//! Invariants, beside the ledger's:
//! - one task is open at a time, and a new life goes on with it;
//! - a task is handed in again only under its own identifier, a batch only after the service said that
//!   the task it was of stored nothing.

use super::batch::BatchFacts;
use super::ledger::{BatchState, Change, TaskEntry, TaskStage};
use super::plan::{Job, next_load, next_merge};
use super::spec::SpecWriter;
use super::task::{Life, Loading};
use crate::connector::{BatchRef, IngestMode};
use crate::crash::CrashPoint;
use crate::error::{Error, ErrorClass, Result};
use crate::ports::indexer::{Submitted, TaskRows, TaskStanding};
use crate::record::now_ms;
use crate::schedule::Timer;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// A task that the service does not know is handed in again after this time: one that follows the leader may
/// learn of it late.
const UNKNOWN_FOR: Duration = Duration::from_secs(30);
/// A service may forget tasks that are over; one that it does not know after so long may have been one, and
/// handing it in again could load its rows twice.
const FORGOTTEN_AFTER_MS: i64 = 24 * 3600 * 1000;
/// How far the clock may have gone back since a task was written down.
const CLOCK_BACK_MS: i64 = 5 * 60 * 1000;
/// Tries to get a report before its task is taken for stored without one.
const REPORT_TRIES: u32 = 10;

/// The part of a life that loads.
pub(super) struct Loads<'a> {
    pub(super) loading: &'a Loading,
    writer: SpecWriter,
    timer: Timer,
    merge_timer: Option<Timer>,
    failures: u32,
    unknown_since: Option<Instant>,
    report_tries: u32,
    /// The last task merged: the next one loads, where anything waits.
    has_merged: bool,
}

impl<'a> Loads<'a> {
    pub(super) fn begin(loading: &'a Loading) -> Result<Self> {
        Ok(Loads {
            loading,
            writer: (loading.make)()?,
            timer: Timer::new(loading.schedule.clone()),
            merge_timer: loading.merge_schedule.clone().map(Timer::new),
            failures: 0,
            unknown_since: None,
            report_tries: 0,
            has_merged: false,
        })
    }
}

impl Life<'_> {
    /// One step of loading.
    pub(super) fn load(&mut self) -> Result<()> {
        let Some(loads) = &mut self.loads else { return Ok(()) };
        let book = self.ledger.book();
        if let Some((id, task)) = book.open_task() {
            let (id, task) = (id.clone(), task.clone());
            return self.follow(&id, task);
        }
        // The first look of this life says which batches are there.
        if !self.has_looked {
            return Ok(());
        }
        let now = now_ms();
        // In turns: with a steady inflow something always waits.
        if !std::mem::take(&mut loads.has_merged)
            && let Some(timer) = &mut loads.merge_timer
            && timer.is_due(now)
        {
            if let Some(job) = next_merge(book, &loads.loading.plan) {
                loads.has_merged = true;
                return self.begin(job);
            }
            timer.done();
        }
        let is_there = |name: &str| self.discovery.files.contains_key(name);
        if self.task.settings.once || loads.timer.is_due(now) {
            if let Some(job) = next_load(book, &loads.loading.plan, &is_there)? {
                return self.begin(job);
            }
            loads.timer.done();
        }
        Ok(())
    }

    /// Writes down what a task is to load, then hands it in.
    fn begin(&mut self, job: Job) -> Result<()> {
        let entry = TaskEntry::new(job.mode, job.attempt, job.batches, &job.intervals, job.rows);
        // What cannot be said is not written down.
        let text = self.text(&job.id, &entry)?;
        let now = now_ms();
        let taken = entry.batches.iter().filter_map(|name| {
            let mut batch = self.ledger.book().batches.get(name)?.clone();
            // A batch that is loaded again stays what it is.
            (batch.state == BatchState::Waiting).then(|| {
                (batch.state, batch.since_ms, batch.task) = (BatchState::Taken, now, Some(job.id.clone()));
                (name.clone(), batch)
            })
        });
        let batches = taken.collect();
        tracing::info!(task = job.id, rows = job.rows, batches = entry.batches.len(), "task is handed in");
        self.write(Change { batches, tasks: vec![(job.id.clone(), entry.clone())] })?;
        CrashPoint::IngestRecorded.pass();
        let Some(loads) = &mut self.loads else { return Ok(()) };
        (loads.unknown_since, loads.report_tries) = (None, 0);
        self.hand_in(&job.id, entry, &text, true)
    }

    /// The text of a task, secrets in their places.
    fn text(&mut self, id: &str, task: &TaskEntry) -> Result<String> {
        let loads = self.loads.as_mut().ok_or_else(|| Error::bug("an ingestion that loads nothing writes no tasks"))?;
        let address = &loads.loading.address;
        let book = self.ledger.book();
        let batches = task.batches.iter().map(|name| {
            let facts = book.batches.get(name).map(|batch| &batch.facts);
            let (records, bytes) = facts.map_or((0, 0), |facts| (facts.records, facts.bytes));
            BatchRef { uri: address.of(name), records, bytes }
        });
        let batches: Vec<BatchRef> = batches.collect();
        let spec = loads.writer.task(id, task.mode()?, &batches, &task.spans())?;
        loads.writer.with_secrets(&spec)
    }

    /// One step of a task that is not over.
    fn follow(&mut self, id: &str, task: TaskEntry) -> Result<()> {
        let Some(loads) = &mut self.loads else { return Ok(()) };
        let indexer = &loads.loading.indexer;
        match indexer.standing(id)? {
            TaskStanding::Unknown => {}
            // One that an earlier life, or a lost answer, handed in.
            _ if task.stage == TaskStage::Recorded => return self.accepted(id, task),
            TaskStanding::Running(_) => {
                loads.unknown_since = None;
                return Ok(());
            }
            TaskStanding::Success => {
                let rows = match indexer.rows(id) {
                    Ok(rows) => rows,
                    Err(error) if error.class() == ErrorClass::Retry && loads.report_tries < REPORT_TRIES => {
                        loads.report_tries += 1;
                        return Err(error);
                    }
                    Err(error) => {
                        tracing::error!(task = id, %error, "a task's report cannot be had; its rows are not compared");
                        None
                    }
                };
                loads.failures = 0;
                return self.succeed(id, task, rows);
            }
            TaskStanding::Failed(why) => return self.fail(id, task, &why),
        }
        if task.stage == TaskStage::Submitted {
            if loads.unknown_since.get_or_insert_with(Instant::now).elapsed() < UNKNOWN_FOR {
                return Ok(());
            }
            loads.unknown_since = None;
            tracing::warn!(task = id, at = indexer.describe(), "task is not known any more, and is handed in again");
        }
        let age = now_ms().saturating_sub(task.recorded_ms);
        if !(-CLOCK_BACK_MS..=FORGOTTEN_AFTER_MS).contains(&age) {
            let at = indexer.describe();
            return Err(Error::config(format!(
                "task `{id}` was written down on another day, and {at} does not know it: it never had it, or has forgotten it"
            ))
            .with_hint(format!("see whether its rows are there, then say `host ingest settle {id} success` or `failed`")));
        }
        let text = self.text(id, &task)?;
        self.hand_in(id, task, &text, false)
    }

    fn accepted(&mut self, id: &str, mut task: TaskEntry) -> Result<()> {
        CrashPoint::IngestAccepted.pass();
        task.stage = TaskStage::Submitted;
        self.write(Change { batches: Vec::new(), tasks: vec![(id.to_owned(), task)] })
    }

    /// Hands a task in; `is_first`: the service cannot know it yet.
    fn hand_in(&mut self, id: &str, task: TaskEntry, text: &str, is_first: bool) -> Result<()> {
        let Some(loads) = &mut self.loads else { return Ok(()) };
        let indexer = &loads.loading.indexer;
        let why = match indexer.submit(text)? {
            Submitted::Accepted | Submitted::Already => return self.accepted(id, task),
            Submitted::Refused(why) => why,
        };
        if indexer.standing(id)? != TaskStanding::Unknown {
            return self.accepted(id, task);
        }
        let at = indexer.describe();
        let refused = format!("task `{id}` is refused by {at}: {why}");
        // One that was handed in before may be known to the leader alone.
        if !is_first && loads.unknown_since.get_or_insert_with(Instant::now).elapsed() < UNKNOWN_FOR {
            return Err(Error::retry(refused));
        }
        self.end(id, task, TaskStage::Failed, Some(why))?;
        Err(Error::config(refused))
    }

    fn succeed(&mut self, id: &str, mut task: TaskEntry, rows: Option<TaskRows>) -> Result<()> {
        task.stored = rows.map(|rows| rows.stored);
        let expected = task.rows.unwrap_or(0);
        let note = rows.filter(|rows| task.rows.is_some() && rows.stored != expected).map(|rows| {
            let TaskRows { stored, left_out, unparseable } = rows;
            format!("{stored} of {expected} rows are stored, {left_out} were left out and {unparseable} not readable")
        });
        if let Some(note) = &note {
            tracing::error!(task = id, "{note}");
        }
        let lacking = rows.map_or(0, |rows| expected.saturating_sub(rows.stored));
        let (records, bytes) = self.taken_by(id, |facts| (facts.records, facts.bytes));
        self.end(id, task, TaskStage::Success, note)?;
        self.stats.add_commit(records.saturating_sub(lacking), bytes, lacking, &BTreeMap::new());
        Ok(())
    }

    fn taken_by(&self, id: &str, of: impl Fn(&BatchFacts) -> (u64, u64)) -> (u64, u64) {
        let batches = self.ledger.book().batches.values();
        let taken = batches.filter(|batch| batch.state == BatchState::Taken && batch.task.as_deref() == Some(id));
        taken
            .map(|batch| of(&batch.facts))
            .fold((0, 0), |(one, other), (more, more_other)| (one + more, other + more_other))
    }

    fn fail(&mut self, id: &str, task: TaskEntry, why: &str) -> Result<()> {
        let is_merge = task.mode()? == IngestMode::Reindex;
        self.end(id, task, TaskStage::Failed, Some(why.to_owned()))?;
        let Some(loads) = &mut self.loads else { return Ok(()) };
        if is_merge {
            // Nothing waits for it; it is tried again when its time comes.
            loads.merge_timer.iter_mut().for_each(Timer::done);
            return Ok(());
        }
        loads.failures += 1;
        self.stats.add_retry();
        match loads.failures >= loads.loading.max_attempts {
            false => Err(Error::retry(format!("task `{id}` failed: {why}"))),
            true => {
                let failures = loads.failures;
                Err(Error::config(format!("task `{id}` failed, as {failures} in a row did: {why}")))
            }
        }
    }

    /// A task is over, and its batches with it.
    fn end(&mut self, id: &str, mut task: TaskEntry, stage: TaskStage, error: Option<String>) -> Result<()> {
        CrashPoint::IngestEnded.pass();
        let change = self.ledger.book().end(id, &mut task, stage, error);
        match stage {
            TaskStage::Success => tracing::info!(task = id, rows = task.rows, stored = task.stored, "task succeeded"),
            _ => tracing::warn!(task = id, error = task.error, "task failed"),
        }
        self.write(change)
    }
}
