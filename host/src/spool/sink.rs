//! Topics to spool files: write aside, publish by one rename.

use super::file::OpenFile;
use super::layout::CheckedLayout;
use super::names::{self, Published};
use super::owner::{self, Claimant, Held, Taken};
use crate::connector::{Assigned, Identity, Layout, Place, Rejected, Settings, Sink, TopicPartition};
use crate::crash::CrashPoint;
use crate::error::{Error, ErrorClass, Result};
use crate::ports::files::{FileInfo, FileKind, FilePath, Files, Moved};
use crate::ports::log::StoredRecord;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

pub use super::file::Content;

/// What a spool sink does.
#[derive(Clone)]
pub struct SpoolSinkSettings {
    /// Connector name.
    pub connector: String,
    /// Task number.
    pub task: u32,
    /// Options of the layout.
    pub layout: Settings,
    /// Where files are published.
    pub place: Place,
    /// What it is given.
    pub content: Content,
    /// How long a host may say nothing before it is taken over.
    pub lease: Duration,
}

/// A spool sink.
pub struct SpoolSink {
    files: Arc<dyn Files>,
    layout: CheckedLayout,
    settings: SpoolSinkSettings,
    partitions: BTreeMap<TopicPartition, Part>,
    made: Option<FilePath>,
    rejects: Vec<(String, Rejected)>,
}

/// A partition that is ours.
struct Part {
    held: Held,
    /// Everything before it is published; none: nothing is.
    safe: Option<i64>,
    sequence: u64,
    open: Option<OpenFile>,
}

impl SpoolSink {
    /// Opens the layout; touches no file yet.
    ///
    /// # Errors
    /// What the layout gives.
    pub fn open(files: Arc<dyn Files>, layout: Box<dyn Layout>, settings: SpoolSinkSettings) -> Result<Self> {
        let layout = CheckedLayout::open(layout, &settings.connector, &settings.layout)?;
        Ok(SpoolSink { files, layout, settings, partitions: BTreeMap::new(), made: None, rejects: Vec::new() })
    }

    fn base(&self) -> &FilePath {
        match self.settings.place {
            Place::Inbox => &self.layout.directories.inbox,
            Place::Target => &self.layout.directories.target,
        }
    }

    /// Takes a partition's directory and clears it of what an earlier owner left unfinished.
    fn take(&self, at: &TopicPartition) -> Result<Taken> {
        let SpoolSinkSettings { connector, task, lease, .. } = &self.settings;
        let claimant = Claimant { connector: connector.clone(), task: *task, lease: *lease };
        let label = owner::label(&[&at.topic, &at.partition.to_string()]);
        let taken = owner::take(self.files.as_ref(), &self.layout.directories.staging, &label, &claimant)?;
        if let Taken::Ours(held) = &taken {
            let mut left = Vec::new();
            self.files.list(held.path(), &mut |file| {
                left.push(file);
                Ok(())
            })?;
            for file in left {
                match file.kind {
                    FileKind::Directory => self.files.delete_tree(&file)?,
                    _ => self.files.delete(&file)?,
                };
            }
        }
        Ok(taken)
    }

    /// Publishes a partition's open file.
    fn publish(&mut self, at: &TopicPartition) -> Result<()> {
        let base = self.base().clone();
        let Some(part) = self.partitions.get_mut(at) else { return Ok(()) };
        let Some(mut open) = part.open.take() else { return Ok(()) };
        open.complete(&self.settings.content)?;
        let (first_ms, last_ms) = open.times();
        let (first, next, sequence) = (open.first, open.next, part.sequence);
        let (topic, partition) = (at.topic.clone(), at.partition);
        let identity = Identity { topic, partition, first, next, first_ms, last_ms, sequence };
        let to = base.join(self.layout.name(&identity, self.settings.place)?.as_str())?;
        let written = part.held.path().join(&open.name)?;
        // Its directory may have been renewed since it was made.
        let file = FileInfo { path: written, ..open.finish(sequence)? };
        if self.made.as_ref() != Some(&to.parent()) {
            self.files.make_directories(&to.parent())?;
            self.made = Some(to.parent());
        }
        CrashPoint::SpoolWritten.pass();
        match self.files.rename(&file, &to)? {
            Moved::Done(_) => {
                CrashPoint::SpoolPublished.pass();
                part.safe = Some(next);
                part.sequence += 1;
                Ok(())
            }
            Moved::Gone => Err(Error::retry(part.held.lost())),
            Moved::Taken => Err(Error::retry(format!("publishing `{to}`: there is a file of this name already"))),
        }
    }
}

impl Sink for SpoolSink {
    fn assign(&mut self, partitions: &[(TopicPartition, Option<i64>)]) -> Result<Vec<Assigned>> {
        self.files.make_directories(&self.layout.directories.staging)?;
        let base = self.base().clone();
        self.files.make_directories(&base)?;
        let mut taken = Vec::new();
        for (at, _) in partitions {
            self.partitions.remove(at);
            taken.push(self.take(at)?);
        }
        // Directories may have been deleted since.
        self.made = None;
        // Read after everything is ours: from here on nobody else publishes for these partitions.
        let is_any_ours = taken.iter().any(|taken| matches!(taken, Taken::Ours(_)));
        let published = match is_any_ours {
            true => names::published(self.files.as_ref(), &mut self.layout)?,
            false => BTreeMap::new(),
        };
        let assigned = partitions.iter().zip(taken).map(|((at, committed), taken)| match taken {
            Taken::Ours(held) => {
                let found = published.get(at).copied();
                let Published { sequence, .. } = found.unwrap_or_default();
                let safe = found.map(|published| published.next).max(*committed);
                self.partitions.insert(at.clone(), Part { held, safe, sequence, open: None });
                Assigned::From(safe)
            }
            Taken::Held(by) => Assigned::Held(format!("connector `{}` task {}", by.owner.connector, by.owner.task)),
        });
        Ok(assigned.collect())
    }

    fn put(&mut self, at: &TopicPartition, records: &[StoredRecord]) -> Result<()> {
        for record in records {
            let rotation = self.layout.rotation;
            let Some(part) = self.partitions.get_mut(at) else {
                return Err(Error::bug(format!("records of topic `{}`, which was not assigned", at.topic)));
            };
            let open = match &mut part.open {
                Some(open) => open,
                none => {
                    let name = format!("{}.open", part.sequence);
                    let path = part.held.path().join(&name)?;
                    let writer = self.files.create(&path)?;
                    let writer = writer.ok_or_else(|| Error::retry(format!("`{path}` is there already")))?;
                    // Files of a partition join, whatever offsets the log left out between them.
                    let first = part.safe.unwrap_or(record.offset);
                    none.insert(OpenFile::new(writer, name, &at.topic, at.partition, first))
                }
            };
            match open.push(record, &self.settings.content) {
                Err(error) if error.class() == ErrorClass::Reject => {
                    self.rejects.push((at.topic.clone(), reject(record, &error)));
                }
                pushed => pushed?,
            }
            // With a reject in hand the next `flush` does it.
            if open.is_full(&rotation) && open.can_end() && self.rejects.is_empty() {
                self.publish(at)?;
            }
        }
        Ok(())
    }

    fn take_rejects(&mut self) -> Vec<(String, Rejected)> {
        std::mem::take(&mut self.rejects)
    }

    fn flush(&mut self, all: bool) -> Result<()> {
        let rotation = self.layout.rotation;
        let mut due = Vec::new();
        for (at, part) in &mut self.partitions {
            if !part.held.renew(self.files.as_ref())? {
                return Err(Error::retry(part.held.lost()));
            }
            let Some(open) = &mut part.open else { continue };
            let stale = open.give_up_stale();
            if !stale.is_empty() {
                self.rejects.extend(stale.into_iter().map(|stale| (at.topic.clone(), stale)));
                continue;
            }
            let is_due = open.is_full(&rotation) || rotation.max_age.is_some_and(|most| open.age() >= most);
            if (all || is_due) && open.can_end() {
                due.push(at.clone());
            }
        }
        due.iter().try_for_each(|at| self.publish(at))
    }

    fn safe_offset(&self, at: &TopicPartition) -> Option<i64> {
        self.partitions.get(at)?.safe
    }

    fn release(&mut self, partitions: &BTreeSet<TopicPartition>) {
        for at in partitions {
            if let Some(part) = self.partitions.remove(at) {
                part.held.give_up(self.files.as_ref());
            }
        }
    }

    fn close(&mut self) {
        for (_, part) in std::mem::take(&mut self.partitions) {
            part.held.give_up(self.files.as_ref());
        }
    }
}

fn reject(record: &StoredRecord, error: &Error) -> Rejected {
    Rejected {
        raw: record.value.clone(),
        key: record.key.clone(),
        headers: record.headers.clone(),
        place: Some((record.partition, record.offset)),
        origin: String::new(),
        reason: error.to_string(),
        timestamp: record.timestamp,
    }
}
