//! Sealing: plaintext and recipients in, a member out.

use super::blocks::{BlockCipher, TAG_BYTES, WORD_BYTES};
use super::head::{BLOCK_BYTES, Head, NewMember, encode_fixed};
use super::wrap::{draw_data_key, wrap};
use super::{Recipient, random};
use crate::error::Result;

/// Seals `plaintext` (what [`super::encode_record`] wrote) for each of `recipients`: a whole member,
/// with a data key, an id and a nonce of its own. One allocation of the member's size, nothing a block.
///
/// # Errors
/// Class Config: no recipient, too many, one twice. Class Bug: more records than offsets. Class Retry:
/// no random bytes.
pub fn seal(member: &NewMember, plaintext: &[u8], recipients: &[Recipient]) -> Result<Vec<u8>> {
    seal_in_blocks(member, plaintext, recipients, BLOCK_BYTES)
}

/// As [`seal`], with blocks of another size than this host writes.
pub(super) fn seal_in_blocks(
    member: &NewMember,
    plaintext: &[u8],
    recipients: &[Recipient],
    block_bytes: u32,
) -> Result<Vec<u8>> {
    let (mut id, mut nonce) = ([0; 16], [0; 7]);
    random(&mut id)?;
    random(&mut nonce)?;
    let data_key = draw_data_key()?;
    let fixed = encode_fixed(member, id, nonce, block_bytes)?;
    let keys = wrap(&data_key, &fixed, recipients)?;
    let head = Head::new(fixed, keys)?;
    let mut sealed = head.encode()?;
    let mut cipher = BlockCipher::try_new(&head, &data_key)?;
    let num_blocks = plaintext.len().div_ceil(block_bytes as usize).max(1);
    sealed.reserve_exact(plaintext.len() + num_blocks * (WORD_BYTES + TAG_BYTES));
    let mut rest = plaintext;
    loop {
        let (block, tail) = rest.split_at_checked(block_bytes as usize).unwrap_or((rest, &[]));
        rest = tail;
        cipher.seal(block, rest.is_empty(), &mut sealed)?;
        if rest.is_empty() {
            return Ok(sealed);
        }
    }
}
