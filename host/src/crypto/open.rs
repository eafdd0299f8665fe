//! Opening and framing of one member, whole or in pieces.
//!
//! [`MemberScanner`] finds the end of a member without a key: that is all the second hop needs.
//! [`Opener`] gives out plaintext block by block, each after its tag was checked, and holds one block.

use super::blocks::{BlockCipher, Place, TAG_BYTES, WORD_BYTES};
use super::head::{Head, HeadCollector, MemberInfo};
use super::{KeyRing, reject};
use crate::error::Result;

/// A member that was framed without a key.
#[derive(Debug, Clone)]
pub struct Scanned {
    /// Its head; nothing in it is proved.
    pub head: Head,
    /// Length of the whole member.
    pub num_bytes: u64,
}

/// Finds where a member ends, from pieces of any size. Holds at most a head.
#[derive(Debug, Default)]
pub(super) struct MemberScanner {
    collector: HeadCollector,
    head: Option<Head>,
    place: Option<Place>,
    word: Vec<u8>,
    block_left: usize,
    block_len: usize,
    last: bool,
    num_bytes: u64,
}

impl MemberScanner {
    /// Takes the next piece and says how many of its bytes belong to the member: all of them until
    /// [`MemberScanner::is_done`], after which none do.
    ///
    /// # Errors
    /// Class Reject: not a member, or a block that cannot be. Class Config: a newer format.
    pub(super) fn push(&mut self, chunk: &[u8]) -> Result<usize> {
        let mut rest = chunk;
        if self.head.is_none() {
            let Some(head) = self.collector.push(&mut rest)? else { return Ok(self.taken(chunk, rest)) };
            self.place = Some(Place::new(&head));
            self.head = Some(head);
        }
        while let Some(place) = self.place.as_mut().filter(|place| !place.is_done()) {
            if self.block_left > 0 {
                let part = self.block_left.min(rest.len());
                rest = rest.get(part..).unwrap_or_default();
                self.block_left -= part;
                if self.block_left > 0 {
                    break;
                }
                place.advance(self.last)?;
            } else {
                let Some(word) = fill::<WORD_BYTES>(&mut self.word, &mut rest) else { break };
                (self.block_len, self.last) = place.read_word(word)?;
                self.block_left = self.block_len;
            }
        }
        Ok(self.taken(chunk, rest))
    }

    fn taken(&mut self, chunk: &[u8], rest: &[u8]) -> usize {
        let taken = chunk.len() - rest.len();
        self.num_bytes += taken as u64;
        taken
    }

    /// Whether the last block is behind.
    pub(super) fn is_done(&self) -> bool {
        self.place.as_ref().is_some_and(Place::is_done)
    }

    /// The member, when no more bytes come.
    ///
    /// # Errors
    /// Class Reject: it is cut, and where.
    pub(super) fn finish(self) -> Result<Scanned> {
        let (Some(head), Some(place)) = (self.head, self.place) else { return Err(self.collector.cut()) };
        if place.is_done() {
            return Ok(Scanned { head, num_bytes: self.num_bytes });
        }
        Err(match self.block_left {
            0 => place.cut(self.word.len(), WORD_BYTES),
            left => place.cut(self.block_len - left, self.block_len),
        })
    }
}

/// Frames the member at the start of `bytes`, which may go on after it; none while its end is missing.
///
/// # Errors
/// Class Reject: not a member, or a block that cannot be. Class Config: a newer format.
pub fn scan(bytes: &[u8]) -> Result<Option<Scanned>> {
    let mut scanner = MemberScanner::default();
    scanner.push(bytes)?;
    match scanner.is_done() {
        true => scanner.finish().map(Some),
        false => Ok(None),
    }
}

/// A member in the clear. Its plaintext is authentic as a whole.
pub struct Opened {
    /// What it is, authentic.
    pub info: MemberInfo,
    /// What was sealed.
    pub plaintext: Vec<u8>,
}

/// Opens a member that is exactly `bytes`.
///
/// # Errors
/// As [`Opener::push`] and [`Opener::finish`]; class Reject for bytes after its end.
pub fn open(bytes: &[u8], ring: &KeyRing) -> Result<Opened> {
    let head =
        Head::parse(bytes)?.ok_or_else(|| reject(format!("head of a member is cut after {} bytes", bytes.len())))?;
    let mut cipher = BlockCipher::try_new(&head, &head.open(ring)?)?;
    let mut rest = bytes.get(head.num_bytes()..).unwrap_or_default();
    let mut plaintext = vec![0; rest.len()];
    let mut len = 0;
    while !cipher.place().is_done() {
        let (word, tail) =
            rest.split_first_chunk::<WORD_BYTES>().ok_or_else(|| cipher.place().cut(rest.len(), WORD_BYTES))?;
        let (block_len, last) = cipher.place().read_word(*word)?;
        let (block, tail) =
            tail.split_at_checked(block_len).ok_or_else(|| cipher.place().cut(tail.len(), block_len))?;
        let end = len + block_len - TAG_BYTES;
        cipher.open(block, last, plaintext.get_mut(len..end).unwrap_or_default())?;
        (rest, len) = (tail, end);
    }
    if !rest.is_empty() {
        return Err(cipher.place().extra(rest.len()));
    }
    plaintext.truncate(len);
    Ok(Opened { info: head.info, plaintext })
}

/// Opens the blocks of one member from pieces of any size, holding one block.
pub struct Opener {
    info: MemberInfo,
    cipher: BlockCipher,
    word: Vec<u8>,
    /// The block being collected: its length with the tag, and whether it is the last.
    expected: Option<(usize, bool)>,
    sealed: Vec<u8>,
    plain: Vec<u8>,
}

impl Opener {
    /// Opens the data key of the member of `head`. From here on [`Opener::info`] is authentic.
    ///
    /// # Errors
    /// Class Config: no key, naming the kids wanted and held. Class Reject: the head was altered.
    pub fn try_new(head: &Head, ring: &KeyRing) -> Result<Self> {
        let cipher = BlockCipher::try_new(head, &head.open(ring)?)?;
        let info = head.info.clone();
        Ok(Opener { info, cipher, word: Vec::new(), expected: None, sealed: Vec::new(), plain: Vec::new() })
    }

    /// What the member is.
    pub fn info(&self) -> &MemberInfo {
        &self.info
    }

    /// Takes the next bytes after the head, gives each block that they complete, and says how many
    /// of them belong to the member: all until [`Opener::is_done`]. After an error it is of no use.
    ///
    /// # Errors
    /// Class Reject: a block that is not what was sealed in its place, by member and number. What
    /// `give` returns is passed on.
    pub fn push(&mut self, chunk: &[u8], give: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<usize> {
        let mut rest = chunk;
        while !self.is_done() {
            let (len, last) = match self.expected {
                Some(expected) => expected,
                None => {
                    let Some(word) = fill::<WORD_BYTES>(&mut self.word, &mut rest) else { break };
                    let expected = self.cipher.place().read_word(word)?;
                    self.expected = Some(expected);
                    expected
                }
            };
            // A block that lies whole in the piece is opened from there.
            let whole = rest.split_at_checked(len).filter(|_| self.sealed.is_empty());
            let (block, tail) = match whole {
                Some(found) => found,
                None => {
                    let missing = len - self.sealed.len();
                    let (part, tail) = rest.split_at_checked(missing).unwrap_or((rest, &[]));
                    self.sealed.extend_from_slice(part);
                    if self.sealed.len() < len {
                        rest = tail;
                        break;
                    }
                    (self.sealed.as_slice(), tail)
                }
            };
            self.plain.resize(len - TAG_BYTES, 0);
            self.cipher.open(block, last, &mut self.plain)?;
            rest = tail;
            self.sealed.clear();
            self.expected = None;
            give(&self.plain)?;
        }
        Ok(chunk.len() - rest.len())
    }

    /// Whether the last block was given.
    pub fn is_done(&self) -> bool {
        self.cipher.place().is_done()
    }

    /// To be asked when no more bytes come.
    ///
    /// # Errors
    /// Class Reject: the member is cut, and in which block.
    pub fn finish(self) -> Result<MemberInfo> {
        if self.is_done() {
            return Ok(self.info);
        }
        Err(match self.expected {
            Some((len, _)) => self.cipher.place().cut(self.sealed.len(), len),
            None => self.cipher.place().cut(self.word.len(), WORD_BYTES),
        })
    }
}

/// Collects `N` bytes from the fronts of several pieces; leaves `kept` empty when it has them.
pub(super) fn fill<const N: usize>(kept: &mut Vec<u8>, rest: &mut &[u8]) -> Option<[u8; N]> {
    let missing = N.saturating_sub(kept.len());
    let (part, tail) = rest.split_at_checked(missing).unwrap_or((rest, &[]));
    kept.extend_from_slice(part);
    *rest = tail;
    let whole = kept.as_array::<N>().copied()?;
    kept.clear();
    Some(whole)
}
