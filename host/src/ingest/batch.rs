//! A batch: one published file of the data set as rows, named, never changed; what it is, found by opening all
//! of it once.

use super::chunks::{MAX_CHUNKS, chunk, joined};
use super::rows::RowFormat;
use crate::connector::{Granularity, Span};
use crate::crypto::MemberInfo;
use crate::error::{Error, ErrorClass, Result};
use crate::spool::{DataFile, DataSet, FileContent};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};

/// Intervals of offsets in the ledger, joined where they touch.
const MAX_MEMBER_SPANS: usize = 500;

/// What a batch is, found by opening all of it once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BatchFacts {
    /// Counts the batches of an ingestion, in the order in which they were found.
    pub number: u64,
    /// Rows in it.
    pub records: u64,
    /// Bytes of all rows with their line breaks.
    pub bytes: u64,
    /// SHA-256 of these bytes.
    pub sha256: String,
    /// Earliest and latest time of a row, milliseconds since 1970 UTC; none: it has no rows.
    pub times: Option<(i64, i64)>,
    /// Chunks of time with rows in them, start and end; joined.
    pub chunks: Vec<(i64, i64)>,
    /// Records that are no rows, by reason.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub skipped: BTreeMap<String, u64>,
    /// Which records it holds: topic, partition, first offset and the one after the last; joined.
    pub members: Vec<(String, i32, i64, i64)>,
}

impl BatchFacts {
    /// Records that are no rows.
    pub fn num_skipped(&self) -> u64 {
        self.skipped.values().sum()
    }

    /// Chunks of time with rows in them, in order, apart from each other.
    pub fn spans(&self) -> impl Iterator<Item = Span> + '_ {
        self.chunks.iter().map(|(start, end)| Span { start: *start, end: *end })
    }
}

/// Opens a file once and finds out what it is; gives up where `is_wanted` says so.
///
/// # Errors
/// What [`DataSet::open`] gives; class Retry: not wanted any more; class Reject: rows of too many chunks, records
/// of too many intervals, or no row among its records.
pub(super) fn examine(
    set: &DataSet,
    file: &DataFile,
    format: &RowFormat,
    granularity: Granularity,
    number: u64,
    is_wanted: &dyn Fn() -> bool,
) -> Result<BatchFacts> {
    let reject = |found: String| Error::new(ErrorClass::Reject, found);
    let (mut records, mut bytes, mut times) = (0, 0, None::<(i64, i64)>);
    let mut skipped: BTreeMap<String, u64> = BTreeMap::new();
    let (mut digest, mut chunks, mut members) = (Sha256::new(), BTreeSet::new(), Members::default());
    // Rows mostly lie in the chunk of the row before.
    let mut last = Span { start: 0, end: 0 };
    let mut reader = format.reader();
    set.open(file, &mut |content| {
        match content {
            FileContent::Member(info) => members.add(info),
            FileContent::Record(record) => match reader.row(record.value) {
                Ok(row) => {
                    digest.update(&row.json);
                    digest.update(b"\n");
                    records += 1;
                    bytes += row.json.len() as u64 + 1;
                    let (earliest, latest) = times.unwrap_or((row.time_ms, row.time_ms));
                    times = Some((earliest.min(row.time_ms), latest.max(row.time_ms)));
                    if row.time_ms < last.start || row.time_ms >= last.end {
                        last =
                            chunk(granularity, row.time_ms).ok_or_else(|| Error::bug("a row's time is in no chunk"))?;
                        chunks.insert(last);
                    }
                    if chunks.len() > MAX_CHUNKS {
                        return Err(reject(format!("its rows lie in more than {MAX_CHUNKS} chunks of time")));
                    }
                }
                Err(reason) => *skipped.entry(reason.to_owned()).or_default() += 1,
            },
            FileContent::Block(_) if !is_wanted() => return Err(Error::retry("the ingestion is to stop")),
            FileContent::Block(_) | FileContent::MemberEnd => {}
        }
        Ok(())
    })?;
    if records == 0
        && let Some((reason, count)) = skipped.first_key_value()
    {
        return Err(reject(format!("none of its records is a row: {count} times `{reason}`")));
    }
    let members = members.joined();
    if members.len() > MAX_MEMBER_SPANS {
        return Err(reject(format!(
            "members of {} intervals of offsets, expected at most {MAX_MEMBER_SPANS}",
            members.len()
        )));
    }
    Ok(BatchFacts {
        number,
        records,
        bytes,
        sha256: digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect(),
        times,
        chunks: joined(chunks).into_iter().map(|span| (span.start, span.end)).collect(),
        skipped,
        members,
    })
}

/// Intervals of offsets by topic and partition; members may come in any order.
#[derive(Default)]
struct Members(BTreeMap<(String, i32), BTreeMap<i64, i64>>);

impl Members {
    fn add(&mut self, info: &MemberInfo) {
        let identity = &info.identity;
        let spans = self.0.entry((identity.topic.clone(), identity.partition)).or_default();
        let (mut first, mut next) = (identity.first, identity.next);
        if let Some((before, end)) = spans.range(..=first).next_back().map(|(before, end)| (*before, *end))
            && end == first
        {
            spans.remove(&before);
            first = before;
        }
        if let Some(end) = spans.remove(&next) {
            next = end;
        }
        spans.insert(first, next);
    }

    fn joined(self) -> Vec<(String, i32, i64, i64)> {
        let all = self.0.into_iter().flat_map(|((topic, partition), spans)| {
            spans.into_iter().map(move |(first, next)| (topic.clone(), partition, first, next))
        });
        all.collect()
    }
}
