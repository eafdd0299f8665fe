//! Other recipients for what is sealed already. The data key stays, so nothing sealed is touched: who
//! has opened a member once and kept its data key is not shut out by this.

use super::head::Head;
use super::wrap::wrap;
use super::{KeyRing, Recipient};
use crate::error::Result;

/// A new head for the member of `head`, sealed for `recipients` and no one else. The blocks that
/// follow it stay as they are; its length changes.
///
/// # Errors
/// As [`super::Opener::try_new`] and [`super::seal`].
pub fn rewrap(head: &Head, ring: &KeyRing, recipients: &[Recipient]) -> Result<Vec<u8>> {
    let data_key = head.open(ring)?;
    Head::new(head.fixed.clone(), wrap(&data_key, &head.fixed, recipients)?)?.encode()
}
