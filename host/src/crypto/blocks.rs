//! Sealed blocks: the STREAM construction over AES-256-GCM (Hoang, Reyhanitabar, Rogaway, Vizár,
//! CRYPTO 2015). Counter and last-block flag are in the nonce, the head is associated data, so a block
//! opens only in its place of its member; a missing end is a block without the flag.
//!
//! A block is a word (top bit: last; low 31 bits: length with the tag), then ciphertext and tag. The
//! word itself is not bound: a lie in it moves the framing or the nonce, and the tag fails.

use super::head::{Head, NONCE_PREFIX_BYTES};
use super::reject;
use super::wrap::DataKey;
use crate::error::{Error, OrError, Result};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};

pub(super) const TAG_BYTES: usize = 16;
pub(super) const WORD_BYTES: usize = 4;
const LAST: u32 = 1 << 31;

/// Seals or opens the blocks of one member, in order.
pub(super) struct BlockCipher {
    // Why `ring` here and `aes-gcm` in `wrap`: `host/decisions/0007-ring-for-blocks.md`.
    cipher: LessSafeKey,
    prefix: [u8; NONCE_PREFIX_BYTES],
    fixed: Vec<u8>,
    id: String,
    place: Place,
    /// A block being opened.
    opening: Vec<u8>,
}

impl BlockCipher {
    /// # Errors
    /// Class Bug: a data key of another length.
    pub(super) fn try_new(head: &Head, data_key: &DataKey) -> Result<Self> {
        let key = UnboundKey::new(&AES_256_GCM, data_key.as_slice());
        let key =
            key.map_err(|_| Error::bug(format!("member `{}`: its data key is not one of AES-256", head.info.id)))?;
        Ok(BlockCipher {
            cipher: LessSafeKey::new(key),
            prefix: head.info.nonce,
            fixed: head.fixed.clone(),
            id: head.info.id.clone(),
            place: Place::new(head),
            opening: Vec::new(),
        })
    }

    /// What the next block must be like.
    pub(super) fn place(&self) -> &Place {
        &self.place
    }

    /// Appends word, ciphertext and tag to `out`, which has room: nothing else is allocated.
    pub(super) fn seal(&mut self, plain: &[u8], last: bool, out: &mut Vec<u8>) -> Result<()> {
        let len = u32::try_from(plain.len() + TAG_BYTES).or_bug("length of a block")?;
        out.extend_from_slice(&(if last { len | LAST } else { len }).to_le_bytes());
        let start = out.len();
        out.extend_from_slice(plain);
        let nonce = self.nonce(last);
        let body = out.get_mut(start..).unwrap_or_default();
        let tag = self.cipher.seal_in_place_separate_tag(nonce, Aad::from(&self.fixed), body);
        let tag = tag.map_err(|_| Error::bug(format!("member `{}`: {} is not sealed", self.id, self.place)))?;
        out.extend_from_slice(tag.as_ref());
        self.place.advance(last)
    }

    /// Opens ciphertext and tag into `out`, as long as the ciphertext without its tag; on failure
    /// `out` holds nothing of it.
    pub(super) fn open(&mut self, sealed: &[u8], last: bool, out: &mut [u8]) -> Result<()> {
        let broken = |what: &str| reject(format!("member `{}`: {} {what}", self.id, self.place));
        self.opening.clear();
        self.opening.extend_from_slice(sealed);
        let nonce = self.nonce(last);
        // Gives nothing out before the tag was compared, and wipes what it had decrypted when it differs.
        let plain = self.cipher.open_in_place(nonce, Aad::from(&self.fixed), &mut self.opening);
        let plain = plain.map_err(|_| broken("fails authentication"))?;
        if plain.len() != out.len() {
            return Err(Error::bug("room for a block is not as long as the block"));
        }
        out.copy_from_slice(plain);
        self.place.advance(last)
    }

    fn nonce(&self, last: bool) -> Nonce {
        let [a, b, c, d, e, f, g] = self.prefix;
        let [h, i, j, k] = self.place.index.to_be_bytes();
        Nonce::assume_unique_for_key([a, b, c, d, e, f, g, h, i, j, k, u8::from(last)])
    }
}

/// Where in a member one is; frames blocks without a key.
#[derive(Debug, Clone)]
pub(super) struct Place {
    id: String,
    block_bytes: u32,
    index: u32,
    is_done: bool,
}

impl Place {
    pub(super) fn new(head: &Head) -> Self {
        let info = &head.info;
        Place { id: info.id.clone(), block_bytes: info.block_bytes, index: 0, is_done: false }
    }

    /// Whether the last block is behind.
    pub(super) fn is_done(&self) -> bool {
        self.is_done
    }

    /// Length with the tag, and whether it is the last block.
    ///
    /// # Errors
    /// Class Reject: no block of this member has that length.
    pub(super) fn read_word(&self, word: [u8; WORD_BYTES]) -> Result<(usize, bool)> {
        let word = u32::from_le_bytes(word);
        let (len, last) = (word & !LAST, word & LAST != 0);
        let full = self.block_bytes + TAG_BYTES as u32;
        let fits = if last { (TAG_BYTES as u32..=full).contains(&len) } else { len == full };
        match fits {
            true => Ok((len as usize, last)),
            false => {
                let expected = if last { format!("{TAG_BYTES} to {full}") } else { full.to_string() };
                let kind = if last { "last block" } else { "block" };
                Err(reject(format!("member `{}`: {self}: {kind} of {len} bytes, expected {expected}", self.id)))
            }
        }
    }

    pub(super) fn advance(&mut self, last: bool) -> Result<()> {
        self.is_done = last;
        // The counter of the nonce must never come round.
        let next = self.index.checked_add(1);
        self.index = next.ok_or_else(|| reject(format!("member `{}` has more than 2^32 blocks", self.id)))?;
        Ok(())
    }

    /// For bytes that end here: `found` of `expected` of the block, or of its word.
    pub(super) fn cut(&self, found: usize, expected: usize) -> Error {
        reject(format!("member `{}`: {self} is cut: {found} of {expected} bytes", self.id))
    }

    /// For bytes that go on after the last block.
    pub(super) fn extra(&self, found: usize) -> Error {
        reject(format!("member `{}`: {found} bytes after its last block", self.id))
    }
}

/// `block N`, counted from 0 as in the nonce.
impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "block {}", self.index)
    }
}
