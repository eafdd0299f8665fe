//! The contract that tasks drive: what a source, a transform, a sink, a layout and an ingestion are,
//! whoever implements them. The component side of it is `wasm`; the words of obligation are in `wit/plugin`.

mod ingestion;
mod layout;
mod limits;
mod sink;
mod tolerance;

pub use ingestion::{
    BatchRef, Column, ColumnType, DataSource, Dialect, FetchAccess, Granularity, IngestMode, Ingestion, SecretPlace,
    Span, TaskOf,
};
pub use layout::{Identity, Layout, Place, Plan, Rotation, Tree};
pub use limits::Limits;
pub use sink::{Assigned, Sink, TopicPartition};
pub use tolerance::{Retries, Tolerance, TrialSettings};

use crate::error::Result;
use crate::ports::log::PositionEntry;
use crate::record::Batch;
use std::time::Duration;

/// Options by name, checked and completed by the host.
pub type Settings = Vec<(String, String)>;

/// Kafka Connect JSON schemas of keys and values; none: plain bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Schemas {
    /// Of keys.
    pub key: Option<String>,
    /// Of values.
    pub value: Option<String>,
}

/// Bounds of one poll.
#[derive(Debug, Clone, Copy)]
pub struct PollLimits {
    /// At most this many records, rejected ones included.
    pub max_records: u32,
    /// About this many bytes of output.
    pub max_bytes: u32,
    /// How long to wait for input.
    pub wait: Duration,
}

/// An input that can never become a record.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rejected {
    /// Its bytes; none: it was a tombstone.
    pub raw: Option<Vec<u8>>,
    /// Its key, when it was a record.
    pub key: Option<Vec<u8>>,
    /// Its headers, when it was a record of a topic.
    pub headers: Vec<(String, Option<Vec<u8>>)>,
    /// Partition and offset, when it was a record of a topic.
    pub place: Option<(i32, i64)>,
    /// Where it came from.
    pub origin: String,
    /// Why.
    pub reason: String,
    /// When it was received, milliseconds since 1970 UTC.
    pub timestamp: i64,
}

/// Inputs left out on purpose: reason and count.
pub type Skips = Vec<(String, u64)>;

/// What one poll gives.
#[derive(Debug, Default)]
pub struct Polled {
    /// Records in order.
    pub records: Batch,
    /// Inputs for the dead-letter topic.
    pub rejects: Vec<Rejected>,
    /// Inputs left out.
    pub skips: Skips,
    /// Positions that changed.
    pub positions: Vec<PositionEntry>,
}

/// What a transform makes of a batch.
#[derive(Debug, Default)]
pub struct Transformed {
    /// Records in order.
    pub records: Batch,
    /// Input records for the dead-letter topic.
    pub rejects: Vec<Rejected>,
    /// Records left out.
    pub skips: Skips,
}

/// A source. One caller, calls never overlap. After an error of class Bug the instance is over.
pub trait Source {
    /// Resumes at `positions`; returns what the records will be. Nothing that another life holds may be changed
    /// before the first poll: until then it is not known whether this life is the newest.
    ///
    /// # Errors
    /// By class: Config and Deny fail the task, Retry and Bug restart it.
    fn open(&mut self, settings: &Settings, positions: &[PositionEntry]) -> Result<Schemas>;

    /// The next records.
    ///
    /// # Errors
    /// Retry: call again later; Bug: the instance is over.
    fn poll(&mut self, limits: PollLimits) -> Result<Polled>;

    /// Everything given so far is committed, with its positions.
    ///
    /// # Errors
    /// Class Retry: what was to follow the commit is done later; the commit stands.
    fn committed(&mut self) -> Result<()> {
        Ok(())
    }

    /// This version is there to stay: what was kept for the one before it may be forgotten.
    fn passed(&mut self) {}

    /// How much input waits, in units of its own; none: it does not know.
    fn backlog(&self) -> Option<u64> {
        None
    }

    /// The last call.
    fn close(&mut self);
}

/// A transform. One caller, calls never overlap.
pub trait Transform {
    /// Says what the output will be, given what the input is.
    ///
    /// # Errors
    /// As for [`Source::open`].
    fn open(&mut self, settings: &Settings, input: Schemas) -> Result<Schemas>;

    /// Transforms one batch; after an error nothing of it was taken.
    ///
    /// # Errors
    /// As for [`Source::poll`].
    fn transform(&mut self, input: &Batch) -> Result<Transformed>;
}
