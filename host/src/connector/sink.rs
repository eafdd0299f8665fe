//! What a sink is: it takes records partition by partition and says up to which offset everything
//! is safe in its target. The task reads, the sink writes; where to go on after a crash is the
//! sink's own knowledge, because only the target knows what arrived.

use super::Rejected;
use crate::error::Result;
pub use crate::ports::group::TopicPartition;
use crate::ports::log::StoredRecord;
use std::collections::BTreeSet;

/// What became of a partition that a sink was asked to take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Assigned {
    /// It takes records from this offset on; none: from the first there is.
    From(Option<i64>),
    /// Somebody else writes this partition: who, for people. Ask again later.
    Held(String),
}

/// A sink. One caller, calls never overlap. After an error of class Bug the instance is over; after
/// one of class Retry what was put since the last safe offset is forgotten, and the partition is to be
/// assigned again.
pub trait Sink {
    /// Takes partitions, each with the offset that its group has committed, and says where each goes on:
    /// at the later of that and what the target holds. Called again for a partition after an error, or
    /// when it was held by another.
    ///
    /// # Errors
    /// By class: Config and Deny fail the task, Retry and Bug restart it.
    fn assign(&mut self, partitions: &[(TopicPartition, Option<i64>)]) -> Result<Vec<Assigned>>;

    /// Takes records in order.
    ///
    /// # Errors
    /// As above.
    fn put(&mut self, at: &TopicPartition, records: &[StoredRecord]) -> Result<()>;

    /// What was put and can never be written, since this was asked last, by topic. Nothing that covers
    /// such a record becomes safe before it was taken here: the caller keeps it first.
    fn take_rejects(&mut self) -> Vec<(String, Rejected)>;

    /// Makes safe what is due; everything where `all`.
    ///
    /// # Errors
    /// As above.
    fn flush(&mut self, all: bool) -> Result<()>;

    /// The offset before which everything of this partition is safe in the target; none: not assigned,
    /// or nothing is.
    fn safe_offset(&self, at: &TopicPartition) -> Option<i64>;

    /// Drops what it has in hand for these partitions, and lets others have them at once.
    fn release(&mut self, partitions: &BTreeSet<TopicPartition>);

    /// The last call: gives up what it holds.
    fn close(&mut self);
}
