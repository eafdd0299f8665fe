//! Who works on what, told by directory names alone.
//!
//! A sink's partition and a source's task each have one directory: `LABEL+EPOCH+UNTIL+OWNER`. Whoever
//! wants it renames it to the next epoch and its own name. Two facts make that a lock that nobody has
//! to hold on time:
//! - of two renames of one directory exactly one wins;
//! - a rename names its source by path, so the moment the directory has a new name, everything its old
//!   owner still wants to move out of it or into it fails. A host that slept through its lease cannot
//!   publish, claim or settle anything.
//!
//! `UNTIL` is a lease: it keeps others from taking what is in use, and nothing that counts hangs on
//! clocks being right. The owner renews it by renaming.

use crate::crash::CrashPoint;
use crate::error::{Error, Result};
use crate::ports::files::{FileInfo, FileKind, FilePath, Files, Moved};
use crate::record::now_ms;
use std::time::Duration;

/// Cannot be in a topic's or a connector's name.
const SEPARATOR: char = '+';
/// Races for one directory that are run before giving up for now.
const MAX_RACES: usize = 8;

/// A directory's name, read.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct OwnerName {
    /// What it is for: `topic+partition`, or `connector+task+log`.
    pub(super) label: String,
    /// Rises with every change of owner.
    pub(super) epoch: u64,
    /// End of the lease, milliseconds since 1970 UTC by the owner's clock.
    pub(super) until_ms: i64,
    /// Connector and task of the owner, and a token of this one time.
    pub(super) owner: Owner,
}

/// An owner.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Owner {
    /// Connector name.
    pub(super) connector: String,
    /// Task number.
    pub(super) task: u32,
    /// Random, for this taking only.
    pub(super) token: String,
}

impl OwnerName {
    pub(super) fn parse(name: &str) -> Option<Self> {
        let mut parts = name.rsplitn(4, SEPARATOR);
        let owner = parts.next()?;
        let until_ms = parts.next()?.parse().ok()?;
        let epoch = parts.next()?.parse().ok()?;
        let label = parts.next()?.to_owned();
        let mut owner = owner.rsplitn(3, '~');
        let token = owner.next()?.to_owned();
        let task = owner.next()?.parse().ok()?;
        let owner = Owner { connector: owner.next()?.to_owned(), task, token };
        Some(OwnerName { label, epoch, until_ms, owner })
    }

    fn print(&self) -> String {
        let OwnerName { label, epoch, until_ms, owner: Owner { connector, task, token } } = self;
        format!("{label}{SEPARATOR}{epoch}{SEPARATOR}{until_ms}{SEPARATOR}{connector}~{task}~{token}")
    }
}

/// Puts the parts of a label together.
pub(super) fn label(parts: &[&str]) -> String {
    parts.join(&SEPARATOR.to_string())
}

/// Who is asking.
#[derive(Debug, Clone)]
pub(super) struct Claimant {
    /// Connector name.
    pub(super) connector: String,
    /// Task number.
    pub(super) task: u32,
    /// How long a lease lasts without being renewed.
    pub(super) lease: Duration,
}

/// What came of asking.
#[derive(Debug)]
pub(super) enum Taken {
    /// It is ours.
    Ours(Held),
    /// Somebody else's lease runs.
    Held(OwnerName),
}

/// A directory that is ours, until somebody renames it.
#[derive(Debug, Clone)]
pub(super) struct Held {
    directory: FileInfo,
    name: OwnerName,
    lease: Duration,
}

/// Takes the directory of `label` in `parent`: at once where nobody has it, where its lease is over, or
/// where its owner is the same task in an earlier life or on another host (which the log has fenced already, or the
/// group has given up).
///
/// # Errors
/// What the files give; class Retry when others race for it all the time.
pub(super) fn take(files: &dyn Files, parent: &FilePath, label: &str, claimant: &Claimant) -> Result<Taken> {
    for _ in 0..MAX_RACES {
        let mut found = of_label(files, parent, label)?;
        if let Some(other) = found.iter().map(|(name, _)| name).find(|name| !claimant.may_take(name)) {
            return Ok(Taken::Held(other.clone()));
        }
        found.sort_by_key(|(name, _)| name.epoch);
        let Some((last, directory)) = found.pop() else {
            let unowned =
                OwnerName { label: label.to_owned(), epoch: 0, until_ms: 0, owner: claimant.owner("new".to_owned()) };
            files.make_directories(&parent.join(&unowned.print())?)?;
            continue;
        };
        let name = OwnerName {
            label: label.to_owned(),
            epoch: last.epoch + 1,
            until_ms: claimant.until_ms(),
            owner: claimant.owner(token()),
        };
        let Moved::Done(directory) = files.rename(&directory, &parent.join(&name.print())?)? else { continue };
        let held = Held { directory, name, lease: claimant.lease };
        CrashPoint::OwnerTaken.pass();
        // Two can come here when both made the directory: each sees the other, or only the later sees
        // both. What is inside is kept, the name is gone, and with it the other's hold.
        for (other, directory) in of_label(files, parent, label)? {
            if other != held.name {
                files.rename(&directory, &held.directory.path.join(&other.print())?)?;
            }
        }
        return Ok(Taken::Ours(held));
    }
    Err(Error::retry(format!("taking `{label}` in `{parent}` of {}: others take it all the time", files.describe())))
}

/// All directories of owners in `parent`.
pub(super) fn all(files: &dyn Files, parent: &FilePath) -> Result<Vec<(OwnerName, FileInfo)>> {
    let mut found = Vec::new();
    files.list(parent, &mut |file| {
        if file.kind == FileKind::Directory
            && let Some(name) = OwnerName::parse(file.path.name())
        {
            found.push((name, file));
        }
        Ok(())
    })?;
    Ok(found)
}

fn of_label(files: &dyn Files, parent: &FilePath, label: &str) -> Result<Vec<(OwnerName, FileInfo)>> {
    let mut found = all(files, parent)?;
    found.retain(|(name, _)| name.label == label);
    Ok(found)
}

impl Claimant {
    fn may_take(&self, name: &OwnerName) -> bool {
        let same = name.owner.connector == self.connector && name.owner.task == self.task;
        same || name.until_ms < now_ms()
    }

    fn owner(&self, token: String) -> Owner {
        Owner { connector: self.connector.clone(), task: self.task, token }
    }

    fn until_ms(&self) -> i64 {
        now_ms().saturating_add(i64::try_from(self.lease.as_millis()).unwrap_or(i64::MAX))
    }
}

impl Held {
    /// Where it is now.
    pub(super) fn path(&self) -> &FilePath {
        &self.directory.path
    }

    /// The token of this taking.
    pub(super) fn token(&self) -> &str {
        &self.name.owner.token
    }

    /// Renews the lease when a third of it is over. Its path changes. False: somebody else has taken it.
    ///
    /// # Errors
    /// What the files give.
    pub(super) fn renew(&mut self, files: &dyn Files) -> Result<bool> {
        let lease = i64::try_from(self.lease.as_millis()).unwrap_or(i64::MAX);
        if self.name.until_ms.saturating_sub(now_ms()) > lease / 3 * 2 {
            return Ok(true);
        }
        let name = OwnerName { until_ms: now_ms().saturating_add(lease), ..self.name.clone() };
        let to = self.directory.path.parent().join(&name.print())?;
        match files.rename(&self.directory, &to)? {
            Moved::Done(directory) => {
                self.directory = directory;
                self.name = name;
                Ok(true)
            }
            Moved::Gone | Moved::Taken => Ok(false),
        }
    }

    /// Says that somebody else has it now.
    pub(super) fn lost(&self) -> String {
        format!("spool directory `{}` was taken over by another host or task", self.directory.path)
    }

    /// Lets others have it at once.
    pub(super) fn give_up(self, files: &dyn Files) {
        let name = OwnerName { until_ms: 0, ..self.name.clone() };
        let to = self.directory.path.parent().join(&name.print());
        // Without it the lease runs out by itself.
        if let Err(error) = to.and_then(|to| files.rename(&self.directory, &to)) {
            tracing::debug!(%error, "lease not given up");
        }
    }
}

/// 64 random bits in hex.
pub(super) fn token() -> String {
    format!("{:016x}", rand::random::<u64>())
}
