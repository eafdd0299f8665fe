//! One life of an ingestion: find new batches, hand in a task, follow it to its end, retire; until it is
//! to stop.

use super::catalog::Catalog;
use super::discovery::Discovery;
use super::ledger::{BatchEntry, BatchState, Change, Ledger, TaskEntry};
use super::loading::Loads;
use super::plan::{PlanSettings, next_load};
use super::rows::RowFormat;
use super::spec::SpecWriter;
use super::target::Target;
use crate::connector::Granularity;
use crate::error::{Error, ErrorClass, Result};
use crate::ports::indexer::Indexer;
use crate::ports::log::Log;
use crate::record::now_ms;
use crate::schedule::Schedule;
use crate::spool::{DataList, DataSet};
use crate::task::{Backoff, Retries, Stop, Task, TaskStats, until_done};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// New batches of one commit: what a crash makes open again.
const COMMITTED_TOGETHER: usize = 16;
/// Batches of one commit that are retired: each is some 400 bytes of it.
const RETIRED_TOGETHER: usize = 500;
/// Letters of a path that stay as they are.
const PATH: &AsciiSet = &NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// How an ingestion works.
#[derive(Debug, Clone)]
pub struct IngestSettings {
    /// Connector name; the ledger is kept under it.
    pub connector: String,
    /// What the ledger is of.
    pub target: Target,
    /// What rows look like.
    pub format: RowFormat,
    /// Chunks of time.
    pub granularity: Granularity,
    /// How often the data set is listed.
    pub scan_interval: Duration,
    /// A stored batch is served no more after this time; none: it always is.
    pub retire_after: Option<Duration>,
    /// How failures that may pass are tried again.
    pub retries: Retries,
    /// Ends when nothing waits to be loaded, and does not wait for schedules.
    pub once: bool,
}

/// Where batches are fetched.
#[derive(Debug, Clone)]
pub struct BatchAddress {
    /// What is before `/batches/`.
    pub base: String,
    /// Compressed.
    pub gzip: bool,
}

impl BatchAddress {
    /// The address of a batch.
    pub fn of(&self, name: &str) -> String {
        let suffix = if self.gzip { ".gz" } else { "" };
        format!("{}/batches/{}{suffix}", self.base, utf8_percent_encode(name, PATH))
    }
}

/// How batches are loaded.
pub struct Loading {
    /// What is next.
    pub plan: PlanSettings,
    /// Where the service fetches.
    pub address: BatchAddress,
    /// When waiting batches are loaded.
    pub schedule: Schedule,
    /// When chunks are merged; none: never.
    pub merge_schedule: Option<Schedule>,
    /// Failures in a row after which the ingestion gives up.
    pub max_attempts: u32,
    /// How often a task is asked after.
    pub poll_interval: Duration,
    /// The service.
    pub indexer: Arc<dyn Indexer>,
    /// Makes a writer of tasks; called on the task's own thread.
    pub make: Box<dyn Fn() -> Result<SpecWriter> + Send>,
}

/// An ingestion.
pub struct IngestTask {
    /// How it works.
    pub settings: IngestSettings,
    /// Where the ledger is.
    pub log: Arc<dyn Log>,
    /// The data set.
    pub set: DataSet,
    /// Makes a listing of it; called on the task's own thread.
    pub list: Box<dyn Fn() -> Result<DataList> + Send>,
    /// How batches are loaded; none: they are served only.
    pub loading: Option<Loading>,
    /// Where all that is known is shown.
    pub catalog: Arc<Catalog>,
}

impl Task for IngestTask {
    fn run(&self, stop: &Stop, stats: &TaskStats, _suspect: bool) -> Result<()> {
        let IngestSettings { connector, format, granularity, retries, .. } = &self.settings;
        let mut ledger = until_done(stop, stats, *retries, || Ledger::open(self.log.as_ref(), connector))?;
        let merges = self.loading.as_ref().is_some_and(|loading| loading.merge_schedule.is_some());
        until_done(stop, stats, *retries, || ledger.aim(&self.settings.target, merges))?;
        let discovery = Discovery::new(self.set.clone(), (self.list)()?, format.clone(), *granularity, ledger.book());
        let loads = match &self.loading {
            None => None,
            Some(loading) => Some(Loads::begin(loading)?),
        };
        let mut life = Life {
            task: self,
            stop,
            stats,
            ledger,
            discovery,
            loads,
            next_scan: Instant::now(),
            has_looked: false,
            missing: None,
        };
        life.run()
    }
}

pub(super) struct Life<'a> {
    pub(super) task: &'a IngestTask,
    stop: &'a Stop,
    pub(super) stats: &'a TaskStats,
    pub(super) ledger: Ledger,
    pub(super) discovery: Discovery,
    pub(super) loads: Option<Loads<'a>>,
    next_scan: Instant,
    /// The data set was looked at in this life.
    pub(super) has_looked: bool,
    /// What is not loaded though it should be, for people.
    missing: Option<String>,
}

impl Life<'_> {
    fn run(&mut self) -> Result<()> {
        let settings = &self.task.settings;
        let mut backoff = Backoff::new(settings.retries);
        let pause = self.loads.as_ref().map_or(settings.scan_interval, |loads| loads.loading.poll_interval);
        loop {
            if self.stop.is_asked() {
                return Ok(());
            }
            // What goes on in the service is followed though the data set is out of reach, and the other way round.
            // Found first, so that what is new is handed in at once.
            let (found, loaded) = (self.discover(), self.load());
            let wait = match loaded.and(found).and_then(|()| self.retire()) {
                Ok(()) => {
                    backoff = Backoff::new(settings.retries);
                    self.stats.set_trouble(self.missing.clone());
                    if settings.once && self.is_done()? {
                        // Who waits for the end is told what was not loaded.
                        return self.missing.take().map_or(Ok(()), |missing| Err(Error::config(missing)));
                    }
                    pause.min(self.next_scan.saturating_duration_since(Instant::now()))
                }
                Err(error) if error.class() == ErrorClass::Retry => {
                    let wait = backoff.next_wait(&error)?;
                    tracing::warn!(%error, hint = error.hint(), "trying again");
                    self.stats.add_retry();
                    self.stats.set_trouble(Some(error.to_string()));
                    wait
                }
                Err(error) => return Err(error),
            };
            self.stop.wait(wait);
        }
    }

    /// Looks for new files and opens them.
    fn discover(&mut self) -> Result<()> {
        if Instant::now() < self.next_scan {
            return Ok(());
        }
        let (new, mut has_changed) = self.discovery.look(self.ledger.book())?;
        let (open, mut waiting) = (self.num_open(), new.len() as u64);
        let mut change = Change::default();
        for file in new {
            if self.stop.is_asked() {
                break;
            }
            self.stats.set_backlog(Some(open + waiting));
            waiting -= 1;
            let stop = self.stop;
            match self.discovery.examine(&file, &|| !stop.is_asked()) {
                Ok(Some(batch)) => {
                    self.stats.add_skips(&batch.facts.skipped);
                    change.batches.push((file.name.clone(), batch));
                }
                Ok(None) => has_changed = true,
                // What was found before is kept: it would be taken for its own double.
                Err(error) => {
                    self.write(change)?;
                    return Err(error);
                }
            }
            if change.batches.len() >= COMMITTED_TOGETHER {
                self.write(std::mem::take(&mut change))?;
            }
        }
        self.write(change)?;
        self.has_looked = true;
        if has_changed || !self.task.catalog.is_filled() {
            self.show();
        }
        self.stats.set_backlog(Some(self.num_open()));
        self.missing = self.describe_missing();
        self.next_scan = Instant::now() + self.task.settings.scan_interval;
        Ok(())
    }

    /// Files that are no batches, and batches that wait and have no file any more.
    fn describe_missing(&self) -> Option<String> {
        if let Some((name, reason, count)) = self.discovery.first_refused() {
            return Some(format!("{count} files of the data set are not loaded; `{name}`: {reason}"));
        }
        let batches = self.ledger.book().batches.iter();
        let mut lost = batches
            .filter(|(name, batch)| batch.state == BatchState::Waiting && !self.discovery.files.contains_key(*name));
        let Some((name, _)) = lost.next() else { return self.describe_short() };
        Some(format!("{} batches wait and are gone from the data set; `{name}` is one", 1 + lost.count()))
    }

    /// A task whose rows are not as many as its batches have; the newest.
    fn describe_short(&self) -> Option<String> {
        let tasks = self.ledger.book().tasks.iter();
        let short = tasks.filter(|(_, task)| task.is_short()).max_by_key(|(_, task)| task.ended_ms)?;
        Some(format!("task `{}`: {}", short.0, short.1.error.as_deref().unwrap_or_default()))
    }

    /// Makes changes durable and shows them.
    pub(super) fn write(&mut self, change: Change) -> Result<()> {
        if change.batches.is_empty() && change.tasks.is_empty() {
            return Ok(());
        }
        let ledger = &mut self.ledger;
        let retries = self.task.settings.retries;
        until_done(self.stop, self.stats, retries, || ledger.write(change.clone()))?;
        self.show();
        Ok(())
    }

    /// Shows what is known, once the data set was looked at: until then what an earlier life knew stands.
    fn show(&self) {
        if self.has_looked {
            self.task.catalog.fill(self.ledger.book(), &self.discovery.files, self.discovery.refused());
        }
    }

    /// Batches that are to be loaded and are not yet; without a service nothing is.
    fn num_open(&self) -> u64 {
        let is_open = |state| matches!(state, BatchState::Waiting | BatchState::Taken);
        match &self.loads {
            None => 0,
            Some(_) => self.ledger.book().batches.values().filter(|batch| is_open(batch.state)).count() as u64,
        }
    }

    fn is_done(&self) -> Result<bool> {
        let Some(loads) = &self.loads else { return Ok(true) };
        let book = self.ledger.book();
        let is_there = |name: &str| self.discovery.files.contains_key(name);
        Ok(book.open_task().is_none() && next_load(book, &loads.loading.plan, &is_there)?.is_none())
    }

    /// Batches that were stored long enough ago are served no more.
    fn retire(&mut self) -> Result<()> {
        let Some(after) = self.task.settings.retire_after else { return Ok(()) };
        let now = now_ms();
        let until = now.saturating_sub(i64::try_from(after.as_millis()).unwrap_or(i64::MAX));
        let book = self.ledger.book();
        let open: &[String] = book.open_task().map_or(&[], |(_, task)| &task.batches);
        // Of what was stored in part the source is kept.
        let is_short =
            |batch: &BatchEntry| batch.task.as_ref().and_then(|id| book.tasks.get(id)).is_some_and(TaskEntry::is_short);
        let old = book.batches.iter().filter(|(name, batch)| {
            batch.state == BatchState::Ingested && batch.since_ms <= until && !open.contains(name) && !is_short(batch)
        });
        let batches = old.map(|(name, batch)| {
            let mut batch = batch.clone();
            (batch.state, batch.since_ms) = (BatchState::Retired, now);
            (name.clone(), batch)
        });
        let batches = batches.take(RETIRED_TOGETHER).collect();
        self.write(Change { batches, tasks: Vec::new() })
    }
}
