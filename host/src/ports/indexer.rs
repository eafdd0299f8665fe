//! The indexer port: a service that loads batches it is told of, one task at a time, and says what
//! became of each. Its tasks have identifiers that the host chooses, each good once.

use crate::error::Result;
use crate::secret::Secret;
use std::path::PathBuf;
use std::time::Duration;

/// How an indexing service is reached.
#[derive(Debug, Clone)]
pub struct IndexerSettings {
    /// Its base address, `http` or `https`; a Router or an Overlord.
    pub url: String,
    /// HTTP Basic, where it asks for it.
    pub login: Option<(String, Secret)>,
    /// PEM file of certificates to trust instead of the system's.
    pub tls_ca: Option<PathBuf>,
    /// Time of one call.
    pub timeout: Duration,
}

/// What became of handing in a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Submitted {
    /// It is accepted.
    Accepted,
    /// A task of this identifier was accepted before.
    Already,
    /// It never will be, in the service's own words.
    Refused(String),
}

/// Where a task is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TaskStanding {
    /// The service knows no such task.
    Unknown,
    /// It waits or works; the service's word for it.
    Running(String),
    /// All of it is stored.
    Success,
    /// Nothing of it is stored; why, in the service's own words.
    Failed(String),
}

/// What a task did with its rows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TaskRows {
    /// Stored.
    pub stored: u64,
    /// Left out: outside the intervals, or filtered.
    pub left_out: u64,
    /// Not readable.
    pub unparseable: u64,
}

/// An indexing service. May be called from any thread, but not from within an async task.
///
/// Errors are of class Retry when it cannot be asked now (down, without a leader, busy, a lost answer);
/// class Config when it never can as configured (address, certificate, rights).
pub trait Indexer: Send + Sync {
    /// What and where it is, for people; never a password.
    fn describe(&self) -> String;

    /// Hands in the text of a task. After a lost answer it may be accepted: hand it in again.
    ///
    /// # Errors
    /// See [`Indexer`].
    fn submit(&self, task: &str) -> Result<Submitted>;

    /// Where a task is.
    ///
    /// # Errors
    /// See [`Indexer`].
    fn standing(&self, id: &str) -> Result<TaskStanding>;

    /// What a task did with its rows; none: no report was kept.
    ///
    /// # Errors
    /// See [`Indexer`].
    fn rows(&self, id: &str) -> Result<Option<TaskRows>>;

    /// Rows of a data source that can be queried now; none: there is no such data source, or none yet.
    ///
    /// # Errors
    /// See [`Indexer`].
    fn count_rows(&self, data_source: &str) -> Result<Option<u64>>;
}
