//! The end of a spool file: that it is whole, and under which name it was published. Found from the
//! last bytes, so that a listing needs one small read a file.
//!
//! A footer carries a digest against accidents and no secret: whoever may write the file can write a
//! footer. What must not be forged is in the heads of the members.

use super::head::{FORMAT_VERSION, check_magic, check_version};
use super::{Identity, reject, split_u32};
use crate::error::{Error, OrError, Result};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// Bytes from the end of a file that hold any footer with a topic name that Kafka takes.
pub const FOOTER_TAIL: usize = 4096;

pub(super) const FOOTER_MAGIC: &[u8; 4] = b"HSF1";
const END_MAGIC: &[u8; 4] = b"HSFE";
const MAX_FOOTER_BYTES: usize = 64 * 1024;
const DIGEST_BYTES: usize = 8;
/// Magic and length before the JSON.
const BEFORE: usize = 4 + 4;
/// Digest, length and magic after it.
const AFTER: usize = DIGEST_BYTES + 4 + 4;

/// What a spool file says of itself at its end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Footer {
    /// The name it was published under. For members that travelled through a second topic this is a
    /// stretch of the second topic, and the members keep the identity they were sealed with.
    #[serde(flatten)]
    pub identity: Identity,
    /// Least record timestamp of its members, milliseconds since 1970 UTC.
    pub first_ms: i64,
    /// Greatest record timestamp.
    pub last_ms: i64,
    /// The publishing task's count of its files.
    pub sequence: u64,
    /// How many members.
    pub members: u64,
    /// Bytes of all members, which is where the footer begins.
    pub bytes: u64,
}

/// The footer as it is spelled.
#[derive(Serialize)]
struct Spelled<'a> {
    v: u32,
    #[serde(flatten)]
    footer: &'a Footer,
}

/// What [`Footer::locate`] found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Located {
    /// The footer of a file of the length given.
    Found(Footer),
    /// So many bytes from the end are needed, more than were given.
    Needs(usize),
}

impl Footer {
    /// The bytes that end the file.
    ///
    /// # Errors
    /// Class Config: a topic name too long to write down.
    pub fn encode(&self) -> Result<Vec<u8>> {
        let json = serde_json::to_vec(&Spelled { v: FORMAT_VERSION, footer: self }).or_bug("footer to JSON")?;
        let num_bytes = BEFORE + json.len() + AFTER;
        if num_bytes > MAX_FOOTER_BYTES {
            return Err(Error::config(format!(
                "footer would be {num_bytes} bytes, expected at most {MAX_FOOTER_BYTES}"
            )));
        }
        let mut bytes = Vec::with_capacity(num_bytes);
        bytes.extend_from_slice(FOOTER_MAGIC);
        bytes.extend_from_slice(&u32::try_from(json.len()).or_bug("length of a footer")?.to_le_bytes());
        bytes.extend_from_slice(&json);
        bytes.extend_from_slice(&digest(&json));
        bytes.extend_from_slice(&u32::try_from(num_bytes).or_bug("length of a footer")?.to_le_bytes());
        bytes.extend_from_slice(END_MAGIC);
        Ok(bytes)
    }

    /// Reads a footer that is exactly `bytes`.
    ///
    /// # Errors
    /// Class Reject: cut, altered, or something else. Class Config: of a newer format.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        check_magic(bytes, FOOTER_MAGIC, "footer")?;
        let broken = |what: &str| reject(format!("footer of {} bytes {what}", bytes.len()));
        let (_, rest) = bytes.split_at_checked(4).ok_or_else(|| broken("is cut"))?;
        let (json_len, rest) = split_u32(rest).ok_or_else(|| broken("is cut"))?;
        let (json, rest) = rest.split_at_checked(json_len as usize).ok_or_else(|| broken("is cut"))?;
        let (found, rest) = rest.split_first_chunk::<DIGEST_BYTES>().ok_or_else(|| broken("is cut"))?;
        let (num_bytes, end) = split_u32(rest).ok_or_else(|| broken("is cut"))?;
        if end != END_MAGIC || num_bytes as usize != bytes.len() || bytes.len() > MAX_FOOTER_BYTES {
            return Err(broken("does not end where it says"));
        }
        if *found != digest(json) {
            return Err(broken("was altered: its digest is not the one it carries"));
        }
        check_version(json, "footer")?;
        let footer: Footer =
            serde_json::from_slice(json).map_err(|_| broken("lacks a field or has one of another type"))?;
        footer.identity.check_bounds(0).map_err(|what| broken(&format!("is of no interval: {what}")))?;
        Ok(footer)
    }

    /// Finds the footer of a file of `file_bytes` bytes in the last of them, [`FOOTER_TAIL`] to begin
    /// with, and checks that the file is as long as it says.
    ///
    /// # Errors
    /// As [`Footer::parse`]; class Reject: no footer, or a file of another length.
    pub fn locate(tail: &[u8], file_bytes: u64) -> Result<Located> {
        let none =
            || reject(format!("file of {file_bytes} bytes does not end with a footer: cut, or not a spool file"));
        let (rest, end) = tail.split_last_chunk::<4>().ok_or_else(none)?;
        let (_, len) = rest.split_last_chunk::<4>().filter(|_| end == END_MAGIC).ok_or_else(none)?;
        let num_bytes = u32::from_le_bytes(*len) as usize;
        if num_bytes > MAX_FOOTER_BYTES || num_bytes as u64 > file_bytes {
            return Err(reject(format!("footer claims {num_bytes} bytes of a file of {file_bytes}")));
        }
        let Some(start) = tail.len().checked_sub(num_bytes) else { return Ok(Located::Needs(num_bytes)) };
        let footer = Self::parse(tail.get(start..).unwrap_or_default())?;
        let expected = footer.bytes.saturating_add(num_bytes as u64);
        match expected == file_bytes {
            true => Ok(Located::Found(footer)),
            false => Err(reject(format!("file of {file_bytes} bytes, its footer says {expected}"))),
        }
    }
}

/// How long the footer is whose first bytes these are; none while they do not tell.
pub(super) fn footer_len(bytes: &[u8]) -> Result<Option<usize>> {
    check_magic(bytes, FOOTER_MAGIC, "footer")?;
    let Some((len, _)) = bytes.get(4..).and_then(split_u32) else { return Ok(None) };
    match BEFORE + AFTER + len as usize {
        num_bytes if num_bytes <= MAX_FOOTER_BYTES => Ok(Some(num_bytes)),
        num_bytes => Err(reject(format!("footer claims {num_bytes} bytes, expected at most {MAX_FOOTER_BYTES}"))),
    }
}

fn digest(json: &[u8]) -> [u8; DIGEST_BYTES] {
    let whole: [u8; 32] = Sha256::digest(json).into();
    whole.first_chunk().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn footer() -> Footer {
        let identity = Identity { topic: "wikipedia".to_owned(), partition: 3, first: 100, next: 200 };
        Footer { identity, first_ms: 5, last_ms: 9, sequence: 7, members: 2, bytes: 1000 }
    }

    #[test]
    fn a_footer_is_found_from_the_end() {
        let bytes = footer().encode().unwrap();
        let file_bytes = 1000 + bytes.len() as u64;
        assert_eq!(Footer::parse(&bytes).unwrap(), footer());
        let file = [vec![0; 1000], bytes.clone()].concat();
        assert_eq!(Footer::locate(&file, file_bytes).unwrap(), Located::Found(footer()));
        assert_eq!(Footer::locate(&file[1000..], file_bytes).unwrap(), Located::Found(footer()));
        assert_eq!(Footer::locate(&file[1001..], file_bytes).unwrap(), Located::Needs(bytes.len()));
        let error = Footer::locate(&file, file_bytes + 1).unwrap_err();
        assert_eq!(error.to_string(), format!("file of {} bytes, its footer says {file_bytes}", file_bytes + 1));
    }

    #[test]
    fn every_flip_and_cut_of_a_footer_is_told() {
        let bytes = footer().encode().unwrap();
        for at in 0..bytes.len() {
            for bit in 0..8 {
                let mut flipped = bytes.clone();
                flipped[at] ^= 1 << bit;
                Footer::parse(&flipped).unwrap_err();
                assert!(!matches!(Footer::locate(&flipped, 1000 + bytes.len() as u64), Ok(Located::Found(_))), "{at}");
            }
            Footer::parse(&bytes[..at]).unwrap_err();
        }
    }

    #[test]
    fn a_newer_footer_is_told_from_a_broken_one() {
        let mut bytes = footer().encode().unwrap();
        bytes[3] = b'2';
        let error = Footer::parse(&bytes).unwrap_err();
        assert_eq!(error.to_string(), "footer of format version 2, this host reads 1");
        assert_eq!(error.class(), crate::error::ErrorClass::Config);
    }
}
