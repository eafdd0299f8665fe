//! What a layout is: where a spool keeps its files and what they are called. Pure functions; the
//! words of obligation are in `wit/plugin/layout.wit`.

use super::Settings;
use crate::error::Result;
use std::time::Duration;

/// The directories of a spool, as text below the spool's own directory.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tree {
    /// Files being written.
    pub staging: String,
    /// Published files that nobody has taken.
    pub inbox: String,
    /// Claimed files.
    pub tmp: String,
    /// Files whose records are in the log.
    pub outbox: String,
    /// Files that are deleted after the retention.
    pub wash: String,
    /// Files being deleted.
    pub washd: String,
    /// Files that are not what they should be.
    pub quarantine: String,
    /// The data set; empty is the spool's own directory.
    pub target: String,
}

/// When a file is closed; none is no limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rotation {
    /// Bytes in it, about.
    pub max_bytes: Option<u64>,
    /// Records in it.
    pub max_records: Option<u64>,
    /// Time since its first record was taken.
    pub max_age: Option<Duration>,
}

/// What a layout decides when it is opened.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// Where things are.
    pub tree: Tree,
    /// When files are closed.
    pub rotation: Rotation,
    /// How long files stay in the trash.
    pub trash_retention: Duration,
}

/// What a file holds: records `[first, next)` of one partition.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Identity {
    /// Topic its records come from.
    pub topic: String,
    /// Partition.
    pub partition: i32,
    /// Offset of its first record.
    pub first: i64,
    /// Offset after its last record.
    pub next: i64,
    /// Earliest record time, milliseconds since 1970 UTC.
    pub first_ms: i64,
    /// Latest record time, the same.
    pub last_ms: i64,
    /// Counts the files of this partition, from 0.
    pub sequence: u64,
}

/// What a name is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// A file on its way.
    Inbox,
    /// A file of the data set; directories may come before the name.
    Target,
}

/// A layout. One caller, calls never overlap.
pub trait Layout {
    /// Decides the plan for a connector of this name.
    ///
    /// # Errors
    /// Mostly class Config; class Bug: the instance is over.
    fn open(&mut self, connector: &str, settings: &Settings) -> Result<Plan>;

    /// The name of a file.
    ///
    /// # Errors
    /// As for [`Layout::open`].
    fn name(&mut self, identity: &Identity, place: Place) -> Result<String>;

    /// What names stand for; none: not a name of this layout. As many as were asked.
    ///
    /// # Errors
    /// Class Bug: the instance is over.
    fn parse(&mut self, names: &[String]) -> Result<Vec<Option<Identity>>>;
}
