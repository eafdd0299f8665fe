//! One life of a source: open, then poll, transform, convert, commit, until it is to stop. Between two batches it may
//! change over to another version of its plugin.
//!
//! Invariants:
//! - records, dead letters and positions of the same input are in one commit, so neither a crash
//!   nor an error loses or repeats any of them;
//! - the feed forgets frames only after the commit that covers them;
//! - an input that kills the plugin is found by giving the inputs in question one at a time, and
//!   becomes a dead letter; the others go through;
//! - versions change over at a commit, where nothing is in hand; a new one that does worse in its trial is
//!   taken back with all that it gave since its last commit, which the old one is given again.

use super::Task;
use super::converter::Converter;
use super::dead_letter::{Context, Stage};
use super::pending::Pending;
use super::rejections::Rejections;
use super::retry::{Backoff, until_done};
use super::stats::TaskStats;
use super::stop::Stop;
use super::trial::{Pace, Trial};
use super::versions::Versions;
use crate::connector::{
    PollLimits, Polled, Rejected, Retries, Schemas, Settings, Source, Tolerance, Transform, TrialSettings,
};
use crate::crash::CrashPoint;
use crate::error::{Error, ErrorClass, Result};
use crate::ports::feed::Feed;
use crate::ports::log::{Commit, Log, LogWriter, PositionEntry, TopicSpec, WriterId};
use crate::record::Batch;
use cpu_time::ThreadTime;
use std::sync::Arc;
use std::time::Duration;

/// How long a poll may wait for input; a task that is to stop notices after it.
const POLL_WAIT: Duration = Duration::from_millis(250);

/// What a task does, whatever runs it.
#[derive(Debug, Clone)]
pub struct TaskSettings {
    /// Connector name.
    pub connector: String,
    /// Task number.
    pub task: u32,
    /// Topic of records.
    pub topic: String,
    /// Topic of dead letters.
    pub dead_letter_topic: String,
    /// Records and positions in one transaction; else records first, which a crash may repeat.
    pub exactly_once: bool,
    /// Partitions of topics that are made.
    pub partitions: i32,
    /// Keys in the envelope.
    pub key_schemas: bool,
    /// Values in the envelope.
    pub value_schemas: bool,
    /// Records of one poll.
    pub batch_records: u32,
    /// Bytes of one poll, about.
    pub batch_bytes: u32,
    /// How long records wait for their commit.
    pub commit_interval: Duration,
    /// Bytes that make a commit at once.
    pub commit_bytes: usize,
    /// How failures that may pass are tried again.
    pub retries: Retries,
    /// Ends after this many records in the topic.
    pub max_records: Option<u64>,
    /// What is done about rejected inputs.
    pub tolerance: Tolerance,
    /// What is asked of a new version.
    pub trial: TrialSettings,
}

/// A source with its transforms, ready to be opened.
pub struct Chain {
    /// The source and its options.
    pub source: (Box<dyn Source>, Settings),
    /// Transforms with their options and labels, in order.
    pub transforms: Vec<(Box<dyn Transform>, Settings, String)>,
    /// Plugin name and version of the source.
    pub label: String,
}

/// A task.
pub struct SourceTask {
    /// What to do.
    pub settings: TaskSettings,
    /// Where records go.
    pub log: Arc<dyn Log>,
    /// The connector's feed, if it has one.
    pub feed: Option<Arc<dyn Feed>>,
    /// Makes instances, of the version that is to run.
    pub versions: Arc<Versions>,
}

impl Task for SourceTask {
    /// Ends well when stopped or when the wanted records are committed. After a defect, what the life
    /// before had taken is given again, one input at a time. Nothing of what was not committed is lost
    /// where the feed keeps it.
    fn run(&self, stop: &Stop, stats: &TaskStats, suspect: bool) -> Result<()> {
        let settings = &self.settings;
        let retries = settings.retries;
        let again = self.feed.as_ref().map_or(0, |feed| feed.rewind());
        let id = WriterId { connector: settings.connector.clone(), task: settings.task };
        let spec = TopicSpec { partitions: settings.partitions, ..TopicSpec::default() };
        until_done(stop, stats, retries, || self.log.create_topic(&settings.topic, spec))?;
        let mut writer = until_done(stop, stats, retries, || match settings.exactly_once {
            true => self.log.writer(&id),
            false => self.log.repeating_writer(&id),
        })?;
        let positions = until_done(stop, stats, retries, || self.log.positions(&settings.connector))?;
        let (mut chain, schemas) = self.open_version(stats, &positions)?;
        // Opening may have taken long, or something from a newer life of this task, or one may have ended this one's
        // commits to adopt its claims: then what was read before is old. None of them is a reason to fail.
        let probe = until_done(stop, stats, retries, || writer.commit(&Commit::default()));
        probe.map_err(|error| match error.class() {
            ErrorClass::Config => Error::retry(format!("begun anew: {error}")),
            _ => error,
        })?;
        if !self.versions.is_on_trial() {
            chain.source.0.passed();
        }
        let converter = Converter::new(&schemas, settings.key_schemas, settings.value_schemas)?;
        let suspects = if suspect { again } else { 0 };
        let rejections = Rejections::new(settings.tolerance);
        let (writer, letters_topic) = (writer.as_mut(), false);
        let mut life = Life {
            task: self,
            stop,
            stats,
            writer,
            converter,
            suspects,
            letters_topic,
            rejections,
            pace: Pace::default(),
            trial: self.versions.is_on_trial().then(|| Trial::begin(settings.trial, Pace::default())).flatten(),
        };
        let ended = life.run(&mut chain);
        match &ended {
            // A defect: the instance is not to be called again.
            Err(error) if error.class() == ErrorClass::Bug => {}
            _ => chain.source.0.close(),
        }
        ended
    }
}

impl Chain {
    pub(super) fn open(&mut self, positions: &[PositionEntry]) -> Result<Schemas> {
        let (source, settings) = &mut self.source;
        let mut schemas = source.open(settings, positions)?;
        for (transform, settings, _) in &mut self.transforms {
            schemas = transform.open(settings, schemas)?;
        }
        Ok(schemas)
    }
}

/// One life, from its open instance to its end.
pub(super) struct Life<'a> {
    pub(super) task: &'a SourceTask,
    pub(super) stop: &'a Stop,
    pub(super) stats: &'a TaskStats,
    writer: &'a mut dyn LogWriter,
    pub(super) converter: Converter,
    // Inputs still to be given one at a time.
    suspects: usize,
    letters_topic: bool,
    rejections: Rejections,
    // What the version that runs did in this life.
    pub(super) pace: Pace,
    // Held against the version before.
    pub(super) trial: Option<Trial>,
}

impl Life<'_> {
    fn run(&mut self, chain: &mut Chain) -> Result<()> {
        let settings = &self.task.settings;
        let mut pending = Pending::default();
        let mut trouble: Option<Backoff> = None;
        loop {
            let wanted =
                settings.max_records.map(|max| max.saturating_sub(self.stats.records() + pending.num_records()));
            if self.stop.is_asked() || wanted == Some(0) {
                self.commit(chain, pending)?;
                return Ok(());
            }
            if let Some(asked) = self.task.versions.take_asked() {
                self.commit(chain, std::mem::take(&mut pending))?;
                let changed = self.change_over(chain, &asked.version);
                asked.answer(changed);
            }
            let one_by_one = self.suspects > 0;
            let limits = PollLimits {
                max_records: if one_by_one { 1 } else { capped(settings.batch_records, wanted) },
                max_bytes: settings.batch_bytes,
                wait: pending.time_left(settings.commit_interval).map_or(POLL_WAIT, |left| left.min(POLL_WAIT)),
            };
            let before = ThreadTime::now();
            let polled = match chain.source.0.poll(limits) {
                Ok(polled) => {
                    if trouble.take().is_some() {
                        self.stats.set_trouble(None);
                    }
                    polled
                }
                Err(error) if error.class() == ErrorClass::Retry => {
                    self.stats.add_retry();
                    self.stats.set_trouble(Some(error.to_string()));
                    let wait = trouble.get_or_insert_with(|| Backoff::new(settings.retries)).next_wait(&error)?;
                    tracing::warn!(connector = settings.connector, %error, "poll is tried again");
                    self.commit(chain, std::mem::take(&mut pending))?;
                    self.stop.wait(wait);
                    continue;
                }
                Err(error) if error.class() == ErrorClass::Bug && self.trial.is_some() => {
                    pending = Pending::default();
                    self.take_back(chain, &error)?;
                    continue;
                }
                Err(error) if error.class() == ErrorClass::Bug && one_by_one => {
                    self.give_up_input(chain, &error)?;
                    return Err(error);
                }
                Err(error) if error.class() == ErrorClass::Bug => return Err(error),
                Err(error) => {
                    // The task ends here; what earlier polls gave is good.
                    self.commit(chain, pending)?;
                    return Err(error);
                }
            };
            let idle = match self.gather(chain, polled, &mut pending, before) {
                Err(error) if error.class() != ErrorClass::Retry && self.trial.is_some() => {
                    pending = Pending::default();
                    self.take_back(chain, &error)?;
                    continue;
                }
                Err(error) if error.class() == ErrorClass::Bug && one_by_one => {
                    self.give_up_input(chain, &error)?;
                    return Err(error);
                }
                gathered => gathered?,
            };
            self.stats.set_in_hand(pending.num_records());
            self.stats.set_backlog(chain.source.0.backlog());
            self.suspects = self.suspects.saturating_sub(1);
            let due = pending.time_left(settings.commit_interval).is_some_and(|left| left.is_zero());
            if one_by_one || idle || due || pending.num_bytes() >= settings.commit_bytes {
                self.commit(chain, std::mem::take(&mut pending))?;
            }
        }
    }

    /// Takes one poll through transforms and converter into `pending`; true if there was nothing.
    fn gather(&mut self, chain: &mut Chain, polled: Polled, pending: &mut Pending, before: ThreadTime) -> Result<bool> {
        let settings = &self.task.settings;
        let Polled { mut records, rejects, skips, positions } = polled;
        if records.is_empty() && rejects.is_empty() && skips.is_empty() && positions.is_empty() {
            return Ok(true);
        }
        pending.begin();
        let left_out: u64 = skips.iter().map(|(_, count)| count).sum();
        let inputs = records.len() as u64 + rejects.len() as u64 + left_out;
        let (rejected, mut reason) = (pending.rejected, None);
        let mut reject = |pending: &mut Pending, rejects: Vec<Rejected>, plugin: &str, stage| {
            reason = reason.take().or_else(|| rejects.first().map(|rejected| rejected.reason.clone()));
            let context =
                Context { connector: &settings.connector, task: settings.task, topic: &settings.topic, plugin, stage };
            pending.reject(&rejects, context);
        };
        reject(pending, rejects, &chain.label, Stage::TaskPoll);
        pending.add_skips(skips);
        for (transform, _, label) in &mut chain.transforms {
            if records.is_empty() {
                break;
            }
            let out = until_done(self.stop, self.stats, settings.retries, || transform.transform(&records))?;
            reject(pending, out.rejects, label, Stage::Transformation);
            pending.add_skips(out.skips);
            records = out.records;
        }
        if !records.is_empty() {
            let (converted, rejects): (Batch, _) = self.converter.convert(&records);
            reject(pending, rejects, &chain.label, Stage::ValueConverter);
            pending.batches.push(converted);
        }
        pending.add_positions(positions);
        let rejected = pending.rejected - rejected;
        self.rejections.add(inputs, rejected, reason.as_deref())?;
        let cpu = before.elapsed();
        self.pace.add(inputs, rejected, cpu);
        if let Some(trial) = &mut self.trial
            && trial.judge(inputs, rejected, cpu)?
        {
            self.trial = None;
            self.task.versions.pass();
            chain.source.0.passed();
            tracing::info!(
                connector = settings.connector,
                plugin = chain.label,
                "the new version has passed its trial"
            );
        }
        Ok(false)
    }

    fn commit(&mut self, chain: &mut Chain, mut pending: Pending) -> Result<()> {
        if pending.is_empty() {
            return Ok(());
        }
        let settings = &self.task.settings;
        let (records, bytes) = (pending.num_records(), pending.num_bytes());
        if pending.rejected > 0 && !self.letters_topic {
            let make = || self.task.log.create_topic(&settings.dead_letter_topic, TopicSpec::default());
            until_done(self.stop, self.stats, settings.retries, make)?;
            self.letters_topic = true;
        }
        let commit = pending.commit(&settings.topic, &settings.dead_letter_topic);
        let written = until_done(self.stop, self.stats, settings.retries, || self.writer.commit(&commit));
        written.map_err(|error| match error.class() {
            ErrorClass::Retry => error.context(format!("{records} records were taken and not written")),
            _ => error,
        })?;
        CrashPoint::SourceCommitted.pass();
        if let Some(feed) = &self.task.feed {
            feed.commit();
        }
        self.stats.add_commit(records, bytes as u64, pending.rejected, &pending.skips);
        if let Err(error) = chain.source.0.committed() {
            // The commit stands; the source does the rest with its next poll.
            tracing::warn!(connector = settings.connector, %error, "left for later");
        }
        Ok(())
    }

    /// The one input that was given alone and ended the plugin becomes a dead letter.
    fn give_up_input(&mut self, chain: &mut Chain, error: &Error) -> Result<()> {
        let Some(feed) = &self.task.feed else { return Ok(()) };
        if feed.rewind() == 0 {
            return Ok(());
        }
        let Some(frames) = feed.read(1, usize::MAX, Duration::ZERO)? else { return Ok(()) };
        let settings = &self.task.settings;
        let rejected = Rejected {
            raw: Some(frames.data),
            origin: frames.origin_names.into_iter().next().unwrap_or_default(),
            reason: error.to_string(),
            timestamp: frames.received_ms.first().copied().unwrap_or(0),
            ..Rejected::default()
        };
        tracing::warn!(connector = settings.connector, reason = rejected.reason, "input given up");
        let context = Context {
            connector: &settings.connector,
            task: settings.task,
            topic: &settings.topic,
            plugin: "host",
            stage: Stage::TaskPoll,
        };
        let mut pending = Pending::default();
        pending.begin();
        pending.reject(&[rejected], context);
        self.commit(chain, pending)
    }
}

fn capped(most: u32, wanted: Option<u64>) -> u32 {
    wanted.and_then(|wanted| u32::try_from(wanted).ok()).map_or(most, |wanted| most.min(wanted))
}
