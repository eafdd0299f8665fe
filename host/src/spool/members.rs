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
/// Longest wait for the next piece of a member while others pass it.
const PIECES_WITHIN: Duration = Duration::from_secs(60);
/// What is kept of a member that is given up: topics take no dead letter of any size.
const MAX_LETTER_BYTES: usize = 512 << 10;

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
    /// When the first other record came after the last piece: no record, as in an outage, says nothing.
    passed: Option<Instant>,
}

/// A member whose other pieces do not come.
#[derive(Debug)]
pub(super) struct Incomplete {
    pub(super) key: Vec<u8>,
    /// The first of its bytes.
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

    /// Gives up members that others have passed for [`PIECES_WITHIN`]: pieces are committed together, so
    /// one that does not come soon after the last never will.
    pub(super) fn give_up_stale(&mut self, now: Instant) -> Vec<Incomplete> {
        let is_stale = |passed: Instant| now.saturating_duration_since(passed) >= PIECES_WITHIN;
        let stale = self.open.extract_if(.., |_, pieces| pieces.passed.is_some_and(is_stale));
        let incomplete = stale.map(|(key, Pieces { next, mut bytes, .. })| {
            let reason = format!("a member of which {next} pieces of {} bytes came and no more", bytes.len());
            bytes.truncate(MAX_LETTER_BYTES);
            Incomplete { key, bytes, reason }
        });
        incomplete.collect()
    }

    /// Takes one record; a member when it was the last piece of one.
    ///
    /// # Errors
    /// Class Reject: no member, no piece that is expected, or too much of it.
    pub(super) fn push(&mut self, record: &StoredRecord, now: Instant) -> Result<Option<Arrived>> {
        self.open.values_mut().for_each(|pieces| pieces.passed = pieces.passed.or(Some(now)));
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
        let pieces = open.or_insert_with(|| Pieces { next: 0, bytes: Vec::new(), passed: None });
        pieces.next += 1;
        pieces.passed = None;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::{Identity, Key, KeyKind, NewMember, seal};

    /// The records of a member of some size in pieces of 100 bytes, and its bytes.
    fn pieces(first: i64, size: usize) -> (Vec<StoredRecord>, Vec<u8>) {
        let identity = Identity { topic: "t".to_owned(), partition: 0, first, next: first + 1 };
        let member = NewMember { identity, first_ms: 7, last_ms: 7, records: 1 };
        let key = Key::generate(KeyKind::Symmetric).unwrap();
        let sealed = seal(&member, &vec![1; size], &[key.recipient().unwrap()]).unwrap();
        let info = crypto::scan(&sealed).unwrap().unwrap().head.info().clone();
        let mut batch = BatchBuilder::default();
        push(&mut batch, &sealed, &info, 100);
        let batch = batch.build();
        let stored = |record: crate::record::RecordRef<'_>| StoredRecord {
            partition: 0,
            offset: first,
            timestamp: 7,
            key: record.key.map(<[u8]>::to_vec),
            value: record.value.map(<[u8]>::to_vec),
            headers: record
                .headers()
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value.map(<[u8]>::to_vec)))
                .collect(),
        };
        (batch.records().map(stored).collect(), sealed)
    }

    fn rejected(pushed: Result<Option<Arrived>>) -> String {
        let error = pushed.unwrap_err();
        assert_eq!(error.class(), ErrorClass::Reject);
        error.to_string()
    }

    #[test]
    fn pieces_of_two_members_among_each_other_come_whole() {
        let ((one, first), (two, second)) = (pieces(0, 1000), pieces(1, 1000));
        assert_eq!((one.len(), one.len() > 10), (two.len(), true));
        let (mut assembler, now) = (Assembler::default(), Instant::now());
        let mut arrived = Vec::new();
        for (a, b) in one.iter().zip(&two) {
            for record in [a, b] {
                arrived.extend(assembler.push(record, now).unwrap());
            }
            assert_eq!(assembler.is_empty(), arrived.len() == 2);
        }
        assert_eq!(arrived.iter().map(|member| &member.bytes).collect::<Vec<_>>(), [&first, &second]);
        assert_eq!(arrived[1].info.identity.first, 1);
    }

    #[test]
    fn a_piece_out_of_order_ends_its_member_alone() {
        let ((one, _), (two, second)) = (pieces(0, 1000), pieces(1, 10));
        let (mut assembler, now) = (Assembler::default(), Instant::now());
        let count = one.len();
        assembler.push(&one[0], now).unwrap();
        let told = rejected(assembler.push(&one[2], now));
        assert_eq!(told, format!("piece 2 of {count} of a member, expected piece 1"));
        assert!(assembler.is_empty());
        assert!(rejected(assembler.push(&one[1], now)).ends_with("expected piece 0"));
        let arrived = two.iter().filter_map(|record| assembler.push(record, now).unwrap()).next().unwrap();
        assert_eq!(arrived.bytes, second);
    }

    #[test]
    fn what_is_no_member_of_this_format_is_a_dead_letter() {
        let (mut assembler, now) = (Assembler::default(), Instant::now());
        let of = |value: Option<Vec<u8>>, headers| StoredRecord { value, headers, ..pieces(0, 10).0[0].clone() };
        let (_, sealed) = pieces(0, 10);
        let mut newer = sealed.clone();
        let at = newer.windows(5).position(|bytes| bytes == b"\"v\":1").unwrap();
        newer[at + 4] = b'2';
        let number = |text: &str| vec![(CHUNKS.to_owned(), Some(text.as_bytes().to_vec()))];
        let cases = [
            (of(None, Vec::new()), "a record without a value"),
            (of(Some(b"some text of another".to_vec()), Vec::new()), "not a"),
            (of(Some(sealed[..sealed.len() - 1].to_vec()), Vec::new()), "cut"),
            (of(Some([&sealed[..], b"x"].concat()), Vec::new()), "expected the member alone"),
            (of(Some(sealed.clone()), number("many")), "header `host.chunks` is `many`, expected a number"),
            (of(Some(newer), Vec::new()), "format version 2"),
        ];
        for (record, expected) in cases {
            let told = rejected(assembler.push(&record, now));
            assert!(told.contains(expected), "{told}");
        }
    }

    #[test]
    fn a_member_is_given_up_when_others_passed_it_and_not_while_nothing_comes() {
        let ((one, first), (two, _)) = (pieces(0, 2 * MAX_LETTER_BYTES), pieces(1, 10));
        let (mut assembler, began) = (Assembler::default(), Instant::now());
        let (last, most) = one.split_last().unwrap();
        most.iter().for_each(|record| drop(assembler.push(record, began).unwrap()));
        let later = began + 10 * PIECES_WITHIN;
        assert!(assembler.give_up_stale(later).is_empty(), "an outage tears nothing");
        two.iter().for_each(|record| drop(assembler.push(record, later).unwrap()));
        assert!(assembler.give_up_stale(later + PIECES_WITHIN / 2).is_empty());
        let stale = assembler.give_up_stale(later + PIECES_WITHIN);
        let [Incomplete { key, bytes, reason }] = stale.as_slice() else { panic!("{stale:?}") };
        assert_eq!((Some(key), bytes.as_slice()), (one[0].key.as_ref(), &first[..MAX_LETTER_BYTES]));
        let (count, size) = (most.len(), most.len() * 100);
        assert_eq!(reason, &format!("a member of which {count} pieces of {size} bytes came and no more"));
        assert!(assembler.is_empty());
        rejected(assembler.push(last, later));
    }
}
