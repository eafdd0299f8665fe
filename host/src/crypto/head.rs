//! The head of a member: who it is (`fixed`, associated data of everything that follows) and for whom
//! its data key is wrapped (`keys`, not bound, so that rewrapping does not touch the data).

use super::wrap::{DataKey, MAX_KEYS, WrappedKey, unwrap};
use super::{KeyRing, hex, reject, split_u32, unhex};
use crate::error::{Error, OrError, Result};
use serde::{Deserialize, Serialize};
use std::fmt;

/// The only format version there is.
pub(super) const FORMAT_VERSION: u32 = 1;

pub(super) const MEMBER_MAGIC: &[u8; 4] = b"HSM1";
/// What `records` and [`super::encode_record`] write into a member.
pub(super) const CONTENT: &str = "records-1";
/// Plain bytes of a full block as this host writes them: the tag costs 0.02 % and a reader holds one.
pub(super) const BLOCK_BYTES: u32 = 64 * 1024;
/// A head is some 300 bytes and 200 a recipient.
pub(super) const MAX_HEAD_BYTES: usize = 64 * 1024;
/// What a reader has to hold of a member at once, head aside.
pub(super) const MAX_BLOCK_BYTES: u32 = 1024 * 1024;
const ID_BYTES: usize = 16;
pub(super) const NONCE_PREFIX_BYTES: usize = 7;

/// Which records of which log: the name under which data is sealed or published.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Identity {
    /// Topic.
    pub topic: String,
    /// Partition in it.
    pub partition: i32,
    /// First offset inside.
    pub first: i64,
    /// The offset after the last one inside.
    pub next: i64,
}

impl Identity {
    /// Whether this is what it was taken for; `what` names the bearer, such as ``member `0a…` ``.
    ///
    /// # Errors
    /// Class Reject: it was published under another name than it was made for.
    pub fn check(&self, expected: &Identity, what: impl fmt::Display) -> Result<()> {
        match self == expected {
            true => Ok(()),
            false => Err(reject(format!("{what} is {self}, expected {expected}: published under another name"))),
        }
    }

    pub(super) fn check_bounds(&self, records: u64) -> std::result::Result<(), String> {
        let inside = self.next.checked_sub(self.first).and_then(|len| u64::try_from(len).ok());
        match inside {
            Some(inside) if self.first >= 0 && self.partition >= 0 && records <= inside => Ok(()),
            _ => Err(format!("{records} records do not fit into {self}")),
        }
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A topic may come from a head that proves nothing: it must not break a line of the log.
        let topic = self.topic.escape_debug();
        write!(f, "`{topic}` partition {} offsets [{},{})", self.partition, self.first, self.next)
    }
}

/// What the sealing task knows of a member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewMember {
    /// Where its records come from.
    pub identity: Identity,
    /// Least record timestamp, milliseconds since 1970 UTC; 0 without records.
    pub first_ms: i64,
    /// Greatest record timestamp.
    pub last_ms: i64,
    /// How many records are inside; at most as many as offsets.
    pub records: u64,
}

/// What a head says of its member. Trustworthy only once a data key was opened under it, which
/// [`super::Opener`] does; [`Head::parse`] alone reads what anyone may have written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberInfo {
    /// Drawn when it was sealed, 32 hex digits; a rewrapped or travelled member keeps it.
    pub id: String,
    /// Where its records come from.
    pub identity: Identity,
    /// Least record timestamp, milliseconds since 1970 UTC.
    pub first_ms: i64,
    /// Greatest record timestamp.
    pub last_ms: i64,
    /// How many records are inside.
    pub records: u64,
    /// Plain bytes of each block but the last.
    pub block_bytes: u32,
    /// What the plain bytes are; `records-1`.
    pub content: String,
    pub(super) nonce: [u8; NONCE_PREFIX_BYTES],
}

/// `fixed` as it is spelled. Fields of a later host are passed over: the bytes are bound as they stand.
#[derive(Serialize, Deserialize)]
struct Fixed {
    v: u32,
    id: String,
    #[serde(flatten)]
    identity: Identity,
    first_ms: i64,
    last_ms: i64,
    records: u64,
    block: u32,
    nonce: String,
    content: String,
}

#[derive(Deserialize)]
struct Version {
    v: u32,
}

/// The head of a member, as it stands.
#[derive(Debug, Clone)]
pub struct Head {
    pub(super) fixed: Vec<u8>,
    pub(super) info: MemberInfo,
    keys: Vec<WrappedKey>,
    num_bytes: usize,
}

impl Head {
    /// Reads the head at the start of `bytes`; none while it is not all there. No key is needed and
    /// nothing is proved.
    ///
    /// # Errors
    /// Class Reject: not a member, or broken. Class Config: of a newer format.
    pub fn parse(bytes: &[u8]) -> Result<Option<Self>> {
        let (num_bytes, is_known) = needed(bytes)?;
        let Some(bytes) = bytes.get(..num_bytes).filter(|_| is_known) else { return Ok(None) };
        let broken = || reject("head of a member is broken");
        let (_, rest) = bytes.split_at_checked(MEMBER_MAGIC.len()).ok_or_else(broken)?;
        let (fixed_len, rest) = split_u32(rest).ok_or_else(broken)?;
        let (fixed, rest) = rest.split_at_checked(fixed_len as usize).ok_or_else(broken)?;
        let (_, keys) = split_u32(rest).ok_or_else(broken)?;
        let info = parse_fixed(fixed)?;
        // The message of a JSON error tells line and column, and may quote what it found there.
        let keys: Vec<WrappedKey> = serde_json::from_slice(keys)
            .map_err(|_| reject(format!("member `{}`: `keys` is not a list of wrapped keys", info.id)))?;
        if keys.is_empty() || keys.len() > MAX_KEYS {
            let (id, found) = (&info.id, keys.len());
            return Err(reject(format!("member `{id}`: {found} wrapped keys, expected 1 to {MAX_KEYS}")));
        }
        // Kids are repeated in messages.
        if keys.iter().any(|key| unhex::<8>(key.kid()).is_none()) {
            return Err(reject(format!("member `{}`: a kid is not 16 hex digits", info.id)));
        }
        Ok(Some(Head { fixed: fixed.to_vec(), info, keys, num_bytes }))
    }

    pub(super) fn new(fixed: Vec<u8>, keys: Vec<WrappedKey>) -> Result<Self> {
        let info = parse_fixed(&fixed)?;
        Ok(Head { fixed, info, keys, num_bytes: 0 })
    }

    /// What it says of the member.
    pub fn info(&self) -> &MemberInfo {
        &self.info
    }

    /// The keys it is sealed for, in order.
    pub fn kids(&self) -> impl Iterator<Item = &str> {
        self.keys.iter().map(WrappedKey::kid)
    }

    /// Where the blocks begin.
    pub fn num_bytes(&self) -> usize {
        self.num_bytes
    }

    pub(super) fn open(&self, ring: &KeyRing) -> Result<DataKey> {
        unwrap(&self.info, &self.fixed, &self.keys, ring)
    }

    pub(super) fn encode(&self) -> Result<Vec<u8>> {
        let keys = serde_json::to_vec(&self.keys).or_bug("wrapped keys to JSON")?;
        let num_bytes = MEMBER_MAGIC.len() + 4 + self.fixed.len() + 4 + keys.len();
        if num_bytes > MAX_HEAD_BYTES {
            return Err(Error::config(format!(
                "head of a member would be {num_bytes} bytes, expected at most {MAX_HEAD_BYTES}: fewer recipients"
            )));
        }
        let mut bytes = Vec::with_capacity(num_bytes);
        bytes.extend_from_slice(MEMBER_MAGIC);
        for part in [&self.fixed, &keys] {
            bytes.extend_from_slice(&u32::try_from(part.len()).or_bug("length of a head")?.to_le_bytes());
            bytes.extend_from_slice(part);
        }
        Ok(bytes)
    }
}

/// How many bytes are needed as far as `bytes` tell, and whether that is the whole head.
pub(super) fn needed(bytes: &[u8]) -> Result<(usize, bool)> {
    check_magic(bytes, MEMBER_MAGIC, "member")?;
    let start = MEMBER_MAGIC.len() + 4;
    let len_at = |at: usize| bytes.get(at..).and_then(split_u32).map(|(len, _)| len as usize);
    let Some(fixed_len) = len_at(MEMBER_MAGIC.len()) else { return Ok((start, false)) };
    let keys_at = bounded(start + 4, fixed_len)?;
    let Some(keys_len) = len_at(keys_at - 4) else { return Ok((keys_at, false)) };
    Ok((bounded(keys_at, keys_len)?, true))
}

fn bounded(at: usize, len: usize) -> Result<usize> {
    match at.checked_add(len) {
        Some(end) if end <= MAX_HEAD_BYTES => Ok(end),
        _ => Err(reject(format!("head of a member claims {len} bytes more, expected at most {MAX_HEAD_BYTES} in all"))),
    }
}

/// Compares as much of the magic as is there, so that a wrong file is told at its first byte.
pub(super) fn check_magic(bytes: &[u8], magic: &[u8; 4], what: &str) -> Result<()> {
    if bytes.iter().zip(magic).all(|(found, expected)| found == expected) {
        return Ok(());
    }
    let expected = String::from_utf8_lossy(magic);
    match bytes.get(..magic.len()) {
        // The last byte of the magic is the version of the layout, a digit.
        Some([m @ .., digit @ b'2'..=b'9']) if magic.starts_with(m) => Err(newer(u32::from(digit - b'0'), what)),
        _ => Err(reject(format!("not a {what}: the bytes do not begin with `{expected}`"))),
    }
}

/// It may be in order: a newer host wrote it, so nobody should throw it away.
pub(super) fn newer(version: u32, what: &str) -> Error {
    let error = Error::config(format!("{what} of format version {version}, this host reads {FORMAT_VERSION}"));
    error.with_hint("update this host")
}

/// The version first, because a newer one may have other fields.
pub(super) fn check_version(json: &[u8], what: &str) -> Result<()> {
    match serde_json::from_slice::<Version>(json) {
        Ok(Version { v: FORMAT_VERSION }) => Ok(()),
        Ok(Version { v }) if v > FORMAT_VERSION => Err(newer(v, what)),
        _ => Err(reject(format!("{what} has no format version: it is not a JSON object with `v`"))),
    }
}

pub(super) fn encode_fixed(member: &NewMember, id: [u8; ID_BYTES], nonce: [u8; 7], block: u32) -> Result<Vec<u8>> {
    member.identity.check_bounds(member.records).map_err(Error::bug)?;
    let fixed = Fixed {
        v: FORMAT_VERSION,
        id: hex(&id),
        identity: member.identity.clone(),
        first_ms: member.first_ms,
        last_ms: member.last_ms,
        records: member.records,
        block,
        nonce: hex(&nonce),
        content: CONTENT.to_owned(),
    };
    serde_json::to_vec(&fixed).or_bug("head of a member to JSON")
}

fn parse_fixed(bytes: &[u8]) -> Result<MemberInfo> {
    check_version(bytes, "member")?;
    let fixed: Fixed = serde_json::from_slice(bytes)
        .map_err(|_| reject("head of a member lacks a field or has one of another type"))?;
    // Whatever stands for an id is repeated in messages, so it is looked at first.
    if unhex::<ID_BYTES>(&fixed.id).is_none() {
        return Err(reject("head of a member: `id` is not 32 hex digits"));
    }
    let broken = |what: String| reject(format!("member `{}`: {what}", fixed.id));
    fixed.identity.check_bounds(fixed.records).map_err(broken)?;
    if fixed.block == 0 || fixed.block > MAX_BLOCK_BYTES {
        return Err(broken(format!("blocks of {} bytes, expected 1 to {MAX_BLOCK_BYTES}", fixed.block)));
    }
    let nonce = unhex(&fixed.nonce).ok_or_else(|| broken("`nonce` is not 14 hex digits".to_owned()))?;
    Ok(MemberInfo {
        id: fixed.id,
        identity: fixed.identity,
        first_ms: fixed.first_ms,
        last_ms: fixed.last_ms,
        records: fixed.records,
        block_bytes: fixed.block,
        content: fixed.content,
        nonce,
    })
}

/// Collects a head from pieces.
#[derive(Debug, Default)]
pub(super) struct HeadCollector {
    bytes: Vec<u8>,
}

impl HeadCollector {
    /// Takes what belongs to the head from the front of `chunk`; the head once it is whole.
    pub(super) fn push(&mut self, chunk: &mut &[u8]) -> Result<Option<Head>> {
        loop {
            let (num_bytes, is_known) = needed(&self.bytes)?;
            let missing = num_bytes.saturating_sub(self.bytes.len());
            if missing == 0 && is_known {
                return Head::parse(&std::mem::take(&mut self.bytes));
            }
            if chunk.is_empty() {
                return Ok(None);
            }
            let (part, rest) = chunk.split_at_checked(missing).unwrap_or((chunk, &[]));
            self.bytes.extend_from_slice(part);
            *chunk = rest;
        }
    }

    pub(super) fn cut(&self) -> Error {
        reject(format!("head of a member is cut after {} bytes", self.bytes.len()))
    }
}
