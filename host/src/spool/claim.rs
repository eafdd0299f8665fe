//! Claims: files that a source task has taken, in a directory of its own.
//!
//! A claim's name is `LANE+NUMBER+FROM+FILE`: the token of the taking it belongs to, its number there,
//! and the bytes of the file that were in the log when it was claimed. With the committed position (the
//! token, a number, bytes) that decides after a crash what each claimed file is:
//! - of the position's lane and before its number: its records are in the log, it is settled;
//! - of the position's lane and of its number: the first `bytes` of it are, it is taken up there;
//! - any other: taken up at `FROM`.

use super::owner::{self, Held};
use crate::crash::CrashPoint;
use crate::error::{Error, OrError, Result};
use crate::ports::files::{FileInfo, FileKind, FilePath, Files, Moved};
use crate::ports::log::PositionEntry;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// A claim's name, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ClaimName<'a> {
    /// Token of the taking.
    pub(super) lane: &'a str,
    /// Number in it.
    pub(super) number: u64,
    /// Bytes that were in the log before.
    pub(super) from: u64,
    /// The file's own name.
    pub(super) file: &'a str,
}

impl<'a> ClaimName<'a> {
    pub(super) fn parse(name: &'a str) -> Option<Self> {
        let mut parts = name.splitn(4, '+');
        let (lane, number, from) = (parts.next()?, parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
        let is_token = lane.len() == 16 && lane.bytes().all(|byte| byte.is_ascii_hexdigit());
        is_token.then_some(ClaimName { lane, number, from, file: parts.next()? })
    }

    fn print(&self) -> String {
        let ClaimName { lane, number, from, file } = self;
        format!("{lane}+{number}+{from}+{file}")
    }
}

/// A file that is ours to read.
#[derive(Debug, Clone)]
pub(super) struct Claim {
    /// Its own name.
    pub(super) name: String,
    /// Number in the lane.
    pub(super) number: u64,
    /// Bytes that are in the log.
    pub(super) from: u64,
    /// Where it was and what it is; its directory may have another name by now.
    pub(super) info: FileInfo,
}

/// Where a task is: what it commits with its records.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Position {
    /// Token of the lane.
    pub(super) lane: String,
    /// Claims before it are in the log.
    pub(super) claim: u64,
    /// Bytes of this claim that are in the log.
    pub(super) bytes: u64,
}

/// Names the lane of a task in the committed positions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Partition {
    spool: String,
    task: u32,
}

impl Position {
    /// The position of a task's lane among all that are committed.
    ///
    /// # Errors
    /// Class Config: it was not written by a spool source.
    pub(super) fn find(spool: &FilePath, task: u32, positions: &[PositionEntry]) -> Result<Option<Self>> {
        let partition = partition(spool, task)?;
        let Some(entry) = positions.iter().find(|entry| entry.partition == partition) else { return Ok(None) };
        let text = String::from_utf8_lossy(&entry.position);
        serde_json::from_slice(&entry.position).map(Some).or_config(format!("committed position `{text}`"))
    }

    pub(super) fn entry(&self, spool: &FilePath, task: u32) -> Result<PositionEntry> {
        let position = serde_json::to_vec(self).or_bug("position to JSON")?;
        Ok(PositionEntry { partition: partition(spool, task)?, position })
    }
}

fn partition(spool: &FilePath, task: u32) -> Result<Vec<u8>> {
    let partition = Partition { spool: spool.as_str().to_owned(), task };
    serde_json::to_vec(&partition).or_bug("position to JSON")
}

/// The claims of one taking of a task's directory.
#[derive(Debug)]
pub(super) struct Lane {
    held: Held,
    next: u64,
    /// A file whose claim failed, and may have been made after all: its number is its own until that is
    /// known.
    in_doubt: Option<(FileInfo, String, u64)>,
}

impl Lane {
    pub(super) fn new(held: Held) -> Self {
        Lane { held, next: 0, in_doubt: None }
    }

    pub(super) fn token(&self) -> &str {
        self.held.token()
    }

    /// Renews the lease where it is time.
    ///
    /// # Errors
    /// Class Bug when somebody else has the directory now: nothing here may go on.
    pub(super) fn renew(&mut self, files: &dyn Files) -> Result<()> {
        match self.held.renew(files)? {
            true => Ok(()),
            false => Err(Error::bug(self.held.lost())),
        }
    }

    /// Finds out about a claim that failed, before any other is made.
    pub(super) fn claim_in_doubt(&mut self, files: &dyn Files) -> Result<Option<Claim>> {
        let Some((file, name, from)) = self.in_doubt.clone() else { return Ok(None) };
        let claimed = self.claim(files, &file, &name, from)?;
        self.in_doubt = None;
        if claimed.is_some() {
            return Ok(claimed);
        }
        // Nothing is at its old place: it is ours if it lies under the name it was to get.
        let number = self.next;
        let printed = ClaimName { lane: self.held.token(), number, from, file: &name }.print();
        match files.stat(&self.held.path().join(&printed)?) {
            Ok(Some(info)) if info.id == file.id => {
                self.next += 1;
                Ok(Some(Claim { name, number, from, info }))
            }
            Ok(_) => Ok(None),
            Err(error) => {
                self.in_doubt = Some((file, name, from));
                Err(error)
            }
        }
    }

    /// Takes a file from elsewhere into the lane; none: somebody else has it. After an error
    /// [`Lane::claim_in_doubt`] comes first.
    pub(super) fn claim(&mut self, files: &dyn Files, file: &FileInfo, name: &str, from: u64) -> Result<Option<Claim>> {
        let number = self.next;
        let claimed = ClaimName { lane: self.held.token(), number, from, file: name };
        let renamed = files.rename(file, &self.held.path().join(&claimed.print())?);
        let renamed = renamed.inspect_err(|_| self.in_doubt = Some((file.clone(), name.to_owned(), from)))?;
        match renamed {
            Moved::Done(info) => {
                CrashPoint::SpoolClaimed.pass();
                self.next += 1;
                Ok(Some(Claim { name: name.to_owned(), number, from, info }))
            }
            // The source of the rename or the lane itself is not there any more; the next renewal tells.
            Moved::Gone => Ok(None),
            Moved::Taken => Err(Error::bug(format!("claim `{}` is there already", claimed.print()))),
        }
    }

    /// Where a claim is now.
    pub(super) fn info(&self, claim: &Claim) -> Result<FileInfo> {
        Ok(FileInfo { path: self.held.path().join(claim.info.path.name())?, ..claim.info.clone() })
    }

    /// Moves a claim out of the lane. False: it is not there, because the lane was taken over.
    pub(super) fn move_to(&self, files: &dyn Files, claim: &Claim, to: &FilePath) -> Result<bool> {
        match files.rename(&self.info(claim)?, to)? {
            Moved::Done(_) => Ok(true),
            Moved::Gone => Ok(false),
            Moved::Taken => {
                let beside = to.parent().join(&format!("{}.{}", to.name(), owner::token()))?;
                Ok(matches!(files.rename(&self.info(claim)?, &beside)?, Moved::Done(_)))
            }
        }
    }

    /// Takes what an earlier owner left in `directory` (this lane's own included): settles what is in
    /// the log into `outbox`, claims the rest. What was claimed before an error is in `claims`.
    pub(super) fn recover(
        &mut self,
        files: &dyn Files,
        directory: &FilePath,
        position: Option<&Position>,
        outbox: &FilePath,
        claims: &mut VecDeque<Claim>,
    ) -> Result<()> {
        let (mut found, mut below) = (Vec::new(), Vec::new());
        files.list(directory, &mut |file| {
            match file.kind {
                FileKind::Directory => below.push(file),
                FileKind::File => found.push(file),
                FileKind::Other => {}
            }
            Ok(())
        })?;
        found.sort_by(|a, b| a.path.cmp(&b.path));
        for file in found {
            let name = file.path.name().to_owned();
            let Some(claim) = ClaimName::parse(&name) else {
                tracing::warn!(file = file.path.as_str(), "not a claim, left where it is");
                continue;
            };
            if claim.lane == self.token() {
                continue;
            }
            let position = position.filter(|position| position.lane == claim.lane);
            match position {
                Some(position) if claim.number < position.claim => {
                    let to = outbox.join(claim.file)?;
                    if files.rename(&file, &to)? == Moved::Taken {
                        files.rename(&file, &outbox.join(&format!("{}.{}", claim.file, owner::token()))?)?;
                    }
                }
                Some(position) if claim.number == position.claim => {
                    claims.extend(self.claim(files, &file, claim.file, position.bytes.max(claim.from))?);
                }
                _ => claims.extend(self.claim(files, &file, claim.file, claim.from)?),
            }
            CrashPoint::SpoolRecovered.pass();
        }
        // What two takers of one lane left inside each other; see `owner.rs`.
        for directory in below {
            self.recover(files, &directory.path, position, outbox, claims)?;
            files.delete(&directory)?;
        }
        // A task that lost its lane meanwhile must commit nothing: its position would take the place of the one
        // by which what is left here is settled.
        match files.stat(self.held.path())? {
            Some(_) => Ok(()),
            None => Err(Error::bug(self.held.lost())),
        }
    }

    pub(super) fn path(&self) -> &FilePath {
        self.held.path()
    }

    pub(super) fn give_up(self, files: &dyn Files) {
        self.held.give_up(files);
    }
}
