//! Members on their way through a topic: one record each, or ordered pieces where one is too large.
//!
//! A record's key is the member's id; header `host.chunk` is its piece's number and `host.chunks` how
//! many there are. Pieces of one member are in one transaction and in one partition, in order; pieces of
//! others may lie between them.

use crate::crypto::{self, MemberInfo};
use crate::error::{Error, ErrorClass, Result};
use crate::ports::log::StoredRecord;
use crate::record::BatchBuilder;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

const CHUNK: &str = "host.chunk";
const CHUNKS: &str = "host.chunks";
/// What is held of one member. Sinks seal at most 64 MiB at once.
pub(super) const MAX_MEMBER_BYTES: usize = 80 << 20;
/// What is held of all members whose pieces come at the same time, of one partition.
const MAX_OPEN_BYTES: usize = 256 << 20;
/// Longest wait for the next piece of a member.
const PIECES_WITHIN: Duration = Duration::from_secs(60);

/// Appends a member as one record or several.
pub(super) fn push(batch: &mut BatchBuilder, member: &[u8], info: &MemberInfo, chunk_bytes: usize) {
    let chunks = member.len().div_ceil(chunk_bytes.max(1)).max(1);
    let count = chunks.to_string();
    for (index, chunk) in member.chunks(chunk_bytes.max(1)).enumerate() {
        let index = index.to_string();
        let headers = [(CHUNK, Some(index.as_bytes())), (CHUNKS, Some(count.as_bytes()))];
        batch.push(Some(info.id.as_bytes()), Some(chunk), &headers, info.last_ms);
    }
}

/// Puts pieces together again.
#[derive(Debug, Default)]
pub(super) struct Assembler {
    open: BTreeMap<Vec<u8>, Pieces>,
}

/// The pieces of one member so far.
#[derive(Debug)]
struct Pieces {
    next: usize,
    bytes: Vec<u8>,
    came: Instant,
}

/// A member whose other pieces do not come.
#[derive(Debug)]
pub(super) struct Incomplete {
    pub(super) key: Vec<u8>,
    pub(super) bytes: Vec<u8>,
    pub(super) reason: String,
}

/// A member that came whole.
#[derive(Debug)]
pub(super) struct Arrived {
    pub(super) info: MemberInfo,
    pub(super) bytes: Vec<u8>,
}

impl Assembler {
    /// Whether pieces wait for others: a file cannot end here.
    pub(super) fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// Gives up members whose next piece has not come for [`PIECES_WITHIN`]: pieces are committed
    /// together, so one that is not there soon never will be.
    pub(super) fn give_up_stale(&mut self) -> Vec<Incomplete> {
        let stale = self.open.extract_if(.., |_, pieces| pieces.came.elapsed() >= PIECES_WITHIN);
        let incomplete = stale.map(|(key, pieces)| {
            let reason = format!("a member of which {} pieces came and no more", pieces.next);
            Incomplete { key, bytes: pieces.bytes, reason }
        });
        incomplete.collect()
    }

    /// Takes one record; a member when it was the last piece of one.
    ///
    /// # Errors
    /// Class Reject: no member, no piece that is expected, or too much of it.
    pub(super) fn push(&mut self, record: &StoredRecord) -> Result<Option<Arrived>> {
        let value =
            record.value.as_deref().ok_or_else(|| reject("a record without a value, expected a sealed member"))?;
        let chunks = number(record, CHUNKS)?.unwrap_or(1);
        let chunk = number(record, CHUNK)?.unwrap_or(0);
        if chunks == 1 {
            return arrived(value.to_vec()).map(Some);
        }
        let key = record.key.clone().ok_or_else(|| reject("a piece of a member without a key, expected its id"))?;
        let expected = self.open.get(&key).map_or(0, |pieces| pieces.next);
        if chunk != expected || chunk >= chunks {
            // What came of it before is of no use without this piece.
            self.open.remove(&key);
            return Err(reject(format!("piece {chunk} of {chunks} of a member, expected piece {expected}")));
        }
        let held: usize = self.open.values().map(|pieces| pieces.bytes.len()).sum();
        if held + value.len() > MAX_OPEN_BYTES {
            self.open.remove(&key);
            return Err(reject(format!("pieces of members of more than {MAX_OPEN_BYTES} bytes at the same time")));
        }
        let open = self.open.entry(key.clone());
        let pieces = open.or_insert_with(|| Pieces { next: 0, bytes: Vec::new(), came: Instant::now() });
        pieces.next += 1;
        pieces.came = Instant::now();
        pieces.bytes.extend_from_slice(value);
        if pieces.bytes.len() > MAX_MEMBER_BYTES {
            self.open.remove(&key);
            return Err(reject(format!("a member of more than {MAX_MEMBER_BYTES} bytes")));
        }
        match chunk + 1 == chunks {
            true => arrived(self.open.remove(&key).map_or(Vec::new(), |pieces| pieces.bytes)).map(Some),
            false => Ok(None),
        }
    }
}

/// Checks that bytes are exactly one member.
fn arrived(bytes: Vec<u8>) -> Result<Arrived> {
    // One of a newer format is a dead letter too: this record will not be another after a restart.
    let scanned = crypto::scan(&bytes).map_err(|error| reject(error.to_string()))?;
    let scanned = scanned.ok_or_else(|| reject(format!("a member is cut after {} bytes", bytes.len())))?;
    if scanned.num_bytes != bytes.len() as u64 {
        let (found, expected) = (bytes.len(), scanned.num_bytes);
        return Err(reject(format!("{found} bytes with a member of {expected}, expected the member alone")));
    }
    Ok(Arrived { info: scanned.head.info().clone(), bytes })
}

fn number(record: &StoredRecord, name: &str) -> Result<Option<usize>> {
    let Some((_, value)) = record.headers.iter().find(|(header, _)| header == name) else { return Ok(None) };
    let text = value.as_deref().and_then(|value| std::str::from_utf8(value).ok()).unwrap_or_default();
    let found = || reject(format!("header `{name}` is `{}`, expected a number", text.escape_debug()));
    text.parse().map(Some).map_err(|_| found())
}

fn reject(message: impl Into<String>) -> Error {
    Error::new(ErrorClass::Reject, message)
}
