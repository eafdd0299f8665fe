//! One life of a sink: join its group, take partitions, then read, put, flush, commit offsets, until it is to stop.
//!
//! Invariants:
//! - an offset is committed only when everything before it is safe in the sink's target, and after an
//!   error before anything else;
//! - where to go on is the later of what the target holds and what the group has committed, so a crash
//!   between the two repeats nothing;
//! - after an error everything that was not safe is read again: nothing is kept in hand over it;
//! - dead letters are written before the offset after them is committed: a crash may write one twice,
//!   never lose it;
//! - partitions are given up when what was put of them is safe and committed, or is dropped.

use super::Task;
use super::dead_letter::{self, Context, Stage};
use super::dealt::Dealt;
use super::rejections::Rejections;
use super::retry::{Backoff, until_done};
use super::stats::TaskStats;
use super::stop::Stop;
use crate::connector::{Assigned, Rejected, Retries, Sink, Tolerance, TopicPartition};
use crate::crash::CrashPoint;
use crate::error::{Error, ErrorClass, Result};
use crate::ports::group::{GroupMember, Membership, Revoked};
use crate::ports::log::{Commit, GroupOffset, Log, LogReader, ReadLimits, StoredRecord, TopicSpec, Watermarks};
use crate::record::BatchBuilder;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long all reads of one round may wait for records together.
const ROUND_WAIT: Duration = Duration::from_millis(250);
/// How long a task without partitions waits before it asks for some again.
const SHARE_WAIT: Duration = Duration::from_millis(50);
/// How often partitions that are held by others are asked for.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Names in the target say where to go on, so offsets need not be committed after each file.
const COMMIT_EVERY: Duration = Duration::from_secs(1);

/// What a sink task does.
#[derive(Debug, Clone)]
pub struct SinkSettings {
    /// Connector name; its group is `connect-NAME`.
    pub connector: String,
    /// Task number.
    pub task: u32,
    /// How many tasks the connector has: where the log has no groups, partitions are dealt out to them in turn.
    pub num_tasks: u32,
    /// Topics it reads.
    pub topics: Vec<String>,
    /// Topic of dead letters; none: the record's own with `-dlq`.
    pub dead_letter_topic: Option<String>,
    /// Plugin or kind, for dead letters.
    pub label: String,
    /// Records of one read.
    pub batch_records: u32,
    /// Bytes of one read, about.
    pub batch_bytes: u32,
    /// How failures that may pass are tried again.
    pub retries: Retries,
    /// What is done about rejected records.
    pub tolerance: Tolerance,
}

/// A sink task.
pub struct SinkTask {
    /// What to do.
    pub settings: SinkSettings,
    /// Where records come from.
    pub log: Arc<dyn Log>,
    /// Makes new instances; called on the task's own thread.
    pub make: Box<dyn Fn() -> Result<Box<dyn Sink>> + Send>,
}

impl Task for SinkTask {
    /// Ends well when stopped. Nothing of what was not made safe is lost: the log keeps it.
    fn run(&self, stop: &Stop, stats: &TaskStats, _suspect: bool) -> Result<()> {
        let settings = &self.settings;
        let membership =
            Membership { connector: settings.connector.clone(), task: settings.task, topics: settings.topics.clone() };
        let member = until_done(stop, stats, settings.retries, || match self.log.join(&membership)? {
            Some(member) => Ok(member),
            None => Ok(Box::new(Dealt::new(&self.log, settings)?) as Box<dyn GroupMember>),
        })?;
        let mut sink = (self.make)()?;
        let mut life = Life {
            task: self,
            stop,
            stats,
            group: membership.group(),
            member,
            partitions: BTreeMap::new(),
            letter_topics: BTreeSet::new(),
            looked: None,
            committed: Instant::now(),
            rejections: Rejections::new(settings.tolerance),
            unjudged: 0,
        };
        let ended = life.run(sink.as_mut());
        match &ended {
            // A defect: the instance is not to be called again.
            Err(error) if error.class() == ErrorClass::Bug => {}
            _ => sink.close(),
        }
        ended
    }
}

/// A partition as this task reads it.
#[derive(Default)]
struct Reading {
    /// None: not assigned.
    reader: Option<Box<dyn LogReader>>,
    /// The next offset to read.
    next: i64,
    /// What the group has committed.
    committed: Option<i64>,
    /// Whether the last read found nothing.
    is_idle: bool,
    /// What was put and is not known to be safe: the offset after it, records, bytes.
    in_hand: VecDeque<(i64, u64, u64)>,
}

struct Life<'a> {
    task: &'a SinkTask,
    stop: &'a Stop,
    stats: &'a TaskStats,
    group: String,
    member: Box<dyn GroupMember>,
    partitions: BTreeMap<TopicPartition, Reading>,
    letter_topics: BTreeSet<String>,
    /// When the sink was asked to take partitions last.
    looked: Option<Instant>,
    committed: Instant,
    rejections: Rejections,
    /// Records that were given to the sink since its rejects were taken.
    unjudged: u64,
}

impl Life<'_> {
    fn run(&mut self, sink: &mut dyn Sink) -> Result<()> {
        let mut backoff = Backoff::new(self.task.settings.retries);
        loop {
            let asked = self.stop.is_asked();
            match self.round(sink, asked) {
                Ok(()) if asked => return Ok(()),
                Ok(()) => {
                    if self.stats.counts().trouble.is_some() && !self.partitions.is_empty() {
                        tracing::info!(connector = self.task.settings.connector, "works again");
                    }
                    self.stats.set_trouble(None);
                    backoff = Backoff::new(self.task.settings.retries);
                }
                Err(error) if error.class() == ErrorClass::Retry => {
                    let wait = backoff.next_wait(&error)?;
                    let retry_ms = u64::try_from(wait.as_millis()).unwrap_or(0);
                    let connector = self.task.settings.connector.as_str();
                    tracing::warn!(connector, %error, hint = error.hint(), retry_ms, "reading again from what is safe");
                    self.stats.add_retry();
                    self.stats.set_trouble(Some(error.to_string()));
                    self.commit_in_trouble(sink)?;
                    for reading in self.partitions.values_mut() {
                        reading.reader = None;
                        reading.in_hand.clear();
                    }
                    self.looked = None;
                    // Once asked to stop there is nothing to wait for: what is not safe is in the log.
                    if asked || self.stop.wait(wait) {
                        return if asked { Err(error) } else { Ok(()) };
                    }
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn round(&mut self, sink: &mut dyn Sink, last: bool) -> Result<()> {
        if last {
            sink.flush(true)?;
            return self.commit(sink, true);
        }
        self.take_share(sink)?;
        let settings = &self.task.settings;
        let assigned = self.partitions.values().filter(|reading| reading.reader.is_some()).count();
        let Some(share) = u32::try_from(assigned).ok().filter(|count| *count > 0) else {
            self.stop.wait(SHARE_WAIT);
            return Ok(());
        };
        let limits = ReadLimits {
            max_records: settings.batch_records as usize,
            max_bytes: settings.batch_bytes as usize,
            wait: ROUND_WAIT / share,
        };
        for (at, reading) in &mut self.partitions {
            let Some(reader) = &mut reading.reader else { continue };
            let records = reader.next(limits)?;
            reading.is_idle = records.is_empty();
            let Some(last) = records.last() else { continue };
            reading.next = last.offset + 1;
            reading.in_hand.push_back((reading.next, records.len() as u64, num_bytes(&records)));
            self.unjudged += records.len() as u64;
            sink.put(at, &records)?;
        }
        self.write_letters(sink.take_rejects())?;
        sink.flush(false)?;
        self.commit(sink, false)
    }

    /// Gives up what is to be given up, and takes what this task should read and does not.
    fn take_share(&mut self, sink: &mut dyn Sink) -> Result<()> {
        let mut share = self.member.share()?;
        while let Some(revoked) = &share.revoked {
            self.give_up(sink, revoked)?;
            share = self.member.share()?;
        }
        let is_read = |at: &TopicPartition| self.partitions.get(at).is_some_and(|reading| reading.reader.is_some());
        let wanted: BTreeSet<_> = share.assigned.into_iter().filter(|at| !is_read(at)).collect();
        if wanted.is_empty() || self.looked.is_some_and(|looked| looked.elapsed() < LOOK_EVERY) {
            return Ok(());
        }
        self.looked = Some(Instant::now());
        self.assign(sink, wanted)
    }

    /// Finishes the work on partitions that others are to have, or drops it: one attempt, for they wait.
    ///
    /// # Errors
    /// What kept it from being finished; they are given up all the same where it may pass.
    fn give_up(&mut self, sink: &mut dyn Sink, revoked: &Revoked) -> Result<()> {
        let Revoked { partitions, is_lost } = revoked;
        let (connector, task) = (self.task.settings.connector.as_str(), self.task.settings.task);
        tracing::info!(connector, task, partitions = partitions.len(), is_lost, "partitions given up");
        let finished = match is_lost {
            true => Ok(()),
            false => sink.flush(true).and_then(|()| self.commit(sink, true)),
        };
        if !matches!(&finished, Err(error) if error.class() != ErrorClass::Retry) {
            partitions.iter().for_each(|at| drop(self.partitions.remove(at)));
            sink.release(partitions);
            self.looked = None;
            self.member.release()?;
        }
        // A sink that failed has forgotten what it was given of the others too: the round ends here.
        finished
    }

    /// Asks the sink where it goes on, and opens readers there.
    fn assign(&mut self, sink: &mut dyn Sink, wanted: BTreeSet<TopicPartition>) -> Result<()> {
        let settings = &self.task.settings;
        let mut committed = BTreeMap::new();
        for topic in wanted.iter().map(|at| &at.topic).collect::<BTreeSet<_>>() {
            let offsets = self.task.log.group_offsets(&self.group, topic)?;
            committed.extend(offsets.into_iter().map(|offset| ((offset.topic, offset.partition), offset.next)));
        }
        let wanted: Vec<_> = wanted
            .into_iter()
            .map(|at| {
                let committed = committed.get(&(at.topic.clone(), at.partition)).copied();
                (at, committed)
            })
            .collect();
        let taken = sink.assign(&wanted)?;
        // Asked after the sink, whose target may hold what was written a moment ago.
        let mut topics = BTreeMap::new();
        for ((at, committed), assigned) in wanted.iter().zip(taken) {
            let reading = self.partitions.entry(at.clone()).or_default();
            match assigned {
                Assigned::Held(by) => {
                    tracing::debug!(
                        connector = settings.connector,
                        topic = at.topic,
                        partition = at.partition,
                        by,
                        "held"
                    );
                }
                Assigned::From(start) => {
                    let topic = match topics.entry(&at.topic) {
                        Entry::Occupied(known) => known.into_mut(),
                        Entry::Vacant(unknown) => unknown.insert(self.task.log.topic(&at.topic)?),
                    };
                    let index = usize::try_from(at.partition).unwrap_or(usize::MAX);
                    let marks = topic.as_ref().and_then(|topic| topic.partitions.get(index));
                    // Deleted since it was shared out: it may come back.
                    let Some(marks) = marks else { continue };
                    check_start(at, start, *marks)?;
                    let next = start.unwrap_or(0);
                    let reader = self.task.log.reader(&at.topic, at.partition, next)?;
                    *reading = Reading { reader: Some(reader), next, committed: *committed, ..Reading::default() };
                }
            }
        }
        Ok(())
    }

    /// Writes dead letters, then commits what became safe, where it is due.
    fn commit(&mut self, sink: &mut dyn Sink, now: bool) -> Result<()> {
        self.write_letters(sink.take_rejects())?;
        let group_offsets = self.safe_offsets(sink);
        if group_offsets.is_empty() || !(now || self.committed.elapsed() >= COMMIT_EVERY) {
            return Ok(());
        }
        let commit = Commit { group_offsets, ..Commit::default() };
        // Not until it is done: whoever has lost its place in the group learns of it by asking for its share.
        self.member.commit(&commit)?;
        self.note_committed(commit);
        Ok(())
    }

    /// Commits what became safe before an error, once, and be it nothing: so it learns whether a newer
    /// task has taken over, from which nothing must be taken back.
    fn commit_in_trouble(&mut self, sink: &dyn Sink) -> Result<()> {
        let commit = Commit { group_offsets: self.safe_offsets(sink), ..Commit::default() };
        match self.member.commit(&commit) {
            Ok(()) => self.note_committed(commit),
            // The target knows it too.
            Err(error) if error.class() == ErrorClass::Retry => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Counts what became safe; returns the offsets of it that are not committed.
    fn safe_offsets(&mut self, sink: &dyn Sink) -> Vec<GroupOffset> {
        let mut offsets = Vec::new();
        let (mut records, mut bytes, mut in_hand, mut backlog) = (0, 0, 0, 0);
        for (at, reading) in &mut self.partitions {
            if let Some(safe) = sink.safe_offset(at) {
                while let Some((_, count, size)) = reading.in_hand.pop_front_if(|(next, ..)| *next <= safe) {
                    records += count;
                    bytes += size;
                }
                if reading.committed.is_none_or(|committed| committed < safe) {
                    let (group, topic) = (self.group.clone(), at.topic.clone());
                    offsets.push(GroupOffset { group, topic, partition: at.partition, next: safe });
                }
            }
            let waiting: u64 = reading.in_hand.iter().map(|(_, count, _)| count).sum();
            in_hand += waiting;
            backlog += u64::from(!reading.is_idle);
        }
        if records > 0 {
            self.stats.add_commit(records, bytes, 0, &BTreeMap::new());
        }
        self.stats.set_in_hand(in_hand);
        // Partitions that have more to read. Nothing assigned yet: what waits is not known.
        self.stats.set_backlog((!self.partitions.is_empty()).then_some(backlog));
        offsets
    }

    fn note_committed(&mut self, commit: Commit) {
        self.committed = Instant::now();
        for GroupOffset { topic, partition, next, .. } in commit.group_offsets {
            if let Some(reading) = self.partitions.get_mut(&TopicPartition { topic, partition }) {
                reading.committed = Some(next);
            }
        }
    }

    fn write_letters(&mut self, letters: Vec<(String, Rejected)>) -> Result<()> {
        let reason = letters.first().map(|(_, rejected)| rejected.reason.as_str());
        self.rejections.add(std::mem::take(&mut self.unjudged), letters.len() as u64, reason)?;
        if letters.is_empty() {
            return Ok(());
        }
        let settings = &self.task.settings;
        let mut batches: BTreeMap<String, BatchBuilder> = BTreeMap::new();
        let count = letters.len() as u64;
        for (topic, rejected) in &letters {
            let (connector, task) = (settings.connector.as_str(), settings.task);
            let (place, origin, reason) = (rejected.place, &rejected.origin, &rejected.reason);
            tracing::warn!(connector, topic, ?place, origin, reason, "record rejected");
            let to = settings.dead_letter_topic.clone().unwrap_or_else(|| format!("{topic}-dlq"));
            let context = Context { connector, task, topic, plugin: &settings.label, stage: Stage::TaskPut };
            dead_letter::append(batches.entry(to).or_default(), rejected, context);
        }
        for topic in batches.keys() {
            if !self.letter_topics.contains(topic) {
                self.task.log.create_topic(topic, TopicSpec::default())?;
                self.letter_topics.insert(topic.clone());
            }
        }
        let appends = batches.into_iter().map(|(topic, letters)| (topic, letters.build())).collect();
        // One commit until the log has it: one whose answer was lost must not be given up for another.
        let letters = Commit { appends, ..Commit::default() };
        let retries = settings.retries;
        until_done(self.stop, self.stats, retries, || self.member.commit(&letters))?;
        CrashPoint::SinkLetters.pass();
        self.stats.add_commit(0, 0, count, &BTreeMap::new());
        Ok(())
    }
}

fn num_bytes(records: &[StoredRecord]) -> u64 {
    let bytes = |part: &Option<Vec<u8>>| part.as_ref().map_or(0, |bytes| bytes.len() as u64);
    records.iter().map(|record| bytes(&record.key) + bytes(&record.value)).sum()
}

/// Whether a target that goes on at `start` fits the topic.
fn check_start(at: &TopicPartition, start: Option<i64>, marks: Watermarks) -> Result<()> {
    let Some(start) = start else { return Ok(()) };
    let Watermarks { low, high } = marks;
    let TopicPartition { topic, partition } = at;
    if start > high {
        let found = format!("topic `{topic}` partition {partition} ends at offset {high}");
        return Err(Error::config(format!("{found}, the sink has written up to offset {start}"))
            .with_hint("the topic was made anew or is another log's: give the sink another name and target"));
    }
    if start < low {
        let lost = low - start;
        tracing::error!(topic, partition, start, low, lost, "offsets are gone from the topic before they were read");
    }
    Ok(())
}
