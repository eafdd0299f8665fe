//! One spool file being written: records are sealed member by member, or members are taken as they
//! came; a footer ends it.

use super::members::{Assembler, Incomplete};
use crate::connector::{Rejected, Rotation};
use crate::crypto::{self, Footer, NewMember, Recipient, Record};
use crate::error::Result;
use crate::ports::files::{FileInfo, FileWriter};
use crate::ports::log::StoredRecord;
use crate::record::{encode_headers, now_ms};
use bytes::Bytes;
use std::time::{Duration, Instant};

/// Names are made of times in the years 1 to 9999; a producer can write any other into a record.
const EARLIEST_MS: i64 = -62_135_596_800_000;
const LATEST_MS: i64 = 253_402_300_799_999;

/// What a sink is given.
#[derive(Clone)]
pub enum Content {
    /// Records, to be sealed.
    Records {
        /// For whom.
        recipients: Vec<Recipient>,
        /// Plain bytes of one member, about.
        member_bytes: usize,
    },
    /// Members that were sealed before.
    Members,
}

/// A file that is not published yet.
pub(super) struct OpenFile {
    writer: Box<dyn FileWriter>,
    /// Its name in the staging directory.
    pub(super) name: String,
    topic: String,
    partition: i32,
    pub(super) first: i64,
    pub(super) next: i64,
    times: Option<(i64, i64)>,
    records: u64,
    members: u64,
    bytes: u64,
    began: Instant,
    plain: Plain,
    assembler: Assembler,
}

/// Records of the member that is being filled.
#[derive(Default)]
struct Plain {
    bytes: Vec<u8>,
    first: i64,
    times: Option<(i64, i64)>,
    records: u64,
}

impl OpenFile {
    pub(super) fn new(writer: Box<dyn FileWriter>, name: String, topic: &str, partition: i32, first: i64) -> Self {
        OpenFile {
            writer,
            name,
            topic: topic.to_owned(),
            partition,
            first,
            next: first,
            times: None,
            records: 0,
            members: 0,
            bytes: 0,
            began: Instant::now(),
            plain: Plain { first, ..Plain::default() },
            assembler: Assembler::default(),
        }
    }

    /// Takes one record.
    ///
    /// # Errors
    /// Class Reject: this record cannot be written, and the file goes on without it. Any other: the
    /// file is over.
    pub(super) fn push(&mut self, record: &StoredRecord, content: &Content) -> Result<()> {
        if let Content::Records { recipients, member_bytes } = content {
            let size = |part: &Option<Vec<u8>>| part.as_ref().map_or(0, Vec::len);
            let is_over = self.plain.bytes.len() + size(&record.key) + size(&record.value) > *member_bytes;
            if is_over && !self.plain.bytes.is_empty() {
                self.seal(recipients)?;
            }
        }
        // Whatever becomes of it, it is behind.
        self.next = record.offset + 1;
        self.records += 1;
        match content {
            Content::Records { recipients, member_bytes } => {
                let headers: Vec<_> =
                    record.headers.iter().map(|(name, value)| (name.as_str(), value.as_deref())).collect();
                let record = Record {
                    offset: record.offset,
                    timestamp: record.timestamp,
                    key: record.key.as_deref(),
                    value: record.value.as_deref(),
                    headers: &encode_headers(&headers),
                };
                crypto::encode_record(&mut self.plain.bytes, &record)?;
                self.plain.records += 1;
                widen(&mut self.plain.times, record.timestamp, record.timestamp);
                if self.plain.bytes.len() >= *member_bytes {
                    self.seal(recipients)?;
                }
            }
            Content::Members => {
                if let Some(member) = self.assembler.push(record, Instant::now())? {
                    if member.info.records > 0 {
                        widen(&mut self.times, member.info.first_ms, member.info.last_ms);
                    }
                    self.write(member.bytes)?;
                }
            }
        }
        Ok(())
    }

    /// Seals what was gathered; members of a file join without a gap, whatever offsets the log left out.
    fn seal(&mut self, recipients: &[Recipient]) -> Result<()> {
        let plain = std::mem::replace(&mut self.plain, Plain { first: self.next, ..Plain::default() });
        let (topic, partition) = (self.topic.clone(), self.partition);
        let (first_ms, last_ms) = plain.times.unwrap_or_default();
        let member = NewMember {
            identity: crypto::Identity { topic, partition, first: plain.first, next: self.next },
            first_ms,
            last_ms,
            records: plain.records,
        };
        if plain.times.is_some() {
            widen(&mut self.times, first_ms, last_ms);
        }
        let sealed = crypto::seal(&member, &plain.bytes, recipients)?;
        self.write(sealed)
    }

    fn write(&mut self, member: Vec<u8>) -> Result<()> {
        self.members += 1;
        self.bytes += member.len() as u64;
        self.writer.write(Bytes::from(member))
    }

    /// Bytes it has, about, with what is not sealed yet.
    fn num_bytes(&self) -> u64 {
        self.bytes + self.plain.bytes.len() as u64
    }

    /// How long ago its first record was taken.
    pub(super) fn age(&self) -> Duration {
        self.began.elapsed()
    }

    /// Whether it has reached one of the limits that are not time.
    pub(super) fn is_full(&self, rotation: &Rotation) -> bool {
        rotation.max_bytes.is_some_and(|most| self.num_bytes() >= most)
            || rotation.max_records.is_some_and(|most| self.records >= most)
    }

    /// Members of which not all pieces came, given up.
    pub(super) fn give_up_stale(&mut self) -> Vec<Rejected> {
        let stale = self.assembler.give_up_stale(Instant::now()).into_iter();
        let rejected = stale.map(|Incomplete { key, bytes, reason }| Rejected {
            raw: Some(bytes),
            key: Some(key),
            origin: format!("partition {}", self.partition),
            reason,
            timestamp: now_ms(),
            ..Rejected::default()
        });
        rejected.collect()
    }

    /// Whether it can end here: no member is in pieces.
    pub(super) fn can_end(&self) -> bool {
        self.assembler.is_empty()
    }

    /// Earliest and latest record time, once everything is sealed.
    pub(super) fn times(&self) -> (i64, i64) {
        let (first, last) = self.times.unwrap_or_default();
        (first.clamp(EARLIEST_MS, LATEST_MS), last.clamp(EARLIEST_MS, LATEST_MS))
    }

    /// Seals the rest, before the file is named.
    ///
    /// # Errors
    /// What sealing and writing give.
    pub(super) fn complete(&mut self, content: &Content) -> Result<()> {
        match content {
            Content::Records { recipients, .. } if self.plain.first < self.next => self.seal(recipients),
            _ => Ok(()),
        }
    }

    /// Writes the footer and makes the file durable.
    ///
    /// # Errors
    /// What writing gives.
    pub(super) fn finish(mut self, sequence: u64) -> Result<FileInfo> {
        let (first_ms, last_ms) = self.times();
        let footer = Footer {
            identity: crypto::Identity {
                topic: self.topic,
                partition: self.partition,
                first: self.first,
                next: self.next,
            },
            first_ms,
            last_ms,
            sequence,
            members: self.members,
            bytes: self.bytes,
        };
        self.writer.write(Bytes::from(footer.encode()?))?;
        self.writer.finish()
    }
}

fn widen(times: &mut Option<(i64, i64)>, first: i64, last: i64) {
    *times = Some(times.map_or((first, last), |(least, most)| (least.min(first), most.max(last))));
}
