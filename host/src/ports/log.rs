//! The log port: topics of records, and what is committed with them. Two implementations, Kafka
//! and the embedded log, and one contract suite for both (`tests/all/log_contract.rs`).
//!
//! One commit holds records, a connector's positions and a consumer group's offsets: all of it
//! becomes visible and durable, or nothing. On Kafka that is a transaction, on the embedded log
//! an SQL transaction. Readers see committed records only.

use super::group::{GroupMember, Membership};
use crate::error::{Error, Result};
use crate::record::Batch;
use crate::secret::Secret;
use std::time::Duration;

/// How to reach a Kafka cluster.
#[derive(Debug, Clone)]
pub struct KafkaSettings {
    /// `host:port,host:port`.
    pub bootstrap_servers: String,
    /// Further client properties (`security.protocol`, `sasl.username` …), as librdkafka names them.
    pub properties: Vec<(String, String)>,
    /// Properties whose values are secrets.
    pub secrets: Vec<(String, Secret)>,
    /// Topic of source positions.
    pub offsets_topic: String,
    /// Replicas of topics that the host makes; -1 is the broker's default.
    pub replication_factor: i32,
    /// Names this host among those that share the partitions of a sink's topics; the same after a restart. None: this
    /// machine's name.
    pub worker_id: Option<String>,
    /// How record batches are compressed: `none`, `gzip`, `snappy`, `lz4`, `zstd`.
    pub compression: String,
}

impl KafkaSettings {
    /// Settings for a cluster without authentication.
    pub fn new(bootstrap_servers: impl Into<String>) -> Self {
        KafkaSettings {
            bootstrap_servers: bootstrap_servers.into(),
            properties: Vec::new(),
            secrets: Vec::new(),
            offsets_topic: "connect-offsets".to_owned(),
            replication_factor: -1,
            worker_id: None,
            // Envelopes repeat their schema in every record: five times less to send and to store.
            compression: "lz4".to_owned(),
        }
    }
}

/// How a topic is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TopicSpec {
    /// At least 1.
    pub partitions: i32,
    /// Trim records older than this; none keeps them.
    pub retention: Option<Duration>,
}

impl Default for TopicSpec {
    /// One partition, seven days: Kafka's `retention.ms`.
    fn default() -> Self {
        TopicSpec { partitions: 1, retention: Some(Duration::from_secs(7 * 24 * 3600)) }
    }
}

/// A topic as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicInfo {
    /// Its name.
    pub name: String,
    /// One entry a partition, in order.
    pub partitions: Vec<Watermarks>,
}

/// Offsets of a partition: records are in `[low, high)`, with gaps where transactions left marks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Watermarks {
    /// First offset still there.
    pub low: i64,
    /// Offset after the last record.
    pub high: i64,
}

/// One record read back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredRecord {
    /// Partition.
    pub partition: i32,
    /// Offset in it.
    pub offset: i64,
    /// Milliseconds since 1970 UTC.
    pub timestamp: i64,
    /// Key, if any.
    pub key: Option<Vec<u8>>,
    /// Value; none is a tombstone.
    pub value: Option<Vec<u8>>,
    /// Headers in order.
    pub headers: Vec<(String, Option<Vec<u8>>)>,
}

/// A source's place in one partition of its input; both parts opaque.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PositionEntry {
    /// Names the partition.
    pub partition: Vec<u8>,
    /// The place after the last input.
    pub position: Vec<u8>,
}

/// Where a consumer group goes on in one partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupOffset {
    /// Group name.
    pub group: String,
    /// Topic.
    pub topic: String,
    /// Partition.
    pub partition: i32,
    /// The next offset to read.
    pub next: i64,
}

/// What one commit holds.
#[derive(Debug, Clone, Default)]
pub struct Commit {
    /// Records by topic, in order. The topics exist.
    pub appends: Vec<(String, Batch)>,
    /// Positions of the writer's connector that changed.
    pub positions: Vec<PositionEntry>,
    /// Offsets of consumer groups that changed.
    pub group_offsets: Vec<GroupOffset>,
}

/// Whose commits these are: one living writer for each, a newer one fences the older.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WriterId {
    /// Connector name; positions are kept under it.
    pub connector: String,
    /// Task number.
    pub task: u32,
}

/// Bounds of one read.
#[derive(Debug, Clone, Copy)]
pub struct ReadLimits {
    /// At most this many records.
    pub max_records: usize,
    /// About this many bytes; one record is always given whole.
    pub max_bytes: usize,
    /// How long to wait for the first.
    pub wait: Duration,
}

/// A log.
pub trait Log: Send + Sync {
    /// What and where it is, for people: ``Kafka at `host:9092` ``.
    fn describe(&self) -> String;

    /// Which log it is, the same for everyone who uses it and for no other: a Kafka cluster's id.
    ///
    /// # Errors
    /// Class Retry when it cannot be asked.
    fn id(&self) -> Result<String>;

    /// All topics by name, the log's own included.
    ///
    /// # Errors
    /// Class Retry when it cannot be asked.
    fn topics(&self) -> Result<Vec<TopicInfo>>;

    /// One topic; none: it is not there.
    ///
    /// # Errors
    /// Class Retry when it cannot be asked.
    fn topic(&self, name: &str) -> Result<Option<TopicInfo>>;

    /// Makes a topic unless it is there; true if it was made.
    ///
    /// # Errors
    /// Class Config for a name that cannot be; class Retry when it cannot be asked.
    fn create_topic(&self, name: &str, spec: TopicSpec) -> Result<bool>;

    /// Deletes a topic with its records and offsets; true if it was there.
    ///
    /// # Errors
    /// Class Retry when it cannot be asked.
    fn delete_topic(&self, name: &str) -> Result<bool>;

    /// A writer; commits of an older writer of the same identity fail from now on.
    ///
    /// # Errors
    /// Class Retry when the log cannot be reached.
    fn writer(&self, id: &WriterId) -> Result<Box<dyn LogWriter>>;

    /// A writer that is as good as its log can be without transactions: a commit that fails may be there in
    /// part, records before positions, and an older writer is not fenced. A log that has transactions for
    /// nothing gives [`Log::writer`].
    ///
    /// # Errors
    /// As for [`Log::writer`].
    fn repeating_writer(&self, id: &WriterId) -> Result<Box<dyn LogWriter>> {
        self.writer(id)
    }

    /// Joins the group of a sink's tasks; none: this log is one host's, which deals partitions out by itself.
    ///
    /// # Errors
    /// Class Config for properties the log refuses; class Retry when it cannot be reached.
    fn join(&self, _membership: &Membership) -> Result<Option<Box<dyn GroupMember>>> {
        Ok(None)
    }

    /// Reads one partition from `offset` on, or from the first record there is after it.
    ///
    /// # Errors
    /// Class Config for a topic or partition that is not there.
    fn reader(&self, topic: &str, partition: i32, offset: i64) -> Result<Box<dyn LogReader>>;

    /// Where the groups are in a topic's partitions.
    ///
    /// # Errors
    /// Class Retry when it cannot be asked.
    fn group_offsets(&self, group: &str, topic: &str) -> Result<Vec<GroupOffset>>;

    /// The committed positions of a connector, one for each partition of its input.
    ///
    /// # Errors
    /// Class Retry when they cannot be read.
    fn positions(&self, connector: &str) -> Result<Vec<PositionEntry>>;

    /// Removes the records before `offset`.
    ///
    /// # Errors
    /// Class Config for a topic or partition that is not there.
    fn trim(&self, topic: &str, partition: i32, offset: i64) -> Result<()>;
}

/// Writes commits.
pub trait LogWriter: Send {
    /// Makes one commit, whole or not at all. When it returns, it is durable; Kafka shows it to
    /// readers a moment later. After an error of class Retry it may have been made after all (an
    /// answer that was lost): give the same commit again, and the writer finds out and does not
    /// make it twice. After an error of any other class it was not made.
    ///
    /// # Errors
    /// Class Retry when the log is out of reach or full; class Config when a newer writer
    /// has taken over.
    fn commit(&mut self, commit: &Commit) -> Result<()>;
}

/// Reads one partition in order.
pub trait LogReader: Send {
    /// The next committed records; none after the wait is normal.
    ///
    /// # Errors
    /// Class Retry when the log is out of reach.
    fn next(&mut self, limits: ReadLimits) -> Result<Vec<StoredRecord>>;

    /// Whether everything below `offset` was read, gaps included.
    fn is_past(&self, offset: i64) -> bool;
}

/// Kafka's rule for topic names, which holds for both logs, so that a topic can move.
///
/// # Errors
/// Class Config, with what a name may be.
pub fn check_topic_name(name: &str) -> Result<()> {
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if name.is_empty() || name.len() > 249 || name == "." || name == ".." || !name.chars().all(legal) {
        let expected = "1 to 249 letters, digits, `.`, `_` and `-`";
        return Err(Error::config(format!("topic name `{}`: expected {expected}", name.escape_debug())));
    }
    Ok(())
}

/// The partition of a key among `partitions`, by Kafka's default rule (murmur2), so that both
/// logs put a key into the same one. Records without a key go to partition 0.
pub fn partition_of(key: Option<&[u8]>, partitions: i32) -> i32 {
    match key {
        Some(key) if partitions > 1 => (murmur2(key) & 0x7fff_ffff) % partitions,
        _ => 0,
    }
}

// org.apache.kafka.common.utils.Utils.murmur2, whose results are part of Kafka's contract.
fn murmur2(data: &[u8]) -> i32 {
    const M: u32 = 0x5bd1_e995;
    let mut hash: u32 = 0x9747_b28c ^ u32::try_from(data.len()).unwrap_or(u32::MAX);
    let (words, tail) = data.as_chunks::<4>();
    for word in words {
        let mut k = u32::from_le_bytes(*word).wrapping_mul(M);
        k ^= k >> 24;
        hash = hash.wrapping_mul(M) ^ k.wrapping_mul(M);
    }
    for (index, byte) in tail.iter().enumerate().rev() {
        hash ^= u32::from(*byte) << (8 * index);
        if index == 0 {
            hash = hash.wrapping_mul(M);
        }
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(M);
    (hash ^ (hash >> 15)).cast_signed()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The vectors of Kafka's own `UtilsTest.testMurmur2`.
    #[test]
    fn keys_go_where_kafka_puts_them() {
        let check = |key: &[u8], expected: i32| assert_eq!(murmur2(key), expected, "{key:?}");
        check(b"21", -973_932_308);
        check(b"foobar", -790_332_482);
        check(b"a-little-bit-long-string", -985_981_536);
        check(b"a-little-bit-longer-string", -1_486_304_829);
        check(b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971);
        check(b"abc", 479_470_107);
    }
}
