//! The group port: which partitions of its topics a sink's task reads, where several share them.
//!
//! A member learns in its own time that something is to be given up, finishes or drops its work there, and
//! says so; nobody else is given a partition before that, unless the group lost sight of the member.

use super::log::LogWriter;
use crate::error::Result;
use std::collections::BTreeSet;

/// One partition of a topic.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicPartition {
    /// Topic.
    pub topic: String,
    /// Partition in it.
    pub partition: i32,
}

/// Who joins.
#[derive(Debug, Clone)]
pub struct Membership {
    /// Connector name; its group is `connect-NAME`, as Kafka Connect calls it.
    pub connector: String,
    /// Task number. A newer life of the same task of the same worker takes the place of an older one.
    pub task: u32,
    /// Topics that are shared; they need not be there yet.
    pub topics: Vec<String>,
}

impl Membership {
    /// The group's name.
    pub fn group(&self) -> String {
        format!("connect-{}", self.connector)
    }
}

/// What is a member's.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Share {
    /// To be read.
    pub assigned: BTreeSet<TopicPartition>,
    /// To be given up.
    pub revoked: Option<Revoked>,
}

/// What a member is to give up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revoked {
    /// Which partitions.
    pub partitions: BTreeSet<TopicPartition>,
    /// Others may have them already: work is to be dropped, not finished.
    pub is_lost: bool,
}

/// A member of a consumer group. Its commits are refused once it is none, and where the log has groups they are two:
/// records first, then offsets.
pub trait GroupMember: LogWriter {
    /// What is its share now. Others wait while this is not called, and after Kafka's `max.poll.interval.ms`, five
    /// minutes, the group goes on without the member.
    ///
    /// # Errors
    /// Class Retry when the group cannot be asked; class Config when a newer member has taken its place, or the
    /// log forbids it.
    fn share(&mut self) -> Result<Share>;

    /// Says that nothing is done any more for what [`Share::revoked`] named.
    ///
    /// # Errors
    /// As above.
    fn release(&mut self) -> Result<()>;
}
