//! Other recipients for what is sealed already. The data key stays, so nothing sealed is touched: who
//! has opened a member once and kept its data key is not shut out by this.

use super::footer::Footer;
use super::head::Head;
use super::wrap::wrap;
use super::{KeyRing, Recipient, reject, scan};
use crate::error::{OrError, Result};

/// A new head for the member of `head`, sealed for `recipients` and no one else. The blocks that
/// follow it stay as they are; its length changes.
///
/// # Errors
/// As [`super::Opener::try_new`] and [`super::seal`].
pub fn rewrap(head: &Head, ring: &KeyRing, recipients: &[Recipient]) -> Result<Vec<u8>> {
    let data_key = head.open(ring)?;
    Head::new(head.fixed.clone(), wrap(&data_key, &head.fixed, recipients)?)?.encode()
}

/// A whole spool file with other recipients: new heads, the same blocks, a footer of the new length.
///
/// # Errors
/// As [`rewrap`], [`scan`] and [`Footer::parse`]; the file is not changed in part.
pub fn rewrap_file(file: &[u8], ring: &KeyRing, recipients: &[Recipient]) -> Result<Vec<u8>> {
    let mut out = Vec::with_capacity(file.len());
    let mut rest = file;
    while !rest.starts_with(super::footer::FOOTER_MAGIC) {
        let at = file.len() - rest.len();
        let member = scan(rest)?.ok_or_else(|| reject(format!("file is cut in the member at byte {at}")))?;
        let num_bytes = usize::try_from(member.num_bytes).or_bug("length of a member")?;
        let (sealed, tail) = rest.split_at_checked(num_bytes).unwrap_or((rest, &[]));
        out.extend_from_slice(&rewrap(&member.head, ring, recipients)?);
        out.extend_from_slice(sealed.get(member.head.num_bytes()..).unwrap_or_default());
        rest = tail;
    }
    let mut footer = Footer::parse(rest)?;
    footer.bytes = out.len() as u64;
    out.extend_from_slice(&footer.encode()?);
    Ok(out)
}
