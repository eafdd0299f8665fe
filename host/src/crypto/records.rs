//! `records-1`: what is sealed. Records one after another, each with offset, timestamp, key, value and
//! headers; read from the pieces that an [`super::Opener`] gives ([`RecordDecoder`]).

use super::head::CONTENT;
use super::{MemberInfo, reject, split_u32};
use crate::error::Result;
use crate::record::{Header, parse_headers};

/// Length of a key that is not there, and of the value of a tombstone.
const NONE: u32 = u32::MAX;
/// Kafka's own bound is 1 MiB unless it was raised; a reader holds one record at most.
const MAX_RECORD_BYTES: usize = 64 * 1024 * 1024;

/// One record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record<'a> {
    /// Offset in its partition.
    pub offset: i64,
    /// Milliseconds since 1970 UTC.
    pub timestamp: i64,
    /// Key, if any.
    pub key: Option<&'a [u8]>,
    /// Value; none is a tombstone.
    pub value: Option<&'a [u8]>,
    /// Headers as [`crate::record::encode_headers`] writes them; empty: none.
    pub headers: &'a [u8],
}

impl<'a> Record<'a> {
    /// The headers in order.
    ///
    /// # Errors
    /// Class Reject: whoever sealed them wrote something else.
    pub fn headers(&self) -> Result<Vec<Header<'a>>> {
        parse_headers(self.headers).map_err(|error| reject(format!("record at offset {}: {error}", self.offset)))
    }
}

/// Appends `record` to the plaintext of a member.
///
/// # Errors
/// Class Reject: larger than 64 MiB; nothing was appended.
pub fn encode_record(out: &mut Vec<u8>, record: &Record<'_>) -> Result<()> {
    let parts = [record.key, record.value, Some(record.headers)];
    let len: usize = parts.iter().map(|part| part.map_or(0, <[u8]>::len)).sum();
    check_len(record.offset, len)?;
    out.reserve(len + 28);
    out.extend_from_slice(&record.offset.to_le_bytes());
    out.extend_from_slice(&record.timestamp.to_le_bytes());
    for part in parts {
        let len = part.map_or(NONE, |part| u32::try_from(part.len()).unwrap_or(NONE));
        out.extend_from_slice(&len.to_le_bytes());
        out.extend_from_slice(part.unwrap_or_default());
    }
    Ok(())
}

/// Records from pieces of plaintext, checked against what the head says. Holds one record and a piece.
#[derive(Debug)]
pub struct RecordDecoder {
    info: MemberInfo,
    buffer: Vec<u8>,
    at: usize,
    decoded: u64,
    next: i64,
}

impl RecordDecoder {
    /// For the records of one member.
    ///
    /// # Errors
    /// Class Reject: it holds something else than `records-1`.
    pub fn try_new(info: &MemberInfo) -> Result<Self> {
        if info.content != CONTENT {
            let id = &info.id;
            return Err(reject(format!(
                "member `{id}`: its content is not `{CONTENT}`, which is what this host reads"
            )));
        }
        let next = info.identity.first;
        Ok(RecordDecoder { info: info.clone(), buffer: Vec::new(), at: 0, decoded: 0, next })
    }

    /// Takes the next piece. Take all records out before: what is left is kept.
    pub fn push(&mut self, plaintext: &[u8]) {
        self.buffer.drain(..self.at);
        self.at = 0;
        self.buffer.extend_from_slice(plaintext);
    }

    /// The next record that is whole.
    ///
    /// # Errors
    /// Class Reject: not a record, or one whose offset is not of this member or not after the one
    /// before. It was sealed like that.
    pub fn next_record(&mut self) -> Result<Option<Record<'_>>> {
        let rest = self.buffer.get(self.at..).unwrap_or_default();
        let (id, identity) = (&self.info.id, &self.info.identity);
        let next = split_record(rest).map_err(|error| error.context(format!("member `{id}`")))?;
        let Some((record, tail)) = next else { return Ok(None) };
        if record.offset < self.next || record.offset >= identity.next {
            let (found, expected, end) = (record.offset, self.next, identity.next);
            return Err(reject(format!("member `{id}`: record at offset {found}, expected {expected} to {end}")));
        }
        self.at = self.buffer.len() - tail.len();
        self.decoded += 1;
        self.next = record.offset + 1;
        Ok(Some(record))
    }

    /// To be asked after the last piece.
    ///
    /// # Errors
    /// Class Reject: bytes are left over, or it were not as many records as the head says.
    pub fn finish(&self) -> Result<()> {
        let (id, expected, found) = (&self.info.id, self.info.records, self.decoded);
        let left = self.buffer.len() - self.at;
        match left == 0 && found == expected {
            true => Ok(()),
            false => {
                Err(reject(format!("member `{id}`: {found} records and {left} bytes, expected {expected} records")))
            }
        }
    }
}

/// The first record and what follows it; none while it is not whole.
pub(super) fn split_record(bytes: &[u8]) -> Result<Option<(Record<'_>, &[u8])>> {
    let Some((offset, rest)) = bytes.split_first_chunk::<8>() else { return Ok(None) };
    let Some((timestamp, mut rest)) = rest.split_first_chunk::<8>() else { return Ok(None) };
    let (offset, timestamp) = (i64::from_le_bytes(*offset), i64::from_le_bytes(*timestamp));
    let mut parts = [None; 3];
    let mut total = 0;
    for part in &mut parts {
        let Some((len, tail)) = split_u32(rest) else { return Ok(None) };
        rest = tail;
        if len == NONE {
            continue;
        }
        total += len as usize;
        check_len(offset, total)?;
        let Some((found, tail)) = rest.split_at_checked(len as usize) else { return Ok(None) };
        *part = Some(found);
        rest = tail;
    }
    let [key, value, headers] = parts;
    let headers = headers.ok_or_else(|| reject(format!("record at offset {offset} has no length of its headers")))?;
    Ok(Some((Record { offset, timestamp, key, value, headers }, rest)))
}

fn check_len(offset: i64, len: usize) -> Result<()> {
    match len <= MAX_RECORD_BYTES {
        true => Ok(()),
        false => Err(reject(format!("record at offset {offset} of {len} bytes, expected at most {MAX_RECORD_BYTES}"))),
    }
}
