//! Spool files to a topic: claim by rename, give the members as they are, settle after the commit.

use super::claim::{Claim, Lane, Position};
use super::frames::Frames;
use super::inbox::{Inbox, LIST_EVERY};
use super::layout::CheckedLayout;
use super::members;
use super::owner::{self, Claimant, OwnerName, Taken};
use super::{quarantine, read_all, read_footer, trash};
use crate::connector::{Layout, PollLimits, Polled, Schemas, Settings, Source};
use crate::crash::CrashPoint;
use crate::crypto;
use crate::error::{Error, ErrorClass, Result};
use crate::ports::files::{FileInfo, Files, Moved};
use crate::ports::log::PositionEntry;
use crate::record::{BatchBuilder, now_ms};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Files claimed at once: others find work too, and what a crash leaves claimed is little.
const CLAIM_FILES: usize = 16;
/// A file up to this size is read with one call.
const AT_ONCE_BYTES: u64 = 4 << 20;
/// How often the trash is looked at.
const TIDY_EVERY: Duration = Duration::from_secs(10);

/// Ends whatever an earlier life of a task still has in the log, and reads its committed positions:
/// connector and task number in.
pub type Fence = Box<dyn Fn(&str, u32) -> Result<Vec<PositionEntry>>>;

/// What a spool source does.
#[derive(Clone)]
pub struct SpoolSourceSettings {
    /// Connector name.
    pub connector: String,
    /// Task number.
    pub task: u32,
    /// How many tasks the connector has.
    pub num_tasks: u32,
    /// Names the log: claims of hosts that write to another are not ours to judge.
    pub log_id: String,
    /// Options of the layout.
    pub layout: Settings,
    /// Largest record.
    pub chunk_bytes: usize,
    /// How long a host may say nothing before its claims are taken over.
    pub lease: Duration,
    /// How long a snapshot made before files are deleted is kept; none: none is made.
    pub snapshot_keep: Option<Duration>,
}

/// A spool source.
pub struct SpoolSource {
    files: Arc<dyn Files>,
    layout: CheckedLayout,
    settings: SpoolSourceSettings,
    fence: Fence,
    lane: Option<Lane>,
    inbox: Inbox,
    /// Where the lives before had got to, until what they left is settled or taken up.
    left: Option<Option<Position>>,
    claims: VecDeque<Claim>,
    reading: Option<Reading>,
    /// Read to the end, and not committed.
    read: Vec<Claim>,
    /// Committed, and not settled.
    committed: Vec<Claim>,
    /// A file that is damaged in the middle, to be put away when what came before is committed.
    broken: Option<(Claim, Error)>,
    /// Whether everything that was given is committed.
    is_committed: bool,
    /// Files put into the quarantine and not yet told.
    quarantined: u64,
    /// When abandoned claims were looked for, and since when each lane has had its name.
    looked: Instant,
    seen: BTreeMap<OwnerName, Instant>,
    tidied: Instant,
    trouble: Option<Error>,
}

/// A claimed file that is being read.
struct Reading {
    claim: Claim,
    frames: Frames,
}

impl SpoolSource {
    /// Opens the layout; touches no file yet.
    ///
    /// # Errors
    /// What the layout gives.
    pub fn new(
        files: Arc<dyn Files>,
        layout: Box<dyn Layout>,
        settings: SpoolSourceSettings,
        fence: Fence,
    ) -> Result<Self> {
        let layout = CheckedLayout::open(layout, &settings.connector, &settings.layout)?;
        let inbox = Inbox::new(layout.directories.inbox.clone());
        Ok(SpoolSource {
            files,
            layout,
            settings,
            fence,
            lane: None,
            left: None,
            inbox,
            claims: VecDeque::new(),
            reading: None,
            read: Vec::new(),
            committed: Vec::new(),
            broken: None,
            is_committed: true,
            quarantined: 0,
            looked: Instant::now(),
            seen: BTreeMap::new(),
            tidied: Instant::now(),
            trouble: None,
        })
    }

    fn lane(&mut self) -> Result<&mut Lane> {
        self.lane.as_mut().ok_or_else(|| Error::bug("a spool source was asked before it was opened"))
    }

    fn take(&self, label: &str) -> Result<Taken> {
        let SpoolSourceSettings { connector, task, lease, .. } = &self.settings;
        let claimant = Claimant { connector: connector.clone(), task: *task, lease: *lease };
        owner::take(self.files.as_ref(), &self.layout.directories.tmp, label, &claimant)
    }

    /// Takes over the claims of tasks that said nothing for two leases.
    fn adopt(&mut self) -> Result<()> {
        let files = Arc::clone(&self.files);
        let directories = self.layout.directories.clone();
        self.resolve_claim()?;
        let lanes = owner::all(files.as_ref(), &directories.tmp)?;
        // A name that stays the same for two leases of our own, in which we could look at it all the
        // time, is of nobody who is alive, whatever the clocks say.
        self.seen.retain(|seen, _| lanes.iter().any(|(name, _)| name == seen));
        for (name, _) in lanes {
            let Some((connector, task, log_id)) = lane_parts(&name.label) else { continue };
            // Claims of this connector's tasks are taken up by themselves.
            let is_ours = connector == self.settings.connector && task < self.settings.num_tasks;
            let since = self.seen.entry(name.clone()).or_insert_with(Instant::now).elapsed();
            if is_ours || name.until_ms >= now_ms() || since < self.settings.lease * 2 {
                continue;
            }
            if log_id != self.settings.log_id {
                tracing::debug!(lane = name.label, "claims of a host that writes to another log, left alone");
                continue;
            }
            // First the directory: if its task comes back now, it finds it held and tries again later.
            let Taken::Ours(held) = self.take(&name.label)? else { continue };
            // Then the log: what the other had not committed by now it never will.
            let positions = (self.fence)(&connector, task)?;
            let position = Position::find(&directories.inbox, task, &positions)?;
            let from = held.path().clone();
            let lane = self.lane()?;
            let mut claims = VecDeque::new();
            let recovered = lane.recover(files.as_ref(), &from, position.as_ref(), &directories.outbox, &mut claims);
            tracing::warn!(lane = name.label, files = claims.len(), "claims of a task that is gone were taken over");
            self.claims.extend(claims);
            recovered?;
            let left = files.stat(&from)?;
            if let Some(directory) = left {
                files.delete(&directory)?;
            }
        }
        Ok(())
    }

    /// Settles or takes up what earlier lives left. Not in `open`: first the log has to say that nobody newer
    /// works here, or their claims would be renamed by an old position.
    fn recover(&mut self) -> Result<()> {
        let Some(position) = self.left.clone() else { return Ok(()) };
        self.resolve_claim()?;
        let (files, outbox) = (Arc::clone(&self.files), self.layout.directories.outbox.clone());
        let lane = self.lane.as_mut().ok_or_else(|| Error::bug("a spool source was asked before it was opened"))?;
        let path = lane.path().clone();
        lane.recover(files.as_ref(), &path, position.as_ref(), &outbox, &mut self.claims)?;
        self.left = None;
        Ok(())
    }

    /// Learns what is in the inbox, waiting up to `wait` for something, and looks for abandoned claims.
    fn look(&mut self, wait: Duration) -> Result<()> {
        self.inbox.look(self.files.as_ref(), wait)?;
        if self.looked.elapsed() >= (self.settings.lease / 3).min(LIST_EVERY) {
            if self.looked.elapsed() >= self.settings.lease {
                // What kept us from the filer kept others too.
                self.seen.clear();
            }
            self.looked = Instant::now();
            self.adopt()?;
        }
        Ok(())
    }

    fn resolve_claim(&mut self) -> Result<()> {
        let files = Arc::clone(&self.files);
        let claim = self.lane()?.claim_in_doubt(files.as_ref())?;
        self.claims.extend(claim);
        Ok(())
    }

    /// Claims some of what waits, oldest names first.
    fn claim(&mut self) -> Result<()> {
        self.resolve_claim()?;
        let files = Arc::clone(&self.files);
        while self.claims.len() < CLAIM_FILES
            && let Some((name, file)) = self.inbox.take(files.as_ref())?
        {
            if self.layout.parse_one(&name)?.is_none() {
                let reason =
                    Error::config(format!("`{}` in the inbox is no name of a spool file", name.escape_debug()))
                        .with_hint("files are published by a spool sink; others belong elsewhere");
                quarantine::put(files.as_ref(), &self.layout.directories.quarantine, &file, &name, false, &reason)?;
                self.quarantined += 1;
                continue;
            }
            let claim = self.lane()?.claim(files.as_ref(), &file, &name, 0)?;
            self.claims.extend(claim);
        }
        Ok(())
    }

    /// Opens the next claim: its footer first, which proves that it is whole and its name its own.
    fn begin(&mut self) -> Result<bool> {
        let Some(claim) = self.claims.front().cloned() else { return Ok(false) };
        let info = self.lane()?.info(&claim)?;
        let opened = self.open_claim(&claim, &info);
        match opened {
            Err(error) if error.class() == ErrorClass::Retry && self.files.stat(&info.path)?.is_none() => {
                tracing::error!(file = claim.name, %error, "a claimed file is gone, deleted by somebody");
            }
            Err(error) if matches!(error.class(), ErrorClass::Reject | ErrorClass::Config) => {
                self.give_up(claim, false, &error)?;
            }
            reading => self.reading = Some(reading?),
        }
        self.claims.pop_front();
        Ok(true)
    }

    fn open_claim(&mut self, claim: &Claim, info: &FileInfo) -> Result<Reading> {
        let files = Arc::clone(&self.files);
        let is_small = info.bytes <= AT_ONCE_BYTES;
        let whole = is_small.then(|| read_all(files.read(info, 0, None)?.as_mut())).transpose()?;
        let footer = read_footer(files.as_ref(), info, whole.as_deref())?;
        let named = self.layout.parse_one(&claim.name)?;
        let named = named.ok_or_else(|| Error::config(format!("`{}` is no name of a spool file", claim.name)))?;
        let (topic, partition, first, next) = (named.topic, named.partition, named.first, named.next);
        footer.identity.check(&crypto::Identity { topic, partition, first, next }, "file, by its footer,")?;
        let frames = match whole {
            Some(file) => Frames::of_bytes(file, claim.from, footer.bytes),
            None => {
                let left = footer.bytes.saturating_sub(claim.from);
                Frames::new(files.read(info, claim.from, Some(left))?, claim.from, footer.bytes)
            }
        };
        Ok(Reading { claim: claim.clone(), frames })
    }

    /// Gives up a claim that is not what it should be; the position goes on after it.
    fn give_up(&mut self, claim: Claim, is_proved: bool, error: &Error) -> Result<()> {
        let info = self.lane()?.info(&claim)?;
        let quarantine = &self.layout.directories.quarantine;
        quarantine::put(self.files.as_ref(), quarantine, &info, &claim.name, is_proved, error)?;
        self.quarantined += 1;
        self.read.push(claim);
        Ok(())
    }

    /// Gives members until the limits are reached or nothing is left.
    fn fill(&mut self, limits: PollLimits, out: &mut Filled) -> Result<()> {
        if let Some((claim, error)) = self.broken.clone() {
            if !self.is_committed {
                return Ok(());
            }
            self.give_up(claim, true, &error)?;
            self.broken = None;
        }
        while out.num_bytes < limits.max_bytes as usize && out.records < limits.max_records as usize {
            if self.reading.is_none() {
                if self.claims.is_empty() && !self.inbox.is_empty() {
                    self.claim()?;
                }
                if !self.begin()? {
                    return Ok(());
                }
                continue;
            }
            let chunk_bytes = self.settings.chunk_bytes;
            let Some(reading) = &mut self.reading else { continue };
            match reading.frames.next() {
                Ok(Some(frame)) => {
                    if out.records == 0 {
                        let left = usize::try_from(reading.frames.left()).unwrap_or(usize::MAX);
                        let room = frame.bytes.len() + left.min(limits.max_bytes as usize);
                        out.batch = BatchBuilder::with_capacity(1, room);
                    }
                    members::push(&mut out.batch, &frame.bytes, frame.head.info(), chunk_bytes);
                    out.num_bytes += frame.bytes.len();
                    out.records += frame.bytes.len().div_ceil(chunk_bytes);
                    out.position = Some((reading.claim.number, reading.frames.at()));
                }
                Ok(None) => {
                    out.position = Some((reading.claim.number + 1, 0));
                    let claim = self.reading.take().map(|reading| reading.claim);
                    self.read.extend(claim);
                }
                Err(error) if error.class() == ErrorClass::Reject || error.class() == ErrorClass::Config => {
                    // The members before the damage are good, and go into the log first.
                    let at = reading.frames.at();
                    let claim = self.reading.take().map(|reading| reading.claim);
                    self.broken = claim.map(|claim| (Claim { from: at, ..claim }, error));
                    return Ok(());
                }
                Err(error) => {
                    // Taken up again from what was given.
                    if let Some(reading) = self.reading.take() {
                        self.claims.push_front(Claim { from: reading.frames.at(), ..reading.claim });
                    }
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    /// Moves committed files to the outbox.
    fn settle(&mut self) -> Result<()> {
        let files = Arc::clone(&self.files);
        let outbox = self.layout.directories.outbox.clone();
        while let Some(claim) = self.committed.last().cloned() {
            let to = outbox.join(&claim.name)?;
            // Gone: it is in the quarantine, or the lane was taken over and is settled by others.
            if let Err(error) = self.lane()?.move_to(files.as_ref(), &claim, &to) {
                // Perhaps somebody deleted the directory.
                files.make_directories(&outbox)?;
                return Err(error);
            }
            CrashPoint::SpoolSettled.pass();
            self.committed.pop();
        }
        Ok(())
    }

    fn tidy(&mut self) -> Result<()> {
        // One task of a connector is enough.
        if self.settings.task > 0 || self.tidied.elapsed() < TIDY_EVERY {
            return Ok(());
        }
        self.tidied = Instant::now();
        match trash::tidy(self.files.as_ref(), &mut self.layout, self.settings.snapshot_keep) {
            Ok(deleted) => tracing::debug!(deleted, "trash looked at"),
            // Without the right to delete the trash grows, and the records go on.
            Err(error) if error.class() == ErrorClass::Config => {
                tracing::warn!(%error, hint = error.hint(), "the spool's trash is not emptied");
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }
}

/// What one poll has gathered.
#[derive(Default)]
struct Filled {
    batch: BatchBuilder,
    num_bytes: usize,
    records: usize,
    position: Option<(u64, u64)>,
}

impl Source for SpoolSource {
    fn open(&mut self, _settings: &Settings, positions: &[PositionEntry]) -> Result<Schemas> {
        let directories = self.layout.directories.clone();
        for (name, directory) in directories.all() {
            if !matches!(name, "staging" | "target") {
                self.files.make_directories(directory)?;
            }
        }
        let SpoolSourceSettings { connector, task, log_id, .. } = &self.settings;
        let label = owner::label(&[connector, &task.to_string(), log_id]);
        let Taken::Ours(held) = self.take(&label)? else {
            return Err(Error::retry(format!("`{label}` in `{}` is held", directories.tmp)));
        };
        let position = Position::find(&directories.inbox, self.settings.task, positions)?;
        self.lane = Some(Lane::new(held));
        self.left = Some(position);
        Ok(Schemas::default())
    }

    fn poll(&mut self, limits: PollLimits) -> Result<Polled> {
        if let Some(trouble) = self.trouble.take() {
            return Err(trouble);
        }
        let files = Arc::clone(&self.files);
        self.lane()?.renew(files.as_ref())?;
        self.recover()?;
        self.settle()?;
        self.tidy()?;
        let is_busy = self.reading.is_some() || !self.claims.is_empty() || !self.inbox.is_empty();
        self.look(if is_busy { Duration::ZERO } else { limits.wait })?;
        let mut out = Filled::default();
        if let Err(error) = self.fill(limits, &mut out) {
            if out.position.is_none() {
                return Err(error);
            }
            // What was read before it is good, and is given first.
            self.trouble = Some(error);
        }
        let quarantined = std::mem::take(&mut self.quarantined);
        if out.position.is_none() && self.read.is_empty() && quarantined == 0 {
            return Ok(Polled::default());
        }
        let lane = self.lane()?.token().to_owned();
        // Files that were given up whole move the position too.
        let after = self.read.iter().map(|claim| (claim.number + 1, 0)).max();
        let positions = match out.position.max(after) {
            Some((claim, bytes)) => {
                let position = Position { lane, claim, bytes };
                vec![position.entry(&self.layout.directories.inbox, self.settings.task)?]
            }
            None => Vec::new(),
        };
        self.is_committed = false;
        Ok(Polled {
            records: out.batch.build(),
            positions,
            skips: (quarantined > 0).then(|| ("quarantined".to_owned(), quarantined)).into_iter().collect(),
            ..Polled::default()
        })
    }

    fn committed(&mut self) -> Result<()> {
        self.is_committed = true;
        self.committed.append(&mut self.read);
        self.settle()
    }

    fn backlog(&self) -> Option<u64> {
        let here = usize::from(self.broken.is_some())
            + self.claims.len()
            + usize::from(self.reading.is_some())
            + self.read.len()
            + self.committed.len();
        self.inbox.len().map(|waiting| (waiting + here) as u64)
    }

    fn close(&mut self) {
        let Some(lane) = self.lane.take() else { return };
        // What was claimed and not begun goes back to where others find it.
        for claim in self.claims.iter().filter(|claim| claim.from == 0) {
            let back = self.layout.directories.inbox.join(&claim.name);
            let moved = back.and_then(|back| {
                let info = lane.info(claim)?;
                self.files.rename(&info, &back)
            });
            if !matches!(moved, Ok(Moved::Done(_))) {
                tracing::debug!(file = claim.name, "claim not put back; the next start takes it up");
            }
        }
        lane.give_up(self.files.as_ref());
    }
}

/// Connector, task and log of a lane's label.
fn lane_parts(label: &str) -> Option<(String, u32, String)> {
    let mut parts = label.split('+');
    let lane = (parts.next()?.to_owned(), parts.next()?.parse().ok()?, parts.next()?.to_owned());
    parts.next().is_none().then_some(lane)
}
