//! What an ingestion is: the words in which an indexing service is told what to load. Pure functions;
//! the words of obligation are in `wit/plugin/ingest.wit`.

use super::Settings;
use crate::error::Result;

/// Type of a column's values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ColumnType {
    /// Text.
    Text,
    /// 64-bit integers.
    Long,
    /// 32-bit floating point.
    Float,
    /// 64-bit floating point.
    Double,
    /// Nested data.
    Json,
}

/// A column of the data set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// Its name in rows.
    pub name: String,
    /// Its type.
    pub kind: ColumnType,
}

/// Chunks of time that the service stores together, of the UTC calendar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Granularity {
    /// An hour.
    Hour,
    /// A day.
    Day,
    /// A month.
    Month,
    /// A year.
    Year,
}

impl Granularity {
    /// The word for it in configuration and ledgers.
    pub fn name(self) -> &'static str {
        match self {
            Granularity::Hour => "hour",
            Granularity::Day => "day",
            Granularity::Month => "month",
            Granularity::Year => "year",
        }
    }
}

/// Generations of the service's task format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// Druid 0.17 and later.
    Current,
    /// Druid up to 25.
    Legacy,
}

/// What is loaded into, and what rows look like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DataSource {
    /// Its name.
    pub name: String,
    /// The column with each row's time.
    pub time_column: String,
    /// How the time is written: `iso`, `millis`, `posix` or `auto`.
    pub time_format: String,
    /// The other columns, in order.
    pub columns: Vec<Column>,
    /// Chunks of time.
    pub segments: Granularity,
}

/// Time `[start, end)`, milliseconds since 1970 UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span {
    /// First millisecond.
    pub start: i64,
    /// The one after the last; above `start`.
    pub end: i64,
}

/// A batch by its address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchRef {
    /// Where it is fetched.
    pub uri: String,
    /// Rows in it.
    pub records: u64,
    /// Bytes of it, not compressed.
    pub bytes: u64,
}

/// Where the service finds a secret; never the secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretPlace {
    /// In an environment variable of its processes.
    Environment(String),
    /// The host puts it in the place of this text.
    Placeholder(String),
}

/// How the service identifies itself when it fetches.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FetchAccess {
    /// HTTP Basic.
    pub basic: Option<(String, SecretPlace)>,
    /// Headers.
    pub headers: Vec<(String, SecretPlace)>,
}

/// What a task does to the data source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IngestMode {
    /// Adds rows.
    Append,
    /// Puts rows in the place of all that is in the intervals.
    Replace,
    /// Stores the intervals in fewer segments, read from the service itself.
    Reindex,
}

impl IngestMode {
    /// The word for it, in configuration, ledgers and task identifiers.
    pub fn name(self) -> &'static str {
        match self {
            IngestMode::Append => "append",
            IngestMode::Replace => "replace",
            IngestMode::Reindex => "reindex",
        }
    }
}

/// One task.
#[derive(Debug, Clone)]
pub struct TaskOf {
    /// Its identifier.
    pub id: String,
    /// Into what.
    pub into: DataSource,
    /// What.
    pub mode: IngestMode,
    /// The rows.
    pub batches: Vec<BatchRef>,
    /// Whole chunks that hold all rows.
    pub intervals: Vec<Span>,
    /// How batches are fetched.
    pub access: FetchAccess,
    /// In which words.
    pub dialect: Dialect,
}

/// Writes tasks. One caller, calls never overlap; all answers are JSON text.
pub trait Ingestion: Send {
    /// Reads the options.
    ///
    /// # Errors
    /// Mostly class Config; class Bug: the instance is over.
    fn open(&mut self, settings: &Settings) -> Result<()>;

    /// A task.
    ///
    /// # Errors
    /// As for [`Ingestion::open`].
    fn task(&mut self, of: &TaskOf) -> Result<String>;

    /// A task that merges the segments of one interval in the service's own way.
    ///
    /// # Errors
    /// As for [`Ingestion::open`].
    fn compaction(&mut self, id: &str, of: &DataSource, interval: Span) -> Result<String>;

    /// A supervisor that loads a topic as it grows.
    ///
    /// # Errors
    /// As for [`Ingestion::open`].
    fn supervisor(&mut self, into: &DataSource, topic: &str, bootstrap_servers: &str) -> Result<String>;
}
