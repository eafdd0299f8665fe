//! The sealing room: records in, sealed bytes out, and back. `host/SPOOL_FORMAT.md` is the format.
//!
//! Bytes in, bytes out: no tokio, no network, no file but key files. Invariants:
//! - Plaintext leaves only after the tag of its block was checked ([`Opener`], [`SpoolReader`]).
//! - Each member has a data key of its own, drawn at random; a nonce is never used twice with it.
//! - Every length read from outside has a bound before memory is taken for it.
//! - No message holds a key, a payload, or bytes of a file that turned out to be something else.
//!
//! Damage is class Reject: this file never will open. A missing key and a format of a newer host are
//! class Config: the file may be fine. Members have no signature: who holds a public key can seal, so a
//! reader learns that a member is whole and meant for its name, not who wrote it.

mod blocks;
mod footer;
mod head;
mod key_files;
mod keys;
mod open;
mod order;
mod records;
mod rewrap;
mod seal;
mod sign;
mod spool;
#[cfg(test)]
mod tests;
mod wrap;

pub use footer::{FOOTER_TAIL, Footer, Located};
pub use head::{Head, Identity, MemberInfo, NewMember};
pub use key_files::{create_key_file, describe_key_file, load_key};
pub use keys::{Key, KeyInfo, KeyKind, KeyRing, Recipient};
pub use open::{Opened, Opener, Scanned, open, scan};
pub use order::MemberOrder;
pub use records::{Record, RecordDecoder, encode_record};
pub use rewrap::rewrap;
pub use seal::seal;
pub use sign::SIGNATURE_BYTES;
pub use spool::{Event, SpoolReader};

use crate::error::{Error, ErrorClass, OrError, Result};

/// This input never will: damaged, cut, or something else.
fn reject(message: impl Into<String>) -> Error {
    Error::new(ErrorClass::Reject, message)
}

/// Fills `bytes` from the operating system.
fn random(bytes: &mut [u8]) -> Result<()> {
    getrandom::fill(bytes).or_retry("random bytes of the operating system")
}

/// Lower case, two digits a byte.
fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Reads what [`hex`] writes, nothing else; none when `text` is not exactly `N` bytes of it.
fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digit = |c: u8| match c {
        b'0'..=b'9' => Some(c - b'0'),
        b'a'..=b'f' => Some(c - b'a' + 10),
        _ => None,
    };
    let mut bytes = [0; N];
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if pairs.len() != N || !rest.is_empty() {
        return None;
    }
    for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
        *byte = digit(*high)? << 4 | digit(*low)?;
    }
    Some(bytes)
}

/// A `u32` length at the start of `bytes`, and what follows it.
fn split_u32(bytes: &[u8]) -> Option<(u32, &[u8])> {
    bytes.split_first_chunk::<4>().map(|(word, rest)| (u32::from_le_bytes(*word), rest))
}
